"""How numbers and conditions are worded, the same in every table, figure and page."""

from collections.abc import Iterable

from bench.report.stats import Seeds
from bench.report.summary import Entry, Score, Summary
from bench.report.table import DASH
from bench.run.suite import Suite

SIMULATED = "SIMULATED DATA."
"""Begins the title of everything whose numbers were not measured on real ECGs."""

SCORE = "AUROC ×100"
INTERVAL = "95\u00a0% interval over test patients"


def points(value: float) -> str:
    """A score times 100, one decimal."""
    return DASH if value != value else f"{100 * value:.1f}".replace("-", "−")


def gap(value: float, scale: float = 100) -> str:
    """A signed difference."""
    return DASH if value != value else f"{scale * value:+.1f}".replace("-", "−")


def span(low: float, high: float) -> str:
    """An interval of scores times 100."""
    return DASH if low != low else f"{points(low)} to {points(high)}"


def percent(fraction: float) -> str:
    """A label fraction."""
    return f"{100 * fraction:g}\u00a0%"


def spread(seeds: Seeds) -> str:
    """SD of three or more seeds, the range of two, nothing of one; `spread_head` says which."""
    if seeds.n == 1:
        return DASH
    return span(seeds.low, seeds.high) if seeds.n == 2 else points(seeds.sd)


def spread_head(scores: Iterable[Score]) -> str:
    """The column head for `spread`: always says what it is."""
    counts = {score.seeds.n for score in scores}
    if counts <= {1}:
        return "spread (one seed: none)"
    if counts == {2}:
        return "range over 2 seeds"
    if min(counts) > 2:
        return f"SD over {counts.pop()} seeds" if len(counts) == 1 else "SD over seeds"
    return "SD over seeds (range where there are 2)"


def count_gap(difference: int | None) -> str:
    """A signed difference of two counts."""
    return DASH if difference is None else f"{difference:+,}".replace("-", "−")


def size(count: float) -> str:
    """A large count in a few signs."""
    if count != count:
        return DASH
    if count < 10_000:
        return f"{count:,.0f}"
    unit, name = next((u, n) for u, n in ((1e9, "G"), (1e6, "M"), (1e3, "k")) if count >= u)
    return f"{count / unit:.1f} {name}"


def seconds(value: float) -> str:
    """A duration."""
    return DASH if value != value else f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def paid_for(fields: tuple[str, ...]) -> str:
    """The supervision ledger's entry."""
    return ", ".join(fields) if fields else "none"


def seed_notes(score: Score) -> tuple[str, ...]:
    """What a reader must know of a mean over seeds."""
    notes = []
    if score.seeds.n < score.wanted:
        notes.append(f"{score.seeds.n} of {score.wanted} seeds; the others have no result")
    if score.seeds.identical:
        notes.append(
            "All seeds gave bit-identical scores: nothing random is left here, and no spread over seeds exists"
        )
    return tuple(notes)


def missing_notes(summary: Summary, entry: Entry) -> tuple[str, ...]:
    """Why an entry has no headline result, one line a reason."""
    lines = (f"{m.status}: {m.reason}" for m in entry.missing if summary.headline in m.fractions)
    return tuple(dict.fromkeys(lines))


def conditions(summary: Summary, suite: Suite) -> str:
    """Corpus, task, split, scale, encoder, leads, input and budget of every number in a table."""
    s = summary.setting
    leads = s.lead_set if s.lead_set == s.eval_lead_set else f"{s.lead_set}, evaluated on {s.eval_lead_set}"
    encoder = ", ".join(
        [s.encoder, *(f"{name} {value}" for name, value in sorted(suite.encoder.arguments.items()))]
    )
    classes = f", {summary.kept} of {summary.total} classes" if summary.kept < summary.total else ""
    return (
        f"Corpus {s.title}, task {s.task}, split {s.split or 'unknown'}, {summary.records:,} test records{classes};"
        f" scale {s.scale}; encoder {encoder}; leads {leads}; {suite.input.rate} Hz;"
        f" budget {budget_line(suite)}; {suite.seeds} seed{'s' * (suite.seeds > 1)}."
    )


def budget_line(suite: Suite) -> str:
    """What a fit may spend, and which rows differ: '120 steps of 32 records, adamw, rate 0.001; row x: lr 0.003'."""
    budget = suite.budget
    line = f"{budget.steps:,} steps of {budget.batch} records, {budget.optimiser}, rate {budget.lr:g}"
    for entry in suite.entries:
        changes = entry.budget | suite.budgets.get(entry.label, {})
        if changes:
            line += f"; {entry.label}: {', '.join(f'{name} {value}' for name, value in changes.items())}"
    return line


def title(what: str, simulated: bool) -> str:
    """A title; on simulated data it says so first."""
    return f"{SIMULATED} {what}" if simulated else what
