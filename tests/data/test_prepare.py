"""Preparation end to end: bytes, tables, quality report, fingerprint, hits, kills."""

import json
import os
import shutil
import signal as signals
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.data.corpus import CorpusError, PreparedCorpus, RawRecord
from bench.data.prepare import prepare, prepared_folder
from bench.data.ptbxl import PtbxlReader
from tests.data.folders import ecg, header, write_dat, write_ptbxl
from tests.data.toy import ToyReader
from tests.realdata import realdata

CODES = ["{'NORM': 100.0, 'SR': 0.0}", "{'IMI': 15.0}", "{'NDT': 50.0, 'IMI': 100.0}", "{'SR': 0.0}"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_ptbxl(tmp_path / "source", CODES)
    return tmp_path / "source"


def partials(folder: Path) -> list[Path]:
    return list(folder.glob(".*.partial"))


def test_what_is_written_by_hand(source: Path, tmp_path: Path) -> None:
    corpus = prepare(PtbxlReader(), source, tmp_path / "out", 100)
    assert corpus.signals.dtype == np.dtype("<i2") and corpus.signals.shape == (4000, 12)
    records = corpus.records
    assert records["record"].tolist() == ["1001", "1002", "1003", "1004"]
    assert records["offset"].tolist() == [0, 1000, 2000, 3000] and records["length"].tolist() == [1000] * 4
    assert "path" not in records
    for position, record in enumerate(records["record"]):
        stored = ecg(int(record))
        offset = records["offset"][position]
        np.testing.assert_array_equal(corpus.signals[offset : offset + 1000], stored)
        np.testing.assert_allclose(records["mean"][position], stored.mean(axis=0) / 1000, atol=1e-12)
        np.testing.assert_allclose(records["sd"][position], stored.std(axis=0) / 1000, rtol=1e-12)
    targets = corpus.targets("superdiagnostic")
    assert targets.index.tolist() == ["1001", "1002", "1003"]
    assert targets.columns.tolist() == ["MI", "NORM", "STTC"]
    assert targets.to_numpy().tolist() == [[0, 1, 0], [1, 0, 0], [1, 0, 1]]
    written = json.loads((corpus.folder / "corpus.json").read_text())
    assert written == json.loads(json.dumps(corpus.header()))
    assert corpus.rate == 100 and corpus.band is None and not partials(tmp_path / "out")
    quality = pd.read_csv(corpus.folder / "quality.csv")
    assert quality.columns.tolist() == ["record", "action", "reason"] and quality.empty


def test_defects_are_one_line_each_and_the_run_goes_on(tmp_path: Path) -> None:
    source = tmp_path / "source"
    write_ptbxl(source, CODES * 3)
    stems = [source / f"records100/01000/{ecg_id:05d}_lr" for ecg_id in range(1001, 1013)]
    data = Path(f"{stems[1]}.dat")
    data.write_bytes(data.read_bytes()[:1000])
    holed, lost, flat = ecg(3), ecg(4), ecg(5)
    holed[7, 2] = -32768
    lost[:, 2] = -32768
    flat[:, 9] = 12
    for stem, content in zip(stems[2:5], (holed, lost, flat), strict=True):
        write_dat(stem, content)
    write_dat(stems[5], np.zeros((1000, 12), "<i2"))
    eight = np.ascontiguousarray(ecg(6)[:, :8])
    eight.tofile(f"{stems[6]}.dat")
    leads = ["I", "II", "V1", "V2", "V3", "V4", "V5", "V6"]
    Path(f"{stems[6]}.hea").write_text(header(stems[6].name, f"{stems[6].name}.dat", eight, 100, leads))
    Path(f"{stems[7]}.hea").write_text("nonsense\n")
    Path(f"{stems[8]}.hea").unlink()
    write_dat(stems[10], ecg(1010))
    write_dat(stems[0].with_name("09999_lr"), ecg(0))
    corpus = prepare(PtbxlReader(), source, tmp_path / "out", 100, max_bad=0.6)
    quality = pd.read_csv(corpus.folder / "quality.csv", dtype=str, keep_default_na=False)
    assert [tuple(row) for row in quality.to_numpy()] == [
        ("09999_lr", "rejected", "no row in ptbxl_database.csv"),
        ("1002", "rejected", "01002_lr.dat is truncated: 41 of 1,000 samples a lead"),
        ("1003", "repaired", "1 missing samples interpolated in III"),
        ("1004", "rejected", "100.0% of the samples are missing in lead III"),
        ("1005", "note", "flat: V4 (constant 0.012 mV); kept"),
        ("1006", "rejected", "all leads are zero"),
        ("1007", "rejected", "lead III, aVR, aVL, aVF missing (8 leads present)"),
        ("1008", "rejected", "record line 'nonsense' is no WFDB record line"),
        ("1009", "rejected", "header 01009_lr.hea cannot be read (No such file or directory)"),
        ("1011", "note", "same signal as record 1010; patient 75 is taken for patient 74"),
    ]
    assert corpus.records["record"].tolist() == ["1001", "1003", "1005", "1010", "1011", "1012"]
    assert set(corpus.labels["record"]) <= set(corpus.records["record"])
    assert corpus.title == "ptbxl (12 records, release not told by its metadata; 6 rejected)"


def test_too_many_bad_records_is_an_error_with_a_report(source: Path, tmp_path: Path) -> None:
    for ecg_id in (1001, 1003):
        (source / f"records100/01000/{ecg_id:05d}_lr.hea").write_text("")
    with pytest.raises(
        CorpusError, match=r"2 of 4 records are unusable, more than 5%; .*quality.csv"
    ) as caught:
        prepare(PtbxlReader(), source, tmp_path / "out", 100)
    report = Path(str(caught.value).split("; ")[1].split(" says")[0])
    assert pd.read_csv(report)["record"].tolist() == [1001, 1003]
    assert [path.name for path in (tmp_path / "out").iterdir()] == [report.name]
    assert len(prepare(PtbxlReader(), source, tmp_path / "out", 100, max_bad=0.5).records) == 2


def test_not_one_record_is_an_error(source: Path, tmp_path: Path) -> None:
    for path in source.rglob("*.hea"):
        path.write_text("")
    with pytest.raises(
        CorpusError, match=r"not one record .*most often: header 01001_lr.hea is empty; (.*csv)"
    ) as caught:
        prepare(PtbxlReader(), source, tmp_path / "out", 100, max_bad=1.0)
    report = Path(str(caught.value).split("; ")[-1].split(" says")[0])
    assert pd.read_csv(report)["action"].tolist() == ["rejected"] * 4


def test_records_rejected_while_indexing_count_as_bad(source: Path, tmp_path: Path) -> None:
    table = pd.read_csv(source / "ptbxl_database.csv")
    table[1:].to_csv(source / "ptbxl_database.csv", index=False)
    with pytest.raises(CorpusError, match=r"1 of 4 records are unusable, more than 20%; (.*csv)") as caught:
        prepare(PtbxlReader(), source, tmp_path / "out", 100, max_bad=0.2)
    report = Path(str(caught.value).split("; ")[1].split(" says")[0])
    assert pd.read_csv(report)["reason"].tolist() == ["no row in ptbxl_database.csv"]
    assert len(prepare(PtbxlReader(), source, tmp_path / "out", 100, max_bad=0.25).records) == 3


def test_equal_signals_are_one_patients(source: Path, tmp_path: Path) -> None:
    write_dat(source / "records100/01000/01003_lr", ecg(1001))  # patient 71, who also has 1004; 1001 is 70's
    corpus = prepare(PtbxlReader(), source, tmp_path / "out", 100)
    assert corpus.records["patient"].tolist() == ["70"] * 4
    quality = pd.read_csv(corpus.folder / "quality.csv")
    assert quality["reason"].tolist() == ["same signal as record 1001; patient 71 is taken for patient 70"]


@pytest.mark.parametrize("rate", ["0", "0.0001", "200000", "1e400", "abc"])
def test_one_damaged_header_costs_one_record(source: Path, tmp_path: Path, rate: str) -> None:
    path = source / "records100/01000/01002_lr.hea"
    path.write_text(path.read_text().replace(" 12 100 1000", f" 12 {rate} 1000"))
    corpus = prepare(PtbxlReader(), source, tmp_path / "out", 100, max_bad=0.25)
    assert corpus.records["record"].tolist() == ["1001", "1003", "1004"]


def test_what_no_reader_foresaw_costs_one_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(self: object, root: Path, path: str) -> RawRecord:
        if path == "s1":
            raise ZeroDivisionError("by zero")
        return RawRecord(ecg(int(path[1:])) / np.float32(1000), 0.5 if path == "s2" else 100.0)

    monkeypatch.setattr(ToyReader, "read", read)
    corpus = prepare(ToyReader(4), tmp_path, tmp_path / "out", 100, workers=1, max_bad=0.5)
    assert corpus.records["record"].tolist() == ["s0", "s3"]
    assert pd.read_csv(corpus.folder / "quality.csv")["reason"].tolist() == [
        "ZeroDivisionError: by zero",
        "rate 0.5 Hz is not within 1 and 100,000 Hz",
    ]


def test_second_preparation_is_a_hit(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepare(PtbxlReader(), source, tmp_path / "out", 100)
    monkeypatch.setattr(PtbxlReader, "index", lambda self, root: pytest.fail("read again"))
    second = prepare(PtbxlReader(), source, tmp_path / "out", 100)
    assert second.folder == first.folder and second.header() == first.header()


def test_folder_name_follows_source_and_parameters(source: Path, tmp_path: Path) -> None:
    def name(stored: int = 100, rate: int = 100, band: tuple[float, float] | None = None) -> str:
        return prepared_folder(PtbxlReader(stored), source, tmp_path, rate, band).name

    names = [name(), name(stored=500), name(rate=50), name(band=(1.0, 40.0))]
    data = source / "records100/01000/01001_lr.dat"
    os.utime(data, (2_000_000_000, 2_000_000_000))
    names.append(name())
    table = source / "ptbxl_database.csv"
    table.write_text(table.read_text() + "\n")
    names.append(name())
    data.unlink()
    names.append(name())
    other = source / "records100/01000/01002_lr.dat"  # other content, same size, same time; not the newest
    before = other.stat()
    other.write_bytes(bytes(before.st_size))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    names.append(name())
    (tmp_path / "linked").mkdir()
    (source / "link").symlink_to(tmp_path / "linked")
    (tmp_path / "linked" / "a.hea").touch()
    names.append(name())
    (tmp_path / "linked" / "back").symlink_to(source)  # a circle must end
    (source / "dangling").symlink_to(tmp_path / "nowhere")
    names.append(name())
    assert len(set(names)) == 10 and name() == names[-1]
    inside = [prepared_folder(PtbxlReader(), source, source / "out", 100).name]
    (source / "out").mkdir()
    (source / "out" / "ours").touch()
    inside.append(prepared_folder(PtbxlReader(), source, source / "out", 100).name)
    assert inside[0] == inside[1]
    with pytest.raises(CorpusError, match="no folder"):
        prepared_folder(PtbxlReader(), tmp_path / "nowhere", tmp_path, 100)


def test_folder_name_follows_the_code(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Path.read_bytes

    def name(changed: str) -> str:
        with monkeypatch.context() as patch:
            patch.setattr(Path, "read_bytes", lambda path: read(path) + b"#" * (path.name == changed))
            return prepared_folder(PtbxlReader(), source, tmp_path, 100).name

    base = name("")
    assert name("splits.py") == name("chapman_cohort.py") == base
    for module in ("prepare.py", "condition.py", "wfdb_header.py", "ptbxl.py", "leads.py"):
        assert name(module) != base


def test_fingerprint_is_of_the_content_alone(source: Path, tmp_path: Path) -> None:
    base = prepare(PtbxlReader(), source, tmp_path / "out", 100, workers=1)
    copy = tmp_path / "elsewhere" / "copy"
    shutil.copytree(source, copy, copy_function=shutil.copy)
    moved = prepare(PtbxlReader(), copy, tmp_path / "other", 100, workers=2)
    assert moved.fingerprint == base.fingerprint and moved.folder.name != base.folder.name
    for name in ("signals.npy", "quality.csv"):
        assert (moved.folder / name).read_bytes() == (base.folder / name).read_bytes()
    pd.testing.assert_frame_equal(moved.records, base.records)
    seen = {base.fingerprint}
    seen.add(prepare(PtbxlReader(), source, tmp_path / "out", 50).fingerprint)
    seen.add(prepare(PtbxlReader(), source, tmp_path / "out", 100, (1.0, 40.0)).fingerprint)
    table = pd.read_csv(copy / "ptbxl_database.csv")
    table.loc[2, "scp_codes"] = "{'NDT': 50.0}"
    table.to_csv(copy / "ptbxl_database.csv", index=False)
    seen.add(prepare(PtbxlReader(), copy, tmp_path / "out", 100).fingerprint)
    table.loc[2, "age"] += 1
    table.to_csv(copy / "ptbxl_database.csv", index=False)
    seen.add(prepare(PtbxlReader(), copy, tmp_path / "out", 100).fingerprint)
    bent = ecg(1004)
    bent[999, 11] += 1
    write_dat(copy / "records100/01000/01004_lr", bent)
    seen.add(prepare(PtbxlReader(), copy, tmp_path / "out", 100).fingerprint)
    assert len(seen) == 6


def test_parameters_are_checked(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="band"):
        prepare(PtbxlReader(), source, tmp_path, 100, band=(1.0, 50.0))
    with pytest.raises(ValueError, match="rate 0"):
        prepare(PtbxlReader(), source, tmp_path, 0)


def test_progress_counts_every_record(source: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    prepare(PtbxlReader(), source, tmp_path, 100, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_interruption_leaves_nothing(source: Path, tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    for workers in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            prepare(PtbxlReader(), source, tmp_path / "out", 100, workers=workers, progress=interrupt)
        assert list((tmp_path / "out").iterdir()) == []


def test_kill_leaves_no_corpus_and_the_next_run_works(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom bench.data.prepare import prepare\n"
        "from bench.data.ptbxl import PtbxlReader\n"
        "def stop(done, total):\n    print(done, flush=True)\n    time.sleep(60 * (done == 3))\n"
        "prepare(PtbxlReader(), Path(sys.argv[1]), Path(sys.argv[2]), 100, progress=stop)\n"
    )
    arguments = [sys.executable, "-c", code, str(source), str(out)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while process.stdout.readline().strip() != "3":
            assert process.poll() is None
        process.send_signal(signals.SIGKILL)
    (left,) = partials(out)
    assert not prepared_folder(PtbxlReader(), source, out, 100).exists()
    with pytest.raises(CorpusError, match="no prepared corpus"):
        PreparedCorpus.open(left)
    corpus = prepare(PtbxlReader(), source, out, 100)
    assert len(corpus.records) == 4 and partials(out) == [left]  # it could be another process's, alive


def test_what_a_kill_left_long_ago_is_taken_away(source: Path, tmp_path: Path) -> None:
    folder = prepared_folder(PtbxlReader(), source, tmp_path, 100)
    old, young = tmp_path / f".{folder.name}.a.partial", tmp_path / f".{folder.name}.b.partial"
    for path in (old, young):
        path.mkdir()
    os.utime(old, (time.time() - 90_000,) * 2)
    prepare(PtbxlReader(), source, tmp_path, 100)
    assert partials(tmp_path) == [young]


def test_the_faster_of_two_processes_wins(source: Path, tmp_path: Path) -> None:
    folder = prepared_folder(PtbxlReader(), source, tmp_path / "out", 100)
    finished = prepare(PtbxlReader(), source, tmp_path / "other", 100)

    def overtake(done: int, total: int) -> None:
        if done == total:
            shutil.copytree(finished.folder, folder)
            (folder / "mine").touch()

    corpus = prepare(PtbxlReader(), source, tmp_path / "out", 100, progress=overtake)
    assert (corpus.folder / "mine").exists() and corpus.fingerprint == finished.fingerprint
    assert partials(tmp_path / "out") == []


def test_memory_does_not_grow_with_the_signals(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        tracemalloc.start()
        prepare(ToyReader(count, 5000), tmp_path, tmp_path / f"out{count}", 500, workers=1)
        high = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return high

    peak(4)
    few, many = peak(32), peak(128)
    assert many - few < 0.1 * 96 * 5000 * 12 * 2  # a tenth of the bytes of the further signals


def test_real_ptbxl(tmp_path: Path) -> None:
    root = realdata("ptbxl")
    corpus = prepare(PtbxlReader(), root, tmp_path, 100)
    assert corpus.signals.shape == (488_000, 12) and corpus.title.startswith("ptbxl (488 of 21,837")
    first = np.fromfile(root / "records100/00000/00001_lr.dat", "<i2").reshape(1000, 12)
    np.testing.assert_array_equal(corpus.signals[:1000], first)
    assert len(corpus.targets("superdiagnostic")) == 477
    assert prepare(PtbxlReader(), root, tmp_path, 100, workers=2).fingerprint == corpus.fingerprint
