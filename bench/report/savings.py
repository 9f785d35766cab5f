"""Label savings: the share of the labels with which a row is as good as supervised-from-scratch with all of them.

The control of a row is the classifier that starts from no other fit and has the row's encoder; rows without one, and
rows of a single label fraction, have no savings. Three shares are told, each the first from which on all larger
measured ones hold too, so that a curve that falls again has not arrived:

* reached: the mean is at least the control's, interpolated linearly in the logarithm of the share between the two
  measured ones. Resample by resample of the test patients, the row's curve against the control's score in the same
  resample, this gives an interval; a resample whose curve never arrives counts as beyond all labels.
* not below: the upper end of the paired difference's 95 % interval is at least zero. Few test patients bring it about.
* above: the lower end is more than zero.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bench.report import words
from bench.report.stats import LEVEL, Difference
from bench.report.summary import Entry, Score, Summary
from bench.report.table import DASH, Cell, Column, Footnotes, Table, TableRow
from bench.report.tables import BLOCKS, Key, board_rows, difference_data, make_table, named
from bench.report.transfer import scratch_of
from bench.run.plan import Plan
from bench.run.suite import Suite

ALL = 1.0
"""The label fraction at which the control is taken."""

NOT_REACHED = "not reached"


@dataclass(frozen=True)
class Saving:
    """With how few labels a row is as good as its control with all of them.

    Attributes:
        key, label, name: of the row.
        reached: label fraction, interpolated; None: not with all labels. At `least` it is an upper bound.
        low, high: its 95 % interval over test patients; None: beyond all labels.
        share_reached: of the resamples those in which it is reached with all labels or fewer; NaN where no resample
            holds every score.
        not_below: smallest measured fraction from which on the row is not separable from below the control.
        above: smallest measured fraction from which on it is separably above.
        least: the smallest measured fraction.
        control, control_name: label and name of the control; control_score: its mean with all labels.
        gap: the row minus the control, both with all labels.
    """

    key: tuple[str, str]
    label: str
    name: str
    reached: float | None
    low: float | None
    high: float | None
    share_reached: float
    not_below: float | None
    above: float | None
    least: float
    control: str
    control_name: str
    control_score: float
    gap: Difference

    @property
    def saved(self) -> float | None:
        """The share of the labels that is not needed; None where all of them are not enough."""
        return None if self.reached is None else 1 - self.reached


def label_savings(summary: Summary, suite: Suite) -> tuple[Saving, ...]:
    """The savings of every row that has a control and several label fractions, in the plan's order.

    Args:
        suite: tells what starts from another fit, and who has which encoder.
    """
    found = []
    for entry in summary.entries:
        control = scratch_of(summary, suite, entry)
        target = summary.score(control, ALL) if control and control.key != entry.key else None
        curve = _curve(summary, entry)
        if control and target and ALL in curve and len(curve) > 1:
            found.append(_saving(entry, curve, control, target))
    return tuple(found)


def _curve(summary: Summary, entry: Entry) -> dict[float, Score]:
    """An entry's scores by label fraction, ascending."""
    scores = ((fraction, summary.score(entry, fraction)) for fraction in summary.fractions)
    return {fraction: score for fraction, score in scores if score}


def _saving(entry: Entry, curve: Mapping[float, Score], control: Entry, target: Score) -> Saving:
    fractions, scores = list(curve), list(curve.values())
    means = np.array([[score.seeds.mean] for score in scores])
    (point,) = crossings(fractions, means, np.array([target.seeds.mean]))
    draws = np.stack([score.draws.mean(axis=0) for score in scores])
    drawn = crossings(fractions, draws, target.draws.mean(axis=0))
    low, high = _interval(drawn)
    tests = [score.minus(target) for score in scores]
    return Saving(
        key=entry.key,
        label=entry.label,
        name=entry.name,
        reached=_finite(point),
        low=low,
        high=high,
        share_reached=_share_reached(drawn),
        not_below=_first(fractions, [test.high >= 0 for test in tests]),
        above=_first(fractions, [test.low > 0 for test in tests]),
        least=fractions[0],
        control=control.label,
        control_name=control.name,
        control_score=target.seeds.mean,
        gap=tests[-1],
    )


def crossings(fractions: Sequence[float], curves: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(B,) fraction from which on each curve is at least its target.

    Args:
        fractions: (F,) ascending.
        curves: (F, B), one column a curve.
        targets: (B,).

    Returns:
        Interpolated linearly in the logarithm of the fraction from the last one below; the first fraction where none is
        below; infinity where the last one is; NaN where any number is.
    """
    logs, columns = np.log(np.asarray(fractions, dtype=float)), np.arange(curves.shape[1])
    below = curves < targets
    last = np.where(below.any(axis=0), len(logs) - 1 - below[::-1].argmax(axis=0), -1)
    before, after = np.clip(last, 0, len(logs) - 2), np.clip(last + 1, 1, len(logs) - 1)
    rise = curves[after, columns] - curves[before, columns]
    between = (last >= 0) & (last < len(logs) - 1)
    share = np.divide(targets - curves[before, columns], rise, out=np.zeros(len(columns)), where=between)
    found = np.exp(logs[before] + share * (logs[after] - logs[before]))
    found = np.where(last < 0, fractions[0], np.where(between, found, np.inf))
    return np.where(np.isnan(curves).any(axis=0) | np.isnan(targets), np.nan, found)


def _interval(drawn: np.ndarray) -> tuple[float | None, float | None]:
    """Percentiles of crossings, the next order statistics outwards: no mean of a fraction and of infinity exists."""
    kept = np.sort(drawn[~np.isnan(drawn)])
    if not len(kept):
        return None, None
    outside = math.floor((len(kept) - 1) * (1 - LEVEL) / 2)
    return _finite(kept[outside]), _finite(kept[-1 - outside])


def _share_reached(drawn: np.ndarray) -> float:
    kept = drawn[~np.isnan(drawn)]
    return float(np.isfinite(kept).mean()) if len(kept) else float("nan")


def _finite(fraction: float) -> float | None:
    return float(fraction) if np.isfinite(fraction) else None


def _first(fractions: Sequence[float], holds: Sequence[bool]) -> float | None:
    """The first fraction from which on something holds at all larger ones."""
    found = None
    for fraction, held in zip(reversed(fractions), reversed(holds), strict=True):
        if not held:
            return found
        found = fraction
    return found


def labelled_records(plan: Plan, summary: Summary) -> dict[float, int]:
    """Labelled training records by label fraction, mean over seeds.

    Empty where rows are labelled by shares of different things, or by single windows, which are no records.
    """
    if summary.fractions_by not in (("patients",), ("folds",)):
        return {}
    counts: dict[float, dict[str, int]] = {}
    for key, fraction in zip(summary.rows["key"], summary.rows["fraction"], strict=True):
        if key in plan.jobs:
            counts.setdefault(float(fraction), {})[str(key)] = len(plan.jobs[key].rows.labelled)
    return {fraction: round(sum(own.values()) / len(own)) for fraction, own in counts.items()}


def savings_text(saving: Saving) -> str:
    """One line for the page: 'reaches Supervised from scratch with all labels at 23 % of them (...)'."""
    control, share = f"{saving.control_name} with all labels", _share(saving.share_reached)
    if saving.reached is None:
        return f"does not reach {control}, whatever its own share ({share} of resamples do)"
    return (
        f"reaches {control} at {_bound(saving.reached, saving.least)} of them"
        f" (95\u00a0% interval {_span(saving)}; {share} of resamples reach it)"
    )


def savings_short(saving: Saving) -> str:
    """The share of the labels alone: '23 %', or 'not reached'."""
    return "not reached" if saving.reached is None else _bound(saving.reached, saving.least)


def savings_table(
    summary: Summary, suite: Suite, resamples: int, records: Mapping[float, int] | None = None
) -> Table | None:
    """How few labels each row needs to be as good as its control with all; None where nothing is compared.

    Args:
        resamples: of the bootstrap over test patients.
        records: labelled training records by label fraction, of `labelled_records`; None: not told.
    """
    savings = {saving.key: saving for saving in label_savings(summary, suite)}
    if not savings:
        return None
    notes, several = Footnotes(), len({saving.control for saving in savings.values()}) > 1
    compared = tuple(entry for entry in summary.entries if entry.key in savings)

    def row(block: str, entry: Entry) -> TableRow:
        return _row(block, entry, savings[entry.key], several, records or {}, _notes(summary, entry, notes))

    rows = board_rows(replace(summary, entries=compared), row)
    first = next(iter(savings.values()))
    what = (
        "Label savings: with which share of the labels a row is as good as"
        f" {'its control' if several else first.control_name} with all of them, by {words.score_head(summary)}."
    )
    more = _explained(summary, suite, savings, bool(records), resamples)
    return make_table("label_savings", what, summary, suite, _columns(several), rows, notes, more)


def _explained(
    summary: Summary, suite: Suite, savings: Mapping[Key, Saving], counted: bool, resamples: int
) -> str:
    """What the columns mean."""
    controls = {
        one.control: f"{one.control_name} ({words.points(one.control_score)})" for one in savings.values()
    }
    others = [entry for entry in summary.ranked(*BLOCKS.values()) if entry.key not in savings]
    left = len([entry for entry in others if scratch_of(summary, suite, entry) != entry])
    text = (
        f"Control{'s' * (len(controls) > 1)}, with all labels: {', '.join(controls.values())}. Difference:"
        f" a row minus its control, brackets: {words.INTERVAL}. Share of the labels:"
        " from where on the mean over seeds is at least the control's, also at every larger measured share;"
        " interpolated linearly in the logarithm of the share between the two measured ones; ≤: already at the smallest"
        f" measured. Interval: the same in each of {resamples:,} paired bootstrap resamples of the test patients, order"
        " statistics; a resample that does not reach it counts as beyond all labels. Labels saved: what is left of"
        f" them{', in training records' * counted}. Last columns: smallest measured shares from which on the paired"
        f" difference from the control has a {words.INTERVAL} that ends at zero or more (few test patients bring that"
        " about), and one that begins above zero; not corrected for the number of shares."
    )
    be = "is" if left == 1 else "are"
    told = (
        f" {words.counted(left, 'more row')} of one label fraction or without such a control {be} left out."
    )
    return text + told * bool(left) + words.for_these_encoders(suite.seeds)


def _columns(several: bool) -> tuple[Column, ...]:
    """Args: several: there are several controls."""
    heads = (
        "all labels: difference",
        "share of the labels (interpolated)",
        words.INTERVAL,
        "resamples that reach it",
        "labels saved",
    )
    measured = ("not separably below from (measured)", "separably above from (measured)")
    control = (Column("compared with", left=True),) * several
    return (Column("strategy", left=True), *control, *map(Column, (*heads, *measured)))


def _row(
    block: str,
    entry: Entry,
    saving: Saving,
    several: bool,
    records: Mapping[float, int],
    notes: tuple[int, ...],
) -> TableRow:
    reached, saved = _bound(saving.reached, saving.least), _saved(saving, records)
    measured = (_measured(fraction, records) for fraction in (saving.not_below, saving.above))
    shown = (
        words.with_span(saving.gap),
        reached,
        _span(saving),
        _share(saving.share_reached),
        saved,
        *measured,
    )
    names = (Cell(entry.name, notes=notes), *(Cell(saving.control_name),) * several)
    data: dict[str, Any] = {**named(entry), "base": saving.control, "base_score": saving.control_score}
    data |= difference_data("all_labels_minus_control", saving.gap)
    data |= {"reached": saving.reached, "reached_low": saving.low, "reached_high": saving.high}
    data |= {"smallest_measured": saving.least, "share_reached": saving.share_reached, "saved": saving.saved}
    data |= {"not_below": saving.not_below, "above": saving.above}
    for name, fraction in (("not_below", saving.not_below), ("above", saving.above)):
        data |= {f"{name}_records": records.get(fraction) if fraction else None} if records else {}
    return TableRow(block, (*names, *map(Cell, shown)), data)


def _notes(summary: Summary, entry: Entry, notes: Footnotes) -> tuple[int, ...]:
    """What a reader must know of the scores of a curve."""
    curve = _curve(summary, entry)
    gone = {f: words.missing_notes(entry, f) for f in summary.fractions if f not in curve}
    told = {f: words.lost_seeds(score.seeds, score.wanted) for f, score in curve.items()}
    return notes(
        *(
            f"At {words.percent(fraction)}: {text[:1].lower()}{text[1:]}"
            for fraction, texts in (told | gone).items()
            for text in texts
        )
    )


def _bound(fraction: float | None, least: float) -> str:
    """A share of the labels, to two digits; the smallest measured one is an upper bound."""
    if fraction is None:
        return NOT_REACHED
    at_most = "≤\u00a0" * (fraction <= least)
    return at_most + words.percent(float(f"{fraction:.2g}"))


def _span(saving: Saving) -> str:
    low, high = (_bound(end, saving.least) for end in (saving.low, saving.high))
    if saving.share_reached != saving.share_reached:
        return DASH
    return low if low == high else f"{low} to {high}"


def _share(share: float) -> str:
    """A share of the resamples; 0 and 100 % only where it is exactly so."""
    if share != share:
        return DASH
    if 0 < share < 0.005:
        return f"<\u00a0{words.percent(0.01)}"
    return f">\u00a0{words.percent(0.99)}" if 0.995 <= share < 1 else words.percent(round(share, 2))


def _saved(saving: Saving, records: Mapping[float, int]) -> str:
    """The share of the labels that is not needed, and of about how many records that is."""
    if saving.saved is None:
        return DASH
    at_least = "≥\u00a0" * (saving.reached == saving.least)
    text = at_least + words.percent(round(saving.saved, 3 if saving.saved > 0.9 else 2))
    if ALL not in records:
        return text
    return f"{text} ({at_least or 'about '}{words.counted(round(records[ALL] * saving.saved), 'record')})"


def _measured(fraction: float | None, records: Mapping[float, int]) -> str:
    """A measured label fraction, and how many records are labelled there."""
    if fraction is None:
        return DASH
    text = words.percent(fraction)
    return f"{text} ({words.counted(records[fraction], 'record')})" if fraction in records else text
