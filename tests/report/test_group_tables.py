import csv
import io
from pathlib import Path

import pytest

from bench.report.group_summary import GroupSummary, build_group_frame, summarise_groups
from bench.report.group_tables import FLOORS, group_tables
from bench.report.group_views import GroupViews
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
        name: [(r.cells[0].text, r.cells[3].emphasis) for r in rows]
        for name, rows in tables["clustering_class"].blocks()
    }
    assert blocks["strategies"] == [("Good", "best")] * 2 + [("Fair", "second")] * 2
    assert blocks["baselines"] == [("Plain", "")] * 2
    assert [name for name, _ in blocks[FLOORS]] == ["constant class", "majority class", "random ids"]
    assert not any(emphasis for _, emphasis in blocks[FLOORS])


def test_a_row_is_judged_only_by_what_it_seeks(tables):
    assert NOTHING not in dict(tables["clustering_class"].blocks())
    ((row,), notes) = dict(tables["clustering_sex"].blocks())[NOTHING], tables["clustering_sex"].footnotes
    assert (row.cells[0].text, row.cells[1].text, row.cells[2].text) == (
        "Sex",
        "own groups (CP)",
        "skipped",
    )
    assert [notes[number - 1] for number in row.cells[2].notes] == ["skipped: a < b & c"]


def test_retrieval_counts_hits_and_says_who_could_not_ask(tables):
    table = tables["retrieval"]
    texts = _texts(table, "Good", "attribute-set means")
    # the first eight units have every combination once; six of the eight sets ask
    assert texts["P@10, =3"] == texts["P@10, ≥1"] == "75.0"
    assert texts["P@1, =3"] == "12.5"  # unit 0 is the set 0
    assert texts["distinct top-1"] == "1 of 8"
    assert any(note.startswith("6 of 8 attribute sets could ask") for note in table.footnotes)
    assert not any(r.cells[2].emphasis for r in table.rows)  # all the same
    constant = _texts(table, "constant query")
    assert (constant["P@1, ≥1"], constant["P@1, =3"], constant["P@5, ≥1"]) == ("87.5", "12.5", "–")
    assert {row.cells[1].text for row in table.rows if row.block == "strategies"} == {
        "attribute-set means (TP)"
    }


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


def test_the_report_of_a_suite_without_scores_is_whole_and_repeats_itself(bench, tmp_path):
    files = write_report(bench.plan, bench.store, tmp_path / "one", RESAMPLES)
    again = write_report(bench.plan, bench.store, tmp_path / "two", RESAMPLES)
    assert [path.read_bytes() for path in files] == [path.read_bytes() for path in again]
    found = {path.relative_to(tmp_path / "one/simulated/quick/board").as_posix(): path for path in files}
    tables = ("clustering_class", "retrieval", "no_result", "methods", "cost")
    assert {f"tiny-sim/{name}.{form}" for name in tables for form in ("csv", "md", "tex")} <= set(found)
    assert {"board.html", "groups.csv", "provenance.json"} <= set(found) and "cells.csv" not in found
    page = found["board.html"].read_text()
    full, _, folded = page.partition("<details")
    assert "Groups against class" in full and "Retrieval by attribute set, test part:" in full
    assert "Groups against sex" in folded and "a &lt; b &amp; c" in folded
    rows = list(csv.DictReader(io.StringIO(found["groups.csv"].read_text())))
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
    assert "Groups against class" in files["board.html"].read_text().partition("<details")[2]
    assert "Sex, CP" in files["no_result.csv"].read_text()
