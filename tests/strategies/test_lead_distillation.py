"""Lead distillation: sizes, what is learnt and what is frozen, and on which side of the loss the likeness stands."""

import math

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn import functional as F

from bench.nn.encoders.inception_time import InceptionTime
from bench.nn.soft_labels import soft_label_encoding
from bench.run.contract.stand import CPU, Stand, Start
from bench.train.build import build
from bench.train.checkpoint import from_bytes, to_bytes
from bench.train.fit import Seeds, state_hash
from bench.train.strategy import Field, Views
from strategies.lead_distillation import LeadDistillation, Multimodal, distance
from tests.strategies.making import STEP, FirstSample, batch, generator, info, make, signals

NAN = float("nan")
FIVE = {"classes": ("CD", "HYP", "MI", "NORM", "STTC"), "kind": "multi"}
PERSON = {
    "age": [56.0, 30.0, NAN],
    "sex": [1, 0, -1],
    "height": [NAN, 181.0, NAN],
    "weight": [63.0, NAN, NAN],
}
LABELS = torch.tensor([[1, 0, 0, 0, 1], [0, 0, 0, 1, 0], [0, 1, 0, 0, 0]], dtype=torch.float32)


def people(leads: int, labelled=(True, True, True), target=None):
    extra = {} if target is None else {"embedding:target": target}
    columns = {**PERSON, "labels": LABELS, "labelled": list(labelled), **extra}
    return batch(signals(3, leads=leads), **columns)


def parent(**params) -> Multimodal:
    torch.manual_seed(1)
    return make(Multimodal, info(leads=4, **FIVE), **params)


def student(of: Multimodal, leads: int = 2, seed: int = 2, **params) -> LeadDistillation:
    torch.manual_seed(seed)
    checked = LeadDistillation.Params(**params)
    return LeadDistillation(FirstSample(leads), checked, info(leads=leads, **FIVE), {"classifier": of})


def loss_of(strategy, b):
    return strategy.loss(b, Views.of(b.signal), STEP)


def cosine(a, b):
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


@pytest.mark.parametrize(
    ("leads", "expected"), [(12, 519_797), (6, 518_645), (4, 518_261), (3, 518_069), (2, 517_877)]
)
def test_published_numbers_of_parameters(leads, expected):
    known = info(leads=leads, **FIVE)
    strategy = Multimodal(InceptionTime(leads), Multimodal.Params(), known)
    assert sum(p.numel() for p in strategy.parameters()) == expected
    encoder = sum(p.numel() for p in strategy.encoder.parameters())
    assert expected - encoder == 46_453
    reduced = LeadDistillation(
        InceptionTime(leads), LeadDistillation.Params(), known, {"classifier": strategy}
    )
    assert sum(p.numel() for p in reduced.parameters()) == expected
    assert sum(p.numel() for group in reduced.parameter_groups() for p in group["params"]) == expected - 645


@pytest.mark.parametrize(
    ("params", "parts"),
    [
        ({"metadata": "none"}, 256 * 128 + 128 + 645),
        ({"classifier": "mlp"}, 46_453 + 128 * 128 + 128),
        ({"embedding": 10}, 1584 + 3136 + 320 * 10 + 10 + 10 * 5 + 5),
    ],
)
def test_sizes_of_the_other_heads(params, parts):
    strategy = Multimodal(InceptionTime(12), Multimodal.Params(**params), info(**FIVE))
    encoder = sum(p.numel() for p in strategy.encoder.parameters())
    assert sum(p.numel() for p in strategy.parameters()) - encoder == parts


@pytest.mark.parametrize("imputed", [False, True])
def test_the_embedding_against_its_layers(imputed):
    strategy, b = parent(imputed=imputed), people(4)
    code = soft_label_encoding(b.age, b.sex, b.height, b.weight, imputed)
    first, _, second = strategy.metadata
    hidden = (code @ first.weight.T + first.bias).clamp(min=0)
    beside = torch.cat((b.signal[:, :, 0], hidden @ second.weight.T + second.bias), dim=1)
    v = beside @ strategy.projection.weight.T + strategy.projection.bias
    torch.testing.assert_close(strategy.embed(b), v)
    logits = v @ strategy.classifier.weight.T + strategy.classifier.bias
    torch.testing.assert_close(strategy.logits(b), logits)
    total = loss_of(strategy, b).total
    torch.testing.assert_close(total, F.binary_cross_entropy_with_logits(logits, LABELS))


def test_without_metadata_nobody_is_looked_at():
    strategy = parent(metadata="none")
    b = batch(signals(3, leads=4))
    v = b.signal[:, :, 0] @ strategy.projection.weight.T + strategy.projection.bias
    torch.testing.assert_close(strategy.embed(b), v)
    for kind in (Multimodal, LeadDistillation):
        for metadata, fields in (("soft", {Field.DEMOGRAPHICS}), ("none", set())):
            checked = kind.Params(metadata=metadata)
            assert kind.needs_at_test_with(checked) == fields
            assert kind.needs_with(checked) == fields | {Field.LABELS}
        assert kind.needs == kind.needs_with(kind.Params())
        assert kind.needs_at_test == kind.needs_at_test_with(kind.Params())


def test_distances_against_explicit_loops():
    g = generator()
    v, target = torch.randn(6, 5, generator=g), 3 * torch.randn(6, 5, generator=g)
    pairs = list(zip(v.tolist(), target.tolist(), strict=True))
    expected = {
        "cosine": [1 - cosine(a, b) for a, b in pairs],
        "l1": [sum(abs(x - y) for x, y in zip(a, b, strict=True)) / 5 for a, b in pairs],
        "l2": [math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) / 5) for a, b in pairs],
    }
    for kind, rows in expected.items():
        assert distance(v, target, kind).tolist() == pytest.approx(rows, rel=1e-5)
        torch.testing.assert_close(distance(v, v, kind), torch.zeros(6))
        ones = v + 1  # off by a vector of ones, whatever its width
        assert kind == "cosine" or distance(v, ones, kind).tolist() == pytest.approx([1] * 6, rel=1e-5)
        assert distance(v.bfloat16(), target, kind).dtype == torch.float32


@pytest.mark.parametrize("kind", ["cosine", "l1", "l2"])
def test_a_step_along_the_gradient_brings_them_closer(kind):
    """The likeness is subtracted: added, it would drive the two apart."""
    g = generator()
    v = torch.randn(8, 4, generator=g).requires_grad_()
    target = torch.randn(8, 4, generator=g)
    distance(v, target, kind).sum().backward()
    with torch.no_grad():
        moved = v - 0.05 * v.grad
    assert bool((distance(moved, target, kind) < distance(v, target, kind)).all())
    same = target.clone().requires_grad_()
    distance(same, target, kind).sum().backward()
    assert bool(same.grad.isfinite().all())


@pytest.mark.parametrize(("kind", "alpha"), [("cosine", 0.9), ("l1", 0.9), ("l2", 0.5), ("cosine", 0.0)])
def test_the_loss_against_an_explicit_loop(kind, alpha):
    target = torch.randn(3, 128, generator=generator())
    strategy = student(parent(), distance=kind, alpha=alpha)
    b = people(2, (True, False, True), target)
    found = loss_of(strategy, b)
    classified = apart = 0.0
    v, logits = strategy.embed(b).detach(), strategy.logits(b).detach()
    for i in (0, 2):
        classified += float(F.binary_cross_entropy_with_logits(logits[i], LABELS[i])) / 2
        a, t = v[i].tolist(), target[i].tolist()
        gaps = [x - y for x, y in zip(a, t, strict=True)]
        apart += {
            "cosine": 1 - cosine(a, t),
            "l1": sum(map(abs, gaps)) / 128,
            "l2": math.sqrt(sum(gap * gap for gap in gaps) / 128),
        }[kind] / 2
    assert float(found.total.detach()) == pytest.approx(classified + alpha * apart, rel=1e-5)
    assert float(found.parts["distance"].detach()) == pytest.approx(apart, rel=1e-5)
    assert LeadDistillation.Params().alpha == 0.9
    chosen = loss_of(strategy.eval(), b).total  # a checkpoint is chosen as the control's is
    assert float(chosen.detach()) == pytest.approx(classified, rel=1e-5)
    strategy.train()
    nobody = loss_of(strategy, people(2, (False,) * 3, target)).total
    assert float(nobody.detach()) == 0


@pytest.mark.parametrize("classifier", ["linear", "mlp"])
def test_the_classifier_is_the_parents_and_stays_as_it_is(classifier):
    of = parent(classifier=classifier)
    strategy = student(of)
    assert state_hash(strategy.classifier) == state_hash(of.classifier)
    assert strategy.classifier is not of.classifier
    assert all(p.requires_grad for p in of.classifier.parameters())
    frozen = {id(p) for p in strategy.classifier.parameters()}
    trained = {id(p) for phase in strategy.phases() for g in phase.groups for p in g["params"]}
    assert trained == {id(p) for p in strategy.parameters()} - frozen
    strategy.train()
    assert strategy.training
    assert not any(module.training for module in strategy.classifier.modules())
    target = torch.randn(3, 128, generator=generator())
    loss_of(strategy, people(2, target=target)).total.backward()
    assert all(p.grad is None for p in strategy.classifier.parameters())
    others = [p for name, p in strategy.named_parameters() if not name.startswith("classifier")]
    assert all(bool(p.grad.any()) for p in others)
    assert any(name.startswith("classifier") for name in strategy.state_dict())
    assert not any(name.startswith("parent") for name in strategy.state_dict())


def test_the_embedding_is_as_long_as_the_classifier_takes():
    strategy = student(parent(embedding=7))
    assert strategy.embed(people(2)).shape == (3, 7)
    with pytest.raises(ValueError, match="'target' and 'classifier' must be one fit"):
        loss_of(strategy, people(2, target=torch.zeros(3, 8)))


def test_a_parent_without_a_classifier_is_refused():
    known = info(leads=2, **FIVE)
    bare = Start(FirstSample(2), Start.Params(), known)
    bare.classifier = None
    with pytest.raises(ValueError, match="start has no `classifier`"):
        LeadDistillation(FirstSample(2), LeadDistillation.Params(), known, {"classifier": bare})


def test_it_begins_where_its_control_does():
    """Plain training on the same few leads differs in the classifier and the loss alone."""
    torch.manual_seed(5)
    plain = make(Multimodal, info(leads=2, **FIVE))
    ours = student(parent(), seed=5)
    for name in ("encoder", "metadata", "projection"):
        assert state_hash(getattr(ours, name)) == state_hash(getattr(plain, name))
    assert state_hash(ours.classifier) != state_hash(plain.classifier)


@pytest.mark.parametrize("classifier", ["linear", "mlp"])
def test_a_fit_leaves_the_classifier_and_comes_back_from_the_store(tmp_path, classifier):
    step_one = Stand(Multimodal, {"classifier": classifier}, tmp_path / "a").fit(task="conditions").run()
    stand = Stand(LeadDistillation, {"metadata": "none"}, tmp_path / "b")
    made = torch.randn(len(stand.corpus.records), 128, generator=generator())
    stand.parents = lambda *_: {"classifier": step_one.strategy}
    fit = stand.fit(task="conditions")
    columns = fit.data.fields.columns
    columns["embedding:target"] = made[fit.data.record]
    before, encoder = state_hash(fit.strategy.classifier), state_hash(fit.strategy.encoder)
    fit.run()
    assert state_hash(fit.strategy.classifier) == before == state_hash(step_one.strategy.classifier)
    assert state_hash(fit.strategy.encoder) != encoder
    content = to_bytes(fit.strategy.state_dict())
    untrained = build(
        Stand(Multimodal, {"classifier": classifier}, tmp_path / "c").recipe({}, task="conditions"),
        CPU,
        Seeds(8, 8),
    )
    recipe = stand.recipe({}, task="conditions")
    rebuilt = build(recipe, CPU, Seeds(9, 9), {"classifier": untrained})
    rebuilt.load_state_dict(from_bytes(content), strict=True)
    b = stand.judged(6)
    assert torch.equal(rebuilt.eval().logits(b), fit.strategy.eval().logits(b))
    assert not any(p.requires_grad for p in rebuilt.classifier.parameters())


@pytest.mark.parametrize("kind", [Multimodal, LeadDistillation])
def test_recipes(kind):
    assert kind.Params(**kind.recipes["paper"]) == kind.Params()
    assert kind.needs_with(kind.Params(**kind.recipes["board"])) == {Field.LABELS}


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        (Multimodal, {"embedding": 0}),
        (Multimodal, {"metadata": "hard"}),
        (LeadDistillation, {"alpha": -0.1}),
        (LeadDistillation, {"distance": "dot"}),
        (LeadDistillation, {"embedding": 64}),
    ],
)
def test_refusals(kind, params):
    with pytest.raises(ValidationError):
        kind.Params(**params)


def test_a_single_class_task_has_its_own_loss():
    strategy = make(Multimodal, info(leads=2, classes=("a", "b", "c"), kind="single"), metadata="none")
    b = batch(signals(3, leads=2), labels=torch.eye(3), labelled=[True, True, True])
    expected = F.cross_entropy(strategy.logits(b), torch.arange(3))
    torch.testing.assert_close(loss_of(strategy, b).total, expected)
    assert isinstance(strategy.classifier, nn.Linear)
