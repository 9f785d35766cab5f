import math
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import yaml

from bench.data.corpus import Task
from bench.report import published as module
from bench.report.frame import build_frame
from bench.report.layout import Check, GridLayout, GroupLayout, Layout, LayoutRow
from bench.report.paper_tables import paper_tables
from bench.report.published import judge, layouts, papers, published
from bench.report.summary import summarise
from bench.report.views import MetricViews, ReportError
from bench.run.suite import load_suite, suite_files
from tests.report.hand_made import make_bench


def test_every_published_cell_has_a_row_of_ours_or_a_reason():
    assert {"goodviews", "clocs", "ssl12lead", "cinc2021", "reduced_leads"} <= set(papers())
    for paper in papers():
        tables = layouts(paper)
        for number in published(paper):
            layout = tables[number.table]
            rows = [row for row in layout.rows if _stands_in(row, number)]
            assert len(rows) == 1, (paper, number)
            why = isinstance(layout, GridLayout) and _reason(layout, number)
            sized = layout.kind == "class_sizes"
            assert _labels(rows[0]) or rows[0].reason or why or sized, (paper, number)


def _stands_in(row, number):
    at = getattr(row, "published", None)
    if at:
        return (at.row, at.setting, at.split) == (number.row, number.setting, number.split)
    return row.row == number.row


def _reason(layout, number):
    """Why a number of a grid has nothing of ours, whatever its row."""
    column = next(column for column in layout.columns if column.published == number.corpus)
    return layout.reason or column.reason


def test_every_label_of_a_layout_is_an_entry_of_the_papers_suite():
    for paper in papers():
        suite = yaml.safe_load(suite_files()[paper].read_text())
        entries = [e if isinstance(e, str) else e.get("label", e["strategy"]) for e in suite["entries"]]
        for layout in layouts(paper).values():
            if layout.kind != "class_sizes":
                asked = {label for row in _rows(layout) for label in _labels(row)}
                assert asked <= set(entries), (paper, asked - set(entries))


def test_every_row_of_groups_is_grouped_so_by_the_suite():
    suite = load_suite("crocs", "paper")
    asked = {(e.label, g) for e in suite.entries for g in e.groupings or suite.groupings}
    for layout in layouts("crocs").values():
        assert {(label, row.grouping) for row in _rows(layout) for label in _labels(row)} <= asked


def test_only_ids_without_a_meaning_are_mapped():
    for layout in layouts("crocs").values():
        for row in _rows(layout):
            bare = row.grouping == "kmeans" or row.label in ("sela", "deepcluster", "iic")
            assert row.values == ("mapped" if bare else "read off")


def _rows(layout):
    return [*layout.rows, *getattr(layout, "controls", ())]


def _labels(row):
    return {label for label in (row.label, *getattr(row, "labels", {}).values()) if label}


def test_every_footnote_of_a_layout_exists_and_is_used():
    for paper in papers():
        for layout in layouts(paper).values():
            used = {key for row in _rows(layout) for key in row.footnotes} | set(layout.table_footnotes)
            for row in layout.rows if isinstance(layout, GridLayout) else ():
                used |= {key for keys in row.cells.values() for key in keys}
            for row in layout.rows if isinstance(layout, GroupLayout) else ():
                assert set(row.cells) <= set(layout.corpora)
                for cells in row.cells.values():
                    assert set(cells) <= set(layout.columns())
                    used |= {key for keys in cells.values() for key in keys}
            assert used == set(layout.footnotes), (paper, layout.title)


def test_published_values_of_good_views():
    values = {(n.table, n.row): (n.mean, n.spread) for n in published("goodviews")}
    assert values["table1", "Supervised Baseline"] == (81.4, 1.3)
    assert values["table1", "Strategy 4 (Rhythms)"] == (99.3, 0.0)
    assert values["table2", "All"][0] == 10369
    assert len(values) == 12


def test_published_values_of_crocs():
    values = {(n.table, n.row, n.corpus, n.cell): (n.mean, n.spread) for n in published("crocs")}
    assert len(values) == 148
    assert values["table1a", "CP CROCS", "chapman", "class_acc"] == (90.3, 0.8)
    assert values["table1b", "CP CROCS", "ptbxl", "age_acc"] == (19.5, 0.2)
    assert values["table2", "DTC", "ptbxl", "precision_at_5/2"] == (52.5, 16.0)
    assert values["table2", "TP CROCS", "chapman", "precision_at_10/3"] == (36.9, 7.0)
    lost = values["table3a", "NCE-soft tau_w!=inf", "chapman", "class_acc"]
    assert lost[0] == 89.8
    assert math.isnan(lost[1])
    assert ("table1a", "KM raw", "ptbxl", "class_acc") not in values


@pytest.fixture
def crocs(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "papers" / "crocs"
    shutil.copytree(module.PAPERS / "crocs", folder)
    monkeypatch.setattr(module, "PAPERS", folder.parent)
    return folder


def _change(folder, change):
    content = yaml.safe_load((folder / "tables.yaml").read_text())
    change(content)
    (folder / "tables.yaml").write_text(yaml.safe_dump(content))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["table1a"]["metrics"].remove("class_ami"), "table1a, 'SeLA': class_ami on chapman"),
        (lambda c: c["table3b"].update(corpora={"chapman": {}}), "'NCE-hard': sex_acc on ptbxl"),
        (lambda c: c["table2"]["rows"].pop(1), "no row for table2, 'TP CROCS'"),
        (lambda c: c["ablation_beta"].pop("unpublished"), "ablation_beta must have published numbers"),
        (lambda c: c["table1b"].update(unpublished="lost"), "table1b must have published numbers"),
        (lambda c: c["table1a"]["rows"][0].update(grouping="owned"), "GroupLayout rows.0.grouping"),
    ],
)
def test_a_group_layout_must_hold_every_published_cell_of_every_corpus(crocs, change, message):
    _change(crocs, change)
    with pytest.raises(ReportError, match=message):
        layouts("crocs")


@pytest.fixture
def paper(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "papers" / "goodviews"
    shutil.copytree(module.PAPERS / "goodviews", folder)
    monkeypatch.setattr(module, "PAPERS", folder.parent)
    return folder


def test_an_uncovered_published_cell_is_refused(paper):
    content = yaml.safe_load((paper / "tables.yaml").read_text())
    del content["table1"]["rows"][3]
    (paper / "tables.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ReportError, match=r"no row for table1, 'Strategy 2 \(SimCLR\)'"):
        layouts("goodviews")


def test_an_unknown_word_in_a_layout_is_refused(paper):
    content = yaml.safe_load((paper / "tables.yaml").read_text())
    content["table1"]["rows"][0]["lable"] = "x"
    (paper / "tables.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ReportError, match="rows.0.lable"):
        layouts("goodviews")


LAYOUT = Layout(
    kind="scores",
    title="T",
    corpus="chapman",
    records=100,
    checks=(
        Check(what="steps", path="fit.budget.steps", published=4900),
        Check(what="width", path="fit.encoder.width", published=64, default=64),
        Check(what="own similarity", path="fit.params.own", published=True),
    ),
    rows=(LayoutRow(row="A", label="a"),),
)
ROW = LAYOUT.rows[0]


def _facts(**changes):
    facts = {"simulated": False, "scale": "paper", "records": 100, "fit": {"budget": {"steps": 4900}}}
    return facts | changes


def test_what_a_row_differs_in_stands_for_what_the_table_does():
    table = LAYOUT.model_copy(update={"differs": ("probe",)})
    assert judge(table, ROW, _facts()).differences == ("probe",)
    own = ROW.model_copy(update={"differs": ("its own head",)})
    assert judge(table, own, _facts()).differences == ("its own head",)


def test_same_conditions():
    verdict = judge(LAYOUT, ROW, _facts())
    assert (verdict.word, verdict.reasons, verdict.differences) == ("same", (), ())
    assert verdict.compares


def test_near_lists_every_difference():
    fit = {"budget": {"steps": 300}, "encoder": {"width": 8}, "params": {"own": False}}
    verdict = judge(LAYOUT, ROW, _facts(fit=fit, records=95))
    assert verdict.word == "near"
    assert verdict.differences == (
        "steps 300 (published: 4,900)",
        "width 8 (published: 64)",
        "own similarity no (published: yes)",
        "records 95 (published: 100)",
    )


def test_a_row_may_have_conditions_of_its_own():
    own = LayoutRow(
        row="A",
        label="a",
        differs=("views",),
        checks=(Check(what="steps", path="fit.budget.steps", published=9750),),
    )
    verdict = judge(LAYOUT, own, _facts())
    assert verdict.word == "near"
    assert verdict.differences == ("steps 4,900 (published: 9,750)", "views")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"simulated": True, "records": 100}, "simulated cohort"),
        ({"scale": "quick"}, "scale quick"),
        ({"records": 89}, "89 of the published 100 records"),
    ],
)
def test_not_comparable_says_why(change, reason):
    verdict = judge(LAYOUT, ROW, _facts(**change))
    assert verdict.word == "not comparable" and not verdict.compares
    assert reason in verdict.reasons[0]


def _tables(bench):
    views = MetricViews(bench.store, 100)
    (summary,) = summarise(build_frame(bench.plan, bench.store, 100), views)
    return {table.name: table for table in paper_tables(bench.plan, summary, bench.plan.suites[0])}


def test_table1_shows_published_and_ours_with_verdict_and_controls(tmp_path):
    bench = make_bench(tmp_path, name="goodviews", label_fractions=(1.0,))
    for seed in range(2):
        bench.finish(bench.add("simclr", seed=seed), bench.truth() if seed else bench.truth() * 0 + 0.5)
        bench.finish(bench.add("random_encoder", seed=seed, origin="baseline"), bench.noisy(3, seed))
    failed = bench.add("rhythm")
    bench.store.fail(failed.key, "failed", "Diverged", "")
    table = _tables(bench)["table1"]
    rows = {row.data["row"] or row.data["label"]: row for row in table.rows}
    assert [row.data["row"] for row in table.rows[:7]] == [n.row for n in published("goodviews")[:7]]
    ours = rows["Strategy 2 (SimCLR)"].data
    assert (ours["macro_auroc"], ours["seed_low"], ours["seed_high"]) == (0.75, 0.5, 1.0)
    assert ours["difference"] is None
    assert ours["verdict"] == "not comparable"
    assert "simulated cohort" in ours["because"]
    shown = [cell.text for cell in rows["Strategy 2 (SimCLR)"].cells]
    assert shown[2:9:2] == ["89.6", "75.0", shown[6], "–"]  # nothing to compare on a simulated cohort
    assert shown[5] == "50.0 to 100.0"
    assert table.columns[5].head == "range over 2 seeds"
    assert rows["Strategy 4 (Rhythms)"].data["because"] == "failed: Diverged"
    assert rows["Strategy 5 (Attributes)"].data["because"] == "The run did not ask for 'wave_attributes'"
    assert rows["random_encoder"].block.startswith("ours only")
    assert any("81.4, the text 84.1" in note for note in table.footnotes)


def test_table2_counts_the_corpus_at_hand_and_says_whose_it_is(tmp_path):
    bench = make_bench(tmp_path, name="goodviews", label_fractions=(1.0,))
    labels = bench.corpus.labels.replace({"label": {"slow": "SB", "fast": "SB"}})
    labels.to_parquet(bench.corpus.folder / "labels.parquet")
    tasks = {"rhythm": Task("rhythm", "single", ("SB", "SR"))}
    facts = {"paper_cohort": {"AFIB": 2218, "SB": 3871, "all": 10369}}
    bench.corpus = replace(bench.corpus, tasks=tasks, facts=facts)
    bench.plan.corpora = dict.fromkeys(bench.plan.corpora, bench.corpus)
    bench.add("simclr")
    table = _tables(bench)["table2"]
    rows = {row.data["class"]: row.data for row in table.rows}
    assert (rows["SB"]["here"], rows["SB"]["printed_minus_here"]) == (60, 2218 - 60)
    assert (rows["All"]["here"], rows["All"]["true"], rows["All"]["printed_minus_true"]) == (60, 10369, 0)
    assert (rows["AFIB"]["here"], rows["AFIB"]["printed_minus_true"]) == (None, 3669 - 2218)
    assert table.title.startswith("SIMULATED DATA.")
    assert [column.head for column in table.columns][1:3] == ["printed", "in tiny-sim"]
    assert "printed − this" not in [column.head for column in table.columns]
    assert table.caption.endswith("On the whole printed table see note 1.")


def test_published_csv_keeps_its_columns():
    header = list(pd.read_csv(module.PAPERS / "goodviews" / "published.csv").columns)
    assert header == [
        "paper",
        "table",
        "row",
        "corpus",
        "metric",
        "setting",
        "mean",
        "std",
        "seeds",
        "split",
        "note",
    ]
