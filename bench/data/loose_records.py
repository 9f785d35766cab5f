"""Single WFDB and CSV records that belong to no corpus, conditioned as `prepare` conditions those that do.

Only the leads that are asked for are read: a record may lack the others, hold them damaged, or hold signals that are no
ECG leads at all. The numbers of what is read are those of a prepared corpus, to the bit.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from bench.data.condition import Band, condition
from bench.data.corpus import (
    CorpusError,
    CorpusIndex,
    Note,
    PreparedCorpus,
    RawRecord,
    label_table,
    record_table,
    rejection,
)
from bench.data.csv_record import UNITS, read_csv_record
from bench.data.folder import TABLE, FolderReader
from bench.data.leads import LEADS
from bench.data.wfdb_header import read_header
from bench.data.wfdb_record import read_wfdb
from bench.data.writer import PreparedWriter

_MILLIVOLTS = {"MV": 1.0, "UV": 1e-3, "V": 1e3, "NV": 1e-6}
_SPELLED = {lead.upper(): lead for lead in LEADS}


@dataclass(frozen=True)
class LooseRecord:
    """Where a record lies.

    Attributes:
        name: the file's, without its ending; of a folder with a `records.csv` the id there.
        path: of the `.hea` or `.csv` file.
        rate: Hz of a CSV record, None where nobody says; a WFDB header says its own.
        unit: of a CSV record, a key of `UNITS`.
    """

    name: str
    path: Path
    rate: float | None = None
    unit: str = "mV"


@dataclass(frozen=True)
class Loose:
    """Some records, prepared.

    Attributes:
        corpus: those that could be used; None: not one.
        kept: these records, in the corpus's order.
        notes: what was repaired, and why the others are rejected; `record` is the record's path.
    """

    corpus: PreparedCorpus | None
    kept: tuple[LooseRecord, ...]
    notes: tuple[Note, ...]


def find_records(
    paths: Iterable[Path], rate: float | None = None, unit: str = "mV"
) -> tuple[list[LooseRecord], list[Note]]:
    """The records that some paths mean, each once, in their order.

    Args:
        paths: of a WFDB record, with or without `.hea`; of a CSV record (a row a sample, a column a lead, names in the
            first line or all twelve in the order of `LEADS`); or of a folder: what its `records.csv` lists, see
            `bench.data.folder`, else every `.hea` and `.csv` below it.
        rate: Hz of CSV records of which nothing else says it.
        unit: of these CSV records, a key of `UNITS`.

    Returns:
        The records, and notes on those whose files a `records.csv` names and the folder lacks.

    Raises:
        CorpusError: a path leads to no record, or there is no such unit.
    """
    if unit not in UNITS:
        raise CorpusError(f"unit {unit!r} is none of {', '.join(UNITS)}")
    found: dict[Path, LooseRecord] = {}
    notes: list[Note] = []
    for path in paths:
        records, missing = _listed(path) if (path / TABLE).is_file() else (_below(path, rate, unit), [])
        notes += missing
        for record in records:
            found.setdefault(record.path, record)
    return list(found.values()), notes


def _below(path: Path, rate: float | None, unit: str) -> list[LooseRecord]:
    """The record of a path, or those of a folder without a table."""
    files = [path.with_name(f"{path.name}.hea"), path]
    if path.is_dir():
        files = sorted(
            file for ending in ("*.hea", "*.csv") for file in path.rglob(ending) if file.name[0] != "."
        )
        if not files:
            raise CorpusError(f"no record below {path}: no .hea and no .csv file")
    records = [_record(file, rate, unit) for file in files if file.is_file()]
    if not records:
        raise CorpusError(f"no record {path}: give a WFDB record, a .csv file or a folder of them")
    return records


def _record(file: Path, rate: float | None, unit: str) -> LooseRecord:
    if file.suffix == ".csv":
        return LooseRecord(file.stem, file, rate, unit)
    header = file.with_suffix(".hea")
    if not header.is_file():
        raise CorpusError(f"{file} is no record: neither .csv nor beside a header {header.name}")
    return LooseRecord(header.stem, header)


def _listed(folder: Path) -> tuple[list[LooseRecord], list[Note]]:
    """The records of a folder with a table, by that table."""
    index = FolderReader().index(folder)
    records = []
    for name, locator in zip(index.records["record"], index.records["path"], strict=True):
        file, *rest = locator.split("|")
        if rest:
            records.append(LooseRecord(name, folder / file, float(rest[0]), rest[1]))
        else:
            records.append(LooseRecord(name, folder / f"{file}.hea"))
    return records, [note for note in index.notes if note.action == "rejected"]


def prepare_loose(
    records: Sequence[LooseRecord], folder: Path, leads: Sequence[str], rate: int, band: Band | None = None
) -> Loose:
    """Prepare records as a corpus of their own; one that cannot be used is left out with the reason.

    Args:
        folder: of the prepared corpus, which must not exist.
        leads: names of those that matter; all others are zero.
        rate: Hz to store.
        band: see `bench.data.condition.condition`.
    """
    ids = [str(record.path) for record in records]
    index = CorpusIndex(
        name="records",
        title=f"{len(records):,} records",
        records=record_table({"record": ids, "path": ids}),
        labels=label_table([]),
        tasks={},
    )
    kept: list[LooseRecord] = []
    notes: list[Note] = []
    with PreparedWriter(index, folder, rate, band) as writer:
        for name, record in zip(ids, records, strict=True):
            try:
                raw = read_loose(record, leads)
                conditioned, told = condition(name, raw, rate, band)
            except Exception as error:  # a damaged file may raise anything; the others must go on
                notes.append(rejection(name, error))
                writer.add(name, None)
                continue
            writer.add(name, conditioned)
            kept.append(record)
            notes += [note for note in told if note.action == "repaired"]
            notes += _flat(name, raw, leads)
        return Loose(writer.finish() if kept else None, tuple(kept), tuple(notes))


def _flat(name: str, raw: RawRecord, leads: Sequence[str]) -> Iterator[Note]:
    """The note on flat leads, of those alone that matter."""
    flat = [lead for lead in leads if np.ptp(raw.signal[:, LEADS.index(lead)]) == 0]
    if flat:
        yield Note(name, "note", f"flat: {', '.join(flat)}; kept")


def read_loose(record: LooseRecord, leads: Sequence[str]) -> RawRecord:
    """Read some leads of a record.

    Args:
        leads: their names.

    Returns:
        (samples, 12) millivolts as any reader gives them, the leads that are not asked for being zero.

    Raises:
        CorpusError: one of them is not there, or the record cannot be read.
    """
    raw = _read_csv(record, leads) if record.path.suffix == ".csv" else _read_wfdb(record, leads)
    signal = np.zeros_like(raw.signal)
    places = [LEADS.index(lead) for lead in leads]
    signal[:, places] = raw.signal[:, places]
    return RawRecord(signal, raw.rate, raw.notes)


def _read_wfdb(record: LooseRecord, leads: Sequence[str]) -> RawRecord:
    stem = record.path.with_suffix("")
    header = read_header(record.path)
    names = [channel.name for channel in header.channels]
    if _are_the_twelve(names):
        return read_wfdb(stem)
    places = _places(record, names, leads)
    import wfdb

    try:
        read = wfdb.rdrecord(str(stem), channels=places)
    except Exception as error:  # wfdb raises whatever numpy or struct raised on damaged files
        raise CorpusError(f"wfdb cannot read it: {' '.join(str(error).split())}") from None
    unknown = [unit for unit in read.units if unit.upper() not in _MILLIVOLTS]
    if unknown:
        raise CorpusError(f"unit {unknown[0]!r} is no voltage; known: mV, uV, V, nV")
    values = read.p_signal * np.asarray([_MILLIVOLTS[unit.upper()] for unit in read.units])
    return RawRecord(_twelve(values, leads), header.rate, header.notes)


def _read_csv(record: LooseRecord, leads: Sequence[str]) -> RawRecord:
    if record.rate is None:
        raise CorpusError("a CSV record does not say its rate; give it in Hz")
    with record.path.open(encoding="utf-8-sig") as file:
        names = [name.strip().strip('"') for name in file.readline().split(",")]
    if _are_the_twelve(names) or not any(_spelled(name) in _SPELLED for name in names):
        return read_csv_record(record.path, record.rate, record.unit)
    places = _places(record, names, leads)
    try:
        table = pd.read_csv(
            record.path, header=None, skiprows=1, usecols=places, dtype=np.float32, encoding="utf-8-sig"
        )
    except ValueError as error:
        raise CorpusError(f"it is no table of numbers: {' '.join(str(error).split())[:120]}") from None
    values = table[places].to_numpy() * np.float32(UNITS[record.unit])
    return RawRecord(_twelve(values, leads), record.rate)


def _places(record: LooseRecord, names: Sequence[str], leads: Sequence[str]) -> list[int]:
    """Where each of some leads stands among a record's signals.

    Raises:
        CorpusError: one is missing, or there twice.
    """
    spelled = [_spelled(name) for name in names]
    missing = [lead for lead in leads if lead.upper() not in spelled]
    if missing:
        present = [_SPELLED[name] for name in spelled if name in _SPELLED]
        held = f"leads {', '.join(present)}" if present else f"no ECG lead ({', '.join(names)})"
        what = f"lead {missing[0]}" if len(missing) == 1 else f"leads {', '.join(missing)}"
        raise CorpusError(f"record {record.name} lacks {what}; it has {held}")
    twice = [lead for lead in leads if spelled.count(lead.upper()) > 1]
    if twice:
        raise CorpusError(f"record {record.name} has lead {twice[0]} twice")
    return [spelled.index(lead.upper()) for lead in leads]


def _twelve(values: np.ndarray, leads: Sequence[str]) -> np.ndarray:
    """(samples, 12) float32 from (samples, leads), zero where a lead is not among them."""
    signal = np.zeros((len(values), len(LEADS)), np.float32)
    signal[:, [LEADS.index(lead) for lead in leads]] = values
    return signal


def _are_the_twelve(names: Sequence[str]) -> bool:
    return sorted(map(_spelled, names)) == sorted(_SPELLED)


def _spelled(name: str) -> str:
    return name.strip().upper().replace(" ", "")
