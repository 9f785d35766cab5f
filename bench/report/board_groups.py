"""The board's columns on groupings: one number on clusters and one on retrieval, where a suite has both scores and
groupings."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.report import words
from bench.report.group_summary import GroupSummary
from bench.report.table import Cell, Column, TableRow


@dataclass(frozen=True)
class GroupColumn:
    """A headline number of one read-out, in the test part.

    Attributes:
        field: of the CSV.
        explained: for the caption.
    """

    head: str
    field: str
    grouping: str
    attribute: str
    metric: str
    explained: str

    @property
    def column(self) -> Column:
        """Its head."""
        return Column(self.head)


_COLUMNS = (
    GroupColumn(
        *("k-means Acc", "kmeans_acc", "kmeans", "class", "acc"),
        "k-means Acc ×100: test accuracy of the class by k-means of the embeddings, ids mapped by the Hungarian"
        " method on the training part.",
    ),
    GroupColumn(
        *("P@5, 2 of 3", "means_precision_at_5_2", "means", "set", "precision_at_5/2"),
        "P@5, 2 of 3, ×100: attribute sets whose mean embedding has at least one test record with at least 2 equal"
        " attributes (class, sex, age group) among its 5 nearest.",
    ),
)


def group_columns(groups: GroupSummary | None) -> list[GroupColumn]:
    """Columns for the read-outs that the suite asks for."""
    asked = {entry.grouping for entry in groups.entries} if groups else set()
    return [column for column in _COLUMNS if column.grouping in asked]


def with_groups(
    row: TableRow, label: str, columns: Sequence[GroupColumn], groups: GroupSummary | None
) -> TableRow:
    """A row of the board with an entry's headline numbers on groupings behind it; a dash where there is none."""
    if groups is None:
        return row
    values = [groups.value(label, c.grouping, "test", c.attribute, c.metric) for c in columns]
    cells = tuple(Cell(words.points(value.mean)) if value else Cell() for value in values)
    data = {c.field: value.mean if value else None for c, value in zip(columns, values, strict=True)}
    return replace(row, cells=row.cells + cells, data={**row.data, **data})
