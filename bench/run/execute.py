"""Drive a plan: hand ready cells to an executor, write what comes back. The driver alone writes the store."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from bench.run.plan import Plan
from bench.run.status import Status
from bench.run.store import Payload, Store
from bench.run.work import Job, Outcome, run_job


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
        """By the rate so far; None before the first cell is done."""
        done = self.count(Status.DONE)
        left = self.total - len(self.statuses)
        return (time.monotonic() - self.started) / done * left if done else None


def execute(
    plan: Plan,
    store: Store,
    executor: Executor,
    on_change: Callable[[Progress, str], None] | None = None,
) -> Progress:
    """Run every cell of a plan that the store lacks.

    Args:
        on_change: called with the progress and the key of the cell that changed.

    Returns:
        The final progress: a status for every cell.

    Raises:
        StoreError: the store cannot be written; what was committed stays.
    """
    progress = Progress(len(plan.jobs))
    for key in plan.jobs:
        if store.has(key):
            progress.statuses[key] = Status.CACHED
    needed = _needed(plan, progress)
    for key in plan.jobs:
        if key not in needed and key not in progress.statuses:
            progress.statuses[key] = Status.CACHED
    waiting = [key for key in plan.jobs if key in needed]
    payloads = _Payloads(store)
    while waiting or progress.running:
        _submit_ready(plan, executor, progress, waiting, payloads, store, on_change)
        if progress.running:
            for key, outcome in executor.wait():
                _settle(store, progress, key, outcome)
                if on_change:
                    on_change(progress, key)
    return progress


def _needed(plan: Plan, progress: Progress) -> set[str]:
    """Cells to run: those a report reads, and unfinished ancestors of unfinished cells."""
    wanted = [row.key for row in plan.rows if row.key] + [row.fit_key for row in plan.rows if row.fit_key]
    needed: set[str] = set()
    while wanted:
        key = wanted.pop()
        if key not in needed and key not in progress.statuses:
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
    settled = (Status.DONE, Status.CACHED)
    for key in list(waiting):
        parents = plan.jobs[key].cell.parents
        states = {progress.statuses.get(parent) for parent in parents.values()}
        if states - {None, *settled}:
            waiting.remove(key)
            broken = next(p for p in parents.values() if progress.statuses.get(p) not in (None, *settled))
            cause = progress.errors.get(broken, "a parent failed")
            progress.statuses[key] = Status.BLOCKED
            progress.errors[key] = cause
            store.fail(key, Status.BLOCKED.value, cause, "")
            if on_change:
                on_change(progress, key)
        elif None not in states and len(progress.running) < executor.slots:
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
