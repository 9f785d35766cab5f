"""Random transformations of a batch of ECGs: on its device, each row with its own draw, no loop over rows.

A transformation is called as f(signal, generator), with (N, C, T) millivolts and a `torch.Generator` on their
device, and returns a new tensor of that shape; parameters are bound with `functools.partial`.
The defaults are our reading of the Good Views recipe without its defects; docstrings say where they differ.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor

Transform = Callable[[Tensor, torch.Generator], Tensor]

_LEAST = 0.1
"""Floor of a time warp's multipliers, so that no record ends at or before its start."""


def jitter(signal: Tensor, generator: torch.Generator, sd: float = 0.03, *, absolute: bool = False) -> Tensor:
    """Add white Gaussian noise to every sample.

    Paper and code: the official code adds sd 0.03 to amplitudes in microvolts, which is nothing (here
    `sd=3e-5, absolute=True`). Ours is a share of the record's own spread.

    Args:
        signal: (N, C, T).
        generator: source of the noise.
        sd: of the noise, as a share of the record's standard deviation over all its leads and samples.
        absolute: `sd` is in millivolts instead.
    """
    noise = torch.randn(signal.shape, generator=generator, device=signal.device, dtype=signal.dtype)
    return noise.mul_(sd if absolute else sd * _spread(signal)).add_(signal)


def scaling(signal: Tensor, generator: torch.Generator, sd: float = 0.1) -> Tensor:
    """Multiply every lead of every record by its own gain, drawn from N(1, sd squared)."""
    return signal * _gains(signal, signal.shape[:2], generator, sd).unsqueeze(2)


def flipping(signal: Tensor, generator: torch.Generator) -> Tensor:
    """Turn a record upside down, all leads together, with probability one half."""
    return signal * _signs(signal, signal.shape[:1], generator).view(-1, 1, 1)


def rotation(signal: Tensor, generator: torch.Generator, *, permute: bool = False) -> Tensor:
    """Turn every lead upside down with probability one half, each by itself.

    Paper and code: the paper names "rotating" and does not define it; the official code also permutes the
    leads at random, which leaves no lead its identity. Ours does so only with `permute`, drawn for every
    record.
    """
    if permute:
        order = torch.rand(signal.shape[:2], generator=generator, device=signal.device).argsort(dim=1)
        signal = signal[torch.arange(len(signal), device=signal.device).unsqueeze(1), order]
    return signal * _signs(signal, signal.shape[:2], generator).unsqueeze(2)


def time_warp(
    signal: Tensor,
    generator: torch.Generator,
    sd: float = 0.2,
    knots: int = 6,
    *,
    multiply: Literal["speed", "position"] = "speed",
    per_lead: bool = False,
) -> Tensor:
    """Read the record along a smoothly distorted time, by linear interpolation.

    Multipliers from N(1, sd squared), no less than 0.1, stand at even instants, the first and last sample
    among them, and are joined by a cubic spline (not-a-knot). They multiply the local speed of time, whose
    integral is rescaled to end at the last sample. All leads share one curve.

    Paper and code: the official code multiplies the position of each knot, for every lead by itself. At its
    sd of 0.2, 73 % of such curves stand still or run backwards somewhere, for 17 % of the time on average,
    and the leads lose their synchrony. `multiply="position", per_lead=True` does that, except that it reads
    the record at the curve, where the code looks up the inverse, which such a curve does not have.

    Args:
        signal: (N, C, T), T at least 2.
        generator: source of the multipliers.
        sd: of the multipliers.
        knots: number of multipliers, at least 4.
        multiply: what they multiply.
        per_lead: a curve for every lead.
    """
    samples = signal.shape[2]
    basis = _basis(samples, knots, multiply, signal.device, signal.dtype)
    multipliers = _gains(signal, _curves(signal, knots, per_lead), generator, sd).clamp(min=_LEAST)
    # The curve is computed as its distance from undistorted time, so that no distortion is exactly none.
    shift = (multipliers - 1) @ basis
    time = torch.arange(samples, device=signal.device, dtype=signal.dtype)
    scale = (samples - 1) / (samples - 1 + shift[..., -1:])
    return _read(signal, shift.add_(time).mul_(scale))


def size_warp(
    signal: Tensor, generator: torch.Generator, sd: float = 0.2, knots: int = 6, *, per_lead: bool = False
) -> Tensor:
    """Multiply the record by a cubic spline through gains from N(1, sd squared) at even instants.

    Paper and code: the paper lists "time/size-warping", the code has no size warping. This is the magnitude
    warping of Um et al. 2017 (arXiv 1706.00527), one curve for all leads unless `per_lead`.
    """
    basis = _basis(signal.shape[2], knots, "value", signal.device, signal.dtype)
    return signal * (1 + (_gains(signal, _curves(signal, knots, per_lead), generator, sd) - 1) @ basis)


TRANSFORMS: dict[str, Transform] = {
    "jitter": jitter,
    "scaling": scaling,
    "flipping": flipping,
    "rotation": rotation,
    "time_warp": time_warp,
    "size_warp": size_warp,
}
"""Every transformation by its name in a recipe."""


def one_of(signal: Tensor, transforms: Sequence[Transform], generator: torch.Generator) -> Tensor:
    """Transform every row by one of `transforms`, drawn for it alone; each runs on its own rows only.

    On a GPU this waits for the device once, to learn how many rows each transformation got.
    """
    choice = torch.randint(len(transforms), (len(signal),), generator=generator, device=signal.device)
    counts = torch.bincount(choice, minlength=len(transforms)).tolist()
    rows_of = choice.argsort(stable=True).split_with_sizes(counts)
    changed = torch.empty_like(signal)
    for transform, rows in zip(transforms, rows_of, strict=True):
        if len(rows):
            changed[rows] = transform(signal[rows], generator)
    return changed


def compose(signal: Tensor, transforms: Sequence[Transform], generator: torch.Generator) -> Tensor:
    """Transform the batch by all of `transforms`, in their order."""
    for transform in transforms:
        signal = transform(signal, generator)
    return signal


def random_crop(signal: Tensor, length: int, generator: torch.Generator) -> Tensor:
    """Cut `length` samples out of every record, all leads at one start drawn from all possible ones.

    Returns:
        (N, C, length).

    Raises:
        ValueError: the records are shorter than `length`.
    """
    spare = signal.shape[2] - length
    if spare < 0:
        raise ValueError(f"a crop of {length} samples from records of {signal.shape[2]}: take a shorter crop")
    start = torch.randint(spare + 1, (len(signal),), generator=generator, device=signal.device)
    return signal.unfold(2, length, 1)[torch.arange(len(signal), device=signal.device), :, start]


def halves(signal: Tensor) -> tuple[Tensor, Tensor]:
    """First and last T // 2 samples of every record, (N, C, T // 2); neither holds an odd middle one."""
    half = signal.shape[2] // 2
    return signal[..., :half], signal[..., signal.shape[2] - half :]


def interpolate(signal: Tensor, left: Tensor, right: Tensor, share: Tensor) -> Tensor:
    """Points on the lines between samples of `signal` (N, C, T).

    Args:
        signal: (N, C, T).
        left, right: (N, C or 1, T') int64, samples at the ends of the lines.
        share: (N, C or 1, T') how far along: 0 at the left, 1 at the right sample.

    Returns:
        (N, C, T').
    """
    shape = (*signal.shape[:2], left.shape[2])
    before, after = signal.gather(2, left.expand(shape)), signal.gather(2, right.expand(shape))
    return before.lerp_(after, share)


def _spread(signal: Tensor) -> Tensor:
    """Standard deviation of every record, (N, 1, 1); on a CPU ten times as fast as `Tensor.std`."""
    deviation = signal - signal.mean(dim=(1, 2), keepdim=True)
    return deviation.square_().mean(dim=(1, 2), keepdim=True).sqrt_()


def _gains(like: Tensor, shape: Sequence[int], generator: torch.Generator, sd: float) -> Tensor:
    """Draws from N(1, sd squared)."""
    return torch.randn(shape, generator=generator, device=like.device, dtype=like.dtype) * sd + 1


def _signs(like: Tensor, shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Draws of -1 or 1."""
    return torch.randint(2, shape, generator=generator, device=like.device).to(like.dtype) * 2 - 1


def _curves(signal: Tensor, knots: int, per_lead: bool) -> tuple[int, int, int]:
    """Shape of the multipliers; the axis of leads has length 1 where they share one curve."""
    return (len(signal), signal.shape[1] if per_lead else 1, knots)


def _read(signal: Tensor, position: Tensor) -> Tensor:
    """Interpolate `signal` (N, C, T) linearly at `position` (N, C or 1, T), clamped to the record."""
    last = signal.shape[2] - 1
    position = position.clamp(0, last)
    left = position.floor().clamp_(max=last - 1)
    index = left.long()
    return interpolate(signal, index, index + 1, position.sub_(left))


@lru_cache(maxsize=64)
def _basis(
    samples: int,
    knots: int,
    multiply: Literal["value", "speed", "position"],
    device: torch.device,
    dtype: torch.dtype,
) -> Tensor:
    """What a unit of each multiplier adds to a curve at each sample, (knots, samples).

    A cubic spline is linear in the values at its knots, so all curves of a batch are one matrix product.
    """
    if knots < 4:
        raise ValueError(f"{knots} knots: a not-a-knot cubic spline needs at least 4")
    instants = np.linspace(0, samples - 1, knots)
    spline = CubicSpline(instants, np.diag(instants) if multiply == "position" else np.eye(knots))
    curve = spline.antiderivative() if multiply == "speed" else spline
    return torch.as_tensor(np.ascontiguousarray(curve(np.arange(samples)).T), device=device, dtype=dtype)
