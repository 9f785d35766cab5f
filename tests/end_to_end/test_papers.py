"""The suites of CLOCS and of Mehari & Strodthoff as a user runs them: every row, table, curve, and nothing twice."""

import io
import json

import numpy as np
import pandas as pd
import pytest

from bench.run.store import Store
from bench.run.suite import load_suite
from tests.end_to_end.test_cli import leadboard

SMALL = ["--scale", "smoke", "--records", "200"]
BOTH = ("clocs", "ssl12lead")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("papers")
    options = ["--cache", folder / "cache", "--store", folder / "store", "--results", folder / "results"]
    output = leadboard("run", *BOTH, *SMALL, *options, "--executor", "inline")
    assert "failed" not in output and "blocked" not in output
    return folder, options, output


def written(folder, suite):
    return folder / "results" / "simulated" / "smoke" / suite


def entries(suite):
    """Labels of the rows that a suite evaluates on the corpus it trains on."""
    return {entry.label for entry in load_suite(suite, "smoke").entries if entry.transfer != "only"}


@pytest.mark.parametrize(
    ("suite", "corpus", "tables", "figures"),
    [
        ("clocs", "chapman-sim", {"not_run"}, set()),
        ("ssl12lead", "ptbxl-sim", {"leaderboard", "leak", "noise", "not_run"}, {"noise_robustness"}),
    ],
)
def test_a_run_writes_every_table_and_figure(ran, suite, corpus, tables, figures):
    folder = written(ran[0], suite)
    common = {"board", "cost", "cost_frontier", "classes", "comparisons", "from_scratch", "health", "methods"}
    common |= {"no_result"}
    found = {path.name for path in (folder / corpus).iterdir()}
    assert found == {f"{name}.{form}" for name in tables | common for form in ("csv", "md", "tex")}
    pages = {"board.json", "cells.csv", "files.txt", "provenance.json"} | (
        {"noise.csv"} if figures else set()
    )
    assert {path.name for path in folder.iterdir() if path.is_file()} == pages | {
        f"{name}.{form}" for name in figures for form in ("svg", "png")
    }
    text = (folder / "board.json").read_text()
    assert "SIMULATED" in text and corpus in text


@pytest.mark.parametrize("suite", BOTH)
def test_every_row_of_a_suite_has_a_score(ran, suite):
    cells = pd.read_csv(written(ran[0], suite) / "cells.csv")
    assert set(cells["label"]) == entries(suite)
    assert set(cells["status"]) == {"done"}
    test = cells[cells["part"] == "test"]
    assert test["macro_auroc"].between(0, 1).all()
    assert set(test["label"]) == entries(suite)


def test_frames_are_judged_by_themselves_and_crops_by_record(ran):
    store = Store(ran[0] / "store")
    for suite, columns in (("clocs", ["record", "start", "lead"]), ("ssl12lead", ["record"])):
        cells = pd.read_csv(written(ran[0], suite) / "cells.csv")
        for key in cells["key"].unique()[::5]:
            table = pd.read_parquet(io.BytesIO(store.read(key, "scores.parquet")))
            assert not table.duplicated([*columns, "selection"]).any()
            assert table.duplicated(["record", "selection"]).any() == (suite == "clocs")
            if suite == "clocs":
                assert set(table["lead"]) == {"II", "V2", "aVL", "aVR"}
                assert set(table["start"]) == {0}
        counts = cells[cells["part"] == "test"][["n", "records"]].drop_duplicates()
        assert len(counts) == 1
        assert (counts["n"] == counts["records"] * (4 if suite == "clocs" else 1)).all()


def test_with_all_labels_it_makes_no_difference_to_a_probe_what_they_are_shares_of(ran):
    cells = pd.read_csv(written(ran[0], "clocs") / "cells.csv").query("part == 'test' and selection == 'all'")
    scores = cells.set_index("label")["macro_auroc"]
    ways = cells.set_index("label")["fractions_by"]
    for name in ("cmsc", "cmlc", "cmsmlc", "simclr", "byol"):
        assert (ways[name], ways[f"{name}_frames"]) == ("patients", "frames")
        assert scores[name] == pytest.approx(scores[f"{name}_frames"], abs=1e-6)


def test_the_leak_is_measured_between_rows_that_differ_in_it_alone(ran):
    folder = written(ran[0], "ssl12lead")
    leak = pd.read_csv(folder / "ptbxl-sim" / "leak.csv").set_index("label")
    assert leak["without"].to_dict() == {
        "cpc_overlap": "cpc",
        "cpc_overlap_finetuned": "cpc_finetuned",
        "cpc_overlap_linear": "cpc_linear",
    }
    np.testing.assert_allclose(leak["difference"], leak["score_with"] - leak["score_without"], atol=2e-6)
    store, seen = Store(ran[0] / "store"), {}
    for key in list(store.keys()):
        cell = store.read_json(key, "cell.json")
        if cell["stage"] == "fit" and cell["strategy"]["name"] == "cpc":
            seen[bool(cell["trained_on"])] = json.loads(store.read(key, "fit.json"))["instances"]
    assert seen[True] > seen[False]


def test_noise_lowers_nothing_but_the_test_signals(ran):
    folder = written(ran[0], "ssl12lead")
    noisy = pd.read_csv(folder / "noise.csv")
    quiet = {entry.label for entry in load_suite("ssl12lead", "smoke").entries if not entry.noise}
    assert set(noisy["noise"]) == {2} and set(noisy["part"]) == {"test"}
    assert set(noisy["strategy"]) == {"finetune", "supervised"} and not set(noisy["label"]) & quiet
    clean = (
        pd.read_csv(folder / "cells.csv").query("part == 'test' and selection == 'subset'").set_index("label")
    )
    table = pd.read_csv(folder / "ptbxl-sim" / "noise.csv").set_index("label")
    assert set(table.index) == set(noisy["label"])
    for row in noisy.itertuples():
        assert (
            row.records == clean["records"][row.label] and row.macro_auroc != clean["macro_auroc"][row.label]
        )
        assert table["level_2"][row.label] == pytest.approx(row.macro_auroc, abs=1e-6)
        assert table["clean"][row.label] == pytest.approx(clean["macro_auroc"][row.label], abs=1e-6)


def test_again_it_runs_nothing_and_writes_the_same_bytes(ran):
    folder, options, _ = ran
    files = {path: path.read_bytes() for path in (folder / "results").rglob("*") if path.is_file()}
    output = leadboard("run", *BOTH, *SMALL, *options, "--executor", "inline")
    assert "cells: 0 done" in output
    assert files == {path: path.read_bytes() for path in (folder / "results").rglob("*") if path.is_file()}


def test_pre_training_elsewhere_adds_its_rows_alone_and_a_table_of_them(ran, tmp_path):
    _, options, _ = ran
    moved = ["--corpus", "chapman-sim", "--pretrain-on", "ptbxl-sim", "--strategy", "simclr"]
    places = [*options[:4], "--results", tmp_path / "results"]
    output = leadboard("run", "clocs", *SMALL, *places, *moved, "--executor", "inline")
    assert "cells: 3 done" in output  # a fit, an embedding, a probe
    here = tmp_path / "results" / "simulated" / "smoke" / "clocs"
    table = pd.read_csv(here / "chapman-sim" / "transfer.csv").set_index("label")
    cells = pd.read_csv(here / "cells.csv", keep_default_na=False)
    own = cells.query("label == 'simclr' and part == 'test' and selection == 'subset'").set_index("source")
    assert set(own.index) == {"", "ptbxl-sim"} and set(own["corpus"]) == {"chapman-sim"}
    assert table["here"]["simclr"] == pytest.approx(float(own["macro_auroc"][""]), abs=1e-6)
    assert table["ptbxl-sim"]["simclr"] == pytest.approx(float(own["macro_auroc"]["ptbxl-sim"]), abs=1e-6)
    assert (here / "transfer.png").stat().st_size > 1000
