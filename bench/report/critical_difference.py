"""The critical-difference diagram: mean ranks of strategies over many corpora, and which cannot be told apart.

It needs as many blocks as a Friedman test; where there are fewer, a line of text stands in its place.
"""

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bench.report import words
from bench.report.canvas import Figure, mark, saved, style
from bench.report.curves import Look, looks
from bench.report.metric import metric_of
from bench.report.overall import Overall, blocks_of
from bench.report.summary import Setting, Summary
from bench.run.suite import Suite

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_AXIS, _LETTER, _MARGIN = 3.4, 0.068, 0.15  # inches: the axis, a letter of a name beside it, around a diagram
_LONGEST, _TICKS = 46, 12  # letters of a name's line; most ticks
_CLIQUE, _OVER = 0.12, 0.03  # inches: from clique to clique; of a clique's bar beyond its outermost rows
_ABOVE, _RULER = 0.85, 0.42  # inches above the axis: of the title, of the ruler
_OUT, _SPACE = 0.08, 0.05  # inches: of a name's line beyond the axis, and from there to the name
_ROW = 0.215, 0.3  # inches: a line of names, and where some are in two lines


def critical_difference_figure(
    overalls: Sequence[Overall], summaries: Sequence[Summary], suite: Suite
) -> Figure | None:
    """Mean ranks over blocks on a line, with bars below that join what Nemenyi's test cannot tell apart.

    A panel a group of settings that has a Friedman test; None where none has, and then
    `without_critical_difference` says why. Source: Demsar, JMLR 7, 2006, section 3.2.2 and figure 1.

    Args:
        summaries: those from which `overalls` were made, all of them.
    """
    shown = [one for one in overalls if one.friedman]
    if not shown:
        return None
    from matplotlib.figure import Figure as Canvas

    known, side = looks(summaries, suite), _side(shown)
    heights = [_diagram_height(one) for one in shown]
    total, width, bottom = sum(heights), _AXIS + 2 * side, sum(heights)
    with style():
        canvas = Canvas(figsize=(width, total))
        for one, height in zip(shown, heights, strict=True):
            bottom -= height
            ax = canvas.add_axes((0, bottom / total, 1, height / total))
            ax.set_axis_off()
            ax.set(xlim=(-side, _AXIS + side), ylim=(_ABOVE + _MARGIN - height, _ABOVE + _MARGIN))
            settings = [block.setting for block in blocks_of(one, summaries)]
            title = f"{_diagram_title(one, settings, len(shown))}{mark(settings[0].simulated)}"
            ax.text(_MARGIN - side, _ABOVE, title, fontsize=10, va="top")
            _diagram(ax, one, one.friedman.critical_difference if one.friedman else 0.0, known)
        svg, png = saved(canvas)
    return Figure("critical_difference", _diagram_caption(shown, summaries), svg, png)


def without_critical_difference(overalls: Sequence[Overall]) -> list[str]:
    """A line for each group of settings without a diagram, saying why."""
    return [
        f"{'; '.join(one.blocks)}: no critical-difference diagram: {one.why_not}."
        for one in overalls
        if not one.friedman
    ]


def _by_rank(one: Overall) -> list[tuple[float, str]]:
    """Mean rank and name of each strategy, the best first."""
    found = [(row.mean_rank or 0.0, row.name) for row in one.ranked]
    return sorted(found, key=lambda pair: pair[0])


def clique_bars(one: Overall) -> list[tuple[int, float, float]]:
    """Line below the axis, and lowest and highest mean rank, of each clique; bars of one line do not touch."""
    if one.friedman is None:
        return []
    ranks = one.friedman.mean_ranks
    spans = sorted(
        (float(min(own)), float(max(own))) for own in (ranks[list(c)] for c in one.friedman.cliques)
    )
    ends: list[float] = []
    bars = []
    for low, high in spans:
        line = next((k for k, end in enumerate(ends) if end < low), len(ends))
        ends[line:] = [high, *ends[line + 1 :]]
        bars.append((line, low, high))
    return bars


def _side(shown: Sequence[Overall]) -> float:
    """Inches for the names on either side."""
    letters = max(min(len(name), _LONGEST) for one in shown for _, name in _by_rank(one))
    return _LETTER * (letters + 6) + _MARGIN


def _name_line(one: Overall) -> float:
    """Inches of a line of names."""
    return _ROW[1] if any(len(name) > _LONGEST for _, name in _by_rank(one)) else _ROW[0]


def _depth(one: Overall) -> float:
    """Inches from the axis to the first line of names."""
    return _MARGIN + _CLIQUE * (1 + max((line for line, _, _ in clique_bars(one)), default=-1)) + _MARGIN


def _diagram_height(one: Overall) -> float:
    return _ABOVE + _depth(one) + _name_line(one) * -(-len(one.ranked) // 2) + 2 * _MARGIN


def _diagram(ax: "Axes", one: Overall, difference: float, known: Mapping[str, Look]) -> None:
    """Axis, ruler, cliques and names; one unit of the panel is an inch, and the axis begins at (0, 0)."""
    rows = _by_rank(one)
    inch = _AXIS / (len(rows) - 1)
    ax.plot([0, _AXIS], [0, 0], color="black", linewidth=1)
    for tick in range(1, len(rows) + 1, -(-len(rows) // _TICKS)):
        x = (tick - 1) * inch
        ax.plot([x, x], [0, 0.06], color="black", linewidth=1)
        ax.text(x, 0.09, f"{tick}", ha="center", va="bottom", fontsize=8)
    ax.plot([0, difference * inch], [_RULER, _RULER], color="black", linewidth=1, marker="|", markersize=6)
    label = f"critical difference {difference:.2f}"
    ax.text(difference * inch + 0.08, _RULER, label, va="center", fontsize=8)
    for bar, low, high in clique_bars(one):
        y = -_MARGIN - _CLIQUE * bar
        ends = [(low - 1) * inch - _OVER, (high - 1) * inch + _OVER]
        ax.plot(ends, [y, y], color="0.25", linewidth=3.5, solid_capstyle="butt", zorder=3)
    half = -(-len(rows) // 2)
    for places, end, align in ((rows[:half], -_OUT, "right"), (rows[: half - 1 : -1], _AXIS + _OUT, "left")):
        for line, (rank, name) in enumerate(places):
            height = -_depth(one) - _name_line(one) * line
            colour, at = known[name].color, (rank - 1) * inch
            ax.plot([at, at, end], [0, height, height], color=colour, linewidth=1.1, zorder=1)
            told = textwrap.fill(name, _LONGEST)
            text, aside = (f"{told}  {rank:.1f}", -_SPACE) if end < 0 else (f"{rank:.1f}  {told}", _SPACE)
            ax.text(end + aside, height, text, ha=align, va="center", fontsize=8.5)


def _diagram_title(one: Overall, settings: Sequence[Setting], groups: int) -> str:
    """What is ranked; of several groups of settings what they differ in."""
    leads = f", {settings[0].encoder}, leads {words.leads_of(settings[0])}" if groups > 1 else ""
    return f"{len(one.ranked)} strategies on {len(one.blocks)} blocks{leads}"


def _diagram_caption(shown: Sequence[Overall], summaries: Sequence[Summary]) -> str:
    blocks = [block for one in shown for block in blocks_of(one, summaries)]
    told = "; ".join(dict.fromkeys(f"{block.setting.title}, {block.setting.task}" for block in blocks))
    fractions = " or ".join(words.percent(f) for f in sorted({one.headline for one in shown}))
    tests = " ".join(f"{one.told}." for one in shown)
    score = f"{metric_of(blocks).title} on the test part at {fractions} of the labels, mean over seeds"
    text = (
        f"Critical differences: mean ranks of strategies over blocks (a corpus and task each) by {score}; 1 is best."
        f" Bars join strategies that Nemenyi's test cannot tell apart at 5\u00a0%. {tests}"
        f" Scale {blocks[0].setting.scale}. {told}."
    )
    return words.title(text, any(block.setting.simulated for block in blocks))
