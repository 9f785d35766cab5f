"""Throw-away plans and stores with hand-made scores, for the tests of the report."""

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.data.corpus import PreparedCorpus
from bench.data.splits import SplitSpec
from bench.evaluate.result import UNIT_COLUMNS, Result, score_rows
from bench.run.cell import EncoderSpec, FitCell, PredictCell, StrategySpec, Subset
from bench.run.plan import Plan, Row, corpus_id
from bench.run.store import Store
from bench.run.suite import CorpusUse, Suite
from bench.run.work import Job
from bench.train.budget import Budget, InputSpec
from bench.train.build import Rows
from tests.corpora import tiny_corpus

TASK = "rhythm"


@dataclass
class Bench:
    """A plan and a store that a test fills by hand."""

    corpus: PreparedCorpus
    plan: Plan
    store: Store
    finished: str = "2024-05-01T12:00:00+00:00"
    rows: dict[tuple[str, float, int], Row] = field(default_factory=dict)
    known: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, label: str, fraction: float = 1.0, seed: int = 0, skipped: str = "", **changes: Any) -> Row:
        """A planned evaluation, with its fit and predict cells; `changes` of the row.

        On other corpora, encoders and the like the cells are others too: `place` tells them apart.
        """
        suite = self.plan.suites[0]
        task = changes.get("task", TASK)
        rows = self.parts(task)
        place = "".join(f"@{changes[name]}" for name in ("corpus", "encoder", "source") if name in changes)
        fit = _fit_cell(self.corpus, suite, f"{label}{place}", seed)
        predict = _predict_cell(self.corpus, suite, task, fraction, seed, fit.key())
        predict = predict.model_copy(update={"noise": changes.get("noise", 0)})
        row = Row(
            **_described(self.corpus, suite, task, label, fraction, seed),
            key="" if skipped else predict.key(),
            fit_key="" if skipped else fit.key(),
            skipped=skipped,
        )
        row = replace(row, **changes)
        if not skipped:
            self.plan.jobs[fit.key()] = Job(fit, self.corpus.folder, rows)
            self.plan.jobs[predict.key()] = Job(predict, self.corpus.folder, rows)
        self.plan.rows.append(row)
        self.rows[label, fraction, seed] = row
        return row

    def move(self, label: str, source: str, fraction: float = 1.0, seed: int = 0, **changes: Any) -> Row:
        """A planned evaluation of a fit from another corpus."""
        title = f"{label.replace('_', ' ').capitalize()}, from {source}"
        given = {"origin": "transfer", "source": source, "strategy_title": title, **changes}
        return self.add(label, fraction, seed, **given)

    def finish_noise(self, row: Row, scores: np.ndarray) -> None:
        """Commit a row's cells with the test part alone; `scores` as in `finish`."""
        table = self.table(row, scores)
        self.commit(row, table[table["part"] == "test"])

    def finish(
        self, row: Row, scores: np.ndarray, selections: tuple[str, ...] = ("subset", "all"), **cost: Any
    ) -> None:
        """Commit a row's cells; `scores` (records of val then test, K)."""
        table = self.table(row, scores, selections)
        self.commit(row, table, **cost)

    def table(self, row: Row, scores: np.ndarray, selections: tuple[str, ...] = ("subset",)) -> pd.DataFrame:
        """Score rows of the validation and the test part."""
        parts = self.plan.jobs[row.key].rows
        targets = (
            self.corpus.targets(row.task).reindex(self.corpus.records["record"]).fillna(0).to_numpy(np.int8)
        )
        classes = self.corpus.tasks[row.task].classes
        pieces = []
        for selection in selections:
            start = 0
            for part, which in (("val", parts.val), ("test", parts.test)):
                units = self.corpus.records.iloc[which].assign(part=part)[list(UNIT_COLUMNS)]
                own = scores[start : start + len(which)]
                pieces.append(score_rows(units, classes, targets[which], own, selection))
                start += len(which)
        return pd.concat(pieces, ignore_index=True)

    def commit(
        self,
        row: Row,
        table: pd.DataFrame,
        seconds: float = 10.0,
        steps: int = 100,
        views: int = 6400,
        **took: float,
    ) -> None:
        """Commit a row's fit and predict cells with these score rows."""
        origin = {
            "seconds": seconds,
            "peak_memory_mib": 512.0,
            **took,
            "finished": self.finished,
            "commit": "c0ffee",
            "modified": False,
        }
        origin |= {
            "python": "3.11",
            "cpu": "a <fast> cpu",
            "device": "x86_64",
            "packages": {"torch": "2.13.0"},
        }
        provenance = json.dumps(origin).encode()
        cell = self.plan.jobs[row.fit_key].cell.model_dump(mode="json")
        fit = {"cell": cell, "steps": steps, "views": views, "lead_samples": 1000 * views, "flops": 7 * views}
        fit |= {"parameters": {"encoder": 8_803_072, "all": 8_900_000}}
        if not self.store.has(row.fit_key):
            files = {"fit.json": json.dumps(fit).encode(), "provenance.json": provenance}
            self.store.commit(row.fit_key, files)
        scores = Result("scores", table).to_bytes()
        self.store.commit(row.key, {"scores.parquet": scores, "provenance.json": provenance})

    def truth(self, task: str = TASK) -> np.ndarray:
        """(records of val then test, K) targets, in the order `finish` takes scores."""
        rows = self.parts(task)
        return self.targets(task)[np.concatenate([rows.val, rows.test])].astype(float)

    def targets(self, task: str) -> np.ndarray:
        """(R, K) of every record."""
        if task not in self.known:
            wide = self.corpus.targets(task).reindex(self.corpus.records["record"]).fillna(0)
            self.known[task] = wide.to_numpy(np.int8)
        return self.known[task]

    def parts(self, task: str) -> Rows:
        """The corpus's own parts."""
        labelled = self.targets(task).any(axis=1)
        part = self.corpus.records["part"].to_numpy()
        train, val, test = (np.flatnonzero((part == name) & labelled) for name in ("train", "val", "test"))
        return Rows(train, train, val, val, test)

    def noisy(self, noise: float, seed: int, task: str = TASK) -> np.ndarray:
        """Probabilities that know the truth up to noise."""
        truth = self.truth(task)
        logits = 2 * truth + noise * np.random.default_rng(seed).standard_normal(truth.shape)
        return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def make_bench(folder: Path, records: int = 60, **suite: Any) -> Bench:
    """An empty plan on the tiny corpus."""
    corpus = tiny_corpus(folder / "corpus", records)
    content: dict[str, Any] = {
        "name": "board",
        "title": "Every strategy",
        "scale": "quick",
        "seeds": 2,
        "corpora": (CorpusUse(corpus="tiny-sim", task=TASK),),
        "input": InputSpec(rate=50),
        "encoder": EncoderSpec(name="resnet1d18", arguments={"width": 8}),
        "entries": (),
        "budget": Budget(steps=100, batch=32),
        "label_fractions": (0.1, 1.0),
    }
    made = Suite.model_validate(content | suite)
    corpora = {corpus_id(made, use): corpus for use in made.corpora}
    return Bench(corpus, Plan([made], corpora), Store(folder / "store"))


def _described(
    corpus: PreparedCorpus, suite: Suite, task: str, label: str, fraction: float, seed: int
) -> dict:
    return {
        "suite": suite.name,
        "scale": suite.scale,
        "corpus": corpus.name,
        "title": corpus.title,
        "simulated": corpus.simulated,
        "task": task,
        "kind": corpus.tasks[task].kind,
        "label": label,
        "strategy": label,
        "strategy_title": label.replace("_", " ").capitalize(),
        "origin": "strategy",
        "recipe": "board",
        "needs": (),
        "needs_at_test": (),
        "readout": "probe",
        "encoder": suite.encoder.name,
        "lead_set": "all-12",
        "eval_lead_set": "all-12",
        "split": "official",
        "fraction": fraction,
        "seed_index": seed,
    }


def _fit_cell(corpus: PreparedCorpus, suite: Suite, label: str, seed: int) -> FitCell:
    return FitCell(
        corpus=corpus.fingerprint,
        split=SplitSpec(kind="official"),
        split_fingerprint="split",
        input=suite.input,
        lead_set="all-12",
        encoder=suite.encoder,
        strategy=StrategySpec(
            name=label, params={"temperature": 0.07}, code=hashlib.sha256(label.encode()).hexdigest()
        ),
        suite_seed=suite.seed,
        seed_index=seed,
        budget=suite.budget,
    )


def _predict_cell(
    corpus: PreparedCorpus, suite: Suite, task: str, fraction: float, seed: int, fit: str
) -> PredictCell:
    return PredictCell(
        corpus=corpus.fingerprint,
        split=SplitSpec(kind="official"),
        split_fingerprint="split",
        input=suite.input,
        task=task,
        subset=Subset(fraction=fraction, fingerprint=f"subset {fraction}"),
        readout="probe",
        lead_set="all-12",
        suite_seed=suite.seed,
        seed_index=seed,
        parents={"fit": fit},
    )
