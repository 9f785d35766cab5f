"""The small network of CLOCS (ICML 2021) and of CROCS on Chapman (NeurIPS 2021); it reads one length only.

Its embedding is linear in the features at every time step, so the weights belong to a length: `samples`.
Both papers list a ReLU after that linear layer, the official code of CLOCS has none; ours has none (a ReLU
would confine cosines to [0, 1]).
"""

from itertools import pairwise
from typing import ClassVar

from torch import Tensor, nn

from bench.nn.dropout import Dropout
from bench.nn.encoder import Encoder

_CHANNELS = (4, 16, 32)
_KERNEL, _STRIDE, _POOL = 7, 3, 2


class NetS(Encoder):
    """Three blocks conv - BN - ReLU - max pool - dropout, flattened, then linear to the embedding.

    A 2,500-sample input passes through lengths 832, 416, 137, 68, 21, 10 (convolution and pooling of each
    block). The published values are the defaults with one lead: 4,216 + 321 dim parameters, 45,304 in all.
    Dropout is element-wise. The convolutions have a bias, as published, though batch norm cancels it.

    Args:
        leads: channels of the input; the papers feed one lead at a time.
        dim: length of the embedding.
        dropout: share of activations dropped after each block.
        samples: the input's length T, the only one it reads.

    Raises:
        ValueError: `samples` leave nothing after three blocks.
    """

    name: ClassVar[str] = "net_s"

    def __init__(self, leads: int, *, dim: int = 128, dropout: float = 0.1, samples: int = 2500) -> None:
        super().__init__()
        if samples < _least():
            raise ValueError(
                f"samples {samples}: three blocks need at least {_least()}; take a longer window"
            )
        self.leads, self.dim = leads, dim
        self.samples = self.min_samples = samples
        self.blocks = nn.Sequential(
            *(_block(before, after, dropout) for before, after in pairwise((leads, *_CHANNELS)))
        )
        self.head = nn.Linear(_CHANNELS[-1] * _steps(samples), dim)

    def forward(self, signal: Tensor) -> Tensor:
        """Embed `signal` (N, leads, samples) as (N, dim).

        The head reads the features channel by channel, time within a channel: feature `channel * L + step`.
        """
        embedding: Tensor = self.head(self.sequence(signal).transpose(1, 2).flatten(1))
        return embedding

    def sequence(self, signal: Tensor) -> Tensor:
        """Features over time: (N, leads, samples) -> (N, L, 32); L is 10 for 2,500 samples."""
        self.check(signal)
        over_time: Tensor = self.blocks(signal).transpose(1, 2)
        return over_time

    def groups(self) -> list[list[nn.Parameter]]:
        """Four groups: the three blocks, head."""
        return [list(part.parameters()) for part in (*self.blocks, self.head)]


def _block(before: int, after: int, dropout: float) -> nn.Sequential:
    """(N, before, L) -> (N, after, ((L - 7) // 3 + 1) // 2)."""
    return nn.Sequential(
        nn.Conv1d(before, after, _KERNEL, _STRIDE),
        nn.BatchNorm1d(after),
        nn.ReLU(inplace=True),
        nn.MaxPool1d(_POOL),
        Dropout(dropout),
    )


def _steps(samples: int) -> int:
    """Time steps that three blocks leave of an input."""
    for _ in _CHANNELS:
        samples = ((samples - _KERNEL) // _STRIDE + 1) // _POOL
    return samples


def _least() -> int:
    """Shortest input of which three blocks leave one time step."""
    samples = 1
    for _ in _CHANNELS:
        samples = (samples * _POOL - 1) * _STRIDE + _KERNEL
    return samples
