import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from bench.report.site import write_site
from bench.report.words import CORPORA
from bench.report.write import write_report
from tests.report.hand_made import Bench, make_bench


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Bench:
    bench = make_bench(tmp_path_factory.mktemp("board"), title="<b>Every</b> strategy")
    for seed in range(2):
        for fraction in (0.1, 1.0):
            evil = bench.add("evil", fraction, seed, strategy_title="<script>alert(1)</script>")
            bench.finish(evil, bench.noisy(2, seed))
            bench.finish(bench.add("floor", fraction, seed, origin="baseline"), bench.noisy(4, seed + 5))
        bench.add("late", 0.1, seed, skipped="100% <too> few & far")
    return bench


@pytest.fixture(scope="module")
def files(bench, tmp_path_factory) -> list[Path]:
    return write_report(bench.plan, bench.store, tmp_path_factory.mktemp("one") / "results", 50)


def _read(files, name) -> str:
    return next(path for path in files if path.name == name).read_text()


def _board(files) -> dict[str, Any]:
    return dict(json.loads(_read(files, "board.json")))


def test_layout_keeps_simulated_results_apart(files):
    names = {path.as_posix().partition("/results/")[2] for path in files}
    assert {
        "simulated/quick/board/board.json",
        "simulated/quick/board/cells.csv",
        "simulated/quick/board/provenance.json",
        "simulated/quick/board/label_efficiency.svg",
        "simulated/quick/board/label_efficiency.png",
        "simulated/quick/board/tiny-sim/board.csv",
        "simulated/quick/board/tiny-sim/board.md",
        "simulated/quick/board/tiny-sim/board.tex",
        "simulated/quick/board/tiny-sim/no_result.md",
    } <= names
    assert all(path.is_file() for path in files)


def test_cells_csv_tells_sources_and_fractions_apart(tmp_path):
    bench = make_bench(
        tmp_path, label_fractions=(1.0,), noise_levels=(3,), encoder_variants=({"dim": 4}, {"dim": 8})
    )
    bench.finish(bench.add("simclr", fractions_by="frames"), bench.noisy(2, 0))
    bench.finish(bench.move("simclr", "far-sim"), bench.noisy(2, 1))
    bench.finish_noise(bench.add("simclr", noise=3), bench.noisy(3, 0))
    leak = bench.add("simclr_leak", strategy_title="SimCLR, saw test ECGs", origin="overlap", overlap=True)
    bench.finish(leak, bench.noisy(2, 2))
    files = write_report(bench.plan, bench.store, tmp_path / "results", 50)
    names = {path.name for path in files}
    assert {
        "noise.csv",
        "noise_robustness.svg",
        "transfer.svg",
        "transfer.csv",
        "leak.tex",
        "noise.md",
    } <= names
    rows = list(csv.DictReader(io.StringIO(_read(files, "cells.csv"))))
    found = {(row["label"], row["source"], row["overlap"], row["fractions_by"]) for row in rows}
    assert found == {
        ("simclr", "", "False", "frames"),
        ("simclr", "far-sim", "False", "patients"),
        ("simclr_leak", "", "True", "patients"),
    }
    assert {"macro_auroc_half", "macro_auroc_10", "records"} <= set(rows[0])
    assert {row["records"] for row in rows if row["part"] == "test"} == {str(len(bench.parts("rhythm").test))}
    content = _board(files)
    facts = dict(content["suite"]["facts"])
    assert facts["Noise levels"] == "3"
    assert facts["Encoder"] == "resnet1d18 (dim 4 / 8, width 8)"
    assert {"transfer", "noise_robustness"} <= {figure["name"] for figure in content["figures"]}


def test_the_same_store_gives_the_same_bytes(bench, files, tmp_path):
    again = write_report(bench.plan, bench.store, tmp_path, 50)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in files]
    assert not list(tmp_path.rglob(".*"))


def test_nothing_of_a_title_becomes_markup(files):
    assert "<script" not in _read(files, "board.md")
    assert r"100\% \textless{}too\textgreater{} few \& far" in _read(files, "no_result.tex")


def test_the_page_names_corpora_and_own_fractions(tmp_path):
    entries = ("simclr", {"strategy": "rhythm", "label": "few", "fractions": [0.1], "encoder": {"width": 16}})
    bench = make_bench(tmp_path, name="goodviews", label_fractions=(1.0,), entries=entries)
    bench.finish(bench.add("simclr"), bench.noisy(2, 0))
    bench.finish(bench.add("few", 0.1), bench.noisy(2, 0))
    content = _board(write_report(bench.plan, bench.store, tmp_path / "results", 50))
    facts = dict(content["suite"]["facts"])
    assert "the published ones were, on Chapman" in content["suite"]["notice"]
    assert facts["Label fractions"] == "100\u00a0% (10\u00a0% alone: Few)"
    assert "width 8 (rows that say so: another)" in facts["Encoder"]
    assert (CORPORA["ptbxl"], CORPORA["cinc2021"]) == ("PTB-XL", "the CinC 2021 Challenge")


def test_cells_csv_has_a_line_a_cell_selection_and_part(bench, files):
    rows = list(csv.DictReader(io.StringIO(_read(files, "cells.csv"))))
    done = [row for row in rows if row["status"] == "done"]
    assert len(done) == 2 * 2 * 2 * 2 * 2  # entries, seeds, fractions, selections, parts
    assert len(rows) == len(done) + 2
    assert {row["corpus"] for row in rows} == {"tiny-sim"}
    one = next(row for row in done if row["part"] == "test" and row["label"] == "evil")
    assert 0 < float(one["low"]) <= float(one["macro_auroc"]) <= float(one["high"]) <= 1
    assert one["macro_f1"]
    assert one["key"] == bench.rows["evil", 0.1, 0].key


def test_provenance_is_of_the_cells_not_of_now(bench, files):
    content = json.loads(_read(files, "provenance.json"))
    assert (content["first_finished"], content["last_finished"]) == (bench.finished, bench.finished)
    assert content["commit"] == ["c0ffee"]
    assert content["packages"] == {"torch": ["2.13.0"]}
    assert content["evaluations"] == {"done": 8, "skipped": 2}
    assert content["cells"] == 8 + 4  # predicts and fits
    assert content["corpora"][0]["name"] == "tiny-sim"
    assert (content["corpora"][0]["rate"], content["corpora"][0]["band"]) == (50, None)
    assert list(content["metric_versions"]) == ["classification"]


def test_svg_has_neither_date_nor_random_ids(files):
    svg = _read(files, "label_efficiency.svg")
    assert "dc:date" not in svg
    assert not re.search(r"\b20[2-9]\d-\d\d-\d\d", svg)


def test_one_fraction_has_no_figure(tmp_path):
    bench = make_bench(tmp_path, label_fractions=(1.0,))
    bench.finish(bench.add("simclr"), bench.noisy(2, 0))
    names = {path.name for path in write_report(bench.plan, bench.store, tmp_path / "results", 50)}
    assert "label_efficiency.svg" not in names
    assert "selection.csv" not in names


def test_nothing_has_run_yet(tmp_path):
    bench = make_bench(tmp_path)
    bench.add("simclr", 0.1)
    bench.add("simclr", 1.0)
    content = _board(write_report(bench.plan, bench.store, tmp_path / "results", 50))
    assert dict(content["suite"]["facts"])["Finished"] == "nothing has run"
    assert content["rows"][0]["missing"][0]["status"] == "missing" and content["fits"] == {}


def test_settings_of_one_corpus_get_folders_of_their_own(tmp_path):
    uses = tuple({"corpus": "tiny-sim", "task": task} for task in ("rhythm", "findings"))
    bench = make_bench(tmp_path, label_fractions=(1.0,), corpora=uses)
    bench.finish(bench.add("simclr"), bench.noisy(2, 0))
    row = bench.add("simclr", task="findings", kind="multi")
    bench.finish(row, bench.noisy(2, 0, "findings"))
    files = write_report(bench.plan, bench.store, tmp_path / "results", 50)
    assert {path.parent.name for path in files} == {"board", "tiny-sim-rhythm", "tiny-sim-findings"}


def test_tables_of_settings_no_longer_reported_go_and_nothing_else_does(tmp_path):
    bench = make_bench(tmp_path, label_fractions=(1.0,))
    bench.finish(bench.add("simclr"), bench.noisy(2, 0))
    suite = tmp_path / "results" / "simulated" / "quick" / "board"
    for name in ("old/board.csv", "old/board.tex", "mine/notes.md", "mixed/no_result.csv", "mixed/photo.jpg"):
        (suite / name).parent.mkdir(parents=True, exist_ok=True)
        (suite / name).write_text("x")
    write_report(bench.plan, bench.store, tmp_path / "results", 50)
    left = {path.relative_to(suite).as_posix() for path in suite.rglob("*") if path.parent != suite}
    assert {name for name in left if not name.startswith("tiny-sim")} == {"mine/notes.md", "mixed/photo.jpg"}
    assert not (suite / "old").exists()
    assert (suite / "tiny-sim" / "board.csv").is_file()


def test_the_page_is_told_everything_once_and_as_text(bench, files):
    content = _board(files)
    assert content["suite"]["title"] == "<b>Every</b> strategy"
    assert content["suite"]["notice"].startswith("None of our numbers here was measured on real ECGs.")
    assert [figure["name"] for figure in content["figures"]][:1] == ["cost_frontier"]
    (section,) = content["sections"]
    assert section["tables"][0]["name"] == "board"
    assert {"cost", "methods", "no_result", "health"} & {table["name"] for table in section["details"]}
    evil = next(row for row in content["rows"] if row["label"] == "evil")
    assert evil["name"] == "<script>alert(1)</script>"
    assert [score["fraction"] for score in evil["scores"]] == [0.1, 1.0]
    assert {run["key"] for run in evil["runs"]} == {
        bench.rows["evil", fraction, seed].key for fraction in (0.1, 1.0) for seed in range(2)
    }
    assert set(content["fits"]) >= {run["fit"] for run in evil["runs"]}
    late = next(row for row in content["rows"] if row["label"] == "late")
    assert (late["scores"], late["missing"][0]["reason"]) == ([], "100% <too> few & far")


def test_scores_on_the_page_are_those_of_the_table(files):
    content = _board(files)
    table = next(csv.DictReader(io.StringIO(_read(files, "board.csv"))))
    row = next(row for row in content["rows"] if row["label"] == table["label"])
    score = row["scores"][-1]
    for name, column in (("mean", "macro_auroc"), ("low", "low"), ("high", "high")):
        assert score[name] == pytest.approx(float(table[column]), abs=1e-6)
    assert score["seed_high"] >= score["mean"] >= score["seed_low"] and score["sd"] is None


def test_the_page_is_one_file_of_all_suites(files):
    results = files[0].parents[4]
    page = write_site(results)
    assert page == results / "board.html"
    assert "<script>alert" not in page.read_text()


def test_every_csv_has_label_and_title(files):
    for path in files:
        if path.suffix == ".csv":
            header = path.read_text().splitlines()[0].split(",")
            assert {"label", "title"} <= set(header), path.name


def test_what_a_report_no_longer_writes_goes_and_what_is_not_its_own_stays(tmp_path):
    bench = make_bench(tmp_path, label_fractions=(1.0,))
    bench.finish(bench.add("simclr"), bench.noisy(2, 0))
    moved = bench.move("simclr", "far-sim")
    bench.finish(moved, bench.noisy(2, 1))
    write_report(bench.plan, bench.store, tmp_path / "results", 50)
    folder = tmp_path / "results" / "simulated" / "quick" / "board"
    assert (folder / "transfer.svg").is_file() and (folder / "tiny-sim" / "transfer.csv").is_file()
    (folder / "mine.txt").write_text("kept")
    outside = tmp_path / "outside.csv"
    outside.write_text("kept")
    (folder / "files.txt").write_text((folder / "files.txt").read_text() + "../../../../outside.csv\n")
    bench.plan.rows.remove(moved)
    write_report(bench.plan, bench.store, tmp_path / "results", 50)
    assert not (folder / "transfer.svg").exists() and not (folder / "tiny-sim" / "transfer.csv").exists()
    assert (folder / "mine.txt").is_file() and outside.is_file() and (folder / "cells.csv").is_file()
