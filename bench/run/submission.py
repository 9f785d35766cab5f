"""A submission: the results of one row as a small store in a folder, which a pull request carries.

In it: the cells with the row's scores and groups, whole; of the fits and embeddings behind them what they say of
themselves, never weights; `submission.json`, which says what was run; `scores.csv`, which says what is claimed.
Nothing of it is believed: it is opened as anybody's folder (`faults_of`), then compared with what is planned, labelled
and computed here (`bench.run.review`, `bench.report.rescore`).
"""

import hashlib
import io
import json
import shutil
import stat
import uuid
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import Field, ValidationError

from bench.run.compare import unreadable
from bench.run.entry import Frozen
from bench.run.errors import UserError
from bench.run.execute import reached_cells
from bench.run.integrity import (
    DESCRIPTION,
    MANIFEST,
    ORIGIN,
    Unsound,
    load_note,
    load_sound,
    read_plain,
)
from bench.run.planned import Plan, Row
from bench.run.registry import Registry
from bench.run.store import Payload, Store, StoreError
from bench.run.suite import Suite

SUBMISSION = "submission.json"
CLAIMS = "scores.csv"

LARGEST_MIB = 64
"""Of a submission. A row of the board has about 1.5 MiB at scale quick."""

_MOST_VALUES = 50_000_000
"""That a table may unpack to: a file of a few kB can hold billions of equal ones."""

_FEW = 5
"""Faults that are told one by one."""

_CELL = (DESCRIPTION, ORIGIN)
_FILES = {
    "predict": {*_CELL, "predict.json", "scores.parquet"},
    "group": {*_CELL, "grouping.json", "assignments.parquet", "rankings.parquet", "sample.npz"},
}
_NOT_ALWAYS = {"rankings.parquet", "sample.npz"}
_NOTED = {"fit": {*_CELL, "fit.json", "health.csv"}, "embed": {*_CELL}}

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,80}$")]
Label = Annotated[str, Field(min_length=1, max_length=200)]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

PLACE = (
    "suite", "corpus", "task", "kind", "split", "encoder", "lead_set", "eval_lead_set", "label", "source", "overlap",
    "fraction", "seed_index", "grouping", "noise", "crossed",
)  # fmt: skip
"""What tells an evaluation of a plan from all others of its scale, as attributes of `Row`."""

Place = tuple[str, ...]
"""Values of `PLACE`, as texts."""


class SubmissionError(UserError):
    """A submission cannot be packed or read; the message is one line."""


class Asked(Frozen):
    """What the cells were planned from: the options of the command that decide about keys."""

    suites: tuple[Name, ...] = Field(min_length=1, max_length=20)
    scale: Name
    corpora: tuple[Name, ...] = ()
    pretrain_on: tuple[Name, ...] = ()
    seeds: int | None = Field(default=None, ge=1, le=100)
    lead_sets: tuple[Name, ...] = ()
    eval_lead_sets: tuple[Name, ...] = ()
    records: int = Field(default=1500, ge=60, le=50_000)


class CorpusFact(Frozen):
    """A corpus as it was prepared there."""

    name: Label
    fingerprint: Label
    simulated: bool


class StrategyFile(Frozen):
    """A file that a row's code was read from: its place in the repository, and its content's hash."""

    path: Annotated[str, Field(pattern=r"^(strategies|baselines)/[A-Za-z0-9_]+\.py$")]
    sha256: Hash


class Submission(Frozen):
    """What `submission.json` says.

    Attributes:
        rows: labels of the rows.
        cells, wanted: finished ones that are here, of how many that were planned.
        partial: some are missing, and that is meant so.
        command: repeats it.
        leadboard, commit, modified: version and commit of the code that packed it, and whether it differs from that.
    """

    name: Name
    rows: tuple[Label, ...] = Field(min_length=1)
    asked: Asked
    corpora: tuple[CorpusFact, ...]
    strategies: tuple[StrategyFile, ...]
    cells: int = Field(ge=1)
    wanted: int = Field(ge=1)
    partial: bool
    command: Annotated[str, Field(max_length=2000)]
    leadboard: str | None
    commit: str | None
    modified: bool | None


def rows_of(plan: Plan, labels: Sequence[str]) -> list[Row]:
    """The evaluations of some rows that have a cell."""
    return [row for row in plan.rows if row.label in labels and row.key]


def place_of(row: Row) -> Place:
    """Where an evaluation stands."""
    return tuple(str(getattr(row, name)) for name in PLACE)


def told(place: Place) -> str:
    """A place in a few words."""
    at = dict(zip(PLACE, place, strict=True))
    parts = [f"{at['label']} on {at['corpus']}", f"fraction {at['fraction']}", f"seed {at['seed_index']}"]
    parts += [f"from {at['source']}"] * bool(at["source"]) + [at["grouping"]] * bool(at["grouping"])
    parts += [f"noise {at['noise']}"] * (at["noise"] != "0")
    parts += [f"labels of seed {at['crossed']}"] * (at["crossed"] != "-1")
    return ", ".join(parts)


def corpus_facts(plan: Plan, rows: Sequence[Row]) -> tuple[CorpusFact, ...]:
    """The corpora that some rows were trained or judged on."""
    prints = {plan.jobs[key].cell.corpus for key in reached_cells(only(plan, rows))}
    return tuple(
        CorpusFact(name=name, fingerprint=corpus.fingerprint, simulated=corpus.simulated)
        for name, corpus in sorted(plan.corpora.items())
        if corpus.fingerprint in prints
    )


def strategy_files(
    suites: Sequence[Suite], labels: Sequence[str], registry: Registry
) -> tuple[StrategyFile, ...]:
    """The files of some rows' strategies and of those that they start from, as they lie in the repository."""
    names: set[str] = set()
    for suite in suites:
        entries = {entry.label: entry for entry in suite.entries}
        waiting = [label for label in labels if label in entries]
        while waiting:
            entry = entries[waiting.pop()]
            names.add(entry.strategy)
            waiting += entry.starts_from
    found = [registry.get(name) for name in sorted(names)]
    places = {one.path: "baselines" if one.kind == "baseline" else "strategies" for one in found}
    files = (
        StrategyFile(path=f"{folder}/{path.name}", sha256=sha256_of(path)) for path, folder in places.items()
    )
    return tuple(files)


def sha256_of(path: Path) -> str:
    """Of a text file; line ends of another system count as ours."""
    return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()


def only(plan: Plan, rows: Sequence[Row]) -> Plan:
    """The same plan, of some rows alone."""
    return Plan(plan.suites, plan.corpora, plan.jobs, list(rows))


def pack(plan: Plan, rows: Sequence[Row], store: Store, folder: Path, said: Submission, claims: str) -> None:
    """Write a submission, whole or not at all; one that lies there already is replaced.

    Args:
        rows: of the plan, all finished in `store`.
        claims: content of `scores.csv`.

    Raises:
        SubmissionError: something else lies in the folder.
        StoreError: a cell that these rows rest on is not in the store.
    """
    if folder.is_symlink() or (folder.exists() and not _replaceable(folder)):
        raise SubmissionError(f"{folder} is there already and holds no submission; choose another folder")
    aside = folder.parent / f".{folder.name}.{uuid.uuid4().hex[:8]}"
    try:
        target = Store(aside)
        finished = {row.key for row in rows}
        reached = reached_cells(only(plan, rows))
        for key in (key for key in plan.jobs if key in reached):
            if key in finished:
                target.commit(key, store.load(key))
            else:
                target.note(key, _note(store, key, plan.jobs[key].cell.stage))
        (aside / SUBMISSION).write_text(json.dumps(said.model_dump(mode="json"), indent=1) + "\n")
        (aside / CLAIMS).write_text(claims)
        if folder.exists():
            shutil.rmtree(folder)
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _replaceable(folder: Path) -> bool:
    return folder.is_dir() and ((folder / SUBMISSION).is_file() or not any(folder.iterdir()))


def _note(store: Store, key: str, stage: str) -> Payload:
    """What a cell says of itself."""
    if not store.describes(key):
        raise StoreError(
            f"{stage} {key[:12]}, which the row rests on, is not in {store.root}; run the row again"
        )
    return {name: store.read(key, name) for name in sorted(_NOTED[stage])}


def read_submission(folder: Path) -> Submission:
    """What a submission says of itself.

    Raises:
        SubmissionError: it does not say it, or not in these words.
    """
    try:
        return Submission.model_validate_json(read_plain(folder / SUBMISSION))
    except Unsound as fault:
        raise SubmissionError(f"{fault}; `leadboard submit` writes it") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "it"
        raise SubmissionError(f"{SUBMISSION}: {where}: {first['msg']}") from None


def size_of(folder: Path) -> int:
    """Bytes of a folder's files."""
    return sum(size for _, size in _walk(folder, []))


def faults_of(folder: Path) -> list[str]:
    """What is wrong with the files of a submission; empty: nothing. Nothing is unpacked before its size is known.

    Every name, link and size is looked at; every cell's key must be that of its description, every size that of its
    manifest; nothing may lie there that no submission has.
    """
    odd: list[str] = []
    there = dict(_walk(folder, odd))
    total = sum(there.values())
    if total > LARGEST_MIB * 2**20:
        odd.append(f"it has {total / 2**20:.1f} MiB, {LARGEST_MIB} may be")
    if odd:
        return _few(odd)
    known = {SUBMISSION, CLAIMS}
    for place, load, allowed in (("cells", load_sound, _FILES), ("notes", load_note, _NOTED)):
        keys = dict.fromkeys(_key_at(name) for name in there if name.startswith(f"{place}/"))
        for key in filter(None, keys):
            try:
                names = _sound(folder / place / key[:2] / key, load, allowed)
                known |= {f"{place}/{key[:2]}/{key}/{name}" for name in names}
            except Unsound as fault:
                odd.append(f"{place}, {key[:12]}: {fault}")
                known |= {name for name in there if f"/{key}/" in name}
    odd += [f"{name} is missing" for name in (SUBMISSION, CLAIMS) if name not in there]
    odd += [f"{name} is no file of a submission" for name in sorted(set(there) - known)]
    return _few(odd)


def _walk(folder: Path, odd: list[str]) -> Iterator[tuple[str, int]]:
    """Name and size of every file below a folder, links not followed; what is neither file nor folder is told.

    Args:
        odd: takes what is wrong.
    """
    waiting = [folder]
    while waiting:
        for path in sorted(waiting.pop().iterdir()):
            found, name = path.lstat(), path.relative_to(folder).as_posix()
            if stat.S_ISDIR(found.st_mode):
                waiting.append(path)
            elif stat.S_ISREG(found.st_mode):
                yield name, found.st_size
            else:
                kind = "a link" if stat.S_ISLNK(found.st_mode) else "no plain file"
                odd.append(f"{name} is {kind}")


def _key_at(name: str) -> str:
    """The part of a file's path that a cell's key has."""
    return (*PurePosixPath(name).parts, "", "")[2]


def _sound(folder: Path, load: Callable[[Path, str], Payload], allowed: Mapping[str, set[str]]) -> set[str]:
    """Names of the files of a cell, when all is well with it.

    Args:
        allowed: names of files by stage.
    """
    files = load(folder, folder.name)
    described = json.loads(files[DESCRIPTION])
    names = allowed.get(str(described.get("stage")))
    if names is None:
        raise Unsound(f"of stage {described.get('stage')!r} there is nothing here")
    strange, missing = sorted(set(files) - names), sorted(names - set(files) - _NOT_ALWAYS)
    if strange or missing:
        raise Unsound(f"{strange[0]} is no file of such a cell" if strange else f"it has no {missing[0]}")
    for name, content in sorted(files.items()):
        if _values(name, content) > _MOST_VALUES:
            raise Unsound(f"{name} unpacks to more than {_MOST_VALUES:,} values")
    fault = unreadable(files)
    if fault:
        raise Unsound(f"{fault} cannot be read")
    if "fit.json" in files and json.loads(files["fit.json"]).get("cell") != described:
        raise Unsound("its fit.json is that of another fit")
    return {*files, MANIFEST}


def _values(name: str, content: bytes) -> int:
    """How many values a packed file holds, by its table of contents; 0: it is not packed."""
    try:
        if name.endswith(".parquet"):
            from pyarrow import parquet

            facts = parquet.read_metadata(io.BytesIO(content))
            return int(facts.num_rows) * int(facts.num_columns)
        if name.endswith(".npz"):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                return sum(item.file_size for item in archive.infolist())
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise Unsound(f"{name} cannot be read") from error
    return 0


def _few(lines: list[str]) -> list[str]:
    """The first of some lines, and how many more there are."""
    more = len(lines) - _FEW
    return [*lines[:_FEW], *([f"and {more:,} more"] if more > 0 else [])]
