"""k-means among embeddings, and the nearest centre of a point: what the clustering baselines share.

Everything is Euclidean and float32, outside autocast. A missing centre is a row of infinities: near to nothing.
"""

import torch
from torch import Tensor


def kmeans(
    points: Tensor, clusters: int, seed: int, restarts: int = 10, iterations: int = 300
) -> tuple[Tensor, Tensor]:
    """Cluster by scikit-learn's k-means++ and Lloyd, the best of `restarts` by inertia; empty clusters move.

    The work is done on the CPU, by as many threads as the caller allows.

    Args:
        points: (N, D), N at least 1, finite.
        clusters: number of centres K.
        seed: of the starts.
        restarts: starts, of which the one with the least sum of squared distances is kept.
        iterations: at most, of a start.

    Returns:
        Centres (K, D) float32 on the device of `points`, and the nearest one of every point, (N,) int64.
        Of fewer distinct points than clusters, each is a centre, and the centres left over are infinite.

    Raises:
        ValueError: no points, or some that are not finite.
    """
    from sklearn.cluster import KMeans

    if points.dim() != 2 or len(points) == 0 or not torch.isfinite(points).all():
        raise ValueError(f"points {tuple(points.shape)} for k-means: give finite (N, D), N at least 1")
    array = points.detach().float().cpu().numpy()
    centres = torch.full((clusters, points.shape[1]), torch.inf, device=points.device)
    distinct = torch.from_numpy(array).unique(dim=0) if len(array) <= clusters else None
    fit = KMeans(clusters, n_init=restarts, max_iter=iterations, random_state=seed % 2**32).fit(array)
    found = torch.from_numpy(fit.cluster_centers_).to(points.device)
    centres[: len(found)] = found
    return centres, nearest(points, centres)


def nearest(points: Tensor, centres: Tensor, chunk: int = 65536) -> Tensor:
    """Index of the nearest centre, (N,) int64; the first of equally near ones.

    Args:
        points: (N, D).
        centres: (K, D); infinite ones are never chosen.
        chunk: points at a time, which bounds the memory.
    """
    present = torch.isfinite(centres).all(dim=1).nonzero().flatten()
    known = centres[present]
    ids = [distances(part, known).argmin(dim=1) for part in points.split(chunk)]
    return present[torch.cat(ids)]


def distances(a: Tensor, b: Tensor) -> Tensor:
    """Squared Euclidean distances (N, K) of `a` (N, D) and `b` (K, D), by |a|^2 + |b|^2 - 2ab, at least 0."""
    with torch.autocast(a.device.type, enabled=False):
        a, b = a.float(), b.float()
        squares = a.square().sum(dim=1, keepdim=True) + b.square().sum(dim=1)
        return torch.addmm(squares, a, b.T, alpha=-2).clamp_(min=0)
