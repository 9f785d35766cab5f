"""One WFDB record: equal to wfdb's reading, mended where wfdb refuses, rejected where it is damaged."""

from pathlib import Path

import numpy as np
import pytest

from bench.data.corpus import CorpusError
from bench.data.leads import LEADS
from bench.data.wfdb_header import read_header
from bench.data.wfdb_record import read_wfdb
from tests.data.folders import ecg, header, write_dat, write_mat
from tests.realdata import realdata


def test_plain_format_16_gives_millivolts_by_hand(tmp_path: Path) -> None:
    signal = ecg(0, 50)
    write_dat(tmp_path / "r1", signal, rate=100)
    raw = read_wfdb(tmp_path / "r1")
    assert raw.rate == 100.0 and raw.notes == () and raw.signal.dtype == np.float32
    for time in range(50):
        for lead in range(12):
            assert raw.signal[time, lead] == np.float32(int(signal[time, lead]) / 1000)


def test_any_lead_order_and_spelling_is_mapped(tmp_path: Path) -> None:
    signal = ecg(1, 20)
    order = [11, 3, 4, 5, 0, 1, 2, 6, 7, 8, 9, 10]
    write_dat(
        tmp_path / "r1", np.ascontiguousarray(signal[:, order]), leads=[LEADS[i].upper() for i in order]
    )
    np.testing.assert_allclose(read_wfdb(tmp_path / "r1").signal, signal / 1000, rtol=1e-6)


@pytest.mark.parametrize(
    "parts", [("ptbxl", "records100"), ("ptbxl", "records500"), ("chapman",), ("cinc2021",)]
)
def test_real_records_equal_wfdb(parts: tuple[str, ...]) -> None:
    import wfdb

    stems = [path.with_suffix("") for path in sorted(realdata(*parts).rglob("*.hea"))]
    for stem in stems[:: max(1, len(stems) // 25)]:
        if "mat_in_record_name" in stem.parent.name:
            continue  # wfdb refuses these
        record = wfdb.rdrecord(str(stem))
        raw = read_wfdb(stem)
        assert raw.rate == record.fs and raw.notes == ()
        np.testing.assert_allclose(raw.signal, record.p_signal, rtol=1e-6, atol=0)


def test_every_real_header_says_what_wfdb_says() -> None:
    import wfdb

    for path in sorted(realdata("cinc2021").rglob("*.hea"))[::2]:
        mine = read_header(path)
        if mine.notes:
            continue
        theirs = wfdb.rdheader(str(path.with_suffix("")))
        assert (mine.name, mine.rate, mine.length) == (theirs.record_name, theirs.fs, theirs.sig_len)
        assert [c.name for c in mine.channels] == theirs.sig_name
        assert [c.gain for c in mine.channels] == theirs.adc_gain
        assert [c.baseline for c in mine.channels] == theirs.baseline
        assert [c.checksum for c in mine.channels] == theirs.checksum
        assert [c.offset for c in mine.channels] == theirs.byte_offset


def test_first_chapman_record_golden_values() -> None:
    raw = read_wfdb(realdata("chapman", "WFDB_ChapmanShaoxing") / "JS00001")
    first = [-254, 264, 517, -5, -386, 390, -98, -312, -98, 810, 810, 527]
    np.testing.assert_allclose(raw.signal[0], np.array(first) / 1000, rtol=1e-6)
    assert raw.signal.shape == (5000, 12) and raw.rate == 500


def test_file_name_in_the_record_line_is_mended() -> None:
    import wfdb
    from wfdb.io.header import HeaderSyntaxError

    stem = realdata("cinc2021", "WFDB_Ga_mat_in_record_name") / "E07509"
    with pytest.raises(HeaderSyntaxError):
        wfdb.rdrecord(str(stem))
    raw = read_wfdb(stem)
    assert raw.signal.shape == (5000, 12) and raw.signal[0, 0] == np.float32(-0.004)
    assert len(raw.notes) == 1 and "E07509.mat" in raw.notes[0]


@pytest.mark.parametrize("lost", ["\nJS01052.mat 16+24 10", "\n"])
def test_merged_record_and_signal_line_is_rebuilt(tmp_path: Path, lost: str) -> None:
    signal = ecg(3, 5000)
    write_mat(tmp_path / "JS01052", signal, codes="427084000")
    path = tmp_path / "JS01052.hea"
    path.write_text(path.read_text().replace(lost, "", 1))
    assert path.read_text().splitlines()[0].startswith("JS01052 12 500 5000")
    assert path.read_text().splitlines()[0].endswith(" 0 I")
    raw = read_wfdb(tmp_path / "JS01052")
    np.testing.assert_allclose(raw.signal, signal / 1000, rtol=1e-6)
    assert "lead I were merged" in raw.notes[0]


def test_merged_line_still_guards_the_lost_lead(tmp_path: Path) -> None:
    signal = ecg(3, 100)
    write_mat(tmp_path / "JS1", signal)
    path = tmp_path / "JS1.hea"
    path.write_text(path.read_text().replace("\n", "", 1))
    bent = signal.copy()
    bent[5, 0] += 1
    mat = tmp_path / "JS1.mat"
    mat.write_bytes(mat.read_bytes()[:24] + bent.tobytes())
    with pytest.raises(CorpusError, match="checksum of lead I "):
        read_wfdb(tmp_path / "JS1")


def test_other_signal_counts_are_not_guessed(tmp_path: Path) -> None:
    write_dat(tmp_path / "r1", ecg(4, 20))
    path = tmp_path / "r1.hea"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:1] + lines[3:]) + "\n")
    with pytest.raises(CorpusError, match="declares 12 signals and describes 10"):
        read_wfdb(tmp_path / "r1")
    path.write_text("\n".join(lines[:3] + lines[4:]) + "\n")  # one line short, but no .mat and not lead I
    with pytest.raises(CorpusError, match="one signal more"):
        read_wfdb(tmp_path / "r1")


def test_misnamed_header_finds_its_signals(tmp_path: Path) -> None:
    signal = ecg(5, 60)
    write_mat(tmp_path / "JS23074", signal)
    text = (tmp_path / "JS23074.hea").read_text().replace("JS23074", "S23074")
    (tmp_path / "JS23074.hea").unlink()
    (tmp_path / "S23074.hea").write_text(text)
    raw = read_wfdb(tmp_path / "S23074")
    np.testing.assert_allclose(raw.signal, signal / 1000, rtol=1e-6)
    assert raw.notes == ("signal file S23074.mat is not there; JS23074.mat read instead",)


def test_units_and_gain(tmp_path: Path) -> None:
    signal = ecg(6, 30)
    for unit, scale in (("mv", 1.0), ("uV", 1e-3), ("V", 1e3)):
        (tmp_path / "r.hea").write_text(header("r", "r.dat", signal, 250, unit=unit))
        signal.tofile(tmp_path / "r.dat")
        raw = read_wfdb(tmp_path / "r")
        np.testing.assert_allclose(raw.signal, signal / 1000 * scale, rtol=1e-6)
    (tmp_path / "r.hea").write_text(header("r", "r.dat", signal, 250, unit="furlong"))
    with pytest.raises(CorpusError, match="furlong"):
        read_wfdb(tmp_path / "r")
    text = header("r", "r.dat", signal, 250).replace("1000/mV", "200(7)/mV")
    (tmp_path / "r.hea").write_text(text)
    np.testing.assert_allclose(read_wfdb(tmp_path / "r").signal, (signal - 7.0) / 200, rtol=1e-6)


def test_sentinel_is_a_missing_sample(tmp_path: Path) -> None:
    signal = ecg(7, 40)
    signal[3, 5] = signal[9, 0] = -32768
    write_dat(tmp_path / "r", signal)
    missing = np.isnan(read_wfdb(tmp_path / "r").signal)
    assert missing[3, 5] and missing[9, 0] and missing.sum() == 2


def test_damage_is_named(tmp_path: Path) -> None:
    signal = ecg(8, 100)
    write_dat(tmp_path / "r", signal)
    data = tmp_path / "r.dat"
    data.write_bytes(data.read_bytes()[: 24 * 60 + 5])
    with pytest.raises(CorpusError, match=r"r.dat is truncated: 60 of 100 samples"):
        read_wfdb(tmp_path / "r")
    signal[4, 1] += 1
    signal.tofile(data)
    with pytest.raises(CorpusError, match="checksum of lead II is"):
        read_wfdb(tmp_path / "r")
    data.unlink()
    with pytest.raises(CorpusError, match=r"signal file r.dat is missing"):
        read_wfdb(tmp_path / "r")
    (tmp_path / "r.hea").write_text("")
    with pytest.raises(CorpusError, match=r"r.hea is empty"):
        read_wfdb(tmp_path / "r")
    with pytest.raises(CorpusError, match=r"nowhere.hea cannot be read"):
        read_wfdb(tmp_path / "nowhere")


def test_wrong_lead_count_names_the_missing_lead(tmp_path: Path) -> None:
    signal = ecg(9, 30)[:, :8]
    (tmp_path / "r.hea").write_text(header("r", "r.dat", signal, 100, leads=LEADS[:8]))
    np.ascontiguousarray(signal).tofile(tmp_path / "r.dat")
    with pytest.raises(CorpusError, match=r"V3, V4, V5, V6 missing \(8 leads present\)"):
        read_wfdb(tmp_path / "r")


def test_open_length_is_the_files(tmp_path: Path) -> None:
    signal = ecg(10, 33)
    write_dat(tmp_path / "r", signal)
    path = tmp_path / "r.hea"
    path.write_text(path.read_text().replace("r 12 100 33", "r 12 100", 1))
    assert read_wfdb(tmp_path / "r").signal.shape == (33, 12)


@pytest.mark.parametrize("fmt", ["212", "80", "24"])
def test_other_formats_go_through_wfdb(tmp_path: Path, fmt: str) -> None:
    import wfdb

    signal = np.clip(ecg(11, 64), -100, 100).astype(np.int64)
    order = list(reversed(range(12)))
    wfdb.wrsamp(
        "r1",
        fs=360,
        units=["uV"] * 12,
        sig_name=[LEADS[i] for i in order],
        d_signal=signal[:, order],
        fmt=[fmt] * 12,
        adc_gain=[0.5] * 12,
        baseline=[0] * 12,
        write_dir=str(tmp_path),
    )
    raw = read_wfdb(tmp_path / "r1")
    assert raw.rate == 360
    np.testing.assert_allclose(raw.signal, signal / 0.5 / 1000, rtol=1e-6)
    path = tmp_path / "r1.hea"
    path.write_text(path.read_text().replace("r1 12", "r1.dat 12", 1))  # mended for wfdb, too
    np.testing.assert_allclose(read_wfdb(tmp_path / "r1").signal, signal / 0.5 / 1000, rtol=1e-6)
