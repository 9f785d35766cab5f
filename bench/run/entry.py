"""The parts of a suite: which corpora it runs on, and its entries, the rows of a board."""

from typing import Any, Literal

import pydantic
from pydantic import BaseModel, ConfigDict, model_validator

from bench.data.splits import SplitSpec
from bench.run.cell import EncoderSpec
from bench.train.budget import InputSpec


class SuiteError(ValueError):
    """A suite file is wrong; the message says where."""


class Frozen(BaseModel):
    """Closed and unchangeable: unknown names are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Grouping = Literal["own", "means", "kmeans"]

FractionsBy = Literal["patients", "folds", "frames"]
"""What a label fraction is a share of: patients by class; nested folds, and patients of the first one below it;
or windows of single leads, drawn one by one whoever's they are (CLOCS)."""


class CorpusUse(Frozen):
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


def assert_fractions(fractions: tuple[float, ...]) -> None:
    """Label fractions are shares, each there once."""
    bad = [fraction for fraction in fractions if not 0 < fraction <= 1]
    if bad:
        raise ValueError(f"label fraction {bad[0]} is not in (0, 1]")
    if len(set(fractions)) < len(fractions):
        raise ValueError("a label fraction is named twice")


class Entry(Frozen):
    """A row of the board: a strategy with a recipe.

    Attributes:
        label: unique in the suite; how the command line calls the row. title: how tables do.
        recipe: a named set of the strategy's parameters; `params` override it.
        init: label of the entry whose fit this one starts from.
        budget: overrides of the suite's budget.
        input: overrides of the input spec; what starts from an entry has the same.
        encoder: overrides of the encoder's arguments.
        lead_sets, eval_lead_sets: in place of the suite's.
        parents: labels of the entries in the other roles of its strategy's parents, whose fits are made with
            `parents_lead_set` ('': its own).
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
    input: dict[str, Any] = {}
    encoder: dict[str, Any] = {}
    lead_sets: tuple[str, ...] | None = pydantic.Field(default=None, min_length=1)
    eval_lead_sets: tuple[str, ...] | None = None
    parents: dict[str, str] = {}
    parents_lead_set: str = ""
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
        assert_fractions(self.fractions or ())
        for what in ("groupings", "lead_sets", "eval_lead_sets"):
            values = getattr(self, what) or ()
            if len(set(values)) < len(values):
                raise ValueError(f"entry {self.label!r}: {what} names something twice")
        if "init" in self.parents:
            raise ValueError(f"entry {self.label!r}: name the parent in role 'init' as `init`")
        return self

    @property
    def starts_from(self) -> tuple[str, ...]:
        """Labels of the entries whose fits it needs."""
        return (*((self.init,) if self.init else ()), *self.parents.values())
