"""From one entry of a suite, on one corpus, to its cells; the rows they work on; and the checks before that."""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from bench.data.leads import lead_set
from bench.data.measured import features_fingerprint
from bench.data.splits import SkipFraction
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
from bench.run.exposure import Exposure, assert_input, exposure
from bench.run.ground import Ground, rows_hash
from bench.run.parameters import params_of
from bench.run.planned import Plan
from bench.run.registry import Found, Registry, Source, encoders, stage_code, strategy_code
from bench.run.suite import Entry, FractionsBy, Suite, SuiteError, budget_of
from bench.run.work import Job
from bench.train.budget import Budget
from bench.train.build import Rows, make_info
from bench.train.prototypes import SEXES
from bench.train.strategy import Draw, Field, Prototypes, Strategy


@dataclass(frozen=True)
class At:
    """Where on the axes of a suite a cell stands.

    Attributes:
        subset_index: seed index of the label subset, where it is not the fit's.
    """

    lead_set: str
    seed_index: int
    fraction: float
    subset_index: int | None = None


class CellMaker:
    """Makes the cells of one suite on one corpus, with one set of encoder arguments, and adds them to the plan."""

    def __init__(
        self,
        plan: Plan,
        ground: Ground,
        suite: Suite,
        registry: Registry,
        device: str,
        variant: dict[str, Any],
    ) -> None:
        self.plan, self.ground, self.registry, self.device = plan, ground, registry, device
        self.suite, self.use, self.corpus = suite.on(ground.use, variant), ground.use, ground.corpus
        self.split, self.grid, self.targets = ground.split, ground.grid, ground.targets

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
        kind = self.found(entry).strategy
        inherited = (self.needs(entries[label], entries) for label in entry.starts_from)
        known = self.exposure(entry, entries)
        paid = known.paid_for if known else frozenset[Field]()
        return kind.needs_with(self.params(entry, kind)).union(paid, *inherited)

    def params(self, entry: Entry, kind: type[Strategy]) -> Any:
        """An entry's parameters: defaults, recipe, its own."""
        return params_of(self.suite, entry, kind)

    def fractions_by(self, entry: Entry) -> FractionsBy:
        """What an entry's label fractions are shares of."""
        return entry.fractions_by or self.suite.fractions_by

    def overlaps(self, entry: Entry, entries: dict[str, Entry]) -> bool:
        """Has anything that an entry rests on seen the ECGs of validation and test?"""
        known = self.exposure(entry, entries)
        inherited = any(self.overlaps(entries[label], entries) for label in entry.starts_from)
        return entry.overlap or inherited or (known is not None and known.overlap)

    def exposure(self, entry: Entry, entries: dict[str, Entry]) -> Exposure | None:
        """What external checkpoints that an entry rests on have seen; None: there are none."""
        return exposure(entry, entries, self.registry, self.corpus.name, self.use.split)

    def fit(
        self,
        entry: Entry,
        entries: dict[str, Entry],
        at: At,
        source: "CellMaker | None" = None,
        judge: Ground | None = None,
    ) -> str:
        """Key of an entry's fit, its parents' fits added before it.

        Args:
            source: where the fit it starts from is made, all labels visible there; None: here.
            judge: the corpus that what rests on this fit is evaluated on, where it is another one.
        """
        found = self.found(entry)
        kind, suite = found.strategy, self.suite
        assert_input(entry, kind, suite.input)
        parents = self._parents(entry, kind, entries, at, source, judge)
        params = self.params(entry, kind)
        needs = kind.needs_with(params)
        labelled = Field.LABELS in needs
        by = self.fractions_by(entry) if labelled else "patients"
        rows, subset = self.ground.subset(at.fraction if labelled else 1.0, at.seed_index, by, at.lead_set)
        if rows.frames is not None and not (kind.labelled_only and kind.draws(params) == Draw()):
            raise SkipFraction(
                "labels drawn by frame are for strategies that learn from labelled frames alone"
            )
        rows, trained_on = self._trained_on(entry, needs, rows, judge, at.lead_set)
        budget = self._budget(entry, kind)
        encoder = self.encoder(entry, entries)
        task = self.use.task if labelled else None
        counts = self.grid.counts if kind.grouping else None
        edges = self.grid.edges if kind.grouping and Field.DEMOGRAPHICS in needs else None
        info = make_info(
            self.corpus, suite.input, at.lead_set, rows, kind, params, task, budget.steps, counts, edges
        )
        if not info.instances:
            raise SkipFraction(f"no training record is {info.drawn[1]} samples long, as {kind.name} asks")
        reason = kind.incompatible(info, params)
        if reason:
            raise SkipFraction(reason)
        cell = FitCell(
            corpus=self.corpus.fingerprint,
            split=self.use.split,
            split_fingerprint=self.split.fingerprint,
            input=suite.input,
            lead_set=at.lead_set,
            encoder=encoder,
            strategy=StrategySpec(
                name=kind.name,
                params=params.model_dump(mode="json"),
                code=_strategy_code(found, encoder, kind.encoder_leads(info.leads, params), info.samples),
            ),
            task=task,
            subset=subset if labelled or budget.selection == "best_val_loss" else None,
            measurements=self._measurements(needs),
            features=self._features(needs),
            counts=counts,
            edges=edges,
            trained_on=trained_on,
            suite_seed=suite.seed,
            seed_index=at.seed_index,
            budget=budget,
            threads=suite.threads,
            precision=suite.precision,
            parents=parents,
            code=stage_code("fit"),
        )
        return self._add(cell, rows, found)

    def _parents(
        self,
        entry: Entry,
        kind: type[Strategy],
        entries: dict[str, Entry],
        at: At,
        source: "CellMaker | None",
        judge: Ground | None,
    ) -> dict[str, str]:
        """Keys of the fits that a fit starts from, and of the embeddings that it reads, by role."""
        roles = (*kind.parents, *kind.embeddings_of)
        if entry.init and "init" not in roles:
            raise SuiteError(f"entry {entry.label!r}: {kind.name} starts from no other fit; leave `init` out")
        given = dict(entry.parents) | ({"init": entry.init} if entry.init else {})
        strange, missing = set(given) - set(roles), [role for role in roles if role not in given]
        if strange:
            raise SuiteError(f"entry {entry.label!r}: {kind.name} has no parent {min(strange)!r}")
        if missing:
            raise SuiteError(f"entry {entry.label!r} needs `{missing[0]}: LABEL OF AN ENTRY`")
        if kind.embeddings_of and self.suite.input.aggregation == "none":
            raise SuiteError(
                f"entry {entry.label!r}: {kind.name} reads embeddings of whole records, none is merged"
            )
        wide = replace(at, lead_set=entry.parents_lead_set or at.lead_set)
        parents = {}
        for role, label in given.items():
            if role == "init":
                parents[role] = self._init(entries[label], entries, at, source, judge)
                continue
            parents[role] = self.fit(entries[label], entries, wide, judge=judge)
            if role in kind.embeddings_of:
                rows = self.plan.jobs[parents[role]].rows
                parents[role] = self._embed(entries[label], parents[role], wide.lead_set, rows)
        return parents

    def _measurements(self, fields: frozenset[Field]) -> str | None:
        return self.corpus.measurements_fingerprint() if Field.MEASUREMENTS in fields else None

    def _features(self, fields: frozenset[Field]) -> str | None:
        return features_fingerprint(self.corpus) if Field.FEATURES in fields else None

    def _init(
        self,
        entry: Entry,
        entries: dict[str, Entry],
        at: At,
        source: "CellMaker | None",
        judge: Ground | None,
    ) -> str:
        """Key of the fit that another one starts from."""
        if source is None:
            return self.fit(entry, entries, at, judge=judge)
        return source.fit(entry, entries, replace(at, fraction=1.0), judge=self.ground)

    def _subset(self, entry: Entry, at: At) -> tuple[Rows, Subset]:
        index = at.seed_index if at.subset_index is None else at.subset_index
        return self.ground.subset(at.fraction, index, self.fractions_by(entry), at.lead_set)

    def _trained_on(
        self, entry: Entry, needs: frozenset[Field], rows: Rows, judge: Ground | None, lead_set_name: str
    ) -> tuple[Rows, str]:
        """The records a fit sees, and their hash where they are not simply part train."""
        if entry.overlap:
            if Field.LABELS in needs:
                raise SuiteError(f"entry {entry.label!r}: `overlap` is for fits that read no labels")
            every = np.arange(len(self.corpus.records))
            return replace(rows, train=every, scaled_by=rows.train), rows_hash(self.corpus.records, every)
        if judge is None:
            return rows, ""
        kept = self.ground.without_patients_of(judge, rows, lead_set_name)
        if len(kept.train) == len(rows.train) and len(kept.val) == len(rows.val):
            return rows, ""
        if not (len(kept.train) and len(kept.labelled) and len(kept.val)):
            raise SkipFraction(
                f"every patient of {self.corpus.name} is also tested on in {judge.corpus.name}"
            )
        return kept, rows_hash(self.corpus.records, kept.train, kept.val)

    def _budget(self, entry: Entry, kind: type[Strategy]) -> Budget:
        budget = budget_of(self.suite, entry)
        if kind.per_instance and budget.selection == "best_val_loss":
            raise SuiteError(
                f"entry {entry.label!r}: {kind.name} has no loss of validation records; set selection: last"
            )
        return budget if kind.trained else budget.model_copy(update={"steps": 0})

    def encoder(self, entry: Entry, entries: dict[str, Entry]) -> EncoderSpec:
        """The encoder of an entry, which is that of what it starts from."""
        if entry.init:
            return self.encoder(entries[entry.init], entries)
        spec = self.suite.encoders.get(entry.label, self.suite.encoder)
        return spec.model_copy(update={"arguments": {**spec.arguments, **entry.encoder}})

    def predict(self, entry: Entry, fit: str, at: At, trained: str, readout: str, noise: int = 0) -> str:
        """Key of the scores of a fit.

        Args:
            at: `lead_set` is the evaluated one.
            trained: lead set of the fit.
            readout: 'classifier', or on the fit's embeddings.
        """
        rows, subset = self._subset(entry, at)
        parents, filled_to = {"fit": fit}, self._filled_to(entry, trained, at.lead_set)
        if readout != "classifier":
            parents = {"embed": self._embed(entry, fit, at.lead_set, rows, filled_to)}
        suite = self.suite
        cell = PredictCell(
            corpus=self.corpus.fingerprint,
            split=self.use.split,
            split_fingerprint=self.split.fingerprint,
            task=self.use.task,
            subset=subset,
            readout=readout,
            lead_set=at.lead_set,
            filled_to=filled_to if readout == "classifier" else "",
            input=suite.input,
            noise=noise,
            suite_seed=suite.seed,
            seed_index=at.seed_index,
            threads=suite.threads,
            precision=suite.precision,
            parents=parents,
            code=stage_code("predict"),
        )
        return self._add(cell, rows, None, fit)

    def _filled_to(self, entry: Entry, trained: str, evaluated: str) -> str:
        """The lead set whose channels an encoder asks for, where the evaluated one lacks some; else ''."""
        return trained if self.channels(entry, trained) != self.channels(entry, evaluated) else ""

    def group(self, entry: Entry, grouping: str, fit: str, at: At, trained: str) -> str:
        """Key of one grouping of a fit's embeddings; `at` and `trained` as in `predict`."""
        kind, suite = self.found(entry).strategy, self.suite
        if grouping == "own" and not issubclass(kind, Prototypes):
            raise SuiteError(f"entry {entry.label!r}: {kind.name} has no groups of its own; leave `own` out")
        rows, subset = self._subset(entry, at)
        if grouping == "means" and not self._described(rows.labelled):
            raise SkipFraction("no labelled training record has a class, a sex and an age: no set has a mean")
        if rows.frames is not None and len(rows.frames) < len(self.ground.units(at.lead_set, rows.labelled)):
            raise SkipFraction("groupings know labels by record, and these were drawn by frame")
        filled_to = self._filled_to(entry, trained, at.lead_set)
        parents = {"embed": self._embed(entry, fit, at.lead_set, rows, filled_to)}
        cell = GroupCell(
            corpus=self.corpus.fingerprint,
            split=self.use.split,
            split_fingerprint=self.split.fingerprint,
            task=self.use.task,
            subset=subset,
            grouping=grouping,
            attributes=kind.seeks(self.params(entry, kind)),
            edges=self.grid.edges,
            lead_set=at.lead_set,
            input=suite.input,
            suite_seed=suite.seed,
            seed_index=at.seed_index,
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

    def needs_at_test(self, entry: Entry) -> frozenset[Field]:
        """Fields that an entry's strategy reads of the record to be judged."""
        kind = self.found(entry).strategy
        return kind.needs_at_test_with(self.params(entry, kind))

    def _embed(self, entry: Entry, fit: str, lead_set: str, rows: Rows, filled_to: str = "") -> str:
        needs = self.needs_at_test(entry)
        cell = EmbedCell(
            corpus=self.corpus.fingerprint,
            input=self.suite.input,
            lead_set=lead_set,
            filled_to=filled_to,
            measurements=self._measurements(needs),
            features=self._features(needs),
            scaled_on=self.split.fingerprint if self.suite.input.scaling == "zscore-global" else None,
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
        with torch.random.fork_rng(devices=[]):
            return encoders()[spec.name](leads=leads, **spec.arguments).samples
    except (TypeError, ValueError, RuntimeError) as error:
        raise SuiteError(f"encoder {spec.name!r} cannot be built: {error}") from None
