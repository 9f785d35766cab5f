"""From hearts and rhythms to waves: every beat's waves at their times, P, flutter and fibrillation waves."""

import numpy as np

from bench.data.simulator.dipole import Waves
from bench.data.simulator.heart import REPOLARISATION, WAVES, Heart, wave
from bench.data.simulator.rhythms import Rhythm

QT_POWER = 0.36
"""QT grows with RR to this power: between Fridericia's 1/3 and Bazett's 1/2, as in the real Chapman."""

_FLUTTER = np.array([0.02, -0.16, -0.03])  # negative saw-tooth in the inferior leads, positive in V1
_FIBRILLATION = np.array([0.020, 0.036, 0.052])  # largest in V1


def electrical_activity(
    heart: Heart, rhythm: Rhythm, wavelet_gain: np.ndarray, rng: np.random.Generator
) -> Waves:
    """Every wave of n records.

    Args:
        wavelet_gain: (n,) size of flutter or fibrillation waves, 1 the usual.
    """
    breath = 1 + 0.045 * np.sin(2 * np.pi * (0.25 * rhythm.onset + rng.random((len(heart.pr), 1))))
    return Waves.join(
        ventricular_waves(heart, rhythm, breath, ectopic_beats(heart, rng)),
        atrial_waves(heart, rhythm),
        wavelets(rhythm, wavelet_gain, rng),
    )


def ectopic_beats(heart: Heart, rng: np.random.Generator) -> Heart:
    """The same hearts activated from a place in a ventricle: broad, large, ST and T the other way."""
    n = len(heart.pr)
    rows = np.arange(n)
    beat = heart.of(rows)
    course = rng.normal(0, 1, (n, 3)) * (1.0, 1.0, 0.9)
    course /= np.linalg.norm(course, axis=1, keepdims=True)
    bend = np.cross(course, rng.normal(0, 0.5, (n, 3)))
    size = (rng.uniform(1.0, 1.7, n) * np.sqrt(np.clip(heart.gain, 0.5, 2)))[:, None]
    beat.vector[:] = 0
    for name, ms, spread, along, across in (
        ("r", 35, 14, 0.45, 0.5),
        ("rs", 68, 17, 0.95, 0.1),
        ("s", 105, 16, 0.45, -0.5),
    ):
        at = wave(name)
        beat.vector[:, at] = size * (along * course + across * bend)
        beat.centre[:, at], beat.rise[:, at], beat.fall[:, at] = ms / 1000, spread / 1000, spread / 1000
    beat.vector[:, wave("st")] = -0.12 * size * course
    beat.vector[:, wave("t")] = -0.42 * size * course
    beat.centre[:, REPOLARISATION] += 0.045
    return beat


def ventricular_waves(heart: Heart, rhythm: Rhythm, breath: np.ndarray, ectopic: Heart) -> Waves:
    """QRS, ST, T and U of every beat; ST and later waves move with the cycle length.

    Args:
        breath: (n, BEATS) factor of the amplitude.
        ectopic: the hearts as ventricular ectopic beats show them.
    """
    stretch = np.ones((*rhythm.cycle.shape, len(WAVES)))
    stretch[:, :, REPOLARISATION] = (rhythm.cycle**QT_POWER)[:, :, None]
    other = rhythm.ectopic[:, :, None]

    def beats(name: str) -> np.ndarray:
        return np.where(other, getattr(ectopic, name)[:, None], getattr(heart, name)[:, None])

    centre = rhythm.onset[:, :, None] + beats("centre") * stretch
    vector = np.where(other[..., None], ectopic.vector[:, None], heart.vector[:, None])
    vector = vector * breath[:, :, None, None]
    record = np.broadcast_to(np.arange(len(heart.pr))[:, None, None], centre.shape)
    return _flat(record, centre, beats("rise") * stretch, beats("fall") * stretch, vector)


def atrial_waves(heart: Heart, rhythm: Rhythm) -> Waves:
    """P waves, each a mixture of the sinus node's and the ectopic focus's shape."""
    focus = np.nan_to_num(rhythm.focus)[:, :, None, None]
    vector = (1 - focus) * heart.p_vector[:, None] + focus * heart.ectopic_p[:, None]
    centre = rhythm.p[:, :, None] + heart.p_centre[:, None]
    record = np.broadcast_to(np.arange(len(heart.pr))[:, None, None], centre.shape)
    rise, fall = (np.broadcast_to(w[:, None], centre.shape) for w in (heart.p_rise, heart.p_fall))
    return _flat(record, centre, rise, fall, vector)


def wavelets(rhythm: Rhythm, gain: np.ndarray, rng: np.random.Generator) -> Waves:
    """Flutter waves, each like the last, and fibrillation waves, each unlike it."""
    n, places = rhythm.wavelet.shape
    chaos = rng.normal(0, 1, (n, places, 3)) * _FIBRILLATION
    fixed = _FLUTTER * np.exp(rng.normal(0, 0.2, (n, 1, 3)))
    fluttering = rhythm.fluttering[:, None]
    vector = np.where(fluttering[..., None], fixed, chaos) * gain[:, None, None]
    rise = np.broadcast_to(np.where(fluttering, 0.055, 0.028), (n, places))
    fall = np.broadcast_to(np.where(fluttering, 0.026, 0.028), (n, places))
    record = np.broadcast_to(np.arange(n)[:, None], (n, places))
    return _flat(record, rhythm.wavelet, rise, fall, vector)


def _flat(
    record: np.ndarray, centre: np.ndarray, rise: np.ndarray, fall: np.ndarray, vector: np.ndarray
) -> Waves:
    """A table of the waves that exist (whose time is a number)."""
    waves = Waves(record.ravel(), centre.ravel(), rise.ravel(), fall.ravel(), vector.reshape(-1, 3))
    return waves.select(np.isfinite(waves.centre))
