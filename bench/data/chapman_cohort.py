"""Chapman's Diagnostics.xlsx without any signal: classes, the official Good Views split, cohorts, duplicates.

Row k of the sheet, in its own order and counted from 1, is record JS{k:05d}: never sort it. `AF` is atrial
FLUTTER and `SA` sinus irregularity here. Facts from the Good Views spec, a.1 to a.6.
"""

import hashlib
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from bench.data.corpus import ATTRIBUTES, CorpusError, Note
from bench.data.tables import coerce_numbers, read_table

Cohort = Literal["paper", "recommended", "all"]
"""'paper': adults less twelve records; 'recommended': adults with a sound signal, no duplicates; 'all'."""

Form = Literal["denoised", "raw", "wfdb"]
"""The distribution: figshare's ECGDataDenoised or ECGData, or PhysioNet's and the Challenge's WFDB."""

RHYTHMS: dict[str, str] = {
    "SB": "SB",
    "SR": "SR",
    "AFIB": "AFIB",
    "ST": "GSVT",
    "SVT": "GSVT",
    "AF": "AFIB",
    "SA": "SR",
    "AT": "GSVT",
    "AVNRT": "GSVT",
    "AVRT": "GSVT",
    "SAAWR": "GSVT",
}
"""The eleven rhythms, most frequent first, and the merged class of each."""

CLASSES = ("AFIB", "GSVT", "SB", "SR")

SHEET_COLUMNS = ("FileName", "Rhythm", "Beat", "PatientAge", "Gender", *ATTRIBUTES)

_PAPER_NAN = (
    "20180712_152022_92000 20180712_151351_36000 20180712_151353_58000 20180712_153632_30000"
    " 20180712_152114_47000 20180712_151357_86000 20180712_152024_00000 20180712_152014_31000"
    " 20180113_181145_89000 20180712_153140_95000 20180113_180425_75000 20180712_152019_73000"
)
_OTHER_NAN = (
    "20180119_174843_24000 20180210_130454_71000 20180114_124230_39000 20180114_080214_06000"
    " 20180120_121805_89000"
)
PAPER_NAN = frozenset(f"MUSE_{stem}" for stem in _PAPER_NAN.split())
"""Denoised files with NaN that the paper's code leaves out."""

OTHER_NAN = frozenset(f"MUSE_{stem}" for stem in _OTHER_NAN.split())
"""Denoised files with NaN of children, who leave the paper's cohort by age."""

PUBLISHED_NAMES = "86df3f2b951dbf82e8656789fd4d21ff5b4108fcb15d20e8a60e9fc0d85064ac"
"""SHA-256 of the published sheet's FileName column, a name a line, without a last line end."""

SHORT = "MUSE_20180113_124215_52000"
"""A denoised file with too few rows; dropped by hand from the paper's training ids, so it is in no part."""

ZERO_PREFIX = "MUSE_20181222_"
"""Forty denoised files, all SVT, hold nothing but zeros."""


def read_sheet(path: Path, notes: list[Note] | None = None) -> pd.DataFrame:
    """Diagnostics.xlsx by column name, in the sheet's own row order.

    Args:
        notes: takes a note for every age or measurement that is no number.

    Raises:
        CorpusError: the file is damaged, a column is missing or a rhythm is none of the eleven.
    """
    sheet = read_table(path, SHEET_COLUMNS, "Chapman's labels and attributes are in it")
    texts = sheet[["PatientAge", *ATTRIBUTES]].select_dtypes(exclude="number")
    coerce_numbers(sheet, [str(name) for name in texts.columns], "FileName", [] if notes is None else notes)
    strange = sorted(set(sheet["Rhythm"].astype(str)) - set(RHYTHMS))
    if strange:
        raise CorpusError(f"{path} has rhythm {strange[0]!r}, none of {', '.join(RHYTHMS)}")
    return sheet[list(SHEET_COLUMNS)].astype({"FileName": str, "Rhythm": str, "Gender": str})


def has_official_split(sheet: pd.DataFrame) -> bool:
    """Whether the sheet is the published one: the official split is of its FileNames in their order."""
    names = "\n".join(sheet["FileName"]).encode()
    return hashlib.sha256(names).hexdigest() == PUBLISHED_NAMES


def official_parts(sheet: pd.DataFrame, form: Form = "denoised") -> pd.Series:
    """The published Good Views split of every row of the sheet (spec a.6).

    The FileName array is shuffled in place by numpy's legacy generator seeded 926, cut at floor(0.6 n) and
    floor(0.8 n). It knows neither ages nor classes. The record whose denoised file is short was then taken
    out by hand; in the other forms it is sound and stays in the training part.

    Returns:
        'train', 'val', 'test' or '', aligned with the sheet.
    """
    names = sheet["FileName"].to_numpy(copy=True)
    np.random.RandomState(926).shuffle(names)
    count = len(names)
    first, second = int(0.6 * count), int(0.8 * count)
    part = dict.fromkeys(names[:first], "train")
    part |= dict.fromkeys(names[first:second], "val")
    part |= dict.fromkeys(names[second:], "test")
    if form == "denoised":
        part[SHORT] = ""
    return sheet["FileName"].map(part)


def first_of_duplicates(sheet: pd.DataFrame) -> pd.Series:
    """For every row the FileName of the first row equal to it in every column but FileName (14 pairs)."""
    return sheet.groupby([c for c in SHEET_COLUMNS if c != "FileName"], dropna=False)["FileName"].transform(
        "first"
    )


def exclusions(sheet: pd.DataFrame, cohort: Cohort, form: Form = "denoised") -> pd.Series:
    """Why each row is not in a cohort; '' where it is.

    'paper' names its twelve records whatever the form, as the paper does; 'recommended' leaves out what is
    broken in the form at hand. A row without a record in the form (`exists`) never stands for its duplicate.
    """
    reason = pd.Series("", index=sheet.index, dtype="object")
    if cohort == "all":
        return reason
    names = sheet["FileName"]
    _mark(reason, sheet["PatientAge"] < 18, "under 18 years")
    if cohort == "paper":
        _mark(reason, names.isin(PAPER_NAN), "one of the twelve records with NaN the paper leaves out")
        return reason
    if form == "denoised":
        _mark(reason, names.isin(PAPER_NAN | OTHER_NAN), "its denoised file holds NaN")
        _mark(reason, names == SHORT, "its denoised file is too short")
        _mark(reason, names.str.startswith(ZERO_PREFIX), "its denoised file is all zero")
    eligible = (reason == "") & exists(sheet, form)
    columns = [name for name in SHEET_COLUMNS if name != "FileName"]
    repeated = sheet[eligible].duplicated(columns).reindex(sheet.index, fill_value=False)
    _mark(reason, repeated, "a duplicate of an earlier row")
    return reason


def exists(sheet: pd.DataFrame, form: Form) -> pd.Series:
    """Whether a row has a record in a distribution: the WFDB copies lack every SA."""
    return sheet["Rhythm"] != "SA" if form == "wfdb" else pd.Series(True, index=sheet.index)


def cohort_table(
    sheet: pd.DataFrame, cohort: Cohort = "recommended", form: Form = "denoised"
) -> pd.DataFrame:
    """Class sizes of a cohort by official part; needs no signals (the paper's Table 2).

    Returns:
        Index AFIB, GSVT, SB, SR, all; columns train, val, test, total. A record in no part counts in total.
    """
    kept = (exclusions(sheet, cohort, form) == "") & exists(sheet, form)
    classes = sheet.loc[kept, "Rhythm"].map(RHYTHMS)
    table = pd.crosstab(classes, official_parts(sheet, form)[kept])
    table = table.reindex(index=list(CLASSES), columns=["train", "val", "test"], fill_value=0)
    table["total"] = classes.value_counts().reindex(CLASSES, fill_value=0)
    table.loc["all"] = table.sum()
    return table.rename_axis(index=None, columns=None)


def _mark(reason: pd.Series, rows: pd.Series, text: str) -> None:
    """Give the rows a reason that have none yet."""
    reason[rows & (reason == "")] = text
