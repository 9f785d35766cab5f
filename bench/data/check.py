"""What is wrong with a folder of ECGs, without preparing it: `leadboard data check FOLDER`."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from bench.data.challenge import PTBXL_TABLE
from bench.data.chapman import SHEET, ChapmanReader
from bench.data.cinc2021 import LAST_CHAPMAN, CincReader
from bench.data.condition import examine
from bench.data.corpus import CorpusError, CorpusIndex, Note, Reader, rejection
from bench.data.folder import TABLE, FolderReader
from bench.data.ptbxl import PtbxlReader
from bench.data.shared import Seen, overlap_notes

Skip = Callable[[Path], bool]
"""Is a record, by its path, to be left out with its notes?"""

Look = Callable[[str, np.ndarray, float], None]
"""Called with every sound record: id, (samples, 12) millivolts, Hz."""


def detect_reader(root: Path) -> Reader:
    """The reader of the layout a folder holds.

    A Challenge folder may hold PTB-XL's table, which tells patients there; PTB-XL itself has its signals too.

    Raises:
        CorpusError: none is recognised; the message says what was looked for.
    """
    if not root.is_dir():
        raise CorpusError(f"no folder {root}; give the folder that holds the corpus")
    headers = next(root.rglob("*.hea"), None)
    own = any((root / f"records{rate}").is_dir() for rate in (100, 500))
    if (root / PTBXL_TABLE).is_file() and (own or not headers):
        return PtbxlReader()
    if (root / SHEET).is_file():
        return ChapmanReader()
    if (root / TABLE).is_file():
        return FolderReader()
    if headers:
        return CincReader()
    raise CorpusError(
        f"{root} holds no corpus known here; looked for {PTBXL_TABLE} (PTB-XL), {SHEET} (Chapman),"
        f" {TABLE} (your own; see bench/data/folder.py) and *.hea below (Challenge 2021)"
    )


def check_folder(root: Path) -> list[tuple[Path, str, list[Note]]]:
    """Check every corpus in a folder: the one it holds, or those its sub-folders do.

    Records that lie in Chapman's folder and are not Chapman's (Ningbo's, say) are checked as the Challenge's. Of
    several corpora it is said which records they share.

    Returns:
        (folder, title, notes) of each corpus, and last of the whole folder, where corpora in it share records.

    Raises:
        CorpusError: nothing is recognised, or a corpus's tables cannot be read.
    """
    places = list(_corpora(root))
    found: list[tuple[Path, str, list[Note]]] = []
    corpora: list[Seen] = []
    for place in places:
        for reader, skip in _readers(place):
            index = reader.index(place)
            nobody = index.simulated or isinstance(reader, FolderReader)  # whose ids say nothing
            seen = Seen(place.relative_to(root).as_posix(), "" if nobody else index.name)
            notes = _read_all(reader, place, index, skip, seen.add if len(places) > 1 else None)
            found.append((place, _beside(index, skip) if skip else index.title, notes))
            corpora.append(seen)
    shared = list(overlap_notes(corpora))
    return [*found, (root, "its corpora share records", shared)] if shared else found


def _corpora(root: Path) -> Iterator[Path]:
    """The folders that hold one corpus each."""
    inside = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    if _has_table(root) or not any(_has_table(path) for path in inside):
        yield root
        return
    for path in inside:
        if _has_table(path) or next(path.rglob("*.hea"), None):
            yield from _corpora(path)


def _readers(place: Path) -> Iterator[tuple[Reader, Skip | None]]:
    """How to read a folder; a second time as the Challenge's, where others lie beside Chapman's records."""
    reader = detect_reader(place)
    yield reader, None
    if isinstance(reader, ChapmanReader) and not all(map(_is_chapman, place.rglob("*.hea"))):
        yield CincReader(), _is_chapman


def _beside(index: CorpusIndex, skip: Skip) -> str:
    others = sum(not skip(Path(path)) for path in index.records["path"])
    return f"{others:,} records beside Chapman's, read as the Challenge's"


def _has_table(root: Path) -> bool:
    return any((root / name).is_file() for name in (PTBXL_TABLE, SHEET, TABLE))


def _is_chapman(path: Path) -> bool:
    number = path.stem.removeprefix("JS")
    return number.isdigit() and int(number) <= LAST_CHAPMAN


def check_corpus(reader: Reader, root: Path) -> tuple[str, list[Note]]:
    """Read every record of a folder and say what is wrong, one line a defect.

    Returns:
        The corpus's title and the notes a preparation would report, except those on resampling.

    Raises:
        CorpusError: the tables themselves cannot be read.
    """
    index = reader.index(root)
    return index.title, _read_all(reader, root, index)


def _read_all(
    reader: Reader, root: Path, index: CorpusIndex, skip: Skip | None = None, look: Look | None = None
) -> list[Note]:
    """The notes on an indexed folder, every record of it read."""
    places = list(zip(index.records["record"], index.records["path"], strict=True))
    left_out = {record for record, path in places if skip and skip(Path(path))}
    notes = [note for note in index.notes if note.record not in left_out]
    first_with: dict[bytes, str] = {}
    for record, path in places:
        if record in left_out:
            continue
        try:
            raw = reader.read(root, path)
            signal, found = examine(record, raw)
        except Exception as error:  # a damaged file may raise anything; the check goes on
            notes.append(rejection(record, error))
            continue
        notes.extend(found)
        first = first_with.setdefault(hashlib.sha256(np.ascontiguousarray(signal).tobytes()).digest(), record)
        if first != record:
            notes.append(Note(record, "note", f"same signal as record {first}"))
        if look:
            look(record, signal, raw.rate)
    return notes
