"""From one entry of a suite, on one corpus, to its cells; the rows they work on; and the checks before that."""

import hashlib
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import torch
from pydantic import ValidationError

from bench.data.audit import CorpusPart, audit, refuse_overlap
from bench.data.corpus import PreparedCorpus
from bench.data.leads import lead_set
from bench.data.splits import SkipFraction, Split, check_label_subset, label_subset, make_split
from bench.run.cell import (
    AnyCell,
    EmbedCell,
    EncoderSpec,
    FitCell,
    GroupCell,
    PredictCell,
    StrategySpec,
    Subset,
)
from bench.run.planned import Plan
from bench.run.registry import Found, Registry, Source, encoders, stage_code, strategy_code
from bench.run.suite import CorpusUse, Entry, Suite, SuiteError, budget_of
from bench.run.work import Job
from bench.train.budget import Budget
from bench.train.build import Rows, attribute_grid, make_info
from bench.train.prototypes import SEXES
from bench.train.seeding import derive_seed
from bench.train.strategy import Classifier, Field, Prototypes, Strategy


class CellMaker:
    """Makes the cells of one suite on one corpus and adds them to the plan."""

    def __init__(
        self,
        plan: Plan,
        suite: Suite,
        use: CorpusUse,
        corpus: PreparedCorpus,
        registry: Registry,
        device: str,
    ) -> None:
        self.plan, self.suite, self.use, self.corpus = plan, suite.on(use), use, corpus
        self.registry, self.device = registry, device
        targets = corpus.targets(use.task)
        self.targets = targets
        self.split: Split = make_split(corpus.records, targets, use.split)
        self.grid = attribute_grid(corpus, use.task, self.split.pretrain)
        self._subsets: dict[tuple[float, int], tuple[Rows, Subset] | str] = {}
        parts = self.split.parts
        training = [CorpusPart(corpus, self.split.pretrain), CorpusPart(corpus, parts["val"])]
        refuse_overlap(audit(training, [CorpusPart(corpus, parts["test"])]))

    def channels(self, entry: Entry, lead_set_name: str) -> int:
        """Channels that an entry's encoder takes with a lead set."""
        kind = self.found(entry).strategy
        leads = 1 if self.suite.input.instance == "lead" else len(lead_set(lead_set_name))
        return kind.encoder_leads(leads, self.params(entry, kind))

    def found(self, entry: Entry) -> Found:
        """The strategy of an entry, and where it comes from."""
        try:
            return self.registry.get(entry.strategy)
        except KeyError as error:
            raise SuiteError(f"suite {self.suite.name!r}: {error.args[0]}") from None

    def needs(self, entry: Entry, entries: dict[str, Entry]) -> frozenset[Field]:
        """Fields that an entry's fit, and the fits it starts from, are paid for."""
        inherited = self.needs(entries[entry.init], entries) if entry.init else frozenset()
        kind = self.found(entry).strategy
        return kind.needs_with(self.params(entry, kind)) | inherited

    def params(self, entry: Entry, kind: type[Strategy]) -> Any:
        """An entry's parameters: defaults, recipe, its own."""
        try:
            return kind.Params.model_validate({**self.recipe(entry, kind), **entry.params})
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise SuiteError(f"entry {entry.label!r}: parameter {where}: {first['msg']}") from None

    def _subset(self, fraction: float, seed_index: int) -> tuple[Rows, Subset]:
        place = (fraction, seed_index)
        if place not in self._subsets:
            try:
                self._subsets[place] = self._draw(fraction, seed_index)
            except SkipFraction as reason:
                self._subsets[place] = str(reason)
        drawn = self._subsets[place]
        if isinstance(drawn, str):
            raise SkipFraction(drawn)
        return drawn

    def _draw(self, fraction: float, seed_index: int) -> tuple[Rows, Subset]:
        seed = derive_seed(self.suite.seed, "subset", seed_index)
        train, val = self.split.parts["train"], self.split.parts["val"]
        labelled = label_subset(train, *self._labels(train), fraction, seed)
        check_label_subset(
            labelled, train, *self._labels(train), fraction, min_patients=self.suite.min_patients
        )
        val_subset = label_subset(val, *self._labels(val), fraction, seed)
        rows = Rows(self.split.pretrain, labelled, val, val_subset, self.split.parts["test"])
        fingerprint = _rows_hash(self.corpus.records, labelled, val_subset)
        return rows, Subset(fraction=fraction, fingerprint=fingerprint)

    def _labels(self, rows: np.ndarray) -> tuple[np.ndarray, pd.DataFrame]:
        """Patients and targets of some rows."""
        records = self.corpus.records.iloc[rows]
        return records["patient"].to_numpy(), self.targets.loc[records["record"]]

    def fit(
        self, entry: Entry, entries: dict[str, Entry], lead_set: str, seed_index: int, fraction: float
    ) -> str:
        """Key of an entry's fit, its parents' fits added before it."""
        found = self.found(entry)
        kind, suite = found.strategy, self.suite
        parents = {}
        if entry.init and "init" not in kind.parents:
            raise SuiteError(f"entry {entry.label!r}: {kind.name} starts from no other fit; leave `init` out")
        if entry.init:
            parents["init"] = self.fit(entries[entry.init], entries, lead_set, seed_index, fraction)
        missing = set(kind.parents) - set(parents)
        if missing:
            raise SuiteError(f"entry {entry.label!r} needs `{missing.pop()}: LABEL OF AN ENTRY`")
        params = self.params(entry, kind)
        needs = kind.needs_with(params)
        labelled = Field.LABELS in needs
        rows, subset = self._subset(fraction if labelled else 1.0, seed_index)
        budget = self._budget(entry, kind)
        encoder = self._encoder(entry)
        task = self.use.task if labelled else None
        counts = self.grid.counts if kind.grouping else None
        edges = self.grid.edges if kind.grouping and Field.DEMOGRAPHICS in needs else None
        info = make_info(
            self.corpus,
            suite.input,
            lead_set,
            len(rows.labelled if kind.labelled_only else rows.train),
            task,
            budget.steps,
            counts,
            edges,
        )
        reason = kind.incompatible(info, params)
        if reason:
            raise SkipFraction(reason)
        measured = Field.MEASUREMENTS in needs
        cell = FitCell(
            corpus=self.corpus.fingerprint,
            split=self.use.split,
            split_fingerprint=self.split.fingerprint,
            input=suite.input,
            lead_set=lead_set,
            encoder=encoder,
            strategy=StrategySpec(
                name=kind.name,
                params=params.model_dump(mode="json"),
                code=_strategy_code(found, encoder, kind.encoder_leads(info.leads, params), info.samples),
            ),
            task=task,
            subset=subset if labelled or budget.selection == "best_val_loss" else None,
            measurements=self.corpus.measurements_fingerprint() if measured else None,
            counts=counts,
            edges=edges,
            suite_seed=suite.seed,
            seed_index=seed_index,
            budget=budget,
            threads=suite.threads,
            precision=suite.precision,
            parents=parents,
            code=stage_code("fit"),
        )
        return self._add(cell, rows, found)

    def _budget(self, entry: Entry, kind: type[Strategy]) -> Budget:
        budget = budget_of(self.suite, entry)
        if kind.per_instance and budget.selection == "best_val_loss":
            raise SuiteError(
                f"entry {entry.label!r}: {kind.name} has no loss of validation records; set selection: last"
            )
        return budget if kind.trained else budget.model_copy(update={"steps": 0})

    def _encoder(self, entry: Entry) -> EncoderSpec:
        spec = self.suite.encoder
        return spec.model_copy(update={"arguments": {**spec.arguments, **entry.encoder}})

    def recipe(self, entry: Entry, kind: type[Strategy]) -> dict[str, Any]:
        """The named set of parameters an entry asks for."""
        if entry.recipe is None:
            return {}
        if entry.recipe not in kind.recipes:
            known = ", ".join(kind.recipes) or "none"
            raise SuiteError(f"strategy {entry.strategy!r} has no recipe {entry.recipe!r} (it has: {known})")
        recipe: dict[str, Any] = kind.recipes[entry.recipe]
        return recipe

    def predict(self, kind: type[Strategy], fit: str, lead_set: str, seed_index: int, fraction: float) -> str:
        """Key of the scores of a fit."""
        rows, subset = self._subset(fraction, seed_index)
        readout, parents = "classifier", {"fit": fit}
        if not issubclass(kind, Classifier):
            readout, parents = kind.readout, {"embed": self._embed(kind, fit, lead_set, rows)}
        suite = self.suite
        cell = PredictCell(
            corpus=self.corpus.fingerprint,
            split=self.use.split,
            split_fingerprint=self.split.fingerprint,
            task=self.use.task,
            subset=subset,
            readout=readout,
            lead_set=lead_set,
            input=suite.input,
            suite_seed=suite.seed,
            seed_index=seed_index,
            threads=suite.threads,
            precision=suite.precision,
            parents=parents,
            code=stage_code("predict"),
        )
        return self._add(cell, rows, None, fit)

    def group(
        self, entry: Entry, grouping: str, fit: str, lead_set: str, seed_index: int, fraction: float
    ) -> str:
        """Key of one grouping of a fit's embeddings."""
        kind, suite = self.found(entry).strategy, self.suite
        if grouping == "own" and not issubclass(kind, Prototypes):
            raise SuiteError(f"entry {entry.label!r}: {kind.name} has no groups of its own; leave `own` out")
        rows, subset = self._subset(fraction, seed_index)
        if grouping == "means" and not self._described(rows.labelled):
            raise SkipFraction("no labelled training record has a class, a sex and an age: no set has a mean")
        parents = {"embed": self._embed(kind, fit, lead_set, rows)}
        cell = GroupCell(
            corpus=self.corpus.fingerprint,
            split=self.use.split,
            split_fingerprint=self.split.fingerprint,
            task=self.use.task,
            subset=subset,
            grouping=grouping,
            attributes=kind.seeks(self.params(entry, kind)),
            edges=self.grid.edges,
            lead_set=lead_set,
            input=suite.input,
            suite_seed=suite.seed,
            seed_index=seed_index,
            threads=suite.threads,
            parents=parents | ({"fit": fit} if grouping == "own" else {}),
            code=stage_code("group"),
        )
        return self._add(cell, rows, None, fit)

    def _described(self, rows: np.ndarray) -> bool:
        """Is the class, sex and age of any of these records known?"""
        records = self.corpus.records.iloc[rows]
        one = self.targets.loc[records["record"]].sum(axis=1).to_numpy() == 1
        return bool((one & records["sex"].isin(SEXES).to_numpy() & records["age"].notna().to_numpy()).any())

    def _embed(self, kind: type[Strategy], fit: str, lead_set: str, rows: Rows) -> str:
        measured = Field.MEASUREMENTS in kind.needs_at_test
        cell = EmbedCell(
            corpus=self.corpus.fingerprint,
            input=self.suite.input,
            lead_set=lead_set,
            measurements=self.corpus.measurements_fingerprint() if measured else None,
            threads=self.suite.threads,
            precision=self.suite.precision,
            parents={"fit": fit},
            code=stage_code("embed"),
        )
        return self._add(cell, rows, None, fit)

    def _add(self, cell: AnyCell, rows: Rows, found: Found | None, fit: str = "") -> str:
        key = cell.key()
        if key not in self.plan.jobs:
            sources: dict[str, Source] = {}
            for parent in cell.parents.values():
                sources |= self.plan.jobs[parent].sources
            if fit:
                sources |= self.plan.jobs[fit].sources
            if found is not None and found.source is not None:
                sources[found.strategy.name] = found.source
            self.plan.jobs[key] = Job(cell, self.corpus.folder, rows, self.device, sources)
        return key


def _rows_hash(records: pd.DataFrame, *parts: np.ndarray) -> str:
    ids = records["record"].to_numpy()
    text = "|".join(",".join(sorted(ids[rows])) for rows in parts)
    return hashlib.sha256(text.encode()).hexdigest()


def _strategy_code(found: Found, encoder: EncoderSpec, leads: int, samples: int) -> str:
    if encoder.name not in encoders():
        raise SuiteError(f"no encoder {encoder.name!r}; there are: {', '.join(encoders())}")
    built_for = _length_of(encoder.model_dump_json(), leads)
    if built_for not in (None, samples):
        raise SuiteError(
            f"encoder {encoder.name!r} is built for {built_for} samples, instances have {samples}; set its"
            f" argument `samples: {samples}`"
        )
    return strategy_code(found.strategy.__module__, encoder.name, found.source)


@lru_cache(maxsize=256)
def _length_of(encoder: str, leads: int) -> int | None:
    """The only length that an encoder (its specification as JSON) accepts; None: any. Proves that it can be built."""
    spec = EncoderSpec.model_validate_json(encoder)
    try:
        with torch.device("meta"):
            return encoders()[spec.name](leads=leads, **spec.arguments).samples
    except (TypeError, ValueError, RuntimeError) as error:
        raise SuiteError(f"encoder {spec.name!r} cannot be built: {error}") from None
