"""Counted operations are those that one writes down by hand, for every phase of a fit, across an interruption."""

from typing import ClassVar

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from bench.nn.encoders.resnet1d import ResNet1d18
from bench.train.budget import Budget
from bench.train.build import finish
from bench.train.checkpoint import from_bytes, to_bytes
from bench.train.flops import FlopCounter
from bench.train.strategy import Phase
from tests.corpora import tiny_corpus
from tests.train.test_fit import Mean, make_fit


class TwoPhases(Mean):
    """The encoder alone, then a large product as well."""

    name: ClassVar = "two_phases"

    def phases(self):
        return [Phase(0.5, self.parameter_groups()), Phase(0.5, self.parameter_groups())]

    def loss(self, batch, views, step):
        found = super().loss(batch, views, step)
        if step.phase:
            with torch.no_grad():
                torch.ones(10, 20) @ torch.ones(20, 30)
        return found


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return tiny_corpus(tmp_path_factory.mktemp("corpus") / "tiny")


def test_a_product_counts_two_a_multiplication_and_its_gradients_as_much_again_each():
    layer, x = torch.nn.Linear(7, 5), torch.randn(3, 7, requires_grad=True)
    with FlopCounter() as counter:
        layer(x).sum().backward()
    assert counter.total == 3 * (2 * 3 * 7 * 5)


def test_a_convolution_counts_its_kernel_at_every_output():
    layer, x = torch.nn.Conv1d(4, 6, 5, padding=2), torch.randn(2, 4, 30)
    with FlopCounter() as counter:
        layer(x)
    assert counter.total == 2 * (2 * 6 * 30) * (4 * 5)


@pytest.mark.parametrize("kind", [torch.nn.Conv1d, torch.nn.ConvTranspose1d])
@pytest.mark.parametrize("groups", [1, 2, 8])
def test_a_convolution_of_groups_meets_the_channels_of_its_group_alone(kind, groups):
    layer, x = kind(8, 16, 5, stride=2, groups=groups), torch.randn(3, 8, 41, requires_grad=True)
    with FlopCounter() as counter:
        y = layer(x)
        y.sum().backward()
    places = x.shape[2] if kind is torch.nn.ConvTranspose1d else y.shape[2]
    forward = 2 * 3 * places * 8 * 16 * 5 // groups
    assert counter.total == 3 * forward


def test_a_convolution_whose_input_needs_no_gradient_has_one_product_less():
    layer, x = torch.nn.Conv1d(4, 4, 3, groups=4), torch.randn(2, 4, 12)
    with FlopCounter() as counter:
        layer(x).sum().backward()
    assert counter.total == 2 * (2 * 2 * 10 * 4 * 3)


def test_attention_counts_two_products_forward_and_five_backward():
    q, k, v = (torch.randn(2, 3, n, 8, requires_grad=True) for n in (5, 7, 7))
    with FlopCounter() as counter:
        torch.nn.functional.scaled_dot_product_attention(q, k, v).sum().backward()
    product = 2 * 2 * 3 * 5 * 7 * 8
    assert counter.total == (2 + 5) * product


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_recurrent_layer_counts_its_matrices_at_every_step(bidirectional):
    layer = torch.nn.LSTM(16, 32, 2, batch_first=True, bidirectional=bidirectional)
    x = torch.randn(4, 10, 16, requires_grad=True)
    ways = 2 if bidirectional else 1
    first, second = 4 * 32 * (16 + 32), 4 * 32 * (ways * 32 + 32)
    forward = 2 * 4 * 10 * ways * (first + second)
    with FlopCounter() as counter:
        layer(x)[0].sum().backward()
    assert counter.total == 3 * forward


def test_an_encoder_counts_as_torchs_own_counter_says():
    encoder, x = ResNet1d18(leads=12, width=4, dim=8), torch.randn(6, 12, 100)
    with FlopCounterMode(display=False) as theirs:
        encoder(x).sum().backward()
    with FlopCounter() as ours:
        encoder(x).sum().backward()
    assert ours.total == theirs.get_total_flops() > 0


def test_a_fit_counts_every_step_by_its_phase_and_changes_no_bit(corpus, monkeypatch):
    budget = Budget(steps=6, batch=8)
    plain, phased = make_fit(corpus, Mean, budget), make_fit(corpus, TwoPhases, budget)
    one = finish(plain).facts["flops"] / 6
    assert one > 0 and one == int(one)
    assert finish(phased).facts["flops"] == 3 * one + 3 * (one + 2 * 10 * 20 * 30)
    monkeypatch.setattr("bench.train.fit.FlopCounter", _Nothing)
    uncounted = make_fit(corpus, Mean, budget).run()
    for name, tensor in uncounted.strategy.state_dict().items():
        assert torch.equal(tensor, plain.strategy.state_dict()[name]), name


class _Nothing:
    total = 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None


@pytest.mark.parametrize("stop", [2, 3, 5])
def test_an_interrupted_fit_counts_as_much(corpus, stop):
    whole = finish(make_fit(corpus, TwoPhases)).facts["flops"]
    kept = to_bytes(make_fit(corpus, TwoPhases).run(until=stop).state())
    assert finish(make_fit(corpus, TwoPhases).restore(from_bytes(kept))).facts["flops"] == whole
