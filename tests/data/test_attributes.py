"""Wave attributes: known hearts, GE's measurements of real Chapman records, failures as NaN, the cache."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.signal import resample_poly

from bench.data import attributes
from bench.data.attributes import measure, measure_corpus
from bench.data.corpus import ATTRIBUTES, CorpusIndex, PreparedCorpus, RawRecord, record_table
from bench.data.writer import write_prepared
from tests.realdata import realdata


def _heart(
    bpm: float = 75,
    rate: int = 500,
    r_axis: float = 50,
    t_axis: float = 30,
    qrs_s: float = 0.015,
    p_mv: float = 0.12,
    t_mv: float = 0.3,
    t_s: float = 0.04,
    seconds: int = 10,
) -> np.ndarray:
    """(T, 12) mV of Gaussian P, QRS and T waves; R every 60 / bpm s from 0.3 s on, T 0.27 s after it."""
    time = np.arange(seconds * rate) / rate
    limb = np.zeros((len(time), 2))  # the frontal vector: along I, and downwards
    chest = np.zeros(len(time))
    for peak in np.arange(0.3, seconds, 60 / bpm):
        for delay, width, size, axis in (
            (-0.16, 0.02, p_mv, 60),
            (0, qrs_s, 1.2, r_axis),
            (0.27, t_s, t_mv, t_axis),
        ):
            wave = size * np.exp(-(((time - peak - delay) / width) ** 2) / 2)
            limb += wave[:, None] * (np.cos(np.radians(axis)), np.sin(np.radians(axis)))
            chest += wave
    lead_i, avf = limb[:, 0], limb[:, 1] * np.sqrt(3) / 2
    lead_ii, lead_iii = avf + lead_i / 2, avf - lead_i / 2
    others = [-(lead_i + lead_ii) / 2, (lead_i - lead_iii) / 2, avf]
    noise = np.random.default_rng(0).normal(0, 0.003, (len(time), 12))
    return (
        np.stack([lead_i, lead_ii, lead_iii, *others, *(chest * k for k in (-0.4, 0.3, 0.8, 1.2, 1, 0.8))], 1)
        + noise
    )


@pytest.mark.parametrize("rate", [100, 250, 257, 500, 1000])
@pytest.mark.parametrize("bpm", [42, 75, 130])
def test_rates_and_counts_of_a_known_heart(bpm: float, rate: int) -> None:
    found = measure([_heart(bpm, rate)], rate).iloc[0]
    assert found["VentricularRate"] == pytest.approx(bpm, rel=0.01)
    # as GE's, the count may lack a beat at either end
    assert found["QRSCount"] == pytest.approx(len(np.arange(0.3, 10, 60 / bpm)), abs=2)


@pytest.mark.parametrize("bpm", [30, 45, 60, 90])
def test_t_waves_taller_than_the_qrs_are_no_beats(bpm: float) -> None:
    found = measure([_heart(bpm, 100, t_mv=1.8, t_s=0.06)], 100).iloc[0]
    assert found["VentricularRate"] == pytest.approx(bpm, rel=0.01)
    assert found["QRSCount"] == len(np.arange(0.3, 10, 60 / bpm))


@pytest.mark.parametrize("bpm", [160, 200, 230])
def test_no_beat_of_a_fast_rhythm_is_lost(bpm: float) -> None:
    found = measure([_heart(bpm, 100, p_mv=0, t_mv=0.15)], 100).iloc[0]
    assert found["VentricularRate"] == pytest.approx(bpm, rel=0.01)
    assert found["QRSCount"] == pytest.approx(len(np.arange(0.3, 10, 60 / bpm)), abs=1)


def test_a_step_from_end_to_start_is_no_beat() -> None:
    drift = np.linspace(0, 3, 1000)[:, None]
    found = measure([_heart(60, 100) + drift], 100).iloc[0]
    assert found["VentricularRate"] == pytest.approx(60, rel=0.01)
    assert found["QRSCount"] == 10


def test_an_artefact_in_one_lead_is_no_beat() -> None:
    shaken = _heart(60, 100)
    shaken[470:500, 8] += 2  # a chest electrode moves and comes back, between two beats
    assert measure([shaken], 100)["QRSCount"][0] == 10


@pytest.mark.parametrize("axis", [-80, -30, 0, 50, 90, 150, 200, 260])
def test_axes_of_a_known_heart(axis: float) -> None:
    found = measure([_heart(r_axis=axis, t_axis=50), _heart(t_axis=axis)], 500)
    assert found["RAxis"][0] == pytest.approx(axis, abs=3)
    assert found["TAxis"][1] == pytest.approx(axis, abs=6)


def test_intervals_of_a_known_heart() -> None:
    narrow, wide = measure([_heart(qrs_s=0.012), _heart(qrs_s=0.03)], 500).to_dict("records")
    # a Gaussian's slope falls below 6 % of its steepest between 2.9 and 3.3 sigma
    assert narrow["QRSDuration"] == pytest.approx(2 * 3.1 * 12, abs=12)
    assert wide["QRSDuration"] == pytest.approx(2 * 3.1 * 30, abs=20)
    assert narrow["TOffset"] == pytest.approx(240 + 500 * (0.27 + 2.5 * 0.04), abs=15)
    for found in (narrow, wide):
        assert found["QRSDuration"] == pytest.approx(2 * (found["QOffset"] - found["QOnset"]))
        assert found["QTInterval"] == pytest.approx(2 * (found["TOffset"] - found["QOnset"]))
        assert found["QTCorrected"] == pytest.approx(
            found["QTInterval"] / np.sqrt(60 / found["VentricularRate"])
        )


@pytest.mark.parametrize("bpm", [42, 75, 100])
def test_a_p_wave_before_each_qrs_gives_the_atrial_rate(bpm: float) -> None:
    found = measure([_heart(bpm)], 500)
    assert found["AtrialRate"][0] == found["VentricularRate"][0]


def test_without_p_wave_there_is_no_atrial_rate() -> None:
    noisy = _heart(p_mv=0) + np.random.default_rng(1).normal(0, 0.03, (5000, 12))
    assert np.isnan(measure([noisy], 500)["AtrialRate"][0])


def test_company_changes_no_result() -> None:
    hearts = [_heart(bpm, 100) for bpm in (50, 75, 100, 140)]
    hearts.insert(2, np.zeros((1000, 12)))
    together = measure(hearts, 100)
    alone = pd.concat([measure([heart], 100) for heart in hearts], ignore_index=True)
    pd.testing.assert_frame_equal(together, alone)


def test_what_cannot_be_measured_is_nan() -> None:
    generator = np.random.default_rng(0)
    broken = _heart()
    broken[100, 3] = np.nan
    bad = [
        np.zeros((5000, 12)),
        np.ones((5000, 12)),
        broken,
        np.empty((0, 12)),
        _heart()[:300],
        np.outer(np.arange(5000), np.ones(12)),
    ]
    found = measure([*bad, generator.normal(0, 1, (5000, 12)), _heart()], 500)

    assert list(found.columns) == list(ATTRIBUTES)
    assert found.iloc[: len(bad)].isna().all(axis=None)
    assert found.iloc[-1].notna().all()
    assert (found.dtypes == np.float64).all()


def test_a_flat_chest_lead_does_not_stop_the_others() -> None:
    flat = _heart()
    flat[:, 6:] = 0
    assert measure([flat], 500)["VentricularRate"][0] == pytest.approx(75, rel=0.01)


def test_no_records_give_an_empty_table() -> None:
    assert measure([], 500).shape == (0, 11)


def _record(*parts: str) -> tuple[np.ndarray, float]:
    import wfdb

    realdata(*parts[:-1], f"{parts[-1]}.hea")
    signal, fields = wfdb.rdsamp(str(realdata(*parts[:-1]) / parts[-1]))
    return signal, fields["fs"]


@pytest.mark.parametrize(
    ("number", "bpm", "beats"),
    [
        (24, 55.0, 9),
        (44, 59.6, 10),
        (191, 31.0, 5),
        (255, 85.4, 15),  # premature ventricular beats among normal ones
        (304, 72.2, 12),  # trembling
        (381, 45.1, 7),
        (475, 85.1, 14),  # an electrode jumps
        (477, 31.2, 5),
    ],
)
def test_the_beats_of_real_ptbxl_records_counted_by_eye(number: int, bpm: float, beats: int) -> None:
    found = measure([_record("ptbxl", "records100", "00000", f"{number:05d}_lr")[0]], 100).iloc[0]
    assert found["VentricularRate"] == pytest.approx(bpm, abs=0.7)
    assert found["QRSCount"] == beats


@pytest.mark.parametrize(
    ("parts", "beats"),
    [
        (("cinc2021", "WFDB_CPSC2018_2", "Q0012"), 10),
        (("chapman", "WFDB_Ningbo", "JS45542"), 27),
        (("chapman", "WFDB_Ningbo", "JS45545"), 31),
        (("chapman", "WFDB_Ningbo", "JS45546"), 29),  # no QRS stands out of these wide beats
    ],
)
def test_the_beats_of_real_slow_and_fast_records_counted_by_eye(parts: tuple[str, ...], beats: int) -> None:
    found = measure([_record(*parts)[0]], _record(*parts)[1])
    assert found["QRSCount"][0] == pytest.approx(beats, abs=1)


@pytest.fixture(scope="module")
def chapman() -> tuple[list[np.ndarray], pd.DataFrame]:
    """The real Chapman-Shaoxing records at 500 Hz, and their rows of Diagnostics.xlsx."""
    import wfdb

    stems = sorted(path.with_suffix("") for path in realdata("chapman", "WFDB_ChapmanShaoxing").glob("*.hea"))
    sheet = pd.read_excel(realdata("chapman", "Diagnostics.xlsx"))
    rows = sheet.iloc[[int(stem.name[2:]) - 1 for stem in stems]].reset_index(drop=True)
    return [wfdb.rdsamp(str(stem))[0] for stem in stems], rows


@pytest.mark.parametrize("rate", [500, 100])
def test_real_chapman_records_agree_with_ge(
    chapman: tuple[list[np.ndarray], pd.DataFrame], rate: int
) -> None:
    """19 records with GE's measurements: rates to 3 bpm, beats to 1, the rest in the mean."""
    signals, stated = chapman

    difference = measure([resample_poly(signal, 1, 500 // rate, axis=0) for signal in signals], rate)
    difference -= stated[list(ATTRIBUTES)]
    for axis in ("RAxis", "TAxis"):
        difference[axis] = (difference[axis] + 180) % 360 - 180

    error = difference.abs()
    assert (error["VentricularRate"] <= 3).all()
    assert (error["QRSCount"] <= 1).all()
    largest = {
        "QRSDuration": 12,
        "QTInterval": 20,
        "RAxis": 5,
        "TAxis": 10,
        "QOnset": 5,
        "QOffset": 8,
        "TOffset": 12,
    }
    assert {name: mean for name, mean in error[list(largest)].mean().items() if mean > largest[name]} == {}


def test_real_ptbxl_is_measured_alike_at_both_rates_and_bundle_branch_blocks_are_wide() -> None:
    import wfdb

    table = pd.read_csv(realdata("ptbxl", "ptbxl_database.csv"))
    blocks = table[table["scp_codes"].str.contains("'CLBBB'|'CRBBB'")]
    normal = table[table["scp_codes"].str.contains("'NORM'")].head(15)
    found = {}
    for rate, column in ((100, "filename_lr"), (500, "filename_hr")):
        files = [*blocks[column], *normal[column]]
        found[rate] = measure(
            [wfdb.rdsamp(str(realdata("ptbxl", file + ".dat").with_suffix("")))[0] for file in files], rate
        )

    apart = (found[100] - found[500]).abs()
    assert apart["VentricularRate"].median() < 0.1
    assert apart["QRSDuration"].median() <= 4
    assert apart["QTInterval"].median() <= 4
    assert found[100]["QRSDuration"][: len(blocks)].median() > 130  # blocks are 120 ms and more
    assert found[100]["QRSDuration"][len(blocks) :].median() < 100


@pytest.fixture
def prepared(tmp_path: Path) -> PreparedCorpus:
    names = [f"r{i}" for i in range(5)]
    records = record_table({"record": names, "path": [""] * 5})
    labels = pd.DataFrame({"record": [], "task": [], "label": []}, dtype="object")
    index = CorpusIndex("tiny-sim", "tiny-sim", records, labels, {}, simulated=True)
    hearts = [RawRecord(_heart(50 + 10 * i, 100).astype(np.float32), 100.0) for i in range(5)]
    return write_prepared(index, hearts, tmp_path / "tiny", 100)


def test_a_corpus_is_measured_in_its_own_order(prepared: PreparedCorpus) -> None:
    table = measure_corpus(prepared)
    assert list(table.columns) == ["record", *ATTRIBUTES]
    assert table["record"].tolist() == [f"r{i}" for i in range(5)]
    assert table["VentricularRate"].to_numpy() == pytest.approx([50, 60, 70, 80, 90], rel=0.01)
    assert [path.name for path in prepared.folder.glob("attributes*")] == ["attributes.parquet"]


def test_workers_change_no_result(prepared: PreparedCorpus, monkeypatch: pytest.MonkeyPatch) -> None:
    table = measure_corpus(prepared)
    (prepared.folder / "attributes.parquet").unlink()
    monkeypatch.setattr(attributes, "_CHUNK", 2)
    pd.testing.assert_frame_equal(measure_corpus(prepared, workers=2), table)


def test_a_corpus_is_measured_once(prepared: PreparedCorpus, monkeypatch: pytest.MonkeyPatch) -> None:
    table = measure_corpus(prepared)
    monkeypatch.setattr(attributes, "_measure_rows", None)  # measuring again would fail
    pd.testing.assert_frame_equal(measure_corpus(prepared), table)


@pytest.mark.parametrize("stamp", [{}, {"version": attributes.VERSION - 1}])
def test_another_version_s_measurements_are_made_again(
    prepared: PreparedCorpus, stamp: dict[str, int]
) -> None:
    table = measure_corpus(prepared)
    stale = table.assign(VentricularRate=1.0)
    stale.attrs = {**table.attrs, **stamp} if stamp else {}
    stale.to_parquet(prepared.folder / "attributes.parquet")
    pd.testing.assert_frame_equal(measure_corpus(prepared), table)
    assert pd.read_parquet(prepared.folder / "attributes.parquet").attrs == table.attrs
