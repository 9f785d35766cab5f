"""The 1-D ResNet-18 of "Finding Good Views of ECG Signals" (arXiv 2411.17702), of any width and kernel."""

from typing import ClassVar

from torch import nn

from bench.nn.residual import ResidualEncoder


class ResNet1d18(ResidualEncoder):
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
        super().__init__(
            leads,
            blocks=2,
            width=width,
            kernel=kernel,
            stem_kernel=stem_kernel,
            dim=dim,
            dropout=dropout,
        )
        for conv in self.convolutions():
            _initialise(conv, as_published)


def _initialise(conv: nn.Conv2d, as_published: bool) -> None:
    """Draw weights from N(0, 2 / (kernel x channels out)); the official code has the kernel squared."""
    kernel = conv.kernel_size[1]
    fan_out = conv.out_channels * (kernel * kernel if as_published else kernel)
    nn.init.normal_(conv.weight, std=(2 / fan_out) ** 0.5)
