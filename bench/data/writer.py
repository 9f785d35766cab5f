"""Writes a `PreparedCorpus`: records one by one into a flat memory-map, then the tables, then one rename.

A prepared corpus exists only if it is complete: everything is written aside, in a folder no one looks into.
"""

import hashlib
import json
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pandas as pd

from bench.data.condition import Band, Conditioned, condition
from bench.data.corpus import (
    RECORD_COLUMNS,
    CorpusError,
    CorpusIndex,
    Note,
    PreparedCorpus,
    RawRecord,
    Task,
)
from bench.data.leads import LEADS

_ABANDONED_S = 86_400.0
"""Age after which a folder left by a killed preparation is taken away."""


class PreparedWriter:
    """Collects conditioned records in the order of an index; a context manager.

    Leaving the block without `finish` (an error, Ctrl-C) leaves nothing behind.
    """

    def __init__(self, index: CorpusIndex, folder: Path, rate: int, band: Band | None) -> None:
        self.index = index
        self.folder = folder
        self.rate = rate
        self.band = band
        self.notes: list[Note] = list(index.notes)
        self.rejected = 0
        self._unindexed = sum(note.action == "rejected" for note in index.notes)
        self._patients: dict[str, str] = dict(
            zip(index.records["record"], index.records["patient"], strict=True)
        )
        self._copies: list[tuple[str, str]] = []
        self._rows: list[dict[str, Any]] = []
        self._first_with: dict[bytes, str] = {}
        self._digest = hashlib.sha256()
        self._samples = 0

    def __enter__(self) -> Self:
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        _sweep(self.folder)
        self._aside = Path(tempfile.mkdtemp(".partial", f".{self.folder.name}.", self.folder.parent))
        self._file = (self._aside / "signals.npy").open("wb")
        self._aside.chmod(0o755)  # mkdtemp's are closed to everyone else
        _write_header(self._file, 0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._file.close()  # writes what is buffered: a full disk shows here
        finally:
            shutil.rmtree(self._aside, ignore_errors=True)

    def add(self, record: str, conditioned: Conditioned | None, notes: Iterable[Note] = ()) -> None:
        """Take the next record of the index.

        Args:
            record: its id.
            conditioned: the record at the corpus's rate; None: rejected, as a note says.
            notes: what was found and done while reading it.
        """
        self.notes.extend(notes)
        if conditioned is None:
            self.rejected += 1
            return
        signal = conditioned.signal
        content = np.ascontiguousarray(signal, dtype="<i2").tobytes()
        digest = hashlib.sha256(content).digest()
        first = self._first_with.setdefault(digest, record)
        if first != record:
            self._note_copy(record, first)
        self._digest.update(digest)
        self._file.write(content)
        self._rows.append(
            {
                "record": record,
                "offset": self._samples,
                "length": len(signal),
                **_moments(signal),
                "native_rate": conditioned.native_rate,
                "native_mean": conditioned.native_mean,
            }
        )
        self._samples += len(signal)

    def _note_copy(self, record: str, first: str) -> None:
        """Equal signals are of one patient, whatever the tables say: no split may part them."""
        reason = f"same signal as record {first}"
        mine, other = self._patients[record], self._patients[first]
        if mine != other:
            self._copies.append((record, first))
            reason += f"; patient {mine} is taken for patient {other}"
        self.notes.append(Note(record, "note", reason))

    def refuse_above(self, max_bad: float) -> None:
        """End a preparation that lost too many records, while indexing or after.

        Raises:
            CorpusError: more than this share; the quality report is written beside the folder.
        """
        bad, total = self._unindexed + self.rejected, self._unindexed + len(self.index.records)
        if bad > max_bad * total:
            raise CorpusError(
                f"{self.index.title}: {bad:,} of {total:,} records are unusable, more than {max_bad:.0%};"
                f" {self._report()} says why for each"
            )

    def _report(self) -> Path:
        """Write the quality report of a preparation that failed."""
        path = self.folder.with_name(f"{self.folder.name}.quality.csv")
        self.write_quality(path)
        return path

    def write_quality(self, path: Path) -> None:
        """Write the quality report: record, action, reason; one line a note."""
        columns = ["record", "action", "reason"]
        rows = [(note.record, note.action, " ".join(note.reason.split())) for note in self.notes]
        pd.DataFrame(rows, columns=columns).to_csv(path, index=False)

    def finish(self) -> PreparedCorpus:
        """Write the tables and rename the folder into place; if another process was faster, take its corpus.

        Raises:
            CorpusError: no record is left; the quality report is written beside the folder.
        """
        if not self._rows:
            reasons = Counter(note.reason for note in self.notes if note.action in ("rejected", "left out"))
            most = f", most often: {reasons.most_common(1)[0][0]}" if reasons else ""
            raise CorpusError(
                f"{self.index.title}: not one record could be prepared{most}; {self._report()} says why for each"
            )
        self._file.seek(0)
        _write_header(self._file, self._samples)
        self._file.close()
        records = self._record_table()
        labels = self.index.labels[self.index.labels["record"].isin(records["record"])]
        records.to_parquet(self._aside / "records.parquet", index=False)
        labels.to_parquet(self._aside / "labels.parquet", index=False)
        self.write_quality(self._aside / "quality.csv")
        corpus = self._corpus(records, labels)
        (self._aside / "corpus.json").write_text(json.dumps(corpus.header(), indent=1, sort_keys=True) + "\n")
        _move(self._aside, self.folder)
        return PreparedCorpus.open(self.folder)

    def _record_table(self) -> pd.DataFrame:
        """`RECORD_COLUMNS` of the records kept, and what was found while writing them."""
        known = self.index.records[list(RECORD_COLUMNS)]
        table = known.merge(pd.DataFrame(self._rows), on="record", validate="one_to_one")
        if table["record"].tolist() != [row["record"] for row in self._rows]:
            raise ValueError("records were added in another order than the index's")
        for record, first in self._copies:
            patient = table.set_index("record")["patient"]
            table.loc[table["patient"] == patient[record], "patient"] = patient[first]
        return table

    def _corpus(self, records: pd.DataFrame, labels: pd.DataFrame) -> PreparedCorpus:
        index = self.index
        parameters = {"rate": self.rate, "band": self.band}
        return PreparedCorpus(
            folder=self.folder,
            name=index.name,
            title=_title(index.title, self.rejected),
            fingerprint=_fingerprint(self._digest.hexdigest(), records, labels, index.tasks, parameters),
            rate=self.rate,
            band=self.band,
            simulated=index.simulated,
            tasks=index.tasks,
            licence=index.licence,
            citation=index.citation,
            facts=index.facts,
        )


def write_prepared(
    index: CorpusIndex, signals: Iterable[RawRecord], folder: Path, rate: int, band: Band | None = None
) -> PreparedCorpus:
    """Prepare records that are in memory (a simulator's) exactly as if they had been read from disk.

    Args:
        index: their tables; `path` is not needed.
        signals: one `RawRecord` a row of `index.records`, in that order.
        folder: the prepared corpus to write.
        rate: Hz to store.
        band: see `condition`.

    Raises:
        CorpusError: a record cannot be kept; a simulator's must all be sound.
    """
    with PreparedWriter(index, folder, rate, band) as writer:
        for record, raw in zip(index.records["record"], signals, strict=True):
            writer.add(record, *condition(record, raw, rate, band))
        return writer.finish()


def _moments(signal: np.ndarray) -> dict[str, list[float]]:
    """Mean and (population) SD of each lead in millivolts, of the values stored."""
    values = signal.astype(np.float64)
    mean = values.sum(axis=0) / len(values)
    square = np.einsum("ij,ij->j", values, values) / len(values)  # exact sums: integers far below 2^53
    sd = np.sqrt(np.maximum(square - mean**2, 0.0))
    return {"mean": (mean / 1000).tolist(), "sd": (sd / 1000).tolist()}


def _title(title: str, rejected: int) -> str:
    """The reader's title, with the records that were listed but could not be kept."""
    if not rejected:
        return title
    return f"{title.removesuffix(')')}; {rejected:,} rejected)" if title.endswith(")") else title


def _fingerprint(
    signals: str,
    records: pd.DataFrame,
    labels: pd.DataFrame,
    tasks: dict[str, Task],
    parameters: dict[str, Any],
) -> str:
    """SHA-256 over everything a result can depend on, in a text form that no library version changes.

    Mean and SD follow from the signals and stay out: their last bit may differ between machines. So may the native
    mean's.
    """
    digest = hashlib.sha256(signals.encode())
    kinds = [
        [task.name, task.kind, list(task.classes), task.every]
        for task in sorted(tasks.values(), key=lambda t: t.name)
    ]
    digest.update(json.dumps([kinds, parameters], sort_keys=True).encode())
    table = records[[*RECORD_COLUMNS, "offset", "length", "native_rate"]]
    for row in zip(*(table[name].tolist() for name in table), strict=True):
        digest.update(json.dumps([None if value != value else value for value in row]).encode() + b"\n")
    for label in sorted(zip(labels["record"], labels["task"], labels["label"], strict=True)):
        digest.update(json.dumps(label).encode() + b"\n")
    return digest.hexdigest()


def _write_header(file: Any, samples: int) -> None:
    """The .npy header; numpy pads it so that any number of samples takes the same room."""
    content = {"descr": "<i2", "fortran_order": False, "shape": (samples, len(LEADS))}
    np.lib.format.write_array_header_1_0(file, content)


def _move(aside: Path, folder: Path) -> None:
    try:
        aside.rename(folder)  # fails where another process has put its own
    except OSError:
        if not (folder / "corpus.json").is_file():
            raise


def _sweep(folder: Path) -> None:
    """Take away what killed preparations of the same corpus left long ago."""
    for left in folder.parent.glob(f".{folder.name}.*.partial"):
        if time.time() - left.stat().st_mtime > _ABANDONED_S:
            shutil.rmtree(left, ignore_errors=True)
