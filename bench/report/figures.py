"""Figures, as bytes: the same summaries give the same bytes (no dates, no random ids, no installed styles)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.report import words
from bench.report.canvas import Figure, mark, saved, style
from bench.report.summary import Entry, Summary, names

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#D55E00")
"""Okabe and Ito's, which colour-blind readers tell apart; the two oranges are furthest apart."""

_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p")
_GREYS = ("0.45", "0.55", "0.65", "0.4", "0.72", "0.5")
_DASHES = ((4, 2), (1, 1.5), (5, 1.5, 1, 1.5), (2, 1), (7, 2), (3, 1, 1, 1, 1, 1))
_PANEL, _LEGEND = (4.8, 4.2), 2.3  # inches
_ACROSS = 3  # panels


@dataclass(frozen=True)
class _Look:
    color: Any
    marker: str
    dashes: Any


def label_efficiency(summaries: Sequence[Summary]) -> Figure | None:
    """Score against label fraction, a panel a setting, a line an entry; None where there is one fraction only.

    Lines are means over seeds, bars their spread. Strategies have colours that colour-blind readers can tell
    apart, and markers; controls are grey and dashed.
    """
    from matplotlib.figure import Figure as Canvas

    shown = [summary for summary in summaries if len(_fractions(summary)) > 1]
    if not shown:
        return None
    looks = _looks(shown)
    with style(legend_handlelength=3.2):
        across, down = min(len(shown), _ACROSS), -(-len(shown) // _ACROSS)
        canvas = Canvas(figsize=(_PANEL[0] * across + _LEGEND, _PANEL[1] * down), layout="constrained")
        axes = list(canvas.subplots(down, across, squeeze=False, sharey=True).flat)
        for ax in axes[len(shown) :]:
            ax.set_axis_off()
        for summary, name, ax in zip(shown, names(shown), axes, strict=False):
            _panel(ax, summary, name, looks)
        if len(shown) > 1:
            canvas.supxlabel("all panels share the y-axis", fontsize=8, color="0.35")
        canvas.legend(handles=_handles(looks), loc="outside right upper", frameon=False)
        svg, png = saved(canvas)
    return Figure("label_efficiency", _caption(shown), svg, png)


def _handles(looks: dict[str, _Look]) -> list[Any]:
    from matplotlib.lines import Line2D

    handles = []
    for name, look in looks.items():
        line = Line2D(
            [], [], color=look.color, marker=look.marker, label=name, markersize=5.5, markeredgecolor="w"
        )
        line.set_dashes(look.dashes or (None, None))
        handles.append(line)
    return handles


def _caption(shown: Sequence[Summary]) -> str:
    heads = {words.spread_head([s for e in summary.entries for s in e.scores.values()]) for summary in shown}
    corpora = "; ".join(f"{summary.setting.title}, {summary.setting.task}" for summary in shown)
    simulated = any(summary.setting.simulated for summary in shown)
    text = (
        f"Label efficiency: macro one-vs-rest {words.SCORE} on the test part against the share of training patients"
        f" whose labels are visible. Lines: means over seeds; bars: {', '.join(sorted(heads))}. Grey and dashed:"
        f" controls.{' Panels share the y-axis.' * (len(shown) > 1)} Scale {shown[0].setting.scale}. {corpora}."
    )
    return words.title(text, simulated)


def _fractions(summary: Summary) -> list[float]:
    """The label fractions at which anything has a result."""
    return sorted({fraction for entry in summary.entries for fraction, _ in entry.scores})


def _looks(summaries: Sequence[Summary]) -> dict[str, _Look]:
    """A look for every entry by name, the same in every panel."""
    entries = {entry.name: entry for summary in summaries for entry in summary.entries if entry.scores}
    strategies = [name for name, entry in entries.items() if entry.origin == "strategy"]
    controls = [name for name in entries if name not in strategies]
    looks = {}
    for place, name in enumerate(strategies):
        marker = _MARKERS[(place + place // len(_COLOURS)) % len(_MARKERS)]
        looks[name] = _Look(_COLOURS[place % len(_COLOURS)], marker, "")
    for place, name in enumerate(controls):
        marker = _MARKERS[-1 - place % len(_MARKERS)]
        looks[name] = _Look(_GREYS[place % len(_GREYS)], marker, _DASHES[place % len(_DASHES)])
    return looks


def _panel(ax: "Axes", summary: Summary, name: str, looks: dict[str, _Look]) -> None:
    import seaborn

    entries = [entry for entry in summary.entries if entry.scores]
    _lines(ax, summary, [entry for entry in entries if entry.origin == "strategy"], looks, width=1.8)
    _lines(ax, summary, [entry for entry in entries if entry.origin != "strategy"], looks, width=1.2)
    seaborn.despine(ax=ax)
    ticks = _fractions(summary)
    ax.set_xscale("log")
    ax.set_xticks(ticks, [f"{100 * fraction:g}" for fraction in ticks])
    ax.minorticks_off()
    ax.set_xlabel("\n".join(filter(None, ["labelled share of the training patients, %", _left_out(summary)])))
    ax.set_ylabel(f"macro {words.SCORE}, test part")
    ax.grid(axis="y", color="0.9", linewidth=0.7)
    ax.set_axisbelow(True)
    ax.set_title(f"{name}{mark(summary.setting.simulated)}", fontsize=10, loc="left")


def _left_out(summary: Summary) -> str:
    """The label fractions at which nothing has a result, with what became of them."""
    lines = []
    for fraction in sorted(set(summary.fractions) - set(_fractions(summary))):
        found = {m.status for entry in summary.entries for m in entry.missing if fraction in m.fractions}
        lines.append(f"{words.percent(fraction)} ({', '.join(sorted(found))})")
    return f"no result at {'; '.join(lines)}" if lines else ""


def _lines(ax: "Axes", summary: Summary, entries: list[Entry], looks: dict[str, _Look], width: float) -> None:
    import pandas as pd
    import seaborn

    if not entries:
        return
    have = [(e, f, score.seeds) for e in entries for f in summary.fractions if (score := summary.score(e, f))]
    data = pd.DataFrame(
        [(e.name, f, 100 * seeds.mean, *_bar(seeds)) for e, f, seeds in have],
        columns=["name", "fraction", "score", "below", "above"],
    )
    seaborn.lineplot(
        data=data,
        x="fraction",
        y="score",
        hue="name",
        style="name",
        palette={name: look.color for name, look in looks.items()},
        markers={name: look.marker for name, look in looks.items()},
        dashes={name: look.dashes for name, look in looks.items()},
        hue_order=[entry.name for entry in entries if entry.name in set(data["name"])],
        estimator=None,
        legend=False,
        ax=ax,
        linewidth=width,
        markersize=5.5,
        markeredgewidth=0.6,
    )
    for name, own in data.groupby("name", sort=False):
        bars = own[["below", "above"]].to_numpy().T
        style = {"ecolor": looks[str(name)].color, "elinewidth": 0.9, "capsize": 2, "alpha": 0.8}
        ax.errorbar(own["fraction"], own["score"], bars, fmt="none", **style)


def _bar(seeds: Any) -> tuple[float, float]:
    """Below and above the mean: one SD of three or more seeds, the range of fewer, times 100."""
    if seeds.n > 2:
        return 100 * seeds.sd, 100 * seeds.sd
    return 100 * (seeds.mean - seeds.low), 100 * (seeds.high - seeds.mean)
