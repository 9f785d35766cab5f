"""Challenge folders: source databases, comments, quirks, and the real slices."""

from pathlib import Path

import numpy as np
import pytest

from bench.data.cinc2021 import SOURCES, CincReader, source_of
from bench.data.corpus import CorpusError
from tests.data.folders import ecg, write_mat
from tests.realdata import realdata


@pytest.mark.parametrize(
    ("record", "path", "source"),
    [
        ("A0001", "x/A0001", "cpsc"),
        ("Q0001", "", "cpsc_extra"),
        ("I0001", "", "stpetersburg"),
        ("S0001", "", "ptb"),
        ("HR00001", "", "ptbxl"),
        ("E00001", "", "georgia"),
        ("JS10646", "", "chapman"),
        ("JS10647", "", "ningbo"),
        ("X1", "WFDB_CPSC2018_2/X1", "cpsc_extra"),
        ("X1", "training/ptb-xl/g1/X1", "ptbxl"),
        ("X1", "elsewhere/X1", "unknown"),
    ],
)
def test_sources(record: str, path: str, source: str) -> None:
    assert source_of(record, path) == source


def test_the_challenge_has_88253_records() -> None:
    assert sum(SOURCES.values()) == 88_253


def test_comments_by_hand(tmp_path: Path) -> None:
    write_mat(tmp_path / "g1" / "E00001", ecg(1, 100), age="74", sex="Female", codes="1, 2,,1,")
    write_mat(tmp_path / "g1" / "E00002", ecg(2, 100), age="NaN", sex="Unknown", codes="3", unit="mv")
    write_mat(tmp_path / "g1" / "JS10700", ecg(3, 100), age="0", sex="M", codes="2")
    path = tmp_path / "g1" / "E00001.hea"
    path.write_text(path.read_text().replace("#", "# "))  # the PhysioNet dialect
    index = CincReader().index(tmp_path)
    assert index.title == "cinc2021 (3 of 88,253)"
    assert (
        index.records["record"].tolist()
        == ["E00001", "E00002", "JS10700"]
        == index.records["patient"].tolist()
    )
    assert index.records["age"][0] == 74 and index.records["age"].isna().tolist() == [False, True, True]
    assert index.records["sex"].tolist() == ["female", "", "male"]
    assert index.records["source"].tolist() == ["georgia", "georgia", "ningbo"]
    rows = list(index.labels.itertuples(index=False, name=None))
    expected = [("E00001", "1"), ("E00001", "2"), ("E00002", "3"), ("JS10700", "2")]
    assert rows == [(record, "snomed", code) for record, code in expected]
    assert index.tasks["snomed"].classes == ("1", "2", "3") and index.tasks["snomed"].kind == "multi"
    reasons = {(note.record, note.reason) for note in index.notes}
    assert reasons == {
        ("E00001", "empty or doubled code in #Dx (1, 2,,1,)"),
        ("", "unit written 'mv', read as mV, in 1 record (E00002)"),
        ("", "age missing in 2 records"),
        ("", "sex missing in 1 records"),
    }


def test_misnamed_lonely_and_repeated_files(tmp_path: Path) -> None:
    write_mat(tmp_path / "a" / "JS23074", ecg(1, 100))
    (tmp_path / "a" / "JS23074.hea").rename(tmp_path / "a" / "S23074.hea")
    write_mat(tmp_path / "a" / "JS20000", ecg(2, 100))
    (tmp_path / "a" / "JS20000.hea").unlink()
    write_mat(tmp_path / "a" / "JS20001", ecg(3, 100))
    write_mat(tmp_path / "b" / "JS20001", ecg(3, 100))
    index = CincReader().index(tmp_path)
    assert index.records["record"].tolist() == ["JS20001", "JS23074"]
    assert set(index.records["source"]) == {"ningbo"}
    assert {(n.record, n.action): n.reason for n in index.notes} == {
        ("JS23074", "repaired"): "header is misnamed S23074.hea",
        ("JS20000", "rejected"): "signal file without header",
        ("JS20001", "rejected"): "b/JS20001 repeats the id of a/JS20001",
    }
    raw = CincReader().read(tmp_path, index.records["path"][1])
    np.testing.assert_allclose(raw.signal, ecg(1, 100) / 1000, rtol=1e-6)


def test_no_headers_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"no .hea file"):
        CincReader().index(tmp_path)


def test_real_slices() -> None:
    root = realdata("cinc2021")
    reader = CincReader()
    index = reader.index(root)
    assert index.title == "cinc2021 (48 of 88,253)"
    by_source = {"cpsc": 14, "cpsc_extra": 10, "georgia": 12, "ptb": 2, "ptbxl": 10}
    assert index.facts["records_by_source"] == by_source
    lengths = {}
    for record, path in zip(index.records["record"], index.records["path"], strict=True):
        raw = reader.read(root, path)
        assert np.isfinite(raw.signal).all()
        lengths[record] = (raw.rate, len(raw.signal))
    assert lengths["S0001"] == (1000, 38_400) and lengths["S0002"] == (1000, 115_200)
    assert lengths["HR00001"] == (500, 5000) and len({n for _, n in lengths.values()}) > 5
    s0001 = index.labels[index.labels["record"] == "S0001"]["label"].tolist()
    assert s0001 == ["251146004", "426783006"]


def test_real_ptbxl_copy_equals_ptbxl() -> None:
    from bench.data.ptbxl import PtbxlReader

    copy, original = realdata("cinc2021"), realdata("ptbxl")
    for number in range(1, 11):
        one = CincReader().read(copy, f"WFDB_PTBXL/HR{number:05d}").signal
        other = PtbxlReader(500).read(original, f"records500/00000/{number:05d}_hr").signal
        np.testing.assert_array_equal(one, other)


def test_an_unreadable_header_costs_one_record(tmp_path: Path) -> None:
    write_mat(tmp_path / "A0001", ecg(1, 100))
    (tmp_path / "A0002.hea").symlink_to(tmp_path / "nowhere")
    index = CincReader().index(tmp_path)
    assert index.records["record"].tolist() == ["A0001"]
    found = {(note.record, note.action): note.reason for note in index.notes}
    assert found["A0002", "rejected"] == "header A0002.hea cannot be read (No such file or directory)"
