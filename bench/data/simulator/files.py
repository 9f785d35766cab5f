"""Writing signals as the real corpora store them: WFDB format 16 (`.dat`, `.mat`) with its headers, and CSV.

Bytes are laid out here because wfdb's own writer takes milliseconds a record and knows no `.mat`; the tests
read all of it with wfdb.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np


def microvolts(millivolts: np.ndarray) -> np.ndarray:
    """Round to int16 microvolts, the unit both corpora store; -32768, WFDB's 'missing', is never written."""
    return np.clip(np.rint(millivolts * 1000), -32767, 32767).astype("<i2")


def write_mat(path: Path, signal: np.ndarray) -> None:
    """A MATLAB version 4 file with the matrix `val` (leads, samples), which WFDB reads from byte 24 on.

    Args:
        signal: (leads, samples) int16.
    """
    header = struct.pack("<5i", 30, *signal.shape, 0, 4) + b"val\0"
    path.write_bytes(header + np.ascontiguousarray(signal.T).tobytes())


def write_dat(path: Path, signal: np.ndarray) -> None:
    """A WFDB format 16 file: samples of all leads in turn; `signal` is (leads, samples) int16."""
    path.write_bytes(np.ascontiguousarray(signal.T).tobytes())


def checksums(signal: np.ndarray) -> np.ndarray:
    """Sum of each lead's samples as WFDB wants it, signed 16 bit; `signal` is (leads, samples)."""
    return signal.sum(axis=1, dtype=np.int64).astype(np.int16)


@dataclass(frozen=True)
class Dialect:
    """How a `.mat` record's header is spelt.

    Attributes:
        form: format, gain and unit of a signal line.
        hash: what begins a comment.
        time: date and time of the record line; '' none.
    """

    form: str = "16+24 1000/mV"
    hash: str = "#"
    time: str = ""


def write_challenge_header(
    path: Path,
    signal: np.ndarray,
    leads: tuple[str, ...],
    comments: dict[str, str],
    rate: int = 500,
    dialect: Dialect = Dialect(),  # frozen
) -> None:
    """The header of a `.mat` record as PhysioNet's Chapman and the Challenges have it.

    Args:
        signal: (leads, samples) int16, as stored.
        rate: Hz.
    """
    name = path.stem
    lines = [f"{name} {len(leads)} {rate} {signal.shape[1]} {dialect.time}".rstrip()]
    for lead, first, total in zip(leads, signal[:, 0], checksums(signal), strict=True):
        lines.append(f"{name}.mat {dialect.form} 16 0 {first} {total} 0 {lead}")
    lines += [f"{dialect.hash}{key}: {value}" for key, value in comments.items()]
    path.write_text("\n".join(lines) + "\n")


def write_ptbxl_header(path: Path, signal: np.ndarray, leads: tuple[str, ...], rate: int) -> None:
    """The header of a `.dat` record as PTB-XL has it: unsigned checksums, lead names in capitals."""
    name = path.stem
    lines = [f"{name} {len(leads)} {rate} {signal.shape[1]}"]
    for lead, first, total in zip(leads, signal[:, 0], checksums(signal).astype(np.uint16), strict=True):
        lines.append(f"{name}.dat 16 1000.0(0)/mV 16 0 {first} {total} 0 {lead.upper()}")
    path.write_text("\n".join(lines) + "\n")


def write_csv(path: Path, millivolts: np.ndarray, header: tuple[str, ...]) -> None:
    """One row a sample in microvolts to two decimals; no header line where `header` is empty.

    Args:
        millivolts: (leads, samples).
    """
    import pyarrow as pa
    from pyarrow import csv

    columns = np.rint(millivolts * 1e5) / 100
    table = pa.table({str(lead): values for lead, values in enumerate(columns)})
    with path.open("wb") as file:
        if header:
            file.write((",".join(header) + "\n").encode())
        csv.write_csv(table, file, csv.WriteOptions(include_header=False))
