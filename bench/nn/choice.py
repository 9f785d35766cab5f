"""Which transformations a row is under, drawn for it alone; and rows whose end is padding, which stays as it was.

RandAugment (Cubuk et al., CVPR Workshops 2020, arXiv 1909.13719) without a schedule of magnitudes: every transformation
has one strength. Each transformation runs on its own rows only, all of them at once. On a GPU a call waits for the
device once, to learn how many rows each transformation got in each round.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.nn.augment import Transform


@dataclass(frozen=True)
class Windowed:
    """A transformation that heeds where a row's padding begins; otherwise called as any other.

    Attributes:
        change: f(signal (N, C, T), generator, valid (N,) int64 or None) -> (N, C, T). What it leaves beyond `valid`
            does not matter.
    """

    change: Callable[[Tensor, torch.Generator, Tensor | None], Tensor]

    def __call__(self, signal: Tensor, generator: torch.Generator, valid: Tensor | None = None) -> Tensor:
        """The signal (N, C, T), transformed; `valid` as of `on_record`."""
        return self.change(signal, generator, valid)


def filled(signal: Tensor, valid: Tensor) -> Tensor:
    """(N, 1, T) bool: the samples of `signal` (N, C, T) that are not padding, the first `valid` (N,) of each row."""
    return (torch.arange(signal.shape[2], device=signal.device) < valid[:, None])[:, None]


def within(valid: Tensor | None, before: Tensor, after: Tensor) -> Tensor:
    """`after` where the record is, `before` in the padding behind it.

    Args:
        valid: (N,) int64, samples that the record fills from the first on; None: all, and `after` is returned.
        before, after: (N, C, T).
    """
    return after if valid is None else torch.where(filled(before, valid), after, before)


def on_record(
    transform: Transform, signal: Tensor, generator: torch.Generator, valid: Tensor | None
) -> Tensor:
    """Transform what the record fills of each row; the padding stays as it was.

    Args:
        transform: any; one that is `Windowed` is told of `valid`.
        signal: (N, C, T).
        generator: on the signal's device.
        valid: (N,) int64, samples that the record fills; None: all.
    """
    if valid is None:
        return transform(signal, generator)
    if isinstance(transform, Windowed):
        return within(valid, signal, transform(signal, generator, valid))
    return within(valid, signal, transform(signal, generator))


def several_of(
    signal: Tensor,
    transforms: Sequence[Transform],
    generator: torch.Generator,
    most: int = 2,
    valid: Tensor | None = None,
) -> Tensor:
    """Transform every row by one to `most` of `transforms`, one after the other, as RandAugment chooses them.

    How many is uniform in 1 .. `most`, and each is any of `transforms`, all alike, whatever the others are: one may
    come twice. With `most` 1 this is `augment.one_of`, draw by draw.

    Args:
        signal: (N, C, T).
        transforms: at least one.
        generator: on the signal's device.
        most: at least 1.
        valid: (N,) int64, samples that the record fills; None: all.

    Raises:
        ValueError: nothing to choose from, or `most` below 1.
    """
    if most < 1 or not transforms:
        raise ValueError(f"1 to {most} of {len(transforms)} transformations: there must be one at least")
    choice = _rounds(signal, len(transforms), most, generator)
    kinds = torch.arange(len(transforms) + 1, device=signal.device)
    counts = (choice[..., None] == kinds).sum(dim=1).tolist()
    source, changed = signal, torch.empty_like(signal)
    for order, sizes in zip(choice.argsort(dim=1, stable=True), counts, strict=True):
        *rows_of, _ = order.split_with_sizes(sizes)
        for transform, rows in zip(transforms, rows_of, strict=True):
            if len(rows):
                changed.index_copy_(0, rows, _on_rows(transform, source, rows, generator, valid))
        source = changed
    return changed


def each_with(
    signal: Tensor,
    transforms: Sequence[Transform],
    probability: float,
    generator: torch.Generator,
    valid: Tensor | None = None,
) -> Tensor:
    """Transform every row by each of `transforms` with `probability`, independently, in their order.

    Args:
        signal: (N, C, T).
        transforms: any number; where a row draws none of them it stays as it was.
        probability: of each for each row, 0 to 1.
        generator: on the signal's device.
        valid: (N,) int64, samples that the record fills; None: all.

    Raises:
        ValueError: no probability.
    """
    if not 0 <= probability <= 1:
        raise ValueError(f"probability {probability}: must be 0 to 1")
    size = (len(transforms), len(signal))
    spared = torch.rand(size, generator=generator, device=signal.device) >= probability
    counts = (~spared).sum(dim=1).tolist()
    changed = signal.clone()
    drawn_first = spared.int().argsort(dim=1, stable=True)
    for transform, order, count in zip(transforms, drawn_first, counts, strict=True):
        if count:
            rows = order[:count]
            changed.index_copy_(0, rows, _on_rows(transform, changed, rows, generator, valid))
    return changed


def _rounds(signal: Tensor, kinds: int, most: int, generator: torch.Generator) -> Tensor:
    """(most, N) int64: what each row is under in each round; `kinds`, which is none, once it has had its number."""
    size = (most, len(signal))
    choice = torch.randint(kinds, size, generator=generator, device=signal.device)
    if most == 1:
        return choice
    number = torch.randint(1, most + 1, size[1:], generator=generator, device=signal.device)
    turn = torch.arange(most, device=signal.device)[:, None]
    return choice.where(turn < number, kinds)


def _on_rows(
    transform: Transform, signal: Tensor, rows: Tensor, generator: torch.Generator, valid: Tensor | None
) -> Tensor:
    """`on_record` of some rows (M,) of the batch, (M, C, T)."""
    part = signal.index_select(0, rows)  # on a CPU a fifth of the time of signal[rows]
    return on_record(transform, part, generator, None if valid is None else valid[rows])
