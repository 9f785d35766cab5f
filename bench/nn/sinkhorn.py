"""Optimal assignment under fixed cluster sizes, by Sinkhorn's iteration in the log domain and float64.

The solver of SeLA (Asano, Rupprecht, Vedaldi, ICLR 2020, section 3.2): Q = diag(a) P^strength diag(b).
"""

import torch
from torch import Tensor


def sinkhorn(
    log_p: Tensor,
    strength: float = 25.0,
    column_marginal: Tensor | None = None,
    tolerance: float = 1e-6,
    iterations: int = 1000,
) -> Tensor:
    """The transport plan nearest to the predictions whose columns have the given mass.

    Args:
        log_p: (N, K) log-probabilities or logits: a constant added to a row changes nothing. Finite.
        strength: SeLA's lambda, at least 0; towards 0 every row becomes the marginal.
        column_marginal: (K,) mass of each column, above 0, rescaled to sum to 1; equal by default.
        tolerance: largest mean relative error of the column sums to stop at.
        iterations: at most; the plan then reached is returned.

    Returns:
        (N, K) float64: rows sum to 1 / N, columns to the marginal within the tolerance.

    Raises:
        ValueError: no rows, values that are not finite, a negative strength, or a marginal that does not fit.
    """
    if log_p.dim() != 2 or not log_p.numel() or not torch.isfinite(log_p).all() or strength < 0:
        raise ValueError(f"log_p {tuple(log_p.shape)}, strength {strength}: give finite (N, K), at least 0")
    target = _marginal(log_p, column_marginal).log()
    scores = log_p.detach().double() * strength
    potential = torch.zeros_like(target)
    for _ in range(iterations):
        rows = (scores + potential).log_softmax(dim=1) - torch.tensor(float(len(scores))).log()
        gap = target - rows.logsumexp(dim=0)
        if gap.neg().expm1().abs().mean() <= tolerance:
            break
        potential = potential + gap
    return (scores + potential).softmax(dim=1) / len(scores)


def equal_labels(log_p: Tensor, strength: float) -> Tensor:
    """Hard labels (N,) int64 of clusters of equal size: the largest entry of every row of the plan."""
    return sinkhorn(log_p, strength).argmax(dim=1)


def _marginal(log_p: Tensor, column_marginal: Tensor | None) -> Tensor:
    """Mass of the columns, (K,) float64, summing to 1."""
    if column_marginal is None:
        column_marginal = torch.ones(log_p.shape[1])
    mass = column_marginal.to(log_p.device, torch.float64)
    if mass.shape != log_p.shape[1:] or not (mass > 0).all():
        raise ValueError(
            f"column marginal {mass.tolist()} for {log_p.shape[1]} columns: one mass above 0 each"
        )
    return mass / mass.sum()
