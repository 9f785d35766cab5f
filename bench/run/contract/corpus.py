"""A tiny corpus of made-up ECGs for the contract check: written in milliseconds, learnable, no stand-in for real ones.

Its records differ in what strategies look at: rate (three rhythms), morphology (two findings), age, sex and
measurements; some of these are unknown. The first three share none of it.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.data.corpus import (
    FEATURES,
    CorpusIndex,
    PreparedCorpus,
    RawRecord,
    Task,
    label_table,
    record_table,
)
from bench.data.leads import LEADS
from bench.data.writer import write_prepared

RHYTHM, FINDINGS = "rhythm11", "conditions"
"""Task names as on Chapman, so that strategies that read those tasks can be checked."""

RATE, SECONDS, RECORDS, PATIENTS = 100, 12, 96, 64

_TASKS = (Task(RHYTHM, "single", ("slow", "normal", "fast")), Task(FINDINGS, "multi", ("inverted", "wide")))
_BEATS = np.array([50.0, 75.0, 120.0])
_WAVES = {
    "P": (-0.16, 0.025, 0.12),
    "Q": (-0.03, 0.010, -0.10),
    "R": (0.0, 0.012, 1.0),
    "S": (0.03, 0.012, -0.25),
}
"""Centre and width in seconds, height in millivolts; the T wave follows the findings."""


def write_check_corpus(folder: Path) -> PreparedCorpus:
    """Write the corpus at `folder`; the same bytes every time."""
    rng = np.random.default_rng(0)
    number = np.arange(RECORDS)
    rhythm, finding = number % 3, number // 3 % 4
    beats = _BEATS[rhythm] * rng.normal(1, 0.03, RECORDS)
    signals = _signals(beats, finding, rng)
    age = np.where(number % 17 == 16, np.nan, 20.0 + (number * 31) % 70)
    sex = np.array(["male", "female", ""])[np.where(number % 19 == 18, 2, number // 2 % 2)]
    qrs = np.where(finding >= 2, 150, 90) + rng.normal(0, 4, RECORDS)
    qt = 60_000 / beats * 0.45 + rng.normal(0, 10, RECORDS)
    attributes: dict[str, Iterable[Any]] = {
        "VentricularRate": beats,
        "AtrialRate": np.where(number % 13 == 12, np.nan, beats),
        "QRSDuration": qrs,
        "QTInterval": qt,
        "QTCorrected": qt / np.sqrt(60 / beats),
        "RAxis": rng.normal(40, 30, RECORDS),
        "TAxis": np.where(finding % 2, 200, 40) + rng.normal(0, 20, RECORDS),
        "QRSCount": beats / 6,
        "QOnset": 220 - qrs / 4,
        "QOffset": 220 + qrs / 4,
        "TOffset": 220 - qrs / 4 + qt / 2,
    }
    ids = [f"check{i:03d}" for i in number]
    patients = [f"p{i % PATIENTS:03d}" for i in number]
    columns = attributes | {"record": ids, "patient": patients, "age": age, "sex": sex}
    columns["source"] = np.array(["one", "two", "unknown"])[np.where(number % 23 == 22, 2, number // 5 % 2)]
    columns["height"] = np.where(number % 7 == 6, np.nan, rng.normal(170, 9, RECORDS))
    columns["weight"] = np.where(number % 5 == 4, np.nan, rng.normal(75, 12, RECORDS))
    labels = [(record, RHYTHM, _TASKS[0].classes[i]) for record, i in zip(ids, rhythm, strict=True)]
    for record, i in zip(ids, finding, strict=True):
        labels += [(record, FINDINGS, name) for bit, name in enumerate(_TASKS[1].classes) if i >> bit & 1]
    index = CorpusIndex(
        "check-sim",
        f"check-sim ({RECORDS} made-up records)",
        record_table(columns),
        label_table(labels),
        {task.name: task for task in _TASKS},
        simulated=True,
    )
    corpus = write_prepared(index, [RawRecord(signal, RATE) for signal in signals], folder, RATE)
    _write_features(corpus, ids, beats, rng)
    return corpus


def _write_features(
    corpus: PreparedCorpus, ids: list[str], beats: np.ndarray, rng: np.random.Generator
) -> None:
    """Hand features as they would be measured; none for some records."""
    values = np.abs(rng.normal(0.1, 0.02, (len(ids), len(FEATURES))))
    values[:, 0], values[:, 5:] = 60 / beats, beats[:, None]
    values[::11] = np.nan
    table = pd.DataFrame(values.astype(np.float32), columns=list(FEATURES)).assign(record=ids)
    table.to_parquet(corpus.folder / "features.parquet", index=False)


def _signals(beats: np.ndarray, finding: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(records, samples, 12) float32 millivolts: each wave a Gaussian around every beat, seen by each lead."""
    time = np.arange(RATE * SECONDS) / RATE + rng.uniform(0, 1, (len(beats), 1))
    period = (60 / beats)[:, None]
    since = (time + period / 2) % period - period / 2  # seconds from the nearest R wave
    inverted, wide = (finding % 2 == 1)[:, None], (finding >= 2)[:, None]
    shapes = [_gaussian(since, *_WAVES["P"])]
    shapes += [_gaussian(since, *_WAVES[name], stretch=np.where(wide, 2.5, 1.0)) for name in "QRS"]
    shapes.append(_gaussian(since, 0.22, 0.05, 0.3) * np.where(inverted, -1, 1))
    # How each lead sees each wave is the same for everyone, with a patient's own variation.
    views = np.random.default_rng(1).normal(0.7, 0.4, (len(shapes), len(LEADS)))
    gains = views * rng.normal(1, 0.1, (len(beats), *views.shape))
    noise = rng.normal(0, 0.03, (len(beats), time.shape[1], len(LEADS)))
    return (np.einsum("wrt,rwl->rtl", np.stack(shapes), gains) + noise).astype(np.float32)


def _gaussian(
    since: np.ndarray, centre: float, width: float, height: float, stretch: np.ndarray | float = 1.0
) -> np.ndarray:
    return np.asarray(height * np.exp(-0.5 * ((since - centre * stretch) / (width * stretch)) ** 2))
