import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.nn.encoders.resnet1d import ResNet1d18


def small(leads: int = 3, seed: int = 0, **arguments: object) -> ResNet1d18:
    torch.manual_seed(seed)
    return ResNet1d18(leads, **{"width": 4, "dim": 5, **arguments})


def count(leads: int, width: int, kernel: int, stem: int, dim: int) -> int:
    """Parameters by hand: convolutions have no bias, a batch norm has two a channel."""
    total = leads * width * stem + 2 * width + 8 * width * dim + dim
    before = width
    for after in (width, 2 * width, 4 * width, 8 * width):
        first = before * after * kernel + after * after * kernel + 4 * after
        second = 2 * after * after * kernel + 4 * after
        projection = before * after + 2 * after if before != after else 0
        total, before = total + first + second + projection, after
    return total


@pytest.mark.parametrize(
    ("leads", "arguments"),
    [
        (12, {}),
        (6, {}),
        (1, {"width": 8}),
        (2, {"width": 16, "kernel": 5, "stem_kernel": 9, "dim": 32}),
    ],
)
def test_parameter_count(leads, arguments):
    full = {"width": 64, "kernel": 7, "stem_kernel": 15, "dim": 128} | arguments
    expected = count(leads, full["width"], full["kernel"], full["stem_kernel"], full["dim"])
    encoder = ResNet1d18(leads, **arguments)
    assert sum(p.numel() for p in encoder.parameters()) == expected
    if (leads, arguments) == (12, {}):
        assert expected == 8_803_072


@pytest.mark.parametrize(
    ("samples", "lengths"),
    [(5000, [2500, 1250, 1250, 625, 313, 157]), (2500, [1250, 625, 625, 313, 157, 79])],
)
def test_lengths_and_widths(samples, lengths):
    encoder = small(12, width=2).eval()
    seen = []

    def keep(module: object, inputs: tuple[Tensor], output: Tensor) -> None:
        seen.append(tuple(output.shape[1:]))

    encoder.stem.register_forward_hook(keep)
    encoder.stages[0].register_forward_pre_hook(lambda module, inputs: keep(module, (), inputs[0]))
    for stage in encoder.stages:
        stage.register_forward_hook(keep)
    encoder(torch.randn(1, 12, samples))
    assert seen == [(c, 1, n) for c, n in zip([2, 2, 2, 4, 8, 16], lengths, strict=True)]


def reference(weights: dict[str, Tensor], signal: Tensor) -> Tensor:
    """The same network in training mode without dropout, from one-dimensional functions."""

    def norm(x: Tensor, name: str) -> Tensor:
        mean = x.mean(dim=(0, 2), keepdim=True)
        variance = x.var(dim=(0, 2), unbiased=False, keepdim=True)
        x = (x - mean) / (variance + 1e-5).sqrt()
        return x * weights[f"{name}.weight"][:, None] + weights[f"{name}.bias"][:, None]

    def conv(x: Tensor, name: str, stride: int) -> Tensor:
        kernel = weights[f"{name}.weight"].squeeze(2)
        return F.conv1d(x, kernel, stride=stride, padding=kernel.shape[2] // 2)

    x = F.max_pool1d(norm(conv(signal, "stem.0", 2), "stem.1").relu(), 3, 2, 1)
    for stage in range(4):
        for block in range(2):
            name = f"stages.{stage}.{block}"
            stride = 2 if stage and not block else 1
            y = norm(conv(x, f"{name}.residual.0", stride), f"{name}.residual.1").relu()
            y = norm(conv(y, f"{name}.residual.4", 1), f"{name}.residual.5")
            if stride == 2:
                x = norm(conv(x, f"{name}.shortcut.0", 2), f"{name}.shortcut.1")
            x = (x + y).relu()
    return x.mean(dim=2) @ weights["head.weight"].T + weights["head.bias"]


@pytest.mark.parametrize("leads", [1, 3])
@pytest.mark.parametrize("samples", [32, 97, 250])
def test_equals_the_one_dimensional_network_forward_and_backward(leads, samples):
    encoder = small(leads, dropout=0.0).double()
    weights = {k: v.detach().clone().requires_grad_() for k, v in encoder.named_parameters()}
    signal = torch.randn(4, leads, samples, dtype=torch.float64)
    ours, theirs = encoder(signal), reference(weights, signal)
    torch.testing.assert_close(ours, theirs)
    direction = torch.randn_like(ours)
    (ours * direction).sum().backward()
    (theirs * direction).sum().backward()
    for name, parameter in encoder.named_parameters():
        torch.testing.assert_close(parameter.grad, weights[name].grad, msg=name)


def test_sequence_averaged_and_projected_is_the_embedding():
    encoder = small().eval()
    signal = torch.randn(2, 3, 330)
    over_time = encoder.sequence(signal)
    assert over_time.shape == (2, math.ceil(330 / 32), 32)
    torch.testing.assert_close(encoder(signal), encoder.head(over_time.mean(dim=1)))


def test_memory_order_of_the_input_does_not_matter():
    encoder = small().eval()
    signal = torch.randn(2, 3, 100)
    other = signal.transpose(1, 2).contiguous().transpose(1, 2)
    torch.testing.assert_close(encoder(other), encoder(signal))


@pytest.mark.parametrize(("as_published", "power"), [(False, 1), (True, 2)])
def test_initial_weights(as_published, power):
    torch.manual_seed(0)
    encoder = ResNet1d18(12, as_published=as_published)
    for name, weight in encoder.named_parameters():
        if weight.dim() == 4:
            expected = math.sqrt(2 / (weight.shape[0] * weight.shape[3] ** power))
            assert weight.std().item() == pytest.approx(expected, rel=0.05), name
            assert abs(weight.mean().item()) < 0.05 * expected + 3 * expected / math.sqrt(weight.numel())
    if as_published:
        assert encoder.stem[0].weight.std().item() == pytest.approx(0.0118, rel=0.03)
        assert encoder.stages[0][0].residual[0].weight.std().item() == pytest.approx(0.0253, rel=0.03)


def test_groups_hold_every_parameter_once_from_stem_to_head():
    encoder = small()
    groups = encoder.groups()
    ids = [id(p) for group in groups for p in group]
    assert len(ids) == len(set(ids))
    assert set(ids) == {id(p) for p in encoder.parameters()}
    assert len(groups) == 6
    assert groups[0][0] is encoder.stem[0].weight
    assert {id(p) for p in groups[-1]} == {id(encoder.head.weight), id(encoder.head.bias)}


def test_state_dict_is_plain_and_complete():
    encoder, other = small(seed=0), small(seed=1)
    signal = torch.randn(4, 3, 64)
    encoder(signal).sum().backward()
    state = encoder.state_dict()
    assert all(tensor.is_contiguous() for tensor in state.values())
    other.load_state_dict(state)
    assert torch.equal(other.eval()(signal), encoder.eval()(signal))


def test_same_seed_same_bits():
    def gradient() -> Tensor:
        encoder = small(dropout=0.3)
        encoder(torch.randn(4, 3, 200)).square().sum().backward()
        return encoder.stem[0].weight.grad

    assert torch.equal(gradient(), gradient())


def test_dropout_is_active_in_training_only():
    encoder = small(dropout=0.5)
    signal = torch.randn(4, 3, 200)
    assert not torch.equal(encoder(signal), encoder(signal))
    encoder.eval()
    assert torch.equal(encoder(signal), encoder(signal))


def test_refusals():
    with pytest.raises(ValueError, match=r"kernel 6, stem_kernel 15: both must be odd"):
        ResNet1d18(12, kernel=6)
    with pytest.raises(ValueError, match="31 samples"):
        small()(torch.zeros(2, 3, 31))
