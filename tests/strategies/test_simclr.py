"""SimCLR: two views of each record, one transformation each; and the published batch."""

import math
from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError

from bench.nn import transforms
from bench.nn.augment import TRANSFORMS, compose, one_of
from bench.nn.choice import several_of
from bench.nn.transforms import SNU, by_name
from strategies.simclr import SimCLR
from tests.strategies.making import STEP, batch, generator, info, make, pairs, signals


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


def test_the_default_view_is_still_under_one_of_six():
    b, g = batch(signals(30)), generator()
    expected = torch.cat([one_of(b.signal, list(TRANSFORMS.values()), g) for _ in range(2)])
    assert torch.equal(make(SimCLR).views(b, generator()).signal, expected)
    board = make(SimCLR, **SimCLR.recipes["board"])
    assert torch.equal(board.views(b, generator()).signal, expected)


def test_a_chain_is_applied_whole_and_in_order_to_both_views_of_the_same_window():
    b = batch(signals(9, samples=100))
    strategy = make(SimCLR, info(samples=100), **SimCLR.recipes["ssl12lead"])
    views = strategy.views(b, generator())
    g = generator()
    both = (transforms.random_resized_crop, transforms.time_out)
    assert torch.equal(views.signal, torch.cat([compose(b.signal, both, g) for _ in range(2)]))
    blank = (views.signal == 0).all(1).sum(1)  # a fifth to two fifths, which a crop after it would stretch
    assert bool(((blank >= 20) & (blank < 40)).all())
    assert not torch.equal(*views.signal.chunk(2))
    assert pairs(strategy.positives(b, views)) == {(row, row + 9) for row in range(9)}


def test_ssl12lead_is_as_specified():
    strategy = make(SimCLR, info(leads=12), **SimCLR.recipes["ssl12lead"])
    first, relu, last = strategy.projector
    assert (first.in_features, first.out_features, last.in_features, last.out_features) == (12, 512, 512, 16)
    assert isinstance(relu, torch.nn.ReLU)
    assert first.bias is not None and last.bias is not None
    assert strategy.params.temperature == 0.5
    assert not strategy.params.as_published_self_term


@pytest.mark.parametrize("name", by_name(100))
def test_every_transformation_can_stand_in_a_chain(name):
    b = batch(signals(4, samples=80))
    strategy = make(SimCLR, info(samples=80), chain=(name,))
    before, drawn = b.signal.clone(), strategy.views(b, generator()).signal
    g = generator()
    assert torch.equal(drawn, torch.cat([by_name(100)[name](b.signal, g) for _ in range(2)]))
    assert torch.equal(b.signal, before)


def test_a_chain_knows_the_rate_and_the_strengths():
    b = batch(signals(4, samples=80))
    fast = info(samples=80).model_copy(update={"rate": 500})
    drawn = make(SimCLR, fast, chain=("powerline",)).views(b, generator()).signal
    assert torch.equal(drawn[:4], by_name(500)["powerline"](b.signal, generator()))
    drawn = (
        make(SimCLR, chain=("scaling", "gaussian_noise"), scaling=0.4, noise=0.2).views(b, generator()).signal
    )
    g = generator()
    expected = transforms.gaussian_noise(TRANSFORMS["scaling"](b.signal, g, sd=0.4), g, 0.2)
    assert torch.equal(drawn[:4], expected)


def by_loops(z, temperature, self_term=None):
    """NT-Xent of two views of each record, number by number; published: the term in place of a view's own."""
    rows = [[x / math.sqrt(sum(y * y for y in row)) for x in row] for row in z.tolist()]
    count, losses = len(rows), []
    for i in range(count):
        e = [
            math.exp(sum(a * b for a, b in zip(rows[i], other, strict=True)) / temperature) for other in rows
        ]
        partner = e[(i + count // 2) % count]
        if self_term is None:
            losses.append(-math.log(partner / (sum(e) - e[i])))
        else:
            losses.append(-math.log(partner / (max(sum(e) - self_term, 1e-6) + 1e-6)))
    return sum(losses) / count


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_the_published_self_term_against_loops(temperature):
    b = batch(signals(5))
    recipe = {**SimCLR.recipes["ssl12lead_code"], "temperature": temperature}
    strategy = make(SimCLR, **recipe)
    views = strategy.views(b, generator())
    z = strategy.projector(strategy.encoder(views.signal)).detach()
    found = strategy.loss(b, views, STEP).total
    assert found.item() == pytest.approx(by_loops(z, temperature, math.e), rel=1e-5)
    fixed = make(SimCLR, **{**recipe, "as_published_self_term": False})
    fixed.load_state_dict(strategy.state_dict())
    right = fixed.loss(b, views, STEP).total
    assert right.item() == pytest.approx(by_loops(z, temperature), rel=1e-5)
    assert found > right  # what stays of each view's own similarity
    found.backward()
    assert strategy.encoder.weight.grad is not None


def test_clocs_is_nt_xent_of_two_noisy_views_without_a_projector():
    """Cross-view similarities, the positive among them, and within-view ones but the view's own: all other views."""
    b = batch(signals(6, leads=1))
    strategy = make(SimCLR, info(leads=1), **SimCLR.recipes["clocs"])
    views = strategy.views(b, generator())
    first, second = (view - b.signal for view in views.signal.chunk(2))
    assert first.std().item() == pytest.approx(0.01, rel=0.1)  # 10 microvolts
    assert abs(torch.corrcoef(torch.stack((first.flatten(), second.flatten())))[0, 1]) < 0.2
    assert isinstance(strategy.projector, torch.nn.Identity)
    flat = make(SimCLR, info(leads=3), **SimCLR.recipes["clocs"])
    wide = batch(signals(6, leads=3))
    drawn = flat.views(wide, generator())
    z = drawn.signal[:, :, 0]
    assert flat.loss(wide, drawn, STEP).total.item() == pytest.approx(by_loops(z, 0.1), rel=1e-4)


def snu(leads=12, samples=40, **more):
    """The recipe 'snu', at its paper's rate."""
    known = info(leads=leads, samples=samples).model_copy(update={"rate": 300})
    return make(SimCLR, known, **{**SimCLR.recipes["snu"], **more})


def test_snu_draws_one_or_two_of_seven():
    b, g = batch(signals(30)), generator()
    expected = torch.cat([several_of(b.signal, [by_name(300)[n] for n in SNU], g, 2) for _ in range(2)])
    strategy = snu()
    views = strategy.views(b, generator())
    assert torch.equal(views.signal, expected)
    assert strategy.params.transforms == SNU
    assert pairs(strategy.positives(b, views)) == {(row, row + 30) for row in range(30)}


def test_snu_has_a_projector_of_two_layers_with_batch_norm():
    """329,344 parameters, less the first layer's 512 biases, which the norm takes away again."""
    first, norm, relu, last = snu(leads=512).projector
    assert (first.in_features, first.out_features, last.in_features, last.out_features) == (
        512,
        512,
        512,
        128,
    )
    assert isinstance(norm, torch.nn.BatchNorm1d)
    assert isinstance(relu, torch.nn.ReLU)
    assert first.bias is None
    size = sum(p.numel() for p in snu(leads=512).projector.parameters())
    assert size == 329_344 - 512


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_snu_is_nt_xent_against_loops(temperature):
    b = batch(signals(5))
    strategy = snu(temperature=temperature)
    assert snu().params.temperature == 0.1
    views = strategy.views(b, generator())
    z = strategy.projector(strategy.encoder(views.signal)).detach()
    loss = strategy.loss(b, views, STEP).total
    assert loss.item() == pytest.approx(by_loops(z, temperature), rel=1e-5)
    loss.backward()
    assert strategy.encoder.weight.grad is not None


@pytest.mark.parametrize("recipe", ["snu", "goodviews", "ssl12lead", "board"])
def test_views_leave_padding_as_it_was(recipe):
    b = batch(signals(40, samples=80))
    valid = torch.tensor([80, 60, 33, 20] * 10)
    strategy = make(SimCLR, info(samples=80), **SimCLR.recipes[recipe])
    views = strategy.views(replace(b, valid=valid), generator())
    behind = (torch.arange(80) >= valid[:, None, None]).repeat(2, 1, 1)
    was = b.signal.repeat(2, 1, 1)
    assert torch.equal(views.signal.masked_select(behind), was.masked_select(behind))
    assert ((views.signal != was).any(1).any(1)).float().mean() > 0.7  # room for no shift of the baseline


@pytest.mark.parametrize(
    ("params", "word"),
    [
        ({"as_published": True, "most": 2}, "one transformation a view"),
        ({"chain": ("cutout",), "most": 2}, "most is 2"),
        ({"transforms": ()}, "name one"),
        ({"projector_norm": "batch"}, "hidden layer"),
        ({"projector_norm": "batch", "projection": 8}, "hidden layer"),
        ({"projector_norm": "batch", "hidden": 8}, "hidden layer"),
    ],
)
def test_parameters_that_make_each_other_idle_are_refused(params, word):
    assert word in SimCLR.incompatible(info(), SimCLR.Params(**params))


@pytest.mark.parametrize("params", [{"most": 0}, {"projector_norm": "layer"}])
def test_what_there_is_none_of_is_refused(params):
    with pytest.raises(ValidationError):
        SimCLR.Params(**params)


def test_no_norm_unless_asked():
    torch.manual_seed(0)
    plain = make(SimCLR, **SimCLR.recipes["board"])
    assert [type(m).__name__ for m in plain.projector] == ["Linear", "ReLU", "Linear"]
    assert plain.params.most == 1


def test_an_unknown_transformation_is_refused_in_a_chain_too():
    with pytest.raises(ValidationError):
        SimCLR.Params(chain=("mirror",))


@pytest.mark.parametrize(
    "params",
    [
        {"as_published": True, "chain": ("negation",)},
        {"as_published": True, "as_published_self_term": True},
        {"as_published_diagonal": True, "as_published_self_term": True},
    ],
)
def test_two_published_codes_at_once_are_refused(params):
    assert "choose one" in SimCLR.incompatible(info(), SimCLR.Params(**params))


@pytest.mark.parametrize("recipe", SimCLR.recipes)
def test_every_recipe_goes(recipe):
    assert SimCLR.incompatible(info(), SimCLR.Params(**SimCLR.recipes[recipe])) is None
