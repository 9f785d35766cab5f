"""Assignment under fixed cluster sizes, by Sinkhorn's iteration in the log domain and float64, and Newton's.

The problem of SeLA (Asano, Rupprecht, Vedaldi, ICLR 2020, equation 5), whose plan is diag(a) P^strength diag(b).
Paper and code: the official code raises probabilities to the power, which underflows, and sums its stopping
error over the records, unlimited in iterations. Here the error is a mean, iterations are limited, and the
power is reached by doubling. Confident predictions would use up any limit, for then Sinkhorn's steps are tiny:
where Newton's halves the error, it is taken instead. The plan they lead to is the same.
"""

import math

import torch
from torch import Tensor

_EASY, _WARMING = 8.0, 50
"""Range of the scores at which a cold start converges in some ten iterations; at most that many a doubling."""


def sinkhorn(
    log_p: Tensor,
    strength: float = 25.0,
    column_marginal: Tensor | None = None,
    tolerance: float = 1e-6,
    iterations: int = 1000,
) -> Tensor:
    """The plan of given column sums that is nearest to the predictions.

    Args:
        log_p: (N, K) log-probabilities or logits (a constant added to a row changes nothing), finite.
        strength: SeLA's lambda, at least 0: 0 gives every row the marginal, infinity would give labels.
        column_marginal: (K,) mass of the columns, above 0, rescaled to sum to 1; equal by default.
        tolerance: mean relative error of the column sums to stop at.
        iterations: at most, at the full strength; the plan then reached is returned.

    Returns:
        (N, K) float64: rows sum to 1 / N, columns to the marginal within the tolerance.

    Raises:
        ValueError: no rows, values that are not finite, a negative strength, a marginal that does not fit.
    """
    if log_p.dim() != 2 or not log_p.numel() or not torch.isfinite(log_p).all():
        raise ValueError(f"log_p {tuple(log_p.shape)} for Sinkhorn: give finite (N, K), N at least 1")
    if strength < 0:
        raise ValueError(f"Sinkhorn of strength {strength}: it must be at least 0")
    scores = log_p.detach().double() * strength
    target = _marginal(log_p, column_marginal).log()
    spread = (scores.amax(dim=1) - scores.amin(dim=1)).max().item()
    potential = torch.zeros_like(target)
    for doublings in range(math.ceil(math.log2(max(spread / _EASY, 1))), 0, -1):
        potential = 2 * _balanced(scores / 2**doublings, target, potential, tolerance, _WARMING)
    potential = _balanced(scores, target, potential, tolerance, iterations)
    return (scores + potential).softmax(dim=1) / len(scores)


def equal_labels(log_p: Tensor, strength: float) -> Tensor:
    """Labels (N,) int64 in clusters of all but equal size: the largest entry of every row of the plan."""
    return sinkhorn(log_p, strength).argmax(dim=1)


def _balanced(scores: Tensor, target: Tensor, potential: Tensor, tolerance: float, iterations: int) -> Tensor:
    """Potentials (K,) of the columns for which softmax(scores + potential) has log column means `target`."""
    means = _log_means(scores + potential)
    for _ in range(iterations):
        error = _error(means, target)
        if error <= tolerance:
            break
        leap = _newton(scores, target, potential)
        reached = _log_means(scores + leap)
        if _error(reached, target) < error / 2:  # never true of a leap that is not finite
            potential, means = leap, reached
        else:
            potential = potential + target - means
            means = _log_means(scores + potential)
    return potential


def _newton(scores: Tensor, target: Tensor, potential: Tensor) -> Tensor:
    """Potentials (K,) at which the column sums, were they linear in them, would be the target's.

    A constant added to all potentials changes nothing; of the equivalent solutions the one is taken whose change
    has the weighted mean 0.
    """
    plan, wanted = (scores + potential).softmax(dim=1), target.exp()
    mass = plan.mean(dim=0)
    slope = mass.diag() - plan.T @ plan / len(plan) + torch.outer(wanted, wanted)
    step: Tensor = torch.linalg.solve_ex(slope, wanted - mass).result
    return potential + step


def _log_means(scores: Tensor) -> Tensor:
    """Logarithm of the mean of each column (K,) of the plan that scores (N, K) give."""
    return scores.log_softmax(dim=1).logsumexp(dim=0) - math.log(len(scores))


def _error(means: Tensor, target: Tensor) -> Tensor:
    """Mean relative error of the columns' mass, from logarithms."""
    return (means - target).expm1().abs().mean()


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
