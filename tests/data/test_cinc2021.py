"""Challenge folders: source databases, comments, quirks, and the real slices."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.data.cinc2021 import CPSC9, SOURCES, CincReader, source_of
from bench.data.corpus import CorpusError, CorpusIndex
from bench.data.prepare import prepare
from bench.data.splits import SplitSpec, make_split
from tests.data.folders import ecg, write_mat
from tests.realdata import realdata

OWN = "no patient ids are published: each record is its own patient"
PART = "source databases in part: "


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
    expected = {"E00001": ["1", "2"], "E00002": ["3"], "JS10700": ["2"]}
    assert labels_of(index, "snomed") == expected and set(index.labels["task"]) == {"snomed"}
    assert index.tasks["snomed"].classes == ("1", "2", "3") and index.tasks["snomed"].kind == "multi"
    reasons = {(note.record, note.reason) for note in index.notes}
    assert reasons == {
        ("E00001", "empty or doubled code in #Dx (1, 2,,1,)"),
        ("", "unit written 'mv', read as mV, in 1 record (E00002)"),
        ("", "age missing in 2 records"),
        ("", "sex missing in 1 records"),
        ("", OWN),
        ("", f"{PART}georgia 2 of 10,344, ningbo 1 of 34,905"),
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
    assert {(n.record, n.action): n.reason for n in index.notes if n.record} == {
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
    assert labels_of(index, "snomed")["S0001"] == ["251146004", "426783006"]
    assert labels_of(index, "scored26")["S0001"] == ["LQRSV", "NSR"]


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


CPSC = CincReader(sources=("cpsc",), name="cpsc")


def labels_of(index: CorpusIndex, task: str) -> dict[str, list[str]]:
    rows = index.labels[index.labels["task"] == task]
    return rows.groupby("record")["label"].agg(list).to_dict()


def test_cpsc_by_hand(tmp_path: Path) -> None:
    write_mat(tmp_path / "A0001", ecg(1, 100), codes="59118001,284470004")
    write_mat(tmp_path / "A0002", ecg(2, 100), codes="427172004")  # the Challenge's other PVC: not CPSC's
    write_mat(tmp_path / "A0003", ecg(3, 100), codes="427172004,426783006,17338001")
    write_mat(tmp_path / "Q0001", ecg(4, 100), codes="59118001,999")
    write_mat(tmp_path / "Q0002", ecg(5, 100))
    (tmp_path / "Q0002.hea").unlink()
    write_mat(tmp_path / "A0004", ecg(6, 100))
    (tmp_path / "A0004.hea").unlink()
    write_mat(tmp_path / "WFDB_CPSC2018" / "X1", ecg(7, 100), codes="164884008")
    write_mat(tmp_path / "elsewhere" / "X2", ecg(8, 100), codes="1,,1")

    index = CPSC.index(tmp_path)

    assert (index.name, index.title) == ("cpsc", "cpsc (4 of 6,877)")
    assert index.records["record"].tolist() == ["A0001", "A0002", "A0003", "X1"]
    assert set(index.records["source"]) == {"cpsc"}
    assert labels_of(index, "cpsc9") == {"A0001": ["RBBB", "PAC"], "A0003": ["Normal"], "X1": ["PVC"]}
    assert labels_of(index, "snomed")["A0003"] == ["427172004", "426783006", "17338001"]
    nine = ("AF", "I-AVB", "LBBB", "Normal", "PAC", "PVC", "RBBB", "STD", "STE")
    assert (index.tasks["cpsc9"].kind, index.tasks["cpsc9"].classes) == ("multi", nine)
    assert "999" not in index.tasks["snomed"].classes
    assert {(note.record, note.action, note.reason) for note in index.notes} == {
        ("A0004", "rejected", "signal file without header"),
        ("", "note", "code 17338001 is no label of cpsc9, in 1 record (A0003)"),
        ("", "note", "code 427172004 is no label of cpsc9, in 2 records (A0002, A0003)"),
        ("", "note", "of other sources, no part of this corpus: 2 records (Q0001, X2) left out"),
        ("", "note", OWN),
        ("", "note", f"{PART}cpsc 4 of 6,877"),
    }


def test_the_whole_challenge_has_cpsc_s_labels_for_cpsc_s_records(tmp_path: Path) -> None:
    write_mat(tmp_path / "A0001", ecg(1, 100), codes="59118001")
    write_mat(tmp_path / "Q0001", ecg(2, 100), codes="59118001,999")
    index = CincReader().index(tmp_path)
    assert (index.name, index.title) == ("cinc2021", "cinc2021 (2 of 88,253)")
    assert [note.reason for note in index.notes] == [OWN, f"{PART}cpsc 1 of 6,877, cpsc_extra 1 of 3,453"]
    assert labels_of(index, "cpsc9") == {"A0001": ["RBBB"]}
    assert labels_of(index, "snomed") == {"A0001": ["59118001"], "Q0001": ["59118001", "999"]}
    (tmp_path / "A0001.hea").unlink()
    assert list(CincReader().index(tmp_path).tasks) == ["snomed", "scored26"]


def test_several_sources_are_one_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for record in ("A0001", "Q0001", "Q0002", "E00001"):
        write_mat(tmp_path / record, ecg(1, 100))
    index = CincReader(sources=("cpsc", "cpsc_extra")).index(tmp_path)
    assert index.records["record"].tolist() == ["A0001", "Q0001", "Q0002"]
    assert index.title == "cinc2021 (3 of 10,330)"
    monkeypatch.setitem(SOURCES, "cpsc", 1)
    assert CPSC.index(tmp_path).title == "cpsc (1)"  # complete


def test_a_source_that_is_not_there_is_named(tmp_path: Path) -> None:
    write_mat(tmp_path / "E00001", ecg(1, 100))
    with pytest.raises(CorpusError, match=r"^no record of cpsc below .*; give the folder that holds them$"):
        CPSC.index(tmp_path)
    with pytest.raises(CorpusError, match=r"^no source database 'cpsc2018'; there are: cpsc, cpsc_extra, "):
        CincReader(sources=("cpsc2018",))


def test_the_nine_are_all_that_cpsc_carries() -> None:
    tables = [realdata("cinc2021", f"dx_mapping_{kind}.csv") for kind in ("scored", "unscored")]
    codes = pd.concat([pd.read_csv(table) for table in tables])
    published = codes[codes["CPSC"] > 0].set_index("SNOMEDCTCode")["Abbreviation"]
    theirs = {"I-AVB": "IAVB", "Normal": "NSR", "PVC": "VEB"}
    assert published.to_dict() == {int(code): theirs.get(name, name) for code, name in CPSC9.items()}


def test_real_cpsc() -> None:
    root = realdata("cinc2021")
    index = CPSC.index(root)
    assert index.title == "cpsc (14 of 6,877)"
    assert labels_of(index, "cpsc9") == {
        **{f"A{number}": ["AF"] for number in ("0003", "0004", "0007", "0009", "0689", "2712")},
        **{f"A{number}": ["RBBB"] for number in ("0001", "0006", "0010")},
        "A0002": ["Normal"],
        "A0005": ["PVC"],
        "A0008": ["STD"],
        "A1041": ["AF", "LBBB"],
        "A5215": ["RBBB", "PAC"],
    }
    alone = CPSC.index(root / "WFDB_CPSC2018")
    assert alone.title == index.title
    assert [note.reason for note in alone.notes] == [OWN, f"{PART}cpsc 14 of 6,877"]
    pd.testing.assert_frame_equal(alone.labels, index.labels)
    whole = CincReader().index(root)
    assert labels_of(whole, "cpsc9") == labels_of(index, "cpsc9")


def test_real_cpsc_is_prepared_and_split(tmp_path: Path) -> None:
    corpus = prepare(CPSC, realdata("cinc2021", "WFDB_CPSC2018"), tmp_path, 500, workers=1)
    assert (corpus.name, corpus.title, corpus.simulated) == ("cpsc", "cpsc (14 of 6,877)", False)
    targets = corpus.targets("cpsc9")
    counts = {"AF": 7, "RBBB": 4, "PAC": 1, "Normal": 1, "PVC": 1, "STD": 1, "LBBB": 1, "I-AVB": 0, "STE": 0}
    assert targets.sum().to_dict() == counts
    assert sorted(set(corpus.records["length"])) == [
        5000,
        5974,
        6000,
        7000,
        7500,
        7588,
        8000,
        8500,
        10_000,
        12_500,
    ]
    split = make_split(corpus.records, targets, SplitSpec(kind="stratified", shares=(0.4, 0.3, 0.3)))
    assert sum(len(rows) for rows in split.parts.values()) == 14


@pytest.mark.parametrize(
    ("folders", "found"), [((), ""), (("cinc2021",), "cinc2021"), (("cinc2021", "cpsc"), "cpsc")]
)
def test_a_suite_may_say_cpsc(tmp_path: Path, folders: tuple[str, ...], found: str) -> None:
    from bench.run.corpora import Shelf

    for folder in folders:
        (tmp_path / folder).mkdir()
    shelf = Shelf(home=tmp_path / "home", data=tmp_path)
    assert shelf.folder("cpsc") == tmp_path / found
    assert shelf.reader("cpsc", tmp_path, 500) == CPSC
    assert shelf.reader("cinc2021", tmp_path, 500) == CincReader()
