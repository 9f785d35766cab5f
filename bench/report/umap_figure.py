"""A map of prototypes among embeddings (CROCS, Kiyasseh et al. 2021, figures 3 and 4).

UMAP takes seconds and is an extra (umap-learn): its coordinates are kept beside the cell, and later reports read them.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from bench.report import words
from bench.report.canvas import UNKNOWN, Figure, NoFigure, class_colours, mark, saved, style
from bench.report.own_groups import OwnGroups
from bench.run.store import Store

if TYPE_CHECKING:
    from matplotlib.axes import Axes

VERSION = 1
"""Of the map: raise it when the same sample would give other coordinates."""

FEWEST, NEIGHBOURS = 5, 15
"""Points without which there is nothing to map; neighbours that UMAP looks at (its own default)."""

_MARKERS = ("s", "o", "^", "D")  # by sex
_SMALLEST, _STEP = 5.0, 2.2  # points: markers of the youngest, and by how much the next is larger
_PANEL, _LEGEND, _LINE = (4.0, 4.3), 1.3, 0.2  # inches; of a line of the legend
_GAP = 0.05  # between enlarged classes, as a share of the panel


def coordinates(own: OwnGroups, store: Store) -> dict[str, np.ndarray]:
    """UMAP by cosine distance: of points, prototypes and means together, and of the prototypes alone.

    They are kept in the store.

    Returns:
        `points` (S, 2), `queries` (Q, 2), `means` (M, 2) and `alone` (Q, 2); NaN where a row has no point.

    Raises:
        NoFigure: umap-learn is not installed, or there is too little to map.
    """
    name = f"umap-{VERSION}-{own.digest[:16]}"
    kept = store.view(own.row.key, name)
    if kept is None:
        pieces = {"points": own.points, "queries": own.queries, "means": own.means}
        flat = _mapped(np.concatenate(list(pieces.values())))
        ends = np.cumsum([len(piece) for piece in pieces.values()])[:-1]
        places = dict(zip(pieces, np.split(flat, ends), strict=True)) | {"alone": _mapped(own.queries)}
        kept = {place: flat.tolist() for place, flat in places.items()}
        store.keep_view(own.row.key, name, kept)
    return {place: np.array(flat, dtype=float).reshape(-1, 2) for place, flat in kept.items()}


def _mapped(points: np.ndarray) -> np.ndarray:
    """(N, P) -> (N, 2), to four decimals, so that JSON keeps them as they are."""
    known = np.isfinite(points).all(1)
    if known.sum() < FEWEST:
        raise NoFigure(f"{words.counted(int(known.sum()), 'point')} to map, fewer than {FEWEST}")
    try:
        import umap
    except ImportError:
        raise NoFigure("umap-learn is not installed; pip install 'leadboard[figures]'") from None
    neighbours = min(NEIGHBOURS, int(known.sum()) - 1)
    reducer = umap.UMAP(n_neighbors=neighbours, metric="cosine", random_state=0, n_jobs=1)
    flat = np.full((len(points), 2), np.nan)
    flat[known] = np.round(reducer.fit_transform(points[known]), 4)
    return flat


def umap_figure(own: OwnGroups, store: Store) -> Figure:
    """Prototypes among embeddings, means of the same attribute sets there, and the prototypes of each class enlarged.

    Raises:
        NoFigure: as `coordinates`.
    """
    from matplotlib.figure import Figure as Canvas

    places = coordinates(own, store)
    colours = class_colours(len(own.values["class"]))
    with style():
        canvas = Canvas(figsize=(3 * _PANEL[0] + _LEGEND, _PANEL[1]), layout="constrained")
        grid = canvas.add_gridspec(1, 4, width_ratios=[_PANEL[0]] * 3 + [_LEGEND])
        left = canvas.add_subplot(grid[0])
        middle = canvas.add_subplot(grid[1], sharex=left, sharey=left)
        for ax, name, codes, what in (
            (left, "queries", own.codes, "own prototypes (CP)"),
            (middle, "means", own.mean_codes, "means of attribute sets (TP)"),
        ):
            _dots(ax, places["points"], own.point_codes, colours)
            _large(ax, places[name], codes, colours)
            _frame(ax, f"{what}{mark(own.row.simulated)}")
        _enlarged(canvas, grid[2], own, places["alone"], colours)
        aside = canvas.add_subplot(grid[3])
        _legends(aside, own, colours)
        svg, png = saved(canvas)
    return Figure(f"umap_{own.name}", _caption(own), svg, png)


def _dots(ax: "Axes", points: np.ndarray, codes: np.ndarray, colours: list[Any]) -> None:
    """The validation units, coloured by class; in an order that hides no class behind another."""
    order = np.random.default_rng(0).permutation(len(points))
    shades = np.array([UNKNOWN, *colours], dtype=object)[codes[order, 0] + 1]
    ax.scatter(points[order, 0], points[order, 1], s=9, c=list(shades), alpha=0.4, linewidths=0, zorder=1)


def _frame(ax: "Axes", title: str) -> None:
    import seaborn

    seaborn.despine(ax=ax)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_xlabel("UMAP 1")
    ax.set_ylabel("UMAP 2")
    ax.margins(0.08)
    ax.set_title(title, fontsize=10, loc="left")


def _enlarged(canvas: Any, place: Any, own: OwnGroups, alone: np.ndarray, colours: list[Any]) -> None:
    """The prototypes of each class from the map without embeddings, each class at its own magnification."""
    whole = canvas.add_subplot(place)
    whole.set_axis_off()
    whole.set_title(f"own prototypes (CP), enlarged{mark(own.row.simulated)}", fontsize=10, loc="left")
    across = int(np.ceil(np.sqrt(len(colours))))
    down = -(-len(colours) // across)
    for kind, name in enumerate(own.values["class"]):
        row, column = divmod(kind, across)
        size = (1 - _GAP) / across, (1 - _GAP) / down
        ax = whole.inset_axes((column / across, 1 - row / down - size[1], *size))
        mine = own.codes[:, 0] == kind
        _large(ax, alone[mine], own.codes[mine], colours)
        ax.text(0.04, 0.96, name, transform=ax.transAxes, va="top", fontsize=8.5, color="0.25")
        ax.set_xticks([])
        ax.set_yticks([])
        ax.margins(0.22)
        for spine in ax.spines.values():
            spine.set(color="0.6", linewidth=0.8)


def _large(ax: "Axes", places: np.ndarray, codes: np.ndarray, colours: list[Any]) -> None:
    """Attribute sets: a line a class and sex, from the youngest to the oldest; larger is older."""
    for kind, sex in sorted({(int(kind), int(sex)) for kind, sex in codes[:, :2]}):
        chosen = np.flatnonzero((codes[:, :2] == (kind, sex)).all(1) & np.isfinite(places).all(1))
        chosen = chosen[np.argsort(codes[chosen, 2], kind="stable")]
        ax.plot(*places[chosen].T, color="0.15", linewidth=0.9, zorder=2)
        look = {"linestyle": "", "markerfacecolor": colours[kind], "markeredgecolor": "0.1"}
        for place in chosen:
            size = _SMALLEST + _STEP * codes[place, 2]
            ax.plot(
                *places[[place]].T,
                marker=_MARKERS[sex % len(_MARKERS)],
                markersize=size,
                markeredgewidth=0.9,
                zorder=3,
                **look,
            )


def _legends(ax: "Axes", own: OwnGroups, colours: list[Any]) -> None:
    """Three legends below one another: class, sex, age."""
    from matplotlib.legend import Legend
    from matplotlib.lines import Line2D

    def sign(label: str, **look: Any) -> Any:
        return Line2D([], [], **{"linestyle": "", "marker": "o", "color": "0.75", **look}, label=label)

    def outlined(label: str, **look: Any) -> Any:
        return sign(label, markeredgecolor="0.1", **look)

    named = zip(own.values["class"], colours, strict=True)
    classes = [sign(name, color=colour, markersize=7) for name, colour in named]
    if (own.point_codes[:, 0] < 0).any():
        classes.append(sign("none, or several", color=UNKNOWN, markersize=5))
    sexes = [outlined(name, marker=_MARKERS[k], markersize=8) for k, name in enumerate(own.values["sex"])]
    ages = [outlined(name, markersize=_SMALLEST + _STEP * k) for k, name in enumerate(own.values["age"])]
    ages.append(sign("young to old", marker="", linestyle="-", color="0.15", linewidth=0.9))
    ax.set_axis_off()
    top = 1.0
    for title, handles in (("class", classes), ("sex", sexes), ("age, in years", ages)):
        if len(handles) > 2 or title != "age, in years":
            look: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (0, top), "borderaxespad": 0}
            labels = [handle.get_label() for handle in handles]
            ax.add_artist(Legend(ax, handles, labels, title=title, frameon=False, alignment="left", **look))
            top -= (len(handles) + 1.8) * _LINE / _PANEL[1]


def _caption(own: OwnGroups) -> str:
    row = own.row
    text = (
        f"UMAP (cosine distance) of {row.strategy_title}. Left and middle: one map of"
        f" {words.counted(len(own.points), 'validation unit')} (small dots), its own prototypes (CP, clinical"
        f" prototypes; left) and the means of the training embeddings of each attribute set (TP, traditional"
        f" prototypes; middle). Right: another map, of its own prototypes alone, each class at its own magnification."
        f" Colour: class; shape: sex; size: age, a line joining the ages of a class and sex."
        f" Gaps on such a map are not to scale."
        f" {row.title}, {row.task}; scale {row.scale}; seed index {row.seed_index}."
    )
    return words.title(text, row.simulated)
