"""The training loop. There is one: every strategy and every baseline is fitted here."""

import copy
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from bench.nn.encoder import Encoder
from bench.train.budget import Budget
from bench.train.flops import FlopCounter
from bench.train.health import effective_rank, spread
from bench.train.inputs import TrainingSet
from bench.train.optim import build_optimiser, freeze_others, phase_bounds, rate_factor, set_rate
from bench.train.seeding import derive_seed
from bench.train.strategy import Batch, Loss, Step, Strategy, Training, Views

HEALTH_POINTS = 10


class Diverged(RuntimeError):
    """The loss is not finite; the message names the step."""


@dataclass(frozen=True)
class Seeds:
    """Where a fit's random numbers come from; the strategy is not among the axes, so comparisons are paired."""

    suite: int
    index: int

    def seed(self, purpose: str) -> int:
        """The seed of one purpose."""
        return derive_seed(self.suite, purpose, self.index)


@dataclass
class Tally:
    """What a fit used.

    Attributes:
        views, lead_samples: (lead x sample values) through the encoder.
        flops: of all steps: those of the first step of each phase, times the phase's steps.
    """

    views: int = 0
    lead_samples: int = 0
    flops: int = 0


@dataclass
class _Selection:
    best: float = float("inf")
    step: int = -1
    since: int = 0
    state: dict[str, Tensor] = field(default_factory=dict)


class Fit:
    """One fit of one strategy.

    Args:
        strategy: built and on the device.
        data: what it trains on; its fields are the strategy's declared ones.
        validation: instances for 'best_val_loss'; None where selection is 'last'.
        precision: 'float32', or 'bf16' for the encoder's forward pass.
        on_step: called with (steps done, steps in all).
    """

    def __init__(
        self,
        strategy: Strategy,
        data: TrainingSet,
        budget: Budget,
        seeds: Seeds,
        validation: TrainingSet | None = None,
        precision: str = "float32",
        on_step: Callable[[int, int], None] | None = None,
    ) -> None:
        self.strategy, self.data, self.budget, self.seeds = strategy, data, budget, seeds
        self.validation, self.on_step = validation, on_step
        self.device = data.signals.device
        self.batch = min(budget.batch, len(data))
        self.done, self.epoch, self.position = 0, -1, 0
        self.order = torch.Generator().manual_seed(seeds.seed("order"))
        self.views = torch.Generator(device=self.device).manual_seed(seeds.seed("views"))
        self.permutation = torch.empty(0, dtype=torch.int64)
        self.tally, self.selection = Tally(), _Selection()
        self.health: list[dict[str, float]] = []
        self._seen: Tensor | None = None
        self._counting = False
        self._phase_index = -1
        self._step_flops: dict[int, int] = {}
        self._dropout_state: list[Tensor] | None = None
        with random_state(self.device, seeds.seed("dropout")) as keep:
            use_precision(strategy, precision, self.device)
            strategy.encoder.register_forward_hook(self._observe)
            strategy.train()
            with threadpool_limits(1):  # threads would add in an order of their own: k-means, other last bits
                strategy.setup(self.training())
            self._phases = strategy.phases() if budget.steps else []
            self._bounds = phase_bounds(self._phases, budget.steps) if budget.steps else []
            self._dropout_state = keep()

    def run(self, until: int | None = None) -> "Fit":
        """Train to the end of the budget, or up to step `until`.

        Raises:
            Diverged: the loss is not finite.
        """
        end = self.budget.steps if until is None else min(until, self.budget.steps)
        with random_state(self.device, self.seeds.seed("dropout"), self._dropout_state) as keep:
            while self.done < end and not self._out_of_patience():
                self._step()
                if self.on_step:
                    self.on_step(self.done, self.budget.steps)
            self._dropout_state = keep()
        if self.done >= self.budget.steps or self._out_of_patience():
            self._finish()
        return self

    def _step(self) -> None:
        self._enter_phase()
        index = self._next_index()
        step = Step(self.done, self.budget.steps, self.epoch, self._phase_index)
        batch = self.data.draw(index, self.order)
        self.strategy.on_step_start(step)
        with self._measured_once():
            self._counting = True
            loss = self.loss(self.data, batch, step, self.views)
            self._counting = False
            if not torch.isfinite(loss.total.detach()):
                raise Diverged(
                    f"loss is {float(loss.total.detach())} at step {self.done}; lower the learning rate"
                )
            loss.total.backward()
        self.tally.flops += self._step_flops[self._phase_index]
        start = self._bounds[self._phase_index - 1] if self._phase_index else 0
        set_rate(self.optimiser, rate_factor(self.done, start, self._bounds[self._phase_index], self.budget))
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.strategy.on_step_end(step)
        self._record(loss, step)
        self.done += 1
        self._select()

    @contextmanager
    def _measured_once(self) -> Iterator[None]:
        """Count the operations of a phase's first step; the others are taken to cost the same."""
        if self._phase_index in self._step_flops:
            yield
            return
        with FlopCounter() as counter:
            yield
        self._step_flops[self._phase_index] = counter.total

    def loss(self, data: TrainingSet, batch: Batch, step: Step, generator: torch.Generator) -> Loss:
        """The strategy's loss of a batch of `data` in millivolts: views, scaling, loss."""
        views = self.strategy.views(batch, generator)
        leads = views.leads
        if data.lead is not None:
            leads = data.lead.to(batch.index.device)[batch.index][views.source][:, None]
        scaled = data.signals.scaled(views.signal, batch.record[views.source], leads)
        before = self.tally.views
        loss = self.strategy.loss(batch, Views(scaled, views.source, views.group, views.leads), step)
        if (
            self._counting and self.tally.views == before
        ):  # it reads the encoder's sequence, not its embedding
            self._count(scaled)
        return loss

    def _next_index(self) -> Tensor:
        if self.epoch < 0 or self.position + self.batch > len(self.permutation):
            self.epoch, self.position = self.epoch + 1, 0
            with threadpool_limits(1):
                renewed = self.strategy.on_epoch_start(self.epoch, self.training())
            for parameter in renewed or ():
                self.optimiser.state.pop(parameter, None)
            self.permutation = self._epoch_order()
        index = self.permutation[self.position : self.position + self.batch]
        self.position += self.batch
        return index.to(self.data.record.device)

    def _epoch_order(self) -> Tensor:
        """The instances of one epoch: each once, or drawn by the strategy's weights."""
        weights = self.strategy.draw_weights()
        if weights is None:
            return torch.randperm(len(self.data), generator=self.order)
        return torch.multinomial(
            weights.double().cpu(), len(self.data), replacement=True, generator=self.order
        )

    def training(self) -> Training:
        """The training set as the strategy's hooks see it."""
        return Training(self.data.fields, self._embed_all, self.seeds.seed("setup"))

    def _enter_phase(self) -> None:
        wanted = next(i for i, bound in enumerate(self._bounds) if self.done < bound)
        if wanted != self._phase_index:
            with threadpool_limits(1):
                for phase in range(self._phase_index + 1, wanted + 1):  # one of no step is begun all the same
                    self.strategy.on_phase_start(phase, self.training())
            self._phase_index = wanted
            freeze_others(self.strategy, self._phases[wanted])
            self.optimiser = build_optimiser(self._phases[wanted], self.budget)

    def _observe(self, module: torch.nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if self._counting:
            self._count(inputs[0])
            self._seen = output.detach()

    def _count(self, signal: Tensor) -> None:
        self.tally.views += len(signal)
        self.tally.lead_samples += signal.numel()

    def _record(self, loss: Loss, step: Step) -> None:
        every = max(1, self.budget.steps // HEALTH_POINTS)
        if step.index % every and step.index != self.budget.steps - 1:
            return
        row = {"step": step.index, "epoch": step.epoch, "loss": float(loss.total.detach())}
        if self._seen is not None and self._seen.ndim == 2 and len(self._seen) > 1:
            seen = self._seen[:256].float()
            row |= {"spread": spread(seen), "effective_rank": effective_rank(seen)}
        self.health.append(row | {name: float(value.detach()) for name, value in loss.parts.items()})

    def _select(self) -> None:
        if self.budget.selection != "best_val_loss" or self.validation is None or not len(self.validation):
            return
        if self.done % self.budget.check_every and self.done != self.budget.steps:
            return
        value, chosen = self.validation_loss(), self.selection
        chosen.since += 1
        if value < chosen.best:
            state = {name: tensor.detach().clone() for name, tensor in self.strategy.state_dict().items()}
            self.selection = _Selection(value, self.done, 0, state)

    @torch.no_grad()
    def validation_loss(self) -> float:
        """Mean loss over the validation instances, in evaluation mode, with the same views at every call."""
        if self.validation is None:
            raise ValueError("this fit has no validation instances")
        generator = torch.Generator(device=self.device).manual_seed(self.seeds.seed("validation"))
        starts = torch.Generator().manual_seed(self.seeds.seed("validation"))
        total, count = 0.0, 0
        self.strategy.eval()
        order = torch.randperm(len(self.validation), generator=starts)
        for index in order.split(self.budget.batch):
            batch = self.validation.draw(index.to(self.data.record.device), starts)
            step = Step(self.done, self.budget.steps, self.epoch, self._phase_index)
            total += float(self.loss(self.validation, batch, step, generator).total) * len(index)
            count += len(index)
        self.strategy.train()
        return total / count

    def _out_of_patience(self) -> bool:
        return bool(self.budget.patience) and self.selection.since >= self.budget.patience

    def _finish(self) -> None:
        if self.selection.state:
            self.strategy.load_state_dict(self.selection.state)
        self.strategy.eval()
        with threadpool_limits(1):
            self.strategy.on_fit_end(self.training())

    @torch.no_grad()
    def _embed_all(self, rows: Tensor | None = None) -> Tensor:
        training = self.strategy.training
        self.strategy.eval()
        rows = torch.arange(len(self.data)) if rows is None else rows
        rows = rows.to(self.data.record.device)
        parts = [
            self._embed(self.data.scaled(self.data.draw(index, None)))
            for index in rows.split(4 * self.budget.batch)
        ]
        self.strategy.train(training)
        return torch.cat(parts)

    def _embed(self, batch: Batch) -> Tensor:
        """(B, D); where leads are evaluated singly, the mean over those of an instance that has all."""
        leads = batch.signal.shape[1]
        if leads == self.strategy.info.leads:
            return self.strategy.embed(batch).float()
        row = torch.arange(len(batch.index), device=batch.index.device).repeat_interleave(leads)
        signal = batch.signal.flatten(0, 1)[:, None]
        valid = None if batch.valid is None else batch.valid[row]
        single = Batch(signal, batch.index[row], batch.record[row], batch.fields.take(row), valid)
        return self.strategy.embed(single).float().unflatten(0, (-1, leads)).mean(1)

    def state(self) -> dict[str, Any]:
        """Everything needed to continue in another process with identical results; tensors and plain values."""
        return {
            "strategy": copy.deepcopy(self.strategy.state_dict()),
            "optimiser": copy.deepcopy(self.optimiser.state_dict()) if self._phase_index >= 0 else None,
            "generators": [self.order.get_state(), self.views.get_state(), *(self._dropout_state or [])],
            "permutation": self.permutation.clone(),
            "counters": [self.done, self.epoch, self.position],
            "tally": vars(self.tally).copy(),
            "step_flops": dict(self._step_flops),
            "health": list(self.health),
            "selection": vars(self.selection).copy(),
        }

    def restore(self, state: dict[str, Any]) -> "Fit":
        """Continue from `state()`."""
        self.strategy.load_state_dict(state["strategy"])
        self.done, self.epoch, self.position = state["counters"]
        self.tally, self._step_flops = Tally(**state["tally"]), dict(state["step_flops"])
        self.permutation = state["permutation"]
        self.health, self.selection = list(state["health"]), _Selection(**state["selection"])
        order, views_state, *self._dropout_state = state["generators"]
        self.order.set_state(order)
        self.views.set_state(views_state)
        if state["optimiser"] is not None:
            previous = self.done - 1
            self._phase_index = next(i for i, bound in enumerate(self._bounds) if previous < bound)
            freeze_others(self.strategy, self._phases[self._phase_index])
            self.optimiser = build_optimiser(self._phases[self._phase_index], self.budget)
            self.optimiser.load_state_dict(state["optimiser"])
        return self


@contextmanager
def random_state(
    device: torch.device, seed: int, state: list[Tensor] | None = None
) -> Iterator[Callable[[], list[Tensor]]]:
    """Run with torch's global generators (dropout) at `state`, or seeded; restores the caller's afterwards.

    Yields:
        A function that returns the present state, to go on from later.
    """
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        if state:
            torch.set_rng_state(state[0])
            if devices:
                torch.cuda.set_rng_state(state[1], device)

        def keep() -> list[Tensor]:
            cuda = [torch.cuda.get_rng_state(device)] if devices else []
            return [torch.get_rng_state(), *cuda]

        yield keep


def use_precision(strategy: Strategy, precision: str, device: torch.device) -> None:
    """Let every encoder compute in bf16 where asked; what it returns is float32, and so is everything after.

    Raises:
        ValueError: unknown precision.
    """
    if precision == "float32":
        return
    if precision != "bf16":
        raise ValueError(f"unknown precision {precision!r}; use float32 or bf16")

    def wrapped(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        def call(signal: Tensor) -> Tensor:
            with torch.autocast(device.type, torch.bfloat16):
                return function(signal).float()

        return call

    encoders: list[Any] = [module for module in strategy.modules() if isinstance(module, Encoder)]
    for encoder in encoders:  # target encoders too
        for name in ("forward", "sequence", "context"):
            setattr(encoder, name, wrapped(getattr(encoder, name)))


def count_parameters(strategy: Strategy) -> dict[str, int]:
    """Parameters of the encoder, and of everything the fit trained."""
    encoder = sum(p.numel() for p in strategy.encoder.parameters())
    return {"encoder": encoder, "all": sum(p.numel() for p in strategy.parameters())}


def state_hash(module: torch.nn.Module) -> str:
    """SHA-256 over a module's parameters and buffers, to prove that a frozen encoder stayed frozen."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensor.detach().cpu().numpy()).tobytes())
    return digest.hexdigest()
