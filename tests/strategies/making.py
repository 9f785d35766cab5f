"""Small batches with every field, and strategies on encoders whose output one can compute in one's head."""

from typing import Any

import torch
from torch import Tensor

from bench.nn.encoder import Encoder
from bench.train.strategy import Batch, Field, Fields, Info, Step, Strategy

STEP = Step(0, 10, 0)


class FirstSample(Encoder):
    """Embeds a signal as the first sample of each lead, times one weight, so that hand values are exact."""

    name = "first-sample"
    min_samples = 1

    def __init__(self, leads: int) -> None:
        super().__init__()
        self.leads = self.dim = leads
        self.weight = torch.nn.Parameter(torch.ones(()))

    def forward(self, signal: Tensor) -> Tensor:
        return signal[:, :, 0] * self.weight

    def groups(self) -> list[list[torch.nn.Parameter]]:
        return [[self.weight]]


def info(
    leads: int = 12,
    samples: int = 40,
    instances: int = 80,
    drawn: tuple[int, int] | None = None,
    **more: Any,
) -> Info:
    """Training instances are what is evaluated unless `drawn` says otherwise."""
    drawn = drawn or (leads, samples)
    return Info(leads=leads, samples=samples, rate=100, instances=instances, drawn=drawn, **more)


def make(kind: type[Strategy], known: Info | None = None, **params: Any) -> Strategy:
    known = known or info()
    checked = kind.Params(**params)
    return kind(FirstSample(kind.encoder_leads(known.leads, checked)), checked, known)


def signals(count: int, leads: int = 12, samples: int = 40, seed: int = 0) -> Tensor:
    return torch.randn(count, leads, samples, generator=torch.Generator().manual_seed(seed))


def batch(signal: Tensor, record: Any = None, **columns: Any) -> Batch:
    """A batch with some columns of fields, all of them allowed."""
    fields = Fields({k: torch.as_tensor(v) for k, v in columns.items()}, frozenset(Field), "test")
    row = torch.arange(len(signal))
    return Batch(signal, row, row if record is None else torch.as_tensor(record), fields)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pairs(mask: Tensor) -> set[tuple[int, int]]:
    """Off-diagonal pairs i < j of a symmetric mask."""
    assert mask.dtype == torch.bool
    assert torch.equal(mask, mask.T)
    return {(int(i), int(j)) for i, j in mask.nonzero() if i < j}
