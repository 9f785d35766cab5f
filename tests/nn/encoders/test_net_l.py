import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.nn.encoders.net_l import NetL
from bench.nn.encoders.resnet1d import ResNet1d18


def small(leads: int = 3, seed: int = 0, **arguments: object) -> NetL:
    torch.manual_seed(seed)
    return NetL(leads, **{"width": 4, "dim": 5, **arguments})


@pytest.mark.parametrize("dim", [32, 128, 256, 320])
def test_parameter_count(dim):
    assert sum(p.numel() for p in NetL(12, dim=dim).parameters()) == 1_756_032 + 513 * dim


@pytest.mark.parametrize(("leads", "width", "dim"), [(12, 64, 256), (1, 8, 16), (3, 4, 5)])
def test_parameter_count_by_hand(leads, width, dim):
    total = leads * width * 7 + 2 * width + 8 * width * dim + dim
    before = width
    for after in (width, 2 * width, 4 * width, 8 * width):
        total += 3 * before * after + 3 * after * after + 4 * after
        total += before * after + 2 * after if before != after else 0
        before = after
    assert sum(p.numel() for p in NetL(leads, width=width, dim=dim).parameters()) == total
    if width == 64:
        assert total == 1_887_360
        assert sum(p.numel() for p in NetL(12).parameters()) == total


@pytest.mark.parametrize(
    ("samples", "lengths"),
    [(2500, [1250, 625, 625, 313, 157, 79]), (500, [250, 125, 125, 63, 32, 16])],
)
def test_lengths_and_widths(samples, lengths):
    encoder = small(12, width=2).eval()
    seen = []

    def keep(output: Tensor) -> None:
        seen.append(tuple(output.shape))

    encoder.stem.register_forward_hook(lambda module, inputs, output: keep(output))
    encoder.stages[0].register_forward_pre_hook(lambda module, inputs: keep(inputs[0]))
    for stage in encoder.stages:
        stage.register_forward_hook(lambda module, inputs, output: keep(output))
    embedding = encoder(torch.randn(3, 12, samples))
    assert seen == [(3, c, 1, n) for c, n in zip([2, 2, 2, 4, 8, 16], lengths, strict=True)]
    assert embedding.shape == (3, 5)
    assert encoder.sequence(torch.randn(3, 12, samples)).shape == (3, lengths[-1], 16)


def test_one_block_a_stage_and_projections_where_the_shape_changes():
    encoder = small()
    assert [len(stage) for stage in encoder.stages] == [1, 1, 1, 1]
    projected = {
        name.partition(".shortcut")[0] for name, _ in encoder.named_parameters() if "shortcut" in name
    }
    assert projected == {"stages.1.0", "stages.2.0", "stages.3.0"}


def reference(weights: dict[str, Tensor], signal: Tensor) -> Tensor:
    """The same network in training mode, from one-dimensional functions, linear before the mean."""

    def norm(x: Tensor, name: str) -> Tensor:
        mean = x.mean(dim=(0, 2), keepdim=True)
        x = (x - mean) / (x.var(dim=(0, 2), unbiased=False, keepdim=True) + 1e-5).sqrt()
        return x * weights[f"{name}.weight"][:, None] + weights[f"{name}.bias"][:, None]

    def conv(x: Tensor, name: str, stride: int, padding: int) -> Tensor:
        return F.conv1d(x, weights[f"{name}.weight"].squeeze(2), stride=stride, padding=padding)

    x = F.max_pool1d(norm(conv(signal, "stem.0", 2, 3), "stem.1").relu(), 3, 2, 1)
    for stage, stride in enumerate((1, 2, 2, 2)):
        name = f"stages.{stage}.0"
        y = norm(conv(x, f"{name}.residual.0", stride, 1), f"{name}.residual.1").relu()
        y = norm(conv(y, f"{name}.residual.4", 1, 1), f"{name}.residual.5")
        if stage:
            x = norm(conv(x, f"{name}.shortcut.0", stride, 0), f"{name}.shortcut.1")
        x = (x + y).relu()
    every_step = x.transpose(1, 2) @ weights["head.weight"].T + weights["head.bias"]
    return every_step.mean(dim=1)


@pytest.mark.parametrize(("leads", "samples"), [(1, 32), (3, 97), (12, 250)])
def test_equals_the_one_dimensional_network_forward_and_backward(leads, samples):
    encoder = small(leads).double()
    weights = {k: v.detach().clone().requires_grad_() for k, v in encoder.named_parameters()}
    signal = torch.randn(4, leads, samples, dtype=torch.float64)
    ours, theirs = encoder(signal), reference(weights, signal)
    torch.testing.assert_close(ours, theirs)
    assert (ours < 0).any()  # no activation after the head
    direction = torch.randn_like(ours)
    (ours * direction).sum().backward()
    (theirs * direction).sum().backward()
    for name, parameter in encoder.named_parameters():
        torch.testing.assert_close(parameter.grad, weights[name].grad, msg=name)
        assert parameter.grad.abs().max() > 0, name


def test_initial_weights_are_kaiming_normal_by_fan_out():
    torch.manual_seed(0)
    encoder = NetL(12)
    weights = [weight for _, weight in encoder.named_parameters() if weight.dim() == 4]
    assert len(weights) == 1 + 4 * 2 + 3
    for weight in weights:
        expected = math.sqrt(2 / (weight.shape[0] * weight.shape[3]))
        assert weight.std().item() == pytest.approx(expected, rel=0.05)
        assert abs(weight.mean().item()) < 5 * expected / math.sqrt(weight.numel())
        assert weight.abs().max() > 2.5 * expected  # a uniform draw ends at 1.73


def test_groups_hold_every_parameter_once_from_stem_to_head():
    encoder = small()
    groups = encoder.groups()
    ids = [id(p) for group in groups for p in group]
    assert len(groups) == 6
    assert len(ids) == len(set(ids))
    assert set(ids) == {id(p) for p in encoder.parameters()}
    assert groups[0][0] is encoder.stem[0].weight
    assert {id(p) for p in groups[-1]} == {id(encoder.head.weight), id(encoder.head.bias)}


@pytest.mark.parametrize("training", [True, False])
def test_no_dropout(training):
    encoder = small().train(training)
    signal = torch.randn(4, 3, 200)
    assert torch.equal(encoder(signal), encoder(signal))


def test_any_length_from_the_least_on():
    encoder = small().eval()
    for samples in (32, 33, 500, 731):
        assert encoder.sequence(torch.randn(1, 3, samples)).shape == (1, math.ceil(samples / 32), 32)
    with pytest.raises(ValueError, match=r"31 samples.*'net_l' needs 32"):
        encoder(torch.zeros(2, 3, 31))


def test_the_two_residual_encoders_share_a_body_and_keep_their_names():
    full, half = ResNet1d18(1, width=2, kernel=3, stem_kernel=7, dim=5), small(1, width=2)
    assert (full.name, half.name) == ("resnet1d18", "net_l")
    shared = {
        name for name in full.state_dict() if not name.startswith("stages") or name.split(".")[2] == "0"
    }
    assert shared == set(half.state_dict())
    assert all(half.state_dict()[name].shape == full.state_dict()[name].shape for name in shared)
