"""IIC: the loss against loops and hand values, heads that take turns, and the groups that it finds."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_mutual_info_score

from baselines.iic import IIC, SubHeads
from bench.nn.mutual_information import information_loss, joint
from bench.train.checkpoint import from_bytes, to_bytes
from bench.train.fit import state_hash
from bench.train.strategy import Step, UndeclaredField, Views
from tests.strategies.groups import GROUPS, Levels, four_levels, four_shapes, small_fit
from tests.strategies.making import STEP, batch, generator, info, make, signals

KNOWN = info(counts=(4, 2, 4))
MAIN, AUXILIARY = Step(0, 10, 0), Step(5, 10, 1)


def probabilities(count=30, heads=2, clusters=4, seed=0, dtype=torch.float64):
    logits = torch.randn(count, heads, clusters, generator=generator(seed), dtype=dtype)
    return (3 * logits).softmax(2)


@pytest.mark.parametrize("balance", [1.0, 1.5])
def test_joint_and_loss_against_loops(balance):
    first, second = probabilities(), probabilities(seed=1)
    for head, loss in enumerate(information_loss(joint(first, second), balance)):
        table = np.zeros((4, 4))
        for a, b in zip(first[:, head].numpy(), second[:, head].numpy(), strict=True):
            table += np.outer(a, b)
        table = (table + table.T) / 2
        table /= table.sum()
        want = 0.0
        for k in range(4):
            for j in range(4):
                margins = np.log(table[k].sum()) + np.log(table[:, j].sum())
                want -= table[k, j] * (np.log(table[k, j]) - balance * margins)
        assert float(loss) == pytest.approx(want, abs=1e-12)


@pytest.mark.parametrize("clusters", [2, 4, 5])
def test_identical_balanced_certain_assignments_reach_minus_log_k(clusters):
    same = torch.eye(clusters).repeat(6, 1)[:, None]
    assert float(information_loss(joint(same, same))) == pytest.approx(-math.log(clusters), abs=1e-5)


def test_independent_assignments_carry_no_information():
    first = torch.eye(4).repeat_interleave(4, 0)[:, None]
    second = torch.eye(4).repeat(4, 1)[:, None]
    assert float(information_loss(joint(first, second))) == pytest.approx(0, abs=1e-6)
    constant = torch.eye(4)[:1].repeat(9, 1)[:, None]
    assert float(information_loss(joint(constant, constant))) == pytest.approx(0, abs=1e-6)


def test_names_of_clusters_do_not_matter():
    first, second = probabilities(), probabilities(seed=1)
    order = torch.tensor([2, 0, 3, 1])
    losses = [
        information_loss(joint(*pair)) for pair in ((first, second), (first[..., order], second[..., order]))
    ]
    assert torch.allclose(*losses, atol=1e-12)


def test_gradient_runs_through_the_marginals():
    first, second = (probabilities(8, 1, 3, seed).requires_grad_() for seed in (0, 1))
    assert torch.autograd.gradcheck(lambda a, b: information_loss(joint(a, b), 1.5), (first, second))


def test_exact_zeros_have_finite_value_and_gradient():
    logits = torch.zeros(6, 1, 4)
    logits[:, 0, 0] = 1e4
    logits.requires_grad_()
    loss = information_loss(joint(logits.softmax(2), logits.softmax(2))).sum()
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


def test_it_computes_in_float32_under_autocast():
    first, second = (probabilities(seed=seed, dtype=torch.float32) for seed in (0, 1))
    with torch.autocast("cpu", torch.bfloat16):
        low = joint(first, second)
        heads = SubHeads(4, 3, 2)(torch.randn(5, 4, generator=generator()))
    assert low.dtype == heads.dtype == torch.float32
    assert torch.equal(low, joint(first, second))


@pytest.mark.parametrize("params", [{}, {"copies": 1, "perturbation": "gaussian", "light": 0.0}])
def test_views_are_the_record_and_its_copies(params):
    strategy, b = make(IIC, KNOWN, **params), batch(signals(5))
    views = strategy.views(b, generator())
    copies = strategy.params.copies
    assert views.signal.shape == (5 * (1 + copies), 12, 40)
    assert views.source.tolist() == list(range(5)) * (1 + copies)
    assert views.group.tolist() == [g for g in range(1 + copies) for _ in range(5)]
    change = views.signal.unflatten(0, (-1, 5)) - b.signal
    assert float(change[0].std()) == pytest.approx(strategy.params.light, rel=0.05)
    if params:
        assert float(change[1].std()) == pytest.approx(0.01, rel=0.05)
    else:
        assert float(change[1:].std()) > 0.1
        assert not torch.equal(change[1], change[2])


def heads_of(strategy, embedding, head):
    """(N, S, K) float64 softmax, by hand."""
    logits = embedding @ head.linear.weight.double().T + head.linear.bias.double()
    return logits.reshape(len(embedding), strategy.params.heads, -1).softmax(2)


@pytest.mark.parametrize(("step", "name", "clusters"), [(MAIN, "main", 4), (AUXILIARY, "auxiliary", 32)])
def test_loss_is_the_mean_over_sub_heads_and_pairs_of_the_head_of_the_epoch(step, name, clusters):
    strategy = make(IIC, KNOWN, balance=1.2)
    for head in (strategy.main, strategy.auxiliary):
        torch.nn.init.normal_(head.linear.weight, generator=generator())
    b = batch(signals(6))
    views = strategy.views(b, generator())
    p = heads_of(strategy, views.signal[:, :, 0].double(), getattr(strategy, name))
    assert p.shape[2] == clusters
    pairs = [(i, g * 6 + i) for g in (1, 2, 3) for i in range(6)]
    first, second = (p[list(rows)] for rows in zip(*pairs, strict=True))
    want = information_loss(joint(first, second), 1.2).mean()
    made = strategy.loss(b, views, step)
    assert float(made.total.detach()) == pytest.approx(float(want.detach()), rel=1e-4)
    q = heads_of(strategy, views.signal[:, :, 0].double(), strategy.main)
    first, second = (q[list(rows)] for rows in zip(*pairs, strict=True))
    bits = -information_loss(joint(first, second)).mean()
    assert float(made.parts["information"]) == pytest.approx(float(bits.detach()), rel=1e-4)


def gradients(strategy, step):
    strategy.zero_grad(set_to_none=True)
    b = batch(signals(6))
    strategy.loss(b, strategy.views(b, generator()), step).total.backward()
    return {n.split(".")[0] for n, p in strategy.named_parameters() if p.grad is not None and p.grad.any()}


def test_heads_take_turns_by_whole_epochs():
    strategy = make(IIC, KNOWN, main_epochs=2, auxiliary_epochs=1)
    turns = []
    for epoch in range(6):
        strategy.on_epoch_start(epoch, None)
        turns.append(gradients(strategy, Step(epoch, 10, epoch)) - {"encoder"})
        assert "encoder" in gradients(strategy, Step(epoch, 10, epoch))
        asked = {n.split(".")[0] for n, p in strategy.named_parameters() if p.requires_grad}
        assert asked - {"encoder"} == turns[-1]
    assert turns == [{"main"}, {"main"}, {"auxiliary"}] * 2


def test_without_auxiliary_head_and_when_judged_it_is_the_main_one():
    alone = make(IIC, KNOWN, auxiliary=0)
    assert alone.auxiliary is None
    assert gradients(alone, AUXILIARY) == {"main", "encoder"}
    judged = make(IIC, KNOWN).eval()
    assert gradients(judged, AUXILIARY) == {"main", "encoder"}
    assert not judged.running.any()


def test_start_of_the_heads():
    head = SubHeads(256, 40, 5)
    assert float(head.linear.weight.detach().std()) == pytest.approx(0.01, rel=0.02)
    assert not head.linear.bias.any()


def test_the_sub_head_is_the_one_of_least_running_loss():
    strategy = make(IIC, KNOWN, heads=3, auxiliary=0)
    with torch.no_grad():
        weight = strategy.main.linear.weight.zero_().unflatten(0, (3, 4))
        weight[1, range(4), range(4)] = 40.0  # only this one follows the signal
    b = batch(torch.eye(12)[:4, :, None].repeat(2, 1, 40) * 3)
    assert strategy.assign(b.signal[:, :, 0]).tolist() == [0] * 8  # none has a loss yet: the first
    views = Views.of(*[b.signal] * 4)
    for step in range(3):
        strategy.loss(b, views, Step(step, 10, 0))
    loss = math.log(4) * (1 - 0.95**3)
    assert strategy.running.tolist() == pytest.approx([0, -loss, 0], abs=1e-4)
    assert strategy.assign(b.signal[:, :, 0]).tolist() == [0, 1, 2, 3] * 2
    assert strategy.groups() == 4
    parts = strategy.loss(b, views, MAIN).parts
    assert float(parts["usage_entropy"]) == pytest.approx(1)
    assert float(parts["largest_share"]) == pytest.approx(0.25)


def test_label_change_is_by_instance_since_its_last_visit():
    strategy = make(IIC, KNOWN, heads=1, copies=1)
    with torch.no_grad():
        strategy.main.linear.weight.zero_()[range(4), range(4)] = 9.0

    def visit(index, groups, epoch=0):
        signal = torch.eye(12)[list(groups), :, None].repeat(1, 1, 40)
        other = torch.eye(12)[:1, :, None].expand_as(signal)  # the copies' clusters are not the instances'
        b = replace(batch(signal), index=torch.tensor(index))
        return strategy.loss(b, Views.of(signal, other), Step(0, 10, epoch)).parts

    assert float(visit([7, 2, 5, 0], [3, 1, 2, 2])["label_change"]) == 1  # none had a cluster
    assert {i: int(strategy.last[i]) for i in (7, 2, 5, 0)} == {7: 3, 2: 1, 5: 2, 0: 2}
    assert int((strategy.last < 0).sum()) == 76
    assert float(visit([0, 5, 2, 7], [2, 2, 1, 3])["label_change"]) == 0
    assert float(visit([2, 7, 0, 9], [1, 0, 2, 0])["label_change"]) == 0.5  # 7 moved, 9 is new
    assert float(visit([7, 0], [0, 1], epoch=1)["label_change"]) == 0.5  # in the other head's epoch, too
    before = strategy.last.clone()
    strategy.eval()
    assert "label_change" not in visit([79, 80, 500], [1, 1, 1])  # instances of another set
    assert torch.equal(strategy.last, before)
    assert before.dtype == torch.int64


@pytest.mark.parametrize(
    ("params", "main", "auxiliary"),
    [
        ({}, 5, 40),
        ({"attribute": "sex"}, 2, 40),
        ({"attribute": "age", "auxiliary": 7}, 4, 7),
        ({"clusters": 9}, 9, 40),
    ],
)
def test_numbers_of_clusters(params, main, auxiliary):
    strategy = make(IIC, info(counts=(5, 2, 4)), heads=3, **params)
    assert strategy.groups() == main
    assert strategy.main.linear.out_features == 3 * main
    assert strategy.auxiliary.linear.out_features == 3 * auxiliary
    assert strategy.prototypes() is strategy.attributes() is None
    assert IIC.seeks(strategy.params) == (params.get("attribute", "class"),)


def test_an_unknown_number_of_clusters_is_refused():
    assert IIC.incompatible(KNOWN, IIC.Params()) is None
    assert "0 values of attribute 'class'" in IIC.incompatible(info(), IIC.Params())
    assert "`auxiliary`" in IIC.incompatible(info(), IIC.Params(clusters=4))
    assert IIC.incompatible(info(), IIC.Params(clusters=4, auxiliary=0)) is None


def test_no_field_is_read():
    b = batch(signals(4))
    b = type(b)(b.signal, b.index, b.record, type(b.fields)({}, IIC.needs, "iic"))
    strategy = make(IIC, KNOWN)
    strategy.loss(b, strategy.views(b, generator()), STEP)
    with pytest.raises(UndeclaredField):
        _ = b.labels


def test_it_finds_four_groups_that_the_embedding_tells_apart():
    """Groups part one after another, and most sub-heads stop at three: the least loss is of one that has four.

    An encoder learnt from scratch may stop at two, with an information of log 2: the direction that tells most
    apart grows fastest from the uniform start, and the encoder gives it all room. A ResNet on `four_shapes`
    stops there. The strong perturbations drop the very lead that tells these groups apart.
    """
    signal, group = four_levels()
    params = {"perturbation": "gaussian", "heads": 20}
    fit = small_fit(IIC, signal, 200, params, encoder=Levels, lr=0.03).run()
    with torch.no_grad():
        ids = fit.strategy.assign(fit.training().embed())
    assert adjusted_mutual_info_score(group, ids) >= 0.9
    assert -float(fit.strategy.running.min()) > 0.9 * math.log(GROUPS)


def test_continuing_from_a_checkpoint_gives_the_same_bits():
    signal = four_shapes()[0][:24]
    half = small_fit(IIC, signal, 7).run(until=3)  # two steps an epoch: half of the auxiliary head's first
    resumed = small_fit(IIC, signal, 7).restore(from_bytes(to_bytes(half.state()))).run()
    whole = small_fit(IIC, signal, 7).run()
    assert state_hash(resumed.strategy) == state_hash(whole.strategy)
    assert resumed.health == whole.health
    assert whole.strategy.running.any()
    assert int(whole.strategy.last.min()) >= 0
    assert 0 <= whole.health[-1]["label_change"] < whole.health[0]["label_change"] == 1
