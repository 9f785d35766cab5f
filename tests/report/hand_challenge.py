"""Throw-away plans, stores and scores of the Challenge's 26 classes, on a corpus of several source databases."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.data.corpus import CorpusIndex, PreparedCorpus, RawRecord, Task, label_table, record_table
from bench.data.leads import LEADS
from bench.data.writer import write_prepared
from bench.metrics.challenge import CLASSES
from bench.run.plan import Plan, Row, corpus_id
from bench.run.store import Store
from bench.run.suite import CorpusUse
from bench.train.build import Rows
from tests.report.hand_made import Bench, make_bench

TASK, OTHER, TURNED = "scored26", "other", "turned"
NAME = "cinc2021-sim"

RATES = {"cpsc": 500, "georgia": 500, "chapman": 500, "ptb": 1000, "unknown": 257, "ningbo": 500}
"""Hz of each source database; Ningbo has no record in part train."""

_LABELLED = {"cpsc": 5, "georgia": 12, "chapman": 9, "ptb": 4, "unknown": 8, "ningbo": 10}
_PARTS = ("train", "train", "train", "val", "test")


class ChallengeBench(Bench):
    """A plan and a store whose label fractions hold records of their own; `raw` are the records as read."""

    raw: list[RawRecord]

    def add(
        self,
        label: str,
        fraction: float = 1.0,
        seed: int = 0,
        skipped: str = "",
        cell: dict[str, Any] | None = None,
        **changes: Any,
    ) -> Row:
        """As of a bench, with the records of the label fraction; `cell`: changes of the predict cell."""
        row = super().add(label, fraction, seed, skipped, **{"task": TASK, **changes})
        if not skipped:
            job = self.plan.jobs.pop(row.key)
            own = job.cell.model_copy(update=cell or {})
            row = replace(row, key=own.key())
            self.plan.jobs[row.key] = replace(job, cell=own, rows=self.subset(fraction, seed))
            self.plan.rows[-1] = self.rows[label, fraction, seed] = row
        return row

    def parts(self, task: str) -> Rows:
        """The corpus's own parts: every record is labelled for every task."""
        part = self.corpus.records["part"].to_numpy()
        train, val, test = (np.flatnonzero(part == name) for name in ("train", "val", "test"))
        return Rows(train, train, val, val, test)

    def subset(self, fraction: float, seed: int) -> Rows:
        """Some patients of part train and as large a share of part val, others for every seed."""
        whole, rng = self.parts(TASK), np.random.default_rng((seed, round(1000 * fraction)))
        labelled, val = (self._some(rows, fraction, rng) for rows in (whole.train, whole.val))
        return replace(whole, labelled=labelled, val_subset=val)

    def _some(self, rows: np.ndarray, fraction: float, rng: np.random.Generator) -> np.ndarray:
        patients = self.corpus.records["patient"].to_numpy()[rows]
        names = rng.permutation(np.unique(patients))
        return rows[np.isin(patients, names[: round(fraction * len(names))])]

    def truth(self, task: str = TASK) -> np.ndarray:
        """As of a bench."""
        return super().truth(task)

    def noisy(self, noise: float, seed: int, task: str = TASK) -> np.ndarray:
        """Probabilities of each class by itself that know the truth up to noise."""
        truth = self.truth(task)
        logits = 3 * truth - 2 + noise * np.random.default_rng(seed).standard_normal(truth.shape)
        return 1 / (1 + np.exp(-logits))

    def finish_unlike(self, row: Row, scores: np.ndarray, others: np.ndarray) -> None:
        """Commit a row with other scores where all validation labels select."""
        tables = [self.table(row, scores, ("subset",)), self.table(row, others, ("all",))]
        self.commit(row, pd.concat(tables, ignore_index=True))


def make_challenge_bench(folder: Path, records: int = 240, **suite: Any) -> ChallengeBench:
    """An empty plan on the corpus of several sources."""
    corpus, raw = sources_corpus(folder / "sources", records)
    use = CorpusUse(corpus=NAME, task=TASK)
    made = make_bench(folder, 20, **{"corpora": (use,), **suite}).plan.suites[0]
    bench = ChallengeBench(corpus, Plan([made], {corpus_id(made, use): corpus}), Store(folder / "store"))
    bench.raw = raw
    return bench


def sources_corpus(folder: Path, records: int = 240, seed: int = 0) -> tuple[PreparedCorpus, list[RawRecord]]:
    """Records of six sources, every other patient with two; each source labels classes of its own.

    Validation and test hold labels that their source never has in training, too.
    """
    rng = np.random.default_rng(seed)
    patient = 2 * np.arange(records) // 3
    part = np.array(_PARTS)[patient // 6 % 5]
    source = np.array(list(RATES))[patient % 6]
    source[(source == "ningbo") & (part == "train")] = "ptb"
    raw = [_record(rng, str(name)) for name in source]
    ids = [f"r{i:03d}" for i in rng.permutation(records)]  # sorted they are in another order than the table
    table = record_table(
        {"record": ids, "patient": [f"p{n:03d}" for n in patient], "source": source, "part": part}
    )
    targets = np.array([_labels(rng, str(name), own) for name, own in zip(source, part, strict=True)])
    labels = [(ids[i], TASK, CLASSES[k]) for i, k in zip(*np.nonzero(targets), strict=True)]
    labels += [(record, OTHER, "ab"[i % 2]) for i, record in enumerate(ids)]
    labels += [(record, TURNED, CLASSES[i % 26]) for i, record in enumerate(ids)]
    tasks = (
        Task(TASK, "multi", CLASSES, every=True),
        Task(OTHER, "multi", ("a", "b")),
        Task(TURNED, "multi", CLASSES[::-1]),
    )
    title, by_name = f"{NAME} ({records} simulated records)", {task.name: task for task in tasks}
    index = CorpusIndex(NAME, title, table, label_table(labels), by_name, simulated=True)
    return write_prepared(index, raw, folder, 50), raw


def _labels(rng: np.random.Generator, source: str, part: str) -> np.ndarray:
    """(26,) 0/1, mostly of the first classes that a source labels, spread over all; often none."""
    own = (np.arange(26) * 7 + len(source)) % 26 < _LABELLED[source]
    strange = (rng.random(26) < 0.04) & (part != "train")
    return own & (rng.random(26) < 0.2) | strange


def _record(rng: np.random.Generator, source: str) -> RawRecord:
    """Half a second; its leads' means are known: off centre in lead II (Georgia, Ningbo), or here and there."""
    rate = RATES[source]
    signal = rng.normal(0, 0.3, (rate // 2, len(LEADS)))
    means = rng.uniform(-0.3, 0.3, len(LEADS))
    if source in ("georgia", "ningbo"):
        means[LEADS.index("II")] = rng.choice([-4.0, 0.7])
    if source == "cpsc" and rng.random() < 0.4:
        means[LEADS.index("V6")] = 3.0  # in no limb lead
    signal += means / 1000 - signal.mean(axis=0)
    return RawRecord(signal.astype(np.float32), float(rate))
