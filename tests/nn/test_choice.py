import math
from collections import Counter

import pytest
import torch
from torch import Tensor

from bench.nn.augment import TRANSFORMS, Transform, compose, one_of
from bench.nn.choice import Windowed, each_with, filled, on_record, several_of, within

VIEWS = list(TRANSFORMS.values())


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ecgs(n: int = 6, leads: int = 3, samples: int = 50) -> Tensor:
    return torch.randn(n, leads, samples, generator=seeded(7), dtype=torch.float64)


def silence(n: int) -> Tensor:
    return torch.zeros(n, 1, 1, dtype=torch.float64)


def plus(signal: Tensor, generator: torch.Generator) -> Tensor:
    return signal + 1


def double(signal: Tensor, generator: torch.Generator) -> Tensor:
    return signal * 2


def square(signal: Tensor, generator: torch.Generator) -> Tensor:
    return signal.square()


FIXED = [plus, double, square]
"""Draw nothing, and no two of them in either order do the same."""


def writing(digit: int, seen: list[int] | None = None) -> Transform:
    """Appends a digit in base 10 to the signal: a row of zeros ends as the history of what it was under."""

    def transform(signal: Tensor, generator: torch.Generator) -> Tensor:
        if seen is not None:
            seen.append(len(signal))
        return signal * 10 + digit

    return transform


def within_five_sd(count: int, n: int, p: float) -> bool:
    return abs(count - n * p) < 5 * math.sqrt(n * p * (1 - p))


@pytest.mark.parametrize("most", [1, 2, 3])
def test_several_of_row_by_row(most):
    signal = ecgs(200)
    changed = several_of(signal, FIXED, seeded(4), most)
    generator = seeded(4)
    choice = torch.randint(3, (most, 200), generator=generator)
    number = torch.randint(1, most + 1, (200,), generator=generator) if most > 1 else torch.ones(200)
    for row in range(200):
        expected = signal[row]
        for turn in range(int(number[row])):
            expected = FIXED[choice[turn, row]](expected, generator)
        assert torch.equal(changed[row], expected)


@pytest.mark.parametrize("most", [2, 3])
def test_numbers_and_names_are_drawn_alike_and_with_replacement(most):
    n, kinds = 60_000, 3
    histories = several_of(silence(n), [writing(k + 1) for k in range(kinds)], seeded(), most)
    counts = Counter(str(int(x)) for x in histories.flatten())
    assert sum(counts.values()) == n
    for length in range(1, most + 1):
        words = {word: count for word, count in counts.items() if len(word) == length}
        assert len(words) == kinds**length  # repeats too, such as 11
        assert within_five_sd(sum(words.values()), n, 1 / most)
        assert all(within_five_sd(count, n, 1 / most / kinds**length) for count in words.values())
    assert set("".join(counts)) == {"1", "2", "3"}


def test_one_at_most_is_one_of_draw_by_draw():
    signal, ours, theirs = ecgs(60), seeded(2), seeded(2)
    assert torch.equal(several_of(signal, VIEWS, ours, 1), one_of(signal, VIEWS, theirs))
    assert torch.equal(ours.get_state(), theirs.get_state())


def test_each_transformation_runs_once_a_round_on_its_own_rows_only():
    seen: list[list[int]] = [[], [], []]
    changed = several_of(silence(300), [writing(k + 1, seen[k]) for k in range(3)], seeded(5))
    history = [str(int(x)) for x in changed.flatten()]
    for k, calls in enumerate(seen):
        first = sum(word[0] == str(k + 1) for word in history)
        second = sum(word[1:] == str(k + 1) for word in history)
        assert calls == [first, second]
    few: list[int] = []
    several_of(silence(2), [writing(1, few) for _ in range(50)], seeded())
    assert 0 not in few
    assert 2 <= sum(few) <= 4


@pytest.mark.parametrize("given", [{"most": 0}, {"transforms": []}])
def test_nothing_to_choose_is_refused(given):
    with pytest.raises(ValueError, match="there must be one at least"):
        several_of(ecgs(), **{"transforms": FIXED, "generator": seeded(), **given})


@pytest.mark.parametrize("probability", [0.25, 0.8])
def test_each_with_row_by_row(probability):
    signal = ecgs(200)
    changed = each_with(signal, FIXED, probability, seeded(4))
    drawn = torch.rand(3, 200, generator=seeded(4)) < probability
    for row in range(200):
        expected = signal[row]
        for turn, transform in enumerate(FIXED):
            if drawn[turn, row]:
                expected = transform(expected, seeded())
        assert torch.equal(changed[row], expected)


def test_each_with_is_independent_and_in_order():
    n, seen = 40_000, []
    histories = each_with(silence(n), [writing(1, seen), writing(2)], 0.25, seeded())
    counts = Counter(int(x) for x in histories.flatten())
    assert set(counts) == {0, 1, 2, 12}  # never 21
    for word, p in ((0, 9 / 16), (1, 3 / 16), (2, 3 / 16), (12, 1 / 16)):
        assert within_five_sd(counts[word], n, p)
    assert seen == [counts[1] + counts[12]]


def test_each_with_of_all_and_of_none():
    signal = ecgs()
    assert torch.equal(each_with(signal, FIXED, 1, seeded()), compose(signal, FIXED, seeded()))
    seen: list[int] = []
    for changed in (
        each_with(signal, [writing(1, seen)], 0, seeded()),
        each_with(signal, [], 0.5, seeded()),
    ):
        assert torch.equal(changed, signal)
        assert changed.data_ptr() != signal.data_ptr()
    assert seen == []
    with pytest.raises(ValueError, match="probability 1.5: must be 0 to 1"):
        each_with(signal, FIXED, 1.5, seeded())


def test_padding_is_what_lies_behind_the_record():
    valid = torch.tensor([0, 1, 4])
    inside = filled(ecgs(3, 2, 4), valid)
    assert inside.tolist() == [[[False] * 4], [[True, False, False, False]], [[True] * 4]]
    before, after = torch.zeros(3, 2, 4), torch.ones(3, 2, 4)
    assert within(valid, before, after).sum(2).tolist() == [[0, 0], [1, 1], [4, 4]]
    assert within(None, before, after) is after


def test_only_a_windowed_transformation_is_told_of_padding():
    told: list[Tensor | None] = []

    def ending(signal: Tensor, generator: torch.Generator, valid: Tensor | None) -> Tensor:
        told.append(valid)
        return signal + 1

    signal, valid = ecgs(3, 2, 10), torch.tensor([10, 4, 0])
    for transform in (Windowed(ending), plus):
        changed = on_record(transform, signal, seeded(), valid)
        assert torch.equal(changed, signal + filled(signal, valid))
        assert torch.equal(on_record(transform, signal, seeded(), None), signal + 1)
        assert torch.equal(transform(signal, seeded()), signal + 1)
    assert len(told) == 3
    assert told[0] is valid
    assert told[1:] == [None, None]


@pytest.mark.parametrize("choose", ["several", "each"])
def test_rows_carry_their_own_padding(choose):
    """Whatever the round and the rows beside it: a row is told its own length each time."""
    signal, valid = torch.zeros(300, 2, 20), torch.randint(21, (300,), generator=seeded(1))

    def own_length(part: Tensor, generator: torch.Generator, known: Tensor | None) -> Tensor:
        assert known is not None
        return part + 100 * known[:, None, None] + 1

    chosen = {
        "several": lambda g: several_of(signal, [Windowed(own_length), double], g, 3, valid),
        "each": lambda g: each_with(signal, [double, Windowed(own_length)], 0.5, g, valid),
    }[choose](seeded())
    inside = filled(signal, valid).expand_as(signal)
    assert torch.equal(chosen, inside * chosen[:, :1, :1])  # nothing behind the record
    told = valid > 0
    assert torch.equal((chosen[:, 0, 0] // 100)[told], ((chosen[:, 0, 0] % 100) * valid)[told])
    assert 0.3 < (chosen[told, 0, 0] > 0).double().mean() < 0.9


@pytest.mark.parametrize("choose", ["several", "each"])
def test_the_generator_alone_decides_and_the_signal_is_left_alone(choose):
    signal = ecgs(30)
    before, state = signal.clone(), torch.get_rng_state()

    def changed(generator: torch.Generator) -> Tensor:
        if choose == "each":
            return each_with(signal, VIEWS, 0.5, generator)
        return several_of(signal, VIEWS, generator)

    first, generator = changed(seeded(1)), seeded(1)
    assert torch.equal(changed(generator), first)
    assert not torch.equal(changed(generator), first)
    assert torch.equal(signal, before)
    assert torch.equal(torch.get_rng_state(), state)
    other = signal.transpose(1, 2).contiguous().transpose(1, 2)
    signal = other
    torch.testing.assert_close(changed(seeded(1)), first)
