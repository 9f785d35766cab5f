"""The network of contrastive predictive coding in Mehari & Strodthoff (arXiv 2103.12676): "4FC+2LSTM".

Four layers look at one instant each, all leads of it; two recurrent ones sum up what came before. The paper's four
convolutions of kernel 1 are linear maps of every instant, and are computed as such: rows of instants take a third to
half of the time that `nn.Conv1d` takes at 32 channels on a CPU, and the recurrent layers want that order anyway.
"""

from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from bench.nn.encoder import Encoder

_LAYERS, _RECURRENT = 4, 2


class CPCNet(Encoder):
    """Linear - BN - ReLU four times at every instant, then a two-layer LSTM; its mean, maximum and last step.

    A step of `sequence` and of `context` is a sample. With twelve leads and the published width, the default, the
    instants' layers have 796,672 parameters, the LSTM 4,202,496, and `dim` is 1,536. Initial weights are torch's
    own, as in the official code.

    Args:
        leads: channels of the input.
        hidden: width of every layer.
    """

    name: ClassVar[str] = "cpc_net"
    recurrent: ClassVar[bool] = True
    min_samples = 1

    def __init__(self, leads: int, *, hidden: int = 512) -> None:
        super().__init__()
        self.leads, self.dim = leads, 3 * hidden
        widths = (leads, *[hidden] * _LAYERS)
        self.instants = nn.Sequential(*(_layer(before, after) for before, after in pairwise(widths)))
        self.lstm = nn.LSTM(hidden, hidden, _RECURRENT, batch_first=True)

    def forward(self, signal: Tensor) -> Tensor:
        """Embed `signal` (N, leads, T) as (N, 3 hidden): mean, maximum and last step of the context."""
        context = self.context(self.sequence(signal))
        return torch.cat((context.mean(dim=1), context.amax(dim=1), context[:, -1]), dim=1)

    def sequence(self, signal: Tensor) -> Tensor:
        """Features of every instant by itself: (N, leads, T) -> (N, T, hidden)."""
        self.check(signal)
        instants: Tensor = self.instants(signal.transpose(1, 2).flatten(0, 1))
        return instants.unflatten(0, (signal.shape[0], -1))

    def context(self, sequence: Tensor) -> Tensor:
        """(N, L, hidden) of `sequence` -> (N, L, hidden), each step from itself and those before it."""
        context: Tensor = self.lstm(sequence)[0]
        return context

    def groups(self) -> list[list[nn.Parameter]]:
        """Two groups: the instants' layers, the LSTM."""
        return [list(self.instants.parameters()), list(self.lstm.parameters())]


def _layer(before: int, after: int) -> nn.Sequential:
    """(rows, before) -> (rows, after)."""
    return nn.Sequential(nn.Linear(before, after, bias=False), nn.BatchNorm1d(after), nn.ReLU(inplace=True))
