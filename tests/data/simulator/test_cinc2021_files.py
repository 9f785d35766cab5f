"""The simulated Challenge cohort on disk: layout, headers, defects, and what the Challenge's reader says."""

import filecmp
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wfdb
from scipy.io import loadmat

from bench.data.cinc2021 import CincReader
from bench.data.corpus import SIMULATION_MARK, CorpusError
from bench.data.leads import LEADS
from bench.data.simulator.cinc2021 import make_block
from bench.data.simulator.cinc2021_databases import DATABASES
from bench.data.simulator.cinc2021_files import MISSING, CincFiles, _comments, _defects
from bench.data.simulator.cohort import MOST_RECORDS, simulate
from bench.data.wfdb_header import read_header
from tests.realdata import realdata

RECORDS = 90
SEED = 8


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two blocks, the second in part; all eight databases."""
    return simulate("cinc2021-sim", tmp_path_factory.mktemp("cinc") / "cohort", RECORDS, seed=SEED, workers=1)


@pytest.fixture(scope="module")
def headers(root: Path) -> list[Path]:
    return sorted(root.rglob("*.hea"))


def _files(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def _database(header: Path) -> str:
    folder = header.parent.parent.name
    return next(name for name, facts in DATABASES.items() if facts.folder == folder)


def test_same_seed_same_bytes_whatever_the_workers(root: Path, tmp_path: Path) -> None:
    again = simulate("cinc2021-sim", tmp_path / "again", RECORDS, seed=SEED, workers=2)
    assert _files(again) == _files(root)
    assert all(filecmp.cmp(root / name, again / name, shallow=False) for name in _files(root))


def test_a_record_does_not_depend_on_how_many_there_are(root: Path, tmp_path: Path) -> None:
    small = simulate("cinc2021-sim", tmp_path / "small", 30, seed=SEED, workers=1)
    signals = [name for name in _files(small) if name.endswith((".mat", ".hea"))]
    assert len(signals) == 60
    assert all(filecmp.cmp(root / name, small / name, shallow=False) for name in signals)


def test_another_seed_gives_other_records(root: Path, tmp_path: Path) -> None:
    other = simulate("cinc2021-sim", tmp_path / "other", 20, seed=SEED + 1, workers=1)
    name = "training/ptb-xl/g1/HR00001.mat"
    assert (other / name).read_bytes() != (root / name).read_bytes()


def test_the_layout_is_the_challenges(root: Path, headers: list[Path]) -> None:
    assert len(headers) == RECORDS
    assert {header.parent.parent.name for header in headers} == {
        "cpsc_2018",
        "cpsc_2018_extra",
        "st_petersburg_incart",
        "ptb",
        "ptb-xl",
        "georgia",
        "chapman_shaoxing",
        "ningbo",
    }
    folders = (root / "RECORDS").read_text().split()
    assert len(folders) == 8 and folders[0] == "training/chapman_shaoxing/g1/"
    listed = [
        f"{folder}{name}" for folder in folders for name in (root / folder / "RECORDS").read_text().split()
    ]
    assert sorted(listed) == sorted(h.relative_to(root).with_suffix("").as_posix() for h in headers)


def test_wfdb_and_scipy_read_every_file(headers: list[Path]) -> None:
    for header in headers:
        facts = DATABASES[_database(header)]
        record = wfdb.rdrecord(str(header.with_suffix("")), physical=False)
        signal = record.d_signal.astype(np.int64)
        assert [int(total) % 65536 for total in record.checksum] == list(signal.sum(axis=0) % 65536)
        assert list(record.init_value) == list(signal[0])
        assert (record.fs, record.sig_name) == (facts.rate, list(LEADS))
        assert {unit.lower() for unit in record.units} == {"mv"} and set(record.adc_gain) == {1000.0}
        assert (loadmat(header.with_suffix(".mat"))["val"] == signal.T).all()


def test_signals_are_those_made_at_the_databases_rate(root: Path) -> None:
    made = make_block(SEED, 0)
    for (_, row), signal in zip(made.rows.iterrows(), made.signals, strict=True):
        facts = DATABASES[row["database"]]
        stored = loadmat(root / f"{row['path']}.mat")["val"].astype(float)
        assert stored.shape[1] == -(-signal.shape[1] * facts.rate // 500)
        if facts.rate == 500 and facts.offset is not None and (stored != MISSING).all():
            assert np.abs(stored / 1000 - signal).max() < 0.000501
        elif facts.rate == 500 and facts.offset is None:
            assert np.abs(stored / 1000 - signal + signal.mean(axis=1)[:, None]).max() < 0.000501
        elif facts.rate == 1000:
            centred = signal - signal.mean(axis=1)[:, None]
            assert np.corrcoef(stored[1, ::2], centred[1])[0, 1] > 0.999
        elif facts.rate == 257:
            at = np.arange(stored.shape[1]) / 257 * 500
            assert np.corrcoef(stored[1], np.interp(at, np.arange(signal.shape[1]), signal[1]))[0, 1] > 0.98


def test_lead_means_tell_cpsc_from_the_others(headers: list[Path]) -> None:
    """The published rule: 500 Hz and every lead's mean within half a unit."""
    for header in headers:
        signal = loadmat(header.with_suffix(".mat"))["val"].astype(float)
        centred = np.abs(signal.mean(axis=1)).max() <= 0.5
        assert centred == (_database(header) in ("cpsc", "cpsc_extra", "ptb")), header


def test_headers_have_the_real_ones_form(headers: list[Path]) -> None:
    real = {
        "cpsc": "cinc2021/WFDB_CPSC2018/A0001.hea",
        "cpsc_extra": "cinc2021/WFDB_CPSC2018_2/Q0001.hea",
        "ptb": "cinc2021/WFDB_PTB/S0001.hea",
        "georgia": "cinc2021/WFDB_Ga/E00005.hea",
        "chapman": "chapman/WFDB_ChapmanShaoxing/JS00001.hea",
    }
    for name, path in real.items():
        ours = next(header for header in headers if _database(header) == name)
        theirs = [_form(line) for line in realdata(path).read_text().splitlines()]
        assert [_form(line) for line in ours.read_text().splitlines()][: len(theirs)] == theirs


def _form(line: str) -> str:
    """A header line without what differs from record to record."""
    if line.startswith("#"):
        return line.split(":")[0]
    line = re.sub(r"^[A-Z]+\d{4,5}(?=[._ ])", "NAME", line)
    line = re.sub(r"^(NAME 12 \d+) \d+", r"\1 N", line)
    return re.sub(r"(16 0) -?\d+ -?\d+ (0 \S+)$", r"\1 F C \2", line)


def test_both_dialects_are_there(headers: list[Path]) -> None:
    for header in headers:
        lines, name = header.read_text().splitlines(), _database(header)
        physionet = name in ("ptbxl", "ningbo")
        assert lines[1].split()[1] == ("16x1+24" if physionet else "16+24")
        assert lines[1].split()[2].endswith("/mv") == (name in ("ptb", "ptbxl"))
        assert lines[13].startswith("# Age: " if physionet else "#Age: ")
        assert [line.strip("# ").split(":")[0] for line in lines[13:]] == [
            "Age",
            "Sex",
            "Dx",
            "Rx",
            "Hx",
            "Sx",
        ]


def test_the_reader_reads_it_as_simulated(root: Path) -> None:
    reader = CincReader()
    index = reader.index(root)
    assert index.simulated and index.name == "cinc2021-sim" and "90 simulated records" in index.title
    assert len(index.records) == RECORDS and set(index.records["source"]) == set(DATABASES)
    assert not [note for note in index.notes if note.action == "rejected"]
    assert not [note for note in index.notes if "no code" in note.reason]
    for row in index.records.itertuples():
        raw = reader.read(root, row.path)
        assert raw.rate == DATABASES[row.source].rate and raw.signal.shape[1] == 12


def test_the_readers_labels_are_the_hearts(root: Path) -> None:
    index = CincReader().index(root)
    made = make_block(SEED, 0).rows
    labels = index.labels[index.labels["task"] == "snomed"].groupby("record")["label"].agg(set)
    for row in made.itertuples():
        assert labels[row.record] == set(row.codes.split(","))


@pytest.mark.parametrize("name", list(DATABASES))
def test_defects_are_as_frequent_as_each_database_has_them(name: str) -> None:
    facts = DATABASES[name]
    rng = np.random.default_rng(0)
    found = [_defects(facts, rng) for _ in range(3000)]
    assert abs(np.mean([d.no_age for d in found]) - facts.no_age) < 0.012
    assert abs(np.mean([d.no_sex for d in found]) - facts.no_sex) < 0.008
    assert abs(np.mean([d.comma for d in found]) - facts.commas) < 0.008
    assert abs(np.mean([bool(d.leads) for d in found]) - facts.gaps) < 0.008
    assert all(d.start + d.samples <= 5 * 500 for d in found)


def test_defects_reach_the_files_and_the_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("georgia", "ningbo", "cpsc"):
        bad = replace(DATABASES[name], no_age=1.0, no_sex=1.0, commas=1.0, gaps=1.0)
        monkeypatch.setitem(DATABASES, name, bad)
    rows = CincFiles(24, SEED).write_block(tmp_path, 0)
    index = CincReader().index(tmp_path)
    ages = index.records.set_index("record")["age"]
    for row in rows.itertuples():
        text = (tmp_path / f"{row.path}.hea").read_text()
        raw = CincReader().read(tmp_path, row.path).signal
        dx = re.search(r"#\s?Dx: (.*)", text)[1]
        bad = row.database in ("georgia", "ningbo", "cpsc")
        assert bad == np.isnan(raw).any() == np.isnan(ages[row.record]) == dx.endswith(",")
        if bad:
            assert ("Age: 0" if row.database == "ningbo" else "Age: NaN") in text
            assert "Sex: Unknown" in text
            missing = np.isnan(raw)
            assert 1 <= missing.any(axis=0).sum() <= 3 and missing.mean(axis=0).max() < 0.02
            assert read_header(tmp_path / f"{row.path}.hea").comments
    repaired = {note.record for note in index.notes if "#Dx" in note.reason}
    assert repaired == {
        row.record for row in rows.itertuples() if row.database in ("georgia", "ningbo", "cpsc")
    }


def test_georgia_names_a_premature_beat_twice() -> None:
    row = make_block(SEED, 0).rows.query("database == 'georgia'").iloc[0].copy()
    row["codes"] = "426783006,284470004"
    rng = np.random.default_rng(0)
    written = [_comments(row, _defects(DATABASES["georgia"], rng))["Dx"] for _ in range(2000)]
    assert set(written) == {"426783006,284470004", "426783006,284470004,284470004"}
    assert abs(np.mean([text.count("284470004") == 2 for text in written]) - 0.15) < 0.03
    assert not any(_defects(DATABASES["ptbxl"], rng).twice for _ in range(200))


def test_the_mark_names_the_corpus(root: Path) -> None:
    mark = json.loads((root / SIMULATION_MARK).read_text())
    assert (mark["name"], mark["records"], mark["seed"]) == ("cinc2021-sim", RECORDS, SEED)


@pytest.mark.parametrize(
    "asked",
    [{"rates": (500,)}, {"layout": "wfdb"}, {"records": 0}, {"records": MOST_RECORDS["cinc2021-sim"] + 1}],
)
def test_what_cannot_be_simulated_is_refused(asked: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(CorpusError):
        simulate("cinc2021-sim", root=tmp_path / "no", **asked)
    assert not (tmp_path / "no").exists()


def test_it_replaces_its_own_and_nothing_else(tmp_path: Path) -> None:
    root = simulate("cinc2021-sim", tmp_path / "cohort", 3, workers=1)
    assert len(list(simulate("cinc2021-sim", root, 2, workers=1).rglob("*.hea"))) == 2
    (next(root.rglob("*.hea")).parent / "notes.txt").write_text("precious")
    with pytest.raises(CorpusError, match=r"notes.txt, which was not simulated"):
        simulate("cinc2021-sim", root, 3, workers=1)
