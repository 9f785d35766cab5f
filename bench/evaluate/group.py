"""Groups of embeddings, and attribute sets as queries: the read-outs of CROCS (Kiyasseh et al. 2021, section 5).

Nothing is refitted on what is judged: k-means and class means come from the training part, own prototypes from the
fit. What is stored is who is in which group and what lies nearest to each query; metrics are views of it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.data.corpus import PreparedCorpus
from bench.data.leads import LEAD_SETS
from bench.evaluate.result import UNIT_COLUMNS
from bench.nn.kmeans import kmeans
from bench.nn.nearest import nearest
from bench.train.budget import InputSpec
from bench.train.build import Rows
from bench.train.inputs import record_fields
from bench.train.prototypes import GROUPED, SEXES, Attribute, AttributeGrid, Prototypes
from bench.train.strategy import Field
from bench.train.units import judged_units

DEPTH = 10
"""Units kept of each ranking."""

SAMPLE = 600
"""Validation units whose place is kept for figures."""

_RESTARTS = 10
_CHUNK = 65536


@dataclass(frozen=True)
class Units:
    """What is judged: a record, or an instance where the input spec does not aggregate.

    Attributes:
        table: `UNIT_COLUMNS` (part '' for what is in none), start (first sample, 0 for a record) and lead ('' for all).
        codes: (U, 3) int64 class, sex and age bin; -1 unknown.
        fitted, labelled: (U,) bool, in the training part; and within the label subset.
    """

    table: pd.DataFrame
    codes: Tensor
    fitted: Tensor
    labelled: Tensor
    grid: AttributeGrid


@dataclass(frozen=True)
class Grouping:
    """Groups of all units, and what may be asked for.

    Attributes:
        ids: (U,) int64 by attribute; clusters: how many ids there may be.
        stands: (G, 3) the values that each id stands for by construction, -1 none; None: ids are bare numbers.
        queries: (Q, P) points to rank the units by, NaN where a set has none; query_codes: (Q, 3).
        points: (U, P) the units in the same space.
        means: (M, P) mean of each attribute set of the label subset in that space; NaN where it is empty.
    """

    ids: Mapping[Attribute, Tensor]
    clusters: Mapping[Attribute, int]
    stands: Tensor | None = None
    queries: Tensor | None = None
    query_codes: Tensor | None = None
    points: Tensor | None = None
    means: Tensor | None = None


def describe_units(
    corpus: PreparedCorpus,
    task: str,
    rows: Rows,
    spec: InputSpec,
    lead_set_name: str,
    grid: AttributeGrid,
) -> Units:
    """The units of a corpus in the order of their embeddings."""
    lengths = corpus.records["length"].to_numpy()
    leads, count = LEAD_SETS[lead_set_name], len(lengths)
    units = judged_units(lengths, len(leads), spec)
    part = np.full(count, "", dtype=object)
    for name, where in (("train", rows.labelled), ("val", rows.val), ("test", rows.test)):
        part[where] = name
    known = np.concatenate([rows.labelled, rows.val, rows.test])
    needs = frozenset({Field.LABELS, Field.DEMOGRAPHICS})
    fields = record_fields(corpus, np.arange(count), needs, "the evaluation", task, known)
    codes = grid.codes(fields.column("labels"), fields.column("sex"), fields.column("age"))
    table = corpus.records.assign(part=part)[list(UNIT_COLUMNS)].iloc[units.record].reset_index(drop=True)
    names = np.array([*leads, ""], dtype=object)[units.lead]
    table = table.assign(start=units.start.astype(np.int64), lead=names)
    place = torch.from_numpy(units.record)
    return Units(
        table, codes[place], _member(rows.train, count)[place], _member(rows.labelled, count)[place], grid
    )


def _member(rows: np.ndarray, count: int) -> Tensor:
    inside = torch.zeros(count, dtype=torch.bool)
    inside[torch.from_numpy(rows)] = True
    return inside


@dataclass(frozen=True)
class GroupingData:
    """What a read-out may see.

    Attributes:
        embeddings: (U, D) float32.
        attributes: those whose groups are wanted.
        fit: the strategy; only its own prototypes need it.
    """

    embeddings: Tensor
    units: Units
    attributes: Sequence[Attribute]
    seed: int
    fit: Prototypes | None = None


def by_kmeans(data: GroupingData) -> Grouping:
    """KM: for each attribute k-means of the training part with as many clusters as it has values, nearest centre."""
    counts = dict(zip(GROUPED, data.units.grid.counts, strict=True))
    ids = {}
    for attribute in data.attributes:
        centres, _ = kmeans(data.embeddings[data.units.fitted], counts[attribute], data.seed, _RESTARTS)
        ids[attribute] = nearest(data.embeddings, centres)
    return Grouping(ids, {attribute: counts[attribute] for attribute in data.attributes})


def by_means(data: GroupingData) -> Grouping:
    """TP: the mean embedding of each attribute set of the label subset, over unit vectors; nearest one.

    Embeddings are scaled to unit length, averaged, and scaled again.
    """
    points = F.normalize(data.embeddings, dim=1)
    means = F.normalize(set_means(points, data.units), dim=1)
    sets = data.units.grid.sets()
    ids = nearest(points, means.nan_to_num(torch.inf))
    return Grouping(
        dict.fromkeys(data.attributes, ids),
        dict.fromkeys(data.attributes, len(sets)),
        sets,
        means,
        sets,
        points,
        means,
    )


def by_own(data: GroupingData) -> Grouping:
    """CP: the strategy's own groups.

    Raises:
        TypeError: the strategy has none.
        ValueError: they are not what the mix-in promises.
    """
    fit = data.fit
    if fit is None:
        raise TypeError("this strategy has no prototypes of its own; use the groupings kmeans or means")
    ids, stands, queries = _chunked(fit.assign, data.embeddings), fit.attributes(), fit.prototypes()
    _assert_sound(ids, fit.groups(), stands, data)
    plain = Grouping(dict.fromkeys(data.attributes, ids), dict.fromkeys(data.attributes, fit.groups()))
    if stands is None:
        return plain
    plain = replace(plain, stands=stands.cpu())
    if queries is None or bool((stands < 0).any()):
        return plain
    points = _chunked(fit.project, data.embeddings).float()
    means = set_means(points, data.units)
    return replace(plain, queries=queries.float().cpu(), query_codes=stands.cpu(), points=points, means=means)


def _assert_sound(ids: Tensor, groups: int, stands: Tensor | None, data: GroupingData) -> None:
    """A strategy's own groups are what it says they are."""
    if ids.shape != (len(data.embeddings),) or ids.dtype != torch.int64:
        raise ValueError(
            f"`assign` gives {tuple(ids.shape)} {ids.dtype}; it must give one int64 an embedding"
        )
    if int(ids.min()) < 0 or int(ids.max()) >= groups:
        raise ValueError(
            f"`assign` gives group {int(ids.max())} (or below 0), `groups` says there are {groups}"
        )
    if stands is None:
        return
    limits = torch.tensor(data.units.grid.counts)
    if stands.shape != (groups, 3) or bool(((stands.cpu() < -1) | (stands.cpu() >= limits)).any()):
        raise ValueError(
            f"`attributes` are {tuple(stands.shape)}; ({groups}, 3) class, sex and age bin must stand there, each"
            f" below {limits.tolist()} or -1"
        )


GROUPINGS: Mapping[str, Callable[[GroupingData], Grouping]] = {
    "own": by_own,
    "means": by_means,
    "kmeans": by_kmeans,
}


def set_means(points: Tensor, units: Units) -> Tensor:
    """(M, P) mean of the labelled training units of each attribute set; NaN where there is none."""
    place = torch.where(units.labelled, units.grid.index(units.codes), -1)
    known, size = place >= 0, len(units.grid.sets())
    total = torch.zeros(size, points.shape[1], dtype=torch.float64)
    total.index_add_(0, place[known], points[known].double())
    return (total / torch.bincount(place[known], minlength=size)[:, None]).float()


def assignment_table(grouping: Grouping, units: Units) -> pd.DataFrame:
    """Rows of an assignment result: the units of the three parts, their codes, and `id:<attribute>`."""
    columns: dict[str, np.ndarray] = {
        name: units.codes[:, k].numpy().astype(np.int16) for k, name in enumerate(GROUPED)
    }
    columns |= {f"id:{name}": ids.cpu().numpy().astype(np.int32) for name, ids in grouping.ids.items()}
    table = units.table.assign(**columns)
    return table[table["part"] != ""].reset_index(drop=True)


def ranking_table(grouping: Grouping, units: Units, part: str) -> pd.DataFrame:
    """Rows of a ranking result for one part: the nearest units of each query, as they are and one a patient.

    A query without a point (its attribute set is empty) has no rows.
    """
    if grouping.queries is None or grouping.points is None or grouping.query_codes is None:
        raise ValueError("this grouping has no queries")
    here = np.flatnonzero((units.table["part"] == part).to_numpy())
    asked = grouping.queries.isfinite().all(1).nonzero().flatten()
    points = grouping.points[torch.from_numpy(here)]
    apart = torch.cdist(grouping.queries[asked], points, compute_mode="donot_use_mm_for_euclid_dist")
    patients = pd.factorize(units.table["patient"].to_numpy()[here])[0]
    pieces = []
    for query, distance in zip(asked.tolist(), apart, strict=True):
        for single, chosen in ((False, _first(distance, DEPTH)), (True, _one_a_patient(distance, patients))):
            table = units.table.iloc[here[chosen]].assign(
                query=np.int32(query),
                rank=np.arange(1, len(chosen) + 1, dtype=np.int32),
                deduplicated=single,
                distance=distance[chosen].numpy(),
                **{name: units.codes[here[chosen], k].numpy() for k, name in enumerate(GROUPED)},
            )
            pieces.append(table)
    if not pieces:
        raise ValueError("no attribute set has a point to ask with; the label subset may be too small")
    return pd.concat(pieces, ignore_index=True)


def _first(distance: Tensor, count: int) -> np.ndarray:
    """The places of the `count` least distances, nearest first; equal ones in their order."""
    count = min(count, len(distance))
    near = (distance <= distance.kthvalue(count).values).nonzero().flatten()
    return near[distance[near].sort(stable=True).indices][:count].numpy()


def _one_a_patient(distance: Tensor, patients: np.ndarray) -> np.ndarray:
    """The nearest unit of each of the `DEPTH` patients who come first."""
    length = DEPTH
    while True:
        head = _first(distance, length)
        first = np.unique(patients[head], return_index=True)[1]
        if len(first) >= DEPTH or length >= len(distance):
            return head[np.sort(first)[:DEPTH]]
        length *= 4


def figure_sample(grouping: Grouping, units: Units, seed: int) -> dict[str, np.ndarray]:
    """What figures need: queries, class means, and some validation units in one space.

    Returns:
        queries (Q, P), query_codes (Q, 3), means (M, P), points (S, P), codes (S, 3), all float32 or int16.
    """
    if grouping.queries is None or grouping.points is None or grouping.query_codes is None:
        raise ValueError("this grouping has no queries")
    here = np.flatnonzero((units.table["part"] == "val").to_numpy())
    chosen = np.random.default_rng(seed).permutation(here)[:SAMPLE]
    rows = torch.from_numpy(np.sort(chosen))
    means = grouping.queries if grouping.means is None else grouping.means
    return {
        "queries": grouping.queries.numpy().astype(np.float32),
        "query_codes": grouping.query_codes.numpy().astype(np.int16),
        "means": means.numpy().astype(np.float32),
        "points": grouping.points[rows].numpy().astype(np.float32),
        "codes": units.codes[rows].numpy().astype(np.int16),
    }


def value_names(grid: AttributeGrid, classes: Sequence[str]) -> dict[str, list[str]]:
    """Names of the values of each attribute, in the order of their codes.

    Ages as '<=49', '50-62', '>62' where the edges are whole years, else '<=49.5', '49.5-62', '>62'.
    """
    whole = all(edge == int(edge) for edge in grid.edges)
    inner = [f"{low + whole:g}-{high:g}" for low, high in pairwise(grid.edges)]
    ages = [f"<={grid.edges[0]:g}", *inner, f">{grid.edges[-1]:g}"] if grid.edges else ["all"]
    return {"class": list(classes), "sex": list(SEXES), "age": ages}


@torch.no_grad()
def _chunked(function: Callable[[Tensor], Tensor], embeddings: Tensor) -> Tensor:
    """A function of embeddings, some rows at a time."""
    return torch.cat([function(rows).cpu() for rows in embeddings.split(_CHUNK)])
