"""Mutual information between two soft assignments of the same instances: the loss of IIC.

Ji, Henriques, Vedaldi, "Invariant Information Clustering for Unsupervised Image Classification and Segmentation",
ICCV 2019 (arXiv 1807.06653), equations 1 to 3. It computes in float32 (float64 if given it) whatever the autocast
state: in bf16 the small entries off the diagonal are lost.

Paper and code: the official code raises small entries of the joint to 2.2e-16 in place, which writes into an
expanded view and stops on a present torch. Here the logarithm alone has a floor, 1e-8, and nothing is in place.
"""

import torch
from torch import Tensor

FLOOR = 1e-8
"""Least probability whose logarithm is taken."""


def joint(first: Tensor, second: Tensor) -> Tensor:
    """How often the two assignments say k and l of one pair: symmetric, summing to 1 (equation 2).

    Args:
        first: (N, S, K) probabilities by each of S heads, rows summing to 1, N at least 1.
        second: (N, S, K), of the other half of each pair.

    Returns:
        (S, K, K).
    """
    with torch.autocast(first.device.type, enabled=False):
        together = torch.einsum("nsk,nsl->skl", _full(first), _full(second))
        together = together + together.mT
        return together / together.sum(dim=(1, 2), keepdim=True)


def information_loss(joint: Tensor, balance: float = 1.0) -> Tensor:
    """Sum of - P_kl (log P_kl - balance log P_k - balance log P_l) of each joint; the gradient is of all three.

    With a balance of 1 it is the mutual information's negative, from -log K to 0. Above 1 it asks the more for
    groups of equal size.

    Args:
        joint: (S, K, K) as `joint` gives it.
        balance: the paper's lambda.

    Returns:
        (S,), one loss for each head.
    """
    rows, columns = _log(joint.sum(dim=2, keepdim=True)), _log(joint.sum(dim=1, keepdim=True))
    return -(joint * (_log(joint) - balance * (rows + columns))).sum(dim=(1, 2))


def _log(probability: Tensor) -> Tensor:
    return probability.clamp_min(FLOOR).log()


def _full(x: Tensor) -> Tensor:
    """At least float32."""
    return x if x.dtype == torch.float64 else x.float()
