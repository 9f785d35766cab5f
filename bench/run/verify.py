"""Run some finished cells again and compare: bit for bit where the same bits can be expected, else within a tolerance.

A cell is a function of its description and its parents' files, so anybody with the corpus and the parents can check it.
The same bits are expected on a CPU of the same model with the same libraries; elsewhere numbers may differ as much as
`bench.run.compare` allows. Two things cannot be checked: a cell whose parents are not in the store (a result that was
brought without the weights it rests on), and the weights of a fit that another kind of machine made: training makes
rounding grow until little is left to compare, so there a fit must only begin alike, and a GPU does not even draw the
random numbers that a CPU or another GPU draws. What rests on a fit is checked from the stored weights, everywhere.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from bench.run.compare import Gap, beginning, compare, unreadable
from bench.run.execute import reached_cells
from bench.run.integrity import ORIGIN, Unsound, load_sound, printable
from bench.run.planned import Plan
from bench.run.provenance import device_facts, process_facts
from bench.run.status import Status
from bench.run.store import Payload, Store
from bench.run.work import Job, run_job

_PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "pandas", "pyarrow")
"""Those that compute results or write them."""


class Finding(StrEnum):
    """What became of a check."""

    SAME = "same bits"
    CLOSE = "within tolerance"
    DIFFERS = "differs"
    DAMAGED = "damaged"
    FAILED = "failed"
    UNCHECKED = "cannot be checked"


@dataclass(frozen=True)
class Verified:
    """One cell that was looked at.

    Attributes:
        label: suite, row and corpus of the first row that rests on it.
        detail: how far off and by whom it was made, or why not; one line, maybe empty.
    """

    key: str
    stage: str
    label: str
    outcome: Finding
    detail: str

    @property
    def sound(self) -> bool:
        """Nothing speaks against the stored result."""
        return self.outcome in (Finding.SAME, Finding.CLOSE, Finding.UNCHECKED)


def verify(
    plan: Plan,
    store: Store,
    count: int,
    seed: int,
    on_cell: Callable[[Verified], None] | None = None,
    only: frozenset[str] | None = None,
) -> list[Verified]:
    """Run finished cells of a plan again, in this process; the store is only read.

    Args:
        count: of cells; the stages share them evenly, as far as they have finished cells. Of one stage those come
            first whose parents are here.
        seed: of the draw.
        on_cell: called with each cell that was looked at.
        only: labels of the rows whose cells may be drawn; None: all.
    """
    labels, found = _labels(plan), []
    for key in _chosen(plan, store, count, np.random.default_rng(seed), only):
        outcome, detail = _look(plan.jobs[key], store, key)
        found.append(Verified(key, plan.jobs[key].cell.stage, labels[key], outcome, detail))
        if on_cell:
            on_cell(found[-1])
    return found


def summary(found: Iterable[Verified]) -> str:
    """One line: how many cells, and what became of them."""
    outcomes = Counter(one.outcome for one in found)
    counts = ", ".join(f"{outcomes[outcome]:,} {outcome}" for outcome in Finding if outcomes[outcome])
    return f"cells checked: {counts or 'none; nothing of these suites is finished'}"


def _chosen(
    plan: Plan, store: Store, count: int, generator: np.random.Generator, only: frozenset[str] | None
) -> list[str]:
    """Keys of finished cells, drawn in turn from each stage, in the plan's order."""
    reached, queues = reached_cells(plan, only), {stage: list[str]() for stage in plan.stages()}
    finished = [key for key in plan.jobs if key in reached and store.has(key)]
    for place in generator.permutation(len(finished)):
        queues[plan.jobs[finished[place]].cell.stage].append(finished[place])
    for queue in queues.values():
        queue.sort(key=lambda key: bool(_absent(plan.jobs[key], store)))
    drawn: set[str] = set()
    while len(drawn) < min(count, len(finished)):
        for queue in queues.values():
            drawn |= {queue.pop(0)} if queue and len(drawn) < count else set()
    return [key for key in finished if key in drawn]


def _absent(job: Job, store: Store) -> list[str]:
    """Parents that are not in the store with all their files."""
    return [f"{role} {parent[:12]}" for role, parent in job.cell.parents.items() if not store.has(parent)]


def _labels(plan: Plan) -> dict[str, str]:
    """By key: the first row that rests on a cell."""
    labels: dict[str, str] = {}
    for row in plan.rows:
        waiting = [key for key in (row.key, row.fit_key) if key]
        while waiting:
            key = waiting.pop()
            if key not in labels:
                labels[key] = f"{row.suite}: {row.label} on {row.corpus}"
                waiting += plan.jobs[key].cell.parents.values()
    return labels


def _look(job: Job, store: Store, key: str) -> tuple[Finding, str]:
    """Check a cell's files, run it again, compare."""
    try:
        stored = load_sound(store.folder(key), key)
        fault = unreadable(stored)
        damage = f"{fault} cannot be read" if fault else ""
    except Unsound as error:
        damage = str(error)
    if damage:
        return Finding.DAMAGED, f"{damage}; remove {store.folder(key)} and run again"
    absent = _absent(job, store)
    if absent:
        return Finding.UNCHECKED, f"parents not here: {', '.join(absent)}"
    parents: dict[str, Payload] = {}
    for role, parent in job.cell.parents.items():
        try:
            parents[role] = load_sound(store.folder(parent), parent)
        except Unsound as fault:
            return Finding.UNCHECKED, f"its parent {role} {parent[:12]} is damaged: {fault}"
    done = run_job(job, parents)
    if done.status is not Status.DONE:
        return Finding.FAILED, done.error
    return _judge(job, stored, done.files)


def _judge(job: Job, stored: Payload, again: Payload) -> tuple[Finding, str]:
    """What two results of one cell have to say of each other."""
    gaps = compare(stored, again)
    if not gaps:
        return Finding.SAME, ""
    worst, origin = _worst(gaps), _origin(stored)
    unlike = _unlike(job, origin)
    if not unlike:
        return Finding.DIFFERS, f"{worst}; made by the same libraries on such a CPU, so bits should be equal"
    maker = "; ".join(unlike)
    if worst.size <= 1:
        return Finding.CLOSE, f"{worst}; {maker}"
    if job.cell.stage == "fit":
        if _draws_otherwise(job, origin):
            return Finding.UNCHECKED, f"another kind of device draws other random numbers; {maker}"
        start = _worst(compare(stored, beginning(stored, again)))
        if start.size <= 1:
            return Finding.UNCHECKED, f"begins alike, then training makes rounding grow: {worst}; {maker}"
        worst = start
    return Finding.DIFFERS, f"{worst}; {maker}"


def _worst(gaps: list[Gap]) -> Gap:
    return max(gaps, key=lambda gap: gap.size, default=Gap("all files", 0.0, "the same"))


def _origin(files: Payload) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(files[ORIGIN])
    return content


def _unlike(job: Job, origin: Mapping[str, Any]) -> list[str]:
    """In what that decides about bits the maker of a result is not this process; empty: the same bits are expected."""
    here = process_facts() | device_facts(job.device)
    made = {
        "device": (origin.get("device"), here["device"]),
        "CPU": (origin.get("cpu"), here["cpu"]),
        "instructions": (origin.get("cpu_capability"), here["cpu_capability"]),
        "threads": (origin.get("threads"), job.cell.threads),
    }
    versions = origin.get("packages")
    known = versions if isinstance(versions, dict) else {}
    made |= {name: (known.get(name), here["packages"][name]) for name in _PACKAGES}
    unlike = [
        f"{what} {printable(there)} there, {now} here" for what, (there, now) in made.items() if there != now
    ]
    return unlike or ["made on a GPU"] * (here["accelerator"] != "cpu")


def _draws_otherwise(job: Job, origin: Mapping[str, Any]) -> bool:
    """Was this made on a GPU, or is it made here on one, that is not the other's?"""
    here = device_facts(job.device)
    kinds = {origin.get("accelerator"), here["accelerator"]}
    return kinds != {"cpu"} and origin.get("device") != here["device"]
