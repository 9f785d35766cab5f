"""Optimisers and learning-rate schedule, from a phase's groups and the budget."""

import math
from typing import Any

import torch
from torch import nn

from bench.train.budget import Budget
from bench.train.strategy import Phase


def phase_bounds(phases: list[Phase], steps: int) -> list[int]:
    """First step after each phase; the last bound is `steps`.

    Raises:
        ValueError: the shares do not add up to 1.
    """
    total = sum(phase.share for phase in phases)
    if abs(total - 1.0) > 1e-6:
        raise ValueError(f"the shares of a strategy's phases add up to {total:g}; they must add up to 1")
    bounds, reached = [], 0.0
    for phase in phases:
        reached += phase.share
        bounds.append(round(reached * steps))
    return bounds


def build_optimiser(phase: Phase, budget: Budget) -> torch.optim.Optimizer:
    """The budget's optimiser over a phase's groups; `base_lr` of each group is what the schedule scales."""
    groups: list[dict[str, Any]] = []
    for group in phase.groups:
        lr = budget.lr * group.get("lr_scale", 1.0)
        decay = budget.weight_decay if group.get("decay", True) else 0.0
        groups.append({"params": list(group["params"]), "lr": lr, "base_lr": lr, "weight_decay": decay})
    if budget.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=budget.lr, fused=True)
    kind = torch.optim.AdamW if budget.optimiser == "adamw" else torch.optim.Adam
    return kind(groups, lr=budget.lr, fused=True)


def freeze_others(model: nn.Module, phase: Phase) -> None:
    """Let gradients reach the phase's parameters alone."""
    active = {id(p) for group in phase.groups for p in group["params"]}
    for parameter in model.parameters():
        parameter.requires_grad_(id(parameter) in active)


def rate_factor(index: int, start: int, end: int, budget: Budget) -> float:
    """The schedule's factor at step `index` of a phase that spans [start, end)."""
    done, length = index - start, max(1, end - start)
    if done < budget.warmup:
        return (done + 1) / budget.warmup
    if budget.schedule == "constant":
        return 1.0
    if budget.schedule == "step":
        return float(0.1 ** sum(done >= round(share * length) for share in budget.milestones))
    share = (done - budget.warmup) / max(1, length - budget.warmup)
    return 0.5 * (1.0 + math.cos(math.pi * share))


def set_rate(optimiser: torch.optim.Optimizer, factor: float) -> None:
    """Scale every group's base rate."""
    for group in optimiser.param_groups:
        group["lr"] = group["base_lr"] * factor
