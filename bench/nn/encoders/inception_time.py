"""InceptionTime (Fawaz et al. 2020, arXiv 1909.04939): convolutions of three lengths side by side, never shortened.

Time is the last axis of a 2-D network of height one, in the channels-last layout: on a CPU a training step then
takes half to two thirds as long, narrow to wide. The mathematics is that of `nn.Conv1d` and `nn.BatchNorm1d`.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.nn.encoder import Encoder

_EVERY = 3  # modules between two shortcuts


class InceptionTime(Encoder):
    """Inception modules at full length, a shortcut around every three of them, pooling over time.

    With the defaults and twelve leads it has 473,344 parameters and `dim` 256, and a step of `sequence` sees 229
    samples. `leads: 1, kernels: [40, 20, 10], pool: average` with a linear layer to two classes is the paper's
    network for one channel: 420,450 parameters.

    Paper and code: kernels are 40, 20 and 10 in the paper, 39, 19 and 9 in the ports to torch, which keep lengths
    without uneven padding; pooling is the mean in the paper, and greatest values beside means in the network that
    benchmarks on PTB-XL use. Initial weights are uniform as Glorot & Bengio (2010) have them, the default of the
    official code's library; batch norm has torch's constants. Where a reduced-lead paper says "InceptionTime" and
    no more, kernels, pooling and initial weights are open.

    Args:
        leads: channels of the input.
        filters: channels of the bottleneck and of every branch; a module hands on (kernels + 1) times as many.
        depth: modules; those after the last full three have no shortcut.
        kernels: lengths of the parallel convolutions. An even one reaches one sample further ahead than back.
        pool: "both": the greatest value over time beside the mean; "average": the mean alone.

    Raises:
        ValueError: no filters, modules or kernels, or an unknown pool.
    """

    name: ClassVar[str] = "inception_time"
    min_samples = 1  # lengths are kept

    def __init__(
        self,
        leads: int,
        *,
        filters: int = 32,
        depth: int = 6,
        kernels: Sequence[int] = (39, 19, 9),
        pool: Literal["both", "average"] = "both",
    ) -> None:
        super().__init__()
        if min(filters, depth, len(kernels), *kernels) < 1:
            raise ValueError(f"filters {filters}, depth {depth}, kernels {list(kernels)}: all at least one")
        if pool not in ("both", "average"):
            raise ValueError(f"pool {pool!r}: 'both' or 'average'")
        wide = filters * (len(kernels) + 1)
        self.leads, self.pool, self.dim = leads, pool, wide * (2 if pool == "both" else 1)
        self.inceptions = nn.ModuleList(
            _Inception(wide if place else leads, filters, kernels) for place in range(depth)
        )
        self.shortcuts = nn.ModuleList(
            nn.Sequential(_conv(wide if place else leads, wide, 1), nn.BatchNorm2d(wide))
            for place in range(depth // _EVERY)
        )

    def forward(self, signal: Tensor) -> Tensor:
        """Embed `signal` (N, leads, T) as (N, dim): the greatest values over time if asked for, then the means."""
        features = self.sequence(signal)
        mean = features.mean(dim=1)
        if self.pool == "average":
            return mean
        largest = features.max(dim=1).values  # not `amax`, whose gradient looks for ties: it takes far longer
        return torch.cat((largest, mean), dim=1)

    def sequence(self, signal: Tensor) -> Tensor:
        """Features over time: (N, leads, T) -> (N, T, (kernels + 1) filters)."""
        self.check(signal)
        features = _channels_last(signal.unsqueeze(2))
        start = features
        for place, inception in enumerate(self.inceptions):
            features = inception(features)
            if place % _EVERY == _EVERY - 1:
                features = F.relu_(features + self.shortcuts[place // _EVERY](start))
                start = features
        return features.squeeze(2).transpose(1, 2)

    def groups(self) -> list[list[nn.Parameter]]:
        """As many groups as modules; a shortcut is with the module it ends at."""
        groups = [list(inception.parameters()) for inception in self.inceptions]
        for place, shortcut in enumerate(self.shortcuts):
            groups[(place + 1) * _EVERY - 1].extend(shortcut.parameters())
        return groups


class _Inception(nn.Module):
    """Parallel convolutions of a bottleneck and a 1x1 of the max-pooled input, side by side; batch norm, ReLU."""

    def __init__(self, before: int, filters: int, kernels: Sequence[int]) -> None:
        super().__init__()
        self.bottleneck = nn.Identity() if before == 1 else _conv(before, filters, 1)
        inner = 1 if before == 1 else filters
        self.branches = nn.ModuleList(_conv(inner, filters, kernel) for kernel in kernels)
        self.pooled = _conv(before, filters, 1)
        self.norm = nn.BatchNorm2d(filters * (len(kernels) + 1))

    def forward(self, features: Tensor) -> Tensor:
        """(N, before, 1, T) -> (N, (kernels + 1) filters, 1, T)."""
        narrow, samples = self.bottleneck(features), features.shape[3]
        parts = [branch(narrow) for branch in self.branches]
        parts = [part[..., part.shape[3] - samples :] for part in parts]
        parts.append(self.pooled(F.max_pool2d(features, (1, 3), stride=1, padding=(0, 1))))
        # the layout again: a single lead cannot carry it through a convolution
        output: Tensor = self.norm(_channels_last(torch.cat(parts, dim=1)))
        return F.relu_(output)


def _conv(before: int, after: int, kernel: int) -> nn.Conv2d:
    """A convolution over time without bias; an even kernel makes one step too many, at the front.

    Without that first step the zeros are (kernel - 1) // 2 in front and kernel // 2 behind: "same" in TensorFlow.
    """
    conv = nn.Conv2d(before, after, (1, kernel), padding=(0, kernel // 2), bias=False)
    nn.init.xavier_uniform_(conv.weight)
    return conv


def _channels_last(features: Tensor) -> Tensor:
    """The same values in the layout the convolutions like best."""
    return features.contiguous(memory_format=torch.channels_last)
