"""From suites to a plan: validate, audit, expand, link. Pure: the same suites and corpora, the same keys."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bench.data.corpus import PreparedCorpus
from bench.data.splits import SkipFraction
from bench.run.cell import EncoderSpec
from bench.run.expand import At, CellMaker
from bench.run.ground import Ground
from bench.run.parameters import changes_of
from bench.run.planned import Plan, Row
from bench.run.proof import refuse_leaks
from bench.run.protocol import protocol_of
from bench.run.registry import Registry
from bench.run.suite import CorpusUse, Entry, Suite, SuiteError
from bench.train.strategy import Classifier, Field, Strategy

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
        makers = _Makers(plan, suite, registry, device)
        for variant in suite.encoder_variants or ({},):
            for place, use in enumerate(suite.corpora):
                for entry in suite.entries if use.evaluate else ():
                    makers.expansion(entry, place, variant).expand(entry)
    _refuse_twins(plan)
    refuse_leaks(plan)
    return plan


class _Makers:
    """Makers of the cells of one suite: one a corpus, input spec and set of encoder arguments, made when asked for."""

    def __init__(self, plan: Plan, suite: Suite, registry: Registry, device: str) -> None:
        self.plan, self.suite, self.registry, self.device = plan, suite, registry, device
        self._grounds: dict[tuple[int, str], Ground] = {}
        self._makers: dict[tuple[int, str, str], CellMaker] = {}
        self._expansions: dict[tuple[int, str, str], _Expansion] = {}

    def expansion(self, entry: Entry, place: int, variant: dict[str, Any]) -> "_Expansion":
        """What expands an entry on the corpus at a place of the suite."""
        key = place, str(entry.input), str(variant)
        if key not in self._expansions:
            corpora = [use.corpus for use in self.suite.corpora]
            sources = [corpora.index(name) for name in self.suite.corpora[place].sources]
            cells = self._maker(entry, place, variant)
            others = [self._maker(entry, source, variant) for source in sources]
            use = self.suite.corpora[place]
            corpus = self.plan.corpora[corpus_id(self.suite, use)].fingerprint
            protocol = protocol_of(self.suite, use, corpus, cells.split.fingerprint)
            self._expansions[key] = _Expansion(cells, others, protocol)
        return self._expansions[key]

    def _maker(self, entry: Entry, place: int, variant: dict[str, Any]) -> CellMaker:
        key = place, str(entry.input), str(variant)
        if key not in self._makers:
            ground = self._ground(entry, place)
            self._makers[key] = CellMaker(self.plan, ground, self.suite, self.registry, self.device, variant)
        return self._makers[key]

    def _ground(self, entry: Entry, place: int) -> Ground:
        key = place, str(entry.input)
        if key not in self._grounds:
            use = self.suite.use_of(self.suite.corpora[place], entry)
            made = Ground(self.suite, use, self.plan.corpora[corpus_id(self.suite, use)])
            for (other, _), ground in self._grounds.items():
                if other == place:
                    _refuse_other_split(entry, made, ground)
            self._grounds[key] = made
        return self._grounds[key]


def _refuse_other_split(entry: Entry, made: Ground, ground: Ground) -> None:
    """Rows are compared on the same records, whatever input they have.

    Raises:
        SuiteError: the corpus, prepared with another filter or rate, is split otherwise.
    """
    if made.split.fingerprint == ground.split.fingerprint:
        return
    here, there = (set(one.corpus.records["record"]) for one in (made, ground))
    alone = sorted(here ^ there)
    why = f"record {alone[0]} is in one of the two only" if alone else "patients differ"
    raise SuiteError(
        f"entry {entry.label!r}: with its own input {made.corpus.name} is split otherwise than with another row's"
        f" ({why}), so that the rows cannot be compared; take that record out, or run the row in a suite of its own"
    )


def _refuse_twins(plan: Plan) -> None:
    """Two rows that no table could tell apart would be taken for two seeds of one.

    Raises:
        SuiteError: there are such; the message names the first.
    """
    seen: set[tuple[object, ...]] = set()
    for row in plan.rows:
        setting = (
            row.suite,
            row.scale,
            row.corpus,
            row.task,
            row.split,
            row.encoder,
            row.lead_set,
            row.eval_lead_set,
        )
        place = (
            *setting,
            row.label,
            row.source,
            row.overlap,
            row.fraction,
            row.seed_index,
            row.grouping,
            row.noise,
            row.crossed,
        )
        if place in seen:
            raise SuiteError(
                f"suite {row.suite!r} asks twice for row {row.label!r} on {row.corpus}, task {row.task}, encoder"
                f" {row.encoder}: corpora, variants or suites that differ in something no table shows"
            )
        seen.add(place)


def corpus_id(suite: Suite, use: CorpusUse) -> str:
    """Name of a corpus as prepared for a suite: the same corpus at another rate or band is another one."""
    spec = suite.on(use).input
    band = "" if spec.band is None else "/{:g}-{:g} Hz".format(*spec.band)
    return f"{use.corpus}@{spec.rate}{band}"


@dataclass(frozen=True)
class _Evaluation:
    """What is evaluated of an entry: a grouping, or scores, clean or under noise, or with another seed's labels."""

    fraction: float
    grouping: str = ""
    noise: int = 0
    subset_index: int | None = None


class _Expansion:
    """The rows of one suite on one corpus, pre-trained there or on one of its sources."""

    def __init__(self, cells: CellMaker, sources: list[CellMaker], protocol: str) -> None:
        self.cells, self.plan, self.sources, self.protocol = cells, cells.plan, sources, protocol
        self.suite, self.use, self.corpus = cells.suite, cells.use, cells.corpus
        self.entries = {entry.label: entry for entry in self.suite.entries}

    def expand(self, entry: Entry) -> None:
        """Add an entry's rows and cells on this corpus to the plan."""
        for source in self._sources(entry):
            for trained in self.suite.trained_on(entry):
                for evaluated in self.suite.evaluated_on(entry, trained):
                    for seed_index in range(self.suite.seeds):
                        for what in self._evaluations(entry, source, seed_index):
                            at = At(trained, seed_index, what.fraction, what.subset_index)
                            self._row(entry, source, at, evaluated, what)

    def _sources(self, entry: Entry) -> list[CellMaker | None]:
        """Here, and wherever else the entry's first fit may be made."""
        first = entry
        while first.init:
            first = self.entries[first.init]
        kind = self.cells.found(first).strategy
        moves = entry.transfer != "never" and kind.trained and kind.uses_encoder
        moves = moves and not self.cells.overlaps(entry, self.entries)
        for source in self.sources if moves and self.suite.scores else []:
            self._assert_alike(source)
        return [*([None] if entry.transfer != "only" else []), *(self.sources if moves else [])]

    def _assert_alike(self, source: CellMaker) -> None:
        """An encoder can move between corpora only if both show it the same kind of input."""
        for what in ("input", "encoder"):
            if getattr(source.suite, what) != getattr(self.suite, what):
                raise SuiteError(
                    f"suite {self.suite.name!r}: {source.corpus.name} and {self.corpus.name} have each their own"
                    f" {what}; an encoder of one cannot be evaluated on the other"
                )

    def _evaluations(self, entry: Entry, source: CellMaker | None, seed_index: int) -> Iterator[_Evaluation]:
        fractions = entry.fractions or self.suite.label_fractions
        if self.suite.scores:
            yield from (_Evaluation(fraction) for fraction in fractions)
        if source is not None:
            return
        yield from self._crossed(entry, fractions, seed_index)
        classifies = issubclass(self.cells.found(entry).strategy, Classifier)
        if self.suite.scores and classifies and entry.noise:
            yield from (_Evaluation(max(fractions), noise=level) for level in self.suite.noise_levels)
        groupings = self.suite.groupings if entry.groupings is None else entry.groupings
        yield from (_Evaluation(max(fractions), grouping) for grouping in groupings)

    def _crossed(self, entry: Entry, fractions: Iterable[float], seed_index: int) -> Iterator[_Evaluation]:
        """The fit of one seed with the label subsets of all others, where it has seen none itself."""
        kind = self.cells.found(entry).strategy
        label_free = Field.LABELS not in self.cells.needs(entry, self.entries)
        if not (self.suite.scores and label_free and kind.trained):
            return
        for fraction in (f for f in fractions if f in self.suite.crossed_fractions):
            others = (index for index in range(self.suite.seeds) if index != seed_index)
            yield from (_Evaluation(fraction, subset_index=index) for index in others)

    def _row(self, entry: Entry, source: CellMaker | None, at: At, evaluated: str, what: _Evaluation) -> None:
        described = self._described(entry, source, at, evaluated, what)
        reason = self._unfit(entry, what)
        if reason:
            self.plan.rows.append(replace(described, skipped=reason))
            return
        try:
            fit, judged = self._fit(entry, source, at), replace(at, lead_set=evaluated)
            if what.grouping:
                key = self.cells.group(entry, what.grouping, fit, judged, at.lead_set)
            else:
                key = self.cells.predict(entry, fit, judged, at.lead_set, described.readout, what.noise)
            self.plan.rows.append(replace(described, key=key, fit_key=fit))
        except SkipFraction as skipped:
            self.plan.rows.append(replace(described, skipped=str(skipped)))

    def _fit(self, entry: Entry, source: CellMaker | None, at: At) -> str:
        """The fit that is judged: made here, from one made elsewhere, or elsewhere as it is."""
        if source is None or entry.init:
            return self.cells.fit(entry, self.entries, at, source)
        return source.fit(entry, self.entries, replace(at, fraction=1.0), judge=self.cells.ground)

    def _described(
        self, entry: Entry, source: CellMaker | None, at: At, evaluated: str, what: _Evaluation
    ) -> Row:
        cells, found = self.cells, self.cells.found(entry)
        kind, overlap = found.strategy, self.cells.overlaps(entry, self.entries)
        by, elsewhere = cells.fractions_by(entry), source.corpus.name if source else ""
        outside = cells.exposure(entry, self.entries)
        trained_on = elsewhere or ", ".join(outside.corpora if outside else ())
        origin = outside.origin if outside else "transfer" if source else found.kind
        return Row(
            suite=self.suite.name,
            scale=self.suite.scale,
            corpus=self.corpus.name,
            title=self.corpus.title,
            simulated=self.corpus.simulated,
            task=self.use.task,
            kind=self.corpus.tasks[self.use.task].kind,
            label=entry.label,
            strategy=entry.strategy,
            strategy_title=_marked(_title(entry, kind), trained_on, overlap),
            origin="overlap" if overlap else origin,
            recipe=entry.recipe or "",
            needs=tuple(sorted(f.value for f in cells.needs(entry, self.entries))),
            needs_at_test=tuple(sorted(f.value for f in cells.needs_at_test(entry))),
            readout=self._readout(entry, source),
            encoder=self._encoder(),
            split=self.use.split.title(),
            lead_set=at.lead_set,
            eval_lead_set=evaluated,
            fraction=at.fraction,
            seed_index=at.seed_index,
            paper=kind.paper,
            deviations=self._deviations(entry, kind, source, overlap),
            uses_encoder=kind.uses_encoder,
            grouping=what.grouping,
            attributes=kind.seeks(cells.params(entry, kind)) if what.grouping else (),
            source=elsewhere,
            overlap=overlap,
            noise=what.noise,
            fractions_by=by,
            own_encoder=self._own_encoder(entry),
            protocol=self.protocol,
            crossed=-1 if what.subset_index is None else what.subset_index,
            params=json.dumps(cells.params(entry, kind).model_dump(mode="json"), sort_keys=True),
        )

    def _readout(self, entry: Entry, source: CellMaker | None) -> str:
        """A classifier of another corpus's classes is judged by its embedding."""
        kind = self.cells.found(entry).strategy
        if issubclass(kind, Classifier):
            return "probe" if source and not entry.init else "classifier"
        return kind.readout

    def _encoder(self) -> str:
        """Its name, with its arguments where the suite has it with several sets of them."""
        names = {name for variant in self.suite.encoder_variants for name in variant}
        return _named(self.suite.encoder, names)

    def _own_encoder(self, entry: Entry) -> str:
        """That of an entry with all its arguments, where it is not the suite's."""
        if self.cells.exposure(entry, self.entries):
            return "external"
        own = self.cells.encoder(entry, self.entries)
        return "" if own == self.suite.encoder else _named(own, own.arguments)

    def _unfit(self, entry: Entry, what: _Evaluation) -> str:
        """Why an evaluation makes no sense; empty where it does."""
        if what.grouping and self.cells.found(entry).strategy.readout == "boosting":
            return "what it gives the read-out is a table with gaps, not an embedding to group"
        return ""

    def _deviations(
        self, entry: Entry, kind: type[Strategy], source: CellMaker | None, overlap: bool
    ) -> tuple[str, ...]:
        """The strategy's own, what the recipe sets, and what the fit starts from."""
        lines = list(kind.deviations)
        for what, changes in (
            ("Set here", changes_of(self.suite, entry, kind)),
            ("Input here", entry.input),
        ):
            told = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in changes.items())
            lines += [f"{what}: {told}."] * bool(told)
        outside = self.cells.exposure(entry, self.entries)
        lines += outside.told if outside else ()
        for label in dict.fromkeys(entry.starts_from):
            other = self.entries[label]
            lines.append(f"Starts from the fit of {_title(other, self.cells.found(other).strategy)}.")
        if source:
            lines.append(f"Pre-trained on {source.corpus.name}, with all labels there where it reads labels.")
            lines += [] if overlap else self._left_out(source)
        return tuple(lines)

    def _left_out(self, source: CellMaker) -> list[str]:
        gone = source.ground.lost_to(self.cells.ground)
        return [f"{gone:,} records of {source.corpus.name} left out: their patients are evaluated here."] * (
            gone > 0
        )


def _named(spec: EncoderSpec, names: Iterable[str]) -> str:
    """An encoder's name with those of its arguments that are named."""
    told = ", ".join(f"{name} {spec.arguments[name]}" for name in sorted(names) if name in spec.arguments)
    return f"{spec.name} ({told})" if told else spec.name


def _title(entry: Entry, kind: type[Strategy]) -> str:
    """The entry's own title, or the strategy's, with the label where that says more."""
    plain = kind.title if entry.label == entry.strategy else f"{kind.title} ({entry.label})"
    return entry.title or plain


def _marked(title: str, source: str, overlap: bool) -> str:
    """A title that tells what the encoder saw elsewhere, or should not have seen."""
    return title + (f", from {source}" if source else "") + (", saw test ECGs" if overlap else "")
