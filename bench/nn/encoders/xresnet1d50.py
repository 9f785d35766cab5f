"""The 1-D XResNet-50 of Mehari & Strodthoff (arXiv 2103.12676) for SimCLR, BYOL and SwAV: all stages equally wide.

An XResNet (He et al. 2018, "Bag of Tricks", arXiv 1812.01187) has a stem of three convolutions, halves the length
in the middle convolution of a bottleneck, and averages before it projects in the shortcut. Here a stage is not
twice as wide as the one before.

Time is the last axis of a 2-D network of height one: torch has a channels-last layout for 2-D only, and on a CPU
that layout takes about a fifth off a training step. The mathematics is that of `nn.Conv1d` and `nn.BatchNorm1d`.
"""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.nn.encoder import Encoder

_KERNEL, _EXPANSION = 5, 4


class XResNet1d50(Encoder):
    """Stem, max pooling, four stages of bottlenecks; the greatest value over time beside the mean.

    A 250-sample input passes through lengths 125, 125, 125, 63, 63, 32, 16, 8 (stem, pooling, stages). With
    twelve leads and the defaults, which are the published values, it has 886,432 parameters and `dim` 512.

    Initial weights as in the official code: the first convolution, which alone has a bias, has torch's own; every
    other is normal with variance 2 / fan-in (He et al. 2015, arXiv 1502.01852); the last batch norm of each
    bottleneck starts at zero, so that a block begins as its shortcut.

    Args:
        leads: channels of the input.
        width: channels inside every bottleneck and after the stem, even; a stage hands on four times as many.
        blocks: bottlenecks in each of the four stages.

    Raises:
        ValueError: an odd width, or not four stages of at least one block.
    """

    name: ClassVar[str] = "xresnet1d50"
    min_samples = 32  # one step of `sequence`: the length is halved five times

    def __init__(self, leads: int, *, width: int = 64, blocks: Sequence[int] = (3, 4, 6, 3)) -> None:
        super().__init__()
        if width < 2 or width % 2:
            raise ValueError(f"width {width}: it must be even, for the stem begins with half of it")
        if len(blocks) != 4 or min(blocks) < 1:
            raise ValueError(f"blocks {list(blocks)}: four stages, of at least one block each")
        self.leads, self.dim = leads, 2 * _EXPANSION * width
        first = nn.Conv2d(leads, width // 2, (1, _KERNEL), (1, 2), (0, _KERNEL // 2))
        self.stem = nn.Sequential(
            _unit(first),
            _unit(_conv(width // 2, width // 2, _KERNEL)),
            _unit(_conv(width // 2, width, _KERNEL)),
        )
        befores = (width, *[_EXPANSION * width] * 3)
        self.stages = nn.ModuleList(
            nn.Sequential(
                _Bottleneck(before, width, stride),
                *(_Bottleneck(_EXPANSION * width, width) for _ in range(count - 1)),
            )
            for before, count, stride in zip(befores, blocks, (1, 2, 2, 2), strict=True)
        )

    def forward(self, signal: Tensor) -> Tensor:
        """Embed `signal` (N, leads, T >= 32) as (N, 8 width): the greatest values over time, then the means."""
        features = self.sequence(signal)
        return torch.cat((features.amax(dim=1), features.mean(dim=1)), dim=1)

    def sequence(self, signal: Tensor) -> Tensor:
        """Features over time: (N, leads, T >= 32) -> (N, ceil(T / 32), 4 width)."""
        self.check(signal)
        features = self.stem(_channels_last(signal.unsqueeze(2)))
        features = F.max_pool2d(features, (1, 3), stride=(1, 2), padding=(0, 1))
        features = _channels_last(features)  # again: a single lead cannot carry the layout through the stem
        for stage in self.stages:
            features = stage(features)
        over_time: Tensor = features.squeeze(2).transpose(1, 2)
        return over_time

    def groups(self) -> list[list[nn.Parameter]]:
        """Four groups, those of the paper's code: first convolution, rest of the stem, stages 1-2, stages 3-4."""
        parts = (self.stem[:1], self.stem[1:], self.stages[:2], self.stages[2:])
        return [list(part.parameters()) for part in parts]


class _Bottleneck(nn.Module):
    """Convolutions of kernels 1, 5 and 1 with batch norm, ReLU between them; plus the shortcut, ReLU."""

    def __init__(self, before: int, width: int, stride: int = 1) -> None:
        super().__init__()
        after = _EXPANSION * width
        last = nn.BatchNorm2d(after)
        nn.init.zeros_(last.weight)
        self.residual = nn.Sequential(
            _unit(_conv(before, width, 1)),
            _unit(_conv(width, width, _KERNEL, stride)),
            _conv(width, after, 1),
            last,
        )
        self.shortcut = nn.Sequential()
        if stride > 1:
            self.shortcut.append(nn.AvgPool2d((1, stride), ceil_mode=True))
        if before != after:
            self.shortcut.extend((_conv(before, after, 1), nn.BatchNorm2d(after)))

    def forward(self, features: Tensor) -> Tensor:
        """(N, before, 1, L) -> (N, 4 width, 1, ceil(L / stride))."""
        return F.relu_(self.residual(features) + self.shortcut(features))


def _conv(before: int, after: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """A convolution over time without bias; it divides the length by `stride`, rounded up."""
    conv = nn.Conv2d(before, after, (1, kernel), (1, stride), (0, kernel // 2), bias=False)
    nn.init.kaiming_normal_(conv.weight)
    return conv


def _unit(conv: nn.Conv2d) -> nn.Sequential:
    """The convolution, batch norm, ReLU."""
    return nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels), nn.ReLU(inplace=True))


def _channels_last(features: Tensor) -> Tensor:
    """The same values in the layout the convolutions like best."""
    return features.contiguous(memory_format=torch.channels_last)
