"""DTCR: an auto-encoder of ECGs whose embeddings lie in few directions, and tell an ECG from a shuffled one.

Ma, Zheng, Li, Cottrell, "Learning Representations for Time Series Clustering", NeurIPS 2019, as a baseline of CROCS
(arXiv 2011.14230). Its groups are k-means among the embeddings, which the evaluation runs. No label is read; the
number of clusters k alone is known.

The k-means loss is Tr(HᵀH) - Tr(Fᵀ HᵀH F) over all embeddings H (D, R), F (R, k) held fixed. At the F that
minimises it, it equals the sum over instances of |(1 - U Uᵀ) h|^2, U the k leading left singular vectors of H, with
the same gradient; and that form separates over instances, so that a batch is enough.

| | paper | published code | here |
|---|---|---|---|
| F, U anew | every 10 iterations | every 10 epochs, rows by place in the batch | every epoch, from all instances |
| k-means loss | sum, weight 1 to 0.001 | sum, weight 0.1 / 2 | mean, weight 0.1 |
| input | clean | noise of sd 0.1 | clean |
| classifier | no ReLU | ReLU between the layers | no ReLU |
| shuffled instants | each at most once | drawn with replacement | each at most once |

The code shuffles the instances but not the rows of F with them, so that F belongs to others: that leaves little but
a pull of all embeddings to 0, and is not copied.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import pydantic
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.nn.augment import jitter
from bench.nn.decoder import Decoder
from bench.train.strategy import (
    Batch,
    Encoder,
    GroupParams,
    Info,
    Loss,
    Step,
    Strategy,
    Training,
    Views,
)

_HIDDEN = 128


class DTCRParams(GroupParams):
    """Parameters of `DTCR`.

    Attributes:
        kmeans_weight: lambda, of the k-means loss.
        refresh: epochs from one computation of U to the next.
        share: of a record's instants, those that are shuffled in its fake.
        block: milliseconds that stay together when shuffled; 0: every instant by itself, as published.
        noise: standard deviation of white noise on what is encoded, as a share of the record's own (the
            published code: 0.1); the clean record is still to be reconstructed.
        classifier: of real and fake: two linear layers in a row ('linear'), or with a ReLU between ('relu').
    """

    kmeans_weight: float = pydantic.Field(default=0.1, ge=0)
    refresh: int = pydantic.Field(default=1, ge=1)
    share: float = pydantic.Field(default=0.2, gt=0, le=1)
    block: float = pydantic.Field(default=0.0, ge=0)
    noise: float = pydantic.Field(default=0.0, ge=0)
    classifier: Literal["linear", "relu"] = "linear"


class DTCR(Strategy):
    """Reconstruct, tell real from fake, and stay near the span of k directions."""

    name = "dtcr"
    title = "DTCR"
    paper = "Ma et al. 2019, NeurIPS; CROCS baseline, arXiv 2011.14230"
    grouping = True
    deviations = (
        "The benchmark's encoder and a convolutional decoder; the paper's are recurrent (dilated GRUs).",
        "In batches: the k-means loss is measured from the leading directions of all training embeddings, found"
        " anew every epoch; the paper has the whole training set in one batch.",
        "The k-means loss is a mean over instances, as the two others are, not a sum: among thousands of them a"
        " sum would leave nothing of the others.",
        "Where the suite crops at random, the directions are of the windows at the records' starts, and training"
        " draws others.",
        "k, how many values the attribute has, is given, as in the paper.",
        "Optimiser, rate and number of steps are the suite's; the paper's rate is 5e-3.",
        "Real and fake records of a batch share the statistics of the encoder's batch norm.",
    )
    recipes = {"crocs": {}, "board": {}}
    Params = DTCRParams
    params: DTCRParams
    directions: Tensor

    def __init__(
        self, encoder: Encoder, params: Any, info: Info, parents: Mapping[str, Strategy] | None = None
    ) -> None:
        super().__init__(encoder, params, info, parents)
        clusters = self.params.groups(info.counts)
        if clusters >= encoder.dim:
            raise ValueError(
                f"{clusters} clusters span all {encoder.dim} dimensions of the embedding; take a longer one"
            )
        self.decoder = Decoder(encoder.dim, encoder.leads, info.samples)
        between = [nn.ReLU()] if self.params.classifier == "relu" else []
        self.classifier = nn.Sequential(nn.Linear(encoder.dim, _HIDDEN), *between, nn.Linear(_HIDDEN, 2))
        self.register_buffer("directions", torch.zeros(encoder.dim, clusters))

    @classmethod
    def incompatible(cls, info: Info, params: DTCRParams) -> str | None:
        """Instances are long enough for the decoder, something can be shuffled, the number of clusters is known."""
        if info.samples < 16:
            return f"instances of {info.samples} samples: its decoder makes at least 16; take a longer window"
        length = _block_length(info, params)
        if int(params.share * info.samples / length) < 2:
            return (
                f"share {params.share:g} of {info.samples} samples has no two blocks of {length};"
                " shorten `block` or raise `share`"
            )
        return params.too_few(info.counts)

    def on_epoch_start(self, epoch: int, training: Training) -> Iterable[nn.Parameter]:
        """The leading directions anew; before the first step, too."""
        if epoch % self.params.refresh == 0:
            self.directions.copy_(leading_directions(training.embed(), self.directions.shape[1]))
        return ()

    def views(self, batch: Batch, generator: torch.Generator) -> Views:
        """(2 B, C, T): the records and their fakes; with noise (3 B, C, T): as they are, noisy, noisy fakes."""
        fake = shuffled(batch.signal, generator, self.params.share, _block_length(self.info, self.params))
        if not self.params.noise:
            return Views.of(batch.signal, fake)
        noisy = (jitter(signal, generator, self.params.noise) for signal in (batch.signal, fake))
        return Views.of(batch.signal, *noisy)

    def loss(self, batch: Batch, views: Views, step: Step) -> Loss:
        """Reconstruction + classification + lambda x k-means (equation 9)."""
        clean = views.signal.chunk(3 if self.params.noise else 2)[0]
        embedding = self.encoder(views.signal[-2 * len(clean) :])
        real = embedding[: len(clean)]
        parts = {
            "reconstruction": F.mse_loss(self.decoder(real).float(), clean),
            "classification": self._classification(embedding),
            "kmeans": distance_from_span(real, self.directions),
        }
        total = (
            parts["reconstruction"] + parts["classification"] + self.params.kmeans_weight * parts["kmeans"]
        )
        return Loss(total, parts | {"norm": real.detach().norm(dim=1).mean()})

    def _classification(self, embedding: Tensor) -> Tensor:
        """Cross-entropy of real (the first half of the rows) and fake."""
        fake = torch.arange(len(embedding), device=embedding.device) >= len(embedding) // 2
        return F.cross_entropy(self.classifier(embedding).float(), fake.long())


@torch.no_grad()
def leading_directions(embedding: Tensor, count: int) -> Tensor:
    """(D, count) float64 leading left singular vectors of the embeddings (R, D) as columns, uncentred.

    They are eigenvectors of the D x D sum of h hᵀ, without gradient: that of repeated values is infinite.
    """
    full = embedding.double()
    return torch.linalg.eigh(full.T @ full).eigenvectors[:, -count:]


def distance_from_span(embedding: Tensor, directions: Tensor) -> Tensor:
    """Mean squared distance of embeddings (N, D) from the span of orthonormal columns (D, k), at least float32."""
    with torch.autocast(embedding.device.type, enabled=False):
        full = embedding if embedding.dtype == torch.float64 else embedding.float()
        basis = directions.to(full.dtype)
        return (full - full @ basis @ basis.T).square().sum(dim=1).mean()


def shuffled(signal: Tensor, generator: torch.Generator, share: float = 0.2, block: int = 1) -> Tensor:
    """Fakes: a share of the instants, drawn for each record, change places among themselves, alike in all leads.

    Args:
        signal: (N, C, T).
        generator: on its device.
        share: of the samples, at most that many move, in (0, 1].
        block: samples that stay together; blocks lie end to end from the first sample on.

    Returns:
        (N, C, T), with every lead's own values.
    """
    rows, samples = len(signal), signal.shape[2]
    blocks, moved = samples // block, math.floor(share * samples / block)
    lots = torch.rand(rows, blocks, generator=generator, device=signal.device)
    chosen = lots.argsort(dim=1)[:, :moved]
    order = torch.arange(blocks, device=signal.device).repeat(rows, 1)
    order = order.scatter(1, chosen.sort(dim=1).values, chosen)
    within = torch.arange(block, device=signal.device)
    time = torch.arange(samples, device=signal.device).repeat(rows, 1)
    time[:, : blocks * block] = (order[:, :, None] * block + within).flatten(1)
    return signal.gather(2, time[:, None].expand_as(signal))


def _block_length(info: Info, params: DTCRParams) -> int:
    """Samples of a block."""
    return max(1, round(params.block * info.rate / 1000))
