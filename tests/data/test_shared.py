"""Records that several corpora of a folder share: by published id and signal, by signal alone, and none invented."""

from pathlib import Path

import numpy as np
import pytest
from scipy.signal import resample_poly

from bench.data.chapman import ChapmanReader
from bench.data.check import check_folder
from bench.data.cinc2021 import CincReader
from bench.data.condition import examine
from bench.data.corpus import Reader
from bench.data.ptbxl import PtbxlReader
from bench.data.shared import Seen, overlap_notes, shared_records
from tests.data.folders import header, write_mat, write_ptbxl
from tests.realdata import realdata


def beats(seed: int, rate: int = 500) -> np.ndarray:
    """(10 s, 12) mV: an irregular train of narrow beats, each lead of its own size."""
    generator = np.random.default_rng(seed)
    time = np.arange(10 * rate) / rate
    onsets = np.cumsum(generator.normal(0.8, 0.08, 20))
    train = sum(np.exp(-(((time - onset) / 0.03) ** 2) / 2) for onset in onsets)
    wave = sum(np.exp(-(((time - onset - 0.25) / 0.06) ** 2) / 2) for onset in onsets)
    return np.outer(train, generator.uniform(0.5, 2, 12)) + np.outer(wave, generator.uniform(-0.5, 0.5, 12))


def seen_of(place: str, corpus: str, signals: dict[str, np.ndarray], rate: int = 500) -> Seen:
    seen = Seen(place, corpus)
    for record, signal in signals.items():
        seen.add(record, signal, rate)
    return seen


def rows(a: Seen, b: Seen, by_id: bool = True) -> list[tuple[str, ...]]:
    table = shared_records(a, b, by_id)
    return [tuple(row) for row in table[["record_a", "record_b", "evidence"]].to_numpy()]


def test_ids_tell_first_and_signals_must_agree() -> None:
    signals = {number: beats(number) for number in range(6)}
    flat = np.zeros((5000, 12))
    home = {"1": signals[1], "2": signals[2], "3": signals[3], "4": flat, "50": signals[5]}
    ours = {"HR00001": signals[1], "HR00002": signals[0], "HR00004": signals[4], "E00050": signals[5]}
    ptbxl = seen_of("p", "ptbxl", {k: resample_poly(v, 1, 5, axis=0) for k, v in home.items()}, 100)
    cinc = seen_of("c", "cinc2021", ours)

    assert rows(cinc, ptbxl) == [
        ("HR00001", "1", "id"),
        ("HR00002", "2", "id only"),
        ("HR00004", "4", "id"),  # nothing moves in the copy: nothing speaks against it
        ("E00050", "50", "signal"),
    ]
    assert rows(cinc, ptbxl, by_id=False) == [("HR00001", "1", "signal"), ("E00050", "50", "signal")]
    table = shared_records(cinc, ptbxl).set_index("record_a")["correlation"]
    assert table["HR00001"] > 0.99 and table["HR00002"] < 0.97 and np.isnan(table["HR00004"])


def test_identities_are_chapman_s_and_ptbxl_s_alone() -> None:
    ids = ["HR00007", "JS00007", "7", "E00007", "xHR7"]
    expected = {
        "cinc2021": ["ptbxl/7", "chapman/7", "", "", ""],
        "ptbxl": ["ptbxl/7", "chapman/7", "ptbxl/7", "", ""],
        "chapman": ["ptbxl/7", "chapman/7", "chapman/7", "", ""],
        "": ["", "", "", "", ""],
    }
    for corpus, identities in expected.items():
        assert Seen("x", corpus, list(ids)).identities().tolist() == identities


def test_one_flat_lead_or_a_slow_rate() -> None:
    signal = beats(3)
    half = signal.copy()
    half[:, 0] = 0.1
    slow = resample_poly(signal, 1, 25, axis=0)
    cinc = seen_of("c", "cinc2021", {"HR00003": signal})
    assert rows(cinc, seen_of("p", "ptbxl", {"3": half})) == [("HR00003", "3", "id")]
    assert rows(cinc, seen_of("p", "ptbxl", {"3": slow}, 20)) == [("HR00003", "3", "id")]
    assert rows(cinc, seen_of("p", "ptbxl", {"3": slow}, 20), by_id=False) == []
    assert rows(cinc, Seen("p", "ptbxl")) == rows(Seen("c", "cinc2021"), Seen("p", "ptbxl")) == []


def test_lines_count_and_name() -> None:
    signals = {number: beats(number) for number in range(8)}
    ptbxl = seen_of("ptbxl", "ptbxl", {str(number): signal for number, signal in signals.items()})
    cinc = seen_of("cinc", "cinc2021", {f"HR{number:05d}": signals[number] for number in range(7)})
    own = seen_of("own", "", {"a": signals[7], "HR00002": signals[4]})
    twin = seen_of("cinc", "cinc2021", {"E00001": signals[0]})  # read from the same folder
    odd = seen_of("odd", "cinc2021", {"HR00001": signals[4]})
    lines = [note.reason for note in overlap_notes([cinc, own, ptbxl, twin, odd])]
    assert lines == [
        "cinc and own share 1 record (HR00004 = HR00002), told by signal alone",
        "cinc and ptbxl share 7 records (HR00000 = 0, HR00001 = 1, HR00002 = 2, HR00003 = 3, HR00004 = 4, ...)",
        "cinc and odd share 1 record (HR00004 = HR00001), told by signal alone",
        "cinc and odd have 1 record of one id and different signals (HR00001 / HR00001)",
        "own and ptbxl share 2 records (a = 7, HR00002 = 4), told by signal alone",
        "own and odd share 1 record (HR00002 = HR00001), told by signal alone",
        "ptbxl and cinc share 1 record (0 = E00001), told by signal alone",
        "ptbxl and odd share 1 record (4 = HR00001), told by signal alone",
        "ptbxl and odd have 1 record of one id and different signals (1 / HR00001)",
    ]


def test_a_check_of_a_folder_says_what_its_corpora_share(tmp_path: Path) -> None:
    write_ptbxl(tmp_path / "ptbxl", ["{'NORM': 1.0}"] * 3)
    for number in (1001, 1002, 1003):
        stem = tmp_path / f"ptbxl/records100/01000/{number:05d}_lr"
        stored = (resample_poly(beats(number), 1, 5, axis=0) * 1000).round().astype("<i2")
        stored.tofile(f"{stem}.dat")
        Path(f"{stem}.hea").write_text(header(stem.name, f"{stem.name}.dat", stored, 100))
    for record, seed in (("HR01001", 1001), ("HR01003", 5), ("E00001", 1002)):
        write_mat(tmp_path / "cinc2021" / record, (beats(seed) * 1000).round().astype("<i2"), age="50")

    checked = check_folder(tmp_path)

    assert [(place, title) for place, title, _ in checked] == [
        (tmp_path / "cinc2021", "cinc2021 (3 of 88,253)"),
        (tmp_path / "ptbxl", "ptbxl (3 records, release not told by its metadata)"),
        (tmp_path, "its corpora share records"),
    ]
    assert [note.reason for note in checked[-1][2]] == [
        "cinc2021 and ptbxl share 1 record (HR01001 = 1001)",
        "cinc2021 and ptbxl share 1 record (E00001 = 1002), told by signal alone",
        "cinc2021 and ptbxl have 1 record of one id and different signals (HR01003 / 1003)",
    ]
    (tmp_path / "cinc2021" / "simulation.json").write_text('{"name": "cinc2021-sim"}')
    assert [note.reason for note in check_folder(tmp_path)[-1][2]] == [
        "cinc2021 and ptbxl share 2 records (E00001 = 1002, HR01001 = 1001), told by signal alone"
    ]


def read_all(place: str, reader: Reader, root: Path) -> Seen:
    index = reader.index(root)
    seen = Seen(place, index.name)
    for record, path in zip(index.records["record"], index.records["path"], strict=True):
        raw = reader.read(root, path)
        seen.add(record, examine(record, raw)[0], raw.rate)
    return seen


@pytest.fixture(scope="module")
def slices() -> dict[str, Seen]:
    kinds: dict[str, Reader] = {"ptbxl": PtbxlReader(), "ptbxl_removed_duplicates": PtbxlReader(500)}
    kinds |= {"cinc2021": CincReader(), "chapman": ChapmanReader(), "chapman/WFDB_Ningbo": CincReader()}
    return {place: read_all(place, reader, realdata(*place.split("/"))) for place, reader in kinds.items()}


@pytest.mark.parametrize("by_id", [True, False])
def test_the_ten_real_records_of_ptbxl_are_found_and_no_other(slices: dict[str, Seen], by_id: bool) -> None:
    evidence = "id" if by_id else "signal"
    expected = [(f"HR{number:05d}", str(number), evidence) for number in range(1, 11)]
    assert rows(slices["cinc2021"], slices["ptbxl"], by_id) == expected
    assert shared_records(slices["cinc2021"], slices["ptbxl"], by_id)["correlation"].min() > 0.99


def test_the_five_real_duplicates_are_found_and_nothing_else_is_shared(slices: dict[str, Seen]) -> None:
    twins = [(137, 138), (143, 144), (145, 463), (456, 457), (459, 460)]
    found = {
        (a, b): rows(slices[a], slices[b], by_id=False)
        for position, a in enumerate(slices)
        for b in list(slices)[position + 1 :]
    }
    shared = {places: pairs for places, pairs in found.items() if pairs}
    assert set(shared) == {("ptbxl", "ptbxl_removed_duplicates"), ("ptbxl", "cinc2021")}
    pairs = shared["ptbxl", "ptbxl_removed_duplicates"]
    assert sorted((int(b), int(a)) for a, b, _ in pairs) == twins
