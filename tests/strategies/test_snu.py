"""The SNU entry: its thirteen columns, masks by database, augmentations, and fine-tuning with the same head."""

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F

from bench.nn.encoders.efficientnet1d import EfficientNet1d
from bench.nn.encoders.resnet1d34 import ResNet1d34
from bench.nn.transforms import gaussian_blur
from bench.run.contract.stand import CPU, STEPS, Stand, Start
from bench.train.build import build
from bench.train.checkpoint import from_bytes, to_bytes
from bench.train.fit import Seeds, state_hash
from bench.train.strategy import Field, Fields, Training, Views
from strategies.simclr import SimCLR
from strategies.snu import Snu, SnuFineTuned, peaks, person
from tests.strategies.making import STEP, FirstSample, batch, generator, info, make, signals

NAN = float("nan")
SOURCES = ("one", "two")
SEEN = torch.tensor([[0.8, 0.1, 0.05, 1.2, 0.3, 75.0, 60.0, 90.0], [NAN] * 8])
MULTI = {"classes": ("x", "y", "z"), "kind": "multi", "databases": SOURCES}
PLAIN = {"features": "none", "augmentations": (), "dropout": 0.0}


def training(**columns) -> Training:
    fields = Fields({name: torch.as_tensor(c) for name, c in columns.items()}, frozenset(Field), "test")
    return Training(fields, lambda rows=None: torch.empty(0), 0)


def with_logits(strategy, logits):
    """The strategy, whose logits are these, which collect a gradient."""
    strategy.logits = lambda _: logits
    return strategy


def test_person_against_hand_values():
    rows = person(torch.tensor([50.0, NAN, 7.0]), torch.tensor([1, 0, -1]), torch.tensor(62.5))
    assert rows.dtype == torch.float32
    expected = [[0.5, 1, 0, 0], [0.625, 0, 1, 0], [0.07, 0, 0, 1]]
    torch.testing.assert_close(rows, torch.tensor(expected))


def test_peaks_against_hand_values():
    expected = [[0.8, 0.1, 0.05, 1.2, 0.3, 0.75, 0.6, 0.9, 0], [-1] * 8 + [1]]
    torch.testing.assert_close(peaks(SEEN), torch.tensor(expected))
    broken = SEEN[:1].clone()
    broken[0, 2] = NAN
    torch.testing.assert_close(peaks(broken), torch.tensor(expected[1:], dtype=torch.float32))


@pytest.mark.parametrize(("features", "count"), [("all", 13), ("age_sex", 4), ("none", 0)])
def test_columns_reach_the_last_layer_in_their_order(features, count):
    known = info(leads=2, classes=tuple(map(str, range(max(count, 1)))), kind="multi")
    strategy = make(Snu, known, features=features).train()  # columns are never dropped
    strategy.mean_age.fill_(40)
    with torch.no_grad():
        strategy.head.linear.weight.zero_()[:, 2:] = torch.eye(max(count, 1), count)
        strategy.head.linear.bias.zero_()
    assert strategy.head.linear.in_features == 2 + count
    b = batch(signals(2, leads=2), age=[NAN, 31.0], sex=[0, 1], features=SEEN)
    expected = torch.tensor(
        [
            [0.4, 0, 1, 0, 0.8, 0.1, 0.05, 1.2, 0.3, 0.75, 0.6, 0.9, 0],
            [0.31, 1, 0, 0, *[-1] * 8, 1],
        ]
    )
    torch.testing.assert_close(strategy.logits(b), expected[:, :count] if count else torch.zeros(2, 1))


def test_masks_and_mean_age_of_the_labelled_records():
    labels = torch.tensor(
        [[1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1], [0, 1, 0], [0, 0, 0]], dtype=torch.float32
    )
    strategy = make(Snu, info(leads=2, **MULTI | {"databases": ("a", "b", "c")}))
    assert bool(strategy.masks.all())
    strategy.setup(
        training(
            labels=labels,
            labelled=[True, True, False, True, True, False],
            database=[0, 0, 1, 1, -1, 2],
            age=[50.0, NAN, 90.0, 20.0, 35.0, 10.0],
            sex=[0] * 6,
        )
    )
    # the third database has no labelled record, which says nothing of any class
    assert strategy.masks.tolist() == [[True, True, False], [False, False, True], [True] * 3]
    assert float(strategy.mean_age) == pytest.approx((50 + 20 + 35) / 3)


def test_nobody_of_known_age_is_no_nan():
    strategy = make(Snu, info(leads=2, **MULTI), features="age_sex", mask=False)
    strategy.setup(training(labels=torch.zeros(2, 3), labelled=[True, True], age=[NAN, NAN], sex=[0, 0]))
    assert float(strategy.mean_age) == 0


def test_the_masked_loss_against_a_loop_and_no_gradient_where_it_is_masked():
    strategy = make(Snu, info(leads=2, **MULTI), **PLAIN)
    strategy.masks.copy_(torch.tensor([[1, 0, 1], [0, 1, 1]]))
    logits = torch.randn(4, 3, generator=generator()).requires_grad_()
    labels = torch.tensor([[1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 1, 1]], dtype=torch.float32)
    database, labelled = [0, 1, -1, 1], [True, True, True, False]
    b = batch(signals(4, leads=2), labels=labels, labelled=labelled, database=database)
    total = with_logits(strategy, logits).loss(b, Views.of(b.signal), STEP).total
    expected, gradient = 0.0, torch.zeros(4, 3)
    for i, (row, seen) in enumerate(zip(database, labelled, strict=True)):
        for k in range(3):
            p, y = 1 / (1 + math.exp(-float(logits[i, k].detach()))), float(labels[i, k])
            if seen and (row < 0 or strategy.masks[row, k]):
                expected -= y * math.log(p) + (1 - y) * math.log(1 - p)
                gradient[i, k] = (p - y) / 9  # three labelled records of three classes, masked ones counted
    assert float(total.detach()) == pytest.approx(expected / 9, rel=1e-5)
    total.backward()
    torch.testing.assert_close(logits.grad, gradient)
    assert not bool(logits.grad[0, 1]) and not bool(logits.grad[1, 0]) and not bool(logits.grad[3].any())


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_without_masks_the_loss_is_the_tasks_own(kind):
    strategy = make(Snu, info(leads=2, classes=("x", "y", "z"), kind=kind), mask=False, **PLAIN)
    labels = torch.eye(3)
    b = batch(signals(3, leads=2), labels=labels, labelled=[True, True, False])
    total = strategy.loss(b, Views.of(b.signal), STEP).total
    logits = strategy.logits(b)[:2]
    if kind == "single":
        expected = F.cross_entropy(logits, torch.tensor([0, 1]))
    else:
        expected = F.binary_cross_entropy_with_logits(logits, labels[:2])
    torch.testing.assert_close(total, expected)


def test_augmentations_are_drawn_each_by_itself():
    signal = 2 + signals(4000, leads=1, samples=100)
    views = make(Snu, info(leads=1, **MULTI)).views(batch(signal), generator()).signal
    cut = (views == 0).sum(2).flatten()
    assert set(cut.tolist()) <= {
        0,
        6,
        8,
        10,
    }  # a tenth of 100 samples, less two at each end where a blur comes after
    blurred = gaussian_blur(signal, generator())
    kinds = {"cut": cut > 0, "alike": (views == signal).flatten(1).all(1)}
    kinds["blurred"] = torch.isclose(views, blurred).flatten(1).all(1)
    share = {name: float(where.float().mean()) for name, where in kinds.items()}
    assert share["cut"] == pytest.approx(0.25, abs=0.03)
    assert share["alike"] == pytest.approx(0.75 * 0.75, abs=0.03)
    assert share["blurred"] == pytest.approx(0.75 * 0.25, abs=0.03)


def test_augmentations_spare_the_padding_and_what_is_judged():
    signal = 5 + signals(50, leads=2, samples=60)
    b = batch(signal)
    padded = type(b)(b.signal, b.index, b.record, b.fields, torch.full((50,), 45))
    strategy = make(Snu, info(leads=2, **MULTI), probability=1.0)
    views = strategy.views(padded, generator()).signal
    assert torch.equal(views[..., 45:], signal[..., 45:])
    assert bool((views[..., :45] != signal[..., :45]).flatten(1).any(1).all())
    for plain in (strategy.eval(), make(Snu, info(leads=2, **MULTI), augmentations=())):
        assert torch.equal(plain.views(b, generator()).signal, signal)


def test_dropout_of_the_embedding_in_training_alone():
    strategy = make(Snu, info(leads=1, classes=("x",), kind="multi"), features="none")
    with torch.no_grad():
        strategy.head.linear.weight.fill_(1)
        strategy.head.linear.bias.zero_()
    b = batch(signals(4000, leads=1))
    torch.manual_seed(0)
    scale = strategy.train().logits(b) / b.signal[:, :, 0]
    assert float((scale == 0).float().mean()) == pytest.approx(0.3, abs=0.03)
    torch.testing.assert_close(
        scale[scale != 0], torch.full_like(scale[scale != 0], 1 / 0.7), rtol=1e-4, atol=0
    )
    assert torch.equal(strategy.eval().logits(b), b.signal[:, :, 0])
    assert torch.equal(strategy.train().embed(b), b.signal[:, :, 0])


@pytest.mark.parametrize(
    ("params", "at_test", "in_training"),
    [
        ({}, {Field.DEMOGRAPHICS, Field.FEATURES}, {Field.LABELS, Field.DATABASE}),
        ({"mask": False}, {Field.DEMOGRAPHICS, Field.FEATURES}, {Field.LABELS}),
        ({"features": "age_sex"}, {Field.DEMOGRAPHICS}, {Field.LABELS, Field.DATABASE}),
        ({"features": "none"}, set(), {Field.LABELS, Field.DATABASE}),
        ({"features": "none", "mask": False}, set(), {Field.LABELS}),
    ],
)
def test_what_it_pays_for_follows_its_parameters(params, at_test, in_training):
    checked = Snu.Params(**params)
    assert Snu.needs_at_test_with(checked) == at_test
    assert Snu.needs_with(checked) == at_test | in_training
    assert Snu.needs == Snu.needs_with(Snu.Params())
    assert SnuFineTuned.needs == SnuFineTuned.needs_with(SnuFineTuned.Params())
    assert SnuFineTuned.needs_at_test == SnuFineTuned.needs_at_test_with(SnuFineTuned.Params())


@pytest.mark.parametrize("kind", [Snu, SnuFineTuned])
def test_recipes(kind):
    assert kind.Params(**kind.recipes["paper"]) == kind.Params()
    plain = kind.Params(features="none", dropout=0.0)
    assert kind.Params(**kind.recipes["research"]) == plain  # ResNet-34 and a linear layer, nothing between
    assert kind.needs_with(kind.Params(**kind.recipes["board"])) == {Field.LABELS}


@pytest.mark.parametrize(
    "params", [{"probability": 1.1}, {"dropout": 1.0}, {"features": "some"}, {"augmentations": ("blurr",)}]
)
def test_refusals(params):
    with pytest.raises(ValidationError):
        Snu.Params(**params)


@pytest.mark.parametrize(
    ("kind", "features", "expected"),
    [
        (EfficientNet1d, "all", 10_447_212),
        (EfficientNet1d, "none", 10_446_874),
        (ResNet1d34, "none", 7_233_818),
    ],
)
def test_published_numbers_of_parameters(kind, features, expected):
    known = info(leads=6, classes=tuple(map(str, range(26))), kind="multi")
    strategy = Snu(kind(6), Snu.Params(features=features), known)
    assert sum(p.numel() for p in strategy.parameters()) == expected


def test_a_fit_of_everything_is_stored_whole(tmp_path):
    stand = Stand(Snu, {}, tmp_path)
    fit = stand.fit(task="conditions")
    masks, mean_age = fit.strategy.masks.clone(), fit.strategy.mean_age.clone()
    before = state_hash(fit.strategy.encoder)
    fit.run()
    assert fit.strategy.info.databases == SOURCES
    assert torch.equal(fit.strategy.masks, masks)
    counted = fit.data.record[fit.data.fields.column("labelled")]
    assert 0 < len(counted) < len(fit.data.record)
    ages = stand.corpus.records["age"].to_numpy()[counted.numpy()]
    assert float(mean_age) == pytest.approx(np.nanmean(ages), rel=1e-6)
    assert state_hash(fit.strategy.encoder) != before
    rebuilt = build(stand.recipe({}, task="conditions"), CPU, Seeds(9, 9))
    rebuilt.load_state_dict(from_bytes(to_bytes(fit.strategy.state_dict())), strict=True)
    b = stand.judged(8)
    assert torch.equal(rebuilt.eval().logits(b), fit.strategy.eval().logits(b))


def pretrained(leads: int) -> SimCLR:
    torch.manual_seed(3)
    return SimCLR(ResNet1d34(leads, width=4), SimCLR.Params(projection=8, hidden=8), info(leads, 320))


@pytest.mark.parametrize("kind", [Snu, SnuFineTuned])
def test_everything_learns_at_one_rate_from_the_first_step(kind):
    parents = {"init": pretrained(2)}
    parents["init"].encoder.requires_grad_(False)  # as it is after a phase that froze it
    fresh = ResNet1d34(2, width=4)
    strategy = kind(fresh, kind.Params(features="none"), info(2, 320, **MULTI), parents)
    (phase,) = strategy.phases()
    assert phase.share == 1
    assert {group["lr_scale"] for group in phase.groups} == {1.0}
    trained = {id(p) for group in phase.groups for p in group["params"]}
    assert trained == {id(p) for p in [*strategy.encoder.parameters(), *strategy.head.parameters()]}
    assert trained == {id(p) for p in strategy.parameters()}


def test_fine_tuning_begins_with_the_parents_encoder_and_drops_the_rest():
    init = pretrained(2)
    strategy = SnuFineTuned(FirstSample(2), SnuFineTuned.Params(), info(2, 320, **MULTI), {"init": init})
    assert strategy.encoder is init.encoder
    assert not [name for name in strategy.state_dict() if "init" in name or "projector" in name]
    b = batch(signals(3, leads=2, samples=320))
    assert torch.equal(strategy.eval().embed(b), init.eval().embed(b))
    assert strategy.logits(b).shape == (3, 3)
    with pytest.raises(ValueError, match="takes 3 leads, an instance has 2"):
        SnuFineTuned(FirstSample(2), SnuFineTuned.Params(), info(2), {"init": pretrained(3)})


def test_both_begin_with_the_same_last_layer_and_differ_in_the_encoder(tmp_path):
    """The label-ratio curve compares them, in pairs."""
    scratch = Stand(Snu, {"features": "none"}, tmp_path / "a").fit(task="conditions").strategy
    tuned = Stand(SnuFineTuned, {}, tmp_path / "b")
    stranger = {"init": Start(ResNet1d34(12, width=2), Start.Params(), info(12, 300))}
    tuned.parents = lambda *_: stranger
    fit = tuned.fit(task="conditions")
    assert fit.strategy.encoder is stranger["init"].encoder
    assert torch.equal(fit.strategy.head.linear.weight, scratch.head.linear.weight)
    assert torch.equal(fit.strategy.masks, scratch.masks)
    before = state_hash(fit.strategy.encoder)
    fit.run(until=1)
    assert state_hash(fit.strategy.encoder) != before
    assert fit.run().done == STEPS
