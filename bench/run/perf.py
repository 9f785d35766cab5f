"""How close training comes to its floor: the strategy's own encoder and projector on random tensors, and Adam's step.

Both are timed in turn, round by round, so that a machine whose speed drifts still gives a fair ratio.
"""

import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch

from bench.data.corpus import PreparedCorpus
from bench.run.cell import FitCell
from bench.run.execute import Executor
from bench.run.plan import Plan, Row
from bench.run.provenance import process_facts
from bench.run.registry import encoders, load_strategy
from bench.run.store import Payload
from bench.run.work import Job, fit_info
from bench.train.budget import Budget
from bench.train.build import Recipe, Setting, prepare_fit
from bench.train.fit import Fit, Seeds
from bench.train.strategy import Strategy


@dataclass(frozen=True)
class Rate:
    """Seconds a step of one strategy: in the loop, on the floor, and drawing and transforming its views."""

    label: str
    views: int
    step: float
    floor: float
    draw: float
    lead_samples: int

    @property
    def share(self) -> float:
        """Floor over loop: 1 is as fast as its own networks allow."""
        return self.floor / self.step

    @property
    def draw_ns(self) -> float:
        """Nanoseconds a lead-sample of drawing, transforming and scaling views."""
        return self.draw / self.lead_samples * 1e9


def fit_rates(plan: Plan, rounds: int = 5, steps: int = 10) -> Iterator[Rate]:
    """Time every trained strategy of a plan on its first corpus at label fraction 1."""
    seen: set[str] = set()
    for row in plan.rows:
        if row.key and row.fraction == 1.0 and row.label not in seen:
            seen.add(row.label)
            fit = _fit(plan, row)
            if fit is not None:
                yield _rate(row.label, fit, rounds, steps)


def _fit(plan: Plan, row: Row) -> Fit | None:
    job = plan.jobs[row.fit_key]
    cell = job.cell
    assert isinstance(cell, FitCell)
    kind = load_strategy(cell.strategy.name, job.sources.get(cell.strategy.name))
    if not kind.trained or cell.parents:
        return None
    corpus = next(c for c in plan.corpora.values() if c.folder == job.corpus)
    budget = Budget.model_validate({**cell.budget.model_dump(), "steps": 10**6, "selection": "last"})
    return _prepared(corpus, job, cell, kind, budget)


def _prepared(corpus: PreparedCorpus, job: Job, cell: FitCell, kind: type[Strategy], budget: Budget) -> Fit:
    info = fit_info(corpus, cell.model_copy(update={"budget": budget}), job.rows, kind)
    encoder = encoders()[cell.encoder.name]
    recipe = Recipe(kind, encoder, cell.encoder.arguments, cell.strategy.params, info)
    setting = Setting(cell.input, cell.lead_set, job.rows, cell.task, budget, Seeds(0, 0), cell.precision)
    return prepare_fit(recipe, corpus, setting, torch.device(job.device))


def _rate(label: str, fit: Fit, rounds: int, steps: int) -> Rate:
    fit.run(until=steps)
    before = fit.tally.views, fit.tally.lead_samples, fit.done
    timings: list[list[float]] = [[], [], []]
    on_floor, drawing = _floor(fit), _drawing(fit)

    def loop() -> None:
        fit.run(until=fit.done + 1)

    for _ in range(rounds):
        for times, once in zip(timings, (loop, on_floor, drawing), strict=True):
            times.append(_timed(once, steps, fit.device))
    taken = fit.done - before[2]
    views, samples = (fit.tally.views - before[0]) // taken, (fit.tally.lead_samples - before[1]) // taken
    step, floor, draw = (statistics.median(times) for times in timings)
    return Rate(label, views, step, floor, draw, samples)


def _floor(fit: Fit) -> Callable[[], None]:
    """A step of the strategy's own networks on random tensors of its views' shape."""
    batch = fit.data.draw(fit._next_index(), fit.order)
    views = fit.strategy.views(batch, fit.views)
    views = replace(views, signal=torch.randn(views.signal.shape, device=fit.device))

    def step() -> None:
        fit.strategy.passes(views).float().square().mean().backward()
        fit.optimiser.step()
        fit.optimiser.zero_grad(set_to_none=True)

    return step


def _drawing(fit: Fit) -> Callable[[], None]:
    def draw() -> None:
        batch = fit.data.draw(fit._next_index(), fit.order)
        views = fit.strategy.views(batch, fit.views)
        fit.data.signals.scaled(views.signal, batch.record[views.source], views.leads)

    return draw


def _timed(function: Callable[[], object], times: int, device: torch.device) -> float:
    """Seconds a call."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    for _ in range(times):
        function()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - start) / times


def cell_overhead(
    executor: Executor, job: Job, parents: Mapping[str, Payload], lanes: int, count: int = 100
) -> float:
    """Seconds of a worker's time that a cell costs beside its own work, by `count` copies of one small job.

    The first copies warm the workers and are not counted.
    """

    def run(times: int) -> tuple[float, float]:
        start, work, sent, back = time.perf_counter(), 0.0, 0, 0
        while back < times:
            while sent < times and sent - back < executor.slots:
                executor.submit(str(sent), job, parents)
                sent += 1
            for _, outcome in executor.wait():
                back += 1
                work += json.loads(outcome.files["provenance.json"])["seconds"]
        return time.perf_counter() - start, work

    run(5 * executor.slots)
    wall, work = run(count)
    return (wall * lanes - work) / count


def describe_machine() -> str:
    """One line that names the machine a measurement was made on."""
    facts = process_facts()
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return (
        f"{facts['cpu']}, {facts['cores']} cores, {facts['cpu_capability']}{gpu}, torch {torch.__version__}"
    )
