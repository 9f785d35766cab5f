import pytest
import torch
from torch import Tensor

from bench.nn.sinkhorn import equal_labels, sinkhorn


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def predictions(n: int = 60, k: int = 5, scale: float = 1.0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Log-probabilities that favour the first columns."""
    logits = torch.randn(n, k, generator=seeded(1), dtype=dtype) - 0.3 * torch.arange(k, dtype=dtype)
    return (scale * logits).log_softmax(1)


def clusters(n: int, confidence: float) -> Tensor:
    """Confident predictions of four clusters, the first with seven tenths of the records."""
    id = torch.multinomial(torch.tensor([0.7, 0.1, 0.1, 0.1]), n, True, generator=seeded(2))
    noise = torch.randn(n, 4, generator=seeded(3)) * confidence / 5
    return (noise + confidence * torch.nn.functional.one_hot(id, 4)).log_softmax(1)


@pytest.mark.parametrize("strength", [0.5, 10.0, 25.0])
@pytest.mark.parametrize("marginal", [None, [0.1, 0.2, 0.3, 0.25, 0.15]])
def test_marginals(strength, marginal):
    plan = sinkhorn(predictions(), strength, None if marginal is None else torch.tensor(marginal))
    assert plan.dtype == torch.float64
    assert plan.sum(1).tolist() == pytest.approx([1 / 60] * 60, rel=1e-12)
    assert plan.sum(0).tolist() == pytest.approx(marginal or [0.2] * 5, abs=1e-6)


@pytest.mark.parametrize("strength", [2.0, 25.0])
def test_has_the_form_of_the_paper(strength):
    """log Q - strength log P is a row term plus a column term: every 2 x 2 cross-difference vanishes."""
    log_p = predictions(8, 3)
    rest = sinkhorn(log_p, strength).log() - strength * log_p
    for i in range(7):
        for k in range(2):
            cross = rest[i, k] - rest[i + 1, k] - rest[i, k + 1] + rest[i + 1, k + 1]
            assert abs(cross.item()) < 1e-9


@pytest.mark.parametrize("strength", [1.0, 25.0])
@pytest.mark.parametrize("marginal", [[0.2] * 5, [0.1, 0.2, 0.3, 0.25, 0.15]])
def test_is_the_plan_of_pot(strength, marginal):
    ot = pytest.importorskip("ot", reason="POT, the oracle, is not installed")
    log_p, mass = predictions(), torch.tensor(marginal, dtype=torch.float64)
    rows = torch.full((60,), 1 / 60, dtype=torch.float64)
    oracle = ot.sinkhorn(
        rows.numpy(),
        mass.numpy(),
        -log_p.numpy(),
        1 / strength,
        method="sinkhorn_log",
        numItermax=20000,
        stopThr=1e-12,
    )
    plan = sinkhorn(log_p, strength, mass, tolerance=1e-11, iterations=20000)
    torch.testing.assert_close(plan, torch.from_numpy(oracle), rtol=1e-6, atol=1e-10)


def test_two_records_by_hand():
    """By symmetry Q = [[a, b], [b, a]] with a + b = 1/2 and a / b = (p / (1 - p)) ** strength."""
    p = torch.tensor([[0.75, 0.25], [0.25, 0.75]]).log()
    plan = sinkhorn(p, strength=2.0)
    assert plan.flatten().tolist() == pytest.approx([0.45, 0.05, 0.05, 0.45], rel=1e-6)


def test_a_constant_added_to_a_row_changes_nothing():
    log_p = predictions()
    shift = torch.randn(60, 1, generator=seeded(4), dtype=torch.float64) * 100
    torch.testing.assert_close(sinkhorn(log_p + shift), sinkhorn(log_p), rtol=1e-6, atol=1e-12)


def test_no_strength_is_the_marginal_in_every_row():
    assert torch.allclose(sinkhorn(predictions(), 0.0), torch.full((60, 5), 1 / 300, dtype=torch.float64))
    marginal = torch.tensor([1.0, 2.0, 3.0, 4.0, 10.0])
    plan = sinkhorn(predictions(), 1e-7, marginal)
    torch.testing.assert_close(plan, (marginal.double() / 20 / 60).expand(60, 5), rtol=1e-5, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_extreme_logits_stay_finite_and_balanced(dtype):
    sign = torch.randint(2, (200, 4), generator=seeded(5)) * 2 - 1
    log_p = (sign * 200 + torch.randn(200, 4, generator=seeded(6))).to(dtype)
    plan = sinkhorn(log_p)
    assert torch.isfinite(plan).all()
    assert plan.sum(0).tolist() == pytest.approx([0.25] * 4, rel=0.02)


@pytest.mark.parametrize("confidence", [3.0, 30.0, 100.0])
def test_labels_are_balanced_however_confident_the_predictions(confidence):
    labels = equal_labels(clusters(1000, confidence), 25.0)
    assert labels.dtype == torch.int64
    assert abs(torch.bincount(labels, minlength=4) - 250).max() <= 10


@pytest.mark.parametrize("confidence", [3.0, 30.0, 100.0, 1000.0])
def test_a_few_iterations_are_enough_however_confident_the_predictions(confidence):
    """Sinkhorn's steps alone leave a mean error of 2e-3 after a thousand at the last of these."""
    plan = sinkhorn(clusters(2000, confidence), 25.0, iterations=30)
    assert (4 * plan.sum(0) - 1).abs().mean() <= 1e-6


def test_a_step_that_would_leap_too_far_is_not_taken():
    """All predict the first of two columns, at odds of 800 or so: Newton's first step would be 200 units long."""
    log_p = torch.tensor([7.0, 0.0]) + 0.5 * torch.randn(100, 2, generator=seeded(7))
    plan = sinkhorn(log_p, 1.0, iterations=30)
    assert plan.sum(0).tolist() == pytest.approx([0.5, 0.5], abs=1e-6)


def test_labels_of_balanced_predictions_are_their_own():
    log_p = (10 * torch.eye(4).repeat(25, 1)).log_softmax(1)
    assert torch.equal(equal_labels(log_p, 25.0), torch.arange(4).repeat(25))


def test_a_limit_of_iterations_returns_what_was_reached():
    plan = sinkhorn(predictions(), 0.5, iterations=0)
    torch.testing.assert_close(plan, (0.5 * predictions()).softmax(1) / 60)


def test_refusals():
    with pytest.raises(ValueError, match="finite"):
        sinkhorn(torch.tensor([[0.0, -torch.inf]]))
    with pytest.raises(ValueError, match="strength -1"):
        sinkhorn(predictions(), -1)
    with pytest.raises(ValueError, match="column marginal"):
        sinkhorn(predictions(), 25.0, torch.tensor([0.5, 0.5]))
    with pytest.raises(ValueError, match="column marginal"):
        sinkhorn(predictions(), 25.0, torch.tensor([0.5, 0.5, 0.0, 0.0, 0.0]))
