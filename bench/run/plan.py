"""From suites to cells: validate, audit, expand, link. A plan is pure: the same suites and corpora, the same keys."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from pydantic import ValidationError

from bench.data.audit import CorpusPart, audit, refuse_overlap
from bench.data.corpus import PreparedCorpus
from bench.data.leads import lead_set
from bench.data.splits import SkipFraction, Split, check_label_subset, label_subset, make_split
from bench.run.cell import AnyCell, EmbedCell, EncoderSpec, FitCell, PredictCell, StrategySpec, Subset
from bench.run.registry import Found, Registry, Source, encoders, stage_code, strategy_code
from bench.run.suite import CorpusUse, Entry, Suite, SuiteError, budget_of
from bench.run.work import Job
from bench.train.build import Rows, make_info
from bench.train.seeding import derive_seed
from bench.train.strategy import Classifier, Field, Strategy


@dataclass(frozen=True)
class Row:
    """One evaluation that a suite asks for, and the cell that holds it.

    Attributes:
        key: of the predict cell; empty when skipped.
        fit_key: of the fit it rests on.
        skipped: why it cannot run.
    """

    suite: str
    scale: str
    corpus: str
    title: str
    simulated: bool
    task: str
    kind: str
    label: str
    strategy: str
    strategy_title: str
    origin: str
    recipe: str
    needs: tuple[str, ...]
    needs_at_test: tuple[str, ...]
    readout: str
    encoder: str
    split: str
    lead_set: str
    eval_lead_set: str
    fraction: float
    seed_index: int
    key: str = ""
    fit_key: str = ""
    skipped: str = ""
    paper: str = ""
    deviations: tuple[str, ...] = ()
    uses_encoder: bool = True


@dataclass
class Plan:
    """Everything to run, by key, and the rows that the reports show.

    Attributes:
        jobs: in an order in which parents come before children.
    """

    suites: list[Suite]
    corpora: dict[str, PreparedCorpus]
    jobs: dict[str, Job] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)

    def stages(self) -> dict[str, int]:
        """Number of cells of each stage."""
        stages = [job.cell.stage for job in self.jobs.values()]
        return {stage: stages.count(stage) for stage in ("fit", "embed", "predict")}


def make_plan(
    suites: Iterable[Suite],
    corpora: Mapping[str, PreparedCorpus],
    registry: Registry,
    device: str = "cpu",
) -> Plan:
    """Expand suites to cells.

    Args:
        corpora: every corpus the suites name, prepared as their input spec asks, by `corpus_id`.

    Raises:
        SuiteError: an entry names what does not exist.
        CorpusError: a test patient is in a training set.
    """
    plan = Plan(list(suites), dict(corpora))
    for suite in plan.suites:
        for use in suite.corpora:
            expansion = _Expansion(plan, suite, use, corpora[corpus_id(suite, use)], registry, device)
            expansion.expand()
    return plan


def corpus_id(suite: Suite, use: CorpusUse) -> str:
    """Name of a corpus as prepared for a suite: the same corpus at another rate or band is another one."""
    band = "" if suite.input.band is None else "/{:g}-{:g} Hz".format(*suite.input.band)
    return f"{use.corpus}@{suite.input.rate}{band}"


class _Expansion:
    """One suite on one corpus."""

    def __init__(
        self,
        plan: Plan,
        suite: Suite,
        use: CorpusUse,
        corpus: PreparedCorpus,
        registry: Registry,
        device: str,
    ) -> None:
        self.plan, self.suite, self.use, self.corpus = plan, suite, use, corpus
        self.registry, self.device = registry, device
        targets = corpus.targets(use.task)
        self.targets = targets
        self.split: Split = make_split(corpus.records, targets, use.split)
        self._subsets: dict[tuple[float, int], tuple[Rows, Subset] | str] = {}
        parts = self.split.parts
        training = [CorpusPart(corpus, self.split.pretrain), CorpusPart(corpus, parts["val"])]
        refuse_overlap(audit(training, [CorpusPart(corpus, parts["test"])]))

    def expand(self) -> None:
        """Add this suite's rows and cells on this corpus to the plan."""
        entries = {entry.label: entry for entry in self.suite.entries}
        for entry in entries.values():
            for trained in self.suite.lead_sets:
                for evaluated in self.suite.eval_lead_sets or (trained,):
                    for seed_index in range(self.suite.seeds):
                        for fraction in entry.fractions or self.suite.label_fractions:
                            self._row(entry, entries, trained, evaluated, seed_index, fraction)

    def _row(
        self,
        entry: Entry,
        entries: dict[str, Entry],
        lead_set: str,
        eval_lead_set: str,
        seed_index: int,
        fraction: float,
    ) -> None:
        found = self._found(entry)
        kind = found.strategy
        described = Row(
            suite=self.suite.name,
            scale=self.suite.scale,
            corpus=self.corpus.name,
            title=self.corpus.title,
            simulated=self.corpus.simulated,
            task=self.use.task,
            kind=self.corpus.tasks[self.use.task].kind,
            label=entry.label,
            strategy=entry.strategy,
            strategy_title=_title(entry, kind),
            origin=found.kind,
            recipe=entry.recipe or "",
            needs=tuple(sorted(f.value for f in self._needs(entry, entries))),
            needs_at_test=tuple(sorted(f.value for f in kind.needs_at_test)),
            readout="classifier" if issubclass(kind, Classifier) else kind.readout,
            encoder=self.suite.encoder.name,
            split=self.use.split.title(),
            lead_set=lead_set,
            eval_lead_set=eval_lead_set,
            fraction=fraction,
            seed_index=seed_index,
            paper=kind.paper,
            deviations=self._deviations(entry, entries, kind),
            uses_encoder=kind.uses_encoder,
        )
        if self._channels(entry, lead_set) != self._channels(entry, eval_lead_set):
            reason = f"an encoder trained on {lead_set} cannot read {eval_lead_set}"
            self.plan.rows.append(replace(described, skipped=reason))
            return
        try:
            fit = self._fit(entry, entries, lead_set, seed_index, fraction)
            key = self._predict(kind, fit, eval_lead_set, seed_index, fraction)
            self.plan.rows.append(replace(described, key=key, fit_key=fit))
        except SkipFraction as reason:
            self.plan.rows.append(replace(described, skipped=str(reason)))

    def _deviations(self, entry: Entry, entries: dict[str, Entry], kind: type[Strategy]) -> tuple[str, ...]:
        """The strategy's own, what the recipe sets, and what the fit starts from."""
        lines = list(kind.deviations)
        changes = {**self._recipe(entry, kind), **entry.params}
        if changes:
            what = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in changes.items())
            lines.append(f"Set here: {what}.")
        if entry.init:
            init = entries[entry.init]
            lines.append(f"Starts from the fit of {_title(init, self._found(init).strategy)}.")
        return tuple(lines)

    def _channels(self, entry: Entry, lead_set_name: str) -> int:
        """Channels that an entry's encoder takes with a lead set."""
        kind = self._found(entry).strategy
        leads = 1 if self.suite.input.instance == "lead" else len(lead_set(lead_set_name))
        return kind.encoder_leads(leads, self._params(entry, kind))

    def _found(self, entry: Entry) -> Found:
        try:
            return self.registry.get(entry.strategy)
        except KeyError as error:
            raise SuiteError(f"suite {self.suite.name!r}: {error.args[0]}") from None

    def _needs(self, entry: Entry, entries: dict[str, Entry]) -> frozenset[Field]:
        inherited = self._needs(entries[entry.init], entries) if entry.init else frozenset()
        kind = self._found(entry).strategy
        return kind.needs_with(self._params(entry, kind)) | inherited

    def _params(self, entry: Entry, kind: type[Strategy]) -> Any:
        try:
            return kind.Params.model_validate({**self._recipe(entry, kind), **entry.params})
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

    def _fit(
        self, entry: Entry, entries: dict[str, Entry], lead_set: str, seed_index: int, fraction: float
    ) -> str:
        found = self._found(entry)
        kind, suite = found.strategy, self.suite
        parents = {}
        if entry.init and "init" not in kind.parents:
            raise SuiteError(f"entry {entry.label!r}: {kind.name} starts from no other fit; leave `init` out")
        if entry.init:
            parents["init"] = self._fit(entries[entry.init], entries, lead_set, seed_index, fraction)
        missing = set(kind.parents) - set(parents)
        if missing:
            raise SuiteError(f"entry {entry.label!r} needs `{missing.pop()}: LABEL OF AN ENTRY`")
        params = self._params(entry, kind)
        needs = kind.needs_with(params)
        labelled = Field.LABELS in needs
        rows, subset = self._subset(fraction if labelled else 1.0, seed_index)
        budget = budget_of(suite, entry)
        if not kind.trained:
            budget = budget.model_copy(update={"steps": 0})
        task = self.use.task if labelled else None
        info = make_info(
            self.corpus,
            suite.input,
            lead_set,
            len(rows.labelled if kind.labelled_only else rows.train),
            task,
            budget.steps,
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
            encoder=suite.encoder,
            strategy=StrategySpec(
                name=kind.name,
                params=params.model_dump(mode="json"),
                code=_strategy_code(found, suite.encoder, kind.encoder_leads(info.leads, params)),
            ),
            task=task,
            subset=subset if labelled or budget.selection == "best_val_loss" else None,
            measurements=self.corpus.measurements_fingerprint() if measured else None,
            suite_seed=suite.seed,
            seed_index=seed_index,
            budget=budget,
            threads=suite.threads,
            precision=suite.precision,
            parents=parents,
            code=stage_code("fit"),
        )
        return self._add(cell, rows, found)

    def _recipe(self, entry: Entry, kind: type[Strategy]) -> dict[str, Any]:
        if entry.recipe is None:
            return {}
        if entry.recipe not in kind.recipes:
            known = ", ".join(kind.recipes) or "none"
            raise SuiteError(f"strategy {entry.strategy!r} has no recipe {entry.recipe!r} (it has: {known})")
        recipe: dict[str, Any] = kind.recipes[entry.recipe]
        return recipe

    def _predict(
        self, kind: type[Strategy], fit: str, lead_set: str, seed_index: int, fraction: float
    ) -> str:
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


def _title(entry: Entry, kind: type[Strategy]) -> str:
    """The entry's own title, or the strategy's, with the label where that says more."""
    plain = kind.title if entry.label == entry.strategy else f"{kind.title} ({entry.label})"
    return entry.title or plain


def _rows_hash(records: pd.DataFrame, *parts: np.ndarray) -> str:
    ids = records["record"].to_numpy()
    text = "|".join(",".join(sorted(ids[rows])) for rows in parts)
    return hashlib.sha256(text.encode()).hexdigest()


def _strategy_code(found: Found, encoder: EncoderSpec, leads: int) -> str:
    if encoder.name not in encoders():
        raise SuiteError(f"no encoder {encoder.name!r}; there are: {', '.join(encoders())}")
    try:
        with torch.device("meta"):
            encoders()[encoder.name](leads=leads, **encoder.arguments)
    except (TypeError, ValueError) as error:
        raise SuiteError(f"encoder {encoder.name!r} cannot be built: {error}") from None
    return strategy_code(found.strategy.__module__, encoder.name, found.source)
