"""What prototypes find when asked (CROCS, Kiyasseh et al. 2021, figure 5): distances by class, and the nearest ECGs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.report import words
from bench.report.canvas import Figure, NoFigure, class_colours, mark, saved, style
from bench.report.ecg_figure import MILLIVOLTS, PAPER, draw_ecg, strip
from bench.report.own_groups import OwnGroups

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = 6
"""ECGs of each query, as in the paper."""

_SEX, _AGE = 1, 2  # the query shown of each class: women of the third age bin, or the nearest to that
_FEW = 5  # units of a class without a density
_LONGEST = 10.0  # seconds drawn of a unit
_SHORT = 6.0  # seconds of which three strips go side by side
_MATCH, _OTHER = "#00774F", "0.45"
_WIDTH, _LEFT, _GAP = 13.0, 3.1, 0.14  # inches: all, the distances, between strips
_HEAD, _LABEL, _FOOT = 0.22, 0.24, 0.68  # inches: above a query, above a strip, below a query
_TOP, _BOTTOM, _EDGE = 0.55, 0.5, 0.12


@dataclass(frozen=True)
class Found:
    """A query with what it found.

    Attributes:
        codes: (3,) class, sex and age bin asked for.
        distances: (S,) to the validation units of the sample.
        nearest: up to `SHOWN` rows, the nearest first; strips: their ECGs as (seconds, millivolts).
    """

    codes: np.ndarray
    distances: np.ndarray
    nearest: pd.DataFrame
    strips: list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class _Layout:
    """Where things lie, in inches from the upper left corner.

    Attributes:
        across: strips side by side; seconds, low, high: what each shows.
    """

    queries: int
    across: int
    seconds: float
    low: float
    high: float

    @property
    def strip(self) -> tuple[float, float]:
        """Width and height of a strip."""
        width = (_WIDTH - _LEFT - 3 * _EDGE - (self.across - 1) * _GAP) / self.across
        return width, width * (self.high - self.low) * PAPER / self.seconds

    @property
    def block(self) -> float:
        """Height of a query."""
        return _HEAD + self.body + _FOOT

    @property
    def body(self) -> float:
        """Height of a query's strips with what is written above them."""
        return -(-SHOWN // self.across) * (_LABEL + self.strip[1])

    @property
    def height(self) -> float:
        """Of the figure."""
        return _TOP + self.queries * self.block + _BOTTOM

    def box(self, left: float, top: float, width: float, height: float) -> tuple[float, float, float, float]:
        """A box in the figure's own coordinates."""
        down = self.height - top - height
        return left / _WIDTH, down / self.height, width / _WIDTH, height / self.height


def retrieval_figure(own: OwnGroups) -> Figure:
    """A block for one query of each class: distances by class on the left, the nearest six ECGs on the right.

    Raises:
        NoFigure: no query found anything.
    """
    from matplotlib.figure import Figure as Canvas

    found = [ask(own, query) for query in chosen_queries(own)]
    if not found:
        raise NoFigure("no query has a validation unit to find")
    layout = _layout(found)
    colours = class_colours(len(own.values["class"]))
    with style():
        canvas = Canvas(figsize=(_WIDTH, layout.height))
        _write(canvas, layout, _EDGE, 0.12, f"{own.row.title}{mark(own.row.simulated)}", fontsize=11)
        canvas.legend(
            handles=_handles(own, colours),
            loc="upper right",
            ncols=len(colours),
            frameon=False,
            handlelength=1.2,
        )
        for place, one in enumerate(found):
            _block(canvas, layout, own, one, _TOP + place * layout.block, colours)
        _write(canvas, layout, _EDGE, layout.height - 0.5, _scale(own, layout), fontsize=8.5, color="0.25")
        svg, png = saved(canvas)
    return Figure(f"retrieval_{own.name}", _caption(own), svg, png)


def chosen_queries(own: OwnGroups) -> list[int]:
    """One query of each class that found something: women of the third age bin, else the nearest set to that."""
    chosen = []
    answered = np.unique(own.nearest["query"])
    for kind in range(len(own.values["class"])):
        candidates = [int(query) for query in answered if own.codes[query, 0] == kind]
        wish = {q: (own.codes[q, 1] != _SEX, abs(own.codes[q, 2] - _AGE), q) for q in candidates}
        chosen += sorted(candidates, key=wish.__getitem__)[:1]
    return chosen


def ask(own: OwnGroups, query: int) -> Found:
    """A query's distances and nearest ECGs: the unit's own lead, or lead II where units have all leads."""
    nearest = own.nearest[own.nearest["query"] == query].head(SHOWN)
    distances = np.linalg.norm(own.points - own.queries[query], axis=1)
    longest = round(_LONGEST * own.corpus.rate)
    samples = min(own.cell.input.window or longest, longest)
    strips = [
        strip(own.corpus, str(row["record"]), int(row["start"]), str(row["lead"]) or "II", samples)
        for row in nearest.to_dict("records")
    ]
    return Found(own.codes[query], distances, nearest, strips)


def _handles(own: OwnGroups, colours: list[Any]) -> list[Any]:
    """Classes with their numbers of units."""
    from matplotlib.patches import Patch

    counts = [int((own.point_codes[:, 0] == kind).sum()) for kind in range(len(colours))]
    named = zip(own.values["class"], counts, colours, strict=True)
    return [Patch(color=colour, label=f"{name} ({count:,})") for name, count, colour in named]


def _layout(found: list[Found]) -> _Layout:
    """Paper in whole large squares, from -1.5 to 2.5 mV at the most."""
    every = [strip for one in found for strip in one.strips]
    seconds = max(float(time[-1] + time[1]) if len(time) > 1 else 1.0 for time, _ in every)
    squares = np.concatenate([wave for _, wave in every]) / MILLIVOLTS
    low, high = (float(np.clip(squares.min(), -3, -1)), float(np.clip(squares.max(), 2, 5)))
    across = 3 if seconds <= _SHORT else 2
    return _Layout(len(found), across, seconds, np.floor(low) * MILLIVOLTS, np.ceil(high) * MILLIVOLTS)


def _write(canvas: Any, layout: _Layout, left: float, top: float, text: str, **look: Any) -> None:
    x, y, *_ = layout.box(left, top, 0, 0)
    canvas.text(x, y, text, va="top", **look)


def _block(
    canvas: Any, layout: _Layout, own: OwnGroups, found: Found, top: float, colours: list[Any]
) -> None:
    """A query: its name, distances, ECGs."""
    _write(canvas, layout, _EDGE, top, f"Query: {own.described(found.codes)}", fontsize=10.5, weight="bold")
    ax = canvas.add_axes(layout.box(4 * _EDGE, top + _HEAD, _LEFT - 4 * _EDGE, layout.body))
    _distances(ax, own, found, colours)
    width, height = layout.strip
    for place, (row, ecg) in enumerate(zip(found.nearest.to_dict("records"), found.strips, strict=True)):
        down, right = divmod(place, layout.across)
        x = _LEFT + 2 * _EDGE + right * (width + _GAP)
        y = top + _HEAD + down * (height + _LABEL) + _LABEL
        ax = canvas.add_axes(layout.box(x, y, width, height))
        draw_ecg(ax, ecg, layout.seconds, layout.low, layout.high)
        _frame(ax, own, row, matches=row["class"] == found.codes[0])


def _frame(ax: "Axes", own: OwnGroups, row: Mapping[Any, Any], matches: bool) -> None:
    """Border and title of a strip; what the colour says, the sign says too."""
    colour = _MATCH if matches else _OTHER
    for spine in ax.spines.values():
        spine.set(color=colour, linewidth=2.2 if matches else 1.2, linestyle="-" if matches else (0, (3, 2)))
    described = own.described(np.array([row[name] for name in own.values]))
    lead = f" · {row['lead']}" if row["lead"] else ""
    title = f"{'✓' if matches else '✗'} {described}{lead} · {row['distance']:.2f}"
    ax.set_title(title, fontsize=8, loc="left", pad=3, color=colour if matches else "0.3")


def _distances(ax: "Axes", own: OwnGroups, found: Found, colours: list[Any]) -> None:
    """Density of the distances of each class, that of the query's own filled; a class of few units as ticks."""
    import seaborn

    kinds = own.point_codes[:, 0]
    for kind, colour in enumerate(colours):
        values, mine = found.distances[kinds == kind], kind == found.codes[0]
        if len(values) >= _FEW and np.ptp(values) > 0:
            look = {"ax": ax, "color": colour, "gridsize": 100}
            seaborn.kdeplot(x=values, linewidth=2.4 if mine else 1.0, **look)
            if mine:
                seaborn.kdeplot(x=values, fill=True, alpha=0.35, linewidth=0, **look)
        elif len(values):
            seaborn.rugplot(x=values, ax=ax, color=colour, height=0.08, linewidth=1.6)
    seaborn.despine(ax=ax)
    ax.set_yticks([])
    ax.set_ylabel("density")
    ax.set_xlabel("distance to the prototype")


def _scale(own: OwnGroups, layout: _Layout) -> str:
    """What the paper and the frames mean."""
    lead = "the unit's lead" if own.cell.input.instance == "lead" else "lead II"
    return (
        f"ECG: {lead}, {layout.seconds:g} s; 25 mm/s and 10 mm/mV: a large square is 0.2 s × 0.5 mV, a small one"
        " 0.04 s × 0.1 mV.\nAbove each: class, sex, age, distance to the prototype. ✓ and green: the class that"
        " was asked for; ✗, grey and dashed: another."
    )


def _metric(own: OwnGroups) -> str:
    """The distance, and between what, where vectors have length 1."""
    lengths = np.linalg.norm(np.concatenate([own.points, own.queries]), axis=1)
    unit = np.allclose(lengths[np.isfinite(lengths)], 1, atol=1e-3)
    return f"Euclidean distances{' between vectors of length 1,' if unit else ''}"


def _caption(own: OwnGroups) -> str:
    row = own.row
    text = (
        f"Own prototypes (CP, clinical prototypes) of {row.strategy_title} as queries, one of each class, fixed in"
        f" advance: women of the third age bin, or the nearest set to that which found anything. Left: {_metric(own)}"
        f" to {words.counted(len(own.points), 'validation unit')} by class, the query's own class filled; a class of"
        f" fewer than {_FEW} units as ticks. Right: the nearest ECGs of the validation part, one a patient, shifted"
        f" to a median of 0 mV; what exceeds the paper is cut off. Green: the class matches. {row.title},"
        f" {row.task}; scale {row.scale}; seed index {row.seed_index}."
    )
    return words.title(text, row.simulated)
