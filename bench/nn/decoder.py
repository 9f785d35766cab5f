"""A convolutional decoder, the mirror of the encoders: what the auto-encoding baselines reconstruct with."""

import torch
from torch import Tensor, nn

_FACTOR, _KERNEL, _COARSEST = 4, 5, 16


class Decoder(nn.Module):
    """From embeddings (N, dim) to signals (N, leads, samples).

    A linear map to at most 16 instants, then stages of transposed convolution, batch norm and ReLU, each of
    four times the instants, until the samples are reached; a last convolution to the leads; a crop of the end.

    Args:
        dim: length of the embedding.
        leads: of the signal.
        samples: of the signal, at least 16.
        width: channels; the last stage, the longest, has half of them.

    Raises:
        ValueError: fewer than 16 samples.
    """

    def __init__(self, dim: int, leads: int, samples: int, width: int = 32) -> None:
        super().__init__()
        if samples < _COARSEST:
            raise ValueError(f"a decoder to {samples} samples: it makes at least {_COARSEST}")
        self.samples, self.width = samples, width
        stages = 1
        while _COARSEST * _FACTOR**stages < samples:
            stages += 1
        self.stem = nn.Linear(dim, width * -(-samples // _FACTOR**stages))
        narrow = max(width // 2, 1)
        self.stages = nn.Sequential(*(_stage(width, width) for _ in range(stages - 1)), _stage(width, narrow))
        self.head = nn.Conv1d(narrow, leads, _KERNEL, padding=_KERNEL // 2)

    def forward(self, embedding: Tensor) -> Tensor:
        """Signals (N, leads, samples) of `embedding` (N, dim)."""
        coarse = torch.relu(self.stem(embedding)).unflatten(1, (self.width, -1))
        signal: Tensor = self.head(self.stages(coarse)[..., : self.samples])
        return signal


def _stage(width: int, out: int) -> nn.Sequential:
    """From (N, width, L) to (N, out, 4 L); every instant made of the two nearest ones."""
    upsample = nn.ConvTranspose1d(width, out, 2 * _FACTOR, _FACTOR, padding=_FACTOR // 2, bias=False)
    return nn.Sequential(upsample, nn.BatchNorm1d(out), nn.ReLU(inplace=True))
