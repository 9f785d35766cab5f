"""CROCS: whom it learns from, what its parameters change, and that its prototypes come to mean what they say."""

import itertools
import json
import math

import pytest
import torch

from bench.nn.prototypes import arrangement_loss, soft_weights
from bench.train.strategy import Field, UndeclaredField
from strategies.crocs import CROCS
from tests.strategies.making import STEP, FirstSample, batch, generator, info, make, signals

EDGES = (49.0, 62.0, 72.0)
KNOWN = info(classes=("AFIB", "GSVT", "SB", "SR"), counts=(4, 2, 4), edges=EDGES)
NAN = float("nan")


def build(**params):
    torch.manual_seed(0)
    return make(CROCS, KNOWN, **params)


def patients(codes, signal=None):
    """A batch whose records have these (class, sex, age in years); class None: no label."""
    labels = torch.zeros(len(codes), 4)
    for row, (label, _, _) in enumerate(codes):
        if label is not None:
            labels[row, label] = 1
    sex, age = torch.tensor([s for _, s, _ in codes]), torch.tensor([float(a) for _, _, a in codes])
    return batch(signals(len(codes)) if signal is None else signal, labels=labels, sex=sex, age=age)


def loss_of(strategy, b):
    return strategy.loss(b, strategy.views(b, generator()), STEP)


def test_prototypes_stand_for_the_attribute_sets_in_order():
    strategy = build()
    assert strategy.attributes().tolist() == [
        list(s) for s in itertools.product(range(4), range(2), range(4))
    ]
    assert strategy.groups() == len(strategy.prototypes()) == 32


def test_initial_prototypes():
    unit, normal = build().points.detach(), build(initial="normal").points.detach()
    assert torch.allclose(unit.norm(dim=1), torch.ones(32))
    assert torch.allclose(unit, normal / normal.norm(dim=1, keepdim=True))
    assert normal.std() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    ("params", "kind"), [({"loss": "hard"}, "hard"), ({}, 1.0), ({"softness": "uniform"}, math.inf)]
)
def test_loss_against_loops(params, kind):
    strategy = build(regulariser=2.0, temperature=0.2, **params)
    b = patients([(0, 0, 49.0), (1, 1, 49.5), (3, 0, 72.0), (2, 1, 73.0)])
    mine = [0 * 8 + 0 + 0, 1 * 8 + 4 + 1, 3 * 8 + 0 + 2, 2 * 8 + 4 + 3]
    weights = torch.eye(32) if kind == "hard" else soft_weights(strategy.sets, kind)
    v, points, total = b.signal[:, :, 0], strategy.points.detach(), 0.0
    for i, own in enumerate(mine):
        logits = [float(torch.cosine_similarity(v[i], p, 0)) / 0.2 for p in points]
        log_sum = math.log(sum(map(math.exp, logits)))
        total -= sum(float(w) * (s - log_sum) for w, s in zip(weights[own], logits, strict=True)) / 4
    spread = float(arrangement_loss(points, strategy.sets))
    loss = loss_of(strategy, b)
    assert float(loss.parts["contrast"].detach()) == pytest.approx(total, rel=1e-5)
    assert float(loss.parts["regulariser"].detach()) == pytest.approx(spread)
    assert float(loss.total.detach()) == pytest.approx(total + 2 * spread, rel=1e-5)


@pytest.mark.parametrize("unknown", [(None, 1, 60), (1, -1, 60), (1, 1, NAN)])
def test_instances_that_are_not_wholly_known_do_not_count(unknown):
    strategy = build()
    signal = signals(3)
    both = patients([(0, 0, 40), unknown, (2, 1, 80)], signal)
    known = patients([(0, 0, 40), (2, 1, 80)], signal[[0, 2]])
    assert torch.allclose(loss_of(strategy, both).total, loss_of(strategy, known).total)
    nobody = loss_of(strategy, patients([unknown, unknown], signal[:2]))
    nobody.total.backward()
    assert float(nobody.parts["contrast"].detach()) == 0
    assert float(strategy.encoder.weight.grad) == 0
    assert strategy.points.grad.isfinite().all()


def test_several_classes_are_masked():
    strategy = build()
    b = batch(signals(1), labels=torch.tensor([[1.0, 1, 0, 0]]), sex=[0], age=[50.0])
    assert float(loss_of(strategy, b).parts["contrast"].detach()) == 0


def test_gradient_reaches_every_prototype_and_the_encoder():
    strategy = build(regulariser=0.0)
    strategy.encoder.bias = torch.nn.Parameter(torch.zeros(12))  # the scale alone changes no cosine
    strategy.encoder.forward = lambda x: x[:, :, 0] * strategy.encoder.weight + strategy.encoder.bias
    loss_of(strategy, patients([(0, 0, 40), (2, 1, 80)])).total.backward()
    assert (strategy.points.grad.abs().sum(1) > 0).all()
    assert strategy.encoder.bias.grad.abs().sum() > 0


def test_the_regulariser_can_be_switched_off():
    full, none = build(), build(regulariser=0.0)
    b = patients([(0, 0, 40), (2, 1, 80)])
    assert torch.equal(loss_of(none, b).total, loss_of(full, b).parts["contrast"])
    assert torch.equal(loss_of(none, b).parts["regulariser"], loss_of(full, b).parts["regulariser"])


@pytest.mark.parametrize(
    "changed", [{"age": "ordinal"}, {"distance": "plain"}, {"reduction": "sum"}, {"beta": 0.4}]
)
def test_parameters_of_the_regulariser_reach_it(changed):
    strategy = build(**changed)
    found = loss_of(strategy, patients([(0, 0, 40)])).parts["regulariser"]
    assert torch.equal(found, arrangement_loss(strategy.points, strategy.sets, **changed))
    assert not torch.equal(found, arrangement_loss(strategy.points, strategy.sets))


def test_health_of_a_batch():
    strategy = build()
    own = torch.zeros(4, 12, 40)
    own[:, :, 0] = strategy.points.detach()[[3, 3, 3, 17]]
    parts = loss_of(strategy, patients(4 * [(0, 0, 40)], own)).parts
    assert float(parts["largest_share"]) == 0.75
    assert float(parts["usage_entropy"]) == pytest.approx(
        -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) / math.log(32)
    )


def test_assignment_by_direction_or_as_they_are():
    unit, raw = build(), build(compared="raw")
    for strategy in (unit, raw):
        with torch.no_grad():
            strategy.points.zero_()
            strategy.points[:, 0] = -1.0
            strategy.points[5, :2] = torch.tensor([0.3, 0.1])
            strategy.points[9, :2] = torch.tensor([6.0, 6.0])
    v = torch.zeros(2, 12)
    v[0, :2] = torch.tensor([30.0, 11.0])  # in the direction of 5, nearer to 9
    v[1, :2] = torch.tensor([0.1, 0.1])  # in the direction of 9, nearer to 5
    assert unit.assign(v).tolist() == [5, 9]
    assert raw.assign(v).tolist() == [9, 5]
    assert unit.attributes()[unit.assign(v)].tolist() == [[0, 1, 1], [1, 0, 1]]
    assert torch.allclose(unit.prototypes().norm(dim=1), torch.ones(32))
    assert torch.equal(raw.prototypes(), raw.points.detach())


def test_prototypes_are_not_decayed_and_every_parameter_learns():
    strategy = build()
    groups = strategy.parameter_groups()
    holding = [g for g in groups if any(p is strategy.points for p in g["params"])]
    assert [g["decay"] for g in holding] == [False]
    listed = [id(p) for g in groups for p in g["params"]]
    assert sorted(listed) == sorted(id(p) for p in strategy.parameters())


@pytest.mark.parametrize("recipe", CROCS.recipes)
def test_parameters_survive_json(recipe):
    params = CROCS.Params(**CROCS.recipes[recipe])
    text = json.dumps(params.model_dump(mode="json"), allow_nan=False)
    assert CROCS.Params.model_validate(json.loads(text)) == params


def test_recipes_are_the_rows_of_the_ablation():
    weights = {name: build(**recipe).weights[0] for name, recipe in CROCS.recipes.items()}
    assert weights["hard"].tolist() == [1.0] + 31 * [0.0]
    assert weights["uniform"].tolist() == 8 * [0.125] + 24 * [0.0]
    assert torch.equal(weights["soft"], weights["crocs"])
    off = {name for name, recipe in CROCS.recipes.items() if CROCS.Params(**recipe).regulariser == 0}
    assert off == {"hard", "uniform", "soft"}
    assert CROCS.Params(**CROCS.recipes["board"]) == CROCS.Params()


@pytest.mark.parametrize(
    "wrong", [{"softness": math.inf}, {"softness": 0}, {"softness": "flat"}, {"temperature": 0}, {"tau": 1}]
)
def test_parameters_that_mean_nothing_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        CROCS.Params(**wrong)


def test_training_sets_without_classes_or_ages_are_refused():
    assert CROCS.incompatible(KNOWN, CROCS.Params()) is None
    assert "no classes" in CROCS.incompatible(info(edges=EDGES), CROCS.Params())
    assert "ages" in CROCS.incompatible(info(counts=(4, 2, 0)), CROCS.Params())


def test_it_pays_with_labels_and_demographics():
    assert CROCS.needs == {Field.LABELS, Field.DEMOGRAPHICS}
    strategy, b = build(), patients([(0, 0, 40)])
    b = type(b)(b.signal, b.index, b.record, type(b.fields)({}, frozenset(), "crocs"))
    with pytest.raises(UndeclaredField, match="labels"):
        loss_of(strategy, b)


def test_only_what_is_learnt_is_stored():
    strategy, other = build(), build(softness="uniform")
    assert set(strategy.state_dict()) == {"points", "encoder.weight"}
    other.load_state_dict(strategy.state_dict(), strict=True)
    assert torch.equal(other.prototypes(), strategy.prototypes())


class Linear(FirstSample):
    """A linear map of the first sample of each lead."""

    def __init__(self, leads: int) -> None:
        super().__init__(leads)
        self.map = torch.nn.Linear(leads, leads)

    def forward(self, signal):
        return self.map(signal[:, :, 0])


@pytest.mark.parametrize("recipe", ["crocs", "hard"])
def test_prototypes_come_to_mean_what_they_stand_for(recipe):
    torch.manual_seed(0)
    strategy = CROCS(Linear(12), CROCS.Params(**CROCS.recipes[recipe]), KNOWN)
    sets = strategy.attributes()[torch.arange(256) % 32]
    parts = [torch.nn.functional.one_hot(sets[:, i], n) for i, n in enumerate((4, 2, 4))]
    signal = torch.cat((*parts, torch.zeros(256, 2)), 1).float()[:, :, None]
    signal = signal + 0.1 * torch.randn(signal.shape, generator=generator())
    ages = torch.tensor([40.0, 55.0, 70.0, 80.0])[sets[:, 2]]
    b = patients(list(zip(*(x.tolist() for x in (sets[:, 0], sets[:, 1], ages)), strict=True)), signal)
    optimiser = torch.optim.Adam(strategy.parameters(), lr=0.02)
    for _ in range(200):
        optimiser.zero_grad()
        loss_of(strategy, b).total.backward()
        optimiser.step()
    found = strategy.attributes()[strategy.assign(strategy.embed(b))]
    assert (found == sets).float().mean(0).min() > 0.97
    assert float(loss_of(strategy, b).parts["usage_entropy"]) > 0.97
