"""Scores of the validation and test parts: by a read-out on embeddings, or by a fitted classifier."""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from bench.data.corpus import PreparedCorpus
from bench.evaluate.readout import READOUTS, ReadoutData
from bench.evaluate.result import UNIT_COLUMNS, Result, score_rows
from bench.evaluate.windows import over_records
from bench.train.budget import InputSpec
from bench.train.build import Rows
from bench.train.fit import use_precision
from bench.train.inputs import Signals, record_fields
from bench.train.strategy import Batch, Classifier


def predict_from_embeddings(
    embeddings: np.ndarray,
    corpus: PreparedCorpus,
    task: str,
    rows: Rows,
    readout: str,
    seed: int,
    threads: int,
) -> tuple[Result, dict[str, float]]:
    """Fit a read-out on the label subset and score validation and test.

    Args:
        embeddings: (R, D) of every record of the corpus.

    Returns:
        A score result with two selections ('subset', 'all'), and what was chosen.
    """
    targets = _targets(corpus, task)
    choices = {"subset": rows.val_subset, "all": rows.val}
    kind = corpus.tasks[task].kind
    data = ReadoutData(embeddings, targets, rows.labelled, choices, kind, seed, threads)
    fitted = READOUTS[readout](data)
    tables = [_rows(corpus, task, targets, scores, rows, name) for name, scores in fitted.scores.items()]
    return Result("scores", pd.concat(tables, ignore_index=True)), fitted.chosen


def predict_from_classifier(
    classifier: Classifier,
    corpus: PreparedCorpus,
    task: str,
    rows: Rows,
    spec: InputSpec,
    signals: Signals,
    precision: str = "float32",
) -> Result:
    """Score validation and test with a fitted classifier, aggregated over a record's windows."""
    kind = corpus.tasks[task].kind
    classifier.eval()
    use_precision(classifier, precision, signals.device)

    def probabilities(batch: Batch) -> Tensor:
        logits = classifier.logits(batch).float()
        return logits.softmax(1) if kind == "single" else logits.sigmoid()

    everything = np.arange(len(corpus.records))
    needs = classifier.needs_at_test
    fields = record_fields(corpus, everything, needs, classifier.name, device=signals.device)
    with torch.no_grad():
        scores = over_records(probabilities, signals, fields, spec, spec.aggregation)
    return Result("scores", _rows(corpus, task, _targets(corpus, task), scores, rows, "subset"))


def _targets(corpus: PreparedCorpus, task: str) -> np.ndarray:
    """(R, K) int8; records without labels of the task are all zero and in no part."""
    wide = corpus.targets(task).reindex(corpus.records["record"]).fillna(0)
    return wide.to_numpy(np.int8)


def _rows(
    corpus: PreparedCorpus, task: str, targets: np.ndarray, scores: np.ndarray, rows: Rows, selection: str
) -> pd.DataFrame:
    parts = []
    for part, which in (("val", rows.val), ("test", rows.test)):
        units = corpus.records.iloc[which].assign(part=part)[list(UNIT_COLUMNS)]
        parts.append(score_rows(units, corpus.tasks[task].classes, targets[which], scores[which], selection))
    return pd.concat(parts, ignore_index=True)
