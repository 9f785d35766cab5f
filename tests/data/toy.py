"""A toy corpus that is made when it is asked for: its index, and a reader that reads no file."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.data.corpus import CorpusIndex, RawRecord, Task, label_table, record_table
from tests.data.folders import ecg


def index_of(count: int) -> CorpusIndex:
    """The index of so many records, each its own path, of alternating class."""
    names = [f"s{number}" for number in range(count)]
    task = Task("t", "single", ("a", "b"))
    return CorpusIndex(
        name="toy-sim",
        title="toy-sim (simulated)",
        records=record_table({"record": names, "path": names}),
        labels=label_table((name, "t", "ab"[position % 2]) for position, name in enumerate(names)),
        tasks={"t": task},
        simulated=True,
        facts={"seed": 3},
    )


@dataclass(frozen=True)
class ToyReader:
    """Makes its records when asked; every third has another length and rate."""

    count: int
    samples: int = 100

    def index(self, root: Path) -> CorpusIndex:
        return index_of(self.count)

    def read(self, root: Path, path: str) -> RawRecord:
        number = int(path[1:])
        longer = number % 3 == 0
        content = ecg(number, self.samples * (5 if longer else 1))
        return RawRecord(content.astype(np.float32) / np.float32(1000), 500.0 if longer else 100.0)
