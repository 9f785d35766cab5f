"""Transformations of "Self-supervised representation learning from 12-lead ECG data", and every one by its name.

Mehari and Strodthoff, Comput. Biol. Med. 2022 (arXiv 2103.12676). Called as those of `augment`, f(signal, generator),
with (N, C, T) millivolts and a `torch.Generator` on their device; each returns a new tensor of that shape and draws
for every row by itself, once for all its leads unless said otherwise. Strengths are those of the paper's published
command line. The physiological noises among them are in `noise`.

Paper and code: the code never draws the last place at which a crop, a blank or a warp would fit; here all places are
drawn alike. Two of its transformations write into the signal they are given; none does here.
"""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import Literal

import torch
from torch import Tensor

from bench.nn import noise, snu
from bench.nn.augment import TRANSFORMS, Transform, interpolate, jitter
from bench.nn.choice import Windowed, on_record, several_of

Name = Literal[
    "jitter",
    "scaling",
    "flipping",
    "rotation",
    "time_warp",
    "size_warp",
    "gaussian_noise",
    "gaussian_blur",
    "channel_resize",
    "random_resized_crop",
    "time_out",
    "dynamic_time_warp",
    "downsample",
    "negation",
    "random_walk_warp",
    "baseline_wander",
    "powerline",
    "emg",
    "baseline_shift",
    "physiological",
    "strong_jitter",
    "clamped_scaling",
    "cutout",
    "lead_wander",
]
"""Every name that `by_name` knows: six of `augment`, nine of this module, six of `noise`, three of `snu`."""


def by_name(rate: int) -> dict[str, Transform]:
    """Every transformation with its default strength, for signals of `rate` Hz."""
    return {
        **TRANSFORMS,
        "gaussian_noise": gaussian_noise,
        "gaussian_blur": gaussian_blur,
        "channel_resize": channel_resize,
        "random_resized_crop": random_resized_crop,
        "time_out": time_out,
        "dynamic_time_warp": dynamic_time_warp,
        "downsample": downsample,
        "negation": negation,
        "random_walk_warp": random_walk_warp,
        "baseline_wander": partial(noise.baseline_wander, rate=rate),
        "powerline": partial(noise.powerline, rate=rate),
        "emg": noise.emg,
        "baseline_shift": partial(noise.baseline_shift, rate=rate),
        "physiological": partial(noise.physiological, rate=rate),
        "strong_jitter": Windowed(snu.strong_jitter),
        "clamped_scaling": snu.clamped_scaling,
        "cutout": Windowed(snu.cutout),
        "lead_wander": partial(noise.lead_wander, rate=rate),
    }


GOOD_VIEWS: tuple[Name, ...] = ("jitter", "scaling", "flipping", "rotation", "time_warp", "size_warp")
"""Those that Good Views draws a view of SimCLR from."""

SNU: tuple[Name, ...] = (
    "strong_jitter",
    "clamped_scaling",
    "gaussian_blur",
    "cutout",
    "baseline_shift",
    "lead_wander",
    "powerline",
)
"""Those of the Challenge entry of Suh et al. (CinC 2021), in the order of its section 2.5; see `snu`."""


def changed(
    signal: Tensor,
    generator: torch.Generator,
    chain: Sequence[Name],
    transforms: Sequence[Name],
    known: Mapping[str, Transform],
    most: int = 1,
    valid: Tensor | None = None,
) -> Tensor:
    """One view of each row: under all of `chain` in turn or, where it names none, under some of `transforms`.

    Args:
        signal: (N, C, T) millivolts.
        known: as of `by_name`.
        most: of `transforms`, 1 to so many of which are drawn for each row as `choice.several_of` does.
        valid: (N,) int64, samples that the record fills; the padding behind them stays as it was. None: all.
    """
    if not chain:
        return several_of(signal, [known[name] for name in transforms], generator, most, valid)
    for name in chain:
        signal = on_record(known[name], signal, generator, valid)
    return signal


def gaussian_noise(signal: Tensor, generator: torch.Generator, sd: float = 0.005) -> Tensor:
    """Add white noise of `sd` millivolts."""
    return jitter(signal, generator, sd, absolute=True)


def gaussian_blur(signal: Tensor, generator: torch.Generator) -> Tensor:
    """Average every sample with its two neighbours on each side, weights 0.1 0.2 0.4 0.2 0.1, zeros beyond the ends.

    Nothing is drawn.
    """
    blurred = signal * 0.4
    for distance, weight in ((1, 0.2), (2, 0.1)):
        blurred[..., distance:].add_(signal[..., :-distance], alpha=weight)
        blurred[..., :-distance].add_(signal[..., distance:], alpha=weight)
    return blurred


def channel_resize(signal: Tensor, generator: torch.Generator, low: float = 0.5, high: float = 2.0) -> Tensor:
    """Multiply every lead by its own gain, whose logarithm is uniform between those of `low` and `high`."""
    draw = _rand(signal, generator, signal.shape[1], 1)
    return signal * (draw * math.log(high / low) + math.log(low)).exp()


def negation(signal: Tensor, generator: torch.Generator) -> Tensor:
    """Turn every record upside down. Nothing is drawn."""
    return -signal


def random_resized_crop(
    signal: Tensor, generator: torch.Generator, low: float = 0.5, high: float = 1.0
) -> Tensor:
    """Cut a piece out and stretch it, unevenly, to the whole length.

    Of T samples n = int(r T) in a row are kept, r uniform in [low, high), wherever they begin. The first becomes
    sample 0, the last sample T - 1, the others go in their order to a random choice of the places between; the
    gaps are filled by linear interpolation.

    Args:
        signal: (N, C, T), T at least 2.
        generator: of share, start and places.
        low, high: range of the share r, in (0, 1]; at least two samples are kept.
    """
    samples = signal.shape[2]
    number = _length(signal, generator, low, high).clamp_(min=2)
    start = _start(signal, generator, number)
    taken = _places(signal, generator, number)
    *_, share = _neighbours(taken, signal.dtype)
    index = taken.cumsum(2).add_(start - 1)
    return interpolate(signal, index, (index + 1).clamp_(max=samples - 1), share)


def downsample(signal: Tensor, generator: torch.Generator, keep: float = 0.2) -> Tensor:
    """Keep a random `keep` of the samples, the first and last among them, and draw straight lines between them.

    Paper and code: the torch code's ratio 0.2 is meant as the share that stays; a slip of precedence lets one
    sample more stay.
    """
    number = signal.new_full((len(signal), 1, 1), int(keep * signal.shape[2]), dtype=torch.long).clamp_(min=2)
    return interpolate(signal, *_neighbours(_places(signal, generator, number), signal.dtype))


def time_out(signal: Tensor, generator: torch.Generator, low: float = 0.2, high: float = 0.4) -> Tensor:
    """Set int(r T) samples in a row to zero in all leads, r uniform in [low, high), wherever they begin."""
    number = _length(signal, generator, low, high)
    start = _start(signal, generator, number)
    time = torch.arange(signal.shape[2], device=signal.device)
    return signal.masked_fill((time >= start) & (time < start + number), 0)


def dynamic_time_warp(
    signal: Tensor, generator: torch.Generator, warps: int = 3, radius: int = 10, step: int = 2
) -> Tensor:
    """Squeeze the signal around a random instant and stretch what is beside it; `warps` times, one after the other.

    The 2 step radius + 1 samples around the instant are thinned by `step` to 2 radius + 1; the `radius` samples on
    either side of them are spread by `step` to fill the room; linear interpolation in between. So nothing moves
    farther than radius (step + 1) from the instant, which is drawn from all that are as far from both ends.

    Args:
        signal: (N, C, T). Where T is below 2 radius (step + 1) + 1, the radius is the largest that fits.
        generator: of the instants.
        warps: how often.
        radius: of what is squeezed, in samples.
        step: by how much.
    """
    samples = signal.shape[2]
    radius = min(radius, (samples - 1) // (2 * (step + 1)))
    reach = radius * (step + 1)
    left, share = _squeeze(radius, step, signal.device, signal.dtype)
    right = (left + 1).clamp_(max=2 * reach)
    around = torch.arange(2 * reach + 1, device=signal.device)
    warped = signal.clone()
    for _ in range(warps):
        room = around.new_full((len(signal), 1, 1), 2 * reach + 1)
        index = (_start(signal, generator, room) + around).expand(-1, signal.shape[1], -1)
        window = warped.gather(2, index)
        warped.scatter_(2, index, window.index_select(2, left).lerp_(window.index_select(2, right), share))
    return warped


def random_walk_warp(signal: Tensor, generator: torch.Generator, epsilon: float = 10.0) -> Tensor:
    """Move the samples along a random monotone curve of time, which begins and ends where the record does.

    The distances of neighbouring samples are a random walk of T standard normal steps, lifted so that its least
    value is `epsilon`, and scaled to fill the record; linear interpolation at the old times. `time_warp` of Good
    Views is another one.
    """
    samples = signal.shape[2]
    shape = (len(signal), 1, samples)
    walk = torch.randn(shape, generator=generator, device=signal.device, dtype=signal.dtype).cumsum(2)
    curve = (walk - walk.amin(2, keepdim=True) + epsilon).cumsum(2)
    curve = curve - curve[..., :1]
    curve = curve / curve[..., -1:] * (samples - 1)
    time = torch.arange(samples, device=signal.device, dtype=signal.dtype).expand(shape).contiguous()
    left = (torch.searchsorted(curve, time, right=True) - 1).clamp_(0, samples - 2)
    begin, end = curve.gather(2, left), curve.gather(2, left + 1)
    return interpolate(signal, left, left + 1, (time - begin) / (end - begin))


def _rand(signal: Tensor, generator: torch.Generator, *shape: int) -> Tensor:
    """(N, *shape) uniform in [0, 1)."""
    size = (len(signal), *shape)
    return torch.rand(size, generator=generator, device=signal.device, dtype=signal.dtype)


def _length(signal: Tensor, generator: torch.Generator, low: float, high: float) -> Tensor:
    """(N, 1, 1) int64: a uniform share of the record, in whole samples."""
    draw = _rand(signal, generator, 1, 1)
    return (draw.mul_(high - low).add_(low) * signal.shape[2]).long()


def _start(signal: Tensor, generator: torch.Generator, number: Tensor) -> Tensor:
    """(N, 1, 1) int64: where `number` (N, 1, 1) samples in a row begin, all places being alike."""
    return (_rand(signal, generator, 1, 1) * (signal.shape[2] - number + 1)).long()


def _places(signal: Tensor, generator: torch.Generator, number: Tensor) -> Tensor:
    """(N, 1, T) bool: first, last and a random choice of the others, `number` (N, 1, 1) in all, at least 2."""
    inner = signal.shape[2] - 2
    keys = torch.randint(
        2**31 - 1, (len(signal), 1, inner), generator=generator, device=signal.device, dtype=torch.int32
    )  # on a CPU sorted in two thirds of the time of floats
    chosen = torch.arange(inner, device=signal.device) < number - 2
    places = torch.ones((len(signal), 1, inner + 2), dtype=torch.bool, device=signal.device)
    places[..., 1:-1].scatter_(2, keys.argsort(dim=2), chosen)
    return places


def _neighbours(places: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """For every sample the marked ones of `places` (N, 1, T) before and after it, itself if marked, and its share."""
    samples = places.shape[2]
    time = torch.arange(samples, device=places.device).expand(places.shape)
    left = time.where(places, 0).cummax(2).values
    right = time.where(places, samples - 1).flip(2).cummin(2).values.flip(2)
    return left, right, (time - left).to(dtype) / (right - left).clamp(min=1)


@lru_cache(maxsize=16)
def _squeeze(radius: int, step: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Where a dynamic time warp reads, from the first sample it moves: whole samples, and the share beyond them."""
    reach = radius * (step + 1)
    offset = torch.arange(-reach, reach + 1, device=device)
    outer = (reach - (reach - offset.abs()).double() / step) * offset.sign()
    position = torch.where(offset.abs() <= radius, step * offset, outer) + reach
    left = position.floor()
    return left.long(), (position - left).to(dtype)
