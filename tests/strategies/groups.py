"""Four groups of made-up signals, and a small fit of a strategy on them, as the harness would run it."""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from bench.nn.encoder import Encoder
from bench.nn.encoders.resnet1d import ResNet1d18
from bench.train.budget import Budget
from bench.train.build import Recipe, build
from bench.train.fields import Fields
from bench.train.fit import Fit, Seeds
from bench.train.inputs import Signals, TrainingSet
from bench.train.strategy import Info, Strategy

GROUPS, LEADS, SAMPLES, RATE, EACH = 4, 4, 200, 100, 32
CPU = torch.device("cpu")


class Levels(Encoder):
    """Embeds a signal as the mean of each lead, times one weight: what it tells apart needs no learning."""

    name = "levels"
    min_samples = 1

    def __init__(self, leads: int) -> None:
        super().__init__()
        self.leads = self.dim = leads
        self.weight = torch.nn.Parameter(torch.ones(()))

    def forward(self, signal: Tensor) -> Tensor:
        return signal.mean(dim=2) * self.weight

    def groups(self) -> list[list[torch.nn.Parameter]]:
        return [[self.weight]]


@lru_cache
def four_levels() -> tuple[Tensor, Tensor]:
    """(R, C, T) millivolts, flat but for noise, one lead high in each group; and the group of each, (R,)."""
    group = torch.arange(GROUPS).repeat(EACH)
    noise = 0.05 * torch.randn(len(group), LEADS, SAMPLES, generator=torch.Generator().manual_seed(0))
    return 3 * torch.eye(GROUPS)[group][:, :, None] + noise, group


@lru_cache
def four_shapes() -> tuple[Tensor, Tensor]:
    """(R, C, T) millivolts of slow or fast beats, narrow or wide, at any phase; and the group, (R,)."""
    generator = torch.Generator().manual_seed(0)
    group = torch.arange(GROUPS).repeat(EACH)
    rate = torch.where(group % 2 == 0, 1.0, 3.0) * (1 + 0.01 * torch.randn(len(group), generator=generator))
    width = torch.where(group < 2, 0.02, 0.08)
    phase = torch.rand(len(group), generator=generator)
    beat = (torch.arange(SAMPLES) / RATE * rate[:, None] + phase[:, None]) % 1
    wave = torch.exp(-0.5 * ((beat - 0.5) / rate[:, None] / width[:, None]) ** 2)
    noise = 0.02 * torch.randn(len(group), LEADS, SAMPLES, generator=generator)
    return wave[:, None] * torch.tensor([1.0, 0.7, -0.5, 0.3])[:, None] + noise, group


def instances(signal: Tensor) -> TrainingSet:
    """Whole records of millivolts, not scaled, without fields."""
    count = torch.arange(len(signal))
    flat = (signal.transpose(1, 2) * 1e3).round().to(torch.int16).reshape(-1, LEADS)
    shift = torch.zeros(len(signal), LEADS)
    held = Signals(
        flat,
        count * SAMPLES,
        torch.full_like(count, SAMPLES),
        shift,
        shift + 1,
        SAMPLES,
        SAMPLES,
        CPU,
    )
    return TrainingSet(held, count, None, Fields({}, frozenset(), "test"), False)


def small_fit(
    kind: type[Strategy],
    signal: Tensor,
    steps: int,
    params: dict[str, Any] | None = None,
    encoder: type[Encoder] = ResNet1d18,
    lr: float = 1e-2,
) -> Fit:
    """A fit on such signals, half of them a batch; the ResNet is narrow."""
    known = Info(
        leads=LEADS,
        samples=SAMPLES,
        rate=RATE,
        instances=len(signal),
        drawn=(LEADS, SAMPLES),
        steps=steps,
        counts=(GROUPS, 2, 4),
    )
    arguments = {"width": 4, "dim": 16} if encoder is ResNet1d18 else {}
    recipe = Recipe(kind, encoder, arguments, params or {}, known)
    strategy = build(recipe, CPU, Seeds(0, 0))
    budget = Budget(steps=steps, batch=len(signal) // 2, lr=lr, schedule="constant")
    return Fit(strategy, instances(signal), budget, Seeds(0, 0))
