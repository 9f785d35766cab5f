"""The store: one directory a finished cell, written aside and renamed, so it exists only if complete.

Layout: cells/ab/<key>/ (cell.json, provenance.json and the stage's files), failed/<key>.json (the last failure),
views/<key>/ (metrics cached by result and metric version), notes/ab/<key>/ (what a cell that was made elsewhere says of
itself, without its weights: enough for a report). Deleting views/ or failed/ loses nothing.
"""

import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_MANIFEST = "manifest.json"
"""Names and sizes of a cell's files, written last: a copy that broke off is no finished cell."""

Payload = Mapping[str, bytes]
"""Files of one finished cell by name."""


class StoreError(RuntimeError):
    """The store cannot be written or read; the message is one line that says what to do."""


class Store:
    """Content-addressed results below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, key: str) -> Path:
        """Where a cell lies, finished or not."""
        return self.root / "cells" / key[:2] / key

    def has(self, key: str) -> bool:
        """Is this cell finished?"""
        return (self.folder(key) / _MANIFEST).is_file()

    def describes(self, key: str) -> bool:
        """Does a report find what this cell says of itself, finished here or noted?"""
        return self.has(key) or (self._note(key) / _MANIFEST).is_file()

    def stamp(self, key: str) -> int:
        """When a cell was placed here, finished or noted, in nanoseconds; 0: it is not here."""
        for folder in (self.folder(key), self._note(key)):
            try:
                return (folder / _MANIFEST).stat().st_mtime_ns
            except FileNotFoundError:
                continue
        return 0

    def note(self, key: str, files: Payload) -> None:
        """Keep what a cell made elsewhere says of itself; it does not count as finished.

        Raises:
            StoreError: the disk is full or not writable; nothing half-written remains.
        """
        self._place(self._note(key), files)

    def notes(self) -> Iterator[str]:
        """Every noted cell."""
        return (path.parent.name for path in sorted(self.root.glob(f"notes/??/[!.]*/{_MANIFEST}")))

    def _note(self, key: str) -> Path:
        return self.root / "notes" / key[:2] / key

    def keys(self) -> Iterator[str]:
        """Every finished cell."""
        return (path.parent.name for path in sorted(self.root.glob(f"cells/??/[!.]*/{_MANIFEST}")))

    def read(self, key: str, name: str) -> bytes:
        """One file of a finished or noted cell.

        Raises:
            StoreError: the cell is neither or has no such file.
        """
        folder = self.folder(key) if self.has(key) else self._note(key)
        try:
            return (folder / name).read_bytes()
        except FileNotFoundError:
            raise StoreError(f"the store {self.root} has no {name} of cell {key[:12]}") from None

    def read_json(self, key: str, name: str) -> dict[str, Any]:
        """One JSON file of a finished cell."""
        try:
            content: dict[str, Any] = json.loads(self.read(key, name))
        except ValueError:
            raise StoreError(
                f"{name} of cell {key[:12]} is damaged; remove {self.folder(key)} and run again"
            ) from None
        return content

    def load(self, key: str) -> Payload:
        """All files of a finished cell."""
        sizes = self.read_json(key, _MANIFEST)
        files = {name: self.read(key, name) for name in sorted(sizes)}
        if {name: len(content) for name, content in files.items()} != sizes:
            raise StoreError(f"cell {key[:12]} is damaged; remove {self.folder(key)} and run again")
        return files

    def commit(self, key: str, files: Payload) -> None:
        """Write a finished cell; when another driver was first, its copy stays.

        Raises:
            StoreError: the disk is full or not writable; nothing half-written remains.
        """
        self._place(self.folder(key), files)
        (self.root / "failed" / f"{key}.json").unlink(missing_ok=True)

    def _place(self, target: Path, files: Payload) -> None:
        """Write a folder aside and rename it; one that is whole already stays."""
        aside = target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}"
        try:
            aside.mkdir(parents=True)
            manifest = json.dumps({name: len(content) for name, content in files.items()}).encode()
            for name, content in [*files.items(), (_MANIFEST, manifest)]:
                with (aside / name).open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            try:
                aside.rename(target)
            except OSError:
                if not (target / _MANIFEST).is_file():
                    shutil.rmtree(target, ignore_errors=True)
                    aside.rename(target)
        except OSError as error:
            raise StoreError(f"cannot write to the store {self.root}: {error.strerror or error}") from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def fail(self, key: str, status: str, error: str, trace: str) -> None:
        """Remember the last failure of a cell; a later success removes it."""
        self._write_json(
            self.root / "failed" / f"{key}.json", {"status": status, "error": error, "traceback": trace}
        )

    def failure(self, key: str) -> dict[str, str] | None:
        """The last failure of a cell: status, error, traceback."""
        path = self.root / "failed" / f"{key}.json"
        return json.loads(path.read_text()) if path.exists() else None

    def view(self, key: str, name: str) -> Any:
        """A cached view of a finished cell, None when there is none or a damaged one."""
        path = self.root / "views" / key[:2] / key / f"{name}.json"
        try:
            kept = json.loads(path.read_bytes())
            return kept["content"] if kept["digest"] == _digest(kept["content"]) else None
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return None

    def keep_view(self, key: str, name: str, content: Any) -> None:
        """Cache a view, JSON, with a hash by which damage is known."""
        kept = {"digest": _digest(content), "content": content}
        self._write_json(self.root / "views" / key[:2] / key / f"{name}.json", kept)

    def sweep(self, older_than: float = 86_400.0) -> int:
        """Remove what writers killed `older_than` seconds ago left behind; returns how many leftovers.

        Younger ones may be another driver's, at work.
        """
        limit = time.time() - older_than
        leftovers = [
            path
            for place in ("cells", "notes")
            for path in self.root.glob(f"{place}/??/.*")
            if path.is_dir() and path.stat().st_mtime < limit
        ]
        for path in leftovers:
            shutil.rmtree(path, ignore_errors=True)
        return len(leftovers)

    def _write_json(self, path: Path, content: Any) -> None:
        aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            aside.write_text(json.dumps(content, indent=1))
            aside.replace(path)
        except OSError as error:
            aside.unlink(missing_ok=True)
            raise StoreError(f"cannot write to the store {self.root}: {error.strerror or error}") from error


def _digest(content: Any) -> str:
    """SHA-256 of JSON content, whether it was just made or read back."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
