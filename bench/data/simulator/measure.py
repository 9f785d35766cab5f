"""The machine's measurements of a simulated record, from its parameters with a machine's small errors.

Their redundancies are the real ones: QT and QRS from the three fiducial samples, QTc by Bazett.
"""

import numpy as np

from bench.data.simulator.activity import QT_POWER
from bench.data.simulator.heart import QRS, Heart, wave
from bench.data.simulator.rhythms import Rhythm

RATE = 500  # Hz, of the fiducial samples
_ONSET = 233.4  # sample of the median beat at which QRS would begin were it infinitely short


_ATRIAL_RATIO = {
    "fibrillation": (
        (0, 0.02, 0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 1),
        (0.4, 0.56, 0.76, 0.95, 1.06, 1.25, 1.6, 3.4, 6),
    ),
    "flutter": ((0, 0.05, 0.1, 0.2, 0.55, 0.7, 0.8, 0.9, 1), (0.3, 0.73, 0.92, 1, 1, 1.31, 2.4, 3.4, 5.5)),
    "reentry": ((0, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 1), (0.1, 0.29, 0.53, 0.94, 1, 1.02, 1.2, 1.8)),
    "atrial focus": ((0, 0.05, 0.2, 0.6, 0.8, 0.95, 1), (0.5, 0.76, 1, 1, 1.2, 1.6, 3)),
}
"""Quantiles of the machine's atrial over ventricular rate in the real Diagnostics.xlsx, by kind of rhythm."""


def in_record(times: np.ndarray, seconds: float) -> np.ndarray:
    """Which events fall within the recording."""
    return (times >= 0) & (times < seconds)


def ventricular_rate(rhythm: Rhythm, seconds: float) -> np.ndarray:
    """Mean rate (n,), bpm, from the first to the last beat of the recording."""
    inside = in_record(rhythm.onset, seconds)
    first = np.where(inside, rhythm.onset, np.inf).min(axis=1)
    last = np.where(inside, rhythm.onset, -np.inf).max(axis=1)
    return 60 * (inside.sum(axis=1) - 1) / (last - first)


def atrial_rate(kind: np.ndarray, ventricular: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Atrial rate (n,), bpm, as a machine finds it: often wrong where P waves are hidden or absent."""
    rate = ventricular.copy()
    for name, (share, ratio) in _ATRIAL_RATIO.items():
        guess = np.interp(rng.random(len(kind)), share, ratio)
        rate = np.where(kind == name, guess * ventricular, rate)
    return np.minimum(rate, 535)


def qrs_span(heart: Heart, least: float = 0.045) -> tuple[np.ndarray, np.ndarray]:
    """First and last moment (n,), s, at which a wave of the QRS of at least `least` mV stands out."""
    waves = [wave(name) for name in QRS]
    seen = np.linalg.norm(heart.vector[:, waves], axis=2) > least
    start = heart.centre[:, waves] - 2.1 * heart.rise[:, waves]
    end = heart.centre[:, waves] + 2.1 * heart.fall[:, waves]
    return np.where(seen, start, np.inf).min(axis=1), np.where(seen, end, -np.inf).max(axis=1)


def frontal_axis(heart: Heart, names: tuple[str, ...]) -> np.ndarray:
    """Electrical axis (n,), degrees from -89 to 270 as the machine counts, of the area under some waves."""
    at = [wave(name) for name in names]
    area = (heart.vector[:, at] * (heart.rise + heart.fall)[:, at, None]).sum(axis=1)
    one, two = (np.einsum("nj,nj->n", heart.leads[:, lead], area) for lead in (0, 1))
    degrees = np.degrees(np.arctan2((2 * two - one) / np.sqrt(3), one))
    return np.where(degrees < -89, degrees + 360, degrees)


def measure(
    heart: Heart, rhythm: Rhythm, kind: np.ndarray, seconds: float, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """The eleven attributes of n records, integers; units as in `bench.data.corpus.ATTRIBUTES`.

    Args:
        kind: (n,) the rhythm plan's kinds.
    """
    n = len(heart.pr)
    ventricular = ventricular_rate(rhythm, seconds)
    atrial = atrial_rate(kind, ventricular, rng)
    start, end = qrs_span(heart)
    t = wave("t")
    cycle = np.clip(60 / ventricular, 0.25, 2.0)
    t_end = (heart.centre[:, t] + 2.1 * heart.fall[:, t]) * cycle**QT_POWER
    onset = _ONSET - 0.31 * RATE * (end - start) + rng.normal(0, 4.5, n)
    q_onset = np.rint(onset)
    q_offset = np.rint(onset + RATE * (end - start) + rng.normal(0, 1.5, n))
    t_offset = np.rint(onset + RATE * (t_end - start) + rng.normal(0, 4, n))
    rate = np.rint(ventricular + rng.normal(0, 0.4, n))
    qt = 2 * (t_offset - q_onset)
    values = {
        "VentricularRate": rate,
        "AtrialRate": np.where(rng.random(n) < 0.001, 0, np.rint(atrial + rng.normal(0, 0.3, n))),
        "QRSDuration": 2 * (q_offset - q_onset),
        "QTInterval": qt,
        "QTCorrected": np.rint(qt / np.sqrt(60 / rate)),
        "RAxis": _circle(frontal_axis(heart, QRS) + rng.normal(0, 4, n)),
        "TAxis": _circle(frontal_axis(heart, ("t",)) + rng.normal(0, 6, n)),
        "QRSCount": in_record(rhythm.onset, seconds).sum(axis=1),
        "QOnset": q_onset,
        "QOffset": q_offset,
        "TOffset": t_offset,
    }
    return {name: value.astype(np.int64) for name, value in values.items()}


def _circle(degrees: np.ndarray) -> np.ndarray:
    """Whole degrees from -89 to 270."""
    return (np.rint(degrees) + 89) % 360 - 89
