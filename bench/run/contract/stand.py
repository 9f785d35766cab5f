"""The test stand of the contract check: builds one strategy on the made-up corpus exactly as the harness does."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.data.corpus import PreparedCorpus
from bench.data.leads import lead_set
from bench.nn.encoder import Encoder
from bench.nn.encoders.resnet1d import ResNet1d18
from bench.run.contract.corpus import RECORDS, RHYTHM, write_check_corpus
from bench.train.budget import Budget, InputSpec
from bench.train.build import Recipe, Rows, Setting, attribute_grid, build, make_info, prepare_fit
from bench.train.fit import Fit, Seeds
from bench.train.inputs import Signals, load_signals, record_fields, training_set
from bench.train.strategy import Batch, Field, Fields, Info, Loss, Step, Strategy, Views

CPU = torch.device("cpu")
LEADS = "all-12"
WINDOW = 300
ENCODER = {"width": 4, "dim": 16}
STEPS = 6
BATCHES = (64, 3, 2)

_TRAIN, _REST = np.split(np.arange(RECORDS), [80])
ROWS = Rows(train=_TRAIN, labelled=_TRAIN[_TRAIN % 5 < 4], val=_REST, val_subset=_REST, test=_REST)
"""Sixty-four of eighty training records are labelled."""


class Broken(Exception):
    """A promise that is not kept; the message says how, in one line."""


def need(condition: bool, reason: str) -> None:
    """Raise Broken unless the condition holds."""
    if not condition:
        raise Broken(reason)


class Start(Strategy):
    """What a strategy with parents starts from: an encoder and a linear `classifier`, fresh from their seeds."""

    name = "start"
    title = "Start"

    def __init__(
        self, encoder: Encoder, params: Any, info: Info, parents: Mapping[str, Strategy] | None = None
    ) -> None:
        super().__init__(encoder, params, info, parents)
        self.classifier = nn.Linear(encoder.dim, max(1, len(info.classes)))


@dataclass(frozen=True)
class Recorder(Fields):
    """Fields that remember which of their columns were read."""

    seen: set[str] = field(default_factory=set)

    def column(self, name: str) -> Tensor:
        """As `Fields.column`."""
        self.seen.add(name.partition(":")[0])
        return super().column(name)


class Stand:
    """One strategy, ready to be built as often as a check needs.

    Args:
        kind: the strategy.
        params: its parameters; the rest are defaults.
        folder: an empty one, for the corpus.

    Attributes:
        input: whole records, or one lead an instance where the strategy takes nothing else.
        refused: why it runs on neither; None when it runs.
    """

    def __init__(self, kind: type[Strategy], params: Mapping[str, Any], folder: Path) -> None:
        self.kind, self.params = kind, dict(params)
        self.corpus: PreparedCorpus = write_check_corpus(folder / "corpus")

        specs = [
            InputSpec(rate=self.corpus.rate, window=WINDOW, instance=unit) for unit in ("record", "lead")
        ]
        reasons = [kind.incompatible(self.info(spec), self.checked(self.params)) for spec in specs]
        self.refused = reasons[0] if all(reasons) else None
        self.input = specs[1] if reasons[0] and not reasons[1] else specs[0]
        self.signals: Signals = load_signals(self.corpus, self.input, lead_set(LEADS), CPU, ROWS.train)

    def checked(self, params: Mapping[str, Any]) -> Any:
        """Parameters as the strategy's own frozen object."""
        return self.kind.Params.model_validate(dict(params))

    def info(
        self,
        spec: InputSpec | None = None,
        task: str = RHYTHM,
        steps: int = STEPS,
        params: Mapping[str, Any] | None = None,
    ) -> Info:
        """What the strategy is told of the training set, with some of its parameters replaced."""
        chosen = self.checked({**self.params, **(params or {})})
        needs, grid = self.kind.needs_with(chosen), attribute_grid(self.corpus, task, ROWS.train)
        return make_info(
            self.corpus,
            spec or self.input,
            LEADS,
            ROWS,
            self.kind,
            chosen,
            task if Field.LABELS in needs else None,
            steps,
            grid.counts if self.kind.grouping else None,
            grid.edges if self.kind.grouping and Field.DEMOGRAPHICS in needs else None,
        )

    def recipe(self, params: Mapping[str, Any], task: str = RHYTHM, steps: int = STEPS) -> Recipe:
        """What builds the strategy with some of its parameters replaced."""
        info = self.info(task=task, steps=steps, params=params)
        return Recipe(self.kind, ResNet1d18, ENCODER, {**self.params, **params}, info)

    def parents(self, seed: int, task: str = RHYTHM) -> dict[str, Strategy]:
        """One `Start` for each role."""
        recipe = Recipe(Start, ResNet1d18, ENCODER, {}, self.info(task=task))
        return {role: build(recipe, CPU, Seeds(seed, 0)) for role in self.kind.parents}

    def build(self, seed: int = 0) -> Strategy:
        """The strategy untrained, as it is rebuilt around stored weights."""
        return build(self.recipe({}), CPU, Seeds(seed, 0), self.parents(seed))

    def fit(
        self, params: Mapping[str, Any] | None = None, task: str = RHYTHM, steps: int = STEPS, index: int = 0
    ) -> Fit:
        """A fit ready to run, as every cell of a suite gets it."""
        budget = Budget(steps=steps if self.kind.trained else 0, batch=24, lr=3e-3, schedule="constant")
        recipe = self.recipe(params or {}, task, steps)
        labelled = Field.LABELS in self.kind.needs_with(self.checked(recipe.params))
        seeds = Seeds(0, index)
        setting = Setting(self.input, LEADS, ROWS, task if labelled else None, budget, seeds)
        frozen = (
            np.random.default_rng(0)
            .normal(size=(len(self.corpus.records), ENCODER["dim"]))
            .astype(np.float32)
        )
        embeddings = dict.fromkeys(self.kind.embeddings_of, frozen)
        parents = self.parents(index, task)
        return prepare_fit(recipe, self.corpus, setting, CPU, parents, self.signals, embeddings)

    @cached_property
    def trained(self) -> Strategy:
        """The strategy after a whole fit, in evaluation mode."""
        return self.fit().run().strategy.eval()

    def judged(self, count: int) -> Batch:
        """Scaled instances with the fields that are there at test time."""
        needs = self.kind.needs_at_test_with(self.checked(self.params))
        fields = record_fields(self.corpus, ROWS.test, needs, self.kind.name)
        instances = training_set(self.signals, ROWS.test, fields, self.input)
        return instances.scaled(instances.draw(torch.arange(count), None))


def draw(fit: Fit, count: int) -> Batch:
    """The first instances of a fit, in millivolts; the first three have nothing in common."""
    return fit.data.draw(torch.arange(count), None)


def views_of(fit: Fit, batch: Batch, seed: int = 0) -> Views:
    """The strategy's views of a batch."""
    return fit.strategy.views(batch, torch.Generator().manual_seed(seed))


def loss_of(fit: Fit, count: int, phase: int = 0) -> Loss:
    """The strategy's loss of a fit's first instances, after the hooks that come before a step."""
    step = Step(0, max(1, fit.budget.steps), 0, phase)
    for begun in range(phase + 1):
        fit.strategy.on_phase_start(begun, fit.training())
    fit.strategy.on_epoch_start(0, fit.training())
    fit.strategy.on_step_start(step)
    return fit.loss(fit.data, draw(fit, count), step, torch.Generator().manual_seed(0))


def recording(fit: Fit) -> set[str]:
    """Let a fit's fields remember what is read of them from now on."""
    fields = fit.data.fields
    recorder = Recorder(fields.columns, fields.allowed, fields.owner)
    fit.data = replace(fit.data, fields=recorder)
    return recorder.seen
