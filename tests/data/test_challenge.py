"""Every known quirk of the Challenge's files in one written folder, prepared; and every real file read or refused."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.data import cinc2021
from bench.data.challenge_classes import SCORED
from bench.data.cinc2021 import CincReader
from bench.data.condition import examine
from bench.data.corpus import CorpusError, PreparedCorpus
from bench.data.prepare import prepare
from tests.data.folders import ecg, write_mat
from tests.realdata import realdata

BAND = (1.0, 45.0)
ALL_CODES = ",".join(str(1_000_000 + number) for number in range(133))
CODES = {
    "A0001": "164889003,164884008",
    "A0002": "733534002,164909002,59118001",
    "E00001": " 284470004 ,63593006,,284470004,",
    "E00002": "",
    "HR00001": "426783006",
    "I0001": "17338001",
    "JS00001": ALL_CODES,
    "JS10647": "427084000",
    "Q0001": "251238007",
    "S0001": "6180003,39732003",
}

AGES = {"E00002": "NaN", "JS10647": "0", "HR00001": "300"}


def rewrite(stem: Path, *changes: tuple[str, str]) -> None:
    """Change the text of a header that was just written."""
    path = stem.with_suffix(".hea")
    text = path.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)


def write_challenge(root: Path) -> None:
    """Eight source databases in the Challenge's own folders, with whatever is odd about them."""
    holed, lost = ecg(4, 5000), ecg(5, 5000)
    holed[10:20, 3] = -32768
    lost[:300, 1] = -32768
    signals = {
        "cpsc_2018/g1/A0001": (ecg(1, 3000), 500),
        "cpsc_2018/g1/A0002": (ecg(2, 72_000), 500),
        "georgia/g1/E00001": (ecg(3, 5000), 500),
        "georgia/g1/E00002": (holed, 500),
        "georgia/g1/E00003": (lost, 500),
        "georgia/g1/E00004": (ecg(6, 5000), 500),
        "ptb-xl/g1/HR00001": (ecg(7, 5000), 500),
        "st_petersburg_incart/g1/I0001": (ecg(8, 1800 * 257), 257),
        "chapman_shaoxing/g1/JS00001": (ecg(9, 5000), 500),
        "ningbo/g1/JS10647": (ecg(10, 5000), 500),
        "ningbo/g1/JS10648": (ecg(11, 5000), 500),
        "ningbo/g2/JS10647": (ecg(12, 5000), 500),
        "cpsc_2018_extra/g1/Q0001": (ecg(13, 4000) // 4 + 1000, 500),
        "cpsc_2018_extra/g1/Q0400": (np.zeros((5000, 12), "<i2"), 500),
        "ptb/g1/S0001": (ecg(14, 38_400), 1000),
    }
    for stem, (signal, rate) in signals.items():
        unit = "mv" if stem.startswith("ptb") else "mV"
        record = stem.split("/")[-1]
        age, codes = AGES.get(record, "60"), CODES.get(record, "1")
        write_mat(root / stem, signal, rate, age=age, codes=codes, unit=unit)
    rewrite(root / "ptb/g1/S0001", ("16+24", "16x1+24"), ("1000/mv", "1000.0(0)/mv"), ("\n#", "\n# "))
    rewrite(root / "georgia/g1/E00001", ("E00001 12 500", "E00001.mat 12 500"), ("#Sex: Male", "#Sex: F"))
    rewrite(root / "georgia/g1/E00002", ("#Dx: ", "#Dx:"), ("#Sex: Male", "#Sex: Unknown"))
    (root / "georgia/g1/E00004.mat").unlink()
    (root / "ningbo/g1/JS10648.hea").unlink()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> PreparedCorpus:
    root = tmp_path_factory.mktemp("challenge")
    write_challenge(root / "training")
    return prepare(CincReader(), root / "training", root / "out", 300, BAND, workers=1, max_bad=0.5)


def test_any_rate_and_length_becomes_one_rate(corpus: PreparedCorpus) -> None:
    records = corpus.records.set_index("record")
    assert list(records.index) == sorted(CODES)
    native = {"A0001": (3000, 500), "A0002": (72_000, 500), "I0001": (462_600, 257), "Q0001": (4000, 500)}
    native |= {"S0001": (38_400, 1000)}
    for record, row in records.iterrows():
        samples, rate = native.get(str(record), (5000, 500))
        assert row["native_rate"] == rate and row["length"] == math.ceil(samples * 300 / rate)
    assert records["length"]["I0001"] == 540_000 and records["length"]["A0001"] == 1800
    assert records["native_rate"].dtype == np.float64
    assert len(corpus.signals) == records["length"].sum()


def test_sources_ages_and_sexes(corpus: PreparedCorpus) -> None:
    records = corpus.records.set_index("record")
    assert records["source"].tolist() == [
        *(
            "cpsc",
            "cpsc",
            "georgia",
            "georgia",
            "ptbxl",
            "stpetersburg",
            "chapman",
            "ningbo",
            "cpsc_extra",
            "ptb",
        )
    ]
    known = {"E00002": np.nan, "JS10647": np.nan, "HR00001": 90.0}
    for record, age in records["age"].items():
        np.testing.assert_equal(age, known.get(str(record), 60.0))
    assert records["sex"].drop(["E00001", "E00002"]).eq("male").all()
    assert records["sex"][["E00001", "E00002"]].tolist() == ["female", ""]
    assert records[["height", "weight"]].isna().all(axis=None)


def test_every_record_is_labelled_for_the_scored_classes(corpus: PreparedCorpus) -> None:
    task = corpus.tasks["scored26"]
    assert (task.kind, task.every, task.classes) == ("multi", True, tuple(SCORED))
    targets = corpus.targets("scored26")
    assert targets.index.tolist() == sorted(CODES) and set(targets.dtypes.astype(str)) == {"int8"}
    positive = {record: targets.columns[row > 0].tolist() for record, row in targets.iterrows()}
    assert positive == {
        "A0001": ["AF"],  # 164884008 is CPSC's PVC, and not scored
        "A0002": ["CLBBB|LBBB", "CRBBB|RBBB"],
        "E00001": ["PAC|SVPB"],
        "E00002": [],
        "HR00001": ["NSR"],
        "I0001": ["PVC|VPB"],
        "JS00001": [],
        "JS10647": ["STach"],
        "Q0001": [],
        "S0001": ["LAD"],
    }
    assert corpus.targets("scored26", ["Q0001", "A0001"])["AF"].tolist() == [0, 1]


def test_133_codes_and_the_ones_older_tables_lack(corpus: PreparedCorpus) -> None:
    snomed = corpus.targets("snomed")
    assert snomed.loc["JS00001"].sum() == 133 and "E00002" not in snomed.index
    assert snomed.loc["S0001", "6180003"] == 1 and snomed.loc["Q0001", "251238007"] == 1
    assert snomed.loc["E00001"].sum() == 2


def test_the_quality_report_names_every_quirk(corpus: PreparedCorpus) -> None:
    quality = pd.read_csv(corpus.folder / "quality.csv", dtype=str, keep_default_na=False)
    assert {tuple(row) for row in quality.to_numpy()} == {
        ("JS10648", "rejected", "signal file without header"),
        ("JS10647", "rejected", "ningbo/g2/JS10647 repeats the id of ningbo/g1/JS10647"),
        ("E00001", "repaired", "empty or doubled code in #Dx (284470004 ,63593006,,284470004,)"),
        ("E00002", "note", "no code in #Dx"),
        ("", "note", "unit written 'mv', read as mV, in 2 records (S0001, HR00001)"),
        ("", "note", "age missing in 2 records"),
        ("", "note", "sex missing in 1 records"),
        ("", "note", "no patient ids are published: each record is its own patient"),
        (
            "",
            "note",
            "source databases in part: cpsc 2 of 6,877, cpsc_extra 2 of 3,453, stpetersburg 1 of 74, ptb 1 of 516,"
            " ptbxl 1 of 21,837, georgia 4 of 10,344, chapman 1 of 10,247, ningbo 1 of 34,905",
        ),
        (
            "E00001",
            "repaired",
            "record line names the file E00001.mat, which wfdb refuses; extension dropped",
        ),
        ("E00002", "repaired", "10 missing samples interpolated in aVR"),
        ("E00003", "rejected", "6.0% of the samples are missing in lead II"),
        ("E00004", "rejected", "signal file E00004.mat is missing"),
        ("Q0400", "rejected", "all leads are zero"),
        ("", "note", "code 733534002 is no label of cpsc9, in 1 record (A0002)"),
    }


def test_the_native_mean_is_of_the_numbers_on_disk(corpus: PreparedCorpus) -> None:
    """In the Challenge's units, 1000 a millivolt, the band-pass takes it away: CPSC's alone are near zero."""
    means = corpus.records.set_index("record")["native_mean"]
    assert all(mean.dtype == np.float32 and mean.shape == (12,) for mean in means)
    for record, signal in (
        ("A0001", ecg(1, 3000)),
        ("I0001", ecg(8, 462_600)),
        ("S0001", ecg(14, 38_400)),
        ("Q0001", ecg(13, 4000) // 4 + 1000),
    ):
        expected = signal.sum(axis=0, dtype=np.int64) / len(signal)
        np.testing.assert_allclose(means[record], expected, atol=2e-3)
    repaired = ecg(4, 5000).astype(float)
    repaired[10:20, 3] = np.linspace(repaired[9, 3], repaired[20, 3], 12)[1:-1]
    np.testing.assert_allclose(means["E00002"], repaired.mean(axis=0), atol=2e-3)
    stored = corpus.records.set_index("record")["mean"]
    assert np.abs(stored["Q0001"]).max() < 0.05 < 0.9 < means["Q0001"].min() / 1000


@pytest.mark.parametrize(
    "unit", ["1000.0(0)/mV", "1000(0)/mV", "1000/mV", "1000.0/mV", "500(100)/mV", "1(0)/uV"]
)
def test_gains_of_either_dialect(tmp_path: Path, unit: str) -> None:
    signal = ecg(1, 100)
    write_mat(tmp_path / "E00001", signal)
    rewrite(tmp_path / "E00001", ("1000/mV", unit))
    raw = CincReader().read(tmp_path, "E00001")
    baseline, gain = (100, 500) if unit.startswith("5") else (0, 1000)
    np.testing.assert_allclose(raw.signal, (signal.astype(float) - baseline) / gain, rtol=1e-6)


def test_complete_databases_must_have_the_published_positives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for record, codes in {
        "E1": "733534002,164909002",
        "E2": "164889003",
        "E3": "1",
        "S1": "426783006",
    }.items():
        write_mat(tmp_path / record, ecg(1, 20), codes=codes)
    counts = dict.fromkeys(SCORED, 0) | {"CLBBB|LBBB": 2, "AF": 1}

    def said(georgia: int, change: Callable[[dict[str, int]], dict[str, int]] = dict) -> list[str]:
        monkeypatch.setitem(cinc2021.SOURCES, "georgia", georgia)
        monkeypatch.setattr(cinc2021, "published_positives", lambda source: change(counts))
        return [
            n.reason
            for n in CincReader().index(tmp_path).notes
            if "complete" in n.reason or "in part" in n.reason
        ]

    part = "source databases in part: ptb 1 of 516"
    assert said(3) == [part, "georgia is complete, 3 records; positives as published"]
    assert said(3, lambda published: published | {"AF": 2, "SB": 1}) == [
        part,
        "georgia is complete, 3 records; other positives than published: AF 1 (published: 2), SB 0 (published: 1)",
    ]
    assert said(4) == [f"{part}, georgia 3 of 4"]
    assert said(2) == [f"{part}, georgia 3 of 2"]  # more than there are


@pytest.mark.parametrize(
    ("parts", "count"),
    [(("cinc2021",), 48), (("chapman", "WFDB_ChapmanShaoxing"), 19), (("chapman", "WFDB_Ningbo"), 66)],
)
def test_every_real_file_is_read_or_refused(parts: tuple[str, ...], count: int) -> None:
    root = realdata(*parts)
    stems = {path.stem for path in root.rglob("*") if path.suffix in (".hea", ".mat")}
    index = CincReader().index(root)
    refused = {note.record: note.reason for note in index.notes if note.action == "rejected"}
    read = []
    for record, path in zip(index.records["record"], index.records["path"], strict=True):
        try:
            signal, _ = examine(record, CincReader().read(root, path))
        except CorpusError as error:
            refused[record] = str(error)
            continue
        assert signal.shape[1] == 12 and len(signal) >= 5000
        read.append(record)
    assert sorted(stems) == sorted([*read, *refused])
    assert (len(read), refused) == (count, {})
