"""Baselines: what each embeds or predicts."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from baselines.attributes_only import AttributesOnly
from baselines.label_prior import LabelPrior
from baselines.metadata_only import MetadataOnly
from baselines.random_encoder import RandomEncoder
from baselines.supervised import Supervised
from bench.run.contract.stand import Stand
from bench.train.build import finish
from bench.train.fit import state_hash
from bench.train.strategy import Field, Views
from tests.strategies.making import STEP, batch, info, make, signals

NAN = float("nan")
CLASSES = {"classes": ("a", "b", "c"), "instances": 80}


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_supervised_loss_is_the_tasks_over_labelled_records(kind):
    strategy = make(Supervised, info(leads=2, kind=kind, **CLASSES))
    labels = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 0]], dtype=torch.float32)
    b = batch(signals(3, leads=2), labels=labels, labelled=[True, True, False])
    loss = strategy.loss(b, Views.of(b.signal), STEP).total
    logits = strategy.logits(b)[:2]
    if kind == "single":
        expected = F.cross_entropy(logits, torch.tensor([0, 1]))
    else:
        expected = F.binary_cross_entropy_with_logits(logits, labels[:2])
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)


def test_supervised_embeds_what_its_head_reads():
    strategy = make(Supervised, info(leads=2, **CLASSES))
    b = batch(signals(3, leads=2))
    assert torch.equal(strategy.logits(b), strategy.head(strategy.embed(b)))


@pytest.mark.parametrize("recipe", sorted(Supervised.recipes))
def test_supervised_trains_everything_at_one_rate(recipe):
    """The official CPC script gives the encoder a hundredth of the head's rate, from scratch too."""
    strategy = make(Supervised, info(leads=2, **CLASSES), **Supervised.recipes[recipe])
    (phase,) = strategy.phases()
    assert {group["lr_scale"] for group in phase.groups} == {1.0}
    trained = {id(p) for group in phase.groups for p in group["params"]}
    assert trained == {id(p) for p in strategy.parameters()}


def test_supervised_under_the_head_of_two_layers():
    """Two leads, three classes, 5 between: batch norm 4, linear 15, batch norm 10, linear 18."""
    strategy = make(Supervised, info(leads=2, **CLASSES), head="mlp", hidden=5)
    assert sum(p.numel() for p in strategy.head.parameters()) == 47
    b = batch(signals(3, leads=2))
    assert strategy.logits(b).shape == (3, 3)
    assert Supervised.recipes["cpc"]["head"] == "mlp"


def test_label_prior_says_nothing():
    assert torch.equal(make(LabelPrior).embed(batch(signals(3))), torch.zeros(3, 1))


def test_metadata_keeps_what_is_unknown_unknown():
    b = batch(signals(4), age=torch.tensor([50.0, NAN, 7.0, 9.0]), sex=torch.tensor([0, 1, -1, 1]))
    expected = np.array([[50.0, 0.0], [NAN, 1.0], [7.0, NAN], [9.0, 1.0]])
    assert np.array_equal(make(MetadataOnly).embed(b).numpy(), expected, equal_nan=True)
    assert MetadataOnly.needs_at_test == {Field.DEMOGRAPHICS}


def test_attributes_are_passed_on():
    measurements = torch.randn(3, 11).masked_fill(torch.eye(3, 11) > 0, NAN)
    out = make(AttributesOnly).embed(batch(signals(3), measurements=measurements))
    assert np.array_equal(out.numpy(), measurements.numpy(), equal_nan=True)
    assert AttributesOnly.needs_at_test == {Field.MEASUREMENTS}


@pytest.mark.parametrize("kind", [RandomEncoder, LabelPrior, MetadataOnly, AttributesOnly])
def test_controls_take_no_step(kind, tmp_path):
    stand = Stand(kind, {}, tmp_path)
    fit = stand.fit()
    before = state_hash(fit.strategy)
    facts = finish(fit).facts
    assert facts["steps"] == facts["views"] == 0
    assert state_hash(fit.strategy) == before
