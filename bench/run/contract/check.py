"""Proves a strategy against the contract in seconds, on a corpus it makes up: `leadboard check NAME|FILE.py`."""

import inspect
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from bench.run.contract import interface as interface
from bench.run.contract import training as training
from bench.run.contract.stand import Broken, Stand
from bench.run.registry import Registry
from bench.train.strategy import Strategy, UndeclaredField


@dataclass(frozen=True)
class Check:
    """One promise, kept or not: what was found, or why it failed."""

    name: str
    ok: bool
    detail: str = ""


def check_named(name: str) -> list[Check]:
    """Check a strategy or baseline of the project by its name, or every strategy of a FILE.py.

    With its recipe 'board' where it has one, which is what it joins the board with.
    """
    path = Path(name)
    if path.suffix != ".py":
        try:
            found = Registry().get(name)
        except KeyError as error:
            return [Check("found", False, str(error.args[0]))]
        return check_strategy(found.strategy, _board(found.strategy), found.path.read_text())
    registry = Registry((path,))
    for broken in registry.broken:
        if broken.path == path:
            return [Check("imports", False, broken.reason)]
    kinds = [found.strategy for found in registry.found.values() if found.path == path]
    text = path.read_text()
    checks = [(kind.name, check) for kind in kinds for check in check_strategy(kind, _board(kind), text)]
    return [
        replace(check, name=f"{kind} {check.name}" if len(kinds) > 1 else check.name)
        for kind, check in checks
    ]


def _board(kind: type[Strategy]) -> dict[str, Any]:
    return kind.recipes.get("board", {})


def check_strategy(
    kind: type[Strategy],
    params: Mapping[str, Any] | None = None,
    text: str | None = None,
    only: frozenset[str] | None = None,
) -> list[Check]:
    """Check one strategy; stops at the first broken promise that the rest rest upon.

    Args:
        kind: the strategy.
        params: parameters other than its defaults.
        text: of the file it stands in, searched for fields it reads; None: of the class itself.
        only: names of checks; None: all.
    """
    checks: list[Check] = []
    with tempfile.TemporaryDirectory() as folder, _one_thread():
        try:
            stand = Stand(kind, params or {}, Path(folder))
        except Exception as error:
            return [Check("declared", False, _reason(error))]
        for name, promise, vital in _promises(kind, text or _text_of(kind)):
            if only is not None and name not in only:
                continue
            try:
                checks.append(Check(name, True, promise(stand)))
            except Exception as error:
                checks.append(Check(name, False, _reason(error)))
                if vital:
                    return checks
    return checks


Promise = Callable[[Stand], str]


def _promises(kind: type[Strategy], text: str) -> list[tuple[str, Promise, bool]]:
    """Name, promise, and whether the later ones rest on it; untrained controls make no promise about training."""
    promises: list[tuple[str, Promise, bool, bool]] = [  # name, promise, vital, only if trained
        ("declared", interface.declared, True, False),
        ("ledger", partial(interface.ledger, text=text), True, False),
        ("views", interface.views, True, True),
        ("positives", interface.positives, False, True),
        ("loss", training.loss, True, True),
        ("gradient", training.gradient, True, True),
        ("randomness", training.randomness, False, True),
        ("embedding", interface.embedding, True, False),
        ("groups", interface.groups, False, False),
        ("repeats", training.repeats, False, True),
        ("resumes", training.resumes, False, True),
        ("stored", training.stored, False, False),
        ("learns", training.learns, False, True),
    ]
    return [(name, promise, vital) for name, promise, vital, only in promises if kind.trained or not only]


@contextmanager
def _one_thread() -> Iterator[None]:
    """As cells run by default; a small encoder gains nothing from more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _text_of(kind: type[Strategy]) -> str:
    return textwrap.dedent(inspect.getsource(kind))


def _reason(error: Exception) -> str:
    """One line; our own findings and the ledger's need no type before them."""
    line = (str(error) or type(error).__name__).splitlines()[0]
    return line if isinstance(error, Broken | UndeclaredField) else f"{type(error).__name__}: {line}"
