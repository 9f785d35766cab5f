import math
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.nn import transforms
from bench.nn.augment import TRANSFORMS, compose
from bench.nn.transforms import Name, by_name

ALL = by_name(100)
FIXED = ("gaussian_blur", "negation")
"""Draw nothing."""
GEOMETRIC = ("random_resized_crop", "downsample", "dynamic_time_warp", "random_walk_warp", "time_out")
"""Move or drop samples, of all leads alike."""


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ecgs(n: int = 6, leads: int = 12, samples: int = 250, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(n, leads, samples, generator=seeded(7), dtype=dtype).cumsum(dim=2)


def ramp(n: int, leads: int, samples: int) -> Tensor:
    """A signal whose value is its own sample number: a warp of it is the warp's curve."""
    return torch.arange(samples, dtype=torch.float64).expand(n, leads, samples).contiguous()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_contract(name, dtype):
    """Shape and dtype kept, the generator alone decides; twice from the same signal, twice the same."""
    signal = ecgs(dtype=dtype)
    state = torch.get_rng_state()
    first = ALL[name](signal, seeded(1))
    assert first.shape == signal.shape
    assert first.dtype == dtype
    assert torch.isfinite(first).all()
    assert not torch.equal(first, signal)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(ALL[name](signal, seeded(1)), first)
    generator = seeded(1)
    again = [torch.equal(ALL[name](signal, generator), first) for _ in range(5)]
    assert all(again) if name in FIXED else not all(again)


@pytest.mark.parametrize("name", ALL)
def test_the_second_view_starts_from_the_signal_and_not_from_the_first_view(name):
    """Where the published code adds or writes in place, the first transformation of a chain changes the signal."""
    signal = ecgs()
    before = signal.clone()
    first = compose(signal, [ALL[name], ALL["negation"]], seeded(1))
    assert torch.equal(signal, before)
    assert torch.equal(compose(signal, [ALL[name], ALL["negation"]], seeded(1)), first)
    assert ALL[name](signal, seeded()).untyped_storage().data_ptr() != signal.untyped_storage().data_ptr()


@pytest.mark.parametrize("name", [name for name in ALL if name not in (*FIXED, "flipping")])
def test_rows_have_their_own_draws(name):
    signal = ecgs(1).expand(80, -1, -1).contiguous()  # half of them have no baseline shift
    changed = ALL[name](signal, seeded(2))
    assert len({tuple(row.flatten().tolist()) for row in changed}) > 20


@pytest.mark.parametrize("name", ALL)
def test_memory_order_of_the_input_does_not_matter(name):
    signal = ecgs()
    other = signal.transpose(1, 2).contiguous().transpose(1, 2)
    torch.testing.assert_close(ALL[name](other, seeded(3)), ALL[name](signal, seeded(3)))


@pytest.mark.parametrize("name", GEOMETRIC)
def test_leads_stay_in_synchrony(name):
    signal = ecgs(4, 1).expand(-1, 12, -1).contiguous()
    together = ALL[name](signal, seeded())
    assert torch.equal(together, together[:, :1].expand_as(together))


@pytest.mark.parametrize(
    "name", ["random_resized_crop", "downsample", "dynamic_time_warp", "random_walk_warp"]
)
@pytest.mark.parametrize("samples", [2, 3, 7, 40])
def test_short_signals_keep_their_range(name, samples):
    curve = ALL[name](ramp(50, 2, samples), seeded())
    assert (curve.diff(dim=2) > -1e-9).all()
    assert curve.min() >= 0
    assert curve.max() <= samples - 1 + 1e-9


def test_gaussian_noise_is_white_and_in_millivolts():
    signal = ecgs(8, samples=2000) * 50
    added = transforms.gaussian_noise(signal, seeded()) - signal
    assert added.std().item() == pytest.approx(0.005, rel=0.01)
    assert abs((added[..., 1:] * added[..., :-1]).mean() / added.var()) < 0.02
    strong = transforms.gaussian_noise(signal, seeded(), 0.5) - signal
    assert strong.std().item() == pytest.approx(0.5, rel=0.01)


@pytest.mark.parametrize("samples", [1, 2, 3, 4, 50])
def test_gaussian_blur_against_numpy(samples):
    signal = ecgs(3, 2, samples)
    blurred = transforms.gaussian_blur(signal, seeded())
    for row in range(3):
        for lead in range(2):
            padded = np.pad(signal[row, lead].numpy(), 2)
            expected = np.convolve(padded, [0.1, 0.2, 0.4, 0.2, 0.1], "valid")
            np.testing.assert_allclose(blurred[row, lead].numpy(), expected, atol=1e-12)


def test_channel_resize_is_log_uniform_by_lead():
    signal = ecgs(2000, samples=3).abs() + 1
    gains = transforms.channel_resize(signal, seeded()) / signal
    torch.testing.assert_close(gains, gains[..., :1].expand_as(gains))
    logs = gains[..., 0].log() / math.log(2)
    assert -1 <= logs.min() < -0.99
    assert 0.99 < logs.max() <= 1
    assert logs.mean().item() == pytest.approx(0, abs=0.02)
    assert logs.std().item() == pytest.approx(1 / math.sqrt(3), rel=0.02)
    assert abs(torch.corrcoef(logs.T).fill_diagonal_(0)).max() < 0.12
    third = transforms.channel_resize(signal, seeded(), 0.33, 3) / signal
    assert third.min() < 0.34 < 2.9 < third.max()


def test_negation():
    assert torch.equal(transforms.negation(ecgs(), seeded()), -ecgs())


def crop_row_by_row(row: np.ndarray, start: int, number: int, order: np.ndarray) -> np.ndarray:
    """The operation as the specification has it, for one row (C, T) and the places in the order of the draw."""
    samples = row.shape[1]
    places = np.concatenate(([0], np.sort(order[: number - 2] + 1), [samples - 1]))
    piece = row[:, start : start + number]
    return np.stack([np.interp(np.arange(samples), places, lead) for lead in piece])


@pytest.mark.parametrize("samples", [30, 251])
def test_random_resized_crop_row_by_row(samples):
    signal = ecgs(20, 3, samples)
    changed = transforms.random_resized_crop(signal, seeded(4))
    generator = seeded(4)
    share = torch.rand(20, 1, 1, generator=generator, dtype=torch.float64)
    number = (0.5 + 0.5 * share).mul(samples).floor().long().flatten().tolist()
    begin = torch.rand(20, 1, 1, generator=generator, dtype=torch.float64).flatten()
    keys = torch.randint(2**31 - 1, (20, samples - 2), generator=generator, dtype=torch.int32)
    for row in range(20):
        start = int(begin[row] * (samples - number[row] + 1))
        order = np.argsort(keys[row].numpy(), kind="stable")
        expected = crop_row_by_row(signal[row].numpy(), start, number[row], order)
        np.testing.assert_allclose(changed[row].numpy(), expected, atol=1e-12)


def test_random_resized_crop_draws_every_length_and_place():
    curve = transforms.random_resized_crop(ramp(20_000, 1, 20), seeded())[:, 0]
    first, number = curve[:, 0].long(), (curve[:, -1] - curve[:, 0]).long() + 1
    assert torch.equal(curve[:, 0], first.double())
    assert number.unique().tolist() == list(range(10, 20))  # int(20 r), r in [0.5, 1)
    assert torch.bincount(number)[10:].float().std() < 0.06 * 2000
    of_ten = torch.bincount(first[number == 10])
    assert len(of_ten) == 11  # the last place too
    assert (of_ten / of_ten.sum() - 1 / 11).abs().max() < 0.03
    # a straight stretch would move by the same step everywhere; this one keeps samples and skips none
    assert ((curve.diff(dim=1) > 0) & (curve.diff(dim=1) <= 1 + 1e-9)).all()


def test_random_resized_crop_chooses_every_place_alike():
    """A place is taken with probability (n - 2) / (T - 2): there the curve is at a whole sample."""
    curve = transforms.random_resized_crop(ramp(20_000, 1, 20), seeded(), 0.5, 0.5001)[:, 0]
    whole = (curve - curve.round()).abs() < 1e-9
    assert torch.equal(whole[:, [0, -1]], torch.ones(20_000, 2, dtype=torch.bool))
    torch.testing.assert_close(
        whole[:, 1:-1].double().mean(0), torch.full((18,), 8 / 18, dtype=torch.float64), atol=0.02, rtol=0
    )


def test_random_resized_crop_of_everything_is_the_identity():
    signal = ecgs(4)
    assert torch.equal(transforms.random_resized_crop(signal, seeded(), 1.0, 1.0), signal)


def test_time_out_blanks_one_stretch_of_all_leads_wherever_it_fits():
    signal = ecgs(20_000, 2, 20).abs() + 1
    blanked = transforms.time_out(signal, seeded())
    lost = blanked[:, 0] == 0
    assert torch.equal(blanked, signal.masked_fill(lost[:, None], 0))
    number, first = lost.sum(1), lost.int().argmax(1)
    assert number.unique().tolist() == [4, 5, 6, 7]  # int(20 r), r in [0.2, 0.4)
    time = torch.arange(20)
    assert torch.equal(lost, (time >= first[:, None]) & (time < (first + number)[:, None]))
    places = torch.bincount(first[number == 4])
    assert len(places) == 17  # the published code never draws the last
    assert (places / places.sum() - 1 / 17).abs().max() < 0.02
    assert torch.equal(transforms.time_out(signal, seeded(), 1.0, 1.0), torch.zeros_like(signal))


def dtw_row_by_row(row: np.ndarray, centre: int, radius: int, step: int) -> np.ndarray:
    """The operation as the specification has it: what stays at whole places, and lines between."""
    reach = radius * (step + 1)
    placed = {t: t for t in range(len(row)) if abs(t - centre) > reach}
    for k in range(-radius, radius + 1):
        placed[centre + k] = centre + step * k
    for k in range(radius):
        placed[centre - reach + step * k] = centre - reach + k
        placed[centre + reach - step * k] = centre + reach - k
    places = sorted(placed)
    return np.interp(np.arange(len(row)), places, row[[placed[t] for t in places]])


@pytest.mark.parametrize(("warps", "radius", "step"), [(1, 10, 2), (3, 10, 2), (2, 4, 3), (2, 5, 1)])
def test_dynamic_time_warp_row_by_row(warps, radius, step):
    signal = ecgs(10, 2, 130)
    changed = transforms.dynamic_time_warp(signal, seeded(4), warps, radius, step)
    reach, generator = radius * (step + 1), seeded(4)
    draws = [torch.rand(10, 1, 1, generator=generator, dtype=torch.float64).flatten() for _ in range(warps)]
    for row in range(10):
        for lead in range(2):
            expected = signal[row, lead].numpy()
            for draw in draws:
                centre = int(draw[row] * (130 - 2 * reach)) + reach
                expected = dtw_row_by_row(expected, centre, radius, step)
            np.testing.assert_allclose(changed[row, lead].numpy(), expected, atol=1e-12)


def test_dynamic_time_warp_moves_61_samples_around_any_centre_by_up_to_ten():
    curve = transforms.dynamic_time_warp(ramp(2000, 1, 70), seeded(), warps=1)[:, 0]
    moved = curve - torch.arange(70)
    assert moved.abs().amax(1).tolist() == [10.0] * 2000
    centre = (moved.argmin(1) + moved.argmax(1)) // 2
    assert centre.unique().tolist() == list(range(30, 40))
    speeds = curve.diff(dim=1).unique().tolist()
    assert speeds == [0.5, 1.0, 2.0]


def test_dynamic_time_warp_of_short_signals_takes_the_largest_radius_that_fits():
    signal = ecgs(3, 2, 60)
    expected = transforms.dynamic_time_warp(signal, seeded(), radius=9)
    assert torch.equal(transforms.dynamic_time_warp(signal, seeded()), expected)
    full = transforms.dynamic_time_warp(ramp(50, 1, 61), seeded(), warps=1)
    assert (full - ramp(50, 1, 61)).abs().amax().item() == 10
    tiny = ecgs(3, 2, 6)
    unmoved = transforms.dynamic_time_warp(tiny, seeded())
    assert torch.equal(unmoved, tiny)
    assert unmoved.data_ptr() != tiny.data_ptr()


@pytest.mark.parametrize("samples", [2, 3, 40, 250])
def test_downsample_draws_lines_between_a_fifth_of_the_samples(samples):
    signal = ecgs(30, 2, samples)
    changed = transforms.downsample(signal, seeded(5))
    keys = torch.randint(2**31 - 1, (30, samples - 2), generator=seeded(5), dtype=torch.int32)
    inner = max(int(0.2 * samples) - 2, 0)
    for row in range(30):
        kept = np.argsort(keys[row].numpy(), kind="stable")[:inner] + 1
        places = np.concatenate(([0], np.sort(kept), [samples - 1]))
        for lead in range(2):
            expected = np.interp(np.arange(samples), places, signal[row, lead].numpy()[places])
            np.testing.assert_allclose(changed[row, lead].numpy(), expected, atol=1e-12)
    assert torch.equal(transforms.downsample(signal, seeded(), 1.0), signal)


@pytest.mark.parametrize("samples", [2, 50, 250])
@pytest.mark.parametrize("epsilon", [0.5, 10.0])
def test_random_walk_warp_row_by_row(samples, epsilon):
    signal = ecgs(10, 2, samples)
    changed = transforms.random_walk_warp(signal, seeded(6), epsilon)
    steps = torch.randn(10, 1, samples, generator=seeded(6), dtype=torch.float64).numpy()[:, 0]
    for row in range(10):
        walk = np.cumsum(steps[row])
        curve = np.cumsum(walk - walk.min() + epsilon)
        curve = (curve - curve[0]) / (curve[-1] - curve[0]) * (samples - 1)
        for lead in range(2):
            expected = np.interp(np.arange(samples), curve, signal[row, lead].numpy())
            np.testing.assert_allclose(changed[row, lead].numpy(), expected, atol=1e-9)


def test_random_walk_warp_in_float32_is_within_a_hundredth_of_a_sample():
    coarse = transforms.random_walk_warp(ramp(16, 1, 5000).float(), seeded())
    steps = torch.randn(16, 1, 5000, generator=seeded()).double()
    walk = steps.cumsum(2)
    curve = (walk - walk.amin(2, keepdim=True) + 10).cumsum(2).numpy()
    for row in range(16):
        scaled = (curve[row, 0] - curve[row, 0, 0]) / (curve[row, 0, -1] - curve[row, 0, 0]) * 4999
        exact = np.interp(np.arange(5000), scaled, np.arange(5000))
        assert np.abs(coarse[row, 0].numpy() - exact).max() < 0.01


def test_names():
    assert list(ALL) == list(get_args(Name))
    assert ALL["gaussian_blur"] is transforms.gaussian_blur
    for name in TRANSFORMS:
        assert ALL[name] is TRANSFORMS[name]


def test_the_rate_reaches_what_depends_on_it():
    signal = torch.zeros(4, 2, 500, dtype=torch.float64)
    for name in ("baseline_wander", "powerline", "baseline_shift", "physiological"):
        slow, fast = by_name(100)[name](signal, seeded()), by_name(500)[name](signal, seeded())
        assert not torch.equal(slow, fast)
