"""Rows on several lead sets, and summaries whose scores are Challenge metrics, for the tests of the report."""

from dataclasses import replace
from typing import Any

import numpy as np

from bench.report.challenge import METRIC
from bench.report.frame import build_frame
from bench.report.summary import Summary, summarise
from bench.report.views import MetricViews
from bench.run.plan import Row
from tests.report.hand_made import Bench

SIX, TWO, TWELVE = "challenge-6", "challenge-2", "all-12"


def add_leads(
    bench: Bench, label: str, trained: str, evaluated: str = "", seed: int = 0, **changes: Any
) -> Row:
    """A planned evaluation with lead sets of its own; `changes` of the row, `fraction` among them."""
    evaluated = evaluated or trained
    fraction, skipped = changes.pop("fraction", 1.0), changes.pop("skipped", "")
    known = {"corpus", "task", "kind", "encoder", "source"} & set(changes)
    given = {name: changes[name] for name in known}
    row = bench.add(f"{label}@{trained}@{evaluated}", fraction, seed, skipped, **given)
    named = {"label": label, "strategy": label, "strategy_title": label.replace("_", " ").capitalize()}
    row = replace(row, lead_set=trained, eval_lead_set=evaluated, **{**named, **changes})
    bench.plan.rows[-1] = row
    return row


def finish_leads(
    bench: Bench, label: str, trained: str, evaluated: str, scores: list[np.ndarray], **changes: Any
) -> None:
    """A finished evaluation a seed."""
    for seed, own in enumerate(scores):
        bench.finish(add_leads(bench, label, trained, evaluated, seed, **changes), own)


def summaries_of(bench: Bench, resamples: int = 60) -> list[Summary]:
    """Of everything in a store."""
    return summarise(build_frame(bench.plan, bench.store, resamples), MetricViews(bench.store, resamples))


class _Shifted:
    """Draws of a Challenge metric: those of the AUROC, minus one half."""

    def __init__(self, views: Any) -> None:
        self.views = views

    def draws(self, key: str, selection: str) -> np.ndarray:
        """(B,), whatever the rule `selection`."""
        return np.asarray(self.views.draws(key, "subset")) - 0.5


def as_challenge(summaries: list[Summary], rule: str = "known") -> list[Summary]:
    """The same with a 'Challenge metric' that is the AUROC minus one half."""

    def moved(score: Any) -> Any:
        seeds = score.seeds
        lower = {name: getattr(seeds, name) - 0.5 for name in ("mean", "low", "high")}
        return replace(score, seeds=replace(seeds, **lower), selection=rule, views=_Shifted(score.views))

    return [
        replace(
            summary,
            metric=METRIC,
            entries=tuple(
                replace(e, scores={place: moved(s) for place, s in e.scores.items() if place[1] == "subset"})
                for e in summary.entries
            ),
        )
        for summary in summaries
    ]
