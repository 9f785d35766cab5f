"""Published numbers, the layout of the tables they stand in, and what may be concluded from them beside ours.

All of a paper is data: bench/papers/<paper>/published.csv holds every number, tables.yaml gives each one a row of
ours or the reason why there is none. A table of scores or sizes is about one corpus; one of groups (clustering,
retrieval) has a part for each of several.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from bench.report.views import ReportError
from bench.run.suite import Grouping

PAPERS = Path(__file__).resolve().parents[1] / "papers"

ENOUGH = 0.9
"""Share of the published cohort below which a corpus is a subset of it, and no longer comparable."""

Word = Literal["same", "near", "not comparable"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Check(_Frozen):
    """One published condition and where ours is written.

    Attributes:
        path: dotted, into the facts given to `judge`; where there is nothing, and no default, it does not apply.
    """

    what: str
    path: str
    published: Any
    default: Any = None


class LayoutRow(_Frozen):
    """One published row: the entry (or class) of ours beside it, or the reason why there is none.

    Attributes:
        checks: replace those of the table with the same path.
        differs: what differs from the paper in this row, whatever the settings; in place of the table's.
    """

    row: str
    label: str = ""
    reason: str = ""
    footnotes: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()
    differs: tuple[str, ...] | None = None


class Conditions(_Frozen):
    """How a published table was made on one corpus.

    Attributes:
        records: of the cohort.
        differs: what differs from the paper, whatever the settings.
    """

    records: int = 0
    checks: tuple[Check, ...] = ()
    differs: tuple[str, ...] = ()

    def checks_of(self, row: LayoutRow) -> list[Check]:
        """The table's conditions, with a row's own in their place."""
        own = {check.path: check for check in row.checks}
        return [own.pop(check.path, check) for check in self.checks] + list(own.values())


class Layout(Conditions):
    """A published table of scores or sizes.

    Attributes:
        kind: 'scores' (a score a row) or 'class_sizes' (records a class; a row without a label counts them all).
        spread: what the printed ± is.
        corpus: that it was made on.
        fact: of the corpus's facts, where its reader keeps the cohort's true sizes by class and 'all'; fact_title
            says what they are.
    """

    kind: Literal["scores", "class_sizes"]
    title: str
    corpus: str
    spread: str = ""
    fact: str = ""
    fact_title: str = ""
    footnotes: dict[str, str] = {}
    table_footnotes: tuple[str, ...] = ()
    rows: tuple[LayoutRow, ...]

    def lacks(self, number: "Number") -> bool:
        """Whether a published number has no place in it."""
        return number.row not in [row.row for row in self.rows]


class GroupRow(LayoutRow):
    """One published row of groups: an entry of ours and how its embeddings were grouped.

    Attributes:
        labels: by attribute, where it has a fit of its own; `label` for all others.
        values: the ids have a meaning by construction ('read off'), or are mapped to values ('mapped').
        cells: footnotes of single numbers, by corpus and cell.
        also_differs: what differs in this row besides what does on the corpus.
    """

    grouping: Grouping
    labels: dict[str, str] = {}
    values: Literal["read off", "mapped"] = "mapped"
    cells: dict[str, dict[str, tuple[str, ...]]] = {}
    also_differs: tuple[str, ...] = ()

    def label_of(self, attribute: str) -> str:
        """The entry that an attribute's numbers come from."""
        return self.labels.get(attribute, self.label)


class Axis(_Frozen):
    """What an ablation varies, and where its value is written in the facts given to `judge`."""

    what: str
    path: str
    percent: bool = False


KS = (1, 5, 10)
"""Depths of a retrieval table."""

MATCHES = (1, 2, 3)
"""Equal attributes, at least, of its blocks."""


class GroupLayout(_Frozen):
    """A table of clustering or retrieval, the same on every corpus.

    Attributes:
        metrics: columns of a clustering table, '<attribute>_acc', '_ami' or '_identity' (the accuracy where ids
            are taken for values as they are); those of a retrieval table are the hit rates at K.
        spread: what is printed in brackets.
        corpora: the conditions on each corpus.
        axis: of an ablation.
        unpublished: why there is no published number, if there is none.
        controls: rows of ours that the paper's table lacks.
    """

    kind: Literal["clustering", "retrieval"]
    title: str
    metrics: tuple[str, ...] = ()
    spread: str = ""
    corpora: dict[str, Conditions]
    axis: Axis | None = None
    unpublished: str = ""
    footnotes: dict[str, str] = {}
    table_footnotes: tuple[str, ...] = ()
    rows: tuple[GroupRow, ...]
    controls: tuple[GroupRow, ...] = ()

    def columns(self) -> tuple[str, ...]:
        """Every cell a row may have."""
        hits = tuple(f"precision_at_{k}/{m}" for m in MATCHES for k in KS)
        return hits if self.kind == "retrieval" else self.metrics

    def lacks(self, number: "Number") -> bool:
        """Whether a published number has no place in it."""
        row_known = number.row in [row.row for row in self.rows]
        return not (row_known and number.corpus in self.corpora and number.cell in self.columns())


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
        if n.table not in tables or tables[n.table].lacks(n):
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
