"""Hand features: known beats, neurokit2's own calls as oracle, fall-backs, what fails, the file beside a corpus."""

import warnings
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.signal import resample_poly

from bench.data import features as module
from bench.data.corpus import CorpusIndex, PreparedCorpus, RawRecord, record_table
from bench.data.features import FEATURES, features, measure_features
from bench.data.leads import LEAD_SETS
from bench.data.writer import write_prepared
from tests.realdata import realdata


def _lead(times: np.ndarray, heights: np.ndarray, rate: float, seconds: float) -> np.ndarray:
    """(T,) mV: an R wave at each time (s) of that height (mV), and a T wave of 0.2 mV 0.25 s later."""
    time = np.arange(round(seconds * rate)) / rate
    lead = np.zeros(len(time))
    for peak, height in zip(times, heights, strict=True):
        lead += height * np.exp(-(((time - peak) / 0.012) ** 2) / 2)
        lead += 0.2 * np.exp(-(((time - peak - 0.25) / 0.04) ** 2) / 2)
    return lead


def _record(bpm: float, rate: float, seconds: float = 10, seed: int = 0, noise: float = 0.02) -> np.ndarray:
    """(T, 12) mV: irregular beats in lead II, others at another rate in lead I, noise, drift and 50 Hz in both."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    record = np.zeros((len(time), 12))
    for lead, factor in ((1, 1.0), (0, 1.3)):
        times = 0.4 + np.cumsum(60 / bpm / factor * rng.uniform(0.9, 1.1, int(seconds * bpm * factor / 54)))
        times = times[times < seconds - 0.3]
        record[:, lead] = _lead(times, rng.uniform(0.7, 1.3, len(times)), rate, seconds)
        record[:, lead] += noise * rng.normal(size=len(time)) + 0.3 * np.sin(time) + 0.5
        record[:, lead] += 0.02 * np.sin(2 * np.pi * 50 * time)
    return record


def _plain(record: np.ndarray, rate: float) -> list[float]:
    """The eight features of one record by neurokit2's two calls and explicit loops."""
    from neurokit2 import ecg_clean, ecg_peaks

    for lead in (record[:, 1], record[:, 0]):
        cleaned = ecg_clean(lead, sampling_rate=rate, method="neurokit")
        _, info = ecg_peaks(cleaned, sampling_rate=rate, method="neurokit", correct_artifacts=False)
        peaks = info["ECG_R_Peaks"]
        if len(peaks) >= 3:
            return _expected([p / rate for p in peaks], [lead[p] for p in peaks])
    return [np.nan] * 8


def _expected(times: list[float], heights: list[float]) -> list[float]:
    """The eight features of beats at these times (s) and heights (mV)."""
    rr = [later - earlier for earlier, later in pairwise(times)]
    mean = sum(rr) / len(rr)
    spread = (sum((interval - mean) ** 2 for interval in rr) / len(rr)) ** 0.5
    rates = [60 / interval for interval in rr]
    return [
        *(mean, spread, _successive(rr)),
        *(sum(heights) / len(heights), _successive(heights)),
        *(sum(rates) / len(rates), min(rates), max(rates)),
    ]


def _successive(values: list[float]) -> float:
    squares = [(b - a) ** 2 for a, b in pairwise(values)]
    return (sum(squares) / len(squares)) ** 0.5


@pytest.mark.parametrize("rate", [50, 100, 257, 300, 500, 1000])
def test_features_of_known_beats(rate: int) -> None:
    samples = np.round(np.array([0.8, 1.6, 2.6, 3.2, 4.3, 5.0, 6.2, 7.1, 8.5, 9.3]) * rate)
    heights = np.array([1.0, 1.2, 0.9, 1.1, 1.4, 1.0, 0.8, 1.3, 1.1, 1.0])
    record = np.zeros((10 * rate, 12))
    record[:, 1] = _lead(samples / rate, heights, rate, 10)

    found = features([record], rate)

    names = "mean_rr sd_rr rmssd_rr mean_r rmssd_r mean_hr min_hr max_hr"
    assert " ".join(FEATURES) == " ".join(found.columns) == names
    assert found.iloc[0].to_numpy() == pytest.approx(_expected(list(samples / rate), list(heights)), rel=1e-4)


@pytest.mark.parametrize("rate", [50, 75, 100, 300, 500])
def test_features_are_those_of_neurokit2_record_by_record(rate: int) -> None:
    records = [
        _record(bpm, rate, seconds, seed, noise)
        for seed, (bpm, seconds, noise) in enumerate(
            [
                *((bpm, 10, noise) for bpm in (45, 60, 75, 90, 130, 180) for noise in (0.01, 0.05, 0.2)),
                *((70, seconds, 0.03) for seconds in (6, 7.7, 59, 10, 6)),
            ]
        )
    ]
    expected = [_plain(record, rate) for record in records]

    found = features(records, rate)

    np.testing.assert_allclose(found.to_numpy(), expected, rtol=1e-9, atol=1e-12)
    assert found.notna().all(axis=None)


@pytest.mark.parametrize("rate", [100, 300])
def test_features_of_real_ptbxl_records_are_those_of_neurokit2(rate: int) -> None:
    import wfdb

    folder = realdata("ptbxl", "records100" if rate == 100 else "records500", "00000")
    stems = sorted(path.with_suffix("") for path in folder.glob("*.hea"))[::12]
    records = [wfdb.rdsamp(str(stem))[0] for stem in stems]
    if rate == 300:
        records = [resample_poly(record, 3, 5, axis=0) for record in records]

    found = features(records, rate)

    expected = [_plain(record, rate) for record in records]
    np.testing.assert_allclose(found.to_numpy(), expected, rtol=1e-9, atol=1e-12)


def test_heart_rates_of_real_chapman_records_agree_with_ge() -> None:
    """18 of 19 within 3 beats/min; in the other neurokit2 counts T waves too."""
    import wfdb

    stems = sorted(path.with_suffix("") for path in realdata("chapman", "WFDB_ChapmanShaoxing").glob("*.hea"))
    sheet = pd.read_excel(realdata("chapman", "Diagnostics.xlsx"))
    stated = sheet["VentricularRate"].iloc[[int(stem.name[2:]) - 1 for stem in stems]].to_numpy()

    found = features([wfdb.rdsamp(str(stem))[0] for stem in stems], 500)

    apart = np.abs(60 / found["mean_rr"].to_numpy() - stated)
    assert len(apart) == 19
    assert (apart <= 3).sum() >= 18
    assert np.median(apart) < 0.5


def _without(record: np.ndarray, reason: str) -> np.ndarray:
    """The record with a lead II in which no R peaks can be had."""
    spoiled = record.copy()
    if reason == "flat":
        spoiled[:, 1] = 0.7
    elif reason == "missing":
        spoiled[40, 1] = np.nan
    elif reason == "infinite":
        spoiled[40, 1] = np.inf
    else:
        spoiled[:, 1] = _lead(np.array([4.0, 5.0]), np.ones(2), 100, len(record) / 100)  # two beats
    return spoiled


@pytest.mark.parametrize("reason", ["flat", "missing", "infinite", "two beats"])
def test_lead_one_stands_in_where_lead_two_fails(reason: str) -> None:
    whole = [_record(70, 100, seed=seed) for seed in range(3)]
    spoiled = [whole[0], _without(whole[1], reason), whole[2]]

    found = features(spoiled, 100)

    only_lead_one = whole[1].copy()
    only_lead_one[:, 1] = whole[1][:, 0]
    pd.testing.assert_frame_equal(found, features([whole[0], only_lead_one, whole[2]], 100))
    assert found["mean_hr"][1] == pytest.approx(1.3 * found["mean_hr"][0], rel=0.1)


@pytest.mark.parametrize("reason", ["flat", "missing", "infinite", "two beats"])
def test_where_both_leads_fail_all_eight_are_nan(reason: str) -> None:
    spoiled = _without(_record(70, 100), reason)
    spoiled[:, 0] = spoiled[:, 1]
    found = features([spoiled, _record(70, 100)], 100)
    assert found.iloc[0].isna().all()
    assert found.iloc[1].notna().all()


def test_three_beats_are_enough() -> None:
    record = np.zeros((1000, 12))
    record[:, 1] = _lead(np.array([4.0, 5.0, 7.0]), np.ones(3), 100, 10)
    assert features([record], 100)["mean_rr"][0] == pytest.approx(1.5)


def test_only_leads_of_the_lead_set_are_read() -> None:
    record = _record(70, 100)
    whole, spoiled = features([record], 100), features([_without(record, "flat")], 100)

    pd.testing.assert_frame_equal(features([record], 100, LEAD_SETS["clocs-4"]), whole)
    assert features([_without(record, "flat")], 100, LEAD_SETS["lead-II"]).isna().all(axis=None)
    pd.testing.assert_frame_equal(features([record], 100, ("I", "V1")), spoiled)
    assert features([record], 100, ("V1", "V2")).isna().all(axis=None)


def test_only_the_first_minute_counts() -> None:
    long = _record(70, 100, seconds=75)
    pd.testing.assert_frame_equal(features([long], 100), features([long[:6000]], 100))
    assert not features([long], 100).equals(features([long[:5900]], 100))


def test_company_and_type_change_no_result() -> None:
    records = [_record(60 + 3 * seed, 100, 7 + seed % 3, seed) for seed in range(40)]
    together = features(records, 100)
    alone = pd.concat([features([record], 100) for record in records], ignore_index=True)
    pd.testing.assert_frame_equal(together, alone)
    single = features([record.astype(np.float32) for record in records], 100)
    np.testing.assert_allclose(single, together, rtol=1e-5)


def test_nothing_raises_warns_or_prints(capfd: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    bad = [_record(70, 300)[:length] for length in (0, 1, 2, 10, 20, 60, 200, 300)]
    bad += [np.ones((3000, 12)), np.full((3000, 12), np.nan), np.outer(np.arange(3000), np.ones(12))]
    bad.append(np.where(rng.random((3000, 12)) < 0.1, np.inf, _record(70, 300)))
    unended = np.zeros((3000, 12))  # a first QRS that does not end: neurokit2 averages over none
    unended[-20:] = 5 * np.sin(np.arange(20) ** 1.5)[:, None]
    bad.append(unended)

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        found = features([*bad, 1e12 * rng.normal(size=(3000, 12)), _record(70, 300)], 300)

    assert warned == []
    assert capfd.readouterr() == ("", "")
    assert found.iloc[: len(bad)].isna().all(axis=None)
    assert found.iloc[-1].notna().all()
    assert (found.dtypes == np.float64).all()


def test_no_records_give_an_empty_table() -> None:
    assert features([], 300).shape == (0, 8)


@pytest.fixture
def prepared(tmp_path: Path) -> PreparedCorpus:
    names = [f"r{i}" for i in range(5)]
    records = record_table({"record": names, "path": [""] * 5})
    labels = pd.DataFrame({"record": [], "task": [], "label": []}, dtype="object")
    index = CorpusIndex("tiny-sim", "tiny-sim", records, labels, {}, simulated=True)
    hearts = [
        RawRecord(_record(50 + 10 * i, 100, 70 if i == 1 else 8 + i, i).astype(np.float32), 100.0)
        for i in range(5)
    ]
    return write_prepared(index, hearts, tmp_path / "tiny", 100)


def test_a_corpus_is_measured_in_its_own_order_and_in_millivolts(prepared: PreparedCorpus) -> None:
    table = measure_features(prepared, workers=1)

    assert list(table.columns) == ["record", *FEATURES]
    assert table["record"].tolist() == [f"r{i}" for i in range(5)]
    place = zip(prepared.records["offset"], prepared.records["length"], strict=True)
    expected = [_plain(prepared.signals[a : a + n][:6000] / 1000, 100) for a, n in place]
    np.testing.assert_allclose(table[list(FEATURES)].to_numpy(), expected, rtol=1e-9)
    assert [path.name for path in prepared.folder.glob("features*")] == ["features.parquet"]
    read = pd.read_parquet(prepared.folder / "features.parquet")
    pd.testing.assert_frame_equal(read, table)


def test_workers_change_no_result(prepared: PreparedCorpus, monkeypatch: pytest.MonkeyPatch) -> None:
    table = measure_features(prepared, workers=1)
    (prepared.folder / "features.parquet").unlink()
    monkeypatch.setattr(module, "_CHUNK", 2)
    monkeypatch.setattr(module, "_WORTH", 5)  # two processes
    done: list[tuple[int, int]] = []
    again = measure_features(prepared, workers=2, progress=lambda *counts: done.append(counts))
    pd.testing.assert_frame_equal(again, table)
    assert done == [(2, 5), (4, 5), (5, 5)]


def test_a_corpus_is_measured_once(prepared: PreparedCorpus, monkeypatch: pytest.MonkeyPatch) -> None:
    table = measure_features(prepared, workers=1)
    monkeypatch.setattr(module, "_measure_spans", None)  # measuring again would fail
    pd.testing.assert_frame_equal(measure_features(prepared), table)


@pytest.mark.parametrize("change", ["version", "corpus", "foreign"])
def test_features_of_another_version_or_corpus_are_made_again(
    prepared: PreparedCorpus, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = prepared.folder / "features.parquet"
    table = measure_features(prepared, workers=1)
    stale = table.assign(mean_hr=1.0)
    stale.attrs = {} if change == "foreign" else table.attrs
    stale.to_parquet(path)
    if change == "version":
        monkeypatch.setattr(module, "VERSION", module.VERSION + 1)
    if change == "corpus":
        prepared = replace(prepared, fingerprint="of other signals")

    again = measure_features(prepared, workers=1)

    assert again["mean_hr"].tolist() == table["mean_hr"].tolist()
    assert again.attrs == {"version": module.VERSION, "fingerprint": prepared.fingerprint}
    assert pd.read_parquet(path).attrs == again.attrs


def test_a_run_that_breaks_leaves_no_file(prepared: PreparedCorpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_measure_spans", None)
    with pytest.raises(TypeError):
        measure_features(prepared, workers=1)
    assert not list(prepared.folder.glob("features*"))
