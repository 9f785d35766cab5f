"""Ranks as pictures: who stands where on each setting, and how surely; over many settings: `critical_difference`.

Points and intervals are scores; what can be told apart is in the ranks, tie groups and brackets beside them, because
the intervals of rows that share their test patients may overlap and the rows still differ.
"""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.report import words
from bench.report.canvas import Figure, saved, style
from bench.report.critical_difference import critical_difference_figure, without_critical_difference
from bench.report.curves import Look, dress, is_control, looks
from bench.report.metric import metric_of
from bench.report.stats import can_separate
from bench.report.summary import Entry, Score, Summary, names
from bench.report.tables import Standing, standings
from bench.run.suite import Suite

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "MOST",
    "RankRow",
    "brackets",
    "critical_difference_figure",
    "rank_rows",
    "ranks_figure",
    "without_critical_difference",
]

MOST = 60, 25
"""Strategies, and controls, that a panel holds; more are in the tables."""

_ONE_ABOVE_THE_OTHER = 2  # panels; more stand in two columns
_WIDTH, _AROUND, _PAD = 7.2, 1.05, 0.12  # inches: of a panel, of its title and axis, around it
_ROW, _WRAPPED = 0.215, 0.3  # inches: of a row, and of one where names have two lines
_LETTERS = 46  # of a name's line
_GAP = 0.9  # rows between strategies and controls
_RANK, _TIE, _BRACKET, _STEP = 34, 88, 114, 7  # points right of a panel: middles of the columns beside it
_BEYOND = 1.2  # of the strategies' range: how far beyond it the axis follows controls
_EDGE = 0.04  # of the axis: its margins
_QUIET, _GUIDE = "0.4", "0.88"


@dataclass(frozen=True)
class RankRow:
    """A line of a rank plot; `standing` None: not ranked."""

    entry: Entry
    score: Score
    standing: Standing | None


def ranks_figure(summaries: Sequence[Summary], suite: Suite) -> Figure | None:
    """Scores with their intervals, the best on top, a panel a setting; None where nowhere two strategies are ranked.

    At each setting's largest label fraction. Beside a strategy its rank and rank interval, tie group, and brackets that
    join those of a group; controls stand below, without. Settings evaluated with a part of the leads are left out.

    Args:
        summaries: of all settings, with one metric.
    """
    own = [summary for summary in summaries if summary.setting.lead_set == summary.setting.eval_lead_set]
    pairs = [(summary, rank_rows(summary)) for summary in own]
    panels = [(summary, rows) for summary, rows in pairs if any(row.standing for row in rows)]
    if not panels:
        return None
    shown = [summary for summary, _ in panels]
    known, metric = looks(summaries, suite), metric_of(shown, {summary.headline for summary in shown})
    with style():
        canvas, axes = _grid([_height(rows) for _, rows in panels])
        for (summary, rows), name, ax in zip(panels, names(shown), axes, strict=False):
            _draw(ax, rows, known)
            across = f"{metric.axis}, {words.percent(summary.headline)} of the labels"
            dress(ax, name, summary.setting.simulated, across, "")
            ax.grid(axis="y", visible=False)
            ax.grid(axis="x", color="0.9", linewidth=0.7)
        _align(axes[: len(panels)])
        svg, png = saved(canvas)
    left_out = sum(len(_ranked(s)) + len(_controls(s)) - len(rows) for s, rows in panels)
    few = " The resamples are too few to separate so many strategies." * any(map(_too_few, shown))
    more = f"{few}{metric.explained}{_left_out(left_out)}"
    return Figure(f"ranks{metric.ending}", _ranks_caption(shown, metric.title, more), svg, png)


def rank_rows(summary: Summary) -> list[RankRow]:
    """Strategies by their mean score, the best first, then controls; no more than `MOST`."""
    at = standings(summary, summary.headline)
    entries = [*_ranked(summary)[: MOST[0]], *_controls(summary)[: MOST[1]]]
    scored = [(entry, summary.score(entry)) for entry in entries]
    return [RankRow(entry, score, at.get(entry.key)) for entry, score in scored if score]


def _ranked(summary: Summary) -> list[Entry]:
    return summary.ranked("strategy")


def _controls(summary: Summary) -> list[Entry]:
    return summary.ranked("baseline")


def _too_few(summary: Summary) -> bool:
    """Has the bootstrap too few resamples to tell any of so many strategies apart?"""
    entries = _ranked(summary)
    score = summary.score(entries[0])
    return score is not None and not can_separate(len(entries), score.draws.shape[1])


def brackets(groups: Sequence[int]) -> list[tuple[int, tuple[int, ...]]]:
    """Column and rows of a bracket for each tie group of two or more; brackets of one column do not touch.

    Args:
        groups: of each row, from the top.
    """
    ends: list[int] = []  # last row of the last bracket in each column
    found = []
    for group in dict.fromkeys(groups):
        rows = tuple(row for row, other in enumerate(groups) if other == group)
        if len(rows) < 2:
            continue
        column = next((c for c, end in enumerate(ends) if end < rows[0]), len(ends))
        ends[column:] = [rows[-1], *ends[column + 1 :]]
        found.append((column, rows))
    return found


def _height(rows: Sequence[RankRow]) -> float:
    """Inches of a panel's rows."""
    wraps = any(len(row.entry.name) > _LETTERS for row in rows)
    return (len(rows) + _GAP) * (_WRAPPED if wraps else _ROW)


def _grid(heights: Sequence[float]) -> tuple[Any, "list[Axes]"]:
    """An empty figure and the axes of its panels, one above the other or, of many, in two columns."""
    from matplotlib.figure import Figure as Canvas
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    across = 1 if len(heights) <= _ONE_ABOVE_THE_OTHER else 2
    lines = [max(heights[start : start + across]) + _AROUND for start in range(0, len(heights), across)]
    pads = ConstrainedLayoutEngine(w_pad=_PAD, h_pad=_PAD / 2)
    canvas = Canvas(figsize=(_WIDTH * across, sum(lines)), layout=pads)
    ratios = {"height_ratios": lines}
    axes = list(canvas.subplots(len(lines), across, squeeze=False, gridspec_kw=ratios).flat)
    for ax in axes[len(heights) :]:
        ax.set_axis_off()
    return canvas, axes


def _align(axes: "Sequence[Axes]") -> None:
    """Rows of panels side by side at one height."""
    across = 1 if len(axes) <= _ONE_ABOVE_THE_OTHER else 2
    for start in range(0, len(axes), across):
        line = axes[start : start + across]
        low = max(ax.get_ylim()[0] for ax in line)
        for ax in line:
            ax.set_ylim(low, -1.0)


def limits(rows: Sequence[RankRow]) -> tuple[float, float]:
    """Ends of the axis of scores times 100: around the strategies; controls far from all of them lie outside."""
    every = 100 * np.array([(row.score.seeds.mean, *row.score.interval) for row in rows])
    ranked = every[[row.standing is not None for row in rows]]
    low, high = float(np.nanmin(ranked)), float(np.nanmax(ranked))
    beyond = _BEYOND * (high - low)
    left, right = max(low - beyond, float(np.nanmin(every))), min(high + beyond, float(np.nanmax(every)))
    edge = max(_EDGE * (right - left), _EDGE)
    return left - edge, right + edge


def _draw(ax: "Axes", rows: Sequence[RankRow], known: Mapping[str, Look]) -> None:
    """Points, intervals and the columns beside them; row k stands at k, controls a little lower."""
    ranked = sum(row.standing is not None for row in rows)
    heights = [place + _GAP * (place >= ranked) for place in range(len(rows))]
    ax.set_xlim(*limits(rows))
    for row, y in zip(rows, heights, strict=True):
        _point(ax, row, y, known[row.entry.name])
    ax.set_yticks(heights, [textwrap.fill(row.entry.name, _LETTERS) for row in rows])
    ax.tick_params(axis="y", length=0, labelsize=8.5)
    for row, tick in zip(rows, ax.get_yticklabels(), strict=True):
        tick.set_color("black" if row.standing else _QUIET)
    if ranked < len(rows):
        ax.axhline(ranked - 0.5 + _GAP / 2, color="0.7", linewidth=0.8)
    ax.set_ylim(heights[-1] + 0.7, -1.0)
    _beside(ax, rows[:ranked])


def _point(ax: "Axes", row: RankRow, y: float, look: Look) -> None:
    """One row; what starts from a strategy has its colour and, standing among the controls, a hollow marker."""
    score, (low, high), (left, right) = 100 * row.score.seeds.mean, row.score.interval, ax.get_xlim()
    ax.axhline(y, color=_GUIDE, linewidth=0.6, zorder=0.5)
    if not left <= score <= right:
        text, x, align = (
            (f"◂ {score:.1f}", 0.015, "left") if score < left else (f"{score:.1f} ▸", 0.985, "right")
        )
        ax.text(
            x, y, text, transform=ax.get_yaxis_transform(), ha=align, va="center", fontsize=8, color=_QUIET
        )
        return
    ax.plot([100 * low, 100 * high], [y, y], color=look.color, linewidth=1.6, solid_capstyle="butt")
    hollow = row.standing is None and not is_control(look)
    face, edge = ("white", look.color) if hollow else (look.color, "white")
    kind: dict[str, Any] = {"marker": look.marker, "markersize": 6.5 if hollow else 7.5}
    kind |= {"markerfacecolor": face, "markeredgecolor": edge, "markeredgewidth": 1.2 if hollow else 0.5}
    ax.plot([score], [y], **kind)


def _beside(ax: "Axes", rows: Sequence[RankRow]) -> None:
    """Ranks with their intervals, letters of the tie groups, and their brackets, right of the panel."""
    known = [row.standing for row in rows if row.standing]
    for text, right in (("rank (95\u00a0%)", _RANK), ("tie group", _TIE)):
        _tell(ax, -1.0, right, text, color=_QUIET)
    for y, standing in enumerate(known):
        _tell(ax, y, _RANK, f"{standing.rank} ({standing.low}–{standing.high})")
        _tell(ax, y, _TIE, _letter(standing.group))
    for column, members in brackets([standing.group for standing in known]):
        line: dict[str, Any] = {"transform": _right_of(ax, _BRACKET + _STEP * column), "color": "0.2"}
        ends = [members[0], members[-1]]
        ax.plot([1, 1], ends, linewidth=1.2, clip_on=False, **line)
        ax.plot(
            [1] * len(members), members, linestyle="none", marker="o", markersize=3, clip_on=False, **line
        )


def _tell(ax: "Axes", y: float, right: float, text: str, **more: Any) -> None:
    """A text centred on a row, so many points right of the panel."""
    ax.text(1, y, text, transform=_right_of(ax, right), ha="center", va="center", fontsize=8, **more)


def _right_of(ax: "Axes", points: float) -> Any:
    """Places (1, row) moved right of the panel, on paper."""
    from matplotlib.transforms import ScaledTranslation

    return ax.get_yaxis_transform() + ScaledTranslation(points / 72, 0, ax.figure.dpi_scale_trans)


def _letter(group: int) -> str:
    """Of a tie group, as on the board."""
    return chr(ord("a") + group) if group < 26 else str(group + 1)


def _left_out(count: int) -> str:
    be = "is" if count == 1 else "are"
    return f" {words.counted(count, 'more row')} {be} in the tables." if count else ""


def _ranks_caption(shown: Sequence[Summary], score: str, more: str) -> str:
    corpora = "; ".join(f"{summary.setting.title}, {summary.setting.task}" for summary in shown)
    seeds = {s.seeds.n for summary in shown for e in summary.entries if (s := summary.score(e))}
    counts = f"{min(seeds)}" if len(seeds) == 1 else f"{min(seeds)} to {max(seeds)}"
    fractions = " or ".join(words.percent(f) for f in sorted({summary.headline for summary in shown}))
    text = (
        f"Ranks: {score} on the test part at {fractions} of the labels, mean over seeds ({counts}), the best on top;"
        " bars: 95\u00a0% interval over test patients, with these seeds. Beside it the rank of the mean with its"
        " 95\u00a0% interval, and the tie group; a bracket joins the rows of a group, which the paired bootstrap on"
        " the same patients, Holm-corrected, cannot tell from the group's best. Below the line: controls, and what"
        " starts from a strategy (hollow), which are not ranked; an arrow: beyond the axis."
        f"{more} Each panel has a scale of its own. Scale {shown[0].setting.scale}. {corpora}."
    )
    return words.title(text, any(summary.setting.simulated for summary in shown))
