"""The cohort of eight databases in the Challenge 2021's layout: any length, each labelled in its own way.

A record is its own patient. What a heart has and its database does not annotate shows in the signal alone.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pandas as pd

from bench.data.simulator import findings
from bench.data.simulator.activity import electrical_activity
from bench.data.simulator.blocks import BLOCK, Severities, bounded_normal, generator, spread_classes
from bench.data.simulator.cinc2021_databases import DATABASES
from bench.data.simulator.cinc2021_facts import (
    CONDITIONS,
    EXCLUSIVE,
    IMPLIED,
    RHYTHM_SHARES,
    RHYTHMS,
    WITHOUT,
    annotates,
    code,
)
from bench.data.simulator.dipole import twelve
from bench.data.simulator.heart import Heart, normal_hearts
from bench.data.simulator.recording import RATE, TO_LEADS, Conditions, record, recording_conditions
from bench.data.simulator.rhythms import Plan, make_rhythms

Table = TypeVar("Table", Plan, Conditions)

_PURPOSE = 3

STRETCHES = (10, 16, 30, 60, 180)
"""Seconds for which hearts are let beat; of the shortest that suffices a record keeps the beginning."""

_BORDERLINE = (
    ("flat t", 1.0, 0.4),
    ("st depression", 0.15, 0.35),
    ("left hypertrophy", 0.15, 0.5),
    ("scar inferior", 0.10, 0.35),
    ("axis left", 0.15, 0.5),
    ("right bundle block", 0.08, 0.22),
    ("inversion anterolateral", 0.08, 0.4),
    ("slow node", 0.06, 0.35),
    ("long qt", 0.15, 0.6),
)
"""Traces of disease that nobody names: finding, share of hearts, most severe."""


@dataclass(frozen=True)
class MixedBlock:
    """Some consecutive records of the cohort.

    Attributes:
        rows: record (id), path (below the cohort's folder, without extension), database, age, female, codes
            (',' between), rhythm and conditions ('+' between) as the heart has them, named or not.
        signals: of each record (12, samples) mV at 500 Hz, in the order of `LEADS`.
    """

    rows: pd.DataFrame
    signals: list[np.ndarray]


def make_block(seed: int, block: int) -> MixedBlock:
    """Simulate records `block * BLOCK` onwards."""
    rng = generator(_PURPOSE, seed, block)
    database, number = places(block * BLOCK + np.arange(BLOCK), seed)
    rhythm = _rhythms(database, number, seed)
    age, female = _people(database, rhythm, rng)
    has = _conditions(database, rhythm, age, rng)
    codes = _codes(database, rhythm, has, rng)
    hearts = normal_hearts(age, female, rng)
    findings.apply(hearts, _severities(rhythm, has, rng).of)
    signals = _signals(database, hearts, _plan(rhythm, has, age, hearts.pr, rng), rng)
    names = np.array(list(CONDITIONS), dtype=object)
    rows = {
        "record": [_record(name, k) for name, k in zip(database, number, strict=True)],
        "path": [_path(name, k) for name, k in zip(database, number, strict=True)],
        "database": database,
        "age": age,
        "female": female,
        "codes": [",".join(row) for row in codes],
        "rhythm": rhythm,
        "conditions": ["+".join(names[flags]) for flags in has],
    }
    return MixedBlock(pd.DataFrame(rows), signals)


def places(index: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Which database (n,) each record of the cohort is of, and which record (n,) of it, from 0.

    Args:
        index: (n,) 0-based places in the cohort.
    """
    shares = {name: facts.share for name, facts in DATABASES.items()}
    before = spread_classes(shares, np.arange(index.max(initial=-1) + 1), seed)
    number = np.zeros(len(before), dtype=np.int64)
    for name in DATABASES:
        own = before == name
        number[own] = np.arange(own.sum())
    return before[index], number[index]


def _record(database: str, number: int) -> str:
    facts = DATABASES[database]
    return f"{facts.prefix}{facts.first + number:0{facts.digits}d}"


def _path(database: str, number: int) -> str:
    return f"training/{DATABASES[database].folder}/g{number // 1000 + 1}/{_record(database, number)}"


def _rhythms(database: np.ndarray, number: np.ndarray, seed: int) -> np.ndarray:
    """Rhythm (n,) of each record: every database's in its own shares."""
    rhythm = np.empty(len(database), dtype=object)
    for name in sorted(set(database)):
        shares = dict(RHYTHM_SHARES[name])
        shares["NSR"] = 100 - sum(shares.values())
        own = database == name
        rhythm[own] = spread_classes(shares, number[own], seed)
    return rhythm


def _people(
    database: np.ndarray, rhythm: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    n = len(database)
    mean, sd = np.array([RHYTHMS[name].age for name in rhythm], dtype=float).T
    mean = mean + np.array([DATABASES[name].age for name in database])
    age = np.rint(bounded_normal(rng, mean, sd, np.full(n, 3.6), np.full(n, 95.4)))
    share = np.array([RHYTHMS[r].female + DATABASES[d].female for r, d in zip(rhythm, database, strict=True)])
    return age, rng.random(n) < share


def _conditions(
    database: np.ndarray, rhythm: np.ndarray, age: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Which conditions each heart has: (n, conditions) bool; they come together, and with age."""
    columns = list(CONDITIONS)
    percent = np.array(
        [[facts.percent.get(name, facts.usual) for facts in CONDITIONS.values()] for name in database]
    )
    ill = np.exp(rng.normal(0, 0.6, len(age)) + 0.012 * (age - 58) - 0.18)
    has = rng.random(percent.shape) * 100 < percent * ill[:, None]
    for kind, lost in WITHOUT.items():
        has[np.ix_(rhythm == kind, [columns.index(name) for name in lost])] = False
    for group in EXCLUSIVE:
        at = [columns.index(name) for name in group]
        has[:, at] &= np.cumsum(has[:, at], axis=1) == 1
    return has


def _codes(
    database: np.ndarray, rhythm: np.ndarray, has: np.ndarray, rng: np.random.Generator
) -> list[list[str]]:
    """What each database writes of each heart; hearts it would write nothing of get what it writes then.

    Args:
        has: (n, conditions) bool, changed in place.
    """
    draws = rng.random((len(database), 1 + len(CONDITIONS)))
    columns = list(CONDITIONS)
    codes = []
    for row, (own, draw) in enumerate(zip(database, draws, strict=True)):
        names = _named(own, rhythm[row], has[row], draw[0])
        if not names:
            names = [DATABASES[own].else_named]
            has[row, columns.index(names[0])] = True
        codes.append([code(own, name, draw[1 + k]) for k, name in enumerate(names)])
    return codes


def _named(database: str, rhythm: str, has: np.ndarray, draw: float) -> list[str]:
    """Rhythm and conditions that a database names."""
    present = {name for name, flag in zip(CONDITIONS, has, strict=True) if flag}
    present |= {IMPLIED[name] for name in present & set(IMPLIED)}
    names = [name for name in CONDITIONS if name in present and annotates(database, name)]
    facts = DATABASES[database]
    silent = rhythm == "NSR" and (draw >= facts.named or (facts.normal == "alone" and bool(names)))
    return names if silent or not annotates(database, rhythm) else [rhythm, *names]


def _severities(rhythm: np.ndarray, has: np.ndarray, rng: np.random.Generator) -> Severities:
    n = len(rhythm)
    severities = Severities(n)
    for flags, facts in zip(has.T, CONDITIONS.values(), strict=True):
        for finding, (least, most) in facts.shows.items():
            severities.demand(finding, slice(None), np.where(flags, rng.uniform(least, most, n), 0.0))
    for finding, share, most in _BORDERLINE:
        traces = np.where(rng.random(n) < share, rng.uniform(0, most, n), 0.0)
        severities.demand(finding, slice(None), traces)
    severities.demand("paced", slice(None), np.where(rhythm == "PR", 1.0, 0.0))
    return severities


def _plan(
    rhythm: np.ndarray, has: np.ndarray, age: np.ndarray, pr: np.ndarray, rng: np.random.Generator
) -> Plan:
    n = len(rhythm)
    facts = [RHYTHMS[name] for name in rhythm]
    often = rng.choice([0.03, 0.1, 0.25], n, p=[0.5, 0.35, 0.15])
    ventricular, atrial = (has[:, list(CONDITIONS).index(name)] for name in ("PVC", "PAC"))
    return Plan(
        kind=np.array([f.kind for f in facts], dtype=object),
        rate=bounded_normal(rng, *np.array([f.rate for f in facts], dtype=float).T),
        pr=pr,
        age=age,
        premature_ventricular=np.where(ventricular, often, 0.0),
        premature_atrial=np.where(atrial, often, 0.0),
        every=np.zeros(n, dtype=int),
    )


def _signals(database: np.ndarray, hearts: Heart, plan: Plan, rng: np.random.Generator) -> list[np.ndarray]:
    """Of each record (12, samples) mV at 500 Hz."""
    seconds = _seconds(database, rng)
    facts = [DATABASES[name] for name in database]
    quality = _quality(np.array([f.noise for f in facts]), rng)
    offset = np.array([f.offset or 0.0 for f in facts])[:, None] * rng.normal(0, 1, (len(facts), 9))
    constant = twelve((offset @ TO_LEADS.T)[:, :, None])
    gain = np.array([f.gain for f in facts])
    signals: list[np.ndarray] = [np.empty(0)] * len(facts)
    stretch = np.searchsorted(STRETCHES, seconds)
    for at in sorted(set(stretch)):
        rows = np.flatnonzero(stretch == at)
        beating = _beating(hearts.of(rows), _take(plan, rows), _take(quality, rows), STRETCHES[at], rng)
        for row, signal in zip(rows, beating, strict=True):
            samples = round(seconds[row] * RATE)
            signals[row] = gain[row] * signal[:, :samples] + constant[row]
    return signals


def _seconds(database: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Length (n,): where not ten seconds, half of them a whole number."""
    median, spread, least, most = np.array([DATABASES[name].seconds for name in database], dtype=float).T
    drawn = np.clip(median * np.exp(spread * rng.normal(0, 1, len(median))), least, most)
    drawn = np.where(rng.random(len(median)) < 0.5, np.rint(drawn), np.round(drawn, 2))
    ten = rng.random(len(median)) < np.array([DATABASES[name].whole for name in database])
    return np.where(ten, 10.0, np.clip(drawn, least, most))


def _quality(factors: np.ndarray, rng: np.random.Generator) -> Conditions:
    """Recording conditions, with each record's factors (n, 3) of wander, mains and tremor."""
    made = recording_conditions(len(factors), rng)
    wander, mains, muscle = factors.T
    return Conditions(made.wander * wander, made.mains * mains, made.muscle * muscle, made.burst, made.step)


def _take(table: Table, rows: np.ndarray) -> Table:
    """Some rows of a table of arrays."""
    return type(table)(**{name: values[rows] for name, values in vars(table).items()})


def _beating(
    hearts: Heart, plan: Plan, quality: Conditions, seconds: int, rng: np.random.Generator
) -> np.ndarray:
    """(n, 12, samples) mV of hearts that are recorded for so long."""
    beats = make_rhythms(plan, seconds, rng)
    waves = electrical_activity(hearts, beats, np.exp(rng.normal(0, 0.5, len(hearts.pr))), rng)
    return record(waves, hearts.leads, quality, rng, seconds)
