"""Label efficiency, as bytes: the same summaries give the same bytes (no dates, no random ids, no installed styles)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from bench.report import words
from bench.report.canvas import Figure, saved, style
from bench.report.curves import (
    DASHES,
    RANKED,
    Line,
    Look,
    chance_line,
    draw,
    dress,
    is_control,
    legend,
    looks,
    panels,
)
from bench.report.metric import metric_of
from bench.report.paper_figures import paper_figures
from bench.report.summary import Entry, Setting, Summary, names
from bench.report.transfer import moved, scratch_of
from bench.run.suite import Suite

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_MANY = 6
"""Single points that a panel of lines holds, or as many as there are lines."""


def label_efficiency(summaries: Sequence[Summary], suite: Suite) -> Figure | None:
    """Score against label fraction, a panel a setting, a line an entry; None where there is one fraction only.

    Lines are means over seeds, bars their spread. Strategies have colours that colour-blind readers can tell apart,
    and markers, what starts from them the same colours; controls are grey. What was pre-trained elsewhere has a figure
    of its own. Entries of one label fraction are points, unless there are too many of them beside the lines.

    Args:
        summaries: of all settings, with one metric.
    """
    shown = [summary for summary in summaries if len(_fractions(summary, _entries(summary))) > 1]
    if not shown:
        return None
    known, metric = looks(summaries, suite), metric_of(shown)
    drawn = {summary.setting: _drawn(summary) for summary in shown}
    with style(legend_handlelength=3.2):
        canvas, axes = panels(len(shown))
        for summary, name, ax in zip(shown, names(shown), axes, strict=False):
            entries = drawn[summary.setting]
            draw(ax, [_line(summary, e) for e in entries if not is_control(known[e.name])], known)
            draw(ax, [_line(summary, e) for e in entries if is_control(known[e.name])], known, width=1.2)
            _dress(ax, summary, name, entries, metric.axis)
        chance_line(axes, metric.idle)
        every = {entry.name for entries in drawn.values() for entry in entries}
        lines = {e.name for s in shown for e in drawn[s.setting] if len(_line(s, e).points) > 1}
        keys = {name: look for name, look in known.items() if name in every}
        legend(canvas, keys, every - lines)
        svg, png = saved(canvas)
    name = f"label_efficiency{metric.ending}"
    more = _told(keys) + _without_points(shown, drawn) + paper_figures(suite.name).told(name)
    return Figure(name, _caption(shown, "Label efficiency", more), svg, png)


def _told(keys: Mapping[str, Look]) -> str:
    """What greys and dashes are."""
    started = any(look.dashes and not is_control(look) for look in keys.values())
    return " Grey and dashed: controls." + " Dashed in a strategy's colour: what starts from it." * started


def _drawn(summary: Summary) -> list[Entry]:
    """Strategies and controls that are drawn: those of one label fraction only where they are few."""
    entries = _entries(summary)
    lines = [entry for entry in entries if len(_line(summary, entry).points) > 1]
    return lines if len(entries) - len(lines) > max(_MANY, len(lines)) else entries


def _without_points(shown: Sequence[Summary], drawn: Mapping[Setting, Sequence[Entry]]) -> str:
    """How many entries of one label fraction are not drawn."""
    left = {e.label for summary in shown for e in _entries(summary) if e not in drawn[summary.setting]}
    be = "is" if len(left) == 1 else "are"
    told = f" {words.counted(len(left), 'more row')}, of one label fraction, {be} in the tables."
    return told * bool(left)


def transfer_efficiency(summaries: Sequence[Summary], suite: Suite) -> Figure | None:
    """Score against label fraction of what was pre-trained here and on other corpora; None where there are no two.

    Classifiers that start from it, where there are any. A colour and marker an entry, as in `label_efficiency`; solid
    where it was pre-trained here, a dash a source. Grey: what was trained from scratch with the same encoders.
    """
    pairs = [(summary, _moving(summary, suite)) for summary in summaries]
    shown = [(summary, entries) for summary, entries in pairs if len(_fractions(summary, entries)) > 1]
    if not shown:
        return None
    drawn = [summary for summary, _ in shown]
    sources = list(dict.fromkeys(source for summary in drawn for source in summary.sources))
    dashes = {"": "", **{source: DASHES[place % len(DASHES)] for place, source in enumerate(sources)}}
    known, metric, keys = looks(summaries, suite), metric_of(drawn), dict[str, Look]()
    with style(legend_handlelength=3.2):
        canvas, axes = panels(len(shown))
        for (summary, entries), name, ax in zip(shown, names(drawn), axes, strict=False):
            titles = words.titles(summary.entries)
            bases = {e.name: replace(known.get(titles[e.label], _OTHER), dashes="") for e in entries}
            own = {e.name: replace(bases[e.name], dashes=dashes[e.source]) for e in entries}
            draw(ax, [_line(summary, entry) for entry in entries], own)
            controls = _scratches(summary, suite, entries)
            greys = {e.name: replace(known.get(e.name, _OTHER), dashes="") for e in controls}
            draw(ax, [_line(summary, entry) for entry in controls], greys, width=1.2)
            _dress(ax, summary, name, entries, metric.axis)
            keys |= {titles[entry.label]: bases[entry.name] for entry in entries} | greys
        chance_line(axes, metric.idle)
        froms = {f"from {source}": replace(_OTHER, marker="", dashes=dashes[source]) for source in sources}
        legend(canvas, keys | froms)
        svg, png = saved(canvas)
    more = (
        " Solid: pre-trained on the corpus itself; dashed: on another one, read out or trained further here;"
        " grey: trained from scratch with the same encoder."
    )
    name = f"transfer_efficiency{metric.ending}"
    caption = _caption(drawn, "Label efficiency of transfer", more + paper_figures(suite.name).told(name))
    return Figure(name, caption, svg, png)


_OTHER = Look("0.3", "o", "")
"""Of what has no score of its own here."""


def _entries(summary: Summary) -> list[Entry]:
    """Strategies and controls with a score."""
    return [entry for entry in summary.entries if entry.scores and entry.origin in RANKED]


def _moving(summary: Summary, suite: Suite) -> list[Entry]:
    """What was pre-trained on another corpus, each with its like from here; classifiers where there are any."""
    blocks = moved(summary, suite)
    labels = blocks[-1][1] if blocks else []
    return [
        entry for entry in summary.entries if entry.label in labels and entry.scores and not entry.overlap
    ]


def _scratches(summary: Summary, suite: Suite, entries: Sequence[Entry]) -> list[Entry]:
    """What was trained from scratch with the encoders of these entries, less what is among them."""
    found = (scratch_of(summary, suite, entry) for entry in entries)
    scratches = {entry.key: entry for entry in found if entry and entry not in entries}
    return list(scratches.values())


def _line(summary: Summary, entry: Entry) -> Line:
    scores = ((fraction, summary.score(entry, fraction)) for fraction in summary.fractions)
    return Line(entry.name, tuple((fraction, score.seeds) for fraction, score in scores if score))


def _dress(ax: "Axes", summary: Summary, name: str, entries: Sequence[Entry], up: str) -> None:
    ticks = _fractions(summary, entries)
    ax.set_xscale("log")
    ax.set_xticks(ticks, [f"{100 * fraction:g}" for fraction in ticks])
    ax.minorticks_off()
    axis = words.share_axis({entry.fractions_by for entry in entries})
    across = "\n".join(filter(None, [axis, _left_out(summary, entries)]))
    dress(ax, name, summary.setting.simulated, across, up)


def _caption(shown: Sequence[Summary], what: str, more: str) -> str:
    heads = {words.spread_head([s for e in summary.entries for s in e.scores.values()]) for summary in shown}
    corpora = "; ".join(f"{summary.setting.title}, {summary.setting.task}" for summary in shown)
    simulated = any(summary.setting.simulated for summary in shown)
    kinds = {entry.fractions_by for summary in shown for entry in summary.entries}
    metric = metric_of(shown, {fraction for summary in shown for fraction in summary.fractions})
    text = (
        f"{what}: {metric.title} on the test part against the {words.share_of(kinds)}"
        f" whose labels are visible. Lines: means over seeds; bars: {', '.join(sorted(heads))}."
        f"{more}{_unlabelled(shown)}{' Panels share the y-axis.' * (len(shown) > 1)}"
        f"{metric.explained} Scale {shown[0].setting.scale}. {corpora}."
    )
    return words.title(text, simulated)


def _unlabelled(shown: Sequence[Summary]) -> str:
    """Why rows can have a worse AUROC than chance where few of many labels are visible."""
    if metric_of(shown).ending:
        return ""
    if not any(s.fractions[0] < 1 and s.total > words.MANY_CLASSES and _multi(s) for s in shown):
        return ""
    return " Classes that no labelled record carries are scored all the same; there a row can fall below 50."


def _multi(summary: Summary) -> bool:
    """Whether a record can have several classes."""
    return bool((summary.rows["kind"] == "multi").any())


def _fractions(summary: Summary, entries: Sequence[Entry]) -> list[float]:
    """The label fractions at which anything has a result."""
    return sorted({fraction for entry in entries for fraction, _ in entry.scores})


def _left_out(summary: Summary, entries: Sequence[Entry]) -> str:
    """The label fractions at which nothing has a result, with what became of them."""
    lines = []
    for fraction in sorted(set(summary.fractions) - set(_fractions(summary, entries))):
        found = {m.status for entry in summary.entries for m in entry.missing if fraction in m.fractions}
        lines += [f"{words.percent(fraction)} ({', '.join(sorted(found))})"] * bool(found)
    return f"no result at {'; '.join(lines)}" if lines else ""
