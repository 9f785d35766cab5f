"""Curves of scores: who has which colour, marker and dash, the same in every figure, and how a panel is drawn."""

import textwrap
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.report.canvas import mark
from bench.report.stats import Seeds
from bench.report.summary import Summary
from bench.report.words import first_of
from bench.run.suite import Suite

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#D55E00")
"""Okabe and Ito's, which colour-blind readers tell apart; the two oranges are furthest apart."""

RANKED = ("strategy", "baseline")
"""Origins of what was pre-trained, if at all, where it is evaluated."""

_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p")
_GREYS = ("0.45", "0.55", "0.65", "0.4", "0.72", "0.5")
DASHES = ((4, 2), (1, 1.5), (5, 1.5, 1, 1.5), (2, 1), (7, 2), (3, 1, 1, 1, 1, 1))
_PANEL, _LEGEND = (4.8, 4.2), 2.3  # inches
_ACROSS = 3  # panels
_CHANCE = "0.6"
_APART, _WIDEST = 1.2, 8.0  # points, between two rows at one place, and between the first and the last of all

_ACROSS_LETTERS = 52
"""Of a line below a panel."""


@dataclass(frozen=True)
class Look:
    """How a line is drawn."""

    color: Any
    marker: str
    dashes: Any


@dataclass(frozen=True)
class Line:
    """A line of a panel: its name among the looks, and a score over seeds at each place of the x-axis."""

    name: str
    points: tuple[tuple[float, Seeds], ...]


def looks(summaries: Sequence[Summary], suite: Suite) -> dict[str, Look]:
    """A look for everything with a score that was pre-trained where it is evaluated, by name.

    Strategies have colours; what starts from one has its colour, another marker, and dashes; all others, the controls,
    are grey and dashed.
    """
    origins = {entry.label: entry.origin for s in summaries for entry in s.entries if entry.origin in RANKED}
    names = {e.label: e.name for s in summaries for e in s.entries if e.origin in RANKED and e.scores}
    families: dict[str, list[str]] = {}
    controls: list[str] = []
    for label in names:
        root = first_of(suite, label)
        family = families.setdefault(root, []) if origins.get(root) == "strategy" else controls
        family.append(label)
    found = {}
    for place, (root, family) in enumerate(families.items()):
        for number, label in enumerate(dict.fromkeys([root, *family])):
            marker = _MARKERS[(place + place // len(_COLOURS) + 3 * number) % len(_MARKERS)]
            dashes = DASHES[(number - 1) % len(DASHES)] if number else ""
            found[label] = Look(_COLOURS[place % len(_COLOURS)], marker, dashes)
    for place, label in enumerate(controls):
        marker = _MARKERS[-1 - place % len(_MARKERS)]
        found[label] = Look(_GREYS[place % len(_GREYS)], marker, DASHES[place % len(DASHES)])
    return {name: found[label] for label, name in names.items()}


def is_control(look: Look) -> bool:
    """Whether a look is a control's."""
    return look.color in _GREYS


def panels(count: int) -> tuple[Any, "list[Axes]"]:
    """An empty figure, and the axes of its panels, which share the y-axis."""
    from matplotlib.figure import Figure as Canvas

    across, down = min(count, _ACROSS), -(-count // _ACROSS)
    canvas = Canvas(figsize=(_PANEL[0] * across + _LEGEND, _PANEL[1] * down), layout="constrained")
    axes = list(canvas.subplots(down, across, squeeze=False, sharey=True).flat)
    for ax in axes[count:]:
        ax.set_axis_off()
    if count > 1:
        canvas.supxlabel("all panels share the y-axis", fontsize=8, color="0.35")
    return canvas, axes


def chance_line(axes: "Sequence[Axes]", at: float = 50) -> None:
    """A thin line at the score of what knows nothing, where the panels, all drawn, reach as far.

    Args:
        at: that score; an AUROC of one half by default.
    """
    low, high = axes[0].get_ylim()
    if not low < at < high:
        return
    for ax in axes:
        ax.axhline(at, color=_CHANCE, linewidth=0.8, zorder=0.5)


def legend(canvas: Any, shown: Mapping[str, Look], lone: Collection[str] = ()) -> None:
    """The legend, beside the panels.

    Args:
        lone: names of which there are single points, and no line.
    """
    from matplotlib.lines import Line2D

    handles = []
    for name, look in shown.items():
        style = {"color": look.color, "marker": look.marker, "markersize": 5.5, "markeredgecolor": "w"}
        handle = Line2D([], [], label=name, **style)
        handle.set_dashes(look.dashes or (None, None))
        if name in lone:
            handle.set_linestyle("none")
        handles.append(handle)
    canvas.legend(handles=handles, loc="outside right upper", frameon=False)


def draw(ax: "Axes", lines: Iterable[Line], looks: Mapping[str, Look], width: float = 1.8) -> None:
    """Means over seeds as lines, their spread as bars; scores times 100.

    Rows stand a little beside each other, on paper and not in the data, so that no bar hides another.
    """
    import pandas as pd
    import seaborn

    have = [(line.name, x, seeds) for line in lines for x, seeds in line.points if seeds.mean == seeds.mean]
    if not have:
        return
    data = pd.DataFrame(
        [(name, x, 100 * seeds.mean, *_bar(seeds)) for name, x, seeds in have],
        columns=["name", "x", "score", "below", "above"],
    )
    names, before = list(dict.fromkeys(data["name"])), len(ax.lines)
    seaborn.lineplot(
        data=data,
        x="x",
        y="score",
        hue="name",
        style="name",
        palette={name: look.color for name, look in looks.items()},
        markers={name: look.marker for name, look in looks.items()},
        dashes={name: look.dashes for name, look in looks.items()},
        hue_order=names,
        estimator=None,
        legend=False,
        ax=ax,
        linewidth=width,
        markersize=5.5,
        markeredgewidth=0.6,
    )
    for place, (name, line) in enumerate(zip(names, ax.lines[before:], strict=True)):
        own = data[data["name"] == name]
        bars = own[["below", "above"]].to_numpy().T
        style = {"ecolor": looks[name].color, "elinewidth": 0.9, "capsize": 2, "alpha": 0.8}
        _, caps, sticks = ax.errorbar(own["x"], own["score"], bars, fmt="none", **style)
        _shift(ax, (line, *caps, *sticks), place, len(names))


def _shift(ax: "Axes", artists: "Iterable[Artist]", place: int, count: int) -> None:
    """Put what is drawn of one of `count` rows a little aside."""
    from matplotlib.transforms import ScaledTranslation

    step = min(_APART, _WIDEST / count)
    aside = ScaledTranslation(step * (place - (count - 1) / 2) / 72, 0, ax.figure.dpi_scale_trans)
    for artist in artists:
        artist.set_transform(ax.transData + aside)


def _bar(seeds: Seeds) -> tuple[float, float]:
    """Below and above the mean: one SD of three or more seeds, the range of fewer, times 100."""
    if seeds.n > 2:
        return 100 * seeds.sd, 100 * seeds.sd
    return 100 * (seeds.mean - seeds.low), 100 * (seeds.high - seeds.mean)


def dress(ax: "Axes", name: str, simulated: bool, across: str, up: str) -> None:
    """Titles and a light grid of a panel.

    Args:
        across, up: what the axes are.
    """
    import seaborn

    seaborn.despine(ax=ax)
    ax.set_xlabel("\n".join(textwrap.fill(line, _ACROSS_LETTERS) for line in across.splitlines()))
    ax.set_ylabel(up)
    ax.grid(axis="y", color="0.9", linewidth=0.7)
    ax.set_axisbelow(True)
    ax.set_title(f"{name}{mark(simulated)}", fontsize=10, loc="left")
