"""The transfer matrix: pre-trained on one corpus, evaluated on another, a panel an entry."""

import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.report import words
from bench.report.canvas import Figure, saved, style
from bench.report.summary import Summary, names
from bench.report.table import SIMULATED
from bench.report.transfer import FROZEN, moved
from bench.run.suite import Suite

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST = 16
"""Panels that a figure holds."""

_ACROSS = 4
_CELL, _TITLE = (0.8, 0.48), (2.5, 0.5)  # inches: width and height of a cell, and of a panel's title
_ROOM = (2.2, 0.8)  # inches around all panels
_LETTERS = 13  # of a panel's title, an inch
_COLOURS = "cividis"  # sequential, made for colour-blind readers


@dataclass(frozen=True)
class Panel:
    """Scores of one entry: a row a corpus of pre-training, a column an evaluated setting, NaN where there is none."""

    title: str
    values: np.ndarray


def transfer_matrices(summaries: Sequence[Summary], suite: Suite) -> list[Figure]:
    """A figure for every encoder and lead set with transfer between corpora; none where there is no transfer.

    Cells are means over seeds at the headline label fraction; embeddings that are read out come first.
    """
    groups: dict[tuple[str, ...], list[Summary]] = {}
    for summary in summaries:
        groups.setdefault((summary.setting.encoder, words.leads_of(summary.setting)), []).append(summary)
    groups = {axes: own for axes, own in groups.items() if any(summary.sources for summary in own)}
    figures = []
    for axes, own in groups.items():
        differ = [axis for place, axis in enumerate(axes) if len({other[place] for other in groups}) > 1]
        name = re.sub(r"[^\w.-]+", "-", "_".join(["transfer", *differ])).strip("-")
        figures += _matrices(name, ", ".join(differ), own, suite)
    return figures


def _matrices(name: str, what: str, summaries: list[Summary], suite: Suite) -> list[Figure]:
    from matplotlib.figure import Figure as Canvas

    evaluated = [summary.setting.corpus for summary in summaries]
    rows = list(dict.fromkeys([*evaluated, *(source for s in summaries for source in s.sources)]))
    found = [panel for panel in panels_of(summaries, suite, rows) if np.isfinite(panel.values).any()]
    shown = found[:MOST]
    if not shown:
        return []
    values = np.concatenate([panel.values.ravel() for panel in shown])
    limits = float(np.nanmin(values)), float(np.nanmax(values))
    across, down = min(len(shown), _ACROSS), -(-len(shown) // _ACROSS)
    panel_width = max(_CELL[0] * len(summaries), _TITLE[0])
    width = across * panel_width + _ROOM[0]
    height = down * (_CELL[1] * len(rows) + _TITLE[1]) + _ROOM[1]
    with style():
        canvas = Canvas(figsize=(width, height), layout="constrained")
        axes = list(canvas.subplots(down, across, squeeze=False, sharex=True, sharey=True).flat)
        for ax in axes[len(shown) :]:
            ax.set_axis_off()
        for panel, ax in zip(shown, axes, strict=False):
            _draw(ax, panel, rows, summaries, limits)
            title = textwrap.fill(panel.title, int(_LETTERS * panel_width))
            ax.set_title(title, fontsize=8.5, loc="left")
        if any(summary.setting.simulated for summary in summaries):
            canvas.suptitle(SIMULATED.removesuffix("."), fontsize=10)
        canvas.supxlabel("evaluated on", fontsize=9)
        canvas.supylabel("pre-trained on", fontsize=9)
        canvas.colorbar(axes[0].collections[0], ax=axes, label=f"macro {words.SCORE}", shrink=0.8, pad=0.01)
        svg, png = saved(canvas)
    return [Figure(name, _caption(what, summaries, len(found) - len(shown)), svg, png)]


def panels_of(summaries: Sequence[Summary], suite: Suite, rows: Sequence[str]) -> list[Panel]:
    """A panel a label, embeddings that are read out before classifiers; rows as given, a column a summary."""
    blocks: dict[str, dict[str, None]] = {FROZEN: {}}
    titles: dict[str, str] = {}
    for summary in summaries:
        titles = words.titles(summary.entries) | titles
        for block, labels in moved(summary, suite):
            blocks.setdefault(block, {}).update(dict.fromkeys(labels))
    return [
        Panel(titles[label], np.array([[_value(s, label, row) for s in summaries] for row in rows]))
        for labels in blocks.values()
        for label in labels
    ]


def _value(summary: Summary, label: str, corpus: str) -> float:
    """The headline score of an entry that was pre-trained on a corpus."""
    entry = summary.entry(label, "" if corpus == summary.setting.corpus else corpus)
    score = summary.score(entry) if entry else None
    return 100 * score.seeds.mean if score else float("nan")


def _draw(
    ax: "Axes", panel: Panel, rows: Sequence[str], summaries: Sequence[Summary], limits: tuple[float, float]
) -> None:
    import seaborn

    columns = [name.replace(", ", "\n", 1) for name in names(summaries)]
    style_: dict[str, Any] = {"vmin": limits[0], "vmax": limits[1], "cmap": _COLOURS, "cbar": False}
    ax.set_facecolor("0.92")
    labels = {"xticklabels": columns, "yticklabels": list(rows)}
    seaborn.heatmap(panel.values, linewidths=0.8, ax=ax, **labels, **style_)
    colours = ax.collections[0].to_rgba(panel.values)
    for (row, column), value in np.ndenumerate(panel.values):
        if np.isfinite(value):
            colour = ink(colours[row, column])
            ax.text(column + 0.5, row + 0.5, f"{value:.1f}", ha="center", va="center", color=colour)
    for row, corpus in enumerate(rows):
        for column, summary in enumerate(summaries):
            if corpus == summary.setting.corpus:
                ax.add_patch(_frame(column, row))
    ax.tick_params(axis="x", rotation=0, labelsize=7.5, length=0)
    ax.tick_params(axis="y", rotation=0, labelsize=7.5, length=0)


def ink(colour: Iterable[float]) -> str:
    """Black or white, whichever has more contrast on a colour (WCAG 2.2, relative luminance).

    Args:
        colour: red, green, blue in [0, 1], sRGB; more is not read.
    """
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in islice(colour, 3)]
    luminance = float(np.dot(linear, (0.2126, 0.7152, 0.0722)))
    return "black" if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else "white"


def _frame(column: int, row: int) -> Any:
    """Around a cell that was pre-trained where it is evaluated."""
    from matplotlib.patches import Rectangle

    return Rectangle((column + 0.03, row + 0.03), 0.94, 0.94, fill=False, edgecolor="#D55E00", linewidth=1.8)


def _more(left_out: int) -> str:
    be = "is" if left_out == 1 else "are"
    return f" {words.counted(left_out, 'more row')} {be} in the tables." if left_out else ""


def _caption(what: str, summaries: Sequence[Summary], left_out: int) -> str:
    corpora = "; ".join(f"{summary.setting.title}, {summary.setting.task}" for summary in summaries)
    fractions = " or ".join(words.percent(f) for f in sorted({summary.headline for summary in summaries}))
    simulated = any(summary.setting.simulated for summary in summaries)
    text = (
        f"Transfer{f' ({what})' if what else ''}: macro one-vs-rest {words.SCORE} on the column's test part at"
        f" {fractions} of its labels, by the corpus of the pre-training, mean over seeds; framed: pre-trained where it"
        " is evaluated; grey: no result. Embeddings that are read out come first, then classifiers that start from it."
        f"{_more(left_out)} Scale {summaries[0].setting.scale}."
        f" {corpora}."
    )
    return words.title(text, simulated)
