"""A simulated cohort in PTB-XL's layout: records100, records500, ptbxl_database.csv, scp_statements.csv."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from bench.data.leads import LEADS
from bench.data.simulator.blocks import BLOCK
from bench.data.simulator.files import microvolts, write_dat, write_ptbxl_header
from bench.data.simulator.ptbxl import make_block
from bench.data.simulator.ptbxl_facts import SUPERCLASS_SETS
from bench.data.simulator.ptbxl_rows import COLUMNS
from bench.data.simulator.recording import RATE
from bench.data.simulator.statements import COLUMNS as STATEMENT_COLUMNS
from bench.data.simulator.statements import STATEMENTS

SUFFIX = {100: "lr", 500: "hr"}
"""End of a record's name at each rate."""


@dataclass(frozen=True)
class PtbxlFiles:
    """A cohort of so many records at one or both rates."""

    records: int
    seed: int
    rates: tuple[int, ...] = (100,)

    @property
    def blocks(self) -> int:
        """Blocks that hold the records."""
        return -(-self.records // BLOCK)

    def write_block(self, folder: Path, block: int) -> pd.DataFrame:
        """Simulate a block, write its signals below `folder` and return its rows, less the folds."""
        made = make_block(self.seed, block)
        rows = made.rows.iloc[: self.records - block * BLOCK].copy()
        for rate, suffix in SUFFIX.items():
            names = [_file_name(ecg_id, rate) for ecg_id in rows["ecg_id"]]
            rows[f"filename_{suffix}"] = names
            if rate in self.rates:
                signals = microvolts(resample(made.signals[: len(rows)], rate))
                for name, signal in zip(names, signals, strict=True):
                    path = folder / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    write_dat(path.with_suffix(".dat"), signal)
                    write_ptbxl_header(path.with_suffix(".hea"), signal, LEADS, rate)
        return rows

    def write_tables(self, folder: Path, rows: pd.DataFrame) -> None:
        """Write ptbxl_database.csv, with folds, and scp_statements.csv."""
        rows = rows.assign(strat_fold=folds(rows["patient_id"], rows["superclasses"]))
        rows[list(COLUMNS)].to_csv(folder / "ptbxl_database.csv", index=False)
        _write_statements(folder / "scp_statements.csv")


def resample(signals: np.ndarray, rate: int) -> np.ndarray:
    """Signals (n, 12, samples) from 500 Hz to `rate`, band-limited."""
    from scipy.signal import resample_poly

    if rate == RATE:
        return signals
    return resample_poly(signals, rate, RATE, axis=2, padtype="line")


def folds(patient: pd.Series, stratum: pd.Series) -> np.ndarray:
    """Folds 1 to 10 (n,) by patient: within each stratum patients are dealt out in turn, as they come.

    Each stratum begins at another fold. A patient's fold depends only on the patients before it.

    Args:
        stratum: keys of `SUPERCLASS_SETS`.
    """
    patients = pd.DataFrame({"patient": patient, "stratum": stratum}).drop_duplicates("patient")
    starts = {name: 3 * place for place, name in enumerate(SUPERCLASS_SETS)}
    turn = patients.groupby("stratum").cumcount() + patients["stratum"].map(starts)
    fold = dict(zip(patients["patient"], turn % 10 + 1, strict=True))
    return patient.map(fold).to_numpy()


def _file_name(ecg_id: int, rate: int) -> str:
    return f"records{rate}/{ecg_id // 1000 * 1000:05d}/{ecg_id:05d}_{SUFFIX[rate]}"


def _write_statements(path: Path) -> None:
    with path.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(STATEMENT_COLUMNS)
        for statement in STATEMENTS.values():
            kinds = ["1.0" if kind in statement.kinds else "" for kind in "dfr"]
            named = [statement.code, statement.name, *kinds, statement.superclass, statement.subclass]
            table.writerow(named + [""] * (len(STATEMENT_COLUMNS) - len(named)))
