"""Many L2-regularised logistic regressions at once: every strength and every label in one batched L-BFGS.

The optimum is scikit-learn's: minimise the sum of losses plus |W|^2 / (2 C), the intercept unpenalised.
"""

from typing import Literal

import torch
from torch import Tensor

STRENGTHS: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)

_MEMORY, _ARMIJO, _SHRINK = 10, 1e-4, 0.5


def fit_logistic(
    features: Tensor,
    targets: Tensor,
    kind: Literal["single", "multi"],
    strengths: tuple[float, ...] = STRENGTHS,
    tolerance: float = 1e-5,
    iterations: int = 200,
) -> Tensor:
    """Fit all strengths together.

    Args:
        features: (n, D) standardised, float64 for agreement with scikit-learn.
        targets: (n, K) multi-hot.
        kind: 'single': multinomial over K classes; 'multi': K independent binary problems.
        strengths: scikit-learn's C.

    Returns:
        (S, D + 1, K) weights, the intercept last.
    """
    axes, variance = _principal_axes(features)
    inputs = torch.cat([features @ axes, features.new_ones(len(features), 1)], 1)
    penalty = 1.0 / (features.new_tensor(strengths) * len(features))
    curvature = 0.25 * torch.cat([variance, variance.new_ones(1)]) + _padded(penalty, len(variance))
    unit = curvature.rsqrt()[..., None]
    shape = (len(strengths), inputs.shape[1], targets.shape[1])

    def objective(flat: Tensor) -> tuple[Tensor, Tensor]:
        value, gradient = _value_and_gradient(flat.view(shape) * unit, inputs, targets, penalty, kind)
        return value, (gradient * unit).flatten(1)

    start = features.new_zeros(shape).flatten(1)
    weights = _minimise(objective, start, tolerance, iterations).view(shape) * unit
    return torch.cat([axes @ weights[:, :-1], weights[:, -1:]], 1)


def _principal_axes(features: Tensor) -> tuple[Tensor, Tensor]:
    """Axes (D, r) and variances (r,) of the features; ridge penalties do not see a rotation.

    In these axes the Hessian is nearly diagonal, which is what makes the iteration short.
    """
    variance, axes = torch.linalg.eigh(features.T @ features / len(features))
    kept = variance > 1e-10 * variance.max().clamp_min(1e-30)
    return axes[:, kept], variance[kept]


def _padded(penalty: Tensor, count: int) -> Tensor:
    """(S, count + 1): each strength's penalty on the weights, none on the intercept."""
    return torch.cat([penalty[:, None].expand(-1, count), penalty.new_zeros(len(penalty), 1)], 1)


def predict_logistic(weights: Tensor, features: Tensor, kind: Literal["single", "multi"]) -> Tensor:
    """(S, n, K) probabilities."""
    logits = features @ weights[:, :-1] + weights[:, -1:]
    return logits.softmax(-1) if kind == "single" else logits.sigmoid()


def log_loss(probabilities: Tensor, targets: Tensor, kind: Literal["single", "multi"]) -> Tensor:
    """Mean negative log-likelihood over records, (...) from (..., n, K) probabilities."""
    p = probabilities.clamp(1e-12, 1 - 1e-12)
    if kind == "single":
        return -(targets * p.log()).sum(-1).mean(-1)
    return -(targets * p.log() + (1 - targets) * (1 - p).log()).sum(-1).mean(-1)


def _value_and_gradient(
    weights: Tensor, inputs: Tensor, targets: Tensor, penalty: Tensor, kind: str
) -> tuple[Tensor, Tensor]:
    logits = inputs @ weights
    if kind == "single":
        log_p = logits.log_softmax(-1)
        value = -(targets * log_p).sum(-1).mean(-1)
        residual = log_p.exp() * targets.sum(-1, keepdim=True) - targets
    else:
        value = (torch.nn.functional.softplus(logits) - targets * logits).sum(-1).mean(-1)
        residual = logits.sigmoid() - targets
    shrunk = torch.cat([weights[:, :-1], torch.zeros_like(weights[:, -1:])], 1) * penalty[:, None, None]
    gradient = inputs.T @ residual / len(inputs) + shrunk
    return value + 0.5 * (shrunk * weights).sum((1, 2)), gradient


def _minimise(objective, start: Tensor, tolerance: float, iterations: int) -> Tensor:  # type: ignore[no-untyped-def]
    """L-BFGS on independent rows of `start` (S, P), each with its own step length."""
    point = start
    value, gradient = objective(point)
    history: list[tuple[Tensor, Tensor, Tensor]] = []
    for _ in range(iterations):
        active = gradient.abs().amax(1) > tolerance
        if not bool(active.any()):
            break
        direction = -_two_loop(gradient, history)
        slope = (direction * gradient).sum(1)
        uphill = slope >= 0
        direction = torch.where(uphill[:, None], -gradient, direction)
        slope = torch.where(uphill, -(gradient**2).sum(1), slope)
        first = 1.0 / gradient.norm(dim=1).clamp_min(1.0) if not history else torch.ones_like(slope)
        point_new, value_new, gradient_new = _search(
            objective, point, value, gradient, direction, slope, torch.where(active, first, 0.0)
        )
        step, change = point_new - point, gradient_new - gradient
        curvature = (step * change).sum(1)
        good = curvature > 1e-12 * (change**2).sum(1)
        history.append(
            (torch.where(good[:, None], step, 0.0), change, torch.where(good, curvature, torch.inf))
        )
        history = history[-_MEMORY:]
        if bool((step == 0).all()):
            break
        point, value, gradient = point_new, value_new, gradient_new
    return point


def _two_loop(gradient: Tensor, history: list[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
    q, weights = gradient, []
    for step, change, curvature in reversed(history):
        weight = (step * q).sum(1) / curvature
        q = q - weight[:, None] * change
        weights.append(weight)
    if history:
        step, change, curvature = history[-1]
        scale = torch.where(curvature.isfinite(), curvature / (change**2).sum(1).clamp_min(1e-30), 1.0)
        q = q * scale[:, None]
    for (step, change, curvature), weight in zip(history, reversed(weights), strict=True):
        q = q + (weight - (change * q).sum(1) / curvature)[:, None] * step
    return q


def _search(  # type: ignore[no-untyped-def]
    objective,
    point: Tensor,
    value: Tensor,
    gradient: Tensor,
    direction: Tensor,
    slope: Tensor,
    length: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Backtracking until every row satisfies Armijo's condition; rows that cannot improve stay put."""
    for _ in range(30):
        candidate = point + length[:, None] * direction
        value_new, gradient_new = objective(candidate)
        bad = value_new > value + _ARMIJO * length * slope
        if not bool(bad.any()):
            return candidate, value_new, gradient_new
        length = torch.where(bad, length * _SHRINK, length)
    length = torch.where(bad, 0.0, length)
    candidate = point + length[:, None] * direction
    return candidate, *objective(candidate)
