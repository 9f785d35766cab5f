"""Demographics: 22 groups of half-open age bins and sex, and the loss over them."""

import math

import pytest
import torch

from strategies.demographics import Demographics
from tests.strategies.making import STEP, batch, generator, info, make, pairs, signals

NAN = float("nan")


def groups(ages, sexes):
    return make(Demographics).groups(torch.tensor(ages), torch.tensor(sexes)).tolist()


def test_bins_are_open_below_and_closed_above():
    ages = [17.0, 17.5, 34.0, 34.1, 44.0, 45.0, 84.0, 85.0, 100.0, 101.0]
    assert groups(ages, [0] * 10) == [-1, 0, 0, 2, 2, 4, 18, 20, 20, -1]


def test_twenty_two_groups():
    ages = [float(age) for age in range(18, 101)] * 2
    sexes = [0] * 83 + [1] * 83
    assert sorted(set(groups(ages, sexes))) == list(range(22))


def test_unknown_age_or_sex_matches_nobody():
    b = batch(signals(5), age=[50.0, 52.0, NAN, 51.0, NAN], sex=[1, 1, 1, -1, 1])
    strategy = make(Demographics)
    views = strategy.views(b, generator())
    mask = strategy.positives(b, views)
    assert pairs(mask) == {(0, 1)}
    assert not bool(mask[2].any() | mask[3].any() | mask[4].any())


def test_a_record_is_seen_once_and_unchanged():
    b = batch(signals(3))
    views = make(Demographics).views(b, generator())
    assert torch.equal(views.signal, b.signal)
    assert views.source.tolist() == [0, 1, 2]


@pytest.mark.parametrize(("as_published", "expected"), [(False, math.log(3)), (True, math.log(2))])
def test_loss_of_orthonormal_embeddings(as_published, expected):
    """Four orthonormal rows in two groups: 1.098612, and 0.693147 with the published diagonal."""
    signal = torch.eye(4)[:, :, None].contiguous()
    b = batch(signal, age=[20.0, 21.0, 60.0, 60.0], sex=[0, 0, 1, 1])
    strategy = make(Demographics, info(leads=4), as_published_diagonal=as_published)
    loss = strategy.loss(b, strategy.views(b, generator()), STEP)
    assert float(loss.total.detach()) == pytest.approx(expected, abs=1e-5)


def test_a_record_without_group_is_a_negative_but_no_anchor():
    """Anchors 0 and 1 have one positive among three others of equal similarity; 2 and 3 do not count."""
    signal = torch.eye(4)[:, :, None].contiguous()
    b = batch(signal, age=[20.0, 21.0, NAN, 60.0], sex=[0, 0, 0, 1])
    strategy = make(Demographics, info(leads=4))
    assert float(strategy.loss(b, strategy.views(b, generator()), STEP).total.detach()) == pytest.approx(
        math.log(3)
    )


def test_other_edges():
    strategy = make(Demographics, edges=(0, 50, 120))
    assert strategy.groups(torch.tensor([10.0, 50.0, 51.0]), torch.tensor([0, 1, 1])).tolist() == [0, 1, 3]
