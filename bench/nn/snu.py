"""Transformations of the Challenge entry of Seoul National University, where those of other modules do not serve.

Suh et al., "Learning ECG Representations for Multi-Label Classification of Cardiac Abnormalities", Computing in
Cardiology 2021, section 2.5: jittering, scaling, Gaussian blur, cutout, baseline shift, baseline wander and powerline
noise; `transforms.SNU` lists all seven. Called as those of `augment`; `strong_jitter` and `cutout` also heed
padding (`choice.Windowed`).

Paper and code: the paper states no strength, and its code is not public. Jittering, scaling and cutout are as in the
code of SelfTime (Fan et al. 2020, arXiv 2011.13548), which it cites, when that pre-trains; the noises and the blur as
in that of Mehari and Strodthoff (arXiv 2103.12676). The floor of the gains is ours. Of mains and shifts the entry has
what `noise` has anyway: at 300 Hz two harmonics below Nyquist's frequency, and 4,000 samples with up to four shifts.
"""

import torch
from torch import Tensor

from bench.nn.augment import jitter
from bench.nn.choice import filled


def strong_jitter(
    signal: Tensor, generator: torch.Generator, valid: Tensor | None = None, sd: float = 0.2
) -> Tensor:
    """Add white Gaussian noise to every sample, much of it: `sd` of the signal once it is standardised.

    Args:
        signal: (N, C, T).
        generator: source of the noise.
        valid: (N,) int64, samples that the record fills; None: all.
        sd: of the noise, as a share of the standard deviation of what the record fills, over all its leads together.
    """
    if valid is None:
        return jitter(signal, generator, sd)
    noise = torch.randn(signal.shape, generator=generator, device=signal.device, dtype=signal.dtype)
    return noise.mul_(sd * _spread(signal, valid)).add_(signal)


def clamped_scaling(
    signal: Tensor, generator: torch.Generator, sd: float = 0.4, least: float = 0.1
) -> Tensor:
    """Multiply every lead of every record by its own gain from N(1, sd squared), which is no less than `least`."""
    draw = torch.randn(signal.shape[:2], generator=generator, device=signal.device, dtype=signal.dtype)
    return signal * draw.mul_(sd).add_(1).clamp_(min=least).unsqueeze(2)


def cutout(
    signal: Tensor, generator: torch.Generator, valid: Tensor | None = None, share: float = 0.1
) -> Tensor:
    """Set int(share T) samples in a row to zero in all leads, wherever they fit.

    `transforms.time_out` is the same with a share that is drawn too.

    Args:
        signal: (N, C, T).
        generator: of where they begin.
        valid: (N,) int64, samples that the record fills; None: all. The stretch, of one length for all rows, lies
            within them, and covers a record that is no longer than it.
        share: of the whole row's length T.
    """
    number = int(share * signal.shape[2])
    ends = torch.full_like(signal[:, 0, 0], signal.shape[2]) if valid is None else valid.to(signal.dtype)
    draw = torch.rand(len(signal), generator=generator, device=signal.device, dtype=signal.dtype)
    start = (draw * (ends - number + 1).clamp_(min=1)).long().view(-1, 1, 1)
    time = torch.arange(signal.shape[2], device=signal.device)
    return torch.where((time >= start) & (time < start + number), 0, signal)


def _spread(signal: Tensor, valid: Tensor) -> Tensor:
    """Standard deviation of what each record fills, over leads and samples together, (N, 1, 1)."""
    inside = filled(signal, valid).to(signal.dtype)
    number = inside.sum(dim=2, keepdim=True).clamp_(min=1) * signal.shape[1]
    mean = (signal * inside).sum(dim=(1, 2), keepdim=True) / number
    deviation = (signal - mean).mul_(inside)
    return (deviation.square_().sum(dim=(1, 2), keepdim=True) / number).sqrt_()
