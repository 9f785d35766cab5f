"""Where the numbers of a results folder come from: code, versions, machines and times of the cells behind them."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pandas as pd

from bench.metrics import classification, clustering, retrieval
from bench.metrics.challenge import CLASSES
from bench.report import challenge_views
from bench.run.plan import Plan
from bench.run.status import Status
from bench.run.store import Store

_EVALUATION = [
    "label", "source", "overlap", "corpus", "task", "split", "encoder", "lead_set", "eval_lead_set",
    "fraction", "seed_index", "grouping", "noise", "crossed",
]  # fmt: skip

_LISTED = (
    "commit",
    "modified",
    "source_hash",
    "python",
    "cpu",
    "cpu_capability",
    "accelerator",
    "device",
    "threads",
)


def provenance(plan: Plan, store: Store, frame: pd.DataFrame, resamples: int) -> dict[str, Any]:
    """Of the rows of one results folder.

    Args:
        frame: rows of `build_frame` and `build_group_frame`.

    Returns:
        Plain values: what ran on what and when (from the cells, never the time of the report), corpora with
        fingerprint and licence, cells by status, and one hash over the keys of all cells reported.
    """
    rows = frame.drop_duplicates(_EVALUATION)
    done = rows[rows["status"] == Status.DONE.value]
    keys = sorted({*done["key"], *done["fit_key"]})
    cells = [store.read_json(key, "provenance.json") for key in keys if store.describes(key)]
    listed = {name: _distinct(cell.get(name) for cell in cells) for name in _LISTED}
    finished = sorted(cell["finished"] for cell in cells)
    return {
        "suites": sorted(rows["suite"].unique()),
        "scale": sorted(rows["scale"].unique()),
        "simulated": bool(rows["simulated"].any()),
        "corpora": _corpora(plan, rows),
        "cells": len(cells),
        "evaluations": dict(sorted(Counter(rows["status"]).items())),
        "keys": _hash(keys),
        "first_finished": finished[0] if finished else None,
        "last_finished": finished[-1] if finished else None,
        "compute_seconds": round(sum(cell["seconds"] for cell in cells), 1),
        **listed,
        "packages": _packages(cells),
        "metric_versions": _versions(plan, rows),
        "resamples": resamples,
    }


def _versions(plan: Plan, rows: pd.DataFrame) -> dict[str, int]:
    """Of the metrics that these rows use."""
    grouped = {"clustering": clustering.VERSION, "retrieval": retrieval.VERSION}
    asked = rows["grouping"] != ""
    scored = {"classification": classification.VERSION} if not asked.all() else {}
    if _of_the_challenge(plan, rows[~asked]):
        scored |= challenge_views.versions()
    return scored | (grouped if asked.any() else {})


def _of_the_challenge(plan: Plan, rows: pd.DataFrame) -> bool:
    """Are any rows about a task whose classes are the Challenge's?"""
    asked = {*zip(rows["corpus"], rows["task"], strict=True)}
    tasks = ((corpus.name, task) for corpus in plan.corpora.values() for task in corpus.tasks.values())
    return any((name, task.name) in asked and task.classes == CLASSES for name, task in tasks)


def _corpora(plan: Plan, rows: pd.DataFrame) -> list[dict[str, Any]]:
    names = {*rows["corpus"], *rows["source"]}
    used = {corpus.fingerprint: corpus for corpus in plan.corpora.values() if corpus.name in names}
    return [
        {
            "name": corpus.name,
            "title": corpus.title,
            "simulated": corpus.simulated,
            "rate": corpus.rate,
            "band": list(corpus.band) if corpus.band else None,
            "fingerprint": corpus.fingerprint,
            "licence": corpus.licence,
            "citation": corpus.citation,
        }
        for corpus in sorted(used.values(), key=lambda corpus: (corpus.name, corpus.fingerprint))
    ]


def _packages(cells: Iterable[dict[str, Any]]) -> dict[str, list[str]]:
    found: dict[str, set[str]] = {}
    for cell in cells:
        for name, version in cell.get("packages", {}).items():
            found.setdefault(name, set()).add(str(version))
    return {name: sorted(versions) for name, versions in sorted(found.items())}


def _distinct(values: Iterable[Any]) -> list[Any]:
    return sorted({value for value in values if value is not None}, key=str)


def _hash(keys: Iterable[str]) -> str:
    import hashlib

    return hashlib.sha256("\n".join(keys).encode()).hexdigest()
