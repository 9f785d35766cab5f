"""The eleven wave attributes of a corpus that brings no machine measurements, from one median beat a lead.

P and T waves are neurokit2's. Beats are where all leads together move fast, since a T wave can be taller than
its QRS but never as steep; QRS bounds are where the leads come to rest, because neurokit2's prominence method
cannot see a QRS wider than 100 ms.
"""

import os
import warnings
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.fft import irfft, rfft, rfftfreq
from scipy.ndimage import gaussian_filter1d
from scipy.signal import butter, find_peaks, sosfiltfilt

from bench.data.corpus import ATTRIBUTES, PreparedCorpus

VERSION = 2
"""Raise it when a measurement changes: cached measurements of another version are made again."""

RATE = 500
"""Hz of the median beat, whatever the records' own rate: Chapman counts onsets and offsets at 500 Hz."""

BEFORE, AFTER = 240, 360
"""Samples of the median beat before and from the R peak; this puts QOnset near Chapman's mean of 219."""

_BAND = (0.5, 40.0)  # Hz
_DETECTION_RATE = 100  # Hz: enough for the band of the QRS
_QRS_BAND = (6.0, 28.0)  # Hz: holds the QRS, little of the T wave
_REFRACTORY = 22  # samples at the detection rate: up to 270 beats per minute
_BEAT_SHARE = 0.55  # of the 90th percentile of the peaks: below it, they are T waves and noise
_INDEPENDENT = [0, 1, 6, 7, 8, 9, 10, 11]  # leads I, II, V1-V6; the other four are sums of I and II
_REACH = (0.35, 0.65)  # of the RR interval before and after R that belong to this beat
_QUIET_SHARE, _QUIET_RUN = (
    0.06,
    6,
)  # of the steepest slope; samples. Tuned on 19 Chapman records with GE's values
_P_SPREAD, _P_SIZE = 25.0, 0.04  # samples, mV; fibrillation peaks here and there, a filter rings with less
_FLAT = 0.05  # mV, absolute values summed over the leads: below it nothing beats
_TOGETHER = 64  # records a call of neurokit2, whose cost is mostly the call
_CHUNK = 256  # records a task of a worker


@dataclass(frozen=True, eq=False)
class _Beat:
    """A record's median beat.

    Attributes:
        signal: (BEFORE + AFTER, 12) mV at 500 Hz, R at BEFORE.
        interval: mean RR in samples.
        count: beats in 10 s.
    """

    signal: np.ndarray
    interval: float
    count: float


@dataclass(frozen=True, eq=False)
class _Waves:
    """P peaks and T offsets of the independent leads, samples of the median beat; NaN where there is none."""

    p_peaks: np.ndarray
    t_offsets: np.ndarray


def measure(signals: Sequence[np.ndarray], rate: float) -> pd.DataFrame:
    """Measure records. What cannot be measured is NaN; nothing raises.

    Rates are beats per minute (the atrial one equals the ventricular where a P wave precedes the QRS, NaN
    where none does), durations milliseconds, QTCorrected Bazett's, axes degrees from -90 up to 270, QRSCount
    beats in 10 s, onsets and offsets samples of the median beat at 500 Hz.

    Args:
        signals: records of (T, 12) mV in the order of `LEADS`; T may differ.
        rate: Hz.

    Returns:
        One row a record, columns `ATTRIBUTES`, float64.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        beats = [_median_beat(np.asarray(signal, dtype=np.float64), rate) for signal in signals]
        found = [beat for beat in beats if beat is not None]
        waves = iter(w for i in range(0, len(found), _TOGETHER) for w in _delineate(found[i : i + _TOGETHER]))
        rows = [{} if beat is None else _attributes(beat, next(waves)) for beat in beats]
    return pd.DataFrame(rows, index=range(len(rows)), columns=list(ATTRIBUTES), dtype=np.float64)


def measure_corpus(
    prepared: PreparedCorpus,
    workers: int | None = 1,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Measure a whole corpus once; later calls read `attributes.parquet` in the prepared folder.

    Args:
        prepared: the corpus.
        workers: processes; None: as many as cores.
        progress: called with (records done, records in all).

    Returns:
        Column record and the eleven `ATTRIBUTES`, in the order of the corpus.
    """
    from joblib import Parallel, delayed

    path = prepared.folder / "attributes.parquet"
    stamp: dict[Hashable | None, Any] = {"version": VERSION, "fingerprint": prepared.fingerprint}
    if path.exists():
        cached = pd.read_parquet(path)
        if cached.attrs == stamp:
            return cached
    starts = range(0, len(prepared.records), _CHUNK)
    tasks = (delayed(_measure_rows)(prepared.folder, start, start + _CHUNK) for start in starts)
    tables: list[pd.DataFrame] = []
    for measured in Parallel(n_jobs=workers or os.cpu_count(), return_as="generator")(tasks):
        tables.append(measured)
        if progress:
            progress(min(len(tables) * _CHUNK, len(prepared.records)), len(prepared.records))
    table = pd.concat(tables, ignore_index=True)
    table.insert(0, "record", prepared.records["record"].to_numpy())
    table.attrs = stamp
    _write(table, path)
    return table


def _measure_rows(folder: Path, first: int, last: int) -> pd.DataFrame:
    """Opens the corpus anew: a worker is sent a path, no signals."""
    prepared = PreparedCorpus.open(folder)
    place = prepared.records.iloc[first:last]
    spans = zip(place["offset"], place["length"], strict=True)
    return measure(
        [prepared.signals[start : start + length] / 1000 for start, length in spans], prepared.rate
    )


def _write(table: pd.DataFrame, path: Path) -> None:
    """Write aside and rename: the file is there whole or not at all."""
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    table.to_parquet(aside)
    aside.replace(path)


def _median_beat(signal: np.ndarray, rate: float) -> _Beat | None:
    """None where no two R peaks, or no whole beat, can be found."""
    if len(signal) * RATE < (BEFORE + AFTER) * rate or not np.isfinite(signal).all():
        return None
    filtered = _at_500(signal, rate)
    strength = np.abs(filtered).sum(axis=1)
    peaks = _r_peaks(filtered, strength)
    whole = [peak for peak in peaks if BEFORE <= peak <= len(filtered) - AFTER]
    if strength.max() < _FLAT or len(peaks) < 2 or not whole:
        return None
    beat = np.median([filtered[peak - BEFORE : peak + AFTER] for peak in whole], axis=0)
    return _Beat(beat, float(np.diff(peaks).mean()), len(peaks) * 10 * RATE / len(filtered))


def _at_500(signal: np.ndarray, rate: float) -> np.ndarray:
    """Band-passed and resampled to 500 Hz in one Fourier transform: any rate gives the same beat.

    The transform joins the end to the start: a line is taken off, lest the step between them looks like a beat.
    """
    length = round(len(signal) * RATE / rate)
    signal = signal - np.linspace(signal[0], signal[-1], len(signal))
    frequency = rfftfreq(len(signal), 1 / rate)[1:, None]
    gain = 1 / (1 + (_BAND[0] / frequency) ** 4) / (1 + (frequency / _BAND[1]) ** 8)
    spectrum = rfft(signal, axis=0)
    spectrum[0] = 0
    spectrum[1:] *= gain
    return irfft(spectrum, length, axis=0) * (length / len(signal))


def _r_peaks(filtered: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """R peaks in samples at 500 Hz: where the leads move fastest, each moved to the tallest within 50 ms."""
    step, near = RATE // _DETECTION_RATE, RATE // 20
    speed = _speed(filtered[::step, _INDEPENDENT])
    rough, _ = find_peaks(speed, distance=_REFRACTORY)
    if not len(rough):
        return rough
    beats = rough[speed[rough] >= _BEAT_SHARE * np.quantile(speed[rough], 0.9)]
    starts = np.maximum(beats * step - near, 0)
    return np.array([start + int(strength[start : start + 2 * near + 1].argmax()) for start in starts])


def _speed(signal: np.ndarray) -> np.ndarray:
    """(T,) how fast the leads of (T, leads) at 100 Hz move together, in the band of the QRS.

    Roots are summed, so that an artefact in one lead does not outweigh a beat in all of them.
    """
    band = butter(2, _QRS_BAND, "band", fs=_DETECTION_RATE, output="sos")
    moves = np.gradient(sosfiltfilt(band, signal, axis=0), axis=0)
    return np.asarray(gaussian_filter1d(np.sqrt(np.abs(moves)).sum(axis=1), 3))


def _delineate(beats: list[_Beat]) -> list[_Waves]:
    """neurokit2's P and T waves of many beats in one call; beat by beat if the call fails."""
    try:
        return _prominence(beats)
    except Exception:  # neurokit2 fails in many ways on beats without extrema
        if len(beats) > 1:
            return [waves for beat in beats for waves in _delineate([beat])]
        nothing = np.full(len(_INDEPENDENT), np.nan)
        return [_Waves(nothing, nothing)]


def _prominence(beats: list[_Beat]) -> list[_Waves]:
    """Every lead's median beat laid end to end, each centred on R: to neurokit2 one long single-lead record.

    Beats of one spacing are delineated each within its own stretch, so company changes no result. The first
    and last are doubles that bear neurokit2's treatment of the edges.
    """
    from neurokit2 import ecg_delineate

    stretch = 2 * AFTER
    rows = np.concatenate([_centred(beat) for beat in beats])
    rows = np.concatenate([rows[:1], rows, rows[-1:]])
    peaks = AFTER + stretch * np.arange(len(rows))
    _, waves = ecg_delineate(rows.ravel(), peaks, sampling_rate=RATE, method="prominence")
    p_peaks, t_offsets = (
        (np.array(waves[name], dtype=np.float64) - peaks + BEFORE)[1:-1].reshape(len(beats), -1)
        for name in ("ECG_P_Peaks", "ECG_T_Offsets")
    )
    return [_Waves(*pair) for pair in zip(p_peaks, t_offsets, strict=True)]


def _centred(beat: _Beat) -> np.ndarray:
    """(8, 2 * AFTER): the independent leads, R in the middle, constant from where the next beats begin."""
    first = max(-BEFORE, -int(_REACH[0] * beat.interval))
    last = min(AFTER - 1, int(_REACH[1] * beat.interval))
    held = beat.signal[np.clip(np.arange(-AFTER, AFTER), first, last) + BEFORE]
    return (held[:, _INDEPENDENT] - held[0, _INDEPENDENT]).T


def _attributes(beat: _Beat, waves: _Waves) -> dict[str, float]:
    onset, offset = _qrs_bounds(beat)
    found = np.isfinite(waves.t_offsets).sum() * 2 >= len(_INDEPENDENT)
    t_offset = float(np.nanmedian(waves.t_offsets)) if found else np.nan
    t_offset = t_offset if t_offset > offset else np.nan
    rate = 60 * RATE / beat.interval
    qt = (t_offset - onset) * 1000 / RATE
    base = beat.signal[max(0, onset - 8) : onset + 1].mean(axis=0)
    return {
        "VentricularRate": rate,
        "AtrialRate": rate if _has_p_wave(beat, waves.p_peaks, onset) else np.nan,
        "QRSDuration": (offset - onset) * 1000 / RATE,
        "QTInterval": qt,
        "QTCorrected": qt * np.sqrt(rate / 60),
        "RAxis": _axis(beat.signal[onset : offset + 1] - base),
        "TAxis": _axis(_t_wave(beat.signal, offset, t_offset) - base),
        "QRSCount": beat.count,
        "QOnset": float(onset),
        "QOffset": float(offset),
        "TOffset": t_offset,
    }


def _qrs_bounds(beat: _Beat) -> tuple[int, int]:
    """From the steepest moment outwards to where all leads together have come to rest for 12 ms."""
    speed = np.sqrt((np.gradient(beat.signal, axis=0) ** 2).sum(axis=1))
    speed = np.convolve(speed, np.full(5, 0.2), "same")
    steepest = BEFORE - 40 + int(speed[BEFORE - 40 : BEFORE + 41].argmax())
    first = max(0, BEFORE - int(_REACH[0] * beat.interval))
    rest = np.median(speed[first : BEFORE + int(_REACH[1] * beat.interval)])
    quiet = speed < max(_QUIET_SHARE * speed[steepest], 1.2 * rest)
    onset, offset = steepest, steepest
    while onset > BEFORE - 90 and not quiet[onset - _QUIET_RUN + 1 : onset + 1].all():
        onset -= 1
    while offset < BEFORE + 110 and not quiet[offset : offset + _QUIET_RUN].all():
        offset += 1
    return onset, offset


def _has_p_wave(beat: _Beat, p_peaks: np.ndarray, onset: int) -> bool:
    """Whether half the leads peak before the QRS, mostly within 50 ms, and move by 40 microvolts."""
    before = p_peaks[p_peaks < onset]
    if 2 * len(before) < len(p_peaks):
        return False
    low, high = np.quantile(before, (0.25, 0.75))
    first = max(0, onset - BEFORE // 2, BEFORE - int(_REACH[0] * beat.interval))
    size = np.ptp(beat.signal[first : max(onset, first + 1), _INDEPENDENT], axis=0)
    return bool(high - low <= _P_SPREAD and np.median(size) >= _P_SIZE)


def _t_wave(signal: np.ndarray, offset: int, t_offset: float) -> np.ndarray:
    """The last three quarters of the beat between QRS and T offset; empty without T wave."""
    if np.isnan(t_offset):
        return signal[:0]
    return signal[offset + int(t_offset - offset) // 4 : int(t_offset) + 1]


def _axis(wave: np.ndarray) -> float:
    """Frontal axis of (T, 12) mV in degrees, [-90, 270).

    From the net amplitudes, highest plus lowest, in I and aVF. aVF counts 2 / sqrt(3) times, since augmented
    leads are that much weaker than bipolar ones.
    """
    if not len(wave):
        return np.nan
    lead_i, lead_avf = (wave.max(axis=0) + wave.min(axis=0))[[0, 5]]
    return float((np.degrees(np.arctan2(lead_avf * 2 / np.sqrt(3), lead_i)) + 90) % 360 - 90)
