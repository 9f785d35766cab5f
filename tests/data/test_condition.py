"""Repair, rate, band and quantisation of one record, against hand values."""

import numpy as np
import pytest

from bench.data.condition import condition, examine, resample
from bench.data.corpus import CorpusError, RawRecord
from tests.data.folders import ecg


def raw(signal: np.ndarray, rate: float = 100.0, notes: tuple[str, ...] = ()) -> RawRecord:
    return RawRecord(signal.astype(np.float32), rate, notes)


def test_int16_microvolts_survive_the_round_trip() -> None:
    stored = ecg(0, 400)
    stored[0, 0], stored[0, 1] = 32767, -32767
    stored_record, notes = condition("r", raw(stored / 1000.0), 100)
    microvolts = stored_record.signal
    assert stored_record.native_rate == 100.0
    assert microvolts.dtype == np.int16 and notes == []
    np.testing.assert_array_equal(microvolts, stored)


def test_missing_samples_are_interpolated_by_hand() -> None:
    signal = np.tile(np.arange(100.0)[:, None] ** 2, (1, 12))
    holed = signal.copy()
    holed[10:12, 1] = np.nan
    holed[0, 3] = holed[99, 3] = np.nan
    filled, notes = examine("r", raw(holed))
    assert filled[10, 1] == pytest.approx(81 + (144 - 81) / 3, rel=1e-6)
    assert filled[11, 1] == pytest.approx(81 + 2 * (144 - 81) / 3, rel=1e-6)
    assert filled[0, 3] == 1 and filled[99, 3] == 98**2
    untouched = ~np.isnan(holed)
    np.testing.assert_array_equal(filled[untouched], signal.astype(np.float32)[untouched])
    assert [(n.action, n.reason) for n in notes] == [
        ("repaired", "4 missing samples interpolated in II, aVR")
    ]


def test_a_lead_with_too_much_missing_is_rejected() -> None:
    signal = ecg(1, 100) / 1000.0
    signal[:5, 2] = np.nan
    assert len(examine("r", raw(signal))[1]) == 1  # 5 % is still repaired
    signal[:6, 2] = np.nan
    with pytest.raises(CorpusError, match=r"6.0% of the samples are missing in lead III"):
        examine("r", raw(signal))
    signal[:, 7] = np.nan
    with pytest.raises(CorpusError, match=r"100.0% of the samples are missing in lead III, V2"):
        examine("r", raw(signal))


def test_flat_leads_are_named_and_kept() -> None:
    signal = ecg(2, 100) / 1000.0
    signal[:, 6] = 0.0
    signal[:, 8] = -0.25
    kept, notes = examine("r", raw(signal))
    assert kept.shape == (100, 12)
    assert [(n.action, n.reason) for n in notes] == [("note", "flat: V1, V3 (constant -0.25 and 0 mV); kept")]


def test_records_without_signal_are_rejected() -> None:
    with pytest.raises(CorpusError, match="all leads are zero"):
        examine("r", raw(np.zeros((10, 12))))
    with pytest.raises(CorpusError, match="all leads are flat"):
        examine("r", raw(np.ones((10, 12))))
    with pytest.raises(CorpusError, match="no samples"):
        examine("r", raw(np.zeros((0, 12))))


def test_saturation_is_clipped_and_reported() -> None:
    signal = ecg(3, 100) / 1000.0
    signal[4, 0], signal[5, 0], signal[6, 11] = 40.0, -99.0, 32.768
    conditioned, (note,) = condition("r", raw(signal), 100)
    microvolts = conditioned.signal
    assert (microvolts[4, 0], microvolts[5, 0], microvolts[6, 11]) == (32767, -32767, 32767)
    assert note.action == "repaired" and note.reason == "3 samples beyond 32.767 mV clipped in I, V6"


def test_repairs_of_the_reader_come_first() -> None:
    _, notes = condition("r", raw(ecg(4, 50) / 1000.0, notes=("header mended",)), 100)
    assert [(n.record, n.action, n.reason) for n in notes] == [("r", "repaired", "header mended")]


@pytest.mark.parametrize(
    ("rate", "wanted", "samples"), [(500, 100, 1000), (1000, 300, 1500), (257, 100, 1946)]
)
def test_resampling_keeps_a_slow_wave_and_its_offset(rate: int, wanted: int, samples: int) -> None:
    time = np.arange(5000) / rate
    wave = 0.8 + np.sin(2 * np.pi * 3.0 * time)
    slow = resample(np.tile(wave[:, None], (1, 12)).astype(np.float32), rate, wanted)
    assert slow.shape == (samples, 12)
    expected = 0.8 + np.sin(2 * np.pi * 3.0 * np.arange(samples) / wanted)
    assert np.abs(slow[30:-30, 5] - expected[30:-30]).max() < 0.01
    assert np.abs(slow[:, 5] - expected).max() < 0.15  # no ringing from the offset at the ends


def test_band_pass_keeps_inside_and_drops_outside() -> None:
    time = np.arange(3000) / 300
    drift, beat = np.sin(2 * np.pi * 0.1 * time), np.sin(2 * np.pi * 10 * time)
    signal = np.tile((2.0 + drift + beat)[:, None], (1, 12))
    microvolts = condition("r", raw(signal, 300), 300, (1.0, 45.0))[0].signal
    inside = slice(600, -600)
    assert np.abs(microvolts[inside, 4] / 1000 - beat[inside]).max() < 0.02
    for band in (None, (1.0, 45.0)):  # the same records, whatever the filter
        with pytest.raises(CorpusError, match="21 samples at 300 Hz are too few"):
            condition("r", raw(signal[:21], 300), 300, band)
        assert len(condition("r", raw(signal[:22], 300), 300, band)[0].signal) == 22
