"""A tiny prepared corpus whose classes can be told apart, for tests of everything above the data layer."""

from pathlib import Path

import numpy as np
import pandas as pd

from bench.data.corpus import ATTRIBUTES, CorpusIndex, PreparedCorpus, RawRecord, Task
from bench.data.writer import write_prepared

RHYTHM = Task("rhythm", "single", ("slow", "fast"))
FINDINGS = Task("findings", "multi", ("big", "inverted", "odd"))


def tiny_corpus(folder: Path, records: int = 60, seed: int = 0, seconds: float = 4.0) -> PreparedCorpus:
    """Records of two rhythms and three findings at 50 Hz; every third patient has two records."""
    rng = np.random.default_rng(seed)
    fast = rng.random(records) < 0.5
    big, inverted = rng.random(records) < 0.4, rng.random(records) < 0.3
    time = np.arange(int(seconds * 50)) / 50
    signals = []
    for i in range(records):
        wave = np.sin(2 * np.pi * (2.6 if fast[i] else 1.1) * time + rng.uniform(0, 6)) ** 7
        gains = np.linspace(0.6, 1.2, 12) * (1.6 if big[i] else 1.0) * (-1 if inverted[i] else 1)
        noise = 0.05 * rng.standard_normal((len(time), 12))
        signals.append(RawRecord((wave[:, None] * gains + noise).astype(np.float32), 50.0))
    table = pd.DataFrame({"record": [f"r{i:03d}" for i in range(records)]})
    table["patient"] = [f"p{(2 * i) // 3:03d}" for i in range(records)]
    table["age"] = rng.integers(20, 90, records).astype(float)
    table["sex"] = np.where(rng.random(records) < 0.5, "male", "female")
    table["source"] = "tiny"
    table["fold"] = 0
    codes = pd.factorize(table["patient"])[0]
    table["part"] = np.array(["train", "train", "train", "val", "test"])[codes % 5]
    for column in ATTRIBUTES:
        table[column] = np.where(fast, 150.0, 60.0) + rng.normal(0, 5, records)
    table["path"] = ""
    labels = [(r, "rhythm", "fast" if f else "slow") for r, f in zip(table["record"], fast, strict=True)]
    for i, record in enumerate(table["record"]):
        names = [n for n, on in (("big", big[i]), ("inverted", inverted[i]), ("odd", i % 7 == 0)) if on]
        labels += [(record, "findings", name) for name in names]
    index = CorpusIndex(
        "tiny-sim",
        f"tiny-sim ({records} simulated records)",
        table,
        pd.DataFrame(labels, columns=["record", "task", "label"]),
        {"rhythm": RHYTHM, "findings": FINDINGS},
        simulated=True,
    )
    return write_prepared(index, signals, folder, 50)
