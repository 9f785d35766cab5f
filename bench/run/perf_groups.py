"""What grouping many embeddings costs: k-means, and the rankings of all attribute sets, on made-up embeddings."""

import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from bench.evaluate.group import Grouping, Units, ranking_table
from bench.nn.kmeans import kmeans
from bench.train.prototypes import AttributeGrid


@dataclass(frozen=True)
class GroupingTime:
    """Wall seconds of one task, and by how many MiB it raised the process's peak memory."""

    what: str
    seconds: float
    mebibytes: float


def grouping_times(
    units: int = 100_000, dim: int = 256, clusters: int = 40, restarts: int = 4
) -> Iterator[GroupingTime]:
    """Time k-means of overlapping blobs and of points without any group, and the rankings of 40 queries.

    Each patient has ten units. Threads are the caller's.
    """
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(units, dim, generator=generator)
    place = torch.randint(clusters, (units,), generator=generator)
    blobs = noise + 0.5 * torch.randn(clusters, dim, generator=generator)[place]
    size = f"{units:,} x {dim}"
    for what, points in (("overlapping groups", blobs), ("no groups", noise)):
        title = f"k-means of {size}, {what}, K = {clusters}, {restarts} restarts"
        yield _timed(title, partial(kmeans, points, clusters, 0, restarts))
    grouping, described = _queries(blobs, generator)
    asked = len(grouping.queries) if grouping.queries is not None else 0
    yield _timed(
        f"rankings of {asked} queries among {size}", lambda: ranking_table(grouping, described, "val")
    )


def _queries(points: Tensor, generator: torch.Generator) -> tuple[Grouping, Units]:
    """Forty queries, one an attribute set of PTB-XL, and the units they rank."""
    grid = AttributeGrid(classes=5, edges=(47.0, 61.0, 72.0))
    sets, count = grid.sets(), len(points)
    names = np.arange(count).astype(str)
    table = pd.DataFrame({"part": "val", "record": names, "patient": np.arange(count) // 10, "source": ""})
    codes = sets[torch.randint(len(sets), (count,), generator=generator)]
    nobody = torch.zeros(count, dtype=torch.bool)
    queries = torch.randn(len(sets), points.shape[1], generator=generator)
    grouping = Grouping({}, {}, sets, queries, sets, points)
    return grouping, Units(table.assign(start=0, lead=""), codes, nobody, nobody, grid)


def _timed(what: str, work: Callable[[], object]) -> GroupingTime:
    before, start = _peak(), time.perf_counter()
    work()
    return GroupingTime(what, time.perf_counter() - start, _peak() - before)


def _peak() -> float:
    """The process's highest memory so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
