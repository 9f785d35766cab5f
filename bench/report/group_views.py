"""Metrics of finished groupings as cached views in the store, like those of scores: computed once, then only read.

Intervals resample test patients, the same resamples for every cell with the same test records, one column of counts a
patient: units follow their patient, so memory does not grow with windows and leads.
"""

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bench.evaluate.group import DEPTH
from bench.evaluate.result import Result
from bench.metrics import clustering, retrieval
from bench.metrics.classification import patient_resamples
from bench.report.stats import interval
from bench.report.views import ReportError, records_hash
from bench.run.store import Store

VERSION = 1
"""Raise it when the content of a view changes; the metrics have versions of their own."""

SET = "set"
"""Stands where clustering names an attribute: retrieval is judged on all three at once."""

PARTS = ("val", "test")
ATTRIBUTES = ("class", "sex", "age")

PATIENTS = "/patients"
"""Ends the names of hit rates among rankings with one unit a patient."""

_UNIT = ["record", "start", "lead"]


class GroupViews:
    """Reads the metric views of group cells, and makes those that are missing.

    Args:
        resamples: bootstrap resamples over test patients.
    """

    def __init__(self, store: Store, resamples: int = 1000) -> None:
        self.store, self.resamples = store, resamples
        self._weights: dict[str, np.ndarray] = {}

    def metrics(self, key: str) -> dict[str, Any]:
        """Metrics of one finished cell.

        Returns:
            `records`: `records_hash` of the test part, by selection, of which there is one, ''; `parts`: one entry a
            part and attribute, with part, attribute ('set' for retrieval), n units, their records, clusters (ids
            there may be; of 'set' the queries), digest (hash of the groups or ranks), metrics by name; in the test
            part of an attribute also `interval`, the 95 % bootstrap interval of `acc` over its patients.

        Raises:
            ReportError: a unit is there twice.
        """
        found = self.store.view(key, self._name("groups"))
        if found is None:
            self._measure(key)
            found = self.store.view(key, self._name("groups"))
        return dict(found)

    def draws(self, key: str, attribute: str) -> np.ndarray:
        """(B,) `acc` of the test part in every resample of its patients, of a cell that `metrics` knows.

        NaN where the cell does not judge the attribute.
        """
        found = self.store.view(key, self._name("group-bootstrap"))
        if found is None:
            self._measure(key)
            found = self.store.view(key, self._name("group-bootstrap"))
        text = found.get(attribute)
        if text is None:
            return np.full(self.resamples, np.nan)
        return np.frombuffer(base64.b64decode(text), dtype="<f4").astype(np.float64)

    def floors(self, key: str) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
        """What is reached without looking at the signal, on the units of a cell: by part, attribute and floor.

        Of an attribute: `clustering_floors`. Of 'set': 'constant', the same unit for every attribute set, and
        'random', units drawn without replacement.
        """
        found = self.store.view(key, self._name("group-floors"))
        if found is None:
            table, described = self.table(key), self._described(key)
            seed = int(records_hash(set(table["record"]))[:8], 16)
            found = {part: _floors(table, part, described["values"], seed) for part in PARTS}
            self.store.keep_view(key, self._name("group-floors"), found)
        return dict(found)

    def table(self, key: str) -> pd.DataFrame:
        """The stored assignments of a cell."""
        return Result.from_bytes("assignments", self.store.read(key, "assignments.parquet")).table

    def held(self, key: str, selection: str) -> set[str]:
        """Test records of a cell."""
        table = self.table(key)
        return set(table.loc[table["part"] == "test", "record"])

    def _name(self, view: str) -> str:
        return f"{view}-{clustering.VERSION}.{retrieval.VERSION}.{VERSION}-{self.resamples}"

    def _described(self, key: str) -> dict[str, Any]:
        return self.store.read_json(key, "grouping.json")

    def _measure(self, key: str) -> None:
        """Make both views of a cell."""
        table, described = self.table(key), self._described(key)
        self._refuse_doubled(key, table)
        tested = table[table["part"] == "test"]
        parts, draws = [], {}
        for attribute in (name for name in ATTRIBUTES if f"id:{name}" in table):
            judged = _Judged(table, described, attribute)
            for part in PARTS:
                if not judged.possible(part):
                    continue
                item = judged.measure(part)
                if part == "test":
                    drawn = judged.draws(self._resamples_of(tested)).astype("<f4")
                    draws[attribute] = base64.b64encode(drawn.tobytes()).decode()
                    item["interval"] = list(interval(drawn.astype(np.float64)))
                parts.append(item)
        if described["query_codes"] is not None:
            rankings = Result.from_bytes("rankings", self.store.read(key, "rankings.parquet")).table
            codes = np.asarray(described["query_codes"])
            parts += [_retrieval(rankings, table, part, codes) for part in PARTS]
        content = {"records": {"": records_hash(set(tested["record"]))}, "parts": parts}
        self.store.keep_view(key, self._name("group-bootstrap"), draws)
        self.store.keep_view(key, self._name("groups"), content)

    def _refuse_doubled(self, key: str, table: pd.DataFrame) -> None:
        doubled = table[table.duplicated(["part", *_UNIT])]
        if len(doubled):
            raise ReportError(
                f"cell {key[:12]} holds {doubled['part'].iloc[0]} record {doubled['record'].iloc[0]!r} more than"
                f" once at one place; remove {self.store.folder(key).relative_to(self.store.root)} and run again"
            )

    def _resamples_of(self, tested: pd.DataFrame) -> np.ndarray:
        """(B, patients) how often each patient of the test part, in sorted order, is in each resample."""
        place = records_hash(set(tested["record"]))
        if place not in self._weights:
            generator = np.random.default_rng(int(place[:16], 16))
            patients = np.unique(tested["patient"].to_numpy())
            self._weights[place] = patient_resamples(patients, self.resamples, generator)
        return self._weights[place]


class _Judged:
    """The groups of one attribute; the mapping of ids to values is fitted on the label subset of the training part."""

    def __init__(self, table: pd.DataFrame, described: Mapping[str, Any], attribute: str) -> None:
        self.attribute, self.count = attribute, len(described["values"][attribute])
        self.clusters = int(described["clusters"][attribute])
        self.parts = dict(list(table.groupby("part", sort=True)))
        self.stands: np.ndarray | None = None
        if described["stands"] is not None:
            stands = np.asarray(described["stands"])[:, ATTRIBUTES.index(attribute)]
            self.stands = stands if (stands >= 0).any() else None  # of this attribute the ids say nothing

    def possible(self, part: str) -> bool:
        """Is the value known of any unit of the training part and of this one?"""
        return all(len(self._known(name)[0]) > 0 for name in ("train", part))

    def measure(self, part: str) -> dict[str, Any]:
        """Every metric of one part."""
        ids, values = self._known(part)
        metrics = clustering.clustering_metrics(
            *self._known("train"), ids, values, self.clusters, self.count, self.stands
        )
        return {
            "part": part,
            "attribute": self.attribute,
            "n": len(ids),
            "records": int(self.parts[part]["record"].nunique()),
            "clusters": self.clusters,
            "digest": _digest(ids),
            "metrics": metrics | self._confounds(part),
        }

    def draws(self, weights: np.ndarray) -> np.ndarray:
        """(B,) `acc` of the test part; weights (B, patients) of all its patients, in sorted order."""
        ids, values = self._known("test")
        mapping = self.stands
        if mapping is None:
            mapping = clustering.fit_hungarian(*self._known("train"), self.clusters, self.count)
        names, member = np.unique(self.parts["test"]["patient"].to_numpy(), return_inverse=True)
        member = member[self._values("test") >= 0]
        units = np.bincount(member, minlength=len(names))
        right = np.bincount(member, weights=mapping[ids] == values, minlength=len(names))
        with np.errstate(invalid="ignore"):  # a resample may hold nobody whose value is known
            return np.asarray((weights @ right) / (weights @ units))

    def _values(self, part: str) -> np.ndarray:
        rows = self.parts.get(part)
        return np.empty(0, int) if rows is None else rows[self.attribute].to_numpy().astype(int)

    def _known(self, part: str) -> tuple[np.ndarray, np.ndarray]:
        """Ids and values of the units of a part whose value is known."""
        values = self._values(part)
        if not len(values):
            return values, values
        known = values >= 0
        return self.parts[part][f"id:{self.attribute}"].to_numpy()[known], values[known]

    def _confounds(self, part: str) -> dict[str, float]:
        """AMI of the ids with what groups should not follow, over all units: lead and window, where there are
        several, and sex."""
        rows = self.parts[part]
        ids = rows[f"id:{self.attribute}"].to_numpy()
        columns = {"ami_lead": "lead", "ami_start": "start"}
        found = {
            name: clustering.ami(ids, pd.factorize(rows[column], sort=True)[0])
            for name, column in columns.items()
            if rows[column].nunique() > 1
        }
        known = (rows["sex"] >= 0).to_numpy()
        if known.any():
            found["ami_sex"] = clustering.ami(ids[known], rows["sex"].to_numpy()[known])
        return found


def _retrieval(
    rankings: pd.DataFrame, assignments: pd.DataFrame, part: str, codes: np.ndarray
) -> dict[str, Any]:
    """Hit rates of one part; codes (Q, 3) of all queries, those that could not be asked included."""
    here = rankings[rankings["part"] == part]
    plain, units = _ranked(here[~here["deduplicated"]], codes)
    single, _ = _ranked(here[here["deduplicated"]], codes)
    metrics = retrieval.precision_at(plain)
    metrics |= {f"{name}{PATIENTS}": value for name, value in retrieval.precision_at(single).items()}
    metrics |= {
        "distinct_top": float(retrieval.distinct_top(units)),
        "queries": float((units[:, 0] >= 0).sum()),
    }
    judged = assignments[assignments["part"] == part]
    return {
        "part": part,
        "attribute": SET,
        "n": len(judged),
        "records": int(judged["record"].nunique()),
        "clusters": len(codes),
        "digest": _digest(units),
        "metrics": metrics,
    }


def _ranked(rows: pd.DataFrame, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(Q, DEPTH) equal attributes by rank, and a number for the unit there; -1 where nothing is ranked."""
    units = rows.groupby(_UNIT, sort=True).ngroup().to_numpy()
    place = rows["query"].to_numpy(), rows["rank"].to_numpy() - 1
    equal = retrieval.matches(codes, rows[list(ATTRIBUTES)].to_numpy())
    matched, ranked = np.full((2, len(codes), DEPTH), -1)
    matched[place] = equal[place[0], np.arange(len(rows))]
    ranked[place] = units
    return matched, ranked


def _floors(
    table: pd.DataFrame, part: str, names: Mapping[str, list[str]], seed: int
) -> dict[str, dict[str, dict[str, float]]]:
    train, here = (table[table["part"] == name] for name in ("train", part))
    found = {}
    for attribute in ATTRIBUTES:
        of_train, of_part = (_known_values(rows, attribute) for rows in (train, here))
        if len(of_train) and len(of_part):
            found[attribute] = clustering.clustering_floors(of_train, of_part, len(names[attribute]), seed)
    return found | {SET: _set_floors(here, tuple(len(names[attribute]) for attribute in ATTRIBUTES))}


def _known_values(rows: pd.DataFrame, attribute: str) -> np.ndarray:
    values = rows[attribute].to_numpy().astype(int)
    return values[values >= 0]


def _set_floors(units: pd.DataFrame, counts: Any) -> dict[str, dict[str, float]]:
    """Retrieval that does not look; of one unit a patient, each patient is drawn by its first one."""
    grid = retrieval.attribute_grid(counts)
    constant = retrieval.constant_query(counts)
    constant |= {f"{name}{PATIENTS}": value for name, value in constant.items()} | {"distinct_top": 1.0}
    random: dict[str, float] = {}
    for ending, rows in (("", units), (PATIENTS, units.drop_duplicates("patient"))):
        rates = retrieval.random_retrieval(grid, rows[list(ATTRIBUTES)].to_numpy())
        random |= {f"{name}{ending}": value for name, value in rates.items()}
    random["distinct_top"] = float(
        len(units) * (1 - (1 - 1 / len(units)) ** len(grid))
    )  # units with replacement
    return {"constant": constant, "random": random}


def _digest(numbers: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(numbers, dtype=np.int64).tobytes()).hexdigest()[:16]
