"""Suites: what to run, as data. Frozen, closed (an unknown name is an error), with one set of overrides a scale."""

from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bench.data.leads import LEAD_SETS
from bench.data.splits import SplitSpec
from bench.nn.noise import LEVELS
from bench.run.cell import EncoderSpec
from bench.train.budget import Budget, InputSpec

_MORE_AXES = ("encoder_variants", "noise_levels")

HERE = Path(__file__).resolve().parents[1]


class SuiteError(ValueError):
    """A suite file is wrong; the message says where."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Grouping = Literal["own", "means", "kmeans"]

FractionsBy = Literal["patients", "folds", "frames"]
"""What a label fraction is a share of: patients by class; nested folds, and patients of the first one below it;
or windows of single leads, drawn one by one whoever's they are (CLOCS)."""


class CorpusUse(_Frozen):
    """A corpus, its downstream task and split.

    Attributes:
        input, encoder: in place of the suite's, on this corpus; budget: overrides of it.
        sources: corpora of the suite whose fits are evaluated here too (transfer).
        evaluate: False: strategies are only pre-trained on it, for others to be evaluated on.
    """

    corpus: str
    task: str
    split: SplitSpec = SplitSpec(kind="official")
    input: InputSpec | None = None
    encoder: EncoderSpec | None = None
    budget: dict[str, Any] = {}
    sources: tuple[str, ...] = ()
    evaluate: bool = True


def _assert_fractions(fractions: tuple[float, ...]) -> None:
    """Label fractions are shares, each there once."""
    bad = [fraction for fraction in fractions if not 0 < fraction <= 1]
    if bad:
        raise ValueError(f"label fraction {bad[0]} is not in (0, 1]")
    if len(set(fractions)) < len(fractions):
        raise ValueError("a label fraction is named twice")


class Entry(_Frozen):
    """A row of the board: a strategy with a recipe.

    Attributes:
        label: unique in the suite; how the command line calls the row. title: how tables do.
        recipe: a named set of the strategy's parameters; `params` override it.
        init: label of the entry whose fit this one starts from.
        budget: overrides of the suite's budget.
        encoder: overrides of the encoder's arguments.
        fractions: only these label fractions; None: the suite's.
        groupings: read-outs into groups; None: the suite's.
        fractions_by: in place of the suite's.
        transfer: where the corpora have `sources`, it is evaluated as pre-trained there too, 'never' or 'only' so.
        noise: it is also tested under the suite's noise levels, if it is a classifier.
        overlap: pre-train on the ECGs of validation and test too (labels are never read), only to measure what
            that leak is worth; what starts from it inherits the mark.
    """

    strategy: str
    label: str = ""
    title: str = ""
    recipe: str | None = None
    params: dict[str, Any] = {}
    init: str | None = None
    budget: dict[str, Any] = {}
    encoder: dict[str, Any] = {}
    fractions: tuple[float, ...] | None = None
    groupings: tuple[Grouping, ...] | None = None
    fractions_by: FractionsBy | None = None
    transfer: Literal["also", "never", "only"] = "also"
    noise: bool = True
    overlap: bool = False

    @model_validator(mode="before")
    @classmethod
    def _labelled(cls, data: Any) -> Any:
        if isinstance(data, str):
            data = {"strategy": data}
        if isinstance(data, dict) and "label" not in data:
            data = {**data, "label": data.get("strategy", "")}
        return data

    @model_validator(mode="after")
    def _consistent(self) -> "Entry":
        _assert_fractions(self.fractions or ())
        if len(set(self.groupings or ())) < len(self.groupings or ()):
            raise ValueError(f"entry {self.label!r}: groupings names something twice")
        return self


class Suite(_Frozen):
    """What to run at one scale.

    Attributes:
        seed: every random number of the suite derives from it; `seeds`: how many seed indices.
        budgets, params: overrides of budget and parameters by entry label, on top of the entry's own (what a scale
            changes: learning rates, say).
        lead_sets: trained; `eval_lead_sets`: evaluated, by default the trained one.
        encoders: in place of the suite's, for single entries by label; what starts from an entry has its encoder.
        encoder_variants: arguments of the encoder, everything runs with each set of them; none: as it is.
        label_fractions: shares of the training part whose labels are visible; fractions_by: shares of what.
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
    lead_sets: tuple[str, ...] = ("all-12",)
    eval_lead_sets: tuple[str, ...] = ()
    label_fractions: tuple[float, ...] = Field(default=(0.01, 0.05, 0.1, 0.25, 0.5, 1.0), min_length=1)
    fractions_by: FractionsBy = "patients"
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
        for entry in self.entries:
            if entry.init and entry.init not in labels:
                raise ValueError(f"entry {entry.label!r} starts from {entry.init!r}, which is no entry")
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
        gone = [entry.label for entry in self.entries if entry.init in self.leave_out]
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
        for name in (*self.lead_sets, *self.eval_lead_sets):
            if name not in LEAD_SETS:
                raise ValueError(f"no lead set {name!r}; there are: {', '.join(LEAD_SETS)}")
        _assert_fractions(self.label_fractions)
        return self

    def _assert_frames(self) -> None:
        """Frames can be drawn only where each is judged by itself."""
        framed = "frames" in (self.fractions_by, *(entry.fractions_by for entry in self.entries))
        specs = [use.input or self.input for use in self.corpora]
        if framed and any(spec.aggregation != "none" for spec in specs):
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
        """Does following `init` come back to the entry?"""
        by_label = {other.label: other for other in self.entries}
        place = by_label.get(entry.init or "")
        for _ in self.entries:
            if place is None:
                return False
            place = by_label.get(place.init or "")
        return place is not None


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
