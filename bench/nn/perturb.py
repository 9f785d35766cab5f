"""Perturbations under which a cluster should stay the same: the views of the deep-clustering baselines.

Called as the transformations of `augment`, f(signal, generator) with (N, C, T) millivolts and a generator on
their device; every draw is one a record unless said otherwise. CROCS calls them "perturbed" and defines none:
`gaussian` is what its first author's CLOCS code adds, `strong` is our choice.
"""

import math
from typing import Literal

import torch
from torch import Tensor

from bench.nn.augment import jitter


def gaussian(signal: Tensor, generator: torch.Generator, sd: float = 0.01) -> Tensor:
    """Add white noise of `sd` millivolts: with 0.01, the 10 microvolts of the CLOCS code on Chapman."""
    return jitter(signal, generator, sd, absolute=True)


def perturb(
    signal: Tensor, generator: torch.Generator, how: Literal["strong", "gaussian"], rate: int
) -> Tensor:
    """One of the two families by its name in a recipe; `rate` in Hz."""
    return strong(signal, generator, rate) if how == "strong" else gaussian(signal, generator)


def strong(signal: Tensor, generator: torch.Generator, rate: int) -> Tensor:
    """All perturbations below with their defaults, what zeroes last; `rate` in Hz."""
    signal = circular_shift(amplitude(signal, generator), generator, rate)
    signal = noise(baseline_wander(signal, generator, rate), generator)
    return time_mask(lead_dropout(signal, generator), generator, rate)


def noise(signal: Tensor, generator: torch.Generator, low: float = 0.01, high: float = 0.05) -> Tensor:
    """Add white noise whose standard deviation, in millivolts, is uniform in [low, high]."""
    white = torch.randn(signal.shape, generator=generator, device=signal.device, dtype=signal.dtype)
    return white.mul_(_uniform(signal, generator, low, high)).add_(signal)


def amplitude(signal: Tensor, generator: torch.Generator, low: float = 0.8, high: float = 1.2) -> Tensor:
    """Multiply all leads by one gain, uniform in [low, high]."""
    return signal * _uniform(signal, generator, low, high)


def circular_shift(signal: Tensor, generator: torch.Generator, rate: int, seconds: float = 0.5) -> Tensor:
    """Roll all leads in time by up to `seconds` either way; what leaves at one end enters at the other."""
    most = round(seconds * rate)
    shift = torch.randint(-most, most + 1, (len(signal), 1, 1), generator=generator, device=signal.device)
    time = torch.arange(signal.shape[2], device=signal.device)
    return signal.gather(2, ((time - shift) % signal.shape[2]).expand_as(signal))


def lead_dropout(signal: Tensor, generator: torch.Generator, probability: float = 0.1) -> Tensor:
    """Set every lead to zero with `probability`; a record that would lose all of them keeps all.

    A record of one lead therefore never changes.
    """
    draw = torch.rand(signal.shape[:2], generator=generator, device=signal.device)
    lost = draw < probability
    lost = lost & ~lost.all(dim=1, keepdim=True)
    return signal.masked_fill(lost.unsqueeze(2), 0)


def time_mask(signal: Tensor, generator: torch.Generator, rate: int, seconds: float = 0.25) -> Tensor:
    """Set one stretch of all leads to zero, its length uniform up to `seconds`, wherever it fits."""
    samples = signal.shape[2]
    most = min(round(seconds * rate), samples)
    length = (_uniform(signal, generator, 0, 1) * (most + 1)).floor()
    start = (_uniform(signal, generator, 0, 1) * (samples - length + 1)).floor()
    time = torch.arange(samples, device=signal.device)
    return signal.masked_fill((time >= start) & (time < start + length), 0)


def baseline_wander(
    signal: Tensor,
    generator: torch.Generator,
    rate: int,
    most: float = 0.1,
    low: float = 0.05,
    high: float = 0.5,
) -> Tensor:
    """Add one sine to all leads: frequency uniform in [low, high] Hz, amplitude in [0, most] mV, any phase."""
    frequency = _uniform(signal, generator, low, high)
    height = _uniform(signal, generator, 0, most)
    phase = _uniform(signal, generator, 0, 2 * math.pi)
    time = torch.arange(signal.shape[2], device=signal.device, dtype=signal.dtype) / rate
    return signal + height * torch.sin(2 * math.pi * frequency * time + phase)


def _uniform(signal: Tensor, generator: torch.Generator, low: float, high: float) -> Tensor:
    """One draw a record, (N, 1, 1), from [low, high)."""
    draw = torch.rand((len(signal), 1, 1), generator=generator, device=signal.device, dtype=signal.dtype)
    return draw * (high - low) + low
