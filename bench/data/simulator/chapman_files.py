"""A simulated cohort in Chapman's layouts: WFDB in numbered folders or figshare's CSV; Diagnostics.xlsx."""

import re
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from bench.data.leads import LEADS
from bench.data.simulator.blocks import BLOCK
from bench.data.simulator.chapman import make_block, rhythm_of
from bench.data.simulator.files import microvolts, write_challenge_header, write_csv, write_mat

Layout = Literal["wfdb", "figshare", "figshare-denoised"]

LAYOUTS: tuple[Layout, ...] = ("wfdb", "figshare", "figshare-denoised")

_DENOISED = 0.12  # of the noise survives denoising


@dataclass(frozen=True)
class ChapmanFiles:
    """A cohort of so many records with signal; in the WFDB layout, as in the real one, rhythm SA has none."""

    records: int
    seed: int
    layout: Layout = "wfdb"

    @cached_property
    def rows(self) -> int:
        """Rows of the sheet: up to the last record with a signal."""
        return int(np.flatnonzero(self._stored(np.arange(2 * self.records + BLOCK)))[self.records - 1]) + 1

    @property
    def blocks(self) -> int:
        """Blocks that hold the rows."""
        return -(-self.rows // BLOCK)

    def write_block(self, folder: Path, block: int) -> pd.DataFrame:
        """Simulate a block, write its signals below `folder` and return its rows of the sheet."""
        first = block * BLOCK
        made = make_block(self.seed, block, noise=_DENOISED if self.layout == "figshare-denoised" else 1.0)
        rows = made.rows.iloc[: self.rows - first]
        stored = self._stored(np.arange(first, first + len(rows)))
        before = int(self._stored(np.arange(first)).sum())
        for row, place in zip(np.flatnonzero(stored), range(before, before + int(stored.sum())), strict=True):
            self._write(folder, place, f"JS{first + row + 1:05d}", rows.iloc[row], made.signals[row])
        return rows.drop(columns="snomed")

    def write_tables(self, folder: Path, rows: pd.DataFrame) -> None:
        """Write Diagnostics.xlsx and, for WFDB, the RECORDS files."""
        _write_sheet(folder / "Diagnostics.xlsx", rows)
        if self.layout == "wfdb":
            leaves = sorted({header.parent for header in folder.glob("WFDBRecords/*/*/*.hea")})
            for leaf in leaves:
                names = sorted(header.stem for header in leaf.glob("*.hea"))
                (leaf / "RECORDS").write_text("\n".join(names) + "\n")
            paths = [f"{leaf.relative_to(folder).as_posix()}/" for leaf in leaves]
            (folder / "RECORDS").write_text("\n".join(paths) + "\n")

    def _stored(self, rows: np.ndarray) -> np.ndarray:
        return (rhythm_of(rows, self.seed) != "SA") | (self.layout != "wfdb")

    def _write(self, folder: Path, place: int, name: str, row: pd.Series, signal: np.ndarray) -> None:
        if self.layout == "wfdb":
            leaf = (
                folder
                / "WFDBRecords"
                / f"{place // 1000 + 1:02d}"
                / f"{place // 1000 + 1:02d}{place // 100 % 10}"
            )
            leaf.mkdir(parents=True, exist_ok=True)
            stored = microvolts(signal)
            write_mat(leaf / f"{name}.mat", stored)
            write_challenge_header(leaf / f"{name}.hea", stored, LEADS, _comments(row))
        else:
            raw = self.layout == "figshare"
            leaf = folder / ("ECGData" if raw else "ECGDataDenoised")
            leaf.mkdir(exist_ok=True)
            write_csv(leaf / f"{row['FileName']}.csv", signal, LEADS if raw else ())


def _comments(row: pd.Series) -> dict[str, str]:
    unknown = dict.fromkeys(("Rx", "Hx", "Sx"), "Unknown")
    return {
        "Age": str(row["PatientAge"]),
        "Sex": str(row["Gender"]).capitalize(),
        "Dx": row["snomed"],
        **unknown,
    }


def _write_sheet(path: Path, rows: pd.DataFrame) -> None:
    from openpyxl import Workbook

    book = Workbook(write_only=True)
    sheet = book.create_sheet("Sheet1")
    sheet.append(list(rows.columns))
    for row in rows.astype(object).itertuples(index=False):
        sheet.append(list(row))
    book.save(path)
    _forget_time(path)


def _forget_time(path: Path) -> None:
    """Take the time of writing out of an xlsx file: equal tables must be equal bytes."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    stamp = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
    parts["docProps/core.xml"] = stamp.sub(b"1900-01-01T00:00:00Z", parts["docProps/core.xml"])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, content, compress_type=zipfile.ZIP_DEFLATED)
