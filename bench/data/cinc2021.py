"""Any folder of the PhysioNet/CinC Challenge 2021, whole or in part: any rate and length, SNOMED CT labels.

The source database of a record is told by its id (A, Q, I, S, HR, E, JS), or else by its folder.
"""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from bench.data.challenge import ChallengeHeader, missing_notes, scan_challenge
from bench.data.corpus import CorpusIndex, Note, RawRecord, Task, label_table, record_table, simulation
from bench.data.wfdb_record import read_wfdb

SOURCES: dict[str, int] = {
    "cpsc": 6_877,
    "cpsc_extra": 3_453,
    "stpetersburg": 74,
    "ptb": 516,
    "ptbxl": 21_837,
    "georgia": 10_344,
    "chapman": 10_247,
    "ningbo": 34_905,
}
"""The eight public source databases and their records; PTB-XL and Chapman bear our corpora's names."""

LAST_CHAPMAN = 10_646
"""JS00001 to JS10646 are Chapman-Shaoxing, the rest Ningbo."""

LICENCE = "CC BY 4.0"
CITATION = (
    "Reyna et al., Will two do? Varying dimensions in electrocardiography: the PhysioNet/Computing in"
    " Cardiology Challenge 2021, CinC 48 (2021); https://doi.org/10.13026/34va-7q14"
)

_ID = re.compile(r"^(A|Q|I|S|HR|E|JS)(\d+)$")
_BY_PREFIX = {"A": "cpsc", "Q": "cpsc_extra", "I": "stpetersburg", "S": "ptb", "HR": "ptbxl", "E": "georgia"}
_BY_FOLDER = {
    "cpsc2018": "cpsc",
    "cpsc20182": "cpsc_extra",
    "cpsc2018extra": "cpsc_extra",
    "stpetersburg": "stpetersburg",
    "stpetersburgincart": "stpetersburg",
    "ptb": "ptb",
    "ptbxl": "ptbxl",
    "ga": "georgia",
    "georgia": "georgia",
    "chapmanshaoxing": "chapman",
    "ningbo": "ningbo",
}


def source_of(record: str, path: str = "") -> str:
    """The source database of a record: a key of `SOURCES`, or 'unknown'.

    Args:
        record: record id.
        path: where it lies below the root; asked only when the id says nothing.
    """
    match = _ID.match(record)
    if match and match[1] == "JS":
        return "chapman" if int(match[2]) <= LAST_CHAPMAN else "ningbo"
    if match:
        return _BY_PREFIX[match[1]]
    folders = [re.sub(r"[^a-z0-9]", "", part.lower()).removeprefix("wfdb") for part in path.split("/")[:-1]]
    return next((_BY_FOLDER[folder] for folder in reversed(folders) if folder in _BY_FOLDER), "unknown")


@dataclass(frozen=True)
class CincReader:
    """Reads the Challenge's training data, any sources of it.

    Task `snomed` (multi): every code in `#Dx`, classes sorted. No patient ids are published: each record is
    its own patient.
    """

    def index(self, root: Path) -> CorpusIndex:
        """Read the comments of every header below `root`; see `Reader.index`."""
        headers, notes = scan_challenge(root)
        sources = [source_of(header.record, header.path) for header in headers]
        ages = [_known_age(header, source) for header, source in zip(headers, sources, strict=True)]
        sexes = [header.sex for header in headers]
        unknown = [h.record for h, source in zip(headers, sources, strict=True) if source == "unknown"]
        notes += [
            Note(record, "note", "neither id nor folder tells its source database") for record in unknown
        ]
        notes += missing_notes(ages, sexes)
        mark = simulation(root)
        name = mark.get("name", "cinc2021")
        return CorpusIndex(
            name=name,
            title=f"{name} ({len(headers):,} simulated records)" if mark else _title(sources),
            records=record_table(
                {
                    "record": [header.record for header in headers],
                    "age": ages,
                    "sex": sexes,
                    "source": sources,
                    "path": [header.path for header in headers],
                }
            ),
            labels=label_table((h.record, "snomed", code) for h in headers for code in h.codes),
            tasks={"snomed": Task("snomed", "multi", tuple(sorted({c for h in headers for c in h.codes})))},
            notes=tuple(notes),
            simulated=bool(mark),
            licence="" if mark else LICENCE,
            citation="" if mark else CITATION,
            facts={"records_by_source": dict(Counter(sources)), **mark},
        )

    def read(self, root: Path, path: str) -> RawRecord:
        """Read one record; see `Reader.read`."""
        return read_wfdb(root / path)


def _known_age(header: ChallengeHeader, source: str) -> float:
    """Ningbo writes 0 for an age nobody knows."""
    return float("nan") if source == "ningbo" and header.age == 0 else header.age


def _title(sources: list[str]) -> str:
    """'cinc2021 (46 of 88,253)', or 'cinc2021 (88,253)' when every source is complete."""
    total = sum(SOURCES.values())
    if Counter(sources) == SOURCES:
        return f"cinc2021 ({total:,})"
    return f"cinc2021 ({len(sources):,} of {total:,})"
