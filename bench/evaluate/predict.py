"""Scores of the validation and test parts: by a read-out on embeddings, or by a fitted classifier.

A scored unit is a record or, with the input spec's aggregation 'none', every window (and lead) by itself.
"""

import hashlib
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from torch import Tensor

from bench.data.corpus import PreparedCorpus
from bench.data.leads import LEAD_SETS
from bench.evaluate.readout import READOUTS, ReadoutData
from bench.evaluate.result import UNIT_COLUMNS, Result, score_rows
from bench.evaluate.windows import over_records
from bench.nn.noise import physiological_noise
from bench.train.budget import InputSpec
from bench.train.build import Rows
from bench.train.fit import use_precision
from bench.train.inputs import Signals, record_fields
from bench.train.strategy import Batch, Classifier
from bench.train.units import Instances, judged_units


@dataclass(frozen=True)
class Judged:
    """What is scored, and as what.

    Attributes:
        task: of the corpus.
        rows: records of the parts, and which labels are visible.
    """

    corpus: PreparedCorpus
    task: str
    rows: Rows
    input: InputSpec
    lead_set: str

    @property
    def kind(self) -> str:
        """Of the task, 'single' or 'multi'."""
        return self.corpus.tasks[self.task].kind

    def targets(self) -> np.ndarray:
        """(R, K) int8; records without labels of the task are all zero and in no part."""
        wide = self.corpus.targets(self.task).reindex(self.corpus.records["record"]).fillna(0)
        return wide.to_numpy(np.int8)

    def units(self) -> Instances:
        """What is scored: every record, or every evaluation instance of every record."""
        lengths = self.corpus.records["length"].to_numpy()
        return judged_units(lengths, len(LEAD_SETS[self.lead_set]), self.input)

    def table(self, units: Instances, scores: np.ndarray, part: str, selection: str) -> pd.DataFrame:
        """Score rows of some units."""
        records = self.corpus.records.iloc[units.record].assign(part=part)[list(UNIT_COLUMNS)]
        if self.input.aggregation == "none":
            names = np.array([*LEAD_SETS[self.lead_set], ""], dtype=object)
            records = records.assign(start=units.start.astype(np.int64), lead=names[units.lead])
        classes = self.corpus.tasks[self.task].classes
        return score_rows(records, classes, self.targets()[units.record], scores, selection)


def predict_from_embeddings(
    embeddings: np.ndarray, judged: Judged, readout: str, seed: int, threads: int
) -> tuple[Result, dict[str, float]]:
    """Fit a read-out on the label subset and score validation and test.

    Args:
        embeddings: (R, D) of every record of the corpus, or (U, D) of every evaluation instance.

    Returns:
        A score result with two selections ('subset', 'all'), and what was chosen.
    """
    rows, units = judged.rows, judged.units()

    def of(records: np.ndarray) -> np.ndarray:
        return np.flatnonzero(np.isin(units.record, records))

    train = of(rows.labelled) if rows.frames is None else rows.frames
    choices = {"subset": of(rows.val_subset), "all": of(rows.val)}
    targets = judged.targets()[units.record]
    fitted = READOUTS[readout](
        ReadoutData(embeddings, targets, train, choices, judged.kind, seed, threads)  # type: ignore[arg-type]
    )
    tables = [
        judged.table(units.at(of(records)), scores[of(records)], part, name)
        for name, scores in fitted.scores.items()
        for part, records in (("val", rows.val), ("test", rows.test))
    ]
    return Result("scores", pd.concat(tables, ignore_index=True)), fitted.chosen


def predict_from_classifier(
    classifier: Classifier, judged: Judged, signals: Signals, precision: str = "float32", noise: int = 0
) -> Result:
    """Score validation and test with a fitted classifier, aggregated over a record's windows.

    Args:
        noise: level of physiological noise added to every window of the test part, which alone is then scored;
            0: none.
    """
    classifier.eval()
    use_precision(classifier, precision, signals.device)

    def probabilities(batch: Batch) -> Tensor:
        logits = classifier.logits(batch).float()
        return logits.softmax(1) if judged.kind == "single" else logits.sigmoid()

    corpus, spec = judged.corpus, judged.input
    everything = np.arange(len(corpus.records))
    needs = classifier.needs_at_test_with(classifier.params)
    fields = record_fields(corpus, everything, needs, classifier.name, device=signals.device)
    disturb = partial(_with_noise, corpus=corpus, level=noise) if noise else None
    parts = {"test": judged.rows.test} if noise else {"val": judged.rows.val, "test": judged.rows.test}
    units, tables = judged.units(), []
    for part, records in parts.items():
        scores = over_records(probabilities, signals, fields, spec, spec.aggregation, records, disturb)
        own = units.at(np.flatnonzero(np.isin(units.record, records)))
        tables.append(judged.table(own, scores, part, "subset"))
    return Result("scores", pd.concat(tables, ignore_index=True))


def _with_noise(signal: Tensor, units: Instances, corpus: PreparedCorpus, level: int) -> Tensor:
    """Windows with physiological noise; a window's is its own, whatever judges it and beside which others."""
    ids = corpus.records["record"].to_numpy()[units.record]
    places = zip(ids, units.start, units.lead, strict=True)
    seeds = [_seed(f"{record}/{start}/{lead}") for record, start, lead in places]
    rows, channels, samples = signal.shape
    noise = physiological_noise((rows, channels, samples), level, seeds, corpus.rate)
    return signal + noise.to(signal.device)


def _seed(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest(), "little")
