"""The loss of CPC against loops, what its negatives are, and what it costs."""

import math
from collections import Counter

import pytest
import torch

from bench.nn.latent_prediction import draw_candidates, latent_prediction


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=seeded(seed), dtype=dtype)


def by_loops(predicted, features, candidates, as_published_sum):
    """One sequence, one anchor, one candidate at a time; a plain exponential, as the paper prints it."""
    over_time, right = 0.0, 0
    for b in range(predicted.shape[0]):
        of_sequence = 0.0
        for a in range(predicted.shape[1]):
            scores = [predicted[b, a] @ features[b, j] for j in candidates[b, a].tolist()]
            of_sequence = of_sequence - torch.log(scores[0].exp() / sum(s.exp() for s in scores))
            right += all(bool(scores[0] > s) for s in scores[1:])
        over_time = over_time + (of_sequence if as_published_sum else of_sequence / predicted.shape[1])
    return over_time / len(predicted), right / predicted.shape[:2].numel()


@pytest.mark.parametrize("as_published_sum", [False, True])
@pytest.mark.parametrize(
    ("rows", "steps", "horizon", "negatives"), [(3, 9, 2, 5), (1, 4, 3, 1), (2, 6, 1, 20)]
)
def test_equals_loops_over_sequences_anchors_and_negatives(rows, steps, horizon, negatives, as_published_sum):
    candidates = draw_candidates(rows, steps, horizon, negatives, seeded(7))
    predicted = normal(rows, steps - horizon, 4).requires_grad_()
    features = normal(rows, steps, 4, seed=1).requires_grad_()
    loss, accuracy = latent_prediction(predicted, features, candidates, as_published_sum=as_published_sum)
    want, share = by_loops(predicted, features, candidates, as_published_sum)
    torch.testing.assert_close(loss, want)
    assert float(accuracy) == pytest.approx(share)
    ours = torch.autograd.grad(loss, (predicted, features))
    theirs = torch.autograd.grad(want, (predicted, features))
    torch.testing.assert_close(ours, theirs)


def test_the_right_step_comes_first_and_lies_the_horizon_ahead():
    candidates = draw_candidates(2, 1000, 12, 3, seeded())
    assert candidates.shape == (2, 988, 4)
    assert candidates.dtype == torch.int64
    assert torch.equal(candidates[..., 0], torch.arange(12, 1000).expand(2, -1))


def test_negatives_are_all_steps_but_the_right_one_alike():
    steps, horizon = 7, 2
    candidates = draw_candidates(50, steps, horizon, 128, seeded())
    for anchor in range(steps - horizon):
        drawn = Counter(candidates[:, anchor, 1:].flatten().tolist())
        assert set(drawn) == set(range(steps)) - {anchor + horizon}  # the anchor's own and the neighbours too
        expected = 50 * 128 / (steps - 1)
        assert max(abs(count - expected) for count in drawn.values()) < 5 * math.sqrt(expected)


def test_negatives_are_drawn_with_replacement_afresh_for_each_anchor_and_sequence():
    negatives = draw_candidates(3, 400, 12, 300, seeded())[..., 1:]
    distinct = negatives.sort(dim=2).values.diff(dim=2).count_nonzero(dim=2) + 1
    expected = 399 * (1 - (1 - 1 / 399) ** 300)
    assert float(distinct.float().mean()) == pytest.approx(expected, rel=0.01)
    rows = negatives.flatten(0, 1)
    assert len(rows.unique(dim=0)) == len(rows)


def test_candidates_follow_the_generator_alone():
    before = torch.get_rng_state()
    first = draw_candidates(2, 30, 3, 8, seeded())
    assert torch.equal(first, draw_candidates(2, 30, 3, 8, seeded()))
    assert not torch.equal(first, draw_candidates(2, 30, 3, 8, seeded(1)))
    assert torch.equal(torch.get_rng_state(), before)


def test_small_scores_lose_the_logarithm_of_129_an_anchor():
    predicted, features = 1e-3 * normal(2, 988, 8), normal(2, 1000, 8, seed=1)
    candidates = draw_candidates(2, 1000, 12, 128, seeded())
    mean, _ = latent_prediction(predicted, features, candidates)
    summed, _ = latent_prediction(predicted, features, candidates, as_published_sum=True)
    assert float(mean) == pytest.approx(math.log(129), rel=1e-3)
    assert float(summed) == pytest.approx(4801, rel=1e-3)
    assert float(summed / mean) == pytest.approx(988)


def test_constant_features_score_nothing():
    loss, accuracy = latent_prediction(
        torch.ones(2, 8, 4), torch.ones(2, 10, 4), draw_candidates(2, 10, 2, 128, seeded())
    )
    assert float(loss) == pytest.approx(math.log(129))
    assert float(accuracy) == 0


def test_certain_predictions_lose_nothing_however_large_the_scores():
    features = (1e3 * torch.eye(6)).expand(2, -1, -1)
    candidates = draw_candidates(2, 6, 2, 128, seeded())
    loss, accuracy = latent_prediction(features[:, 2:], features, candidates)
    assert float(loss) == pytest.approx(0, abs=1e-6)
    assert float(accuracy) == 1
    worst, accuracy = latent_prediction(-features[:, 2:], features, candidates)
    assert float(worst) > 9e5
    assert worst.isfinite()
    assert float(accuracy) == 0


def test_it_computes_in_float32_under_autocast():
    candidates = draw_candidates(2, 10, 2, 5, seeded())
    predicted, features = normal(2, 8, 4).bfloat16(), normal(2, 10, 4, seed=1).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = latent_prediction(predicted, features, candidates)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, latent_prediction(predicted.float(), features.float(), candidates)[0])


def kept_for_backward(rows, steps):
    """Number and bytes of the tensors that the loss keeps for its gradient, its arguments apart."""
    sizes: dict[int, int] = {}
    predicted = normal(rows, steps - 12, 64, dtype=torch.float32).requires_grad_()
    features = normal(rows, steps, 64, seed=1, dtype=torch.float32).requires_grad_()
    candidates = draw_candidates(rows, steps, 12, 128, seeded())

    def pack(tensor):
        sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        latent_prediction(predicted, features, candidates)
    return len(sizes), sum(sizes.values())


def test_memory_is_linear_in_the_batch_and_nothing_loops_over_time():
    once, twice = kept_for_backward(4, 50), kept_for_backward(8, 50)
    assert twice[1] == pytest.approx(2 * once[1], rel=1e-3)
    assert once[0] == twice[0] == kept_for_backward(4, 200)[0]
    materialised = 4 * 188 * 129 * 64 * 4  # the candidates' features themselves, 4 bytes each
    assert kept_for_backward(4, 200)[1] < materialised / 8


@pytest.mark.parametrize(("steps", "horizon", "negatives"), [(10, 10, 5), (3, 12, 5), (10, 0, 5), (10, 2, 0)])
def test_nothing_to_predict_is_refused(steps, horizon, negatives):
    with pytest.raises(ValueError, match=rf"{negatives} negatives, horizon {horizon} .* of {steps} steps"):
        draw_candidates(2, steps, horizon, negatives, seeded())


@pytest.mark.parametrize("shape", [(2, 8, 3), (3, 8, 4), (2, 7, 4)])
def test_shapes_that_disagree_are_refused(shape):
    candidates = draw_candidates(2, 10, 2, 5, seeded())
    with pytest.raises(ValueError, match=r"must be \(B, A, D\), \(B, L, D\) and \(B, A, M\)"):
        latent_prediction(torch.zeros(shape), torch.zeros(2, 10, 4), candidates)
