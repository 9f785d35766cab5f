"""The PTB-XL-like cohort: patients with one or several records, five superclasses in their real combinations.

A patient keeps heart and diagnoses; severity, rhythm, rate and recording differ from record to record.
"""

from dataclasses import dataclass

import numpy as np

from bench.data.simulator import findings
from bench.data.simulator.activity import electrical_activity
from bench.data.simulator.blocks import (
    BLOCK,
    Block,
    Severities,
    bounded_normal,
    generator,
    pick,
    spread_classes,
)
from bench.data.simulator.heart import QRS, Heart, normal_hearts
from bench.data.simulator.measure import frontal_axis, in_record
from bench.data.simulator.ptbxl_facts import (
    DIAGNOSES,
    FORMS,
    RHYTHMS,
    SUPERCLASS_SETS,
    choose_diagnoses,
    rhythm_weights,
)
from bench.data.simulator.ptbxl_rows import database_rows
from bench.data.simulator.recording import SECONDS, record, recording_conditions
from bench.data.simulator.rhythms import Plan, make_rhythms

_PURPOSE = 2
_RECORDS = {1: 0.84, 2: 0.11, 3: 0.03, 4: 0.015, 5: 0.005}
"""How many records a patient has: 1.24 on average, where PTB-XL has 1.16."""


@dataclass(frozen=True)
class Patients:
    """The patients of a block; arrays of p.

    Attributes:
        number: patient id.
        superclasses: a key of `SUPERCLASS_SETS`.
        diagnoses: codes of each patient.
        extent: how far each diagnosis has gone, 0 to 1, by code.
    """

    number: np.ndarray
    superclasses: np.ndarray
    age: np.ndarray
    female: np.ndarray
    diagnoses: list[list[str]]
    extent: list[dict[str, float]]
    rhythm: np.ndarray
    heart: Heart


@dataclass(frozen=True)
class Shown:
    """What the records of a block show: statements with their likelihoods, and what they do to the heart."""

    statements: list[dict[str, float]]
    severities: Severities
    rhythm: np.ndarray
    premature_ventricular: np.ndarray
    premature_atrial: np.ndarray


def make_block(seed: int, block: int) -> Block:
    """Simulate records `block * BLOCK` onwards.

    Returns:
        rows: the columns of ptbxl_database.csv less strat_fold and the file names, and `superclasses`, the
        stratum within which folds are dealt.
    """
    rng = generator(_PURPOSE, seed, block)
    counts = rng.choice(list(_RECORDS), BLOCK, p=list(_RECORDS.values()))
    owner = np.repeat(np.arange(BLOCK), counts)[:BLOCK]
    patients = _patients(seed, block, rng)
    shown = _findings(patients, owner, rng)
    hearts = patients.heart.of(owner)
    hearts.leads[:] *= np.exp(rng.normal(0, 0.05, (BLOCK, 8, 1)))
    findings.apply(hearts, shown.severities.of)
    beats = make_rhythms(_plan(patients.age[owner], hearts.pr, shown, rng), SECONDS, rng)
    quality = recording_conditions(BLOCK, rng)
    waves = electrical_activity(hearts, beats, np.exp(rng.normal(0, 0.5, BLOCK)), rng)
    signals = record(waves, hearts.leads, quality, rng)
    early = (in_record(beats.onset, SECONDS) & (beats.ectopic | (beats.focus == 1))).sum(axis=1)
    extra = np.where(shown.premature_ventricular + shown.premature_atrial > 0, early, 0)
    rows = database_rows(
        number=block * BLOCK + np.arange(BLOCK),
        patient=patients.number[owner],
        age=patients.age[owner],
        female=patients.female[owner],
        statements=shown.statements,
        axis=frontal_axis(hearts, QRS),
        extra_beats=extra,
        quality=quality,
        rng=rng,
    )
    return Block(rows.assign(superclasses=patients.superclasses[owner]), signals)


def _patients(seed: int, block: int, rng: np.random.Generator) -> Patients:
    """As many patients as a block could hold; those beyond its last record are never seen."""
    number = block * BLOCK + np.arange(BLOCK)
    sets = spread_classes(SUPERCLASS_SETS, number, seed)
    healthy = np.array([key == "NORM" for key in sets])
    infarcted = np.array(["MI" in key for key in sets])
    mean, sd = np.where(healthy, 52.0, 67.0), np.where(healthy, 17.0, 13.5)
    age = np.rint(bounded_normal(rng, mean, sd, np.full(BLOCK, 17.6), np.full(BLOCK, 95.4)))
    female = rng.random(BLOCK) < np.where(healthy, 0.54, np.where(infarcted, 0.36, 0.47))
    diagnoses = [choose_diagnoses(key, rng) for key in sets]
    return Patients(
        number=number + 1,
        superclasses=sets,
        age=age,
        female=female,
        diagnoses=diagnoses,
        extent=[{code: float(rng.beta(1.6, 1.4)) for code in codes} for codes in diagnoses],
        rhythm=np.array([pick(rng, rhythm_weights(key), 1)[0] for key in sets], dtype=object),
        heart=normal_hearts(age, female, rng),
    )


def _findings(patients: Patients, owner: np.ndarray, rng: np.random.Generator) -> Shown:
    n = len(owner)
    severities = Severities(n)
    statements: list[dict[str, float]] = []
    rhythm = patients.rhythm[owner].copy()
    transient = rng.random(n) < 0.12
    rhythm[transient] = "SR"
    for row, patient in enumerate(owner):
        said: dict[str, float] = {}
        for code in patients.diagnoses[patient]:
            extent = float(np.clip(patients.extent[patient][code] + rng.normal(0, 0.12), 0, 1))
            said[code] = DIAGNOSES[code].likelihood(extent, rng)
            for finding, (least, most) in DIAGNOSES[code].shows.items():
                severities.demand(finding, row, least + extent * (most - least))
            rhythm[row] = DIAGNOSES[code].rhythm or rhythm[row]
        statements.append(said)
    _add_rhythms_and_forms(statements, rhythm, severities, rng)
    _add_borderline(severities, n, rng)
    ventricular, atrial = (np.array([code in s for s in statements]) for code in ("PVC", "PAC"))
    often = rng.choice([0.02, 0.08, 0.2], n, p=[0.5, 0.35, 0.15])
    coupled = np.isin(rhythm, ("BIGU", "TRIGU"))
    return Shown(
        statements=statements,
        severities=severities,
        rhythm=rhythm,
        premature_ventricular=np.where(ventricular | coupled, often, 0.0),
        premature_atrial=np.where((atrial | (rhythm == "SVARR")) & ~coupled, often, 0.0),
    )


def _add_rhythms_and_forms(
    statements: list[dict[str, float]], rhythm: np.ndarray, severities: Severities, rng: np.random.Generator
) -> None:
    """State rhythm and form, with likelihood 0, and show what they name."""
    for row, said in enumerate(statements):
        for code, form in FORMS.items():
            asked = form.chance + sum(form.with_code.get(other, 0.0) for other in said)
            if rng.random() < asked:
                said[code] = 0.0
                for finding, (least, most) in form.shows.items():
                    severities.demand(finding, row, rng.uniform(least, most))
        facts = RHYTHMS[rhythm[row]]
        if facts.stated:
            said[rhythm[row]] = 0.0
        for finding in facts.shows:
            severities.demand(finding, row, 1.0)


def _add_borderline(severities: Severities, n: int, rng: np.random.Generator) -> None:
    """Traces of disease that nobody states: what makes a normal ECG not always look like one."""
    for finding, share, most in (
        ("flat t", 1.0, 0.35),
        ("st depression", 0.15, 0.35),
        ("left hypertrophy", 0.15, 0.5),
        ("scar inferior", 0.10, 0.35),
        ("scar anteroseptal", 0.10, 0.35),
        ("left anterior block", 0.12, 0.5),
        ("right bundle block", 0.10, 0.28),
        ("inversion anterolateral", 0.08, 0.35),
    ):
        severities.demand(finding, slice(None), np.where(rng.random(n) < share, rng.uniform(0, most, n), 0.0))


def _plan(age: np.ndarray, pr: np.ndarray, shown: Shown, rng: np.random.Generator) -> Plan:
    facts = [RHYTHMS[name] for name in shown.rhythm]
    return Plan(
        kind=np.array([f.kind for f in facts], dtype=object),
        rate=bounded_normal(rng, *np.array([f.rate for f in facts], dtype=float).T),
        pr=pr,
        age=age,
        premature_ventricular=shown.premature_ventricular,
        premature_atrial=shown.premature_atrial,
        every=np.array([f.every for f in facts]),
    )
