"""Eight hand features of a record, from its R peaks: RR intervals, R amplitudes and heart rates.

R peaks are exactly those of neurokit2's `ecg_clean` and `ecg_peaks` with their method 'neurokit', record by record.
Only the cleaning is written anew (5th-order Butterworth high-pass at 0.5 Hz, then a moving average over one period of
50 Hz, both forwards and backwards): designed once and run on many records at a time it is ten times as fast, and
equal to the last bit. The peak search itself is neurokit2's, since its threshold is relative to each record.

Paper and code: Suh et al. (Computing in Cardiology 2021, section 2.3) name the features, neurokit2, lead II, and lead I
after an error. The paper leaves open, and we chose: neurokit2's default method without correction of artefacts;
fewer than three peaks are an error too, since two RR intervals are the least that have a spread; standard deviations
divide by the number of intervals; amplitudes are those of the lead as given, not of the cleaned one; long records
count with their first minute.
"""

import os
import warnings
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.data.corpus import FEATURES, PreparedCorpus
from bench.data.leads import LEADS

__all__ = ["FEATURES", "features", "measure_features"]

VERSION = 1
"""Raise it when a feature changes: cached features of another version are made again."""

SECONDS = 60
"""What is read of a record: the first minute."""

_SEARCHED = ("II", "I")
_FEWEST = 3  # peaks
_TOGETHER = 16  # records cleaned at a time: their samples stay in the cache
_CHUNK = 256  # records a task of a worker
_WORTH = 5000  # records to each further process, which takes as long to start as these take to be measured


def features(signals: Sequence[np.ndarray], rate: float, leads: Sequence[str] = LEADS) -> pd.DataFrame:
    """Measure records. What has no R peaks is NaN in every column; nothing raises, warns or prints.

    Lead II is searched, and lead I where II gives fewer than three peaks; a lead that is flat, shorter than about a
    second or not finite throughout gives none.
    RMSSD is the root of the mean squared difference of successive values; heart rates are 60 / RR, interval by
    interval.

    Args:
        signals: records of (T, 12) mV in the order of `LEADS`; T may differ.
        rate: Hz, at least 50.
        leads: those that may be read; NaN for every record where neither lead II nor lead I is among them.

    Returns:
        One row a record, columns `FEATURES`, float64.
    """
    table = np.full((len(signals), len(FEATURES)), np.nan)
    searched = [LEADS.index(lead) for lead in _SEARCHED if lead in leads]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for lead in searched:
            left = np.flatnonzero(np.isnan(table[:, 0])).tolist()
            given = [np.asarray(signals[row][: int(SECONDS * rate), lead], dtype=np.float64) for row in left]
            for place, cleaned in _cleaned(given, rate):
                table[left[place]] = _row(given[place], _peaks(cleaned, rate), rate)
    return pd.DataFrame(table, columns=list(FEATURES))


def measure_features(
    corpus: PreparedCorpus,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Measure a whole corpus once; later calls read `features.parquet` in the prepared folder.

    All twelve leads may be read: every named lead set holds lead II, and lead I stands in for the few records
    where II fails.

    Args:
        corpus: the corpus.
        workers: processes at most, fewer for a small corpus; None: as many as cores.
        progress: called with (records done, records in all).

    Returns:
        Column record and the eight `FEATURES`, in the order of the corpus.
    """
    path = corpus.folder / "features.parquet"
    stamp: dict[Hashable | None, Any] = {"version": VERSION, "fingerprint": corpus.fingerprint}
    if path.exists():
        cached = pd.read_parquet(path)
        if cached.attrs == stamp:
            return cached
    table = _measured(corpus, workers or os.cpu_count() or 1, progress)
    table.insert(0, "record", corpus.records["record"].to_numpy())
    table.attrs = stamp
    _write(table, path)
    return table


def _measured(
    corpus: PreparedCorpus, workers: int, progress: Callable[[int, int], None] | None
) -> pd.DataFrame:
    """The features of every record, chunk by chunk in worker processes; a small corpus starts none."""
    from joblib import Parallel, delayed

    spans = corpus.records[["offset", "length"]].to_numpy()
    count = len(spans)
    tasks = (
        delayed(_measure_spans)(corpus.folder, spans[start : start + _CHUNK])
        for start in range(0, count, _CHUNK)
    )
    tables: list[pd.DataFrame] = []
    for measured in Parallel(n_jobs=min(workers, 1 + count // _WORTH), return_as="generator")(tasks):
        tables.append(measured)
        if progress:
            progress(min(len(tables) * _CHUNK, count), count)
    return pd.concat(tables, ignore_index=True)


def _measure_spans(folder: Path, spans: np.ndarray) -> pd.DataFrame:
    """Features of the records at (offset, length) samples; a worker is sent a path, no signals and no tables."""
    corpus = PreparedCorpus.open(folder)
    longest = int(SECONDS * corpus.rate)  # half an hour of float64 in twelve leads is 50 MB a record
    signals = [corpus.signals[start : start + min(length, longest)] / 1000 for start, length in spans]
    return features(signals, corpus.rate)


def _write(table: pd.DataFrame, path: Path) -> None:
    """Write aside and rename: the file is there whole or not at all."""
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    table.to_parquet(aside)
    aside.replace(path)


def _cleaned(given: list[np.ndarray], rate: float) -> Iterator[tuple[int, np.ndarray]]:
    """(place, signal) of every lead long enough to be cleaned, as neurokit2's `ecg_clean` cleans it alone.

    Leads of one length are rows of one array, which are filtered each by itself.
    """
    from scipy.signal import butter

    high_pass = butter(5, 0.5, "highpass", output="sos", fs=rate)
    period = np.ones(int(rate / 50) if rate >= 100 else 2)  # samples of one period of 50 Hz
    lengths: dict[int, list[int]] = {}
    for place, lead in enumerate(given):
        lengths.setdefault(len(lead), []).append(place)
    for places in lengths.values():
        for start in range(0, len(places), _TOGETHER):
            few = places[start : start + _TOGETHER]
            rows = _filtered(np.stack([given[place] for place in few]), high_pass, period)
            yield from zip(few, rows, strict=False)


def _filtered(rows: np.ndarray, high_pass: np.ndarray, period: np.ndarray) -> np.ndarray:
    """(records, T) cleaned; no row where T is too short to be filtered."""
    from scipy.signal import filtfilt, sosfiltfilt

    try:
        return filtfilt(period, [len(period)], sosfiltfilt(high_pass, rows), method="pad")
    except ValueError:
        return rows[:0]


def _peaks(cleaned: np.ndarray, rate: float) -> np.ndarray:
    """R peaks in samples; none where neurokit2 fails, as it does on records shorter than its averages."""
    from neurokit2 import ecg_findpeaks

    try:
        return np.asarray(ecg_findpeaks(cleaned, rate, "neurokit")["ECG_R_Peaks"], dtype=np.int64)
    except Exception:  # neurokit2 states no errors of its own
        return np.empty(0, dtype=np.int64)


def _row(given: np.ndarray, peaks: np.ndarray, rate: float) -> np.ndarray:
    """(8,) in the order of `FEATURES`; NaN for fewer than three peaks."""
    if len(peaks) < _FEWEST:
        return np.full(len(FEATURES), np.nan)
    intervals, heights = np.diff(peaks) / rate, given[peaks]
    beats = 60 / intervals
    return np.array(
        [
            *(intervals.mean(), intervals.std(), _rmssd(intervals)),
            *(heights.mean(), _rmssd(heights)),
            *(beats.mean(), beats.min(), beats.max()),
        ]
    )


def _rmssd(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.diff(values) ** 2)))
