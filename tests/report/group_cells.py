"""Hand-made group cells in a throw-away store, for the tests of the report."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from bench.data.splits import SplitSpec
from bench.evaluate.result import UNIT_COLUMNS, Result
from bench.run.cell import GroupCell, Subset
from bench.run.plan import Row
from bench.run.work import Job
from tests.report.hand_made import TASK, Bench, _described, _fit_cell

ATTRIBUTES = ("class", "sex", "age")
VALUES = {"class": ["slow", "fast"], "sex": ["male", "female"], "age": ["<=50", ">50"]}
SETS = np.indices((2, 2, 2)).reshape(3, -1).T


def add_group(
    bench: Bench,
    label: str,
    grouping: str = "kmeans",
    seed: int = 0,
    attributes: tuple[str, ...] = ATTRIBUTES,
    **changes: Any,
) -> Row:
    """A planned grouping, with its fit and group cells."""
    suite = bench.plan.suites[0]
    fit = _fit_cell(bench.corpus, suite, label, seed)
    cell = GroupCell(
        corpus=bench.corpus.fingerprint,
        split=SplitSpec(kind="official"),
        split_fingerprint="split",
        task=TASK,
        subset=Subset(fraction=1.0, fingerprint="subset"),
        grouping=grouping,
        attributes=attributes,
        edges=(50.0,),
        lead_set="all-12",
        input=suite.input,
        suite_seed=suite.seed,
        seed_index=seed,
        parents={"fit": fit.key()},
    )
    row = Row(
        **_described(bench.corpus, suite, TASK, label, 1.0, seed),
        key=cell.key(),
        fit_key=fit.key(),
        grouping=grouping,
        attributes=attributes,
    )
    row = replace(row, **changes)
    if row.skipped:
        row = replace(row, key="", fit_key="")
    else:
        bench.plan.jobs[fit.key()] = Job(fit, bench.corpus.folder, bench.parts(TASK))
        bench.plan.jobs[cell.key()] = Job(cell, bench.corpus.folder, bench.parts(TASK))
    bench.plan.rows.append(row)
    return row


def units(bench: Bench, leads: tuple[str, ...] = ("",), starts: tuple[int, ...] = (0,)) -> pd.DataFrame:
    """The units of the three parts; values alternate within a part: class fastest, then sex, then age."""
    pieces = []
    for part, rows in zip(("train", "val", "test"), _parts(bench), strict=True):
        table = bench.corpus.records.iloc[rows].assign(part=part)[list(UNIT_COLUMNS)]
        number = np.arange(len(rows))
        table = table.assign(**{name: number // 2**k % 2 for k, name in enumerate(ATTRIBUTES)})
        pieces += [table.assign(start=start, lead=lead) for start in starts for lead in leads]
    return pd.concat(pieces, ignore_index=True)


def _parts(bench: Bench) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows = bench.parts(TASK)
    return rows.train, rows.val, rows.test


def finish_group(
    bench: Bench,
    row: Row,
    table: pd.DataFrame,
    clusters: int = 2,
    stands: list[list[int]] | None = None,
    rankings: pd.DataFrame | None = None,
    queries: np.ndarray = SETS,
) -> None:
    """Commit a row's cells; the table has `id:<attribute>` of the attributes judged."""
    origin = json.dumps(
        {"seconds": 2.0, "peak_memory_mib": 9.0, "finished": bench.finished, "packages": {"torch": "2"}}
    ).encode()
    if not bench.store.has(row.fit_key):
        cell = bench.plan.jobs[row.fit_key].cell.model_dump(mode="json")
        fit = {
            "cell": cell,
            "steps": 7,
            "views": 70,
            "lead_samples": 700,
            "flops": 70,
            "parameters": {"encoder": 1234},
        }
        bench.store.commit(row.fit_key, {"fit.json": json.dumps(fit).encode(), "provenance.json": origin})
    described = {
        "clusters": {name: clusters for name in ATTRIBUTES if f"id:{name}" in table},
        "values": VALUES,
        "stands": stands,
        "query_codes": None if rankings is None else queries.tolist(),
    }
    files = {"grouping.json": json.dumps(described).encode(), "provenance.json": origin}
    files["assignments.parquet"] = Result("assignments", table).to_bytes()
    if rankings is not None:
        files["rankings.parquet"] = Result("rankings", rankings).to_bytes()
    bench.store.commit(row.key, files)


def swapped(table: pd.DataFrame, wrong: int = 0, *attributes: str) -> pd.DataFrame:
    """Ids that are one minus the value, but for the first `wrong` units of validation and test part."""
    for name in attributes or ATTRIBUTES:
        ids = 1 - table[name].to_numpy()
        for part in ("val", "test"):
            first = np.flatnonzero(table["part"] == part)[:wrong]
            ids[first] = 1 - ids[first]
        table = table.assign(**{f"id:{name}": ids})
    return table


def ranking(table: pd.DataFrame, picks: dict[int, list[int]], deduplicated: bool = False) -> pd.DataFrame:
    """Rankings of both parts: for each query that asks the numbers of the part's units, nearest first."""
    pieces = []
    for part in ("val", "test"):
        here = table[table["part"] == part]
        for query, chosen in picks.items():
            ranks = np.arange(1, len(chosen) + 1)
            own = here.iloc[chosen].assign(query=query, rank=ranks, distance=ranks / 10)
            pieces.append(own.assign(deduplicated=deduplicated))
    return pd.concat(pieces, ignore_index=True)
