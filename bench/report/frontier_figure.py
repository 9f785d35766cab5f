"""Cost against quality as a picture: FLOPs of training across, score up, the frontier as steps.

Rows of nearly the same cost stand beside each other, on paper and not in the data, so that no interval hides another;
rows on the frontier keep their places. Numbers lead to the legend, where colours and markers are those of all figures.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.report import words
from bench.report.canvas import Figure, saved, style
from bench.report.curves import Look, chance_line, dress, is_control, looks, panels
from bench.report.frontier import ALIKE, COUNTED, Point, frontier
from bench.report.metric import metric_of
from bench.report.summary import Score, Summary, names
from bench.run.suite import Suite

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST = 40
"""Rows that have a number; of more, only controls and those on a frontier have one."""

_APART = 7.5  # points between two rows of one cost: as wide as a number
_FULL = 0.85  # of a panel's width, at most, for rows beside each other
_KEEPS = 1e4  # how much more a row on the frontier weighs than another when they stand aside
_MARGIN = 0.1  # of the range of costs, beyond the outermost rows
_FREE = 0.32  # of it, between nothing and the cheapest row
_LEAST, _ROOM = 0.3, 0.16  # decades of the axis; share of it between two ticks
_NEAR = 0.1  # of the way to the next row: no line leads so far
_HEADROOM = 0.06  # of the scores' range, for numbers
_A_COLUMN, _WIDER = 24, 2.3  # rows of a column of the legend; inches of a further one
_STEPS, _REST = "0.25", Look("0.7", ".", "")


@dataclass(frozen=True)
class Axis:
    """The axis of costs, in decades.

    Attributes:
        begins: where the scale does, within low and high; before it stands what costs nothing.
        nothing: its place; None where all rows cost something.
    """

    low: float
    high: float
    begins: float
    nothing: float | None

    def place(self, cost: float) -> float:
        """Where a cost stands."""
        return math.log10(cost) if cost > 0 or self.nothing is None else self.nothing


@dataclass(frozen=True)
class _Panel:
    """A setting and its rows, the cheapest first."""

    summary: Summary
    points: tuple[Point, ...]

    def score(self, point: Point) -> Score:
        """Of a row."""
        entry = self.summary.entry(*point.key)
        score = self.summary.score(entry) if entry else None
        if score is None:
            raise ValueError(f"row {point.key} has no score")
        return score


def frontier_figure(summaries: Sequence[Summary], suite: Suite) -> Figure | None:
    """Score against FLOPs, a panel a setting with two trained rows or more; None where there is none.

    Bars are 95 % intervals over test patients. What costs nothing stands at the left end, before the scale begins.

    Args:
        summaries: of all settings, with one metric; those evaluated with other leads than trained on are left out.
    """
    own = [one for one in summaries if one.setting.lead_set == one.setting.eval_lead_set]
    every = (_Panel(summary, frontier(summary)) for summary in own)
    shown = [panel for panel in every if sum(point.cost > 0 for point in panel.points) > 1]
    if not shown:
        return None
    own, known = [panel.summary for panel in shown], looks(summaries, suite)
    metric, numbers = metric_of(own, {summary.headline for summary in own}), _numbers(shown, known)
    with style(legend_handlelength=1.0):
        canvas, axes = panels(len(shown))
        scales = [axis_of([point.cost for point in panel.points]) for panel in shown]
        for panel, name, scale, ax in zip(shown, names(own), scales, axes, strict=False):
            dress(ax, name, panel.summary.setting.simulated, "FLOPs of training (log scale)", metric.axis)
            _scale(ax, scale)
        axes[0].set_ylim(_limits(shown))
        chance_line(axes, metric.idle)
        rest = any(point.name not in numbers for panel in shown for point in panel.points)
        _legend(canvas, known, numbers, rest)
        canvas.draw_without_rendering()  # from here on the panels have their widths
        for panel, scale, ax in zip(shown, scales, axes, strict=False):
            _draw(ax, panel, scale, known, numbers)
        svg, png = saved(canvas)
    return Figure(f"cost_frontier{metric.ending}", _caption(shown, metric.title, rest), svg, png)


def _numbers(shown: Sequence[_Panel], known: Mapping[str, Look]) -> dict[str, int]:
    """A number a row, the same in every panel, in the order of the looks."""
    points = [point for panel in shown for point in panel.points]
    drawn = {point.name for point in points}
    if len(drawn) > MOST:
        drawn = {point.name for point in points if point.on_frontier or is_control(known[point.name])}
    return {name: number for number, name in enumerate((name for name in known if name in drawn), 1)}


def axis_of(costs: Iterable[float]) -> Axis:
    """The axis for these costs, of which at least one is more than nothing."""
    every = list(costs)
    places = [math.log10(cost) for cost in every if cost > 0]
    middle, width = (min(places) + max(places)) / 2, max(max(places) - min(places), _LEAST)
    low, high = middle - width / 2, middle + width / 2
    if min(every) > 0:
        return Axis(low - _MARGIN * width, high + _MARGIN * width, low - _MARGIN * width, None)
    nothing = low - _FREE * width
    return Axis(nothing - _MARGIN * width, high + _MARGIN * width, (low + 3 * nothing) / 4, nothing)


def ticks_of(axis: Axis) -> list[float]:
    """Costs to be told below an axis: powers of ten, with what is between them where these are few."""
    decades, best = range(math.floor(axis.begins), math.ceil(axis.high)), list[float]()
    for factors in ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)):
        costs = [factor * 10**decade for decade in decades for factor in factors]
        best = max(best, _thinned(axis, costs), key=len)
        if len(best) > 2:
            break
    return best


def _thinned(axis: Axis, costs: Iterable[float]) -> list[float]:
    """Those on the scale that have room beside the one before, and beside nothing."""
    last, kept = -math.inf if axis.nothing is None else axis.nothing, list[float]()
    for cost in costs:
        place = math.log10(cost)
        if axis.begins < place < axis.high and place - last >= _ROOM * (axis.high - axis.low):
            kept.append(cost)
            last = place
    return kept


def side_by_side(points: Sequence[Point]) -> list[Point]:
    """The cheapest first, but of those of nearly one cost the frontier's in the middle, others about them by score."""
    groups: list[list[Point]] = []
    for point in points:
        if groups and point.cost <= groups[-1][0].cost * (1 + ALIKE):
            groups[-1].append(point)
        else:
            groups.append([point])
    found: list[Point] = []
    for group in groups:
        middle = [point for point in group if point.on_frontier]
        others = sorted((point for point in group if not point.on_frontier), key=lambda point: -point.score)
        found += [*others[1::2][::-1], *middle, *others[::2]]
    return found


def aside(
    places: Sequence[float], weights: Sequence[float], apart: float, within: tuple[float, float]
) -> np.ndarray:
    """(m,) places at least `apart` from each other, in the same order, as near to the given ones as can be.

    Args:
        places: (m,), about ascending.
        weights: (m,) of the squared distances that are least in sum (isotonic regression, by pooling neighbours).
        within: the least and the greatest place; wide enough for all.
    """
    steps = apart * np.arange(len(places))
    pools: list[tuple[float, float, int]] = []  # mean, weight, rows
    for wanted, weight in zip(np.asarray(places, dtype=float) - steps, weights, strict=True):
        mean, total, rows = float(wanted), float(weight), 1
        while pools and pools[-1][0] > mean:
            before, more, others = pools.pop()
            mean, total, rows = (mean * total + before * more) / (total + more), total + more, rows + others
        pools.append((mean, total, rows))
    found = np.repeat([mean for mean, _, _ in pools], [rows for _, _, rows in pools])
    return np.clip(found, within[0], within[1] - apart * (len(places) - 1)) + steps


def _scale(ax: "Axes", axis: Axis) -> None:
    """Ticks of the scale, and of nothing before it."""
    ticks = {math.log10(cost): words.size(cost) for cost in ticks_of(axis)}
    if axis.nothing is not None:
        ticks = {axis.nothing: "0"} | ticks
        ax.axvline(axis.begins, color="0.8", linewidth=0.8, linestyle=(0, (2, 3)), zorder=0.4)
    ax.set_xticks(list(ticks), [text.replace(".0 ", " ") for text in ticks.values()])
    ax.set_xlim(axis.low, axis.high)


def _limits(shown: Sequence[_Panel]) -> tuple[float, float]:
    """Of the scores, times 100, with all intervals and room for numbers."""
    ends = [100 * end for panel in shown for point in panel.points for end in panel.score(point).interval]
    low, high = float(np.nanmin(ends)), float(np.nanmax(ends))
    room = _HEADROOM * max(high - low, 1.0)
    return low - room, high + room


def _draw(
    ax: "Axes", panel: _Panel, axis: Axis, known: Mapping[str, Look], numbers: Mapping[str, int]
) -> None:
    """The rows of a panel, each at its place or a little aside, and the frontier, at its own places."""
    told = [point for point in panel.points if point.name in numbers]
    nothing = [point for point in told if point.cost <= 0]
    costly = [point for point in told if point.cost > 0]
    for point in panel.points:
        if point not in told:
            ax.add_line(_mark(_REST, axis.place(point.cost), 100 * point.score))
    for points, within in ((nothing, (axis.low, axis.begins)), (costly, (axis.begins, axis.high))):
        _draw_part(ax, panel, side_by_side(points), axis, within, known, numbers)
    steps = [(axis.place(point.cost), 100 * point.score) for point in panel.points if point.on_frontier]
    steps.append((axis.high, steps[-1][1]))
    ax.step(*zip(*steps, strict=True), where="post", color=_STEPS, linewidth=1.0, zorder=1.5)


def _draw_part(
    ax: "Axes",
    panel: _Panel,
    points: Sequence[Point],
    axis: Axis,
    within: tuple[float, float],
    known: Mapping[str, Look],
    numbers: Mapping[str, int],
) -> None:
    """Rows that share a part of the axis: marks, intervals, numbers; numbers below every other where it is narrow."""
    wanted = _APART * (axis.high - axis.low) * ax.figure.dpi / 72 / ax.get_window_extent().width
    apart = min(wanted, _FULL * (within[1] - within[0]) / max(len(points), 1))
    free = within[0] + apart / 2, within[1] - apart / 2
    true = [axis.place(point.cost) for point in points]
    places = aside(true, [_KEEPS if point.on_frontier else 1.0 for point in points], apart, free)
    for order, (point, place, x) in enumerate(zip(points, true, places, strict=True)):
        look = known[point.name]
        low, high = (100 * end for end in panel.score(point).interval)
        ax.vlines(x, low, high, color=look.color, linewidth=1.1, alpha=0.75, zorder=2)
        if abs(x - place) > _NEAR * apart:
            ax.hlines(100 * point.score, place, x, color=look.color, linewidth=0.5, alpha=0.75, zorder=1.8)
        ax.add_line(_mark(look, x, 100 * point.score))
        above = apart == wanted or order % 2 == 0
        _number(ax, numbers[point.name], (float(x), high if above else low), above)


def _mark(look: Look, *place: float, label: str = "") -> Any:
    """A row's mark at its place; at none for the legend."""
    from matplotlib.lines import Line2D

    marks: dict[str, Any] = {"markersize": 6.5, "markeredgecolor": "w", "markeredgewidth": 0.6, "zorder": 3}
    where = ([place[0]], [place[1]]) if place else ([], [])
    return Line2D(*where, linestyle="none", color=look.color, marker=look.marker, label=label, **marks)


def _number(ax: "Axes", number: int, end: tuple[float, float], above: bool) -> None:
    """A row's number, beyond an end of its interval."""
    from matplotlib.patheffects import withStroke

    ax.annotate(
        str(number),
        end,
        xytext=(0, 2 if above else -2),
        textcoords="offset points",
        ha="center",
        va="bottom" if above else "top",
        fontsize=6.3,
        path_effects=[withStroke(linewidth=2.2, foreground="w")],
        zorder=4,
    ).set_in_layout(False)


def _legend(canvas: Any, known: Mapping[str, Look], numbers: Mapping[str, int], rest: bool) -> None:
    """Numbers with marks and names, the frontier, and what has no number; in columns that fit."""
    from matplotlib.lines import Line2D

    handles = [_mark(known[name], label=f"{number}  {name}") for name, number in numbers.items()]
    handles.append(Line2D([], [], color=_STEPS, linewidth=1.0, label="frontier"))
    if rest:
        handles.append(_mark(_REST, label="other rows"))
    columns = -(-len(handles) // _A_COLUMN)
    canvas.set_figwidth(canvas.get_figwidth() + _WIDER * (columns - 1))
    canvas.legend(handles=handles, loc="outside right upper", frameon=False, ncols=columns, fontsize=8)


def _caption(shown: Sequence[_Panel], score: str, rest: bool) -> str:
    fractions = " or ".join(words.percent(f) for f in sorted({panel.summary.headline for panel in shown}))
    settings = [panel.summary.setting for panel in shown]
    corpora = "; ".join(f"{setting.title}, {setting.task}" for setting in settings)
    text = (
        f"Cost against quality: {score} on the test part at {fractions} of the labels, mean over seeds, against the"
        f" FLOPs of training. {COUNTED}. Bars: {words.INTERVAL}. Steps: the frontier, rows for which no other costs as"
        " little and is better; from 0 FLOPs, where an encoder is left at random. Grey: controls. Rows of about one"
        " cost stand beside each other, those on the frontier at their places; thin lines lead to those of the others."
        f"{' Small dots: rows that are on no frontier, without intervals.' * rest} What trains no encoder is in the"
        " table."
        f"{' Panels share the y-axis.' * (len(shown) > 1)} Scale {settings[0].scale}. {corpora}."
    )
    return words.title(text, any(setting.simulated for setting in settings))
