"""The command as a user runs it: simulated and real corpora, strategies from outside, kills and repeats."""

import json
import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
from click.testing import CliRunner

from bench.cli import main
from tests.realdata import realdata

SMALL = ["--scale", "smoke", "--records", "150"]

MINE = """
from bench.train.strategy import Strategy, Views
import torch

class Mine(Strategy):
    name, title = "mine", "Mine <b>bold</b>"

    def views(self, batch, generator):
        return Views.of(batch.signal, -batch.signal)
"""

THIEF = (
    MINE.replace("mine", "thief").replace("Mine", "Thief")
    + """
    def positives(self, batch, views):
        same = batch.labels.argmax(1)[:, None] == batch.labels.argmax(1)[None]
        return same[views.source][:, views.source]
"""
)


def leadboard(*arguments, code=0):
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Options for a cache, a store and results that the tests of this module share."""
    folder = tmp_path_factory.mktemp("leadboard")
    options = ["--cache", folder / "cache", "--store", folder / "store", "--results", folder / "results"]
    output = leadboard("run", "board", "goodviews", *SMALL, *options, "--executor", "inline")
    return folder, options, output


def test_a_run_writes_the_board_and_the_papers_table(places):
    folder, _, output = places
    assert "failed" not in output
    names = {path.name for path in (folder / "results").rglob("*") if path.is_file()}
    assert {"board.csv", "board.md", "board.tex", "table1.csv", "table2.csv", "label_efficiency.png"} <= names
    page = next((folder / "results").rglob("board.json")).read_text()
    assert '"simulated":true' in page and "chapman-sim" in page
    assert (folder / "results" / "board.html").is_file()
    cells = pd.concat([pd.read_csv(path) for path in (folder / "results").rglob("cells.csv")])
    test = cells[cells["part"] == "test"]
    assert test["macro_auroc"].between(0, 1).all() and len(test) > 20
    assert (test[test["label"] == "label_prior"]["macro_auroc"] == 0.5).all()


def test_the_same_command_again_runs_nothing_and_writes_the_same_bytes(places):
    folder, options, _ = places
    files = {p: p.read_bytes() for p in (folder / "results").rglob("*") if p.is_file()}
    output = leadboard("run", "board", "goodviews", *SMALL, *options)
    assert "cells: 0 done" in output
    assert files == {p: p.read_bytes() for p in (folder / "results").rglob("*") if p.is_file()}
    leadboard("report", "board", "goodviews", *SMALL, *options)
    assert files == {p: p.read_bytes() for p in (folder / "results").rglob("*") if p.is_file()}


def test_without_a_suite_those_that_run_on_the_corpus_are_taken(places):
    _, options, _ = places
    output = leadboard("plan", *SMALL, *options, "--corpus", "ptbxl-sim")
    assert "skipped suite goodviews" in output and "does not run on 'ptbxl-sim'" in output


def test_plan_says_what_is_cached(places):
    _, options, _ = places
    output = leadboard("plan", "board", *SMALL, *options)
    fit = next(line.split() for line in output.splitlines() if line.startswith("fit"))
    assert fit[1] == fit[2] and fit[3] == "0"


def test_a_strategy_from_outside_joins_and_only_its_cells_run(places, tmp_path):
    _, options, _ = places
    mine, broken = tmp_path / "mine.py", tmp_path / "broken.py"
    mine.write_text(MINE)
    broken.write_text("import nothing_like_this\n")
    results = ["--results", tmp_path / "results"]
    common = [*SMALL, *options[:4], *results, "--executor", "inline"]
    output = leadboard("run", "board", "--strategy", mine, "--strategy", broken, *common, code=1)
    assert "cells: 6 done" in output and f"skipped {broken}: ModuleNotFoundError" in output
    assert "cells: 0 done" in leadboard("run", "board", "--strategy", mine, *common)
    refused = leadboard("plan", "goodviews", "--strategy", mine, *common[:-2], code=1)
    assert "a strategy file joins the suite board" in refused
    board = pd.concat([pd.read_csv(p) for p in (tmp_path / "results").rglob("board.csv")])
    text = board.to_csv()
    assert "bold" in text and "SimCLR" in text
    assert "<b>bold</b>" in next((tmp_path / "results").rglob("board.json")).read_text()
    assert "<b>bold</b>" not in (tmp_path / "results" / "board.html").read_text()
    listed = leadboard("list", "--strategy", mine, "--strategy", broken)
    assert "mine" in listed and "No module named 'nothing_like_this'" in listed


def test_a_strategy_that_reads_undeclared_labels_is_stopped(places, tmp_path):
    _, options, _ = places
    thief = tmp_path / "thief.py"
    thief.write_text(THIEF)
    common = [*SMALL, *options[:4], "--results", tmp_path / "results", "--executor", "inline"]
    output = leadboard("run", "board", "--strategy", thief, *common, code=1)
    assert "1 failed" in output and "blocked" in output
    page = next((tmp_path / "results").rglob("board.json")).read_text()
    assert "thief reads" in page and "but declares nothing" in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nope"], "no suite 'nope'; there are: board"),
        (["run", "board", "--scale", "huge"], "no scale 'huge'"),
        (["run", "board", "--corpus", "chapman"], "say where it lies with --data"),
        (["run", "board", "--corpus", "moon"], "does not run on 'moon'"),
        (["run", "board", "--strategy", "nobody"], "no row or strategy 'nobody'"),
        (["plan", "board", "--device", "cuda:9"], "sees no GPU"),
        (["new", "not a name"], "not a name"),
        (["run", "board", "--strategy", "gone.py"], "no file gone.py"),
    ],
)
def test_mistakes_are_one_line(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    extra = SMALL if arguments[0] in ("run", "plan") and "--scale" not in arguments else []
    output = leadboard(*arguments, *extra, code=1)
    errors = [line for line in output.splitlines() if line.startswith("Error")]
    assert len(errors) == 1 and message in errors[0]
    assert "Traceback" not in output


def test_new_writes_a_strategy_that_passes_check(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "next: leadboard check" in leadboard("new", "fresh_idea")
    output = leadboard("check", "fresh_idea.py")
    assert "FAIL" not in output and output.count("ok") >= 8
    leadboard("new", "fresh_idea", code=1)


def test_data_simulate_writes_a_corpus_that_data_check_finds_sound(tmp_path):
    leadboard("data", "simulate", "ptbxl-sim", tmp_path / "cohort", "--records", "60")
    output = leadboard("data", "check", tmp_path / "cohort")
    assert "ptbxl-sim" in output and "simulated" in output


def run_in_the_background(folder, *arguments):
    command = [sys.executable, "-m", "bench", "run", "goodviews", *SMALL, *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen([str(c) for c in command], cwd=folder, env=environment, start_new_session=True)


def finished(store):
    return {p.parent.name: p.stat().st_mtime_ns for p in store.glob("cells/??/[!.]*/manifest.json")}


@pytest.mark.ray
def test_killed_in_the_middle_of_a_ray_run_nothing_finished_is_lost(places, tmp_path):
    """SIGKILL, then the same command: finished cells untouched, tables equal to an uninterrupted run's."""
    folder, options, _ = places
    store, results = tmp_path / "store", tmp_path / "results"
    arguments = ["--cache", folder / "cache", "--store", store, "--results", results, "--seeds", "3"]
    process = run_in_the_background(tmp_path, *arguments)
    deadline = time.time() + 120
    while len(finished(store)) < 3 and process.poll() is None and time.time() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = finished(store)
    assert len(kept) >= 3
    leadboard("run", "goodviews", *SMALL, *arguments, "--executor", "inline")
    assert {key: finished(store)[key] for key in kept} == kept
    whole = [*options[:2], "--store", tmp_path / "other", "--results", tmp_path / "whole", "--seeds", "3"]
    leadboard("run", "goodviews", *SMALL, *whole, "--executor", "inline")
    assert len(finished(store)) > len(kept) and set(finished(store)) == set(finished(tmp_path / "other"))
    for path in (tmp_path / "whole").rglob("table1.*"):
        assert path.read_bytes() == (results / path.relative_to(tmp_path / "whole")).read_bytes()


@pytest.mark.ray
def test_ctrl_c_ends_cleanly_and_keeps_what_is_finished(places, tmp_path):
    folder, _, _ = places
    store = tmp_path / "store"
    arguments = ["--cache", folder / "cache", "--store", store, "--results", tmp_path / "results"]
    start = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # background shells ignore it
    program = f"{start}; from bench.cli import main; main()"
    command = [sys.executable, "-c", program, "run", "goodviews", *SMALL, *arguments, "--seeds", "8"]
    process = subprocess.Popen(
        [str(c) for c in command],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.time() + 120
    while len(finished(store)) < 3 and process.poll() is None and time.time() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "every finished cell is kept" in errors and "Traceback" not in errors
    assert len(finished(store)) >= 3


def test_the_real_slice_is_named_for_what_it_is(tmp_path):
    data = realdata("ptbxl")
    options = [
        "--cache",
        tmp_path / "cache",
        "--store",
        tmp_path / "store",
        "--results",
        tmp_path / "results",
    ]
    common = ["--scale", "smoke", "--corpus", "ptbxl", "--data", data, "--executor", "inline", *options]
    leadboard("run", "board", "--strategy", "random_encoder", *common)
    page = next((tmp_path / "results").rglob("board.json")).read_text()
    assert "488 of 21,837" in page and "ptbxl-sim" not in page
    store = tmp_path / "store"
    cell = json.loads(next(store.glob("cells/??/*/cell.json")).read_text())
    assert cell["stage"] in ("fit", "embed", "predict", "group")


@pytest.mark.parametrize("folder", ["ptbxl_removed_duplicates", "chapman", "chapman/WFDB_Ningbo", "cinc2021"])
def test_data_check_reads_every_real_folder(folder):
    output = leadboard("data", "check", realdata(folder))
    expected = {
        "ptbxl_removed_duplicates": "12 of 21,837",
        "chapman": "JS45551: flat: V4, V5, V6",
        "chapman/WFDB_Ningbo": "JS45542",
        "cinc2021": "E07509",
    }
    assert expected[folder] in output
