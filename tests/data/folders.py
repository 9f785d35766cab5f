"""Writes tiny corpora in the real layouts, for the readers' tests. Headers are built by hand, not by wfdb."""

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from bench.data.corpus import ATTRIBUTES
from bench.data.leads import LEADS


def ecg(seed: int, samples: int = 1000) -> np.ndarray:
    """(samples, 12) int16 microvolts that differ in every lead."""
    noise = np.random.default_rng(seed).normal(0, 300, (samples, 12))
    return noise.round().astype("<i2")


def checksum(lead: Sequence[int]) -> int:
    """16-bit wrapped sum, as WFDB headers state it."""
    total = 0
    for value in lead:
        total = (total + int(value)) % 65536
    return total - 65536 if total >= 32768 else total


def header(
    name: str,
    file: str,
    signal: np.ndarray,
    rate: int,
    leads: Sequence[str] = LEADS,
    unit: str = "mV",
    offset: int = 0,
    comments: Sequence[str] = (),
) -> str:
    """Header text of a format-16 record, 1000 units a millivolt."""
    fmt = f"16+{offset}" if offset else "16"
    lines = [f"{name} {signal.shape[1]} {rate} {len(signal)}"]
    for column, lead in enumerate(leads):
        values = signal[:, column].tolist()
        lines.append(f"{file} {fmt} 1000/{unit} 16 0 {values[0]} {checksum(values)} 0 {lead}")
    return "\n".join([*lines, *comments]) + "\n"


def write_dat(stem: Path, signal: np.ndarray, rate: int = 100, leads: Sequence[str] = LEADS) -> None:
    """A record as in PTB-XL: .hea and .dat."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    signal.tofile(f"{stem}.dat")
    Path(f"{stem}.hea").write_text(header(stem.name, f"{stem.name}.dat", signal, rate, leads))


def write_mat(
    stem: Path,
    signal: np.ndarray,
    rate: int = 500,
    age: str = "60",
    sex: str = "Male",
    codes: str = "426177001",
    unit: str = "mV",
) -> None:
    """A record as in the Challenge: .hea with comments and a MATLAB v4 matrix `val`."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    head = struct.pack("<5i", 30, signal.shape[1], len(signal), 0, 4) + b"val\0"
    Path(f"{stem}.mat").write_bytes(head + signal.tobytes())
    comments = [f"#Age: {age}", f"#Sex: {sex}", f"#Dx: {codes}", "#Rx: Unknown"]
    text = header(stem.name, f"{stem.name}.mat", signal, rate, unit=unit, offset=24, comments=comments)
    Path(f"{stem}.hea").write_text(text)


STATEMENTS = pd.DataFrame(
    [
        ("NDT", 1.0, 1.0, None, "STTC", "STTC"),
        ("NORM", 1.0, None, None, "NORM", "NORM"),
        ("IMI", 1.0, None, None, "MI", "IMI"),
        ("AMI", 1.0, None, None, "MI", "AMI"),
        ("LVOLT", None, 1.0, None, None, None),
        ("SR", None, None, 1.0, None, None),
    ],
    columns=["", "diagnostic", "form", "rhythm", "diagnostic_class", "diagnostic_subclass"],
)


def write_ptbxl(root: Path, codes: Sequence[str], samples: int = 1000) -> pd.DataFrame:
    """A PTB-XL folder at 100 Hz, one record for each `scp_codes` cell; returns its table."""
    root.mkdir(parents=True, exist_ok=True)
    rows = []
    for position, cell in enumerate(codes):
        ecg_id = 1001 + position
        stem = f"records100/01000/{ecg_id:05d}_lr"
        write_dat(root / stem, ecg(ecg_id, samples), leads=[lead.upper() for lead in LEADS])
        fold = position % 10 + 1
        row = (ecg_id, 70.0 + position // 2, 50.0 + position, position % 2, cell, fold)
        rows.append((*row, stem, stem.replace("100/", "500/").replace("_lr", "_hr")))
    columns = ["ecg_id", "patient_id", "age", "sex", "scp_codes", "strat_fold", "filename_lr", "filename_hr"]
    table = pd.DataFrame(rows, columns=columns)
    table.to_csv(root / "ptbxl_database.csv", index=False)
    STATEMENTS.to_csv(root / "scp_statements.csv", index=False)
    return table


def write_sheet(root: Path, rhythms: Sequence[str], ages: Sequence[int] | None = None) -> pd.DataFrame:
    """A Diagnostics.xlsx whose rows differ in their attributes; returns it."""
    root.mkdir(parents=True, exist_ok=True)
    rows = []
    for position, rhythm in enumerate(rhythms):
        age = ages[position] if ages else 40 + position
        sex = "MALE" if position % 2 else "FEMALE"
        beat = "NONE" if position % 3 else "RBBB TWC"
        name = f"MUSE_20200101_000000_{position:05d}"
        rows.append((name, rhythm, beat, age, sex, *range(50 + position, 61 + position)))
    columns = ["FileName", "Rhythm", "Beat", "PatientAge", "Gender", *ATTRIBUTES]
    sheet = pd.DataFrame(rows, columns=columns)
    sheet.to_excel(root / "Diagnostics.xlsx", index=False)
    return sheet


def write_muse(path: Path, microvolts: np.ndarray, titled: bool = False) -> None:
    """A figshare CSV: microvolts, one row a sample."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(microvolts, columns=list(LEADS)).to_csv(path, index=False, header=titled)
