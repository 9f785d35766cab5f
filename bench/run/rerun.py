"""Fits of a submission trained anew, and all that rests on them made from there: the same bits, or how far apart.

A submission brings no weights, so scores can only be checked from the training on. On a CPU of the same model with the
same libraries the bits are the same. Elsewhere training makes rounding grow: a fit must begin alike, and how far scores
may be apart whoever scores them again decides (`bench.report.rescore.apart`).
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bench.run.compare import beginning, compare
from bench.run.execute import InlineExecutor, execute, reached_cells
from bench.run.integrity import DESCRIPTION, MANIFEST, ORIGIN
from bench.run.planned import Plan, Row
from bench.run.review import Sent
from bench.run.store import Payload, Store
from bench.run.submission import only

_MAKERS = ("accelerator", "device", "cpu", "cpu_capability", "threads")
_PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "pandas", "pyarrow")
"""Those that compute results or write them."""


@dataclass(frozen=True)
class Again:
    """Cells that were made anew, from the training on.

    Attributes:
        rows: the evaluations that rest on the fit.
        name: of the fit, in words.
        broken: why it could not be made; empty: it could.
        faults: differences that rounding cannot explain; notes: those that it may.
        unlike: in what this machine is not the one that made the submission; empty: it is of the same kind.
    """

    rows: tuple[Row, ...]
    name: str
    broken: str
    faults: tuple[str, ...]
    notes: tuple[str, ...]
    unlike: tuple[str, ...]


def make_again(
    sent: Sent, plan: Plan, rows: Sequence[Row], count: int, seed: int, scratch: Store
) -> Iterator[Again]:
    """Train drawn fits of a submission anew, and make everything that rests on them.

    Args:
        rows: evaluations of the plan; those that are submitted may be drawn.
        seed: of the draw, which hangs on what is claimed too.
        scratch: an empty store, which takes what is made.
    """
    held = [row for row in rows if sent.holds(row)]
    fits = list(dict.fromkeys(row.fit_key for row in held))
    generator = np.random.default_rng([seed, int(hashlib.sha256(sent.digest.encode()).hexdigest()[:16], 16)])
    for place in sorted(generator.permutation(len(fits))[:count]):
        own = tuple(row for row in held if row.fit_key == fits[place])
        where = own[0].source or own[0].corpus
        name = f"fit {fits[place][:12]} ({own[0].label} on {where}, seed {own[0].seed_index})"
        part = only(plan, own)
        progress = execute(part, scratch, InlineExecutor)
        if progress.errors:
            yield Again(own, name, next(iter(progress.errors.values())), (), (), ())
            continue
        reached = reached_cells(part)
        yield _compared(own, name, sent, scratch, [key for key in plan.jobs if key in reached])


def _compared(own: tuple[Row, ...], name: str, sent: Sent, scratch: Store, keys: Sequence[str]) -> Again:
    """What was sent of some cells, and what has been made of them here."""
    faults, notes, unlike = list[str](), list[str](), dict[str, None]()
    for key in keys:
        kept = sent.store.read_json(key, MANIFEST)
        stored, made = {file: sent.store.read(key, file) for file in kept}, scratch.load(key)
        again = {
            file: content for file, content in made.items() if file in stored
        }  # of notes there are no weights
        other = _other_maker(stored[ORIGIN], again[ORIGIN])
        unlike |= dict.fromkeys(other)
        gaps = compare(stored, again)
        if gaps:
            stage = json.loads(stored[DESCRIPTION])["stage"]
            grown = other and (stage != "fit" or _begins_alike(stored, again))
            worst = max(gaps, key=lambda gap: gap.size)
            (notes if grown else faults).append(f"{stage} {key[:12]}: {worst}")
    return Again(own, name, "", tuple(faults), tuple(notes), tuple(unlike))


def _begins_alike(stored: Payload, again: Payload) -> bool:
    """Is the first step of a fit the same within rounding? Of GPUs, which draw other random numbers, none can tell."""
    kinds = {json.loads(files[ORIGIN]).get("accelerator") for files in (stored, again)}
    return kinds != {"cpu"} or all(gap.size <= 1 for gap in compare(stored, beginning(stored, again)))


def _other_maker(stored: bytes, again: bytes) -> list[str]:
    """In what that decides about bits two cells' makers differ; empty: they should be the same."""
    there, here = json.loads(stored), json.loads(again)
    pairs = {name: (there.get(name), here.get(name)) for name in _MAKERS}
    versions = there.get("packages")
    known = versions if isinstance(versions, dict) else {}
    pairs |= {name: (known.get(name), here["packages"][name]) for name in _PACKAGES}
    unlike = [
        f"{name} {theirs} there, {ours} here" for name, (theirs, ours) in pairs.items() if theirs != ours
    ]
    return unlike or ["made on a GPU"] * (here["accelerator"] != "cpu")
