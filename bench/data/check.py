"""What is wrong with a folder of ECGs, without preparing it: `leadboard data check FOLDER`."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.data.chapman import SHEET, ChapmanReader
from bench.data.cinc2021 import LAST_CHAPMAN, CincReader
from bench.data.condition import examine
from bench.data.corpus import CorpusError, Note, Reader, rejection
from bench.data.folder import TABLE, FolderReader
from bench.data.ptbxl import PtbxlReader


def detect_reader(root: Path) -> Reader:
    """The reader of the layout a folder holds.

    Raises:
        CorpusError: none is recognised; the message says what was looked for.
    """
    if not root.is_dir():
        raise CorpusError(f"no folder {root}; give the folder that holds the corpus")
    if (root / "ptbxl_database.csv").is_file():
        return PtbxlReader()
    if (root / SHEET).is_file():
        return ChapmanReader()
    if (root / TABLE).is_file():
        return FolderReader()
    if next(root.rglob("*.hea"), None):
        return CincReader()
    raise CorpusError(
        f"{root} holds no corpus known here; looked for ptbxl_database.csv (PTB-XL), {SHEET} (Chapman),"
        f" {TABLE} (your own; see bench/data/folder.py) and *.hea below (Challenge 2021)"
    )


def check_folder(root: Path) -> list[tuple[Path, str, list[Note]]]:
    """Check every corpus in a folder: the one it holds, or those its sub-folders do.

    Records that lie in Chapman's folder and are not Chapman's (Ningbo's, say) are checked as the Challenge's.

    Returns:
        (folder, title, notes) of each corpus.

    Raises:
        CorpusError: nothing is recognised, or a corpus's tables cannot be read.
    """
    inside = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    if not _has_table(root) and any(_has_table(path) for path in inside):
        known = [path for path in inside if _has_table(path) or next(path.rglob("*.hea"), None)]
        return [checked for path in known for checked in check_folder(path)]
    reader = detect_reader(root)
    checked = [(root, *check_corpus(reader, root))]
    others = sum(not _is_chapman(path) for path in root.rglob("*.hea"))
    if isinstance(reader, ChapmanReader) and others:
        _, notes = check_corpus(CincReader(), root, _is_chapman)
        checked.append((root, f"{others:,} records beside Chapman's, read as the Challenge's", notes))
    return checked


def _has_table(root: Path) -> bool:
    return any((root / name).is_file() for name in ("ptbxl_database.csv", SHEET, TABLE))


def _is_chapman(path: Path) -> bool:
    number = path.stem.removeprefix("JS")
    return number.isdigit() and int(number) <= LAST_CHAPMAN


def check_corpus(
    reader: Reader, root: Path, skip: Callable[[Path], bool] | None = None
) -> tuple[str, list[Note]]:
    """Read every record of a folder and say what is wrong, one line a defect.

    Args:
        skip: paths of records to leave out, with their notes.

    Returns:
        The corpus's title and the notes a preparation would report, except those on resampling.

    Raises:
        CorpusError: the tables themselves cannot be read.
    """
    index = reader.index(root)
    places = list(zip(index.records["record"], index.records["path"], strict=True))
    left_out = {record for record, path in places if skip and skip(Path(path))}
    notes = [note for note in index.notes if note.record not in left_out]
    first_with: dict[bytes, str] = {}
    for record, path in places:
        if record in left_out:
            continue
        try:
            signal, found = examine(record, reader.read(root, path))
        except Exception as error:  # a damaged file may raise anything; the check goes on
            notes.append(rejection(record, error))
            continue
        notes.extend(found)
        first = first_with.setdefault(hashlib.sha256(np.ascontiguousarray(signal).tobytes()).digest(), record)
        if first != record:
            notes.append(Note(record, "note", f"same signal as record {first}"))
    return index.title, notes
