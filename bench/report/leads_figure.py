"""Score against lead set, as lines: what fewer leads cost, trained on these alone or with the others left out later."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bench.data.leads import LEAD_SETS
from bench.report import words
from bench.report.canvas import Figure, saved, style
from bench.report.curves import RANKED, Line, Look, chance_line, draw, dress, legend, looks, panels
from bench.report.leads import A_PART, OnLeads, by_leads, leads_told, on_leads, widest_first
from bench.report.metric import Metric, metric_of
from bench.report.paper_figures import paper_figures
from bench.report.summary import Setting, Summary, names
from bench.run.suite import Suite

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_APART, _WIDEST = (
    0.06,
    0.55,
)  # of the way to the next lead set: two lines at one, and the first and the last of all
_PARTS = (4, 2)
_OTHER = Look("0.3", "", _PARTS)


@dataclass(frozen=True)
class _Panel:
    """One group of settings that differ in their lead sets alone.

    Attributes:
        setting: of any of them, the lead sets left out.
    """

    setting: Setting
    entries: list[OnLeads]


def lead_sets_figure(summaries: Sequence[Summary], suite: Suite) -> Figure | None:
    """Score against evaluated lead set, a panel a corpus and task, a line an entry; None where none has several sets.

    Solid: trained on the leads it is evaluated with. Dashed, in the same colour: trained on its widest lead set, and
    evaluated with parts of it. Colours and markers are those that the entries have in every figure.

    Args:
        summaries: of all settings, with one metric.
    """
    shown = [panel for group in by_leads(summaries) if (panel := _panel(group)).entries]
    if not shown:
        return None
    fractions = {own.fraction for panel in shown for own in panel.entries}
    metric, known = metric_of(summaries, fractions), looks(summaries, suite)
    order = widest_first(name for panel in shown for own in panel.entries for name in _drawn_at(own))
    with style(legend_handlelength=3.2):
        canvas, axes = panels(len(shown))
        for panel, name, ax in zip(shown, names(shown), axes, strict=False):
            lines, own_looks = _lines(panel, order, known)
            draw(ax, apart(lines), own_looks, width=1.5)
            _dress(ax, name, panel, order, metric)
        chance_line(axes, metric.idle)
        drawn = {own.entry.name for panel in shown for own in panel.entries}
        keys = {name: replace(look, dashes="") for name, look in known.items() if name in drawn}
        widest = widest_first(own.trained[0] for panel in shown for own in panel.entries if _parts(own))
        on = widest[0] if len(widest) == 1 else "its widest set"
        legend(canvas, keys | ({f"trained on {on},\nevaluated with parts": _OTHER} if widest else {}))
        svg, png = saved(canvas)
    name = f"lead_sets{metric.ending}"
    said = paper_figures(suite.name).told(name)
    return Figure(name, _caption(shown, order, metric, widest, said), svg, png)


def _panel(group: Sequence[Summary]) -> _Panel:
    """Strategies and controls of a group that have a score with several lead sets."""
    entries = [own for own in on_leads(group) if own.entry.origin in RANKED and len(_drawn_at(own)) > 1]
    return _Panel(replace(group[0].setting, lead_set="", eval_lead_set=""), entries)


def _alone(own: OnLeads) -> list[str]:
    """Lead sets that an entry was both trained on and evaluated with."""
    return [name for name in own.trained if own.score(name, name)]


def _parts(own: OnLeads) -> list[str]:
    """Lead sets that the fit on an entry's widest was evaluated with, that one too; none where it is the only one."""
    found = [name for name in own.evaluated if own.score(own.trained[0], name)]
    return found if set(found) - {own.trained[0]} else []


def _drawn_at(own: OnLeads) -> list[str]:
    return [*_alone(own), *_parts(own)]


def _lines(
    panel: _Panel, order: Sequence[str], known: Mapping[str, Look]
) -> tuple[list[Line], dict[str, Look]]:
    """The lines of a panel, each entry's one or two, and how they look."""
    lines: list[Line] = []
    own_looks: dict[str, Look] = {}
    for own in panel.entries:
        name, widest = own.entry.name, own.trained[0]
        dashed = f"{name}, trained on {widest}"
        lines += [_line(dashed, own, [(widest, part) for part in _parts(own)], order)] * bool(_parts(own))
        lines.append(_line(name, own, [(leads, leads) for leads in _alone(own)], order))
        own_looks |= {name: replace(known[name], dashes=""), dashed: replace(known[name], dashes=_PARTS)}
    return [line for line in lines if line.points], own_looks


def _line(name: str, own: OnLeads, leads: Sequence[tuple[str, str]], order: Sequence[str]) -> Line:
    scores = ((evaluated, own.score(trained, evaluated)) for trained, evaluated in leads)
    points = sorted((order.index(at), score.seeds) for at, score in scores if score)
    return Line(name, tuple(points))


def apart(lines: Sequence[Line]) -> list[Line]:
    """The lines beside each other at every lead set, so that their bars can be told apart."""
    step = min(_APART, _WIDEST / max(len(lines), 1))
    aside = [step * (place - (len(lines) - 1) / 2) for place in range(len(lines))]
    return [
        Line(line.name, tuple((x + dx, seeds) for x, seeds in line.points))
        for line, dx in zip(lines, aside, strict=True)
    ]


def _dress(ax: "Axes", name: str, panel: _Panel, order: Sequence[str], metric: Metric) -> None:
    ax.set_xticks(range(len(order)), ticks(order))
    ax.set_xlim(-0.45, len(order) - 0.55)
    dress(ax, name, panel.setting.simulated, "leads evaluated with", metric.axis)


def ticks(order: Sequence[str]) -> list[str]:
    """How many leads each set has; of a single one its name, and below sets of equal number theirs."""
    counts = [len(LEAD_SETS[name]) for name in order]
    return [
        LEAD_SETS[name][0] if count == 1 else f"{count}\n{name}" if counts.count(count) > 1 else f"{count}"
        for name, count in zip(order, counts, strict=True)
    ]


def _caption(
    shown: Sequence[_Panel], order: Sequence[str], metric: Metric, widest: Sequence[str], said: str
) -> str:
    scores = [
        score
        for panel in shown
        for own in panel.entries
        for leads in own.found
        if (score := own.score(*leads))
    ]
    corpora = "; ".join(f"{panel.setting.title}, {panel.setting.task}" for panel in shown)
    shares = " or ".join(words.percent(f) for f in sorted({o.fraction for p in shown for o in p.entries}))
    dashed = f" Dashed: trained on its widest lead set ({' or '.join(widest)}) alone.{A_PART}" * bool(widest)
    text = (
        f"Lead sets: {metric.title} on the test part at {shares} of the labels against the leads evaluated with:"
        f" {leads_told(order)}. Solid: trained on these leads.{dashed} Lines: means over seeds; bars:"
        f" {words.spread_head(scores)}.{metric.explained}{said}{' Panels share the y-axis.' * (len(shown) > 1)}"
        f" Scale {shown[0].setting.scale}. {corpora}."
    )
    return words.title(text, any(panel.setting.simulated for panel in shown))
