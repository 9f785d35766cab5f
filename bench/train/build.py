"""From a description to a trained strategy: building, fitting and rebuilding, the same in every process."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from bench.data.corpus import CorpusError, PreparedCorpus
from bench.data.leads import LEAD_SETS, lead_set
from bench.data.measured import databases
from bench.nn.encoder import Encoder
from bench.train.budget import Budget, InputSpec
from bench.train.fit import Fit, Seeds, count_parameters, random_state
from bench.train.inputs import (
    Signals,
    TrainingSet,
    load_signals,
    long_enough,
    record_fields,
    training_frames,
    training_set,
)
from bench.train.prototypes import AttributeGrid
from bench.train.strategy import Draw, Field, Fields, Info, Strategy
from bench.train.units import evaluation_instances


@dataclass(frozen=True)
class Rows:
    """Record rows of one cell.

    Attributes:
        train: what a label-free fit trains on; labelled: the label subset of it; val, test: whole parts;
            val_subset: the validation records of the same label fraction.
        frames: positions of the labelled units among the corpus's evaluation instances, where labels are drawn by
            frame and not by record; None: every unit of the labelled records.
        scaled_by: records whose statistics 'zscore-global' uses, where `train` holds others too; None: `train`.
    """

    train: np.ndarray
    labelled: np.ndarray
    val: np.ndarray
    val_subset: np.ndarray
    test: np.ndarray
    frames: np.ndarray | None = None
    scaled_by: np.ndarray | None = None

    @property
    def statistics(self) -> np.ndarray:
        """Records whose statistics 'zscore-global' uses."""
        return self.train if self.scaled_by is None else self.scaled_by


@dataclass(frozen=True)
class Recipe:
    """Everything that builds a strategy; plain enough to be stored as JSON beside its weights."""

    strategy: type[Strategy]
    encoder: type[Encoder]
    encoder_arguments: dict[str, Any]
    params: dict[str, Any]
    info: Info


@dataclass(frozen=True)
class Fitted:
    """A finished fit: the strategy in evaluation mode, what it cost, and its health record."""

    strategy: Strategy
    facts: dict[str, Any]
    health: pd.DataFrame


def make_info(
    corpus: PreparedCorpus,
    spec: InputSpec,
    lead_set_name: str,
    rows: Rows,
    kind: type[Strategy],
    params: Any,
    task: str | None,
    steps: int,
    counts: tuple[int, int, int] | None = None,
    edges: tuple[float, ...] | None = None,
) -> Info:
    """What a strategy may know before it is built.

    Args:
        rows: of which it sees the labelled ones, or all of part train.
        params: of the strategy, as its own frozen object.
    """
    leads, draw = len(lead_set(lead_set_name)), kind.draws(params)
    samples = window_of(corpus, spec)
    alone = spec.instance == "lead"
    each = leads if alone and not draw.all_leads else 1
    known = corpus.tasks[task] if task else None
    return Info(
        leads=1 if alone else leads,
        samples=samples,
        rate=spec.rate,
        instances=_count(corpus, rows, kind, draw, samples, each),
        drawn=(1 if alone and not draw.all_leads else leads, samples * draw.windows),
        classes=known.classes if known else (),
        kind=known.kind if known else "single",
        tasks={name: len(t.classes) for name, t in corpus.tasks.items()} if task else {},
        steps=steps,
        counts=counts or (0, 0, 0),
        edges=edges or (),
        databases=databases(corpus) if Field.DATABASE in kind.needs_with(params) else (),
        lead_names=LEAD_SETS[lead_set_name],
    )


def window_of(corpus: PreparedCorpus, spec: InputSpec) -> int:
    """Samples of an evaluation window.

    Raises:
        CorpusError: whole records are asked for and lengths differ.
    """
    lengths = corpus.records["length"].to_numpy()
    if spec.window is None and lengths.min() < lengths.max():
        raise CorpusError(
            f"records of {corpus.name} are {lengths.min()} to {lengths.max()} samples long; set input.window"
        )
    return spec.window or int(lengths[0])


def _count(
    corpus: PreparedCorpus, rows: Rows, kind: type[Strategy], draw: Draw, window: int, each: int
) -> int:
    """Instances that a fit draws from, `each` of a record."""
    if rows.frames is not None and kind.labelled_only:
        return len(rows.frames)
    which = rows.labelled if kind.labelled_only else rows.train
    return len(long_enough(corpus.records["length"].to_numpy(), which, draw, window)) * each


def attribute_grid(corpus: PreparedCorpus, task: str, rows: np.ndarray) -> AttributeGrid:
    """Class x sex x age quartile; the quartiles are those of the known ages of some rows (the training part).

    Fewer than four bins where the ages coincide or are unknown.
    """
    ages = corpus.records["age"].to_numpy(float)[rows]
    known = ages[np.isfinite(ages)]
    edges = np.unique(np.percentile(known, (25, 50, 75))) if len(known) else np.empty(0)
    inner = tuple(float(edge) for edge in edges if edge < known.max())
    return AttributeGrid(classes=len(corpus.tasks[task].classes), edges=inner)


def build(
    recipe: Recipe, device: torch.device, seeds: Seeds, parents: Mapping[str, Strategy] | None = None
) -> Strategy:
    """Build encoder and strategy from seeds that do not depend on the strategy."""
    params = recipe.strategy.Params.model_validate(recipe.params)
    leads = recipe.strategy.encoder_leads(recipe.info.leads, params)
    with random_state(torch.device("cpu"), seeds.seed("init")):
        encoder = recipe.encoder(leads=leads, **recipe.encoder_arguments)
    with random_state(torch.device("cpu"), seeds.seed("heads")):
        strategy = recipe.strategy(encoder, params, recipe.info, parents or {})
    return strategy.to(device)


@dataclass(frozen=True)
class Setting:
    """What a fit trains on, and with what.

    Attributes:
        task: whose labels the strategy sees, within `rows.labelled`; None for label-free fits.
    """

    input: InputSpec
    lead_set: str
    rows: Rows
    task: str | None
    budget: Budget
    seeds: Seeds
    precision: str = "float32"


def prepare_fit(
    recipe: Recipe,
    corpus: PreparedCorpus,
    setting: Setting,
    device: torch.device,
    parents: Mapping[str, Strategy] | None = None,
    signals: Signals | None = None,
    embeddings: Mapping[str, np.ndarray] | None = None,
) -> Fit:
    """A fit ready to run.

    Args:
        signals: the corpus already on the device, else it is put there.
        embeddings: (R, D) of every record of the corpus, by role of `Strategy.embeddings_of`.
    """
    kind, rows, spec, budget = recipe.strategy, setting.rows, setting.input, setting.budget
    params = kind.Params.model_validate(recipe.params)
    needs, draw = kind.needs_with(params), kind.draws(params)
    signals = signals or load_signals(corpus, spec, lead_set(setting.lead_set), device, rows.statistics)
    lengths = corpus.records["length"].to_numpy()

    def fields(which: np.ndarray, known: np.ndarray) -> Fields:
        declared = record_fields(corpus, which, needs, kind.name, setting.task, known, device)
        frozen = {
            f"embedding:{role}": torch.from_numpy(values[which]).to(device)
            for role, values in (embeddings or {}).items()
        }
        return replace(declared, columns={**declared.columns, **frozen})

    def instances(which: np.ndarray, known: np.ndarray) -> TrainingSet:
        which = long_enough(lengths, which, draw, signals.window)
        return training_set(signals, which, fields(which, known), spec, draw)

    if rows.frames is not None and kind.labelled_only:
        units = evaluation_instances(lengths, signals.window, signals.flat.shape[1], spec).at(rows.frames)
        train = training_frames(signals, units, fields(units.record, units.record))
    else:
        train = instances(rows.labelled if kind.labelled_only else rows.train, rows.labelled)
    held_out = None
    if budget.selection == "best_val_loss":
        validation = rows.val_subset if Field.LABELS in needs else rows.val
        held_out = instances(validation, validation)
    strategy = build(recipe, device, setting.seeds, parents)
    return Fit(strategy, train, budget, setting.seeds, held_out, setting.precision)


def finish(fit: Fit) -> Fitted:
    """Run a fit to its end and describe it."""
    fit.run()
    facts = {
        "info": fit.strategy.info.model_dump(mode="json"),
        "steps": fit.done,
        "selected_step": fit.selection.step if fit.selection.step >= 0 else fit.done,
        "instances": len(fit.data),
        "batch": fit.batch,
        "epochs": fit.epoch + 1,
        "views": fit.tally.views,
        "lead_samples": fit.tally.lead_samples,
        "flops": fit.tally.flops,
        "parameters": count_parameters(fit.strategy),
    }
    return Fitted(fit.strategy.eval(), facts, pd.DataFrame(fit.health))
