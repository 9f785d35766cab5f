"""Is a stored cell what its name says? Cheap: sizes and the description are looked at, results are not read.

A key is the SHA-256 of the cell's description, so nobody can file a result under another cell's name by accident. That
a result is the right one for its description only running it again can tell (`verify`).
"""

import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.run.store import Store

MANIFEST = "manifest.json"
DESCRIPTION = "cell.json"
ORIGIN = "provenance.json"

_STAGE_FILES = {
    "fit": ("fit.json", "state.pt"),
    "embed": ("embeddings.npy",),
    "predict": ("predict.json", "scores.parquet"),
    "group": ("assignments.parquet", "grouping.json"),
}
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_WORDS = 80
_KEY = re.compile(r"[0-9a-f]{64}")


class Unsound(Exception):
    """A folder is no sound cell; the message says why in a few words."""


@dataclass(frozen=True)
class Fault:
    """A finished cell of a store that is not sound, and why."""

    key: str
    reason: str


def check_store(
    store: Store, keys: Iterable[str] | None = None, on_cell: Callable[[str], None] | None = None
) -> list[Fault]:
    """Look at finished cells: the key is that of the description, the files have the sizes they were written with.

    Args:
        keys: of the cells; those that are not finished are passed over. None: all finished ones.
        on_cell: called with the key of each cell that was looked at.

    Returns:
        The unsound ones, in the order of `keys`.
    """
    faults = []
    for key in store.keys() if keys is None else keys:
        if not store.has(key):
            continue
        try:
            assert_sound(store.folder(key), key)
        except Unsound as fault:
            faults.append(Fault(key, str(fault)))
        if on_cell:
            on_cell(key)
    return faults


def assert_sound(folder: Path, key: str) -> dict[str, int]:
    """Look at a cell without reading its results.

    Returns:
        Sizes of its files by name, in the order of its manifest.

    Raises:
        Unsound: it is not complete, not what its key says, or leads out of its folder.
    """
    sizes = _listed(folder, key)
    for name, size in sizes.items():
        _assert_size(name, _plain_size(folder / name), size)
    _parsed(ORIGIN, read_plain(folder / ORIGIN))
    stage = _described(key, read_plain(folder / DESCRIPTION)).get("stage")
    missing = [name for name in _STAGE_FILES.get(str(stage), ()) if name not in sizes]
    if missing:
        raise Unsound(f"it has no {missing[0]}")
    return sizes


def load_sound(folder: Path, key: str) -> dict[str, bytes]:
    """All files of a cell, in the order of its manifest, checked as `assert_sound` does, and as they were read.

    Raises:
        Unsound: as `assert_sound`.
    """
    return _loaded(folder, key, assert_sound(folder, key))


def load_note(folder: Path, key: str) -> dict[str, bytes]:
    """The files of a noted cell, whose JSON can be read, among them the description that its key is of.

    Raises:
        Unsound: it is not complete, not what its key says, or leads out of its folder.
    """
    files = _loaded(folder, key, _listed(folder, key))
    for name, content in files.items():
        if name.endswith(".json"):
            _parsed(name, content)
    return files


def read_plain(path: Path) -> bytes:
    """Bytes of a file that is one itself: no link, no pipe.

    Raises:
        Unsound: it is not.
    """
    _plain_size(path)
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as file:
            return file.read()
    except OSError as error:
        raise Unsound(f"{path.name} cannot be read: {error.strerror}") from None


def key_of(description: Mapping[str, Any]) -> str:
    """Key of a cell's description as `cell.json` holds it; that of `Cell.key`."""
    text = json.dumps(description, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def is_key(name: str) -> bool:
    """May this be a cell's key?"""
    return _KEY.fullmatch(name) is not None


def printable(text: object) -> str:
    """Somebody else's words as one line that no terminal can mistake for a command."""
    line = "".join(letter if letter.isprintable() else "?" for letter in str(text))
    return line if len(line) <= _WORDS else f"{line[: _WORDS - 3]}..."


def _listed(folder: Path, key: str) -> dict[str, int]:
    """Names and sizes in a cell's manifest.

    Raises:
        Unsound: there is none, or it names what cannot be a cell's file.
    """
    if folder.is_symlink() or folder.parent.is_symlink():
        raise Unsound("it is a link, which is not followed")
    if not is_key(key) or folder.parent.name != key[:2]:
        raise Unsound("its name is no key")
    try:
        (folder / MANIFEST).lstat()
    except OSError:
        raise Unsound("it is not finished") from None
    sizes = _parsed(MANIFEST, read_plain(folder / MANIFEST))
    for name, size in sizes.items():
        if not _NAME.fullmatch(name) or name == MANIFEST:
            raise Unsound(f"its manifest names {name!r}, which is no file of a cell")
        if type(size) is not int or size < 0:
            raise Unsound(f"its manifest has no size of {name}")
    missing = [name for name in (DESCRIPTION, ORIGIN) if name not in sizes]
    if missing:
        raise Unsound(f"it has no {missing[0]}")
    return sizes


def _loaded(folder: Path, key: str, sizes: Mapping[str, int]) -> dict[str, bytes]:
    files = {name: read_plain(folder / name) for name in sizes}
    for name, content in files.items():
        _assert_size(name, len(content), sizes[name])
    _described(key, files[DESCRIPTION])
    return files


def _assert_size(name: str, found: int, size: int) -> None:
    if found != size:
        raise Unsound(f"{name} has {found:,} bytes in place of {size:,}")


def _described(key: str, content: bytes) -> dict[str, Any]:
    """The description, if it is that of the key."""
    description = _parsed(DESCRIPTION, content)
    if key_of(description) != key:
        raise Unsound(f"its {DESCRIPTION} is that of another cell")
    return description


def _parsed(name: str, content: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError):
        raise Unsound(f"{name} is no JSON") from None
    if not isinstance(parsed, dict):
        raise Unsound(f"{name} is no JSON object")
    return parsed


def _plain_size(path: Path) -> int:
    try:
        found = path.lstat()
    except OSError:
        raise Unsound(f"{path.name} is missing") from None
    if not stat.S_ISREG(found.st_mode):
        raise Unsound(f"{path.name} is no plain file")
    return found.st_size
