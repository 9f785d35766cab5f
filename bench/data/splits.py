"""Who is trained on, selected on and tested on: splits, and the three ways to draw nested label subsets.

Every draw but `unit_subset` is by patient, and made over patients sorted by id, never over rows: the order of the
record table changes nothing.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field, field_validator, model_validator

from bench.data.corpus import CorpusError

PARTS: tuple[str, ...] = ("train", "val", "test")

_SPLIT_DRAW, _LABEL_DRAW, _UNIT_DRAW = 1, 2, 3  # so that draws of the same seed are unrelated

_WHOLE = 2e-3
"""The part of a fold by which a label fraction may miss a whole number of folds: 0.333 of three is one."""

_ROUND_OFF = 1e-9


class SplitSpec(BaseModel, frozen=True, extra="forbid"):
    """How a corpus is split.

    Attributes:
        kind: 'official' (the corpus's own parts) or 'stratified' (by patient and the patient's rarest class).
        seed: of the stratified draw; the official split ignores it.
        shares: of the patients of each stratum in train, val and test.
        by_source: stratified also by the source database of the patient's records.
        only_train: source databases whose patients are wholly in train, and not in the draw: those that do not
            publish which records are one patient's.
    """

    kind: Literal["official", "stratified"]
    seed: int = Field(default=0, ge=0)
    shares: tuple[float, float, float] = (0.6, 0.2, 0.2)
    by_source: bool = False
    only_train: tuple[str, ...] = ()

    def title(self) -> str:
        """As tables name it: 'official', or 'stratified 80/10/10 by source, ptb only in train, seed 0'."""
        if self.kind == "official":
            return self.kind
        shares = "/".join(f"{100 * share:g}" for share in self.shares)
        source = " by source" if self.by_source else ""
        alone = f", {' and '.join(self.only_train)} only in train" if self.only_train else ""
        return f"{self.kind} {shares}{source}{alone}, seed {self.seed}"

    @model_validator(mode="after")
    def _drawn(self) -> "SplitSpec":
        if self.kind == "official" and (self.by_source or self.only_train):
            raise ValueError(
                "by_source and only_train are of the stratified split; the official one is not drawn"
            )
        return self

    @field_validator("shares")
    @classmethod
    def _sum_to_one(cls, shares: tuple[float, float, float]) -> tuple[float, float, float]:
        if min(shares) <= 0 or abs(sum(shares) - 1) > 1e-9:
            raise ValueError(f"shares {shares} must be positive and sum to 1")
        return shares


@dataclass(frozen=True, eq=False)
class Split:
    """Row positions into the record table; no patient is in two parts.

    Attributes:
        parts: 'train', 'val' and 'test': ascending rows of the records that have targets for the task.
        pretrain: every row of part train, with or without targets: what label-free pre-training sees.
        fingerprint: SHA-256 of the sorted (record, part) pairs of all assigned records, labelled or not:
            equal for two tasks whose records are assigned alike.
        notes: lines for the report, such as how many records were left out to keep patients apart.
    """

    parts: dict[str, np.ndarray]
    pretrain: np.ndarray
    fingerprint: str
    notes: tuple[str, ...] = ()


class SkipFraction(Exception):
    """A label fraction leaves too few patients to train on, or cannot be had.

    Attributes:
        reason: one line for the table.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def make_split(records: pd.DataFrame, targets: pd.DataFrame, spec: SplitSpec) -> Split:
    """Split a corpus for one task.

    The official split keeps every record in its published part, but a record of train whose patient is also
    in val or test, and one of val whose patient is also in test, is left out; `Split.notes` counts them.

    Args:
        records: columns record, patient and, for the official split, part; source where the spec names any.
        targets: index record, one 0/1 column a class: the records labelled for the task, as
            `PreparedCorpus.targets` gives them.
        spec: what split.

    Raises:
        CorpusError: the corpus has no official split, or a part ends up empty.
    """
    if spec.kind == "official":
        assigned, notes = _official(records)
    else:
        assigned, notes = _stratified(records, targets, spec)
    labelled = records["record"].isin(targets.index).to_numpy()
    parts = {part: np.flatnonzero((assigned == part) & labelled) for part in PARTS}
    for part, rows in parts.items():
        if not len(rows):
            raise CorpusError(
                f"part {part} of the {spec.kind} split has no labelled record; use more records"
            )
    return Split(parts, np.flatnonzero(assigned == "train"), _fingerprint(records["record"], assigned), notes)


def _official(records: pd.DataFrame) -> tuple[np.ndarray, tuple[str, ...]]:
    """The part of each record, '' for none, and a note for each part that lost records."""
    known = {"": -1} | {part: order for order, part in enumerate(PARTS)}
    order = records["part"].map(known)
    if order.isna().any():
        raise CorpusError(
            f"unknown part {records['part'][order.isna()].iloc[0]!r}; there are {', '.join(PARTS)}"
        )
    if (order < 0).all():
        raise CorpusError("the corpus has no official split; use a stratified one")
    later = order.groupby(records["patient"]).transform("max")
    moved = ((order >= 0) & (order < later)).to_numpy()
    assigned = np.where(moved, "", records["part"].to_numpy(str))
    counts = records["part"][moved].value_counts()
    notes = (f"{counts[part]} records of {part} left out: patient in a later part" for part in counts.index)
    return assigned, tuple(sorted(notes))


def _stratified(
    records: pd.DataFrame, targets: pd.DataFrame, spec: SplitSpec
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The part of each record, and a note for each source that is wholly in train.

    Patients without any label are a stratum of their own; a patient of several sources is of the first by name.
    """
    patients = records["patient"].to_numpy()
    strata = rarest_class(patients, targets.reindex(records["record"], fill_value=0).to_numpy())
    if spec.by_source:
        source = records["source"].groupby(patients).min().loc[strata.index]
        strata = source + "/" + strata.astype(str)
    notes = []
    for alone in spec.only_train:
        theirs = records["source"].to_numpy() == alone
        strata = strata.drop(np.unique(patients[theirs]), errors="ignore")
        notes.append(f"{int(theirs.sum()):,} records of {alone} only in train")
    position = _positions(strata, (spec.seed, _SPLIT_DRAW))
    train, val = spec.shares[0], spec.shares[0] + spec.shares[1]
    part = pd.Series(
        np.select([position <= train, position <= val], ["train", "val"], "test"), position.index
    )
    return records["patient"].map(part).fillna("train").to_numpy(str), tuple(notes)


def _fingerprint(records: pd.Series, assigned: np.ndarray) -> str:
    lines = sorted(f"{record}\t{part}" for record, part in zip(records, assigned, strict=True) if part)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def rarest_class(patients: np.ndarray, targets: np.ndarray) -> pd.Series:
    """The stratum of each patient: of the classes their records carry, the one fewest patients carry.

    Args:
        patients: (n,) patient id of each record.
        targets: (n, K) 0/1.

    Returns:
        Index patient, sorted; class position, -1 for a patient without any label. Ties go to the first class.
    """
    carries = pd.DataFrame(np.asarray(targets) > 0).groupby(np.asarray(patients)).any()
    frequency = np.where(carries, carries.sum().to_numpy(), np.inf)
    return pd.Series(np.where(carries.any(axis=1), frequency.argmin(axis=1), -1), carries.index)


def _positions(strata: pd.Series, seed: Sequence[int]) -> pd.Series:
    """A place in (0, 1) for each patient: (r + 1/2) / n, r the random rank among the n of the stratum.

    Taking everyone below f takes f of every stratum to the nearest whole patient, and nests in f.
    """
    draw = pd.Series(np.random.default_rng(seed).random(len(strata)), strata.index).groupby(strata)
    return (draw.rank(method="first") - 0.5) / draw.transform("size")


def label_subset(
    rows: np.ndarray, patients: np.ndarray, targets: pd.DataFrame, fraction: float, seed: int
) -> np.ndarray:
    """The rows whose labels are known at a label fraction: nested, by patient, proportional by stratum.

    A patient's stratum is the rarest of their classes within these rows. Serves train and val alike.

    Args:
        rows: (n,) rows of one part.
        patients: (n,) patient id of each of these rows.
        targets: n rows in the same order, one 0/1 column a class.
        fraction: in (0, 1]; each stratum gives it to the nearest whole patient. 1 gives all rows.
        seed: of this draw; equal seeds nest.

    Returns:
        A subset of `rows` in their order; at least one patient's.

    Raises:
        ValueError: fraction outside (0, 1].
    """
    _assert_fraction(fraction)
    position = _positions(rarest_class(patients, targets.to_numpy()), (seed, _LABEL_DRAW))
    chosen = position.index[position <= max(fraction, position.min())]
    return rows[pd.Series(patients).isin(chosen).to_numpy()]


def fold_subset(
    rows: np.ndarray,
    patients: np.ndarray,
    folds: np.ndarray,
    targets: pd.DataFrame,
    fraction: float,
    seed: int,
) -> np.ndarray:
    """The rows whose labels are known at a label fraction of a part made of folds: the first of its folds.

    n of k folds at the fraction n/k, the same for every seed (Mehari & Strodthoff, Comput. Biol. Med. 141:105114:
    PTB-XL's folds 1 to n of 8). Below one fold, which their code does not offer, `label_subset` draws fraction * k
    of the first fold's patients. All subsets nest. A part of one fold is therefore drawn as by `label_subset`.

    A patient with records in several folds belongs to the last of them, as in official splits: no label subset
    parts a patient, and none holds a record of a later fold.

    Args:
        rows: (n,) rows of one part.
        patients: (n,) patient id of each of these rows.
        folds: (n,) fold of each, from 1 on; they need not be consecutive.
        targets: n rows in the same order, one 0/1 column a class.
        fraction: in (0, 1].
        seed: of the draw within the first fold; equal seeds nest.

    Returns:
        A subset of `rows` in their order; at least one patient's.

    Raises:
        ValueError: fraction outside (0, 1].
        CorpusError: a record is in no fold (0).
        SkipFraction: the fraction lies between two whole numbers of folds; the message lists what can be had.
    """
    _assert_fraction(fraction)
    last = _last_folds(patients, folds)
    names = np.unique(last)
    wanted = fraction * len(names)
    whole = round(wanted)
    if whole and abs(wanted - whole) < _WHOLE:
        return rows[last <= names[whole - 1]]
    if wanted > 1:
        possible = ", ".join(f"{n / len(names):.4g}" for n in range(1, len(names) + 1))
        raise SkipFraction(
            f"label fraction {fraction:g} is no whole number of {len(names)} folds;"
            f" give one of {possible}, or any below the first"
        )
    first = last == names[0]
    return label_subset(rows[first], patients[first], targets[first], wanted, seed)


def _last_folds(patients: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """(n,) the last fold of each record's patient."""
    outside = int((np.asarray(folds) < 1).sum())
    if outside:
        raise CorpusError(
            f"{outside:,} of {len(folds):,} records are in no fold; draw label subsets by patient instead"
        )
    return pd.Series(folds).groupby(np.asarray(patients)).transform("max").to_numpy()


def unit_subset(count: int, fraction: float, seed: int) -> np.ndarray:
    """Which units have their label at a label fraction, drawn one by one, whoever's they are (CLOCS).

    A unit is what is classified by itself: one window of one lead of a record. CLOCS (Kiyasseh et al., ICML 2021)
    draws them so, once for all its runs. It is no saving of labels: a quarter of the frames of twelve leads
    touches 97 % of the patients. `label_subset` draws patients.

    Args:
        count: N units, in an order the caller keeps (sorted by record id, lead and start), not the record table's.
        fraction: F in (0, 1]; F N units, rounded down, but at least one.
        seed: of this draw; equal seeds nest in F.

    Returns:
        Ascending positions in 0..N-1.

    Raises:
        ValueError: fraction outside (0, 1].
    """
    _assert_fraction(fraction)
    size = max(1, int(fraction * count + _ROUND_OFF))  # 0.29 * 100 is 28.999...
    return np.sort(np.random.default_rng((seed, _UNIT_DRAW)).permutation(count)[:size])


def _assert_fraction(fraction: float) -> None:
    if not 0 < fraction <= 1:
        raise ValueError(f"label fraction {fraction} must be above 0 and at most 1")


def check_label_subset(
    subset: np.ndarray,
    rows: np.ndarray,
    patients: np.ndarray,
    targets: pd.DataFrame,
    fraction: float,
    min_patients: int = 2,
) -> None:
    """Refuse a training subset that leaves a class with too few patients.

    A class that has fewer than `min_patients` in the whole part cannot be asked for more and is let pass.

    Args:
        subset: what `label_subset` gave for (rows, patients, targets, fraction).
        rows: (n,) rows of the part.
        patients: (n,) patient ids.
        targets: n rows, one named 0/1 column a class.
        fraction: for the message.
        min_patients: patients each class needs.

    Raises:
        SkipFraction: with the first class that falls short, and how many others do.
    """
    whole = _patients_by_class(patients, targets)
    inside = np.isin(rows, subset)
    left = _patients_by_class(patients[inside], targets[inside])
    short = left[(whole >= min_patients) & (left < min_patients)]
    if short.empty:
        return
    patient = "1 patient" if short.iloc[0] == 1 else f"{short.iloc[0]} patients"
    others = f", and {len(short) - 1} more of {len(left)} classes with too few" if len(short) > 1 else ""
    least = f"with {patient} ({min_patients} needed)"
    raise SkipFraction(f"label fraction {fraction:g} leaves class {short.index[0]} {least}{others}")


def _patients_by_class(patients: np.ndarray, targets: pd.DataFrame) -> pd.Series:
    return (targets > 0).groupby(np.asarray(patients)).any().sum()
