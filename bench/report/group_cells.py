"""Cells of tables of clustering and retrieval: what each is called, which metric of ours it shows, and how.

A cell is named as in published.csv: 'class_acc', 'age_ami', 'precision_at_5/2' (K = 5, two matches or more).
"""

from typing import Any, Literal

from bench.report import words
from bench.report.published import Number
from bench.report.stats import Seeds
from bench.report.table import DASH

Part = Literal["val", "test"]

PARTS: tuple[Part, ...] = ("val", "test")

SET = "set"
"""The attribute under which hit rates are kept: all three at once."""

DISTINCT, QUERIES = "distinct_top", "queries"

PATIENTS = "/patients"
"""Ends the names of hit rates that count each patient once."""

_HEADS = {"acc": "Acc", "ami": "AMI", "identity": "Acc, identity"}
_METRICS = {"acc": "acc", "identity": "acc_identity"}


def attribute_of(cell: str) -> str:
    """'class' of 'class_acc'; hit rates are about all attributes."""
    return SET if cell.startswith(("precision_at", DISTINCT, QUERIES)) else cell.split("_")[0]


def head_of(cell: str) -> str:
    """As column heads name it: 'class Acc', 'K = 5'."""
    if attribute_of(cell) == SET:
        return f"K = {cell.split('/')[0].rsplit('_', 1)[1]}"
    attribute, kind = cell.split("_")
    return f"{attribute} {_HEADS[kind]}"


def metric_of(cell: str, read_off: bool) -> str:
    """The metric's name among ours: AMI is of the values that ids stand for, if they stand for any."""
    if attribute_of(cell) == SET:
        return cell
    kind = cell.split("_")[1]
    return _METRICS.get(kind, "ami_mapped" if read_off else "ami")


def published_text(number: Number | None) -> str:
    """Mean, and in brackets the printed deviation."""
    if number is None or number.mean != number.mean:
        return DASH
    return f"{number.mean:.1f}" + ("" if number.spread != number.spread else f" ({number.spread:.1f})")


def over_seeds_text(seeds: Seeds | None) -> str:
    """Mean, and in brackets the spread over seeds, where there is one."""
    if seeds is None:
        return DASH
    spread = words.spread(seeds)
    return words.points(seeds.mean) + ("" if spread == DASH else f" ({spread})")


def with_interval(seeds: Seeds | None, interval: tuple[float, float]) -> str:
    """Mean, and in brackets the interval over test patients, where there is one."""
    if seeds is None:
        return DASH
    span = words.span(*interval)
    return words.points(seeds.mean) + ("" if span == DASH else f" ({span})")


def seed_data(name: str, seeds: Seeds | None) -> dict[str, Any]:
    """Mean, SD and range over seeds, for the CSV."""
    if seeds is None:
        return {name: None}
    return {
        name: seeds.mean,
        f"{name}_sd": seeds.sd,
        f"{name}_seed_low": seeds.low,
        f"{name}_seed_high": seeds.high,
    }
