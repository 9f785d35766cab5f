"""What tables and captions say in words: budgets, encoders, label fractions, units, sizes."""

from dataclasses import replace

import pandas as pd
import pytest

from bench.report import words
from bench.report.figures import label_efficiency
from bench.report.frame import build_frame
from bench.report.summary import Summary, summarise
from bench.report.tables import board
from bench.report.views import MetricViews
from bench.run.suite import Suite
from tests.report.hand_made import Bench, make_bench

USED = ({"corpus": "tiny-sim", "task": "rhythm"},)


def test_budgets_are_in_words_and_equal_ones_together():
    own = {"lr": 0.003, "selection": "best_val_loss", "steps": 100}
    entries = ({"strategy": "a", "budget": own}, "b", {"strategy": "c", "budget": own})
    suite = Suite.model_validate(
        {
            "name": "s", "title": "S", "scale": "quick", "seeds": 1, "corpora": USED, "entries": entries,
            "input": {"rate": 50}, "encoder": {"name": "resnet1d18"}, "budget": {"steps": 100, "batch": 32},
        }
    )  # fmt: skip
    assert words.budget_line(suite, {"a": "Ay", "b": "Bee", "c": "See"}) == (
        "100 steps of 32 records, adamw, learning rate 0.001"
        " (Ay; See: learning rate 0.003, checkpoint of least validation loss)"
    )
    assert "See" not in words.budget_line(suite, {"a": "Ay"})
    chosen = suite.model_copy(
        update={"budget": suite.budget.model_copy(update={"selection": "best_val_loss"})}
    )
    assert words.budget_line(chosen, {"b": "Bee"}) == (
        "100 steps of 32 records, adamw, learning rate 0.001, checkpoint of least validation loss"
    )
    assert words.chosen_on_validation(suite, {"b"}) == ""
    assert all(
        "optimistic" in words.chosen_on_validation(*on) for on in ((suite, {"a", "b"}), (chosen, {"b"}))
    )


def test_a_table_speaks_of_the_encoders_and_budgets_of_its_own_rows_only():
    entries = ({"strategy": "a", "encoder": {"dim": 32}}, {"strategy": "b", "encoder": {"dim": 64}}, "c")
    encoder = {"name": "net", "arguments": {"dim": 64, "width": 8}}
    suite = Suite.model_validate(
        {
            "name": "s", "title": "S", "scale": "quick", "seeds": 1, "corpora": USED, "entries": entries,
            "input": {"rate": 50}, "encoder": encoder, "budget": {"steps": 100, "batch": 32},
        }
    )  # fmt: skip
    assert words.encoder_arguments(suite, {"b", "c"}) == ["dim 64", "width 8"]
    assert words.encoder_arguments(suite, {"a", "c"}) == ["dim 64 (rows that say so: another)", "width 8"]


@pytest.mark.parametrize(
    ("count", "text"),
    [(512, "512"), (9_999, "9,999"), (12_000, "12.0 k"), (8_803_072, "8.8 M"), (2.5e9, "2.5 G")],
)
def test_sizes(count, text):
    assert words.size(count) == text


def test_signed_numbers():
    assert [words.gap(-0.0312), words.gap(0.05), words.count_gap(-1418)] == ["−3.1", "+5.0", "−1,418"]
    assert [words.gap(value) for value in (-0.0004, 0.0004, 0.0, float("nan"))] == ["0.0", "0.0", "0.0", "–"]
    assert [words.gap(value, scale=1) for value in (-0.04, -0.06, 10.0)] == ["0.0", "−0.1", "+10.0"]


def _summaries(bench: Bench) -> list[Summary]:
    return summarise(build_frame(bench.plan, bench.store, 50), MetricViews(bench.store, 50))


def test_captions_say_what_label_fractions_are_shares_of(tmp_path):
    bench = make_bench(tmp_path)
    for fraction in (0.1, 1.0):
        bench.finish(bench.add("one", fraction, fractions_by="folds"), bench.noisy(2, 1))
    suite = bench.plan.suites[0]
    (summary,) = _summaries(bench)
    nested = "; label fractions: shares of the training folds, nested, and below one fold of the first one's patients;"
    assert nested in board(summary, suite, 50).caption
    for fraction in (0.1, 1.0):
        bench.finish(bench.add("two", fraction, fractions_by="frames"), bench.noisy(2, 1))
    (summary,) = _summaries(bench)
    mixed = (
        " or, where a row says so, shares of the training frames (windows of single leads), drawn one by one;"
    )
    assert mixed in board(summary, suite, 50).caption
    assert nested in words.conditions(summary, suite, {"one"})
    assert "label fractions" not in words.conditions(replace(summary, fractions=(1.0,)), suite)


def test_axes_of_label_fractions_say_of_what():
    assert words.share_axis({"patients"}) == "labelled share of the training patients, %"
    assert "below one fold: patients of the first" in words.share_axis({"folds"})
    assert (
        words.share_axis({"frames", "patients"})
        == "labelled share of the training part, % (of what: in the legend)"
    )
    assert words.share_of({"patients", "frames"}) == "share of training frames or training patients"


def test_captions_of_curves_say_why_many_labels_can_be_worse_than_chance(tmp_path):
    bench = make_bench(tmp_path)
    for fraction in (0.1, 1.0):
        bench.finish(bench.add("one", fraction), bench.noisy(2, 1))
    suite = bench.plan.suites[0]
    (summary,) = _summaries(bench)
    multi = replace(summary, rows=summary.rows.assign(kind="multi"), total=16)
    told = "Classes that no labelled record carries are scored all the same; there a row can fall below 50."
    assert told in label_efficiency([multi], suite).caption
    for other in (summary, replace(summary, total=16), replace(multi, total=15)):
        assert told not in label_efficiency([other], suite).caption


def test_encoder_of_an_entry_is_that_of_its_first_fit():
    entries = (
        {"strategy": "a", "encoder": {"dim": 32}},
        {"strategy": "finetune", "label": "tuned", "init": "a"},
        "b",
        "c",
    )
    suite = Suite.model_validate(
        {
            "name": "s", "title": "S", "scale": "quick", "seeds": 1, "corpora": USED, "entries": entries,
            "input": {"rate": 50}, "budget": {"steps": 100, "batch": 32}, "encoders": {"b": {"name": "wide"}},
            "encoder": {"name": "net", "arguments": {"dim": 64, "width": 8}},
        }
    )  # fmt: skip
    found = [words.encoder_of(suite, label) for label in ("a", "tuned", "b", "c")]
    assert [(spec.name, spec.arguments) for spec in found] == [
        ("net", {"dim": 32, "width": 8}),
        ("net", {"dim": 32, "width": 8}),
        ("wide", {}),
        ("net", {"dim": 64, "width": 8}),
    ]


def test_units_and_records_where_each_window_is_judged_by_itself(tmp_path):
    bench = make_bench(tmp_path, input={"rate": 50, "instance": "lead", "aggregation": "none"})
    row = bench.add("one")
    table = bench.table(row, bench.noisy(2, 1))
    bench.commit(
        row, pd.concat([table.assign(start=0, lead=lead) for lead in ("I", "II")], ignore_index=True)
    )
    (summary,) = _summaries(bench)
    records = len(bench.parts("rhythm").test)
    assert (summary.records, summary.units) == (records, 2 * records)
    judged = f"{2 * records} test windows of single leads, each judged by itself, of {records} records;"
    assert judged in board(summary, bench.plan.suites[0], 50).caption
    as_records = replace(summary, units=records)
    assert f"{records} test records;" in words.conditions(as_records, bench.plan.suites[0])


def test_arguments_that_a_suite_varies_are_part_of_an_encoders_name(tmp_path):
    bench = make_bench(tmp_path, encoder_variants=({"dim": 32}, {"dim": 64}))
    bench.finish(bench.add("one", encoder="net (dim 32)"), bench.noisy(2, 1))
    bench.finish(bench.add("one", encoder="net (dim 64)"), bench.noisy(2, 1))
    suite = bench.plan.suites[0]
    for summary, dim in zip(_summaries(bench), (32, 64), strict=True):
        on = suite.on(suite.corpora[0], {"dim": dim})
        assert f"encoder net (dim {dim}), width 8; leads" in words.conditions(summary, on)


def test_rows_with_an_encoder_of_their_own_are_named(tmp_path):
    entries = ("one", "cpc", {"strategy": "finetune", "label": "cpc_tuned", "init": "cpc"})
    given = {"cpc": {"name": "cpc_net", "arguments": {"hidden": 8}}}
    bench = make_bench(tmp_path, entries=entries, encoders=given, label_fractions=(1.0,))
    for label in ("one", "cpc", "cpc_tuned"):
        bench.finish(bench.add(label), bench.noisy(2, 1))
    (summary,) = _summaries(bench)
    suite = bench.plan.suites[0]
    assert (
        "encoder resnet1d18, width 8 (Cpc; Cpc tuned: cpc_net, hidden 8);"
        in board(summary, suite, 50).caption
    )
    assert "cpc_net" not in words.conditions(summary, suite, {"one"})
