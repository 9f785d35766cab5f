"""Where a suite's corpora come from: a folder given with --data, a user's own, or the simulator; prepared once, then
cached."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.data.chapman import ChapmanReader
from bench.data.check import detect_reader
from bench.data.cinc2021 import CincReader
from bench.data.corpus import CorpusError, PreparedCorpus, Reader
from bench.data.folder import FolderReader
from bench.data.prepare import prepare
from bench.data.ptbxl import PtbxlReader
from bench.run.own_corpus import assert_judgeable
from bench.run.parameters import params_of
from bench.run.plan import corpus_id
from bench.run.registry import Registry
from bench.run.suite import CorpusUse, Entry, Suite
from bench.train.strategy import Field

Report = Callable[[str, int, int], None]
"""(what is being done, done, in all)"""

_WITHIN = {"cpsc": "cinc2021"}
"""Corpora that are a part of another one, and lie in its folder where they have none of their own."""


@dataclass(frozen=True)
class Shelf:
    """Where corpora lie.

    Attributes:
        home: our own folder for simulated and prepared corpora.
        data: a folder with real corpora: the corpus itself, or one sub-folder a corpus.
        records: size of a simulated cohort.
        own: folders of the user's own corpora, by name.
    """

    home: Path
    data: Path | None = None
    records: int = 1500
    workers: int | None = None
    own: Mapping[str, Path] = field(default_factory=dict)

    def folder(self, name: str) -> Path:
        """Where a corpus lies on disk, simulating it first where its name ends in -sim.

        Raises:
            CorpusError: a real corpus without --data, or none of that layout there.
        """
        if name in self.own:
            return self.own[name]
        if name.endswith("-sim"):
            return self.home / "simulated" / f"{name}-{self.records}"
        if self.data is None:
            raise CorpusError(
                f"corpus {name!r} is real data: say where it lies with --data FOLDER{_instead_of(name)}"
            )
        folders = [self.data / inside for inside in (name, _WITHIN.get(name, name))]
        return next((folder for folder in folders if folder.is_dir()), self.data)

    def reader(self, name: str, folder: Path, rate: int) -> Reader:
        """The reader of a corpus by name; `folder` and unknown names go by what lies in the folder."""
        if name in self.own:
            return FolderReader(name, kind="own corpus")
        base = name.removesuffix("-sim")
        if base == "chapman":
            return ChapmanReader()
        if base == "ptbxl":
            return PtbxlReader(rate=rate)
        if base == "cpsc":
            return CincReader(sources=("cpsc",), name="cpsc")
        return CincReader() if base == "cinc2021" else detect_reader(folder)

    def prepared(
        self, name: str, rate: int, band: tuple[float, float] | None, report: Report
    ) -> PreparedCorpus:
        """A corpus ready to train on, from the cache or made now."""
        if name.endswith("-sim"):
            from bench.data.simulator.cohort import simulate

            simulate(
                name,
                self.folder(name),
                self.records,
                workers=self.workers,
                progress=_named(report, f"simulate {name}"),
            )
        folder = self.folder(name)
        return prepare(
            self.reader(name, folder, rate),
            folder,
            self.home / "prepared",
            rate,
            band,
            workers=self.workers,
            progress=_named(report, f"prepare {name}"),
        )


def _instead_of(name: str) -> str:
    """What to run where a real corpus is not at hand."""
    from bench.data.simulator.cohort import SIMULATED

    return f" (or use {name}-sim)" if f"{name}-sim" in SIMULATED else ""


def _named(report: Report, what: str) -> Callable[[int, int], None]:
    return lambda done, total: report(what, done, total)


def gather_corpora(
    suites: Iterable[Suite], shelf: Shelf, registry: Registry, report: Report
) -> dict[str, PreparedCorpus]:
    """Every corpus of some suites, prepared; measured first where a strategy reads measurements it lacks."""
    corpora: dict[str, PreparedCorpus] = {}
    done: dict[str, frozenset[Field]] = {}
    for suite in suites:
        for use in suite.corpora:
            asked = [(use, frozenset[Field]())]  # as the suite has it, whoever reads that
            asked += [(suite.use_of(use, entry), _reads(suite, entry, registry)) for entry in suite.entries]
            for own, read in asked:
                name, spec = corpus_id(suite, own), suite.on(own).input
                if name not in corpora:
                    corpora[name] = shelf.prepared(use.corpus, spec.rate, spec.band, report)
                    done[name] = frozenset()
                    if use.corpus in shelf.own:
                        assert_judgeable(corpora[name], use)
                fields = read - done[name]
                corpora[name] = _measured(corpora[name], fields, shelf, report)
                done[name] |= fields
    return corpora


def _measured(
    corpus: PreparedCorpus, fields: frozenset[Field], shelf: Shelf, report: Report
) -> PreparedCorpus:
    """The same corpus with what of it has to be measured for such fields."""
    if Field.MEASUREMENTS in fields:
        corpus = measured(corpus, shelf, report)
    if Field.FEATURES in fields:
        from bench.data.features import measure_features

        measure_features(
            corpus, workers=shelf.workers, progress=_named(report, f"find R peaks of {corpus.name}")
        )
    return corpus


def measured(corpus: PreparedCorpus, shelf: Shelf, report: Report) -> PreparedCorpus:
    """The same corpus with its eleven attributes, measured from the signals where it brings none."""
    from bench.data.attributes import measure_corpus

    if corpus.brings_measurements:
        return corpus
    measure_corpus(corpus, workers=shelf.workers, progress=_named(report, f"measure {corpus.name}"))
    opened = PreparedCorpus.open(corpus.folder)
    return replace(opened, facts={**opened.facts, "measured": "leadboard and neurokit2"})


def _reads(suite: Suite, entry: Entry, registry: Registry) -> frozenset[Field]:
    """Fields that an entry reads, in training or at test."""
    if entry.strategy not in registry.found:
        return frozenset()
    kind = registry.get(entry.strategy).strategy
    params = params_of(suite, entry, kind)
    return kind.needs_with(params) | kind.needs_at_test_with(params)


__all__ = ["CorpusUse", "Shelf", "gather_corpora", "measured"]
