import csv
import io
import json
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from bench.report.board_groups import group_columns
from bench.report.group_rows import BASELINES, FLOORS, STRATEGIES, VARIANTS, Numbers
from bench.report.group_summary import GroupSummary, build_group_frame, summarise_groups
from bench.report.group_tables import group_tables
from bench.report.group_views import GroupViews
from bench.report.stats import over_seeds
from bench.report.tables import NOTHING
from bench.report.write import write_report
from bench.train.budget import InputSpec
from tests.report.group_cells import add_group, finish_group, ranking, swapped, units
from tests.report.hand_made import Bench, make_bench

RESAMPLES = 40
PICKS = {q: list(range(10)) for q in range(6)}


def _filled(folder: Path, **suite) -> Bench:
    """Two strategies and a baseline; the second strategy has one wrong unit more; two of eight sets cannot ask."""
    bench = make_bench(folder, **{"groupings": ("kmeans", "means"), "scores": False, **suite})
    for wrong, (label, origin) in enumerate(
        (("good", "strategy"), ("fair", "strategy"), ("plain", "baseline"))
    ):
        for seed in range(2):
            for grouping in ("kmeans", "means"):
                row = add_group(bench, label, grouping, seed, origin=origin)
                table = swapped(units(bench), wrong + seed)
                asked = ranking(table, PICKS) if grouping == "means" else None
                finish_group(bench, row, table, rankings=asked)
    add_group(bench, "sex", "own", 0, ("sex",), skipped="a < b & c")
    return bench


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Bench:
    return _filled(tmp_path_factory.mktemp("tables"))


@pytest.fixture(scope="module")
def tables(bench):
    return {table.name: table for table in group_tables(_summary(bench), bench.plan.suites[0])}


def _summary(bench: Bench) -> GroupSummary:
    frame = build_group_frame(bench.plan, bench.store, RESAMPLES)
    return summarise_groups(frame, GroupViews(bench.store, RESAMPLES))[0]


def _texts(table, title: str, groups: str = "") -> dict[str, str]:
    """Cells of a row by column head."""
    heads = [column.head for column in table.columns]
    row = next(r for r in table.rows if r.cells[0].text == title and r.cells[1].text.startswith(groups))
    assert len(row.cells) == len(heads)
    return dict(zip(heads, (cell.text for cell in row.cells), strict=True))


def test_the_tables(tables):
    names = ["clustering_class", "clustering_sex", "clustering_age", "retrieval", "retrieval_val"]
    assert list(tables) == [*names, "retrieval_patients"]
    assert all(table.title.startswith("SIMULATED DATA.") for table in tables.values())


def test_accuracies_are_percent_with_their_spread(bench, tables):
    n = int((units(bench)["part"] == "test").sum())
    texts = _texts(tables["clustering_class"], "Fair", "k-means")
    assert texts["Acc, test"] == f"{100 * (1 - 1.5 / n):.1f}"
    assert texts["range over 2 seeds"] == f"{100 * (1 - 2 / n):.1f} to {100 * (1 - 1 / n):.1f}"
    assert texts["identity"] == f"{100 * 1.5 / n:.1f}"
    assert texts["ids used"] == "2 of 2"
    assert "AMI with lead" not in texts
    data = next(r.data for r in tables["clustering_class"].rows if r.data["label"] == "fair")
    assert data["acc"] == pytest.approx(1 - 1.5 / n) and data["low"] <= data["acc"] <= data["high"]


def test_blocks_and_emphasis(tables):
    blocks = {
        name: [(r.cells[0].text, r.cells[4].emphasis) for r in rows]
        for name, rows in tables["clustering_class"].blocks()
    }
    assert (
        blocks[STRATEGIES] == [("Good", "best")] * 2 + [("Fair", "")] * 2
    )  # no second behind two that are best
    assert blocks[BASELINES] == [("Plain", "")] * 2
    assert [name for name, _ in blocks[FLOORS]] == ["constant class", "majority class", "random ids"]
    assert not any(emphasis for _, emphasis in blocks[FLOORS])


def test_a_row_is_judged_only_by_what_it_seeks(tables):
    assert NOTHING not in dict(tables["clustering_class"].blocks())
    ((row,), notes) = dict(tables["clustering_sex"].blocks())[NOTHING], tables["clustering_sex"].footnotes
    assert [cell.text for cell in row.cells[:4]] == ["Sex", "own groups", "none", "skipped"]
    assert [notes[number - 1] for number in row.cells[3].notes] == ["skipped: a < b & c"]


def _stub(values, floor, low=float("nan")):
    """Numbers of entries 'a', 'b', ... in the test part, with one floor and, of accuracies, an interval from `low`."""
    summary = SimpleNamespace(
        value=lambda label, *place: over_seeds([values[label]]),
        interval=lambda *place: (low, 1.0) if place[-1] == "acc" else (float("nan"),) * 2,
        floors=lambda part, attribute: {"majority": {"acc": floor, "ami": floor}},
    )
    entries = [SimpleNamespace(label=k, grouping="own", place=(k, "own"), reads_off=True) for k in values]
    return Numbers(summary, "test", "class"), entries


@pytest.mark.parametrize(
    ("metric", "values", "floor", "low", "marks"),
    [
        ("ami", {"a": 0.9, "b": 0.8, "c": 0.7}, 0.1, 0, {"a": "best", "b": "second"}),
        ("ami", {"a": 0.9001, "b": 0.9, "c": 0.7}, 0.1, 0, {"a": "best", "b": "best"}),  # printed alike
        ("ami", {"a": 0.9, "b": 0.8}, 0.8, 0, {"a": "best"}),
        ("acc", {"a": 0.9, "b": 0.8}, 0.75, 0.7, {}),  # the floor lies in both intervals
        ("acc", {"a": 0.9, "b": 0.8}, 0.65, 0.7, {"a": "best", "b": "second"}),
        ("ami", {"a": 0.9, "b": 0.9}, 0.1, 0, {}),
        ("ami", {"a": 0.0004, "b": -0.1}, 0.0, 0, {}),  # prints as the floor does
    ],
)
def test_emphasis_is_by_what_is_printed_and_above_the_floors(metric, values, floor, low, marks):
    numbers, entries = _stub(values, floor, low)
    assert numbers.emphasis(entries, metric) == {(label, "own"): mark for label, mark in marks.items()}


def test_variants_stand_apart_and_the_rest_is_ordered_by_validation(tmp_path):
    bench = make_bench(tmp_path, groupings=("means",), scores=False)
    # wrong units in validation and in test; 'alone' is of a strategy that has no row under its own name
    wrong = {
        "b_first": ("b", 0, 0),
        "a": ("a", 3, 1),
        "b": ("b", 2, 2),
        "b_last": ("b", 4, 4),
        "alone": ("c", 1, 3),
    }
    for label, (strategy, val, test) in wrong.items():
        row = add_group(bench, label, "means", strategy=strategy, needs=("labels", "demographics"))
        table = swapped(units(bench), val)
        tested = swapped(units(bench), test).query("part == 'test'")
        table = pd.concat([table[table["part"] != "test"], tested])
        finish_group(bench, row, table, stands=[[1, 1, 1], [0, 0, 0]], rankings=ranking(table, PICKS))
    tables = {table.name: table for table in group_tables(_summary(bench), bench.plan.suites[0])}
    for name in ("clustering_class", "clustering_sex"):
        blocks = {block: [r.data["label"] for r in rows] for block, rows in tables[name].blocks()}
        assert blocks[STRATEGIES] == ["alone", "b", "a"]
        assert blocks[VARIANTS] == ["b_first", "b_last"]
    texts = {r.data["label"]: r for r in tables["clustering_class"].rows}
    assert [texts[label].cells[3].emphasis for label in wrong] == ["", "", "second", "", "best"]
    for table in tables.values():
        row = next(r for r in table.rows if r.data["label"] == "a")
        assert row.cells[2].text == "demographics, labels"
        assert row.data["paid_for"] == "demographics labels" and table.columns[2].head == "paid for"
    heads = [column.head for column in tables["clustering_class"].columns]
    assert texts["a"].cells[heads.index("identity")].text == "–" and texts["a"].data["acc_identity"] is None


def test_retrieval_counts_hits_and_says_who_could_not_ask(tables):
    table = tables["retrieval"]
    texts = _texts(table, "Good", "means of attribute sets")
    # the first eight units have every combination once; six of the eight sets ask
    assert texts["P@10, =3"] == texts["P@10, ≥1"] == "75.0"
    assert texts["P@1, =3"] == "12.5"  # unit 0 is the set 0
    assert texts["distinct top-1"] == "1 of 8"
    assert any(note.startswith("6 of 8 attribute sets could ask") for note in table.footnotes)
    assert not any(cell.emphasis for r in table.rows for cell in r.cells)
    constant = _texts(table, "constant query")
    assert (constant["P@1, ≥1"], constant["P@1, =3"], constant["P@5, ≥1"]) == ("87.5", "12.5", "–")
    assert {row.cells[1].text for row in table.rows if row.block == STRATEGIES} == {
        "means of attribute sets (TP)"
    }
    assert "8 attribute sets ask: one query of one of 2 seeds moves a number by 6.2 points." in table.caption
    data = next(row.data for row in table.rows if row.data["label"] == "good")
    assert (data["precision_at_10/3_seed_low"], data["precision_at_10/3_seed_high"]) == (0.75, 0.75)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({}, "test records and"),
        ({"aggregation": "none", "window": 50}, "all leads of one window of 50 samples"),
        ({"aggregation": "none", "window": 50, "instance": "lead"}, "one lead of one window of 50 samples"),
    ],
)
def test_captions_say_what_is_judged(bench, spec, told):
    suite = bench.plan.suites[0].model_copy(update={"input": InputSpec(rate=50, **spec)})
    caption = next(t.caption for t in group_tables(_summary(bench), suite) if t.name == "clustering_class")
    assert told in caption
    assert "Hungarian method, fitted on the label subset of the training part" in caption
    assert "They hold for these 2 trained encoders a row" in caption
    assert all(caption.count(words) == 1 for words in ("CP (clinical", "TP (traditional"))


def test_the_report_of_a_suite_without_scores_is_whole_and_repeats_itself(bench, tmp_path):
    files = write_report(bench.plan, bench.store, tmp_path / "one", RESAMPLES)
    again = write_report(bench.plan, bench.store, tmp_path / "two", RESAMPLES)
    assert [path.read_bytes() for path in files] == [path.read_bytes() for path in again]
    found = {path.relative_to(tmp_path / "one/simulated/quick/board").as_posix(): path for path in files}
    tables = ("clustering_class", "retrieval", "no_result", "methods", "cost")
    assert {f"tiny-sim/{name}.{form}" for name in tables for form in ("csv", "md", "tex")} <= set(found)
    assert {"board.json", "groups.csv", "provenance.json"} <= set(found) and "cells.csv" not in found
    (section,) = json.loads(found["board.json"].read_text())["sections"]
    headings = {where: [table["heading"] for table in section[where]] for where in ("tables", "details")}
    assert headings["tables"] == ["Groups against class", "Retrieval, test part"]
    assert {"Retrieval, validation part", "Groups against sex"} <= set(headings["details"])
    assert "a < b & c" in found["board.json"].read_text()
    rows = list(csv.DictReader(io.StringIO(found["groups.csv"].read_text())))
    rates = [name for name in rows[0] if name.startswith("precision_at") and name.endswith("/1")]
    assert rates == ["precision_at_1/1", "precision_at_5/1", "precision_at_10/1"]
    done = 3 * 2 * (3 + 4) * 2  # entries, seeds, attributes (of means also 'set'), parts
    assert len(rows) == done + 1
    one = next(
        r
        for r in rows
        if (r["label"], r["grouping"], r["part"], r["attribute"]) == ("good", "means", "test", "set")
    )
    assert (float(one["precision_at_10/3"]), one["acc"], one["clusters"]) == (0.75, "", "8")


def test_the_board_has_a_column_for_each_grouping(tmp_path):
    bench = _filled(tmp_path / "bench", scores=True, label_fractions=(1.0,))
    bench.finish(bench.add("good"), bench.noisy(2, 0))
    bench.finish(bench.add("other"), bench.noisy(3, 0))
    files = {path.name: path for path in write_report(bench.plan, bench.store, tmp_path / "out", RESAMPLES)}
    rows = {row["label"]: row for row in csv.DictReader(io.StringIO(files["board.csv"].read_text()))}
    n = int((units(bench)["part"] == "test").sum())
    assert float(rows["good"]["kmeans_acc"]) == pytest.approx(1 - 0.5 / n, abs=1e-6)
    assert float(rows["good"]["means_precision_at_5_2"]) == 0.75
    assert rows["other"]["kmeans_acc"] == ""
    board = files["board.md"].read_text()
    assert "k-means Acc" in board and "P@5, 2 of 3" in board
    assert {"cells.csv", "groups.csv", "clustering_class.csv", "retrieval_patients.tex"} <= set(files)
    (section,) = json.loads(files["board.json"].read_text())["sections"]
    assert "Groups against class" in [table["heading"] for table in section["details"]]
    assert ",Sex," in files["no_result.csv"].read_text()
    assert f"over the {n} test records of exactly one class" in board and "majority class 50.0" in board
    assert f"of 8 attribute sets those whose mean embedding has at least one of {n} test records" in board
    assert "random retrieval" in board


def test_constant_embeddings_have_no_number_on_the_board(tmp_path):
    bench = _filled(tmp_path / "bench", scores=True, label_fractions=(1.0,))
    for grouping in ("kmeans", "means"):
        table = units(bench).assign(**{f"id:{name}": 1 for name in ("class", "sex", "age")})
        asked = ranking(table, {q: [3] for q in range(8)}) if grouping == "means" else None
        finish_group(bench, add_group(bench, "flat", grouping), table, rankings=asked)
    for label in ("good", "flat"):
        bench.finish(bench.add(label), bench.noisy(2, 0))
    (groups,) = summarise_groups(
        build_group_frame(bench.plan, bench.store, RESAMPLES), GroupViews(bench.store, RESAMPLES)
    )
    found = [[column.value(groups, label) for column in group_columns(groups)] for label in ("good", "flat")]
    assert None not in found[0] and found[1] == [None, None]
