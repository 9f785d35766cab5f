"""Challenge headers: finding every record below a folder, and the patient and codes in a header's comments.

CincReader and ChapmanReader share it. Only comments are read here; `wfdb_record` reads the signals later.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.data.corpus import CorpusError, Note

_COMMENT = re.compile(r"^[ \t]*#[ \t]*(age|sex|dx)[ \t]*:[ \t]*(.*?)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
PTBXL_TABLE = "ptbxl_database.csv"
"""A folder that holds it is PTB-XL as PhysioNet publishes it, with signals of its own."""

_LOWER_CASE_UNIT = re.compile(r"^[^#\n]*/mv\s", re.MULTILINE)
_SEXES = {"male": "male", "m": "male", "female": "female", "f": "female"}


@dataclass(frozen=True)
class ChallengeHeader:
    """What a Challenge header says about a record.

    Attributes:
        record: record id: the stem of the signal file.
        path: the header below the root, without extension, '/'-separated.
        age: years, NaN unknown.
        sex: 'male', 'female' or ''.
        codes: SNOMED CT codes of `#Dx` in their order, each once.
    """

    record: str
    path: str
    age: float
    sex: str
    codes: tuple[str, ...]


def scan_challenge(root: Path) -> tuple[list[ChallengeHeader], list[Note]]:
    """Read the comments of every header below a folder.

    Returns:
        Headers sorted by record id, and what was wrong with them. A record found twice is kept once.

    Raises:
        CorpusError: there is no header at all.
    """
    headers: dict[str, ChallengeHeader] = {}
    notes: list[Note] = []
    lower_case: list[str] = []
    for path, record in _header_files(root, notes):
        try:
            text = path.read_text(encoding="ascii", errors="ignore")
        except OSError as error:
            notes.append(Note(record, "rejected", f"header {path.name} cannot be read ({error.strerror})"))
            continue
        header = _parse(text, record, path.relative_to(root).with_suffix("").as_posix(), notes)
        if record in headers:
            notes.append(Note(record, "rejected", f"{header.path} repeats the id of {headers[record].path}"))
            continue
        headers[record] = header
        if _LOWER_CASE_UNIT.search(text):
            lower_case.append(record)
    if not headers:
        raise CorpusError(f"no .hea file below {root}; give the folder that holds the records")
    if lower_case:
        notes.append(Note("", "note", f"unit written 'mv', read as mV, in {enumerate_ids(lower_case)}"))
    return [headers[record] for record in sorted(headers)], notes


def enumerate_ids(records: list[str], shown: int = 5) -> str:
    """'7 records (A1, A2, A3, A4, A5, ...)'."""
    plural = "record" if len(records) == 1 else "records"
    more = ", ..." if len(records) > shown else ""
    return f"{len(records):,} {plural} ({', '.join(records[:shown])}{more})"


def _header_files(root: Path, notes: list[Note]) -> Iterator[tuple[Path, str]]:
    """Every header with its record id, folder by folder; signal files without header are noted."""
    for folder, names, files in os.walk(root):
        names.sort()
        if PTBXL_TABLE in files and folder != str(root):
            names.clear()
            notes.append(
                Note("", "note", f"{os.path.relpath(folder, root)} is PTB-XL itself, no part of this corpus")
            )
            continue
        stems = {name[:-4] for name in files if name.endswith(".hea")}
        orphans = {name[:-4] for name in files if name.endswith(".mat")} - stems
        for stem in sorted(stems):
            record = stem
            if f"{stem}.mat" not in files:
                record = next((orphan for orphan in orphans if orphan.endswith(stem)), stem)
            if record != stem:
                orphans.discard(record)
                notes.append(Note(record, "repaired", f"header is misnamed {stem}.hea"))
            yield Path(folder, f"{stem}.hea"), record
        notes.extend(Note(stem, "rejected", "signal file without header") for stem in sorted(orphans))


def _parse(text: str, record: str, path: str, notes: list[Note]) -> ChallengeHeader:
    fields = {key.lower(): value for key, value in _COMMENT.findall(text)}
    codes = [code.strip() for code in fields.get("dx", "").split(",")]
    once = tuple(dict.fromkeys(code for code in codes if code))
    if codes != [""] and len(once) < len(codes):
        notes.append(Note(record, "repaired", f"empty or doubled code in #Dx ({fields['dx']})"))
    if not once:
        notes.append(Note(record, "note", "no code in #Dx"))
    sex = _SEXES.get(fields.get("sex", "").lower(), "")
    return ChallengeHeader(record, path, _age(fields.get("age", "")), sex, once)


def _age(text: str) -> float:
    """Years; NaN where the header has none ('NaN', empty, or a negative number)."""
    try:
        age = float(text)
    except ValueError:
        return float("nan")
    return age if age >= 0 else float("nan")


def missing_notes(ages: list[float], sexes: list[str]) -> list[Note]:
    """One line each for the number of records without age and without sex."""
    counts = Counter({"age": sum(age != age for age in ages), "sex": sexes.count("")})
    return [
        Note("", "note", f"{name} missing in {count:,} records") for name, count in counts.items() if count
    ]
