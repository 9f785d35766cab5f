"""CROCS: an ECG should lie near the prototype of its class, sex and age, and away from all others.

Kiyasseh et al., NeurIPS 2021 (arXiv 2011.14230). Every attribute set (class x sex x age quartile) has a learnt
point, its clinical prototype; a new ECG is given the attributes of the nearest, so that clusters need no naming.

Paper and code: no code was published. Equation 3 prints a sum over plain Euclidean distances, the prose says mean,
and the preprint's first version ("DROPS") has the mean and motivates beta by squared distances, as is default here.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal

import pydantic
import torch
from torch import Tensor, nn

from bench.nn.prototypes import arrangement_loss, prototype_nce, soft_weights, unit, usage
from bench.train.strategy import (
    Batch,
    Encoder,
    Field,
    Info,
    Loss,
    Prototypes,
    Step,
    Strategy,
    Training,
    Views,
    no_decay_groups,
)


class CROCSParams(pydantic.BaseModel):
    """Parameters of `CROCS`; the defaults are the full framework.

    Attributes:
        temperature: tau_s, of the contrast with the prototypes.
        loss: an instance is drawn to the prototype of its own attribute set ('hard', equation 1), or to those
            of its class by the number of attributes in common ('soft', equation 2).
        softness: tau_omega of the soft loss; 'uniform', the paper's infinity, draws to the whole class alike.
        regulariser: weight of the arrangement of prototypes (equation 3); 0: none.
        beta: distance between prototypes of a class that each mismatch asks for.
        distance: which Euclidean distance that is.
        age: two age quartiles differ by 1 ('hamming'), or by how far they are apart ('ordinal').
        reduction: over the pairs of prototypes.
        initial: prototypes begin as random directions of length 1, or as normal draws of length ~ sqrt(D).
        compared: to find the nearest prototype, embedding and prototypes are both scaled to length 1 ('unit'),
            or left as they are ('raw').
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    temperature: pydantic.PositiveFloat = 0.1
    loss: Literal["soft", "hard"] = "soft"
    softness: pydantic.PositiveFloat | Literal["uniform"] = 1.0
    regulariser: pydantic.NonNegativeFloat = 1.0
    beta: pydantic.NonNegativeFloat = 0.2
    distance: Literal["squared", "plain"] = "squared"
    age: Literal["hamming", "ordinal"] = "hamming"
    reduction: Literal["mean", "sum"] = "mean"
    initial: Literal["unit", "normal"] = "unit"
    compared: Literal["unit", "raw"] = "unit"


class CROCS(Prototypes, Strategy):
    """Each instance against all prototypes; the prototypes of a class keep their distances."""

    name = "crocs"
    title = "CROCS"
    paper = "CROCS, Kiyasseh et al., NeurIPS 2021 (arXiv 2011.14230)"
    needs = frozenset({Field.LABELS, Field.DEMOGRAPHICS})
    labelled_only = True
    grouping = True
    deviations = (
        "The regulariser is the mean over squared distances of the preprint's first version; the final paper"
        " prints a sum over plain ones, which cannot all be met.",
        "In the regulariser any two age quartiles differ by 1, as printed; the first version says integer distance.",
        "Embedding and prototypes are scaled to length 1 to find the nearest; the paper does not say.",
        "Prototypes begin as random directions of length 1 and learn at the encoder's rate, without weight"
        " decay; the paper says neither.",
        "Records without exactly one class, a sex and an age are not trained on, but they are judged; the paper"
        " does not mention any.",
        "Age quartiles are those of the training part.",
    )
    recipes = {
        "crocs": {},
        "hard": {"loss": "hard", "regulariser": 0.0},
        "uniform": {"softness": "uniform", "regulariser": 0.0},
        "soft": {"regulariser": 0.0},
        "board": {},
    }
    Params = CROCSParams
    params: CROCSParams
    sets: Tensor
    weights: Tensor

    def __init__(
        self, encoder: Encoder, params: Any, info: Info, parents: Mapping[str, Strategy] | None = None
    ) -> None:
        super().__init__(encoder, params, info, parents)
        self.grid = info.grid()
        self.register_buffer("sets", self.grid.sets(), persistent=False)
        self.register_buffer("weights", _weights(self.sets, self.params), persistent=False)
        points = torch.randn(len(self.sets), encoder.dim)
        self.points = nn.Parameter(unit(points) if self.params.initial == "unit" else points)

    @classmethod
    def incompatible(cls, info: Info, params: CROCSParams) -> str | None:
        """The training set has classes and ages."""
        if not info.counts[0]:
            return "a prototype stands for a class, a sex and an age: this task has no classes"
        if not info.edges:
            return "a prototype stands for a class, a sex and an age: the ages of these records are not known"
        return None

    def setup(self, training: Training) -> None:
        """See that there is something to learn from."""
        codes = self.grid.codes(training.labels, training.sex, training.age)
        if not bool((self.grid.index(codes) >= 0).any()):
            raise ValueError(
                "no training record has a class, a sex and an age: CROCS has nothing to learn from"
            )

    def loss(self, batch: Batch, views: Views, step: Step) -> Loss:
        """Contrast with the prototypes, and their arrangement (equation 3)."""
        embedding = self.encoder(views.signal)
        mine = self.grid.index(self.grid.codes(batch.labels, batch.sex, batch.age))[views.source]
        weights = self.weights[mine.clamp(min=0)] * (mine >= 0)[:, None]
        p = self.params
        contrast = prototype_nce(embedding, self.points, weights, p.temperature)
        spread = arrangement_loss(self.points, self.sets, p.beta, p.distance, p.age, p.reduction)
        entropy, share = usage(self.assign(embedding.detach()), self.groups())
        parts = {
            "contrast": contrast,
            "regulariser": spread,
            "usage_entropy": entropy,
            "largest_share": share,
        }
        return Loss(contrast + p.regulariser * spread, parts)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """As by default, but no weight decay on the prototypes: their length means nothing to the loss."""
        others = [(name, p) for name, p in self.named_parameters() if p is not self.points]
        return [*no_decay_groups(others), {"params": [self.points], "lr_scale": 1.0, "decay": False}]

    def project(self, embedding: Tensor) -> Tensor:
        """(N, D) -> (N, D) of length 1; as they are where the parameters say so."""
        return unit(embedding) if self.params.compared == "unit" else embedding

    def prototypes(self) -> Tensor:
        """(M, D) in the space of `project`."""
        return self.project(self.points.detach())

    def attributes(self) -> Tensor:
        """(M, 3) int64 class, sex and age bin of each prototype."""
        return self.sets


def _weights(sets: Tensor, params: CROCSParams) -> Tensor:
    """(M, M) row: an instance's attribute set; column: how strongly it is drawn to each prototype."""
    if params.loss == "hard":
        return torch.eye(len(sets))
    return soft_weights(sets, math.inf if params.softness == "uniform" else params.softness)
