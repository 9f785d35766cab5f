"""Which columns a table over settings has: those that tell something that neither its names nor its caption tell."""

import pytest
import yaml

from tests.report.hand_settings import (
    AUROC,
    LAYOUTS,
    add,
    challenge_bench,
    real_bench,
    relaid,
    rows_of,
    shown,
    tables_of,
    write_paper,
)


@pytest.fixture
def paper(tmp_path, monkeypatch):
    return write_paper(tmp_path, monkeypatch)


def _heads(table):
    return [column.head for column in table.columns]


def test_all_columns_in_their_order(tmp_path, paper):
    bench = real_bench(tmp_path)
    for label, leads in (("a", "all-12"), ("a", "challenge-2"), ("d", "challenge-2"), ("a", "challenge-3")):
        add(bench, label, leads, noise=0.2 if label == "d" else 2.5)
    add(bench, "a", "all-12", fraction=0.5, noise=9.0)
    table = tables_of(bench)["auroc"]
    assert _heads(table) == [
        "row of the paper", "ours", "leads", "part", "labels", "published ± SD", "ours (95\u00a0% interval)",
        "range over 2 seeds", "ours − published", "compared with", "published gain",
        "our gain (95\u00a0% interval)", "p (Holm)", "seeds that gain", "published gain holds", "verdict",
    ]  # fmt: skip
    assert {len(row.cells) for row in table.rows} == {len(table.columns)}
    assert "Ours:" not in table.caption
    assert "A published gain holds where" in table.caption


def test_what_names_tell_has_no_column(tmp_path, paper):
    bench = real_bench(tmp_path)
    add(bench, "a", "all-12")
    add(bench, "a", "challenge-2")
    relaid(paper, named=["leads", "part"])
    table = tables_of(bench)["auroc"]
    assert {"leads", "part", "ours"}.isdisjoint(_heads(table))
    assert "Ours: A. Lead sets by their number of leads: all-12, challenge-3, challenge-2." in table.caption
    assert "Rows with 'test' in their names are of the test part" in table.caption
    assert rows_of(table)["twelve, test"]["part"] == "test"


def test_seeds_have_a_column_where_some_are_lost(tmp_path, paper):
    bench = real_bench(tmp_path, seeds=2)
    add(bench, "a", "all-12")
    assert "seeds" not in _heads(tables_of(bench)["auroc"])
    add(bench, "a", "challenge-2", seeds=1)
    table = tables_of(bench)["auroc"]
    assert (shown(table, "twelve")["seeds"].text, shown(table, "two, plain")["seeds"].text) == ("2", "1")


def test_gains_that_nobody_has_take_no_room(tmp_path, paper):
    bench = real_bench(tmp_path)
    add(bench, "a", "all-12")
    table = tables_of(bench)["auroc"]
    assert {"our gain (95\u00a0% interval)", "p (Holm)", "seeds that gain"}.isdisjoint(_heads(table))
    assert "Holm" not in table.caption


def _figure(paper, **changes):
    rows = [
        {"row": f"{name}, {fraction}", "label": label, "lead_set": "challenge-6", "fraction": fraction}
        | ({"minus": f"plain, {fraction}"} if label == "b" else {})
        for fraction in (0.1, 0.5, 1.0)
        for name, label in (("tuned", "b"), ("plain", "a"))
    ]
    layout = {"kind": "settings", "title": "Paper, Figure 3 (curve)", "metric": "challenge_metric"}
    layout |= {"corpus": "tiny", "task": "scored26", "controls": rows, "named": ["fraction"]}
    layout |= {"footnotes": {"image": "An image"}, "table_footnotes": ["image"]}
    content = {**LAYOUTS, "auroc": AUROC, "figure3": layout | changes}
    (paper / "tables.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def test_a_figure_without_numbers_is_a_table_of_ours_at_the_fractions_that_were_asked_for(tmp_path, paper):
    bench = challenge_bench(tmp_path, label_fractions=(0.1, 1.0))
    for fraction in (0.1, 1.0):
        for label, noise in (("a", 2.0), ("b", 0.5)):
            add(bench, label, "challenge-6", task="scored26", fraction=fraction, noise=noise)
    lost = bench.add("b", 0.5, lead_set="challenge-6", eval_lead_set="challenge-6", task="scored26")
    bench.store.fail(lost.key, "failed", "Diverged", "")
    _figure(paper)
    table = tables_of(bench)["figure3"]
    names = ["tuned, 0.1", "plain, 0.1", "tuned, 0.5", "tuned, 1.0", "plain, 1.0"]
    assert [row.data["row"] for row in table.rows] == names
    assert {row.block for row in table.rows} == {""}
    rows = rows_of(table)
    for fraction in (0.1, 1.0):
        gap = rows[f"tuned, {fraction}"]["challenge_metric"] - rows[f"plain, {fraction}"]["challenge_metric"]
        assert rows[f"tuned, {fraction}"]["gain"] == pytest.approx(gap)
        assert rows[f"plain, {fraction}"]["gain"] is None
    assert rows["tuned, 0.5"]["because"] == "failed: Diverged"
    assert {"published", "published ± SD", "labels", "row of the paper"}.isdisjoint(_heads(table))
    assert _heads(table)[0] == "row"
    assert table.title == (
        "Paper, Figure 3 (curve): Challenge metric (masked, database known); ours alone, ×100, mean over seeds."
    )
    assert "Holm-corrected over 2 gains;" in table.caption
    assert "the fewer these are, the stricter. On the whole see note 1." in table.caption
    assert "Guessed" not in table.caption and "Published" not in table.caption
    assert table.footnotes[0] == "An image"
