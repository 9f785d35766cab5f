"""Turns a corpus on disk into a `PreparedCorpus`, in parallel, in constant memory, once.

The folder's name derives from a cheap signature of the source, so a second preparation only opens it.
"""

import ast
import hashlib
import importlib
import json
import multiprocessing
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Protocol, runtime_checkable

from bench.data.condition import Band, Conditioned, condition
from bench.data.corpus import CorpusError, Note, PreparedCorpus, Reader, rejection
from bench.data.writer import PreparedWriter

Progress = Callable[[int, int], None]
Job = tuple[str, str]
"""Record id and path."""
Outcome = tuple[str, Conditioned | None, list[Note]]
"""Record id, what to store or None when rejected, notes."""

_CHUNK = 16
"""Records a worker does at a time: long enough to hide the call, short enough for half-hour records."""

_WORTH_A_WORKER_S = 3.0
"""Seconds of work that pay for another process, which spends most of a second on imports."""


@runtime_checkable
class ReadsBeside(Protocol):
    """A reader whose index also depends on files outside the corpus's folder."""

    def beside(self, root: Path) -> tuple[Path, ...]:
        """These files, as far as they are there."""
        ...


def prepare(
    reader: Reader,
    root: Path,
    out_dir: Path,
    rate: int,
    band: Band | None = None,
    workers: int | None = None,
    max_bad: float = 0.05,
    progress: Progress | None = None,
) -> PreparedCorpus:
    """Prepare a corpus, or open it if this very source was prepared before.

    The result does not depend on `workers`. A killed preparation leaves nothing that looks like a corpus.

    Args:
        reader: the corpus's layout.
        root: the folder on disk.
        out_dir: where prepared corpora lie, one folder each.
        rate: Hz to store; other rates are resampled.
        band: low and high edge of a band-pass in Hz; None: no filter.
        workers: processes; 1: this one alone; None: as many as the work is worth, at most one a core.
        max_bad: largest share of records that may prove unusable, be it while indexing or reading; those a
            cohort leaves out do not count.
        progress: called with the number of records done and their total.

    Raises:
        CorpusError: no corpus there, or too many bad records; the quality report is written in either case.
    """
    _check(rate, band)
    folder = prepared_folder(reader, root, out_dir, rate, band)
    if (folder / "corpus.json").is_file():
        return PreparedCorpus.open(folder)
    index = reader.index(root)
    jobs = list(zip(index.records["record"], index.records["path"], strict=True))
    with PreparedWriter(index, folder, rate, band) as writer:
        for done, (record, conditioned, notes) in enumerate(
            _outcomes(reader, root, jobs, rate, band, workers), 1
        ):
            writer.add(record, conditioned, notes)
            if progress:
                progress(done, len(jobs))
        writer.refuse_above(max_bad)
        return writer.finish()


def prepared_folder(reader: Reader, root: Path, out_dir: Path, rate: int, band: Band | None = None) -> Path:
    """Where a source's prepared corpus lies: its name derives from files, reader, parameters and code.

    Looks at names, sizes and times of the files below `root` and of those the reader reads beside it, never into
    them.

    Raises:
        CorpusError: no such folder.
    """
    if not root.is_dir():
        raise CorpusError(f"no folder {root}; give the folder that holds the corpus")
    facts: list[object] = [repr(reader), str(root.resolve()), _files_signature(root, out_dir), rate, band]
    if isinstance(reader, ReadsBeside):
        facts.append([[str(path), *_file_facts(str(path))] for path in reader.beside(root)])
    facts.append(_code_signature(reader))
    digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    name = type(reader).__name__.removesuffix("Reader").lower()
    return out_dir / f"{name}-{rate}hz-{digest[:16]}"


def _check(rate: int, band: Band | None) -> None:
    if rate < 1:
        raise CorpusError(f"rate {rate} Hz; give a positive whole number")
    if band is not None and not 0 < band[0] < band[1] < rate / 2:
        raise CorpusError(f"band {band} Hz does not lie within 0 and {rate / 2:g} Hz, half the rate")


def _files_signature(root: Path, out_dir: Path) -> str:
    """SHA-256 of path, size and both times of every file below the root, links followed.

    The time of change betrays a file that was replaced under its old time. What we write ourselves is skipped.
    """
    digest = hashlib.sha256()
    own, seen = os.path.realpath(out_dir), set()
    for folder, names, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen or (real == own and folder != str(root)):
            names.clear()  # ours, or a link back to where we have been
            continue
        seen.add(real)
        names.sort()
        for name in sorted(files):
            path = f"{folder}/{name}"
            digest.update(json.dumps([path[len(str(root)) :], *_file_facts(path)]).encode())
    return digest.hexdigest()


def _file_facts(path: str) -> list[int]:
    """Size and times; of the link itself where it leads nowhere, nothing where the file has just gone."""
    for look in (os.stat, os.lstat):  # 40,000 files: Path costs twice
        try:
            stat = look(path)
        except OSError:
            continue
        return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
    return []


def _code_signature(reader: Reader) -> str:
    """Hash of the source of this module, the reader's, and every module of bench.data they import."""
    found: dict[str, bytes] = {}
    waiting = [__name__, type(reader).__module__]
    while waiting:
        name = waiting.pop()
        if name not in found:
            file = importlib.import_module(name).__file__
            found[name] = Path(file).read_bytes() if file else b""
            imports = [node for node in ast.walk(ast.parse(found[name])) if isinstance(node, ast.ImportFrom)]
            waiting += [
                node.module for node in imports if node.module and node.module.startswith("bench.data.")
            ]
    return hashlib.sha256(b"".join(found[name] for name in sorted(found))).hexdigest()


def _outcomes(
    reader: Reader, root: Path, jobs: Sequence[Job], rate: int, band: Band | None, workers: int | None
) -> Iterator[Outcome]:
    """Every record's outcome, in the order of the jobs, whoever does them."""
    work = partial(_process, reader, root, rate, band)
    chunks = deque(jobs[start : start + _CHUNK] for start in range(0, len(jobs), _CHUNK))
    seconds = 0.0
    for _ in range(min(2, len(chunks)) if workers is None else 0):  # the first warms up, the second counts
        started = time.perf_counter()
        outcomes = work(chunks.popleft())
        seconds = (time.perf_counter() - started) * len(chunks)
        yield from outcomes
    if workers is None:
        workers = min(os.cpu_count() or 1, 1 + int(seconds / _WORTH_A_WORKER_S))
    many = _in_parallel(work, chunks, workers) if workers > 1 else map(work, chunks)
    yield from chain.from_iterable(many)


def _in_parallel(
    work: Callable[[Sequence[Job]], list[Outcome]], chunks: Iterable[Sequence[Job]], workers: int
) -> Iterator[list[Outcome]]:
    """Keep every worker three chunks ahead, no more: memory must not grow with the corpus."""
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads (torch) can hang
    ahead: deque[Future[list[Outcome]]] = deque()
    pool = ProcessPoolExecutor(workers, context)
    try:
        for chunk in chunks:
            ahead.append(pool.submit(work, chunk))
            if len(ahead) > 3 * workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _process(reader: Reader, root: Path, rate: int, band: Band | None, jobs: Sequence[Job]) -> list[Outcome]:
    return [_process_one(reader, root, rate, band, job) for job in jobs]


def _process_one(reader: Reader, root: Path, rate: int, band: Band | None, job: Job) -> Outcome:
    record, path = job
    try:
        conditioned, notes = condition(record, reader.read(root, path), rate, band)
    except Exception as error:  # a damaged file may raise anything; it must not end the preparation
        return record, None, [rejection(record, error)]
    return record, conditioned, notes
