"""SimCLR: two views of each record, one transformation each; and the published batch."""

import pytest
import torch
from pydantic import ValidationError

from bench.nn.augment import TRANSFORMS
from strategies.simclr import SimCLR
from tests.strategies.making import STEP, batch, generator, make, pairs, signals


def test_two_views_of_each_record_are_each_others_only_positives():
    strategy, b = make(SimCLR), batch(signals(3))
    views = strategy.views(b, generator())
    assert views.signal.shape == (6, 12, 40)
    assert views.source.tolist() == [0, 1, 2, 0, 1, 2]
    assert views.group.tolist() == [0, 0, 0, 1, 1, 1]
    assert pairs(strategy.positives(b, views)) == {(0, 3), (1, 4), (2, 5)}


def test_a_view_is_under_one_transformation_of_those_named():
    b = batch(signals(200))
    views = make(SimCLR, transforms=("flipping", "scaling"), scaling=0.5).views(b, generator())
    ratio = views.signal / b.signal[views.source]
    one_gain = ratio.std((1, 2)) < 1e-5  # flipped or not: one sign for all leads
    by_lead = ratio.std(2).amax(1) < 1e-4  # a gain for each lead
    assert bool((one_gain | by_lead).all())
    assert bool((ratio[one_gain].abs() - 1 < 1e-5).all())
    assert 0.35 < float(one_gain.float().mean()) < 0.65
    gains = ratio[~one_gain][:, :, 0]
    assert float(gains.std()) == pytest.approx(0.5, rel=0.1)


@pytest.mark.parametrize("name", ["jitter", "scaling", "time_warp", "size_warp"])
def test_strengths_reach_their_transformation(name):
    b = batch(signals(4))
    drawn = make(SimCLR, transforms=(name,), **{name: 0.31}).views(b, generator()).signal
    # one_of draws which transformation first, then the transformation draws; with one there is no choice to see
    g = generator()
    expected = []
    for _ in range(2):
        torch.randint(1, (4,), generator=g)
        expected.append(TRANSFORMS[name](b.signal, g, sd=0.31))
    assert torch.equal(drawn, torch.cat(expected))


def test_views_are_fresh_at_every_step_and_the_batch_is_left_alone():
    strategy, b = make(SimCLR), batch(signals(4))
    before, g = b.signal.clone(), generator()
    first, second = strategy.views(b, g).signal, strategy.views(b, g).signal
    assert not torch.equal(first, second)
    assert torch.equal(b.signal, before)
    assert torch.equal(strategy.views(b, generator()).signal, first)


def test_the_published_batch_is_four_views_of_one_record_and_one_of_each_other():
    strategy, b = make(SimCLR, as_published=True), batch(signals(5))
    views = strategy.views(b, generator())
    assert views.source.tolist() == [0, 0, 0, 0, 1, 2, 3, 4]
    assert views.group.tolist() == [0, 1, 2, 3, 0, 0, 0, 0]
    four = views.signal[:4]
    assert torch.allclose(four[0], b.signal[0], atol=3e-4)  # jitter of 0.03 microvolts
    gains = four[1] / b.signal[0]
    assert torch.allclose(gains, gains[:, :1].expand_as(gains), rtol=1e-3)  # one gain a lead
    assert sorted(four[2].abs().sum(1).tolist()) == pytest.approx(sorted(b.signal[0].abs().sum(1).tolist()))
    assert not torch.allclose(four[2].abs().sum(1), b.signal[0].abs().sum(1))  # leads in another order
    positives = strategy.positives(b, views)
    of_first = {(i, j) for i in range(4) for j in range(4) if i < j}
    of_others = {(i, j) for i in range(4, 8) for j in range(4, 8) if i < j}  # negatives made positives
    assert pairs(positives) == of_first | of_others


@pytest.mark.parametrize("count", [2, 3])
def test_the_published_batch_of_few_records_has_a_finite_loss(count):
    strategy, b = make(SimCLR, as_published=True, as_published_diagonal=True), batch(signals(count))
    loss = strategy.loss(b, strategy.views(b, generator()), STEP)
    assert bool(torch.isfinite(loss.total))


def test_an_unknown_transformation_is_refused():
    with pytest.raises(ValidationError):
        SimCLR.Params(transforms=("mirror",))
