"""Any folder of the PhysioNet/CinC Challenge 2021, whole or in part: any rate and length, SNOMED CT labels.

The source database of a record is told by its id (A, Q, I, S, HR, E, JS), or else by its folder.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.data.challenge import ChallengeHeader, enumerate_ids, missing_notes, scan_challenge
from bench.data.challenge_classes import SCORED, count_positives, published_positives, scored
from bench.data.challenge_patients import find_patients, ptbxl_table
from bench.data.corpus import (
    CorpusError,
    CorpusIndex,
    Note,
    RawRecord,
    Task,
    label_table,
    record_table,
    simulation,
)
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

CPSC9: dict[str, str] = {
    "164889003": "AF",
    "270492004": "I-AVB",
    "164909002": "LBBB",
    "426783006": "Normal",
    "284470004": "PAC",
    "164884008": "PVC",
    "59118001": "RBBB",
    "429622005": "STD",
    "164931005": "STE",
}
"""The nine labels of CPSC 2018 by their SNOMED CT code; there are no others in that source."""

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

    Tasks, all multi: `snomed`, every code in `#Dx`, classes sorted; `scored26`, the 26 classes the Challenge scores
    (`challenge_classes`), for which every record is labelled; and where there are records of CPSC 2018, `cpsc9`, of
    these alone: PhysioNet 2020's nine labels (`CPSC9`). Patients are known for PTB-XL's records, where PTB-XL's table
    lies with them or beside (`challenge_patients`); each other record is its own patient.

    Attributes:
        sources: source databases to read, of `SOURCES`; none named: all, and records of unknown source too.
        name: the corpus's name in tables. PTB-XL's and Chapman's, whose records have other ids here, are theirs.
    """

    sources: tuple[str, ...] = ()
    name: str = "cinc2021"

    def __post_init__(self) -> None:
        unknown = [source for source in self.sources if source not in SOURCES]
        if unknown:
            raise CorpusError(f"no source database {unknown[0]!r}; there are: {', '.join(SOURCES)}")

    def index(self, root: Path) -> CorpusIndex:
        """Read the comments of every header below `root`; see `Reader.index`."""
        headers, notes = self._scan(root)
        sources = [source_of(header.record, header.path) for header in headers]
        ages = [_known_age(header, source) for header, source in zip(headers, sources, strict=True)]
        sexes = [header.sex for header in headers]
        unknown = [h.record for h, source in zip(headers, sources, strict=True) if source == "unknown"]
        notes += [
            Note(record, "note", "neither id nor folder tells its source database") for record in unknown
        ]
        notes += missing_notes(ages, sexes)
        mark = simulation(root)
        patients = [header.record for header in headers]
        if not mark:
            patients, said = find_patients(headers, sources, root)
            notes += said + _census(headers, sources)
        cpsc = [header for header, source in zip(headers, sources, strict=True) if source == "cpsc"]
        notes += _strange_codes(cpsc)
        name = mark.get("name", self.name)
        return CorpusIndex(
            name=name,
            title=f"{name} ({len(headers):,} simulated records)" if mark else self._title(sources),
            records=record_table(
                {
                    "record": [header.record for header in headers],
                    "patient": patients,
                    "age": ages,
                    "sex": sexes,
                    "source": sources,
                    "path": [header.path for header in headers],
                }
            ),
            labels=label_table(_labels(headers, cpsc)),
            tasks=_tasks(headers, cpsc),
            notes=tuple(notes),
            simulated=bool(mark),
            licence="" if mark else LICENCE,
            citation="" if mark else CITATION,
            facts={"records_by_source": dict(Counter(sources)), **mark},
        )

    def read(self, root: Path, path: str) -> RawRecord:
        """Read one record; see `Reader.read`."""
        return read_wfdb(root / path)

    def beside(self, root: Path) -> tuple[Path, ...]:
        """Files outside the folder that the index depends on; see `prepare.ReadsBeside`."""
        table = None if self.sources and "ptbxl" not in self.sources else ptbxl_table(root)
        return () if table is None else (table,)

    def _scan(self, root: Path) -> tuple[list[ChallengeHeader], list[Note]]:
        """The headers of the wanted sources, with their notes."""
        headers, notes = scan_challenge(root)
        if not self.sources:
            return headers, notes
        wanted = [header for header in headers if source_of(header.record, header.path) in self.sources]
        if not wanted:
            raise CorpusError(
                f"no record of {', '.join(self.sources)} below {root}; give the folder that holds them"
            )
        others = sorted({header.record for header in headers} - {header.record for header in wanted})
        notes = [note for note in notes if self._concerns(note, frozenset(others))]
        if others:
            reason = f"of other sources, no part of this corpus: {enumerate_ids(others)} left out"
            notes.append(Note("", "note", reason))
        return wanted, notes

    def _concerns(self, note: Note, others: frozenset[str]) -> bool:
        """Is a note of the scan on the folder, a wanted record, or one that might be (it has no header)?"""
        return note.record not in others and source_of(note.record) in (*self.sources, "unknown")

    def _title(self, sources: list[str]) -> str:
        """'cpsc (14 of 6,877)', or 'cpsc (6,877)' when every source is complete."""
        whole = {source: SOURCES[source] for source in self.sources or SOURCES}
        total = sum(whole.values())
        if Counter(sources) == whole:
            return f"{self.name} ({total:,})"
        return f"{self.name} ({len(sources):,} of {total:,})"


def _known_age(header: ChallengeHeader, source: str) -> float:
    """Ningbo writes 0 for an age nobody knows, PTB-XL 300 for one above 89."""
    if source == "ningbo" and header.age == 0:
        return float("nan")
    return 90.0 if source == "ptbxl" and header.age == 300 else header.age


def _census(headers: Sequence[ChallengeHeader], sources: Sequence[str]) -> list[Note]:
    """Which source databases are complete, and whether these have the published positives of the scored classes."""
    counts = Counter(source for source in sources if source in SOURCES)
    whole = [source for source in SOURCES if counts[source] == SOURCES[source]]
    parts = [
        f"{name} {counts[name]:,} of {SOURCES[name]:,}"
        for name in SOURCES
        if 0 < counts[name] != SOURCES[name]
    ]
    notes = [Note("", "note", f"source databases in part: {', '.join(parts)}")] if parts else []
    for source in whole:
        theirs = (header.codes for header, own in zip(headers, sources, strict=True) if own == source)
        found, published = count_positives(theirs), published_positives(source)
        others = [
            f"{name} {found[name]:,} (published: {published[name]:,})"
            for name in SCORED
            if found[name] != published[name]
        ]
        what = f"other positives than published: {', '.join(others)}" if others else "positives as published"
        notes.append(Note("", "note", f"{source} is complete, {counts[source]:,} records; {what}"))
    return notes


def _labels(
    headers: Iterable[ChallengeHeader], cpsc: Iterable[ChallengeHeader]
) -> Iterator[tuple[str, str, str]]:
    """(record, task, label) of every task."""
    for header in headers:
        yield from ((header.record, "snomed", code) for code in header.codes)
        yield from ((header.record, "scored26", name) for name in scored(header.codes))
    for header in cpsc:
        yield from ((header.record, "cpsc9", CPSC9[code]) for code in header.codes if code in CPSC9)


def _tasks(headers: Iterable[ChallengeHeader], cpsc: Sequence[ChallengeHeader]) -> dict[str, Task]:
    codes = {code for header in headers for code in header.codes}
    tasks = {
        "snomed": Task("snomed", "multi", tuple(sorted(codes))),
        "scored26": Task("scored26", "multi", tuple(SCORED), every=True),
    }
    return tasks | ({"cpsc9": Task("cpsc9", "multi", tuple(CPSC9.values()))} if cpsc else {})


def _strange_codes(cpsc: Iterable[ChallengeHeader]) -> list[Note]:
    """One line for each code of CPSC's records that is none of its nine."""
    found: dict[str, list[str]] = {}
    for header in cpsc:
        for code in header.codes:
            if code not in CPSC9:
                found.setdefault(code, []).append(header.record)
    return [
        Note("", "note", f"code {code} is no label of cpsc9, in {enumerate_ids(records)}")
        for code, records in sorted(found.items())
    ]
