import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.nn.encoders.inception_time import InceptionTime

ODD = {12: 473_344, 6: 472_192, 4: 471_808, 3: 471_616, 2: 471_424}
EVEN = {12: 491_776, 6: 490_624, 4: 490_240, 3: 490_048, 2: 489_856}


def small(leads: int = 3, seed: int = 0, **arguments: object) -> InceptionTime:
    torch.manual_seed(seed)
    return InceptionTime(leads, **{"filters": 2, "kernels": (9, 5, 4), **arguments})


def lively(leads: int = 3, **arguments: object) -> InceptionTime:
    """One whose batch norms scale and shift every channel differently."""
    encoder = small(leads, **arguments)
    for name, parameter in encoder.named_parameters():
        if parameter.dim() == 1:
            nn.init.uniform_(parameter, *((0.5, 1.5) if name.endswith("weight") else (-0.5, 0.5)))
    return encoder


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def count(leads: int, filters: int, depth: int, kernels: tuple[int, ...]) -> int:
    """Parameters by hand: no convolution has a bias, a batch norm has two a channel."""
    wide, total = filters * (len(kernels) + 1), 0
    for place in range(depth):
        before = wide if place else leads
        bottleneck, inner = (before * filters, filters) if before > 1 else (0, 1)
        total += bottleneck + inner * filters * sum(kernels) + before * filters + 2 * wide
    for shortcut in range(depth // 3):
        total += (wide if shortcut else leads) * wide + 2 * wide
    return total


@pytest.mark.parametrize("leads", ODD)
def test_parameter_count(leads):
    assert parameters(InceptionTime(leads)) == ODD[leads] == count(leads, 32, 6, (39, 19, 9))
    assert parameters(InceptionTime(leads, kernels=[40, 20, 10], pool="average")) == EVEN[leads]


def test_parameter_count_of_the_official_network_for_one_channel_and_two_classes():
    encoder = InceptionTime(1, kernels=(40, 20, 10), pool="average")
    assert parameters(encoder) + parameters(nn.Linear(encoder.dim, 2)) == 420_450


@pytest.mark.parametrize(
    ("leads", "filters", "depth", "kernels"),
    [(12, 4, 3, (19, 9, 5)), (1, 8, 7, (9,)), (2, 3, 2, (5, 4)), (3, 1, 6, (3, 3, 3, 3))],
)
def test_parameter_count_of_a_narrow_one(leads, filters, depth, kernels):
    encoder = InceptionTime(leads, filters=filters, depth=depth, kernels=kernels)
    assert parameters(encoder) == count(leads, filters, depth, kernels)
    assert encoder.dim == 2 * filters * (len(kernels) + 1)


def test_an_even_kernel_reaches_one_sample_further_ahead_than_back():
    """As TensorFlow pads: (k - 1) // 2 zeros in front, the rest behind."""
    encoder = small(1, kernels=(4, 2, 3), filters=1).eval()
    signal = [3.0, -1.0, 4.0, 1.0, -5.0, 9.0]
    seen = []
    encoder.inceptions[0].norm.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    encoder.sequence(torch.tensor(signal)[None, None])
    for place, kernel in enumerate((4, 2, 3)):
        weight = encoder.inceptions[0].branches[place].weight.flatten().tolist()
        for step in range(6):
            reached = range(step - (kernel - 1) // 2, step + kernel // 2 + 1)
            expected = sum(w * signal[i] for w, i in zip(weight, reached, strict=True) if 0 <= i < 6)
            assert seen[0][0, place, 0, step].item() == pytest.approx(expected, abs=1e-5)
    weight = encoder.inceptions[0].pooled.weight.item()
    greatest = [max(signal[max(step - 1, 0) : step + 2]) for step in range(6)]
    torch.testing.assert_close(seen[0][0, 3, 0], weight * torch.tensor(greatest))


def reference(weights: dict[str, Tensor], signal: Tensor, depth: int, kernels: tuple[int, ...]) -> Tensor:
    """Features (N, D, T) of the same network in training mode, from one-dimensional functions."""

    def norm(x: Tensor, name: str) -> Tensor:
        mean = x.mean(dim=(0, 2), keepdim=True)
        x = (x - mean) / (x.var(dim=(0, 2), unbiased=False, keepdim=True) + 1e-5).sqrt()
        return x * weights[f"{name}.weight"][:, None] + weights[f"{name}.bias"][:, None]

    def conv(x: Tensor, name: str, kernel: int = 1) -> Tensor:
        weight = weights[f"{name}.weight"].squeeze(2)
        assert weight.shape[2] == kernel
        return F.conv1d(F.pad(x, ((kernel - 1) // 2, kernel // 2)), weight)

    def module(x: Tensor, name: str) -> Tensor:
        inner = conv(x, f"{name}.bottleneck") if x.shape[1] > 1 else x
        parts = [conv(inner, f"{name}.branches.{place}", kernel) for place, kernel in enumerate(kernels)]
        parts.append(conv(F.max_pool1d(x, 3, stride=1, padding=1), f"{name}.pooled"))
        return norm(torch.cat(parts, dim=1), f"{name}.norm").relu()

    x = start = signal
    for place in range(depth):
        x = module(x, f"inceptions.{place}")
        if place in (2, 5):
            shortcut = f"shortcuts.{0 if place == 2 else 1}"
            x = start = (x + norm(conv(start, f"{shortcut}.0"), f"{shortcut}.1")).relu()
    return x


@pytest.mark.parametrize(
    ("leads", "samples", "depth", "kernels"),
    [
        (1, 41, 6, (9, 5, 4)),
        (3, 60, 6, (9, 5, 3)),
        (2, 33, 8, (40, 20, 10)),
        (12, 30, 2, (4,)),
        (4, 3, 3, (9, 6)),
    ],
)
def test_equals_the_one_dimensional_network_forward_and_backward(leads, samples, depth, kernels):
    encoder = lively(leads, depth=depth, kernels=kernels).double()
    weights = {k: v.detach().clone().requires_grad_() for k, v in encoder.named_parameters()}
    signal = torch.randn(5, leads, samples, dtype=torch.float64)
    features = reference(weights, signal, depth, kernels)
    theirs = torch.cat((features.max(dim=2).values, features.mean(dim=2)), dim=1)
    ours = encoder(signal)
    torch.testing.assert_close(ours, theirs)
    direction = torch.randn_like(ours)
    (ours * direction).sum().backward()
    (theirs * direction).sum().backward()
    for name, parameter in encoder.named_parameters():
        torch.testing.assert_close(parameter.grad, weights[name].grad, msg=name, atol=1e-8, rtol=1e-6)
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("samples", [1, 2, 40, 333])
def test_lengths_are_kept(samples):
    encoder = small(kernels=(40, 39, 20)).eval()
    assert encoder.sequence(torch.randn(2, 3, samples)).shape == (2, samples, 8)
    assert encoder(torch.randn(2, 3, samples)).shape == (2, 16)
    assert encoder.min_samples == 1
    with pytest.raises(ValueError, match=r"signal of 0 samples: encoder 'inception_time' needs 1"):
        encoder(torch.zeros(2, 3, 0))


@pytest.mark.parametrize(("kernels", "back", "ahead"), [((39, 19, 9), 114, 114), ((40, 20, 10), 114, 120)])
def test_receptive_field(kernels, back, ahead):
    """A step sees `back` samples before it and `ahead` after: a changed sample reaches as far the other way."""
    encoder = small(2, kernels=kernels).double().eval()
    for weight in encoder.parameters():
        weight.data.abs_()  # and a positive signal: no ReLU closes a path
    signal = torch.rand(1, 2, 500, dtype=torch.float64)
    other = signal.clone()
    other[0, 1, 250] += 1e6
    with torch.no_grad():
        changed = (encoder.sequence(other) - encoder.sequence(signal)).abs().amax(dim=(0, 2)) > 0
    assert changed.nonzero().flatten().tolist() == list(range(250 - ahead, 250 + back + 1))
    if kernels == (39, 19, 9):
        assert changed.sum() == 229


def test_both_pools_are_the_greatest_then_the_mean_feature():
    encoder, average = lively().eval(), lively(pool="average").eval()
    signal = torch.randn(2, 3, 70)
    over_time = encoder.sequence(signal)
    largest, mean = encoder(signal).split(8, dim=1)
    assert torch.equal(largest, over_time.max(dim=1).values)
    torch.testing.assert_close(mean, over_time.mean(dim=1))
    assert torch.equal(average(signal), mean)
    assert (encoder.dim, average.dim) == (16, 8)
    assert (InceptionTime(12).dim, InceptionTime(12, pool="average").dim) == (256, 128)


def test_no_bottleneck_for_a_single_lead_and_only_there():
    single = {name.partition(".bottleneck")[0] for name in small(1).state_dict() if "bottleneck" in name}
    several = {name.partition(".bottleneck")[0] for name in small(2).state_dict() if "bottleneck" in name}
    assert several - single == {"inceptions.0"}
    assert len(several) == 6


def test_initial_weights_are_glorot_uniform():
    torch.manual_seed(0)
    encoder = InceptionTime(12)
    weights = [weight for weight in encoder.parameters() if weight.dim() == 4]
    assert len(weights) == 6 * 5 + 2
    for weight in weights:
        out, into, _, kernel = weight.shape
        bound = math.sqrt(6 / (kernel * (into + out)))
        assert 0.95 * bound < weight.abs().max() <= bound
        assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)


@pytest.mark.parametrize("depth", [1, 3, 6, 8])
def test_groups_are_the_modules_each_with_the_shortcut_that_ends_there(depth):
    encoder = small(depth=depth)
    names = {id(p): name for name, p in encoder.named_parameters()}
    groups = [{names[id(p)] for p in group} for group in encoder.groups()]
    ends = {2: "shortcuts.0.", 5: "shortcuts.1."}
    assert groups == [
        {n for n in names.values() if n.startswith((f"inceptions.{place}.", ends.get(place, "none")))}
        for place in range(depth)
    ]
    assert sum(len(group) for group in encoder.groups()) == len(names)


def test_deterministic_without_dropout():
    signal = torch.randn(4, 3, 50)
    for training in (True, False):
        encoder = lively().train(training)
        assert torch.equal(encoder(signal), encoder(signal))


def test_memory_order_of_the_input_does_not_matter():
    encoder = lively().eval()
    signal = torch.randn(2, 3, 100)
    other = signal.transpose(1, 2).contiguous().transpose(1, 2)
    torch.testing.assert_close(encoder(other), encoder(signal))


@pytest.mark.parametrize("leads", [1, 3])
def test_every_module_works_in_the_layout_that_is_fast(leads):
    encoder = small(leads)
    seen = []
    for inception in encoder.inceptions:
        inception.register_forward_hook(lambda module, inputs, output: seen.append(output))
    encoder(torch.randn(2, leads, 50))
    assert [features.is_contiguous(memory_format=torch.channels_last) for features in seen] == [True] * 6


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
    full = encoder(signal)
    torch.testing.assert_close(low.float(), full, rtol=0.1, atol=0.1 * full.std().item())


def test_learns_to_tell_two_rhythms_apart():
    time = torch.arange(100) / 100
    rate = torch.tensor([1.0, 3.0]).repeat(16)
    phase = torch.rand(32, 1, generator=torch.Generator().manual_seed(0))
    signal = torch.sin(6.283 * (rate[:, None] * time + phase))[:, None]
    encoder, label = small(1, depth=3), torch.tensor([0, 1]).repeat(16)
    optimiser = torch.optim.Adam(encoder.parameters(), lr=0.02)
    for _ in range(20):
        optimiser.zero_grad()
        F.cross_entropy(encoder(signal)[:, -2:], label).backward()
        optimiser.step()
    assert (encoder(signal)[:, -2:].argmax(dim=1) == label).float().mean() > 0.9


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"filters": 0}, "filters 0, depth 6"),
        ({"depth": 0}, "depth 0"),
        ({"kernels": ()}, r"kernels \[\]: all at least one"),
        ({"kernels": (39, 0)}, r"kernels \[39, 0\]"),
        ({"pool": "max"}, "pool 'max': 'both' or 'average'"),
    ],
)
def test_refusals(arguments, says):
    with pytest.raises(ValueError, match=says):
        small(**arguments)
    with pytest.raises(ValueError, match=r"takes \(N, 3, samples\)"):
        small()(torch.zeros(2, 4, 50))
