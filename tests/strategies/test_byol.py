"""BYOL: predicting a moving average of oneself; what the average covers, and what no gradient reaches."""

import math
from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError

from bench.nn.augment import compose
from bench.nn.transforms import by_name
from bench.train.checkpoint import from_bytes, to_bytes
from bench.train.fit import state_hash
from bench.train.strategy import Step
from strategies.byol import BYOL, regression_loss
from strategies.simclr import SimCLR
from tests.strategies.grouped import grouped_corpus, grouping_fit
from tests.strategies.making import STEP, FirstSample, batch, generator, info, make, pairs, signals

PLAIN = {"projection": 5, "hidden": 7, "norm": "none"}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return grouped_corpus(tmp_path_factory.mktemp("grouped") / "corpus")


def byol(seed=0, **params):
    torch.manual_seed(seed)
    return make(BYOL, **params)


def shaken(strategy):
    """The same strategy with every online value moved, as an optimiser would."""
    g = generator(5)
    with torch.no_grad():
        for parameter in strategy.parameters():
            if parameter.requires_grad:
                parameter += 0.3 * torch.randn(parameter.shape, generator=g)
    return strategy


def numbers(module):
    tensors = dict(module.named_parameters()) | dict(module.named_buffers())
    return {name: tensor.detach().clone().double() for name, tensor in tensors.items()}


def cosine(a, b):
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def test_the_loss_against_an_explicit_loop():
    g = generator()
    prediction, target = torch.randn(10, 3, generator=g), 4 * torch.randn(10, 3, generator=g)
    first = [2 - 2 * cosine(prediction[i].tolist(), target[i].tolist()) for i in range(5)]
    second = [2 - 2 * cosine(prediction[i].tolist(), target[i].tolist()) for i in range(5, 10)]
    expected = sum(first) / 5 + sum(second) / 5
    assert float(regression_loss(prediction, target)) == pytest.approx(expected, rel=1e-5)
    units = [x / x.norm(dim=1, keepdim=True) for x in (prediction, target)]
    squares = (units[0] - units[1]).square().sum(1)
    assert float(regression_loss(prediction, target)) == pytest.approx(float(2 * squares.mean()), rel=1e-5)
    assert float(regression_loss(prediction, 3 * prediction)) == pytest.approx(0, abs=1e-5)
    assert float(regression_loss(prediction, -prediction)) == pytest.approx(8, rel=1e-6)
    assert regression_loss(prediction.bfloat16(), target.bfloat16()).dtype == torch.float32


def test_its_gradient_is_that_of_minus_the_cosines_and_spares_the_target():
    g = generator()
    prediction = torch.randn(6, 3, generator=g, requires_grad=True)
    target = torch.randn(6, 3, generator=g, requires_grad=True)
    regression_loss(prediction, target).backward()
    found, prediction.grad = prediction.grad, None
    for half in (slice(0, 3), slice(3, 6)):
        one, other = prediction[half], target.detach()[half]
        (-2 * torch.cosine_similarity(one, other, dim=1).mean()).backward()
    torch.testing.assert_close(found, prediction.grad)
    assert target.grad is None


def test_each_view_predicts_the_targets_projection_of_the_other():
    strategy, b = shaken(byol(**PLAIN)), batch(signals(4))
    views = strategy.views(b, generator())
    expected = 0.0
    for i in range(4):
        one, other = views.signal[i : i + 1], views.signal[4 + i : 5 + i]
        for seen, wanted in ((one, other), (other, one)):
            said = strategy.predictor(strategy.projector(strategy.encoder(seen)))[0].tolist()
            expected += (2 - 2 * cosine(said, strategy.target(wanted)[0].tolist())) / 4
    found = strategy.loss(b, views, STEP).total
    assert float(found.detach()) == pytest.approx(expected, rel=1e-5)
    swapped = views.signal.roll(4, dims=0)
    assert float(strategy.loss(b, replace(views, signal=swapped), STEP).total.detach()) == pytest.approx(
        expected, rel=1e-5
    )
    mixed = torch.cat((views.signal[:4], views.signal[4:].roll(1, dims=0)))  # other records' views
    assert float(strategy.loss(b, replace(views, signal=mixed), STEP).total.detach()) != pytest.approx(
        expected, rel=1e-3
    )


def test_the_target_is_a_copy_that_no_gradient_reaches():
    strategy, b = byol(), batch(signals(6))
    online = numbers(torch.nn.Sequential(strategy.encoder, strategy.projector))
    target = numbers(strategy.target)
    assert all(torch.equal(target[name], online[name]) for name in online)
    assert target.keys() == online.keys()
    places = {p.data_ptr() for p in strategy.target.parameters()}
    assert not places & {
        p.data_ptr() for p in (*strategy.encoder.parameters(), *strategy.projector.parameters())
    }
    strategy.loss(b, strategy.views(b, generator()), STEP).total.backward()
    assert all(p.grad is None and not p.requires_grad for p in strategy.target.parameters())
    for part in (strategy.encoder, strategy.projector, strategy.predictor):
        assert all(bool(p.grad.any()) for p in part.parameters() if p.ndim > 1 or part is strategy.encoder)
    trained = {id(p) for group in strategy.parameter_groups() for p in group["params"]}
    assert not trained & {id(p) for p in strategy.target.parameters()}


def test_the_target_runs_in_training_mode_on_its_own_batch():
    strategy, b = byol(projection=5, hidden=7), batch(signals(6))
    norms = [m for m in strategy.target.modules() if isinstance(m, torch.nn.BatchNorm1d)]
    strategy.loss(b, strategy.views(b, generator()), STEP)
    assert len(norms) == 1
    assert norms[0].training
    assert int(norms[0].num_batches_tracked) == 1
    assert bool(norms[0].running_mean.any())
    strategy.eval()
    strategy.loss(b, strategy.views(b, generator()), STEP)
    assert int(norms[0].num_batches_tracked) == 1


@pytest.mark.parametrize(
    ("schedule", "published"), [("cosine", False), ("constant", False), ("cosine", True)]
)
def test_the_target_follows_after_every_step(schedule, published):
    """Against a loop: decays 1 - (1 - m) (cos(pi k / K) + 1) / 2 or m; biases too, unless as published."""
    strategy = byol(projection=5, hidden=7, decay=0.9, schedule=schedule, as_published=published)
    expected = numbers(strategy.target)
    for k in range(4):
        online = numbers(torch.nn.Sequential(shaken(strategy).encoder, strategy.projector))
        strategy.on_step_end(Step(k, 4, 0))
        kept = 0.9 if schedule == "constant" else 1 - 0.1 * (math.cos(math.pi * k / 4) + 1) / 2
        for name in expected:
            if not published or ("weight" in name and name in dict(strategy.target.named_parameters())):
                expected[name] = kept * expected[name] + (1 - kept) * online[name]
    found = numbers(strategy.target)
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-5, atol=1e-6, msg=name)
    biases = [name for name in found if name.endswith("bias")]
    still = [torch.equal(found[name], numbers(byol(projection=5, hidden=7).target)[name]) for name in biases]
    assert len(biases) == 2  # of batch norm, and of the last linear layer
    assert still == [published] * 2


def test_two_views_under_the_whole_chain():
    strategy, b = byol(chain=("time_out", "random_resized_crop")), batch(signals(3))
    views = strategy.views(b, generator())
    assert pairs(strategy.positives(b, views)) == {(0, 3), (1, 4), (2, 5)}
    g, known = generator(), by_name(100)
    chain = [known["time_out"], known["random_resized_crop"]]
    assert torch.equal(views.signal, torch.cat([compose(b.signal, chain, g) for _ in range(2)]))
    assert BYOL.Params().chain == ("random_resized_crop", "time_out")


def test_on_the_board_the_views_are_those_of_simclr():
    b = batch(signals(20))
    ours, theirs = (make(kind, **kind.recipes["board"]) for kind in (BYOL, SimCLR))
    assert torch.equal(ours.views(b, generator()).signal, theirs.views(b, generator()).signal)


def test_the_noise_of_clocs_is_in_millivolts():
    b = batch(signals(20, leads=1), record=range(20))
    strategy = make(BYOL, info(leads=1), **BYOL.recipes["clocs"])
    views = strategy.views(b, generator())
    noise = views.signal - b.signal[views.source]
    assert float(noise.std()) == pytest.approx(0.01, rel=0.05)
    assert not torch.equal(noise[:20], noise[20:])


def test_parameters_of_the_published_heads():
    """512-512-16 and 16-512-16 with a batch norm each; CLOCS has one linear map of E to E."""

    class Wide(FirstSample):
        def __init__(self, leads):
            super().__init__(leads)
            self.dim = 512

    def heads(**params):
        checked = BYOL.Params(**params)
        strategy = BYOL(Wide(12), checked, info())
        return [
            sum(p.numel() for p in part.parameters()) for part in (strategy.projector, strategy.predictor)
        ]

    assert heads() == [512 * 512 + 2 * 512 + 512 * 16 + 16, 16 * 512 + 2 * 512 + 512 * 16 + 16]
    assert heads(**BYOL.recipes["clocs"]) == [0, 512 * 512 + 512]
    assert heads(**PLAIN) == [512 * 7 + 7 + 7 * 5 + 5, 5 * 7 + 7 + 7 * 5 + 5]


def test_the_predictor_of_the_clocs_paper_ends_in_a_relu():
    z = torch.randn(50, 12, generator=generator())
    for predictor, least in (("linear", -math.inf), ("relu", 0)):
        strategy = byol(**(BYOL.recipes["clocs"] | {"predictor": predictor}))
        said = strategy.predictor(z)
        assert said.shape == (50, 12)
        assert bool((said >= least).all())
        assert bool((said < 0).any()) == (predictor == "linear")


def test_downstream_sees_the_online_encoder():
    strategy, b = shaken(byol()), batch(signals(4))
    assert torch.equal(strategy.embed(b), strategy.encoder(b.signal))
    assert not torch.equal(strategy.embed(b), strategy.target[0](b.signal))


def test_same_bits_twice_and_after_a_kill(corpus):
    params = {"steps": 6, "projection": 4, "hidden": 8}
    whole = grouping_fit(corpus, BYOL, **params).run()
    assert state_hash(grouping_fit(corpus, BYOL, **params).run().strategy) == state_hash(whole.strategy)
    half = grouping_fit(corpus, BYOL, **params).run(until=3)
    resumed = grouping_fit(corpus, BYOL, **params).restore(from_bytes(to_bytes(half.state()))).run()
    assert state_hash(resumed.strategy) == state_hash(whole.strategy)
    assert resumed.health == whole.health
    assert state_hash(whole.strategy.target[0]) != state_hash(whole.strategy.encoder)


def test_parameters_are_checked():
    for wrong in ({"chain": ("mirror",)}, {"decay": 1.1}, {"temperature": 0.1}, {"predictor": "none"}):
        with pytest.raises(ValidationError):
            BYOL.Params(**wrong)
