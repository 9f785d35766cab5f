"""The 26 classes the Challenge of 2021 scores, and the 30 SNOMED CT codes they are made of.

A class is positive when any of its codes is: four pairs of codes count as one class each. Their order is that of the
organisers' weights.csv (evaluation-2021), and so of every matrix over them.
"""

from collections import Counter
from collections.abc import Iterable

SCORED: dict[str, tuple[str, ...]] = {
    "AF": ("164889003",),
    "AFL": ("164890007",),
    "BBB": ("6374002",),
    "Brady": ("426627000",),
    "CLBBB|LBBB": ("733534002", "164909002"),
    "CRBBB|RBBB": ("713427006", "59118001"),
    "IAVB": ("270492004",),
    "IRBBB": ("713426002",),
    "LAD": ("39732003",),
    "LAnFB": ("445118002",),
    "LPR": ("164947007",),
    "LQRSV": ("251146004",),
    "LQT": ("111975006",),
    "NSIVCB": ("698252002",),
    "NSR": ("426783006",),
    "PAC|SVPB": ("284470004", "63593006"),
    "PR": ("10370003",),
    "PRWP": ("365413008",),
    "PVC|VPB": ("427172004", "17338001"),
    "QAb": ("164917005",),
    "RAD": ("47665007",),
    "SA": ("427393009",),
    "SB": ("426177001",),
    "STach": ("427084000",),
    "TAb": ("164934002",),
    "TInv": ("59931005",),
}
"""Codes by class, in the order of the names each is made of. CPSC's PVC, 164884008, is none of them."""


def by_code() -> dict[str, str]:
    """The scored class of each of the 30 codes."""
    return {code: name for name, codes in SCORED.items() for code in codes}


def scored(codes: Iterable[str]) -> tuple[str, ...]:
    """The scored classes of a record's codes, each once, in their order; () where none is scored."""
    carried = set(codes)
    return tuple(name for name, equivalent in SCORED.items() if carried.intersection(equivalent))


_DATABASES = ("cpsc", "cpsc_extra", "stpetersburg", "ptb", "ptbxl", "georgia", "chapman", "ningbo")

_COUNTS: dict[str, tuple[int, ...]] = {
    "AF": (1221, 153, 2, 15, 1514, 570, 1780, 0),
    "AFL": (0, 54, 0, 1, 73, 186, 445, 7615),
    "BBB": (0, 0, 1, 20, 0, 116, 0, 385),
    "Brady": (0, 271, 11, 0, 0, 6, 0, 7),
    "CLBBB|LBBB": (236, 38, 0, 0, 536, 231, 205, 248),
    "CRBBB|RBBB": (1857, 114, 2, 0, 542, 570, 454, 1291),
    "IAVB": (722, 106, 0, 0, 797, 769, 247, 893),
    "IRBBB": (0, 86, 0, 0, 1118, 407, 0, 246),
    "LAD": (0, 0, 0, 0, 5146, 940, 382, 1163),
    "LAnFB": (0, 0, 0, 0, 1626, 180, 0, 380),
    "LPR": (0, 0, 0, 0, 340, 0, 12, 40),
    "LQRSV": (0, 0, 0, 0, 182, 374, 249, 794),
    "LQT": (0, 4, 0, 0, 118, 1391, 57, 337),
    "NSIVCB": (0, 4, 1, 0, 789, 203, 235, 536),
    "NSR": (918, 4, 0, 80, 18092, 1752, 1826, 6299),
    "PAC|SVPB": (616, 126, 7, 0, 555, 640, 258, 1063),
    "PR": (0, 3, 0, 0, 296, 0, 0, 1182),
    "PRWP": (0, 0, 0, 0, 0, 0, 0, 638),
    "PVC|VPB": (0, 196, 0, 0, 0, 357, 294, 1091),
    "QAb": (0, 1, 0, 0, 548, 464, 235, 828),
    "RAD": (0, 1, 0, 0, 343, 83, 215, 638),
    "SA": (0, 11, 2, 0, 772, 455, 0, 2550),
    "SB": (0, 45, 0, 0, 637, 1677, 3889, 12670),
    "STach": (0, 303, 11, 1, 826, 1261, 1568, 5687),
    "TAb": (0, 22, 0, 0, 2345, 2306, 1876, 5167),
    "TInv": (0, 5, 1, 0, 294, 812, 157, 2720),
}


def published_positives(source: str) -> dict[str, int]:
    """How often each scored class is positive in a complete source database, as the organisers count it.

    Source: dx_mapping_scored.csv of evaluation-2021. A class of two codes has the sum of their counts, in which a
    record that carries both is twice.

    Args:
        source: one of the eight databases.
    """
    return {name: counts[_DATABASES.index(source)] for name, counts in _COUNTS.items()}


def count_positives(records: Iterable[Iterable[str]]) -> dict[str, int]:
    """The same count over the codes of some records: of each code once a record, summed over a class's codes."""
    seen = Counter(code for codes in records for code in set(codes))
    return {name: sum(seen[code] for code in equivalent) for name, equivalent in SCORED.items()}
