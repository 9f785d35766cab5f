import math

import pytest
import torch

from bench.nn.dropout import Dropout


def test_share_scale_and_gradient():
    features = torch.ones(1000, 333, requires_grad=True)
    torch.manual_seed(0)
    output = Dropout(0.2)(features)
    dropped = round(0.2 * 65536) / 65536
    assert set(output.unique().tolist()) == {0.0, torch.tensor(1 / (1 - dropped)).item()}
    share = (output == 0).double().mean().item()
    assert abs(share - 0.2) < 5 * math.sqrt(0.2 * 0.8 / features.numel())
    output.sum().backward()
    assert torch.equal(features.grad, output.detach())


def test_activations_are_dropped_independently():
    torch.manual_seed(1)
    kept = (Dropout(0.5)(torch.ones(400, 1000)) > 0).double() - 0.5
    for lag in (1, 2, 3, 4, 8, 1000):
        flat = kept.flatten()
        correlation = (flat[lag:] * flat[:-lag]).mean().item() / 0.25
        assert abs(correlation) < 5 / math.sqrt(flat.numel()), lag
    assert kept.mean(dim=1).abs().max() < 5 * 0.5 / math.sqrt(1000)


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_all_or_nothing(p):
    features = torch.randn(7, 3)
    assert torch.equal(Dropout(p)(features), features * (1 - p))


def test_evaluation_is_the_identity():
    features = torch.randn(7, 3)
    assert Dropout(0.5).eval()(features) is features


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_memory_order_and_dtype_are_kept(dtype):
    features = torch.randn(5, 6, 1, 7, dtype=dtype).contiguous(memory_format=torch.channels_last)
    torch.manual_seed(0)
    output = Dropout(0.5)(features)
    assert (output.stride(), output.dtype) == (features.stride(), dtype)
    assert torch.equal(output[output != 0], (features * 2)[output != 0])


def test_draws_follow_the_default_generator():
    features = torch.ones(11, 3)

    def draw() -> torch.Tensor:
        torch.manual_seed(3)
        return Dropout(0.5)(features)

    first = draw()
    assert torch.equal(first, draw())
    assert not torch.equal(first, Dropout(0.5)(features))
