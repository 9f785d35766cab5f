import math

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.nn import snu, transforms
from bench.nn.augment import jitter
from bench.nn.choice import on_record
from bench.nn.transforms import SNU, by_name, changed


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ecgs(n: int = 6, leads: int = 3, samples: int = 200, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(n, leads, samples, generator=seeded(7), dtype=dtype).cumsum(dim=2)


def padded(signal: Tensor, valid: Tensor, padding: float = 50.0) -> Tensor:
    """With something behind the record that would be noticed."""
    return torch.where(torch.arange(signal.shape[2]) < valid[:, None, None], signal, padding)


def test_strong_jitter_is_white_noise_of_a_fifth_of_the_record():
    signal = ecgs(4, samples=3000)
    signal[1] = signal[1] * 10 + 50
    noise = snu.strong_jitter(signal, seeded()) - signal
    for row, record in zip(noise, signal, strict=True):
        assert row.std().item() == pytest.approx(0.2 * record.std().item(), rel=0.03)
        assert abs((row[:, 1:] * row[:, :-1]).mean() / row.var()) < 0.03
        assert torch.corrcoef(row).fill_diagonal_(0).abs().max() < 0.08
    assert torch.equal(snu.strong_jitter(signal, seeded()), jitter(signal, seeded(), 0.2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_strong_jitter_measures_what_the_record_fills(dtype):
    valid = torch.tensor([200, 150, 20, 1, 0])
    signal = padded(ecgs(5, dtype=dtype) + 3, valid)
    found = snu.strong_jitter(signal, seeded(2), valid, 0.3)
    noise = torch.randn(signal.shape, generator=seeded(2), dtype=dtype)
    assert torch.isfinite(found).all()
    for row, end in enumerate(valid.tolist()):
        sd = float(np.std(signal[row, :, :end].numpy().astype(float))) if end else 0.0
        torch.testing.assert_close(found[row], signal[row] + 0.3 * sd * noise[row], rtol=1e-5, atol=1e-5)


def test_clamped_scaling_is_one_gain_a_lead_of_a_tenth_at_least():
    signal = ecgs(20_000, 2, 3).abs() + 1
    gains = snu.clamped_scaling(signal, seeded()) / signal
    draw = torch.randn(20_000, 2, generator=seeded(), dtype=torch.float64)
    expected = np.maximum(1 + 0.4 * draw.numpy(), 0.1)
    np.testing.assert_allclose(gains.numpy(), np.repeat(expected[..., None], 3, axis=2))
    at_floor = (gains[..., 0] < 0.1 + 1e-9).double().mean().item()
    assert at_floor == pytest.approx(0.5 * math.erfc(2.25 / math.sqrt(2)), abs=0.003)  # 1.2 %
    assert gains.std().item() == pytest.approx(0.4, rel=0.03)
    assert abs(torch.corrcoef(gains[..., 0].T)[0, 1]) < 0.03
    low = snu.clamped_scaling(signal, seeded(), 1.0, 0.5) / signal
    assert low.min().item() == pytest.approx(0.5)


def blank(before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
    """First sample and number of those that became zero, the same in all leads, (N,) each."""
    lost = (after == 0).all(1)
    assert torch.equal(after, before.masked_fill(lost[:, None], 0))
    number, first = lost.sum(1), lost.int().argmax(1)
    time = torch.arange(before.shape[2])
    assert torch.equal(lost, (time >= first[:, None]) & (time < (first + number)[:, None]))  # in a row
    return first, number


@pytest.mark.parametrize(("samples", "length"), [(20, 2), (250, 25), (4000, 400), (99, 9)])
def test_cutout_blanks_a_tenth_of_the_row_in_all_leads(samples, length):
    signal = ecgs(50, 3, samples).abs() + 1
    _, number = blank(signal, snu.cutout(signal, seeded()))
    assert number.tolist() == [length] * 50


def test_cutout_begins_anywhere_and_ends_within_the_record():
    n = 30_000
    valid = torch.tensor([20, 13, 3, 2, 1]).repeat_interleave(n)
    signal = torch.ones(5 * n, 2, 20, dtype=torch.float64)
    first, number = blank(signal, snu.cutout(signal, seeded(), valid))
    assert set(number.tolist()) == {2}
    for end, starts in zip((20, 13, 3, 2, 1), first.split(n), strict=True):
        places = torch.bincount(starts)
        assert len(places) == max(end - 1, 1)  # 0 .. end - 2
        assert (places / n - 1 / len(places)).abs().max() < 5 * math.sqrt(1 / len(places) / n)
    without, _ = blank(signal[:n], snu.cutout(signal[:n], seeded(1)))
    assert torch.bincount(without).shape == (19,)
    whole = snu.cutout(signal[:n], seeded(1), torch.full((n,), 20))
    assert torch.equal(snu.cutout(signal[:n], seeded(1)), whole)
    assert torch.equal(snu.cutout(signal[:9], seeded(), share=1.0), torch.zeros(9, 2, 20).double())


def test_cutout_is_time_out_of_a_fixed_share():
    """Their draws differ by the share's; their stretches are alike in length."""
    signal = ecgs(50, 2, 300).abs() + 1
    fixed = transforms.time_out(signal, seeded(), 0.1, 0.1)
    assert torch.equal(blank(signal, fixed)[1], blank(signal, snu.cutout(signal, seeded()))[1])


def test_the_seven():
    assert len(SNU) == len(set(SNU)) == 7
    known = by_name(300)
    signal = ecgs(40, 6, 4000).float()
    for name in SNU:
        assert torch.equal(known[name](signal, seeded(3)), known[name](signal, seeded(3)))
    sizes = {name: (known[name](signal * 0, seeded(3)).abs().amax((1, 2))) for name in SNU}
    added = [name for name in SNU if sizes[name].max() > 0]
    assert added == ["baseline_shift", "lead_wander", "powerline"]  # millivolts, whatever the signal
    assert (sizes["baseline_shift"] > 0).double().mean() > 0.6  # 0 to 4 shifts: a fifth of the rows have none
    assert sizes["powerline"].max() <= 0.2 * 2  # two harmonics of at most the strength


@pytest.mark.parametrize("name", by_name(100))
def test_no_transformation_touches_padding(name):
    valid = torch.tensor([200, 150, 61, 3])
    signal = padded(ecgs(4), valid)
    found = on_record(by_name(100)[name], signal, seeded(1), valid)
    moved = (found != signal).any(1)
    for row, end in enumerate(valid.tolist()):
        assert not moved[row, end:].any()
    assert moved[0].any() or name in ("flipping", "baseline_shift")  # half of these do nothing
    assert torch.isfinite(found).all()


@pytest.mark.parametrize("most", [1, 2])
@pytest.mark.parametrize("chain", [(), ("gaussian_blur", "cutout")])
def test_a_view_leaves_padding_alone(chain, most):
    valid = torch.randint(30, 201, (100,), generator=seeded(5))
    signal = padded(ecgs(100), valid)
    found = changed(signal, seeded(1), chain, SNU, by_name(300), most, valid)
    behind = torch.arange(200) >= valid[:, None, None]
    assert torch.equal(found.masked_select(behind), signal.masked_select(behind))
    moved = (found != signal).any(1)
    assert (moved.sum(1) > 0).double().mean() > 0.8  # in so short a row there is room for no shift
    if chain:  # every blank of 20 samples lies wholly within the record
        assert ((found == 0).all(1).sum(1) == 20).all()
