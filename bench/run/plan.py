"""From suites to a plan: validate, audit, expand, link. Pure: the same suites and corpora, the same keys."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from bench.data.corpus import PreparedCorpus
from bench.data.splits import SkipFraction
from bench.run.expand import CellMaker
from bench.run.planned import Plan, Row
from bench.run.registry import Registry
from bench.run.suite import CorpusUse, Entry, Suite
from bench.train.strategy import Classifier, Strategy

__all__ = ["Plan", "Row", "corpus_id", "make_plan"]


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
            corpus = corpora[corpus_id(suite, use)]
            _Expansion(CellMaker(plan, suite, use, corpus, registry, device)).expand()
    return plan


def corpus_id(suite: Suite, use: CorpusUse) -> str:
    """Name of a corpus as prepared for a suite: the same corpus at another rate or band is another one."""
    spec = suite.on(use).input
    band = "" if spec.band is None else "/{:g}-{:g} Hz".format(*spec.band)
    return f"{use.corpus}@{spec.rate}{band}"


class _Expansion:
    """The rows of one suite on one corpus."""

    def __init__(self, cells: CellMaker) -> None:
        self.cells, self.plan = cells, cells.plan
        self.suite, self.use, self.corpus = cells.suite, cells.use, cells.corpus

    def expand(self) -> None:
        """Add this suite's rows and cells on this corpus to the plan."""
        entries = {entry.label: entry for entry in self.suite.entries}
        for entry in entries.values():
            for trained in self.suite.lead_sets:
                for evaluated in self.suite.eval_lead_sets or (trained,):
                    for seed_index in range(self.suite.seeds):
                        for fraction, grouping in self._evaluations(entry):
                            self._row(entry, entries, trained, evaluated, seed_index, fraction, grouping)

    def _evaluations(self, entry: Entry) -> list[tuple[float, str]]:
        """(label fraction, grouping) of an entry; grouping '' stands for scores."""
        fractions = entry.fractions or self.suite.label_fractions
        scores = [(fraction, "") for fraction in fractions] if self.suite.scores else []
        groupings = self.suite.groupings if entry.groupings is None else entry.groupings
        return scores + [(max(fractions), grouping) for grouping in groupings]

    def _row(
        self,
        entry: Entry,
        entries: dict[str, Entry],
        lead_set: str,
        eval_lead_set: str,
        seed_index: int,
        fraction: float,
        grouping: str,
    ) -> None:
        found = self.cells.found(entry)
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
            needs=tuple(sorted(f.value for f in self.cells.needs(entry, entries))),
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
            grouping=grouping,
            attributes=kind.seeks(self.cells.params(entry, kind)) if grouping else (),
        )
        reason = ""
        if self.cells.channels(entry, lead_set) != self.cells.channels(entry, eval_lead_set):
            reason = f"an encoder trained on {lead_set} cannot read {eval_lead_set}"
        if grouping and kind.readout == "boosting":
            reason = "what it gives the read-out is a table with gaps, not an embedding to group"
        if reason:
            self.plan.rows.append(replace(described, skipped=reason))
            return
        try:
            fit = self.cells.fit(entry, entries, lead_set, seed_index, fraction)
            if grouping:
                key = self.cells.group(entry, grouping, fit, eval_lead_set, seed_index, fraction)
            else:
                key = self.cells.predict(kind, fit, eval_lead_set, seed_index, fraction)
            self.plan.rows.append(replace(described, key=key, fit_key=fit))
        except SkipFraction as reason:
            self.plan.rows.append(replace(described, skipped=str(reason)))

    def _deviations(self, entry: Entry, entries: dict[str, Entry], kind: type[Strategy]) -> tuple[str, ...]:
        """The strategy's own, what the recipe sets, and what the fit starts from."""
        lines = list(kind.deviations)
        changes = {**self.cells.recipe(entry, kind), **entry.params}
        if changes:
            what = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in changes.items())
            lines.append(f"Set here: {what}.")
        if entry.init:
            init = entries[entry.init]
            lines.append(f"Starts from the fit of {_title(init, self.cells.found(init).strategy)}.")
        return tuple(lines)


def _title(entry: Entry, kind: type[Strategy]) -> str:
    """The entry's own title, or the strategy's, with the label where that says more."""
    plain = kind.title if entry.label == entry.strategy else f"{kind.title} ({entry.label})"
    return entry.title or plain
