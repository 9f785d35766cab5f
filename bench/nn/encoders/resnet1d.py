"""The 1-D ResNet-18 of "Finding Good Views of ECG Signals" (arXiv 2411.17702), of any width and kernel.

Time is the last axis of a 2-D network of height one: torch has a channels-last layout for 2-D only, and on a
CPU that layout takes a fifth off a training step. The mathematics is that of `nn.Conv1d` and
`nn.BatchNorm1d`.
"""

from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.nn.dropout import Dropout
from bench.nn.encoder import Encoder


class ResNet1d18(Encoder):
    """ResNet-18 (basic blocks 2-2-2-2) over time, averaged over time, then linear to the embedding.

    A 5,000-sample input passes through lengths 2500, 1250, 1250, 625, 313, 157. With twelve leads and the
    defaults, which are the published values, it has 8,803,072 parameters.

    Paper and code: the paper says only "ResNet-18" and embedding length 128; all else is from the official
    code. That code draws convolution weights with variance 2 / (kernel squared x channels out), a 2-D
    formula. Ours have the 1-D fan-out (He et al. 2015, arXiv 1502.01852) unless `as_published`.

    Args:
        leads: channels of the input.
        width: channels of the stem and of stage 1; the later stages have 2, 4 and 8 times as many.
        kernel: length of the block convolutions, odd.
        stem_kernel: length of the first convolution, odd.
        dim: length of the embedding.
        dropout: share of activations dropped inside each block.
        as_published: draw the weights as the official code does.

    Raises:
        ValueError: a kernel of even length.
    """

    name: ClassVar[str] = "resnet1d18"
    min_samples = 32  # one step of `sequence`: stem, pool and stages 2 to 4 each halve the length

    def __init__(
        self,
        leads: int,
        *,
        width: int = 64,
        kernel: int = 7,
        stem_kernel: int = 15,
        dim: int = 128,
        dropout: float = 0.2,
        as_published: bool = False,
    ) -> None:
        super().__init__()
        if kernel % 2 == 0 or stem_kernel % 2 == 0:
            raise ValueError(f"kernel {kernel}, stem_kernel {stem_kernel}: both must be odd, to keep lengths")
        self.leads, self.dim = leads, dim
        self.stem = nn.Sequential(
            _conv(leads, width, stem_kernel, 2), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )
        widths = (width, width, 2 * width, 4 * width, 8 * width)
        self.stages = nn.ModuleList(
            nn.Sequential(
                _Block(before, after, kernel, dropout, stride=1 if before == after else 2),
                _Block(after, after, kernel, dropout),
            )
            for before, after in pairwise(widths)
        )
        self.head = nn.Linear(widths[-1], dim)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                _initialise(module, as_published)

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
        """Six groups: stem, the four stages, head."""
        return [list(part.parameters()) for part in (self.stem, *self.stages, self.head)]


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


def _initialise(conv: nn.Conv2d, as_published: bool) -> None:
    """Draw weights from N(0, 2 / (kernel x channels out)); the official code has the kernel squared."""
    kernel = conv.kernel_size[1]
    fan_out = conv.out_channels * (kernel * kernel if as_published else kernel)
    nn.init.normal_(conv.weight, std=(2 / fan_out) ** 0.5)
