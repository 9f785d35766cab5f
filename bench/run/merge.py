"""Bring finished cells of other stores into ours: those computed on another machine, or sent by somebody else.

A merge is a copy of whole cells, so what many machines made in parts is byte for byte what one would have made. Nothing
that a source says is trusted but the bytes of a cell whose key, sizes and names hold (`bench.run.integrity`); whether
results are right, `verify` tells. A cell that is here already stays as it is.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from bench.run.integrity import ORIGIN, Unsound, assert_sound, load_note, load_sound, printable
from bench.run.store import Payload, Store, StoreError

_NOTED = "notes"
_LOADERS = {"cells": load_sound, _NOTED: load_note}


class Fate(StrEnum):
    """What became of a source's cell."""

    COPIED = "copied"
    NOTED = "noted"
    KEPT = "here already"
    DIFFERS = "differs"
    REFUSED = "refused"


@dataclass(frozen=True)
class Seen:
    """One cell of a source.

    Attributes:
        key: or the name of what is no cell.
        detail: why it is refused, or how it differs from ours; one line, empty for the others.
    """

    source: Path
    key: str
    fate: Fate
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.source}, cell {printable(self.key[:12])}: {self.detail or self.fate}"


@dataclass(frozen=True)
class Merged:
    """What a merge did.

    Attributes:
        copied: finished cells that are new here.
        noted: cells that are new here as notes: what they say of themselves, without their weights.
        kept: cells that are here already, with the same results.
        differing: those that are here already with other results; ours were kept.
        refused: those that are not what their names say; nothing of them was taken.
    """

    copied: int
    noted: int
    kept: int
    differing: tuple[Seen, ...]
    refused: tuple[Seen, ...]

    def __str__(self) -> str:
        return (
            f"cells: {self.copied:,} copied, {self.noted:,} noted, {self.kept:,} here already,"
            f" {len(self.differing):,} here with other results, {len(self.refused):,} refused"
        )


def merge(sources: Sequence[Path], store: Store, on_cell: Callable[[Seen], None] | None = None) -> Merged:
    """Copy finished cells of other stores that ours lacks. Interrupted, it goes on when repeated.

    Args:
        on_cell: called with each cell of the sources.

    Raises:
        StoreError: a source is no store, and nothing was copied; or ours cannot be written, and what was copied stays.
    """
    for source in sources:
        _assert_store(source, store)
    seen: list[Seen] = []
    for source in sources:
        for place, load in _LOADERS.items():
            for folder in _folders(source / place):
                try:
                    seen.append(_take(source, folder, load, store))
                except StoreError as error:
                    done = sum(one.fate in (Fate.COPIED, Fate.NOTED) for one in seen)
                    raise StoreError(f"{error}; {done:,} cells were merged, repeat to go on") from error
                if on_cell:
                    on_cell(seen[-1])
    return _counted(seen)


def _assert_store(source: Path, store: Store) -> None:
    if not source.is_dir():
        raise StoreError(f"no folder {source}")
    if store.root.is_dir() and source.samefile(store.root):
        raise StoreError(f"{source} is the store that is merged into")
    places = [source / place for place in _LOADERS]
    links = [place for place in places if place.is_symlink()]
    if links:
        raise StoreError(
            f"{links[0]} is a link, which merge does not follow; name the store that it leads into"
        )
    if not any(place.is_dir() for place in places):
        raise StoreError(f"{source} is no store: it has no folder cells")


def _folders(place: Path) -> Iterator[Path]:
    """What may be cells; what a writer is at work on, or left behind, is hidden."""
    for shelf in sorted(place.glob("[!.]*")) if place.is_dir() else []:
        if shelf.is_dir() and not shelf.is_symlink():
            yield from sorted(shelf.glob("[!.]*"))
        else:
            yield shelf


def _take(source: Path, folder: Path, load: Callable[[Path, str], Payload], store: Store) -> Seen:
    """Copy one cell, if it is one and new here."""
    key, noted = folder.name, load is load_note
    try:
        files = load(folder, key)
    except Unsound as fault:
        return Seen(source, key, Fate.REFUSED, f"refused, {fault}")
    if store.has(key) or (noted and store.describes(key)):
        return _compared(source, key, files, store)
    if noted:
        store.note(key, files)
        return Seen(source, key, Fate.NOTED)
    store.commit(key, files)
    return Seen(source, key, Fate.COPIED)


def _compared(source: Path, key: str, files: Payload, store: Store) -> Seen:
    """Have theirs and ours the same results?"""
    other = []
    for name in sorted(set(files) - {ORIGIN}):
        try:
            same = store.read(key, name) == files[name]
        except StoreError:
            same = False
        other += [] if same else [name]
    if not other:
        return Seen(source, key, Fate.KEPT)
    try:
        if store.has(key):
            assert_sound(store.folder(key), key)
    except Unsound as fault:
        folder = store.folder(key)
        return Seen(source, key, Fate.DIFFERS, f"ours is damaged, {fault}; remove {folder} and merge again")
    detail = f"differs in {', '.join(other)}: made by {_maker(files[ORIGIN])}; ours is kept"
    return Seen(source, key, Fate.DIFFERS, detail)


def _maker(origin: bytes) -> str:
    """In a few words: the versions and the machine that decide about bits."""
    told = json.loads(origin)
    packages = told.get("packages")
    torch = packages.get("torch") if isinstance(packages, dict) else None
    machine = [told.get(name) for name in ("device", "cpu", "cpu_capability")]
    words = [
        f"torch {torch}",
        *machine,
        f"commit {str(told.get('commit'))[:7]}",
        f"finished {told.get('finished')}",
    ]
    return ", ".join(map(printable, words))


def _counted(seen: Sequence[Seen]) -> Merged:
    counts = {fate: sum(one.fate is fate for one in seen) for fate in Fate}
    differing, refused = (
        tuple(one for one in seen if one.fate is fate) for fate in (Fate.DIFFERS, Fate.REFUSED)
    )
    return Merged(counts[Fate.COPIED], counts[Fate.NOTED], counts[Fate.KEPT], differing, refused)
