"""Soft label encoding: layout, bins and their edges, and what is unknown."""

import math

import pytest
import torch

from bench.nn.soft_labels import soft_label_encoding

NAN = float("nan")

COMMON = {
    ("height", 0): [0, 7, 7, 7, 7, 7, 7, 7, 7, 7],
    ("height", 1): [1, 6, 6, 6, 6, 6, 6, 6, 6, 5],
    ("weight", 0): [1, 6, 6, 6, 6, 6, 6, 6, 5, 5],
    ("weight", 1): [1, 5, 5, 5, 5, 5, 5, 5, 4, 4],
}


def encoded(age=NAN, sex=-1, height=NAN, weight=NAN, imputed=False):
    row = (torch.tensor([age]), torch.tensor([sex]), torch.tensor([height]), torch.tensor([weight]))
    return soft_label_encoding(*row, imputed)[0]


def ones(code):
    """Where it is 1; everywhere else it is 0.1."""
    active = (code == 1.0).nonzero().flatten().tolist()
    rest = torch.ones(32, dtype=torch.bool)
    rest[active] = False
    assert torch.equal(code[rest], torch.full((32 - len(active),), 0.1))
    return active


def test_the_woman_of_56_and_63_kg():
    assert ones(encoded(56.0, 1, NAN, 63.0)) == [0, 17, 27]
    assert ones(encoded(56.0, 1, NAN, 63.0, imputed=True)) == [0, 8, 17, 27]


def test_nobody_known_is_a_tenth_everywhere():
    assert torch.equal(encoded(), torch.full((32,), 0.1))
    assert torch.equal(encoded(imputed=True), torch.full((32,), 0.1))


@pytest.mark.parametrize(
    ("known", "place"),
    [
        ({"sex": 1}, 0),
        ({"sex": 0}, 1),
        ({"height": 100.0}, 2),
        ({"height": 109.9}, 2),
        ({"height": 110.0}, 3),
        ({"height": 95.0}, 2),
        ({"height": 199.0}, 11),
        ({"height": 209.0}, 11),
        ({"weight": 0.5}, 12),
        ({"weight": 12.0}, 13),
        ({"weight": 119.9}, 21),
        ({"weight": 250.0}, 21),
        ({"age": 0.0}, 22),
        ({"age": 9.9}, 22),
        ({"age": 10.0}, 23),
        ({"age": 90.0}, 31),
        ({"age": 300.0}, 31),
    ],
)
def test_bins_hold_their_lower_edge_and_the_last_all_beyond(known, place):
    assert ones(encoded(**known)) == [place]


@pytest.mark.parametrize("sex", [0, 1])
def test_the_commonest_bins_of_every_sex_and_decade(sex):
    for decade in range(10):
        code = encoded(10.0 * decade + 5, sex, imputed=True)
        tall, heavy = COMMON["height", sex][decade], COMMON["weight", sex][decade]
        assert ones(code) == [1 - sex, 2 + tall, 12 + heavy, 22 + decade]


def test_nothing_known_is_overwritten_and_nothing_is_filled_without_sex_and_age():
    assert ones(encoded(40.0, 0, 131.0, 20.0, imputed=True)) == [1, 5, 13, 26]
    assert ones(encoded(40.0, -1, imputed=True)) == [26]
    assert ones(encoded(NAN, 1, imputed=True)) == [0]
    assert ones(encoded(40.0, 0)) == [1, 26]


def test_a_batch_is_its_rows():
    g = torch.Generator().manual_seed(0)
    age, height, weight = (torch.rand(200, generator=g) * most for most in (120, 230, 150))
    sex = torch.randint(-1, 2, (200,), generator=g)
    for values in (age, height, weight):
        values[torch.rand(200, generator=g) < 0.3] = NAN
    codes = soft_label_encoding(age, sex, height, weight)
    assert codes.shape == (200, 32)
    assert codes.dtype == torch.float32
    for code, a, s, h, w in zip(codes, *(x.tolist() for x in (age, sex, height, weight)), strict=True):
        expected = [0.1] * 32
        if s >= 0:
            expected[1 - s] = 1.0
        for value, offset, least, width in ((h, 2, 100, 10), (w, 12, 0, 12), (a, 22, 0, 10)):
            if not math.isnan(value):
                expected[offset + min(9, max(0, math.floor((value - least) / width)))] = 1.0
        assert code.tolist() == pytest.approx(expected)
