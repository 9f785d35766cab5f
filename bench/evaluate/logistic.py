"""Many L2-regularised logistic regressions at once: every strength and every label in one batched L-BFGS.

The optimum is scikit-learn's: minimise the sum of losses plus |W|^2 / (2 C), the intercept unpenalised.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor

STRENGTHS: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)

_MEMORY, _ARMIJO, _SHRINK = 10, 1e-4, 0.5

_COMPRESS = 0.7
"""Share of rows still moving at which the others are taken out of the arithmetic."""


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
    problem = (_Binary if kind == "multi" else _Multinomial)(inputs, targets, penalty, curvature.rsqrt())
    solution = _minimise(problem, problem.start(), problem.rows(), tolerance, iterations)
    weights = problem.weights(solution)
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


@dataclass(frozen=True)
class _Problem(ABC):
    """Independent problems, one a row, in coordinates in which their curvature is about one.

    Attributes:
        inputs: (n, P) features in principal axes, and the intercept's ones.
        targets: (n, K).
        penalty: (S,) of each strength.
        unit: (S, P) what a coordinate's unit is.
    """

    inputs: Tensor
    targets: Tensor
    penalty: Tensor
    unit: Tensor

    @abstractmethod
    def objective(self, flat: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Value (R,) and gradient (R, Q) of some rows' problems at `flat` (R, Q)."""


class _Multinomial(_Problem):
    """A row a strength: all classes together."""

    def start(self) -> Tensor:
        return self.inputs.new_zeros(len(self.penalty), self.inputs.shape[1] * self.targets.shape[1])

    def rows(self) -> Tensor:
        return torch.arange(len(self.penalty))

    def weights(self, flat: Tensor) -> Tensor:
        """(S, P, K)."""
        return flat.unflatten(1, (self.inputs.shape[1], -1)) * self.unit[..., None]

    def objective(self, flat: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        unit, penalty = self.unit[rows][..., None], self.penalty[rows][:, None, None]
        weights = flat.unflatten(1, (self.inputs.shape[1], -1)) * unit
        log_p = (self.inputs @ weights).log_softmax(-1)
        value = -(self.targets * log_p).sum(-1).mean(-1)
        residual = log_p.exp() * self.targets.sum(-1, keepdim=True) - self.targets
        shrunk = torch.cat([weights[:, :-1], torch.zeros_like(weights[:, -1:])], 1) * penalty
        gradient = (self.inputs.T @ residual / len(self.inputs) + shrunk) * unit
        return value + 0.5 * (shrunk * weights).sum((1, 2)), gradient.flatten(1)


class _Binary(_Problem):
    """A row a strength and class. A class that all records carry, or none, is given a constant score."""

    def start(self) -> Tensor:
        count = len(self.penalty) * self.targets.shape[1]
        return self.inputs.new_zeros(count, self.inputs.shape[1])

    def rows(self) -> Tensor:
        varies = self.targets.amin(0) < self.targets.amax(0)
        return torch.nonzero(varies.repeat(len(self.penalty)))[:, 0]

    def weights(self, flat: Tensor) -> Tensor:
        """(S, P, K)."""
        weights = flat.unflatten(0, (len(self.penalty), -1)).transpose(1, 2) * self.unit[..., None]
        constant = self.targets.amin(0) == self.targets.amax(0)
        carry = self.targets.sum(0)
        odds = ((carry + 0.5) / (len(self.targets) - carry + 0.5)).log()
        weights[:, -1] = torch.where(constant, odds, weights[:, -1])
        return weights

    def objective(self, flat: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        classes = self.targets.shape[1]
        unit, penalty = self.unit[rows // classes], self.penalty[rows // classes][:, None]
        weights, targets = flat * unit, self.targets[:, rows % classes]
        logits = self.inputs @ weights.T
        value = (torch.nn.functional.softplus(logits) - targets * logits).mean(0)
        residual = (logits.sigmoid() - targets).T
        shrunk = torch.cat([weights[:, :-1], torch.zeros_like(weights[:, -1:])], 1) * penalty
        gradient = (residual @ self.inputs / len(self.inputs) + shrunk) * unit
        return value + 0.5 * (shrunk * weights).sum(1), gradient


_History = list[tuple[Tensor, Tensor, Tensor]]


def _minimise(problem: _Problem, start: Tensor, rows: Tensor, tolerance: float, iterations: int) -> Tensor:
    """L-BFGS on independent rows of `start`, each with its own step length; rows that have converged drop out.

    Args:
        rows: those of `start` to move.
    """
    result, point = start.clone(), start[rows]
    value, gradient = problem.objective(point, rows)
    history: _History = []
    for _ in range(iterations):
        active = gradient.abs().amax(1) > tolerance
        if not bool(active.any()):
            break
        if int(active.sum()) <= _COMPRESS * len(rows):
            result[rows] = point
            rows, point, value, gradient = rows[active], point[active], value[active], gradient[active]
            history = [(step[active], change[active], bend[active]) for step, change, bend in history]
            active = active[active]
        direction = -_two_loop(gradient, history)
        slope = (direction * gradient).sum(1)
        uphill = slope >= 0
        direction = torch.where(uphill[:, None], -gradient, direction)
        slope = torch.where(uphill, -(gradient**2).sum(1), slope)
        first = 1.0 / gradient.norm(dim=1).clamp_min(1.0) if not history else torch.ones_like(slope)
        length = torch.where(active, first, 0.0)
        point_new, value_new, gradient_new = _search(
            partial(problem.objective, rows=rows), point, value, direction, slope, length
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
    result[rows] = point
    return result


def _two_loop(gradient: Tensor, history: _History) -> Tensor:
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


def _search(
    objective: Callable[[Tensor], tuple[Tensor, Tensor]],
    point: Tensor,
    value: Tensor,
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
