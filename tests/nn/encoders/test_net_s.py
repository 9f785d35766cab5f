import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.nn.encoders.net_s import NetS

LEAST = 388


def small(leads: int = 2, seed: int = 0, **arguments: object) -> NetS:
    torch.manual_seed(seed)
    return NetS(leads, **{"dim": 5, "samples": 500, **arguments})


@pytest.mark.parametrize(
    ("leads", "dim", "samples", "expected"),
    [
        (1, 128, 2500, 45_304),
        (1, 32, 2500, 4_216 + 321 * 32),
        (1, 256, 2500, 4_216 + 321 * 256),
        (12, 128, 2500, 45_304 + 11 * 4 * 7),
        (1, 128, 500, 4_216 + 33 * 128),
    ],
)
def test_parameter_count(leads, dim, samples, expected):
    encoder = NetS(leads, dim=dim, samples=samples)
    assert sum(p.numel() for p in encoder.parameters()) == expected


def test_defaults_are_the_published_values():
    encoder = NetS(1)
    assert sum(p.numel() for p in encoder.parameters()) == 45_304
    assert (encoder.dim, encoder.samples, encoder.min_samples) == (128, 2500, 2500)
    assert [block[-1].p for block in encoder.blocks] == [0.1] * 3


@pytest.mark.parametrize(
    ("samples", "lengths"),
    [
        (2500, [832, 416, 137, 68, 21, 10]),
        (500, [165, 82, 26, 13, 3, 1]),
        (LEAST, [128, 64, 20, 10, 2, 1]),
    ],
)
def test_lengths_and_widths(samples, lengths):
    encoder = small(1, samples=samples).eval()
    seen = []
    for module in encoder.modules():
        if isinstance(module, nn.Conv1d | nn.MaxPool1d):
            module.register_forward_hook(lambda module, inputs, output: seen.append(tuple(output.shape)))
    embedding = encoder(torch.randn(3, 1, samples))
    assert seen == [(3, c, n) for c, n in zip([4, 4, 16, 16, 32, 32], lengths, strict=True)]
    assert embedding.shape == (3, 5)
    assert encoder.head.in_features == 32 * lengths[-1]


def reference(weights: dict[str, Tensor], signal: Tensor) -> Tensor:
    """The same network in training mode without dropout, from windows, sums and maxima."""
    x = signal
    for block in range(3):
        kernel, bias = weights[f"blocks.{block}.0.weight"], weights[f"blocks.{block}.0.bias"]
        starts = range(0, x.shape[2] - 6, 3)
        x = torch.stack([(x[:, None, :, s : s + 7] * kernel).sum((2, 3)) + bias for s in starts], dim=2)
        mean = x.mean(dim=(0, 2), keepdim=True)
        x = (x - mean) / (x.var(dim=(0, 2), unbiased=False, keepdim=True) + 1e-5).sqrt()
        gain, shift = weights[f"blocks.{block}.1.weight"], weights[f"blocks.{block}.1.bias"]
        x = (x * gain[:, None] + shift[:, None]).relu()
        pairs = x.shape[2] // 2
        x = torch.maximum(x[:, :, 0 : 2 * pairs : 2], x[:, :, 1 : 2 * pairs : 2])
    return x.reshape(len(x), -1) @ weights["head.weight"].T + weights["head.bias"]


@pytest.mark.parametrize(("leads", "samples"), [(1, 640), (3, LEAST), (2, 811)])
def test_equals_the_network_written_out_forward_and_backward(leads, samples):
    encoder = small(leads, samples=samples, dropout=0.0).double()
    weights = {k: v.detach().clone().requires_grad_() for k, v in encoder.named_parameters()}
    signal = torch.randn(6, leads, samples, dtype=torch.float64)
    ours, theirs = encoder(signal), reference(weights, signal)
    torch.testing.assert_close(ours, theirs)
    assert (ours < 0).any()  # no activation after the head
    direction = torch.randn_like(ours)
    (ours * direction).sum().backward()
    (theirs * direction).sum().backward()
    for name, parameter in encoder.named_parameters():
        torch.testing.assert_close(parameter.grad, weights[name].grad, msg=name, atol=1e-10, rtol=1e-6)


def test_the_head_reads_channel_by_channel_time_within_a_channel():
    encoder = small(1, samples=2500, dim=320).eval()
    with torch.no_grad():
        encoder.head.weight.copy_(torch.eye(320))
        encoder.head.bias.zero_()
    signal = torch.randn(2, 1, 2500)
    features, embedding = encoder.sequence(signal), encoder(signal)
    assert features.shape == (2, 10, 32)
    for channel, step in ((0, 0), (0, 9), (1, 0), (17, 4), (31, 9)):
        assert torch.equal(embedding[:, channel * 10 + step], features[:, step, channel])


def test_one_length_only():
    encoder = small()
    for other in (499, 501, 2500):
        with pytest.raises(
            ValueError, match=rf"of {other} samples.*'net_s'.*500 exactly.*`samples: {other}`"
        ):
            encoder(torch.zeros(2, 2, other))
        with pytest.raises(ValueError, match="500 exactly"):
            encoder.sequence(torch.zeros(2, 2, other))
    with pytest.raises(ValueError, match=r"\(2, 1, 500\).*takes \(N, 2, samples\)"):
        encoder(torch.zeros(2, 1, 500))


@pytest.mark.parametrize("samples", [LEAST - 1, 6, 0, -3])
def test_too_short_for_three_blocks(samples):
    with pytest.raises(ValueError, match=rf"samples {samples}: .* at least {LEAST}"):
        NetS(1, samples=samples)


def test_groups_hold_every_parameter_once_from_stem_to_head():
    encoder = small()
    groups = encoder.groups()
    ids = [id(p) for group in groups for p in group]
    assert len(groups) == 4
    assert len(ids) == len(set(ids))
    assert set(ids) == {id(p) for p in encoder.parameters()}
    assert groups[0][0] is encoder.blocks[0][0].weight
    assert {id(p) for p in groups[-1]} == {id(encoder.head.weight), id(encoder.head.bias)}


def test_gradients_reach_every_parameter():
    encoder = small().eval()  # in training, batch norm cancels the convolutions' biases
    encoder(torch.randn(8, 2, 500)).square().sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def test_dropout_takes_elements_not_channels():
    encoder = small(samples=2500, dropout=0.5)
    before, after = [], []

    def keep(module: object, inputs: tuple[Tensor], output: Tensor) -> None:
        before.append(inputs[0])
        after.append(output)

    encoder.blocks[1][-1].register_forward_hook(keep)
    encoder(torch.randn(16, 2, 2500))
    alive = before[0] > 0
    kept = after[0] > 0
    torch.testing.assert_close(after[0][kept], 2 * before[0][kept])
    assert not (kept & ~alive).any()
    share = (kept.sum(dim=2) / alive.sum(dim=2))[alive.sum(dim=2) > 30]
    assert share.min() > 0.1 and share.max() < 0.9
    assert abs(kept.sum() / alive.sum() - 0.5) < 5 * (0.25 / alive.sum()) ** 0.5


def test_dropout_is_active_in_training_only():
    encoder = small(dropout=0.5)
    signal = torch.randn(4, 2, 500)
    assert not torch.equal(encoder(signal), encoder(signal))
    encoder.eval()
    assert torch.equal(encoder(signal), encoder(signal))


def test_same_seed_same_bits():
    def gradient() -> Tensor:
        encoder = small(dropout=0.3)
        encoder(torch.randn(4, 2, 500)).square().sum().backward()
        return encoder.blocks[0][0].weight.grad

    assert torch.equal(gradient(), gradient())


def test_learns_to_tell_two_rhythms_apart():
    time = torch.arange(500) / 100
    rate = torch.tensor([1.0, 3.0]).repeat(16)
    generator = torch.Generator().manual_seed(0)
    phase = torch.rand(32, 1, generator=generator)
    signal = torch.sin(6.283 * (rate[:, None] * time + phase))[:, None]
    encoder, label = small(1, dim=2), torch.tensor([0, 1]).repeat(16)
    optimiser = torch.optim.Adam(encoder.parameters(), lr=0.01)
    for _ in range(40):
        optimiser.zero_grad()
        F.cross_entropy(encoder(signal), label).backward()
        optimiser.step()
    assert (encoder.eval()(signal).argmax(dim=1) == label).float().mean() > 0.9
