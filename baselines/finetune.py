"""Fine-tuning: any fit goes on as a classifier, its embedding under a new linear head.

It starts from the fit in role `init`, whatever strategy that was, and trains on the label subset in two phases:
the head alone while the encoder stays in evaluation mode, so that a random head cannot spoil what was learnt; then
both, at rates that fall from head to stem (discriminative fine-tuning: Howard and Ruder 2018, arXiv 1801.06146),
with batch norm in training mode.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pydantic
import torch
from torch import Tensor

from bench.nn.heads import LinearHead
from bench.nn.losses import classification_loss
from bench.train.strategy import (
    Batch,
    Classifier,
    Encoder,
    Field,
    Fields,
    Info,
    Loss,
    Phase,
    Step,
    Strategy,
    Views,
    no_decay_groups,
)


class FineTuneParams(pydantic.BaseModel):
    """Parameters of `FineTune`.

    Attributes:
        head_share: share of the steps that train the head alone; 0: none.
        rate: learning rate of the encoder's last group, as a share of the head's.
        decay: factor from one group of `Encoder.groups` to the one before it.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    head_share: float = pydantic.Field(default=0.2, ge=0, lt=1)
    rate: float = pydantic.Field(default=1.0, gt=0)
    decay: float = pydantic.Field(default=0.7, gt=0, le=1)


class FineTune(Classifier):
    """The parent's `embed`, a linear head, cross-entropy. What the parent has beside its encoder stays frozen."""

    name = "finetune"
    title = "Fine-tuned"
    needs = frozenset({Field.LABELS})
    labelled_only = True
    parents = ("init",)
    recipes = {"board": {}}
    Params = FineTuneParams
    params: FineTuneParams

    def __init__(
        self, encoder: Encoder, params: Any, info: Info, parents: Mapping[str, Strategy] | None = None
    ) -> None:
        init = (parents or {})["init"]
        super().__init__(init.encoder, params, info, parents)
        self.init = init
        self.head = LinearHead(_embedding_width(init, info), len(info.classes))

    def loss(self, batch: Batch, views: Views, step: Step) -> Loss:
        """Classification loss of the instances as they are."""
        logits = self.logits(replace(batch, signal=views.signal))
        return Loss(classification_loss(logits, batch.labels, self.info.kind, batch.labelled))

    def logits(self, batch: Batch) -> Tensor:
        """(B, K) logits."""
        logits: Tensor = self.head(self.embed(batch))
        return logits

    def embed(self, batch: Batch) -> Tensor:
        """(B, D) as the parent embeds."""
        return self.init.embed(batch)

    def phases(self) -> list[Phase]:
        """The head, then the head and every group of the encoder at its own rate."""
        head = no_decay_groups(self.head.named_parameters())
        everything, groups = list(head), self.encoder.groups()
        for depth, group in enumerate(reversed(groups)):
            scale = self.params.rate * self.params.decay**depth
            everything += no_decay_groups((("", parameter) for parameter in group), scale)
        share = self.params.head_share
        return [Phase(share, head), Phase(1 - share, everything)] if share else [Phase(1.0, everything)]

    def on_step_start(self, step: Step) -> None:
        """Dropout off and batch norm's statistics fixed while the head trains alone."""
        self.init.train(step.phase > 0 or not self.params.head_share)


@torch.no_grad()
def _embedding_width(strategy: Strategy, info: Info) -> int:
    """Length of a strategy's embedding, which need not be its encoder's.

    Raises:
        UndeclaredField: it embeds from more than the signal.
    """
    device = next(strategy.encoder.parameters()).device
    row = torch.zeros(1, dtype=torch.int64, device=device)
    signal = torch.zeros(1, info.leads, info.samples, device=device)
    return strategy.eval().embed(Batch(signal, row, row, Fields({}, frozenset(), strategy.name))).shape[1]
