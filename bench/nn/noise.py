"""Physiological noise of four kinds: to train on, drawn afresh, and to test on, the same for every model.

Mehari and Strodthoff, Comput. Biol. Med. 2022 (arXiv 2103.12676), whose published code this follows. Amplitudes are
millivolts on signals that are not scaled. Each row has its own strength C, uniform between 0 and the greatest one
given. With n the sample's number, t = n / rate, a and g drawn anew for each term and lead, phases uniform:

    baseline wander    C sum over k = 0 .. 49 of a_k cos(2 pi 0.01 k t + phase_k), a ~ U(0, 1); the same in all leads
    lead wander        g times that, of k = 1 .. 50, g ~ +-N(1, 1)
    powerline          g C sum over harmonics of a_k cos(2 pi f_k t + phase), g ~ U(-1, 1), a ~ U(0, 1), one phase
    electromyographic  N(0, C^2), white
    baseline shift     g C s(t), g ~ +-N(1, 1); s is 0 but for up to 0.3 stretches a second (rounded, any number
                       alike), each N(3, 0.6) s around some sample at a level U(-1, 1), the last one on top

Paper and code: the code adds mains of 50, 100 and 150 Hz with C squared. At 100 Hz these fall on the Nyquist frequency
or on a constant, at a tenth to a seventieth of the other noises (`as_published`). Here the strength is C, the mains'
frequency at most 0.9 of Nyquist's, and harmonics from Nyquist's on are left out.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Literal, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

_WANDER = tuple(0.01 * k for k in range(50))
_WANDER_BY_LEAD = tuple(0.01 * k for k in range(1, 51))
_MAINS, _HARMONICS = 50.0, 3
"""Frequencies in Hz of baseline wanders and of mains, and how many multiples the latter come with."""


class Strengths(NamedTuple):
    """Greatest strength of each noise."""

    wander: float
    powerline: float
    emg: float
    shift: float


LEVELS: Mapping[int, Strengths] = MappingProxyType(
    {
        1: Strengths(0.05, 0.1, 0.25, 0.5),
        2: Strengths(0.1, 0.2, 0.5, 1.0),
        3: Strengths(0.1, 0.2, 1.0, 2.0),
        4: Strengths(0.2, 0.4, 1.0, 2.0),
        5: Strengths(0.2, 0.4, 1.5, 2.5),
        6: Strengths(0.3, 0.5, 2.0, 3.0),
    }
)
"""The six levels of the paper's test of robustness; the second is what its pre-training adds."""


class _Draw(Protocol):
    """Random numbers for every row, (N, *shape): uniform in [0, 1), or standard normal."""

    def __call__(self, kind: Literal["uniform", "normal"], *shape: int) -> Tensor: ...


def baseline_wander(
    signal: Tensor, generator: torch.Generator, rate: int, strength: float = LEVELS[2].wander
) -> Tensor:
    """Add baseline wander of at most `strength` to signals (N, C, T) of `rate` Hz."""
    return signal + _wander(_together(signal, generator), signal.shape, rate, strength)


def lead_wander(
    signal: Tensor, generator: torch.Generator, rate: int, strength: float = LEVELS[2].wander
) -> Tensor:
    """Add baseline wander to signals (N, C, T) of `rate` Hz: one curve a row, times each lead's own gain.

    Paper and code: so the numpy version of the published code, which calls its torch version, `baseline_wander`.

    Args:
        signal: (N, C, T).
        generator: of strengths, curves and gains.
        rate: Hz.
        strength: at most, before the gain.
    """
    draw = _together(signal, generator)
    curve = _wander(draw, signal.shape, rate, strength, _WANDER_BY_LEAD)
    return torch.addcmul(signal, _lead_gains(draw, signal.shape[1]), curve)


def powerline(
    signal: Tensor,
    generator: torch.Generator,
    rate: int,
    strength: float = LEVELS[2].powerline,
    *,
    as_published: bool = False,
) -> Tensor:
    """Add mains hum of at most `strength` to signals (N, C, T) of `rate` Hz; `as_published`: see the module."""
    return signal + _powerline(_together(signal, generator), signal.shape, rate, strength, as_published)


def emg(signal: Tensor, generator: torch.Generator, strength: float = LEVELS[2].emg) -> Tensor:
    """Add the white noise of muscles, its standard deviation at most `strength`, to signals (N, C, T)."""
    return signal + _emg(_together(signal, generator), signal.shape, strength)


def baseline_shift(
    signal: Tensor, generator: torch.Generator, rate: int, strength: float = LEVELS[2].shift
) -> Tensor:
    """Add shifts of the baseline of at most `strength` to signals (N, C, T) of `rate` Hz."""
    return signal + _shift(_together(signal, generator), signal.shape, rate, strength)


def physiological(
    signal: Tensor, generator: torch.Generator, rate: int, level: int = 2, *, as_published: bool = False
) -> Tensor:
    """Add all four, in the order above, at a level of `LEVELS` to signals (N, C, T) of `rate` Hz."""
    parts = _parts(_together(signal, generator), signal.shape, rate, LEVELS[level], as_published)
    return sum(parts, start=signal)


def physiological_noise(
    shape: tuple[int, int, int], level: int, seeds: Sequence[int], rate: int, *, as_published: bool = True
) -> Tensor:
    """The sum of all four, to be added to windows that a model is tested on.

    A row hangs on its seed, the level and the length and leads of a window alone, not on the rows beside it, the
    device or the build of torch. From one seed all levels draw the same numbers, times their strengths. The
    published code has no seeds and draws every level by itself: for that, give each level seeds of its own.

    Args:
        shape: (U, C, T) of the windows.
        level: 1 to 6, a key of `LEVELS`.
        seeds: one a window, at least 0.
        rate: Hz.
        as_published: mains as the published numbers have them; see the module.

    Returns:
        (U, C, T) float32 millivolts, on the CPU.

    Raises:
        ValueError: no such level, or not one seed a window.
    """
    if level not in LEVELS:
        raise ValueError(f"noise level {level}: there are {min(LEVELS)} to {max(LEVELS)}")
    if len(seeds) != shape[0]:
        raise ValueError(f"{len(seeds)} seeds for {shape[0]} windows: give one a window")
    total = torch.zeros(shape)
    for part in _parts(_apart(seeds), shape, rate, LEVELS[level], as_published) if len(seeds) else ():
        total += part
    return total


def _together(signal: Tensor, generator: torch.Generator) -> _Draw:
    """All rows draw from one generator."""

    def draw(kind: Literal["uniform", "normal"], *shape: int) -> Tensor:
        make = torch.rand if kind == "uniform" else torch.randn
        size = (len(signal), *shape)
        return make(size, generator=generator, device=signal.device, dtype=signal.dtype)

    return draw


def _apart(seeds: Sequence[int]) -> _Draw:
    """Every row draws from a generator of its own, in float64: so rounding does not tell which rows stood beside it.

    NumPy's generators, because torch's on the CPU heed the lower 32 bits of a seed only.
    """
    generators = [np.random.default_rng(int(seed)) for seed in seeds]

    def draw(kind: Literal["uniform", "normal"], *shape: int) -> Tensor:
        rows = np.empty((len(generators), *shape))
        for row, generator in zip(rows, generators, strict=True):
            (generator.random if kind == "uniform" else generator.standard_normal)(out=row)
        return torch.from_numpy(rows)

    return draw


def _parts(
    draw: _Draw, shape: Sequence[int], rate: int, most: Strengths, as_published: bool
) -> Iterator[Tensor]:
    """The four noises, one after the other."""
    yield _wander(draw, shape, rate, most.wander)
    yield _powerline(draw, shape, rate, most.powerline, as_published)
    yield _emg(draw, shape, most.emg)
    yield _shift(draw, shape, rate, most.shift)


def _wander(
    draw: _Draw, shape: Sequence[int], rate: int, most: float, frequencies: tuple[float, ...] = _WANDER
) -> Tensor:
    """(N, 1, T)."""
    strength = most * draw("uniform", 1, 1)
    height, phase = draw("uniform", len(frequencies)), draw("uniform", len(frequencies))
    return strength * _cosines(height, phase, frequencies, shape[2], rate)


def _lead_gains(draw: _Draw, leads: int) -> Tensor:
    """(N, C, 1) of either sign, N(1, 1) times it."""
    sign = 2 * (draw("uniform", leads, 1) * 2).floor() - 1
    return sign * (1 + draw("normal", leads, 1))


def _powerline(draw: _Draw, shape: Sequence[int], rate: int, most: float, as_published: bool) -> Tensor:
    """(N, C, T)."""
    strength = most * draw("uniform", 1, 1)
    gain = 2 * draw("uniform", shape[1], 1) - 1
    height, phase = draw("uniform", _HARMONICS), draw("uniform", 1)
    if as_published:
        strength, base, top = strength**2, _MAINS, math.inf
    else:
        base, top = min(_MAINS, 0.45 * rate), rate / 2
    frequencies = tuple(k * base for k in range(1, _HARMONICS + 1) if k * base < top)
    hum = _cosines(height[:, : len(frequencies)], phase, frequencies, shape[2], rate)
    return gain * (strength * hum)


def _emg(draw: _Draw, shape: Sequence[int], most: float) -> Tensor:
    """(N, C, T)."""
    strength = most * draw("uniform", 1, 1)
    return draw("normal", *shape[1:]).mul_(strength)


def _shift(draw: _Draw, shape: Sequence[int], rate: int, most: float) -> Tensor:
    """(N, C, T)."""
    _, leads, samples = shape
    stretches = int(0.3 * samples / rate + 0.5)
    strength = most * draw("uniform", 1, 1)
    gain = _lead_gains(draw, leads)
    number = (draw("uniform", 1, 1) * (stretches + 1)).floor()
    time = torch.arange(samples, device=gain.device, dtype=gain.dtype)
    curve = gain.new_zeros((len(gain), 1, samples))
    for stretch in range(stretches):
        middle = (draw("uniform", 1, 1) * samples).floor()
        half = 0.5 * rate * (3 + 0.6 * draw("normal", 1, 1))
        begin = (middle - half).floor().where(stretch < number, math.inf)
        inside = (time >= begin) & (time <= (middle + half).floor())
        curve = torch.where(inside, 2 * draw("uniform", 1, 1) - 1, curve)
    return gain * (strength * curve)


def _cosines(
    height: Tensor, phase: Tensor, frequencies: tuple[float, ...], samples: int, rate: int
) -> Tensor:
    """Sum over k of height_k cos(2 pi f_k n / rate + 2 pi phase_k), (N, 1, T), as one matrix product.

    Args:
        height: (N, K).
        phase: (N, K or 1), in turns.
        frequencies: K of them, Hz.
        samples: T.
        rate: Hz.
    """
    angle = 2 * math.pi * phase
    weights = torch.cat((height * angle.cos(), -height * angle.sin()), dim=1)
    return (weights @ _waves(frequencies, samples, rate, height.device, height.dtype)).unsqueeze(1)


@lru_cache(maxsize=32)
def _waves(
    frequencies: tuple[float, ...], samples: int, rate: int, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """A cosine of each frequency, then a sine of each, (2 K, T)."""
    turns = np.outer(frequencies, np.arange(samples)) / rate
    return torch.as_tensor(
        np.concatenate((np.cos(2 * np.pi * turns), np.sin(2 * np.pi * turns))), device=device, dtype=dtype
    )
