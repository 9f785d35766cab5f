"""DeepCluster: k-means among the embeddings names the classes that the next epoch of training must predict.

Caron et al., "Deep Clustering for Unsupervised Learning of Visual Features", ECCV 2018; a baseline of CROCS
(Kiyasseh et al., NeurIPS 2021). No label is read; the number of groups is all that is known.

Paper and code: the paper draws instances evenly over clusters. The official sampler draws positions in the original
order and looks them up in one ordered by cluster, so its draws are not balanced at all; `balanced` False does that.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from bench.nn.kmeans import kmeans
from bench.nn.perturb import perturb
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


class DeepClusterParams(GroupParams):
    """Parameters of `DeepCluster`.

    Attributes:
        perturbation: of what the network is trained on; see `bench.nn.perturb`.
        components: dimensions kept by the whitening, at most those of the embedding. It makes all of them equal,
            so that many, beside few instances, drown the groups.
        restarts: of each k-means; 0: 20 for up to ten clusters, else 5.
        every: epochs from one clustering to the next; a new head needs steps enough to learn the clusters.
        balanced: draw instances evenly over clusters, as the paper says; else each once an epoch.
    """

    perturbation: Literal["strong", "gaussian"] = "strong"
    components: int = Field(default=64, gt=0)
    restarts: int = Field(default=0, ge=0)
    every: int = Field(default=1, gt=0)
    balanced: bool = True


class DeepCluster(Prototypes, Strategy):
    """Cluster all embeddings, draw a new head, predict the clusters for an epoch; again."""

    name = "deepcluster"
    title = "DeepCluster"
    paper = "Caron et al., ECCV 2018; CROCS baseline, arXiv 2011.14230"
    grouping = True
    per_instance = True
    deviations = (
        "The suite's optimiser for encoder and head; the original is SGD, with momentum for the encoder alone.",
        "k-means++ with up to 20 starts; the original runs 20 iterations from one set of random points.",
        "Whitening to at most 64 dimensions, with 1e-5 of the largest variance added; the original keeps 256.",
        "A last clustering of the final embeddings assigns; CROCS takes the epoch of the least validation loss.",
        "Where the suite crops at random, pseudo-labels are of the window at a record's start, and training draws"
        " others.",
        "K, how many values the attribute has, is given; the original takes 10,000.",
        "The suite's number of epochs; CROCS has 30.",
    )
    recipes = {"crocs": {}, "board": {}}
    Params = DeepClusterParams
    params: DeepClusterParams
    labels: Tensor
    mean: Tensor
    axes: Tensor
    centres: Tensor
    health: Tensor

    def __init__(
        self, encoder: Encoder, params: Any, info: Info, parents: Mapping[str, Strategy] | None = None
    ) -> None:
        super().__init__(encoder, params, info, parents)
        self.clusters = self.params.groups(info.counts)
        kept = min(encoder.dim, params.components)
        self.head = nn.Linear(encoder.dim, self.clusters)
        self.register_buffer("labels", torch.full((info.instances,), -1))
        self.register_buffer("mean", torch.zeros(encoder.dim, dtype=torch.float64))
        self.register_buffer("axes", torch.zeros(encoder.dim, kept, dtype=torch.float64))
        self.register_buffer("centres", torch.zeros(self.clusters, kept))
        self.register_buffer("health", torch.zeros(3))

    @classmethod
    def incompatible(cls, info: Info, params: DeepClusterParams) -> str | None:
        """The number of clusters is known, and at least 2."""
        return params.too_few(info.counts)

    def views(self, batch: Batch, generator: torch.Generator) -> Views:
        """Every instance once, perturbed."""
        how = self.params.perturbation
        return Views.of(perturb(batch.signal, generator, how, self.info.rate))

    def loss(self, batch: Batch, views: Views, step: Step) -> Loss:
        """Cross-entropy with the instance's cluster; an instance without one does not count."""
        logits = self.head(F.relu(self.encoder(views.signal).float()))
        labels = self.labels[batch.index[views.source]]
        total = F.cross_entropy(logits, labels, ignore_index=-1, reduction="sum")
        entropy, share, change = self.health
        parts = {"usage_entropy": entropy, "largest_share": share, "label_change": change}
        return Loss(total / (labels >= 0).sum().clamp(min=1), parts)

    def on_epoch_start(self, epoch: int, training: Training) -> Iterable[nn.Parameter]:
        """Cluster anew, and with the clusters, whose numbers now mean something else, the head."""
        if epoch % self.params.every:
            return ()
        self._cluster(training, training.seed + epoch)
        self._draw_head(training.seed + epoch)
        return self.head.parameters()

    def on_fit_end(self, training: Training) -> None:
        """Cluster the final embeddings: by these centres new ones are assigned."""
        self._cluster(training, training.seed - 1)

    def _cluster(self, training: Training, seed: int) -> None:
        """Whitening, centres and labels from the embeddings of all instances."""
        embedding = training.embed()
        self.mean, self.axes = whitening(embedding, self.axes.shape[1])
        restarts = self.params.restarts or (20 if self.clusters <= 10 else 5)
        self.centres, labels = kmeans(self.project(embedding), self.clusters, seed, restarts)
        change = label_change(self.labels, labels, self.clusters)
        self.health = torch.stack((*usage(labels, self.clusters), change)).float()
        self.labels = labels

    @torch.no_grad()
    def _draw_head(self, seed: int) -> None:
        """Weights N(0, 0.01^2) and no bias: the original's."""
        generator = torch.Generator().manual_seed(seed)
        self.head.weight.copy_(0.01 * torch.randn(self.head.weight.shape, generator=generator))
        self.head.bias.zero_()

    def draw_weights(self) -> Tensor | None:
        """(R,) 1 / (number of clusters in use x size of the instance's own); they add up to 1."""
        if not self.params.balanced or bool((self.labels < 0).any()):
            return None
        sizes = torch.bincount(self.labels, minlength=self.clusters).double()
        return 1 / ((sizes > 0).sum() * sizes[self.labels])

    def project(self, embedding: Tensor) -> Tensor:
        """(N, D) embeddings -> (N, P), whitened as the last clustering was, of length 1."""
        return F.normalize((embedding.double() - self.mean) @ self.axes, dim=1).float()

    def prototypes(self) -> Tensor:
        """(K, P) centres of the last clustering; infinite where it found fewer distinct points than K."""
        return self.centres


def whitening(points: Tensor, components: int) -> tuple[Tensor, Tensor]:
    """What maps points to uncorrelated coordinates of variance 1, most variable first: (points - mean) @ axes.

    Args:
        points: (N, D).
        components: coordinates to keep, P, at most D.

    Returns:
        mean (D,) and axes (D, P), float64. To every variance 1e-5 of the largest is added, so that a direction
        without any maps to 0.
    """
    points = points.double()
    mean = points.mean(dim=0)
    centred = points - mean
    variance, directions = torch.linalg.eigh(centred.T @ centred / len(points))
    variance, directions = variance.flip(0)[:components], directions.flip(1)[:, :components]
    floor = (1e-5 * variance[0]).clamp(min=torch.finfo(torch.float64).tiny)
    return mean, directions / (variance.clamp(min=0) + floor).sqrt()


def label_change(before: Tensor, after: Tensor, clusters: int) -> Tensor:
    """Share of instances whose cluster changed, the numbers of the clusters being matched at best; 1 at first.

    Args:
        before: (N,) from 0 to `clusters` - 1, or -1 for none yet.
        after: (N,), all of them clusters.
    """
    from scipy.optimize import linear_sum_assignment

    known = before >= 0
    pairs = before[known] * clusters + after[known]
    table = torch.bincount(pairs, minlength=clusters**2).reshape(clusters, clusters).cpu()
    rows, columns = linear_sum_assignment(table.numpy(), maximize=True)
    return 1 - table[rows, columns].sum().to(after.device) / len(after)
