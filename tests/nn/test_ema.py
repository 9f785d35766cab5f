"""Moving averages against explicit loops, and what the published code leaves out."""

import copy
import math

import pytest
import torch
from torch import nn

from bench.nn.ema import decay, update


class Net(nn.Module):
    """Biases, batch norm, a buffer of its own: everything a target encoder may hold."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
        self.gain = nn.Parameter(torch.ones(2))
        self.register_buffer("offset", torch.zeros(2), persistent=False)

    def forward(self, x):
        return self.gain * self.body(x) + self.offset


def nets(seed=0):
    """A target and an online module that differ in every tensor."""
    torch.manual_seed(seed)
    online = Net()
    target = copy.deepcopy(online).requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in (*online.parameters(), *online.buffers()):
            if tensor.is_floating_point():
                tensor += torch.randn(tensor.shape, generator=generator)
        online.body[1].num_batches_tracked.fill_(7)
    return target, online


def tensors(module):
    return dict(module.named_parameters()) | dict(module.named_buffers())


def values(module):
    return {name: tensor.detach().clone() for name, tensor in tensors(module).items()}


def test_decay_rises_from_base_to_one_as_a_cosine():
    assert decay(0, 100) == pytest.approx(0.996)
    assert decay(50, 100) == pytest.approx(0.998)
    assert decay(100, 100) == 1
    assert decay(25, 100, 0.9) == pytest.approx(1 - 0.1 * (math.sqrt(0.5) + 1) / 2)
    rising = [decay(step, 100, 0.9) for step in range(101)]
    assert rising == sorted(rising)
    assert decay(3, 7, 1.0) == 1


def test_many_steps_are_an_explicit_loop_over_every_value():
    """Weights, biases and running statistics with one decay a step; the count of batches copied."""
    target, online = nets()
    expected = {name: tensor.tolist() for name, tensor in values(target).items()}
    for step in range(5):
        with torch.no_grad():
            for parameter in online.parameters():
                parameter += 0.1 * step
        kept = decay(step, 5, 0.9)
        update(target, online, kept)
        for name, now in values(online).items():
            expected[name] = mixed(expected[name], now.tolist(), kept)
    expected["body.1.num_batches_tracked"] = 7
    for name, tensor in values(target).items():
        torch.testing.assert_close(tensor.double(), torch.tensor(expected[name]).double(), msg=name)


def mixed(ours, theirs, kept):
    if isinstance(ours, list):
        return [mixed(a, b, kept) for a, b in zip(ours, theirs, strict=True)]
    return kept * ours + (1 - kept) * theirs


@pytest.mark.parametrize("name", sorted(tensors(Net())))
def test_every_tensor_follows_biases_and_buffers_too(name):
    target, online = nets()
    before, goal = values(target)[name], values(online)[name]
    assert not torch.equal(before, goal)
    update(target, online, 0.75)
    wanted = goal if not goal.is_floating_point() else 0.75 * before + 0.25 * goal
    torch.testing.assert_close(values(target)[name], wanted)


def test_as_published_only_what_is_called_weight_moves():
    target, online = nets()
    before, goal = values(target), values(online)
    update(target, online, 0.75, as_published=True)
    after = values(target)
    moved = {name for name in after if not torch.equal(after[name], before[name])}
    assert moved == {"body.0.weight", "body.1.weight", "body.3.weight"}
    for name in moved:
        torch.testing.assert_close(after[name], 0.75 * before[name] + 0.25 * goal[name])


def test_the_ends_of_the_scale():
    target, online = nets()
    before, goal = values(target), values(online)
    update(target, online, 1.0)
    after = values(target)
    assert all(torch.equal(after[n], before[n]) for n in after if after[n].is_floating_point())
    update(target, online, 0.0)
    assert all(torch.equal(tensor, goal[name]) for name, tensor in values(target).items())


def test_in_place_without_gradient_and_the_online_module_left_alone():
    target, online = nets()
    places = {name: tensor.data_ptr() for name, tensor in tensors(target).items()}
    before = values(online)
    online(torch.ones(4, 3)).sum().backward()
    grads = [parameter.grad.clone() for parameter in online.parameters()]
    before |= {name: tensor.detach().clone() for name, tensor in online.named_buffers()}
    update(target, online, 0.5)
    assert {name: tensor.data_ptr() for name, tensor in tensors(target).items()} == places
    assert all(torch.equal(tensor, before[name]) for name, tensor in tensors(online).items())
    assert all(torch.equal(p.grad, g) for p, g in zip(online.parameters(), grads, strict=True))
    assert all(p.grad_fn is None and not p.requires_grad for p in target.parameters())


def test_a_target_in_training_mode_keeps_statistics_of_its_own_features():
    """Averaged at BYOL's decay, they stay near what the target sees; copied, they would be the online ones."""
    target, online = nets()
    x = torch.randn(256, 3, generator=torch.Generator().manual_seed(1))
    own = target.body[0](x).mean(0)
    for _ in range(60):
        target(x)
        online.body[1].running_mean.fill_(100.0)
        update(target.body[1], online.body[1], 0.996)
    share = 0.004 / (0.1 + 0.004 - 0.1 * 0.004)  # of the online statistics, where both pulls balance
    expected = own * (1 - share) + 100.0 * share
    torch.testing.assert_close(target.body[1].running_mean, expected, rtol=0.05, atol=0.05)


def test_modules_that_differ_and_impossible_decays_are_refused():
    target, online = nets()
    with pytest.raises(ValueError, match="differ.*0.bias"):
        update(target, online.body, 0.5)
    for kept in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="must be in"):
            update(target, online, kept)
