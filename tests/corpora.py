"""Tiny prepared corpora whose classes can be told apart, for tests of everything above the data layer."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from bench.data.corpus import ATTRIBUTES, CorpusIndex, PreparedCorpus, RawRecord, Task
from bench.data.writer import write_prepared

RHYTHM = Task("rhythm", "single", ("slow", "fast"))
FINDINGS = Task("findings", "multi", ("big", "inverted", "odd"))
PACE = Task("pace", "single", ("calm", "steady", "busy"))
SIDE = Task("side", "single", ("left", "right"))

PARTS = np.array(["train", "train", "train", "val", "test"])


def tiny_corpus(
    folder: Path,
    records: int = 60,
    seed: int = 0,
    seconds: float = 4.0,
    *,
    folds: bool = False,
    short: int = 0,
    backwards: bool = False,
) -> PreparedCorpus:
    """Records of two rhythms and three findings at 50 Hz; every third patient has two records.

    Args:
        folds: five of them, of which the last two are val and test; else all records are in none.
        short: every so many-th record is half as long; 0: none is.
        backwards: the same records in reversed order.
    """
    rng = np.random.default_rng(seed)
    fast = rng.random(records) < 0.5
    big, inverted = rng.random(records) < 0.4, rng.random(records) < 0.3
    time = np.arange(int(seconds * 50)) / 50
    signals = []
    for i in range(records):
        wave = np.sin(2 * np.pi * (2.6 if fast[i] else 1.1) * time + rng.uniform(0, 6)) ** 7
        gains = np.linspace(0.6, 1.2, 12) * (1.6 if big[i] else 1.0) * (-1 if inverted[i] else 1)
        noise = 0.05 * rng.standard_normal((len(time), 12))
        length = len(time) // 2 if short and i % short == short - 1 else len(time)
        signals.append(RawRecord((wave[:, None] * gains + noise)[:length].astype(np.float32), 50.0))
    table = pd.DataFrame({"record": [f"r{i:03d}" for i in range(records)]})
    table["patient"] = [f"p{(2 * i) // 3:03d}" for i in range(records)]
    table["age"] = rng.integers(20, 90, records).astype(float)
    table["sex"] = np.where(rng.random(records) < 0.5, "male", "female")
    table["source"] = "tiny"
    codes = pd.factorize(table["patient"])[0]
    table["fold"] = codes % 5 + 1 if folds else 0
    table["part"] = PARTS[codes % 5]
    for column in ATTRIBUTES:
        table[column] = np.where(fast, 150.0, 60.0) + rng.normal(0, 5, records)
    table["height"], table["weight"] = rng.normal(170, 8, records), rng.normal(75, 9, records)
    table["path"] = ""
    labels = [(r, "rhythm", "fast" if f else "slow") for r, f in zip(table["record"], fast, strict=True)]
    for i, record in enumerate(table["record"]):
        names = [n for n, on in (("big", big[i]), ("inverted", inverted[i]), ("odd", i % 7 == 0)) if on]
        labels += [(record, "findings", name) for name in names]
    index = CorpusIndex(
        "tiny-sim",
        f"tiny-sim ({records} simulated records)",
        table[::-1] if backwards else table,
        pd.DataFrame(labels, columns=["record", "task", "label"]),
        {"rhythm": RHYTHM, "findings": FINDINGS},
        simulated=True,
    )
    return write_prepared(index, signals[::-1] if backwards else signals, folder, 50)


def other_corpus(
    folder: Path,
    records: int = 40,
    seed: int = 7,
    *,
    name: str = "other-sim",
    ids: str = "q{:03d}",
    copies: Mapping[int, np.ndarray] | None = None,
    moved: Mapping[int, str] | None = None,
) -> PreparedCorpus:
    """Records at 50 Hz, two a patient, which look like none of another seed or of `tiny_corpus`.

    They are of three paces; of every other patient a side is known too.

    Args:
        name: a simulated cohort ends in '-sim'.
        ids: of a record, from its row.
        copies: int16 microvolts (samples, 12) that stand in some rows in place of their own signals.
        moved: official part of some rows, whatever their patients' is.
    """
    rng = np.random.default_rng(seed)
    time, pace = np.arange(200) / 50, np.arange(records) // 2 % 7 % 3
    rows = np.arange(records)
    signals = []
    for i in rows:
        own = np.sin(
            2 * np.pi * rng.uniform(2, 12, (8, 1, 12)) * time[:, None] + rng.uniform(0, 6, (8, 1, 12))
        )
        wave = np.sin(2 * np.pi * (1.3, 2.4, 3.7)[pace[i]] * time + rng.uniform(0, 6)) ** 7
        signal = 0.4 * own.sum(0) + wave[:, None]
        signals.append(signal if copies is None or i not in copies else copies[i] / 1e3)
    part = PARTS[rows // 2 % 5].astype(object)
    for row, where in (moved or {}).items():
        part[row] = where
    table = pd.DataFrame(
        {"record": [ids.format(i) for i in rows], "patient": [f"x{i // 2:03d}" for i in rows]}
    )
    table = table.assign(age=50.0, sex="female", source="other", fold=0, part=part, path="")
    table = table.assign(height=165.0, weight=60.0)
    table = table.assign(**dict.fromkeys(ATTRIBUTES, 60.0))
    labels = [(record, "pace", PACE.classes[k]) for record, k in zip(table["record"], pace, strict=True)]
    labels += [(table["record"][i], "side", SIDE.classes[i % 2]) for i in rows if i // 2 % 2 == 0]
    index = CorpusIndex(
        name,
        f"{name} ({records} records)",
        table,
        pd.DataFrame(labels, columns=["record", "task", "label"]),
        {"pace": PACE, "side": SIDE},
        simulated=name.endswith("-sim"),
    )
    raw = [RawRecord(signal.astype(np.float32), 50.0) for signal in signals]
    return write_prepared(index, raw, folder, 50)
