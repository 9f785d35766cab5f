"""Four groups of made-up ECGs that differ in what a cluster should find, and a small fit of a strategy on them."""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from bench.nn.encoders.resnet1d import ResNet1d18
from bench.train.budget import Budget
from bench.train.build import Recipe, build
from bench.train.fields import Fields
from bench.train.fit import Fit, Seeds
from bench.train.inputs import Signals, TrainingSet
from bench.train.strategy import Info, Strategy

GROUPS, LEADS, SAMPLES, RATE = 4, 3, 200, 100


@lru_cache
def four_groups(each: int = 48) -> tuple[Tensor, Tensor]:
    """(R, C, T) millivolts of slow or fast beats, narrow or wide, at any phase; and the group of each, (R,)."""
    generator = torch.Generator().manual_seed(0)
    group = torch.arange(GROUPS).repeat(each)
    rate = torch.where(group % 2 == 0, 1.0, 3.0) * (1 + 0.03 * torch.randn(len(group), generator=generator))
    width = torch.where(group < 2, 0.02, 0.08)
    phase = torch.rand(len(group), generator=generator)
    beat = (torch.arange(SAMPLES) / RATE * rate[:, None] + phase[:, None]) % 1
    wave = torch.exp(-0.5 * ((beat - 0.5) / rate[:, None] / width[:, None]) ** 2)
    noise = 0.02 * torch.randn(len(group), LEADS, SAMPLES, generator=generator)
    return wave[:, None] * torch.tensor([1.0, 0.7, -0.5])[:, None] + noise, group


def training_instances() -> TrainingSet:
    """The four groups as a fit takes them, every lead scaled by its own mean and deviation."""
    signal, _ = four_groups()
    count = torch.arange(len(signal))
    device = torch.device("cpu")
    micro = (signal.transpose(1, 2) * 1e3).round().to(torch.int16).reshape(-1, LEADS)
    length = torch.full_like(count, SAMPLES)
    shift, scale = signal.mean(2), signal.std(2)
    held = Signals(micro, count * SAMPLES, length, shift, scale, SAMPLES, False, device)
    return TrainingSet(held, count, None, Fields({}, frozenset(), "test"), False)


def small_fit(
    kind: type[Strategy], steps: int, params: dict[str, Any], lr: float = 3e-3, seed: int = 0
) -> Fit:
    """A fit of 192 instances, 96 a batch, on a narrow ResNet."""
    known = Info(
        leads=LEADS,
        samples=SAMPLES,
        rate=RATE,
        instances=len(four_groups()[0]),
        steps=steps,
        counts=(GROUPS, 2, 4),
    )
    recipe = Recipe(kind, ResNet1d18, {"width": 4, "dim": 16}, params, known)
    seeds = Seeds(seed, 0)
    strategy = build(recipe, torch.device("cpu"), seeds)
    budget = Budget(steps=steps, batch=96, lr=lr, schedule="constant")
    return Fit(strategy, training_instances(), budget, seeds)
