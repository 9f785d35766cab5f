"""Baselines: what each embeds or predicts, and fine-tuning from any fit."""

import json

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from baselines.attributes_only import AttributesOnly
from baselines.finetune import FineTune
from baselines.label_prior import LabelPrior
from baselines.metadata_only import MetadataOnly
from baselines.random_encoder import RandomEncoder
from baselines.supervised import Supervised
from bench.run.contract.stand import CPU, STEPS, WINDOW, Stand
from bench.train.build import build, finish
from bench.train.checkpoint import from_bytes, to_bytes
from bench.train.fit import Fit, Seeds, state_hash
from bench.train.strategy import Field, UndeclaredField, Views
from strategies.clocs_lead import ClocsLead
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


@pytest.fixture
def pretrained(tmp_path):
    return Stand(ClocsLead, {}, tmp_path / "parent").fit(steps=2, index=4).run().strategy


def finetuning(tmp_path, pretrained, **params) -> tuple[Stand, Fit]:
    stand = Stand(FineTune, params, tmp_path / "child")
    stand.parents = lambda seed: {"init": pretrained}
    return stand, stand.fit()


def test_it_starts_from_the_parents_embedding(tmp_path, pretrained):
    before = pretrained.eval().embed(batch(signals(4, samples=WINDOW)))
    _, fit = finetuning(tmp_path, pretrained)
    assert torch.equal(fit.strategy.eval().embed(batch(signals(4, samples=WINDOW))), before)
    assert fit.strategy.encoder is pretrained.encoder
    assert fit.strategy.encoder.leads == 6


def test_the_head_trains_alone_first_and_nothing_else_moves(tmp_path, pretrained):
    _, fit = finetuning(tmp_path, pretrained, head_share=0.5)
    encoder, head = state_hash(pretrained.encoder), state_hash(fit.strategy.head)
    fit.run(until=STEPS // 2)
    assert state_hash(pretrained.encoder) == encoder  # batch norm's statistics included
    assert state_hash(fit.strategy.head) != head
    fit.run()
    assert state_hash(pretrained.encoder) != encoder
    assert fit.tally.views == STEPS * fit.batch * 2  # two lead groups, in both phases


def test_rates_fall_from_head_to_stem(tmp_path, pretrained):
    strategy = finetuning(tmp_path, pretrained, head_share=0.25, rate=0.5, decay=0.1)[1].strategy
    head, everything = strategy.phases()
    assert head.share == 0.25
    assert {group["lr_scale"] for group in head.groups} == {1.0}
    scale = {id(p): group["lr_scale"] for group in everything.groups for p in group["params"]}
    groups = strategy.encoder.groups()
    for depth, group in enumerate(reversed(groups)):
        assert [scale[id(p)] for p in group] == pytest.approx([0.5 * 0.1**depth] * len(group))
    assert len(scale) == len(list(strategy.encoder.parameters())) + 2


def test_without_a_head_phase_there_is_one(tmp_path, pretrained):
    _, fit = finetuning(tmp_path, pretrained, head_share=0.0)
    assert len(fit.strategy.phases()) == 1
    before = state_hash(pretrained.encoder)
    fit.run(until=1)
    assert state_hash(pretrained.encoder) != before


def test_stored_once_and_rebuilt_around_an_untrained_parent(tmp_path, pretrained):
    stand, fit = finetuning(tmp_path, pretrained)
    trained = fit.run().strategy.eval()
    content = to_bytes(trained.state_dict())
    assert len(content) < 1.25 * len(to_bytes(pretrained.state_dict()))
    fresh = {"init": Stand(ClocsLead, {}, tmp_path / "fresh").build(seed=9)}
    rebuilt = build(stand.recipe({}), CPU, Seeds(9, 9), fresh)
    rebuilt.load_state_dict(from_bytes(content), strict=True)
    b = batch(signals(4, samples=WINDOW))
    assert torch.equal(rebuilt.eval().logits(b), trained.logits(b))


def test_a_parent_that_reads_more_than_the_signal_is_refused(tmp_path):
    parent = Stand(MetadataOnly, {}, tmp_path / "parent").build()
    with pytest.raises(UndeclaredField, match="metadata_only reads"):
        finetuning(tmp_path, parent)


def test_fine_tuning_goes_on_from_fine_tuning(tmp_path, pretrained):
    _, first = finetuning(tmp_path, pretrained)
    stand = Stand(FineTune, {}, tmp_path / "grandchild")
    stand.parents = lambda seed: {"init": first.run().strategy}
    strategy = stand.fit().run().strategy
    assert strategy.encoder is pretrained.encoder
    assert json.dumps(sorted(strategy.state_dict())).count("init.init.encoder") > 10
