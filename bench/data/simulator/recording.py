"""Taking the ECG: a heart's waves on twelve leads, with the noise of nine electrodes.

Noise enters at the electrodes, as it does in life, so that Einthoven's law holds in the noisy recording too.
"""

from dataclasses import dataclass

import numpy as np

from bench.data.simulator.dipole import Waves, project, render, twelve

RATE = 500
"""Hz at which every recording is taken."""

SECONDS = 10
"""Length of a recording where nothing else is said."""

ELECTRODES = ("RA", "LA", "LL", "V1", "V2", "V3", "V4", "V5", "V6")

_CHEST = np.hstack([np.full((6, 3), -1 / 3), np.eye(6)])  # against Wilson's central terminal
TO_LEADS = np.vstack([[-1, 1, 0, *[0] * 6], [-1, 0, 1, *[0] * 6], _CHEST])
"""(8, 9) the independent leads I, II, V1-V6 from the nine electrodes."""

_WANDER = np.arange(1, 9) * 0.055  # Hz


def record(
    waves: Waves,
    leads: np.ndarray,
    conditions: "Conditions",
    rng: np.random.Generator,
    seconds: int = SECONDS,
) -> np.ndarray:
    """Record n hearts.

    Args:
        waves: all waves of n records.
        leads: (n, 8, 3) lead vectors.
        seconds: length of all of them.

    Returns:
        (n, 12, samples) mV in the order of `LEADS`.
    """
    dipole = render(waves, len(leads), RATE * seconds, RATE)
    return twelve(project(dipole, leads) + noise(conditions, RATE * seconds, RATE, rng))


@dataclass(frozen=True)
class Conditions:
    """How well n records were taken; arrays (n,) in mV (standard deviation), but `step` counts jumps.

    Attributes:
        wander: baseline.
        mains: 50 Hz residue.
        muscle: tremor.
        burst: tremor of a second or two.
        step: jumps of one electrode.
    """

    wander: np.ndarray
    mains: np.ndarray
    muscle: np.ndarray
    burst: np.ndarray
    step: np.ndarray

    def scaled(self, factor: float) -> "Conditions":
        """The same recordings with all noise multiplied."""
        return Conditions(**{name: factor * values for name, values in vars(self).items()})


def recording_conditions(n: int, rng: np.random.Generator) -> Conditions:
    """Mostly good recordings, some poor ones."""
    return Conditions(
        wander=0.028 * np.exp(rng.normal(0, 0.75, n)),
        mains=0.003 * np.exp(rng.normal(0, 0.8, n)),
        muscle=0.008 * np.exp(rng.normal(0, 0.5, n)),
        burst=np.where(rng.random(n) < 0.06, rng.uniform(0.03, 0.10, n), 0.0),
        step=(rng.random(n) < 0.04).astype(float),
    )


def noise(conditions: Conditions, samples: int, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Noise of the independent leads: (n, 8, samples) mV."""
    n, electrodes = len(conditions.wander), len(ELECTRODES)
    uneven = np.exp(rng.normal(0, 0.45, (n, electrodes, 1)))
    seconds = np.arange(samples) / rate
    muscle = conditions.muscle[:, None] + _bursts(conditions.burst, seconds, rng)
    total = _tremor(rng.standard_normal((n, electrodes, samples + 2))) * muscle[:, None]
    total += _waves(_WANDER, 1 / _WANDER, conditions.wander, seconds, rng)
    total += _waves(np.array([50.0]), np.ones(1), conditions.mains, seconds, rng)
    total *= uneven
    total += _steps(conditions.step, electrodes, seconds, rng)
    return np.matmul(TO_LEADS, total)


def _tremor(white: np.ndarray) -> np.ndarray:
    """White noise below about 120 Hz, unit variance; two samples shorter."""
    return (white[..., 2:] + white[..., 1:-1] + white[..., :-2]) / np.sqrt(3)


def _bursts(size: np.ndarray, seconds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n, samples) extra tremor around one moment of each record."""
    moment, length = rng.uniform(0, seconds[-1], (len(size), 1)), rng.uniform(0.3, 1.0, (len(size), 1))
    return size[:, None] * np.exp(-0.5 * ((seconds - moment) / length) ** 2)


def _waves(
    hertz: np.ndarray, weight: np.ndarray, size: np.ndarray, seconds: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """(n, 9, samples) sums of sines of random phase, their standard deviation `size`."""
    angle = 2 * np.pi * hertz[:, None] * seconds
    basis = np.concatenate([np.sin(angle), np.cos(angle)])
    weight = np.tile(weight / np.sqrt((weight**2).sum()), 2)
    parts = rng.normal(0, 1, (len(size), len(ELECTRODES), len(basis))) * weight * size[:, None, None]
    return parts @ basis


def _steps(count: np.ndarray, electrodes: int, seconds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n, 9, samples) a jump of one electrode that dies away within a second or two."""
    n = len(count)
    moment, decay = rng.uniform(0, seconds[-1], (n, 1)), rng.uniform(0.3, 1.5, (n, 1))
    late = seconds - moment
    course = np.where(late > 0, np.exp(-np.clip(late, 0, None) / decay), 0.0)
    height = count * rng.choice([-1.0, 1.0], n) * rng.uniform(0.2, 0.9, n)
    where = rng.integers(0, electrodes, n)[:, None] == np.arange(electrodes)
    return where[:, :, None] * (height[:, None] * course)[:, None]
