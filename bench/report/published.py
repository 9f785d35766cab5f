"""Published numbers, the layout of the tables they stand in, and what may be concluded from them beside ours.

All of a paper is data: bench/papers/<paper>/published.csv holds every number, tables.yaml gives each one a row of
ours or the reason why there is none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from bench.report.views import ReportError

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


class Layout(_Frozen):
    """A published table.

    Attributes:
        kind: 'scores' (a score a row) or 'class_sizes' (records a class; a row without a label counts them all).
        spread: what the printed ± is.
        corpus, records: the cohort it was made on.
        fact: of the corpus's facts, where its reader keeps the cohort's true sizes by class and 'all'; fact_title
            says what they are.
    """

    kind: Literal["scores", "class_sizes"]
    title: str
    corpus: str
    records: int = 0
    spread: str = ""
    fact: str = ""
    fact_title: str = ""
    checks: tuple[Check, ...] = ()
    differs: tuple[str, ...] = ()
    footnotes: dict[str, str] = {}
    table_footnotes: tuple[str, ...] = ()
    rows: tuple[LayoutRow, ...]

    def checks_of(self, row: LayoutRow) -> list[Check]:
        """The table's conditions, with a row's own in their place."""
        own = {check.path: check for check in row.checks}
        return [own.pop(check.path, check) for check in self.checks] + list(own.values())


@dataclass(frozen=True)
class Number:
    """A published number, in the paper's unit; NaN where it prints none."""

    table: str
    row: str
    mean: float
    spread: float


@dataclass(frozen=True)
class Verdict:
    """Whether our number can be held against a published one.

    Attributes:
        reasons: why it cannot; differences: in what else the conditions differ.
    """

    word: Word
    reasons: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()


def papers() -> list[str]:
    """Papers with published numbers."""
    return sorted(path.parent.name for path in PAPERS.glob("*/published.csv"))


def published(paper: str) -> list[Number]:
    """Every published number of a paper, in its order."""
    table = pd.read_csv(PAPERS / paper / "published.csv")
    return [
        Number(str(row["table"]), str(row["row"]), float(row["mean"]), float(row["std"]))
        for _, row in table.iterrows()
    ]


def layouts(paper: str) -> dict[str, Layout]:
    """The tables of a paper by name; none where it has no layout yet.

    Raises:
        ReportError: tables.yaml is wrong, or leaves a published row without a row of ours and without a reason.
    """
    path = PAPERS / paper / "tables.yaml"
    if not path.is_file():
        return {}
    try:
        tables = {name: Layout.model_validate(c) for name, c in yaml.safe_load(path.read_text()).items()}
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ReportError(f"{paper}/tables.yaml: {error.title} {where}: {first['msg']}") from error
    uncovered = [n for n in published(paper) if n.row not in [r.row for r in _rows(tables, n.table)]]
    if uncovered:
        raise ReportError(f"{paper}/tables.yaml has no row for {uncovered[0].table}, {uncovered[0].row!r}")
    return tables


def _rows(tables: Mapping[str, Layout], name: str) -> Sequence[LayoutRow]:
    return tables[name].rows if name in tables else ()


def judge(layout: Layout, row: LayoutRow, facts: Mapping[str, Any]) -> Verdict:
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


def _difference(check: Check, facts: Mapping[str, Any]) -> str:
    ours: Any = facts
    for part in check.path.split("."):
        ours = ours.get(part) if isinstance(ours, Mapping) else None
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
