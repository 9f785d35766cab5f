"""A hospital's own folder: every column, defaults, and errors that tell the remedy."""

from pathlib import Path

import numpy as np
import pytest

from bench.data.corpus import CorpusError
from bench.data.folder import FolderReader
from tests.data.folders import ecg, write_dat, write_muse


def write_table(root: Path, text: str) -> None:
    (root / "records.csv").write_text(text)


def test_wfdb_and_csv_side_by_side(tmp_path: Path) -> None:
    write_dat(tmp_path / "2024" / "r1", ecg(1, 300), rate=250)
    write_dat(tmp_path / "2024" / "r3", ecg(3, 300), rate=250)
    write_muse(tmp_path / "export" / "r2.csv", ecg(2, 400), titled=True)
    write_table(
        tmp_path,
        "record,path,patient,age,sex,labels,fold,part,rate,unit\n"
        "r1,2024/r1,p1,63,Male,AFIB;LVH,1,train,,\n"
        "r2,export/r2.csv,p2,,F,SR,2,test,500,uV\n"
        "r3,2024/r3.hea,,41.5,,,,,,\n",
    )
    reader = FolderReader()
    index = reader.index(tmp_path)
    records = index.records
    assert records["patient"].tolist() == ["p1", "p2", "r3"]
    assert records["age"].tolist()[::2] == [63, 41.5] and np.isnan(records["age"][1])
    assert records["sex"].tolist() == ["male", "female", ""]
    assert records["fold"].tolist() == [1, 2, 0] and records["part"].tolist() == ["train", "test", ""]
    assert [tuple(row) for row in index.labels.to_numpy()] == [
        ("r1", "labels", "AFIB"),
        ("r1", "labels", "LVH"),
        ("r2", "labels", "SR"),
    ]
    assert index.tasks["labels"].kind == "multi" and index.tasks["labels"].classes == ("AFIB", "LVH", "SR")
    first, second, third = (reader.read(tmp_path, path) for path in records["path"])
    np.testing.assert_allclose(first.signal, ecg(1, 300) / 1000, rtol=1e-6)
    np.testing.assert_allclose(second.signal, ecg(2, 400) / 1000, rtol=1e-6)
    assert (first.rate, second.rate, third.rate) == (250, 500, 250)
    assert index.title == f"{tmp_path.name} (3 records)" and index.name == tmp_path.name


def test_three_columns_are_enough(tmp_path: Path) -> None:
    write_dat(tmp_path / "a", ecg(1, 100))
    write_table(tmp_path, "record,path,labels\na,a,SR\nb,b,SR\n")
    index = FolderReader("ward7").index(tmp_path)
    assert index.title == "ward7 (1 records)" and index.tasks["labels"].kind == "single"
    assert index.records["patient"].tolist() == ["a"]
    note = index.notes[0]
    assert (note.record, note.action, note.reason) == ("b", "rejected", "no file b.hea")


def test_two_hospitals_have_two_names_and_a_simulated_one_its_own(tmp_path: Path) -> None:
    for place in ("north", "south"):
        write_dat(tmp_path / place / "a", ecg(1, 100))
        write_table(tmp_path / place, "record,path,labels\na,a,SR\n")
        index = FolderReader().index(tmp_path / place)
        assert index.name == place and set(index.records["source"]) == {place}
    (tmp_path / "south" / "simulation.json").write_text('{"name": "ward-sim"}')
    index = FolderReader().index(tmp_path / "south")
    assert index.name == "ward-sim" and index.simulated
    assert index.title == "ward-sim (1 simulated records)"


def test_csv_leads_in_any_named_order(tmp_path: Path) -> None:
    order = ["V6", "V5", "V4", "V3", "V2", "V1", "AVF", "AVL", "AVR", "III", "II", "I"]
    signal = np.random.default_rng(0).normal(size=(30, 12)).astype(np.float32)
    lines = [",".join(order)] + [",".join(str(value) for value in row) for row in signal]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    write_table(tmp_path, "record,path,labels,rate\na,a.csv,SR,200\n")
    reader = FolderReader()
    raw = reader.read(tmp_path, reader.index(tmp_path).records["path"][0])
    np.testing.assert_allclose(raw.signal, signal[:, ::-1], rtol=1e-6)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("record,path\na,a\n", "lacks the column labels; it needs record, path, labels"),
        ("record,path,labels\na,a,SR\na,a,SR\n", "lists record 'a' twice"),
        ("record,path,labels\nb,b,SR\n", "no record of .* has its file"),
        ("record,path,labels,age\na,a,SR,old\n", "record 'a': age 'old' is no number"),
        ("record,path,labels,fold\na,a,SR,nan\n", "record 'a': fold 'nan' is no whole number"),
        ("record,path,labels,fold\na,a,SR,inf\n", "record 'a': fold 'inf' is no whole number"),
        ("record,path,labels,sex\na,a,SR,x\n", "record 'a': sex 'x' is none of male, female"),
        ("record,path,labels,part\na,a,SR,training\n", "part 'training' is none of train, val, test"),
        ("record,path,labels\na,a.csv,SR\n", "a CSV record needs its rate in Hz, not ''"),
        ("record,path,labels,rate,unit\na,a.csv,SR,500,V\n", "unit 'V' is none of mV, uV"),
    ],
)
def test_errors_name_record_value_and_remedy(tmp_path: Path, table: str, message: str) -> None:
    write_dat(tmp_path / "a", ecg(1, 100))
    write_muse(tmp_path / "a.csv", ecg(1, 100))
    write_table(tmp_path, table)
    with pytest.raises(CorpusError, match=message):
        FolderReader().index(tmp_path)


def test_a_damaged_table_is_one_line(tmp_path: Path) -> None:
    table = tmp_path / "records.csv"
    table.write_text("")
    with pytest.raises(CorpusError, match=r"records.csv cannot be read \("):
        FolderReader().index(tmp_path)
    table.write_bytes("record,path,labels\na,a,Fl\u00fcttern\n".encode("latin-1"))
    with pytest.raises(CorpusError, match="records.csv is not in UTF-8"):
        FolderReader().index(tmp_path)
    table.unlink()
    table.mkdir()
    with pytest.raises(CorpusError, match=r"records.csv cannot be read \("):
        FolderReader().index(tmp_path)


def test_broken_csv_records(tmp_path: Path) -> None:
    reader = FolderReader()
    write_muse(tmp_path / "few.csv", ecg(1, 20))
    text = (tmp_path / "few.csv").read_text()
    (tmp_path / "few.csv").write_text("\n".join(line.rsplit(",", 1)[0] for line in text.splitlines()))
    with pytest.raises(CorpusError, match="11 columns; 12 leads"):
        reader.read(tmp_path, "few.csv|500|mV")
    (tmp_path / "words.csv").write_text(text.splitlines()[0] + "\n" + "x," * 11 + "x\n")
    with pytest.raises(CorpusError, match="no table of numbers"):
        reader.read(tmp_path, "words.csv|500|mV")
    with pytest.raises(CorpusError, match=r"gone.csv is missing"):
        reader.read(tmp_path, "gone.csv|500|mV")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(CorpusError, match="no table of numbers"):
        reader.read(tmp_path, "empty.csv|500|mV")
    (tmp_path / "names.csv").write_text("I,II,V9\n1,2,3\n")
    with pytest.raises(CorpusError, match="V9"):
        reader.read(tmp_path, "names.csv|500|mV")
