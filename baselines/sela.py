"""SeLA: labels of equal number for every cluster, chosen to agree best with the network, which then learns them.

Asano, Rupprecht, Vedaldi, "Self-labelling via simultaneous clustering and representation learning", ICLR 2020
(arXiv 1911.05371); a baseline of CROCS (Kiyasseh et al., NeurIPS 2021). No label is read; the number of groups is
all that is known.

Clusters of equal size are a ceiling: with K clusters for K classes of shares pi, no matching of the training labels
can be right for more than the sum of min(1 / K, pi), 88.5 % on Chapman's four rhythms and 64.2 % on PTB-XL's five
classes. It is the plan's sizes that are equal; its largest entries can only evade it where many instances are tied,
and `plan_margin`, near 1 for a plan without ties, then shows it.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from bench.nn.perturb import perturb
from bench.nn.prototypes import usage
from bench.nn.sinkhorn import sinkhorn
from bench.train.strategy import (
    Batch,
    Encoder,
    GroupParams,
    Info,
    Loss,
    Prototypes,
    Step,
    Strategy,
    Training,
    Views,
)

MEMORY = 0.9
"""Of the running loss by which the best head is known: what a step leaves of it."""


class SeLAParams(GroupParams):
    """Parameters of `SeLA`.

    Attributes:
        perturbation: of what the network is trained on; see `bench.nn.perturb`.
        heads: each with K clusters of its own; the one of the least loss assigns.
        strength: lambda of the Sinkhorn iteration; the original's is 25, or 10 on CIFAR.
    """

    perturbation: Literal["strong", "gaussian"] = "strong"
    heads: int = Field(default=1, gt=0)
    strength: float = Field(default=25.0, gt=0)


class SeLA(Prototypes, Strategy):
    """Label all instances evenly, predict the labels for an epoch; again."""

    name = "sela"
    title = "SeLA"
    paper = "Asano et al., ICLR 2020, arXiv 1911.05371; CROCS baseline, arXiv 2011.14230"
    grouping = True
    per_instance = True
    deviations = (
        "Labels are chosen in evaluation mode on instances as they are; the published code does so in training"
        " mode on perturbed ones.",
        "Labels are chosen every epoch, as in CROCS; the original does so ever more rarely on ImageNet.",
        "One head; the original's scripts have ten.",
        "The suite's optimiser and schedule; the original is SGD, its rate divided by ten every 150 epochs.",
        "Where the suite crops at random, labels are of the window at a record's start, and training draws others.",
        "K, how many values the attribute has, is given; the original takes 128 or 3,000.",
    )
    recipes = {"crocs": {}, "board": {}}
    Params = SeLAParams
    params: SeLAParams
    labels: Tensor
    running: Tensor
    health: Tensor

    def __init__(
        self, encoder: Encoder, params: Any, info: Info, parents: Mapping[str, Strategy] | None = None
    ) -> None:
        super().__init__(encoder, params, info, parents)
        self.clusters = self.params.groups(info.counts)
        self.head = nn.Linear(encoder.dim, params.heads * self.clusters)
        self.register_buffer("labels", torch.full((info.instances, params.heads), -1))
        self.register_buffer("running", torch.zeros(params.heads))
        self.register_buffer("health", torch.zeros(2))

    @classmethod
    def incompatible(cls, info: Info, params: SeLAParams) -> str | None:
        """The number of clusters is known, and at least 2."""
        return params.too_few(info.counts)

    def views(self, batch: Batch, generator: torch.Generator) -> Views:
        """Every instance once, perturbed."""
        how = self.params.perturbation
        return Views.of(perturb(batch.signal, generator, how, self.info.rate))

    def logits(self, embedding: Tensor) -> Tensor:
        """(N, H, K) logits of every head from embeddings (N, D)."""
        logits: Tensor = self.head(embedding.float())
        return logits.unflatten(1, (self.params.heads, self.clusters))

    def loss(self, batch: Batch, views: Views, step: Step) -> Loss:
        """Cross-entropy with the instance's label, averaged over heads."""
        logits = self.logits(self.encoder(views.signal))
        labels = self.labels[batch.index[views.source]]
        each = F.cross_entropy(logits.transpose(1, 2), labels, ignore_index=-1, reduction="none")
        by_head = each.sum(dim=0) / (labels >= 0).sum(dim=0).clamp(min=1)
        if self.training:
            kept = MEMORY if step.index else 0.0
            self.running = kept * self.running + (1 - kept) * by_head.detach()
        entropy, share = usage(self._best(logits.detach()), self.clusters)
        margin, change = self.health
        parts = {
            "usage_entropy": entropy,
            "largest_share": share,
            "plan_margin": margin,
            "label_change": change,
        }
        return Loss(by_head.mean(), parts)

    def setup(self, training: Training) -> None:
        """Labels at random, equally many of each."""
        generator = torch.Generator().manual_seed(training.seed)
        rows, heads = self.labels.shape
        drawn = [torch.randperm(rows, generator=generator) % self.clusters for _ in range(heads)]
        self.labels = torch.stack(drawn, dim=1).to(self.labels.device)

    def on_epoch_start(self, epoch: int, training: Training) -> Iterable[nn.Parameter]:
        """The equal labels that agree best with what the heads predict now."""
        with torch.no_grad():
            log_p = self.logits(training.embed()).log_softmax(dim=2)
        plans = torch.stack([sinkhorn(part, self.params.strength) for part in log_p.unbind(1)], dim=1)
        first, second = (plans * len(plans)).topk(2, dim=2).values.unbind(2)
        labels = plans.argmax(dim=2)
        change = (labels != self.labels).float().mean()
        self.health = torch.stack(((first - second).mean().float(), change))
        self.labels = labels
        return ()

    def groups(self) -> int:
        """K."""
        return self.clusters

    def assign(self, embedding: Tensor) -> Tensor:
        """(N,) what the best head predicts; no instance's label hangs on another's here."""
        return self._best(self.logits(embedding))

    def _best(self, logits: Tensor) -> Tensor:
        """(N,) int64 prediction of the head of the least running loss, from (N, H, K)."""
        return logits[:, self.running.argmin()].argmax(dim=1)
