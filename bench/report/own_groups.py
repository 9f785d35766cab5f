"""What figures show of a strategy's own groups on one corpus: its queries, some validation units, its rankings."""

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.data.corpus import PreparedCorpus
from bench.evaluate.result import Result
from bench.run.cell import GroupCell
from bench.run.plan import Plan, Row
from bench.run.store import Store
from bench.run.suite import Suite

_ATTRIBUTES = ("class", "sex", "age")  # in the order of codes


@dataclass(frozen=True)
class OwnGroups:
    """A finished group cell with queries.

    Attributes:
        name: of the corpus, and of its task where a suite has the corpus twice; fit to name a file.
        values: names of the values of class, sex and age, in the order of their codes.
        queries: (Q, P) float32 prototypes; codes: (Q, 3) their class, sex and age bin.
        means: (M, P) float32 means of the attribute sets, NaN where empty; mean_codes: (M, 3).
        points: (S, P) float32 validation units; point_codes: (S, 3), -1 unknown.
        nearest: the nearest validation units of each query, one a patient, with `query`, `rank`, `distance`.
        digest: of what was drawn from: SHA-256 of the sample.
    """

    name: str
    row: Row
    cell: GroupCell
    corpus: PreparedCorpus
    values: dict[str, list[str]]
    queries: np.ndarray
    codes: np.ndarray
    means: np.ndarray
    mean_codes: np.ndarray
    points: np.ndarray
    point_codes: np.ndarray
    nearest: pd.DataFrame
    digest: str

    def words(self, attribute: str, code: int) -> str:
        """A value in words: 'AFIB', 'female', '50–62', 'age unknown'."""
        return self.values[attribute][code] if code >= 0 else f"{attribute} unknown"

    def described(self, codes: np.ndarray) -> str:
        """(3,) codes in words: 'AFIB, female, 50–62'."""
        return ", ".join(self.words(name, int(code)) for name, code in zip(self.values, codes, strict=True))


def own_groups(plan: Plan, store: Store, suite: Suite, simulated: bool) -> Iterator[OwnGroups]:
    """The first entry whose own prototypes can be asked with, at its first seed; for each corpus and task of a suite.

    Args:
        simulated: of the simulated corpora, or of the real ones.
    """
    taken: set[tuple[str, str]] = set()
    wanted = (suite.name, suite.scale, simulated, "own")
    rows = [r for r in plan.rows if (r.suite, r.scale, r.simulated, r.grouping) == wanted]
    order = {entry.label: place for place, entry in enumerate(suite.entries)}
    for row in sorted(rows, key=lambda row: order.get(row.label, len(order))):
        place = (row.corpus, row.task)
        if row.seed_index or place in taken or not row.key or not store.has(row.key):
            continue
        if store.read_json(row.key, "grouping.json").get("query_codes") is None:
            continue
        taken.add(place)
        twice = len({use.task for use in suite.corpora if use.corpus == row.corpus}) > 1
        yield _read(plan, store, row, f"{row.corpus}-{row.task}" if twice else row.corpus)


def _read(plan: Plan, store: Store, row: Row, name: str) -> OwnGroups:
    cell = plan.jobs[row.key].cell
    if not isinstance(cell, GroupCell):
        raise TypeError(f"cell {row.key[:12]} is a {cell.stage} cell, not of groups; plan again")
    corpus = next(corpus for corpus in plan.corpora.values() if corpus.fingerprint == cell.corpus)
    values = store.read_json(row.key, "grouping.json")["values"]
    values["age"] = [age.replace("<=", "≤").replace("-", "–") for age in values["age"]]
    content = store.read(row.key, "sample.npz")
    sample = np.load(io.BytesIO(content))
    table = Result.from_bytes("rankings", store.read(row.key, "rankings.parquet")).table
    table = table[(table["part"] == "val") & table["deduplicated"]]
    return OwnGroups(
        name=name,
        row=row,
        cell=cell,
        corpus=corpus,
        values={attribute: values[attribute] for attribute in _ATTRIBUTES},
        queries=sample["queries"],
        codes=sample["query_codes"],
        means=sample["means"],
        mean_codes=np.indices([len(values[name]) for name in _ATTRIBUTES]).reshape(len(_ATTRIBUTES), -1).T,
        points=sample["points"],
        point_codes=sample["codes"],
        nearest=table.sort_values(["query", "rank"], ignore_index=True),
        digest=hashlib.sha256(content).hexdigest(),
    )
