"""From a record as read to what is stored: missing samples, flat leads, rate, band, int16 microvolts.

Every repair is reported; what cannot be repaired is a CorpusError, its message the quality report's line.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from bench.data.corpus import RATES, CorpusError, Note, RawRecord
from bench.data.leads import LEADS

Band = tuple[float, float]

MISSING_LIMIT = 0.05
"""A lead with a larger share of missing samples cannot be interpolated honestly."""

FULL_SCALE = 32_767
"""Largest stored microvolts; -32768 stays free, it means a missing sample in the corpora's own files."""

FILTER_ORDER = 3

SHORTEST = 22
"""Fewest samples of a stored record: what the band-pass needs to run in. A record that is too short for it is rejected
without a filter too, so that one corpus has the same records, and the same split, under every filter."""


@dataclass(frozen=True, eq=False)
class Conditioned:
    """One record as it is stored, and what storing it takes away.

    Attributes:
        signal: (samples, 12) int16 microvolts at the stored rate.
        native_rate: Hz of the record as read.
        native_mean: (12,) float32 microvolts: each lead's mean as read and repaired, before resampling and filter.
            In the Challenge's files, 1000 units a millivolt, it is the mean of the stored numbers.
    """

    signal: np.ndarray
    native_rate: float
    native_mean: np.ndarray


def condition(
    record: str, raw: RawRecord, rate: int, band: Band | None = None
) -> tuple[Conditioned, list[Note]]:
    """Repair, resample, filter and quantise one record, in this order.

    Args:
        record: record id, for the notes.
        raw: (samples, 12) float32 millivolts at any rate, NaN where missing.
        rate: Hz to store.
        band: low and high edge in Hz of a zero-phase Butterworth band-pass of order 3; None: no filter.

    Returns:
        What to store, (samples', 12), and what was repaired or is worth knowing.

    Raises:
        CorpusError: the record must be rejected; the message says why.
    """
    signal, notes = examine(record, raw)
    mean = (signal.mean(axis=0, dtype=np.float64) * 1000).astype(np.float32)
    signal = resample(signal, raw.rate, rate)
    if len(signal) < SHORTEST:
        raise CorpusError(f"{len(signal)} samples at {rate} Hz are too few")
    if band is not None:
        signal = band_pass(signal, rate, band)
    microvolts = np.rint(signal * np.float32(1000.0))
    clipped = np.abs(microvolts) > FULL_SCALE
    if clipped.any():
        leads = _leads(np.any(clipped, axis=0))
        reason = f"{int(clipped.sum()):,} samples beyond 32.767 mV clipped in {leads}"
        notes.append(Note(record, "repaired", reason))
    stored = np.clip(microvolts, -FULL_SCALE, FULL_SCALE).astype(np.int16)
    return Conditioned(stored, float(raw.rate), mean), notes


def examine(record: str, raw: RawRecord) -> tuple[np.ndarray, list[Note]]:
    """Repair missing samples and report flat leads, at the record's own rate.

    A record with some flat leads is kept: the others are sound, and a lead set may not need the flat ones.

    Returns:
        (samples, 12) float32 millivolts without NaN, and the notes.

    Raises:
        CorpusError: an impossible rate, no samples, a lead with more than 5 % missing, or not one lead with a signal.
    """
    if not RATES[0] <= raw.rate <= RATES[1]:
        raise CorpusError(f"rate {raw.rate:g} Hz is not within {RATES[0]} and {RATES[1]:,} Hz")
    if not len(raw.signal):
        raise CorpusError("the record has no samples")
    notes = [Note(record, "repaired", reason) for reason in raw.notes]
    signal = raw.signal
    missing = ~np.isfinite(signal)
    if missing.any():
        signal = _interpolate(signal, missing)
        where = _leads(missing.any(axis=0))
        notes.append(
            Note(record, "repaired", f"{int(missing.sum()):,} missing samples interpolated in {where}")
        )
    low, high = signal.min(axis=0), signal.max(axis=0)
    flat = low == high
    if flat.all():
        raise CorpusError("all leads are zero" if not signal.any() else "all leads are flat")
    if flat.any():
        values = sorted({float(value) for value in low[flat]})
        level = " and ".join(f"{value:g}" for value in values[:3])
        notes.append(Note(record, "note", f"flat: {_leads(flat)} (constant {level} mV); kept"))
    return signal, notes


def _interpolate(signal: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Fill gaps linearly in time, lead by lead; the nearest sample at the ends."""
    share = missing.mean(axis=0)
    lost = share > MISSING_LIMIT
    if lost.any():
        raise CorpusError(f"{share.max():.1%} of the samples are missing in lead {_leads(lost)}")
    filled = signal.copy()
    time = np.arange(len(signal))
    for lead in np.flatnonzero(share):
        gap = missing[:, lead]
        filled[gap, lead] = np.interp(time[gap], time[~gap], signal[~gap, lead])
    return filled


def _leads(chosen: np.ndarray) -> str:
    return ", ".join(lead for lead, flag in zip(LEADS, chosen, strict=True) if flag)


def resample(signal: np.ndarray, rate: float, wanted: int) -> np.ndarray:
    """Polyphase resampling along time; a line through the ends keeps the baseline from ringing there.

    Returns:
        (ceil(samples * wanted / rate), 12) float32.
    """
    ratio = Fraction(wanted) / Fraction(rate).limit_denominator(1000)
    if ratio == 1:
        return signal
    from scipy.signal import resample_poly

    leads = np.ascontiguousarray(signal.T)
    return resample_poly(leads, ratio.numerator, ratio.denominator, axis=1, padtype="line").T


def band_pass(signal: np.ndarray, rate: int, band: Band) -> np.ndarray:
    """Zero-phase Butterworth band-pass of order 3 in each direction, of at least `SHORTEST` samples."""
    from scipy.signal import butter, sosfiltfilt

    sections = butter(FILTER_ORDER, band, "bandpass", fs=rate, output="sos")
    return sosfiltfilt(sections, signal, axis=0).astype(np.float32)
