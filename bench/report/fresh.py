"""Is a suite's report as it would be written again? Then nothing is read, computed or drawn.

What a report holds follows from the plan's rows, which of their cells are there, and the code. Their hash is kept in
the store beside the hash of every file written, so that a file that is gone or was edited is written again.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.report.files import replace_file
from bench.run.plan import Plan, Row
from bench.run.store import Store
from bench.run.suite import Suite

_BENCH = Path(__file__).resolve().parents[1]
_CODE = (".py", ".yaml", ".csv", ".j2", ".css", ".js")
_DRAWN_WITH = ("numpy", "pandas", "scipy", "scikit-learn", "matplotlib", "seaborn", "tabulate")


def report_hash(plan: Plan, store: Store, suite: Suite, rows: Iterable[Row], resamples: int) -> str:
    """SHA-256 of all that decides what the report of these rows holds.

    Args:
        rows: of one suite, real or simulated.
        resamples: of the bootstrap over test patients.
    """
    digest = hashlib.sha256()
    for text in (_code(), suite.model_dump_json(), str(resamples), *_corpora(plan), *_states(store, rows)):
        digest.update(text.encode())
        digest.update(b"\0")
    return digest.hexdigest()


def _states(store: Store, rows: Iterable[Row]) -> Iterator[str]:
    """Each row with what has become of its cells, and when."""
    stamps: dict[str, int] = {"": 0}
    for row in rows:
        for key in (row.key, row.fit_key):
            if key not in stamps:
                stamps[key] = store.stamp(key)
        here = stamps[row.key]
        yield f"{row} {here} {stamps[row.fit_key]} {None if here or not row.key else store.failure(row.key)}"


def _corpora(plan: Plan) -> Iterator[str]:
    for name, corpus in sorted(plan.corpora.items()):
        yield f"{name} {corpus.fingerprint} {corpus.title} {corpus.licence} {corpus.citation} {corpus.facts}"


@lru_cache(maxsize=1)
def _code() -> str:
    """Every file of the harness, and the versions of what it computes and draws with."""
    digest = hashlib.sha256()
    for path in sorted(path for path in _BENCH.rglob("*") if path.suffix in _CODE):
        digest.update(f"{path.relative_to(_BENCH)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest() + " ".join(version(name) for name in _DRAWN_WITH)


def fresh(store: Store, name: str, told: str, folder: Path) -> list[str] | None:
    """Names of the files of a report that need not be written again; None where it must be.

    Args:
        name: of the report.
        told: its `report_hash`.
        folder: where its files are.
    """
    kept = _kept(store, name)
    if kept.get("report") != told:
        return None
    for file, digest in kept["files"].items():
        path = folder / file
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            return None
    return list(kept["files"])


def remember(store: Store, name: str, told: str, files: Mapping[str, str]) -> None:
    """Note what a report was made of, and the hashes of its files."""
    told_as = json.dumps({"report": told, "files": dict(files)})
    replace_file(_place(store, name), told_as.encode())


def _kept(store: Store, name: str) -> dict[str, Any]:
    try:
        found = json.loads(_place(store, name).read_bytes())
        return found if isinstance(found, dict) and isinstance(found.get("files"), dict) else {}
    except (OSError, ValueError):
        return {}


def _place(store: Store, name: str) -> Path:
    return store.root / "reports" / f"{name}.json"
