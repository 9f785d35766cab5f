"""Records of no corpus: the numbers of a prepared one, some leads alone, and one bad record stops no other."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.data.corpus import CorpusError
from bench.data.folder import FolderReader
from bench.data.leads import LEADS
from bench.data.loose_records import LooseRecord, find_records, prepare_loose, read_loose
from bench.data.prepare import prepare
from tests.data.folders import ecg, header, write_dat, write_mat, write_muse

BAND = (1.0, 40.0)


def spoilt(seed: int, samples: int) -> np.ndarray:
    """A record with missing samples, a flat lead and values beyond what is stored."""
    signal = ecg(seed, samples)
    signal[10:14, 2] = -32768
    signal[:, 5] = 7
    signal[100, 7] = 32767
    return signal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six records with a table: sound, spoilt, of another rate, too short, too broken, and a CSV one."""
    root = tmp_path / "ward"
    write_dat(root / "a" / "r1", ecg(1, 800), rate=250)
    write_dat(root / "r2", spoilt(2, 1200), rate=500)
    write_mat(root / "r3", ecg(3, 900), rate=360)
    write_dat(root / "r4", ecg(4, 30), rate=500)
    holes = ecg(5, 600)
    holes[:60, 0] = -32768
    write_dat(root / "r5", holes, rate=250)
    write_muse(root / "r6.csv", ecg(6, 700), titled=True)
    lines = ["r1,a/r1,,", "r2,r2,,", "r3,r3.hea,,", "r4,r4,,", "r5,r5,,", "r6,r6.csv,250,uV"]
    table = "\n".join(["record,path,rate,unit,labels", *(f"{line},x" for line in lines)])
    (root / "records.csv").write_text(table + "\n")
    return root


@pytest.mark.parametrize("band", [None, BAND])
def test_the_numbers_are_those_of_a_prepared_corpus(folder: Path, tmp_path: Path, band) -> None:
    corpus = prepare(FolderReader(), folder, tmp_path / "out", 100, band, workers=1, max_bad=0.5)
    records, missing = find_records([folder])
    loose = prepare_loose(records, tmp_path / "loose", LEADS, 100, band)
    assert loose.corpus is not None and not missing
    assert (
        [record.name for record in loose.kept]
        == corpus.records["record"].tolist()
        == ["r1", "r2", "r3", "r6"]
    )
    np.testing.assert_array_equal(loose.corpus.signals, corpus.signals)
    for column in ("offset", "length", "mean", "sd"):
        mine, theirs = loose.corpus.records[column].tolist(), corpus.records[column].tolist()
        np.testing.assert_array_equal(np.asarray(mine), np.asarray(theirs))
    assert (loose.corpus.rate, loose.corpus.band) == (100, band)
    quality = pd.read_csv(corpus.folder / "quality.csv")
    for action in ("rejected", "repaired"):
        mine = [(Path(note.record).stem, note.reason) for note in loose.notes if note.action == action]
        chosen = quality[quality["action"] == action]
        assert mine == list(zip(chosen["record"], chosen["reason"], strict=True))
    assert [note.reason for note in loose.notes if note.action == "note"] == ["flat: aVF; kept"]


def test_every_way_of_naming_a_record_leads_to_it_once(tmp_path: Path) -> None:
    write_dat(tmp_path / "in" / "r1", ecg(1, 100))
    write_mat(tmp_path / "in" / "sub" / "r.2", ecg(2, 100))
    write_muse(tmp_path / "in" / "r3.csv", ecg(3, 100))
    (tmp_path / "in" / ".hidden.hea").write_text("")
    one, two = LooseRecord("r1", tmp_path / "in/r1.hea"), LooseRecord("r.2", tmp_path / "in/sub/r.2.hea")
    three = LooseRecord("r3", tmp_path / "in/r3.csv", 500.0, "uV")
    for path, expected in (
        ("r1", [one]),
        ("r1.hea", [one]),
        ("r1.dat", [one]),
        ("sub/r.2", [two]),
        ("sub/r.2.mat", [two]),
        ("r3.csv", [three]),
        ("sub", [two]),
        ("", [one, three, two]),
    ):
        assert find_records([tmp_path / "in" / path], 500.0, "uV") == (expected, [])
    again = [tmp_path / "in/sub/r.2", tmp_path / "in/r1", tmp_path / "in", tmp_path / "in/r1.hea"]
    assert find_records(again, 500.0, "uV")[0] == [two, one, three]


def test_a_path_that_leads_nowhere_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CorpusError, match=r"no record .*r9: give a WFDB record"):
        find_records([tmp_path / "r9"])
    with pytest.raises(CorpusError, match=r"no record below .*empty: no \.hea and no \.csv"):
        find_records([tmp_path / "empty"])
    with pytest.raises(CorpusError, match=r"notes\.txt is no record"):
        find_records([tmp_path / "notes.txt"])
    with pytest.raises(CorpusError, match="unit 'V' is none of mV, uV"):
        find_records([tmp_path], unit="V")


def test_a_table_names_what_is_not_there(folder: Path) -> None:
    (folder / "r4.hea").unlink()
    records, missing = find_records([folder])
    assert [record.name for record in records] == ["r1", "r2", "r3", "r5", "r6"]
    assert [(note.record, note.reason) for note in missing] == [("r4", "no file r4.hea")]
    listed = LooseRecord("r6", folder / "r6.csv", 250.0, "uV")
    assert records[-1] == listed
    by_path = LooseRecord("r6", folder / "r6.csv", 100.0)
    assert find_records([folder, folder / "r6.csv"], 100)[0] == records  # the first to name it decides
    assert find_records([folder / "r6.csv", folder], 100)[0] == [by_path, *records[:-1]]


def test_a_record_may_lack_leads_and_hold_other_signals(tmp_path: Path) -> None:
    signal = ecg(1, 200)
    leads = ["PLETH", "v2", "II", "I"]
    write_dat(tmp_path / "r1", np.ascontiguousarray(signal[:, :4]), rate=125, leads=leads)
    raw = read_loose(LooseRecord("r1", tmp_path / "r1.hea"), ("I", "II", "V2"))
    assert raw.rate == 125 and raw.signal.dtype == np.float32 and raw.signal.shape == (200, 12)
    expected = np.zeros((200, 12))
    expected[:, 0], expected[:, 1], expected[:, 7] = signal[:, 3], signal[:, 2], signal[:, 1]
    np.testing.assert_allclose(raw.signal, expected / 1000, rtol=1e-6)


def test_other_units_and_missing_samples_of_some_leads(tmp_path: Path) -> None:
    signal = ecg(1, 50)[:, :2].copy()
    signal[3, 0] = -32768
    signal.tofile(tmp_path / "r1.dat")
    (tmp_path / "r1.hea").write_text(header("r1", "r1.dat", signal, 100, ["II", "V1"], unit="uV"))
    raw = read_loose(LooseRecord("r1", tmp_path / "r1.hea"), ("V1", "II"))
    assert np.flatnonzero(np.isnan(raw.signal[:, 1])).tolist() == [3]
    np.testing.assert_allclose(raw.signal[:, 6], signal[:, 1] / 1e6, rtol=1e-6)
    (tmp_path / "r1.hea").write_text(header("r1", "r1.dat", signal, 100, ["II", "V1"], unit="mmHg"))
    with pytest.raises(CorpusError, match="unit 'mmHg' is no voltage"):
        read_loose(LooseRecord("r1", tmp_path / "r1.hea"), ("V1",))


def test_columns_of_a_csv_record_go_by_their_names(tmp_path: Path) -> None:
    signal = ecg(1, 60)
    file = tmp_path / "r1.csv"
    columns = {"time": np.arange(60), "avr": signal[:, 0], "I": signal[:, 1], "note": signal[:, 2]}
    pd.DataFrame(columns).to_csv(file, index=False)
    raw = read_loose(LooseRecord("r1", file, 200.0, "uV"), ("I", "aVR"))
    expected = np.zeros((60, 12))
    expected[:, 3], expected[:, 0] = signal[:, 0], signal[:, 1]
    np.testing.assert_allclose(raw.signal, expected / 1000, rtol=1e-6)
    assert raw.rate == 200
    write_muse(file, signal)
    np.testing.assert_allclose(
        read_loose(LooseRecord("r1", file, 200.0, "mV"), ("V6",)).signal[:, 11], signal[:, 11]
    )
    with pytest.raises(CorpusError, match="does not say its rate"):
        read_loose(LooseRecord("r1", file), ("V6",))
    file.write_text("I,II\n1,2\n3,four\n")
    with pytest.raises(CorpusError, match="no table of numbers"):
        read_loose(LooseRecord("r1", file, 200.0), ("I", "II"))


def test_records_that_cannot_be_used_stop_no_other(tmp_path: Path) -> None:
    write_dat(tmp_path / "good", ecg(1, 400))
    write_dat(tmp_path / "two", np.ascontiguousarray(ecg(2, 400)[:, :2]), leads=["I", "II"])
    write_dat(tmp_path / "twice", np.ascontiguousarray(ecg(2, 400)[:, :3]), leads=["I", "I", "V1"])
    write_dat(tmp_path / "none", np.ascontiguousarray(ecg(2, 400)[:, :1]), leads=["ABP"])
    write_dat(tmp_path / "cut", ecg(3, 400))
    (tmp_path / "cut.dat").write_bytes((tmp_path / "cut.dat").read_bytes()[:100])
    write_dat(tmp_path / "fine", ecg(4, 300))
    names = ["two", "good", "none", "twice", "cut", "fine"]
    records, _ = find_records([tmp_path / name for name in names])
    loose = prepare_loose(records, tmp_path / "out", ("I", "V1", "V2"), 100)
    reasons = {Path(note.record).stem: note.reason for note in loose.notes}
    assert {note.action for note in loose.notes} == {"rejected"}
    assert reasons.pop("two") == "record two lacks leads V1, V2; it has leads I, II"
    assert reasons.pop("none") == "record none lacks leads I, V1, V2; it has no ECG lead (ABP)"
    assert reasons.pop("twice") == "record twice lacks lead V2; it has leads I, I, V1"
    assert "truncated" in reasons.pop("cut") and not reasons
    assert [record.name for record in loose.kept] == ["good", "fine"]
    assert loose.corpus is not None and loose.corpus.records["length"].tolist() == [400, 300]
    np.testing.assert_array_equal(loose.corpus.signals[400:, [0, 6, 7]], ecg(4, 300)[:, [0, 6, 7]])
    assert not loose.corpus.signals[:, [1, 2, 3, 4, 5, 8, 9, 10, 11]].any()


def test_of_two_signals_of_one_lead_none_is_chosen(tmp_path: Path) -> None:
    write_dat(tmp_path / "r1", np.ascontiguousarray(ecg(2, 400)[:, :3]), leads=["I", "I", "V1"])
    record = LooseRecord("r1", tmp_path / "r1.hea")
    with pytest.raises(CorpusError, match="record r1 has lead I twice"):
        read_loose(record, ("I",))
    assert read_loose(record, ("V1",)).signal[:, 6].any()


def test_only_leads_that_matter_can_spoil_a_record(tmp_path: Path) -> None:
    signal = ecg(1, 400)
    signal[:200, 3] = -32768
    signal[:, 4] = 0
    write_dat(tmp_path / "r1", signal)
    records, _ = find_records([tmp_path / "r1"])
    loose = prepare_loose(records, tmp_path / "sound", ("I", "II"), 100)
    assert loose.corpus is not None and loose.notes == ()
    spoilt = prepare_loose(records, tmp_path / "spoilt", ("I", "aVR"), 100)
    assert spoilt.corpus is None and spoilt.kept == ()
    assert [note.reason for note in spoilt.notes] == ["50.0% of the samples are missing in lead aVR"]
    flat = prepare_loose(records, tmp_path / "flat", ("aVL",), 100)
    assert [note.reason for note in flat.notes] == ["all leads are zero"]
    noted = prepare_loose(records, tmp_path / "noted", ("I", "aVL"), 100)
    assert [(note.action, note.reason) for note in noted.notes] == [("note", "flat: aVL; kept")]


def test_equal_signals_are_two_records(tmp_path: Path) -> None:
    for name in ("r1", "r2"):
        write_dat(tmp_path / name, ecg(1, 400))
    loose = prepare_loose(find_records([tmp_path])[0], tmp_path / "out", LEADS, 100)
    assert [record.name for record in loose.kept] == ["r1", "r2"] and loose.notes == ()
