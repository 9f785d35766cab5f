import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.nn.encoders.resnet1d34 import ResNet1d34

BLOCKS = (3, 4, 6, 3)
PUBLISHED = {12: 7_223_168, 6: 7_220_480, 4: 7_219_584, 3: 7_219_136, 2: 7_218_688}


def small(leads: int = 3, seed: int = 0, width: int = 4) -> ResNet1d34:
    torch.manual_seed(seed)
    return ResNet1d34(leads, width=width)


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def count(leads: int, width: int, space: int = 1) -> int:
    """Parameters by hand, of convolutions over time or, with `space` 2, over images."""
    stem, kernel = 7**space, 3**space
    total, before = leads * width * stem + 2 * width, width
    for after, blocks in zip((width, 2 * width, 4 * width, 8 * width), BLOCKS, strict=True):
        total += kernel * before * after + (2 * blocks - 1) * kernel * after * after + 4 * blocks * after
        total += before * after + 2 * after if before != after else 0
        before = after
    return total


@pytest.mark.parametrize("leads", PUBLISHED)
def test_parameter_count(leads):
    encoder = ResNet1d34(leads)
    assert parameters(encoder) == PUBLISHED[leads] == count(leads, 64)
    assert encoder.dim == 512
    if leads == 6:
        assert parameters(encoder) + parameters(nn.Linear(encoder.dim, 26)) == 7_233_818


def test_the_count_by_hand_is_that_of_the_network_of_images():
    assert count(3, 64, space=2) + 512 * 1000 + 1000 == 21_797_672


@pytest.mark.parametrize(("leads", "width"), [(1, 8), (12, 4)])
def test_parameter_count_of_a_narrow_one(leads, width):
    encoder = ResNet1d34(leads, width=width)
    assert parameters(encoder) == count(leads, width)
    assert encoder.dim == 8 * width


def test_lengths_widths_and_multiplications_of_the_paper_window():
    encoder = ResNet1d34(6).eval()
    seen, multiplications = [], []

    def keep(output: Tensor) -> None:
        seen.append(tuple(output.shape))

    encoder.stem.register_forward_hook(lambda module, inputs, output: keep(output))
    encoder.stages[0].register_forward_pre_hook(lambda module, inputs: keep(inputs[0]))
    for stage in encoder.stages:
        stage.register_forward_hook(lambda module, inputs, output: keep(output))
    for conv in encoder.convolutions():
        conv.register_forward_hook(
            lambda module, inputs, output: multiplications.append(module.weight.numel() * output.shape[3])
        )
    with torch.no_grad():
        embedding = encoder(torch.randn(1, 6, 4000))
    lengths, widths = [2000, 1000, 1000, 500, 250, 125], [64, 64, 64, 128, 256, 512]
    assert seen == [(1, c, 1, n) for c, n in zip(widths, lengths, strict=True)]
    assert embedding.shape == (1, 512)
    assert round(sum(multiplications) / 1e9, 2) == 1.40


def reference(weights: dict[str, Tensor], signal: Tensor) -> Tensor:
    """The same network in training mode, from one-dimensional functions."""

    def norm(x: Tensor, name: str) -> Tensor:
        mean = x.mean(dim=(0, 2), keepdim=True)
        x = (x - mean) / (x.var(dim=(0, 2), unbiased=False, keepdim=True) + 1e-5).sqrt()
        return x * weights[f"{name}.weight"][:, None] + weights[f"{name}.bias"][:, None]

    def conv(x: Tensor, name: str, stride: int, padding: int) -> Tensor:
        return F.conv1d(x, weights[f"{name}.weight"].squeeze(2), stride=stride, padding=padding)

    x = F.max_pool1d(norm(conv(signal, "stem.0", 2, 3), "stem.1").relu(), 3, 2, 1)
    for stage, blocks in enumerate(BLOCKS):
        for block in range(blocks):
            name = f"stages.{stage}.{block}"
            stride = 2 if stage and not block else 1
            y = norm(conv(x, f"{name}.residual.0", stride, 1), f"{name}.residual.1").relu()
            y = norm(conv(y, f"{name}.residual.4", 1, 1), f"{name}.residual.5")
            if stride == 2:
                x = norm(conv(x, f"{name}.shortcut.0", 2, 0), f"{name}.shortcut.1")
            x = (x + y).relu()
    return x.mean(dim=2)


@pytest.mark.parametrize(("leads", "samples"), [(1, 64), (3, 97), (12, 250)])
def test_equals_the_one_dimensional_network_forward_and_backward(leads, samples):
    encoder = small(leads).double()
    weights = {k: v.detach().clone().requires_grad_() for k, v in encoder.named_parameters()}
    signal = torch.randn(4, leads, samples, dtype=torch.float64)
    ours, theirs = encoder(signal), reference(weights, signal)
    torch.testing.assert_close(ours, theirs)
    direction = torch.randn_like(ours)
    (ours * direction).sum().backward()
    (theirs * direction).sum().backward()
    for name, parameter in encoder.named_parameters():
        torch.testing.assert_close(parameter.grad, weights[name].grad, msg=name, atol=1e-8, rtol=1e-6)
        assert parameter.grad.abs().max() > 0, name


def test_initial_weights_are_kaiming_normal_by_fan_out():
    torch.manual_seed(0)
    weights = [weight for weight in ResNet1d34(12).parameters() if weight.dim() == 4]
    assert len(weights) == 1 + 2 * sum(BLOCKS) + 3
    for weight in weights:
        expected = math.sqrt(2 / (weight.shape[0] * weight.shape[3]))
        assert weight.std().item() == pytest.approx(expected, rel=0.05)
        assert abs(weight.mean().item()) < 5 * expected / math.sqrt(weight.numel())
        assert weight.abs().max() > 2.5 * expected  # a uniform draw ends at 1.73


def test_groups_are_the_stem_and_the_four_stages():
    encoder = small()
    names = {id(p): name for name, p in encoder.named_parameters()}
    groups = [[names[id(p)] for p in group] for group in encoder.groups()]
    assert groups == [
        [name for name in names.values() if name.startswith(part)]
        for part in ("stem.", *(f"stages.{stage}." for stage in range(4)))
    ]
    assert sum(map(len, groups)) == len(names)


@pytest.mark.parametrize("training", [True, False])
def test_no_dropout(training):
    encoder = small().train(training)
    signal = torch.randn(4, 3, 200)
    assert torch.equal(encoder(signal), encoder(signal))


def test_any_length_from_the_least_on():
    encoder = small().eval()
    for samples in (32, 33, 250, 731):
        over_time = encoder.sequence(torch.randn(2, 3, samples))
        assert over_time.shape == (2, math.ceil(samples / 32), 32)
    with pytest.raises(ValueError, match=r"31 samples.*'resnet1d34' needs 32"):
        encoder(torch.zeros(2, 3, 31))
