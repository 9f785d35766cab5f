"""The SNU entry to the 2021 Challenge: supervised, light augmentation, hand features, labels masked by database.

Suh et al., "Learning ECG representations for multi-label classification of cardiac abnormalities", Computing in
Cardiology 2021 (team snu_adsl). Encoder (the entry's is EfficientNet-B3) - dropout - linear layer on the embedding and
13 columns of features; binary cross-entropy without the classes that a record's database never has. `Snu` is that,
`SnuFineTuned` starts from a pre-trained encoder in place of a random one (section 2.8).

Paper and code: the entry's code is not public, and the paper leaves open where the features join (here behind dropout,
before the last layer), in how many columns (here one dummy for all eight that come from R peaks), which records count
for masks and mean age (here the labelled training records), over what the masked loss is averaged (here all entries,
masked ones too), and everything of fine-tuning but that a linear layer replaces the projector (here one rate for all,
from the first step). The masks of the paper's validation and test multiply stored scores; they are not applied here.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

import pydantic
import torch
from torch import Tensor

from bench.nn.choice import each_with
from bench.nn.dropout import Dropout
from bench.nn.heads import LinearHead
from bench.nn.losses import classification_loss
from bench.nn.masked import database_mask, mask_rows, masked_bce
from bench.nn.transforms import Name, by_name
from bench.train.strategy import (
    Batch,
    Classifier,
    Encoder,
    Field,
    Info,
    Loss,
    Step,
    Strategy,
    Training,
    Views,
)

Features = Literal["all", "age_sex", "none"]

COLUMNS: Mapping[Features, int] = {"all": 13, "age_sex": 4, "none": 0}
"""Columns beside the embedding; see `person` and `peaks`."""

_RATES = 5
"""The first of the heart rates among the features."""


class SnuParams(pydantic.BaseModel):
    """Parameters of `Snu`; encoder, input and budget are the suite's.

    Attributes:
        augmentations: applied to a training instance, each with `probability` and in this order; see
            `bench.nn.transforms`.
        probability: of each augmentation of each instance.
        features: 'all' 13 columns, the 4 of 'age_sex' (the first), or 'none'.
        mask: leave out of the loss the classes that a record's database never has. A masked task is learnt as so many
            binary ones, even if it is a single-class one.
        dropout: share of the embedding that is dropped before the last layer.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    augmentations: tuple[Name, ...] = ("cutout", "gaussian_blur")
    probability: float = pydantic.Field(default=0.25, ge=0, le=1)
    features: Features = "all"
    mask: bool = True
    dropout: float = pydantic.Field(default=0.3, ge=0, lt=1)


class SnuFineTunedParams(SnuParams):
    """Parameters of `SnuFineTuned`: as of `Snu`, without features unless asked for."""

    features: Features = "none"


class Snu(Classifier):
    """Augmented instances, encoder, dropout, linear layer on embedding and features, masked cross-entropy."""

    name = "snu"
    title = "SNU entry"
    paper = "Suh et al., Computing in Cardiology 2021"
    needs = frozenset({Field.LABELS, Field.DATABASE, Field.DEMOGRAPHICS, Field.FEATURES})
    needs_at_test = frozenset({Field.DEMOGRAPHICS, Field.FEATURES})
    labelled_only = True
    deviations: ClassVar[tuple[str, ...]] = (
        "Masks and the mean age are of the labelled training records; the paper does not say of which.",
        "An augmentation sees millivolts, before standardisation: a cutout is 0 mV.",
    )
    recipes = {
        "paper": {"features": "all", "mask": True},
        "research": {"features": "none", "mask": True, "dropout": 0.0},
        "board": {"features": "none", "mask": False},
    }
    Params = SnuParams
    params: SnuParams
    masks: Tensor
    mean_age: Tensor

    def __init__(
        self, encoder: Encoder, params: Any, info: Info, parents: Mapping[str, Strategy] | None = None
    ) -> None:
        super().__init__(encoder, params, info, parents)
        classes = len(info.classes)
        self.dropout = Dropout(self.params.dropout)
        self.head = LinearHead(encoder.dim, classes, COLUMNS[self.params.features])
        self.register_buffer("masks", torch.ones(len(info.databases), classes, dtype=torch.bool))
        self.register_buffer("mean_age", torch.zeros(()))

    @classmethod
    def needs_with(cls, params: SnuParams) -> frozenset[Field]:
        """Labels, the fields of the features, and the database where its classes are masked."""
        database = {Field.DATABASE} if params.mask else set()
        return cls.needs_at_test_with(params) | {Field.LABELS} | database

    @classmethod
    def needs_at_test_with(cls, params: SnuParams) -> frozenset[Field]:
        """The fields of the features."""
        fields = {"none": (), "age_sex": (Field.DEMOGRAPHICS,), "all": (Field.DEMOGRAPHICS, Field.FEATURES)}
        return frozenset(fields[params.features])

    def setup(self, training: Training) -> None:
        """Count each database's classes, and average the ages that are known, of the labelled records."""
        labelled = training.labelled
        if self.params.mask:
            made = database_mask(training.labels, training.database, len(self.masks), labelled)
            self.masks.copy_(made)
        if self.params.features != "none":
            self.mean_age.copy_(training.age[labelled].double().nanmean().nan_to_num())

    def views(self, batch: Batch, generator: torch.Generator) -> Views:
        """Each instance once: in training augmented, but for its padding; else as it is."""
        if not self.training:
            return Views.of(batch.signal)
        known = by_name(self.info.rate)
        chosen = [known[name] for name in self.params.augmentations]
        return Views.of(each_with(batch.signal, chosen, self.params.probability, generator, batch.valid))

    def loss(self, batch: Batch, views: Views, step: Step) -> Loss:
        """Binary cross-entropy under the mask of each record's database; without masks, the task's own loss."""
        logits = self.logits(replace(batch, signal=views.signal))
        if not self.params.mask:
            return Loss(classification_loss(logits, batch.labels, self.info.kind, batch.labelled))
        mask = mask_rows(self.masks, batch.database)
        return Loss(masked_bce(logits, batch.labels, mask, batch.labelled))

    def logits(self, batch: Batch) -> Tensor:
        """(B, K) logits."""
        logits: Tensor = self.head(self.dropout(self.embed(batch)), self._columns(batch))
        return logits

    def _columns(self, batch: Batch) -> Tensor | None:
        """(B, 13 or 4) features beside the embedding, if any."""
        if self.params.features == "none":
            return None
        columns = person(batch.age, batch.sex, self.mean_age)
        if self.params.features == "age_sex":
            return columns
        return torch.cat((columns, peaks(batch.features)), dim=1)


class SnuFineTuned(Snu):
    """The same on the encoder of the parent, all of whose layers go on learning; the parent's projector is dropped."""

    name = "snu_finetuned"
    title = "SNU entry, fine-tuned"
    needs = frozenset({Field.LABELS, Field.DATABASE})
    needs_at_test = frozenset()
    parents = ("init",)
    deviations = (
        *Snu.deviations,
        "Encoder and linear layer learn at one rate from the first step; the paper says nothing of it.",
        "Every label ratio gets as many steps, masks from its own labelled records, and thresholds from as small a"
        " share of the validation part; the paper leaves all three open.",
    )
    recipes = {
        "paper": {"features": "none", "mask": True},
        "research": {"features": "none", "mask": True, "dropout": 0.0},
        "board": {"features": "none", "mask": False},
    }
    Params = SnuFineTunedParams

    def __init__(
        self, encoder: Encoder, params: Any, info: Info, parents: Mapping[str, Strategy] | None = None
    ) -> None:
        init = (parents or {})["init"]
        if init.encoder.leads != info.leads:
            raise ValueError(
                f"the encoder of {init.name} takes {init.encoder.leads} leads, an instance has {info.leads}: "
                "fine-tune it with 'finetune', or pre-train it on the same lead set"
            )
        super().__init__(init.encoder.requires_grad_(True), params, info)


def person(age: Tensor, sex: Tensor, mean_age: Tensor) -> Tensor:
    """Age and sex as columns (section 2.3): age / 100, female, male, sex unknown.

    Args:
        age: (B,) years; NaN, unknown, becomes `mean_age`.
        sex: (B,) 0 male, 1 female, -1 unknown.
        mean_age: scalar, years.

    Returns:
        (B, 4) float32.
    """
    years = torch.where(age.isnan(), mean_age.to(age.dtype), age)
    return torch.stack((years / 100, sex == 1, sex == 0, sex < 0), dim=1).float()


def peaks(features: Tensor) -> Tensor:
    """What R peaks tell, as columns (section 2.3).

    Mean, standard deviation and RMSSD of RR intervals (s); mean and RMSSD of R amplitudes (mV); mean, least and
    greatest heart rate (100 a minute); 1 where there are no R peaks, and then -1 in the eight others.

    Args:
        features: (B, 8) in the order of `bench.data.corpus.FEATURES`: seconds, millivolts, beats a minute; a row
            with a NaN has none.

    Returns:
        (B, 9) float32.
    """
    missing = features.isnan().any(dim=1)
    scaled = torch.cat((features[:, :_RATES], features[:, _RATES:] / 100), dim=1)
    filled = torch.where(missing[:, None], -1.0, scaled)
    return torch.cat((filled, missing[:, None].to(filled.dtype)), dim=1).float()
