"""How a published table is laid out: what stands in bench/papers/<paper>/tables.yaml, as closed, frozen models.

A table of scores or sizes is about one corpus; one of groups (clustering, retrieval) has conditions for each of
several, and one set of rows.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

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
