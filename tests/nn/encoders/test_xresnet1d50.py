import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.nn.encoders.xresnet1d50 import XResNet1d50

BLOCKS = (3, 4, 6, 3)


def small(leads: int = 3, seed: int = 0, **arguments: object) -> XResNet1d50:
    torch.manual_seed(seed)
    return XResNet1d50(leads, **{"width": 4, **arguments})


def lively(leads: int = 3, **arguments: object) -> XResNet1d50:
    """One whose residual branches are not zero, as they are at the start."""
    encoder = small(leads, **arguments)
    for parameter in encoder.parameters():
        if parameter.dim() == 1:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    return encoder


def count(leads: int, width: int, blocks: tuple[int, ...]) -> int:
    """Parameters by hand: one bias in all, in the first convolution; a batch norm has two a channel."""
    half, wide = width // 2, 4 * width
    total = (leads * half * 5 + half) + 2 * half + half * half * 5 + 2 * half + half * width * 5 + 2 * width
    for before, number in zip((width, wide, wide, wide), blocks, strict=True):
        for block in range(number):
            into = wide if block else before
            total += into * width + 2 * width + width * width * 5 + 2 * width + width * wide + 2 * wide
    return total + width * wide + 2 * wide  # the only projection


@pytest.mark.parametrize(
    ("leads", "arguments"),
    [(12, {}), (12, {"width": 8}), (1, {"width": 16, "blocks": (1, 2, 1, 1)}), (3, {"width": 2})],
)
def test_parameter_count(leads, arguments):
    expected = count(leads, arguments.get("width", 64), arguments.get("blocks", BLOCKS))
    assert sum(p.numel() for p in XResNet1d50(leads, **arguments).parameters()) == expected
    if (leads, arguments) == (12, {}):
        assert expected == 886_432


def test_lengths_and_widths():
    encoder = XResNet1d50(12).eval()
    seen = []

    def keep(output: Tensor) -> None:
        seen.append((output.shape[1], output.shape[3]))

    for part in (*encoder.stem, *encoder.stages):
        part.register_forward_hook(lambda module, inputs, output: keep(output))
    encoder.stages[0].register_forward_pre_hook(lambda module, inputs: keep(inputs[0]))
    embedding = encoder(torch.randn(2, 12, 250))
    lengths, widths = [125, 125, 125, 63, 63, 32, 16, 8], [32, 32, 64, 64, 256, 256, 256, 256]
    assert seen == list(zip(widths, lengths, strict=True))
    assert embedding.shape == (2, 512)
    assert encoder.dim == 512
    assert [len(stage) for stage in encoder.stages] == list(BLOCKS)


def reference(weights: dict[str, Tensor], signal: Tensor, blocks: tuple[int, ...]) -> Tensor:
    """The same network in training mode, from one-dimensional functions."""

    def norm(x: Tensor, name: str) -> Tensor:
        mean = x.mean(dim=(0, 2), keepdim=True)
        x = (x - mean) / (x.var(dim=(0, 2), unbiased=False, keepdim=True) + 1e-5).sqrt()
        return x * weights[f"{name}.weight"][:, None] + weights[f"{name}.bias"][:, None]

    def conv(x: Tensor, name: str, stride: int = 1) -> Tensor:
        kernel = weights[f"{name}.weight"].squeeze(2)
        return F.conv1d(x, kernel, weights.get(f"{name}.bias"), stride, kernel.shape[2] // 2)

    def halved(x: Tensor) -> Tensor:
        """Means of pairs; an odd last value stays as it is."""
        return torch.cat([x[:, :, i : i + 2].mean(dim=2, keepdim=True) for i in range(0, x.shape[2], 2)], 2)

    x = signal
    for layer in range(3):
        x = norm(conv(x, f"stem.{layer}.0", 1 if layer else 2), f"stem.{layer}.1").relu()
    x = F.max_pool1d(x, 3, 2, 1)
    for stage, number in enumerate(blocks):
        for block in range(number):
            name = f"stages.{stage}.{block}"
            stride = 2 if stage and not block else 1
            y = norm(conv(x, f"{name}.residual.0.0"), f"{name}.residual.0.1").relu()
            y = norm(conv(y, f"{name}.residual.1.0", stride), f"{name}.residual.1.1").relu()
            y = norm(conv(y, f"{name}.residual.2"), f"{name}.residual.3")
            if stride == 2:
                x = halved(x)
            if f"{name}.shortcut.0.weight" in weights:
                x = norm(conv(x, f"{name}.shortcut.0"), f"{name}.shortcut.1")
            x = (x + y).relu()
    return torch.cat((x.max(dim=2).values, x.mean(dim=2)), dim=1)


@pytest.mark.parametrize(
    ("leads", "samples", "blocks"), [(1, 64, BLOCKS), (3, 250, (1, 2, 1, 1)), (2, 97, (2, 1, 1, 1))]
)
def test_equals_the_one_dimensional_network_forward_and_backward(leads, samples, blocks):
    encoder = lively(leads, blocks=blocks).double()
    weights = {k: v.detach().clone().requires_grad_() for k, v in encoder.named_parameters()}
    signal = torch.randn(6, leads, samples, dtype=torch.float64)
    ours, theirs = encoder(signal), reference(weights, signal, blocks)
    torch.testing.assert_close(ours, theirs)
    direction = torch.randn_like(ours)
    (ours * direction).sum().backward()
    (theirs * direction).sum().backward()
    for name, parameter in encoder.named_parameters():
        torch.testing.assert_close(parameter.grad, weights[name].grad, msg=name, atol=1e-8, rtol=1e-6)


def test_the_only_projection_is_where_the_width_changes_and_only_three_blocks_halve():
    encoder = small()
    projected = {n.partition(".shortcut")[0] for n, _ in encoder.named_parameters() if "shortcut" in n}
    assert projected == {"stages.0.0"}
    halving = {
        n.partition(".shortcut")[0] for n, m in encoder.named_modules() if isinstance(m, torch.nn.AvgPool2d)
    }
    assert halving == {"stages.1.0", "stages.2.0", "stages.3.0"}


def test_a_block_begins_as_its_shortcut():
    """Zero at the start is the last batch norm of every residual branch, and no other."""
    encoder = small()
    zero = {name for name, p in encoder.named_parameters() if name.endswith("weight") and not p.any()}
    assert zero == {
        f"stages.{stage}.{block}.residual.3.weight"
        for stage, number in enumerate(BLOCKS)
        for block in range(number)
    }
    features = torch.rand(2, 16, 1, 9)
    assert torch.equal(encoder.stages[0][1](features), features)
    shorter = encoder.stages[1][0](features)
    pairs = torch.stack([features[..., i : i + 2].mean(dim=3) for i in range(0, 9, 2)], dim=3)
    torch.testing.assert_close(shorter, pairs)


def test_initial_weights():
    torch.manual_seed(0)
    encoder = XResNet1d50(12)
    first = encoder.stem[0][0]
    bound = 1 / math.sqrt(12 * 5)  # torch's own: uniform
    assert first.weight.abs().max() <= bound
    assert first.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
    assert 0.5 * bound < first.bias.abs().max() <= bound
    others = [p for name, p in encoder.named_parameters() if p.dim() == 4 and p is not first.weight]
    assert len(others) == 2 + 3 * sum(BLOCKS) + 1
    for weight in others:
        expected = math.sqrt(2 / (weight.shape[1] * weight.shape[3]))
        assert weight.std().item() == pytest.approx(expected, rel=0.05)
        assert weight.abs().max() > 2.5 * expected  # a uniform draw ends at 1.73
    biased = [n for n, m in encoder.named_modules() if isinstance(m, torch.nn.Conv2d) and m.bias is not None]
    assert biased == ["stem.0.0"]


def test_the_embedding_is_the_greatest_and_the_mean_feature():
    encoder = lively().eval()
    signal = torch.randn(2, 3, 330)
    over_time = encoder.sequence(signal)
    assert over_time.shape == (2, math.ceil(330 / 32), 16)
    largest, mean = encoder(signal).split(16, dim=1)
    assert torch.equal(largest, over_time.max(dim=1).values)
    torch.testing.assert_close(mean, over_time.mean(dim=1))


def test_groups_are_first_convolution_rest_of_the_stem_and_pairs_of_stages():
    encoder = XResNet1d50(12)
    parts = [("stem.0.",), ("stem.1.", "stem.2."), ("stages.0.", "stages.1."), ("stages.2.", "stages.3.")]
    names = {id(p): name for name, p in encoder.named_parameters()}
    groups = encoder.groups()
    assert [sorted(names[id(p)] for p in group) for group in groups] == [
        sorted(name for name in names.values() if name.startswith(part)) for part in parts
    ]
    assert sum(len(group) for group in groups) == len(names)
    assert [sum(p.numel() for p in group) for group in groups] == [2016, 15_552, 382_720, 486_144]


def test_any_length_from_the_least_on():
    encoder = lively()
    for samples in (32, 33, 250, 731):
        assert encoder.sequence(torch.randn(2, 3, samples)).shape == (2, math.ceil(samples / 32), 16)
    assert encoder.min_samples == 32
    with pytest.raises(ValueError, match=r"31 samples.*'xresnet1d50' needs 32"):
        encoder(torch.zeros(2, 3, 31))


def test_gradients_reach_every_parameter_once_the_branches_are_alive():
    encoder = lively().eval()  # in training, batch norm cancels the bias
    encoder(torch.randn(8, 3, 200)).square().sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def test_memory_order_of_the_input_does_not_matter():
    encoder = lively().eval()
    signal = torch.randn(2, 3, 100)
    other = signal.transpose(1, 2).contiguous().transpose(1, 2)
    torch.testing.assert_close(encoder(other), encoder(signal))


def test_same_seed_same_bits():
    def gradient() -> Tensor:
        encoder = lively()
        encoder(torch.randn(4, 3, 200)).square().sum().backward()
        return encoder.stem[0][0].weight.grad

    assert torch.equal(gradient(), gradient())


def test_state_dict_is_plain_and_complete():
    encoder, other = small(seed=0), small(seed=1)
    signal = torch.randn(4, 3, 64)
    encoder(signal).sum().backward()
    state = encoder.state_dict()
    assert all(tensor.is_contiguous() for tensor in state.values())
    other.load_state_dict(state)
    assert torch.equal(other.eval()(signal), encoder.eval()(signal))


def test_computes_in_bf16():
    encoder = lively().eval()
    signal = torch.randn(4, 3, 200)
    with torch.autocast("cpu", torch.bfloat16):
        low = encoder(signal)
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(
        low.float(), encoder(signal), rtol=0.1, atol=0.1 * encoder(signal).std().item()
    )


def test_learns_to_tell_two_rhythms_apart():
    time = torch.arange(200) / 100
    rate = torch.tensor([1.0, 3.0]).repeat(16)
    phase = torch.rand(32, 1, generator=torch.Generator().manual_seed(0))
    signal = torch.sin(6.283 * (rate[:, None] * time + phase))[:, None]
    encoder, label = small(1, blocks=(1, 1, 1, 1)), torch.tensor([0, 1]).repeat(16)
    optimiser = torch.optim.Adam(encoder.parameters(), lr=0.01)
    for _ in range(12):
        optimiser.zero_grad()
        F.cross_entropy(encoder(signal)[:, :2], label).backward()
        optimiser.step()
    assert (encoder(signal)[:, :2].argmax(dim=1) == label).float().mean() > 0.9


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"width": 7}, "width 7: it must be even"),
        ({"width": 0}, "width 0"),
        ({"blocks": (3, 4, 6)}, r"blocks \[3, 4, 6\]: four stages"),
        ({"blocks": (3, 0, 6, 3)}, "at least one block"),
    ],
)
def test_refusals(arguments, says):
    with pytest.raises(ValueError, match=says):
        XResNet1d50(12, **arguments)
