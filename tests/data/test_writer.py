"""Prepared corpora written record by record: the same bytes as from disk, lengths, order, a full disk."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bench.data.corpus import Note, RawRecord
from bench.data.prepare import prepare
from bench.data.writer import PreparedWriter, write_prepared
from tests.data.folders import ecg
from tests.data.toy import ToyReader, index_of


def test_records_a_cohort_leaves_out_are_not_bad(tmp_path: Path) -> None:
    notes = tuple(Note(f"x{number}", "left out", "under 18 years") for number in range(9))
    index = replace(index_of(1), notes=notes)
    with PreparedWriter(index, tmp_path / "x", 100, None) as writer:
        writer.add("s0", ecg(0, 10))
        writer.refuse_above(0.0)
        corpus = writer.finish()
    assert pd.read_csv(corpus.folder / "quality.csv")["action"].tolist() == ["left out"] * 9


def test_records_in_memory_give_the_same_corpus(tmp_path: Path) -> None:
    reader = ToyReader(7)
    (tmp_path / "empty").mkdir()
    disk = prepare(reader, tmp_path / "empty", tmp_path / "out", 100, band=(0.5, 40.0))

    def made() -> Iterator[RawRecord]:
        yield from (reader.read(tmp_path, f"s{number}") for number in range(7))

    memory = write_prepared(index_of(7), made(), tmp_path / "direct", 100, (0.5, 40.0))
    assert memory.fingerprint == disk.fingerprint and memory.simulated and memory.facts == {"seed": 3}
    assert (memory.folder / "signals.npy").read_bytes() == (disk.folder / "signals.npy").read_bytes()
    assert memory.records["length"].tolist() == [100] * 7
    with pytest.raises(ValueError, match="zip"):
        write_prepared(index_of(8), made(), tmp_path / "short", 100)
    assert not (tmp_path / "short").exists()


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError("no space left on device")

    with (
        pytest.raises(OSError, match="no space"),
        PreparedWriter(index_of(1), tmp_path / "x", 100, None) as writer,
    ):
        monkeypatch.setattr(writer, "_file", SimpleNamespace(close=fail, write=writer._file.write))
        writer.add("s0", ecg(0, 10))
    assert list(tmp_path.iterdir()) == []


def test_a_chain_of_equal_signals_is_one_patient(tmp_path: Path) -> None:
    index = index_of(4)
    index.records["patient"] = ["p", "q", "q", "r"]  # s1 equals s0 and s3 equals s2, which is q's
    with PreparedWriter(index, tmp_path / "x", 100, None) as writer:
        for record, seed in zip(index.records["record"], (0, 0, 1, 1), strict=True):
            writer.add(record, ecg(seed, 10))
        assert writer.finish().records["patient"].tolist() == ["p"] * 4


def test_lengths_may_differ(tmp_path: Path) -> None:
    reader = ToyReader(4)
    contents = [ecg(number, 50 * (number + 1)) for number in range(4)]
    raws = [RawRecord(content / np.float32(1000), 100.0) for content in contents]
    corpus = write_prepared(index_of(4), raws, tmp_path / "direct", 100)
    assert corpus.records["offset"].tolist() == [0, 50, 150, 300]
    assert corpus.records["length"].tolist() == [50, 100, 150, 200] and len(corpus.signals) == 500
    np.testing.assert_array_equal(corpus.signals[300:], contents[3])
    assert reader.count == len(corpus.records)


def test_order_of_the_index_is_kept(tmp_path: Path) -> None:
    with PreparedWriter(index_of(2), tmp_path / "x", 100, None) as writer:
        writer.add("s1", ecg(1, 10))
        writer.add("s0", ecg(0, 10))
        with pytest.raises(ValueError, match="another order"):
            writer.finish()
