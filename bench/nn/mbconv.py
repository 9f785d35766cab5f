"""The parts of an EfficientNet over time (Tan & Le 2019, arXiv 1905.11946): its block, and its scaling.

The block (MBConv: Sandler et al. 2018, arXiv 1801.04381) widens, convolves every channel by itself, weighs the
channels by what they hold on average, and narrows again; its input is added where shapes allow.

Time is the last axis of a 2-D network of height one, as in `bench.nn.residual`: torch has a channels-last layout for
2-D only, and on a CPU that layout takes a fifth to a half off a training step of these blocks. The mathematics is
that of `nn.Conv1d` and `nn.BatchNorm1d`.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

_DIVISOR, _EPS = 8, 1e-3


def scaled_channels(channels: int, width: float) -> int:
    """`channels` times `width`, to the nearest multiple of eight that is at least eight and loses at most a tenth."""
    wanted = channels * width
    nearest = max(_DIVISOR, int(wanted + _DIVISOR / 2) // _DIVISOR * _DIVISOR)
    return nearest + _DIVISOR if nearest < 0.9 * wanted else nearest


def scaled_repeats(repeats: int, depth: float) -> int:
    """`repeats` times `depth`, rounded up."""
    return math.ceil(repeats * depth)


@dataclass(frozen=True)
class BlockShape:
    """What tells one MBConv of a network from another.

    Attributes:
        before: channels of the input.
        after: channels of the output.
        kernel: length of the depthwise convolution, odd.
        stride: what the length is divided by.
        expansion: channels inside, as a multiple of `before`; 1: none are added, and there is no first convolution.
    """

    before: int
    after: int
    kernel: int
    stride: int
    expansion: int


class MBConv(nn.Module):
    """Expand, convolve each channel, weigh the channels, project without activation; plus the input if shapes agree.

    Args:
        shape: of the block.
        drop: share of rows whose residual branch `DropConnect` leaves out in training, where there is a shortcut.
        momentum: of the batch norms, in torch's sense: the share of a new batch in the running statistics.
    """

    def __init__(self, shape: BlockShape, drop: float, momentum: float) -> None:
        super().__init__()
        inside = shape.before * shape.expansion
        self.expand = nn.Sequential()
        if shape.expansion > 1:
            self.expand = unit(convolution(shape.before, inside), momentum)
        self.depthwise = unit(convolution(inside, inside, shape.kernel, shape.stride, inside), momentum)
        self.weigh = SqueezeExcitation(inside, max(1, shape.before // 4))
        self.project = nn.Sequential(convolution(inside, shape.after), _norm(shape.after, momentum))
        self.shortcut = shape.stride == 1 and shape.before == shape.after
        self.drop = DropConnect(drop)

    def forward(self, features: Tensor) -> Tensor:
        """(N, before, 1, L) -> (N, after, 1, ceil(L / stride))."""
        residual: Tensor = self.project(self.weigh(self.depthwise(self.expand(features))))
        return features + self.drop(residual) if self.shortcut else residual


class SqueezeExcitation(nn.Module):
    """Every channel times a weight in (0, 1), which a small network reads off all channels' means over time.

    Hu et al. 2018, arXiv 1709.01507, with swish inside. The two linear maps are the 1x1 convolutions of the original.

    Args:
        channels: of the features.
        hidden: width of the small network.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.squeeze, self.excite = nn.Linear(channels, hidden), nn.Linear(hidden, channels)
        for linear in (self.squeeze, self.excite):
            nn.init.normal_(linear.weight, std=math.sqrt(2 / linear.out_features))
            nn.init.zeros_(linear.bias)

    def forward(self, features: Tensor) -> Tensor:
        """(N, channels, 1, L), weighed."""
        mean = (
            features.sum(dim=(2, 3)) / features.shape[3]
        )  # `mean` spends a pass over all features going back
        weight = torch.sigmoid(self.excite(nn.functional.silu(self.squeeze(mean))))
        return features * weight[:, :, None, None]


class DropConnect(nn.Module):
    """Whole rows dropped in training, the others scaled up, so that the expectation stays (stochastic depth).

    Huang et al. 2016, arXiv 1603.09382, who scale in evaluation instead; the name is that of EfficientNet's code.
    Draws from torch's default generator, as dropout does: one number a row.

    Args:
        share: of rows that are dropped, in [0, 1).
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, features: Tensor) -> Tensor:
        """Training: zero a random share of the rows of `features` (N, C, 1, L), scale the rest. Else: `features`."""
        if not self.training or self.share == 0:
            return features
        kept = torch.rand(len(features), 1, 1, 1, device=features.device) >= self.share
        return features * (kept / (1 - self.share)).to(features.dtype)


def convolution(before: int, after: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A convolution over time without bias; it divides the length by `stride`, rounded up.

    Weights are normal with variance 2 / fan-out, the number of outputs that one input reaches.
    """
    conv = nn.Conv2d(before, after, (1, kernel), (1, stride), (0, kernel // 2), groups=groups, bias=False)
    nn.init.normal_(conv.weight, std=math.sqrt(2 * groups / (kernel * after)))
    return conv


def unit(conv: nn.Conv2d, momentum: float) -> nn.Sequential:
    """The convolution, batch norm, swish."""
    return nn.Sequential(conv, _norm(conv.out_channels, momentum), nn.SiLU())


def _norm(channels: int, momentum: float) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=_EPS, momentum=momentum)
