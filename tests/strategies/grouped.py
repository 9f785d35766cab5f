"""Records of four kinds, and fits of strategies that look for such groups."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from bench.data.corpus import ATTRIBUTES, CorpusIndex, PreparedCorpus, RawRecord, Task
from bench.data.writer import write_prepared
from bench.nn.encoder import Encoder
from bench.nn.encoders.resnet1d import ResNet1d18
from bench.train.budget import Budget, InputSpec
from bench.train.build import Recipe, Rows, Setting, make_info, prepare_fit
from bench.train.fit import Fit, Seeds
from bench.train.strategy import Strategy

KINDS = ("slow", "wide", "fast", "flutter")


class LeadPower(Encoder):
    """A linear map of how strong each lead is: the four kinds lie apart before any training."""

    name = "lead-power"
    min_samples = 1
    dim = 12

    def __init__(self, leads: int) -> None:
        super().__init__()
        self.leads = leads
        self.linear = torch.nn.Linear(leads, self.dim)

    def forward(self, signal: Tensor) -> Tensor:
        power: Tensor = self.linear(signal.square().mean(2).sqrt())
        return power

    def groups(self) -> list[list[torch.nn.Parameter]]:
        return [list(self.linear.parameters())]


ENCODERS: dict[str, Any] = {"resnet": (ResNet1d18, {"width": 4, "dim": 8}), "power": (LeadPower, {})}


def grouped_corpus(folder: Path, records: int = 80) -> PreparedCorpus:
    """Record i is of kind i modulo 4, by rate, shape and leads; 50 Hz, four seconds, one patient a record."""
    rng = np.random.default_rng(0)
    time = np.arange(200) / 50
    rates, powers = (0.8, 1.0, 2.4, 6.0), (15, 1, 7, 1)
    gains = np.repeat(0.2 + 1.3 * np.eye(4), 3, axis=1)
    signals = []
    for i in range(records):
        kind = i % 4
        wave = np.sin(2 * np.pi * rates[kind] * rng.normal(1, 0.02) * time + rng.uniform(0, 6))
        seen = gains[kind] * rng.normal(1, 0.05, 12)
        noise = 0.02 * rng.standard_normal((len(time), 12))
        signals.append(RawRecord(((wave ** powers[kind])[:, None] * seen + noise).astype(np.float32), 50.0))
    ids = [f"r{i:03d}" for i in range(records)]
    table = pd.DataFrame({"record": ids, "patient": ids, "age": 50.0, "sex": "male", "source": "grouped"})
    table = table.assign(
        fold=0, part="train", path="", height=170.0, weight=70.0, **dict.fromkeys(ATTRIBUTES, 1.0)
    )
    labels = [(record, "kind", KINDS[i % 4]) for i, record in enumerate(ids)]
    index = CorpusIndex(
        "grouped-sim",
        "grouped-sim (made up)",
        table,
        pd.DataFrame(labels, columns=["record", "task", "label"]),
        {"kind": Task("kind", "single", KINDS)},
        simulated=True,
    )
    return write_prepared(index, signals, folder, 50)


def kinds(count: int) -> Tensor:
    """(count,) the kind of every record."""
    return torch.arange(count) % 4


def grouping_fit(
    corpus: PreparedCorpus,
    strategy: type[Strategy],
    steps: int = 12,
    index: int = 0,
    encoder: str = "resnet",
    scaling: Any = "zscore-lead",
    **params: Any,
) -> Fit:
    """A fit on all records, told of four classes, two sexes and four age bins."""
    rows = np.arange(len(corpus.records))
    none = rows[:0]
    spec = InputSpec(rate=50, window=100, scaling=scaling)
    budget = Budget(steps=steps, batch=16, lr=3e-3)
    every, chosen = Rows(rows, none, none, none, none), strategy.Params.model_validate(params)
    info = make_info(corpus, spec, "all-12", every, strategy, chosen, None, steps, (4, 2, 4))
    kind, arguments = ENCODERS[encoder]
    recipe = Recipe(strategy, kind, arguments, params, info)
    setting = Setting(spec, "all-12", every, None, budget, Seeds(0, index))
    return prepare_fit(recipe, corpus, setting, torch.device("cpu"))
