"""Explainable prototypes: each term against a loop, its limits, and that training lowers the whole."""

import math

import pytest
import torch

from baselines.explainable_prototypes import (
    ExplainablePrototypes,
    closeness,
    diversity,
    mean_separation,
    squared_distances,
)
from bench.run.contract.stand import ROWS, Stand
from bench.train.strategy import Views
from tests.strategies.making import STEP, batch, generator, info, make, signals

KNOWN = info(leads=3, samples=20, classes=("a", "b", "c"))


def draws(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def squared(a, b):
    return math.dist(a.tolist(), b.tolist()) ** 2


def labelled_batch(count=6):
    labels = torch.eye(3)[torch.arange(count) % 3]
    labelled = torch.arange(count) < count - 1
    return batch(signals(count, 3, 20), labels=labels * labelled[:, None], labelled=labelled)


def test_closeness_and_separation_against_loops():
    instances, prototypes = draws(7, 4), draws(5, 4, seed=1)
    first, second = closeness(squared_distances(instances, prototypes))
    expected = sum(min(squared(p, x) for x in instances) for p in prototypes) / 5
    assert float(first) == pytest.approx(expected, rel=1e-5)
    expected = sum(min(squared(x, p) for p in prototypes) for x in instances) / 7
    assert float(second) == pytest.approx(expected, rel=1e-5)
    nearest = [min(squared(prototypes[i], prototypes[j]) for i in range(j + 1, 5)) for j in range(4)]
    assert float(mean_separation(prototypes)) == pytest.approx(sum(nearest) / 4, rel=1e-5)


def test_closeness_is_zero_where_prototypes_are_the_instances():
    points = draws(5, 4)
    assert [float(term) for term in closeness(squared_distances(points, points))] == [0, 0]


def test_guarded_diversity_is_positive_and_falls_with_separation():
    values = [float(diversity(torch.tensor(d), 1e-4)) for d in (0.0, 1e-3, 0.5, 1.0, 2.0, 100.0)]
    assert all(value > 0 for value in values)
    assert values == sorted(values, reverse=True)
    assert values[3] == pytest.approx(1 / (math.log(2) + 1e-4), rel=1e-5)


def test_diversity_of_re_implementations_has_a_pole_and_turns_negative():
    near, far = (float(diversity(torch.tensor(d), 1e-4, True)) for d in (0.5, 2.0))
    assert far == pytest.approx(1 / (math.log(2) + 1e-4), rel=1e-5)
    assert near < 0
    assert float(diversity(torch.tensor(1.0), 1e-4, True)) == pytest.approx(1e4, rel=1e-3)


def test_diversity_has_a_finite_gradient_where_prototypes_coincide():
    prototypes = torch.ones(4, 3, requires_grad=True)
    diversity(mean_separation(prototypes), 1e-4).backward()
    assert prototypes.grad.isfinite().all()


def test_diversity_drives_prototypes_apart():
    prototypes = draws(4, 3).requires_grad_()
    before = mean_separation(prototypes)
    diversity(before, 1e-4).backward()
    assert float(mean_separation(prototypes.detach() - 0.1 * prototypes.grad)) > float(before.detach())


@pytest.mark.parametrize(("published", "sign"), [(False, -1), (True, 1)])
def test_the_total_is_the_weighted_sum_of_its_terms(published, sign):
    strategy = make(
        ExplainablePrototypes, KNOWN, prototypes=4, diversity=3.0, as_published=published, error="sum"
    )
    b = labelled_batch()
    views = Views.of(b.signal)
    with torch.no_grad():
        found = strategy.loss(b, views, STEP)
        v = strategy.encoder(b.signal)
        distances = torch.tensor([[squared(x, p) for p in strategy.points] for x in v])
        logits = sign * distances @ strategy.weight.T
        error = (strategy.decoder(v) - b.signal).square().sum((1, 2)).mean()
    entropy = torch.nn.functional.cross_entropy(logits[:5], b.labels[:5].argmax(1))
    first, second = closeness(distances)
    spread = diversity(mean_separation(strategy.points.detach()), 1e-4, published)
    expected = 20 * entropy + error + first + second + 3 * spread
    assert float(found.total) == pytest.approx(float(expected), rel=1e-4)
    accuracy = (logits[:5].argmax(1) == b.labels[:5].argmax(1)).float().mean()
    assert float(found.parts["accuracy"]) == pytest.approx(float(accuracy))


def test_a_mean_error_is_the_sum_over_an_instances_values():
    parts = []
    for error in ("sum", "mean"):
        torch.manual_seed(0)
        strategy = make(ExplainablePrototypes, KNOWN, error=error)
        b = labelled_batch()
        parts.append(float(strategy.loss(b, Views.of(b.signal), STEP).parts["reconstruction"].detach()))
    assert parts[0] == pytest.approx(60 * parts[1], rel=1e-5)


def test_many_labels_are_counted_label_by_label():
    known = info(leads=3, samples=20, classes=("a", "b", "c"), kind="multi")
    strategy = make(ExplainablePrototypes, known)
    labels = (torch.rand(6, 3, generator=generator()) < 0.5).float()
    b = batch(signals(6, 3, 20), labels=labels, labelled=torch.ones(6, dtype=torch.bool))
    with torch.no_grad():
        found = strategy.loss(b, Views.of(b.signal), STEP).parts
        logits = -squared_distances(strategy.encoder(b.signal), strategy.points) @ strategy.weight.T
    assert float(found["accuracy"]) == pytest.approx(float(((logits > 0) == (labels > 0)).float().mean()))
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels)
    assert float(found["classification"]) == pytest.approx(float(expected), rel=1e-4)


def test_prototypes_and_weights_begin_uniform_in_the_unit_interval():
    strategy = make(ExplainablePrototypes, info(leads=12, classes=tuple("abcde")), prototypes=200)
    for start in (strategy.points.detach(), strategy.weight.detach()):
        assert 0 <= float(start.min()) < 0.02
        assert 0.98 < float(start.max()) <= 1
        assert float(start.mean()) == pytest.approx(0.5, abs=0.05)
        assert float(start.std()) == pytest.approx(12**-0.5, abs=0.02)


def test_the_embedding_is_the_encoders():
    strategy, b = make(ExplainablePrototypes, KNOWN), labelled_batch()
    assert torch.equal(strategy.embed(b), strategy.encoder(b.signal))


def test_training_on_labelled_records_lowers_every_learnt_term(tmp_path):
    fit = Stand(ExplainablePrototypes, {}, tmp_path).fit(steps=30)
    assert fit.data.record.tolist() == ROWS.labelled.tolist()
    health = fit.run().health
    for term in ("loss", "classification", "reconstruction", "instances", "coverage"):
        assert health[-1][term] < health[0][term]


@pytest.mark.parametrize(
    ("known", "reason"), [(KNOWN, None), (info(), "no classes"), (info(classes=("a", "b"), samples=15), "15")]
)
def test_what_it_cannot_do_is_said(known, reason):
    said = ExplainablePrototypes.incompatible(known, ExplainablePrototypes.Params())
    assert said is None if reason is None else reason in said
