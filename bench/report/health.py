"""Signs that a fit went wrong, read from what it wrote down of itself, in plain sentences; and a table of them.

A flag says where to look, not that a score is wrong. Thresholds are far from what trained encoders show and are
constants below, each with its reason. A fit does not tell the chance level of its loss: none is held against one.
"""

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.report import words
from bench.report.details import group_rows
from bench.report.group_summary import AnySummary, GroupEntry, GroupSummary
from bench.report.summary import Entry
from bench.report.table import DASH, Cell, Column, Footnotes, Table, TableRow
from bench.report.tables import board_rows, make_table, named
from bench.run.store import Store, StoreError
from bench.run.suite import Suite

LEAST_SPREAD = 1e-3
"""Spread of normalised embeddings below which they are all one; encoders with a large common offset have 0.006 and
are read out well."""

LEFT_SPREAD = 0.1
"""Share of its first spread that a fit must keep. An encoder that is trained to give all ECGs one embedding has 0.08
left after 400 steps; fits that do not collapse keep at least 0.3."""

LEFT_RANK = 0.1
"""Share of the directions with room in a batch that embeddings must vary along. Untrained encoders fill 0.7 to 1,
trained ones mostly 0.3 and more; below 0.1 are those whose loss asks for a few groups and nothing else."""

SEEN = 256
"""Embeddings of a batch that a fit measures at most."""

FEWEST_POINTS = 6
"""Points of a loss curve without which its thirds say nothing."""

FEWEST_LOOKS = 3
"""Looks at the validation loss without which the first being best may well be chance."""

NOISE = 0.1
"""Standard deviation of a loss between batches, as a share of its mean, up to which its trend is judged. A loss that
depends on how many positives a batch happens to hold varies by more, and eleven points of it show no trend."""

LARGEST_SHARE = 0.9
"""Share of the instances in one group from which the others are as good as unused; working groupings reach 0.7."""


@dataclass(frozen=True)
class Flag:
    """One thing to look at: a few words, and a sentence with the numbers."""

    name: str
    text: str


_COLUMNS = ("loss", "effective_rank", "spread")
_HEADS = ("loss, first", "last", "effective rank, first", "last", "spread, first", "last")

Curve = Sequence[Mapping[str, Any]]
"""Rows of a fit's health, one a measured step; a column may be absent, None or NaN where it was not measured."""


def flags(fit: Mapping[str, Any]) -> tuple[str, ...]:
    """What to look at in a fit, a sentence each; nothing of a fit without steps.

    Args:
        fit: content of `fit.json`, and its curve as `health`. Where something is not there, it is not judged.
    """
    return tuple(flag.text for flag in found(fit))


def found(fit: Mapping[str, Any]) -> tuple[Flag, ...]:
    """`flags`, with their names."""
    judged = (_collapse(fit), _idle_loss(fit), _first_checkpoint(fit), _one_group(fit))
    return tuple(flag for flag in judged if flag)


def _collapse(fit: Mapping[str, Any]) -> Flag | None:
    """Embeddings that are all one, or that vary along few directions."""
    curve = _up_to_selected(fit)
    spreads, ranks = _values(curve, "spread"), _values(curve, "effective_rank")
    if not spreads or not ranks:
        return None
    if spreads[-1] < max(LEAST_SPREAD, LEFT_SPREAD * spreads[0]):
        shown = f"spread {spreads[-1]:.2g}, at first {spreads[0]:.2g}"
        return Flag("collapsed", f"collapsed: all embeddings are nearly one ({shown})")
    room = _room(fit, ranks)
    if ranks[-1] >= min(LEFT_RANK * room, _asked_for(fit)):
        return None
    text = (
        f"dimensional collapse: embeddings of a batch vary along {ranks[-1]:.1f} directions (effective rank), where"
        f" there is room for {room:.0f}"
    )
    return Flag("dimensional collapse", text)


def _room(fit: Mapping[str, Any], ranks: Sequence[float]) -> float:
    """Directions that the embeddings of a batch can vary along: by its size, the embedding's, and as once seen."""
    dim = fit["cell"]["encoder"]["arguments"].get("dim", math.inf)
    return max(min(fit.get("batch", 1), SEEN, dim + 1) - 1, *ranks)


def _asked_for(fit: Mapping[str, Any]) -> float:
    """Half the directions that tell the classes of a fit with labels apart: that they are all is no failure.

    K classes need K - 1 (Papyan et al., PNAS 117, 2020).
    """
    labelled = fit["cell"].get("task") is not None
    return (len(fit.get("info", {}).get("classes", ())) - 1) / 2 if labelled else math.inf


def _idle_loss(fit: Mapping[str, Any]) -> Flag | None:
    """A loss that ends no lower than it began, where its points can be compared with each other."""
    losses = _values(fit.get("health", ()), "loss")
    third = len(losses) // 3
    if len(losses) < FEWEST_POINTS or _goal_changes(fit):
        return None
    later = np.array(losses[third:])
    noise = np.diff(later).std() / math.sqrt(2)
    began, ended = float(np.mean(losses[:third])), float(np.mean(losses[-third:]))
    if ended < max(losses[0], began) or noise > NOISE * abs(later.mean()):
        return None
    text = f"the loss did not fall: {losses[0]:.3g} at the first step, {ended:.3g} over the last third"
    return Flag("loss did not fall", text)


def _goal_changes(fit: Mapping[str, Any]) -> bool:
    """Whether a loss is not of one task throughout: labels of its own, a queue that fills, phases with other terms."""
    curve = fit.get("health", ())
    parts = {name for row in curve for name in row}
    partly = any(0 < len(_values(curve, name)) < len(curve) for name in parts)
    queue = fit["cell"].get("strategy", {}).get("params", {}).get("queue", 0)
    return partly or "label_change" in parts or bool(queue)


def _first_checkpoint(fit: Mapping[str, Any]) -> Flag | None:
    """Training that made validation worse from the first look on."""
    budget, done = fit["cell"].get("budget", {}), fit.get("steps", 0)
    first = budget.get("check_every", 0)
    if budget.get("selection") != "best_val_loss" or fit.get("selected_step") != first:
        return None
    if done < FEWEST_LOOKS * first:
        return None
    text = f"validation loss was least at the first look: the checkpoint is of step {first} of {done}"
    return Flag("first checkpoint", text)


def _one_group(fit: Mapping[str, Any]) -> Flag | None:
    """Groups of which one holds nearly all."""
    shares = _values(_up_to_selected(fit), "largest_share")
    if not shares or shares[-1] < LARGEST_SHARE:
        return None
    return Flag("one group", f"{100 * shares[-1]:.0f} % of the instances fall into one group")


def _up_to_selected(fit: Mapping[str, Any]) -> Curve:
    """The curve up to the checkpoint that was chosen."""
    curve = fit.get("health", ())
    chosen = fit.get("selected_step", math.inf)
    return [row for row in curve if row["step"] <= chosen]


def _values(curve: Curve, name: str) -> list[float]:
    """What is known of a column."""
    values = [row.get(name) for row in curve]
    return [float(value) for value in values if value is not None and value == value]


def read_fit(store: Store, key: str) -> dict[str, Any]:
    """`fit.json` of a fit that the store describes, with its curve as `health`, empty where there is none."""
    return {**store.read_json(key, "fit.json"), "health": _read_curve(store, key)}


def _read_curve(store: Store, key: str) -> list[dict[str, Any]]:
    try:
        content = store.read(key, "health.csv")
    except StoreError:
        return []
    if not content.strip():
        return []
    rows = pd.read_csv(io.BytesIO(content)).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]


def health_table(summary: AnySummary, suite: Suite, store: Store) -> Table | None:
    """First and last loss, effective rank and spread of each row's fits, with their flags; None where none trained."""
    fits = {entry.fit_keys: _trained(entry, store) for entry in summary.entries}
    if not any(fits.values()):
        return None
    notes = Footnotes()

    def row(block: str, entry: Entry | GroupEntry) -> TableRow:
        return _row(block, entry, fits[entry.fit_keys], notes)

    rows = group_rows(summary, row) if isinstance(summary, GroupSummary) else board_rows(summary, row)
    what = f"Health of the fits at {words.percent(summary.headline)} labels, mean over seeds, first and last step."
    more = (
        "Losses of different rows are of different tasks. Effective rank: exponential of the entropy of the singular"
        f" values of a training batch's embeddings ({SEEN} at most), centred: how many directions they vary along;"
        " spread: mean standard deviation of a coordinate of the normalised embeddings, times the square root of their"
        " number: 0 where all are one, 1 where they point everywhere. Flags say where to look, not that a score is"
        " wrong; the fit that a row starts from has a row of its own. A dash: nothing is trained, or it does not use"
        " one embedding a view."
    )
    columns = (Column("strategy", left=True), *map(Column, _HEADS), Column("flags", left=True, width=0.26))
    return make_table("health", what, summary, suite, columns, rows, notes, more)


def _trained(entry: Entry | GroupEntry, store: Store) -> list[dict[str, Any]]:
    """Fits of a row that have a curve, one a seed."""
    keys = (key for key in dict.fromkeys(entry.fit_keys) if store.describes(key))
    return [fit for key in keys if (fit := read_fit(store, key))["health"]]


def _row(
    block: str, entry: Entry | GroupEntry, fits: Sequence[Mapping[str, Any]], notes: Footnotes
) -> TableRow:
    data: dict[str, Any] = {**named(entry), "fits": len(fits)}
    for name in _COLUMNS:
        curves = [values for fit in fits if (values := _values(fit["health"], name))]
        data |= {f"first_{name}": _mean(values[0] for values in curves)}
        data |= {f"last_{name}": _mean(values[-1] for values in curves)}
    raised = [flag for fit in fits for flag in found(fit)]
    names = [flag.name for flag in raised]
    told = [f"{name} ({_share(names.count(name), len(fits))})" for name in dict.fromkeys(names)]
    data |= {"flags": " | ".join(dict.fromkeys(flag.text for flag in raised))}
    texts = (f"{entry.name}: {flag.text}" for flag in raised)
    cell = Cell("; ".join(told) or ("none" if fits else DASH), notes=notes(*texts))
    shown = (Cell(_short(data[f"{when}_{name}"])) for name in _COLUMNS for when in ("first", "last"))
    return TableRow(block, (Cell(entry.name), *shown, cell), data)


def _share(count: int, seeds: int) -> str:
    return f"{count} of {words.counted(seeds, 'seed')}"


def _mean(values: Iterable[float]) -> float:
    array = np.fromiter(values, float)
    return float(array.mean()) if len(array) else float("nan")


def _short(value: float) -> str:
    """Three digits that matter."""
    if value != value:
        return DASH
    if abs(value) < 1e-6:
        return "0"
    return (f"{value:,.0f}" if abs(value) >= 99.95 else f"{value:#.3g}").replace("-", "−")
