"""Student-t assignments, sharpened targets, running means and matching, against loops and limits."""

import math

import pytest
import torch

from bench.nn.student import (
    RunningAssignments,
    divergence,
    group_means,
    label_targets,
    log_assignments,
    matched,
    principal_axes,
    ramp,
    sharpened,
    spacing,
)


def draws(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("alpha", [1.0, 2.5])
def test_assignments_against_a_loop(alpha):
    points, centres = draws(5, 3), draws(4, 3, seed=1)
    q = log_assignments(points, centres, alpha).exp()
    for i in range(5):
        weight = [
            (1 + math.dist(points[i].tolist(), centre.tolist()) ** 2 / alpha) ** (-(alpha + 1) / 2)
            for centre in centres
        ]
        assert q[i].tolist() == pytest.approx([w / sum(weight) for w in weight], rel=1e-5)


def test_assignments_are_finite_however_far():
    far = torch.tensor([[1e6, 0.0], [1e15, 0.0]], requires_grad=True)
    log_q = log_assignments(far, torch.tensor([[0.0, 0.0], [1.0, 0.0], [-1e6, 0.0]]))
    log_q.sum().backward()
    assert log_q.isfinite().all()
    assert far.grad.isfinite().all()


def test_near_centres_are_told_apart_far_from_the_origin():
    centres = torch.tensor([[1000.0, 0.0], [1000.125, 0.0]])
    expected = math.log(1 / (1 + 1 / (1 + 0.125**2)))
    assert float(log_assignments(centres[:1], centres)[0, 0]) == pytest.approx(expected, abs=1e-6)


def test_targets_against_a_loop():
    q = draws(6, 3).softmax(1)
    p = sharpened(q)
    use = [float(q[:, j].sum()) for j in range(3)]
    for i in range(6):
        weight = [float(q[i, j]) ** 2 / use[j] for j in range(3)]
        assert p[i].tolist() == pytest.approx([w / sum(weight) for w in weight], rel=1e-5)
    assert torch.allclose(p.sum(1), torch.ones(6))


def test_targets_are_sharper_where_groups_are_used_alike():
    row = torch.tensor([0.5, 0.3, 0.2])
    q = torch.stack([row.roll(i) for i in range(3)])  # every column sums to 1
    p = sharpened(q)
    assert (torch.special.entr(p).sum(1) < torch.special.entr(q).sum(1)).all()
    assert torch.equal(p.argmax(1), q.argmax(1))


def test_a_dead_group_draws_nobody():
    q = torch.tensor([[1 - 1e-9, 1e-9]], dtype=torch.float64).repeat(100, 1)
    p = sharpened(q)
    assert p.isfinite().all()
    assert float(p[:, 1].max()) < 1e-9


def test_divergence_is_that_of_kullback_and_leibler_and_skips_rows_without_target():
    p, log_q = draws(4, 3).softmax(1), draws(4, 3, seed=1).log_softmax(1)
    p[1] = 0
    expected = sum(float(p[i, j] * (p[i, j].log() - log_q[i, j])) for i in (0, 2, 3) for j in range(3)) / 3
    assert float(divergence(p, log_q)) == pytest.approx(expected, rel=1e-5)
    assert float(divergence(torch.zeros(4, 3), log_q)) == 0


def test_divergence_has_no_gradient_where_q_is_p():
    points, centres = draws(5, 3).requires_grad_(), draws(4, 3, seed=1)
    log_q = log_assignments(points, centres)
    divergence(log_q.detach().exp(), log_q).backward()
    assert float(points.grad.abs().max()) < 1e-6
    points.grad = None
    log_q = log_assignments(points, centres)
    divergence(sharpened(log_q.detach().exp()), log_q).backward()
    assert float(points.grad.abs().max()) > 1e-3


def test_the_running_mean_is_corrected_for_its_start():
    running = RunningAssignments(4, 2, momentum=0.6)
    assert running(torch.arange(4))[1].tolist() == [False] * 4
    first, second = draws(2, 2).softmax(1), draws(2, 2, seed=1).softmax(1)
    running.update(torch.tensor([2, 0]), first)
    mean, seen = running(torch.tensor([0, 1, 2]))
    assert seen.tolist() == [True, False, True]
    assert torch.allclose(mean[[2, 0]], first)
    running.update(torch.tensor([2, 0]), second)
    expected = (0.6 * 0.4 * first + 0.4 * second) / (1 - 0.6**2)
    assert torch.allclose(running(torch.tensor([2, 0]))[0], expected)


def test_the_running_mean_keeps_no_graph():
    running = RunningAssignments(2, 2, momentum=0.6)
    running.update(torch.arange(2), torch.full((2, 2), 0.5, requires_grad=True))
    assert not running.total.requires_grad


def test_group_means_leave_out_negative_ids_and_mark_empty_groups():
    means = group_means(torch.tensor([[1.0], [3.0], [10.0], [7.0]]), torch.tensor([0, 0, 2, -1]), 4)
    assert means[[0, 2]].tolist() == [[2.0], [10.0]]
    assert means[[1, 3]].isnan().all()


def test_matching_finds_the_permutation_through_noise_and_unknowns():
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(0, 5, (200,), generator=generator)
    permutation = torch.tensor([3, 0, 4, 1, 2])
    ids = permutation[values]
    ids[:20] = torch.randint(0, 5, (20,), generator=generator)
    values[20:60] = -1
    assert torch.equal(matched(ids, values, 5)[permutation], torch.arange(5))


def test_principal_axes_are_orthonormal_and_ordered():
    points = draws(200, 4) * torch.tensor([0.1, 5.0, 1.0, 2.0]) + 3
    axes, mean = principal_axes(points, 3)
    assert torch.allclose(axes @ axes.T, torch.eye(3), atol=1e-6)
    assert torch.allclose(mean, points.mean(0), atol=1e-5)
    assert axes.abs().argmax(1).tolist() == [1, 3, 2]
    spread = ((points - mean) @ axes.T).var(0)
    assert spread.tolist() == sorted(spread.tolist(), reverse=True)


def test_the_ramp():
    assert [ramp(share) for share in (-1, 0, 0.5, 1, 2)] == pytest.approx(
        [math.exp(-5), math.exp(-5), math.exp(-1.25), 1, 1]
    )


def test_spacing_in_radii():
    points = torch.tensor([[0.0, 0.0], [2.0, 0.0], [1.0, 3.0], [1.0, 1.0]])  # mean (1, 1), radius 2
    gap, departure = spacing(points, torch.tensor([[5.0, 4.0], [5.0, 5.0], [11.0, 18.0]]))  # mean (7, 9)
    assert float(gap) == pytest.approx(1 / 2)
    assert float(departure) == pytest.approx(math.hypot(7 - 1, 9 - 1) / math.hypot(11 - 7, 18 - 9))


def test_targets_of_labels_are_flat_over_all_and_stay_within_the_class_if_told_to():
    sets = torch.cartesian_prod(torch.arange(4), torch.arange(2), torch.arange(4))
    everything, within = label_targets(sets, "all"), label_targets(sets, "class")
    for targets in (everything, within):
        assert torch.allclose(targets.sum(1), torch.ones(32))
    assert everything[0, [0, 1, 5, 31]].tolist() == pytest.approx([0.043, 0.034, 0.032, 0.030], abs=1e-3)
    assert within[0, [0, 1, 4, 5]].tolist() == pytest.approx([0.156, 0.125, 0.125, 0.115], abs=1e-3)
    assert torch.equal(within > 0, sets[:, None, 0] == sets[None, :, 0])
    weights = [math.exp(matches) for matches in (3, 2, 1)]  # of the class: 1, 4 and 3 prototypes
    total = weights[0] + 4 * weights[1] + 3 * weights[2]
    w = [weight / total for weight in weights]
    expected = math.exp(w[0]) / (math.exp(w[0]) + 4 * math.exp(w[1]) + 3 * math.exp(w[2]) + 24)
    assert float(everything[0, 0]) == pytest.approx(expected, rel=1e-5)
