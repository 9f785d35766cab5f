"""Lead distillation: a model of few leads learns the embedding that a model of all twelve has of the record.

Cao, Tran, Nguyen and Pham, "Multimodal contrastive learning for diagnosing cardiovascular diseases from
electrocardiography (ECG) signals and patient metadata", 2023. Two steps, two fits. `Multimodal`, on twelve leads: the
encoder's features beside an encoding of sex, height, weight and age, one linear map to the embedding v, and a
classifier of v. `LeadDistillation`, on fewer: encoder, metadata layers and linear map drawn anew, under the first
fit's classifier, which is frozen, with the loss

    L = BCE(y, y*) + alpha D(v12, vx).

The control is `Multimodal` on the same few leads: same seed, same weights at the start.

Paper and code: the paper's equation (1) leaves open which sign "sim" has and how a norm is scaled. Here D is a distance
whatever it is: one minus the cosine, or a norm of the difference over that of a vector of ones, so that alpha means the
same at every width. The paper calls the classifier an MLP; its authors' code has one linear layer. alpha, and the
sizes of the layers, are those of the code. Neither says whether the few leads start from the twelve's weights.
"""

import copy
from collections.abc import Mapping
from typing import Any, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, NonNegativeFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from bench.nn.losses import classification_loss
from bench.nn.soft_labels import WIDTH, soft_label_encoding
from bench.train.strategy import Batch, Classifier, Encoder, Field, Info, Loss, Step, Strategy, Views

HIDDEN, METADATA = 48, 64
"""Widths of the two layers that the encoded metadata pass."""

Distance = Literal["cosine", "l1", "l2"]

DEVIATIONS = (
    "Height and weight beyond the bins count as in the nearest; the published code takes the last bin for a missing"
    " value.",
    "Of a single-class task the loss is the cross-entropy.",
)


class MetadataParams(BaseModel):
    """What both steps are told of the person.

    Attributes:
        metadata: 'soft': sex, age, height and weight by soft label encoding; 'none': the signal alone.
        imputed: fill an unknown height or weight with the commonest of the sex and the decade of age.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    metadata: Literal["soft", "none"] = "soft"
    imputed: bool = False


class MultimodalParams(MetadataParams):
    """Parameters of `Multimodal`.

    Attributes:
        embedding: length of v.
        classifier: of v: 'linear', as the code has it, or 'mlp', as the paper calls it, with a layer as wide as v.
    """

    embedding: PositiveInt = 128
    classifier: Literal["linear", "mlp"] = "linear"


class LeadDistillationParams(MetadataParams):
    """Parameters of `LeadDistillation`; the embedding is as long as the parent's classifier takes.

    Attributes:
        alpha: weight of the distance.
        distance: see `distance`.
    """

    alpha: NonNegativeFloat = 0.9
    distance: Distance = "cosine"


class _WithMetadata(Classifier):
    """Encoder, metadata layers and the linear map to the embedding v; `classifier` is the subclass's to set.

    Args:
        width: length of v.
    """

    needs = frozenset({Field.LABELS, Field.DEMOGRAPHICS})
    needs_at_test = frozenset({Field.DEMOGRAPHICS})
    labelled_only = True
    params: MetadataParams
    classifier: nn.Module

    def __init__(self, encoder: Encoder, params: Any, info: Info, width: int) -> None:
        super().__init__(encoder, params, info)
        told = self.params.metadata == "soft"
        self.metadata = _metadata_layers() if told else None
        self.projection = nn.Linear(encoder.dim + (METADATA if told else 0), width)

    @classmethod
    def needs_with(cls, params: MetadataParams) -> frozenset[Field]:
        """Labels, and demographics where they are encoded."""
        return frozenset({Field.LABELS}) | cls.needs_at_test_with(params)

    @classmethod
    def needs_at_test_with(cls, params: MetadataParams) -> frozenset[Field]:
        """Demographics where they are encoded."""
        return frozenset({Field.DEMOGRAPHICS}) if params.metadata == "soft" else frozenset()

    def embed(self, batch: Batch) -> Tensor:
        """(B, D) v: features and encoded metadata through one linear map."""
        return self._project(batch.signal, batch)

    def logits(self, batch: Batch) -> Tensor:
        """(B, K) logits."""
        logits: Tensor = self.classifier(self.embed(batch))
        return logits

    def _project(self, signal: Tensor, batch: Batch) -> Tensor:
        """(B, D) v of scaled signals, with the metadata of `batch`."""
        features: Tensor = self.encoder(signal)
        if self.metadata is not None:
            code = soft_label_encoding(batch.age, batch.sex, batch.height, batch.weight, self.params.imputed)
            features = torch.cat((features, self.metadata(code)), dim=1)
        projection: Tensor = self.projection(features)
        return projection

    def _classification(self, v: Tensor, batch: Batch) -> Tensor:
        return classification_loss(self.classifier(v), batch.labels, self.info.kind, batch.labelled)


class Multimodal(_WithMetadata):
    """The first step, and on fewer leads the control of the second: signal and metadata, classified."""

    name = "multimodal"
    title = "Multimodal"
    paper = "Cao, Tran, Nguyen and Pham 2023"
    deviations = DEVIATIONS
    recipes = {"paper": {"metadata": "soft"}, "board": {"metadata": "none"}}
    Params = MultimodalParams
    params: MultimodalParams

    def __init__(
        self, encoder: Encoder, params: Any, info: Info, parents: Mapping[str, Strategy] | None = None
    ) -> None:
        super().__init__(encoder, params, info, params.embedding)
        hidden = params.embedding if params.classifier == "mlp" else 0
        self.classifier = _classifier(params.embedding, hidden, len(info.classes))

    def loss(self, batch: Batch, views: Views, step: Step) -> Loss:
        """Classification loss of the instances as they are."""
        return Loss(self._classification(self._project(views.signal, batch), batch))


class LeadDistillation(_WithMetadata):
    """The second step: its own embedding, drawn towards the parent's, under the parent's classifier."""

    name = "lead_distillation"
    title = "Lead distillation"
    paper = "Cao, Tran, Nguyen and Pham 2023"
    parents = ("classifier",)
    embeddings_of = ("target",)
    deviations = (
        *DEVIATIONS,
        "The target is the embedding of the whole record, the mean over its evaluation windows, made once: where an"
        " instance is a random piece, not of the same piece.",
        "A checkpoint is chosen by the classification loss alone, as the control's is; the paper chooses by AUROC.",
    )
    recipes = {"paper": {"metadata": "soft"}, "board": {"metadata": "none"}}
    Params = LeadDistillationParams
    params: LeadDistillationParams

    def __init__(
        self, encoder: Encoder, params: Any, info: Info, parents: Mapping[str, Strategy] | None = None
    ) -> None:
        classifier = _classifier_of((parents or {})["classifier"])
        super().__init__(encoder, params, info, _width(classifier))
        self.classifier = copy.deepcopy(classifier).requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        """As of any module, but for the classifier, which stays in evaluation mode."""
        super().train(mode)
        self.classifier.eval()
        return self

    def loss(self, batch: Batch, views: Views, step: Step) -> Loss:
        """Classification loss and, in training, alpha times the mean distance from the targets of labelled instances.

        Outside training, where a checkpoint is chosen, it is the control's loss, so that both are chosen alike.
        """
        v = self._project(views.signal, batch)
        classified = self._classification(v, batch)
        apart = distance(v, batch.embedding_of("target"), self.params.distance)
        apart = torch.where(batch.labelled, apart, 0).sum() / batch.labelled.sum().clamp(min=1)
        total = classified + self.params.alpha * apart if self.training else classified
        return Loss(total, {"classification": classified, "distance": apart})


def distance(v: Tensor, target: Tensor, kind: Distance) -> Tensor:
    """How far each embedding is from its target; 0 where they are equal.

    Args:
        v: (B, D).
        target: (B, D), without gradient.
        kind: 'cosine': one minus the cosine; 'l1': mean absolute difference over the D values; 'l2': its root mean
            square. The norms are those of the difference over those of a vector of ones.

    Returns:
        (B,) float32, or float64 if given it.

    Raises:
        ValueError: shapes disagree.
    """
    if v.shape != target.shape:
        raise ValueError(
            f"embeddings {tuple(v.shape)}, targets {tuple(target.shape)}: 'target' and 'classifier' must be one fit"
        )
    v = v if v.dtype == torch.float64 else v.float()
    target = target.to(v.dtype)
    if kind == "cosine":
        return 1 - F.cosine_similarity(v, target, dim=1)
    if kind == "l1":
        return (v - target).abs().mean(dim=1)
    return torch.linalg.vector_norm(v - target, dim=1) / v.shape[1] ** 0.5


def _metadata_layers() -> nn.Module:
    return nn.Sequential(nn.Linear(WIDTH, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, METADATA))


def _classifier(width: int, hidden: int, classes: int) -> nn.Module:
    """Logits (N, classes) of embeddings (N, width), with a layer of `hidden` between where it is above 0."""
    if not hidden:
        return nn.Linear(width, classes)
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, classes))


def _classifier_of(parent: Strategy) -> nn.Module:
    """The parent's classifier of its embedding.

    Raises:
        ValueError: it has none.
    """
    classifier = getattr(parent, "classifier", None)
    if not isinstance(classifier, nn.Module):
        raise ValueError(
            f"{parent.name} has no `classifier` of its embedding: start from a fit of 'multimodal'"
        )
    return classifier


def _width(classifier: nn.Module) -> int:
    """Length of the embeddings that a classifier takes."""
    return next(layer.in_features for layer in classifier.modules() if isinstance(layer, nn.Linear))
