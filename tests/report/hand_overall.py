"""Summaries of several corpora with hand-made scores and resamples, for the tests of what is said across corpora."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from bench.report.frame import COST_COLUMNS, HEADLINE
from bench.report.stats import over_seeds
from bench.report.summary import Entry, Missing, Score, Setting, Summary
from bench.run.suite import Suite

Runs = Mapping[float, Sequence[float]]
"""Score of each seed by label fraction."""

RESAMPLES = 200

COST = dict.fromkeys(COST_COLUMNS, 5.0)
CLASSIFIER = {"origin": "baseline", "readout": "classifier", "needs": ("labels",)}
UNTRAINED = {"origin": "baseline", "cost": COST | {"steps": 0.0}}
NO_ENCODER = {"origin": "baseline", "cost": COST | {"steps": 0.0, "parameters": float("nan")}}


def make_suite(*entries: Any, corpora: Sequence[Any] = ("one", "two"), **content: Any) -> Suite:
    """A suite on these corpora (names, or uses as mappings); entries by label, or as mappings."""
    uses = tuple({"corpus": c, "task": "rhythm"} if isinstance(c, str) else c for c in corpora)
    given = {"name": "s", "title": "S", "scale": "quick", "seeds": 2, "corpora": uses}
    given |= {"input": {"rate": 50}, "encoder": {"name": "net"}, "budget": {"steps": 9, "batch": 3}}
    return Suite.model_validate({**given, "entries": entries, **content})


class Views:
    """Draws by key; a key without any has its own score in every resample."""

    def __init__(self, scores: Mapping[str, float], draws: Mapping[str, np.ndarray]) -> None:
        self.scores, self.own = scores, draws

    def draws(self, key: str, selection: str) -> np.ndarray:
        """(B,) of the selection on the fraction's own validation records."""
        assert selection == "subset"
        return np.asarray(self.own.get(key, np.full(RESAMPLES, self.scores[key])))


def block(
    corpus: str,
    scores: Mapping[str, Runs],
    kinds: Mapping[str, Mapping[str, Any]] | None = None,
    draws: Mapping[str, np.ndarray] | None = None,
    missing: Mapping[str, Missing] | None = None,
    **setting: Any,
) -> Summary:
    """One setting.

    Args:
        scores: of each entry by label, in the suite's order; of a label in `missing` alone none.
        kinds: what of an entry is not a strategy's, by label.
        draws: (S, B) of an entry, by 'label' or 'label@fraction'.
        missing: what has no result, by label.
    """
    values = {
        _key(corpus, label, fraction, seed): value
        for label, runs in scores.items()
        for fraction, own in runs.items()
        for seed, value in enumerate(own)
    }
    resampled = {
        _key(corpus, label, fraction, seed): np.asarray(one)
        for label, runs in scores.items()
        for fraction in runs
        for seed, one in enumerate((draws or {}).get(f"{label}@{fraction:g}", (draws or {}).get(label, ())))
    }
    views = Views(values, resampled)
    labels = dict.fromkeys([*scores, *(missing or {})])
    entries = tuple(
        _entry(
            corpus,
            label,
            scores.get(label, {}),
            views,
            (missing or {}).get(label),
            (kinds or {}).get(label, {}),
        )
        for label in labels
    )
    given = {
        "suite": "s",
        "scale": "quick",
        "corpus": corpus,
        "title": f"{corpus} (9 records)",
        "simulated": True,
    }
    given |= {
        "task": "rhythm",
        "split": "official",
        "encoder": "net",
        "lead_set": "all-12",
        "eval_lead_set": "all-12",
    }
    fractions = {f for runs in scores.values() for f in runs}
    asked = fractions | {f for one in (missing or {}).values() for f in one.fractions}
    made = Setting(**{**given, **setting})
    return Summary(made, tuple(sorted(asked)), entries, 30, 4, 4, _frame(values), units=30)


def _entry(
    corpus: str, label: str, runs: Runs, views: Views, missing: Missing | None, kind: Mapping[str, Any]
) -> Entry:
    entry = Entry(
        label=label,
        name=label.replace("_", " ").capitalize(),
        origin="strategy",
        needs=(),
        needs_at_test=(),
        keys=(),
        fit_keys=(),
        scores={
            (fraction, "subset"): Score(
                over_seeds(own),
                len(own),
                tuple(_key(corpus, label, fraction, seed) for seed in range(len(own))),
                "subset",
                views,
            )
            for fraction, own in runs.items()
        },
        cost=dict(COST),
        missing=(missing,) if missing else (),
        strategy=label,
        readout="probe",
    )
    return replace(entry, **kind)


def _key(corpus: str, label: str, fraction: float, seed: int) -> str:
    return f"{corpus}/{label}/{fraction:g}/{seed}"


def _frame(values: Mapping[str, float]) -> pd.DataFrame:
    """The rows of these scores, among others that are not to be taken for them."""
    rows = []
    for key, value in values.items():
        own = {
            "key": key,
            "metric": HEADLINE,
            "part": "test",
            "selection": "subset",
            "value": value,
            "kind": "single",
        }
        others = {"metric": "accuracy"}, {"part": "val"}, {"selection": "all"}
        rows += [own, *({**own, **other, "value": -9.0} for other in others)]
    return pd.DataFrame(rows)
