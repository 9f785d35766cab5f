"""Published numbers, the layout of the tables they stand in, and what may be concluded from them beside ours.

All of a paper is data: bench/papers/<paper>/published.csv holds every number, tables.yaml gives each one a row of
ours or the reason why there is none.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import yaml
from pydantic import ValidationError

from bench.report.layout import (
    AnyLayout,
    Check,
    Conditions,
    GridLayout,
    GroupLayout,
    Layout,
    LayoutRow,
    PublishedAt,
    SettingsLayout,
)
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
        setting: where it lies on a grid: 'linear; leads 4; E 128; F 0.5'; or what else it is about: '6 leads'.
        note: what its transcript says of it.
        split: part that it was measured on.
    """

    table: str
    row: str
    mean: float
    spread: float
    corpus: str = ""
    cell: str = ""
    setting: str = ""
    note: str = ""
    split: str = ""


@dataclass(frozen=True)
class Place:
    """Where a number stands in a grid: row, column as published, setting of the side, label fraction."""

    row: str
    column: str
    side: str
    fraction: float


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

    def lines_beside(self, common: "Verdict") -> tuple[str, ...]:
        """`lines`, with what differs in this row only apart from what does in the whole table, for rows to share.

        Args:
            common: the verdict by the table's conditions alone.
        """
        shared = tuple(line for line in self.differences if line in common.differences)
        own = "; ".join(line for line in self.differences if line not in common.differences)
        lines = replace(self, differences=shared).lines()
        return (*lines, f"In this row {'also ' if shared else ''}differ: {own}") if own else lines


def papers() -> list[str]:
    """Papers with published numbers."""
    return sorted(path.parent.name for path in PAPERS.glob("*/published.csv"))


def published(paper: str) -> list[Number]:
    """Every published number of a paper, in its order."""
    path = PAPERS / paper / "published.csv"
    return list(_numbers(path, path.stat().st_mtime_ns))


@lru_cache(maxsize=16)
def _numbers(path: Path, _changed: int) -> tuple[Number, ...]:
    texts = dict.fromkeys(("setting", "note", "split"), "")
    table = pd.read_csv(path, dtype=dict.fromkeys(texts, str)).fillna(texts)
    return tuple(
        Number(
            str(row["table"]),
            str(row["row"]),
            float(row["mean"]),
            float(row["std"]),
            str(row["corpus"]),
            _cell(str(row["metric"]), row["setting"]),
            row["setting"],
            row["note"],
            row["split"],
        )
        for row in table.to_dict("records")
    )


def _cell(metric: str, setting: str) -> str:
    matches = re.fullmatch(r"attribute matches >?=(\d)", setting)
    return f"{metric}/{matches[1]}" if matches else metric


def layouts(paper: str) -> dict[str, AnyLayout]:
    """The tables of a paper by name; none where it has no layout yet.

    Raises:
        ReportError: tables.yaml is wrong, or leaves a published number without a place.
    """
    path = PAPERS / paper / "tables.yaml"
    if not path.is_file():
        return {}
    tables = dict(_tables(path, path.stat().st_mtime_ns))
    numbers = published(paper)
    for n in numbers:
        if n.table not in tables or _lacks(tables[n.table], n):
            raise ReportError(
                f"{paper}/tables.yaml has no row for {n.table}, {n.row!r}: {n.cell} on {n.corpus}"
            )
    for name, layout in tables.items():
        lost = _unnumbered(layout, (n for n in numbers if n.table == name))
        if lost:
            raise ReportError(f"{paper}/tables.yaml: {name} has no published number for row {lost[0]!r}")
        if isinstance(layout, GroupLayout) and (name in {n.table for n in numbers}) == bool(
            layout.unpublished
        ):
            raise ReportError(
                f"{paper}/tables.yaml: {name} must have published numbers, or say `unpublished` why"
            )
    return tables


@lru_cache(maxsize=16)
def _tables(path: Path, _changed: int) -> Mapping[str, AnyLayout]:
    """What a file holds; a large one takes a second to read, and every setting of a suite asks for it."""
    try:
        return {name: _layout(content) for name, content in yaml.safe_load(path.read_text()).items()}
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ReportError(f"{path.parent.name}/tables.yaml: {error.title} {where}: {first['msg']}") from error


def _lacks(layout: AnyLayout, number: Number) -> bool:
    """Whether a published number has no place in a layout."""
    if isinstance(layout, GridLayout):
        return place_of(layout, number) is None
    if isinstance(layout, SettingsLayout):
        return _at(number) not in [row.published for row in layout.rows]
    if number.row not in [row.row for row in layout.rows]:
        return True
    if isinstance(layout, Layout):
        return False
    return number.corpus not in layout.corpora or number.cell not in layout.columns()


def _at(number: Number) -> PublishedAt:
    return PublishedAt(row=number.row, setting=number.setting, split=number.split)


def _unnumbered(layout: AnyLayout, numbers: Iterable[Number]) -> list[str]:
    """Rows of a table over settings whose published number there is not, or another row has too."""
    if not isinstance(layout, SettingsLayout):
        return []
    left = [_at(number) for number in numbers]
    lost = []
    for row in layout.rows:
        if row.published in left:
            left.remove(row.published)
        else:
            lost.append(row.row)
    return lost


def settings_numbers(numbers: Iterable[Number], name: str, layout: SettingsLayout) -> dict[str, Number]:
    """The published numbers of a table over settings, by the name of its row.

    Args:
        numbers: of the paper.
    """
    found = {_at(number): number for number in numbers if number.table == name}
    return {row.row: found[row.published] for row in layout.rows if row.published in found}


def place_of(layout: GridLayout, number: Number) -> Place | None:
    """Where a grid has a number; None where it has no row, column, side or label fraction for it."""
    row_and_column = number.row in [row.row for row in layout.rows] and number.corpus in [
        column.published for column in layout.columns
    ]
    for side in layout.sides if row_and_column else ():
        fraction = _fraction(side.setting, number.setting)
        if fraction in layout.fractions:
            return Place(number.row, number.corpus, side.setting, fraction)
    return None


def _fraction(side: str, setting: str) -> float | None:
    """The label fraction of a number's setting, all labels where it names none; None on any other side."""
    found = re.fullmatch(rf"{re.escape(side)}(?:; F (\d+(?:\.\d+)?))?", setting)
    return None if found is None else float(found[1] or 1)


def grid_numbers(numbers: Iterable[Number], name: str, layout: GridLayout) -> dict[Place, Number]:
    """The published numbers that a grid shows: its own, and those it has from the table it is a view of.

    Args:
        numbers: of the paper.
    """
    placed = ((place_of(layout, n), n) for n in numbers if n.table in (name, layout.view_of))
    return {place: n for place, n in placed if place is not None}


_KINDS: dict[str, type[AnyLayout]] = {
    "clustering": GroupLayout,
    "retrieval": GroupLayout,
    "grid": GridLayout,
    "settings": SettingsLayout,
}


def _layout(content: Mapping[str, Any]) -> AnyLayout:
    return _KINDS.get(str(content.get("kind")), Layout).model_validate(content)


def judge(layout: Conditions, row: LayoutRow, facts: Mapping[str, Any]) -> Verdict:
    """Compare the conditions of our number with the published ones.

    Args:
        facts: `simulated`, `scale`, `records` (labelled ones of our corpus), `corpus` and `source`
            (`name`, and of the one pre-trained on `simulated` and `records`), and whatever the checks' paths name.
    """
    reasons = []
    if facts["simulated"]:
        reasons.append("ours is measured on a simulated cohort")
    if facts["scale"] != "paper":
        reasons.append(f"ours is at scale {facts['scale']}")
    if not facts["simulated"] and facts["records"] < ENOUGH * layout.records:
        reasons.append(f"ours has {facts['records']:,} of the published {layout.records:,} records")
    reasons += _elsewhere(layout, facts)
    differences = [line for check in layout.checks_of(row) if (line := _difference(check, facts))]
    if not reasons and facts["records"] != layout.records:
        differences.append(f"records {facts['records']:,} (published: {layout.records:,})")
    differences += layout.differs if row.differs is None else row.differs
    word: Word = "not comparable" if reasons else "near" if differences else "same"
    return Verdict(word, tuple(reasons), tuple(differences))


def _elsewhere(layout: Conditions, facts: Mapping[str, Any]) -> list[str]:
    """Why a pre-training on another corpus cannot be held against the published one."""
    source, wanted = facts.get("source"), layout.pretraining_records
    if facts["simulated"] or not source or source["name"] == facts["corpus"]["name"]:
        return []
    if source["simulated"]:
        return ["ours was pre-trained on a simulated cohort"]
    few = source["records"] < ENOUGH * wanted
    return [f"ours was pre-trained on {source['records']:,} of the published {wanted:,} records"] * few


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
