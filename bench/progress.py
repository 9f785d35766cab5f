"""What a person sees while work is under way: one live line on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from bench.run.execute import Progress as State
from bench.run.plan import Plan
from bench.run.status import Status

_PLAIN_EVERY = 10.0


def duration(seconds: float | None) -> str:
    """'3 min 20 s', '45 s', '?' when unknown."""
    if seconds is None:
        return "?"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


class Narrator:
    """Reports counted steps and the state of an execution.

    Args:
        console: where to write; a live bar where it is a terminal.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False)
        self._last: dict[str, float] = {}
        self._bar: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "Narrator":
        if self.console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
            )
            self._bar = Progress(*columns, TextColumn("{task.fields[note]}"), console=self.console)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def step(self, what: str, done: int, total: int, note: str = "") -> None:
        """`done` of `total` of something."""
        if self._bar:
            if what not in self._tasks:
                self._tasks[what] = self._bar.add_task(what, total=total, note="")
            self._bar.update(self._tasks[what], completed=done, total=total, note=note)
            return
        now = time.monotonic()
        if done >= total or now - self._last.get(what, 0.0) >= _PLAIN_EVERY:
            self._last[what] = now
            self.console.print(f"{what}: {done} of {total}{'  ' + note if note else ''}", soft_wrap=True)

    def say(self, line: str) -> None:
        """One line."""
        self.console.print(line, markup=False, soft_wrap=True)

    def cells(self, plan: Plan) -> Callable[[State, str], None]:
        """A callback for `execute`."""

        def change(state: State, key: str) -> None:
            bad = state.count(Status.FAILED, Status.OOM, Status.TIMEOUT, Status.BLOCKED)
            rate = state.count(Status.DONE) / max(1e-9, time.monotonic() - state.started)
            note = f"{len(state.running)} running, {rate:.1f}/s, {duration(state.seconds_left)} left"
            self.step("cells", len(state.statuses), state.total, note + (f", {bad} failed" if bad else ""))
            if state.statuses[key] in (Status.FAILED, Status.OOM, Status.TIMEOUT):
                job = plan.jobs[key]
                name = getattr(getattr(job.cell, "strategy", None), "name", "")
                self.say(
                    f"{state.statuses[key].value}: {job.cell.stage} {name} {key[:12]}: {state.errors[key]}"
                )

        return change


def table(headers: list[str], rows: list[list[str]]) -> None:
    """Print a plain table to standard output."""
    from tabulate import tabulate

    click.echo(tabulate(rows, headers=headers, tablefmt="simple"))
