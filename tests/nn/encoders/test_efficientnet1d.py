import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.nn.encoders.efficientnet1d import EfficientNet1d
from bench.nn.heads import LinearHead
from bench.nn.mbconv import MBConv

STAGES = (  # B0: expansion, kernel, channels, stride, blocks
    (1, 3, 16, 1, 1),
    (6, 3, 24, 2, 2),
    (6, 5, 40, 2, 2),
    (6, 3, 80, 2, 3),
    (6, 5, 112, 1, 3),
    (6, 5, 192, 2, 4),
    (6, 3, 320, 1, 1),
)
TABLE = (  # B3 with six leads: channels in, out, blocks, length of 4,000 samples, squeezed first and rest, parameters
    (40, 24, 2, 2000, 10, 6, 3_120),
    (24, 32, 3, 1000, 6, 8, 44_950),
    (32, 48, 3, 500, 8, 12, 95_552),
    (48, 96, 5, 250, 12, 24, 623_148),
    (96, 136, 5, 250, 24, 34, 1_310_960),
    (136, 232, 6, 125, 34, 58, 4_473_444),
    (232, 384, 2, 125, 58, 96, 3_262_042),
)


def small(leads: int = 3, seed: int = 0, **arguments: object) -> EfficientNet1d:
    """Ten blocks: stages 4 to 6 have two."""
    torch.manual_seed(seed)
    return EfficientNet1d(leads, **{"width": 0.1, "depth": 0.4, "expansion": 2, **arguments})


def size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def blocks(encoder: EfficientNet1d) -> list[MBConv]:
    return [block for stage in encoder.stages for block in stage]


def count(inputs: int, outputs: int, width: float, depth: float, axes: int = 1, expansion: int = 6) -> int:
    """Parameters by hand, a classifier of `outputs` included, in as many dimensions as `axes`."""

    def scaled(channels: int) -> int:
        multiples = [8 * k for k in range(1, 1000)]
        nearest = min(multiples, key=lambda m: (abs(m - channels * width), -m))
        return nearest if nearest >= 0.9 * channels * width else nearest + 8

    before = scaled(32)
    total = inputs * before * 3**axes + 2 * before
    for factor, kernel, channels, _, repeats in STAGES:
        for _ in range(math.ceil(repeats * depth)):
            after, inside, hidden = scaled(channels), before * min(factor, expansion), max(1, before // 4)
            expand = before * inside + 2 * inside if inside > before else 0
            depthwise = inside * kernel**axes + 2 * inside
            squeeze = inside * hidden + hidden + hidden * inside + inside
            total += expand + depthwise + squeeze + inside * after + 2 * after
            before = after
    head = scaled(1280)
    return total + before * head + 2 * head + (head * outputs + outputs if outputs else 0)


def test_the_counting_rule_gives_the_published_networks_for_images():
    assert count(3, 1000, 1.0, 1.0, axes=2) == 5_288_548
    assert count(3, 1000, 1.2, 1.4, axes=2) == 12_233_232


@pytest.mark.parametrize(
    ("leads", "alone", "whole"),
    [
        (12, 10_407_632, 10_447_932),
        (6, 10_406_912, 10_447_212),
        (4, 10_406_672, 10_446_972),
        (3, 10_406_552, 10_446_852),
        (2, 10_406_432, 10_446_732),
    ],
)
def test_parameter_count_of_b3_alone_and_under_its_classifier(leads, alone, whole):
    encoder = EfficientNet1d(leads)
    assert size(encoder) == alone == count(leads, 0, 1.2, 1.4)
    head = LinearHead(encoder.dim, 26, tabular=13)
    assert size(head) == 40_300
    assert size(encoder) + size(head) == whole
    assert whole - 26 * 13 == count(leads, 26, 1.2, 1.4)


@pytest.mark.parametrize(
    ("width", "depth", "expansion"),
    [(1.0, 1.0, 6), (0.1, 0.25, 6), (0.25, 0.3, 2), (0.01, 0.01, 1), (0.5, 1.1, 3)],
)
def test_parameter_count_of_other_sizes(width, depth, expansion):
    encoder = EfficientNet1d(2, width=width, depth=depth, expansion=expansion)
    assert size(encoder) == count(2, 0, width, depth, expansion=expansion)


def test_the_table_of_b3():
    torch.manual_seed(0)
    encoder = EfficientNet1d(6).eval()
    shapes = []
    for part in (encoder.stem, *encoder.stages, encoder.head):
        part.register_forward_hook(lambda module, inputs, output: shapes.append(tuple(output.shape[1:])))
    with torch.no_grad():
        assert encoder.sequence(torch.randn(1, 6, 4000)).shape == (1, 125, 1536)
    assert shapes == [
        (40, 1, 2000),
        *((after, 1, length) for _, after, _, length, *_ in TABLE),
        (1536, 1, 125),
    ]
    assert (size(encoder.stem), size(encoder.head), encoder.dim) == (800, 592_896, 1536)
    for stage, (before, after, number, _, first, rest, parameters) in zip(encoder.stages, TABLE, strict=True):
        assert (len(stage), size(stage)) == (number, parameters)
        assert [b.project[0].out_channels for b in stage] == [after] * number
        assert [b.weigh.squeeze.out_features for b in stage] == [first] + [rest] * (number - 1)
        assert [b.shortcut for b in stage] == [False] + [True] * (number - 1)
        inside = [b.depthwise[0].out_channels for b in stage]
        factor = 1 if stage is encoder.stages[0] else 6
        assert inside == [before * factor] + [after * factor] * (number - 1)
    assert [stage[0].depthwise[0].kernel_size[1] for stage in encoder.stages] == [3, 3, 5, 3, 5, 5, 3]


def test_drop_connect_grows_over_the_26_blocks_and_batch_norms_are_those_of_b3():
    encoder = EfficientNet1d(6)
    shares = [block.drop.share for block in blocks(encoder)]
    assert shares == pytest.approx([0.2 * i / 26 for i in range(26)])
    norms = [module for module in encoder.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == 2 + 2 * 2 + 24 * 3
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.01)}
    other = small(drop_connect=0.5, momentum=0.3)
    assert [block.drop.share for block in blocks(other)] == pytest.approx([0.05 * i for i in range(10)])
    assert {m.momentum for m in other.modules() if isinstance(m, nn.BatchNorm2d)} == {0.3}


def reference(weights: dict[str, Tensor], signal: Tensor, repeats: tuple[int, ...]) -> Tensor:
    """The same network in training mode without drop-connect, from one-dimensional functions."""

    def norm(x: Tensor, name: str) -> Tensor:
        mean = x.mean(dim=(0, 2), keepdim=True)
        x = (x - mean) / (x.var(dim=(0, 2), unbiased=False, keepdim=True) + 1e-3).sqrt()
        return x * weights[f"{name}.weight"][:, None] + weights[f"{name}.bias"][:, None]

    def conv(x: Tensor, name: str, stride: int = 1, groups: int = 1) -> Tensor:
        kernel = weights[f"{name}.weight"].squeeze(2)
        return F.conv1d(x, kernel, None, stride, kernel.shape[2] // 2, groups=groups)

    def swish(x: Tensor) -> Tensor:
        return x * x.sigmoid()

    def weighed(x: Tensor, name: str) -> Tensor:
        down, up = f"{name}.squeeze", f"{name}.excite"
        hidden = swish(x.mean(dim=2) @ weights[f"{down}.weight"].T + weights[f"{down}.bias"])
        return x * (hidden @ weights[f"{up}.weight"].T + weights[f"{up}.bias"]).sigmoid()[:, :, None]

    x = swish(norm(conv(signal, "stem.0", 2), "stem.1"))
    for stage, ((_, _, _, stride, _), number) in enumerate(zip(STAGES, repeats, strict=True)):
        for block in range(number):
            name, y = f"stages.{stage}.{block}", x
            if f"{name}.expand.0.weight" in weights:
                y = swish(norm(conv(y, f"{name}.expand.0"), f"{name}.expand.1"))
            y = conv(y, f"{name}.depthwise.0", 1 if block else stride, y.shape[1])
            y = weighed(swish(norm(y, f"{name}.depthwise.1")), f"{name}.weigh")
            y = norm(conv(y, f"{name}.project.0"), f"{name}.project.1")
            same = x.shape == y.shape and (block or stride == 1)
            x = x + y if same else y
    return swish(norm(conv(x, "head.0"), "head.1")).mean(dim=2)


@pytest.mark.parametrize(
    ("leads", "samples", "arguments", "repeats"),
    [
        (1, 64, {}, (1, 1, 1, 2, 2, 2, 1)),
        (3, 97, {"width": 0.2, "depth": 0.25, "expansion": 3}, (1,) * 7),
        (2, 250, {"depth": 1.0, "expansion": 1}, (1, 2, 2, 3, 3, 4, 1)),
    ],
)
def test_equals_the_one_dimensional_network_forward_and_backward(leads, samples, arguments, repeats):
    encoder = small(leads, drop_connect=0.0, **arguments).double()
    assert tuple(map(len, encoder.stages)) == repeats
    weights = {k: v.detach().clone().requires_grad_() for k, v in encoder.named_parameters()}
    signal = torch.randn(6, leads, samples, dtype=torch.float64)
    ours, theirs = encoder(signal), reference(weights, signal, repeats)
    torch.testing.assert_close(ours, theirs)
    direction = torch.randn_like(ours)
    (ours * direction).sum().backward()
    (theirs * direction).sum().backward()
    for name, parameter in encoder.named_parameters():
        torch.testing.assert_close(parameter.grad, weights[name].grad, msg=name, atol=1e-8, rtol=1e-6)


def test_initial_weights():
    torch.manual_seed(0)
    encoder = EfficientNet1d(12)
    for name, weight in encoder.named_parameters():
        if weight.dim() == 1:
            norm = name.endswith(".1.weight")
            assert torch.equal(weight, torch.ones_like(weight) if norm else torch.zeros_like(weight)), name
            continue
        kernel = weight.shape[3] if weight.dim() == 4 else 1
        fan_out = kernel * (1 if "depthwise" in name else weight.shape[0])
        tolerance = 5 / math.sqrt(2 * weight.numel())  # five standard errors
        assert weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=tolerance), name


def test_a_fresh_network_tells_signals_apart_after_many_blocks():
    encoder = small(6, width=0.25, depth=1.4, expansion=6)
    embedding = encoder(torch.randn(16, 6, 256))
    assert 0.02 < embedding.std(dim=0).mean() < 2


def test_sequence_averaged_is_the_embedding():
    encoder = small().eval()
    signal = torch.randn(2, 3, 330)
    over_time = encoder.sequence(signal)
    assert over_time.shape == (2, math.ceil(330 / 32), 128)
    assert encoder.dim == 128
    torch.testing.assert_close(encoder(signal), over_time.mean(dim=1))


def test_groups_hold_every_parameter_once_from_stem_to_head():
    encoder = small()
    parts = [("stem.", "stages.0."), ("stages.1.",), ("stages.2.",), ("stages.3.", "stages.4.")]
    parts += [("stages.5.", "stages.6."), ("head.",)]
    names = {id(p): name for name, p in encoder.named_parameters()}
    groups = [[names[id(p)] for p in group] for group in encoder.groups()]
    assert groups == [[name for name in names.values() if name.startswith(part)] for part in parts]
    assert sum(map(len, groups)) == len(names)


def test_any_length_from_the_least_on():
    encoder = small()
    for samples in (32, 33, 250, 731):
        assert encoder.sequence(torch.randn(2, 3, samples)).shape == (2, math.ceil(samples / 32), 128)
    assert encoder.min_samples == 32
    with pytest.raises(ValueError, match=r"31 samples.*'efficientnet1d' needs 32"):
        encoder(torch.zeros(2, 3, 31))


def test_gradients_reach_every_parameter():
    encoder = small(drop_connect=0.0)
    encoder(torch.randn(8, 3, 200)).square().sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def test_memory_order_of_the_input_does_not_matter():
    encoder = small().eval()
    signal = torch.randn(2, 3, 100)
    other = signal.transpose(1, 2).contiguous().transpose(1, 2)
    torch.testing.assert_close(encoder(other), encoder(signal))


@pytest.mark.parametrize("leads", [1, 3])
def test_every_block_sees_channels_last(leads):
    encoder = small(leads)
    seen = []
    for block in blocks(encoder):
        block.register_forward_pre_hook(
            lambda module, inputs: seen.append(inputs[0].is_contiguous(memory_format=torch.channels_last))
        )
    encoder(torch.randn(4, leads, 200))
    assert seen == [True] * len(blocks(encoder))


def test_same_seed_same_bits():
    def gradient() -> Tensor:
        encoder = small(drop_connect=0.8)
        encoder(torch.randn(4, 3, 200)).square().sum().backward()
        return encoder.stem[0].weight.grad

    assert torch.equal(gradient(), gradient())


def test_drop_connect_is_active_in_training_only():
    encoder = small(drop_connect=0.8)
    signal = torch.randn(16, 3, 200)
    assert not torch.equal(encoder(signal), encoder(signal))
    encoder.eval()
    assert torch.equal(encoder(signal), encoder(signal))
    without = small(drop_connect=0.0)
    assert torch.equal(without(signal), without(signal))


def test_state_dict_is_plain_and_complete():
    encoder, other = small(seed=0), small(seed=1)
    signal = torch.randn(4, 3, 64)
    encoder(signal).sum().backward()
    state = encoder.state_dict()
    assert all(tensor.is_contiguous() for tensor in state.values())
    other.load_state_dict(state)
    assert torch.equal(other.eval()(signal), encoder.eval()(signal))


def test_computes_in_bf16():
    encoder = small(momentum=1.0)
    signal = torch.randn(16, 3, 200)
    encoder(signal)  # running statistics of this very signal
    encoder.eval()
    with torch.autocast("cpu", torch.bfloat16):
        low = encoder(signal)
    assert low.dtype == torch.bfloat16
    full = encoder(signal)
    assert (low.float() - full).norm() < 0.15 * (full - full.mean(dim=0)).norm()


def test_learns_to_tell_two_rhythms_apart():
    time = torch.arange(200) / 100
    rate = torch.tensor([1.0, 3.0]).repeat(16)
    phase = torch.rand(32, 1, generator=torch.Generator().manual_seed(0))
    signal = torch.sin(6.283 * (rate[:, None] * time + phase))[:, None]
    encoder, label = small(1, depth=0.25, momentum=0.3), torch.tensor([0, 1]).repeat(16)
    optimiser = torch.optim.Adam(encoder.parameters(), lr=0.01)
    for _ in range(20):
        optimiser.zero_grad()
        F.cross_entropy(encoder(signal)[:, :2], label).backward()
        optimiser.step()
    encoder.eval()
    assert (encoder(signal)[:, :2].argmax(dim=1) == label).float().mean() > 0.9


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"width": 0}, "width 0, depth 0.4, expansion 2: all must be positive"),
        ({"depth": -1}, "depth -1"),
        ({"expansion": 0}, "expansion 0"),
        ({"drop_connect": 1.0}, r"drop_connect 1.0 must be in \[0, 1\)"),
        ({"drop_connect": -0.1}, "drop_connect -0.1"),
        ({"momentum": 0}, "momentum 0 in"),
        ({"momentum": 1.5}, "momentum 1.5"),
    ],
)
def test_refusals(arguments, says):
    with pytest.raises(ValueError, match=says):
        small(12, **arguments)
