"""A trained encoder of the store: found by the beginning of its key, loaded with all that embedding needs.

A fit cell says how its signals were conditioned and scaled, and its weights are loaded strictly, under the very code
that trained them. What the cell does not say, the millivolts by which 'zscore-global' scales, its fit's record says, or
the training corpus, prepared, that is still at hand.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from bench.data.condition import FILTER_ORDER
from bench.data.corpus import CorpusError, PreparedCorpus
from bench.data.leads import LEAD_SETS
from bench.run.cell import FitCell
from bench.run.errors import UserError
from bench.run.provenance import process_facts
from bench.run.registry import Source, encoders
from bench.run.store import Store
from bench.run.work import restore
from bench.train.budget import InputSpec
from bench.train.strategy import Strategy

SHORTEST_KEY = 6
"""Characters that a key may be cut to."""

TRAINED_COLUMNS = ("key", "strategy", "encoder", "corpus", "lead set", "Hz", "steps", "finished")
"""Columns of `trained_encoders`."""

_CODE = ("commit", "modified", "source_hash", "packages")
_SHOWN = 5
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True)
class Trained:
    """An encoder ready to embed.

    Attributes:
        key: of its fit.
        strategy: in evaluation mode, on `device`.
        cell: of its fit.
        global_scaling: under 'zscore-global' the millivolts that are taken off and divided by; else None.
        corpora: facts of every corpus it was trained on, ancestors' too: fingerprint, and of those at hand name, title,
            licence, citation and whether it is simulated.
        provenance: of its fit.
    """

    key: str
    strategy: Strategy
    cell: FitCell
    global_scaling: tuple[float, float] | None
    corpora: tuple[Mapping[str, Any], ...]
    provenance: Mapping[str, Any]
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def leads(self) -> tuple[str, ...]:
        """Names of the channels it reads, in their order."""
        return LEAD_SETS[self.cell.lead_set]

    @cached_property
    def spec(self) -> InputSpec:
        """Its input, its window in samples, and the windows of a record averaged."""
        window = self.strategy.info.samples
        return self.cell.input.model_copy(update={"window": window, "aggregation": "mean"})

    def describe(self) -> dict[str, Any]:
        """What whoever uses the encoder must know, as JSON."""
        spec, cell, kind = self.spec, self.cell, type(self.strategy)
        return {
            "key": self.key,
            "strategy": cell.strategy.name,
            "title": kind.title,
            "paper": kind.paper,
            "params": cell.strategy.params,
            "encoder": cell.encoder.model_dump(mode="json"),
            "lead_set": cell.lead_set,
            "leads": list(self.leads),
            "units": "millivolts",
            "rate_hz": spec.rate,
            "band_hz": None if spec.band is None else list(spec.band),
            "conditioning": _conditioning(spec),
            "window_samples": spec.window,
            "input": spec.model_dump(mode="json"),
            "global_scaling_mv": self.global_scaling,
            "precision": cell.precision,
            "training_corpora": [dict(facts) for facts in self.corpora],
            "steps": cell.budget.steps,
            "trained_elsewhere_on": list(getattr(kind, "trained_on", ())),
            "trained_with": {name: self.provenance.get(name) for name in ("finished", *_CODE)},
            "written_with": {name: process_facts().get(name) for name in _CODE},
        }


def _conditioning(spec: InputSpec) -> str:
    """How signals are made ready for the encoder, in words."""
    steps = f"resample to {spec.rate} Hz (polyphase)"
    if spec.band is None:
        return f"{steps}; no filter"
    low, high = spec.band
    return f"{steps}; Butterworth band-pass of order {FILTER_ORDER}, {low:g} to {high:g} Hz, forwards and backwards"


def prepared_corpora(folder: Path) -> dict[str, PreparedCorpus]:
    """Prepared corpora in a folder, by fingerprint; what cannot be opened is left out."""
    found: dict[str, PreparedCorpus] = {}
    for path in sorted(folder.glob("*/corpus.json")):
        try:
            corpus = PreparedCorpus.open(path.parent)
        except (CorpusError, ValueError, TypeError, KeyError):
            continue
        found[corpus.fingerprint] = corpus
    return found


def find_fit(store: Store, name: str, corpora: Mapping[str, PreparedCorpus] | None = None) -> str:
    """The key of the one fit that a name means.

    Args:
        name: the first characters of a key, `SHORTEST_KEY` at least; or STRATEGY, or STRATEGY@CORPUS, the corpus by
            name or by the first characters of its fingerprint.
        corpora: prepared corpora by fingerprint, whose names may be used.

    Raises:
        UserError: no fit is meant, or several.
    """
    known = corpora or {}
    is_key = set(name) <= _HEX
    found = list(_fits(store, name)) if is_key and len(name) >= SHORTEST_KEY else []
    if not found:
        strategy, _, corpus = name.partition("@")
        found = [
            (key, cell)
            for key, cell in _fits(store)
            if cell.strategy.name == strategy and _is_corpus(cell.corpus, corpus, known)
        ]
    if len(found) == 1:
        return found[0][0]
    if not found:
        raise UserError(_none_found(store, name, is_key))
    shown = "; ".join(_candidate(key, cell, known) for key, cell in found[:_SHOWN])
    more = f"; and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else ""
    raise UserError(f"{len(found):,} fits are called {name!r}, give more of one key: {shown}{more}")


def _fits(store: Store, prefix: str = "") -> Iterator[tuple[str, FitCell]]:
    """Every finished fit whose key begins so."""
    for key in _beginning(store.keys(), prefix):
        described = store.read_json(key, "cell.json")
        if described.get("stage") == "fit":
            yield key, FitCell.model_validate(described)


def _beginning(keys: Iterable[str], prefix: str) -> list[str]:
    return [key for key in keys if key.startswith(prefix)]


def _is_corpus(fingerprint: str, name: str, corpora: Mapping[str, PreparedCorpus]) -> bool:
    return fingerprint.startswith(name) or (fingerprint in corpora and corpora[fingerprint].name == name)


def _none_found(store: Store, name: str, is_key: bool) -> str:
    """Why a name means no fit; a key of another stage leads to its fit."""
    if is_key and len(name) < SHORTEST_KEY:
        return f"key {name!r} is too short; give {SHORTEST_KEY} characters of it at least"
    if is_key:
        for key in _beginning(store.keys(), name):
            cell = store.read_json(key, "cell.json")
            parents = ", ".join(parent[:12] for parent in cell["parents"].values())
            return f"{key[:12]} is no fit but of stage {cell['stage']!r}; it rests on {parents}"
        for key in _beginning(store.notes(), name):
            return f"{key[:12]} was brought here without its weights; train it here, or merge its own store"
    count = sum(1 for _ in _fits(store))
    what = f"begins with {name!r}" if is_key else f"is of {name!r} (a key, STRATEGY or STRATEGY@CORPUS)"
    return f"none of the {count:,} fits in {store.root} {what}"


def _candidate(key: str, cell: FitCell, corpora: Mapping[str, PreparedCorpus]) -> str:
    corpus = _corpus_name(cell.corpus, corpora)
    where = f"corpus {corpus}, {cell.lead_set}, {cell.budget.steps} steps, seed {cell.seed_index}"
    return f"{key[:12]} ({cell.strategy.name}, {where})"


def _corpus_name(fingerprint: str, corpora: Mapping[str, PreparedCorpus]) -> str:
    return corpora[fingerprint].name if fingerprint in corpora else fingerprint[:8]


def trained_encoders(store: Store, corpora: Mapping[str, PreparedCorpus] | None = None) -> list[list[str]]:
    """Every finished fit, a row with `TRAINED_COLUMNS` each, by strategy, encoder, corpus and time."""
    rows = []
    for key, cell in _fits(store):
        rows.append(
            [
                key[:12],
                cell.strategy.name,
                cell.encoder.name,
                _corpus_name(cell.corpus, corpora or {}),
                cell.lead_set,
                str(cell.input.rate),
                str(cell.budget.steps),
                str(store.read_json(key, "provenance.json").get("finished", "")),
            ]
        )
    return sorted(rows, key=lambda row: (*row[1:5], row[-1], row[0]))


def load_trained(
    store: Store,
    key: str,
    sources: Mapping[str, Source] | None = None,
    corpora: Mapping[str, PreparedCorpus] | None = None,
    device: torch.device | None = None,
) -> Trained:
    """Load a fit's strategy, strictly, weights and buffers alone.

    Args:
        key: of a finished fit; see `find_fit`.
        sources: texts of strategy files outside the project, by strategy name.
        corpora: prepared corpora by fingerprint.
        device: where it is to compute; default the CPU.

    Raises:
        UserError: other code or a strategy that is not here, a control without an encoder, fields of the record that a
            signal does not bring, or a training corpus that is needed and not at hand.
        StoreError: the cell is not there, or damaged.
    """
    payload, place = store.load(key), device or torch.device("cpu")
    cell = FitCell.model_validate(store.read_json(key, "cell.json"))
    described, provenance = store.read_json(key, "fit.json"), store.read_json(key, "provenance.json")
    called = f"{key[:12]} ({cell.strategy.name})"
    if cell.encoder.name not in encoders():
        raise UserError(f"{called} has the encoder {cell.encoder.name!r}, which is not here")
    try:
        strategy = restore(payload, sources or {}, place)
    except (RuntimeError, KeyError, StopIteration, TypeError, ValueError) as error:
        said = str(error.args[0] if error.args else "its strategy's file is another one").splitlines()
        commit = f"; it was trained with commit {provenance['commit']}" if provenance.get("commit") else ""
        raise UserError(f"{called} cannot be loaded: {said[0] if said else error}{commit}") from error
    if not strategy.uses_encoder:
        raise UserError(f"{called} is a control without an encoder; choose another fit")
    fields = sorted(field.value for field in strategy.needs_at_test_with(strategy.params))
    if fields:
        raise UserError(
            f"{called} reads {' and '.join(fields)} of the record beside its signal, which records alone do not"
            " bring; choose another fit"
        )
    return Trained(
        key,
        strategy,
        cell,
        tuple(described["global_scaling"]) if "global_scaling" in described else None,
        tuple(_facts(fingerprint, corpora or {}) for fingerprint in dict.fromkeys(_ancestry(described))),
        provenance,
        place,
    )


def _ancestry(described: Mapping[str, Any]) -> Iterator[str]:
    """Fingerprints of the corpora of a fit and of those it starts from."""
    yield described["cell"]["corpus"]
    for parent in described["parents"].values():
        yield from _ancestry(parent)


def _facts(fingerprint: str, corpora: Mapping[str, PreparedCorpus]) -> dict[str, Any]:
    names = ("name", "title", "licence", "citation", "simulated")
    known = {name: getattr(corpora[fingerprint], name) for name in names} if fingerprint in corpora else {}
    return {"fingerprint": fingerprint, **known}
