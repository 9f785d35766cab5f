import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.nn.mbconv import (
    BlockShape,
    DropConnect,
    MBConv,
    SqueezeExcitation,
    convolution,
    scaled_channels,
    scaled_repeats,
    unit,
)


@pytest.mark.parametrize(
    ("channels", "width", "scaled"),
    [
        (32, 1.2, 40),  # 38.4
        (16, 1.2, 24),  # 19.2: 16 would lose more than a tenth
        (24, 1.2, 32),
        (112, 1.2, 136),  # 134.4
        (1280, 1.2, 1536),
        (320, 1.0, 320),
        (10, 1.0, 16),  # 8 would lose a fifth
        (80, 1.05, 88),  # 84: a tie goes up
        (16, 0.1, 8),  # never fewer
        (112, 0.1, 16),  # 11.2
        (88, 0.1, 8),  # 8.8: 8 loses less than a tenth
    ],
)
def test_scaled_channels(channels, width, scaled):
    assert scaled_channels(channels, width) == scaled


def test_scaled_repeats():
    assert [scaled_repeats(r, 1.4) for r in (1, 2, 2, 3, 3, 4, 1)] == [2, 3, 3, 5, 5, 6, 2]
    assert [scaled_repeats(r, 0.25) for r in (1, 2, 3, 4)] == [1, 1, 1, 1]
    assert [scaled_repeats(r, 1.0) for r in (1, 2, 3, 4)] == [1, 2, 3, 4]


def test_squeeze_and_excitation_is_its_formula():
    torch.manual_seed(0)
    module = SqueezeExcitation(6, 2).double()
    for linear in (module.squeeze, module.excite):
        torch.nn.init.normal_(linear.bias)
    features = torch.randn(3, 6, 1, 5, dtype=torch.float64)
    output = module(features)
    down, up = module.squeeze, module.excite
    for row in range(3):
        means = [sum(features[row, c, 0].tolist()) / 5 for c in range(6)]
        hidden = []
        for h in range(2):
            value = down.bias[h].item() + sum(
                w * m for w, m in zip(down.weight[h].tolist(), means, strict=True)
            )
            hidden.append(value / (1 + math.exp(-value)))
        for c in range(6):
            value = up.bias[c].item() + sum(w * h for w, h in zip(up.weight[c].tolist(), hidden, strict=True))
            gate = 1 / (1 + math.exp(-value))
            torch.testing.assert_close(output[row, c, 0], features[row, c, 0] * gate)


def test_squeeze_and_excitation_goes_back_through_mean_and_product():
    torch.manual_seed(0)
    module = SqueezeExcitation(4, 3).double()
    features = torch.randn(2, 4, 1, 7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(module, (features,))


def test_drop_connect_drops_whole_rows_and_keeps_the_expectation():
    rows, share = 20_000, 0.3
    features = torch.rand(rows, 2, 1, 3) + 0.5
    torch.manual_seed(0)
    factor = DropConnect(share)(features) / features
    each = factor[:, 0, 0, 0]
    torch.testing.assert_close(factor, each[:, None, None, None].expand_as(factor))
    torch.testing.assert_close(each[each > 0], torch.full_like(each[each > 0], 1 / (1 - share)))
    dropped = (each == 0).double().mean().item()
    assert abs(dropped - share) < 4 * math.sqrt(share * (1 - share) / rows)
    assert each.double().mean().item() == pytest.approx(1, abs=4 * math.sqrt(share / (1 - share) / rows))


def test_drop_connect_draws_from_the_default_generator_in_training_only():
    features = torch.ones(64, 2, 1, 3)

    def draw() -> Tensor:
        torch.manual_seed(3)
        return DropConnect(0.5)(features)

    first = draw()
    assert torch.equal(first, draw())
    assert not torch.equal(first, DropConnect(0.5)(features))
    before = torch.get_rng_state()
    assert DropConnect(0.5).eval()(features) is features
    assert DropConnect(0.0)(features) is features
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_drop_connect_keeps_dtype_and_memory_order(dtype):
    features = torch.ones(9, 6, 1, 7, dtype=dtype).contiguous(memory_format=torch.channels_last)
    output = DropConnect(0.5)(features)
    assert (output.stride(), output.dtype) == (features.stride(), dtype)
    assert set(output.unique().tolist()) <= {0.0, 2.0}


@pytest.mark.parametrize(("kernel", "stride", "groups", "length"), [(1, 1, 1, 9), (3, 2, 1, 5), (5, 2, 8, 5)])
def test_convolutions_have_fan_out_weights_and_no_bias(kernel, stride, groups, length):
    """An input channel reaches 400 / groups outputs through each tap."""
    torch.manual_seed(0)
    conv = convolution(400, 400, kernel, stride, groups)
    assert conv.bias is None
    reached = (conv.weight.shape[0] // groups) * kernel
    assert conv.weight.std().item() == pytest.approx(math.sqrt(2 / reached), rel=0.03)
    assert conv.weight.abs().max() > 3 * math.sqrt(2 / reached)  # normal, not uniform
    assert conv(torch.zeros(1, 400, 1, 9)).shape == (1, 400, 1, length)


def test_a_unit_is_convolution_batch_norm_and_swish():
    torch.manual_seed(0)
    layer = unit(convolution(3, 8, 3), momentum=0.25).double()
    signal = torch.randn(4, 3, 1, 6, dtype=torch.float64)
    x = F.conv1d(signal.squeeze(2), layer[0].weight.squeeze(2), padding=1)
    mean, variance = x.mean(dim=(0, 2)), x.var(dim=(0, 2), unbiased=False)
    y = (x - mean[:, None]) / (variance[:, None] + 1e-3).sqrt()
    torch.testing.assert_close(layer(signal).squeeze(2), y / (1 + torch.exp(-y)))
    torch.testing.assert_close(layer[1].running_mean, 0.25 * mean)


def parts(shape: BlockShape, drop: float = 0.0) -> MBConv:
    torch.manual_seed(0)
    return MBConv(shape, drop, momentum=0.01)


@pytest.mark.parametrize(
    ("shape", "shortcut", "length", "hidden"),
    [
        (BlockShape(8, 8, 3, 1, 6), True, 11, 2),
        (BlockShape(8, 16, 3, 1, 6), False, 11, 2),
        (BlockShape(8, 8, 5, 2, 6), False, 6, 2),
        (BlockShape(8, 8, 5, 1, 1), True, 11, 2),
        (BlockShape(3, 8, 5, 1, 2), False, 11, 1),
    ],
)
def test_a_block_adds_its_input_where_shapes_agree(shape, shortcut, length, hidden):
    block = parts(shape).eval()
    features = torch.randn(2, shape.before, 1, 11)
    residual = block.project(block.weigh(block.depthwise(block.expand(features))))
    assert residual.shape == (2, shape.after, 1, length)
    assert torch.equal(block(features), features + residual if shortcut else residual)
    assert block.weigh.squeeze.out_features == hidden
    inside = shape.before * shape.expansion
    assert block.depthwise[0].weight.shape == (inside, 1, 1, shape.kernel)
    assert len(block.expand) == (0 if shape.expansion == 1 else 3)


def test_a_dropped_row_passes_a_block_unchanged_and_the_others_get_twice_the_residual():
    block = parts(BlockShape(8, 8, 3, 1, 2), drop=0.5)
    whole = parts(BlockShape(8, 8, 3, 1, 2))
    features = torch.randn(32, 8, 1, 11)
    torch.manual_seed(1)
    output, residual = block(features), whole(features) - features
    dropped = (output == features).flatten(1).all(dim=1)
    assert 4 < dropped.sum() < 28
    torch.testing.assert_close((output - features)[~dropped], 2 * residual[~dropped])


def test_a_block_without_shortcut_drops_nothing():
    shape = BlockShape(8, 16, 3, 1, 2)
    features = torch.randn(32, 8, 1, 11)
    assert torch.equal(parts(shape, drop=0.9)(features), parts(shape)(features))
