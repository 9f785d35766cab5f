"""A sum of waves of a 3-D dipole, rendered in time and projected on the leads.

Axes are Frank's: x to the left, y to the feet, z to the back; times in seconds, amplitudes in millivolts.
"""

from dataclasses import dataclass

import numpy as np

DOWER = np.array(
    [
        [0.632, -0.235, 0.059],  # I
        [0.235, 1.066, -0.132],  # II
        [-0.515, 0.157, -0.917],  # V1
        [0.044, 0.164, -1.387],  # V2
        [0.882, 0.098, -1.277],  # V3
        [1.213, 0.127, -0.601],  # V4
        [1.125, 0.127, -0.086],  # V5
        [0.831, 0.076, 0.230],  # V6
    ]
)
"""(8, 3) leads I, II, V1-V6 of a Frank dipole (Dower, Machado, Osborne, Clinical Cardiology 3:87, 1980)."""

_REACH = 4.0  # standard deviations of a wave that are drawn; beyond them it is below 0.04 % of its peak
_WIDTHS = (0.004, 0.012, 0.025, 0.05, 0.15)  # waves are drawn in groups of similar width, seconds


@dataclass(frozen=True)
class Waves:
    """A flat table of dipole waves, each a Gaussian with its own width before and after its peak.

    Attributes:
        record: (W,) int, whose wave it is.
        centre: (W,) s, time of the peak; waves far outside the recording are left out when drawing.
        rise, fall: (W,) s, standard deviation before and after the peak.
        vector: (W, 3) mV at the peak.
    """

    record: np.ndarray
    centre: np.ndarray
    rise: np.ndarray
    fall: np.ndarray
    vector: np.ndarray

    def select(self, keep: np.ndarray) -> "Waves":
        """The waves of a boolean mask."""
        return Waves(
            self.record[keep], self.centre[keep], self.rise[keep], self.fall[keep], self.vector[keep]
        )

    @staticmethod
    def join(*tables: "Waves") -> "Waves":
        """All waves of several tables."""
        columns = ("record", "centre", "rise", "fall", "vector")
        return Waves(*(np.concatenate([getattr(table, name) for table in tables]) for name in columns))


def render(waves: Waves, records: int, samples: int, rate: float) -> np.ndarray:
    """Draw the dipole of every record.

    Returns:
        (records, 3, samples) mV.

    Raises:
        ValueError: a wave is wider than any wave of a heart.
    """
    if max(waves.rise.max(initial=0), waves.fall.max(initial=0)) > _WIDTHS[-1]:
        raise ValueError(f"a wave is wider than {_WIDTHS[-1]} s (standard deviation); no wave of a heart is")
    reach = int(np.ceil(_REACH * _WIDTHS[-1] * rate)) + 1
    padded = samples + 2 * reach
    drawn = np.abs(waves.centre - samples / rate / 2) < samples / rate / 2 + reach / rate / 2
    waves = waves.select(drawn & (waves.vector != 0).any(axis=1))
    flat = np.zeros((3, records * padded))
    width = np.maximum(waves.rise, waves.fall)
    for narrow, wide in zip((0.0, *_WIDTHS), _WIDTHS, strict=False):
        group = waves.select((width > narrow) & (width <= wide))
        _add(flat, group, reach, padded, rate, int(np.ceil(_REACH * wide * rate)))
    return flat.reshape(3, records, padded)[:, :, reach:-reach].transpose(1, 0, 2)


def _add(flat: np.ndarray, waves: Waves, reach: int, padded: int, rate: float, half: int) -> None:
    """Add waves to (3, records * padded), each over 2 * half + 1 samples around its peak."""
    nearest = np.rint(waves.centre * rate).astype(np.int64)
    samples = nearest[:, None] + np.arange(-half, half + 1)
    late = samples / rate - waves.centre[:, None]
    shape = np.exp(-0.5 * (late / np.where(late < 0, waves.rise[:, None], waves.fall[:, None])) ** 2)
    where = np.clip(samples + reach, 0, padded - 1) + waves.record[:, None] * padded
    for axis in range(3):
        values = shape * waves.vector[:, axis, None]
        flat[axis] += np.bincount(where.ravel(), values.ravel(), minlength=flat.shape[1])


def rotation(frontal: np.ndarray, horizontal: np.ndarray, sagittal: np.ndarray) -> np.ndarray:
    """Rotations of the heart in the chest, in degrees.

    Args:
        frontal: (n,) of x towards y: positive turns the electrical axis to the right (downwards).
        horizontal: (n,) of x towards z: positive turns it backwards (clockwise seen from below).
        sagittal: (n,) of y towards z.

    Returns:
        (n, 3, 3) matrices that act on column vectors.
    """
    turned = np.broadcast_to(np.eye(3), (len(frontal), 3, 3))
    for (a, b), angle in (((0, 1), frontal), ((0, 2), horizontal), ((1, 2), sagittal)):
        step = np.broadcast_to(np.eye(3), turned.shape).copy()
        cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        step[:, a, a], step[:, b, b], step[:, a, b], step[:, b, a] = cosine, cosine, -sine, sine
        turned = turned @ step
    return turned


def project(dipole: np.ndarray, leads: np.ndarray) -> np.ndarray:
    """Project dipoles (n, 3, T) on lead vectors (n, 8, 3): (n, 8, T), I, II, V1-V6.

    Written out as three products, so that no BLAS decides the last bit.
    """
    return sum(leads[:, :, axis, None] * dipole[:, None, axis] for axis in range(3))


def twelve(eight: np.ndarray) -> np.ndarray:
    """All leads in the order of `LEADS` from I, II, V1-V6: (n, 8, T) -> (n, 12, T), by Einthoven's law."""
    one, two = eight[:, 0], eight[:, 1]
    limb = (one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2)
    return np.concatenate([np.stack(limb, axis=1), eight[:, 2:]], axis=1)
