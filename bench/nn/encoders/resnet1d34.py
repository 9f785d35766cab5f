"""A 1-D ResNet-34 (He et al. 2015, arXiv 1512.03385), as the SNU entry to CinC 2021 pre-trains one, of any width."""

from typing import ClassVar

from torch import nn

from bench.nn.residual import ResidualEncoder


class ResNet1d34(ResidualEncoder):
    """ResNet-34 (basic blocks 3-4-6-3, kernels 3, stem 7) over time; its embedding is the mean over time.

    A 4,000-sample input passes through lengths 2000, 1000, 1000, 500, 250, 125. No dropout, and no linear layer
    after the mean: `dim` is 8 width, 512 with the default. It then has 7,220,480 parameters with six leads,
    7,223,168 with twelve.

    Paper and code: the paper says "ResNet-34" and no more. All else is the network of images with every k x k
    convolution one of length k; initial weights are normal with the 1-D fan-out (arXiv 1502.01852).

    Args:
        leads: channels of the input.
        width: channels of the stem and of stage 1; the later stages have 2, 4 and 8 times as many.
    """

    name: ClassVar[str] = "resnet1d34"

    def __init__(self, leads: int, *, width: int = 64) -> None:
        super().__init__(
            leads, blocks=(3, 4, 6, 3), width=width, kernel=3, stem_kernel=7, dim=None, dropout=0.0
        )
        for conv in self.convolutions():
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
