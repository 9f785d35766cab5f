import csv
import io
import re
from dataclasses import replace

import numpy as np
import pytest

from bench.report.details import cost
from bench.report.frame import COST_COLUMNS
from bench.report.latex import to_latex
from bench.report.layout import GroupLayout
from bench.report.paper_group_tables import FLOORS, paper_group_tables
from bench.report.paper_tables import OURS, PUBLISHED
from bench.report.published import layouts, published
from bench.report.table import to_csv, to_markdown
from tests.report.hand_groups import FLOOR_NAMES, mean, number, setup


def tables(**changes):
    return {table.name: table for table in paper_group_tables(*setup(**changes))}


@pytest.fixture(scope="module")
def chapman():
    return tables()


@pytest.fixture(scope="module")
def ptbxl():
    return tables(corpus="ptbxl-sim")


def heads(table):
    """Heads without what stands in brackets at their end."""
    return [re.sub(r" \([^)]*\)$", "", column.head) for column in table.columns]


def row_of(table, name, **data):
    fits = (
        r for r in table.rows if r.data["row"] == name and all(r.data.get(k) == v for k, v in data.items())
    )
    return next(fits)


def shown(table, row):
    """What a row shows, by column head; heads that stand twice keep the first."""
    cells = {}
    for head, cell in zip(heads(table), row.cells, strict=True):
        cells.setdefault(head, cell)
    return cells


def texts_of(table, cell):
    return [table.footnotes[n - 1] for n in cell.notes]


def percent(value):
    return f"{100 * value:.1f}"


HEAD = {"acc": "Acc", "ami": "AMI"}


def printed(n):
    return f"{n.mean:.1f}" + ("" if n.spread != n.spread else f" ({n.spread:.1f})")


def test_every_published_cell_stands_in_its_table_and_nowhere_else(chapman, ptbxl):
    numbers, seen = published("crocs"), 0
    for n in numbers:
        table = (chapman if n.corpus == "chapman" else ptbxl)[n.table]
        if "/" in n.cell:
            depth, matches = n.cell.removeprefix("precision_at_").split("/")
            row, head = row_of(table, n.row, matches=int(matches)), f"K = {depth}, published"
        else:
            attribute, kind = n.cell.split("_")
            row, head = row_of(table, n.row), f"{attribute} {HEAD[kind]}, published"
        assert shown(table, row)[head].text == printed(n), n
        seen += 1
    assert seen == len(numbers) == 148
    for corpus, found in (("chapman", chapman), ("ptbxl", ptbxl)):
        columns = {name: [i for i, h in enumerate(heads(t)) if "published" in h] for name, t in found.items()}
        cells = [
            r.cells[i].text
            for name, t in found.items()
            for r in t.rows
            for i in columns[name]
            if "−" not in heads(t)[i]
        ]
        assert sum(text != "–" for text in cells) == sum(n.corpus == corpus for n in numbers)


def test_ours_stands_beside_it_validation_first_and_the_difference_is_hidden_on_a_simulated_cohort(chapman):
    table = chapman["table1a"]
    row = row_of(table, "CP CROCS")
    cells, place = shown(table, row), ("crocs", "own")
    low, high = sorted(number(*place, "val", "class", "acc", seed) for seed in range(2))
    acc = mean(*place, "val", "class", "acc")
    assert cells["class Acc, ours, validation"].text == f"{percent(acc)} ({percent(low)} to {percent(high)})"
    assert (
        cells["class Acc, ours, test"].text
        == f"{percent(mean(*place, 'test', 'class', 'acc'))} (21.5 to 78.5)"
    )
    assert cells["class AMI, ours, validation"].text.startswith(
        percent(mean(*place, "val", "class", "ami_mapped"))
    )
    assert cells["ours (validation) − published"].text == "–"
    assert row.data["class_acc_difference"] is None
    noted = texts_of(table, cells["ours"])
    assert noted == ["Paid for in training: demographics, labels"]
    assert row.data["paid_for"] == "demographics labels"
    full = [column.head for column in table.columns]
    assert "class Acc, published (SD over 5 seeds)" in full
    assert "class Acc, ours, validation (range over 2 seeds)" in full
    assert "class Acc, ours, test (95\u00a0% interval)" in full and "class AMI, ours, test" in full
    assert "Judged: 7 test instances and 7 validation instances of known class" in table.caption
    assert "They hold for these 2 trained encoders a row" in table.caption
    assert "its validation numbers are optimistic" in table.caption
    assert row.data["class_acc_oracle_test"] == pytest.approx(mean(*place, "test", "class", "acc_oracle"))
    assert (row.data["label"], row.data["grouping"], row.data["verdict"]) == (
        "crocs",
        "own",
        "not comparable",
    )
    assert row.block == PUBLISHED
    assert table.title.startswith("SIMULATED DATA.")


def test_bare_ids_show_the_identity_mapping_and_the_ami_of_ids(chapman):
    table = chapman["table1a"]
    cells = shown(table, row_of(table, "SeLA"))
    identity = percent(mean("sela", "own", "val", "class", "acc_identity"))
    assert cells["class Acc, identity, ours, validation"].text.startswith(identity)
    assert cells["class AMI, ours, validation"].text.startswith(
        percent(mean("sela", "own", "val", "class", "ami"))
    )
    assert shown(table, row_of(table, "TP CROCS"))["class Acc, identity, ours, validation"].text == "–"


def test_an_attribute_with_a_fit_of_its_own_comes_from_it(chapman):
    table = chapman["table1b"]
    row = row_of(table, "DTCR")
    for attribute in ("sex", "age"):
        text = shown(table, row)[f"{attribute} Acc, ours, validation"].text
        assert text.startswith(percent(mean(f"dtcr_{attribute}", "kmeans", "val", attribute, "acc")))
    assert row.data["label"] == "dtcr_sex / dtcr_age"


def test_clustering_floors_of_both_parts_stand_below(chapman, ptbxl):
    for found, first in ((chapman, "AFIB"), (ptbxl, "CD")):
        for name in ("table1a", "table1b", "table3a", "table3b", "ablation_embedding", "ablation_labels"):
            floors = {row.data["floor"]: row for row in found[name].rows if row.block == FLOORS}
            assert set(floors) == set(FLOOR_NAMES)
        row = next(row for row in found["table1a"].rows if row.data.get("floor") == "constant")
        assert row.cells[0].text == "constant class"
        assert f"Constant: always {first};" in found["table1a"].caption
        cells = shown(found["table1a"], row)
        assert cells["class Acc, ours, validation"].text == percent(number("val", "class", "constant", "acc"))
        assert cells["class AMI, ours, test"].text == percent(number("test", "class", "constant", "ami"))
        random = next(row for row in found["table1a"].rows if row.data.get("floor") == "random")
        assert shown(found["table1a"], random)["class AMI, ours, test"].text == "0.0"
        assert cells["class Acc, published"].text == "–"
        assert row.data["class_identity_val"] == number("val", "class", "constant", "acc_identity")


def test_retrieval_has_a_block_for_each_number_of_matches_with_floors_patients_and_distinct_units(chapman):
    table = chapman["table2"]
    assert [block for block, _ in table.blocks()][:3] == [
        "at least 1 of 3 attributes equal",
        "at least 2 of 3 equal",
        "all 3 equal",
    ]
    cells = shown(table, row_of(table, "TP CROCS", matches=2))
    value = percent(mean("crocs", "means", "val", "set", "precision_at_5/2"))
    assert cells["K = 5, published"].text == "79.4 (7.6)"
    assert cells["K = 5, ours, validation"].text.startswith(value)
    once = shown(table, row_of(table, "TP CROCS, each patient once", matches=2))
    test = percent(mean("crocs", "means", "test", "set", "precision_at_5/2/patients"))
    assert (once["K = 5, published"].text, once["K = 5, ours, test"].text) == ("–", test)
    floor = shown(table, row_of(table, "constant query", matches=1))
    assert (floor["K = 1, ours, validation"].text, floor["K = 5, ours, validation"].text) == ("71.9", "–")
    random = row_of(table, "random retrieval", matches=3)
    assert random.data["precision_at_10_test"] == number("test", "random", "precision_at_10/3")
    (_, distinct) = table.blocks()[3]
    count = mean("dtc", "own", "val", "set", "distinct_top")
    assert distinct[0].cells[0].text == "DTC"
    assert shown(table, distinct[0])["K = 1, ours, validation"].text == f"{count:.1f} of 32"
    assert [row.data.get("floor") for row in distinct[-2:]] == ["constant", "random"]


@pytest.mark.parametrize(
    ("corpus", "table", "row", "head", "says"),
    [
        ("chapman", "table1a", "SeLA", "row of the paper", "AFIB 20.95 %"),
        ("ptbxl", "table1a", "DC", "row of the paper", "CD 10.45 %"),
        ("chapman", "table1a", "DTC", "class Acc, published", "79.8"),
        ("ptbxl", "table1a", "KM raw", "class Acc, published", "blank on PTB-XL"),
        ("ptbxl", "table1b", "CP CROCS", "age Acc, published", "Below the 25 %"),
        ("chapman", "table3a", "NCE-soft tau_w!=inf", "class Acc, published", "89.8"),
        ("ptbxl", "table3b", "NCE-hard", "sex Acc, published", "above the full framework's 73.5"),
        ("chapman", "table2", "DTC", "row of the paper", "one and the same unit"),
    ],
)
def test_footnotes_stand_where_they_belong(chapman, ptbxl, corpus, table, row, head, says):
    here, other = (chapman, ptbxl) if corpus == "chapman" else (ptbxl, chapman)
    cell = shown(here[table], row_of(here[table], row))[head]
    assert any(says in text for text in texts_of(here[table], cell))
    if head != "row of the paper":
        elsewhere = shown(other[table], row_of(other[table], row))[head]
        assert not any(says in text for text in texts_of(other[table], elsewhere))


def test_exactly_four_deviations_are_called_impossible(chapman, ptbxl):
    found = set()
    for corpus, table in (("chapman", chapman["table2"]), ("ptbxl", ptbxl["table2"])):
        for row in table.rows:
            for head, cell in zip(heads(table), row.cells, strict=True):
                if any("is impossible" in text for text in texts_of(table, cell)):
                    found.add((corpus, row.data["row"], row.data["matches"], head, cell.text))
    assert found == {
        ("chapman", "TP CROCS", 2, "K = 10, published", "90.0 (0.1)"),
        ("chapman", "DTC", 3, "K = 10, published", "23.8 (0.1)"),
        ("ptbxl", "DTC", 3, "K = 10, published", "16.5 (0.2)"),
        ("ptbxl", "TP CROCS", 3, "K = 10, published", "43.5 (0.1)"),
    }


@pytest.mark.parametrize(("mean_", "queries"), [(90.0, 32), (23.8, 32), (16.5, 40), (43.5, 40)])
def test_those_deviations_are_impossible_indeed(mean_, queries):
    total = round(mean_ / 100 * 5 * queries)
    low = total // 5  # the least spread of five whole counts with this sum
    counts = [low + (i < total - 5 * low) for i in range(5)]
    assert round(100 * total / 5 / queries + 1e-9, 1) == mean_
    assert 100 * np.std(counts) / queries > 1.2


def test_what_the_paper_leaves_blank_is_reported_as_ours(ptbxl):
    table = ptbxl["table1a"]
    row = row_of(table, "KM raw")
    cells = shown(table, row)
    assert (cells["class Acc, published"].text, cells["verdict"].text) == ("–", "ours")
    assert cells["class Acc, ours, test"].text.startswith(
        percent(mean("kmeans_raw", "kmeans", "test", "class", "acc"))
    )


def test_real_corpora_at_paper_scale_differ_in_the_split_alone():
    table = tables(corpus="chapman", scale="paper")["table1a"]
    row = row_of(table, "CP CROCS")
    assert row.data["verdict"] == "near"
    assert (
        "Conditions that differ: split stratified (published: file names shuffled once" in row.data["because"]
    )
    assert "regulariser: mean over squared distances" in row.data["because"]
    assert "published: adam" not in row.data["because"]
    gap = 100 * mean("crocs", "own", "val", "class", "acc", seeds=5) - 90.3
    assert shown(table, row)["ours (validation) − published"].text == f"{gap:+.1f}".replace("-", "−")
    assert row.data["class_acc_difference"] == pytest.approx(gap)
    bare = row_of(table, "SeLA")
    identity = mean("sela", "own", "val", "class", "acc_identity", seeds=5)
    assert bare.data["class_acc_difference"] == pytest.approx(100 * identity - 21.0)
    hard = row_of(tables(corpus="chapman", scale="paper")["table3a"], "NCE-hard")
    assert "loss" not in hard.data["because"]
    ptbxl = row_of(tables(corpus="ptbxl", scale="paper", records=16244)["table1a"], "SeLA")
    assert ptbxl.data["verdict"] == "near"
    assert (
        "split official (published: by its numbers of instances the official one, but trained on folds 1 to 7"
        in ptbxl.data["because"]
    )
    assert "records 16,244 (published: 16,272)" in ptbxl.data["because"]
    assert "(published: in effect none)" in ptbxl.data["because"]


def test_a_slice_of_the_corpus_is_not_comparable():
    row = row_of(tables(corpus="ptbxl", scale="paper", records=488)["table2"], "CP CROCS")
    assert row.data["verdict"] == "not comparable"
    assert "488 of the published 16,272 records" in row.data["because"]


def test_what_has_no_result_says_why():
    table = tables(lost=("sela",), without=("iic",))["table1a"]
    rows = {name: row_of(table, name) for name in ("SeLA", "IIC")}
    assert [row.data["verdict"] for row in rows.values()] == ["no result"] * 2
    assert rows["SeLA"].data["because"] == "failed: Diverged"
    assert rows["IIC"].data["because"] == "The run did not ask for 'iic'"
    assert shown(table, rows["SeLA"])["class Acc, published"].text == "21.0 (0.1)"


def test_controls_are_marked_as_ours_only(chapman):
    rows = [row for row in chapman["table1a"].rows if row.block == OURS]
    assert [(row.data["label"], row.data["grouping"]) for row in rows] == [
        ("dtc_anchored", "own"),
        ("random_encoder", "kmeans"),
        ("random_encoder", "means"),
    ]


def test_ablations_have_no_published_columns_and_say_so(chapman):
    for name in ("ablation_embedding", "ablation_beta", "ablation_labels", "ablation_retrieval"):
        table = chapman[name]
        assert "The appendix's numbers are not available to us" in table.caption
        assert not any("published" in head or head == "verdict" for head in heads(table))
    values = [row.data["value"] for row in chapman["ablation_embedding"].rows if "value" in row.data]
    assert values == ["32", "128"]
    caption = chapman["ablation_embedding"].caption
    assert caption.endswith("Not run at scale quick: E = 64, E = 256.")  # 128 is the suite's own
    assert "dim 128 (rows that say so: another)" in caption and "SeLA" not in caption
    assert "dim 128," in chapman["table1a"].caption
    beta = [row.data["value"] for row in chapman["ablation_beta"].rows if "value" in row.data]
    assert beta == ["0.2", "0.4"]
    labels = [
        (r.data["grouping"], r.data["value"]) for r in chapman["ablation_labels"].rows if "value" in r.data
    ]
    assert labels[:2] == [("own", "10\u00a0%"), ("own", "100\u00a0%")]
    assert len(labels) == 6
    cells = shown(chapman["ablation_retrieval"], row_of(chapman["ablation_retrieval"], "hard", matches=3))
    assert cells["K = 10, ours, test"].text == percent(
        mean("crocs_hard", "own", "test", "set", "precision_at_10/3")
    )


def test_cost_says_who_sees_another_share_of_the_labels():
    _, summary, suite = setup()
    took = dict.fromkeys(COST_COLUMNS, 1.0)
    summary = replace(summary, entries=tuple(replace(entry, cost=took) for entry in summary.entries))
    assert (
        "100\u00a0% labels (10\u00a0% in CROCS, 10 % labels), mean over seeds." in cost(summary, suite).title
    )


def test_collapse_is_explained_with_a_subject_in_both_tables(chapman):
    for name in ("table1a", "table1b"):
        cell = shown(chapman[name], row_of(chapman[name], "DTC"))["row of the paper"]
        (text,) = texts_of(chapman[name], cell)
        assert text.startswith("DTC learns from its own assignments") and "in the store" in text


def test_an_ablations_value_that_is_the_suites_own_stands_once():
    table = tables(corpus="ptbxl", scale="paper")["ablation_embedding"]
    assert [row.data["value"] for row in table.rows if "value" in row.data] == ["32", "64", "128", "256"]


def test_every_form_of_every_table_can_be_written(chapman, ptbxl):
    for found in (chapman, ptbxl):
        for table in found.values():
            assert {len(row.cells) for row in table.rows} == {len(table.columns)}
            lines = list(csv.DictReader(io.StringIO(to_csv(table))))
            assert len(lines) == len(table.rows)
            assert to_markdown(table).count("\n|") == len(table.rows) + len(table.blocks()) + 2
            assert to_latex(table).count(r" \\") >= len(table.rows)


def test_the_csv_keeps_published_and_ours_apart(chapman):
    lines = list(csv.DictReader(io.StringIO(to_csv(chapman["table2"]))))
    line = next(x for x in lines if (x["row"], x["matches"], x["patients"]) == ("DTC", "1", "all units"))
    assert (line["corpus"], line["precision_at_1_published"]) == ("chapman-sim", "71.9")
    expected = mean("dtc", "own", "val", "set", "precision_at_1/1")
    assert float(line["precision_at_1_val"]) == pytest.approx(expected, abs=1e-6)


def test_other_suites_have_none():
    plan, summary, suite = setup()
    assert paper_group_tables(plan, summary, suite.model_copy(update={"name": "goodviews"})) == []
    assert paper_group_tables(plan, summary, suite.model_copy(update={"name": "board"})) == []


def test_all_tables_of_the_layout_are_made(chapman):
    assert list(chapman) == [name for name, x in layouts("crocs").items() if isinstance(x, GroupLayout)]
    assert len(chapman) == 9


def test_seeds_that_are_copies_are_said_to_be():
    plan, summary, suite = setup()
    same = summary.rows.assign(digest="one")
    table = paper_group_tables(plan, replace(summary, rows=same), suite)[0]
    assert "All seeds gave the same groups" in row_of(table, "KM raw").data["because"]
