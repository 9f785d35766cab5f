"""Groupings of the store as one tidy frame, and what tables and figures show of it: metrics over seeds.

Beside the frame of scores, by the same rules: nothing planned vanishes, and one setting is one table.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, cast

import numpy as np
import pandas as pd

from bench.report.frame import RecordsCheck, describe_rows, joined
from bench.report.group_views import GroupViews
from bench.report.stats import Seeds, mean_interval, over_seeds
from bench.report.summary import Missing, Setting, Summary, mean_cost, missing_of
from bench.run.plan import Plan
from bench.run.status import Status
from bench.run.store import Store

HEADLINE = "acc"

GROUP_COLUMNS = ("part", "attribute", "metric", "value", "low", "high", "n", "records", "clusters", "digest")

_NOTHING = (*[float("nan")] * 3, *[0] * 3, "")

SHORT = {"own": "CP", "means": "TP", "kmeans": "KM"}
"""Abbreviations of the read-outs, as CROCS has them."""

NAMES = {"own": "own prototypes", "means": "means of attribute sets", "kmeans": "k-means"}


def build_group_frame(plan: Plan, store: Store, resamples: int = 1000) -> pd.DataFrame:
    """Every planned grouping with its metrics, interval, cost and status.

    Args:
        resamples: of the bootstrap over test patients.

    Returns:
        The columns of `Row`; `status` and `reason`; the cost of the fit; `GROUP_COLUMNS`: attribute 'class', 'sex',
        'age', or 'set' for retrieval; value as a fraction (counts as they are); low and high the 95 % interval over
        test patients (`acc`, test part only); n units judged, of `records` records; clusters: ids there may be, or
        queries. Retrieval is named 'precision_at_5/2', 'precision_at_5/2/patients', 'distinct_top', 'queries'. An
        attribute without a result has a row all the same: 'acc' of the test part, NaN of 0 units.

    Raises:
        ReportError: two cells that are to be compared hold different test records, or one holds a unit twice.
    """
    views = GroupViews(store, resamples)
    check = RecordsCheck(plan, views)
    planned = [row for row in plan.rows if row.grouping]
    described, results = describe_rows(plan, store, planned), []
    for place, row in enumerate(planned):
        judged: set[str] = set()
        if described[place]["status"] == Status.DONE.value:
            content = views.metrics(row.key)
            check(row, content["records"])
            results += _result_rows(place, content)
            judged = {part["attribute"] for part in content["parts"] if part["part"] == "test"}
        without = [attribute for attribute in row.attributes if attribute not in judged]
        results += [(place, "test", attribute, HEADLINE, *_NOTHING) for attribute in without]
    return joined(described, results, GROUP_COLUMNS)


def _result_rows(place: int, content: dict[str, Any]) -> list[tuple[Any, ...]]:
    rows = []
    for part in content["parts"]:
        known = (part["n"], part["records"], part["clusters"], part["digest"])
        for name, value in part["metrics"].items():
            span = part["interval"] if name == HEADLINE and "interval" in part else (float("nan"),) * 2
            rows.append((place, part["part"], part["attribute"], name, value, *span, *known))
    return rows


@dataclass(frozen=True)
class GroupEntry:
    """A row of a table of groupings: an entry read out in one way.

    Attributes:
        name: of the entry, as everywhere.
        strategy: of the entry; where it is also the label of another, the entry is a variant of that one.
        grouping: 'own', 'means' or 'kmeans'.
        attributes: whose groups are judged.
        fraction: of the labels that the read-out, and a fit with labels, may see.
        wanted: seeds that the plan asks for.
        keys, fit_keys: of its finished cells, one a seed.
        cost: of a fit, mean over seeds; NaN where unknown.
    """

    label: str
    strategy: str
    name: str
    origin: str
    needs: tuple[str, ...]
    needs_at_test: tuple[str, ...]
    grouping: str
    attributes: tuple[str, ...]
    fraction: float
    wanted: int
    keys: tuple[str, ...]
    fit_keys: tuple[str, ...]
    cost: dict[str, float]
    missing: tuple[Missing, ...]

    @property
    def place(self) -> tuple[str, str]:
        """Label and grouping, which no other row has."""
        return self.label, self.grouping

    @property
    def title(self) -> str:
        """Entry and read-out: 'CROCS, CP'; the entry alone where bare ids are its own."""
        return self.name if self.bare else f"{self.name}, {SHORT[self.grouping]}"

    @property
    def bare(self) -> bool:
        """Whether its own ids stand for nothing: groups sought for one attribute are only numbered."""
        return self.grouping == "own" and len(self.attributes) == 1

    @property
    def reads_off(self) -> bool:
        """Whether ids stand for values by construction."""
        return self.grouping != "kmeans" and not self.bare

    @property
    def readout(self) -> str:
        """'own prototypes (CP)', or 'own groups' where bare ids are its own."""
        return "own groups" if self.bare else f"{NAMES[self.grouping]} ({SHORT[self.grouping]})"

    @property
    def paid_for(self) -> tuple[str, ...]:
        """Fields read in training: what is needed at test time is needed of the training records too."""
        return tuple(sorted({*self.needs, *self.needs_at_test}))


Place = tuple[str, str, str, str, str]
"""Label, grouping, part, attribute, metric."""


@dataclass(frozen=True)
class GroupSummary:
    """All groupings of one setting.

    Attributes:
        rows: of the frame.
        views: where resamples and floors are; read only when somebody asks.
        measured: what computed the corpus's measurements from its ECGs; empty: they came with it.
        terms: licence and citation of the corpus; empty for a simulated one.
    """

    setting: Setting
    rows: pd.DataFrame = field(repr=False, compare=False)
    entries: tuple[GroupEntry, ...]
    views: GroupViews = field(repr=False, compare=False)
    measured: str = ""
    terms: str = ""

    @property
    def headline(self) -> float:
        """The largest label fraction."""
        return max(entry.fraction for entry in self.entries)

    @property
    def seeds(self) -> int:
        """Seeds that the plan asks for."""
        return max(entry.wanted for entry in self.entries)

    @property
    def records(self) -> int:
        """Of the test part; 0 where nothing has run."""
        return int(self.rows.loc[self.rows["part"] == "test", "records"].max())

    def value(self, label: str, grouping: str, part: str, attribute: str, metric: str) -> Seeds | None:
        """A metric over seeds; None where there is no result, or no such metric."""
        return self._values.get((label, grouping, part, attribute, metric))

    def interval(
        self, label: str, grouping: str, part: str, attribute: str, metric: str
    ) -> tuple[float, float]:
        """95 % interval over test patients of the mean over seeds; NaN but for `acc` in the test part."""
        keys = next((entry.keys for entry in self.entries if entry.place == (label, grouping)), ())
        if not keys or (part, metric) != ("test", HEADLINE):
            return float("nan"), float("nan")
        return mean_interval(np.stack([self.views.draws(key, attribute) for key in keys]))

    def units(self, part: str, attribute: str) -> int:
        """Units judged in a part: those whose value is known ('set': all); 0 where nothing has run."""
        chosen = (self.rows["part"] == part) & (self.rows["attribute"] == attribute)
        return int(self.rows.loc[chosen, "n"].max()) if chosen.any() else 0

    def clusters(self, label: str, grouping: str, attribute: str) -> int:
        """Ids that there may be ('set': queries); 0 where there is no result."""
        return self._clusters.get((label, grouping, attribute), 0)

    def floors(self, part: str, attribute: str) -> dict[str, dict[str, float]]:
        """Metrics of 'constant', 'majority' and 'random' ids (`clustering_floors`); empty where nothing has run.

        The label subset is that of the largest fraction, first seed. The AMI of random ids is its expectation, 0.
        """
        found = self._floors.get(part, {}).get(attribute, {})
        known = {"ami": 0.0, "ami_mapped": 0.0} if attribute != "set" else {}
        return {name: of | known if name == "random" else of for name, of in found.items()}

    def retrieval_floors(self, part: str) -> dict[str, dict[str, float]]:
        """Metrics of 'constant' (one unit for all queries: K = 1 only) and 'random' retrieval, as in the frame."""
        return self.floors(part, "set")

    @cached_property
    def _values(self) -> dict[Place, Seeds]:
        done = self.rows[(self.rows["status"] == Status.DONE.value) & self.rows["value"].notna()]
        axes = ["label", "grouping", "part", "attribute", "metric"]
        groups = done.sort_values("seed_index", kind="stable").groupby(axes, sort=False)
        return {
            cast(Place, place): over_seeds(own["value"].tolist(), own["digest"].tolist())
            for place, own in groups
        }

    @cached_property
    def _clusters(self) -> dict[tuple[str, str, str], int]:
        largest = self.rows.groupby(["label", "grouping", "attribute"])["clusters"].max()
        return {cast(tuple[str, str, str], place): int(count) for place, count in largest.items()}

    @cached_property
    def _floors(self) -> dict[str, Any]:
        have = [entry for entry in self.entries if entry.keys]
        if not have:
            return {}
        return self.views.floors(max(have, key=lambda entry: entry.fraction).keys[0])


AnySummary = Summary | GroupSummary
"""Scores or groupings of a setting: what a table's caption needs, both have."""


def summarise_groups(frame: pd.DataFrame, views: GroupViews) -> list[GroupSummary]:
    """Every setting of a frame of groupings, in the plan's order."""
    axes = [axis.name for axis in fields(Setting)]
    summaries = []
    for _, rows in frame.groupby(axes, sort=False):
        own = (list(part.itertuples(index=False)) for _, part in _cells(rows).groupby(_ENTRY, sort=False))
        setting = Setting(*(rows[axis].iloc[0] for axis in axes))
        summaries.append(GroupSummary(setting, rows, tuple(map(_entry, own)), views))
    return summaries


_ENTRY = ["label", "grouping"]


def _cells(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a planned cell."""
    return rows.drop_duplicates([*_ENTRY, "fraction", "seed_index"])


def _entry(rows: Sequence[Any]) -> GroupEntry:
    """Args: rows: cells of one entry and grouping, as named tuples."""
    first = rows[0]
    done = sorted((row for row in rows if row.status == Status.DONE.value), key=lambda row: row.seed_index)
    return GroupEntry(
        label=first.label,
        strategy=first.strategy,
        name=first.strategy_title,
        origin=first.origin,
        needs=first.needs,
        needs_at_test=first.needs_at_test,
        grouping=first.grouping,
        attributes=first.attributes,
        fraction=float(first.fraction),
        wanted=len(rows),
        keys=tuple(row.key for row in done),
        fit_keys=tuple(row.fit_key for row in done),
        cost=mean_cost(done),
        missing=missing_of([row for row in rows if row.status != Status.DONE.value]),
    )
