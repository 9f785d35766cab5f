"""Suites: what to run, as data. Frozen, closed (an unknown name is an error), with one set of overrides a scale."""

from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from bench.data.leads import LEAD_SETS
from bench.nn.noise import LEVELS
from bench.run.cell import EncoderSpec
from bench.run.entry import CorpusUse, Entry, FractionsBy, Frozen, Grouping, SuiteError, assert_fractions
from bench.train.budget import Budget, InputSpec

__all__ = [
    "CorpusUse",
    "Entry",
    "FractionsBy",
    "Grouping",
    "Suite",
    "SuiteError",
    "budget_of",
    "corpus_uses",
    "load_suite",
    "sources_of",
    "suite_files",
]

_MORE_AXES = ("encoder_variants", "noise_levels")

HERE = Path(__file__).resolve().parents[1]


class Suite(Frozen):
    """What to run at one scale.

    Attributes:
        seed: every random number of the suite derives from it; `seeds`: how many seed indices.
        budgets, params: overrides of budget and parameters by entry label, on top of the entry's own (what a scale
            changes: learning rates, say).
        lead_sets: trained, and evaluated; `eval_lead_sets`: what was trained on more leads is also evaluated with
            these, the others being zero.
        encoders: in place of the suite's, for single entries by label; what starts from an entry has its encoder.
        encoder_variants: arguments of the encoder, everything runs with each set of them; none: as it is.
        label_fractions: shares of the training part whose labels are visible; fractions_by: shares of what.
        crossed_fractions: label fractions at which the fits of label-free strategies are read out with the label subset
            of every seed, so that what the subset's draw and what the initialisation do to a score can be told apart.
        noise_levels: of physiological noise under which classifiers are also tested, at their largest fraction.
        leave_out: labels of entries that are not run at this scale.
        scores: score the downstream classes by each strategy's read-out.
        groupings: read-outs into groups, at each entry's largest label fraction: the strategy's 'own'
            prototypes, class 'means', 'kmeans'.
        min_patients: fewest patients a class that a label subset may hold; else the fraction is skipped.
    """

    name: str
    title: str
    paper: str = ""
    scale: str
    seed: int = 0
    seeds: int = Field(gt=0)
    corpora: tuple[CorpusUse, ...]
    input: InputSpec
    encoder: EncoderSpec
    encoders: dict[str, EncoderSpec] = {}
    encoder_variants: tuple[dict[str, Any], ...] = ()
    entries: tuple[Entry, ...]
    budget: Budget
    budgets: dict[str, dict[str, Any]] = {}
    params: dict[str, dict[str, Any]] = {}
    lead_sets: tuple[str, ...] = Field(default=("all-12",), min_length=1)
    eval_lead_sets: tuple[str, ...] = ()
    label_fractions: tuple[float, ...] = Field(default=(0.01, 0.05, 0.1, 0.25, 0.5, 1.0), min_length=1)
    fractions_by: FractionsBy = "patients"
    crossed_fractions: tuple[float, ...] = ()
    noise_levels: tuple[int, ...] = ()
    leave_out: tuple[str, ...] = ()
    scores: bool = True
    groupings: tuple[Grouping, ...] = ()
    min_patients: int = 2
    threads: int = 1
    precision: Literal["float32", "bf16"] = "float32"

    @model_validator(mode="after")
    def _consistent(self) -> "Suite":
        labels = [entry.label for entry in self.entries]
        doubled = {label for label in labels if labels.count(label) > 1}
        if doubled:
            raise ValueError(f"two entries are labelled {doubled.pop()!r}; give one a `label`")
        by_label = {entry.label: entry for entry in self.entries}
        for entry in self.entries:
            for parent in entry.starts_from:
                if parent not in labels:
                    raise ValueError(f"entry {entry.label!r} starts from {parent!r}, which is no entry")
                if by_label[parent].input != entry.input:
                    raise ValueError(
                        f"entry {entry.label!r} and {parent!r}, which it starts from, differ in `input`"
                    )
            if entry.init and (entry.encoder or entry.label in self.encoders):
                raise ValueError(
                    f"entry {entry.label!r} has the encoder of what it starts from; give it none"
                )
            if self._cyclic(entry):
                raise ValueError(f"entry {entry.label!r} starts from itself")
        for what in ("corpora", "lead_sets", "eval_lead_sets", "label_fractions", "groupings", *_MORE_AXES):
            values = [str(value) for value in getattr(self, what)]
            if len(set(values)) < len(values):
                raise ValueError(f"{what} names something twice")
        self._assert_frames()
        self._assert_sources()
        bad = [level for level in self.noise_levels if level not in LEVELS]
        if bad:
            raise ValueError(f"noise level {bad[0]} is none of {', '.join(map(str, LEVELS))}")
        for what in ("budgets", "params", "leave_out", "encoders"):
            named = getattr(self, what)
            unknown = [label for label in named if label not in labels]
            if unknown:
                raise ValueError(f"{what} names {unknown[0]!r}, which is no entry")
        out = set(self.leave_out)
        gone = [entry.label for entry in self.entries if out & set(entry.starts_from)]
        if gone and set(gone) - set(self.leave_out):
            raise ValueError(f"entry {gone[0]!r} starts from one that leave_out names")
        varied = {name for variant in self.encoder_variants for name in variant}
        own = [entry.label for entry in self.entries if varied & set(entry.encoder)]
        if own:
            raise ValueError(f"entry {own[0]!r} fixes an argument of the encoder that encoder_variants vary")
        if self.encoders and self.encoder_variants:
            raise ValueError(
                "encoder_variants would not reach the entries that `encoders` names; set one of them"
            )
        self._assert_leads()
        assert_fractions(self.label_fractions)
        if 1.0 in self.crossed_fractions:
            raise ValueError("crossed_fractions: all labels are one subset; there is none to cross")
        return self

    def _assert_leads(self) -> None:
        """Lead sets are known, and each that is only evaluated is a part of one that is trained."""
        entries = self.entries
        own = [
            name
            for e in entries
            for name in (*(e.lead_sets or ()), *(e.eval_lead_sets or ()), e.parents_lead_set)
        ]
        for name in (*self.lead_sets, *self.eval_lead_sets, *filter(None, own)):
            if name not in LEAD_SETS:
                raise ValueError(f"no lead set {name!r}; there are: {', '.join(LEAD_SETS)}")
        for name in self.eval_lead_sets:
            if not any(_is_part(name, wider) for entry in entries for wider in self.trained_on(entry)):
                raise ValueError(f"eval_lead_sets: {name!r} is no part of a lead set that is trained on")
        for entry in entries:
            for name in entry.eval_lead_sets or ():
                if not any(_is_part(name, wider) for wider in self.trained_on(entry)):
                    raise ValueError(f"entry {entry.label!r} is not trained on more leads than {name!r}")

    def trained_on(self, entry: Entry) -> tuple[str, ...]:
        """Lead sets that an entry is trained on."""
        return entry.lead_sets or self.lead_sets

    def evaluated_on(self, entry: Entry, trained: str) -> tuple[str, ...]:
        """Lead sets that a fit is evaluated with: the one it was trained on, and those that are a part of it."""
        asked = self.eval_lead_sets if entry.eval_lead_sets is None else entry.eval_lead_sets
        return (trained, *(name for name in asked if name != trained and _is_part(name, trained)))

    def use_of(self, use: CorpusUse, entry: Entry) -> CorpusUse:
        """A corpus as an entry uses it: with the entry's own input, where it has one.

        Raises:
            SuiteError: there is no such input.
        """
        if not entry.input:
            return use
        spec = use.input or self.input
        try:
            own = InputSpec.model_validate({**spec.model_dump(), **entry.input})
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise SuiteError(f"entry {entry.label!r}: input.{where}: {first['msg']}") from None
        units = ("aggregation", "instance", "window", "stride", "windows")
        single = "none" in (spec.aggregation, own.aggregation)
        if single and any(getattr(spec, name) != getattr(own, name) for name in units):
            raise SuiteError(
                f"entry {entry.label!r}: its own input would have it judged by other units than the rows beside it"
                " (aggregation 'none' judges each window by itself)"
            )
        return use.model_copy(update={"input": own})

    def _assert_frames(self) -> None:
        """Frames can be drawn only where each is judged by itself."""
        framed = [e for e in self.entries if "frames" in (e.fractions_by or self.fractions_by,)]
        uses = [self.use_of(use, entry) for use in self.corpora for entry in framed]
        if any((use.input or self.input).aggregation != "none" for use in uses):
            raise ValueError(
                "fractions_by 'frames' needs input.aggregation 'none': each frame is judged by itself"
            )

    def _assert_sources(self) -> None:
        """Sources are other corpora of the suite, and something is evaluated."""
        named = {use.corpus for use in self.corpora}
        for use in self.corpora:
            strange = [source for source in use.sources if source not in named - {use.corpus}]
            if strange:
                raise ValueError(
                    f"corpus {use.corpus!r}: source {strange[0]!r} is no other corpus of the suite"
                )
        if not any(use.evaluate for use in self.corpora):
            raise ValueError("no corpus is evaluated")

    def on(self, use: CorpusUse, variant: Mapping[str, Any] | None = None) -> "Suite":
        """The suite as it runs on one of its corpora, with one of its sets of encoder arguments."""
        budget = _merged(self.budget, use.budget, f"suite {self.name!r}: budget of corpus {use.corpus!r}")
        spec = use.encoder or self.encoder
        encoder = spec.model_copy(update={"arguments": {**spec.arguments, **(variant or {})}})
        changes = {"input": use.input or self.input, "encoder": encoder, "budget": budget}
        return self.model_copy(update=changes)

    def _cyclic(self, entry: Entry) -> bool:
        """Does following what it starts from come back to the entry?"""
        by_label = {other.label: other for other in self.entries}
        seen: set[str] = set()
        waiting = list(entry.starts_from)
        while waiting:
            label = waiting.pop()
            if label not in seen and label in by_label:
                seen.add(label)
                waiting += by_label[label].starts_from
        return entry.label in seen


def _is_part(lead_set: str, wider: str) -> bool:
    return set(LEAD_SETS[lead_set]) <= set(LEAD_SETS[wider])


def suite_files() -> dict[str, Path]:
    """Every suite by name: bench/suites/*.yaml and bench/papers/*/suite.yaml."""
    files = {path.stem: path for path in sorted((HERE / "suites").glob("*.yaml"))}
    return files | {path.parent.name: path for path in sorted((HERE / "papers").glob("*/suite.yaml"))}


def load_suite(name: str, scale: str, overrides: Mapping[str, Any] | None = None) -> Suite:
    """A suite at a scale.

    Args:
        name: of a suite of the project, or a path to a YAML file.
        overrides: values that replace the file's (command-line options).

    Raises:
        SuiteError: no such suite or scale, or a value is wrong.
    """
    content = _read(name)
    scales = content.pop("scales", {})
    if scale not in scales:
        raise SuiteError(f"suite {name!r} has no scale {scale!r}; it has: {', '.join(scales)}")
    merged = {**content, **scales[scale], "scale": scale, **(overrides or {})}
    try:
        suite = Suite.model_validate(merged)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "suite"
        raise SuiteError(f"suite {name!r} at scale {scale!r}: {where}: {first['msg']}") from error
    kept = tuple(entry for entry in suite.entries if entry.label not in suite.leave_out)
    return suite.model_copy(update={"entries": kept})


def corpus_uses(name: str, scale: str, corpus: str) -> tuple[CorpusUse, ...]:
    """How a suite uses a corpus, real or simulated, at this scale or else at any other: once for each task.

    Raises:
        SuiteError: it runs on neither; the message lists what it runs on.
    """
    scales = _read(name).get("scales", {})
    ordered = [content.get("corpora", []) for content in (scales.get(scale, {}), *scales.values())]
    base = corpus.removesuffix("-sim")
    for uses in ordered:
        own = [use for use in uses if use["corpus"].removesuffix("-sim") == base]
        if own:
            return tuple(CorpusUse.model_validate({**use, "corpus": corpus}) for use in own)
    known = ", ".join(sorted({use["corpus"].removesuffix("-sim") for uses in ordered for use in uses}))
    raise SuiteError(
        f"suite {name!r} does not run on {corpus!r}; it runs on: {known}, real or simulated (-sim)"
    )


def sources_of(use: CorpusUse, present: Set[str], asked: tuple[str, ...]) -> tuple[str, ...]:
    """Which corpora's fits are evaluated on one: the suite's sources that are there, and those asked for.

    Args:
        present: corpora that are run.
    """
    own = []
    for name in use.sources:
        alike = sorted(other for other in present if other.removesuffix("-sim") == name.removesuffix("-sim"))
        of_a_kind = [other for other in alike if other.endswith("-sim") == use.corpus.endswith("-sim")]
        own += of_a_kind or alike
    return tuple(dict.fromkeys(name for name in (*own, *asked) if name != use.corpus))


def _read(name: str) -> dict[str, Any]:
    """A suite file's content."""
    files = suite_files()
    path = Path(name) if name.endswith((".yaml", ".yml")) else files.get(name)
    if path is None or not path.is_file():
        raise SuiteError(f"no suite {name!r}; there are: {', '.join(files)} (or give a .yaml file)")
    try:
        content = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise SuiteError(f"{path.name} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise SuiteError(f"{path.name} holds no suite (a mapping is expected)")
    return content


def budget_of(suite: Suite, entry: Entry) -> Budget:
    """What an entry's fit may spend: the suite's budget, the entry's overrides, the scale's for this entry."""
    changes = entry.budget | suite.budgets.get(entry.label, {})
    return _merged(suite.budget, changes, f"suite {suite.name!r}: budget of entry {entry.label!r}")


def _merged(budget: Budget, changes: Mapping[str, Any], where: str) -> Budget:
    """A budget with some values replaced."""
    try:
        return Budget.model_validate({**budget.model_dump(), **changes})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise SuiteError(f"{where}: {place}: {first['msg']}") from None
