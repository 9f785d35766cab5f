import math
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.nn import perturb

RATE = 100
ALL = {
    "gaussian": perturb.gaussian,
    "strong": partial(perturb.strong, rate=RATE),
    "noise": perturb.noise,
    "amplitude": perturb.amplitude,
    "circular_shift": partial(perturb.circular_shift, rate=RATE),
    "lead_dropout": perturb.lead_dropout,
    "time_mask": partial(perturb.time_mask, rate=RATE),
    "baseline_wander": partial(perturb.baseline_wander, rate=RATE),
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ecgs(n: int = 6, leads: int = 12, samples: int = 250, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(n, leads, samples, generator=seeded(7), dtype=dtype) + 3


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_contract(name, dtype):
    """Shape and dtype kept, input untouched, generator decides, nobody else's generator moves."""
    signal = ecgs(dtype=dtype)
    before, state = signal.clone(), torch.get_rng_state()
    first = ALL[name](signal, seeded(1))
    assert first.shape == signal.shape and first.dtype == dtype
    assert torch.isfinite(first).all()
    assert torch.equal(signal, before)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(ALL[name](signal, seeded(1)), first)
    assert not torch.equal(ALL[name](signal, seeded(2)), first)


@pytest.mark.parametrize("name", ALL)
def test_rows_have_their_own_draws(name):
    signal = ecgs(1).expand(40, -1, -1).contiguous()
    changed = ALL[name](signal, seeded(2))
    assert len({tuple(row.flatten().tolist()) for row in changed}) > 15


def test_gaussian_is_ten_microvolts_whatever_the_signal():
    signal = ecgs(3, samples=2000) * torch.tensor([0.1, 1.0, 20.0], dtype=torch.float64).view(3, 1, 1)
    sd = (perturb.gaussian(signal, seeded()) - signal).std(dim=(1, 2))
    assert sd.tolist() == pytest.approx([0.01] * 3, rel=0.03)


def test_noise_has_one_uniform_spread_a_record():
    signal = ecgs(600, leads=2, samples=500)
    added = perturb.noise(signal, seeded()) - signal
    sd = added.std(dim=(1, 2))
    assert 0.009 < sd.min() < 0.012 and 0.048 < sd.max() < 0.054
    assert sd.mean().item() == pytest.approx(0.03, abs=0.002)
    torch.testing.assert_close(added[:, 0].std(1), added[:, 1].std(1), rtol=0.25, atol=0)


def test_amplitude_is_one_gain_a_record():
    signal = ecgs(1000, leads=3, samples=10)
    gains = perturb.amplitude(signal, seeded()) / signal
    torch.testing.assert_close(gains, gains[:, :1, :1].expand_as(gains))
    assert 0.8 <= gains.min() < 0.81 and 1.19 < gains.max() <= 1.2
    assert gains.mean().item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("samples", [30, 250])
def test_circular_shift_rolls_every_record(samples):
    """Also where the shift exceeds the record. Each row is `Tensor.roll` by one of the 101 shifts."""
    signal = ecgs(2000, leads=2, samples=samples)
    shifted = perturb.circular_shift(signal, seeded(), RATE)
    seen = set()
    for row, record in zip(shifted[:300], signal, strict=False):
        by = [s for s in range(-50, 51) if torch.equal(row, record.roll(s, dims=1))]
        assert by
        seen.update(by)
    assert len(seen) > 85
    if samples == 250:
        ramp = torch.arange(250.0).expand(2000, 1, 250)
        by = -perturb.circular_shift(ramp, seeded(), RATE)[:, 0, 125] + 125
        assert by.min() == -50 and by.max() == 50 and abs(by.mean()) < 3


def test_lead_dropout_drops_a_tenth_of_the_leads_and_never_all():
    signal = ecgs(3000, leads=12, samples=4)
    changed = perturb.lead_dropout(signal, seeded())
    lost = (changed == 0).all(2)
    assert torch.equal(changed, torch.where(lost[..., None], 0, signal))
    assert lost.double().mean().item() == pytest.approx(0.1, abs=0.006)
    pair = (perturb.lead_dropout(ecgs(500, leads=2, samples=3), seeded(), 0.8) == 0).all(2)
    assert not pair.all(1).any() and pair.any(1).any()


def test_lead_dropout_leaves_a_record_of_one_lead_alone():
    signal = ecgs(200, leads=1, samples=5)
    assert torch.equal(perturb.lead_dropout(signal, seeded(), 0.9), signal)


@pytest.mark.parametrize("samples", [10, 250])
def test_time_mask_is_one_stretch_of_all_leads(samples):
    signal = ecgs(3000, leads=2, samples=samples)
    changed = perturb.time_mask(signal, seeded(), RATE)
    masked = (changed == 0).all(1)
    assert torch.equal(changed, torch.where(masked[:, None], 0, signal))
    edges = torch.nn.functional.pad(masked.long(), (1, 1)).diff(dim=1)
    assert ((edges == 1).sum(1) <= 1).all()
    most = min(25, samples)
    counts = torch.bincount(masked.sum(1), minlength=most + 1)
    assert len(counts) == most + 1
    assert (counts > 0.5 * 3000 / (most + 1)).all()
    assert masked[:, 0].any() and masked[:, -1].any()


def test_baseline_wander_is_one_slow_sine():
    """Every record fits a sine of some frequency in the band; its leads are shifted alike."""
    signal = ecgs(40, leads=2, samples=2000)
    added = perturb.baseline_wander(signal, seeded(), RATE) - signal
    torch.testing.assert_close(added[:, 0], added[:, 1])
    time = np.arange(2000) / RATE
    heights = []
    for row in added[:, 0].numpy():
        residue, height = min(_sine(row, time, f) for f in np.arange(0.05, 0.5001, 0.0025))
        assert residue < 0.1 * height
        heights.append(height)
    assert max(heights) < 0.105 and np.mean(heights) == pytest.approx(0.05, abs=0.015)
    assert added.abs().max() <= 0.1


def _sine(row: np.ndarray, time: np.ndarray, frequency: float) -> tuple[float, float]:
    """Largest residue of the best sine of `frequency`, and its amplitude."""
    phase = 2 * math.pi * frequency * time
    basis = np.stack([np.sin(phase), np.cos(phase)], 1)
    weights = np.linalg.lstsq(basis, row, rcond=None)[0]
    return float(np.abs(row - basis @ weights).max()), float(np.hypot(*weights))


def test_strong_keeps_what_it_zeroes_at_zero():
    signal = ecgs(400, leads=12)
    changed = perturb.strong(signal, seeded(), RATE)
    lost = (changed == 0).all(2)
    assert lost.double().mean().item() == pytest.approx(0.1, abs=0.02)
    assert ((changed == 0).all(1).sum(1) > 0).double().mean() > 0.9


def test_strong_on_one_lead_differs_by_no_more_than_its_parts():
    """A constant of 1 mV: a gain in [0.8, 1.2], then 0.1 mV of wander and six spreads of noise at most."""
    changed = perturb.strong(torch.ones(300, 1, 500), seeded(), RATE)
    kept = changed[changed != 0]
    assert kept.min() > 0.8 - 0.1 - 0.3 and kept.max() < 1.2 + 0.1 + 0.3
    share = (changed == 0).double().mean().item()
    assert share == pytest.approx(12.5 / 500, abs=0.004)
