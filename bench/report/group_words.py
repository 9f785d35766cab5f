"""What the captions of tables of groupings say: what is judged, how ids become values, what the floors are."""

from bench.report import words
from bench.report.group_summary import GroupSummary
from bench.report.group_views import SET
from bench.run.suite import Suite

READOUTS = "CP: the strategy's own groups; TP: the nearest mean of an attribute set of the label subset; KM: k-means."

MAPPINGS = (
    "Acc reads the values off where groups stand for values by construction; elsewhere ids become values one to one by"
    " the Hungarian method, fitted on the label subset of the training part. Hungarian: so fitted for every row, on the"
    " values read off where there are any; oracle Hungarian: fitted on the evaluated part itself, optimistic; majority"
    " vote: each id its most frequent value in training; identity: the id itself taken as the value. All but the first"
    f" number of a row: test part. {READOUTS} KM has as many clusters as the attribute has values, fitted on the"
    " training part. Bold: best row, underlined: second."
)

HIT_RATE = (
    "P@K is a hit rate over queries, not a precision: the share of attribute sets with at least one unit of at least 1,"
    " at least 2 or all 3 equal attributes (class, sex, age group) among their K nearest; a set that could not ask"
    " counts as a miss. CP: the strategy's own prototypes ask; TP: the mean of each attribute set of the label subset."
    " Constant query: the same unit for every set (K = 1 only: beyond, it depends on which). Distinct top-1: units that"
    " come first for some set, of as many as there are sets. Bold: best row, underlined: second."
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


def judged(summary: GroupSummary, suite: Suite, attribute: str) -> str:
    """Which units an accuracy is a share of."""
    name, explained = unit(suite)
    counts = [words.counted(summary.units("test", attribute), f"test {name}")]
    counts.append(words.counted(summary.units("val", attribute), f"validation {name}"))
    return f"Judged: {' and '.join(counts)} of known {attribute}{explained}."


def ranked(summary: GroupSummary, suite: Suite, part: str, single: bool) -> str:
    """Which units are ranked.

    Args:
        single: one of each patient.
    """
    name, explained = unit(suite)
    count = words.counted(summary.units(part, SET), f"{part_name(part)} {name}")
    only = (
        f" Of each patient only the nearest {name} is ranked; random retrieval draws patients, each by the first"
        f" {name}."
    )
    return f"Ranked: {count}{explained}.{only if single else ''}"


def part_name(part: str) -> str:
    """'validation' or 'test'."""
    return "validation" if part == "val" else part


def floors(attribute: str) -> str:
    """What the floors of a clustering table are."""
    return (
        f"Floors: every unit said to be of the first {attribute}, or of the most frequent one in training; random ids:"
        " uniform, as many as values, mean over draws."
    )
