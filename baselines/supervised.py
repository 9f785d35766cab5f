"""Supervised from scratch: the encoder and a linear head, trained on the label subset by cross-entropy.

The baseline of "Finding 'Good Views' of Electrocardiogram Signals" (arXiv 2411.17702, appendix A.4).

Paper and code: the published evaluation passes the trained logits through a second linear layer that was drawn at
random and never trained, so the paper's 81.4 AUROC is no measurement of this baseline. Ours scores its own logits.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ConfigDict
from torch import Tensor

from bench.nn.heads import LinearHead
from bench.nn.losses import classification_loss
from bench.train.strategy import Batch, Classifier, Encoder, Field, Info, Loss, Step, Strategy, Views


class SupervisedParams(BaseModel):
    """None: encoder and budget are the suite's."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Supervised(Classifier):
    """Encoder, linear head, cross-entropy (binary and averaged over classes for a multi-label task)."""

    name = "supervised"
    title = "Supervised from scratch"
    paper = "Good Views baseline, arXiv 2411.17702"
    needs = frozenset({Field.LABELS})
    labelled_only = True
    deviations = (
        "Scored by its own trained head; the published evaluation puts an untrained layer behind it.",
    )
    recipes = {"goodviews": {}, "board": {}}
    Params = SupervisedParams

    def __init__(
        self, encoder: Encoder, params: Any, info: Info, parents: Mapping[str, Strategy] | None = None
    ) -> None:
        super().__init__(encoder, params, info, parents)
        self.head = LinearHead(encoder.dim, len(info.classes))

    def loss(self, batch: Batch, views: Views, step: Step) -> Loss:
        """Classification loss of the instances as they are."""
        logits = self.logits(replace(batch, signal=views.signal))
        return Loss(classification_loss(logits, batch.labels, self.info.kind, batch.labelled))

    def logits(self, batch: Batch) -> Tensor:
        """(B, K) logits."""
        logits: Tensor = self.head(self.encoder(batch.signal))
        return logits
