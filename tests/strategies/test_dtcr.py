"""DTCR: both forms of the k-means loss, fakes, the terms by formula, when directions are found anew."""

import math

import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_mutual_info_score
from torch.nn import functional as F

from baselines.dtcr import DTCR, distance_from_span, leading_directions, shuffled
from bench.train.checkpoint import from_bytes, to_bytes
from bench.train.fit import state_hash
from bench.train.strategy import Fields, Training
from tests.strategies.groups import Levels, four_levels, four_shapes, small_fit
from tests.strategies.making import STEP, batch, generator, info, make, signals

KNOWN = info(counts=(4, 2, 4))
K = 3


def embeddings(count=20, dim=7, seed=0):
    return torch.randn(count, dim, generator=generator(seed), dtype=torch.float64)


def trace_form(rows, f):
    """Tr(HᵀH) - Tr(Fᵀ HᵀH F), H holding the embeddings as columns."""
    gram = rows @ rows.T
    return gram.trace() - (f.T @ gram @ f).trace()


def test_trace_form_span_form_and_tail_of_the_spectrum_agree():
    rows = embeddings().requires_grad_()
    left, values, right = torch.linalg.svd(rows.detach().T, full_matrices=False)
    by_f = trace_form(rows, right[:K].T)
    (gradient_f,) = torch.autograd.grad(by_f, rows)
    by_u = distance_from_span(rows, leading_directions(rows, K)) * len(rows)
    (gradient_u,) = torch.autograd.grad(by_u, rows)
    tail = values[K:].square().sum()
    assert float(by_f.detach()) == pytest.approx(float(tail), rel=1e-10)
    assert float(by_u.detach()) == pytest.approx(float(tail), rel=1e-10)
    assert torch.allclose(gradient_f, gradient_u, atol=1e-10)
    basis = leading_directions(rows, K)
    assert torch.allclose(basis @ basis.T, left[:, :K] @ left[:, :K].T, atol=1e-10)


def test_the_order_of_instances_does_not_matter():
    rows, order = embeddings(), torch.randperm(20, generator=generator())
    right = torch.linalg.svd(rows.T, full_matrices=False).Vh[:K].T
    assert float(trace_form(rows[order], right[order])) == pytest.approx(float(trace_form(rows, right)))
    assert float(trace_form(rows[order], right)) > 1.2 * float(
        trace_form(rows, right)
    )  # the published defect
    losses = [distance_from_span(r, leading_directions(r, K)) for r in (rows, rows[order])]
    assert float(losses[0]) == pytest.approx(float(losses[1]))


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_constant_embeddings_are_finite_and_lie_in_the_span(level):
    rows = torch.full((8, 5), level, requires_grad=True)
    loss = distance_from_span(rows, leading_directions(rows, 2))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0, abs=1e-10)
    assert rows.grad.isfinite().all()


def test_directions_carry_no_gradient_and_the_loss_is_float32_under_autocast():
    rows = embeddings().float().requires_grad_()
    directions = leading_directions(rows, 2)
    assert not directions.requires_grad
    with torch.autocast("cpu", torch.bfloat16):
        low = distance_from_span(rows, directions)
    assert torch.equal(low, distance_from_span(rows, directions))


def moved(signal, fake):
    """(N, C, T) where a fake differs; all values being different."""
    return fake != signal


def test_fakes_keep_every_leads_values_and_move_a_fifth_at_most():
    signal = signals(50, leads=3, samples=103)
    fake = shuffled(signal, generator())
    assert torch.equal(fake.sort(2).values, signal.sort(2).values)
    changed = moved(signal, fake)
    assert int(changed[:, 0].sum(1).max()) <= 20
    assert float(changed[:, 0].sum(1).float().mean()) == pytest.approx(
        19, abs=0.6
    )  # one of 20 stays by chance
    assert (changed == changed[:, :1]).all()
    assert not torch.equal(changed[0], changed[1])
    assert (changed.float().mean((0, 1)) > 0.02).all()  # any instant may move
    assert torch.equal(fake, shuffled(signal, generator()))


def test_all_leads_are_shuffled_alike():
    time = torch.arange(60.0).expand(4, 2, 60)
    fake = shuffled(time + torch.tensor([0.0, 1000.0])[:, None], generator())
    assert torch.equal(fake[:, 0] + 1000, fake[:, 1])


def test_blocks_stay_together():
    fake = shuffled(torch.arange(103.0).expand(6, 1, 103), generator(), 0.2, 5)[:, 0]
    blocks = fake[:, :100].unflatten(1, (-1, 5))
    assert (blocks.diff(dim=2) == 1).all()
    assert (blocks[..., 0] % 5 == 0).all()
    assert torch.equal(fake[:, 100:], torch.arange(100.0, 103).expand(6, 3))
    different = (blocks[..., 0] != torch.arange(0, 100, 5)).sum(1)
    assert int(different.max()) <= 4
    assert int(different.sum()) > 0


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_views_are_real_and_fake(noise):
    signal = signals(4)
    views = make(DTCR, KNOWN, noise=noise).views(batch(signal), generator())
    parts = views.signal.split(4)
    assert len(parts) == (3 if noise else 2)
    assert torch.equal(parts[0], signal)
    assert views.group.tolist() == [g for g in range(len(parts)) for _ in range(4)]
    assert views.source.tolist() == [0, 1, 2, 3] * len(parts)
    assert int(moved(signal, parts[-1]).sum()) > 0
    if noise:
        assert float((parts[1] - signal).std()) == pytest.approx(0.1, rel=0.1)
        assert int((parts[2] - signal).abs().gt(0.8).sum()) > 0


@pytest.mark.parametrize(("noise", "classifier"), [(0.0, "linear"), (0.1, "relu")])
def test_the_loss_is_its_three_terms(noise, classifier):
    strategy = make(DTCR, KNOWN, noise=noise, classifier=classifier, kmeans_weight=0.3)
    strategy.directions.copy_(leading_directions(embeddings(30, 12), 4))
    views = strategy.views(batch(signals(6)), generator())
    made = strategy.loss(batch(signals(6)), views, STEP)
    clean, *_, real, fake = [views.signal[:6], *views.signal.split(6)][-3:]
    h, h_fake = real[:, :, 0], fake[:, :, 0]
    reconstruction = (strategy.decoder(h) - clean).pow(2).sum() / clean.numel()
    first, last = strategy.classifier[0], strategy.classifier[-1]
    hidden = first(torch.cat((h, h_fake)))
    logits = last(hidden.relu() if classifier == "relu" else hidden)
    classification = F.cross_entropy(logits, torch.tensor([0] * 6 + [1] * 6))
    basis = strategy.directions
    kmeans = sum((row - basis @ (basis.T @ row)).pow(2).sum() for row in h) / 6
    want = {
        "reconstruction": reconstruction,
        "classification": classification,
        "kmeans": kmeans,
        "norm": h.pow(2).sum(1).sqrt().mean(),
    }
    for name, value in want.items():
        assert float(made.parts[name].detach()) == pytest.approx(float(value.detach()), rel=1e-4), name
    total = reconstruction + classification + 0.3 * kmeans
    assert float(made.total.detach()) == pytest.approx(float(total.detach()), rel=1e-4)


def test_directions_are_found_anew_every_few_epochs():
    strategy, calls = make(DTCR, KNOWN, refresh=2), []

    def embed(rows=None):
        calls.append(embeddings(30, 12, seed=len(calls)).float())
        return calls[-1]

    training = Training(Fields({}, frozenset(), "dtcr"), embed, 0)
    seen = []
    for epoch in range(5):
        assert not list(strategy.on_epoch_start(epoch, training))
        seen.append(strategy.directions.clone())
    assert len(calls) == 3
    assert torch.equal(seen[0], seen[1])
    assert torch.equal(seen[2], seen[3])
    for found, rows in zip(seen[::2], calls, strict=True):
        left = torch.linalg.svd(rows.double().T, full_matrices=False).U[:, :4]
        assert torch.allclose(found.double() @ found.double().T, left @ left.T, atol=1e-5)


def test_numbers_of_clusters_and_what_is_refused():
    assert make(DTCR, KNOWN).directions.shape == (12, 4)
    assert make(DTCR, KNOWN, attribute="sex").directions.shape == (12, 2)
    assert make(DTCR, info(), clusters=7).directions.shape == (12, 7)
    assert DTCR.incompatible(KNOWN, DTCR.Params()) is None
    assert "'class'" in DTCR.incompatible(info(), DTCR.Params())
    assert "two blocks of 8" in DTCR.incompatible(KNOWN, DTCR.Params(block=80))
    assert DTCR.incompatible(KNOWN, DTCR.Params(block=40)) is None
    assert "instances of 15 samples" in DTCR.incompatible(info(samples=15, counts=(4, 2, 4)), DTCR.Params())
    shortest = info(samples=16, counts=(4, 2, 4))
    assert DTCR.incompatible(shortest, DTCR.Params()) is None
    assert make(DTCR, shortest).decoder.samples == 16
    with pytest.raises(ValueError, match="12 clusters span all 12 dimensions"):
        make(DTCR, KNOWN, clusters=12)


def test_k_means_among_the_embeddings_finds_four_groups():
    """Of levels that the encoder hands on. On beats at any phase a ResNet keeps the phase, to reconstruct them."""
    signal, group = four_levels()
    fit = small_fit(DTCR, signal, 12, {"clusters": 3}, encoder=Levels).run()
    found = KMeans(4, n_init=5, random_state=0).fit_predict(fit.training().embed().numpy())
    assert adjusted_mutual_info_score(group, found) >= 0.9
    assert math.isfinite(fit.health[-1]["kmeans"])


def test_continuing_from_a_checkpoint_gives_the_same_bits():
    signal = four_shapes()[0][:24]
    params = {"refresh": 2, "noise": 0.1}
    half = small_fit(DTCR, signal, 7, params).run(until=3)  # two steps an epoch
    resumed = small_fit(DTCR, signal, 7, params).restore(from_bytes(to_bytes(half.state()))).run()
    whole = small_fit(DTCR, signal, 7, params).run()
    assert state_hash(resumed.strategy) == state_hash(whole.strategy)
    assert resumed.health == whole.health
