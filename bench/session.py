"""One use of the command: options in, plan, execution and report out. What the command line calls."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from bench.data.corpus import CorpusError, Note
from bench.report.views import ReportError
from bench.run.corpora import Report, Shelf, gather_corpora
from bench.run.errors import UserError
from bench.run.execute import Executor, InlineExecutor, Progress, execute, needed_cells, reached_cells
from bench.run.exposure import own_input
from bench.run.own_corpus import own_corpora, uses_of
from bench.run.perf import Rate, cell_overhead, describe_machine, fit_rates
from bench.run.perf_groups import GroupingTime, grouping_times
from bench.run.plan import Plan, make_plan
from bench.run.registry import Found, Registry
from bench.run.status import Status
from bench.run.store import Store, StoreError
from bench.run.suite import (
    CorpusUse,
    Entry,
    Suite,
    SuiteError,
    load_suite,
    sources_of,
    suite_files,
)
from bench.train.strategy import Prototypes

_GPU_SHARE = 0.25
"""Of a GPU, for a cell, where the user does not say: four small cells fill a large GPU better than one."""


@dataclass(frozen=True)
class Options:
    """The command line's options; see `leadboard run --help`."""

    suites: tuple[str, ...] = ()
    scale: str = "quick"
    corpora: tuple[str, ...] = ()
    pretrain_on: tuple[str, ...] = ()
    data: Path | None = None
    strategies: tuple[str, ...] = ()
    seeds: int | None = None
    lead_sets: tuple[str, ...] = ()
    eval_lead_sets: tuple[str, ...] = ()
    records: int = 1500
    store: Path = Path("store")
    results: Path = Path("results")
    cache: Path = Path("data")
    device: str = "auto"


@dataclass(frozen=True)
class Estimate:
    """What a plan would take: a row a stage; seconds None where nothing like it was ever timed."""

    rows: list[list[str]]
    skipped: dict[str, int]
    seconds: float | None
    mebibytes: float


def user_errors(function: Callable[..., Any]) -> Callable[..., Any]:
    """Raise the errors a user can mend as UserError."""

    @wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except (CorpusError, SuiteError, StoreError, ReportError) as error:
            raise UserError(str(error)) from error
        except OSError as error:
            raise UserError(f"cannot use {error.filename}: {error.strerror}") from error

    return wrapped


class Session:
    """Options, loaded suites and the registry.

    Args:
        progress: called with (what, done, in all) while corpora are simulated and prepared.
    """

    @user_errors
    def __init__(self, options: Options, progress: Report) -> None:
        self.options, self.progress = options, progress
        files = tuple(Path(s) for s in options.strategies if s.endswith(".py"))
        self.registry = Registry(files)
        self.own = own_corpora((*options.corpora, *options.pretrain_on))
        self.warnings = [f"skipped {b.path}: {b.reason}" for b in self.registry.broken]
        self.store = Store(options.store)
        missing = next((path for path in files if not path.is_file()), None)
        if missing:
            raise SuiteError(f"no file {missing}")
        self.broken_files = bool({b.path for b in self.registry.broken} & set(files))
        self.suites = self._suites(files)
        self.only = self._only(files)

    def _suites(self, files: tuple[Path, ...]) -> list[Suite]:
        """The suites asked for; without any, all that run on the corpora asked for."""
        if self.options.suites:
            return [self._suite(name, files) for name in dict.fromkeys(self.options.suites)]
        suites, refusals = [], []
        for name in suite_files():
            try:
                suites.append(self._suite(name, files))
            except SuiteError as error:
                refusals.append(f"skipped suite {name}: {error}")
        if not suites:
            raise SuiteError(refusals[0])
        self.warnings += refusals
        return suites

    def _suite(self, name: str, files: tuple[Path, ...]) -> Suite:
        asked = {name: getattr(self.options, name) for name in ("seeds", "lead_sets", "eval_lead_sets")}
        overrides = {name: value for name, value in asked.items() if value}
        suite = load_suite(name, self.options.scale, overrides)
        extra = tuple(
            Entry(
                strategy=found.strategy.name,
                label=found.strategy.name,
                recipe="board" if "board" in found.strategy.recipes else None,
                groupings=(*suite.groupings, "own") if issubclass(found.strategy, Prototypes) else None,
                input=own_input(found.strategy, suite),
            )
            for found in self.registry.found.values()
            if name == "board" and (found.source is not None or self._only_a_file(found, files, suite))
        )
        entries = tuple(e for e in suite.entries if e.label not in {x.label for x in extra})
        return suite.model_copy(update={"entries": entries + extra, "corpora": self._corpora(suite, name)})

    @staticmethod
    def _only_a_file(found: Found, files: tuple[Path, ...], suite: Suite) -> bool:
        """Is it a file of the project that the user names, and no suite has a line of it yet?"""
        asked = found.path.resolve() in {path.resolve() for path in files}
        return asked and found.strategy.name not in {entry.strategy for entry in suite.entries}

    def _corpora(self, suite: Suite, name: str) -> tuple[CorpusUse, ...]:
        """The corpora asked for, in place of the suite's, with those of its sources that are among them.

        Args:
            name: of the suite as the user gave it, a path maybe.
        """
        named = {given: own.name for given, own in self.own.items()}
        given = self.options.corpora, self.options.pretrain_on
        asked, elsewhere = (dict.fromkeys(named.get(text, text) for text in texts) for texts in given)
        if not (asked or elsewhere):
            return suite.corpora
        own = self.own.values()
        found = [use for corpus in asked for use in uses_of(suite, name, corpus, own)]
        uses = found or list(suite.corpora)
        present = {use.corpus for use in uses}
        sourced = [
            use.model_copy(update={"sources": sources_of(use, present, tuple(elsewhere))}) for use in uses
        ]
        more = [uses_of(suite, name, corpus, own)[0] for corpus in elsewhere if corpus not in present]
        return (*sourced, *(use.model_copy(update={"evaluate": False, "sources": ()}) for use in more))

    def _only(self, files: tuple[Path, ...]) -> frozenset[str] | None:
        if not self.options.strategies:
            return None
        paths = {path.resolve() for path in files}
        asked = {s for s in self.options.strategies if not s.endswith(".py")}
        asked |= {n for n, f in self.registry.found.items() if f.path.resolve() in paths}
        entries = [entry for suite in self.suites for entry in suite.entries]
        labels = frozenset(e.label for e in entries if {e.label, e.strategy} & asked)
        unknown = asked - {name for e in entries for name in (e.label, e.strategy)}
        if unknown:
            known = ", ".join(sorted({e.label for e in entries}))
            if unknown & {n for n, f in self.registry.found.items() if f.source is not None}:
                raise SuiteError("a strategy file joins the suite board: leadboard run board --strategy FILE")
            gone = unknown & {label for suite in self.suites for label in suite.leave_out}
            if gone:
                raise SuiteError(
                    f"row {gone.pop()!r} is left out at scale {self.options.scale}; take another scale"
                )
            raise SuiteError(f"no row or strategy {unknown.pop()!r} in these suites; there are: {known}")
        return labels

    @user_errors
    def plan(self) -> Plan:
        """Prepare the corpora and expand the suites."""
        o = self.options
        folders = {own.name: own.folder for own in self.own.values()}
        shelf = Shelf(o.cache.resolve(), o.data, o.records, own=folders)
        corpora = gather_corpora(self.suites, shelf, self.registry, self.progress)
        plan = make_plan(self.suites, corpora, self.registry, choose_device(o.device))
        rows = {row.label for row in plan.rows}
        if self.only and not self.only & rows:
            raise SuiteError(
                f"row {sorted(self.only)[0]!r} is there only where encoders come from another corpus; name one with"
                " --pretrain-on CORPUS"
            )
        return plan

    @user_errors
    def run(
        self,
        plan: Plan,
        executor: str = "inline",
        address: str | None = None,
        gpus_per_cell: float | None = None,
        on_change: Callable[[Progress, str], None] | None = None,
    ) -> Progress:
        """Run what the store lacks."""

        def start() -> Executor:
            if executor == "inline":
                return InlineExecutor()
            from bench.run.ray_executor import RayExecutor

            on_gpu = any(job.device != "cpu" for job in plan.jobs.values())
            share = (_GPU_SHARE if on_gpu else 0.0) if gpus_per_cell is None else gpus_per_cell
            return RayExecutor(address, share, threads=max(s.threads for s in plan.suites))

        self.store.sweep()
        return execute(plan, self.store, start, on_change, self.only)

    @user_errors
    def report(self, plan: Plan) -> list[Path]:
        """Write every table and figure of these suites, and the page of everything below the results folder."""
        from bench.report.site import write_site
        from bench.report.write import write_report

        written = write_report(plan, self.store, self.options.results)
        page = write_site(self.options.results)
        return [*written, *([page] if page else [])]

    @user_errors
    def perf(
        self, plan: Plan, rounds: int, cells: bool, progress: Report
    ) -> tuple[str, list[Rate], float | None]:
        """The machine, each strategy's rate, and the seconds of scheduling a cell on Ray (None: not timed)."""
        torch.set_num_threads(max(suite.threads for suite in plan.suites))
        rates = []
        for rate in fit_rates(plan, rounds):
            rates.append(rate)
            progress(f"timed {rate.label}", 1, 1)
        overhead = None
        if cells:
            from bench.run.ray_executor import RayExecutor

            control = next(j for j in plan.jobs.values() if j.cell.stage == "fit" and not j.cell.budget.steps)
            executor = RayExecutor()
            try:
                overhead = cell_overhead(executor, control, {}, lanes=executor.slots // 2)
            finally:
                executor.close()
        return describe_machine(), rates, overhead

    @staticmethod
    def perf_groups(threads: int) -> Iterator[GroupingTime]:
        """Times of k-means and rankings among many embeddings, by so many threads."""
        torch.set_num_threads(threads)
        with threadpool_limits(threads):
            yield from grouping_times()

    def summary(self, plan: Plan, progress: Progress) -> str:
        """One line: what was done, what failed, what was skipped."""
        counts = Counter(status.value for status in progress.statuses.values())
        cached = len(plan.jobs) - len(needed_cells(plan, self.store)) - counts[Status.DONE.value]
        parts = [f"{counts[Status.DONE.value]} done", f"{cached} cached"]
        parts += [f"{counts[s.value]} {s.value}" for s in Status if counts[s.value] and s is not Status.DONE]
        skipped = Counter(row.skipped for row in plan.rows if row.skipped)
        lines = [f"cells: {', '.join(parts)}"]
        lines += [f"skipped ({count} rows): {reason}" for reason, count in skipped.items()]
        return "\n".join(lines)

    def estimate(self, plan: Plan) -> Estimate:
        """What running the plan would take, by the times of finished cells of the same kind."""
        needed = needed_cells(plan, self.store, self.only)
        seconds, sizes = self._costs(plan, needed)
        rows, total, size = [], 0.0, 0.0
        stages: Counter[str] = Counter(plan.jobs[key].cell.stage for key in reached_cells(plan, self.only))
        for stage in plan.stages():
            todo, cells = [k for k in needed if plan.jobs[k].cell.stage == stage], stages[stage]
            known = seconds.get(stage)
            rows.append([
                stage, str(cells), str(cells - len(todo)), str(len(todo)),
                "-" if known is None else f"{known * len(todo):.0f} s",
            ])  # fmt: skip
            total += (known or 0.0) * len(todo)
            size += sizes.get(stage, 0.05) * len(todo)
        timed = all(plan.jobs[k].cell.stage in seconds for k in needed)
        skipped = Counter(row.skipped for row in plan.rows if row.skipped)
        return Estimate(rows, dict(skipped), total if timed else None, size)

    def _costs(self, plan: Plan, needed: set[str]) -> tuple[dict[str, float], dict[str, float]]:
        """Mean seconds and mebibytes of the plan's finished cells, by stage."""
        times: dict[str, list[float]] = {}
        sizes: dict[str, list[float]] = {}
        for key, job in plan.jobs.items():
            if self.store.has(key):
                stage = job.cell.stage
                times.setdefault(stage, []).append(self.store.read_json(key, "provenance.json")["seconds"])
                size = sum(f.stat().st_size for f in self.store.folder(key).iterdir()) / 2**20
                sizes.setdefault(stage, []).append(size)
        return {s: sum(v) / len(v) for s, v in times.items()}, {s: sum(v) / len(v) for s, v in sizes.items()}


def choose_device(name: str) -> str:
    """'cpu' or 'cuda'; 'auto' takes a GPU where there is one."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.device(name)
    except RuntimeError:
        raise CorpusError(f"no device {name!r}; use cpu, cuda or auto") from None
    if name != "cpu" and not name.startswith("cuda"):
        raise CorpusError(f"device {name!r} is not supported; use cpu, cuda or auto")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise CorpusError(f"device {name!r} asked for, but torch sees no GPU; use --device cpu")
    return name


@user_errors
def assemble_board(results: Path, picture: Path | None = None) -> list[Path]:
    """The page of every suite below a results folder, and a picture of it."""
    from bench.report.picture import NoBrowser, take_picture
    from bench.report.site import write_site

    page = write_site(results)
    if page is None:
        raise UserError(f"no board.json below {results}: `leadboard run` and `leadboard report` write them")
    if picture is None:
        return [page]
    try:
        take_picture(page, picture)
    except NoBrowser as error:
        raise UserError(str(error)) from None
    return [page, picture]


@user_errors
def simulate_corpus(corpus: str, folder: Path, records: int, seed: int, progress: Report) -> None:
    """Write a simulated cohort."""
    from bench.data.simulator.cohort import simulate

    simulate(
        corpus,
        folder,
        records,
        seed,
        progress=lambda done, total: progress(f"simulate {corpus}", done, total),
    )


@user_errors
def check_folder(folder: Path) -> list[tuple[Path, str, list[Note]]]:
    """(folder, title, defects) of every corpus in a folder, whatever its layout."""
    from bench.data.check import check_folder as check

    return check(folder)
