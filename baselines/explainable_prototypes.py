"""EP: an auto-encoder whose latent prototypes classify, and stay near instances and away from each other.

Gee et al., "Explaining Deep Classification of Time-Series Data with Learned Prototypes", 2019 (arXiv 1904.08935), on
the prototype network of Li et al., AAAI 2018 (arXiv 1710.04806). "KM EP" of CROCS clusters its embeddings by k-means,
which is the evaluation's: labels enter the embedding, not the clusters. CROCS gives neither weights nor the number of
prototypes: the weights are those of Li et al.'s code, diversity 500 and 10 prototypes those of Gee et al.'s demo file.
The diversity term is known from re-implementations of Gee et al. alone.
"""

from collections.abc import Mapping
from typing import Any, Literal

import pydantic
import torch
from torch import Tensor, nn

from bench.nn.decoder import Decoder
from bench.nn.losses import classification_loss
from bench.train.strategy import Batch, Encoder, Field, Info, Loss, Step, Strategy, Views


class ExplainablePrototypesParams(pydantic.BaseModel):
    """Parameters of `ExplainablePrototypes`.

    Attributes:
        prototypes: how many, m.
        classification, reconstruction, instances, coverage, diversity: weights of the terms: lambda_c;
            lambda_ae; lambda_1, of each prototype's distance to an instance; lambda_2, of each instance's to a
            prototype; lambda_pd.
        error: of a reconstruction, over an instance's values: 'sum', as published, or 'mean'.
        epsilon: added to the denominator of the diversity term.
        as_published: logits grow with the distance from prototypes, as in Li et al.'s code, and the diversity
            term is 1 / (log d + epsilon), as re-implementations of Gee et al. give it, with its pole at d = 1
            and attraction below.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    prototypes: int = pydantic.Field(default=10, ge=2)
    classification: pydantic.NonNegativeFloat = 20.0
    reconstruction: pydantic.NonNegativeFloat = 1.0
    instances: pydantic.NonNegativeFloat = 1.0
    coverage: pydantic.NonNegativeFloat = 1.0
    diversity: pydantic.NonNegativeFloat = 500.0
    error: Literal["sum", "mean"] = "sum"
    epsilon: pydantic.PositiveFloat = 1e-4
    as_published: bool = False


class ExplainablePrototypes(Strategy):
    """Classify by the distances to prototypes, reconstruct, and keep prototypes near instances but apart."""

    name = "explainable_prototypes"
    title = "Explainable prototypes"
    paper = "Gee et al. 2019, arXiv 1904.08935; KM EP of CROCS, arXiv 2011.14230"
    needs = frozenset({Field.LABELS})
    labelled_only = True
    deviations = (
        "The encoder is the suite's, the decoder a mirror of it; the paper has a network of its own.",
        "Logits grow with nearness to a prototype; in the code of Li et al. with distance, so that learning must"
        " turn the weights' signs first.",
        "The diversity term is 1 / (log(1 + d) + epsilon), positive everywhere; as re-implementations give it, it"
        " has a pole at d = 1 and draws prototypes together below it.",
        "Trained on class labels only, for all attributes; CROCS does not say on which.",
        "Weights, number of prototypes and schedule are not given by CROCS.",
        "The nearest instance to each of 10 prototypes is sought in the suite's batch, which may hold fewer than 20"
        " for each.",
    )
    recipes = {
        "crocs": {},
        "published": {"as_published": True},
        "undiversified": {"diversity": 0.0},
        "board": {},
    }
    Params = ExplainablePrototypesParams
    params: ExplainablePrototypesParams

    def __init__(
        self, encoder: Encoder, params: Any, info: Info, parents: Mapping[str, Strategy] | None = None
    ) -> None:
        super().__init__(encoder, params, info, parents)
        self.decoder = Decoder(encoder.dim, info.leads, info.samples)
        self.points = nn.Parameter(torch.rand(self.params.prototypes, encoder.dim))
        self.weight = nn.Parameter(torch.rand(len(info.classes), self.params.prototypes))

    @classmethod
    def incompatible(cls, info: Info, params: ExplainablePrototypesParams) -> str | None:
        """There are classes, and instances long enough for the decoder."""
        if not info.classes:
            return "its prototypes classify: this task has no classes"
        if info.samples < 16:
            return f"instances of {info.samples} samples: its decoder makes at least 16; take a longer window"
        return None

    def loss(self, batch: Batch, views: Views, step: Step) -> Loss:
        """The weighted sum of five terms, each as it stands in `parts`."""
        embedding, p = self.encoder(views.signal).float(), self.params
        distances = squared_distances(embedding, self.points)
        logits = (distances if p.as_published else -distances) @ self.weight.T
        near = closeness(distances)
        separation = mean_separation(self.points)
        parts = {
            "classification": classification_loss(logits, batch.labels, self.info.kind, batch.labelled),
            "reconstruction": self._reconstruction(embedding, views.signal),
            "instances": near[0],
            "coverage": near[1],
            "diversity": diversity(separation, p.epsilon, p.as_published),
        }
        total = torch.stack([getattr(p, name) * term for name, term in parts.items()]).sum()
        accuracy = _accuracy(logits, batch.labels, batch.labelled, self.info.kind)
        return Loss(total, parts | {"separation": separation, "accuracy": accuracy})

    def _reconstruction(self, embedding: Tensor, signal: Tensor) -> Tensor:
        error = (self.decoder(embedding) - signal).square().flatten(1)
        return (error.sum(1) if self.params.error == "sum" else error.mean(1)).mean()


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """(N, m) squared Euclidean distances of rows of `a` (N, D) and `b` (m, D), never below 0."""
    return (a[:, None] - b[None]).square().sum(2)


def closeness(distances: Tensor) -> tuple[Tensor, Tensor]:
    """R1 and R2 of Li et al. (section 3.1), over the batch.

    Args:
        distances: (N, m) squared, of instances and prototypes.

    Returns:
        The mean squared distance of a prototype to its nearest instance, and of an instance to its nearest
        prototype.
    """
    return distances.min(0).values.mean(), distances.min(1).values.mean()


def mean_separation(prototypes: Tensor) -> Tensor:
    """Mean over prototypes, but the last, of the squared distance to the nearest later one; (m, D), m > 1."""
    count = len(prototypes)
    later = torch.ones(count, count, dtype=torch.bool, device=prototypes.device).triu(1)
    distances = squared_distances(prototypes, prototypes).masked_fill(~later, torch.inf)
    return distances[:-1].min(1).values.mean()


def diversity(separation: Tensor, epsilon: float, as_published: bool = False) -> Tensor:
    """The prototype diversity loss, small where prototypes lie apart: 1 / (log(1 + separation) + epsilon).

    `as_published`: 1 / (log separation + epsilon), as re-implementations of Gee et al. give it.
    """
    scale = separation.log() if as_published else separation.log1p()
    return 1 / (scale + epsilon)


def _accuracy(logits: Tensor, labels: Tensor, labelled: Tensor, kind: str) -> Tensor:
    """Share of labelled instances, or under 'multi' of their labels, that are predicted right; 0 without any."""
    right = logits.argmax(1) == labels.argmax(1) if kind == "single" else (logits > 0) == (labels > 0)
    right = right.reshape(len(logits), -1).float().mean(1)
    return (right * labelled).sum() / labelled.sum().clamp(min=1)
