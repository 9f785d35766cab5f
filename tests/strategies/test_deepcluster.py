"""DeepCluster: whitening, balanced draws, heads drawn anew, and groups found again."""

from dataclasses import replace

import pytest
import torch
from sklearn.metrics import adjusted_mutual_info_score
from torch.nn import functional as F

from baselines.deepcluster import DeepCluster, label_change, whitening
from bench.nn.perturb import perturb
from bench.train.checkpoint import from_bytes, to_bytes
from bench.train.fit import state_hash
from bench.train.strategy import Fields, Training
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


def blobs(count=400, dim=12, distance=6.0):
    """Four Gaussian groups of uneven scales, and who is in which."""
    centres = distance * torch.randn(4, dim, generator=generator(5))
    groups = kinds(count)
    scales = torch.logspace(-0.5, 0.5, dim)
    return (centres[groups] + torch.randn(count, dim, generator=generator(6))) * scales + 3, groups


def begun(points, clusters=4, epoch=0, **params):
    known = info(instances=len(points), leads=points.shape[1], counts=(clusters, 2, 4))
    strategy = make(DeepCluster, known, **params)
    renewed = tuple(strategy.on_epoch_start(epoch, training(points)))
    return strategy, renewed


@pytest.mark.parametrize("components", [3, 12])
def test_whitening_makes_the_covariance_the_identity(components):
    points, _ = blobs()
    mean, axes = whitening(points, components)
    white = (points.double() - mean) @ axes
    assert torch.allclose(white.mean(0), torch.zeros(components).double(), atol=1e-9)
    covariance = white.T @ white / len(white)
    spread = torch.linalg.eigvalsh(points.double().T.cov(correction=0)).flip(0)[:components]
    shrunk = spread / (spread + 1e-5 * spread[0])  # what the added variance leaves of each
    assert torch.allclose(covariance, torch.diag(shrunk), atol=1e-8)
    assert shrunk.min() > 0.95


@pytest.mark.parametrize("points", [torch.full((20, 12), 0.7), torch.randn(20, 1).expand(20, 12)])
def test_directions_without_variance_stay_finite(points):
    strategy, _ = begun(points.contiguous())
    white = (points.double() - strategy.mean) @ strategy.axes
    assert white.isfinite().all()
    assert white[:, 1:].abs().max() < 1e-2
    assert bool((strategy.labels >= 0).all())
    assert torch.equal(strategy.assign(points), strategy.labels)
    assert torch.isfinite(strategy.draw_weights()).all()
    assert strategy.draw_weights().sum() == pytest.approx(1)


def test_fewer_instances_than_clusters():
    points, _ = blobs(3)
    strategy, _ = begun(points, clusters=5)
    assert len(strategy.labels.unique()) == 3
    assert torch.equal(strategy.assign(points), strategy.labels)
    assert strategy.groups() == len(strategy.prototypes()) == 5
    assert torch.allclose(strategy.draw_weights(), torch.full((3,), 1 / 3).double())


def test_a_minority_cluster_is_drawn_half_of_the_time():
    """With 10 % of the instances in one of two clusters; the labels stay those of the instances drawn."""
    minority = torch.arange(200) % 10 == 0
    points = torch.randn(200, 12, generator=generator())
    points[:, 0] += 100.0 * minority
    strategy, _ = begun(points, clusters=2, components=1)
    small = strategy.labels[minority][0]
    assert torch.equal(strategy.labels == small, minority)
    weights = strategy.draw_weights()
    assert weights[minority].sum() == pytest.approx(0.5)
    drawn = torch.multinomial(weights, 20_000, replacement=True, generator=generator())
    assert minority[drawn].float().mean() == pytest.approx(0.5, abs=0.02)
    assert torch.equal(strategy.labels[drawn] == small, minority[drawn])
    assert begun(points, clusters=2, balanced=False)[0].draw_weights() is None


def test_weights_count_only_clusters_in_use():
    strategy = make(DeepCluster, KNOWN)
    assert strategy.draw_weights() is None
    strategy.labels = torch.tensor([0, 0, 0, 2])
    assert strategy.draw_weights().tolist() == pytest.approx([1 / 6, 1 / 6, 1 / 6, 1 / 2])


def test_a_fit_draws_by_the_weights_and_learns_the_labels_of_what_it_drew(corpus):
    """The loss of every step, from the head's own logits and the labels looked up by record."""
    fit = grouping_fit(corpus, DeepCluster, steps=7)  # two epochs
    strategy, loss, logits, seen = fit.strategy, fit.strategy.loss, [], []
    strategy.head.register_forward_hook(lambda module, inputs, output: logits.append(output.detach()))

    def watched(b, views, step):
        made = loss(b, views, step)
        label = dict(zip(fit.data.record.tolist(), strategy.labels.tolist(), strict=True))
        wanted = torch.tensor([label[int(b.record[row])] for row in views.source])
        assert float(made.total.detach()) == pytest.approx(
            float(F.cross_entropy(logits[-1], wanted)), rel=1e-5
        )
        seen.extend(zip(b.record.tolist(), wanted.tolist(), strict=True))
        return made

    strategy.loss = watched
    fit.run()
    assert len(seen) == 7 * 16
    assert len({record for record, _ in seen[:80]}) < 80  # with replacement
    assert len({label for _, label in seen}) > 1


@pytest.mark.parametrize("how", ["strong", "gaussian"])
def test_views_are_the_instances_perturbed(how):
    b = batch(signals(5))
    views = make(DeepCluster, KNOWN, perturbation=how).views(b, generator())
    assert torch.equal(views.signal, perturb(b.signal, generator(), how, KNOWN.rate))
    assert bool((views.signal != b.signal).flatten(1).any(dim=1).all())
    assert views.source.tolist() == list(range(5))


def test_separated_groups_are_found_through_the_whitening():
    points, groups = blobs()
    strategy, _ = begun(points)
    assert adjusted_mutual_info_score(groups, strategy.labels) >= 0.9
    entropy, share, change = strategy.health.tolist()
    assert (entropy, share, change) == pytest.approx((1, 0.25, 1), abs=0.02)


def test_training_keeps_the_groups_it_found(corpus):
    """Of kinds that lie apart from the start: an epoch of five steps is too short to learn others."""
    fit = grouping_fit(corpus, DeepCluster, steps=30, encoder="power", scaling="none").run()
    with torch.no_grad():
        ids = fit.strategy.assign(fit.training().embed())
    assert adjusted_mutual_info_score(kinds(80), ids) >= 0.9
    assert fit.health[-1]["label_change"] == 0


def test_assignment_is_the_nearest_centre_of_the_unit_whitened_embeddings():
    points, _ = blobs()
    strategy, _ = begun(points)
    fresh = points[:50] + 0.1
    unit = F.normalize((fresh.double() - strategy.mean) @ strategy.axes, dim=1)
    assert torch.allclose(strategy.project(fresh).double(), unit, atol=1e-6)
    expected = [
        min(range(4), key=lambda k: float((row - strategy.centres[k].double()).norm())) for row in unit
    ]
    assert strategy.assign(fresh).tolist() == expected
    assert torch.equal(strategy.assign(points), strategy.labels)
    assert strategy.attributes() is None


def test_the_head_is_drawn_anew_by_seed_and_epoch_alone():
    points, _ = blobs()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    heads = []
    for epoch in (0, 0, 1):
        strategy, renewed = begun(points, epoch=epoch)
        assert {id(p) for p in renewed} == {id(strategy.head.weight), id(strategy.head.bias)}
        heads.append(strategy.head.weight.detach().clone())
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])
    assert heads[0].std() == pytest.approx(0.01, rel=0.4)
    assert not strategy.head.bias.any()
    torch.manual_seed(1)
    assert torch.equal(before, torch.get_rng_state())


def test_every_clustering_begins_elsewhere():
    """By epoch, by fit, and after the last one: on points without clusters one start finds what another does not."""
    points = torch.randn(200, 12, generator=generator())

    def labels(seed, epoch):
        strategy = make(DeepCluster, info(instances=200), clusters=7, restarts=1)
        there = training(points, seed)
        strategy.on_fit_end(there) if epoch is None else strategy.on_epoch_start(epoch, there)
        return strategy.labels

    found = [labels(*place) for place in ((0, 0), (0, 1), (0, 2), (5, 0), (0, None))]
    assert torch.equal(found[0], labels(0, 0))
    for i, one in enumerate(found):
        for other in found[:i]:
            assert float(label_change(one, other, 7)) > 0.05


def test_the_final_embeddings_are_clustered_once_more(corpus):
    points, _ = blobs()
    strategy, _ = begun(points)
    head, final = strategy.head.weight.detach().clone(), points.flip(0) + 7
    strategy.on_fit_end(training(final))
    assert torch.allclose(strategy.mean, final.double().mean(0))
    assert torch.equal(strategy.assign(final), strategy.labels)
    assert torch.equal(strategy.head.weight, head)
    fit = grouping_fit(corpus, DeepCluster, steps=7).run()
    embedding = fit.training().embed()
    assert torch.allclose(fit.strategy.mean, embedding.double().mean(0))
    assert torch.equal(fit.strategy.assign(embedding), fit.strategy.labels)


def test_the_optimiser_forgets_the_head_and_nothing_else(corpus):
    fit = grouping_fit(corpus, DeepCluster, steps=12)  # five steps an epoch
    fit.run(until=5)
    head, stem = fit.strategy.head.weight, next(fit.strategy.encoder.parameters())
    assert int(fit.optimiser.state[head]["step"]) == 5
    fit.run(until=6)
    assert int(fit.optimiser.state[head]["step"]) == 1
    assert int(fit.optimiser.state[stem]["step"]) == 6
    assert head.abs().max() < 0.06  # one step from N(0, 0.01^2)


def test_between_clusterings_labels_and_head_stay():
    points, _ = blobs()
    strategy, _ = begun(points, every=2)
    labels, head = strategy.labels.clone(), strategy.head.weight.detach().clone()
    assert tuple(strategy.on_epoch_start(1, training(points.flip(0)))) == ()
    assert torch.equal(labels, strategy.labels)
    assert torch.equal(head, strategy.head.weight)
    assert tuple(strategy.on_epoch_start(2, training(points.flip(0))))
    assert not torch.equal(labels, strategy.labels)


def test_the_loss_is_the_mean_cross_entropy_over_labelled_instances():
    """Row 0 of the batch is instance 7 of label 2, row 1 instance 2 without one, and so on."""
    strategy = make(DeepCluster, KNOWN)
    strategy.labels[:8] = torch.tensor([3, 1, -1, 1, 1, 0, 1, 2])
    b = replace(batch(signals(4)), index=torch.tensor([7, 2, 5, 0]))
    loss = strategy.loss(b, strategy.views(b, generator()), STEP)
    views = strategy.views(b, generator())  # the same generator, the same views
    each = [
        -strategy.head(F.relu(strategy.encoder(views.signal[i : i + 1]))).log_softmax(1)[0, label]
        for i, label in ((0, 2), (2, 0), (3, 3))
    ]
    assert float(loss.total.detach()) == pytest.approx(float(sum(each).detach()) / 3, rel=1e-5)
    strategy.labels[:8] = -1
    nothing = strategy.loss(b, views, STEP).total
    nothing.backward()
    assert float(nothing.detach()) == 0
    assert not strategy.head.weight.grad.any()


def test_label_change_does_not_see_the_names_of_clusters():
    before = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2])
    renamed = torch.tensor([2, 0, 1])[before]
    assert float(label_change(before, renamed, 3)) == 0
    renamed[0] = 0
    assert float(label_change(before, renamed, 3)) == pytest.approx(1 / 8)
    assert float(label_change(torch.full((8,), -1), before, 3)) == 1


def test_the_number_of_clusters():
    assert make(DeepCluster, KNOWN).groups() == 4
    assert make(DeepCluster, KNOWN, attribute="sex").groups() == 2
    assert make(DeepCluster, KNOWN, attribute="age", clusters=7).groups() == 7
    assert DeepCluster.seeks(DeepCluster.Params(attribute="sex")) == ("sex",)
    assert DeepCluster.incompatible(KNOWN, DeepCluster.Params()) is None
    assert "set `clusters`" in DeepCluster.incompatible(info(), DeepCluster.Params())


def test_same_bits_twice_and_after_a_kill(corpus):
    whole = grouping_fit(corpus, DeepCluster).run()
    assert state_hash(grouping_fit(corpus, DeepCluster).run().strategy) == state_hash(whole.strategy)
    for stop in (4, 5):  # within an epoch, and at the end of one
        half = grouping_fit(corpus, DeepCluster).run(until=stop)
        resumed = grouping_fit(corpus, DeepCluster).restore(from_bytes(to_bytes(half.state()))).run()
        assert state_hash(resumed.strategy) == state_hash(whole.strategy)
        assert resumed.health == whole.health
    assert whole.health[-1].keys() >= {"usage_entropy", "largest_share", "label_change"}
