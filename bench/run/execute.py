"""Drive a plan: hand ready cells to an executor, write what comes back. The driver alone writes the store."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from bench.run.plan import Plan
from bench.run.status import Status
from bench.run.store import Payload, Store
from bench.run.work import Job, Outcome, run_job

_RATE_AFTER = 20
"""Finished cells before a time left is worth telling: the first ones wait for workers to start."""


class Executor(Protocol):
    """Runs jobs somewhere. `slots` is how many to keep in flight."""

    slots: int

    def submit(self, key: str, job: Job, parents: Mapping[str, Payload]) -> None:
        """Start a job, or queue it."""
        ...

    def wait(self) -> list[tuple[str, Outcome]]:
        """Block until at least one job has ended; return all that have."""
        ...

    def close(self) -> None:
        """Stop; jobs in flight are lost, nothing else."""
        ...


class InlineExecutor:
    """Runs each job in this process: tests, debugging, a GPU box without Ray."""

    slots = 1

    def __init__(self) -> None:
        self._waiting: list[tuple[str, Job, Mapping[str, Payload]]] = []

    def submit(self, key: str, job: Job, parents: Mapping[str, Payload]) -> None:
        """Queue a job for `wait`."""
        self._waiting.append((key, job, parents))

    def wait(self) -> list[tuple[str, Outcome]]:
        """Run the oldest job."""
        key, job, parents = self._waiting.pop(0)
        return [(key, run_job(job, parents))]

    def close(self) -> None:
        """Nothing runs between calls."""
        self._waiting.clear()


@dataclass
class Progress:
    """Where an execution stands."""

    total: int
    statuses: dict[str, Status] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    errors: dict[str, str] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    def count(self, *statuses: Status) -> int:
        """Cells with one of these statuses."""
        return sum(status in statuses for status in self.statuses.values())

    @property
    def seconds_left(self) -> float | None:
        """By the rate so far; None before there is one worth the name."""
        done = self.count(Status.DONE)
        left = self.total - len(self.statuses)
        return (time.monotonic() - self.started) / done * left if done >= _RATE_AFTER else None


def execute(
    plan: Plan,
    store: Store,
    start: Callable[[], Executor],
    on_change: Callable[[Progress, str], None] | None = None,
    only: frozenset[str] | None = None,
) -> Progress:
    """Run every cell of a plan that the store lacks.

    Args:
        start: makes the executor; not called when nothing is left to run.
        only: labels of the rows to run; None: all.
        on_change: called with the progress and the key of the cell that changed.

    Returns:
        The final progress: a status for every cell.

    Raises:
        StoreError: the store cannot be written; what was committed stays.
    """
    needed = needed_cells(plan, store, only)
    progress = Progress(len(needed))
    waiting = [key for key in plan.jobs if key in needed]
    if not waiting:
        return progress
    payloads, executor = _Payloads(store), start()
    try:
        while waiting or progress.running:
            _submit_ready(plan, executor, progress, waiting, payloads, store, on_change)
            if progress.running:
                for key, outcome in executor.wait():
                    _settle(store, progress, key, outcome)
                    if on_change:
                        on_change(progress, key)
    finally:
        executor.close()
    return progress


def reached_cells(plan: Plan, only: frozenset[str] | None = None) -> set[str]:
    """Keys of everything that the rows rest on; `only`: those of these labels."""
    rows = [row for row in plan.rows if row.key and (only is None or row.label in only)]
    waiting, reached = [key for row in rows for key in (row.key, row.fit_key)], set[str]()
    while waiting:
        key = waiting.pop()
        if key not in reached:
            reached.add(key)
            waiting += plan.jobs[key].cell.parents.values()
    return reached


def needed_cells(plan: Plan, store: Store, only: frozenset[str] | None = None) -> set[str]:
    """Keys to run: what the rows rest on and the store lacks, and unfinished ancestors of those.

    A fit that was made elsewhere and is described here is not made again only to be described.
    """
    rows = [row for row in plan.rows if row.key and (only is None or row.label in only)]
    wanted = [row.key for row in rows] + [row.fit_key for row in rows if not store.describes(row.fit_key)]
    needed: set[str] = set()
    while wanted:
        key = wanted.pop()
        if key not in needed and not store.has(key):
            needed.add(key)
            wanted += plan.jobs[key].cell.parents.values()
    return needed


def _submit_ready(
    plan: Plan,
    executor: Executor,
    progress: Progress,
    waiting: list[str],
    payloads: "_Payloads",
    store: Store,
    on_change: Callable[[Progress, str], None] | None,
) -> None:
    pending = set(waiting) | progress.running
    for key in list(waiting):
        parents = plan.jobs[key].cell.parents
        broken = next((p for p in parents.values() if p in progress.errors), None)
        if broken is not None:
            waiting.remove(key)
            pending.discard(key)
            cause = progress.errors[broken]
            progress.statuses[key] = Status.BLOCKED
            progress.errors[key] = cause
            store.fail(key, Status.BLOCKED.value, cause, "")
            if on_change:
                on_change(progress, key)
        elif len(progress.running) < executor.slots and not pending.intersection(parents.values()):
            waiting.remove(key)
            progress.running.add(key)
            executor.submit(
                key, plan.jobs[key], {role: payloads.get(parent) for role, parent in parents.items()}
            )


def _settle(store: Store, progress: Progress, key: str, outcome: Outcome) -> None:
    progress.running.discard(key)
    if outcome.status is Status.DONE:
        store.commit(key, outcome.files)
    else:
        progress.errors[key] = outcome.error
        store.fail(key, outcome.status.value, outcome.error, outcome.traceback)
    progress.statuses[key] = outcome.status


class _Payloads:
    """Parents' files, the last few kept, since siblings ask for the same ones."""

    def __init__(self, store: Store, kept: int = 8) -> None:
        self.store, self.kept = store, kept
        self.cache: dict[str, Payload] = {}

    def get(self, key: str) -> Payload:
        if key not in self.cache:
            while len(self.cache) >= self.kept:
                self.cache.pop(next(iter(self.cache)))
            self.cache[key] = self.store.load(key)
        return self.cache[key]
