"""A simulated cohort in the Challenge 2021's layout: training/DATABASE/g1/RECORD.hea and .mat, with defects.

They are those of the published files: unknown ages, `#Dx` lists that end in a comma or name a code twice, the
unit 'mv', comments with and without a space, missing samples.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from bench.data.leads import LEADS
from bench.data.simulator.blocks import BLOCK, generator
from bench.data.simulator.cinc2021 import make_block
from bench.data.simulator.cinc2021_databases import DATABASES, Database
from bench.data.simulator.files import microvolts, write_challenge_header, write_mat
from bench.data.simulator.ptbxl_files import resample

MISSING = -32768
"""WFDB's 'missing' in format 16."""

_PURPOSE = 4
_DOUBLED = "284470004"  # premature atrial contraction, which Georgia's lists name twice
_TWICE = 0.15  # of them


@dataclass(frozen=True)
class CincFiles:
    """A cohort of so many records of eight databases, each at its own rate."""

    records: int
    seed: int

    @property
    def blocks(self) -> int:
        """Blocks that hold the records."""
        return -(-self.records // BLOCK)

    def write_block(self, folder: Path, block: int) -> pd.DataFrame:
        """Simulate a block, write its records below `folder` and return their rows."""
        made = make_block(self.seed, block)
        rng = generator(_PURPOSE, self.seed, block)
        defects = [_defects(DATABASES[name], rng) for name in made.rows["database"]]
        rows = made.rows.iloc[: self.records - block * BLOCK]
        for (_, row), defect, signal in zip(rows.iterrows(), defects, made.signals, strict=False):
            facts = DATABASES[row["database"]]
            path = folder / f"{row['path']}.mat"
            path.parent.mkdir(parents=True, exist_ok=True)
            stored = _stored(signal, facts)
            for lead in defect.leads:
                stored[lead, defect.start : defect.start + defect.samples] = MISSING
            write_mat(path, stored)
            comments = _comments(row, defect)
            write_challenge_header(
                path.with_suffix(".hea"), stored, LEADS, comments, facts.rate, facts.dialect
            )
        return rows

    def write_tables(self, folder: Path, rows: pd.DataFrame) -> None:
        """Write the RECORDS files: of the folders, and in each of its records."""
        places = rows["path"].str.rsplit("/", n=1)
        leaves = {str(leaf): list(names) for leaf, names in places.str[1].groupby(places.str[0], sort=True)}
        for leaf, names in leaves.items():
            (folder / leaf / "RECORDS").write_text("\n".join(sorted(names)) + "\n")
        (folder / "RECORDS").write_text("".join(f"{leaf}/\n" for leaf in leaves))


@dataclass(frozen=True)
class Defects:
    """What is wrong with a record's files; `samples` from `start` on are missing in `leads`."""

    no_age: bool
    no_sex: bool
    comma: bool
    twice: bool
    leads: tuple[int, ...]
    start: int
    samples: int


def _defects(facts: Database, rng: np.random.Generator) -> Defects:
    chance = rng.random(5)
    leads = rng.choice(len(LEADS), rng.integers(1, 4), replace=False)
    return Defects(
        no_age=chance[0] < facts.no_age,
        no_sex=chance[1] < facts.no_sex,
        comma=chance[2] < facts.commas,
        twice=facts.prefix == "E" and chance[3] < _TWICE,
        leads=tuple(leads.tolist()) if chance[4] < facts.gaps else (),
        start=int(rng.integers(0, 2000)),
        samples=int(rng.integers(1, 40)),
    )


def _stored(signal: np.ndarray, facts: Database) -> np.ndarray:
    """(12, samples) int16 microvolts at the database's rate."""
    native = resample(signal[None], facts.rate)[0]
    if facts.offset is None:
        native = native - native.mean(axis=1, keepdims=True)
    return microvolts(native)


def _comments(row: pd.Series, defect: Defects) -> dict[str, str]:
    codes = row["codes"].split(",")
    if defect.twice and _DOUBLED in codes:
        codes.append(_DOUBLED)
    unknown = "0" if row["database"] == "ningbo" else "NaN"
    return {
        "Age": unknown if defect.no_age else f"{row['age']:.0f}",
        "Sex": "Unknown" if defect.no_sex else "Female" if row["female"] else "Male",
        "Dx": ",".join(codes) + ("," if defect.comma else ""),
        **dict.fromkeys(("Rx", "Hx", "Sx"), "Unknown"),
    }
