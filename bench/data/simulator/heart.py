"""Hearts: the waves of one beat of each record, as age and sex shape them and as patients differ.

A heart is plain arrays, one row a record, so that `bench.data.simulator.findings` can bend them in place.
"""

from dataclasses import dataclass

import numpy as np

from bench.data.simulator.dipole import DOWER, rotation

QRS = ("delta", "q", "r", "rs", "s", "late")
"""Ventricular depolarisation in its order: septum, apex, free wall, base; `delta`, `late` only in disease."""

WAVES = ("spike", *QRS, "st", "t", "u")
"""The waves that follow a ventricular activation."""

REPOLARISATION = slice(WAVES.index("st"), None)
DEPOLARISATION = slice(WAVES.index("delta"), WAVES.index("late") + 1)

_NORMAL = {  # centre, rise, fall in ms after QRS onset at 60 bpm; x, y, z in mV
    "spike": (-4, 1.2, 1.2, 0, 0, 0),
    "delta": (14, 9, 12, 0, 0, 0),
    "q": (13, 5.5, 6, -0.09, -0.03, -0.15),
    "r": (27, 7.5, 7.5, 0.50, 0.42, -0.38),
    "rs": (41, 8.5, 8.5, 0.82, 0.60, 0.40),
    "s": (62, 10, 10.5, -0.06, -0.10, 0.42),
    "late": (75, 10, 10, 0, 0, 0),
    "st": (165, 45, 60, 0.015, 0.01, -0.025),
    "t": (333, 64, 39, 0.28, 0.135, -0.22),
    "u": (485, 35, 45, 0.012, 0.01, -0.012),
}
_ATRIA = {  # right, left: centre, rise, fall in ms after P onset; x, y, z in mV
    "right": (38, 16, 17, 0.032, 0.080, -0.045),
    "left": (66, 18, 17, 0.072, 0.058, 0.040),
}


@dataclass(frozen=True)
class Heart:
    """The waves of one beat of n records; the arrays are meant to be changed in place.

    Attributes:
        vector: (n, waves, 3) mV; `centre`, `rise`, `fall`: (n, waves) s after QRS onset at 60 bpm.
        p_vector: (n, 2, 3) mV, right and left atrium; `p_centre`, `p_rise`, `p_fall`: (n, 2) s after P onset.
        ectopic_p: (n, 2, 3) mV, the P wave of this record's ectopic atrial focus.
        pr: (n,) s from P onset to QRS onset at 75 bpm.
        leads: (n, 8, 3) lead vectors of I, II, V1-V6 in the heart's own axes.
        gain: (n,) the patient's QRS amplitude relative to the average heart's.
    """

    vector: np.ndarray
    centre: np.ndarray
    rise: np.ndarray
    fall: np.ndarray
    p_vector: np.ndarray
    p_centre: np.ndarray
    p_rise: np.ndarray
    p_fall: np.ndarray
    ectopic_p: np.ndarray
    pr: np.ndarray
    leads: np.ndarray
    gain: np.ndarray

    def of(self, rows: np.ndarray) -> "Heart":
        """A copy with the given rows, a row for each record of a patient."""
        return Heart(**{name: getattr(self, name)[rows] for name in self.__dataclass_fields__})


def wave(name: str) -> int:
    """Position of a wave in `WAVES`."""
    return WAVES.index(name)


def add_force(heart: Heart, name: str, severity: np.ndarray, vector: tuple[float, ...] | np.ndarray) -> None:
    """Add severity times a vector, scaled with the patient's voltage, to a wave."""
    heart.vector[:, wave(name)] += (severity * heart.gain)[:, None] * np.asarray(vector)


def normal_hearts(age: np.ndarray, female: np.ndarray, rng: np.random.Generator) -> Heart:
    """Healthy hearts of patients.

    Age turns the electrical axis to the left, lengthens PR and QT and flattens QRS and T; women have smaller,
    narrower QRS complexes, smaller T waves and a longer QT.

    Args:
        age: (n,) years.
        female: (n,) bool.
    """
    n = len(age)
    table = np.array([_NORMAL[name] for name in WAVES])
    times = np.repeat(table[None, :, :3] / 1000, n, axis=0)
    _stretch_times(times, age, female, rng)
    gain = np.exp(rng.normal(0, 0.20, n)) * np.where(female, 0.88, 1.0) * (1.12 - 0.0022 * age)
    vector = _vectors(table[:, 3:], gain, age, female, rng)
    atria = np.array(list(_ATRIA.values()))
    p_times = np.repeat(atria[None, :, :3] / 1000, n, axis=0) * rng.normal(1, 0.08, (n, 1, 1))
    p_gain = np.exp(rng.normal(-0.05, 0.30, (n, 1, 1)) + rng.normal(0, 0.15, (n, 2, 1)))
    p_vector = atria[None, :, 3:] * p_gain + rng.normal(0, 0.01, (n, 2, 3))
    return Heart(
        vector=vector,
        centre=times[..., 0],
        rise=times[..., 1],
        fall=times[..., 2],
        p_vector=p_vector,
        p_centre=p_times[..., 0],
        p_rise=p_times[..., 1],
        p_fall=p_times[..., 2],
        ectopic_p=_ectopic_focus(p_vector, rng),
        pr=np.clip(0.148 + 0.00035 * (age - 40) + rng.normal(0, 0.016, n), 0.105, 0.198),
        leads=_lead_vectors(age, rng),
        gain=gain,
    )


def _stretch_times(times: np.ndarray, age: np.ndarray, female: np.ndarray, rng: np.random.Generator) -> None:
    """Widen or narrow QRS and QT for each patient; `times` is (n, waves, 3)."""
    n = len(age)
    qrs = np.where(female, 0.99, 1.08) * rng.normal(1, 0.07, n) * np.clip(0.8 + age / 90, 0, 1)
    qt = (1 + 0.0006 * (age - 50)) * np.where(female, 1.015, 0.985) * rng.normal(1, 0.042, n)
    times[:, DEPOLARISATION] *= qrs[:, None, None]
    times[:, REPOLARISATION] *= qt[:, None, None]
    t = wave("t")
    times[:, t, 1:] *= np.exp(rng.normal(0, 0.14, (n, 2)))


def _vectors(
    normal: np.ndarray, gain: np.ndarray, age: np.ndarray, female: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Wave vectors (n, waves, 3) of patients around the normal (waves, 3)."""
    n, waves = len(gain), len(normal)
    size = np.exp(rng.normal(0, 0.14, (n, waves, 1)))
    size[:, DEPOLARISATION] *= gain[:, None, None]
    vector = normal * size
    qrs = normal[DEPOLARISATION]
    present = (qrs != 0).any(axis=1, keepdims=True)
    vector[:, DEPOLARISATION] += rng.normal(0, 0.06, (n, len(qrs), 3)) * present * gain[:, None, None]
    t = wave("t")
    own = np.exp(rng.normal(0, 0.28, n)) * np.where(female, 0.86, 1.0) * np.clip(1.2 - 0.0045 * age, 0.5, 1.2)
    vector[:, t] *= own[:, None]
    vector[:, t] = np.einsum("nij,nj->ni", rotation(*rng.normal(0, (9, 14, 8), (n, 3)).T), vector[:, t])
    vector[:, wave("st"), 2] -= np.where(
        female | (age > 55), 0.0, 0.03
    )  # young men's high ST take-off in V2-V3
    return vector


def _ectopic_focus(p_vector: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """P waves of another focus: mostly low in the atria, so that the inferior leads show them inverted."""
    n = len(p_vector)
    turned = rotation(rng.normal(-150, 35, n), rng.normal(0, 40, n), rng.normal(0, 25, n))
    size = np.exp(rng.normal(0.0, 0.2, (n, 1, 1)))
    return np.einsum("nij,nkj->nki", turned, p_vector) * size


def _lead_vectors(age: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Lead vectors (n, 8, 3): Dower's, turned with the heart, the electrodes a little misplaced."""
    n = len(age)
    frontal = 31.0 - 0.62 * age + rng.normal(0, 19, n)
    heart = rotation(frontal, rng.normal(0, 11, n), rng.normal(0, 9, n))
    leads = DOWER @ heart
    shift = rng.normal(0, 0.14, (n, 6, 1))
    towards = np.where(shift > 0, np.roll(leads[:, 2:], -1, axis=1), np.roll(leads[:, 2:], 1, axis=1))
    towards[:, 0] = np.where(shift[:, 0] > 0, leads[:, 3], leads[:, 2])
    towards[:, -1] = np.where(shift[:, -1] > 0, leads[:, -1], leads[:, -2])
    leads[:, 2:] += np.abs(shift) * (towards - leads[:, 2:])
    leads[:, 2:] *= np.exp(rng.normal(0, 0.10, (n, 6, 1)))
    return leads
