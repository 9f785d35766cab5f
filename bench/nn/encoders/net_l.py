"""The large network of CROCS (NeurIPS 2021), which the paper trains on PTB-XL: half a ResNet-18 over time.

Only the first version of the paper (arXiv, 28 November 2020, page 14) describes it: ResNet-18 with one block a
stage, not two. Kernels, strides and initial weights are those of the 1-D network in the same author's later
code, which applies the linear layer at every time step and averages; here the mean comes first: the same.
"""

from typing import ClassVar

from torch import nn

from bench.nn.residual import ResidualEncoder


class NetL(ResidualEncoder):
    """ResNet with basic blocks 1-1-1-1 over time, averaged over time, then linear to the embedding.

    A 2,500-sample input passes through lengths 1250, 625, 625, 313, 157, 79. With twelve leads and width 64
    it has 1,756,032 + 513 dim parameters: 1,887,360 with the defaults, which are the published values. No
    dropout, and no activation after the linear layer.

    Args:
        leads: channels of the input.
        dim: length of the embedding.
        width: channels of the stem and of stage 1; the later stages have 2, 4 and 8 times as many.
    """

    name: ClassVar[str] = "net_l"

    def __init__(self, leads: int, *, dim: int = 256, width: int = 64) -> None:
        super().__init__(leads, blocks=1, width=width, kernel=3, stem_kernel=7, dim=dim, dropout=0.0)
        for conv in self.convolutions():
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
