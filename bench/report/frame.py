"""The store as one tidy frame: one row a planned evaluation, selection, part and metric. All reports start here.

Nothing planned ever vanishes: what has no result is a row with its status and the reason. Scores of noisy windows
have a frame of their own, and so have groupings (`group_summary`), by the same rules.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, Protocol

import numpy as np
import pandas as pd

from bench.report.views import MetricViews, ReportError, records_hash
from bench.run.plan import Plan, Row
from bench.run.status import Status
from bench.run.store import Store

MISSING = "missing"
"""Status of a cell that has neither a result nor a failure: it has not been run yet."""

HEADLINE = "macro_auroc"

_COUNTED = ("kept", "total", "n", "records")
RESULT_COLUMNS = ("selection", "part", "metric", "value", *_COUNTED, "low", "high", "digest")
COST_COLUMNS = ("seconds", "steps", "views", "lead_samples", "flops", "peak_memory_mib", "parameters")


def build_frame(plan: Plan, store: Store, resamples: int = 1000) -> pd.DataFrame:
    """Every planned evaluation of scores of the windows as they are, with its metrics, interval, cost and status.

    Args:
        resamples: of the bootstrap over test patients.

    Returns:
        The columns of `Row`; `status` and `reason`; `RESULT_COLUMNS`: value in the metric's own unit,
        `kept` of `total` classes in a macro average, n scored units of `records` records, low and high the 95 %
        interval over test patients (headline metric, test part only); `COST_COLUMNS` of the fit, its parents' fits
        included. Metrics of one class, `auroc/SB`, are listed for the test part and selection 'subset' only.

    Raises:
        ReportError: two cells that are to be compared hold different test records, or one holds a record twice.
    """
    rows = [row for row in plan.rows if not (row.grouping or row.noise or row.crossed >= 0)]
    return _scored(plan, store, resamples, rows)


def build_crossed_frame(plan: Plan, store: Store, resamples: int = 1000) -> pd.DataFrame:
    """Every planned evaluation with another seed's label subset, as `build_frame` has those with their own.

    Raises:
        ReportError: as `build_frame`.
    """
    return _scored(plan, store, resamples, [row for row in plan.rows if row.crossed >= 0])


def build_noise_frame(plan: Plan, store: Store, resamples: int = 1000) -> pd.DataFrame:
    """Every planned evaluation of scores of noisy windows, as `build_frame` has those of clean ones.

    Raises:
        ReportError: as `build_frame`.
    """
    return _scored(plan, store, resamples, [row for row in plan.rows if row.noise and not row.grouping])


def _scored(plan: Plan, store: Store, resamples: int, planned: Sequence[Row]) -> pd.DataFrame:
    views = MetricViews(store, resamples)
    check = RecordsCheck(plan, views)
    described, results = describe_rows(plan, store, planned), []
    for place, row in enumerate(planned):
        if described[place]["status"] != Status.DONE.value:
            results.append((place, "subset", "test", HEADLINE, *[float("nan")] * 7, ""))
            continue
        content = views.metrics(row.key, row.kind)
        check(row, content["records"])
        parts = plan.jobs[row.key].rows
        results += _result_rows(place, content, {"val": len(parts.val), "test": len(parts.test)})
    return joined(described, results, RESULT_COLUMNS)


def describe_rows(plan: Plan, store: Store, planned: Sequence[Row]) -> list[dict[str, Any]]:
    """The columns of `Row`, status and reason of each planned row; its cost too where it is done."""
    costs: dict[str, dict[str, Any]] = {}
    described = []
    for row in planned:
        status, reason = _status(plan, store, row)
        described.append({**vars(row), "status": status, "reason": reason})
        if status == Status.DONE.value:
            if row.fit_key not in costs:
                costs[row.fit_key] = _cost(store, row.fit_key)
            described[-1] |= costs[row.fit_key]
    return described


def joined(
    described: Sequence[dict[str, Any]], results: Sequence[tuple[Any, ...]], columns: Sequence[str]
) -> pd.DataFrame:
    """A frame of results, each beside its row.

    Args:
        described: of `describe_rows`.
        results: each begins with the place of its row among those, then has the values of `columns`.
    """
    names = [field.name for field in fields(Row)]
    rows = pd.DataFrame(described, columns=[*names, "status", "reason", *COST_COLUMNS])
    values = pd.DataFrame(results, columns=["place", *columns])
    repeated = rows.iloc[values["place"].to_numpy(int)].reset_index(drop=True)
    return pd.concat([repeated, values.drop(columns="place")], axis=1)


def _result_rows(place: int, content: dict[str, Any], records: Mapping[str, int]) -> list[tuple[Any, ...]]:
    """Args: records: by part."""
    total = len(content["classes"])
    rows = []
    for part in content["parts"]:
        metrics = {HEADLINE: part["metrics"][HEADLINE], **part["metrics"]}
        kept = metrics.pop("kept_classes")
        headline = part["part"] == "test" and part["selection"] == "subset"
        for name, value in metrics.items():
            if "/" in name and not headline:
                continue
            low, high = part["interval"] if name == HEADLINE and "interval" in part else (float("nan"),) * 2
            described = (part["selection"], part["part"], name, value, int(kept), total)
            counted = (part["n"], records[part["part"]])
            rows.append((place, *described, *counted, low, high, part["digest"]))
    return rows


def _status(plan: Plan, store: Store, row: Row) -> tuple[str, str]:
    """What became of a row's cell, and why."""
    if row.skipped:
        return Status.SKIPPED.value, row.skipped
    if store.has(row.key):
        return Status.DONE.value, ""
    failure = store.failure(row.key)
    if failure:
        return failure["status"], failure["error"]
    for ancestor in _ancestors(plan, row.key):
        failure = store.failure(ancestor)
        if failure and not store.has(ancestor):
            return Status.BLOCKED.value, failure["error"]
    return MISSING, "not run yet"


def _ancestors(plan: Plan, key: str) -> list[str]:
    waiting, found = [key], []
    while waiting:
        job = plan.jobs.get(waiting.pop())
        parents = list(job.cell.parents.values()) if job else []
        found += parents
        waiting += parents
    return found


def _cost(store: Store, key: str) -> dict[str, Any]:
    """What a fit and the fits it started from took together; NaN: not here.

    `parameters` are its encoder's, `peak_memory_mib` is the most that any of these fits held.
    """
    fits = _lineage(store, key)
    if not all(store.describes(one) for one in fits):
        return dict.fromkeys(COST_COLUMNS, float("nan"))
    told = [(store.read_json(one, "fit.json"), store.read_json(one, "provenance.json")) for one in fits]
    return {
        "seconds": sum(
            took.get("fit_seconds", took["seconds"]) for _, took in told
        ),  # the loop's own, if measured
        **{name: sum(fit[name] for fit, _ in told) for name in ("steps", "views", "lead_samples", "flops")},
        "peak_memory_mib": float(np.fmax.reduce([_own_memory(took) for _, took in told])),
        "parameters": told[0][0]["parameters"]["encoder"],
    }


def _lineage(store: Store, key: str) -> list[str]:
    """A fit and all that it started from, each once; it comes first."""
    found = [key]
    for one in found:
        if store.describes(one):
            parents = dict.fromkeys(_fits(store, store.read_json(one, "fit.json")))
            found += [parent for parent in parents if parent not in found]
    return found


def _own_memory(took: Mapping[str, Any]) -> float:
    """MiB at most beyond what the process held before (torch, corpora of other cells); NaN: not measured."""
    peak, before = took["peak_memory_mib"], took.get("memory_at_start_mib", 0.0)
    return float("nan") if peak is None or before is None else max(0.0, peak - before)


def _fits(store: Store, fit: dict[str, Any]) -> Iterator[str]:
    """The fits that a fit started from, and those behind the embeddings that it read."""
    parents = fit["cell"].get("parents", {})
    for role, key in parents.items():
        embedding = role not in fit.get("parents", parents) and store.describes(key)
        yield store.read_json(key, "cell.json")["parents"]["fit"] if embedding else key


class HoldsRecords(Protocol):
    """Views that can say which test records a cell holds."""

    def held(self, key: str, selection: str) -> set[str]:
        """Test records of a cell."""


class RecordsCheck:
    """Every cell of a corpus, task and split holds exactly the records that the plan tests on."""

    def __init__(self, plan: Plan, views: HoldsRecords) -> None:
        self.plan, self.views = plan, views
        self.corpora = {corpus.fingerprint: corpus for corpus in plan.corpora.values()}
        self.expected: dict[tuple[str, ...], tuple[str, frozenset[str]]] = {}

    def __call__(self, row: Row, found: Mapping[str, str]) -> None:
        """Raise `ReportError` unless a cell's test records, by selection their `records_hash`, are the plan's."""
        cell = self.plan.jobs[row.key].cell
        place = (cell.corpus, cell.split_fingerprint, row.task)  # type: ignore[union-attr]
        if place not in self.expected:
            ids = self.corpora[cell.corpus].records["record"].to_numpy()[self.plan.jobs[row.key].rows.test]
            self.expected[place] = records_hash(ids), frozenset(ids)
        wanted, ids = self.expected[place]
        for selection, records in found.items():
            if records != wanted:
                self._complain(row, ids, selection)

    def _complain(self, row: Row, expected: frozenset[str], selection: str) -> None:
        held = self.views.held(row.key, selection)
        missing, strange = sorted(expected - held), sorted(held - expected)
        what = f"lacks the test record {missing[0]!r}" if missing else f"holds {strange[0]!r}, no test record"
        raise ReportError(
            f"cell {row.key[:12]} ({row.label}, {row.corpus}, fraction {row.fraction:g}, seed {row.seed_index})"
            f" {what} ({len(missing)} missing, {len(strange)} strange): it cannot be compared with the others;"
            f" remove it from the store and run again"
        )
