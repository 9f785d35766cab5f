"""How numbers and conditions are worded, the same in every table, figure and page."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from bench.report.group_summary import AnySummary, GroupEntry
from bench.report.stats import Seeds
from bench.report.summary import Entry, Score, Setting, Summary
from bench.report.table import DASH, SIMULATED
from bench.run.suite import Suite, budget_of

SCORE = "AUROC ×100"
INTERVAL = "95\u00a0% interval over test patients"

CORPORA = {"chapman": "Chapman", "ptbxl": "PTB-XL"}
"""Proper names of corpora."""

_SPLITS = {("chapman", "official"): "official (that of Good Views' code)"}


def points(value: float) -> str:
    """A score times 100, one decimal."""
    text = DASH if value != value else f"{100 * value:.1f}".replace("-", "−")
    return "0.0" if text == "−0.0" else text


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
    """SD of three or more seeds, the range of two, nothing of one or of copies; `spread_head` says which."""
    if seeds.n == 1 or seeds.identical:
        return DASH
    return span(seeds.low, seeds.high) if seeds.n == 2 else points(seeds.sd)


def spread_head(scores: Iterable[Score]) -> str:
    """The column head for `spread`: always says what it is."""
    return spread_head_of(score.seeds for score in scores)


def spread_head_of(spreads: Iterable[Seeds]) -> str:
    """`spread_head` of scores over seeds."""
    counts = {seeds.n for seeds in spreads}
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
    notes = list(lost_seeds(score.seeds, score.wanted))
    if score.constant:
        learnt = ": the read-out learnt nothing from so few labels" if score.constant == "here" else ""
        notes.append(f"Every record got the same score{learnt}")
    elif score.seeds.identical:
        notes.append(
            "All seeds gave bit-identical scores: nothing random is left here, and no spread over seeds exists"
        )
    return tuple(notes)


def lost_seeds(seeds: Seeds, wanted: int) -> tuple[str, ...]:
    """A note where some seeds are missing."""
    return (f"{seeds.n} of {wanted} seeds; the others have no result",) if seeds.n < wanted else ()


def missing_notes(entry: Entry | GroupEntry, fraction: float) -> tuple[str, ...]:
    """Why an entry has no result at a label fraction, one line a reason."""
    lines = (f"{m.status}: {m.reason}" for m in entry.missing if fraction in m.fractions)
    return tuple(dict.fromkeys(lines))


def conditions(summary: AnySummary, suite: Suite, labels: Collection[str] | None = None) -> str:
    """Corpus, task, split, scale, encoder, leads, input and budget of every number in a table.

    Args:
        labels: of the entries in the table; None: all.
    """
    s = summary.setting
    names = {k: name for k, name in titles(summary.entries).items() if labels is None or k in labels}
    leads = s.lead_set if s.lead_set == s.eval_lead_set else f"{s.lead_set}, evaluated on {s.eval_lead_set}"
    encoder = ", ".join([s.encoder, *encoder_arguments(suite, names)])
    classes = ""
    if isinstance(summary, Summary) and summary.kept < summary.total:
        classes = f", {summary.kept} of {summary.total} classes"
    return (
        f"Corpus {s.title}, task {s.task}, split {split_of(s)},"
        f" {counted(summary.records, 'test record')}{classes}; scale {s.scale};"
        f" encoder {encoder}; leads {leads}; {suite.input.rate} Hz;"
        f" budget {budget_line(suite, names)}; {counted(suite.seeds, 'seed')}.{_measured(summary)}"
    )


def split_of(setting: Setting) -> str:
    """The split, and whose it is where the corpus brings one of a paper's."""
    return _SPLITS.get((setting.corpus, setting.split), setting.split or "unknown")


def encoder_arguments(suite: Suite, labels: Collection[str]) -> list[str]:
    """Arguments of the suite's encoder: 'dim 128', and a hint where one of these entries has another value."""
    shared = suite.encoder.arguments
    own = [entry.encoder.items() for entry in suite.entries if entry.label in labels]
    differ = {name for items in own for name, value in items if shared.get(name) != value}
    return [
        f"{name} {value}{' (rows that say so: another)' * (name in differ)}"
        for name, value in sorted(shared.items())
    ]


def _measured(summary: AnySummary) -> str:
    """Where measurements come from, if any row needs some that we computed."""
    needed = any("measurements" in entry.paid_for for entry in summary.entries)
    return (
        f" Measurements: computed from the ECG by {summary.measured}." if needed and summary.measured else ""
    )


def counted(count: int, thing: str) -> str:
    """'1 record', '2 records'."""
    return f"{count:,} {thing}{'s' * (count != 1)}"


def titles(entries: Iterable[Entry | GroupEntry]) -> dict[str, str]:
    """What tables print for each label."""
    return {entry.label: entry.name for entry in entries}


def for_these_encoders(seeds: int) -> str:
    """What intervals over test patients leave out."""
    overlap = " whose ranges over seeds overlap" if seeds > 1 else ""
    return (
        f" They hold for {'these' if seeds > 1 else 'this'} {counted(seeds, 'trained encoder')} a row: seed-to-seed"
        f" differences are not in them, so rows{overlap} may change places with other seeds."
    )


def see_notes(count: int) -> str:
    """Points at the first footnotes, which are about the whole of a paper's table."""
    if not count:
        return ""
    numbers = ", ".join(map(str, range(1, count + 1)))
    return f" On the whole printed table see note{'s' * (count > 1)} {numbers}."


def budget_line(suite: Suite, names: Mapping[str, str]) -> str:
    """What a fit may spend, and which rows differ: '120 steps of 32 records, adamw, learning rate 0.001 (A; B: ...)'.

    Args:
        names: of the rows by label.
    """
    budget = suite.budget
    line = (
        f"{budget.steps:,} steps of {budget.batch} records, {budget.optimiser}, learning rate {budget.lr:g}"
    )
    if budget.selection != "last":
        line += f", {_changed('selection', budget.selection)}"
    groups: dict[str, list[str]] = {}
    for entry in suite.entries:
        own = budget.model_dump() | entry.budget | suite.budgets.get(entry.label, {})
        changes = [
            _changed(name, own[name]) for name, value in budget.model_dump().items() if own[name] != value
        ]
        if changes and entry.label in names:
            groups.setdefault(", ".join(changes), []).append(names[entry.label])
    return " ".join([line, *(f"({'; '.join(rows)}: {what})" for what, rows in groups.items())])


def chosen_on_validation(suite: Suite, labels: Collection[str]) -> str:
    """Whose validation numbers are optimistic; empty where validation chose no checkpoint.

    Args:
        labels: of the rows.
    """
    fits = [budget_of(suite, entry) for entry in suite.entries if entry.label in labels]
    if all(budget.selection == "last" for budget in fits):
        return ""
    return (
        "The validation part also chose the checkpoint of every trained row for which the budget does not say 'last"
        " checkpoint': its validation numbers are optimistic."
    )


def _changed(name: str, value: Any) -> str:
    """One setting of a budget in words."""
    checkpoints = {"last": "last checkpoint", "best_val_loss": "checkpoint of least validation loss"}
    spoken = {
        "steps": f"{value} steps",
        "batch": f"{value} records a batch",
        "optimiser": f"{value}",
        "lr": f"learning rate {value}",
        "schedule": f"{value} schedule",
        "warmup": f"{value} warm-up steps",
        "selection": checkpoints.get(str(value), str(value)),
        "check_every": f"validation loss every {value} steps",
        "patience": f"stopped after {value} checks without a better one",
    }
    return spoken.get(name, f"{name.replace('_', ' ')} {value}")


def title(what: str, simulated: bool) -> str:
    """A title; on simulated data it says so first."""
    return f"{SIMULATED} {what}" if simulated else what
