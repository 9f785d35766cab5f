"""The 1-D EfficientNet-B3 of the SNU entry to the Challenge of 2021 (Suh et al., CinC 2021), of any width and depth.

EfficientNet-B3 is EfficientNet-B0 with 1.2 times the channels and 1.4 times the blocks (Tan & Le 2019, arXiv
1905.11946). Here time takes the place of the image: a 3x3 convolution has kernel 3, a 5x5 one kernel 5. The dropout of
0.3 before the classifier belongs to the head that stands on an encoder; it is not in here.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from bench.nn.encoder import Encoder
from bench.nn.mbconv import BlockShape, MBConv, convolution, scaled_channels, scaled_repeats, unit

_STEM, _HEAD = 32, 1280
_STAGES = (  # of EfficientNet-B0: does it expand, kernel, channels, stride of the first block, blocks
    (False, 3, 16, 1, 1),
    (True, 3, 24, 2, 2),
    (True, 5, 40, 2, 2),
    (True, 3, 80, 2, 3),
    (True, 5, 112, 1, 3),
    (True, 5, 192, 2, 4),
    (True, 3, 320, 1, 1),
)


class EfficientNet1d(Encoder):
    """EfficientNet-B3 over time: stem, seven stages of MBConv blocks, a 1x1 convolution (the head), the mean.

    A 4,000-sample input passes through lengths 2000 (stem), 2000, 1000, 500, 250, 250, 125, 125 (stages), 125 (head).
    With six leads and the defaults, which are B3, it has 26 blocks, 10,406,912 parameters and `dim` 1,536.
    Batch norm adds 0.001 to a variance. Linearly from the first block, which has none, to the last, a larger share of
    rows loses its residual branch in training (`bench.nn.mbconv.DropConnect`).

    Paper and code: the paper says "EfficientNet-B3" and no more, and its code is not to be had. All else is the
    definition of B3, carried over to one axis. Convolutions are padded by half the kernel on both sides; the original
    pads one less on the left where a stride meets an even length. The paper leaves initial weights open: here they
    are normal with variance 2 / fan-out, and biases are zero.

    Args:
        leads: channels of the input.
        width: what B0's channels are multiplied by; the result is rounded to a multiple of eight, at least eight.
        depth: what B0's blocks in a stage are multiplied by, rounded up.
        expansion: channels inside a block, as a multiple of its input's, in all stages but the first.
        drop_connect: the share of rows that one block after the last would drop.
        momentum: the share of a new batch in the running statistics of batch norm. After n steps (1 - momentum)^n
            of their initial values is left: B3's 0.01 wants some hundreds of steps.

    Raises:
        ValueError: no positive width, depth or expansion, or a share out of range.
    """

    name: ClassVar[str] = "efficientnet1d"
    min_samples = 32  # one step of `sequence`: the length is halved five times

    def __init__(
        self,
        leads: int,
        *,
        width: float = 1.2,
        depth: float = 1.4,
        expansion: int = 6,
        drop_connect: float = 0.2,
        momentum: float = 0.01,
    ) -> None:
        super().__init__()
        if min(width, depth) <= 0 or expansion < 1:
            raise ValueError(f"width {width}, depth {depth}, expansion {expansion}: all must be positive")
        if not 0 <= drop_connect < 1 or not 0 < momentum <= 1:
            raise ValueError(f"drop_connect {drop_connect} must be in [0, 1), momentum {momentum} in (0, 1]")
        self.leads, self.dim = leads, scaled_channels(_HEAD, width)
        stages = _shapes(width, depth, expansion)
        first, last = stages[0][0].before, stages[-1][-1].after
        count, made = sum(map(len, stages)), 0
        self.stem = unit(convolution(leads, first, 3, 2), momentum)
        self.stages = nn.ModuleList()
        for stage in stages:
            drops = [drop_connect * (made + i) / count for i in range(len(stage))]
            blocks = (MBConv(shape, drop, momentum) for shape, drop in zip(stage, drops, strict=True))
            self.stages.append(nn.Sequential(*blocks))
            made += len(stage)
        self.head = unit(convolution(last, self.dim), momentum)

    def forward(self, signal: Tensor) -> Tensor:
        """Embed `signal` (N, leads, T >= 32) as (N, dim)."""
        return self.sequence(signal).mean(dim=1)

    def sequence(self, signal: Tensor) -> Tensor:
        """Features over time: (N, leads, T >= 32) -> (N, ceil(T / 32), dim)."""
        self.check(signal)
        features = self.stem(_channels_last(signal.unsqueeze(2)))
        features = _channels_last(features)  # again: a single lead cannot carry the layout through the stem
        for stage in self.stages:
            features = stage(features)
        over_time: Tensor = self.head(features).squeeze(2).transpose(1, 2)
        return over_time

    def groups(self) -> list[list[nn.Parameter]]:
        """Six groups, one a length and the head: stem and stage 1, stages 2, 3, 4-5, 6-7, head."""
        parts = (
            [self.stem, self.stages[0]],
            self.stages[1:2],
            self.stages[2:3],
            self.stages[3:5],
            self.stages[5:],
        )
        return [[p for module in part for p in module.parameters()] for part in (*parts, [self.head])]


def _shapes(width: float, depth: float, expansion: int) -> list[list[BlockShape]]:
    """The blocks of each stage; only the first of a stage changes channels and length."""
    stages, before = [], scaled_channels(_STEM, width)
    for expands, kernel, channels, stride, repeats in _STAGES:
        after, factor = scaled_channels(channels, width), expansion if expands else 1
        stage = [BlockShape(before, after, kernel, stride, factor)]
        stage += [BlockShape(after, after, kernel, 1, factor)] * (scaled_repeats(repeats, depth) - 1)
        stages.append(stage)
        before = after
    return stages


def _channels_last(features: Tensor) -> Tensor:
    """The same values in the layout the convolutions like best."""
    return features.contiguous(memory_format=torch.channels_last)
