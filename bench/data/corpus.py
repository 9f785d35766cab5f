"""What a corpus is, before and after preparation. Everything downstream sees only `PreparedCorpus`.

A reader turns a folder on disk into a `CorpusIndex` (tables, no signals) and reads one record at a time;
`bench.data.prepare` streams those records into a `PreparedCorpus`: a flat int16 microvolt memory-map and tables.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd

ATTRIBUTES: tuple[str, ...] = (
    "VentricularRate",
    "AtrialRate",
    "QRSDuration",
    "QTInterval",
    "QTCorrected",
    "RAxis",
    "TAxis",
    "QRSCount",
    "QOnset",
    "QOffset",
    "TOffset",
)
"""The eleven machine measurements of Chapman's Diagnostics.xlsx: bpm, ms, degrees, beats, samples at 500 Hz."""

FEATURES: tuple[str, ...] = (
    *("mean_rr", "sd_rr", "rmssd_rr"),
    *("mean_r", "rmssd_r"),
    *("mean_hr", "min_hr", "max_hr"),
)
"""Hand features of R peaks, which `features` measures: seconds, millivolts, beats per minute."""

RECORD_COLUMNS = (
    *("record", "patient", "age", "sex", "height", "weight", "source", "fold", "part"),
    *ATTRIBUTES,
)
"""Columns of every record table. `record`, `patient`, `source` str; `age` years, `height` cm, `weight` kg, or NaN;
`sex` 'male', 'female' or ''; `fold` int, 0 = none; `part` the corpus's official split: 'train', 'val', 'test' or ''
(in none)."""


RATES = (1, 100_000)
"""Lowest and highest rate in Hz that can be meant; beyond them the header is damaged."""


class CorpusError(ValueError):
    """A corpus cannot be read or prepared; the message is one line that says what to do."""


@dataclass(frozen=True)
class Task:
    """A labelling of records.

    Attributes:
        kind: 'single' (exactly one class a record) or 'multi' (any number, at least one).
        classes: class names in the order of the target columns.
        every: all records of the corpus are labelled; one that carries none of the classes is negative in all.
    """

    name: str
    kind: Literal["single", "multi"]
    classes: tuple[str, ...]
    every: bool = False


@dataclass(frozen=True)
class Note:
    """One line of a quality report: what was wrong with a record, and what was done about it.

    A record that a cohort does not want is 'left out'; one that cannot be used is 'rejected'.
    """

    record: str
    action: Literal["repaired", "rejected", "left out", "note"]
    reason: str


def rejection(record: str, error: Exception) -> Note:
    """The note on a record that could not be read; an error no reader foresaw is given with its type."""
    foreseen = isinstance(error, CorpusError | OSError)
    return Note(record, "rejected", str(error) if foreseen else f"{type(error).__name__}: {error}")


@dataclass(frozen=True)
class RawRecord:
    """One record as a reader gives it.

    Attributes:
        signal: (samples, 12) float32 millivolts in the order of `LEADS`; NaN where a sample is missing.
        rate: Hz.
        notes: repairs made while reading (a header mended, a sentinel value found).
    """

    signal: np.ndarray
    rate: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class CorpusIndex:
    """A corpus on disk: its tables, without signals.

    Attributes:
        name: corpus name as on the command line ('ptbxl', 'chapman-sim').
        title: what tables print, 'ptbxl (488 of 21,837, release 1.0.1)'.
        records: one row a record with `RECORD_COLUMNS` and `path`, a string the reader's `read` understands.
        labels: long table with columns record, task, label: one row for each label a record carries.
        tasks: every task of the corpus by name.
        notes: records rejected or repaired while indexing.
        simulated: True for the simulator's cohorts.
    """

    name: str
    title: str
    records: pd.DataFrame
    labels: pd.DataFrame
    tasks: dict[str, Task]
    notes: tuple[Note, ...] = ()
    simulated: bool = False
    licence: str = ""
    citation: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


SIMULATION_MARK = "simulation.json"
"""File a simulator leaves in every folder it writes; no folder that holds it can pass for a real corpus."""


def simulation(root: Path) -> dict[str, Any]:
    """The content of a simulated folder's mark: at least `name`, 'chapman-sim'; {} for a real corpus.

    Raises:
        CorpusError: the mark is damaged.
    """
    mark = root / SIMULATION_MARK
    if not mark.is_file():
        return {}
    try:
        content = json.loads(mark.read_text())
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict) or not isinstance(content.get("name"), str):
        raise CorpusError(f"{mark} is damaged, it names no simulated cohort; simulate into a new folder")
    return content


def record_table(columns: Mapping[str, Iterable[Any]]) -> pd.DataFrame:
    """A record table with every one of `RECORD_COLUMNS` in its type, whatever the reader knows.

    Args:
        columns: at least `record`; what is left out is unknown (patient: the record itself). Further columns,
            `path`, are kept behind.

    Raises:
        CorpusError: two records have one id.
    """
    table = pd.DataFrame({name: list(values) for name, values in columns.items()})
    twice = table.loc[table["record"].duplicated(), "record"]
    if len(twice):
        raise CorpusError(f"record id {twice.iloc[0]!r} is given twice; every record needs its own")
    unknown: dict[str, Any] = {"patient": table["record"], "sex": "", "source": "", "fold": 0, "part": ""}
    for name in RECORD_COLUMNS:
        if name not in table:
            table[name] = unknown.get(name, float("nan"))
    types = {"fold": "int64"} | dict.fromkeys(("age", "height", "weight", *ATTRIBUTES), "float64")
    text = [name for name in RECORD_COLUMNS if name not in types]
    table = table.astype(types | dict.fromkeys(text, "object"))
    return table[[*RECORD_COLUMNS, *(name for name in table if name not in RECORD_COLUMNS)]]


def label_table(rows: Iterable[tuple[str, str, str]]) -> pd.DataFrame:
    """The long label table from (record, task, label)."""
    return pd.DataFrame(list(rows), columns=["record", "task", "label"], dtype="object")


class Reader(Protocol):
    """A corpus layout. `index` runs once; `read` runs in worker processes, so a reader must pickle."""

    def index(self, root: Path) -> CorpusIndex:
        """Read the tables below `root`."""
        ...

    def read(self, root: Path, path: str) -> RawRecord:
        """Read one record; raises CorpusError with the reason when it cannot."""
        ...


@dataclass(frozen=True)
class PreparedCorpus:
    """A corpus ready to train on.

    Attributes:
        folder: where signals.npy, records.parquet, labels.parquet, corpus.json and quality.csv lie.
        fingerprint: SHA-256 over signals, records, labels, tasks, rate and filter: equal data, equal fingerprint.
        rate: Hz.
        records: `RECORD_COLUMNS` plus offset, length (samples), mean and sd (12 floats each, millivolts), and of the
            record before resampling and filter native_rate (Hz) and native_mean (12 float32, microvolts).
    """

    folder: Path
    name: str
    title: str
    fingerprint: str
    rate: int
    band: tuple[float, float] | None
    simulated: bool
    tasks: dict[str, Task]
    licence: str
    citation: str
    facts: dict[str, Any]

    @classmethod
    def open(cls, folder: Path) -> "PreparedCorpus":
        """Open a prepared corpus.

        Raises:
            CorpusError: the folder holds none, or an incomplete one.
        """
        try:
            header = json.loads((folder / "corpus.json").read_text())
        except FileNotFoundError:
            raise CorpusError(
                f"no prepared corpus at {folder}; run `leadboard run` or prepare it again"
            ) from None
        header["tasks"] = {
            t["name"]: Task(t["name"], t["kind"], tuple(t["classes"]), t.get("every", False))
            for t in header.pop("tasks")
        }
        header["band"] = tuple(header["band"]) if header["band"] else None
        return cls(folder=folder, **header)

    def header(self) -> dict[str, Any]:
        """The JSON content of corpus.json."""
        content = asdict(self)
        del content["folder"]
        content["tasks"] = [asdict(task) for task in self.tasks.values()]
        return content

    @cached_property
    def signals(self) -> np.ndarray:
        """(all samples, 12) int16 microvolts, memory-mapped."""
        return np.load(self.folder / "signals.npy", mmap_mode="r")

    @cached_property
    def _own_records(self) -> pd.DataFrame:
        return pd.read_parquet(self.folder / "records.parquet")

    @property
    def brings_measurements(self) -> bool:
        """Did the corpus come with machine measurements, or are they ours to make?"""
        return not bool(self._own_records[ATTRIBUTES[0]].isna().all())

    @cached_property
    def records(self) -> pd.DataFrame:
        """One row a record, in the order of the signals; measurements the corpus lacks come from `attributes`."""
        records = self._own_records.copy()
        measured = self.folder / "attributes.parquet"
        if measured.exists():
            table = pd.read_parquet(measured).set_index("record").reindex(records["record"])
            for name in ATTRIBUTES:
                records[name] = records[name].fillna(pd.Series(table[name].to_numpy(), index=records.index))
        return records

    def measurements_fingerprint(self) -> str:
        """SHA-256 of the eleven attributes, which may be measured after preparation."""
        values = self.records[list(ATTRIBUTES)].to_numpy(np.float64)
        return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()

    @cached_property
    def labels(self) -> pd.DataFrame:
        """Long table: record, task, label."""
        return pd.read_parquet(self.folder / "labels.parquet")

    def targets(self, task: str, records: Sequence[str] | None = None) -> pd.DataFrame:
        """Multi-hot targets of a task.

        Args:
            task: a name in `tasks`.
            records: record ids; default all. Records without any label of the task are left out, unless the task
                labels every record.

        Returns:
            Index record (in the corpus's order), one int8 column a class in the task's order.

        Raises:
            CorpusError: the corpus has no such task.
        """
        if task not in self.tasks:
            raise CorpusError(f"{self.name} has no task {task!r}; it has: {', '.join(self.tasks)}")
        if task not in self._targets:
            self._targets[task] = self._multi_hot(self.tasks[task])
        wide = self._targets[task]
        return wide if records is None else wide.loc[[record for record in records if record in wide.index]]

    @cached_property
    def _targets(self) -> dict[str, pd.DataFrame]:
        return {}

    def _multi_hot(self, task: Task) -> pd.DataFrame:
        rows = self.labels[self.labels["task"] == task.name]
        wide = pd.crosstab(rows["record"], rows["label"]).clip(upper=1)
        wide = wide.reindex(columns=list(task.classes), fill_value=0).astype("int8")
        ids = self.records["record"]
        present = ids if task.every else ids[ids.isin(wide.index)]
        return wide.reindex(present.to_numpy(), fill_value=0).rename_axis(index="record", columns=None)
