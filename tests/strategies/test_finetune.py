"""Fine-tuning: from any fit, in every published protocol; frozen means frozen."""

import json

import pytest
import torch
from pydantic import ValidationError

from baselines.finetune import FineTune
from baselines.metadata_only import MetadataOnly
from bench.nn.encoder import Encoder
from bench.nn.encoders.resnet1d import ResNet1d18
from bench.run.contract.check import check_strategy
from bench.run.contract.stand import CPU, ENCODER, STEPS, WINDOW, Stand, Start
from bench.train.budget import Budget
from bench.train.build import build
from bench.train.checkpoint import from_bytes, to_bytes
from bench.train.fit import Fit, Seeds, state_hash
from bench.train.optim import build_optimiser, phase_bounds
from bench.train.strategy import Strategy, UndeclaredField
from strategies.clocs_lead import ClocsLead
from tests.strategies.making import batch, info, signals

EPOCH = 17_418 // 128
"""Steps of an epoch of PTB-XL's folds 1 to 8 at the published batch."""


class Layers(Encoder):
    """So many groups of one weight each."""

    name = "layers"
    min_samples = 1

    def __init__(self, leads: int, groups: int, dim: int) -> None:
        super().__init__()
        self.leads, self.dim = leads, dim
        self.weights = torch.nn.ParameterList(torch.ones(1, dim) for _ in range(groups))

    def forward(self, signal):
        return signal[:, :1, 0] * torch.stack(list(self.weights)).prod(0)

    def groups(self):
        return [[weight] for weight in self.weights]


class Recurrent(Encoder):
    """Features at every step, and an LSTM over them."""

    name = "recurrent"
    min_samples = 1
    recurrent = True

    def __init__(self, leads: int) -> None:
        super().__init__()
        self.leads, self.dim = leads, 5
        self.features = torch.nn.Sequential(torch.nn.Conv1d(leads, 4, 10, 10), torch.nn.BatchNorm1d(4))
        self.lstm = torch.nn.LSTM(4, 5, batch_first=True)

    def forward(self, signal):
        return self.context(self.sequence(signal)).mean(1)

    def sequence(self, signal):
        return self.features(signal).transpose(1, 2)

    def context(self, sequence):
        return self.lstm(sequence)[0]

    def groups(self):
        return [list(self.features.parameters()), list(self.lstm.parameters())]


class Projected(Strategy):
    """Embeds with more than its encoder."""

    name = title = "projected"

    def __init__(self, encoder, params, info, parents=None):
        super().__init__(encoder, params, info, parents)
        self.map = torch.nn.Sequential(torch.nn.Linear(encoder.dim, 3), torch.nn.BatchNorm1d(3))

    def embed(self, batch):
        return self.map(self.encoder(batch.signal))


@pytest.fixture
def pretrained(tmp_path):
    return Stand(ClocsLead, {}, tmp_path / "parent").fit(steps=2, index=4).run().strategy


def finetuning(tmp_path, pretrained, **params) -> tuple[Stand, Fit]:
    stand = Stand(FineTune, params, tmp_path / "child")
    stand.parents = lambda *_: {"init": pretrained}
    return stand, stand.fit()


def started(encoder: Encoder, kind: type[Strategy] = Start) -> Strategy:
    return kind(encoder, kind.Params(), info(encoder.leads, WINDOW))


def classifier(groups: int, dim: int, recipe: str, **params) -> FineTune:
    """A recipe on an encoder of so many groups, for 71 classes."""
    known = info(classes=tuple(f"c{i}" for i in range(71)), kind="multi")
    checked = FineTune.Params(**FineTune.recipes[recipe], **params)
    return FineTune(None, checked, known, {"init": started(Layers(12, groups, dim))})


def rates(strategy: FineTune, lr: float) -> list[list[float]]:
    """Of each phase, the optimiser's rates of the head and of the encoder's groups from last to first."""
    places = [list(strategy.head.parameters()), *reversed(strategy.encoder.groups())]
    found = []
    for phase in strategy.phases():
        groups = build_optimiser(phase, Budget(steps=1, batch=2, lr=lr)).param_groups
        rate = {id(p): group["lr"] for group in groups for p in group["params"]}
        by_place = [{rate[id(p)] for p in place if id(p) in rate} for place in places]
        assert all(len(each) <= 1 for each in by_place)
        found.append([each.pop() for each in by_place if each])
    return found


def tensors(module) -> tuple[dict, dict]:
    """Copies of the parameters and of the buffers."""
    parameters = {name: p.detach().clone() for name, p in module.named_parameters()}
    return parameters, {name: b.clone() for name, b in module.named_buffers()}


def same(ours: dict, theirs: dict) -> list[bool]:
    return [torch.equal(ours[name], theirs[name]) for name in ours]


def watched(fit: Fit, until: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """(signal, embedding) of every pass of the encoder up to a step."""
    seen = []
    hook = fit.strategy.encoder.register_forward_hook(
        lambda _, inputs, output: seen.append((inputs[0].clone(), output))
    )
    fit.run(until)
    hook.remove()
    return seen


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
    parameters, buffers = tensors(pretrained.encoder)
    fit.run(until=1)
    after, moved = tensors(pretrained.encoder)
    assert not all(same(parameters, after))
    assert not any(same(buffers, moved))  # batch norm is in training mode


@pytest.mark.parametrize(
    ("recipe", "groups", "lr", "expected"),
    [
        ("linear", 4, 4e-3, [[4e-3]]),
        ("ssl12lead_plain", 4, 0.01, [[0.01] * 5]),
        ("ssl12lead", 4, 4e-3, [[4e-3], [0.01, 0.01 / 4, 0.01 / 16, 0.01 / 64, 0.01 / 256]]),
        ("cpc", 2, 1e-3, [[1e-3], [1e-4, 1e-5, 1e-6]]),
        ("clocs", 4, 1e-4, [[1e-4] * 5]),
    ],
)
def test_rates_of_the_published_protocols(recipe, groups, lr, expected):
    found = rates(classifier(groups, 8, recipe), lr)
    assert [len(phase) for phase in found] == [len(phase) for phase in expected]
    for ours, published in zip(found, expected, strict=True):
        assert ours == pytest.approx(published)


@pytest.mark.parametrize(
    ("recipe", "epochs", "expected"),
    [
        ("linear", 50, [50]),
        ("ssl12lead_plain", 50, [50]),
        ("ssl12lead", 100, [50, 100]),
        ("cpc", 70, [50, 70]),
    ],
)
def test_epochs_of_the_published_protocols(recipe, epochs, expected):
    bounds = phase_bounds(classifier(2, 8, recipe).phases(), epochs * EPOCH)
    assert bounds == [epoch * EPOCH for epoch in expected]


@pytest.mark.parametrize(("recipe", "parameters"), [("linear", 109_127), ("cpc", 827_463)])
def test_heads_on_cpc_have_the_published_size(recipe, parameters):
    head = classifier(2, 1536, recipe).head
    assert sum(p.numel() for p in head.parameters()) == parameters


def test_frozen_means_frozen_in_linear_evaluation(tmp_path, pretrained):
    """Neither weights nor statistics move, nothing is dropped, no gradient is paid for; validation between too."""
    _, fit = finetuning(tmp_path, pretrained, head_share=1.0)
    fit.validation = fit.data
    fit.budget = fit.budget.model_copy(update={"selection": "best_val_loss", "check_every": 2})
    before, head = state_hash(pretrained), state_hash(fit.strategy.head)
    seen = watched(fit, STEPS)
    assert fit.done == STEPS
    assert state_hash(pretrained) == before
    assert state_hash(fit.strategy.head) != head
    assert len(seen) > STEPS
    for signal, embedding in seen:
        assert not embedding.requires_grad
        assert torch.equal(embedding, fit.strategy.encoder.eval()(signal))
    assert all(p.grad is None for p in pretrained.parameters())


@pytest.mark.parametrize("head_share", [0.5, 1.0])
def test_frozen_as_published_drifts(tmp_path, pretrained, head_share):
    """Weights stay, batch norm's statistics move and dropout is active; still without a gradient."""
    _, fit = finetuning(tmp_path, pretrained, head_share=head_share, as_published_frozen=True)
    parameters, buffers = tensors(pretrained.encoder)
    seen = watched(fit, STEPS // 2)
    assert all(module.training for module in pretrained.encoder.modules())
    after, moved = tensors(pretrained.encoder)
    assert all(same(parameters, after))
    assert buffers
    assert not any(same(buffers, moved))
    for signal, embedding in seen:
        assert not embedding.requires_grad
        assert not torch.equal(embedding, fit.strategy.encoder.eval()(signal))


def test_every_layer_of_the_head_is_trained_while_it_trains_alone(tmp_path, pretrained):
    """The published code trains the first of the two alone."""
    _, fit = finetuning(tmp_path, pretrained, head="mlp", hidden=4, head_share=1.0)
    before = tensors(fit.strategy.head)
    fit.run()
    after = tensors(fit.strategy.head)
    assert len(before[0]) == 8
    assert not any(same(before[0], after[0]))
    assert not any(same(before[1], after[1]))  # batch norm of the head learns its statistics


def test_a_recurrent_encoder_is_frozen_then_tuned(tmp_path):
    parent = started(Recurrent(12))
    _, fit = finetuning(tmp_path, parent, **FineTune.recipes["cpc"] | {"hidden": 4})
    features, lstm = parent.encoder.features, parent.encoder.lstm
    before = state_hash(features), state_hash(lstm)
    fit.run(until=4)  # of 6, as 50 of 70
    assert (state_hash(features), state_hash(lstm)) == before
    fit.run(until=5)
    assert state_hash(features) != before[0]
    assert state_hash(lstm) != before[1]


@pytest.mark.parametrize("params", [{"head_share": 0.0}, {"as_published_frozen": True}])
def test_what_the_parent_has_beside_its_encoder_stays_as_it_is(tmp_path, params):
    parent = started(ResNet1d18(12, **ENCODER), Projected)
    _, fit = finetuning(tmp_path, parent, **params)
    beside, encoder = state_hash(parent.map), state_hash(parent.encoder)
    assert fit.strategy.head.linear.in_features == 3
    fit.run()
    assert state_hash(parent.map) == beside
    assert state_hash(parent.encoder) != encoder


@pytest.mark.parametrize(
    "params",
    [{"head_share": 1.1}, {"head_share": 0, "as_published_frozen": True}, {"head": "cosine"}, {"hidden": 0}],
)
def test_refusals(params):
    with pytest.raises(ValidationError):
        FineTune.Params(**params)


@pytest.mark.parametrize("recipe", ["linear", "cpc"])
def test_recipes_keep_the_contract(recipe):
    only = frozenset({"resumes", "stored"})
    checks = check_strategy(FineTune, FineTune.recipes[recipe], only=only)
    assert len(checks) == len(only)
    assert [check.detail for check in checks if not check.ok] == []


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
    stand.parents = lambda *_: {"init": first.run().strategy}
    strategy = stand.fit().run().strategy
    assert strategy.encoder is pretrained.encoder
    assert json.dumps(sorted(strategy.state_dict())).count("init.init.encoder") > 10
