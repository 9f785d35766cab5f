"""SwAV: assignments balanced over prototypes, predicted from other views; frozen prototypes; the queue."""

import math

import pytest
import torch
from pydantic import ValidationError

from bench.nn.augment import compose
from bench.nn.sinkhorn import sinkhorn
from bench.nn.transforms import by_name
from bench.train.checkpoint import from_bytes, to_bytes
from bench.train.fit import state_hash
from bench.train.strategy import Step
from strategies.simclr import SimCLR
from strategies.swav import SwAV, balanced, swapped_prediction
from tests.strategies.grouped import grouped_corpus, grouping_fit
from tests.strategies.making import STEP, FirstSample, batch, generator, info, make, signals

SMALL = {"projection": 5, "hidden": 7, "prototypes": 6, "views": 3, "queue": 2, "queue_epoch": 1}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return grouped_corpus(tmp_path_factory.mktemp("grouped") / "corpus")


def swav(seed=0, **params):
    torch.manual_seed(seed)
    strategy = make(SwAV, **(SMALL | params))
    strategy.on_step_start(Step(0, 10, 1))
    return strategy


def fit_of(corpus, steps=12, **params):
    """Five steps an epoch."""
    return grouping_fit(corpus, SwAV, steps, encoder="power", **(SMALL | params))


def random_scores(*shape, seed=0):
    return torch.rand(shape, generator=generator(seed)) * 2 - 1


def loop_balanced(scores, epsilon, iterations):
    """As printed: Q of sum 1, then prototypes to 1 / K and rows to 1 / R in turn; at last rows sum to 1."""
    rows, columns = len(scores), len(scores[0])
    q = [[math.exp(value / epsilon) for value in row] for row in scores]
    total = sum(sum(row) for row in q)
    q = [[value / total for value in row] for row in q]
    for _ in range(iterations):
        for k in range(columns):
            mass = sum(row[k] for row in q)
            for row in q:
                row[k] /= mass * columns
        for row in q:
            mass = sum(row)
            row[:] = [value / (mass * rows) for value in row]
    return [[value * rows for value in row] for row in q]


@pytest.mark.parametrize("iterations", [1, 3, 7])
def test_assignments_against_an_explicit_loop(iterations):
    scores = random_scores(2, 9, 4)
    found = balanced(scores, 0.05, iterations)
    for view in range(2):
        expected = torch.tensor(loop_balanced(scores[view].tolist(), 0.05, iterations))
        torch.testing.assert_close(found[view], expected, rtol=1e-4, atol=1e-6)


def test_marginals_of_assignments():
    """Rows sum to 1 at once; the use of prototypes evens out, and is the plan of Sinkhorn in the end."""
    scores = (
        0.1 * random_scores(1, 200, 8) + torch.linspace(-1, 1, 8) * 0.2
    )  # the last prototypes are favoured
    spread = []
    for iterations in (1, 3, 200):
        q = balanced(scores, 0.05, iterations)
        torch.testing.assert_close(q.sum(2), torch.ones(1, 200))
        spread.append(float((q.sum(1) / 25 - 1).abs().max()))
    assert spread == sorted(spread, reverse=True)
    assert spread[1] < 0.1
    assert spread[2] < 1e-4
    torch.testing.assert_close(q[0].double(), 200 * sinkhorn(scores[0], 1 / 0.05), rtol=1e-3, atol=1e-5)


def test_assignments_of_a_view_do_not_hang_on_the_other_and_stay_finite():
    scores = random_scores(2, 9, 4)
    torch.testing.assert_close(balanced(scores, 0.05, 3)[1:], balanced(scores[1:], 0.05, 3))
    assert bool(balanced(scores, 1e-3, 3).isfinite().all())
    collapsed = balanced(torch.full((2, 9, 4), 0.7), 0.05, 3)
    torch.testing.assert_close(collapsed, torch.full((2, 9, 4), 0.25))


@pytest.mark.parametrize("views", [2, 6])
def test_the_loss_against_an_explicit_loop(views):
    logits, q = 10 * random_scores(views, 5, 4), balanced(random_scores(2, 5, 4, seed=1), 0.05, 3)
    log_p = logits.double().log_softmax(2)
    over_assigned = []
    for i in range(2):
        terms = []
        for v in range(views):
            if v != i:
                rows = [-sum(float(q[i, b, k] * log_p[v, b, k]) for k in range(4)) for b in range(5)]
                terms.append(sum(rows) / 5)
        assert len(terms) == views - 1
        over_assigned.append(terms)
    mean = sum(sum(terms) / len(terms) for terms in over_assigned) / 2
    assert float(swapped_prediction(logits, q)) == pytest.approx(mean, rel=1e-5)
    published = sum(sum(terms) / views for terms in over_assigned) / 2
    assert float(swapped_prediction(logits, q, as_published=True)) == pytest.approx(published, rel=1e-5)
    assert published == pytest.approx(mean * (views - 1) / views)


def test_no_gradient_reaches_the_assignments():
    logits, raw = random_scores(3, 5, 4).requires_grad_(), random_scores(2, 5, 4, seed=1).requires_grad_()
    swapped_prediction(logits, raw.softmax(2)).backward()
    assert raw.grad is None
    p, q = logits.detach().softmax(2), raw.detach().softmax(2)
    wanted = torch.stack(  # of a cross-entropy: p - q, from the assigned views that are not one's own
        [(p[0] - q[1]), (p[1] - q[0]), (p[2] - q[0]) + (p[2] - q[1])]
    )
    torch.testing.assert_close(logits.grad, wanted / (5 * 2 * 2))


def test_the_strategys_loss_view_by_view():
    strategy, b = swav(), batch(signals(8))
    views = strategy.views(b, generator())
    assert views.signal.shape == (24, 12, 40)
    assert views.source.tolist() == list(range(8)) * 3
    found = strategy.loss(b, views, STEP)
    found.total.backward()
    z = strategy.projector(strategy.encoder(views.signal))
    z = z / z.norm(dim=1, keepdim=True)
    scores = (z @ strategy.prototypes.weight.T).reshape(3, 8, 6)
    q = balanced(scores[:2].detach(), 0.05, 3)
    log_p = (scores / 0.1).log_softmax(2)
    total = 0.0
    for i, v in ((0, 1), (0, 2), (1, 0), (1, 2)):
        total = total - (q[i] * log_p[v]).sum(1).mean() / 4
    assert float(found.total.detach()) == pytest.approx(float(total.detach()), rel=1e-5)
    for parameter in (strategy.prototypes.weight, strategy.encoder.weight, strategy.projector[0].weight):
        torch.testing.assert_close(
            parameter.grad, torch.autograd.grad(total, parameter, retain_graph=True)[0]
        )
        assert bool(parameter.grad.any())
    halves = strategy.loss(b, views, STEP).total / swav(as_published=True).loss(b, views, STEP).total
    assert float(halves.detach()) == pytest.approx(3 / 2, rel=1e-5)


def test_parts_say_how_evenly_prototypes_are_used():
    strategy, b = swav(), batch(signals(8))
    parts = strategy.loss(b, strategy.views(b, generator()), STEP).parts
    assert 0 < float(parts["usage_entropy"]) <= 1
    assert 1 / 6 <= float(parts["largest_share"]) < 1


def test_prototypes_are_of_unit_length_at_every_step_and_still_in_the_first_epoch(corpus, monkeypatch):
    seen = []
    loss = SwAV.loss

    def watched(self, b, views, step):
        seen.append((step.epoch, self.prototypes.weight.detach().clone()))
        return loss(self, b, views, step)

    monkeypatch.setattr(SwAV, "loss", watched)
    fit = fit_of(corpus, steps=12, frozen_epochs=1).run(until=5)
    assert fit.strategy.prototypes.weight not in fit.optimiser.state  # not even averages of gradients
    fit.run()
    assert [epoch for epoch, _ in seen] == [0] * 5 + [1] * 5 + [2] * 2
    for _, weight in seen:
        torch.testing.assert_close(weight.norm(dim=1), torch.ones(6))
    first = seen[0][1]
    still = [torch.allclose(weight, first, atol=1e-6) for _, weight in seen]
    assert still == [True] * 6 + [False] * 6  # the step of index 5 is the first to move them
    assert float(fit.optimiser.state[fit.strategy.prototypes.weight]["step"]) == 7


def test_prototypes_learn_from_the_first_step_where_none_are_frozen(corpus):
    fit = fit_of(corpus, steps=12, frozen_epochs=0).run(until=2)
    assert float(fit.optimiser.state[fit.strategy.prototypes.weight]["step"]) == 2


def test_the_queue_is_filled_from_its_epoch_and_used_once_full(corpus, monkeypatch):
    """Two batches, from epoch 1 of five steps each: pushed after steps 5, 6, ..., used from step 7 on."""
    seen = []
    assign = SwAV._assign

    def watched(self, scores, step):
        found = assign(self, scores, step)
        alone = balanced(scores, self.params.epsilon, self.params.iterations)
        seen.append((int(self.queue.pushed), not torch.equal(found, alone)))
        return found

    monkeypatch.setattr(SwAV, "_assign", watched)
    fit = fit_of(corpus, steps=12).run()
    assert [pushed for pushed, _ in seen] == [0] * 6 + [16, 32, 48, 64, 80, 96]
    assert [used for _, used in seen] == [False] * 7 + [True] * 5
    assert fit.strategy.queue.rows.shape == (2, 32, 5)


def test_assignments_are_balanced_over_queue_and_batch():
    strategy, b = swav(), batch(signals(8))
    late = Step(5, 10, 1)
    views = strategy.views(b, generator())
    for number in (1, 2):
        strategy.loss(b, strategy.views(b, generator(number)), late)
        strategy.on_step_end(late)
    held = strategy.queue.rows.clone()
    torch.testing.assert_close(held.norm(dim=2), torch.ones(2, 16))
    z = strategy.projector(strategy.encoder(views.signal)).detach()
    z = (z / z.norm(dim=1, keepdim=True)).reshape(3, 8, 5)
    rows = torch.cat((held, z[:2]), dim=1)
    q = balanced(rows @ strategy.prototypes.weight.detach().T, 0.05, 3)[:, 16:]
    logits = z @ strategy.prototypes.weight.detach().T / 0.1
    found = strategy.loss(b, views, late).total
    assert float(found.detach()) == pytest.approx(float(swapped_prediction(logits, q)), rel=1e-5)
    assert torch.equal(strategy.queue.rows, held)  # the loss itself pushes nothing
    before = strategy.loss(b, views, Step(5, 10, 0)).total  # nor does an earlier epoch use it
    alone = swapped_prediction(logits, balanced(logits[:2] * 0.1, 0.05, 3))
    assert float(before.detach()) == pytest.approx(float(alone), rel=1e-5)
    strategy.on_step_end(late)
    newest = strategy.queue.rows[:, :8]  # the oldest batch is overwritten
    torch.testing.assert_close(newest, z[:2])


def test_validation_between_two_steps_pushes_nothing():
    strategy, b = swav(), batch(signals(8))
    late = Step(5, 10, 1)
    strategy.loss(b, strategy.views(b, generator()), late)
    strategy.on_step_end(late)
    held = strategy.queue.rows.clone()
    strategy.eval()
    with torch.no_grad():
        strategy.loss(b, strategy.views(b, generator(1)), late)
    assert torch.equal(strategy.queue.rows, held)
    strategy.train()
    strategy.loss(b, strategy.views(b, generator(2)), late)
    wanted = strategy._newest.clone()
    strategy.on_step_end(late)
    torch.testing.assert_close(strategy.queue.rows[:, 8:], wanted)


def test_no_queue():
    strategy, b = swav(queue=0), batch(signals(8))
    assert strategy.queue is None
    strategy.loss(b, strategy.views(b, generator()), Step(5, 10, 20))
    strategy.on_step_end(Step(5, 10, 20))


def test_all_views_are_under_the_whole_chain_and_the_published_six():
    strategy, b = make(SwAV), batch(signals(3))
    views = strategy.views(b, generator())
    g, known = generator(), by_name(100)
    chain = [known["random_resized_crop"], known["time_out"]]
    assert torch.equal(views.signal, torch.cat([compose(b.signal, chain, g) for _ in range(6)]))
    assert views.group.tolist() == [v for v in range(6) for _ in range(3)]


def test_on_the_board_the_views_are_those_of_simclr():
    b = batch(signals(20))
    ours, theirs = (make(kind, **kind.recipes["board"]) for kind in (SwAV, SimCLR))
    count = len(theirs.views(b, generator()).signal)
    assert torch.equal(ours.views(b, generator()).signal[:count], theirs.views(b, generator()).signal)


def test_parameters_of_the_published_heads():
    class Wide(FirstSample):
        def __init__(self, leads):
            super().__init__(leads)
            self.dim = 512

    strategy = SwAV(Wide(12), SwAV.Params(), info())
    projector = 512 * 2048 + 2 * 2048 + 2048 * 128 + 128
    assert sum(p.numel() for p in strategy.projector.parameters()) == projector
    assert strategy.prototypes.weight.shape == (3000, 128)
    assert strategy.prototypes.bias is None
    assert strategy.queue.batches == 8
    assert (strategy.params.frozen_epochs, strategy.params.queue_epoch) == (1, 15)


def test_same_bits_twice_and_after_a_kill(corpus):
    """Stopped before the queue has rows, while it fills, and while it is in use."""
    whole = fit_of(corpus).run()
    assert state_hash(fit_of(corpus).run().strategy) == state_hash(whole.strategy)
    for stop in (3, 6, 9):
        half = fit_of(corpus).run(until=stop)
        resumed = fit_of(corpus).restore(from_bytes(to_bytes(half.state()))).run()
        assert state_hash(resumed.strategy) == state_hash(whole.strategy)
        assert resumed.health == whole.health


def test_parameters_are_checked():
    for wrong in ({"views": 1}, {"prototypes": 1}, {"epsilon": 0}, {"iterations": 0}, {"queue": -1}):
        with pytest.raises(ValidationError):
            SwAV.Params(**wrong)
