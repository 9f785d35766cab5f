import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.nn.encoders.cpc_net import CPCNet


def small(leads: int = 3, seed: int = 0, hidden: int = 6) -> CPCNet:
    torch.manual_seed(seed)
    return CPCNet(leads, hidden=hidden)


def test_parameter_count():
    encoder = CPCNet(12)
    instants, lstm = ([p.numel() for p in group] for group in encoder.groups())
    assert (sum(instants), sum(lstm)) == (796_672, 4_202_496)
    assert (encoder.dim, encoder.name, encoder.recurrent) == (1536, "cpc_net", True)


@pytest.mark.parametrize(("leads", "hidden"), [(1, 4), (12, 32)])
def test_parameter_count_by_hand(leads, hidden):
    instants = leads * hidden + 3 * hidden**2 + 4 * 2 * hidden
    lstm = 2 * (4 * hidden * 2 * hidden + 2 * 4 * hidden)
    encoder = CPCNet(leads, hidden=hidden)
    assert sum(p.numel() for p in encoder.parameters()) == instants + lstm
    assert encoder.dim == 3 * hidden


def reference(weights: dict[str, Tensor], signal: Tensor) -> tuple[Tensor, Tensor]:
    """Features and context in training mode: convolutions of kernel 1, then the LSTM's equations step by step."""
    x = signal
    for layer in range(4):
        x = F.conv1d(x, weights[f"instants.{layer}.0.weight"][:, :, None])
        mean = x.mean(dim=(0, 2), keepdim=True)
        x = (x - mean) / (x.var(dim=(0, 2), unbiased=False, keepdim=True) + 1e-5).sqrt()
        x = x * weights[f"instants.{layer}.1.weight"][:, None] + weights[f"instants.{layer}.1.bias"][:, None]
        x = x.relu()
    features = x.transpose(1, 2)
    below = features
    for layer in range(2):
        h = c = torch.zeros_like(below[:, 0])
        states = []
        for step in range(below.shape[1]):
            gates = below[:, step] @ weights[f"lstm.weight_ih_l{layer}"].T + weights[f"lstm.bias_ih_l{layer}"]
            gates = gates + h @ weights[f"lstm.weight_hh_l{layer}"].T + weights[f"lstm.bias_hh_l{layer}"]
            come, stay, new, out = gates.chunk(4, dim=1)
            c = stay.sigmoid() * c + come.sigmoid() * new.tanh()
            h = out.sigmoid() * c.tanh()
            states.append(h)
        below = torch.stack(states, dim=1)
    return features, below


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
def test_equals_the_network_written_out_forward_and_backward(dtype, tolerance):
    encoder = small().to(dtype)
    weights = {k: v.detach().clone().requires_grad_() for k, v in encoder.named_parameters()}
    signal = torch.randn(4, 3, 17, dtype=dtype)
    features, context = reference(weights, signal)
    near = {"rtol": tolerance, "atol": tolerance}
    torch.testing.assert_close(encoder.sequence(signal), features, **near)
    torch.testing.assert_close(encoder.context(features.detach()), context.detach(), **near)
    ours = encoder(signal)
    theirs = torch.cat((context.mean(dim=1), context.max(dim=1).values, context[:, -1]), dim=1)
    torch.testing.assert_close(ours, theirs, **near)
    direction = torch.randn_like(ours)
    (ours * direction).sum().backward()
    (theirs * direction).sum().backward()
    for name, parameter in encoder.named_parameters():
        torch.testing.assert_close(parameter.grad, weights[name].grad, msg=name, **near)
        assert parameter.grad.abs().max() > 0, name


def test_a_feature_depends_on_its_own_sample_alone_and_its_context_on_none_later():
    encoder = small().eval()
    signal = torch.randn(2, 3, 20)
    changed = signal.clone()
    changed[:, :, 11] += 1
    before, after = encoder.sequence(signal), encoder.sequence(changed)
    assert before.shape == (2, 20, 6)
    differs = (before != after).any(dim=2)
    assert torch.equal(differs, (torch.arange(20) == 11).expand(2, -1))
    moved = (encoder.context(before) - encoder.context(after)).abs().amax(dim=2)
    assert encoder.context(before).shape == (2, 20, 6)
    assert not bool(moved[:, :11].any())
    assert bool((moved[:, 11:16] > 0).all())


def test_the_embedding_sums_up_the_context():
    encoder = small().eval()
    signal = torch.randn(2, 3, 40)
    context = encoder.context(encoder.sequence(signal))
    mean, largest, last = encoder(signal).split(6, dim=1)
    torch.testing.assert_close(mean, context.mean(dim=1))
    assert torch.equal(largest, context.max(dim=1).values)
    assert torch.equal(last, context[:, -1])


def test_groups_are_the_instants_layers_and_the_lstm():
    encoder = small()
    groups = encoder.groups()
    names = {id(p): name for name, p in encoder.named_parameters()}
    assert [{names[id(p)].partition(".")[0] for p in group} for group in groups] == [{"instants"}, {"lstm"}]
    assert sum(len(group) for group in groups) == len(names)
    assert not any(name.startswith("instants") and name.endswith("0.bias") for name in names.values())


def test_any_length_from_one_sample_on():
    encoder = small()
    for samples in (1, 2, 61):
        assert encoder(torch.randn(2, 3, samples)).shape == (2, 18)
    assert encoder.min_samples == 1
    with pytest.raises(ValueError, match=r"signal of 0 samples.*'cpc_net' needs 1"):
        encoder(torch.zeros(2, 3, 0))
    with pytest.raises(ValueError, match=r"\(2, 5, 9\).*takes \(N, 3, samples\)"):
        encoder.sequence(torch.zeros(2, 5, 9))


def test_memory_order_of_the_input_does_not_matter():
    encoder = small().eval()
    signal = torch.randn(2, 3, 30)
    other = signal.transpose(1, 2).contiguous().transpose(1, 2)
    torch.testing.assert_close(encoder(other), encoder(signal))


def test_computes_in_bf16_forward_and_backward():
    encoder = small(hidden=16)
    signal = torch.randn(4, 3, 50)
    full = encoder(signal)
    with torch.autocast("cpu", torch.bfloat16):
        features = encoder.sequence(signal)
        low = encoder(signal)
    assert features.dtype == low.dtype == torch.bfloat16
    torch.testing.assert_close(low.float(), full, rtol=0.05, atol=0.02)
    low.float().square().sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad.dtype == torch.float32 and bool(parameter.grad.isfinite().all()), name
        assert parameter.grad.abs().max() > 0, name


def test_same_seed_same_bits():
    def gradient() -> Tensor:
        encoder = small()
        encoder(torch.randn(4, 3, 50)).square().sum().backward()
        return encoder.lstm.weight_hh_l0.grad

    assert torch.equal(gradient(), gradient())


def test_state_dict_is_plain_and_complete():
    encoder, other = small(seed=0), small(seed=1)
    signal = torch.randn(4, 3, 30)
    encoder(signal)
    other.load_state_dict(encoder.state_dict())
    assert torch.equal(other.eval()(signal), encoder.eval()(signal))


def test_learns_to_tell_two_rhythms_apart():
    time = torch.arange(60) / 30
    rate = torch.tensor([1.0, 3.0]).repeat(16)
    phase = torch.rand(32, 1, generator=torch.Generator().manual_seed(0))
    signal = torch.sin(6.283 * (rate[:, None] * time + phase))[:, None]
    encoder, label = small(1, hidden=16), torch.tensor([0, 1]).repeat(16)
    head = torch.nn.Linear(encoder.dim, 2)
    optimiser = torch.optim.Adam([*encoder.parameters(), *head.parameters()], lr=0.01)
    for _ in range(40):
        optimiser.zero_grad()
        F.cross_entropy(head(encoder(signal)), label).backward()
        optimiser.step()
    assert (head(encoder(signal)).argmax(dim=1) == label).float().mean() > 0.9
