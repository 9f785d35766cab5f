"""One CSV record in, a `RawRecord` out: a row a sample, a column a lead, with or without a header line."""

from pathlib import Path

import numpy as np
import pandas as pd

from bench.data.corpus import CorpusError, RawRecord
from bench.data.leads import LEADS, lead_positions

UNITS: dict[str, float] = {"mV": 1.0, "uV": 1e-3}
"""Millivolts in one of each unit a CSV record may be in."""


def read_csv_record(path: Path, rate: float, unit: str) -> RawRecord:
    """Read one record.

    A first line whose first field is no number names the leads; else they stand in the order of `LEADS`.
    Empty fields and 'nan' are missing samples.

    Args:
        rate: Hz; the file does not say.
        unit: a key of `UNITS`.

    Raises:
        CorpusError: no such file, a lead missing, a field that is no number.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            names = [name.strip().strip('"') for name in file.readline().split(",")]
        titled = not _is_number(names[0])
        table = pd.read_csv(path, header=None, skiprows=int(titled), dtype=np.float32, encoding="utf-8-sig")
    except FileNotFoundError:
        raise CorpusError(f"signal file {path.name} is missing") from None
    except ValueError as error:  # pandas' own errors are ValueErrors too
        raise CorpusError(
            f"{path.name} is no table of numbers: {' '.join(str(error).split())[:120]}"
        ) from None
    try:
        positions = lead_positions(names if titled else LEADS)
    except ValueError as error:
        raise CorpusError(str(error)) from None
    if table.shape[1] != len(LEADS):
        raise CorpusError(f"{path.name} has {table.shape[1]} columns; {len(LEADS)} leads are needed")
    signal = table.to_numpy()[:, positions] * np.float32(UNITS[unit])
    return RawRecord(np.ascontiguousarray(signal), rate)


def _is_number(field: str) -> bool:
    """Whether a field is a sample; an empty one is a missing sample."""
    try:
        float(field or "nan")
    except ValueError:
        return False
    return True
