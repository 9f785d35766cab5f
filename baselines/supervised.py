"""Supervised from scratch: the encoder and a head, trained on the label subset by cross-entropy.

The baseline of "Finding 'Good Views' of Electrocardiogram Signals" (arXiv 2411.17702, appendix A.4), of CLOCS (arXiv
2005.13249, "random init") and of Mehari and Strodthoff (arXiv 2103.12676).

Paper and code: the published evaluation of Good Views passes the trained logits through a second linear layer that
was drawn at random and never trained, so the paper's 81.4 AUROC is no measurement of this baseline. Ours scores its
own logits. Mehari and Strodthoff's CPC script trains from scratch with a hundredth of the head's rate in the encoder
unless told otherwise; ours has one rate. Their weight decay is of all parameters, ours of matrices and kernels.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ConfigDict, PositiveInt
from torch import Tensor

from bench.nn.heads import HeadKind, classification_head
from bench.nn.losses import classification_loss
from bench.train.strategy import Batch, Classifier, Encoder, Field, Info, Loss, Step, Strategy, Views


class SupervisedParams(BaseModel):
    """Parameters of `Supervised`; encoder and budget are the suite's.

    Attributes:
        head: 'linear', or 'mlp' with two layers and batch norm, as CPC's is; see `bench.nn.heads`.
        hidden: width of the latter.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    head: HeadKind = "linear"
    hidden: PositiveInt = 512


class Supervised(Classifier):
    """Encoder, head, cross-entropy (binary and averaged over classes for a multi-label task)."""

    name = "supervised"
    title = "Supervised from scratch"
    paper = "Good Views, arXiv 2411.17702; CLOCS, arXiv 2005.13249; Mehari and Strodthoff, arXiv 2103.12676"
    needs = frozenset({Field.LABELS})
    labelled_only = True
    deviations = (
        "Scored by its own trained head; the published evaluation of Good Views puts an untrained layer behind it.",
    )
    recipes = {"goodviews": {}, "clocs": {}, "ssl12lead": {}, "cpc": {"head": "mlp"}, "board": {}}
    Params = SupervisedParams
    params: SupervisedParams

    def __init__(
        self, encoder: Encoder, params: Any, info: Info, parents: Mapping[str, Strategy] | None = None
    ) -> None:
        super().__init__(encoder, params, info, parents)
        self.head = classification_head(self.params.head, encoder.dim, len(info.classes), self.params.hidden)

    def loss(self, batch: Batch, views: Views, step: Step) -> Loss:
        """Classification loss of the instances as they are."""
        logits = self.logits(replace(batch, signal=views.signal))
        return Loss(classification_loss(logits, batch.labels, self.info.kind, batch.labelled))

    def logits(self, batch: Batch) -> Tensor:
        """(B, K) logits."""
        logits: Tensor = self.head(self.encoder(batch.signal))
        return logits
