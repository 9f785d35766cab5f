"""Findings of conduction: bundle and fascicular blocks, pacing, pre-excitation, the slow node."""

import numpy as np

from bench.data.simulator.heart import DEPOLARISATION, REPOLARISATION, Heart, add_force, wave

_LBBB = {  # centre, rise, fall in ms; x, y, z in mV: slow spread from right to left, no septal q
    "q": (20, 10, 11, 0.14, 0.14, 0.12),
    "r": (44, 13, 13, 0.52, 0.22, 0.55),
    "rs": (70, 14, 14, 0.55, 0.12, 0.75),
    "s": (95, 14, 14, 0.60, 0.05, 0.62),
    "late": (118, 13, 13, 0.28, -0.02, 0.22),
}


def widen(heart: Heart, factor: np.ndarray) -> None:
    """Slow the ventricular activation; repolarisation waits for it."""
    end = heart.centre[:, wave("s")].copy()
    for times in (heart.centre, heart.rise, heart.fall):
        times[:, DEPOLARISATION] *= factor[:, None]
    heart.centre[:, REPOLARISATION] += (end * (factor - 1))[:, None]


def right_bundle_block(heart: Heart, severity: np.ndarray) -> None:
    """A late rightward and anterior wave: rSR' in V1, broad S in I and V6, T turned away from V1."""
    late = wave("late")
    heart.centre[:, late] = np.where(severity > 0, 0.073 + 0.030 * severity, heart.centre[:, late])
    for side in (heart.rise, heart.fall):
        side[:, late] = np.where(severity > 0, 0.009 + 0.009 * severity, side[:, late])
    add_force(heart, "late", severity, (-0.50, 0.03, -0.74))
    add_force(heart, "s", severity, (0.0, 0.05, -0.25))
    add_force(heart, "t", severity, (0.05, 0.02, 0.22))
    heart.centre[:, REPOLARISATION] += 0.025 * severity[:, None]


def left_bundle_block(heart: Heart, severity: np.ndarray) -> None:
    """One broad notched wave to the left and back, ST and T against it; partial severity is a mixture."""
    share = np.clip(severity, 0, 1)
    for name, (centre, rise, fall, *vector) in _LBBB.items():
        at = wave(name)
        heart.vector[:, at] *= (1 - share)[:, None]
        add_force(heart, name, share, tuple(vector))
        for times, ms in ((heart.centre, centre), (heart.rise, rise), (heart.fall, fall)):
            times[:, at] += share * (ms / 1000 - times[:, at])
    heart.vector[:, wave("t")] *= (1 - 0.9 * share)[:, None]
    add_force(heart, "st", share, (-0.16, -0.03, -0.18))
    add_force(heart, "t", share, (-0.46, -0.08, -0.36))
    heart.centre[:, REPOLARISATION] += 0.045 * share[:, None]


def paced(heart: Heart, severity: np.ndarray) -> None:
    """Right ventricular apical pacing: a spike, then a left bundle block pattern that runs upwards."""
    heart.vector[:, wave("spike")] += severity[:, None] * np.array([0.5, 0.9, -0.3])
    left_bundle_block(heart, severity)
    for name in ("r", "rs", "s"):
        add_force(heart, name, severity, (-0.1, -0.75, 0.1))
    add_force(heart, "t", severity, (0.0, 0.45, 0.0))


def left_anterior_block(heart: Heart, severity: np.ndarray) -> None:
    """First down, then up and left: axis beyond -45 degrees, q in I and aVL, rS in the inferior leads."""
    add_force(heart, "q", severity, (-0.05, 0.22, 0.0))
    add_force(heart, "r", severity, (0.05, -0.25, 0.0))
    add_force(heart, "rs", severity, (0.05, -1.15, 0.05))
    add_force(heart, "s", severity, (0.12, -0.50, 0.05))
    widen(heart, 1 + 0.08 * severity)


def left_posterior_block(heart: Heart, severity: np.ndarray) -> None:
    """First up and left, then down and right: axis beyond +100 degrees, q in the inferior leads."""
    add_force(heart, "q", severity, (0.12, -0.20, 0.0))
    add_force(heart, "rs", severity, (-1.05, 0.35, 0.05))
    add_force(heart, "s", severity, (-0.30, 0.25, 0.0))
    widen(heart, 1 + 0.06 * severity)


def slow_ventricle(heart: Heart, severity: np.ndarray) -> None:
    """Unspecific intraventricular delay: a broad, notched complex of no bundle's pattern."""
    add_force(heart, "late", severity, (0.07, 0.10, 0.12))
    widen(heart, 1 + 0.38 * severity)


def preexcitation(heart: Heart, severity: np.ndarray) -> None:
    """Short PR and a slurred delta wave by an accessory pathway, T against it."""
    heart.pr[:] -= 0.05 * np.clip(severity, 0, 1.2)
    heart.centre[:, DEPOLARISATION] += 0.028 * severity[:, None]
    delta = wave("delta")
    heart.centre[:, delta] -= 0.012 * severity
    for side in (heart.rise, heart.fall):
        side[:, delta] *= 1 + 0.6 * severity
    heart.vector[:, wave("q")] *= (1 - 0.8 * np.clip(severity, 0, 1))[:, None]
    add_force(heart, "delta", severity, (0.26, 0.18, -0.20))
    add_force(heart, "t", severity, (-0.22, -0.15, 0.08))


def slow_atrioventricular_node(heart: Heart, severity: np.ndarray) -> None:
    """First degree block: PR beyond 200 ms."""
    heart.pr[:] = np.where(severity > 0, np.maximum(heart.pr, 0.17) + 0.07 * severity, heart.pr)
