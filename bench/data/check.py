"""What is wrong with a folder of ECGs, without preparing it: `leadboard data check FOLDER`."""

import hashlib
from pathlib import Path

import numpy as np

from bench.data.chapman import SHEET, ChapmanReader
from bench.data.cinc2021 import CincReader
from bench.data.condition import examine
from bench.data.corpus import CorpusError, Note, Reader
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


def check_corpus(reader: Reader, root: Path) -> tuple[str, list[Note]]:
    """Read every record of a folder and say what is wrong, one line a defect.

    Returns:
        The corpus's title and the notes a preparation would report, except those on resampling.

    Raises:
        CorpusError: the tables themselves cannot be read.
    """
    index = reader.index(root)
    notes = list(index.notes)
    first_with: dict[bytes, str] = {}
    for record, path in zip(index.records["record"], index.records["path"], strict=True):
        try:
            signal, found = examine(record, reader.read(root, path))
        except (CorpusError, OSError) as error:
            notes.append(Note(record, "rejected", str(error)))
            continue
        notes.extend(found)
        first = first_with.setdefault(hashlib.sha256(np.ascontiguousarray(signal).tobytes()).digest(), record)
        if first != record:
            notes.append(Note(record, "note", f"same signal as record {first}"))
    return index.title, notes
