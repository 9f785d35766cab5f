"""Maps of frozen test embeddings: the best strategy, training from scratch, and no training, side by side.

Principal components, though umap-learn may be there: two of them hold most of what these embeddings vary by (their
share stands on the axes), they invent no gaps, take milliseconds where UMAP compiles for 10 s, and need no extra.
Suites whose strategies have prototypes of their own have maps of these instead (`group_figures`).
"""

import base64
import hashlib
import importlib.metadata
import io
import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.evaluate.predict import Judged
from bench.report import words
from bench.report.canvas import COLOURS, UNKNOWN, Figure, NoFigure, mark, saved, style
from bench.report.summary import Entry, Summary
from bench.report.tables import Key
from bench.report.transfer import scratch_of
from bench.run.cell import EmbedCell, FitCell, PredictCell
from bench.run.plan import Plan
from bench.run.registry import code_hash
from bench.run.store import Store
from bench.run.suite import Suite

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Places = Mapping[tuple[str, str, str], str]
"""Key of an embed cell by fit, corpus and lead set."""

FEWEST, MOST = 5, 600
"""Points without which there is nothing to map; points drawn of more, the same in every panel."""

_OTHER = "0.25"
_PANEL, _LEGEND = (3.3, 3.7), 1.5  # inches
_LETTERS = 42  # of a panel's title


@dataclass(frozen=True)
class Panel:
    """Test embeddings of one fit on their first two principal components.

    Attributes:
        points: (N, 2).
        shares: of the variance, on each axis.
        codes: (N,) class of each point, of `classes`; -1: none, or several.
        records: that the points are of; fewer than points where windows are embedded.
    """

    name: str
    score: float
    points: np.ndarray
    shares: tuple[float, float]
    codes: np.ndarray
    classes: tuple[str, ...]
    records: int


@dataclass(frozen=True)
class Run:
    """One fit with embeddings.

    Attributes:
        score, embedded: keys of its predict and embed cells.
        role: what it is shown as.
    """

    entry: Entry
    seed: int
    score: str
    embedded: str
    role: str = ""


def embedding_maps(
    plan: Plan, store: Store, suite: Suite, summaries: Sequence[Summary]
) -> tuple[list[Figure], list[str]]:
    """A figure `embedding_map_<corpus>` for each corpus, of its first setting with embeddings of a strategy.

    Three panels at most: the best strategy of those with embeddings, the classifier trained from scratch with its
    encoder, and its encoder as it was drawn. A figure drawn once is kept as a view of its first cell.

    Args:
        summaries: of the suite, all real or all simulated.

    Returns:
        The figures, and a line for each corpus whose embeddings are planned and not here.
    """
    if any(row.suite == suite.name and row.grouping == "own" for row in plan.rows):
        return [], []
    places = {
        (job.cell.parents["fit"], job.cell.corpus, job.cell.lead_set): key
        for key, job in plan.jobs.items()
        if isinstance(job.cell, EmbedCell)
    }
    figures, notes = [], []
    for corpus in dict.fromkeys(summary.setting.corpus for summary in summaries):
        own = [summary for summary in summaries if summary.setting.corpus == corpus]
        try:
            figures += _first(plan, store, suite, own, places)
        except NoFigure as reason:
            notes.append(f"{own[0].setting.title}: no map of embeddings: {reason}.")
    return figures, notes


def _first(
    plan: Plan, store: Store, suite: Suite, summaries: Sequence[Summary], places: Places
) -> list[Figure]:
    """The map of the first setting that has one; none where no setting's strategies are to be embedded.

    Raises:
        NoFigure: embeddings were planned, and none is in the store.
    """
    planned = False
    for summary in summaries:
        asked = {entry.key: run for entry in summary.entries if (run := _run(plan, summary, entry, places))}
        planned = planned or any(entry.key in asked for entry in summary.ranked("strategy"))
        here = {key: run for key, run in asked.items() if store.has(run.embedded)}
        if shown := _shown(plan, summary, suite, here):
            return [_kept(plan, store, summary, shown)]
    if planned:
        raise NoFigure("the store holds the scores of its strategies, and none of their embeddings")
    return []


def _shown(plan: Plan, summary: Summary, suite: Suite, runs: Mapping[Key, Run]) -> list[Run]:
    """The best strategy that has embeddings, and its controls that have some; nothing without such a strategy.

    Args:
        runs: those with embeddings in the store, by entry.
    """
    ranked = summary.ranked("strategy")
    best = next((entry for entry in ranked if entry.key in runs), None)
    if best is None:
        return []
    roles = {
        "the best strategy" if best is ranked[0] else "the best strategy with embeddings": best,
        "trained from scratch on labels": scratch_of(summary, suite, best),
        "an encoder as it was drawn": _untrained(plan, summary, suite, best),
    }
    found = {role: runs[entry.key] for role, entry in roles.items() if entry and entry.key in runs}
    return [replace(run, role=role) for role, run in found.items()]


def _run(plan: Plan, summary: Summary, entry: Entry, places: Places) -> Run | None:
    """An entry's first seed at the headline fraction, where its embeddings were asked for."""
    rows = summary.rows[summary.rows["key"].isin(entry.keys)]
    if rows.empty:
        return None
    row = rows.sort_values("seed_index", kind="stable").iloc[0]
    cell = _scores(plan, row["key"])
    embedded = cell.parents.get("embed") or places.get((row["fit_key"], cell.corpus, cell.lead_set))
    return Run(entry, int(row["seed_index"]), row["key"], embedded) if embedded else None


def _untrained(plan: Plan, summary: Summary, suite: Suite, best: Entry) -> Entry | None:
    """The control that embeds with an encoder as it was drawn, that of `best` if there are several."""
    found = [
        entry for entry in summary.entries if entry.origin == "baseline" and _as_drawn(plan, summary, entry)
    ]
    encoder = words.encoder_of(suite, best.label)
    alike = [entry for entry in found if words.encoder_of(suite, entry.label) == encoder]
    return next(iter(alike or found), None)


def _as_drawn(plan: Plan, summary: Summary, entry: Entry) -> bool:
    fits = [plan.jobs[key].cell for key in entry.fit_keys]
    uses = summary.rows.loc[summary.rows["label"] == entry.label, "uses_encoder"].all()
    return bool(fits and uses) and all(isinstance(fit, FitCell) and fit.budget.steps == 0 for fit in fits)


def panel(plan: Plan, store: Store, summary: Summary, run: Run) -> Panel:
    """The test part of one fit's embeddings; a unit with values that are not finite has no point.

    Raises:
        NoFigure: there are too few units.
    """
    cell, rows = _scores(plan, run.score), plan.jobs[run.score].rows
    corpus = next(corpus for corpus in plan.corpora.values() if corpus.fingerprint == cell.corpus)
    judged = Judged(corpus, cell.task, rows, plan.jobs[run.embedded].cell.input, cell.lead_set)
    units, targets = judged.units().record, judged.targets()
    values = np.load(io.BytesIO(store.read(run.embedded, "embeddings.npy")))
    chosen = np.flatnonzero(np.isin(units, rows.test) & np.isfinite(values).all(axis=1))
    if len(chosen) < FEWEST:
        raise NoFigure(f"{words.counted(len(chosen), 'test embedding')} to map, fewer than {FEWEST}")
    points, shares = principal(values[chosen])
    codes = np.where(targets.sum(axis=1) == 1, targets.argmax(axis=1), -1)
    score = summary.score(run.entry)
    return Panel(
        run.entry.name,
        score.seeds.mean if score else float("nan"),
        points,
        shares,
        codes[units[chosen]],
        corpus.tasks[cell.task].classes,
        len(np.unique(units[chosen])),
    )


def principal(values: np.ndarray) -> tuple[np.ndarray, tuple[float, float]]:
    """Standardised coordinates on their first two principal components.

    The largest loading of an axis is positive, so equal embeddings give equal maps.

    Args:
        values: (N, D), D of at least 1.

    Returns:
        (N, 2); and the share of the variance on each axis, 0 where there is none.
    """
    centred = values - values.mean(axis=0, dtype=np.float64)
    sd = centred.std(axis=0)
    scaled = np.divide(centred, sd, out=np.zeros_like(centred), where=sd > 0)
    left, sizes, axes = np.linalg.svd(np.pad(scaled, ((0, 0), (0, 1))), full_matrices=False)
    signs = np.sign([axis[np.abs(axis).argmax()] for axis in axes[:2]])
    total = max(float((sizes**2).sum()), np.finfo(float).tiny)
    return left[:, :2] * sizes[:2] * signs, (float(sizes[0] ** 2 / total), float(sizes[1] ** 2 / total))


def _scores(plan: Plan, key: str) -> PredictCell:
    cell = plan.jobs[key].cell
    if not isinstance(cell, PredictCell):
        raise TypeError(f"cell {key[:12]} holds no scores")
    return cell


def _kept(plan: Plan, store: Store, summary: Summary, runs: Sequence[Run]) -> Figure:
    """A figure from the store, or drawn and kept there."""
    view = f"embedding-map-{_drawn_by(summary, runs)}"
    kept = store.view(runs[0].embedded, view)
    if kept is None:
        figure = _figure(plan, store, summary, runs)
        forms = {form: base64.b64encode(getattr(figure, form)).decode() for form in ("svg", "png")}
        kept = {"name": figure.name, "caption": figure.caption, **forms}
        store.keep_view(runs[0].embedded, view, kept)
    svg, png = (base64.b64decode(kept[form]) for form in ("svg", "png"))
    return Figure(kept["name"], kept["caption"], svg, png)


def _drawn_by(summary: Summary, runs: Sequence[Run]) -> str:
    """A hash of all that a figure depends on: the cells, our code, the libraries that draw, the words in it."""
    code = code_hash("bench.report.embedding_map")
    libraries = [importlib.metadata.version(name) for name in ("matplotlib", "seaborn", "numpy")]
    means = [score.seeds.mean if (score := summary.score(run.entry)) else None for run in runs]
    told = [[run.entry.name, run.score, run.embedded] for run in runs]
    setting = summary.setting
    words_ = [setting.corpus, setting.title, setting.task, setting.scale, summary.headline]
    return hashlib.sha256(json.dumps([code, libraries, means, told, words_]).encode()).hexdigest()[:16]


def _figure(plan: Plan, store: Store, summary: Summary, runs: Sequence[Run]) -> Figure:
    from matplotlib.figure import Figure as Canvas

    shown = [panel(plan, store, summary, run) for run in runs]
    colours = coloured(shown[0].codes)
    with style():
        canvas = Canvas(figsize=(len(shown) * _PANEL[0] + _LEGEND, _PANEL[1]), layout="constrained")
        axes = canvas.subplots(1, len(shown), squeeze=False)[0]
        for one, ax in zip(shown, axes, strict=True):
            _draw(ax, one, colours, summary.setting.simulated)
        look: dict[str, Any] = {"loc": "outside right upper", "frameon": False, "alignment": "left"}
        canvas.legend(handles=_legend(shown, colours), title="class", **look)
        svg, png = saved(canvas)
    name = f"embedding_map_{summary.setting.corpus}"
    return Figure(name, _caption(summary, runs, shown), svg, png)


def coloured(codes: np.ndarray) -> dict[int, str]:
    """A safe colour for each class, or for the most frequent ones where there are more classes than safe colours."""
    found, counts = np.unique(codes[codes >= 0], return_counts=True)
    frequent = found[np.argsort(-counts, kind="stable")][: len(COLOURS)]
    return {int(code): COLOURS[place] for place, code in enumerate(sorted(frequent))}


def _draw(ax: "Axes", one: Panel, colours: dict[int, str], simulated: bool) -> None:
    """The points in an order that hides no class behind another."""
    import seaborn

    order = np.random.default_rng(0).permutation(len(one.points))[:MOST]
    shades = [colours.get(int(code), UNKNOWN if code < 0 else _OTHER) for code in one.codes[order]]
    ax.scatter(one.points[order, 0], one.points[order, 1], s=11, c=shades, alpha=0.7, linewidths=0)
    seaborn.despine(ax=ax)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_aspect("equal", adjustable="datalim")
    ax.set_xlabel(f"component 1 ({100 * one.shares[0]:.0f} %)")
    ax.set_ylabel(f"component 2 ({100 * one.shares[1]:.0f} %)")
    title = textwrap.fill(one.name, _LETTERS)
    ax.set_title(f"{title}\n{words.SCORE} {words.points(one.score)}{mark(simulated)}", fontsize=9, loc="left")


def _legend(shown: Sequence[Panel], colours: dict[int, str]) -> list[Any]:
    from matplotlib.lines import Line2D

    codes = np.unique(np.concatenate([one.codes for one in shown]))
    signs = [(shown[0].classes[code], colour) for code, colour in colours.items()]
    signs += [("another", _OTHER)] * bool(set(codes[codes >= 0]) - set(colours))
    signs += [("none, or several", UNKNOWN)] * bool((codes < 0).any())
    look: dict[str, Any] = {"linestyle": "", "marker": "o", "markersize": 6}
    return [Line2D([], [], color=colour, label=name, **look) for name, colour in signs]


def _caption(summary: Summary, runs: Sequence[Run], shown: Sequence[Panel]) -> str:
    setting, first = summary.setting, shown[0]
    points = words.counted(len(first.points), "test record")
    if len(first.points) > first.records:
        points = (
            f"{words.counted(len(first.points), 'test window')} of {words.counted(first.records, 'record')}"
        )
    drawn = f", {MOST:,} of them drawn" if len(first.points) > MOST else ""
    seeds = sorted({run.seed for run in runs})
    panels = "; ".join(f"{run.role}: {run.entry.name}" for run in runs)
    text = (
        f"Embeddings of the test part ({points}{drawn}) on their first two principal components, coordinates"
        " standardised, each panel with axes of its own (in brackets: share of the variance)."
        f" From left to right: {panels}. Components are directions of largest"
        " spread: classes that overlap here may be apart in others. Scores are macro averages over the test part, mean"
        f" over seeds at {words.percent(summary.headline)} labels; embeddings of seed index"
        f" {', '.join(map(str, seeds))}. {setting.title}, {setting.task}; leads {words.leads_of(setting)}; scale"
        f" {setting.scale}."
    )
    return words.title(text, setting.simulated)
