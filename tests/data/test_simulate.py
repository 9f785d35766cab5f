"""The cohorts the simulator writes: their files, tables, reproducibility, and that the real readers read them."""

import ast
import filecmp
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import wfdb

from bench.data.chapman import ChapmanReader
from bench.data.corpus import ATTRIBUTES, SIMULATION_MARK, CorpusError
from bench.data.leads import LEADS
from bench.data.ptbxl import PtbxlReader
from bench.data.simulator import chapman, chapman_files, ptbxl_files
from bench.data.simulator.cohort import simulate
from bench.data.simulator.ptbxl_facts import SUPERCLASS_SETS, choose_diagnoses
from bench.data.simulator.ptbxl_rows import COLUMNS
from bench.data.simulator.statements import STATEMENTS
from tests.realdata import realdata

RECORDS = 110
CORPORA = ("chapman-sim", "ptbxl-sim")


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Of each corpus more records than one block and than one of Chapman's folders holds."""
    base = tmp_path_factory.mktemp("simulated")
    ptbxl = simulate("ptbxl-sim", base / "ptbxl-sim", RECORDS, seed=3, rates=(100, 500), workers=1)
    return {
        "chapman-sim": simulate("chapman-sim", base / "chapman-sim", RECORDS, seed=3, workers=1),
        "ptbxl-sim": ptbxl,
    }


def _files(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def _same(left: Path, right: Path, files: list[str]) -> bool:
    return all(filecmp.cmp(left / name, right / name, shallow=False) for name in files)


def _sheet(root: Path) -> pd.DataFrame:
    return pd.read_excel(root / "Diagnostics.xlsx")


def _database(root: Path) -> pd.DataFrame:
    return pd.read_csv(root / "ptbxl_database.csv")


@pytest.mark.parametrize("corpus", CORPORA)
def test_same_seed_same_bytes_whatever_the_workers(
    corpus: str, cohorts: dict[str, Path], tmp_path: Path
) -> None:
    rates = (100, 500) if corpus == "ptbxl-sim" else None  # as in the fixture
    again = simulate(corpus, tmp_path / "again", RECORDS, seed=3, rates=rates, workers=2)
    names = _files(cohorts[corpus])
    assert _files(again) == names
    assert _same(cohorts[corpus], again, names)


@pytest.mark.parametrize("corpus", CORPORA)
def test_a_record_does_not_depend_on_how_many_there_are(
    corpus: str, cohorts: dict[str, Path], tmp_path: Path
) -> None:
    rates = (100, 500) if corpus == "ptbxl-sim" else None
    small = simulate(corpus, tmp_path / "small", 40, seed=3, rates=rates, workers=1)
    signals = [name for name in _files(small) if name.endswith((".dat", ".mat", ".hea"))]
    assert len(signals) == 40 * 2 * (2 if rates else 1)
    assert _same(cohorts[corpus], small, signals)
    read = _database if corpus == "ptbxl-sim" else _sheet
    pd.testing.assert_frame_equal(
        read(small), read(cohorts[corpus]).iloc[: len(read(small))], check_dtype=False
    )


def test_another_seed_gives_other_records(cohorts: dict[str, Path], tmp_path: Path) -> None:
    other = simulate("ptbxl-sim", tmp_path / "other", 20, seed=4, workers=1)
    name = "records100/00000/00001_lr.dat"
    assert (other / name).read_bytes() != (cohorts["ptbxl-sim"] / name).read_bytes()


def test_an_identical_call_does_nothing_and_another_replaces(tmp_path: Path) -> None:
    root = simulate("ptbxl-sim", tmp_path / "cohort", 5, workers=1)
    inode = root.stat().st_ino
    simulate("ptbxl-sim", root, 5, workers=1)
    assert root.stat().st_ino == inode
    simulate("ptbxl-sim", root, 6, workers=1)
    assert root.stat().st_ino != inode
    assert len(_database(root)) == 6
    assert [path.name for path in tmp_path.iterdir()] == ["cohort"]


def test_nothing_but_a_simulated_folder_is_replaced(tmp_path: Path) -> None:
    precious = tmp_path / "real.csv"
    precious.touch()
    with pytest.raises(CorpusError, match="not simulated"):
        simulate("ptbxl-sim", tmp_path, 5, workers=1)
    assert precious.exists()


@pytest.mark.parametrize("name", ["notes.txt", "records100/mine.csv", "records100/00000/00001_lr.bak"])
def test_a_file_put_into_a_simulated_folder_is_never_deleted(tmp_path: Path, name: str) -> None:
    root = simulate("ptbxl-sim", tmp_path / "cohort", 5, workers=1)
    (root / name).write_text("precious")
    before = _files(root)
    with pytest.raises(CorpusError, match=f"holds {name}, which was not simulated"):
        simulate("ptbxl-sim", root, 6, workers=1)
    assert _files(root) == before and (root / name).read_text() == "precious"


@pytest.mark.parametrize(
    ("corpus", "layout"), [("chapman-sim", "wfdb"), ("chapman-sim", "figshare-denoised"), ("ptbxl-sim", None)]
)
def test_every_layout_replaces_its_own(tmp_path: Path, corpus: str, layout: str | None) -> None:
    simulate(corpus, tmp_path / "cohort", 2, layout=layout, workers=1)
    simulate(corpus, tmp_path / "cohort", 1, layout=layout, workers=1)
    assert json.loads((tmp_path / "cohort" / SIMULATION_MARK).read_text())["records"] == 1


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    for records in (2, 1):
        simulate("ptbxl-sim", tmp_path / "link", records, workers=1)
        assert (tmp_path / "link").is_symlink() and len(_database(tmp_path / "disk")) == records


@pytest.mark.parametrize("mark", ["", "[]", "{}", '{"name": 3}'])
def test_a_damaged_mark_is_one_line(tmp_path: Path, mark: str) -> None:
    (tmp_path / SIMULATION_MARK).write_text(mark)
    with pytest.raises(CorpusError, match="simulation.json is damaged"):
        simulate("ptbxl-sim", tmp_path, 1, workers=1)


@pytest.mark.parametrize(
    "asked",
    [
        {"corpus": "ptbxl"},
        {"corpus": "ptbxl-sim", "records": 0},
        {"corpus": "ptbxl-sim", "seed": -1},
        {"corpus": "ptbxl-sim", "rates": (250,)},
        {"corpus": "ptbxl-sim", "layout": "wfdb"},
        {"corpus": "chapman-sim", "rates": (100,)},
        {"corpus": "chapman-sim", "layout": "csv"},
    ],
)
def test_what_cannot_be_simulated_is_refused(asked: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(CorpusError):
        simulate(root=tmp_path / "no", **asked)  # type: ignore[arg-type]
    assert not (tmp_path / "no").exists()


def test_the_mark_names_corpus_code_parameters_and_seed(cohorts: dict[str, Path]) -> None:
    mark = json.loads((cohorts["chapman-sim"] / SIMULATION_MARK).read_text())
    assert mark["simulated"] and mark["name"] == mark["corpus"] == "chapman-sim"
    assert (mark["records"], mark["seed"], mark["layout"]) == (RECORDS, 3, "wfdb")
    assert re.fullmatch("[0-9a-f]{64}", mark["fingerprint"]) and re.fullmatch("[0-9a-f]{64}", mark["code"])


def test_progress_reaches_the_number_of_records(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    simulate("ptbxl-sim", tmp_path / "c", 70, workers=1, progress=lambda *done: seen.append(done))
    assert seen == [(64, 70), (70, 70)]


def test_wfdb_reads_every_file_and_its_checksums(cohorts: dict[str, Path]) -> None:
    headers = [path for root in cohorts.values() for path in sorted(root.rglob("*.hea"))[::7]]
    assert len(headers) > 40
    for header in headers:
        record = wfdb.rdrecord(str(header.with_suffix("")), physical=False)
        signal = record.d_signal.astype(np.int64)
        assert [int(total) % 65536 for total in record.checksum] == list(signal.sum(axis=0) % 65536)
        assert list(record.init_value) == list(signal[0])
        assert [name.upper() for name in record.sig_name] == [lead.upper() for lead in LEADS]
        assert (set(record.units), set(record.adc_gain)) == ({"mV"}, {1000.0})
        assert signal.shape == (record.fs * 10, 12)


def test_einthoven_holds_within_rounding_in_the_files(cohorts: dict[str, Path]) -> None:
    for root in cohorts.values():
        for header in sorted(root.rglob("*.hea"))[::11]:
            signal = wfdb.rdrecord(str(header.with_suffix("")), physical=False).d_signal.astype(float)
            one, two, three, right, left, foot = signal[:, :6].T
            assert np.abs(one + three - two).max() <= 1.5
            assert np.abs(right + (one + two) / 2).max() <= 1.5
            assert np.abs(left - (one - three) / 2).max() <= 1.5
            assert np.abs(foot - (two + three) / 2).max() <= 1.5


def test_headers_have_the_real_ones_form(cohorts: dict[str, Path]) -> None:
    pairs = (
        ("chapman/WFDB_ChapmanShaoxing/JS00002.hea", next(cohorts["chapman-sim"].rglob("*.hea"))),
        ("ptbxl/records100/00000/00002_lr.hea", cohorts["ptbxl-sim"] / "records100/00000/00002_lr.hea"),
        ("ptbxl/records500/00000/00002_hr.hea", cohorts["ptbxl-sim"] / "records500/00000/00002_hr.hea"),
    )
    for real, ours in pairs:
        assert [_form(line) for line in ours.read_text().splitlines()] == [
            _form(line) for line in realdata(real).read_text().splitlines()
        ]


def _form(line: str) -> str:
    """A header line without what differs from record to record (and the Challenge's optional date)."""
    if line.startswith("#"):
        return line.split(":")[0]
    line = re.sub(r"^(JS)?\d{5}(?=[._ ])", "NAME", line)
    line = re.sub(r" \d\d-\w{3}-\d{4} .*", "", line)
    return re.sub(r"(16 0) -?\d+ -?\d+ (0 \S+)$", r"\1 F C \2", line)


def test_tables_have_the_real_columns(cohorts: dict[str, Path]) -> None:
    real = pd.read_csv(realdata("ptbxl", "ptbxl_database.csv"))
    assert list(_database(cohorts["ptbxl-sim"])) == list(real) == list(COLUMNS)
    sheet = pd.read_excel(realdata("chapman", "Diagnostics.xlsx"), nrows=50)
    assert list(_sheet(cohorts["chapman-sim"])) == list(sheet)
    assert (_sheet(cohorts["chapman-sim"]).dtypes == sheet.dtypes).all()
    ours = pd.read_csv(cohorts["ptbxl-sim"] / "scp_statements.csv", index_col=0)
    theirs = pd.read_csv(realdata("ptbxl", "scp_statements.csv"), index_col=0)
    named = ["diagnostic", "form", "rhythm", "diagnostic_class", "diagnostic_subclass"]
    assert list(ours) == list(theirs)
    pd.testing.assert_frame_equal(ours[named], theirs[named])


def test_database_text_has_the_real_form(cohorts: dict[str, Path]) -> None:
    table = pd.read_csv(cohorts["ptbxl-sim"] / "ptbxl_database.csv", dtype=str)
    forms = {
        "patient_id": r"\d+\.0",
        "age": r"\d+\.0",
        "sex": "[01]",
        "second_opinion": "True|False",
        "scp_codes": r"\{('[^']+': (0|15|35|50|80|100)\.0(, )?)*\}",
        "filename_lr": r"records100/00000/\d{5}_lr",
        "filename_hr": r"records500/00000/\d{5}_hr",
        "recording_date": r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d",
    }
    for column, form in forms.items():
        assert table[column].dropna().str.fullmatch(form).all(), column
    assert "\r" not in (cohorts["ptbxl-sim"] / "ptbxl_database.csv").read_text()


def test_the_readers_read_it_as_simulated(cohorts: dict[str, Path]) -> None:
    ptbxl, ptbxl_root = PtbxlReader(), cohorts["ptbxl-sim"]
    found, root = ChapmanReader(cohort="all"), cohorts["chapman-sim"]
    for reader, folder, name in ((ptbxl, ptbxl_root, "ptbxl-sim"), (found, root, "chapman-sim")):
        index = reader.index(folder)
        assert index.simulated and index.name == name and name in index.title
        assert len(index.records) == RECORDS
        assert not [note for note in index.notes if note.action == "rejected"]
        raw = reader.read(folder, index.records["path"].iloc[0])
        assert raw.signal.shape == (raw.rate * 10, 12) and np.isfinite(raw.signal).all()


@pytest.mark.parametrize(("layout", "first"), [("figshare", LEADS), ("figshare-denoised", None)])
def test_figshare_layouts(layout: str, first: tuple[str, ...] | None, tmp_path: Path) -> None:
    root = simulate("chapman-sim", tmp_path / "csv", 12, seed=3, layout=layout, workers=1)
    index = ChapmanReader(cohort="all").index(root)
    assert len(index.records) == len(_sheet(root)) == 12
    file = root / index.records["path"].iloc[0]
    lines = file.read_text().splitlines()
    assert len(lines) == 5000 + (first is not None)
    assert (lines[0] == ",".join(LEADS)) == (first is not None)
    made = chapman.make_block(3, 0, noise=1.0 if first else 0.12).signals[0]
    raw = ChapmanReader(cohort="all").read(root, index.records["path"].iloc[0])
    assert np.abs(raw.signal.T - made).max() < 1e-5


def test_chapman_folders_hold_a_hundred_records_each(tmp_path: Path) -> None:
    files = chapman_files.ChapmanFiles(records=1, seed=0)
    row = pd.Series({"PatientAge": 50, "Gender": "MALE", "snomed": "426177001"})
    for place, folder in (
        (0, "01/010"),
        (99, "01/010"),
        (100, "01/011"),
        (999, "01/019"),
        (10_246, "11/112"),
    ):
        files._write(tmp_path, place, "JS00001", row, np.zeros((12, 5)))
        assert (tmp_path / "WFDBRecords" / folder / "JS00001.hea").is_file()


def test_sa_rows_have_no_wfdb_record_and_ids_are_row_numbers(cohorts: dict[str, Path]) -> None:
    root = cohorts["chapman-sim"]
    sheet = _sheet(root)
    stored = {int(path.stem[2:]) for path in root.rglob("JS*.mat")}
    assert stored == {row + 1 for row in sheet.index if sheet["Rhythm"][row] != "SA"}
    assert (sheet["Rhythm"] == "SA").any()
    listed = (root / "WFDBRecords/01/010/RECORDS").read_text().split()
    assert len(listed) == 100 and (root / "RECORDS").read_text().split()[0] == "WFDBRecords/01/010/"


def test_attributes_keep_the_real_redundancies() -> None:
    rows = pd.concat([chapman.make_block(5, block).rows for block in range(4)])
    assert (rows["QTInterval"] == 2 * (rows["TOffset"] - rows["QOnset"])).all()
    assert (rows["QRSDuration"] == 2 * (rows["QOffset"] - rows["QOnset"])).all()
    bazett = rows["QTInterval"] / np.sqrt(60 / rows["VentricularRate"])
    assert (rows["QTCorrected"] - bazett).abs().max() <= 1.8
    assert np.corrcoef(rows["VentricularRate"], rows["QRSCount"])[0, 1] > 0.98
    assert rows[["RAxis", "TAxis"]].stack().between(-89, 270).all()
    assert all(rows[name].dtype == np.int64 for name in ATTRIBUTES)


def test_rhythms_occur_in_nearly_their_real_shares() -> None:
    rhythm = pd.Series(chapman.rhythm_of(np.arange(1500), seed=0))
    share = rhythm.value_counts(normalize=True)
    assert set(share.index) == set(chapman.RHYTHMS)
    for name, facts in chapman.RHYTHMS.items():
        assert abs(share[name] - max(facts.records / 10_646, 0.003)) < 0.006, name


def test_heart_rates_by_rhythm() -> None:
    rows = pd.concat([chapman.make_block(6, block).rows for block in range(8)])
    rate = rows.groupby("Rhythm")["VentricularRate"]
    assert rate.get_group("SB").quantile(0.95) <= 62
    assert rate.get_group("SR").between(54, 106).mean() > 0.97
    assert rate.get_group("ST").quantile(0.05) >= 95
    assert rate.get_group("SVT").median() > 150
    assert 80 < rate.get_group("AFIB").median() < 105


def test_patients_stay_in_one_fold_and_folds_are_alike() -> None:
    patients = pd.Series(np.repeat(np.arange(6000), 1 + np.arange(6000) % 2))
    kinds = np.array(list(SUPERCLASS_SETS))
    stratum = pd.Series(kinds[patients % len(kinds)])
    fold = pd.Series(ptbxl_files.folds(patients, stratum))
    assert fold.groupby(patients).nunique().max() == 1
    share = pd.crosstab(stratum, fold, normalize="index")
    assert set(share.columns) == set(range(1, 11)) and (share - 0.1).abs().to_numpy().max() < 0.02


def test_ptbxl_patients_have_several_records_of_one_diagnosis(cohorts: dict[str, Path]) -> None:
    table = _database(cohorts["ptbxl-sim"])
    assert table.groupby("patient_id")["strat_fold"].nunique().max() == 1
    several = table[table.duplicated("patient_id", keep=False)]
    assert 1.1 < len(table) / table["patient_id"].nunique() < 1.4
    for _, records in several.groupby("patient_id"):
        diagnoses = {
            frozenset(c for c in ast.literal_eval(codes) if "d" in STATEMENTS[c].kinds)
            for codes in records["scp_codes"]
        }
        assert len(diagnoses) == 1 and records["sex"].nunique() == 1


def test_superclasses_come_in_the_real_numbers() -> None:
    totals = {"NORM": 9514, "MI": 5469, "STTC": 5235, "CD": 4898, "HYP": 2649}
    assert sum(SUPERCLASS_SETS.values()) == 21_799
    for name, real in totals.items():
        assert sum(n for key, n in SUPERCLASS_SETS.items() if name in key.split("+")) == real


def test_diagnoses_belong_to_their_superclasses() -> None:
    rng = np.random.default_rng(0)
    for key in SUPERCLASS_SETS:
        for _ in range(20):
            codes = choose_diagnoses(key, rng)
            assert {STATEMENTS[code].superclass for code in codes} == set(filter(None, key.split("+")))


def test_both_rates_show_one_recording(cohorts: dict[str, Path]) -> None:
    root = cohorts["ptbxl-sim"]
    for number in (1, 50, RECORDS):
        slow, fast = (
            wfdb.rdsamp(str(root / f"records{rate}/00000/{number:05d}_{suffix}"))[0]
            for rate, suffix in ((100, "lr"), (500, "hr"))
        )
        for lead in range(12):
            assert np.corrcoef(slow[:, lead], fast[::5, lead])[0, 1] > 0.9
