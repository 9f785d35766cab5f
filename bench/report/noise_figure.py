"""The curves of robustness to noise: score against level, in the looks that the entries have in every figure."""

from collections.abc import Sequence

from bench.report import words
from bench.report.canvas import Figure, saved, style
from bench.report.curves import RANKED, Line, Look, chance_line, draw, dress, legend, looks, panels
from bench.report.noise import WHAT_NOISE, Noise, decibels
from bench.report.summary import Entry, Summary, names
from bench.run.suite import Suite

_OTHER = Look("0.3", "o", "")


def noise_robustness(noises: Sequence[Noise], summaries: Sequence[Summary], suite: Suite) -> Figure | None:
    """Score against noise level, a panel a setting, a line an entry; None where nothing was judged under noise.

    Args:
        summaries: of all settings, which give entries their looks.
    """
    shown = [noise for noise in noises if _entries(noise)]
    if not shown:
        return None
    known = looks(summaries, suite)
    for entry in (entry for noise in shown for entry in _entries(noise)):
        known.setdefault(entry.name, _OTHER)
    with style(legend_handlelength=3.2):
        canvas, axes = panels(len(shown))
        for noise, name, ax in zip(shown, names(shown), axes, strict=False):
            levels = (0, *noise.levels)
            draw(ax, [_line(noise, entry) for entry in _entries(noise)], known)
            ax.set_xticks(levels, [_tick(level) for level in levels])
            across = "noise level; below it the approximate signal-to-noise ratio, dB"
            dress(ax, name, noise.setting.simulated, across, f"macro {words.SCORE}, test part")
        chance_line(axes)
        drawn = {entry.name for noise in shown for entry in _entries(noise)}
        legend(canvas, {name: look for name, look in known.items() if name in drawn})
        svg, png = saved(canvas)
    return Figure("noise_robustness", _caption(shown), svg, png)


def _entries(noise: Noise) -> list[Entry]:
    """Strategies and controls with a score under noise."""
    return [entry for entry in noise.entries() if entry.origin in RANKED]


def _tick(level: int) -> str:
    return f"{level}\n{decibels(level) if level else 'clean'}"


def _line(noise: Noise, entry: Entry) -> Line:
    scores = ((level, noise.score(entry, level)) for level in (0, *noise.levels))
    return Line(entry.name, tuple((level, score.seeds) for level, score in scores if score))


def _caption(shown: Sequence[Noise]) -> str:
    seeds = [score.seeds for noise in shown for score in noise.scores.values()]
    corpora = "; ".join(f"{noise.setting.title}, {noise.setting.task}" for noise in shown)
    simulated = any(noise.setting.simulated for noise in shown)
    text = (
        f"Robustness to noise: macro one-vs-rest {words.SCORE} on the test part against the level of the noise added to"
        f" its windows; the fits are those of level 0. Lines: means over seeds; bars: {words.spread_head_of(seeds)}."
        f" {WHAT_NOISE}{' Panels share the y-axis.' * (len(shown) > 1)} Scale {shown[0].setting.scale}. {corpora}."
    )
    return words.title(text, simulated)
