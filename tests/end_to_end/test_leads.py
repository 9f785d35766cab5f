"""The suites of the Challenge entry and of lead distillation as a user runs them, on simulated and on real ECGs."""

import io
import json

import numpy as np
import pandas as pd
import pytest

from bench.metrics.challenge import CLASSES, best_thresholds, challenge_metric, decide
from bench.run.store import Store
from bench.run.suite import load_suite
from tests.end_to_end.test_cli import leadboard
from tests.realdata import realdata

SMALL = ["--scale", "smoke", "--records", "240", "--executor", "inline"]
BOTH = ("cinc2021", "reduced_leads")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("leads")
    options = ["--cache", folder / "cache", "--store", folder / "store", "--results", folder / "results"]
    output = leadboard("run", *BOTH, *SMALL, *options)
    assert "failed" not in output and "blocked" not in output
    return folder, options


def written(folder, suite):
    return folder / "results" / "simulated" / "smoke" / suite


@pytest.mark.parametrize(
    ("suite", "folder", "names"),
    [
        ("cinc2021", "cinc2021-sim", {"table1", "table2", "figure3", "leads", "leads_challenge"}),
        ("reduced_leads", "ptbxl-sim", {"table1", "leads"}),
    ],
)
def test_tables_across_lead_sets_stand_in_the_corpus_s_own_folder(ran, suite, folder, names):
    found = {path.name for path in (written(ran[0], suite) / folder).iterdir()}
    assert found == {f"{name}.{form}" for name in names for form in ("csv", "md", "tex")}


def test_every_row_of_both_suites_has_a_score(ran):
    for suite in BOTH:
        cells = pd.read_csv(written(ran[0], suite) / "cells.csv")
        assert set(cells["status"]) == {"done"}
        assert set(cells["label"]) == {entry.label for entry in load_suite(suite, "smoke").entries}
    pairs = cells[["lead_set", "eval_lead_set"]]
    assert (pairs["lead_set"] == pairs["eval_lead_set"]).all()


def test_the_six_lead_base_model_is_one_cell_for_ablation_lead_sets_and_masks(ran):
    cells = pd.read_csv(written(ran[0], "cinc2021") / "cells.csv").query("label == 'base' and part == 'test'")
    pairs = set(zip(cells["lead_set"], cells["eval_lead_set"], strict=True))
    own = {(name, name) for name in ("all-12", *(f"challenge-{x}" for x in (6, 4, 3, 2)))}
    assert own < pairs and ("all-12", "challenge-2") in pairs and ("challenge-4", "challenge-3") in pairs
    tables = [pd.read_csv(written(ran[0], "cinc2021") / "cinc2021-sim" / f"table{n}.csv") for n in (1, 2)]
    first = tables[0].set_index("row")["challenge_metric"]["Base model"]
    second = tables[1].query("lead_set == 'challenge-6'")["challenge_metric"].dropna()
    assert set(second.round(9)) == {round(first, 9)}


def test_the_printed_challenge_metric_is_that_of_the_stored_scores(ran):
    store, folder = Store(ran[0] / "store"), written(ran[0], "cinc2021")
    table = pd.read_csv(folder / "cinc2021-sim-scored26-challenge-6" / "challenge.csv")
    cells = pd.read_csv(folder / "cells.csv").query(
        "part == 'test' and selection == 'subset' and eval_lead_set == 'challenge-6' and lead_set == 'challenge-6'"
    )
    keys = cells.set_index(["label", "fraction"])["key"]
    for label, fraction, printed in zip(
        table["label"], table["fraction"], table["unmasked_challenge_metric"], strict=True
    ):
        key = keys[label, fraction]
        scores = pd.read_parquet(io.BytesIO(store.read(key, "scores.parquet"))).query("selection == 'subset'")
        parts = {}
        for part in ("val", "test"):
            rows = scores[scores["part"] == part]
            parts[part] = tuple(
                rows[[f"{what}:{name}" for name in CLASSES]].to_numpy() for what in ("target", "score")
            )
        decided = decide(parts["test"][1], best_thresholds(*parts["val"]))
        assert printed == pytest.approx(challenge_metric(parts["test"][0], decided), abs=1e-6)


def test_a_distilled_model_s_target_is_the_twelve_lead_fit_beside_it(ran):
    store, cells = Store(ran[0] / "store"), pd.read_csv(written(ran[0], "reduced_leads") / "cells.csv")
    fits = {}
    for key in list(store.keys()):
        cell = store.read_json(key, "cell.json")
        if cell["stage"] == "fit":
            fits[key] = cell
    distilled = [cell for cell in fits.values() if cell["strategy"]["name"] == "lead_distillation"]
    assert {cell["lead_set"] for cell in distilled} == set(
        cells.query("label == 'lead_distillation'")["lead_set"]
    )
    for cell in distilled:
        target = store.read_json(cell["parents"]["target"], "cell.json")
        assert target["parents"]["fit"] == cell["parents"]["classifier"]
        assert fits[cell["parents"]["classifier"]]["lead_set"] == "all-12"
        assert fits[cell["parents"]["classifier"]]["seed_index"] == cell["seed_index"]


def test_again_it_runs_nothing_and_writes_the_same_bytes(ran):
    folder, options = ran
    files = {path: path.read_bytes() for path in (folder / "results").rglob("*") if path.is_file()}
    assert "cells: 0 done" in leadboard("run", *BOTH, *SMALL, *options)
    assert files == {path: path.read_bytes() for path in (folder / "results").rglob("*") if path.is_file()}


def test_any_strategy_of_the_board_is_trained_and_evaluated_with_the_lead_sets_asked_for(ran, tmp_path):
    _, options = ran
    places = [*options[:4], "--results", tmp_path / "results"]
    leads = ["--lead-set", "all-12", "--lead-set", "lead-II", "--eval-lead-set", "lead-II"]
    asked = ["--strategy", "simclr", "--strategy", "clocs_lead", *leads]
    leadboard("run", "board", *SMALL, *places, *asked)
    folder = tmp_path / "results" / "simulated" / "smoke" / "board"
    cells = pd.read_csv(folder / "cells.csv").query("label in ('simclr', 'clocs_lead') and part == 'test'")
    done = cells[cells["status"] == "done"]
    assert {*zip(done["lead_set"], done["eval_lead_set"], strict=True)} == {
        ("all-12", "all-12"),
        ("all-12", "lead-II"),
        ("lead-II", "lead-II"),
    }
    table = pd.read_csv(folder / "chapman-sim" / "leads.csv").query("label == 'simclr'")
    assert len(table) == 2 and np.isfinite(table.filter(like="macro_auroc").to_numpy(float)).any()


def test_the_real_slices_of_the_challenge_run_end_to_end(tmp_path):
    data = realdata("cinc2021").parent
    places = ["--cache", tmp_path / "cache", "--store", tmp_path / "store", "--results", tmp_path / "results"]
    asked = ["--strategy", "base", "--corpus", "cinc2021", "--data", data]
    output = leadboard("run", "cinc2021", *SMALL, *places, *asked)
    assert "failed" not in output
    folder = tmp_path / "results" / "real" / "smoke" / "cinc2021"
    table = pd.read_csv(folder / "cinc2021-scored26-challenge-6" / "challenge.csv").set_index("label")
    assert -10 < table["known_challenge_metric"]["base"] <= 1
    origin = json.loads((folder / "provenance.json").read_text())
    assert "cinc2021 (48 of 88,253)" in json.dumps(origin)
