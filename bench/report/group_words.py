"""What the captions of tables of groupings say: what is judged, how ids become values, what the floors are."""

from collections.abc import Collection, Sequence

from bench.report import words
from bench.report.group_summary import GroupSummary
from bench.report.group_views import SET
from bench.run.suite import Suite

READOUTS = (
    "CP (clinical prototypes): the strategy's own prototypes, each of which stands for attribute values; TP"
    " (traditional prototypes): the means of the attribute sets of the label subset; KM: k-means; own groups: the"
    " strategy's own ids, which stand for nothing."
)

MAPPINGS = (
    "Acc reads the values off where groups stand for values by construction; elsewhere ids become values one to one by"
    " the Hungarian method, fitted on the label subset of the training part. Hungarian: so fitted for every row, on the"
    " values read off where there are any; oracle Hungarian: fitted on the evaluated part itself, optimistic; majority"
    " vote: each id its most frequent value in training; identity: the bare id itself taken as the value. All but the"
    f" first number of a row: test part. {READOUTS} KM has as many clusters as the attribute has values, fitted on the"
    " training part. Order: accuracy in the validation part. Bold: best, underlined: second row where one is best, both"
    " unless a floor reaches the number or its interval; variants, which repeat a row of the table with a change, stand"
    " apart."
)

HIT_RATE = (
    "P@K is a hit rate over queries, not a precision: the share of attribute sets with at least one unit of at least 1,"
    " at least 2 or all 3 equal attributes (class, sex, age group) among their K nearest; a set that could not ask"
    f" counts as a miss. The prototypes or means ask. {READOUTS} Constant query: the same unit for every set (K = 1"
    " only: beyond, it depends on which); random retrieval: what is expected. Distinct top-1: units that come first for"
    " some set, of as many as there are sets. Order: P@5, ≥2, in the validation part; variants, which repeat a row of"
    " the table with a change, stand apart. So few queries single no row out."
)

PAID_FOR = (
    "Paid for: what training reads beside the signal; labels that a mapping of ids is fitted on, and labels and"
    " demographics of the attribute sets of TP, are not counted."
)


def unit(suite: Suite) -> tuple[str, str]:
    """What is judged, in the singular, and what that is.

    Args:
        suite: as it runs on a corpus.
    """
    spec = suite.input
    if spec.aggregation != "none":
        return "record", ""
    window = f"window of {spec.window:,} samples" if spec.window else "whole record"
    leads = "one lead of one" if spec.instance == "lead" else "all leads of one"
    return "instance", f" ({leads} {window}; nothing is aggregated to records)"


def judged(summary: GroupSummary, suite: Suite, attributes: Sequence[str]) -> str:
    """Which units an accuracy is a share of."""
    name, explained = unit(suite)
    alike: dict[str, list[str]] = {}
    for attribute in attributes:
        counts = [words.counted(summary.units("test", attribute), f"test {name}")]
        counts.append(words.counted(summary.units("val", attribute), f"validation {name}"))
        alike.setdefault(" and ".join(counts), []).append(attribute)
    told = (f"{counts} of known {', '.join(names)}" for counts, names in alike.items())
    return f"Judged: {'; '.join(told)}{explained}."


def ranked(summary: GroupSummary, suite: Suite, parts: Sequence[str], single: bool = False) -> str:
    """Which units are ranked, and by how many queries.

    Args:
        single: one of each patient.
    """
    name, explained = unit(suite)
    counts = [words.counted(summary.units(part, SET), f"{part_name(part)} {name}") for part in parts]
    only = (
        f" Of each patient only the nearest {name} is ranked; random retrieval draws patients, each by the first"
        f" {name}."
    )
    return f"Ranked: {' and '.join(counts)}{explained}.{only if single else ''}{_asked(summary)}"


def _asked(summary: GroupSummary) -> str:
    """How many queries there are, and what one of them moves."""
    queries = max((summary.clusters(e.label, e.grouping, SET) for e in summary.entries), default=0)
    if not queries:
        return ""
    step = f"{100 / queries / summary.seeds:.1f}"
    seeds = f" of one of {summary.seeds} seeds" if summary.seeds > 1 else ""
    return (
        f" {words.counted(queries, 'attribute set')} ask: one query{seeds} moves a number by {step} points."
    )


def part_name(part: str) -> str:
    """'validation' or 'test'."""
    return "validation" if part == "val" else part


def floors(attribute: str) -> str:
    """What the floors of a clustering table are."""
    return (
        f"Floors: every unit said to be of the first {attribute}, or of the most frequent one in training; random ids:"
        " uniform, as many as values, mean over draws, AMI as expected."
    )


def reliance(suite: Suite, labels: Collection[str]) -> str:
    """What intervals leave out, and what validation numbers are worth.

    Args:
        labels: of the rows.
    """
    lines = [words.for_these_encoders(suite.seeds).strip(), words.chosen_on_validation(suite, labels)]
    return " ".join(filter(None, [f"Intervals are over test patients. {lines[0]}", lines[1]]))
