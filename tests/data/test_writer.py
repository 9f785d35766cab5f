"""Prepared corpora written record by record: the same bytes as from disk, lengths, order, a full disk."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bench.data.condition import Conditioned
from bench.data.corpus import Note, PreparedCorpus, RawRecord, Task, label_table
from bench.data.prepare import prepare
from bench.data.writer import PreparedWriter, write_prepared
from tests.data.folders import ecg
from tests.data.toy import ToyReader, index_of


def conditioned(seed: int) -> Conditioned:
    """Ten samples as `condition` would hand them over."""
    return Conditioned(ecg(seed, 10), 100.0, np.zeros(12, np.float32))


def test_records_a_cohort_leaves_out_are_not_bad(tmp_path: Path) -> None:
    notes = tuple(Note(f"x{number}", "left out", "under 18 years") for number in range(9))
    index = replace(index_of(1), notes=notes)
    with PreparedWriter(index, tmp_path / "x", 100, None) as writer:
        writer.add("s0", conditioned(0))
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
        writer.add("s0", conditioned(0))
    assert list(tmp_path.iterdir()) == []


def test_a_chain_of_equal_signals_is_one_patient(tmp_path: Path) -> None:
    index = index_of(4)
    index.records["patient"] = ["p", "q", "q", "r"]  # s1 equals s0 and s3 equals s2, which is q's
    with PreparedWriter(index, tmp_path / "x", 100, None) as writer:
        for record, seed in zip(index.records["record"], (0, 0, 1, 1), strict=True):
            writer.add(record, conditioned(seed))
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
        writer.add("s1", conditioned(1))
        writer.add("s0", conditioned(0))
        with pytest.raises(ValueError, match="another order"):
            writer.finish()


def test_native_rate_and_mean_are_kept(tmp_path: Path) -> None:
    contents = [ecg(number, 1000 + 10 * number) + 200 * number for number in range(3)]
    rates = (250.0, 500.0, 257.0)
    raws = [RawRecord(c.astype(np.float32) / 1000, rate) for c, rate in zip(contents, rates, strict=True)]
    corpus = write_prepared(index_of(3), raws, tmp_path / "x", 100, (1.0, 40.0))
    assert corpus.records["native_rate"].tolist() == [250.0, 500.0, 257.0]
    for mean, content in zip(corpus.records["native_mean"], contents, strict=True):
        assert mean.dtype == np.float32
        np.testing.assert_allclose(mean, content.sum(axis=0) / len(content), atol=1e-3)
    half = [RawRecord(raw.signal, raw.rate / 2) for raw in raws]
    assert write_prepared(index_of(3), half, tmp_path / "y", 100).fingerprint != corpus.fingerprint


def test_the_native_rate_is_part_of_the_fingerprint(tmp_path: Path) -> None:
    prints = set()
    for rate in (100.0, 500.0):
        with PreparedWriter(index_of(1), tmp_path / f"{rate}", 100, None) as writer:
            writer.add("s0", replace(conditioned(0), native_rate=rate))
            prints.add(writer.finish().fingerprint)
    assert len(prints) == 2


def test_a_task_may_label_every_record(tmp_path: Path) -> None:
    found: dict[bool, PreparedCorpus] = {}
    for every in (False, True):
        tasks = {"m": Task("m", "multi", ("a", "b"), every), "n": Task("n", "multi", ("c",), every)}
        index = replace(index_of(4), tasks=tasks, labels=label_table([("s2", "m", "b"), ("s0", "m", "a")]))
        raws = [RawRecord(ecg(seed, 50) / np.float32(1000), 100.0) for seed in range(4)]
        found[every] = write_prepared(index, raws, tmp_path / str(every), 100)
    some, all_of_them = found[False].targets("m"), found[True].targets("m")
    assert some.index.tolist() == ["s0", "s2"] and some.to_numpy().tolist() == [[1, 0], [0, 1]]
    assert all_of_them.index.tolist() == ["s0", "s1", "s2", "s3"] and all_of_them.index.name == "record"
    assert all_of_them.to_numpy().tolist() == [[1, 0], [0, 0], [0, 1], [0, 0]]
    assert set(all_of_them.dtypes.astype(str)) == {"int8"} and all_of_them.columns.tolist() == ["a", "b"]
    assert found[True].targets("m", ["s3", "s0", "x"]).index.tolist() == ["s3", "s0"]
    assert len(found[False].targets("n")) == 0 and found[True].targets("n")["c"].tolist() == [0] * 4
    assert found[False].fingerprint != found[True].fingerprint


def test_a_header_without_every_opens(tmp_path: Path) -> None:
    raws = [RawRecord(ecg(seed, 50) / np.float32(1000), 100.0) for seed in range(2)]
    corpus = write_prepared(
        replace(index_of(2), tasks={"t": Task("t", "single", ("a", "b"), True)}), raws, tmp_path / "x", 100
    )
    assert PreparedCorpus.open(corpus.folder).tasks["t"].every
    path = corpus.folder / "corpus.json"
    header = json.loads(path.read_text())
    assert header["tasks"] == [{"name": "t", "kind": "single", "classes": ["a", "b"], "every": True}]
    del header["tasks"][0]["every"]
    path.write_text(json.dumps(header))
    assert PreparedCorpus.open(corpus.folder).tasks == {"t": Task("t", "single", ("a", "b"))}
