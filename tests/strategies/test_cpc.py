"""CPC: its loss against loops, whose context it uses, where its negatives come from, and what it may not train."""

import math

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from bench.nn.encoder import Encoder
from bench.nn.encoders.cpc_net import CPCNet
from bench.nn.encoders.resnet1d import ResNet1d18
from bench.nn.encoders.xresnet1d50 import XResNet1d50
from bench.nn.latent_prediction import draw_candidates
from bench.train.budget import Budget
from bench.train.checkpoint import from_bytes, to_bytes
from bench.train.fit import Fit, Seeds, state_hash
from bench.train.strategy import Draw, Step
from strategies.cpc import CPC
from tests.strategies.groups import SAMPLES, four_shapes, instances, small_fit
from tests.strategies.making import STEP, FirstSample, batch, generator, info, signals


class Samples(Encoder):
    """Features over time are the samples times a weight for each lead; a head behind them makes the embedding."""

    name = "samples"
    min_samples = 1

    def __init__(self, leads: int) -> None:
        super().__init__()
        self.leads = self.dim = leads
        self.weight = nn.Parameter(torch.linspace(0.5, 1, leads))
        self.head = nn.Linear(leads, leads)

    def forward(self, signal: Tensor) -> Tensor:
        embedding: Tensor = self.head(self.sequence(signal).mean(dim=1))
        return embedding

    def sequence(self, signal: Tensor) -> Tensor:
        self.check(signal)
        return signal.transpose(1, 2) * self.weight

    def groups(self) -> list[list[nn.Parameter]]:
        return [[self.weight], list(self.head.parameters())]


class RunningSums(Samples):
    """Its context is the sum of the features so far, with a constant beside it."""

    name = "running-sums"
    recurrent = True

    def context(self, sequence: Tensor) -> Tensor:
        return torch.cat((sequence.cumsum(dim=1), torch.ones_like(sequence[..., :1])), dim=2)


class SmallNet(CPCNet):
    name = "small-net"

    def __init__(self, leads: int) -> None:
        super().__init__(leads, hidden=8)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def cpc(encoder: Encoder, samples: int = 40, **params: object) -> CPC:
    return CPC(encoder, CPC.Params(**params), info(leads=encoder.leads, samples=samples))


def loss_of(strategy: CPC, signal: Tensor, seed: int = 0):
    b = batch(signal)
    return strategy.loss(b, strategy.views(b, generator(seed)), STEP)


def infonce(predicted, features, horizon, negatives, seed, as_published_sum=False):
    """Mean over sequences and mean (or sum) over time, one anchor at a time, and the share that is right."""
    rows, steps, _ = features.shape
    drawn = draw_candidates(rows, steps, horizon, negatives, generator(seed))
    total, right = 0.0, 0
    for row in range(rows):
        for anchor in range(steps - horizon):
            scores = features[row, drawn[row, anchor]] @ predicted[row, anchor]
            total += float(scores.exp().sum().log() - scores[0]) / rows
            right += bool(scores[0] > scores[1:].max())
    anchors = steps - horizon
    return total if as_published_sum else total / anchors, right / (rows * anchors)


@pytest.mark.parametrize("as_published_sum", [False, True])
def test_loss_of_a_recurrent_encoder_is_that_of_its_own_context(as_published_sum):
    strategy = cpc(RunningSums(3), horizon=4, negatives=6, as_published_sum=as_published_sum)
    signal = signals(2, leads=3)
    features = signal.transpose(1, 2) * strategy.encoder.weight.detach()
    context = torch.cat((features.cumsum(dim=1), torch.ones(2, 40, 1)), dim=2)
    predicted = context @ strategy.prediction.weight.detach().T
    made = loss_of(strategy, signal, seed=5)
    want, share = infonce(predicted, features, 4, 6, 5, as_published_sum)
    assert strategy.recurrent is None
    assert strategy.prediction.weight.shape == (3, 4)
    assert strategy.prediction.bias is None
    assert float(made.total.detach()) == pytest.approx(want, rel=1e-5)
    assert float(made.parts["accuracy"]) == pytest.approx(share)


@pytest.mark.parametrize(("network", "kind"), [("lstm", nn.LSTM), ("gru", nn.GRU)])
def test_an_encoder_without_context_gets_a_recurrent_network(network, kind):
    strategy = cpc(Samples(3), network=network, layers=2, hidden=5, negatives=6, horizon=3)
    assert isinstance(strategy.recurrent, kind)
    assert (strategy.recurrent.num_layers, strategy.recurrent.hidden_size) == (2, 5)
    assert strategy.prediction.weight.shape == (3, 5)
    signal = signals(2, leads=3)
    with torch.no_grad():
        features = strategy.encoder.sequence(signal)
        predicted = strategy.prediction(strategy.recurrent(features)[0])
    made = loss_of(strategy, signal)
    want, _ = infonce(predicted, features, 3, 6, 0)
    assert float(made.total.detach()) == pytest.approx(want, rel=1e-5)
    made.total.backward()
    for name, parameter in strategy.named_parameters():
        assert name.startswith("encoder.head") or parameter.grad.abs().max() > 0, name


def test_a_prediction_knows_nothing_of_what_comes_after_its_anchor():
    strategy, signal = cpc(Samples(3), hidden=5), signals(1, leads=3).requires_grad_()
    predicted = strategy.prediction(strategy._context(strategy.encoder.sequence(signal)))
    (gradient,) = torch.autograd.grad(predicted[0, 20].sum(), signal)
    assert not bool(gradient[0, :, 21:].any())
    assert bool(gradient[0, :, 20].all())


def test_the_defaults_are_the_papers_and_recipes_differ_where_they_must():
    paper = CPC.Params()
    assert (paper.horizon, paper.negatives, paper.as_published_sum) == (12, 128, False)
    assert CPC.Params(**CPC.recipes["ssl12lead"]) == paper.model_copy(update={"windows": 4})
    board = CPC.Params(**CPC.recipes["board"])
    assert (board.horizon, board.hidden, board.layers, board.windows) == (2, 128, 1, 1)


def test_the_published_network_has_5261312_parameters():
    strategy = cpc(CPCNet(12))
    assert sum(p.numel() for p in strategy.parameters()) == 5_261_312
    assert strategy.prediction.weight.numel() == 262_144


def test_a_record_of_1000_samples_has_988_anchors():
    encoder, signal = SmallNet(3), signals(2, leads=3, samples=1000)
    mean, summed = cpc(encoder, 1000), cpc(encoder, 1000, as_published_sum=True)
    summed.load_state_dict(mean.state_dict())
    mean, summed = (float(loss_of(strategy, signal).total.detach()) for strategy in (mean, summed))
    assert summed == pytest.approx(988 * mean, rel=1e-5)
    assert summed == pytest.approx(4801, rel=0.05)


def test_flat_lines_teach_the_published_network_nothing():
    """Nothing but the samples tells its steps apart: neither padding nor position."""
    flat = torch.randn(4, 3, 1, generator=generator()).expand(-1, -1, 40)
    made = loss_of(cpc(SmallNet(3)), flat)
    assert float(made.total.detach()) == pytest.approx(math.log(129), rel=1e-4)


def test_negatives_come_from_the_generator_of_the_views():
    strategy, b = cpc(SmallNet(3), negatives=5).eval(), batch(signals(2, leads=3))
    before, g = torch.get_rng_state(), generator()

    def step(g):
        return float(strategy.loss(b, strategy.views(b, g), STEP).total.detach())

    first, second = step(g), step(g)
    assert first != second
    assert (step(generator()), step(generator(1))) == (first, pytest.approx(first, rel=0.5))
    assert step(generator(1)) != first
    assert torch.equal(torch.get_rng_state(), before)


def test_views_are_the_instances_as_they_are():
    strategy, b = cpc(Samples(3)), batch(signals(4, leads=3))
    views = strategy.views(b, generator())
    assert torch.equal(views.signal, b.signal)
    assert views.source.tolist() == [0, 1, 2, 3]


def trained(strategy: CPC) -> set[str]:
    chosen = {id(p) for group in strategy.parameter_groups() for p in group["params"]}
    return {name for name, p in strategy.named_parameters() if id(p) in chosen}


@pytest.mark.parametrize(
    ("encoder", "samples", "idle"),
    [
        (lambda: ResNet1d18(3, width=2, dim=5), 200, {"encoder.head.weight", "encoder.head.bias"}),
        (lambda: XResNet1d50(3, width=2, blocks=(1, 1, 1, 1)), 200, set()),
        (lambda: SmallNet(3), 40, set()),
    ],
)
def test_all_is_trained_but_what_lies_behind_the_features_over_time(encoder, samples, idle):
    strategy = cpc(encoder(), samples, hidden=4, horizon=2)
    assert trained(strategy) == {name for name, _ in strategy.named_parameters()} - idle
    loss_of(strategy, signals(3, leads=3, samples=samples)).total.backward()
    assert {name for name, p in strategy.named_parameters() if p.grad is None} == idle


def test_building_it_leaves_the_encoder_as_it_was():
    encoder = ResNet1d18(3, width=2, dim=5)
    before = state_hash(encoder)
    strategy = cpc(encoder, 200, hidden=4, horizon=2)
    strategy.parameter_groups()
    assert state_hash(encoder) == before
    assert all(module.training for module in encoder.modules())
    assert all(p.grad is None for p in encoder.parameters())


def test_downstream_sees_the_encoders_embedding():
    strategy, b = cpc(Samples(3)), batch(signals(4, leads=3))
    assert torch.equal(strategy.embed(b), strategy.encoder(b.signal))


def test_a_training_instance_is_as_many_windows_long_as_asked():
    assert CPC.draws(CPC.Params()) == Draw(windows=1)
    assert CPC.draws(CPC.Params(**CPC.recipes["ssl12lead"])) == Draw(windows=4)
    longer = info(leads=3, samples=10, drawn=(3, 40))
    strategy = CPC(SmallNet(3), CPC.Params(windows=4), longer)  # of 10 samples alone none is 12 ahead
    assert bool(loss_of(strategy, signals(2, leads=3, samples=40)).total.isfinite())


def test_what_has_no_future_is_refused():
    with pytest.raises(ValueError, match="horizon 2: encoder 'resnet1d18' makes 2 steps of 64 samples"):
        cpc(ResNet1d18(3, width=2), 64, horizon=2)
    loss = loss_of(cpc(ResNet1d18(3, width=2), 65, horizon=2), signals(2, leads=3, samples=65)).total
    assert bool(loss.isfinite())  # one anchor
    with pytest.raises(NotImplementedError, match="'first-sample' has no features over time"):
        cpc(FirstSample(3))
    assert "none is 12 steps ahead" in CPC.incompatible(info(samples=12), CPC.Params(horizon=12))
    assert CPC.incompatible(info(samples=13), CPC.Params(horizon=12)) is None
    assert "record has 160 samples" in CPC.incompatible(info(instances=0, drawn=(12, 160)), CPC.Params())
    for wrong in ({"horizon": 0}, {"negatives": 0}, {"windows": 0}, {"network": "rnn"}, {"temperature": 0.1}):
        with pytest.raises(ValidationError):
            CPC.Params(**wrong)


def test_a_fit_repeats_and_resumes_to_the_bit():
    signal, _ = four_shapes()

    def fit():
        return small_fit(CPC, signal, 4, {"negatives": 16}, encoder=SmallNet)

    whole = fit().run()
    halted = to_bytes(fit().run(until=2).state())
    assert state_hash(fit().run().strategy) == state_hash(whole.strategy)
    assert state_hash(fit().restore(from_bytes(halted)).run().strategy) == state_hash(whole.strategy)
    assert {"loss", "accuracy"} <= set(whole.health[0])


def test_the_loss_of_held_out_records_selects_and_repeats():
    signal, _ = four_shapes()
    budget = Budget(steps=2, batch=64, schedule="constant", selection="best_val_loss", check_every=1)
    strategy = CPC(SmallNet(4), CPC.Params(negatives=16), info(leads=4, samples=SAMPLES, instances=128))
    fit = Fit(strategy, instances(signal), budget, Seeds(0, 0), validation=instances(signal[:40])).run()
    assert fit.selection.step in (1, 2)
    first, training_state = fit.validation_loss(), fit.views.get_state()
    assert fit.validation_loss() == first
    assert torch.equal(fit.views.get_state(), training_state)


def test_it_learns_to_tell_what_comes():
    time = torch.arange(60) / 30
    phase = torch.rand(16, 1, generator=generator())
    signal = torch.stack([torch.sin(6.283 * (rate * time + phase)) for rate in (0.5, 1.0)], dim=1)
    strategy, b, g = cpc(SmallNet(2), 60), batch(signal), generator()
    optimiser = torch.optim.Adam(strategy.parameters(), lr=0.01)
    losses = []
    for index in range(25):
        made = strategy.loss(b, strategy.views(b, g), Step(index, 25, 0))
        losses.append((float(made.total.detach()), float(made.parts["accuracy"])))
        optimiser.zero_grad()
        made.total.backward()
        optimiser.step()
    assert losses[0][0] == pytest.approx(math.log(129), abs=0.3)
    assert losses[-1][0] < losses[0][0] - 0.5
    assert losses[-1][1] > 3 / 129
