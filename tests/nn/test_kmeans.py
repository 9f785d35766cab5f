import warnings

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.nn.kmeans import distances, kmeans, nearest


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def blobs(clusters: int = 5, each: int = 30, dim: int = 8, sd: float = 0.1) -> tuple[Tensor, Tensor]:
    """Points around distant centres, and their blob."""
    centres = torch.randn(clusters, dim, generator=seeded(1)) * 5
    blob = torch.arange(clusters).repeat(each)
    return centres[blob] + sd * torch.randn(len(blob), dim, generator=seeded(2)), blob


def by_loop(points: Tensor, centres: Tensor) -> Tensor:
    return torch.stack([torch.stack([(p - c).square().sum() for c in centres]) for p in points])


def test_finds_the_blobs_and_their_means():
    points, blob = blobs()
    centres, ids = kmeans(points, 5, seed=0)
    assert centres.dtype == torch.float32 and ids.dtype == torch.int64
    for k in range(5):
        own = ids[blob == k]
        assert (own == own[0]).all()
        torch.testing.assert_close(centres[own[0]], points[blob == k].mean(0))
    assert len(ids.unique()) == 5


def test_converges_where_every_centre_is_the_mean_of_its_points():
    """Lloyd's fixed point, on points without clusters, as near as the tolerance asks."""
    points = torch.randn(600, 3, generator=seeded(3))
    centres, ids = kmeans(points, 6, seed=1, restarts=4)
    assert torch.equal(ids, nearest(points, centres))
    means = torch.stack([points[ids == k].mean(0) for k in range(6)])
    assert (means - centres).square().sum() <= 1e-5 * points.var(0).sum()


def test_the_best_restart_goes_on_beyond_the_coarse_tolerance():
    """Where that one alone leaves the centres forty times as far from the means as the fine one allows."""
    points = torch.randn(3000, 3, generator=seeded(3))
    centres, ids = kmeans(points, 6, seed=1, restarts=4)
    means = torch.stack([points[ids == k].mean(0) for k in range(6)])
    assert (means - centres).square().sum() <= 1e-5 * points.var(0).sum()


def test_more_restarts_find_less_inertia():
    points, _ = blobs(12, 10, 2, sd=1.0)

    def inertia(seed: int, restarts: int) -> float:
        centres, ids = kmeans(points, 12, seed, restarts)
        return (points - centres[ids]).square().sum().item()

    assert sum(inertia(s, 20) for s in range(5)) < 0.99 * sum(inertia(s, 1) for s in range(5))


def test_the_seed_decides_and_nothing_else_moves():
    points = torch.randn(300, 4, generator=seeded(4), dtype=torch.float64)
    before = points.clone()
    state = np.random.get_state()[1].copy()  # noqa: NPY002 scikit-learn's default generator
    first = kmeans(points, 7, seed=2**40 + 3, restarts=1)
    torch.randn(3)
    again = kmeans(points, 7, seed=2**40 + 3, restarts=1)
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(kmeans(points, 7, seed=4, restarts=1)[0], first[0])
    assert torch.equal(points, before)
    assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002


@pytest.mark.parametrize("copies", [1, 4])
def test_fewer_distinct_points_than_clusters(copies):
    distinct = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 3.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        centres, ids = kmeans(distinct.repeat(copies, 1), 5, seed=0)
    assert torch.isinf(centres[3:]).all() and centres.shape == (5, 2)
    torch.testing.assert_close(centres[ids], distinct.repeat(copies, 1))
    assert len(ids.unique()) == 3


def test_one_point_and_one_cluster():
    centres, ids = kmeans(torch.tensor([[2.0, 3.0]]), 1, seed=0)
    assert centres.tolist() == [[2.0, 3.0]] and ids.tolist() == [0]


@pytest.mark.parametrize("points", [torch.empty(0, 3), torch.tensor([[1.0, torch.nan]]), torch.ones(4)])
def test_refuses_points_it_cannot_cluster(points):
    with pytest.raises(ValueError, match="k-means among points"):
        kmeans(points, 2, seed=0)


def test_gradients_and_half_precision_do_not_disturb():
    points = blobs()[0].to(torch.bfloat16).requires_grad_()
    centres, ids = kmeans(points, 5, seed=0)
    assert not centres.requires_grad and len(ids.unique()) == 5
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(nearest(points, centres), ids)


@pytest.mark.parametrize("chunk", [1, 7, 65536])
def test_nearest_by_loop(chunk):
    points, centres = torch.randn(50, 6, generator=seeded(5)), torch.randn(9, 6, generator=seeded(6))
    assert torch.equal(nearest(points, centres, chunk), by_loop(points, centres).argmin(1))


def test_nearest_takes_the_first_of_equals_and_never_a_missing_centre():
    points = torch.randn(200, 33, generator=seeded(7))
    centre = torch.randn(20, 33, generator=seeded(8))
    missing = torch.full((2, 33), torch.inf)
    ids = nearest(points, torch.cat([missing, centre, centre, missing]))
    assert torch.equal(ids, 2 + nearest(points, centre))


def test_nearest_far_from_the_origin():
    """Where |a|^2 + |b|^2 - 2ab of float32 would be all rounding."""
    points, blob = blobs()
    centres = torch.stack([points[blob == k].mean(0) for k in range(5)])
    assert torch.equal(nearest(points + 5000, centres + 5000), blob)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_distances_by_loop(dtype):
    a = torch.randn(20, 16, generator=seeded(9), dtype=dtype)
    b = torch.cat([torch.randn(5, 16, generator=seeded(10), dtype=dtype), a[:3]])
    found = distances(a, b)
    assert found.dtype == dtype and (found >= 0).all()
    bound = 1e-6 * (a.square().sum(1, keepdim=True) + b.square().sum(1))
    assert ((found - by_loop(a, b)).abs() <= bound).all()


def test_distances_to_a_missing_centre_are_infinite():
    a = torch.tensor([[0.0, 1.0], [2.0, -1.0]])
    b = torch.tensor([[torch.inf, torch.inf], [0.0, 0.0]])
    assert distances(a, b).tolist() == [[torch.inf, 1.0], [torch.inf, 5.0]]


def test_distances_have_the_right_gradient():
    a = torch.randn(4, 3, generator=seeded(11), dtype=torch.float64, requires_grad=True)
    b = torch.randn(2, 3, generator=seeded(12), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(distances, (a, b))
