"""SeLA: labels of equal number, learnt and chosen again; several heads; the ceiling that equal numbers are."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_mutual_info_score

from baselines.sela import MEMORY, SeLA
from bench.nn.perturb import perturb
from bench.nn.sinkhorn import equal_labels
from bench.train.checkpoint import from_bytes, to_bytes
from bench.train.fit import state_hash
from bench.train.strategy import Fields, Step, Training
from tests.strategies.grouped import grouped_corpus, grouping_fit, kinds
from tests.strategies.making import STEP, batch, generator, info, make, signals

KNOWN = info(instances=80, counts=(4, 2, 4))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return grouped_corpus(tmp_path_factory.mktemp("grouped") / "corpus")


def training(points, seed=0):
    """A training set whose embeddings are `points`."""
    fields = Fields({}, frozenset(), "test")
    return Training(fields, lambda rows=None: points if rows is None else points[rows], seed)


def ready(points, epoch=None, seed=0, **params):
    torch.manual_seed(seed)
    strategy = make(SeLA, info(instances=len(points), counts=(4, 2, 4)), **params)
    strategy.setup(training(points, seed))
    if epoch is not None:
        assert tuple(strategy.on_epoch_start(epoch, training(points, seed))) == ()
    return strategy


def noise(count=82, seed=0):
    return torch.randn(count, 12, generator=generator(seed))


def test_labels_start_at_random_and_of_equal_number():
    strategy = ready(noise(), heads=2)
    sizes = torch.stack([torch.bincount(column, minlength=4) for column in strategy.labels.T])
    assert sizes.tolist() == [[21, 21, 20, 20]] * 2
    assert not torch.equal(strategy.labels[:, 0], strategy.labels[:, 1])
    assert strategy.labels[:, 0].tolist() != sorted(strategy.labels[:, 0].tolist())
    assert torch.equal(ready(noise(), heads=2).labels, strategy.labels)
    assert not torch.equal(ready(noise(), heads=2, seed=1).labels, strategy.labels)


def test_labels_draw_from_no_global_generator():
    strategy = make(SeLA, KNOWN)
    before = torch.get_rng_state()
    strategy.setup(training(noise(80)))
    strategy.on_epoch_start(0, training(noise(80)))
    assert torch.equal(before, torch.get_rng_state())


def test_labels_follow_the_sinkhorn_plan_of_every_head():
    points = noise(400)
    strategy = ready(points, 0, heads=2, strength=10.0)
    logits = points @ strategy.head.weight.T + strategy.head.bias
    for head, part in enumerate(logits.detach().split(4, dim=1)):
        labels = equal_labels(part.log_softmax(1), 10.0)
        assert torch.equal(strategy.labels[:, head], labels)
        assert torch.bincount(labels, minlength=4).tolist() == pytest.approx([100] * 4, abs=6)
    margin, change = strategy.health.tolist()
    assert 0 < margin < 1
    assert change == pytest.approx(0.75, abs=0.05)  # from random labels


def test_labels_that_the_head_predicts_evenly_are_kept():
    points = 10 * torch.eye(4).repeat(20, 3)
    strategy = ready(points)
    with torch.no_grad():
        strategy.head.weight.copy_(torch.eye(4).repeat(1, 3))
        strategy.head.bias.copy_(torch.tensor([0.0, 1.0, 2.0, 3.0]))  # clusters of equal size do not see it
    for epoch in range(2):
        strategy.on_epoch_start(epoch, training(points))
        assert torch.equal(strategy.labels[:, 0], kinds(80))
    assert strategy.health.tolist() == pytest.approx([1, 0], abs=1e-6)


def test_a_collapsed_head_shows_in_the_margin_and_stays_finite():
    strategy = ready(torch.full((40, 12), 0.5), 0)
    assert strategy.health[0] == pytest.approx(0, abs=1e-6)
    extreme = ready(1e4 * noise(40), 0)
    assert extreme.health.isfinite().all()
    assert bool((extreme.labels >= 0).all())


@pytest.mark.parametrize("heads", [1, 3])
def test_the_loss_is_the_mean_over_heads_of_the_cross_entropy(heads):
    """Of the instances' labels, not those of the places in the batch."""
    strategy = ready(noise(80), 0, heads=heads)
    index = torch.tensor([7, 2, 5, 0, 61, 30])
    assert not torch.equal(strategy.labels[index], strategy.labels[:6])
    b = replace(batch(signals(6)), index=index)
    loss = strategy.loss(b, strategy.views(b, generator()), STEP)
    views = strategy.views(b, generator())  # the same generator, the same views
    each = []
    for head in range(heads):
        for i in range(6):
            logits = strategy.head(strategy.encoder(views.signal[i : i + 1]))[0, 4 * head : 4 * head + 4]
            each.append(-float(logits.log_softmax(0)[strategy.labels[index[i], head]].detach()))
    assert float(loss.total.detach()) == pytest.approx(np.mean(each), rel=1e-5)
    assert strategy.running.tolist() == pytest.approx(np.reshape(each, (heads, 6)).mean(1), rel=1e-5)
    assert not strategy.running.requires_grad  # else every step would keep the graphs of all before it
    assert loss.total.requires_grad


@pytest.mark.parametrize("how", ["strong", "gaussian"])
def test_views_are_the_instances_perturbed(how):
    b = batch(signals(5))
    views = make(SeLA, KNOWN, perturbation=how).views(b, generator())
    assert torch.equal(views.signal, perturb(b.signal, generator(), how, KNOWN.rate))
    assert bool((views.signal != b.signal).flatten(1).any(dim=1).all())
    assert views.source.tolist() == list(range(5))


def test_an_instance_without_label_does_not_count():
    strategy = make(SeLA, KNOWN)
    b = batch(signals(4))
    views = strategy.views(b, generator())
    nothing = strategy.loss(b, views, STEP).total
    nothing.backward()
    assert float(nothing.detach()) == 0
    assert not strategy.head.weight.grad.any()
    strategy.labels[2] = 1
    alone = -strategy.logits(strategy.encoder(views.signal))[2, 0].log_softmax(0)[1]
    assert float(strategy.loss(b, views, STEP).total.detach()) == pytest.approx(float(alone.detach()))


def test_the_head_of_the_least_running_loss_assigns():
    points = noise(80)
    strategy = ready(points, 0, heads=3)
    logits = (points @ strategy.head.weight.T + strategy.head.bias).detach()
    for best, running in enumerate(([0.1, 0.5, 0.5], [0.5, 0.1, 0.5], [0.5, 0.4, 0.3])):
        strategy.running = torch.tensor(running)
        assert torch.equal(strategy.assign(points), logits[:, 4 * best : 4 * best + 4].argmax(1))
    assert strategy.groups() == 4
    assert strategy.prototypes() is None
    assert strategy.attributes() is None


def test_the_running_loss_is_a_moving_average_of_training_alone():
    strategy = ready(noise(80), 0)
    b = batch(signals(6))
    views = strategy.views(b, generator())
    value = float(strategy.loss(b, views, STEP).total.detach())
    strategy.running = torch.tensor([3.0])
    strategy.loss(b, views, Step(1, 10, 0))
    expected = MEMORY * 3 + (1 - MEMORY) * value
    assert float(strategy.running) == pytest.approx(expected, rel=1e-5)
    strategy.eval()
    strategy.loss(b, views, Step(2, 10, 0))
    assert float(strategy.running) == pytest.approx(expected, rel=1e-5)


def test_assignment_of_an_instance_does_not_hang_on_the_others():
    points = noise(80)
    strategy = ready(points, 0)
    together = strategy.assign(points)
    assert together.tolist() == [int(strategy.assign(row[None])) for row in points]


@pytest.mark.parametrize(
    ("shares", "ceiling"),
    [((2225, 2307, 3889, 2225), 0.885), ((9069, 2532, 2400, 1708, 535), 0.642), ((0.5, 0.5), 1.0)],
)
def test_equal_numbers_are_a_ceiling(shares, ceiling):
    """Even of a head that predicts the classes almost without error, unless it ties a class's instances."""
    shares = np.array(shares) / sum(shares)
    assert np.minimum(1 / len(shares), shares).sum() == pytest.approx(ceiling, abs=1e-3)
    truth = torch.tensor(np.repeat(np.arange(len(shares)), np.round(shares * 2000).astype(int)))
    exact = 3 * torch.eye(len(shares))[truth]
    graded = exact + 0.3 * torch.randn(exact.shape, generator=generator())
    assert matched(equal_labels(graded.log_softmax(1), 25.0), truth) == pytest.approx(ceiling, abs=0.01)
    assert matched(equal_labels(exact.log_softmax(1), 25.0), truth) == 1


def matched(labels, truth):
    """Share of right labels under the best one-to-one matching."""
    table = np.zeros((labels.max() + 1, truth.max() + 1))
    np.add.at(table, (labels.numpy(), truth.numpy()), 1)
    rows, columns = linear_sum_assignment(table, maximize=True)
    return table[rows, columns].sum() / len(truth)


def test_training_finds_kinds_that_lie_apart(corpus):
    fit = grouping_fit(corpus, SeLA, steps=60, encoder="power", scaling="none").run()
    with torch.no_grad():
        ids = fit.strategy.assign(fit.training().embed())
    assert adjusted_mutual_info_score(kinds(80), fit.strategy.labels[:, 0]) >= 0.9
    assert adjusted_mutual_info_score(kinds(80), ids) >= 0.9
    assert fit.health[-1]["label_change"] == 0


def test_the_number_of_clusters():
    assert make(SeLA, KNOWN).groups() == 4
    assert make(SeLA, KNOWN, attribute="sex").groups() == 2
    assert make(SeLA, KNOWN, attribute="age", clusters=7).groups() == 7
    assert SeLA.seeks(SeLA.Params(attribute="age")) == ("age",)
    assert SeLA.incompatible(KNOWN, SeLA.Params()) is None
    assert "set `clusters`" in SeLA.incompatible(info(), SeLA.Params())


def test_same_bits_twice_and_after_a_kill(corpus):
    whole = grouping_fit(corpus, SeLA, heads=2).run()
    assert state_hash(grouping_fit(corpus, SeLA, heads=2).run().strategy) == state_hash(whole.strategy)
    for stop in (4, 5):  # within an epoch, and at the end of one
        half = grouping_fit(corpus, SeLA, heads=2).run(until=stop)
        resumed = grouping_fit(corpus, SeLA, heads=2).restore(from_bytes(to_bytes(half.state()))).run()
        assert state_hash(resumed.strategy) == state_hash(whole.strategy)
        assert resumed.health == whole.health
    assert whole.health[-1].keys() >= {"usage_entropy", "largest_share", "plan_margin", "label_change"}
