"""What a strategy does in training: loss, gradients, random numbers, bits, checkpoints, learning.

One function a promise; it returns what it found or raises with the reason.
"""

import pickle
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from bench.run.contract.corpus import FINDINGS, RHYTHM
from bench.run.contract.stand import BATCHES, CPU, STEPS, Stand, draw, loss_of, need, views_of
from bench.train.checkpoint import from_bytes, to_bytes
from bench.train.fit import random_state, state_hash
from bench.train.optim import freeze_others
from bench.train.strategy import Field, Step

LEARNING_STEPS = 40


def loss(stand: Stand) -> str:
    """The loss is a finite scalar for every recipe and task, for 2, 3 and 64 records, without positives too."""
    tasks = (RHYTHM, FINDINGS) if Field.LABELS in stand.kind.needs else (RHYTHM,)
    for name, recipe in {"(defaults)": {}, **stand.kind.recipes}.items():
        if stand.kind.incompatible(stand.info(params=recipe), stand.checked({**stand.params, **recipe})):
            continue
        for task in tasks:
            fit = stand.fit(recipe, task)
            for count in BATCHES:
                total = loss_of(fit, count).total.detach()
                where = f"for {count} records, recipe {name!r}"
                need(total.ndim == 0, f"the loss has shape {tuple(total.shape)} {where}; want a scalar")
                need(bool(total.isfinite()), f"the loss is {float(total)} {where}")
    return f"{float(loss_of(stand.fit(), BATCHES[0]).total.detach()):.3f} at the start"


def gradient(stand: Stand) -> str:
    """In every phase the gradient reaches every parameter that is trained, in some phase the encoder's."""
    fit = stand.fit()
    strategy, reached = fit.strategy, False
    encoder = {id(parameter) for parameter in strategy.encoder.parameters()}
    for number, phase in enumerate(strategy.phases()):
        freeze_others(strategy, phase)
        strategy.zero_grad(set_to_none=True)
        loss_of(fit, BATCHES[0], number).total.backward()
        for name, parameter in strategy.named_parameters():
            grad = parameter.grad
            if parameter.requires_grad:
                need(grad is not None, f"no gradient reaches {name} in phase {number}")
            if grad is not None:
                need(bool(grad.isfinite().all()), f"the gradient of {name} is not finite in phase {number}")
                reached |= id(parameter) in encoder and bool(grad.any())
    need(reached, "no gradient reaches the encoder")
    return f"{sum(p.requires_grad for p in strategy.parameters())} tensors trained in the last phase"


def randomness(stand: Stand) -> str:
    """Nothing draws from a global generator: not the hooks, nor views, positives and loss (dropout apart)."""
    with _untouched("`__init__`, `setup` or `on_epoch_start`", torch_too=False):
        fit = stand.fit()
        fit.strategy.on_epoch_start(0, fit.training())
    batch = draw(fit, 3)
    with _untouched("`views`"):
        made = views_of(fit, batch)
    with _untouched("`positives`"):
        fit.strategy.positives(batch, made)
    fit.strategy.eval()
    with _untouched("`loss`"), torch.no_grad():
        fit.loss(fit.data, batch, Step(0, STEPS, 0), torch.Generator().manual_seed(0))
    with _untouched("a step", torch_too=False):
        fit.run(until=1)
    return "views and loss follow the generator they are given"


@contextmanager
def _untouched(what: str, torch_too: bool = True) -> Iterator[None]:
    def states() -> list[object]:
        legacy = pickle.dumps(np.random.get_state())  # noqa: NPY002 - the global generator that we look for
        return [random.getstate(), legacy, torch.get_rng_state().tolist() if torch_too else None]

    before = states()
    yield
    for name, old, new in zip(("random", "numpy.random", "torch"), before, states(), strict=True):
        need(old == new, f"{what} draws from the global generator of {name}; use the one it is given")


def repeats(stand: Stand) -> str:
    """The same seed gives the same bits, another seed others."""
    first = state_hash(stand.trained)
    second, other = (state_hash(stand.fit(index=index).run().strategy) for index in (0, 1))
    need(
        first == second,
        "two fits with one seed differ; something is random, or kept from one fit to the next",
    )
    need(first != other, "a fit with another seed is the same to the bit")
    return f"{STEPS} steps, state {first[:8]}"


def resumes(stand: Stand) -> str:
    """A fit that is stopped, saved, loaded elsewhere and continued ends like one that was not."""
    state = to_bytes(stand.fit().run(until=STEPS // 2).state())
    continued = stand.fit().restore(from_bytes(state)).run()
    ours, theirs = stand.trained.state_dict(), continued.strategy.state_dict()
    differing = [name for name in ours if not torch.equal(ours[name], theirs[name])]
    need(
        not differing,
        f"continued from step {STEPS // 2}, {differing[:1]} differs; make it a buffer if it is state",
    )
    return f"from step {STEPS // 2}, {len(state) / 1024:.0f} KiB"


def stored(stand: Stand) -> str:
    """Weights loaded into a freshly built strategy embed the same, to the bit."""
    content = to_bytes(stand.trained.state_dict())
    rebuilt = stand.build(seed=1)
    rebuilt.load_state_dict(from_bytes(content), strict=True)
    with torch.no_grad():
        ours, theirs = (strategy.eval().embed(stand.judged(5)) for strategy in (stand.trained, rebuilt))
    alike = torch.equal(ours.nan_to_num(), theirs.nan_to_num())
    need(alike, "loaded from its weights it embeds otherwise; what `embed` needs must be in its buffers")
    return f"{len(content) / 1024:.0f} KiB"


def learns(stand: Stand) -> str:
    """The loss of fixed views of fixed records is lower after some steps than before."""
    fit = stand.fit(steps=LEARNING_STEPS)

    def level() -> float:
        fit.strategy.train()
        with torch.no_grad(), random_state(CPU, 0):
            return float(loss_of(fit, BATCHES[0], len(fit.strategy.phases()) - 1).total)

    before = level()
    fit.run()
    after = level()
    need(after < before, f"the loss went from {before:.3f} to {after:.3f} in {LEARNING_STEPS} steps")
    return f"loss {before:.3f} -> {after:.3f} in {LEARNING_STEPS} steps"
