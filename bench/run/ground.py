"""What all cells of one suite on one corpus stand on: its split, its label subsets, and who must be left out."""

import hashlib
from dataclasses import replace

import numpy as np
import pandas as pd

from bench.data.audit import CorpusPart, audit, find_duplicates, refuse_overlap
from bench.data.corpus import PreparedCorpus
from bench.data.leads import lead_set
from bench.data.splits import (
    SkipFraction,
    Split,
    check_label_subset,
    fold_subset,
    label_subset,
    make_split,
    unit_subset,
)
from bench.run.cell import Subset
from bench.run.suite import CorpusUse, FractionsBy, Suite
from bench.train.budget import InputSpec
from bench.train.build import Rows, attribute_grid, window_of
from bench.train.seeding import derive_seed
from bench.train.units import Instances, evaluation_instances

_Place = tuple[FractionsBy, str, float, int]
"""What a label fraction is a share of, lead set, fraction, seed index."""


class Ground:
    """Split and label subsets of a suite on a corpus.

    Attributes:
        suite: as it runs on this corpus.
        targets: index record, one 0/1 column a class.
    """

    def __init__(self, suite: Suite, use: CorpusUse, corpus: PreparedCorpus) -> None:
        self.suite, self.use, self.corpus = suite.on(use), use, corpus
        self.targets = corpus.targets(use.task)
        self.split: Split = make_split(corpus.records, self.targets, use.split)
        self.grid = attribute_grid(corpus, use.task, self.split.pretrain)
        self._subsets: dict[_Place, tuple[Rows, Subset] | str] = {}
        self._cleared: dict[tuple[str, str, str], np.ndarray] = {}
        refuse_overlap(audit(self.training(), [CorpusPart(corpus, self.split.parts["test"])]))

    def training(self) -> list[CorpusPart]:
        """Everything that a fit here may see."""
        parts = self.split.pretrain, self.split.parts["val"]
        return [CorpusPart(self.corpus, rows) for rows in parts]

    def subset(
        self, fraction: float, seed_index: int, by: FractionsBy, lead_set_name: str
    ) -> tuple[Rows, Subset]:
        """The records of a cell at a label fraction.

        Raises:
            SkipFraction: too few patients carry a class, or no such fraction can be drawn.
        """
        place: _Place = (by, lead_set_name if by == "frames" else "", fraction, seed_index)
        if place not in self._subsets:
            try:
                self._subsets[place] = self._draw(*place)
            except SkipFraction as reason:
                self._subsets[place] = str(reason)
        drawn = self._subsets[place]
        if isinstance(drawn, str):
            raise SkipFraction(drawn)
        return drawn

    def _draw(self, by: FractionsBy, lead_set_name: str, fraction: float, index: int) -> tuple[Rows, Subset]:
        seed = derive_seed(self.suite.seed, "subset", index)
        parts = self.split.parts
        rows = Rows(self.split.pretrain, parts["train"], parts["val"], parts["val"], parts["test"])
        if by == "frames":
            units = self.units(lead_set_name, parts["train"])
            frames = np.sort(units[unit_subset(len(units), fraction, seed)])
            digest = hashlib.sha256(frames.astype("<i8").tobytes()).hexdigest()
            return replace(rows, frames=frames), Subset(fraction=fraction, fingerprint=digest)
        labelled = self._share(by, fraction, seed)
        least = self.suite.min_patients
        check_label_subset(
            labelled, parts["train"], *self._labels(parts["train"]), fraction, min_patients=least
        )
        val = self._selecting(by, fraction, seed)
        fingerprint = rows_hash(self.corpus.records, labelled, val)
        return replace(rows, labelled=labelled, val_subset=val), Subset(
            fraction=fraction, fingerprint=fingerprint
        )

    def _share(self, by: FractionsBy, fraction: float, seed: int) -> np.ndarray:
        """Rows of the training part whose labels are visible."""
        train = self.split.parts["train"]
        patients, targets = self._labels(train)
        if by == "folds":
            folds = self.corpus.records["fold"].to_numpy()[train]
            return fold_subset(train, patients, folds, targets, fraction, seed)
        return label_subset(train, patients, targets, fraction, seed)

    def _selecting(self, by: FractionsBy, fraction: float, seed: int) -> np.ndarray:
        """Validation records that choose: as large a share; by folds all of them, as Mehari and Strodthoff do."""
        val = self.split.parts["val"]
        return val if by == "folds" else label_subset(val, *self._labels(val), fraction, seed)

    def _labels(self, rows: np.ndarray) -> tuple[np.ndarray, pd.DataFrame]:
        """Patients and targets of some rows."""
        records = self.corpus.records.iloc[rows]
        return records["patient"].to_numpy(), self.targets.loc[records["record"]]

    def units(self, lead_set_name: str, rows: np.ndarray) -> np.ndarray:
        """Positions of some records' windows (and leads) among the corpus's evaluation instances.

        In the order of record id, lead and start, so that the record table's decides no draw.
        """
        units = instances_of(self.corpus, self.suite.input, lead_set_name)
        places = np.flatnonzero(np.isin(units.record, rows))
        own, ids = units.at(places), self.corpus.records["record"].to_numpy(str)
        return places[np.lexsort((own.start, own.lead, ids[own.record]))]

    def cleared_for(self, other: "Ground") -> np.ndarray:
        """Rows of this corpus that a fit may see which is evaluated on another: those of none of its patients."""
        place = other.corpus.fingerprint, other.split.fingerprint, other.use.task
        if place not in self._cleared:
            self._cleared[place] = _cleared(self.corpus, other)
        return self._cleared[place]

    def without_patients_of(self, other: "Ground", rows: Rows, lead_set_name: str) -> Rows:
        """What is left of a fit's records where another corpus's patients are evaluated."""
        clear, parts = self.cleared_for(other), ("train", "labelled", "val", "val_subset")
        if len(clear) == len(self.corpus.records):
            return rows
        kept = {part: np.intersect1d(getattr(rows, part), clear) for part in parts}
        if rows.frames is not None:
            owner = instances_of(self.corpus, self.suite.input, lead_set_name).record[rows.frames]
            kept["frames"] = rows.frames[np.isin(owner, clear)]
        return replace(rows, **kept)

    def lost_to(self, other: "Ground") -> int:
        """How many records that a fit may see are left out where another corpus's patients are evaluated."""
        seen = np.concatenate([part.rows for part in self.training()])
        return int((~np.isin(seen, self.cleared_for(other))).sum())


def _cleared(corpus: PreparedCorpus, tested: Ground) -> np.ndarray:
    everything = np.arange(len(corpus.records))
    evaluated = np.concatenate([tested.split.parts["val"], tested.split.parts["test"]])
    theirs = _same_patients(tested.corpus, evaluated)  # their records in no part too
    pairs = find_duplicates(CorpusPart(corpus, everything), CorpusPart(tested.corpus, theirs))
    return np.setdiff1d(everything, _same_patients(corpus, pairs["row_a"].to_numpy(int)))


def _same_patients(corpus: PreparedCorpus, rows: np.ndarray) -> np.ndarray:
    """Every row of the patients of some rows."""
    patients = corpus.records["patient"].to_numpy()
    return np.flatnonzero(np.isin(patients, patients[rows]))


def instances_of(corpus: PreparedCorpus, spec: InputSpec, lead_set_name: str) -> Instances:
    """Every evaluation instance of a corpus."""
    lengths = corpus.records["length"].to_numpy()
    return evaluation_instances(lengths, window_of(corpus, spec), len(lead_set(lead_set_name)), spec)


def rows_hash(records: pd.DataFrame, *parts: np.ndarray) -> str:
    """SHA-256 of the ids of some records, part by part."""
    ids = records["record"].to_numpy()
    text = "|".join(",".join(sorted(ids[rows])) for rows in parts)
    return hashlib.sha256(text.encode()).hexdigest()
