"""Fine-tuning: any fit goes on as a classifier, its embedding under a new head.

It starts from the fit in role `init`, whatever strategy that was, and trains on the label subset in two phases:
the head alone while the encoder stays in evaluation mode, so that a random head cannot spoil what was learnt; then
both, at rates that fall from head to stem (discriminative fine-tuning: Howard and Ruder 2018, arXiv 1801.06146),
with batch norm in training mode. Either phase may be all there is: with the first alone it is linear evaluation.

Recipes are published protocols, of a budget that the suite sets: `linear`; `ssl12lead_plain`, `ssl12lead` (xresnet)
and `cpc` of Mehari and Strodthoff (arXiv 2103.12676); `clocs` of CLOCS (Kiyasseh et al. 2021, arXiv 2005.13249).

Paper and code: both published codes keep a frozen encoder in training mode while a head trains on it (CLOCS always,
Mehari and Strodthoff before fine-tuning), so that its batch norm drifts towards the label subset and its dropout is
active; `as_published_frozen` does so. Theirs also decays all weights, where ours spares norms and biases, and begins
the second phase from the best checkpoint of the first, where ours goes on from the last step.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

import pydantic
import torch
from torch import Tensor

from bench.nn.heads import HeadKind, classification_head
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
        head: 'linear', or 'mlp' with two layers and batch norm; see `bench.nn.heads`.
        hidden: width of the latter.
        head_share: share of the steps that train the head alone; 0: none, 1: all.
        joint_rate: learning rate of the head in the phase that trains everything, as a multiple of the budget's.
        rate: there, that of the encoder's last group, as a share of the head's.
        decay: factor from one group of `Encoder.groups` to the one before it.
        as_published_frozen: leave the encoder in training mode while the head trains alone, as published codes do.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    head: HeadKind = "linear"
    hidden: pydantic.PositiveInt = 512
    head_share: float = pydantic.Field(default=0.2, ge=0, le=1)
    joint_rate: float = pydantic.Field(default=1.0, gt=0)
    rate: float = pydantic.Field(default=1.0, gt=0)
    decay: float = pydantic.Field(default=0.7, gt=0, le=1)
    as_published_frozen: bool = False

    @pydantic.model_validator(mode="after")
    def _something_is_frozen(self) -> Self:
        if self.as_published_frozen and not self.head_share:
            raise ValueError("as_published_frozen: nothing is frozen with head_share 0")
        return self


class FineTune(Classifier):
    """The parent's `embed`, a head, cross-entropy. What the parent has beside its encoder stays frozen."""

    name = "finetune"
    title = "Fine-tuned"
    needs = frozenset({Field.LABELS})
    labelled_only = True
    parents = ("init",)
    deviations = (
        "Weight decay spares norms and biases; the published codes decay all weights.",
        "The second phase goes on from the last step of the first; the published one from its best checkpoint.",
        "A frozen encoder is in evaluation mode; in the published codes its batch norm goes on adapting.",
    )
    recipes = {
        "linear": {"head_share": 1.0},
        "ssl12lead_plain": {"head_share": 0.0, "decay": 1.0},
        # xresnet: linear evaluation's 50 epochs at 4e-3, then 50 at 0.01, a quarter of it for each group further down
        "ssl12lead": {"head_share": 0.5, "joint_rate": 2.5, "rate": 0.25, "decay": 0.25},
        # 50 epochs of the head at 1e-3, then 20 with head, LSTM and encoder at 1e-4, 1e-5 and 1e-6
        "cpc": {"head": "mlp", "head_share": 0.7143, "joint_rate": 0.1, "rate": 0.1, "decay": 0.1},
        "clocs": {"head_share": 0.0, "decay": 1.0},
        "board": {},
    }
    Params = FineTuneParams
    params: FineTuneParams

    def __init__(
        self, encoder: Encoder, params: Any, info: Info, parents: Mapping[str, Strategy] | None = None
    ) -> None:
        init = (parents or {})["init"]
        super().__init__(init.encoder, params, info, parents)
        self.init = init
        width = _embedding_width(init, info)
        self.head = classification_head(self.params.head, width, len(info.classes), self.params.hidden)

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
        """The head, then the head and every group of the encoder at its own rate; less what has no step."""
        p = self.params
        head = no_decay_groups(self.head.named_parameters())
        joint = no_decay_groups(self.head.named_parameters(), p.joint_rate)
        for depth, group in enumerate(reversed(self.encoder.groups())):
            scale = p.joint_rate * p.rate * p.decay**depth
            joint += no_decay_groups((("", parameter) for parameter in group), scale)
        phases = [Phase(p.head_share, head), Phase(1 - p.head_share, joint)]
        return [phase for phase in phases if phase.share]

    def on_step_start(self, step: Step) -> None:
        """Dropout off and batch norm's statistics fixed while the head trains alone."""
        alone = step.phase == 0 and self.params.head_share > 0
        self.init.eval()  # what the parent has beside its encoder, in every phase
        self.encoder.train(self.params.as_published_frozen or not alone)


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
