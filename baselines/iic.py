"""IIC: an ECG and its perturbed copies should get the same cluster, and clusters should tell much of each other.

Ji, Henriques, Vedaldi, "Invariant Information Clustering for Unsupervised Image Classification and Segmentation",
ICCV 2019 (arXiv 1807.06653), as a baseline of CROCS (arXiv 2011.14230, appendix): a main head of K clusters, and an
auxiliary head of as many as there are attribute sets. No label is read; K alone is known.

Paper and code: the official two-head script for grey images never names the head it trains, so that the auxiliary
one stays at its start; here both are trained. The official code picks sub-head and epoch by labelled accuracy;
here the sub-head of least loss is taken, which its authors find to differ little (MNIST: 99.23 to 99.25 %).
"""

from collections.abc import Iterable, Mapping
from math import prod
from typing import Any, Literal

import pydantic
import torch
from torch import Tensor, nn

from bench.nn.mutual_information import information_loss, joint
from bench.nn.perturb import gaussian, perturb
from bench.nn.prototypes import usage
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

_MEMORY = 0.95
"""Share that the running loss of a sub-head keeps at a step: it looks back over some twenty."""


class IICParams(GroupParams):
    """Parameters of `IIC`.

    Attributes:
        auxiliary: clusters of the second, over-clustering head; None: as many as attribute sets; 0: no such head.
        heads: sub-heads of each head, which differ by their start.
        copies: perturbed copies of each instance; each makes a pair with the instance.
        perturbation: 'strong' (`bench.nn.perturb`), or 'gaussian': white noise of 0.01 mV.
        light: white noise on the instance itself, in millivolts.
        balance: lambda; above 1 it works against the collapse into few clusters (the authors have used 1.5).
        main_epochs, auxiliary_epochs: how many epochs one head learns before it is the other's turn.
    """

    auxiliary: int | None = pydantic.Field(default=None, ge=0)
    heads: int = pydantic.Field(default=5, ge=1)
    copies: int = pydantic.Field(default=3, ge=1)
    perturbation: Literal["strong", "gaussian"] = "strong"
    light: float = pydantic.Field(default=0.01, ge=0)
    balance: float = pydantic.Field(default=1.0, gt=0)
    main_epochs: int = pydantic.Field(default=1, ge=1)
    auxiliary_epochs: int = pydantic.Field(default=1, ge=1)


class IIC(Prototypes, Strategy):
    """The two heads learn in turn, whole epochs each; the main one says which group an embedding belongs to."""

    name = "iic"
    title = "IIC"
    paper = "Ji, Henriques, Vedaldi 2019, ICCV (arXiv 1807.06653); CROCS baseline, arXiv 2011.14230"
    grouping = True
    deviations = (
        "Perturbed by the strong set of the clustering baselines; CROCS says Gaussian noise and not how much"
        " (recipe 'crocs_text').",
        "An instance and its copies pass the encoder in one batch, drawn at random; the published code reads the"
        " originals in order, and normalises originals and copies apart.",
        "The sub-head is the one of least loss, not the most accurate on labels as in the published code.",
        "K, how many values the attribute has, is given, and for the auxiliary head how many attribute sets there"
        " are; the original's auxiliary head has five to seven times K.",
        "A batch holds three pairs for each of the suite's instances; where those are fewer than the original's"
        " 660 to 1,000, its joint biases mutual information upward.",
    )
    recipes = {"crocs": {}, "crocs_text": {"perturbation": "gaussian", "light": 0.0}, "board": {}}
    Params = IICParams
    params: IICParams
    running: Tensor
    last: Tensor

    def __init__(
        self, encoder: Encoder, params: Any, info: Info, parents: Mapping[str, Strategy] | None = None
    ) -> None:
        super().__init__(encoder, params, info, parents)
        self.clusters, further = _clusters(info, self.params)
        self.main = SubHeads(encoder.dim, self.clusters, self.params.heads)
        self.auxiliary = SubHeads(encoder.dim, further, self.params.heads) if further else None
        self.register_buffer("running", torch.zeros(self.params.heads))
        self.register_buffer("last", torch.full((info.instances,), -1))

    @classmethod
    def incompatible(cls, info: Info, params: IICParams) -> str | None:
        """It is known how many clusters each head is to have, two at least."""
        _, further = _clusters(info, params)
        reason = params.too_few(info.counts)
        if reason is None and further < 2 and params.auxiliary != 0:
            return f"auxiliary head of {further} clusters: set `auxiliary` to 2 or more, or to 0 for none"
        return reason

    def views(self, batch: Batch, generator: torch.Generator) -> Views:
        """((1 + copies) B, C, T): group 0 the instances, lightly perturbed; the others their copies."""
        p, rate = self.params, self.info.rate
        itself = gaussian(batch.signal, generator, p.light)
        copies = (perturb(batch.signal, generator, p.perturbation, rate) for _ in range(p.copies))
        return Views.of(itself, *copies)

    def loss(self, batch: Batch, views: Views, step: Step) -> Loss:
        """Mean over the sub-heads of the head whose epoch it is; when judged, of the main one."""
        embedding = self.encoder(views.signal)
        probabilities = self.main(embedding)
        main, chosen = self._joint(probabilities), self._learning(step.epoch)
        learning = main if chosen is self.main else self._joint(chosen(embedding))
        losses = information_loss(learning, self.params.balance)
        if self.training and chosen is self.main:
            self.running.lerp_(losses.detach(), 1 - _MEMORY)
        of_main = probabilities.detach()[:, self._best()].argmax(dim=1)
        entropy, share = usage(of_main, self.clusters)
        information = -information_loss(main.detach()).mean()
        parts = {"information": information, "usage_entropy": entropy, "largest_share": share}
        if self.training:
            parts["label_change"] = self._change(batch.index, of_main[: len(batch.index)])
        return Loss(losses.mean(), parts)

    def on_epoch_start(self, epoch: int, training: Training) -> Iterable[nn.Parameter]:
        """The head whose epoch it is not takes no gradient."""
        if self.auxiliary is not None:
            mine = self._learning(epoch) is self.main
            self.main.requires_grad_(mine)
            self.auxiliary.requires_grad_(not mine)
        return ()

    def _change(self, index: Tensor, ids: Tensor) -> Tensor:
        """Share of the instances `index` whose cluster is not that of their last visit; 1 at the first.

        Only in training: in evaluation `index` counts the instances of another set.
        """
        changed = (self.last[index] != ids).float().mean()
        self.last[index] = ids
        return changed

    def groups(self) -> int:
        """K."""
        return self.clusters

    def assign(self, embedding: Tensor) -> Tensor:
        """(N,) int64 likeliest cluster of each embedding (N, D), by the main sub-head of least running loss."""
        ids: Tensor = self.main(embedding)[:, self._best()].argmax(dim=1)
        return ids

    def _learning(self, epoch: int) -> "SubHeads":
        """The head that an epoch trains. A loss in evaluation mode must mean the same in all epochs: the main one's."""
        main, both = self.params.main_epochs, self.params.main_epochs + self.params.auxiliary_epochs
        if self.auxiliary is None or not self.training or epoch % both < main:
            return self.main
        return self.auxiliary

    def _joint(self, probabilities: Tensor) -> Tensor:
        """(S, K, K) over all pairs of an instance and a copy, from (N, S, K) in the order of `views`."""
        copies = self.params.copies
        views = probabilities.unflatten(0, (1 + copies, -1))
        return joint(views[:1].expand(copies, -1, -1, -1).flatten(0, 1), views[1:].flatten(0, 1))

    def _best(self) -> Tensor:
        """The main sub-head of least running loss; all start at 0, so that the start favours none."""
        return self.running.argmin()


class SubHeads(nn.Module):
    """Several linear classifiers of one embedding, with weights drawn from N(0, 0.01 squared) and no bias at first.

    Args:
        dim: length of the embedding.
        clusters: K, of each.
        heads: S, how many.
    """

    def __init__(self, dim: int, clusters: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.linear = nn.Linear(dim, heads * clusters)
        nn.init.normal_(self.linear.weight, std=0.01)
        nn.init.zeros_(self.linear.bias)

    def forward(self, embedding: Tensor) -> Tensor:
        """(N, S, K) float32 probabilities of `embedding` (N, dim), whatever the autocast state."""
        with torch.autocast(embedding.device.type, enabled=False):
            logits: Tensor = self.linear(embedding.float())
            return logits.unflatten(1, (self.heads, -1)).softmax(dim=2)


def _clusters(info: Info, params: IICParams) -> tuple[int, int]:
    """Clusters of the main and of the auxiliary head."""
    return params.groups(info.counts), prod(info.counts) if params.auxiliary is None else params.auxiliary
