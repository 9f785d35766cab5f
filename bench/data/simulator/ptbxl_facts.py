"""What the PTB-XL-like cohort is made of: how often its statements occur and what each one shows.

Frequencies are those of PTB-XL (counts of release 1.0.3; weights of codes from its test fold).
"""

from dataclasses import dataclass, field

import numpy as np

from bench.data.simulator.blocks import pick
from bench.data.simulator.statements import STATEMENTS

SUPERCLASS_SETS: dict[str, float] = {
    "NORM": 9069,
    "MI": 2532,
    "STTC": 2400,
    "CD": 1708,
    "CD+MI": 1297,
    "HYP+STTC": 781,
    "MI+STTC": 599,
    "HYP": 535,
    "CD+STTC": 471,
    "": 411,
    "CD+NORM": 407,
    "HYP+MI+STTC": 361,
    "CD+HYP": 300,
    "CD+MI+STTC": 236,
    "CD+HYP+STTC": 210,
    "HYP+MI": 175,
    "CD+HYP+MI+STTC": 157,
    "CD+HYP+MI": 112,
    "NORM+STTC": 20,
    "HYP+NORM": 18,
}
"""Records with each set of superclasses. From CD+MI+STTC on the counts are not published: they are those that
make every superclass's total the real one."""

Shows = dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Diagnosis:
    """A diagnostic statement.

    Attributes:
        weight: how often it is the one chosen for its superclass.
        shows: finding -> severity at the least and at the greatest extent.
        sure: how sure the reader is: 1 always writes 100.
        rhythm: a rhythm that comes with it, a key of `RHYTHMS`.
    """

    weight: float
    shows: Shows
    sure: float = 0.9
    rhythm: str = ""

    def likelihood(self, extent: float, rng: np.random.Generator) -> float:
        """The likelihood written beside the statement, 15 to 100."""
        certainty = self.sure + 0.5 * (extent - 0.5) + rng.normal(0, 0.15)
        return float(
            np.array([15.0, 35.0, 50.0, 80.0, 100.0])[np.searchsorted([0.2, 0.32, 0.5, 0.62], certainty)]
        )


def _infarct(wall: str, weight: float, also: str = "") -> Diagnosis:
    shows: Shows = {
        f"scar {wall}": (0.35, 1.25),
        f"inversion {wall}": (0.1, 0.9),
        f"injury {wall}": (0.0, 0.35),
    }
    if also:
        shows[f"scar {also}"] = (0.3, 1.0)
    return Diagnosis(weight, shows, sure=0.5)


DIAGNOSES: dict[str, Diagnosis] = {
    "NORM": Diagnosis(1, {}, sure=0.85),
    "IMI": _infarct("inferior", 268),
    "ASMI": _infarct("anteroseptal", 236),
    "ILMI": _infarct("inferolateral", 48),
    "AMI": _infarct("anterior", 36),
    "ALMI": _infarct("anterolateral", 29),
    "LMI": _infarct("lateral", 20),
    "IPLMI": _infarct("inferolateral", 5, "posterior"),
    "IPMI": _infarct("inferior", 4, "posterior"),
    "PMI": _infarct("posterior", 2),
    "INJAS": Diagnosis(21, {"subendocardial injury anteroseptal": (0.4, 1.2)}),
    "INJAL": Diagnosis(15, {"subendocardial injury anterolateral": (0.4, 1.2)}),
    "INJIN": Diagnosis(2, {"subendocardial injury inferior": (0.4, 1.2)}),
    "INJLA": Diagnosis(2, {"subendocardial injury lateral": (0.4, 1.2)}),
    "INJIL": Diagnosis(2, {"subendocardial injury inferolateral": (0.4, 1.2)}),
    "NDT": Diagnosis(183, {"flat t": (0.45, 1.15)}),
    "ISC_": Diagnosis(127, {"st depression": (0.25, 1.0), "strain": (0.25, 1.0)}),
    "NST_": Diagnosis(77, {"st depression": (0.25, 0.9), "flat t": (0.2, 0.7)}),
    "ISCAL": Diagnosis(66, {"inversion anterolateral": (0.45, 1.2), "st depression": (0.0, 0.5)}),
    "ISCIN": Diagnosis(22, {"inversion inferior": (0.45, 1.2)}),
    "DIG": Diagnosis(18, {"digitalis": (0.5, 1.3)}),
    "ISCIL": Diagnosis(18, {"inversion inferolateral": (0.45, 1.2)}),
    "ISCAS": Diagnosis(17, {"inversion anteroseptal": (0.5, 1.3)}),
    "ISCLA": Diagnosis(14, {"inversion lateral": (0.45, 1.2)}),
    "LNGQT": Diagnosis(12, {"long qt": (0.7, 1.8)}),
    "ANEUR": Diagnosis(10, {"aneurysm": (0.6, 1.2)}),
    "EL": Diagnosis(10, {"electrolytes": (0.5, 1.3)}),
    "ISCAN": Diagnosis(5, {"inversion anterior": (0.5, 1.2)}),
    "LAFB": Diagnosis(163, {"left anterior block": (0.65, 1.2)}),
    "IRBBB": Diagnosis(112, {"right bundle block": (0.25, 0.5)}),
    "1AVB": Diagnosis(80, {"slow node": (0.5, 1.6)}),
    "IVCD": Diagnosis(79, {"slow ventricle": (0.3, 0.95)}),
    "CRBBB": Diagnosis(55, {"right bundle block": (0.75, 1.2)}),
    "CLBBB": Diagnosis(54, {"left bundle block": (0.85, 1.1)}),
    "LPFB": Diagnosis(18, {"left posterior block": (0.7, 1.2)}),
    "WPW": Diagnosis(8, {"preexcitation": (0.7, 1.3)}),
    "ILBBB": Diagnosis(8, {"left bundle block": (0.35, 0.6)}),
    "3AVB": Diagnosis(2, {"slow ventricle": (0.3, 1.0)}, rhythm="escape"),
    "2AVB": Diagnosis(1, {"slow node": (0.0, 0.6)}, rhythm="dropped"),
    "LVH": Diagnosis(213, {"left hypertrophy": (0.55, 1.5), "strain": (0.0, 0.3)}),
    "LAO/LAE": Diagnosis(43, {"left atrium": (0.6, 1.5)}),
    "RVH": Diagnosis(12, {"right hypertrophy": (0.5, 1.1)}),
    "RAO/RAE": Diagnosis(10, {"right atrium": (0.7, 1.5)}),
    "SEHYP": Diagnosis(3, {"septal hypertrophy": (0.6, 1.2)}),
}
"""Diagnostic statements by code; together with FORMS and RHYTHMS they are the ones that occur."""

_SECOND = {"CD": ("1AVB", "LAFB", "IVCD"), "HYP": ("LAO/LAE",), "STTC": ("NDT", "ISCAL")}
"""What may join another statement of the same superclass, in one record of six."""

_HARMLESS = ("IRBBB", "1AVB", "IVCD")
"""Conduction disturbances that readers write beside 'normal ECG'."""


def choose_diagnoses(superclasses: str, rng: np.random.Generator) -> list[str]:
    """Diagnostic codes of a patient with this set of superclasses ('CD+MI'; '' has none)."""
    names = superclasses.split("+") if superclasses else []
    codes: list[str] = []
    for name in names:
        weights = {c: d.weight for c, d in DIAGNOSES.items() if STATEMENTS[c].superclass == name}
        if name == "CD" and "NORM" in names:
            weights = {code: weights[code] for code in _HARMLESS}
        codes.append(pick(rng, weights, 1)[0])
        second = [c for c in _SECOND.get(name, ()) if c != codes[-1] and "NORM" not in names]
        if second and rng.random() < 1 / 6:
            codes.append(second[rng.integers(len(second))])
    return codes


@dataclass(frozen=True)
class Form:
    """A form statement: its chance by itself and beside certain diagnoses, and what it shows of its own."""

    chance: float
    with_code: dict[str, float] = field(default_factory=dict)
    shows: Shows = field(default_factory=dict)


FORMS: dict[str, Form] = {
    "PVC": Form(0.045, {"AFIB": 0.03}),
    "PAC": Form(0.017),
    "ABQRS": Form(0.02, {"IMI": 0.35, "ASMI": 0.35, "IVCD": 0.4, "IRBBB": 0.25, "LAFB": 0.2, "ILMI": 0.3}),
    "QWAVE": Form(0.004, {"IMI": 0.12, "ASMI": 0.10, "ILMI": 0.10}, {"septal hypertrophy": (0.2, 0.5)}),
    "STD_": Form(0.005, {"ISC_": 0.25, "NST_": 0.3, "ISCAL": 0.2}, {"st depression": (0.3, 0.7)}),
    "INVT": Form(0.0, {"ISCAL": 0.12, "ISCIN": 0.15, "ISCAS": 0.2, "ISC_": 0.03}),
    "LOWT": Form(0.008, {"NDT": 0.10}, {"flat t": (0.5, 0.9)}),
    "NT_": Form(0.008, {"NDT": 0.08, "NST_": 0.05}, {"flat t": (0.4, 0.9)}),
    "TAB_": Form(0.001, {}, {"inversion anterior": (0.4, 0.9)}),
    "STE_": Form(0.001, {}, {"early repolarisation": (0.6, 1.1)}),
    "VCLVH": Form(0.008, {"LVH": 0.22}, {"high voltage": (0.2, 0.6)}),
    "HVOLT": Form(0.002, {"LVH": 0.01}, {"high voltage": (0.4, 0.9)}),
    "LVOLT": Form(0.008, {}, {"low voltage": (0.6, 1.1)}),
    "LPR": Form(0.004, {"1AVB": 0.25}, {"slow node": (0.4, 0.8)}),
}
"""Form statements by code; always written with likelihood 0."""


@dataclass(frozen=True)
class RhythmStatement:
    """A rhythm.

    Attributes:
        rate: bpm: mean, SD, least, most.
        weight: how often normal and other ECGs have it.
        stated: whether a statement names it.
        every: every so many beats are premature (bigeminy 2); 0 otherwise.
    """

    kind: str
    rate: tuple[float, float, float, float]
    weight: tuple[float, float]
    stated: bool = True
    every: int = 0
    shows: tuple[str, ...] = ()


RHYTHMS: dict[str, RhythmStatement] = {
    "SR": RhythmStatement("sinus", (69, 11, 55, 100), (84, 71)),
    "SARRH": RhythmStatement("sinus arrhythmia", (68, 10, 50, 95), (5.0, 2.4)),
    "SBRAD": RhythmStatement("sinus", (53, 5, 38, 59), (3.5, 2.6)),
    "STACH": RhythmStatement("sinus", (104, 13, 100, 150), (2.5, 5.0)),
    "AFIB": RhythmStatement("fibrillation", (86, 22, 45, 165), (0.8, 11.8)),
    "PACE": RhythmStatement("paced", (70, 6, 58, 92), (0.0, 2.0), shows=("paced",)),
    "SVARR": RhythmStatement("wandering", (75, 13, 55, 110), (0.4, 1.0)),
    "AFLT": RhythmStatement("flutter", (100, 30, 55, 150), (0.0, 0.7)),
    "BIGU": RhythmStatement("sinus", (74, 10, 58, 100), (0.15, 0.6), every=2),
    "TRIGU": RhythmStatement("sinus", (74, 10, 58, 100), (0.05, 0.15), every=3),
    "SVTAC": RhythmStatement("reentry", (160, 20, 130, 210), (0.0, 0.25)),
    "PSVT": RhythmStatement("node reentry", (170, 20, 140, 220), (0.0, 0.25)),
    "unstated": RhythmStatement("sinus", (70, 12, 52, 104), (3.5, 3.5), stated=False),
    "escape": RhythmStatement("complete block", (39, 6, 28, 52), (0, 0), stated=False),
    "dropped": RhythmStatement("dropped beats", (78, 10, 60, 100), (0, 0), stated=False),
}
"""Rhythm statements by code, and three rhythms of records without one."""


def rhythm_weights(superclasses: str) -> dict[str, float]:
    """Rhythm -> weight for a patient with this set of superclasses."""
    ill = 0 if "NORM" in superclasses else 1
    return {name: facts.weight[ill] for name, facts in RHYTHMS.items()}
