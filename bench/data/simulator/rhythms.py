"""When hearts beat: times of ventricular beats and atrial waves, a function a kind of rhythm."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

BEATS = 60
"""Places for beats in ten seconds of a record's row: a margin beyond 300 bpm."""

WAVELETS = 120
"""Places for atrial wavelets in ten seconds of a record's row."""

LEAD_IN = 1.3
"""Seconds before the record begins from which beats are made, so that no T wave is missing at its start."""


@dataclass(frozen=True)
class Rhythm:
    """The timing of n records; the arrays are meant to be changed in place.

    A row has places for `BEATS` beats and `WAVELETS` wavelets in each ten seconds of the record.

    Attributes:
        onset: (n, beats) s, QRS onsets, rising; NaN where a beat was dropped.
        cycle: (n, beats) s, the cycle length to which QT has adapted.
        ectopic: (n, beats) bool, ventricular ectopic beats.
        p: (n, beats) s, P onsets; NaN where there is none.
        focus: (n, beats) 0 the sinus node's P wave to 1 the record's ectopic focus.
        wavelet: (n, wavelets) s, peaks of flutter or fibrillation waves, NaN none.
        fluttering: (n,) bool, the wavelets are flutter's.
    """

    onset: np.ndarray
    cycle: np.ndarray
    ectopic: np.ndarray
    p: np.ndarray
    focus: np.ndarray
    wavelet: np.ndarray
    fluttering: np.ndarray


@dataclass(frozen=True)
class Plan:
    """What a record's rhythm is asked to be; arrays of n.

    Attributes:
        kind: a key of `KINDS`.
        rate: bpm wanted (flutter comes as near as its conduction lets it).
        pr: s, from the heart.
        premature_ventricular, premature_atrial: probability that a beat comes early.
        every: 0, or k: every k-th beat is premature (bigeminy 2, trigeminy 3), of the likelier kind.
    """

    kind: np.ndarray
    rate: np.ndarray
    pr: np.ndarray
    age: np.ndarray
    premature_ventricular: np.ndarray
    premature_atrial: np.ndarray
    every: np.ndarray = field(default_factory=lambda: np.zeros(0, int))


def make_rhythms(plan: Plan, seconds: float, rng: np.random.Generator) -> Rhythm:
    """Beat and atrial times of every record, all of them `seconds` long."""
    n = len(plan.kind)
    beats, wavelets = (math.ceil(places * seconds / 10) for places in (BEATS, WAVELETS))
    rhythm = Rhythm(
        onset=np.zeros((n, beats)),
        cycle=np.zeros((n, beats)),
        ectopic=np.zeros((n, beats), bool),
        p=np.full((n, beats), np.nan),
        focus=np.zeros((n, beats)),
        wavelet=np.full((n, wavelets), np.nan),
        fluttering=np.zeros(n, bool),
    )
    wanted = np.repeat(60 / plan.rate[:, None], beats, axis=1)
    cycles = _sinus_cycles(wanted, _breathing(plan, rng), rng)
    for kind in sorted(set(plan.kind)):
        rows = np.flatnonzero(plan.kind == kind)
        if kind in CYCLES:
            cycles[rows] = CYCLES[kind](wanted[rows], rng)
    early_atrial = _premature(cycles, plan, rhythm, seconds, rng)
    _place(rhythm, cycles, plan, early_atrial, rng)
    for kind in sorted(set(plan.kind)):
        if kind in ATRIA:
            ATRIA[kind](rhythm, np.flatnonzero(plan.kind == kind), plan, rng)
    return rhythm


def _breathing(plan: Plan, rng: np.random.Generator) -> np.ndarray:
    """Relative depth of respiratory arrhythmia: less with age and rate, much in sinus arrhythmia."""
    calm = np.clip(0.045 - 0.0004 * plan.age, 0.008, 0.05) * np.clip(75 / plan.rate, 0.3, 1.3)
    depth = calm * np.exp(rng.normal(0, 0.4, len(calm)))
    return np.where(plan.kind == "sinus arrhythmia", rng.uniform(0.09, 0.22, len(calm)), depth)


def _sinus_cycles(cycle: np.ndarray, depth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """RR intervals that follow breathing, drift slowly and jitter a little."""
    n, beats = cycle.shape
    seconds = np.arange(beats) * cycle
    breath = np.sin(2 * np.pi * (rng.uniform(0.18, 0.32, (n, 1)) * seconds + rng.random((n, 1))))
    drift = np.sin(2 * np.pi * (rng.uniform(0.04, 0.1, (n, 1)) * seconds + rng.random((n, 1))))
    jitter = rng.normal(0, 0.006, (n, beats))
    return cycle * (1 + depth[:, None] * breath + 0.3 * depth[:, None] * drift + jitter)


def _fibrillation_cycles(cycle: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Irregularly irregular: independent intervals; in one record of eight hardly so."""
    spread = np.clip(rng.normal(0.17, 0.06, (len(cycle), 1)), 0.03, 0.34)
    spread[rng.random(len(cycle)) < 0.12] = 0.045
    shape = 1 / spread**2
    return np.maximum(cycle * rng.gamma(shape, 1 / shape, cycle.shape), 0.27)


def _flutter_wave(cycle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flutter's own cycle, s, near 0.21, and its conduction ratio, for each wanted mean RR interval."""
    ratio = np.clip(np.rint(cycle / 0.21), 2, 6)
    return cycle / ratio, ratio


def _flutter_cycles(cycle: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Whole multiples of the flutter cycle: 2:1, 3:1 or 4:1, in half of the records changing as they go."""
    atrial, ratio = _flutter_wave(cycle)
    change = rng.choice([-1, 0, 1, 2], p=[0.25, 0.5, 0.15, 0.1], size=cycle.shape)
    varying = rng.random((len(cycle), 1)) < 0.5
    return atrial * np.maximum(ratio + np.where(varying, change, 0), 2)


def _clockwork(cycle: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A re-entrant circuit or a pacemaker: the same interval again and again."""
    return cycle * (1 + rng.normal(0, 0.004, cycle.shape))


def _focus_cycles(cycle: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An ectopic atrial focus: nearly regular, in a third of the records with uneven conduction."""
    uneven = np.where(rng.random((len(cycle), 1)) < 0.3, 0.11, 0.015)
    return cycle * np.clip(1 + uneven * rng.normal(0, 1, cycle.shape), 0.65, 1.6)


CYCLES: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "fibrillation": _fibrillation_cycles,
    "flutter": _flutter_cycles,
    "reentry": _clockwork,
    "node reentry": _clockwork,
    "pathway reentry": _clockwork,
    "atrial focus": _focus_cycles,
    "paced": _clockwork,
    "complete block": _clockwork,
}
"""RR intervals (n, beats) by kind of rhythm, for wanted ones; kinds not listed are led by the sinus node."""


def _premature(
    cycles: np.ndarray, plan: Plan, rhythm: Rhythm, seconds: float, rng: np.random.Generator
) -> np.ndarray:
    """Shorten intervals before premature beats, lengthen those after; returns the premature atrial beats."""
    n, beats = cycles.shape
    order = np.arange(beats)
    chance = plan.premature_ventricular + plan.premature_atrial
    early = rng.random((n, beats)) < chance[:, None]
    first = np.rint(LEAD_IN / cycles[:, 0]) + 1
    inside = np.maximum(np.rint(seconds / cycles[:, 0]) - 2, 1)
    sure = first + np.floor(rng.random(n) * inside)
    early |= (order == sure[:, None]) & (chance > 0)[:, None]
    every = plan.every if len(plan.every) else np.zeros(n, int)
    early = np.where((every > 0)[:, None], order % np.maximum(every, 1)[:, None] == 0, early)
    early[:, 1:] &= ~early[:, :-1]
    early[:, 0] = False
    share = plan.premature_ventricular / np.maximum(chance, 1e-9)
    ventricular = early & (rng.random((n, beats)) < np.where(every > 0, np.rint(share), share)[:, None])
    rhythm.ectopic[:] = ventricular
    after = np.zeros_like(early)
    after[:, 1:] = early[:, :-1]
    coupling = rng.uniform(0.55, 0.78, (n, 1))
    pause = np.where(np.roll(ventricular, 1, axis=1), 2 - coupling, 1.12)
    cycles *= np.where(early, coupling, 1) * np.where(after, pause, 1)
    return early & ~ventricular


def _place(
    rhythm: Rhythm, cycles: np.ndarray, plan: Plan, early_atrial: np.ndarray, rng: np.random.Generator
) -> None:
    """Set onsets, QT's cycle and the sinus P waves from the intervals."""
    n = len(cycles)
    rhythm.onset[:] = np.cumsum(cycles, axis=1) - cycles[:, :1] * (1 + rng.random((n, 1))) - LEAD_IN
    mean = np.median(cycles, axis=1, keepdims=True)
    rhythm.cycle[:] = np.clip(0.8 * mean + 0.2 * cycles, 0.25, 2.0)
    shortening = 0.70 + 0.30 * np.clip(cycles / 0.8, 0.3, 1.3)
    rhythm.p[:] = rhythm.onset - plan.pr[:, None] * shortening
    rhythm.p[rhythm.ectopic] = np.nan
    rhythm.focus[early_atrial] = 1.0


def _fibrillate(rhythm: Rhythm, rows: np.ndarray, plan: Plan, rng: np.random.Generator) -> None:
    """No P waves; small waves at 300 to 500 a minute, none like the last."""
    rhythm.p[rows] = np.nan
    cycle = rng.uniform(0.12, 0.20, (len(rows), 1))
    steps = cycle * np.clip(rng.normal(1, 0.18, (len(rows), rhythm.wavelet.shape[1])), 0.5, 1.6)
    rhythm.wavelet[rows] = np.cumsum(steps, axis=1) - LEAD_IN


def _flutter(rhythm: Rhythm, rows: np.ndarray, plan: Plan, rng: np.random.Generator) -> None:
    """No P waves; a saw-tooth whose cycle divides the RR intervals."""
    rhythm.p[rows] = np.nan
    rhythm.fluttering[rows] = True
    cycle = _flutter_wave(60 / plan.rate[rows])[0][:, None]
    start = rhythm.onset[rows, :1] + rng.random((len(rows), 1)) * cycle
    rhythm.wavelet[rows] = start + cycle * np.arange(rhythm.wavelet.shape[1])


def _retrograde(
    rhythm: Rhythm, rows: np.ndarray, after: tuple[float, float], rng: np.random.Generator
) -> None:
    """P waves that follow QRS, from below."""
    delay = rng.uniform(*after, (len(rows), 1))
    rhythm.p[rows] = rhythm.onset[rows] + delay
    rhythm.focus[rows] = 1.0


def _node_reentry(rhythm: Rhythm, rows: np.ndarray, plan: Plan, rng: np.random.Generator) -> None:
    """P within or just behind QRS: hidden, or a small r' in V1 and s in the inferior leads."""
    _retrograde(rhythm, rows, (-0.01, 0.05), rng)


def _pathway_reentry(rhythm: Rhythm, rows: np.ndarray, plan: Plan, rng: np.random.Generator) -> None:
    """P inverted in the ST segment."""
    _retrograde(rhythm, rows, (0.09, 0.14), rng)


def _reentry(rhythm: Rhythm, rows: np.ndarray, plan: Plan, rng: np.random.Generator) -> None:
    """Supraventricular tachycardia without a closer name: P hidden or behind QRS."""
    _retrograde(rhythm, rows, (-0.02, 0.12), rng)


def _from_focus(rhythm: Rhythm, rows: np.ndarray, plan: Plan, rng: np.random.Generator) -> None:
    """Every P from the ectopic focus."""
    rhythm.focus[rows] = 1.0


def _wander(rhythm: Rhythm, rows: np.ndarray, plan: Plan, rng: np.random.Generator) -> None:
    """The pacemaker wanders between sinus node and atrium: P changes its shape, PR shortens with it."""
    beats = np.arange(rhythm.p.shape[1]) / rng.uniform(5, 9, (len(rows), 1)) + rng.random((len(rows), 1))
    rhythm.focus[rows] = 0.5 - 0.5 * np.cos(2 * np.pi * beats)
    rhythm.p[rows] += 0.035 * rhythm.focus[rows]


def _dissociate(rhythm: Rhythm, rows: np.ndarray, plan: Plan, rng: np.random.Generator) -> None:
    """Third degree block: P waves at the sinus rate, whatever the ventricles do."""
    cycle = 60 / rng.uniform(65, 100, (len(rows), 1))
    start = rhythm.onset[rows, :1] + rng.random((len(rows), 1))
    rhythm.p[rows] = start + cycle * np.arange(rhythm.p.shape[1])


def _drop_beats(rhythm: Rhythm, rows: np.ndarray, plan: Plan, rng: np.random.Generator) -> None:
    """Second degree block: every third or fourth P is not conducted; in half of the records PR grows."""
    period = rng.integers(3, 5, (len(rows), 1))
    place = (np.arange(rhythm.p.shape[1]) + rng.integers(0, 4, (len(rows), 1))) % period
    growing = (rng.random((len(rows), 1)) < 0.5) * 0.05
    rhythm.p[rows] -= growing * place
    rhythm.onset[rows] = np.where(place == period - 1, np.nan, rhythm.onset[rows])


def _pace(rhythm: Rhythm, rows: np.ndarray, plan: Plan, rng: np.random.Generator) -> None:
    """Ventricular pacing; in half of the records the P waves it follows are there."""
    alone = rows[rng.random(len(rows)) < 0.5]
    rhythm.p[alone] = np.nan


ATRIA: dict[str, Callable[[Rhythm, np.ndarray, Plan, np.random.Generator], None]] = {
    "fibrillation": _fibrillate,
    "flutter": _flutter,
    "reentry": _reentry,
    "node reentry": _node_reentry,
    "pathway reentry": _pathway_reentry,
    "atrial focus": _from_focus,
    "wandering": _wander,
    "complete block": _dissociate,
    "dropped beats": _drop_beats,
    "paced": _pace,
}
"""What the atria do in each kind of rhythm; where not listed, a sinus P before each beat."""

KINDS = ("sinus", "sinus arrhythmia", *ATRIA)
