"""A cell: the frozen description of one unit of work. Its key is what it is; nothing else decides a cache hit."""

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from bench.data.splits import SplitSpec
from bench.train.budget import Budget, InputSpec
from bench.train.prototypes import Attribute


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EncoderSpec(_Frozen):
    """An encoder's name and arguments."""

    name: str
    arguments: dict[str, Any] = {}


class StrategySpec(_Frozen):
    """A strategy's name, its full parameters (defaults included) and the hash of its code."""

    name: str
    params: dict[str, Any]
    code: str


class Subset(_Frozen):
    """A label subset: the fraction, and a hash of the records it holds in each part."""

    fraction: float
    fingerprint: str


class _Cell(_Frozen):
    parents: dict[str, str] = {}
    threads: int = 1
    precision: str = "float32"
    code: str = ""

    def key(self) -> str:
        """SHA-256 of the canonical JSON of the whole description."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


class FitCell(_Cell):
    """Any training: pre-training, supervised, fine-tuning (parent `init`).

    Attributes:
        corpus: fingerprint of the prepared corpus it trains on.
        task, subset: only where the strategy declares labels; else the fit is shared by all of them.
        measurements, features: fingerprints of the attributes and of the hand features, only where the strategy
            declares them.
        counts, edges: as in `Info`, only for strategies that look for groups.
        trained_on: hash of the records it sees, where these are not part train: without another corpus's test
            patients, or with this one's own validation and test parts.
    """

    stage: Literal["fit"] = "fit"
    corpus: str
    split: SplitSpec
    split_fingerprint: str
    input: InputSpec
    lead_set: str
    encoder: EncoderSpec
    strategy: StrategySpec
    task: str | None = None
    subset: Subset | None = None
    measurements: str | None = None
    features: str | None = None
    counts: tuple[int, int, int] | None = None
    edges: tuple[float, ...] | None = None
    trained_on: str = ""
    suite_seed: int
    seed_index: int
    budget: Budget


class EmbedCell(_Cell):
    """A frozen encoder (parent `fit`) over every record of a corpus with one lead set.

    Attributes:
        measurements, features: as of a fit, only where the strategy must know them of the record to be judged.
        filled_to: lead set of the encoder, where `lead_set` is a part of it: its other leads are zero.
        scaled_on: fingerprint of the split whose training part scales the signals, only for 'zscore-global'.
    """

    stage: Literal["embed"] = "embed"
    corpus: str
    input: InputSpec
    lead_set: str
    filled_to: str = ""
    measurements: str | None = None
    features: str | None = None
    scaled_on: str | None = None


class PredictCell(_Cell):
    """Scores of the validation and test parts.

    Attributes:
        readout: 'probe' or 'boosting' on embeddings (parent `embed`), 'classifier' (parent `fit`).
        noise: level of physiological noise on the test part, which alone is then scored; 0: none.
        filled_to: as of an embedding, for a classifier.
    """

    stage: Literal["predict"] = "predict"
    corpus: str
    split: SplitSpec
    split_fingerprint: str
    task: str
    subset: Subset
    readout: str
    lead_set: str
    filled_to: str = ""
    input: InputSpec
    noise: int = 0
    suite_seed: int
    seed_index: int


class GroupCell(_Cell):
    """Groups of a corpus's embeddings (parent `embed`; `fit` too where the groups are the strategy's own).

    Attributes:
        grouping: 'own' prototypes, class 'means' or 'kmeans'.
        attributes: those whose groups are wanted.
        edges: ages in years between the age bins.
    """

    stage: Literal["group"] = "group"
    corpus: str
    split: SplitSpec
    split_fingerprint: str
    task: str
    subset: Subset
    grouping: str
    attributes: tuple[Attribute, ...]
    edges: tuple[float, ...]
    lead_set: str
    input: InputSpec
    suite_seed: int
    seed_index: int


Cell = Annotated[FitCell | EmbedCell | PredictCell | GroupCell, Field(discriminator="stage")]
AnyCell = FitCell | EmbedCell | PredictCell | GroupCell
