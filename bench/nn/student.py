"""Soft assignments by Student's t, their sharpened targets, and what ties groups to labels: the parts of DTC.

Xie et al., "Unsupervised Deep Embedding for Clustering Analysis", ICML 2016 (arXiv 1511.06335), which Han et al., ICCV
2019 (arXiv 1908.09884) take over. Give these functions float32 or more.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.nn.prototypes import soft_weights


def log_assignments(points: Tensor, centres: Tensor, alpha: float = 1.0) -> Tensor:
    """Log of the soft assignments q of points to centres, finite however far they are.

    q_ij is proportional to (1 + d_ij^2 / alpha)^(-(alpha + 1) / 2), d the Euclidean distance.

    Args:
        points: (N, P).
        centres: (G, P).
        alpha: degrees of freedom, above 0.

    Returns:
        (N, G), whose exponentials sum to 1 in each row.
    """
    squares = (points[:, None] - centres[None]).square().sum(2)  # not by products, which lose what is near
    return (-(alpha + 1) / 2 * (squares / alpha).log1p()).log_softmax(dim=1)


def sharpened(q: Tensor, floor: float = 1e-6) -> Tensor:
    """Targets p, rows proportional to q^2 / f with f the use of a group: the sum of its column.

    Args:
        q: (N, G) assignments of all instances.
        floor: least use, as a share of N, so that a dead group draws nobody.

    Returns:
        (N, G), rows sum to 1.
    """
    weight = q.square() / q.sum(0).clamp(min=floor * len(q))
    return weight / weight.sum(1, keepdim=True)


def label_targets(sets: Tensor, over: Literal["all", "class"]) -> Tensor:
    """Targets that labels alone make: exp(w) over its sum, w the soft weights of CROCS at softness 1.

    Of the first arXiv version of CROCS (2011.14230, appendix B.3), which prints the sum over the instance's class
    only and leaves open what prototypes of other classes get.

    Args:
        sets: (M, 3) int64 class, sex and age bin, all different.
        over: the sum is over all prototypes, or over those of the class; then others get 0.

    Returns:
        (M, M), row the instance's set, column the prototype; rows sum to 1.
    """
    weights = soft_weights(sets, 1.0)
    return (weights if over == "all" else weights.masked_fill(weights == 0, -torch.inf)).softmax(1)


def divergence(targets: Tensor, log_q: Tensor) -> Tensor:
    """Mean Kullback-Leibler divergence KL(p || q), a scalar.

    Args:
        targets: (N, G) p; a row of zeros is an instance that does not count.
        log_q: (N, G).
    """
    known = (targets > 0).any(1)
    return F.kl_div(log_q, targets, reduction="sum") / known.sum().clamp(min=1)


class RunningAssignments(nn.Module):
    """Each instance's mean of its assignments so far, the later ones counting more: a temporal ensemble.

    Of Laine and Aila, ICLR 2017 (arXiv 1610.02242), corrected for its start at zero. Buffers: it is checkpointed.

    Args:
        instances: rows of the training set, N.
        groups: G.
        momentum: weight of what there was, in [0, 1).
    """

    total: Tensor
    visits: Tensor

    def __init__(self, instances: int, groups: int, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("total", torch.zeros(instances, groups))
        self.register_buffer("visits", torch.zeros(instances))

    def forward(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Means (B, G) of the instances `index` (B,), and whether they have been seen, (B,) bool."""
        visits = self.visits[index]
        return self.total[index] / (1 - self.momentum ** visits.clamp(min=1))[:, None], visits > 0

    @torch.no_grad()
    def update(self, index: Tensor, q: Tensor) -> None:
        """Count the assignments q (B, G) of the instances `index` (B,), all different."""
        self.total[index] = self.momentum * self.total[index] + (1 - self.momentum) * q
        self.visits[index] += 1


def ramp(share: float) -> float:
    """Weight of a consistency term after a share of its ramp: exp(-5 (1 - share)^2), then 1."""
    return math.exp(-5 * (1 - min(max(share, 0.0), 1.0)) ** 2)


def principal_axes(points: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` principal axes (count, D) of points (N, D), and their mean (D,); N and D at least `count`."""
    from sklearn.decomposition import PCA

    pca = PCA(count, svd_solver="covariance_eigh").fit(points.double().cpu().numpy())
    return torch.from_numpy(pca.components_).to(points), torch.from_numpy(pca.mean_).to(points)


def group_means(points: Tensor, ids: Tensor, groups: int) -> Tensor:
    """(G, P) mean of the points (N, P) of each group; NaN where it has none; a negative id is of no group."""
    member = (ids[:, None] == torch.arange(groups, device=ids.device)).to(points.dtype)
    return member.T @ points / member.sum(0)[:, None]


def spacing(points: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """Whether centres have fallen into one, and whether points have left them.

    Args:
        points: (N, P).
        centres: (G, P), G at least 2.

    Returns:
        Two scalars: least distance of two centres in radii of the points, and distance of the mean point from the
        mean centre in radii of the centres; a radius is the largest distance from the mean. Near 0 the first is bad;
        above 1 so is the second, for all centres are then about equally far and soft assignments alike.
    """
    middle, centre = points.mean(0), centres.mean(0)
    radius, reach = (
        (rows - mean).norm(dim=1).max().clamp(min=1e-12)
        for rows, mean in ((points, middle), (centres, centre))
    )
    return torch.pdist(centres).min() / radius, (middle - centre).norm() / reach


def matched(ids: Tensor, values: Tensor, count: int) -> Tensor:
    """The value each group stands for, one to one, so that the most instances agree (the Hungarian method).

    Args:
        ids: (N,) group of each instance, from 0 to `count` - 1.
        values: (N,) its value, from 0 to `count` - 1; negative ones are unknown and do not count.
        count: groups, and values.

    Returns:
        (count,) int64, a permutation.
    """
    from scipy.optimize import linear_sum_assignment

    known = values >= 0
    table = torch.bincount(ids[known] * count + values[known], minlength=count**2).reshape(count, count)
    _, chosen = linear_sum_assignment(table.cpu().numpy(), maximize=True)
    return torch.from_numpy(chosen).to(ids.device)
