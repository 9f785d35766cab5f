"""Residual networks over time (He et al. 2015, arXiv 1512.03385), which `resnet1d18`, `resnet1d34` and
`net_l` fill in.

Time is the last axis of a 2-D network of height one: torch has a channels-last layout for 2-D only, and on a
CPU that layout takes about a fifth off a training step. The mathematics is that of `nn.Conv1d` and
`nn.BatchNorm1d`.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.nn.dropout import Dropout
from bench.nn.encoder import Encoder


class ResidualEncoder(Encoder):
    """Stem, max pooling, four stages of basic blocks, the mean over time, then linear to the embedding or nothing.

    Stem, pooling and stages 2 to 4 each halve the length, rounded up. A subclass has the `name` and draws the
    weights of `convolutions`.

    Args:
        leads: channels of the input.
        blocks: residual blocks in each of the four stages; one number: as many in every stage.
        width: channels of the stem and of stage 1; the later stages have 2, 4 and 8 times as many.
        kernel: length of the block convolutions, odd.
        stem_kernel: length of the first convolution, odd.
        dim: length of the embedding; None: no linear layer, the embedding is the mean, 8 width long.
        dropout: share of activations dropped inside each block.

    Raises:
        ValueError: a kernel of even length, or not four stages of at least one block.
    """

    min_samples = 32  # one step of `sequence`: the length is halved five times

    def __init__(
        self,
        leads: int,
        *,
        blocks: int | Sequence[int],
        width: int,
        kernel: int,
        stem_kernel: int,
        dim: int | None,
        dropout: float,
    ) -> None:
        super().__init__()
        if kernel % 2 == 0 or stem_kernel % 2 == 0:
            raise ValueError(f"kernel {kernel}, stem_kernel {stem_kernel}: both must be odd, to keep lengths")
        counts = (blocks,) * 4 if isinstance(blocks, int) else tuple(blocks)
        if len(counts) != 4 or min(counts) < 1:
            raise ValueError(f"blocks {list(counts)}: four stages, of at least one block each")
        self.leads, self.dim = leads, 8 * width if dim is None else dim
        self.stem = nn.Sequential(
            _conv(leads, width, stem_kernel, 2), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )
        widths = (width, width, 2 * width, 4 * width, 8 * width)
        self.stages = nn.ModuleList(
            nn.Sequential(
                _Block(before, after, kernel, dropout, stride=1 if before == after else 2),
                *(_Block(after, after, kernel, dropout) for _ in range(count - 1)),
            )
            for (before, after), count in zip(pairwise(widths), counts, strict=True)
        )
        self.head = nn.Identity() if dim is None else nn.Linear(widths[-1], dim)

    def convolutions(self) -> Iterator[nn.Conv2d]:
        """Every convolution from stem to head; weights are (out, in, 1, kernel)."""
        return (module for module in self.modules() if isinstance(module, nn.Conv2d))

    def forward(self, signal: Tensor) -> Tensor:
        """Embed `signal` (N, leads, T >= 32) as (N, dim)."""
        embedding: Tensor = self.head(self.sequence(signal).mean(dim=1))
        return embedding

    def sequence(self, signal: Tensor) -> Tensor:
        """Features over time: (N, leads, T >= 32) -> (N, ceil(T / 32), 8 width)."""
        self.check(signal)
        features = self.stem(_channels_last(signal.unsqueeze(2)))
        features = F.max_pool2d(features, (1, 3), stride=(1, 2), padding=(0, 1))
        features = _channels_last(features)  # again: a single lead cannot carry the layout through the stem
        for stage in self.stages:
            features = stage(features)
        over_time: Tensor = features.squeeze(2).transpose(1, 2)
        return over_time

    def groups(self) -> list[list[nn.Parameter]]:
        """Six groups: stem, the four stages, head; five where there is no linear layer."""
        groups = [list(part.parameters()) for part in (self.stem, *self.stages, self.head)]
        return [group for group in groups if group]


class _Block(nn.Module):
    """conv - BN - ReLU - dropout - conv - BN, plus the input (projected 1x1 where the width grows), ReLU."""

    def __init__(self, before: int, after: int, kernel: int, dropout: float, stride: int = 1) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            _conv(before, after, kernel, stride),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
            Dropout(dropout),
            _conv(after, after, kernel),
            nn.BatchNorm2d(after),
        )
        self.shortcut: nn.Module = nn.Identity()
        if before != after:
            self.shortcut = nn.Sequential(_conv(before, after, 1, stride), nn.BatchNorm2d(after))

    def forward(self, features: Tensor) -> Tensor:
        """(N, before, 1, L) -> (N, after, 1, ceil(L / stride))."""
        return F.relu_(self.residual(features) + self.shortcut(features))


def _conv(before: int, after: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """A convolution over time without bias; it divides the length by `stride`, rounded up."""
    return nn.Conv2d(before, after, (1, kernel), (1, stride), (0, kernel // 2), bias=False)


def _channels_last(features: Tensor) -> Tensor:
    """The same values in the layout the convolutions like best."""
    return features.contiguous(memory_format=torch.channels_last)
