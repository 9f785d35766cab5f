import csv
import io
from dataclasses import replace

import pytest

from bench.report import words
from bench.report.grid_tables import ELSEWHERE
from bench.report.paper_common import OURS, PUBLISHED
from bench.report.published import layouts
from bench.report.table import to_csv, to_markdown
from bench.report.views import ReportError
from bench.run.cell import EncoderSpec
from bench.run.suite import CorpusUse
from tests.report.hand_grids import (
    GRID,
    HERE,
    STEPS,
    TRANSFER,
    UNREAD,
    add,
    corpus,
    notes_of,
    real_bench,
    relaid,
    rows_of,
    shown,
    tables_of,
    transferred,
    write_paper,
)
from tests.report.hand_made import make_bench


@pytest.fixture
def paper(tmp_path, monkeypatch):
    return write_paper(tmp_path, monkeypatch)


def test_ours_stands_beside_the_number_of_its_row_column_and_label_fraction(tmp_path, paper):
    bench = real_bench(tmp_path)
    add(bench, "a", 0.5, noise=3.0)
    add(bench, "a", 1.0)
    table = tables_of(bench)["grid"]
    rows = rows_of(table)
    half, whole = rows["A", "here", 0.5], rows["A", "here", 1.0]
    assert (half["published"], half["published_spread"]) == (0.611, 0.012)
    assert (whole["published"], whole["published_spread"]) == (0.622, 0.013)
    assert half["macro_auroc"] != whole["macro_auroc"]
    assert half["seeds"] == 2
    assert whole["difference"] == pytest.approx(100 * (whole["macro_auroc"] - 0.622))
    cells = shown(table, "A", published_on="here", fraction=1.0)
    assert cells["published"].text == "62.2"
    assert cells["our entry"].text == "A"
    assert cells["ours"].text == f"{100 * whole['macro_auroc']:.1f}"
    assert cells["± as printed"].text == "± 1.3"
    assert cells["labels"].text == "100\u00a0%"
    assert cells["published on"].text == "Here"
    assert cells["ours − published"].text.replace("−", "-") == f"{whole['difference']:+.1f}"


def test_same_near_and_what_a_row_differs_in(tmp_path, paper):
    bench = real_bench(tmp_path)
    add(bench, "a")
    add(bench, "b")
    table = tables_of(bench)["grid"]
    rows = rows_of(table)
    assert (rows["A", "here", 1.0]["verdict"], rows["A", "here", 1.0]["because"]) == ("same", "")
    assert rows["B", "here", 1.0]["verdict"] == "near"
    assert rows["B", "here", 1.0]["because"] == "In this row differ: its views"
    relaid(paper, checks=[{**STEPS, "published": 99}])
    because = rows_of(tables_of(bench)["grid"])["B", "here", 1.0]["because"]
    assert because == "Conditions that differ: steps 100 (published: 99) | In this row also differ: its views"


def test_conditions_of_a_row_in_one_column_replace_the_tables(tmp_path, paper):
    rows = [
        {
            "row": "A",
            "label": "a",
            "where": {"here": {"checks": [{**STEPS, "published": 5}], "differs": ["it"]}},
        }
    ]
    checks = [{**STEPS, "published": 99}]
    relaid(paper, rows=[*rows, *GRID["rows"][1:]], checks=checks, footnotes={"all": "On all"})
    bench = real_bench(tmp_path)
    add(bench, "a")
    add(bench, "a", source="far")
    rows = rows_of(tables_of(bench)["grid"])
    assert rows["A", "here", 1.0]["because"] == "In this row differ: steps 100 (published: 5); it"
    assert rows["A", "far->here", 1.0]["because"] == "Conditions that differ: steps 100 (published: 99)"


def test_no_difference_where_nothing_can_be_compared(tmp_path, paper):
    bench = make_bench(
        tmp_path,
        name="paper",
        label_fractions=(1.0,),
        encoder=EncoderSpec(name="net_s", arguments={"dim": 8}),
    )
    add(bench, "a")
    table = tables_of(bench)["grid"]
    row = rows_of(table)["A", "here", 1.0]
    assert row["published"] == 0.622
    assert row["macro_auroc"] > 0.5
    assert (row["difference"], row["verdict"]) == (None, "not comparable")
    assert row["because"] == "Not comparable: ours is measured on a simulated cohort; ours is at scale quick"
    assert shown(table, "A", fraction=1.0)["ours − published"].text == "–"
    assert table.title.startswith("SIMULATED DATA. Paper, Table 9 (linear): macro one-vs-rest AUROC")


def test_a_transfer_is_found_by_the_corpus_it_comes_from(tmp_path, paper):
    bench = real_bench(tmp_path / "bench", label_fractions=(1.0,))
    add(bench, "a", noise=0.5)
    transferred(bench, "a", corpus(tmp_path / "far", "far"))
    add(bench, "a", noise=5.0, source="other")
    add(bench, "scratch")
    rows = rows_of(tables_of(bench)["grid"])
    assert (rows["A", "far->here", 1.0]["source"], rows["A", "far->here", 1.0]["seeds"]) == ("far", 1)
    assert rows["A", "far->here", 1.0]["verdict"] == "same"
    assert "source" not in rows["A", "here", 1.0]
    assert rows["A", "here", 1.0]["seeds"] == 2
    assert rows["Scratch", "far->here", 1.0]["label"] == "scratch"
    assert rows["Scratch", "far->here", 1.0]["difference"] is not None
    assert rows["B", "far->here", 1.0]["because"] == "The run did not ask for 'b'"


def test_a_label_that_is_there_from_another_corpus_only_is_not_said_to_be_missing(tmp_path, paper):
    bench = real_bench(tmp_path, label_fractions=(1.0,))
    add(bench, "a", source="other")
    add(bench, "b")
    relaid(paper, columns=[HERE, {**TRANSFER, "source": "ptbxl"}, UNREAD])
    rows = rows_of(tables_of(bench)["grid"])
    assert rows["A", "here", 1.0]["because"] == "Not pre-trained on this corpus in this run"
    assert rows["A", "far->here", 1.0]["because"] == "Not pre-trained on PTB-XL in this run"
    assert rows["B", "far->here", 1.0]["because"] == "Not pre-trained on PTB-XL in this run"
    assert rows["Scratch", "here", 1.0]["because"] == "The run did not ask for 'scratch'"


def test_checks_know_the_fit_that_is_judged_from_the_one_it_starts_from(tmp_path, paper):
    first = {"what": "first steps", "path": "pretraining.budget.steps", "published": 8}
    relaid(paper, checks=[STEPS, first, {"what": "from", "path": "source.name", "published": "nowhere"}])
    bench = real_bench(tmp_path / "bench", label_fractions=(1.0,))
    transferred(bench, "a", corpus(tmp_path / "far", "far"))
    add(bench, "b")
    rows = rows_of(tables_of(bench)["grid"])
    differ = "Conditions that differ: first steps {} (published: 8); from {} (published: nowhere)"
    assert rows["A", "far->here", 1.0]["because"] == differ.format(7, "far")
    assert rows["B", "here", 1.0]["because"].startswith(differ.format(100, "tiny"))
    row = bench.add("scratch")
    fit = bench.plan.jobs[row.fit_key].cell.model_copy(update={"task": "rhythm"})
    judged = bench.plan.jobs[row.key].cell.model_copy(update={"parents": {"fit": fit.key()}})
    bench.plan.jobs |= {c.key(): replace(bench.plan.jobs[row.key], cell=c) for c in (fit, judged)}
    bench.plan.rows[-1] = replace(row, key=judged.key(), fit_key=fit.key())
    bench.finish(bench.plan.rows[-1], bench.noisy(1.0, 0))
    because = rows_of(tables_of(bench)["grid"])["Scratch", "far->here", 1.0]["because"]
    assert "first steps" not in because
    assert "from tiny" in because


@pytest.mark.parametrize(
    ("source", "wanted", "reason"),
    [
        ({"simulated": True}, 60, "ours was pre-trained on a simulated cohort"),
        ({"records": 50}, 60, "ours was pre-trained on 50 of the published 60 records"),
        ({"records": 60}, 60, ""),
        ({"records": 50}, 0, ""),
    ],
)
def test_a_pretraining_on_less_than_the_published_cohort_cannot_be_compared(
    tmp_path, paper, source, wanted, reason
):
    relaid(paper, columns=[HERE, {**TRANSFER, "source": "far", "pretraining_records": wanted}, UNREAD])
    bench = real_bench(tmp_path / "bench", label_fractions=(1.0,))
    name = "far-sim" if source.get("simulated") else "far"
    transferred(bench, "a", corpus(tmp_path / "far", name, **source))
    row = rows_of(tables_of(bench)["grid"])["A", "far->here", 1.0]
    assert row["because"] == (f"Not comparable: {reason}" if reason else "")
    assert (row["difference"] is None) == bool(reason)


def test_rows_without_a_result_say_why(tmp_path, paper):
    bench = real_bench(tmp_path)
    add(bench, "a", 1.0)
    failed = bench.add("b", 1.0)
    bench.store.fail(failed.key, "failed", "Diverged", "")
    table = tables_of(bench)["grid"]
    rows = rows_of(table)
    assert rows["B", "here", 1.0]["because"] == "failed: Diverged"
    assert rows["A", "here", 0.5]["because"] == "The run did not ask for 50\u00a0% labels"
    assert rows["Scratch", "here", 1.0]["because"] == "The run did not ask for 'scratch'"
    bare = [place for place in rows if place[0] == "Unbuilt"]
    assert bare == [("Unbuilt", "", None)]
    assert rows["Unbuilt", "", None]["because"] == "Nobody built it"
    assert {rows[place]["verdict"] for place in [*bare, ("B", "here", 1.0)]} == {"no result"}
    assert notes_of(table, shown(table, "Unbuilt")["verdict"]) == ["Nobody built it"]


def test_columns_of_nobody_are_counted_and_controls_stand_below(tmp_path, paper):
    bench = real_bench(tmp_path)
    add(bench, "a")
    add(bench, "c")
    table = tables_of(bench)["grid"]
    (gone,) = rows_of(table, ELSEWHERE).values()
    assert (gone["published_on"], gone["numbers"], gone["because"]) == ("unread", 2, "Nobody reads it")
    controls = rows_of(table, OURS)
    assert {row["label"] for row in controls.values()} == {"c"}
    assert controls["control", "", 1.0]["verdict"] == "ours"
    assert controls["control", "", 1.0]["published"] is None
    assert [row.block for row in table.rows] == [PUBLISHED] * 14 + [ELSEWHERE] + [OURS] * 2


def test_footnotes_of_the_table_come_first_then_those_of_rows_and_numbers(tmp_path, paper):
    bench = real_bench(tmp_path)
    add(bench, "a")
    table = tables_of(bench)["grid"]
    assert table.footnotes[0] == "On all"
    assert table.caption.endswith("On the whole printed table see note 1.")
    head = "row of the paper"
    assert notes_of(table, shown(table, "A", published_on="here")[head]) == ["An odd row"]
    there = shown(table, "A", published_on="far->here")[head]
    assert notes_of(table, there) == ["An odd row", "An odd number"]


def test_a_view_takes_its_numbers_from_the_table_it_is_cut_from(tmp_path, paper):
    bench = real_bench(tmp_path)
    add(bench, "a", 0.5)
    rows = rows_of(tables_of(bench)["cut"])
    assert rows["A", "here", 0.5]["published"] == 0.611
    assert rows["Lost", "here", 0.5]["published"] == 0.699
    assert rows["Lost", "here", 0.5]["because"] == "Its code is lost"
    assert {fraction for _, _, fraction in rows} == {0.5}


def test_sides_stand_in_one_row_each_with_its_entry_and_conditions(tmp_path, paper):
    bench = real_bench(tmp_path, label_fractions=(1.0,))
    add(bench, "a", noise=0.5)
    add(bench, "b", noise=4.0)
    add(bench, "c")
    table = tables_of(bench)["sides"]
    row = rows_of(table)["A", "here", 1.0]
    assert (row["linear_published"], row["tuned_published"]) == (0.722, 0.733)
    assert row["linear_macro_auroc"] > row["tuned_macro_auroc"]
    assert (row["linear_verdict"], row["tuned_verdict"]) == ("same", "near")
    assert row["tuned_because"] == "Conditions that differ: steps 100 (published: 70)"
    assert (row["linear_label"], row["tuned_label"], row["tuned_title"]) == ("a", "b", "B")
    assert "label" not in row
    assert row["linear_published_note"] == "second-hand"
    cells = shown(table, "A")
    assert cells["our entry"].text == "A / B"
    assert cells["tuned: published (second-hand)"].text == "73.3"
    assert cells["linear: ours"].text == f"{100 * row['linear_macro_auroc']:.1f}"
    assert "labels" not in cells
    ours = rows_of(table)["Unpublished", "here", 1.0]
    assert (ours["linear_published"], ours["linear_verdict"]) == (None, "ours")
    assert ours["tuned_because"] == "The run did not ask for 'nobody'"
    assert shown(table, "Unpublished")["linear: published (second-hand)"].text == "–"


def test_names_of_both_sides_are_cut_to_what_they_share(tmp_path, paper):
    bench = real_bench(tmp_path, label_fractions=(1.0,))
    titles = {
        "a": "CPC, linear, saw tests",
        "b": "CPC, tuned, saw tests",
        "c": "Random, linear",
        "nobody": "Whole",
    }
    for label, title in titles.items():
        add(bench, label, strategy_title=title)
    table = tables_of(bench)["sides"]
    assert shown(table, "A")["our entry"].text == "CPC, saw tests"
    assert shown(table, "Unpublished")["our entry"].text == "Random, linear / Whole"


def test_a_control_may_be_about_one_side_only(tmp_path, paper):
    bench = real_bench(tmp_path, label_fractions=(1.0,))
    add(bench, "a")
    assert rows_of(tables_of(bench)["sides"], OURS) == {}
    add(bench, "scratch")
    table = tables_of(bench)["sides"]
    ((place, row),) = rows_of(table, OURS).items()
    assert place == ("one side", "", 1.0)
    assert (row["linear_label"], row["linear_verdict"], row["linear_because"]) == ("", "", "")
    assert (row["tuned_label"], row["tuned_verdict"]) == ("scratch", "ours")
    assert shown(table, "one side")["linear: verdict"].text == "–"


def test_the_caption_names_the_entries_of_all_sides(tmp_path, paper, monkeypatch):
    bench = real_bench(tmp_path, encoder=EncoderSpec(name="net_s", arguments={"dim": 16}))
    for label in ("a", "b", "stranger"):
        add(bench, label)
    seen = []
    monkeypatch.setattr(words, "conditions", lambda summary, suite, labels: seen.append(set(labels)) or "")
    assert set(tables_of(bench)) == {"wider", "sides", "not_run"}
    assert seen == [{"a"}, {"a", "b"}]


def test_of_many_classes_the_rule_of_their_average_stands_in_the_title_alone(tmp_path, paper, monkeypatch):
    bench = real_bench(tmp_path, label_fractions=(1.0,))
    add(bench, "a")
    monkeypatch.setattr(words, "MANY_CLASSES", 1)
    table = tables_of(bench)["sides"]
    assert "the mean over the" in table.title
    assert "both ×100, ours as a mean over seeds" in table.title
    assert max(len(column.head) for column in table.columns) < 50


def test_a_column_of_any_source_takes_the_entry_from_here_first(tmp_path, paper):
    bench = real_bench(tmp_path, label_fractions=(1.0,))
    add(bench, "a", source="far", seeds=1)
    assert rows_of(tables_of(bench)["sides"])["A", "here", 1.0]["linear_source"] == "far"
    add(bench, "a", seeds=2)
    assert rows_of(tables_of(bench)["sides"])["A", "here", 1.0]["linear_seeds"] == 2


@pytest.mark.parametrize(
    ("changes", "written"),
    [
        ({}, {"cut", "grid", "sides"}),
        ({"lead_set": "clocs-4", "eval_lead_set": "clocs-4"}, {"sides"}),
        ({"eval_lead_set": "clocs-4"}, {"sides"}),
    ],
)
def test_a_grid_is_written_only_where_its_lead_set_is(tmp_path, paper, changes, written):
    bench = real_bench(tmp_path)
    add(bench, "a", **changes)
    assert set(tables_of(bench)) - {"not_run"} == written


def test_a_grid_is_written_only_for_its_length_of_the_embedding_and_task(tmp_path, paper):
    other = real_bench(tmp_path / "other", encoder=EncoderSpec(name="net_s", arguments={"dim": 16}))
    add(other, "a")
    assert set(tables_of(other)) == {"wider", "sides", "not_run"}
    findings = real_bench(tmp_path / "task", corpora=(CorpusUse(corpus="tiny-sim", task="findings"),))
    row = findings.add("a", task="findings")
    findings.finish(row, findings.noisy(1.0, 0, "findings"))
    assert set(tables_of(findings)) == {"not_run"}


def test_no_grid_for_other_suites_or_for_entries_that_no_row_names(tmp_path, paper):
    bench = real_bench(tmp_path / "a", name="board")
    add(bench, "a")
    assert tables_of(bench) == {}
    stranger = real_bench(tmp_path / "b")
    add(stranger, "stranger")
    assert set(tables_of(stranger)) == {"not_run"}


def test_every_form_of_a_grid_holds_its_numbers(tmp_path, paper):
    bench = real_bench(tmp_path, label_fractions=(1.0,))
    add(bench, "a")
    table = tables_of(bench)["sides"]
    lines = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert lines[0]["linear_published"] == "0.722"
    assert lines[0]["linear_published_note"] == "second-hand"
    assert lines[0]["corpus"] == "tiny"
    text = to_markdown(table)
    assert "72.2" in text
    assert "second-hand" in text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": GRID["rows"][1:]}, "no row for grid, 'A'"),
        ({"columns": [HERE, TRANSFER]}, "no row for grid, 'A': macro_auroc on unread"),
        ({"fractions": [1.0]}, "no row for grid, 'A'"),
        ({"sides": [{"setting": "linear; E 80"}]}, "no row for grid"),
        ({"rows": [{"row": "A", "where": {"nowhere": {}}}]}, "row 'A': 'nowhere' is no side or column"),
        ({"rows": [{"row": "A", "cells": {"nowhere": []}}]}, "row 'A': 'nowhere' is no side or column"),
        ({"rows": [{"row": "A", "labels": {"tuned": "a"}}]}, "row 'A': 'tuned' is no side or column"),
    ],
)
def test_a_grid_must_hold_every_published_number_and_name_what_there_is(paper, changes, message):
    relaid(paper, **changes)
    with pytest.raises(ReportError, match=message):
        layouts("paper")
