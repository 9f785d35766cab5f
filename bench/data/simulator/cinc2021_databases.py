"""The eight source databases of the cohort in the Challenge 2021's layout: patients, recordings, headers.

They differ enough that a database can be told from its ECGs, as the real ones can. What is annotated is in
`bench.data.simulator.cinc2021_facts`.
"""

from dataclasses import dataclass
from typing import Literal

from bench.data.simulator.files import Dialect

Habit = Literal["always", "alone"]


@dataclass(frozen=True)
class Database:
    """A source database.

    Attributes:
        share: of the cohort.
        folder: below `training`.
        prefix, first, digits: of record ids: the first one is prefix + first, with zeros to so many digits.
        rate: Hz.
        seconds: length: median, spread (SD of the logarithm), least, most.
        whole: share of records that are ten seconds long in spite of that.
        age, female: years and share above Chapman's, with the same rhythm.
        noise: factors of baseline wander, mains hum and tremor.
        offset: mV (SD) of an electrode's constant; None: each lead's mean is removed.
        gain: of the signal.
        normal: whether sinus rhythm is named always, or where nothing else is named ('alone').
        named: share of these sinus rhythms that are named.
        else_named: the condition of the records that would have no code at all.
        dialect: of the header.
        no_age, no_sex: share of records without.
        gaps: share of records with missing samples.
        commas: share of `#Dx` lists that end in a comma.
    """

    share: float
    folder: str
    prefix: str
    rate: int
    dialect: Dialect
    else_named: str
    first: int = 1
    digits: int = 4
    seconds: tuple[float, float, float, float] = (10, 0, 10, 10)
    whole: float = 1.0
    age: float = 0.0
    female: float = 0.0
    noise: tuple[float, float, float] = (1.0, 1.0, 1.0)
    offset: float | None = 0.008
    gain: float = 1.0
    normal: Habit = "alone"
    named: float = 1.0
    no_age: float = 0.0
    no_sex: float = 0.0
    gaps: float = 0.0
    commas: float = 0.0


_LENGTHS = (12.0, 0.45, 6.0, 60.0)
_PHYSIONET = "16x1+24 1000.0(0)"

DATABASES: dict[str, Database] = {
    "cpsc": Database(
        share=0.12,
        folder="cpsc_2018",
        prefix="A",
        rate=500,
        dialect=Dialect(time="12-May-2020 12:33:59"),
        else_named="STD",
        seconds=_LENGTHS,
        whole=0.35,
        female=0.02,
        noise=(0.5, 2.0, 1.9),
        offset=None,
        gain=1.1,
    ),
    "cpsc_extra": Database(
        share=0.06,
        folder="cpsc_2018_extra",
        prefix="Q",
        rate=500,
        dialect=Dialect(time="15-May-2020 15:35:30"),
        else_named="STTC",
        seconds=_LENGTHS,
        whole=0.35,
        age=4,
        female=0.03,
        noise=(0.5, 2.0, 1.9),
        offset=None,
        gain=1.1,
        named=0.05,
        no_age=0.02,
        no_sex=0.01,
    ),
    "stpetersburg": Database(
        share=0.0025,
        folder="st_petersburg_incart",
        prefix="I",
        rate=257,
        dialect=Dialect(time="15-May-2020 15:45:06"),
        else_named="PVC",
        seconds=(120, 0.2, 90, 180),
        whole=0.0,
        female=0.02,
        noise=(2.0, 0.5, 2.4),
        offset=0.05,
        gain=0.92,
        named=0.0,
    ),
    "ptb": Database(
        share=0.03,
        folder="ptb",
        prefix="S",
        rate=1000,
        dialect=Dialect(form="16+24 1000/mv", time="15-May-2020 15:22:05"),
        else_named="MI",
        seconds=(28, 0.1, 22, 30),
        whole=0.0,
        age=5,
        female=-0.17,
        noise=(2.0, 1.5, 1.0),
        offset=None,
        no_age=0.03,
    ),
    "ptbxl": Database(
        share=0.22,
        folder="ptb-xl",
        prefix="HR",
        rate=500,
        dialect=Dialect(form=f"{_PHYSIONET}/mv", hash="# "),
        else_named="LVH",
        digits=5,
        age=4,
        female=0.04,
        noise=(1.2, 0.6, 1.3),
        normal="always",
    ),
    "georgia": Database(
        share=0.20,
        folder="georgia",
        prefix="E",
        rate=500,
        dialect=Dialect(time="05-May-2020 14:50:55"),
        else_named="STTC",
        digits=5,
        seconds=(7.5, 0.2, 5, 9.9),
        whole=0.94,
        age=6,
        female=0.02,
        noise=(1.6, 1.0, 0.9),
        offset=0.03,
        gain=0.92,
        no_age=0.03,
        gaps=0.01,
    ),
    "chapman": Database(
        share=0.15,
        folder="chapman_shaoxing",
        prefix="JS",
        rate=500,
        dialect=Dialect(time="23-Mar-2021 20:20:47"),
        else_named="STTC",
        digits=5,
        noise=(1.0, 1.0, 0.55),
        normal="always",
        gaps=0.01,
        commas=0.005,
    ),
    "ningbo": Database(
        share=0.22,
        folder="ningbo",
        prefix="JS",
        rate=500,
        dialect=Dialect(form=f"{_PHYSIONET}/mV", hash="# "),
        else_named="STTC",
        first=10_647,
        digits=5,
        age=-4,
        female=-0.01,
        noise=(0.8, 0.4, 0.35),
        gain=1.03,
        normal="always",
        no_age=0.01,
        gaps=0.01,
        commas=0.01,
    ),
}
"""The databases by the reader's names for them."""
