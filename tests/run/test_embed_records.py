"""A user's records have the embeddings that the store has of them, and what made them is written beside."""

import io
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from pyarrow import parquet

from bench.data.folder import FolderReader
from bench.data.leads import LEADS
from bench.data.loose_records import find_records
from bench.data.prepare import prepare
from bench.evaluate.embed import corpus_signals, embed_corpus
from bench.run.embed_records import METADATA, check_output, embed_records, write_embeddings
from bench.run.errors import UserError
from bench.run.execute import InlineExecutor, execute
from bench.run.trained import load_trained, prepared_corpora
from tests.corpora import tiny_corpus
from tests.data.folders import write_dat

INPUTS = {
    "by lead": {"scaling": "zscore-lead", "stride": 30},
    "single leads": {"scaling": "minmax-view", "instance": "lead", "aggregation": "none"},
    "by the training part": {"scaling": "zscore-global", "windows": 2, "stride": 20},
    "greatest": {"scaling": "minmax", "aggregation": "max"},
}


@pytest.fixture(scope="module")
def ward(tmp_path_factory):
    """A corpus in which every fourth record is shorter than a window, and the same records as files."""
    folder = tmp_path_factory.mktemp("ward")
    corpus = tiny_corpus(folder / "prepared" / "tiny", records=40, seconds=3.0, short=4)
    offsets, lengths = corpus.records["offset"], corpus.records["length"]
    assert set(lengths) == {150, 75}
    order = [*range(11, -1, -1)]
    for name, start, length in zip(corpus.records["record"], offsets, lengths, strict=True):
        signal = np.ascontiguousarray(corpus.signals[start : start + length][:, order])
        write_dat(folder / "files" / name, signal, rate=50, leads=[LEADS[place] for place in order])
    return folder, corpus


def trained_on(tiny, ward, store, **changes):
    """A trained encoder, and the store's embeddings of every record."""
    folder, corpus = ward
    options = {"entries": ["noise"], "seeds": 1, "label_fractions": [1.0], "lead_sets": ["clocs-4"]}
    plan = tiny.plan(prepared={"tiny-sim@50": corpus}, **options, **changes)
    execute(plan, store, InlineExecutor)
    key, job = next((key, job) for key, job in plan.jobs.items() if job.cell.stage == "embed")
    fit = job.cell.parents["fit"]
    values = np.load(io.BytesIO(store.read(key, "embeddings.npy")))
    corpora = prepared_corpora(folder / "prepared")
    return load_trained(store, fit, plan.jobs[fit].sources, corpora), values


def by_record(values, trained, corpus):
    """(R, D) from what a cell holds: the mean over windows and leads where it merged none."""
    if trained.cell.input.aggregation != "none":
        return values
    means, place = [], 0
    for length in corpus.records["length"]:
        count = (max(0, length - 100) // 100 + 1) * 4
        means.append(values[place : place + count].mean(0))
        place += count
    assert place == len(values)
    return np.stack(means)


@pytest.mark.parametrize("name", INPUTS)
def test_embeddings_are_those_of_the_store(tiny, ward, tmp_path, name):
    folder, corpus = ward
    spec = {"rate": 50, "window": 100, **INPUTS[name]}
    trained, values = trained_on(tiny, ward, tiny.store(tmp_path), input=spec)
    records, _ = find_records([folder / "files"])
    done = embed_records(trained, records, batch=7)
    assert done.refused.empty and done.notes.empty
    assert done.table["record"].tolist() == corpus.records["record"].tolist()
    assert done.table["path"].tolist() == [str(record.path) for record in records]
    columns = [f"e{place}" for place in range(8)]
    assert list(done.table) == ["record", "path", *columns]
    got, expected = done.table[columns].to_numpy(), by_record(values, trained, corpus)
    assert got.dtype == np.float32 and np.ptp(expected, axis=0).min() > 1e-3
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6)


def test_whole_records_are_windows_as_long_as_those_it_was_trained_on(tiny, tmp_path):
    corpus = tiny_corpus(tmp_path / "prepared" / "tiny", records=40, seconds=3.0)
    spec = {"rate": 50, "scaling": "none"}
    trained, values = trained_on(tiny, (tmp_path, corpus), tiny.store(tmp_path), input=spec)
    assert trained.cell.input.window is None and trained.spec.window == 150
    for name, signal in (("one", corpus.signals[:150]), ("two", corpus.signals[:300])):
        write_dat(tmp_path / name, np.ascontiguousarray(signal), rate=50)
    done = embed_records(trained, find_records([tmp_path / "one", tmp_path / "two"])[0])
    expected = np.stack([values[0], values[:2].mean(0)])
    np.testing.assert_allclose(done.table.iloc[:, 2:].to_numpy(), expected, rtol=0, atol=1e-6)


def test_records_are_resampled_and_filtered_as_the_corpus_was(trained, ward, tmp_path):
    noise = np.random.default_rng(0).integers(-900, 900, (5, 500, 12)).astype("<i2")
    for place, signal in enumerate(noise):
        write_dat(tmp_path / "raw" / f"r{place}", signal, rate=125)
    rows = [f"r{place},r{place},{'ab'[place % 2]}" for place in range(5)]
    (tmp_path / "raw" / "records.csv").write_text("\n".join(["record,path,labels", *rows]) + "\n")
    corpus = prepare(FolderReader(), tmp_path / "raw", tmp_path / "out", 50, (1.0, 20.0), workers=1)
    spec = trained.cell.input.model_copy(update={"band": (1.0, 20.0)})
    filtered = replace(trained, cell=trained.cell.model_copy(update={"input": spec}))
    signals = corpus_signals(corpus, spec, "clocs-4", np.arange(5), torch.device("cpu"))
    expected = embed_corpus(trained.strategy, corpus, spec, signals)
    got = embed_records(filtered, find_records([tmp_path / "raw"])[0]).table.iloc[:, 2:].to_numpy()
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6)


def test_precision_is_that_of_the_fit(tiny, ward, tmp_path):
    folder, _ = ward
    trained, values = trained_on(tiny, ward, tiny.store(tmp_path), precision="bf16")
    before = trained.strategy.encoder.forward
    records, _ = find_records([folder / "files"])
    for _ in range(2):
        got = embed_records(trained, records, batch=20).table.iloc[:, 2:].to_numpy()
        np.testing.assert_allclose(got, values, rtol=0, atol=1e-6)
    assert trained.strategy.encoder.forward == before
    with torch.no_grad():
        silent = torch.zeros(1, 4, 100)
        assert trained.strategy.encoder(silent).shape == (1, 8)


@pytest.fixture(scope="module")
def trained(tiny, ward, tmp_path_factory):
    return trained_on(tiny, ward, tiny.store(tmp_path_factory.mktemp("store")))[0]


def test_records_that_cannot_be_embedded_are_named(trained, ward, tmp_path):
    folder, _ = ward
    noise = np.random.default_rng(0).integers(-500, 500, (200, 4)).astype("<i2")
    write_dat(tmp_path / "poor", noise, rate=50, leads=["I", "II", "V1", "V2"])
    holes = np.repeat(noise[:, :1], 12, 1)
    holes[:3, 1] = -32768
    write_dat(tmp_path / "holed", holes, rate=50)
    records, _ = find_records([tmp_path / "poor", folder / "files" / "r001", tmp_path / "holed"])
    done = embed_records(trained, records)
    assert done.table["record"].tolist() == ["r001", "holed"]
    reason = "record poor lacks leads aVL, aVR; it has leads I, II, V1, V2"
    assert done.refused.to_numpy().tolist() == [["poor", str(tmp_path / "poor.hea"), reason]]
    repaired = "3 missing samples interpolated in II"
    assert done.notes.to_numpy().tolist() == [["holed", str(tmp_path / "holed.hea"), repaired]]
    nothing = embed_records(trained, records[:1])
    assert nothing.table.empty and list(nothing.table) == ["record", "path"] and len(nothing.refused) == 1


def test_a_record_has_its_embedding_whatever_is_beside_it(trained, ward):
    records, _ = find_records([ward[0] / "files"])
    together = embed_records(trained, records).table.set_index("record")
    alone = embed_records(trained, [records[5], records[3]], batch=1).table.set_index("record")
    assert alone.index.tolist() == [records[5].name, records[3].name]
    expected = together.loc[alone.index].drop(columns="path")
    np.testing.assert_allclose(alone.drop(columns="path"), expected, rtol=0, atol=1e-6)


def test_both_kinds_of_file_hold_the_table_and_nothing_is_left_beside(trained, ward, tmp_path):
    records, _ = find_records([ward[0] / "files"])
    table = embed_records(trained, records[:3]).table
    for name in ("x.parquet", "x.csv"):
        write_embeddings(table, tmp_path / name, trained.describe())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.csv", "x.parquet"]
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "x.parquet"), table)
    read = pd.read_csv(tmp_path / "x.csv", dtype=dict.fromkeys(table.columns[2:], np.float32))
    pd.testing.assert_frame_equal(read, table, check_exact=True)
    metadata = parquet.read_schema(tmp_path / "x.parquet").metadata
    about = json.loads(metadata[METADATA.encode()])
    assert about == json.loads(json.dumps(trained.describe())) and about["key"] == trained.key


def test_a_place_that_cannot_be_written_is_known_before(trained, tmp_path):
    check_output(tmp_path / "x.csv")
    with pytest.raises(UserError, match=r"written as \.parquet or \.csv"):
        check_output(tmp_path / "x.npy")
    with pytest.raises(UserError, match="no folder"):
        check_output(tmp_path / "nowhere" / "x.csv")
    (tmp_path / "old.csv").write_text("old")

    class Torn(pd.DataFrame):
        def to_csv(self, path, **_):
            path.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_embeddings(Torn(), tmp_path / "old.csv", {})
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("old.csv", "old")]
