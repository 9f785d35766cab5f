"""A hospital's own folder as a column of the board: named for what it is, split by patient, refused in one line."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from bench.cli import main
from bench.data.corpus import CorpusError
from bench.data.leads import LEADS
from bench.run.corpora import Shelf
from bench.run.errors import UserError
from bench.run.own_corpus import assert_judgeable, own_corpora
from bench.session import Options, Session
from tests.corpora import tiny_corpus
from tests.data.folders import ecg, write_dat

RATE = 50


def write_folder(root, corpus, parts=True, task="rhythm", patients=True):
    """A tiny corpus as a hospital would hand it over: CSV and WFDB records and their table."""
    root.mkdir(parents=True)
    labels = corpus.labels[corpus.labels["task"] == task].groupby("record")["label"].agg(";".join)
    rows = []
    for i, r in enumerate(corpus.records.itertuples(index=False)):
        signal = corpus.signals[r.offset : r.offset + r.length]
        path = f"{r.record}.csv" if i % 2 else f"wfdb/{r.record}"
        if i % 2:
            pd.DataFrame(signal / 1e3, columns=list(LEADS)).to_csv(root / path, index=False)
        else:
            write_dat(root / path, signal, RATE)
        own = (r.record, path, r.patient, r.age, r.sex, labels.get(r.record, ""), RATE, r.part)
        rows.append(own)
    table = pd.DataFrame(rows, columns=["record", "path", "patient", "age", "sex", "labels", "rate", "part"])
    gone = [name for name, kept in (("part", parts), ("patient", patients)) if not kept]
    table.drop(columns=gone).to_csv(root / "records.csv", index=False)
    return root


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with parts and one without, of simulated records that say nothing of it."""
    folder = tmp_path_factory.mktemp("own")
    corpus = tiny_corpus(folder / "prepared", records=90)
    write_folder(folder / "North Wing", corpus)
    write_folder(folder / "south", corpus, parts=False, task="findings")
    return folder


SUITE = """
name: quick
title: Rows that need no measurements
seeds: 1
corpora: [{corpus: chapman-sim, task: rhythm4}]
input: {rate: 50, window: 100}
encoder: {name: resnet1d18, arguments: {width: 4, dim: 8}}
entries: [{strategy: simclr, recipe: board}, supervised, random_encoder, metadata_only]
budget: {steps: 2, batch: 8}
label_fractions: [1.0]
scales: {smoke: {}}
"""


def session_of(folder, *corpora, suites=None, **options):
    """A session of a suite of the user's own, which measures nothing."""
    (folder / "quick.yaml").write_text(SUITE)
    suites = (str(folder / "quick.yaml"),) if suites is None else suites
    paths = {name: folder / name for name in ("cache", "store", "results")}
    chosen = Options(suites, "smoke", tuple(map(str, corpora)), device="cpu", **paths, **options)
    return Session(chosen, lambda what, done, total: None)


def test_two_folders_are_two_columns_each_with_its_task_and_split(made):
    plan = session_of(made, made / "North Wing", made / "south").plan()
    north, south = (corpus for corpus in plan.corpora.values())
    assert (north.name, south.name) == ("north-wing", "south")
    assert north.title == "own corpus north-wing (90 records)" and not north.simulated
    found = {(row.corpus, row.task, row.kind, row.split, row.simulated) for row in plan.rows}
    assert found == {
        ("north-wing", "labels", "single", "official", False),
        ("south", "labels", "multi", "stratified 60/20/20, seed 0", False),
    }
    assert set(south.tasks["labels"].classes) == {"big", "inverted", "odd"}
    job = next(job for job in plan.jobs.values() if job.cell.stage == "predict")
    records = north.records
    assert set(records["part"].iloc[job.rows.test]) == {"test"}
    drawn = next(plan.jobs[row.key].rows for row in plan.rows if row.corpus == "south" and row.key)
    patients = [set(south.records["patient"].iloc[rows]) for rows in (drawn.train, drawn.val, drawn.test)]
    assert all(patients) and not any(
        a & b for a, b in zip(patients, (*patients[1:], patients[0]), strict=True)
    )


def test_signals_arrive_as_they_were(made, tmp_path):
    own = own_corpora([str(made / "south")])[str(made / "south")]
    corpus = Shelf(tmp_path, own={own.name: own.folder}).prepared("south", RATE, None, lambda *step: None)
    tiny = tiny_corpus(tmp_path / "tiny", records=90)
    order = tiny.records.set_index("record").loc[corpus.records["record"]]
    for offset, length, start in zip(order["offset"], order["length"], corpus.records["offset"], strict=True):
        np.testing.assert_allclose(
            corpus.signals[start : start + length], tiny.signals[offset : offset + length], atol=1
        )


@pytest.fixture(scope="module")
def run(made):
    """The command as a user runs it."""
    session_of(made)
    places = [str(x) for name in ("cache", "store", "results") for x in (f"--{name}", made / name)]
    given = [str(made / "quick.yaml"), "--scale", "smoke", "--corpus", str(made / "North Wing")]
    done = CliRunner().invoke(main, ["run", *given, "--executor", "inline", *places])
    assert done.exit_code == 0, done.output
    return made, done.output


def test_the_board_has_its_column_and_no_word_of_simulation(run):
    folder, output = run
    assert "failed" not in output and not (folder / "results" / "simulated").exists()
    place = folder / "results" / "real" / "smoke" / "quick"
    table = pd.read_csv(place / "north-wing" / "board.csv").set_index("label")
    assert table.loc[["random_encoder", "supervised", "metadata_only"], "macro_auroc"].between(0, 1).all()
    for path in (*place.rglob("*.md"), *place.rglob("*.tex")):
        text = path.read_text()
        assert "simulated" not in text.lower() and "own corpus north-wing (90 records)" in text.lower(), path
    cells = pd.read_csv(place / "cells.csv")
    assert set(cells["corpus"]) == {"north-wing"} and not cells["simulated"].any()


def test_what_was_run_is_found_again_wherever_the_command_stands(run, monkeypatch):
    folder, _ = run
    monkeypatch.chdir(folder)
    session = session_of(folder, "./North Wing")
    keys = {row.key for row in session.plan().rows if row.label == "supervised" and not row.grouping}
    assert keys and all(session.store.has(key) for key in keys)


def test_an_encoder_of_one_folder_is_evaluated_on_another(made):
    options = {"strategies": ("simclr",), "pretrain_on": (str(made / "south"),)}
    plan = session_of(made, made / "North Wing", **options).plan()
    moved = {(row.corpus, row.source) for row in plan.rows if row.label == "simclr"}
    assert moved == {("north-wing", ""), ("north-wing", "south")}


def test_a_name_alone_is_a_corpus_and_a_folder_of_that_name_is_none(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ptbxl").symlink_to(made / "south")
    (tmp_path / "clinic").symlink_to(made / "south")
    assert own_corpora(["ptbxl", "chapman-sim", "moon"]) == {}
    assert [own.name for own in own_corpora(["clinic"]).values()] == ["south"]  # where the link leads
    for name in ("ptbxl", "PTB-XL", "CinC2021", "ward-sim"):
        (tmp_path / "in" / name).mkdir(parents=True)
        (tmp_path / "in" / name / "records.csv").write_text((made / "south" / "records.csv").read_text())
        for record in ("wfdb",):
            (tmp_path / "in" / name / record).symlink_to(made / "south" / record)
        with pytest.raises(CorpusError, match=f"'{name}' is the name of a known corpus or a simulated one"):
            own_corpora([f"in/{name}"])


def small(folder, labels, parts=None, patients=None):
    """A folder of one short record a label."""
    for i in range(len(labels)):
        write_dat(folder / f"r{i}", ecg(i, 600), 100)
    table = pd.DataFrame({"record": [f"r{i}" for i in range(len(labels))], "labels": labels})
    table["path"], table["patient"] = table["record"], patients or table["record"]
    if parts:
        table["part"] = parts
    table.to_csv(folder / "records.csv", index=False)
    return folder


@pytest.mark.parametrize(
    ("labels", "parts", "message"),
    [
        (["", "", ""], None, "gives no record a label; the board needs two classes or more in column labels"),
        (["AF", "AF", ""], None, "has one class alone, 'AF'; .*: name the normal ones too"),
        (
            ["AF", "SR"] * 2,
            None,
            "own corpus ward: part test of the stratified split has no labelled record; use more records",
        ),
        (
            ["AF", "SR"] * 3,
            ["train"] * 4 + ["test"] * 2,
            "column part of records.csv puts no labelled record in val; give each of train, val, test some, or leave",
        ),
        (
            ["AF", "SR", "AF", "SR", "AF", "AF"],
            ["train", "train", "val", "val", "test", "test"],
            r"own corpus \w+: part test \(2 labelled records of 2 patients\) has no class with both .* other parts",
        ),
    ],
)
def test_what_cannot_be_judged_is_refused_in_one_line(tmp_path, labels, parts, message):
    folder = small(tmp_path / "ward", labels, parts)
    with pytest.raises(UserError, match=message) as caught:
        session_of(tmp_path, folder).plan()
    assert "\n" not in str(caught.value)


def test_a_drawn_part_without_both_kinds_is_refused(tmp_path):
    corpus = tiny_corpus(tmp_path / "tiny", records=20)
    lonely = corpus.labels.assign(label=["fast"] + ["slow"] * (len(corpus.labels) - 1), task="rhythm")
    lonely.to_parquet(corpus.folder / "labels.parquet")
    own = own_corpora([str(small(tmp_path / "ward", ["AF", "SR"]))])
    use = next(iter(own.values())).use.model_copy(update={"task": "rhythm"})
    with pytest.raises(
        CorpusError, match=r"part \w+ \(\d+ labelled .*; use more patients of each class, or say the parts"
    ):
        assert_judgeable(type(corpus).open(corpus.folder), use)


def test_a_folder_whose_patients_nobody_knows_says_so(tmp_path):
    corpus = tiny_corpus(tmp_path / "tiny", records=60)
    folder = write_folder(tmp_path / "ward", corpus, parts=False, patients=False)
    (prepared,) = session_of(tmp_path, folder).plan().corpora.values()
    assert prepared.title == "own corpus ward (60 records, patients unknown)"


@pytest.mark.parametrize(
    ("corpora", "message"),
    [
        (["gone/"], "no folder gone; give the folder that holds records.csv"),
        (
            ["./empty"],
            r"empty has no records.csv, which says whose the records are; .*--corpus NAME --data FOLDER",
        ),
        (["a/ward", "b/ward"], "a/ward and b/ward would both be corpus 'ward'; rename one"),
        (["moon"], "suite '.*quick.yaml' does not run on 'moon'"),
    ],
)
def test_mistakes_are_one_line(tmp_path, monkeypatch, corpora, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    for place in "ab":
        small(tmp_path / place / "ward", ["AF", "SR"])
    with pytest.raises(UserError, match=message):
        session_of(tmp_path, *corpora)


def test_a_papers_suite_keeps_to_its_corpora(made):
    with pytest.raises(
        UserError, match="reproduces a paper on that paper's corpora; your own joins the board"
    ):
        session_of(made, made / "south", suites=("goodviews",))
    session = session_of(made, made / "south", suites=())
    names = [suite.name for suite in session.suites]
    assert "board" in names and not any(suite.paper for suite in session.suites)
    assert any("skipped suite clocs" in line for line in session.warnings)


def test_the_same_folder_twice_is_one_column(made, monkeypatch):
    monkeypatch.chdir(made)
    session = session_of(made, "south/", "./south", Path(made / "south"))
    assert [use.corpus for use in session.suites[0].corpora] == ["south"]
