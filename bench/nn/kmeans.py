"""k-means among embeddings, and the nearest centre of a point: what the clustering baselines share.

Everything is Euclidean and at least float32, outside autocast. A missing centre is a row of infinities: near to
nothing.
"""

import warnings

import torch
from numpy import float32
from numpy.typing import NDArray
from torch import Tensor

from bench.nn.nearest import nearest

_SCREENED, _CONVERGED = 4e-4, 1e-5
"""Squared movement of all centres to stop at, as a share of the points' total variance: 2 % and 0.3 % of their radius.

scikit-learn's own unit is the mean variance of a column, by which a tolerance means less the more columns.
"""


def kmeans(
    points: Tensor, clusters: int, seed: int, restarts: int = 10, iterations: int = 300
) -> tuple[Tensor, Tensor]:
    """Cluster by scikit-learn's k-means++ and Lloyd's iteration, in which an empty cluster is moved.

    All restarts run to a coarse tolerance, and the one of least inertia goes on to a fine one: on points
    without clusters, the slowest there are, a third of the time of running them all to the end. The work is
    done on the CPU, by as many threads as the caller allows.

    Args:
        points: (N, D), N at least 1, finite.
        clusters: number of centres K.
        seed: of the restarts.
        restarts: how often to begin.
        iterations: at most, in each of the two runs.

    Returns:
        Centres (K, D) float32 on the device of `points`, and the nearest one of every point, (N,) int64.
        Where fewer than K clusters own a point (fewer distinct points than K), the others' centres are
        infinite, and last.

    Raises:
        ValueError: no points, or some that are not finite.
    """
    if points.dim() != 2 or not len(points) or not torch.isfinite(points).all():
        raise ValueError(f"k-means among points {tuple(points.shape)}: give finite (N, D), N at least 1")
    found = _fit(points.detach().float().cpu().numpy(), clusters, seed % 2**32, restarts, iterations)
    centres = torch.full((clusters, points.shape[1]), torch.inf, device=points.device)
    centres[: len(found)] = torch.from_numpy(found).to(points.device)
    return centres, nearest(points, centres)


def distances(a: Tensor, b: Tensor) -> Tensor:
    """Squared Euclidean distances, (N, K), by one matrix product, |a|^2 + |b|^2 - 2ab, and at least 0.

    The error is absolute, about 1e-6 of |a|^2 + |b|^2 in float32 (and 1e-3 where TF32 is allowed): centre
    points that lie far from the origin, and do not ask which of two centres all but equally near is nearer.

    Args:
        a: (N, D), finite; float64 stays float64.
        b: (K, D); to an infinite row the distance is infinite.
    """
    with torch.autocast(a.device.type, enabled=False):
        a, b = (x if x.dtype == torch.float64 else x.float() for x in (a, b))
        missing = torch.isinf(b).any(dim=1)
        b = b.masked_fill(missing.unsqueeze(1), 0)
        squares = a.square().sum(dim=1, keepdim=True) + b.square().sum(dim=1)
        squared = torch.addmm(squares, a, b.T, alpha=-2).clamp(min=0)
    return squared.masked_fill(missing, torch.inf)


def _fit(
    points: NDArray[float32], clusters: int, seed: int, restarts: int, iterations: int
) -> NDArray[float32]:
    """Centres of the clusters that own a point, (K or fewer, D)."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    clusters = min(clusters, len(points))
    screened, converged = _SCREENED * points.shape[1], _CONVERGED * points.shape[1]
    with warnings.catch_warnings():
        # Its only reason is fewer distinct points than clusters, which the return value tells.
        warnings.simplefilter("ignore", ConvergenceWarning)
        start = KMeans(clusters, n_init=restarts, max_iter=iterations, tol=screened, random_state=seed)
        start.fit(points)
        best = KMeans(clusters, init=start.cluster_centers_, n_init=1, max_iter=iterations, tol=converged)
        best.fit(points)
    owned = sorted(set(best.labels_.tolist()))
    return best.cluster_centers_[owned]
