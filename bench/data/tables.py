"""Reading the tables a corpus comes with. Whatever is wrong with one is a single `CorpusError` line."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from bench.data.corpus import CorpusError, Note


def read_table(path: Path, columns: Sequence[str], remedy: str, text: bool = False) -> pd.DataFrame:
    """Read a CSV (UTF-8) or .xlsx table that must have some columns.

    Args:
        path: the file; its suffix tells the format.
        columns: names it must have; more are kept.
        remedy: said when the file is missing: what it is for.
        text: leave every cell of a CSV file as text, empty cells as ''.

    Raises:
        CorpusError: the file is missing, cannot be read, is no table, or lacks a column.
    """
    try:
        if path.suffix == ".xlsx":
            table = pd.read_excel(path, engine="openpyxl")
        elif text:
            table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        else:
            table = pd.read_csv(path, encoding="utf-8-sig", low_memory=False)
    except FileNotFoundError:
        raise CorpusError(f"{path.name} is missing in {path.parent}; {remedy}") from None
    except UnicodeDecodeError:
        raise CorpusError(f"{path} is not in UTF-8; save it as UTF-8 or fetch it again") from None
    except Exception as error:  # openpyxl raises whatever zip, XML or its own look-ups raised
        reason = " ".join(str(error).split())[:120]
        raise CorpusError(f"{path} cannot be read ({reason}); fetch or write it again") from None
    absent = [name for name in columns if name not in table]
    if absent:
        raise CorpusError(f"{path} lacks the column {', '.join(absent)}; it needs {', '.join(columns)}")
    return table


def coerce_numbers(table: pd.DataFrame, columns: Sequence[str], record: str, notes: list[Note]) -> None:
    """Make columns numeric, in place: what is no finite number becomes NaN and is noted.

    Args:
        columns: names in `table`.
        record: the column whose value names a row in its note.
    """
    for name in columns:
        given = table[name]
        values = pd.to_numeric(given, errors="coerce").astype(float)
        values = values.where(values.abs() != float("inf"))
        for row in table.index[values.isna() & given.notna()]:
            reason = f"{name} {str(given[row])[:40]!r} is no number; taken as unknown"
            named = table.loc[row, record]
            notes.append(Note(f"{named:.0f}" if isinstance(named, float) else str(named), "note", reason))
        table[name] = values
