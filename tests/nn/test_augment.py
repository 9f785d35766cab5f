import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor

from bench.nn import augment
from bench.nn.augment import TRANSFORMS, compose, halves, one_of, random_crop

ALL = {
    **TRANSFORMS,
    "jitter absolute": partial(augment.jitter, sd=0.05, absolute=True),
    "rotation permute": partial(augment.rotation, permute=True),
    "time_warp per_lead": partial(augment.time_warp, per_lead=True),
    "time_warp published": partial(augment.time_warp, multiply="position", per_lead=True),
    "size_warp per_lead": partial(augment.size_warp, per_lead=True),
    "one_of": lambda signal, generator: one_of(signal, list(TRANSFORMS.values()), generator),
    "compose": lambda signal, generator: compose(signal, list(TRANSFORMS.values()), generator),
    "random_crop": lambda signal, generator: random_crop(signal, 40, generator),
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ecgs(n: int = 6, leads: int = 12, samples: int = 101, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(n, leads, samples, generator=seeded(7), dtype=dtype).cumsum(dim=2)


def ramp(n: int, leads: int, samples: int) -> Tensor:
    """A signal whose value is its own sample number: a warp of it is the warp's curve."""
    return torch.arange(samples, dtype=torch.float64).expand(n, leads, samples).contiguous()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_contract(name, dtype):
    """Shape and dtype kept, input untouched, generator decides, nobody else's generator moves."""
    signal = ecgs(dtype=dtype)
    before, state = signal.clone(), torch.get_rng_state()
    first = ALL[name](signal, seeded(1))
    assert first.shape == (6, 12, 40 if name == "random_crop" else 101)
    assert first.dtype == dtype
    assert torch.isfinite(first).all()
    assert torch.equal(signal, before)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(ALL[name](signal, seeded(1)), first)
    generator = seeded(1)
    assert not all(torch.equal(ALL[name](signal, generator), first) for _ in range(5))


@pytest.mark.parametrize("name", ALL)
def test_rows_have_their_own_draws(name):
    signal = ecgs(1).expand(40, -1, -1).contiguous()
    changed = ALL[name](signal, seeded(2))
    distinct = {tuple(row.flatten().tolist()) for row in changed}
    assert len(distinct) == 2 if name == "flipping" else len(distinct) > 20


@pytest.mark.parametrize("name", ALL)
def test_memory_order_of_the_input_does_not_matter(name):
    signal = ecgs()
    other = signal.transpose(1, 2).contiguous().transpose(1, 2)
    torch.testing.assert_close(ALL[name](other, seeded(3)), ALL[name](signal, seeded(3)))


@pytest.mark.parametrize("name", ["jitter", "scaling", "time_warp", "size_warp"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_strength_is_the_identity(name, dtype):
    signal = ecgs(samples=5000, n=2, dtype=dtype)
    assert torch.equal(TRANSFORMS[name](signal, seeded(), sd=0.0), signal)
    assert torch.equal(augment.time_warp(signal, seeded(), 0.0, multiply="position", per_lead=True), signal)


def test_jitter_is_white_noise_in_units_of_the_record():
    signal = ecgs(3, samples=2000)
    signal[1] = signal[1] * 10 + 50
    noise = augment.jitter(signal, seeded(), 0.03) - signal
    for row, record in zip(noise, signal, strict=True):
        assert row.std().item() == pytest.approx(0.03 * record.std().item(), rel=0.02)
        assert abs((row[:, 1:] * row[:, :-1]).mean() / row.var()) < 0.03
    absolute = augment.jitter(signal, seeded(), 0.03, absolute=True) - signal
    assert absolute.std(dim=(1, 2)).tolist() == pytest.approx([0.03] * 3, rel=0.02)


def test_scaling_is_one_gain_a_lead():
    signal = ecgs(500)
    gains = augment.scaling(signal, seeded()) / signal
    torch.testing.assert_close(gains, gains[..., :1].expand_as(gains))
    gains = gains[..., 0]
    assert gains.mean().item() == pytest.approx(1, abs=5 * 0.1 / math.sqrt(gains.numel()))
    assert gains.std().item() == pytest.approx(0.1, rel=0.05)
    assert abs(torch.corrcoef(gains.T).fill_diagonal_(0)).max() < 0.25


def test_flipping_turns_half_of_the_records_whole():
    signal = ecgs(1000, leads=2, samples=5)
    flipped = augment.flipping(signal, seeded())
    turned = (flipped == -signal).all(dim=2).all(dim=1)
    assert torch.equal(flipped[~turned], signal[~turned])
    assert 430 < turned.sum() < 570


def test_rotation_turns_half_of_the_leads_each_by_itself():
    signal = ecgs(1000, samples=5)
    turned = (augment.rotation(signal, seeded()) == -signal).all(dim=2)
    assert torch.equal(augment.rotation(signal, seeded()), torch.where(turned[..., None], -signal, signal))
    assert turned.double().mean().item() == pytest.approx(0.5, abs=0.02)
    assert abs(torch.corrcoef(turned.double().T).fill_diagonal_(0)).max() < 0.2


def test_rotation_as_published_also_permutes_the_leads():
    signal = ecgs(1200, leads=4, samples=9).abs() + torch.arange(4.0)[:, None] * 1000
    order = (augment.rotation(signal, seeded(), permute=True).abs()[..., 0] // 1000).long()
    assert torch.equal(order.sort(dim=1).values, torch.arange(4).expand(1200, 4))
    rows = torch.arange(1200)[:, None]
    assert torch.equal(augment.rotation(signal, seeded(), permute=True).abs(), signal[rows, order])
    counts = torch.stack([torch.bincount(order[:, lead], minlength=4) for lead in range(4)])
    assert abs(counts - 300).max() < 75


@pytest.mark.parametrize("samples", [100, 101, 1000])
@pytest.mark.parametrize("multiply", ["speed", "position"])
@pytest.mark.parametrize("per_lead", [False, True])
def test_time_warp_against_scipy_row_by_row(samples, multiply, per_lead):
    signal = ecgs(5, 3, samples)
    changed = augment.time_warp(signal, seeded(4), 0.2, 6, multiply=multiply, per_lead=per_lead)
    draws = torch.randn(5, 3 if per_lead else 1, 6, generator=seeded(4), dtype=torch.float64).numpy()
    knots, time = np.linspace(0, samples - 1, 6), np.arange(samples)
    for row in range(5):
        for lead in range(3):
            multipliers = 1 + 0.2 * draws[row, lead if per_lead else 0]
            if multiply == "speed":
                curve = CubicSpline(knots, multipliers).antiderivative()(time)
            else:
                curve = CubicSpline(knots, knots * multipliers)(time)
            curve = np.clip(curve * (samples - 1) / curve[-1], 0, samples - 1)
            expected = np.interp(curve, time, signal[row, lead].numpy())
            np.testing.assert_allclose(changed[row, lead].numpy(), expected, atol=1e-9)


def test_time_warp_in_float32_is_within_five_thousandths_of_a_sample():
    curve = augment.time_warp(ramp(64, 1, 5000), seeded(), 0.2)
    draws = torch.randn(64, 1, 6, generator=seeded(), dtype=torch.float64).float()
    basis = augment._basis(5000, 6, "speed", torch.device("cpu"), torch.float32)
    shift = (draws * 0.2) @ basis
    coarse = (torch.arange(5000.0) + shift) * (4999 / (4999 + shift[..., -1:]))
    assert (coarse - curve).abs().max() < 5e-3


def test_time_runs_forwards_from_the_first_sample_to_the_last():
    curve = augment.time_warp(ramp(2000, 2, 200), seeded())
    assert torch.equal(curve[..., 0], torch.zeros(2000, 2, dtype=torch.float64))
    torch.testing.assert_close(curve[..., -1], torch.full((2000, 2), 199.0, dtype=torch.float64))
    assert curve.diff(dim=2).min() > 0
    assert torch.equal(curve[:, 0], curve[:, 1])
    assert 5 < (curve[:, 0] - ramp(1, 1, 200)[0]).abs().amax(dim=1).median() < 20


def test_published_time_warp_stalls_and_runs_backwards_as_documented():
    steps = augment.time_warp(ramp(4000, 1, 500), seeded(), multiply="position", per_lead=True).diff(dim=2)
    assert (steps <= 0).any(dim=2).double().mean().item() == pytest.approx(0.73, abs=0.02)
    assert (steps <= 0).double().mean().item() == pytest.approx(0.17, abs=0.01)


@pytest.mark.parametrize("multiply", ["speed", "position"])
@pytest.mark.parametrize("knots", [4, 6, 20])
def test_time_warp_survives_absurd_strengths(multiply, knots):
    curve = augment.time_warp(ramp(500, 3, 64), seeded(), 50.0, knots, multiply=multiply, per_lead=True)
    assert curve.min() >= 0
    assert curve.max() <= 63


def test_time_warp_leaves_leads_in_synchrony_unless_asked():
    signal = ecgs(4, 1).expand(-1, 12, -1).contiguous()
    together = augment.time_warp(signal, seeded())
    assert torch.equal(together, together[:, :1].expand_as(together))
    apart = augment.time_warp(signal, seeded(), per_lead=True)
    assert not torch.equal(apart[:, 0], apart[:, 1])


@pytest.mark.parametrize("per_lead", [False, True])
def test_size_warp_against_scipy_row_by_row(per_lead):
    signal = ecgs(5, 3, 250)
    changed = augment.size_warp(signal, seeded(4), 0.2, 6, per_lead=per_lead)
    draws = torch.randn(5, 3 if per_lead else 1, 6, generator=seeded(4), dtype=torch.float64).numpy()
    knots, time = np.linspace(0, 249, 6), np.arange(250)
    for row in range(5):
        for lead in range(3):
            curve = CubicSpline(knots, 1 + 0.2 * draws[row, lead if per_lead else 0])(time)
            np.testing.assert_allclose(
                changed[row, lead].numpy(), signal[row, lead].numpy() * curve, atol=1e-9
            )


def test_too_few_knots():
    with pytest.raises(ValueError, match=r"3 knots: .* at least 4"):
        augment.time_warp(ecgs(), seeded(), knots=3)


def adding(amount: float, seen: list[int]) -> Callable[[Tensor, torch.Generator], Tensor]:
    def transform(signal: Tensor, generator: torch.Generator) -> Tensor:
        seen.append(len(signal))
        return signal + amount

    return transform


def test_one_of_gives_every_row_the_transformation_it_drew_and_computes_no_other():
    signal, seen = ecgs(300, 2, 10), []
    changed = one_of(signal, [adding(amount, seen) for amount in (0.0, 100.0, 200.0)], seeded(5))
    choice = torch.randint(3, (300,), generator=seeded(5))
    torch.testing.assert_close(changed - signal, (choice * 100.0)[:, None, None].double().expand_as(signal))
    assert seen == torch.bincount(choice, minlength=3).tolist()
    assert all(70 < rows < 130 for rows in seen)


def test_one_of_never_calls_a_transformation_for_no_rows():
    seen: list[int] = []
    one_of(ecgs(2, 2, 10), [adding(0.0, seen) for _ in range(50)], seeded())
    assert sum(seen) == 2
    assert 0 not in seen


def test_one_of_hands_rows_over_in_their_order():
    rows = torch.arange(30.0).view(30, 1, 1).expand(30, 1, 4).contiguous()
    kept: list[Tensor] = []

    def remember(signal: Tensor, generator: torch.Generator) -> Tensor:
        kept.append(signal[:, 0, 0])
        return signal

    assert torch.equal(one_of(rows, [remember, remember], seeded()), rows)
    assert all(torch.equal(part, part.sort().values) for part in kept)


def test_compose_applies_all_in_order():
    signal = ecgs(2, 2, 10)

    def double(x: Tensor, generator: torch.Generator) -> Tensor:
        return x * 2

    assert torch.equal(compose(signal, [adding(1.0, []), double], seeded()), (signal + 1) * 2)
    assert torch.equal(compose(signal, [], seeded()), signal)


def test_random_crop_is_a_window_and_every_window_is_possible():
    crops = random_crop(ramp(3000, 2, 30), 20, seeded())
    starts = crops[:, 0, 0]
    window = starts[:, None, None] + torch.arange(20.0, dtype=torch.float64)
    assert torch.equal(crops, window.expand(3000, 2, 20))
    counts = torch.bincount(starts.long(), minlength=11)
    assert len(counts) == 11
    assert abs(counts - 3000 / 11).max() < 5 * math.sqrt(3000 / 11)


def test_random_crop_of_full_and_excessive_length():
    signal = ecgs()
    assert torch.equal(random_crop(signal, 101, seeded()), signal)
    with pytest.raises(ValueError, match="a crop of 102 samples from records of 101"):
        random_crop(signal, 102, seeded())


@pytest.mark.parametrize("shared", [True, False])
def test_interpolate_draws_lines_between_samples(shared):
    signal, rows = ecgs(3, 4, 30), (3, 1 if shared else 4, 12)
    left, right = (torch.randint(30, rows, generator=seeded(seed)) for seed in (1, 2))
    share = torch.rand(rows, generator=seeded(3), dtype=torch.float64)
    points = augment.interpolate(signal, left, right, share)
    for row, lead in np.ndindex(3, 4):
        own = (row, 0 if shared else lead)
        expected = (
            signal[row, lead, left[own]] * (1 - share[own]) + signal[row, lead, right[own]] * share[own]
        )
        torch.testing.assert_close(points[row, lead], expected)
    ends = augment.interpolate(signal, left, right, share.round())
    at = torch.where(share.round() == 1, right, left).expand(3, 4, 12)
    assert torch.equal(ends, signal.gather(2, at))


def test_halves():
    first, last = halves(ramp(1, 1, 7))
    assert (first.flatten().tolist(), last.flatten().tolist()) == ([0, 1, 2], [4, 5, 6])
    first, last = halves(ramp(1, 1, 6))
    assert (first.flatten().tolist(), last.flatten().tolist()) == ([0, 1, 2], [3, 4, 5])


def test_transforms_are_selected_by_name():
    assert list(TRANSFORMS) == ["jitter", "scaling", "flipping", "rotation", "time_warp", "size_warp"]
    assert all(transform.__name__ == name for name, transform in TRANSFORMS.items())
