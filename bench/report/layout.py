"""How a published table is laid out: what stands in bench/papers/<paper>/tables.yaml, as closed, frozen models.

A table of scores or sizes is about one corpus; one of groups (clustering, retrieval) has conditions for each of
several, and one set of rows; the numbers of a grid lie on axes: row, column (a corpus, or a transfer to one), side
(a read-out) and label fraction; each row of a table over settings says itself where its number lies.
"""

from collections.abc import Iterator
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from bench.data.leads import LEAD_SETS
from bench.report.challenge_views import Rule
from bench.run.suite import Grouping


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
        pretraining_records: of another cohort that was pre-trained on; 0: of none.
        differs: what differs from the paper, whatever the settings.
    """

    records: int = 0
    pretraining_records: int = 0
    checks: tuple[Check, ...] = ()
    differs: tuple[str, ...] = ()

    def checks_of(self, row: LayoutRow) -> list[Check]:
        """The table's conditions, with a row's own in their place."""
        own = {check.path: check for check in row.checks}
        return [own.pop(check.path, check) for check in self.checks] + list(own.values())

    def joined(self, *more: "Conditions") -> "Conditions":
        """These conditions with further ones: a later check of the same path stands in an earlier one's place."""
        checks = {check.path: check for one in (self, *more) for check in one.checks}
        return Conditions(
            records=max(one.records for one in (self, *more)),
            pretraining_records=max(one.pretraining_records for one in (self, *more)),
            checks=tuple(checks.values()),
            differs=tuple(dict.fromkeys(line for one in (self, *more) for line in one.differs)),
        )


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


class GroupRow(LayoutRow):
    """One published row of groups: an entry of ours and how its embeddings were grouped.

    Attributes:
        labels: by attribute, where it has a fit of its own; `label` for all others.
        values: the ids have a meaning by construction ('read off'), or are mapped to values ('mapped').
        cells: footnotes of single numbers, by corpus and cell.
        also_differs: what differs in this row besides what does on the corpus.
        compared_by: the cell of ours that the difference is of, where it is not the cell of the same name.
    """

    grouping: Grouping
    labels: dict[str, str] = {}
    values: Literal["read off", "mapped"] = "mapped"
    cells: dict[str, dict[str, tuple[str, ...]]] = {}
    also_differs: tuple[str, ...] = ()
    compared_by: dict[str, str] = {}

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


class Side(Conditions):
    """One read-out of a grid; all of them stand side by side in each row.

    Attributes:
        setting: of its published numbers, less the label fraction: 'linear; leads 4; E 128'.
        name: for heads and files, where there is more than one.
    """

    setting: str
    name: str = ""


class GridColumn(Conditions):
    """A corpus that numbers of a grid were measured on, or a transfer to it.

    Attributes:
        published: its name among the published numbers.
        corpus, task: ours; none with a reason.
        source: corpus of ours pre-trained on, '' being the one evaluated; None: whichever the labels stand for.
        reason: why there is nothing of ours.
    """

    published: str
    title: str
    corpus: str = ""
    task: str = ""
    source: str | None = None
    reason: str = ""


class GridRow(LayoutRow):
    """One published row of a grid: an entry of ours for every side.

    Attributes:
        labels: by the name of the side, where it has an entry of its own; `label` for all others.
        source: in place of the columns', for rows that rest on no pre-training.
        where: conditions of this row on one side or in one column only.
        also_differs: what differs in this row besides what does in the table.
        cells: footnotes by column.
    """

    labels: dict[str, str] = {}
    source: str | None = None
    where: dict[str, Conditions] = {}
    also_differs: tuple[str, ...] = ()
    cells: dict[str, tuple[str, ...]] = {}

    def label_of(self, side: Side) -> str:
        """The entry that a side's numbers come from."""
        return self.labels.get(side.name, self.label)


class GridLayout(Conditions):
    """A published table whose numbers lie on axes; of these a run's settings each have some.

    Attributes:
        spread: what is printed behind ±.
        provenance: of all its published numbers, where they were not taken from the paper: 'second-hand'.
        view_of: table whose numbers it shows too: those at its own fractions.
        reason: why nothing of ours stands beside any of it.
        lead_set, dim: lead set and length of the embedding that it is about; none: whichever ours has.
        fractions: label fractions.
        controls: rows of ours that the paper's table lacks.
    """

    kind: Literal["grid"]
    title: str
    spread: str = ""
    provenance: str = ""
    view_of: str = ""
    reason: str = ""
    lead_set: str = ""
    dim: int = 0
    fractions: tuple[float, ...] = (1.0,)
    sides: tuple[Side, ...]
    columns: tuple[GridColumn, ...]
    rows: tuple[GridRow, ...]
    controls: tuple[GridRow, ...] = ()
    footnotes: dict[str, str] = {}
    table_footnotes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        """Rows name sides and columns that there are."""
        sides, columns = {side.name for side in self.sides}, {column.published for column in self.columns}
        for row in (*self.rows, *self.controls):
            strange = (
                (set(row.labels) - sides) | (set(row.where) - sides - columns) | (set(row.cells) - columns)
            )
            if strange:
                raise ValueError(f"row {row.row!r}: {min(strange)!r} is no side or column of the table")
        return self

    @property
    def corpora(self) -> tuple[str, ...]:
        """Those of ours that it has columns for."""
        return tuple(dict.fromkeys(column.corpus for column in self.columns if column.corpus))

    def conditions(self, column: GridColumn, side: Side) -> Conditions:
        """All that hold for one column and side, whatever the row."""
        return self.joined(side, column)


class PublishedAt(_Frozen):
    """Where a published number stands: its row, setting and part as in published.csv."""

    row: str
    setting: str = ""
    split: str = ""


class SettingsRow(LayoutRow):
    """One row of a table over settings.

    Attributes:
        row: a name that no other row of the table has.
        published: its number; None for a row of ours.
        lead_set, eval_lead_set: trained, and evaluated; '' the same.
        rule: what is known of the source database when scores become decisions; of the Challenge metric alone.
        part: that is evaluated.
        minus: name of the row that it is compared with, on the same records.
    """

    published: PublishedAt | None = None
    lead_set: str = ""
    eval_lead_set: str = ""
    fraction: float = 1.0
    rule: Rule = "known"
    part: Literal["test", "val"] = "test"
    minus: str = ""

    @property
    def leads(self) -> tuple[str, str]:
        """Lead sets trained and evaluated."""
        return self.lead_set, self.eval_lead_set or self.lead_set


class SettingsLayout(Conditions):
    """A published table whose rows lie on several lead sets, label fractions, parts and decision rules of one corpus.

    Attributes:
        rows: none where the paper prints no number, as of a figure.
        spread: what is printed behind each number: '± SD, 7 seeds'; '' where nothing is.
        metric: of its numbers, which are shown times 100 with so many `decimals`.
        named: what the names of its rows tell, and no column repeats.
        controls: rows of ours that the paper's table lacks.
    """

    kind: Literal["settings"]
    title: str
    spread: str = ""
    metric: Literal["challenge_metric", "macro_auroc"]
    decimals: int = 1
    named: tuple[Literal["leads", "part", "fraction"], ...] = ()
    corpus: str
    task: str
    rows: tuple[SettingsRow, ...] = ()
    controls: tuple[SettingsRow, ...] = ()
    footnotes: dict[str, str] = {}
    table_footnotes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        """Each row is one of its kind, and is compared with another on the same part."""
        for row, why in self._wrong():
            raise ValueError(f"row {row.row!r}: {why}")
        return self

    def _wrong(self) -> Iterator[tuple[SettingsRow, str]]:
        """What is wrong with which row."""
        every = (*self.rows, *self.controls)
        names, parts = [row.row for row in every], {row.row: row.part for row in every}
        for row in every:
            if names.count(row.row) > 1:
                yield row, "another row has this name"
            if (row.published is None) == (row in self.rows):
                yield row, "rows have a published number, controls none"
            if bool(row.label) == bool(row.reason):
                yield row, "give a label, or the reason why nothing of ours stands there"
            if row.label and not set(row.leads) <= set(LEAD_SETS):
                yield row, f"no lead sets {row.leads}"
            if row.minus and (row.minus == row.row or parts.get(row.minus) != row.part):
                yield row, f"{row.minus!r} is no other row of part {row.part}"
            if row.rule != "known" and self.metric != "challenge_metric":
                yield row, "only the Challenge metric has decision rules"
            if row.part != "test" and self.metric == "challenge_metric":
                yield row, "the validation part chose the thresholds of the Challenge metric"


AnyLayout = Layout | GroupLayout | GridLayout | SettingsLayout
