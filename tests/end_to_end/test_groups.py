"""The CROCS suite as a user runs it: tables, figures and groups, on simulated and real records."""

import io

import numpy as np
import pandas as pd
import pytest

from bench.run.store import Store
from tests.end_to_end.test_cli import SMALL, leadboard
from tests.realdata import realdata

FEW = [f"--strategy={name}" for name in ("crocs", "deepcluster", "dtcr_sex", "kmeans_raw", "random_encoder")]
TABLES = ("table1a", "table1b", "table2", "table3a", "table3b", "ablation_beta", "ablation_embedding")


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("groups")
    options = ["--cache", folder / "cache", "--store", folder / "store", "--results", folder / "results"]
    output = leadboard("run", "crocs", *SMALL, *options, *FEW, "--executor", "inline")
    return folder, options, output


def suite_folder(folder):
    return folder / "results" / "simulated" / "smoke" / "crocs"


def test_a_run_writes_every_table_and_says_what_is_missing(ran):
    folder, _, output = ran
    assert "failed" not in output
    files = {path.name for path in suite_folder(folder).rglob("*") if path.is_file()}
    assert {f"{name}.{form}" for name in TABLES for form in ("csv", "md", "tex")} <= files
    assert {"groups.csv", "board.json", "retrieval.csv", "clustering_class.csv"} <= files
    table = pd.read_csv(suite_folder(folder) / "chapman-sim" / "table1a.csv")
    published = table.set_index("row")["class_acc_published"].dropna()
    assert published.to_dict() == {
        **{"SeLA": 21.0, "DC": 21.0, "IIC": 27.0, "DTCR": 29.3, "DTC": 53.4, "KM raw": 28.4, "KM EP": 65.6},
        **{"KM CROCS": 73.4, "TP CROCS": 80.3, "CP CROCS": 90.3},
    }
    assert table["simulated"].all()
    page = (suite_folder(folder) / "board.json").read_text()
    assert "SIMULATED" in page and "not run yet" in page


def test_numbers_of_the_table_follow_from_the_stored_groups(ran):
    folder, _, _ = ran
    groups = pd.read_csv(suite_folder(folder) / "groups.csv")
    store = Store(folder / "store")
    row = groups.query("label == 'crocs' and grouping == 'own' and part == 'test' and attribute == 'class'")
    units = pd.read_parquet(io.BytesIO(store.read(row["key"].iloc[0], "assignments.parquet")))
    stands = np.array(store.read_json(row["key"].iloc[0], "grouping.json")["stands"])
    test = units[(units["part"] == "test") & (units["class"] >= 0)]
    right = stands[test["id:class"].to_numpy(), 0] == test["class"].to_numpy()
    assert row["acc"].iloc[0] == pytest.approx(right.mean(), abs=1e-6)
    assert row["n"].iloc[0] == len(test)


def test_ten_percent_of_the_labels_means_ten_percent_of_the_records(ran):
    folder, options, _ = ran
    leadboard("run", "crocs", *SMALL, *options, "--strategy=crocs_10", "--executor", "inline")
    store = Store(folder / "store")
    keys = list(store.keys())
    fits = [store.read_json(key, "fit.json") for key in keys if (store.folder(key) / "fit.json").exists()]
    sizes = {
        fit["cell"]["subset"]["fraction"]: fit["instances"]
        for fit in fits
        if fit["cell"]["strategy"]["name"] == "crocs"
    }
    assert sizes[0.1] == pytest.approx(0.1 * sizes[1.0], rel=0.3)


def test_again_it_runs_nothing_and_writes_the_same_bytes(ran):
    folder, options, _ = ran
    written = suite_folder(folder)
    leadboard("report", "crocs", *SMALL, *options)
    files = {p: p.read_bytes() for p in written.rglob("*") if p.is_file()}
    output = leadboard("run", "crocs", *SMALL, *options, *FEW, "--executor", "inline")
    assert "cells: 0 done" in output
    assert files == {p: p.read_bytes() for p in written.rglob("*") if p.is_file()}


def test_the_real_slice_runs_and_says_what_it_is(tmp_path):
    data = realdata("ptbxl")
    options = [
        "--cache",
        tmp_path / "cache",
        "--store",
        tmp_path / "store",
        "--results",
        tmp_path / "results",
    ]
    few = [f"--strategy={name}" for name in ("crocs", "kmeans_raw")]
    arguments = ["--scale", "smoke", "--corpus", "ptbxl", "--data", data, *options, *few]
    output = leadboard("run", "crocs", *arguments, "--executor", "inline")
    assert "failed" not in output
    table = pd.read_csv(tmp_path / "results" / "real" / "smoke" / "crocs" / "ptbxl" / "table1a.csv")
    assert set(table["corpus"]) == {"ptbxl"}
    assert set(table.loc[table["row"] == "CP CROCS", "verdict"]) == {"not comparable"}
    text = (tmp_path / "results" / "real" / "smoke" / "crocs" / "ptbxl" / "table1a.md").read_text()
    assert "ptbxl (488 of 21,837" in text
