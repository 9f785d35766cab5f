"""Published numbers, the layout of the tables they stand in, and what may be concluded from them beside ours.

All of a paper is data: bench/papers/<paper>/published.csv holds every number, tables.yaml gives each one a row of
ours or the reason why there is none.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import yaml
from pydantic import ValidationError

from bench.report.layout import Check, Conditions, GroupLayout, Layout, LayoutRow
from bench.report.views import ReportError

PAPERS = Path(__file__).resolve().parents[1] / "papers"

ENOUGH = 0.9
"""Share of the published cohort below which a corpus is a subset of it, and no longer comparable."""

Word = Literal["same", "near", "not comparable"]


@dataclass(frozen=True)
class Number:
    """A published number, in the paper's unit; NaN where it prints none.

    Attributes:
        cell: what of the row it is: the metric, and for hit rates the matches asked for: 'precision_at_5/2'.
    """

    table: str
    row: str
    mean: float
    spread: float
    corpus: str = ""
    cell: str = ""


@dataclass(frozen=True)
class Verdict:
    """Whether our number can be held against a published one.

    Attributes:
        reasons: why it cannot; differences: in what else the conditions differ.
    """

    word: Word
    reasons: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()

    @property
    def compares(self) -> bool:
        """Whether a difference of the two numbers is worth reading."""
        return self.word != "not comparable"

    def lines(self) -> tuple[str, ...]:
        """What a reader must know of it."""
        reasons, differences = "; ".join(self.reasons), "; ".join(self.differences)
        return tuple(
            filter(
                None,
                (
                    reasons and f"Not comparable: {reasons}",
                    differences and f"Conditions that differ: {differences}",
                ),
            )
        )


def papers() -> list[str]:
    """Papers with published numbers."""
    return sorted(path.parent.name for path in PAPERS.glob("*/published.csv"))


def published(paper: str) -> list[Number]:
    """Every published number of a paper, in its order."""
    table = pd.read_csv(PAPERS / paper / "published.csv")
    return [
        Number(
            str(row["table"]),
            str(row["row"]),
            float(row["mean"]),
            float(row["std"]),
            str(row["corpus"]),
            _cell(str(row["metric"]), str(row["setting"])),
        )
        for _, row in table.iterrows()
    ]


def _cell(metric: str, setting: str) -> str:
    matches = re.fullmatch(r"attribute matches >?=(\d)", setting)
    return f"{metric}/{matches[1]}" if matches else metric


def layouts(paper: str) -> dict[str, Layout | GroupLayout]:
    """The tables of a paper by name; none where it has no layout yet.

    Raises:
        ReportError: tables.yaml is wrong, or leaves a published number without a place.
    """
    path = PAPERS / paper / "tables.yaml"
    if not path.is_file():
        return {}
    try:
        tables = {name: _layout(content) for name, content in yaml.safe_load(path.read_text()).items()}
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ReportError(f"{paper}/tables.yaml: {error.title} {where}: {first['msg']}") from error
    numbers = published(paper)
    for n in numbers:
        if n.table not in tables or _lacks(tables[n.table], n):
            raise ReportError(
                f"{paper}/tables.yaml has no row for {n.table}, {n.row!r}: {n.cell} on {n.corpus}"
            )
    for name, layout in tables.items():
        if isinstance(layout, GroupLayout) and (name in {n.table for n in numbers}) == bool(
            layout.unpublished
        ):
            raise ReportError(
                f"{paper}/tables.yaml: {name} must have published numbers, or say `unpublished` why"
            )
    return tables


def _lacks(layout: Layout | GroupLayout, number: Number) -> bool:
    """Whether a published number has no place in a layout."""
    if number.row not in [row.row for row in layout.rows]:
        return True
    if isinstance(layout, Layout):
        return False
    return number.corpus not in layout.corpora or number.cell not in layout.columns()


def _layout(content: Mapping[str, Any]) -> Layout | GroupLayout:
    kinds: tuple[str, ...] = ("clustering", "retrieval")
    return (GroupLayout if content.get("kind") in kinds else Layout).model_validate(content)


def judge(layout: Conditions, row: LayoutRow, facts: Mapping[str, Any]) -> Verdict:
    """Compare the conditions of our number with the published ones.

    Args:
        facts: `simulated`, `scale`, `records` (labelled ones of our corpus), and whatever the checks' paths name.
    """
    reasons = []
    if facts["simulated"]:
        reasons.append("ours is measured on a simulated cohort")
    if facts["scale"] != "paper":
        reasons.append(f"ours is at scale {facts['scale']}")
    if not facts["simulated"] and facts["records"] < ENOUGH * layout.records:
        reasons.append(f"ours has {facts['records']:,} of the published {layout.records:,} records")
    differences = [line for check in layout.checks_of(row) if (line := _difference(check, facts))]
    if not reasons and facts["records"] != layout.records:
        differences.append(f"records {facts['records']:,} (published: {layout.records:,})")
    differences += layout.differs if row.differs is None else row.differs
    word: Word = "not comparable" if reasons else "near" if differences else "same"
    return Verdict(word, tuple(reasons), tuple(differences))


def at_path(facts: Mapping[str, Any], path: str) -> Any:
    """What a dotted path leads to; None where there is nothing."""
    found: Any = facts
    for part in path.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _difference(check: Check, facts: Mapping[str, Any]) -> str:
    ours = at_path(facts, check.path)
    ours = check.default if ours is None else ours
    if ours is None or ours == check.published:
        return ""
    return f"{check.what} {_worded(ours)} (published: {_worded(check.published)})"


def _worded(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return (
        f"{value:,g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
    )
