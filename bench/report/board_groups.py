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
        what: for the caption, with places for the counts of `units` judged and `queries`; floor: by its name among
            the floors, which is beside it.
    """

    head: str
    field: str
    grouping: str
    attribute: str
    metric: str
    what: str
    floor: tuple[str, str]

    @property
    def column(self) -> Column:
        """Its head."""
        return Column(self.head)

    def explained(self, groups: GroupSummary | None) -> str:
        """What the number is, of how many, and what is reached without a look at the signal."""
        if groups is None:
            return ""
        asking = [entry.label for entry in groups.entries if entry.grouping == self.grouping]
        queries = max((groups.clusters(label, self.grouping, self.attribute) for label in asking), default=0)
        told = self.what.format(units=groups.units("test", self.attribute), queries=queries)
        name, words_ = self.floor
        floor = groups.floors("test", self.attribute).get(name, {}).get(self.metric, float("nan"))
        return f"{self.head}, ×100: {told}; {words_} {words.points(floor)}; a dash: constant embeddings."

    def value(self, groups: GroupSummary, label: str) -> float | None:
        """An entry's number; None without a result, and where all embeddings are the same."""
        signs = (("kmeans", "class", "used"), ("means", "set", "distinct_top"))
        seen = [groups.value(label, grouping, "test", *place) for grouping, *place in signs]
        constant = all(seeds.high == 1 for seeds in seen if seeds)
        found = groups.value(label, self.grouping, "test", self.attribute, self.metric)
        return found.mean if found and not constant else None


_COLUMNS = (
    GroupColumn(
        *("k-means Acc", "kmeans_acc", "kmeans", "class", "acc"),
        "accuracy of the class by k-means of the embeddings, over the {units:,} test records of exactly one class, ids"
        " mapped by the Hungarian method on the training part",
        ("majority", "majority class"),
    ),
    GroupColumn(
        *("P@5, 2 of 3", "means_precision_at_5_2", "means", "set", "precision_at_5/2"),
        "of {queries:,} attribute sets those whose mean embedding has at least one of {units:,} test records with at"
        " least 2 equal attributes (class, sex, age group) among its 5 nearest",
        ("random", "random retrieval"),
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
    values = [column.value(groups, label) for column in columns]
    cells = tuple(Cell() if value is None else Cell(words.points(value)) for value in values)
    data = {column.field: value for column, value in zip(columns, values, strict=True)}
    return replace(row, cells=row.cells + cells, data={**row.data, **data})
