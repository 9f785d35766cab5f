"""What disease does to a heart's waves, each finding a small change in place, in proportion to its severity.

Severity 1 is a textbook example, 0 leaves the heart as it is: a finding is applied to all records at once.
"""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from bench.data.simulator import conduction
from bench.data.simulator.conduction import widen
from bench.data.simulator.heart import DEPOLARISATION, REPOLARISATION, Heart, add_force, wave

Finding = Callable[[Heart, np.ndarray], None]

TERRITORIES: dict[str, tuple[float, float, float]] = {
    "anteroseptal": (-0.25, 0.0, -0.97),
    "anterior": (0.20, 0.05, -0.97),
    "anterolateral": (0.75, -0.20, -0.62),
    "lateral": (0.92, -0.35, 0.15),
    "inferior": (-0.12, 0.98, 0.10),
    "inferolateral": (0.60, 0.75, 0.25),
    "posterior": (-0.15, 0.15, 0.97),
}
"""Unit directions, in the heart's axes, from its centre to the walls: left, feet, back."""

_LEFT_VENTRICLE = np.array([0.80, 0.40, -0.30])  # mean direction of the left ventricular wall seen from V4-V6


def left_hypertrophy(heart: Heart, severity: np.ndarray) -> None:
    """Voltage: tall R in V5-V6, I and aVL, deep S in V1-V2; a slightly wider complex."""
    heart.vector[:, DEPOLARISATION] *= (1 + 0.48 * severity)[:, None, None]
    add_force(heart, "rs", severity, (0.46, -0.13, 0.56))
    add_force(heart, "s", severity, (0.05, -0.05, 0.20))
    widen(heart, 1 + 0.07 * severity)


def strain(heart: Heart, severity: np.ndarray) -> None:
    """ST down and T inverted where R is tall, the reverse in V1-V2."""
    add_force(heart, "st", severity, (-0.10, -0.05, -0.03))
    add_force(heart, "t", severity, (-0.52, -0.20, -0.06))


def right_hypertrophy(heart: Heart, severity: np.ndarray) -> None:
    """R in V1, S in V5-V6, axis to the right, T inverted in V1-V3."""
    add_force(heart, "r", severity, (-0.30, 0.10, -0.15))
    add_force(heart, "rs", severity, (-0.85, 0.20, -0.80))
    add_force(heart, "s", severity, (-0.45, 0.05, -0.25))
    add_force(heart, "t", severity, (0.02, -0.12, 0.34))


def septal_hypertrophy(heart: Heart, severity: np.ndarray) -> None:
    """Deep narrow Q in the lateral and inferior leads, tall R in V1-V2, some left ventricular voltage."""
    add_force(heart, "q", severity, (-0.42, -0.28, -0.35))
    left_hypertrophy(heart, 0.5 * severity)


def left_atrial_overload(heart: Heart, severity: np.ndarray) -> None:
    """A broad notched P in I and II, its end negative in V1."""
    heart.p_vector[:, 1] *= (1 + 0.45 * severity)[:, None]
    heart.p_vector[:, 1, 2] += 0.055 * severity
    heart.p_centre[:, 1] += 0.022 * severity
    heart.p_fall[:, 1] *= 1 + 0.15 * severity
    heart.pr[:] += 0.02 * severity


def right_atrial_overload(heart: Heart, severity: np.ndarray) -> None:
    """A tall peaked P in the inferior leads and V1."""
    heart.p_vector[:, 0] += severity[:, None] * np.array([0.0, 0.13, -0.05])


def low_voltage(heart: Heart, severity: np.ndarray) -> None:
    """Small complexes in every lead."""
    heart.vector[:, DEPOLARISATION] *= (1 - 0.5 * np.clip(severity, 0, 1.4))[:, None, None]


def high_voltage(heart: Heart, severity: np.ndarray) -> None:
    """Large complexes of a normal shape."""
    heart.vector[:, DEPOLARISATION] *= (1 + 0.4 * severity)[:, None, None]


def flat_t(heart: Heart, severity: np.ndarray) -> None:
    """Low T waves; beyond severity 1 slightly inverted."""
    heart.vector[:, wave("t")] *= (1 - 0.9 * severity)[:, None]


def st_depression(heart: Heart, severity: np.ndarray) -> None:
    """ST below the line in the left leads, horizontal or falling."""
    add_force(heart, "st", severity, -0.16 * _LEFT_VENTRICLE)


def digitalis(heart: Heart, severity: np.ndarray) -> None:
    """A sagging ST that ends in a small T, and a shorter QT."""
    add_force(heart, "st", severity, -0.17 * _LEFT_VENTRICLE)
    flat_t(heart, 0.6 * severity)
    for times in (heart.centre, heart.rise, heart.fall):
        times[:, REPOLARISATION] *= (1 - 0.07 * severity)[:, None]


def long_qt(heart: Heart, severity: np.ndarray) -> None:
    """A late T wave: QT longer by about 70 ms."""
    t, u = wave("t"), wave("u")
    heart.centre[:, [t, u]] += 0.065 * severity[:, None]
    heart.rise[:, t] *= 1 + 0.12 * severity


def electrolytes(heart: Heart, severity: np.ndarray) -> None:
    """Low potassium: flat T, ST slightly down, a U wave of its own."""
    flat_t(heart, 0.7 * severity)
    st_depression(heart, 0.4 * severity)
    heart.vector[:, wave("u")] += severity[:, None] * np.array([0.10, 0.09, -0.10])


def early_repolarisation(heart: Heart, severity: np.ndarray) -> None:
    """ST raised with tall T waves in the chest leads."""
    add_force(heart, "st", severity, (0.12, 0.08, -0.16))
    add_force(heart, "t", severity, (0.15, 0.10, -0.15))


def turn(heart: Heart, severity: np.ndarray, plane: tuple[int, int], degrees: float) -> None:
    """Turn the heart in the chest: the lead vectors turn the other way."""
    a, b = plane
    cosine, sine = (f(np.radians(degrees * severity))[:, None] for f in (np.cos, np.sin))
    along, across = heart.leads[:, :, a].copy(), heart.leads[:, :, b].copy()
    heart.leads[:, :, a], heart.leads[:, :, b] = (
        cosine * along + sine * across,
        cosine * across - sine * along,
    )


def scar(heart: Heart, severity: np.ndarray, wall: np.ndarray) -> None:
    """An infarct's lost forces: the first half of QRS turns away from the wall and Q lasts 40 ms."""
    add_force(heart, "q", severity, -0.42 * wall)
    add_force(heart, "r", severity, -0.46 * wall)
    add_force(heart, "rs", severity, -0.22 * wall)
    heart.centre[:, wave("q")] += 0.003 * severity
    for side in (heart.rise, heart.fall):
        side[:, wave("q")] *= 1 + 0.5 * severity


def injury(heart: Heart, severity: np.ndarray, wall: np.ndarray) -> None:
    """ST raised over the wall (and down opposite), a tall T."""
    add_force(heart, "st", severity, 0.26 * wall)
    add_force(heart, "t", severity, 0.14 * wall)


def subendocardial_injury(heart: Heart, severity: np.ndarray, wall: np.ndarray) -> None:
    """ST down over the wall."""
    add_force(heart, "st", severity, -0.24 * wall)
    add_force(heart, "t", severity, -0.12 * wall)


def inversion(heart: Heart, severity: np.ndarray, wall: np.ndarray) -> None:
    """T turned away from the wall, symmetrical."""
    add_force(heart, "t", severity, -0.48 * wall)
    t = wave("t")
    heart.rise[:, t] += 0.4 * np.clip(severity, 0, 1) * (heart.fall[:, t] - heart.rise[:, t])


def aneurysm(heart: Heart, severity: np.ndarray) -> None:
    """An old anterior scar whose ST stays raised."""
    wall = np.array(TERRITORIES["anterior"])
    scar(heart, 0.7 * severity, wall)
    injury(heart, 0.7 * severity, wall)


def _over_each_wall(
    name: str, finding: Callable[[Heart, np.ndarray, np.ndarray], None]
) -> dict[str, Finding]:
    def over(at: tuple[float, float, float]) -> Finding:
        return lambda heart, severity: finding(heart, severity, np.array(at))

    return {f"{name} {wall}": over(at) for wall, at in TERRITORIES.items()}


FINDINGS: Mapping[str, Finding] = {
    "axis left": partial(turn, plane=(0, 1), degrees=-55),
    "axis right": partial(turn, plane=(0, 1), degrees=60),
    "clockwise": partial(turn, plane=(0, 2), degrees=28),
    "counterclockwise": partial(turn, plane=(0, 2), degrees=-28),
    "left hypertrophy": left_hypertrophy,
    "septal hypertrophy": septal_hypertrophy,
    "right hypertrophy": right_hypertrophy,
    "high voltage": high_voltage,
    "low voltage": low_voltage,
    **_over_each_wall("scar", scar),
    "aneurysm": aneurysm,
    "left anterior block": conduction.left_anterior_block,
    "left posterior block": conduction.left_posterior_block,
    "left bundle block": conduction.left_bundle_block,
    "right bundle block": conduction.right_bundle_block,
    "slow ventricle": conduction.slow_ventricle,
    "preexcitation": conduction.preexcitation,
    "paced": conduction.paced,
    "slow node": conduction.slow_atrioventricular_node,
    "left atrium": left_atrial_overload,
    "right atrium": right_atrial_overload,
    "flat t": flat_t,
    "strain": strain,
    **_over_each_wall("injury", injury),
    **_over_each_wall("subendocardial injury", subendocardial_injury),
    **_over_each_wall("inversion", inversion),
    "st depression": st_depression,
    "digitalis": digitalis,
    "electrolytes": electrolytes,
    "early repolarisation": early_repolarisation,
    "long qt": long_qt,
}
"""Every finding by name, in the order of their application: voltage, scars, conduction, repolarisation."""


def apply(heart: Heart, severities: Mapping[str, np.ndarray]) -> None:
    """Apply findings in place, in the order of `FINDINGS`.

    Args:
        severities: finding -> (n,) severity.

    Raises:
        KeyError: no such finding.
    """
    unknown = set(severities) - set(FINDINGS)
    if unknown:
        raise KeyError(f"no finding {sorted(unknown)[0]!r}; there are: {', '.join(FINDINGS)}")
    for name, finding in FINDINGS.items():
        if name in severities:
            finding(heart, severities[name])
