"""The Chapman-like cohort: eleven rhythms in nearly real shares, conditions, the machine's measurements.

Shares, ages, sexes and rates follow the real Diagnostics.xlsx; the three rarest rhythms are raised to 3 in
1,000.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from bench.data.chapman_cohort import RHYTHMS as CLASS_OF
from bench.data.corpus import ATTRIBUTES
from bench.data.simulator import findings
from bench.data.simulator.activity import electrical_activity
from bench.data.simulator.blocks import BLOCK, Block, Severities, bounded_normal, generator, spread_classes
from bench.data.simulator.heart import normal_hearts
from bench.data.simulator.measure import measure
from bench.data.simulator.recording import SECONDS, record, recording_conditions
from bench.data.simulator.rhythms import Plan, make_rhythms


class RhythmFacts(NamedTuple):
    """A rhythm of the corpus: how many records have it, how it beats (bpm), who has it (years: mean, SD)."""

    records: int
    snomed: str
    kind: str
    rate: tuple[float, float, float, float]  # mean, SD, least, most
    age: tuple[float, float]
    female: float


RHYTHMS = {
    "SB": RhythmFacts(3889, "426177001", "sinus", (56, 4.5, 34, 59.6), (58, 14), 0.36),
    "SR": RhythmFacts(1826, "426783006", "sinus", (74, 12, 60, 99.5), (54, 16), 0.56),
    "AFIB": RhythmFacts(1780, "164889003", "fibrillation", (93, 28, 40, 200), (74, 12), 0.42),
    "ST": RhythmFacts(1568, "427084000", "sinus", (98, 19, 100.5, 175), (55, 22), 0.49),
    "SVT": RhythmFacts(587, "426761007", "reentry", (168, 23, 104, 244), (56, 19), 0.52),
    "AF": RhythmFacts(445, "164890007", "flutter", (115, 35, 45, 170), (72, 14), 0.42),
    "SA": RhythmFacts(399, "427393009", "sinus arrhythmia", (73, 10, 50, 105), (30, 27), 0.44),
    "AT": RhythmFacts(121, "713422000", "atrial focus", (116, 31, 62, 218), (67, 20), 0.47),
    "AVNRT": RhythmFacts(16, "251166008", "node reentry", (172, 16, 140, 210), (58, 17), 0.75),
    "AVRT": RhythmFacts(8, "233897008", "pathway reentry", (171, 34, 125, 230), (57, 17), 0.38),
    "SAAWR": RhythmFacts(7, "17366009", "wandering", (64, 9, 51, 86), (51, 30), 0.86),
}
"""The eleven rhythms; AF is flutter, SA sinus irregularity (which the WFDB distribution lacks)."""

_RARE = 0.003


class ConditionFacts(NamedTuple):
    """A condition: percent of records in AFIB, GSVT, SB, SR; its code; findings, least and most."""

    percent: tuple[float, float, float, float]
    snomed: str
    shows: dict[str, tuple[float, float]]


CONDITIONS = {
    "1AVB": ConditionFacts((0, 2.6, 4.1, 1.6), "270492004", {"slow node": (0.6, 1.5)}),
    "ALS": ConditionFacts((6.2, 4.0, 2.7, 2.2), "39732003", {"axis left": (0.7, 1.2)}),
    "APB": ConditionFacts((0, 5.2, 2.6, 2.5), "284470004", {}),
    "AQW": ConditionFacts((4.0, 2.2, 1.9, 1.1), "164917005", {"scar inferior": (0.5, 1.1)}),
    "ARS": ConditionFacts((3.6, 4.3, 0.7, 0.6), "47665007", {"axis right": (0.7, 1.2)}),
    "CCR": ConditionFacts((2.0, 1.5, 1.4, 1.2), "251199005", {"counterclockwise": (0.8, 1.3)}),
    "CR": ConditionFacts((1.0, 1.9, 0.2, 0.2), "251198002", {"clockwise": (0.8, 1.3)}),
    "ERV": ConditionFacts((0, 0, 0.4, 0.2), "428417006", {"early repolarisation": (0.7, 1.2)}),
    "IDC": ConditionFacts((5.5, 0.4, 0.1, 0.1), "698252002", {"slow ventricle": (0.4, 1.0)}),
    "LBBB": ConditionFacts((1.9, 1.3, 0.4, 0.2), "164909002", {"left bundle block": (0.85, 1.0)}),
    "LFBBB": ConditionFacts((2.2, 1.3, 0.5, 0.4), "164909002", {"left anterior block": (0.8, 1.2)}),
    "LVHV": ConditionFacts((19.0, 7.8, 15.5, 4.9), "55827005", {"left hypertrophy": (0.5, 1.4)}),
    "LVQRSCL": ConditionFacts((0.9, 2.3, 1.2, 1.2), "251148003", {"low voltage": (0.6, 1.1)}),
    "MIFW": ConditionFacts((0.3, 0.6, 0.1, 0.1), "164865005", {"scar anteroseptal": (0.7, 1.3)}),
    "PWC": ConditionFacts((0, 3.3, 0.3, 0.3), "164912004", {"right atrium": (0.7, 1.4)}),
    "QTIE": ConditionFacts((1.1, 0.2, 0.5, 0.4), "111975006", {"long qt": (0.8, 1.6)}),
    "RBBB": ConditionFacts((8.9, 4.6, 3.1, 1.4), "59118001", {"right bundle block": (0.7, 1.2)}),
    "STDD": ConditionFacts((9.5, 4.4, 1.5, 1.5), "429622005", {"st depression": (0.6, 1.4)}),
    "STTC": ConditionFacts(
        (22.4, 17.4, 4.3, 4.5), "428750005", {"flat t": (0.5, 1.2), "st depression": (0.2, 0.7)}
    ),
    "TWC": ConditionFacts((32.7, 15.3, 15.4, 10.2), "164934002", {"flat t": (0.5, 1.3)}),
    "TWO": ConditionFacts((2.7, 1.2, 1.4, 0.7), "59931005", {"inversion anterolateral": (0.7, 1.3)}),
    "UW": ConditionFacts((0.5, 0.1, 0.2, 0.1), "164937009", {"electrolytes": (0.5, 1.0)}),
    "VPB": ConditionFacts((7.5, 3.1, 1.0, 1.5), "17338001", {}),
    "VPE": ConditionFacts((0.2, 0.2, 0.1, 0.1), "195060002", {"preexcitation": (0.7, 1.2)}),
}
"""The commoner ones of the 56 conditions, each realised in the waveform (APB and VPB as premature beats)."""

_GROUPS = ("AFIB", "GSVT", "SB", "SR")
_PURPOSE = 1


def rhythm_of(indices: np.ndarray, seed: int) -> np.ndarray:
    """The rhythm (n,) of each row of the cohort, 0-based."""
    total = sum(facts.records for facts in RHYTHMS.values())
    shares = {name: max(facts.records / total, _RARE) for name, facts in RHYTHMS.items()}
    return spread_classes(shares, indices, seed)


def make_block(seed: int, block: int, noise: float = 1.0) -> Block:
    """Simulate rows `block * BLOCK` onwards.

    Args:
        noise: share of the recording's noise to keep; less than 1 as after denoising.

    Returns:
        rows: the columns of Diagnostics.xlsx and `snomed`, the `#Dx` list of the record's header.
    """
    rng = generator(_PURPOSE, seed, block)
    index = block * BLOCK + np.arange(BLOCK)
    rhythm = rhythm_of(index, seed)
    facts = [RHYTHMS[name] for name in rhythm]
    group = np.array([_GROUPS.index(CLASS_OF[name]) for name in rhythm])
    age, female = _people(facts, rng)
    conditions = _conditions(group, rng)
    hearts = normal_hearts(age, female, rng)
    findings.apply(hearts, _severities(conditions, rng).of)
    plan = _plan(facts, conditions, age, hearts.pr, rng)
    beats = make_rhythms(plan, SECONDS, rng)
    gain = np.exp(rng.normal(0, 0.5, BLOCK))
    waves = electrical_activity(hearts, beats, gain, rng)
    attributes = measure(hearts, beats, plan.kind, SECONDS, rng)
    signals = record(waves, hearts.leads, recording_conditions(BLOCK, rng).scaled(noise), rng)
    return Block(_rows(index, rhythm, conditions, age, female, attributes), signals)


def _people(facts: list[RhythmFacts], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    mean, sd = np.array([f.age for f in facts], dtype=float).T
    age = np.rint(bounded_normal(rng, mean, sd, np.full(len(facts), 3.6), np.full(len(facts), 98.4)))
    return age, rng.random(len(facts)) < np.array([f.female for f in facts])


def _conditions(group: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    """Which conditions each record has: (n, conditions) bool; they come together, in hearts that are ill."""
    percent = np.array([c.percent for c in CONDITIONS.values()])[:, group].T
    ill = np.exp(rng.normal(0, 0.7, (len(group), 1)) - 0.2)
    return pd.DataFrame(rng.random(percent.shape) * 100 < percent * ill, columns=list(CONDITIONS))


def _severities(conditions: pd.DataFrame, rng: np.random.Generator) -> Severities:
    severities = Severities(len(conditions))
    for name, facts in CONDITIONS.items():
        for finding, (least, most) in facts.shows.items():
            severity = rng.uniform(least, most, len(conditions))
            severities.demand(finding, slice(None), np.where(conditions[name], severity, 0.0))
    severities.demand("flat t", slice(None), rng.uniform(0, 0.25, len(conditions)))
    return severities


def _plan(
    facts: list[RhythmFacts],
    conditions: pd.DataFrame,
    age: np.ndarray,
    pr: np.ndarray,
    rng: np.random.Generator,
) -> Plan:
    n = len(facts)
    often = rng.choice([0.03, 0.1, 0.25], n, p=[0.5, 0.35, 0.15])
    return Plan(
        kind=np.array([f.kind for f in facts], dtype=object),
        rate=bounded_normal(rng, *np.array([f.rate for f in facts], dtype=float).T),
        pr=pr,
        age=age,
        premature_ventricular=np.where(conditions["VPB"], often, 0.0),
        premature_atrial=np.where(conditions["APB"], often, 0.0),
    )


def _rows(
    index: np.ndarray,
    rhythm: np.ndarray,
    conditions: pd.DataFrame,
    age: np.ndarray,
    female: np.ndarray,
    attributes: dict[str, np.ndarray],
) -> pd.DataFrame:
    present = [list(conditions.columns[flags]) for flags in conditions.to_numpy()]
    codes = [
        list(dict.fromkeys([RHYTHMS[r].snomed, *(CONDITIONS[c].snomed for c in has)]))
        for r, has in zip(rhythm, present, strict=True)
    ]
    columns = {
        "FileName": [f"MUSE_19000101_000000_{k + 1:05d}" for k in index],
        "Rhythm": rhythm,
        "Beat": [" ".join(has) or "NONE" for has in present],
        "PatientAge": age.astype(np.int64),
        "Gender": np.where(female, "FEMALE", "MALE"),
    }
    columns |= {name: attributes[name] for name in ATTRIBUTES}
    return pd.DataFrame(columns).assign(snomed=[",".join(c) for c in codes])
