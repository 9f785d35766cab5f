"""What the hearts of the cohort in the Challenge 2021's layout have, and which of it each database names.

Shares follow the Challenge's counts by database; the rarest classes are raised, and Ningbo's flutter, which
there holds fibrillation too, is lowered. A database names what it annotates, whatever else a heart has.
"""

from typing import NamedTuple

import numpy as np

from bench.data.simulator.chapman import RHYTHMS as CHAPMAN
from bench.data.simulator.chapman import RhythmFacts
from bench.data.simulator.cinc2021_databases import DATABASES

RHYTHMS: dict[str, RhythmFacts] = {
    "NSR": CHAPMAN["SR"],
    "AF": CHAPMAN["AFIB"],
    "AFL": CHAPMAN["AF"],
    "SB": CHAPMAN["SB"],
    "STach": CHAPMAN["ST"],
    "SA": CHAPMAN["SA"],
    "SVT": CHAPMAN["SVT"],
    "PR": RhythmFacts(0, "10370003", "paced", (70, 6, 58, 92), (74, 11), 0.42),
    "Brady": RhythmFacts(0, "426627000", "sinus", (49, 5, 34, 58), (62, 14), 0.40),
    "CHB": RhythmFacts(0, "426627000", "complete block", (42, 6, 28, 54), (70, 13), 0.45),
}
"""Rhythms by the Challenge's names; CHB, a block with its own slow rhythm, is named as bradycardia."""

RHYTHM_SHARES: dict[str, dict[str, float]] = {
    "cpsc": {"AF": 17.8, "AFL": 2, "SB": 7, "STach": 7, "SA": 3},
    "cpsc_extra": {"AF": 4.5, "AFL": 2, "SB": 3, "STach": 10, "SA": 1, "Brady": 12, "CHB": 4, "PR": 0.4},
    "stpetersburg": {"AF": 4, "STach": 14, "Brady": 8, "CHB": 4, "SA": 3},
    "ptb": {"AF": 3, "AFL": 1, "SB": 12, "STach": 4, "SA": 3},
    "ptbxl": {"AF": 6.9, "AFL": 1, "SB": 3.4, "STach": 4, "SA": 3.8, "PR": 1.8},
    "georgia": {"AF": 5.6, "AFL": 2.2, "SB": 16, "STach": 12, "SA": 4.5, "SVT": 0.5, "PR": 1.5, "Brady": 0.2},
    "chapman": {"AF": 17, "AFL": 4.5, "SB": 32, "STach": 15, "SVT": 5, "SA": 3.7},
    "ningbo": {"AF": 4, "AFL": 6, "SB": 33, "STach": 15.5, "SVT": 2, "SA": 7.3, "PR": 3, "Brady": 0.2},
}
"""Percent of each database's records with each rhythm; the rest is normal sinus rhythm."""


class ConditionFacts(NamedTuple):
    """A condition.

    Attributes:
        shows: findings, least and most severe.
        usual: percent of hearts that have it in databases that do not annotate it.
        percent: by database that annotates it.
    """

    shows: dict[str, tuple[float, float]]
    usual: float
    percent: dict[str, float]


def _percent(
    cpsc: float = 0,
    extra: float = 0,
    incart: float = 0,
    ptb: float = 0,
    ptbxl: float = 0,
    georgia: float = 0,
    chapman: float = 0,
    ningbo: float = 0,
) -> dict[str, float]:
    """Percents by database, those with none left out."""
    given = zip(DATABASES, (cpsc, extra, incart, ptb, ptbxl, georgia, chapman, ningbo), strict=True)
    return {name: percent for name, percent in given if percent}


CONDITIONS: dict[str, ConditionFacts] = {
    "IAVB": ConditionFacts({"slow node": (0.6, 1.5)}, 4, _percent(10.5, 3, 0, 0, 3.7, 7.4, 2.4, 2.6)),
    "LPR": ConditionFacts({"slow node": (0.45, 0.85)}, 1, _percent(ptbxl=3, chapman=0.7, ningbo=0.7)),
    "LBBB": ConditionFacts(
        {"left bundle block": (0.85, 1.0)}, 2, _percent(3.6, 1.2, 0, 0, 2.6, 2.4, 2.2, 0.9)
    ),
    "RBBB": ConditionFacts(
        {"right bundle block": (0.7, 1.2)}, 3.5, _percent(24, 3.4, 3, 0, 2.6, 5.5, 4.5, 3.7)
    ),
    "BBB left": ConditionFacts(
        {"left bundle block": (0.8, 1.0)}, 0, _percent(incart=1, ptb=8, georgia=1.1, ningbo=1)
    ),
    "BBB right": ConditionFacts(
        {"right bundle block": (0.7, 1.1)}, 0, _percent(incart=1, ptb=8, georgia=1.1, ningbo=1)
    ),
    "IRBBB": ConditionFacts({"right bundle block": (0.25, 0.5)}, 4, _percent(0, 2.5, 0, 0, 5.2, 4, 0, 0.8)),
    "NSIVCB": ConditionFacts(
        {"slow ventricle": (0.35, 1.0)}, 1.5, _percent(0, 0.2, 1, 0, 3.7, 2.2, 2.3, 1.6)
    ),
    "LAnFB": ConditionFacts(
        {"left anterior block": (0.8, 1.2)}, 2.5, _percent(ptbxl=6.5, georgia=2, ningbo=1.3)
    ),
    "LAD": ConditionFacts(
        {"axis left": (0.7, 1.2)}, 8, _percent(ptbxl=14, georgia=7.5, chapman=3.8, ningbo=3)
    ),
    "RAD": ConditionFacts(
        {"axis right": (0.7, 1.2)}, 2, _percent(extra=0.2, ptbxl=2.4, georgia=1.8, chapman=2.4, ningbo=2.4)
    ),
    "LQRSV": ConditionFacts(
        {"low voltage": (0.6, 1.1)}, 3, _percent(ptbxl=1.2, georgia=3.6, chapman=2.5, ningbo=2.4)
    ),
    "LQT": ConditionFacts(
        {"long qt": (0.8, 1.6)}, 3, _percent(extra=0.2, ptbxl=0.9, georgia=12, chapman=0.8, ningbo=1.2)
    ),
    "PRWP": ConditionFacts(
        {"scar anteroseptal": (0.35, 0.75), "clockwise": (0.4, 0.9)}, 2.5, _percent(ningbo=5.5)
    ),
    "QAb": ConditionFacts(
        {"scar inferior": (0.5, 1.1)}, 3, _percent(extra=0.2, ptbxl=2.7, georgia=4.5, chapman=2.4, ningbo=2.5)
    ),
    "TAb": ConditionFacts(
        {"flat t": (0.55, 1.3)}, 14, _percent(extra=0.8, ptbxl=10, georgia=20, chapman=17, ningbo=14)
    ),
    "TInv": ConditionFacts(
        {"inversion anterolateral": (0.7, 1.3)}, 5, _percent(0, 0.3, 1, 0, 1.6, 7.5, 1.8, 7.5)
    ),
    "PAC": ConditionFacts({}, 3, _percent(9, 4, 9, 0, 2.8, 6.2, 2.8, 3.3)),
    "PVC": ConditionFacts({}, 4, _percent(10, 5.7, 80, 0, 4.5, 3.6, 3, 3.3)),
    "STD": ConditionFacts({"st depression": (0.6, 1.4)}, 3, _percent(cpsc=10, ptbxl=4, chapman=3, ningbo=4)),
    "STE": ConditionFacts({"early repolarisation": (0.7, 1.2)}, 0.5, _percent(cpsc=3.2, ningbo=1.5)),
    "MI": ConditionFacts(
        {"scar anterior": (0.5, 1.2), "inversion anterior": (0.2, 0.9)},
        2,
        _percent(extra=15, ptb=60, ptbxl=9),
    ),
    "LVH": ConditionFacts(
        {"left hypertrophy": (0.5, 1.4)}, 5, _percent(extra=4, ptbxl=8, georgia=8, chapman=11, ningbo=6)
    ),
    "STTC": ConditionFacts(
        {"flat t": (0.4, 1.0), "st depression": (0.2, 0.7)}, 2, _percent(extra=35, georgia=8, chapman=5)
    ),
}
"""Conditions by the Challenge's names; BBB is of either side. STD to STTC are not scored."""

EXCLUSIVE = (
    ("LBBB", "RBBB", "BBB left", "BBB right", "IRBBB", "NSIVCB"),
    ("LAnFB", "LAD", "RAD"),
    ("IAVB", "LPR"),
)
"""Of each group a heart has only the first."""

WITHOUT: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("AF", "AFL", "SVT", "CHB"), ("IAVB", "LPR", "PAC")),
    "PR": (*EXCLUSIVE[0], *EXCLUSIVE[1], *EXCLUSIVE[2], "PRWP", "QAb", "PAC", "TInv"),
}
"""What cannot be seen in a rhythm."""

IMPLIED = {"LAnFB": "LAD"}
"""What is named beside a condition, where it is annotated."""

_CODES: dict[str, str] = {
    **{name: facts.snomed for name, facts in RHYTHMS.items()},
    "IAVB": "270492004",
    "LPR": "164947007",
    "LBBB": "164909002",
    "RBBB": "59118001",
    "BBB left": "6374002",
    "BBB right": "6374002",
    "IRBBB": "713426002",
    "NSIVCB": "698252002",
    "LAnFB": "445118002",
    "LAD": "39732003",
    "RAD": "47665007",
    "LQRSV": "251146004",
    "LQT": "111975006",
    "PRWP": "365413008",
    "QAb": "164917005",
    "TAb": "164934002",
    "TInv": "59931005",
    "PAC": "284470004",
    "PVC": "427172004",
    "STD": "429622005",
    "STE": "164931005",
    "MI": "164865005",
    "LVH": "164873001",
    "STTC": "428750005",
}

_ECTOPICS = "164884008"  # ventricular ectopics: how CPSC, INCART and PTB-XL name what is not scored as PVC

_OWN_CODES: dict[tuple[str, str], tuple[tuple[str, float], ...]] = {
    ("ningbo", "LBBB"): (("733534002", 0.86), ("164909002", 0.14)),
    ("cpsc_extra", "RBBB"): (("713427006", 1.0),),
    ("ptbxl", "RBBB"): (("713427006", 1.0),),
    ("ningbo", "RBBB"): (("713427006", 0.85), ("59118001", 0.15)),
    ("georgia", "RBBB"): (("59118001", 0.95), ("713427006", 0.05)),
    ("cpsc_extra", "PAC"): (("284470004", 0.58), ("63593006", 0.42)),
    ("stpetersburg", "PAC"): (("63593006", 1.0),),
    ("ptbxl", "PAC"): (("284470004", 0.72), ("63593006", 0.28)),
    ("cpsc", "PVC"): ((_ECTOPICS, 1.0),),
    ("stpetersburg", "PVC"): ((_ECTOPICS, 1.0),),
    ("ptbxl", "PVC"): ((_ECTOPICS, 1.0),),
    ("georgia", "PVC"): (("17338001", 1.0),),
    ("chapman", "PVC"): (("17338001", 1.0),),
    ("chapman", "LVH"): (("55827005", 1.0),),
    ("ningbo", "LVH"): (("55827005", 1.0),),
}
"""Codes with their shares where a database's are others: equivalent ones differ between databases."""

_RHYTHMS_NAMED: dict[str, tuple[str, ...]] = {
    "cpsc": ("NSR", "AF"),
    "cpsc_extra": ("NSR", "AF", "AFL", "SB", "STach", "SA", "Brady", "CHB", "PR"),
    "stpetersburg": ("AF", "STach", "SA", "Brady", "CHB"),
    "ptb": ("NSR", "AF", "AFL", "STach"),
    "ptbxl": ("NSR", "AF", "AFL", "SB", "STach", "SA", "PR"),
    "georgia": ("NSR", "AF", "AFL", "SB", "STach", "SA", "SVT", "Brady"),
    "chapman": ("NSR", "AF", "AFL", "SB", "STach", "SVT"),
    "ningbo": ("NSR", "AFL", "SB", "STach", "SA", "SVT", "Brady", "PR"),
}


def annotates(database: str, name: str) -> bool:
    """Whether a database names a rhythm or a condition at all."""
    if name in RHYTHMS:
        return name in _RHYTHMS_NAMED[database]
    facts = CONDITIONS[name]
    return database in facts.percent or name == DATABASES[database].else_named


def code(database: str, name: str, draw: float) -> str:
    """The SNOMED CT code by which a database names a rhythm or a condition.

    Args:
        draw: 0 to 1, chooses among several.
    """
    codes = _OWN_CODES.get((database, name), ((_CODES[name], 1.0),))
    edges = np.cumsum([share for _, share in codes])
    return codes[min(int(np.searchsorted(edges, draw, side="right")), len(codes) - 1)][0]
