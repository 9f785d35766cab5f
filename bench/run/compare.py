"""Two results of one cell, file by file: the same bytes, or how far apart their numbers are.

Numbers are compared within what another processor, GPU or library may change by rounding alone: scores within 1e-3;
embeddings, weights and all other fractions within 1e-2 of the largest magnitude of their array; whole numbers and texts
not at all, but of groups and ranks, which tip where two are as near, a hundredth of the rows.

Training is another matter: it makes rounding grow. After a hundred steps the same fit on another kind of processor has
embeddings a fifth apart, and weights that a normalisation cancels have nothing in common any more. What can be compared
there is how it began (`beginning`).
"""

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from bench.run.integrity import ORIGIN, printable
from bench.run.store import Payload
from bench.train.checkpoint import from_bytes

ABSOLUTE = 1e-3
"""Between two scores, which are probabilities."""

RELATIVE = 1e-2
"""Between two numbers, as a share of the largest magnitude of the stored array that they are in."""

SHARE = 1e-2
"""Of the rows, for groups and ranks."""

_COUNTS = ("steps", "epochs", "views", "lead_samples", "flops")
_SCORES = ("scores.parquet",)
_TIPPING = ("assignments.parquet", "rankings.parquet")


@dataclass(frozen=True)
class Gap:
    """How far a file is from what was stored.

    Attributes:
        place: the file, and what in it is farthest off.
        size: in units of what is allowed: above 1 is too far; 0: other bytes, the same values.
        text: the same, to be read.
    """

    place: str
    size: float
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


def unreadable(files: Payload) -> str:
    """The first result file that holds no such thing as its name promises; empty: there is none."""
    for name in sorted(files):
        try:
            list(_values(name, files[name]))
        except Exception:  # whatever a reader raises on bytes that are not its own
            return name
    return ""


def compare(stored: Payload, again: Payload) -> list[Gap]:
    """The gap of every result file whose bytes are not the same; times and machines (`provenance.json`) aside.

    Args:
        stored: of which every file can be read (`unreadable`).
    """
    gaps = []
    for name in sorted({*stored, *again} - {ORIGIN}):
        if name not in again or name not in stored:
            gaps.append(Gap(name, np.inf, "is not made again" if name in stored else "is new"))
        elif stored[name] != again[name]:
            gaps.append(_file_gap(name, stored[name], again[name]))
    return gaps


def beginning(stored: Payload, again: Payload) -> Payload:
    """A repeated fit's files, with what grown rounding decides taken from the stored fit.

    Its own remain: the health of the first step, names, shapes and kinds of its weights, and what it was made from.
    The stored fit's are taken: later health, the weights' values, the selected step, and, where the two stopped at
    different steps, the counts of what they used.
    """
    taken = dict(again)
    if "state.pt" in again and _shapes(stored["state.pt"]) == _shapes(again["state.pt"]):
        taken["state.pt"] = stored["state.pt"]
    if "health.csv" in again:
        before, after = _csv(stored["health.csv"]), _csv(again["health.csv"])
        if list(before) == list(after) and len(before) and len(after):
            joined = pd.concat([after[:1], before[1:]], ignore_index=True)
            taken["health.csv"] = joined.to_csv(index=False).encode()
    told, told_again = json.loads(stored["fit.json"]), json.loads(again["fit.json"])
    stopped_alike = told.get("steps") == told_again.get("steps")
    ending = {
        name: told[name] for name in ("selected_step", *(() if stopped_alike else _COUNTS)) if name in told
    }
    taken["fit.json"] = json.dumps(told_again | ending).encode()
    return taken


def _shapes(state: bytes) -> list[tuple[str, str, Any]]:
    """Of everything in a state, in its order."""
    return [(place, _kind(value), _array(value).shape) for place, value in _leaves("", from_bytes(state))]


def _file_gap(name: str, stored: bytes, again: bytes) -> Gap:
    """The largest gap within a file whose bytes differ."""
    before, after = dict(_values(name, stored)), dict(_values(name, again))
    if list(before) != list(after):
        odd = sorted({*before} ^ {*after})
        return Gap(name, np.inf, f"only one of the two has {printable(odd[0])}" if odd else "other order")
    gaps = [_value_gap(name, inside, value, after[inside]) for inside, value in before.items()]
    return max(gaps, key=lambda gap: gap.size, default=Gap(name, 0.0, "the same values in other bytes"))


def _values(name: str, content: bytes) -> Iterator[tuple[str, Any]]:
    """What a file holds: arrays, numbers and texts by where they are in it."""
    kind = name.rpartition(".")[2]
    if kind == "json":
        return _leaves("", dict(json.loads(content)))
    if kind == "pt":
        return _leaves("", from_bytes(content))
    if kind == "npy":
        return iter([("", np.load(io.BytesIO(content)))])
    if kind == "npz":
        return iter(np.load(io.BytesIO(content)).items())
    if kind in ("parquet", "csv"):
        table = pd.read_parquet(io.BytesIO(content)) if kind == "parquet" else _csv(content)
        return ((str(column), table[column].to_numpy()) for column in table)
    return iter([("", content)])


def _csv(content: bytes) -> pd.DataFrame:
    """A table; that of a fit without steps has not even columns."""
    return pd.read_csv(io.BytesIO(content)) if content.strip() else pd.DataFrame()


def _leaves(place: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Whatever is no mapping and no list, by its path."""
    if isinstance(value, Mapping):
        items = [(str(name), inner) for name, inner in value.items()]
    elif isinstance(value, list | tuple):
        items = [(str(index), inner) for index, inner in enumerate(value)]
    else:
        yield place, value
        return
    yield f"{place} length", len(items)
    for name, inner in items:
        yield from _leaves(f"{place}.{name}" if place else name, inner)


def _value_gap(name: str, inside: str, stored: Any, again: Any) -> Gap:
    place = f"{name}, {printable(inside)}" if inside else name
    before, after = _array(stored), _array(again)
    if before.shape != after.shape or _kind(stored) != _kind(again):
        return Gap(place, np.inf, f"{_kind(again)} {after.shape} in place of {_kind(stored)} {before.shape}")
    if before.dtype.kind == "f":
        return _number_gap(place, before, after, absolute=name in _SCORES)
    share = float(_unlike(before, after).mean()) if before.size else 0.0
    if name in _TIPPING:
        return Gap(place, share / SHARE, f"{share:.2%} of the rows differ, {SHARE:.0%} may")
    return Gap(place, np.inf if share else 0.0, _told(before, after, share))


def _number_gap(place: str, stored: np.ndarray, again: np.ndarray, absolute: bool) -> Gap:
    """Of two arrays of fractions. What is not finite must be so in both."""
    finite = np.isfinite(stored)
    if (finite != np.isfinite(again)).any() or _unlike(stored[~finite], again[~finite]).any():
        return Gap(place, np.inf, "not finite in one of the two")
    apart = float(np.abs(stored[finite] - again[finite]).max(initial=0.0))
    if absolute:
        return Gap(place, apart / ABSOLUTE, f"{apart:.2g} apart, {ABSOLUTE:g} may be")
    largest = float(np.abs(stored[finite]).max(initial=0.0))
    share = apart / largest if largest else np.inf if apart else 0.0
    return Gap(place, share / RELATIVE, f"{share:.2g} of the largest value apart, {RELATIVE:g} may be")


def _array(value: Any) -> np.ndarray:
    """As an array; fractions in double precision."""
    if isinstance(value, torch.Tensor):
        value = (value.double() if value.is_floating_point() else value).numpy()
    if value is None or isinstance(value, str | bytes):
        return np.array(value, dtype=object)
    found = np.asarray(value)
    return found.astype(np.float64) if found.dtype.kind == "f" else found


def _kind(value: Any) -> str:
    """What kind of values these are; a whole JSON number is one also where it might be a fraction."""
    return str(value.dtype) if isinstance(value, torch.Tensor | np.ndarray) else type(value).__name__


def _unlike(stored: np.ndarray, again: np.ndarray) -> np.ndarray:
    """Where two arrays differ; missing equals missing."""
    missing = np.logical_and(pd.isna(stored), pd.isna(again))
    return np.asarray(np.logical_and(stored != again, np.logical_not(missing)))


def _told(stored: np.ndarray, again: np.ndarray, share: float) -> str:
    if stored.ndim == 0:
        return f"{printable(repr(again.item()))} in place of {printable(repr(stored.item()))}"
    return f"{share:.2%} of the values differ, none may"
