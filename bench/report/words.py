"""How numbers and conditions are worded, the same in every table, figure and page."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from bench.report.group_summary import AnySummary, GroupEntry
from bench.report.inputs import input_line
from bench.report.stats import Difference, Seeds
from bench.report.summary import Entry, Score, Setting, Summary
from bench.report.table import DASH, SIMULATED
from bench.run.cell import EncoderSpec
from bench.run.suite import Suite, budget_of

SCORE = "AUROC ×100"
INTERVAL = "95\u00a0% interval over test patients"

CORPORA = {
    "chapman": "Chapman",
    "ptbxl": "PTB-XL",
    "cpsc": "PhysioNet 2020",
    "cinc2021": "the CinC 2021 Challenge",
}
"""Proper names of corpora."""

MANY_CLASSES = 15
"""More than these do not fit a table, and their macro average needs its rule beside it."""

_SHARES = {
    "patients": "shares of the training patients",
    "folds": "shares of the training folds, nested, and below one fold of the first one's patients",
    "frames": "shares of the training frames (windows of single leads), drawn one by one",
}
_AXES = {
    "patients": "labelled share of the training patients, %",
    "folds": "labelled share of the training folds, % (nested; below one fold: patients of the first)",
    "frames": "labelled share of the training frames (windows of single leads), %",
}

_SPLITS = {("chapman", "official"): "official (that of Good Views' code)"}


def points(value: float) -> str:
    """A score times 100, one decimal."""
    text = DASH if value != value else f"{100 * value:.1f}".replace("-", "−")
    return "0.0" if text == "−0.0" else text


def gap(value: float, scale: float = 100) -> str:
    """A signed difference; one that rounds to nothing has no sign."""
    text = DASH if value != value else f"{scale * value:+.1f}".replace("-", "−")
    return "0.0" if text in ("+0.0", "−0.0") else text


def gap_span(test: Difference) -> str:
    """The interval of a signed difference."""
    return f"{gap(test.low)} to {gap(test.high)}"


def with_span(test: Difference) -> str:
    """A signed difference with its interval in brackets."""
    return f"{gap(test.value)} ({gap_span(test)})"


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
    unit, name = next(
        (u, n) for u, n in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")) if count >= u
    )
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
    encoder = ", ".join([s.encoder, *encoder_arguments(suite, names)]) + own_encoders(suite, names)
    return (
        f"{corpus_title(s)}, task {s.task}, split {split_of(s)}, {judged(summary, suite)};"
        f" scale {s.scale}; protocol {s.protocol or 'unknown'}; encoder {encoder}; leads {leads_of(s)};"
        f" {input_line(suite, names)};"
        f" budget {budget_line(suite, names)}{_fractions(summary, names)}; {counted(suite.seeds, 'seed')}."
        f"{_classes_left_out(summary)}{_measured(summary)}{f' {summary.terms}' if summary.terms else ''}"
    )


def corpus_title(setting: Setting) -> str:
    """'Corpus ptbxl (...)', 'Own corpus ward7 (...)'."""
    own = setting.title.startswith("own corpus ")
    return f"O{setting.title[1:]}" if own else f"Corpus {setting.title}"


def judged(summary: AnySummary, suite: Suite) -> str:
    """What the test part holds, and of how many classes where that is not all."""
    text = counted(summary.records, "test record")
    if not isinstance(summary, Summary):
        return text
    if summary.units > summary.records:
        leads = " of single leads" * (suite.input.instance == "lead")
        text = f"{summary.units:,} test windows{leads}, each judged by itself, of {summary.records:,} records"
    return text + (f", {summary.kept} of {summary.total} classes" if summary.kept < summary.total else "")


def macro(summary: Summary) -> str:
    """The score of a table's title; of many classes with the rule of their average."""
    if summary.total <= MANY_CLASSES:
        return "macro one-vs-rest AUROC"
    return (
        f"macro one-vs-rest AUROC (the mean over the {summary.kept} of {summary.total} classes with a positive and a"
        " negative test record; the others are left out)"
    )


def score_head(summary: Summary) -> str:
    """The score of a column's head; of many classes with how many are averaged."""
    few = summary.total <= MANY_CLASSES
    return (
        SCORE
        if few
        else f"{SCORE}, mean of the {summary.kept} of {summary.total} classes that have both kinds"
    )


def _classes_left_out(summary: AnySummary) -> str:
    """The rule of the macro average where it matters."""
    if not isinstance(summary, Summary) or summary.kept == summary.total:
        return ""
    return (
        " Macro averages leave out, and count, a class without a positive or without a negative in the evaluated"
        " part; with 0.5 in its place, as printed elsewhere: macro_auroc_half in cells.csv."
    )


def _fractions(summary: AnySummary, labels: Collection[str]) -> str:
    """What label fractions are shares of, where there are any but the whole."""
    if not isinstance(summary, Summary) or summary.fractions == (1.0,):
        return ""
    found = dict.fromkeys(e.fractions_by for e in summary.entries if e.label in labels)
    told = " or, where a row says so, ".join(_SHARES[by] for by in found)
    return f"; label fractions: {told}" if told else ""


def share_axis(kinds: Collection[str]) -> str:
    """The axis of label fractions."""
    if len(kinds) > 1:
        return "labelled share of the training part, % (of what: in the legend)"
    return _AXES[next(iter(kinds))]


def share_of(kinds: Collection[str]) -> str:
    """'share of training patients', for a caption."""
    return f"share of {' or '.join(f'training {kind}' for kind in sorted(kinds))}"


def split_of(setting: Setting) -> str:
    """The split, and whose it is where the corpus brings one of a paper's."""
    return _SPLITS.get((setting.corpus, setting.split), setting.split or "unknown")


def leads_of(setting: Setting) -> str:
    """The lead set trained, and the one evaluated where that is another."""
    if setting.lead_set == setting.eval_lead_set:
        return setting.lead_set
    return f"{setting.lead_set}, evaluated on {setting.eval_lead_set}"


def encoder_arguments(suite: Suite, labels: Collection[str]) -> list[str]:
    """Arguments of the suite's encoder: 'dim 128', and a hint where one of these entries has another value.

    Those that the suite varies are part of an encoder's name, and not among these.
    """
    varied = {name for variant in suite.encoder_variants for name in variant}
    shared = {name: value for name, value in suite.encoder.arguments.items() if name not in varied}
    own = [entry.encoder.items() for entry in suite.entries if entry.label in labels]
    differ = {name for items in own for name, value in items if shared.get(name) != value}
    return [
        f"{name} {value}{' (rows that say so: another)' * (name in differ)}"
        for name, value in sorted(shared.items())
    ]


def own_encoders(suite: Suite, names: Mapping[str, str]) -> str:
    """Rows with an encoder that is not the suite's: ' (CPC; CPC, fine-tuned: cpc_net, hidden 32)'.

    Args:
        names: of the rows by label.
    """
    groups: dict[str, list[str]] = {}
    for entry in suite.entries:
        spec = suite.encoders.get(first_of(suite, entry.label))
        if spec and entry.label in names:
            told = ", ".join(
                [spec.name, *(f"{name} {value}" for name, value in sorted(spec.arguments.items()))]
            )
            groups.setdefault(told, []).append(names[entry.label])
    return "".join(f" ({'; '.join(rows)}: {told})" for told, rows in groups.items())


def first_of(suite: Suite, label: str) -> str:
    """Label of the entry whose fit an entry starts from in the end, or its own."""
    starts = {entry.label: entry.init for entry in suite.entries}
    while init := starts.get(label):
        label = init
    return label


def encoder_of(suite: Suite, label: str) -> EncoderSpec:
    """The encoder of an entry, which is that of what it starts from."""
    root = first_of(suite, label)
    spec = suite.encoders.get(root, suite.encoder)
    own = next((entry.encoder for entry in suite.entries if entry.label == root), {})
    return spec.model_copy(update={"arguments": {**spec.arguments, **own}})


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
    """What tables print for each label, wherever it was pre-trained."""
    return {
        label: entry.title if isinstance(entry, Entry) else entry.name
        for label, entry in by_label(entries).items()
    }


def by_label(entries: Iterable[Entry | GroupEntry]) -> dict[str, Entry | GroupEntry]:
    """One row a label: that which was pre-trained here, where there is one."""
    found: dict[str, Entry | GroupEntry] = {}
    for entry in sorted(entries, key=lambda entry: isinstance(entry, Entry) and entry.source != ""):
        found.setdefault(entry.label, entry)
    return found


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
    budget, noun = suite.budget, "records" if suite.input.instance == "record" else "instances"
    line = f"{budget.steps:,} steps of {budget.batch} {noun}, {budget.optimiser}, learning rate {budget.lr:g}"
    if budget.selection != "last":
        line += f", {_changed('selection', budget.selection)}"
    groups: dict[str, list[str]] = {}
    for entry in suite.entries:
        own = budget.model_dump() | entry.budget | suite.budgets.get(entry.label, {})
        changes = [
            _changed(name, own[name], noun)
            for name, value in budget.model_dump().items()
            if own[name] != value
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


def _changed(name: str, value: Any, noun: str = "records") -> str:
    """One setting of a budget in words; `noun`: what a batch is of."""
    checkpoints = {"last": "last checkpoint", "best_val_loss": "checkpoint of least validation loss"}
    spoken = {
        "steps": f"{value} steps",
        "batch": f"{value} {noun} a batch",
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
