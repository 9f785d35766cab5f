import math

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.nn import noise
from bench.nn.noise import LEVELS, physiological_noise

ADDED = {
    "wander": noise.baseline_wander,
    "powerline": noise.powerline,
    "emg": noise.emg,
    "shift": noise.baseline_shift,
}
RMS = {  # mV, of the specification's section (e), 250 samples at 100 Hz: wander, powerline, emg, shift, total
    1: (0.083, 0.0022, 0.144, 0.153, 0.226),
    2: (0.167, 0.0089, 0.289, 0.306, 0.452),
    3: (0.167, 0.0089, 0.577, 0.611, 0.857),
    4: (0.333, 0.0358, 0.577, 0.611, 0.905),
    5: (0.333, 0.0358, 0.866, 0.764, 1.202),
    6: (0.500, 0.0559, 1.155, 0.917, 1.557),
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def silence(n: int, leads: int = 12, samples: int = 250) -> Tensor:
    return torch.zeros(n, leads, samples, dtype=torch.float64)


def drawn(
    name: str, n: int, strength: float, leads: int = 12, samples: int = 250, rate: int = 100, **more
) -> Tensor:
    """(n, leads, samples) of one noise alone."""
    given = {} if name == "emg" else {"rate": rate}
    return ADDED[name](silence(n, leads, samples), seeded(), strength=strength, **given, **more)


def rms(x: Tensor) -> float:
    return x.square().mean().sqrt().item()


@pytest.fixture(scope="module")
def unit() -> dict[str, float]:
    """Size of each noise at strength 1, over 8,000 windows: its error is about 2 %."""
    published = {"powerline": {"as_published": True}}
    return {name: rms(drawn(name, 8000, 1.0, leads=1, **published.get(name, {}))) for name in ADDED}


@pytest.mark.parametrize("level", LEVELS)
def test_levels_have_the_published_size(level, unit):
    for name, strength, expected in zip(ADDED, LEVELS[level], RMS[level][:4], strict=True):
        size = strength**2 if name == "powerline" else strength
        assert unit[name] * size == pytest.approx(expected, rel=0.05), name
    total = physiological_noise((3000, 1, 250), level, range(3000), 100)
    assert rms(total) == pytest.approx(RMS[level][4], rel=0.05)


@pytest.mark.parametrize("name", ADDED)
def test_strength_is_uniform_up_to_the_greatest(name):
    """The size of a row is in proportion to its own strength: none at 0, and the mean is that of half of it."""
    small, large = drawn(name, 1000, 0.5, leads=4), drawn(name, 1000, 1.0, leads=4)
    torch.testing.assert_close(large, 2 * small)
    size = large.square().mean((1, 2)).sqrt()
    assert size.std() > 0.4 * size.mean()
    assert torch.equal(drawn(name, 20, 0.0), silence(20))
    if name == "emg":
        assert size.min() < 0.01
        assert 0.98 < size.max() < 1.05
        assert size.mean().item() == pytest.approx(0.5, abs=0.03)


def test_wander_is_slow_and_the_same_in_all_leads():
    added = drawn("wander", 50, 0.1, samples=1000)
    assert torch.equal(added, added[:, :1].expand_as(added))
    assert len({row[0, 0].item() for row in added}) == 50
    power = torch.fft.rfft(added[:, 0] - added[:, 0].mean(1, keepdim=True), n=4000).abs().square().mean(0)
    frequency = torch.fft.rfftfreq(4000, 0.01)
    assert power[frequency < 0.6].sum() > 0.97 * power.sum()
    assert added[:, 0].mean(1).abs().max() > 0.05  # of k = 0, a constant


def test_wander_against_its_formula():
    added = drawn("wander", 3, 0.1, leads=1, samples=40, rate=250)
    generator = seeded()
    strength, height, turns = (
        torch.rand(3, k, generator=generator, dtype=torch.float64) for k in (1, 50, 50)
    )
    for row in range(3):
        for n in range(40):
            terms = (
                height[row, k] * math.cos(2 * math.pi * (k * 0.01 * n / 250 + turns[row, k]))
                for k in range(50)
            )
            assert added[row, 0, n].item() == pytest.approx(
                float(0.1 * strength[row, 0] * sum(terms)), abs=1e-12
            )


def test_lead_wander_against_its_formula():
    signal = torch.randn(3, 2, 40, generator=seeded(1), dtype=torch.float64)
    found = noise.lead_wander(signal, seeded(), 300)
    generator = seeded()
    strength, height, turns = (
        torch.rand(3, k, generator=generator, dtype=torch.float64) for k in (1, 50, 50)
    )
    sign = torch.rand(3, 2, generator=generator, dtype=torch.float64) < 0.5
    size = 1 + torch.randn(3, 2, generator=generator, dtype=torch.float64)
    for row, lead, n in np.ndindex(3, 2, 40):
        terms = (
            height[row, k - 1] * math.cos(2 * math.pi * (k * 0.01 * n / 300 + turns[row, k - 1]))
            for k in range(1, 51)
        )
        gain = -size[row, lead] if sign[row, lead] else size[row, lead]
        expected = signal[row, lead, n] + gain * 0.1 * strength[row, 0] * sum(terms)
        assert found[row, lead, n].item() == pytest.approx(float(expected), abs=1e-12)


def test_lead_wander_is_slow_without_a_constant_and_of_a_gain_a_lead():
    added = noise.lead_wander(silence(2000, 3, 1000), seeded(), 10, 1.0)  # 100 s: a bin is 0.01 Hz
    power = torch.fft.rfft(added).abs().square().mean((0, 1))
    assert (power > 1e-6 * power.max()).nonzero().flatten().tolist() == list(range(1, 51))
    curve = added / added[:, :1, :1]
    ratio = added[:, :, 0] / added[:, :1, 0]
    torch.testing.assert_close(curve, ratio[..., None] * curve[:, :1], atol=1e-6, rtol=1e-4)
    assert (ratio[:, 1] < 0).double().mean().item() == pytest.approx(0.5, abs=0.05)  # either sign
    assert rms(added) == pytest.approx(math.sqrt(2 / 3 * 50 / 6), rel=0.05)  # E[g^2] E[C^2] K E[a^2] / 2
    slow, fast = (noise.lead_wander(silence(2), seeded(), rate) for rate in (10, 300))
    assert slow.diff().abs().max() > 5 * fast.diff().abs().max()


def test_published_mains_are_an_alternation_and_a_constant_at_100_hz():
    added = drawn("powerline", 100, 1.0, as_published=True)
    torch.testing.assert_close(added[..., 2:], added[..., :-2], atol=1e-9, rtol=0)
    gain = added[..., 0] / added[:, :1, 0]
    torch.testing.assert_close(added, gain[..., None] * added[:, :1], atol=1e-9, rtol=1e-6)
    weak = drawn("powerline", 100, 0.1, as_published=True)
    torch.testing.assert_close(weak, added / 100)  # strength squared


@pytest.mark.parametrize(
    ("rate", "frequencies"),
    [(100, [45]), (200, [50]), (250, [50, 100]), (300, [50, 100]), (500, [50, 100, 150]), (40, [18])],
)
def test_mains_lie_below_nyquist(rate, frequencies):
    seconds = 4
    added = drawn("powerline", 300, 1.0, leads=2, samples=rate * seconds, rate=rate)
    power = torch.fft.rfft(added).abs().square().mean((0, 1))
    peaks = (power > 1e-6 * power.max()).nonzero().flatten() / seconds
    assert peaks.tolist() == frequencies
    expected = math.sqrt(len(frequencies) / 54)  # E[g^2] E[C^2] E[a^2] / 2 a harmonic
    assert rms(drawn("powerline", 8000, 1.0, leads=1, rate=rate)) == pytest.approx(expected, rel=0.05)


def test_mains_have_a_gain_a_lead_and_one_phase():
    added = drawn("powerline", 400, 1.0, leads=4, samples=100, rate=500)
    ratio = added / added[:, :1]
    torch.testing.assert_close(ratio, ratio[..., :1].expand_as(ratio), rtol=1e-6, atol=1e-6)
    assert abs(torch.corrcoef(added[..., 0].T).fill_diagonal_(0)).max() < 0.25


def test_emg_is_white():
    added = drawn("emg", 200, 1.0)
    size = added.square().mean((1, 2), keepdim=True).sqrt()
    white = added / size
    assert abs((white[..., 1:] * white[..., :-1]).mean()) < 0.01
    assert abs((white[:, 1:] * white[:, :-1]).mean()) < 0.01
    assert white.pow(4).mean().item() == pytest.approx(3, rel=0.03)


def shift_row_by_row(generator: torch.Generator, n: int, leads: int, samples: int, rate: int) -> np.ndarray:
    """The published algorithm for each row, on the draws of ours, at strength 1."""

    def uniform(*shape: int) -> np.ndarray:
        return torch.rand(n, *shape, generator=generator, dtype=torch.float64).numpy()

    def normal(*shape: int) -> np.ndarray:
        return torch.randn(n, *shape, generator=generator, dtype=torch.float64).numpy()

    most = int(0.3 * samples / rate + 0.5)
    strength = uniform(1)
    sign = np.where(uniform(leads) < 0.5, -1, 1)
    gain = sign * (1 + normal(leads))
    number = (uniform(1) * (most + 1)).astype(int)
    stretches = [(uniform(1), normal(1), uniform(1)) for _ in range(most)]
    out = np.zeros((n, leads, samples))
    for row in range(n):
        curve = np.zeros(samples)
        for middle, length, level in stretches[: number[row, 0]]:
            mid, half = int(middle[row, 0] * samples), 0.5 * rate * (3 + 0.6 * length[row, 0])
            left, right = max(0, int(mid - half)), min(samples - 1, int(mid + half))
            curve[left : right + 1] = 2 * level[row, 0] - 1
        out[row] = strength[row] * gain[row][:, None] * curve
    return out


@pytest.mark.parametrize(
    ("samples", "rate", "most"), [(250, 100, 1), (1000, 100, 3), (2500, 500, 2), (4000, 300, 4)]
)
def test_shift_against_the_published_algorithm(samples, rate, most):
    added = drawn("shift", 60, 1.0, leads=3, samples=samples, rate=rate)
    np.testing.assert_allclose(added.numpy(), shift_row_by_row(seeded(), 60, 3, samples, rate), atol=1e-12)
    levels = {len({*row[0].tolist()} - {0.0}) for row in added}
    assert levels <= set(range(most + 1))
    assert {0, most} <= levels


def test_shifts_of_half_of_the_short_windows_and_gains_of_either_sign():
    added = drawn("shift", 4000, 1.0, leads=2)
    shifted = added.abs().amax((1, 2)) > 0
    assert shifted.double().mean().item() == pytest.approx(0.5, abs=0.03)
    assert ((added[shifted] > 0).any(2)[:, 0]).double().mean().item() == pytest.approx(0.5, abs=0.05)
    assert rms(added) == pytest.approx(0.3, rel=0.05)


def test_all_four_are_added_in_order():
    signal = torch.randn(5, 3, 300, generator=seeded(1), dtype=torch.float64)
    expected, generator, before = signal, seeded(2), signal.clone()
    expected = noise.baseline_wander(expected, generator, 100, 0.3)
    expected = noise.powerline(expected, generator, 100, 0.5)
    expected = noise.emg(expected, generator, 2.0)
    expected = noise.baseline_shift(expected, generator, 100, 3.0)
    found = noise.physiological(signal, seeded(2), 100, 6)
    torch.testing.assert_close(found, expected)
    assert torch.equal(signal, before)
    published = noise.physiological(signal, seeded(2), 100, 6, as_published=True)
    mains = noise.powerline(silence(5, 3, 300), seeded(3), 100, 0.5, as_published=True)
    assert 0 < (published - found).abs().max() < 1 + mains.abs().max()


def test_default_strengths_are_those_of_pretraining():
    signal = silence(4, 2, 250)
    for name, strength in zip(ADDED, (0.1, 0.2, 0.5, 1.0), strict=True):
        given = {} if name == "emg" else {"rate": 100}
        assert torch.equal(ADDED[name](signal, seeded(), **given), drawn(name, 4, strength, leads=2))


def test_a_window_hangs_on_its_seed_alone():
    """To the last bit, whatever stands beside it."""
    seeds = [int(s) for s in np.random.default_rng(0).integers(0, 2**63, 200)]
    together = physiological_noise((200, 12, 250), 4, seeds, 100)
    assert together.dtype == torch.float32
    order = np.random.default_rng(1).permutation(200).tolist()
    shuffled = physiological_noise((200, 12, 250), 4, [seeds[row] for row in order], 100)
    assert torch.equal(shuffled, together[order])
    for size in (1, 7, 64):
        parts = [seeds[first : first + size] for first in range(0, 200, size)]
        apart = torch.cat([physiological_noise((len(part), 12, 250), 4, part, 100) for part in parts])
        assert torch.equal(apart, together)


def test_seeds_differ_in_all_their_bits():
    """Torch's own generator on the CPU would take the last two for one."""
    rows = physiological_noise((3, 2, 250), 1, [5, 5, 5 + 2**32], 100)
    assert torch.equal(rows[0], rows[1])
    assert not torch.equal(rows[0], rows[2])
    assert torch.corrcoef(rows[[0, 2]].flatten(1))[0, 1].abs() < 0.9


def test_the_global_generator_neither_decides_nor_moves():
    state = torch.get_rng_state()
    first = physiological_noise((2, 2, 100), 2, [1, 2], 100)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(1)
    assert torch.equal(physiological_noise((2, 2, 100), 2, [1, 2], 100), first)


def test_levels_scale_what_a_seed_draws():
    """Level 4 is level 3 with twice the baseline wander and four times the mains."""
    three, four = (physiological_noise((50, 3, 250), level, range(50), 100) for level in (3, 4))
    generators = [np.random.default_rng(seed) for seed in range(50)]
    strength = np.array([generator.random() for generator in generators])[:, None]
    height, turns = (np.stack([generator.random(50) for generator in generators]) for _ in range(2))
    angle = 2 * np.pi * (0.01 * np.arange(50)[:, None] * np.arange(250) / 100 + turns[..., None])
    wander = torch.from_numpy(0.1 * strength * (height[..., None] * np.cos(angle)).sum(1))
    mains = four - three - wander[:, None]
    torch.testing.assert_close(mains[..., 2:], mains[..., :-2], atol=1e-5, rtol=0)  # what is left alternates
    assert mains.abs().max() > 0.01


def test_mains_of_evaluation_are_the_published_ones_unless_asked():
    published = physiological_noise((30, 3, 1000), 6, range(30), 100)
    real = physiological_noise((30, 3, 1000), 6, range(30), 100, as_published=False)
    difference = torch.fft.rfft(published - real).abs().mean((0, 1))
    assert sorted((difference.topk(3).indices / 10).tolist()) == [0, 45, 50]  # Hz
    assert difference.topk(4).values[3] < 1e-3 * difference.max()


def test_no_windows_and_wrong_arguments():
    assert physiological_noise((0, 12, 250), 1, [], 100).shape == (0, 12, 250)
    with pytest.raises(ValueError, match="noise level 7: there are 1 to 6"):
        physiological_noise((1, 12, 250), 7, [1], 100)
    with pytest.raises(ValueError, match="1 seeds for 2 windows"):
        physiological_noise((2, 12, 250), 1, [1], 100)
