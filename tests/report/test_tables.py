"""The tables of a board by hand-made scores: numbers, blocks, marks, notes, captions."""

from dataclasses import replace

import numpy as np
import pytest

from bench.report import words
from bench.report.details import classes, comparisons, cost, no_result
from bench.report.frame import build_frame
from bench.report.summary import Summary, names, summarise
from bench.report.table import SIMULATED
from bench.report.tables import CONTROLS, NOTHING, STRATEGIES, board, selection, standings
from bench.report.views import MetricViews
from tests.report.hand_made import Bench, make_bench

SKIPPED = "label fraction 0.1 leaves class slow with 1 patient (2 needed)"


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Bench:
    """Three strategies, two controls, two seeds, two fractions; one failed, one fraction skipped."""
    return _filled(make_bench(tmp_path_factory.mktemp("board"), records=240))


def _filled(bench: Bench) -> Bench:
    constant = 0 * bench.truth() + 0.5
    for seed in range(2):
        for fraction in (0.1, 1.0):
            good = bench.truth() if fraction == 1.0 else bench.noisy(1.5, seed)
            bench.finish(bench.add("good", fraction, seed, needs=("labels",)), good, seconds=10.0 + 10 * seed)
            half = bench.truth() if seed else constant
            bench.finish(bench.add("half", fraction, seed, recipe="x"), half)
            failed = bench.add("broken", fraction, seed)
            bench.store.fail(failed.key, "failed", "Diverged", "")
            bench.finish(bench.add("floor", fraction, seed, origin="baseline"), constant, ("subset",))
        bench.add("prior", 0.1, seed, skipped=SKIPPED, origin="baseline")
        bench.finish(bench.add("prior", 1.0, seed, origin="baseline"), bench.noisy(4, seed))
    return bench


@pytest.fixture(scope="module")
def summary(bench) -> Summary:
    (summary,) = summarise(build_frame(bench.plan, bench.store, 400), MetricViews(bench.store, 400))
    return summary


def _cells(table, label):
    row = next(row for row in table.rows if row.data["label"] == label)
    return dict(zip([c.head for c in table.columns], row.cells, strict=True)), row


HEAD = "AUROC ×100 at 100\u00a0% labels, mean over seeds"


def test_board_numbers_by_hand(bench, summary):
    table = board(summary, bench.plan.suites[0], 400)
    cells, row = _cells(table, "half")
    assert (cells[HEAD].text, cells["range over 2 seeds"].text) == ("75.0", "50.0 to 100.0")
    assert (row.data["macro_auroc"], row.data["seeds"], row.data["rank"]) == (0.75, 2, 2)
    assert row.data["low"] == row.data["high"] == 0.75  # 0.5 and 1.0 in every resample
    cells, row = _cells(table, "good")
    assert cells[HEAD].text == "100.0"
    assert cells["rank (95\u00a0% interval over test patients)"].text == "1 (1–1)"
    assert row.data["seconds"] == 15.0
    assert cells["paid for in training"].text == "labels"
    cells, row = _cells(cost(summary, bench.plan.suites[0]), "good")
    assert (cells["fit seconds"].text, cells["encoder parameters"].text) == ("15.0", "8.8 M")
    assert (row.data["title"], row.data["views"]) == ("Good", 6400)


def test_board_blocks_and_order(bench, summary):
    table = board(summary, bench.plan.suites[0], 400)
    assert [(name, [row.data["label"] for row in rows]) for name, rows in table.blocks()] == [
        (STRATEGIES, ["good", "half"]),
        (CONTROLS, ["prior", "floor"]),
        (NOTHING, ["broken"]),
    ]
    assert all(row.data["rank"] is None for row in table.rows if row.block != STRATEGIES)


def test_board_marks_best_second_and_what_cannot_be_told_from_the_best(bench, summary):
    table = board(summary, bench.plan.suites[0], 400)
    cells, _ = _cells(table, "good")
    assert (cells[HEAD].emphasis, cells[HEAD].dagger) == ("best", False)
    cells, _ = _cells(table, "half")
    assert (cells[HEAD].emphasis, cells[HEAD].dagger, cells["tie group"].text) == ("second", False, "b")


def test_a_row_that_equals_the_best_has_a_dagger(tmp_path):
    bench = make_bench(tmp_path, label_fractions=(1.0,))
    bench.finish(bench.add("one"), bench.noisy(2, 1))
    bench.finish(bench.add("two"), bench.noisy(2, 2))
    (summary,) = summarise(build_frame(bench.plan, bench.store, 400), MetricViews(bench.store, 400))
    rows = board(summary, bench.plan.suites[0], 400).rows
    assert [row.cells[1].dagger for row in rows] == [False, True]
    assert [row.cells[1].emphasis for row in rows] == ["", ""]  # nothing is told apart, nothing stands out
    assert [row.data["tie_group"] for row in rows] == ["a", "a"]


def test_a_row_that_is_ranked_alone_has_no_rank(tmp_path):
    bench = make_bench(tmp_path)
    for fraction in (0.1, 1.0):
        bench.finish(bench.add("one", fraction), bench.noisy(2, 1))
        bench.finish(bench.add("floor", fraction, origin="baseline"), bench.noisy(3, 2))
    bench.finish(bench.add("few", 0.1), bench.noisy(2, 3))
    (summary,) = summarise(build_frame(bench.plan, bench.store, 50), MetricViews(bench.store, 50))
    table = board(summary, bench.plan.suites[0], 50)
    alone = {}
    for label in ("one", "floor", "few"):
        cells, row = _cells(table, label)
        rank = cells["rank (95\u00a0% interval over test patients)"]
        assert (rank.text, cells["tie group"].text, row.data["rank"]) == ("–", "–", None)
        alone[label] = [table.footnotes[number - 1] for number in rank.notes]
    assert alone == {
        "one": ["Only one ranked row: there is nothing to rank it against"],
        "floor": [],
        "few": [],
    }
    assert {entry for entry, _ in standings(summary, 0.1)} == {"one", "few"}


def test_one_score_for_all_records_is_noted_and_copies_have_no_spread(bench, summary):
    table = board(summary, bench.plan.suites[0], 400)
    cells, row = _cells(table, "floor")
    assert table.footnotes[cells[HEAD].notes[0] - 1] == "Every record got the same score"
    assert cells["range over 2 seeds"].text == "–"
    assert row.data["seed_low"] == row.data["seed_high"] == 0.5
    cells, _ = _cells(table, "half")
    assert cells[HEAD].notes == ()  # one of its seeds only


def test_a_read_out_that_learnt_nothing_from_few_labels_is_noted_there(tmp_path):
    bench = make_bench(tmp_path)
    for seed in range(2):
        bench.finish(bench.add("one", 0.1, seed), 0 * bench.truth() + 0.5)
        bench.finish(bench.add("one", 1.0, seed), bench.noisy(2, 1))
    (summary,) = summarise(build_frame(bench.plan, bench.store, 50), MetricViews(bench.store, 50))
    table = board(summary, bench.plan.suites[0], 50)
    cells, _ = _cells(table, "one")
    noted = [table.footnotes[cells[head].notes[0] - 1] for head in (HEAD, "at 10\u00a0%")]
    assert "bit-identical" in noted[0]
    assert noted[1] == "Every record got the same score: the read-out learnt nothing from so few labels"


def test_a_column_of_dashes_says_why(tmp_path):
    bench = make_bench(tmp_path)
    bench.add("one", 0.1, skipped=SKIPPED)
    bench.finish(bench.add("one", 1.0), bench.noisy(2, 1))
    (summary,) = summarise(build_frame(bench.plan, bench.store, 50), MetricViews(bench.store, 50))
    for table in (board(summary, bench.plan.suites[0], 50), selection(summary, bench.plan.suites[0])):
        (column, *_) = (column for column in table.columns if column.notes)
        assert "10\u00a0%" in column.head
        assert table.footnotes[column.notes[0] - 1] == f"skipped: {SKIPPED}"


def test_captions_say_what_holds_for_these_encoders_only(bench, summary):
    told = "They hold for these 2 trained encoders a row: seed-to-seed differences are not in them"
    assert told in board(summary, bench.plan.suites[0], 400).caption
    assert told in comparisons(summary, bench.plan.suites[0], 400).caption


def test_the_official_split_of_chapman_is_said_to_be_good_views(summary):
    real = replace(summary.setting, corpus="chapman")
    assert words.split_of(real) == "official (that of Good Views' code)"
    assert words.split_of(summary.setting) == "official"


def test_headings_are_words_of_the_title(bench, summary):
    suite = bench.plan.suites[0]
    assert selection(summary, suite).heading.startswith("Selection on the fraction's own validation records")
    assert no_result(summary, suite).heading == "Asked for, without a result"


def test_computed_measurements_are_stated_where_a_row_needs_them(tmp_path):
    bench = make_bench(tmp_path, label_fractions=(1.0,))
    bench.finish(bench.add("one"), bench.noisy(2, 1))
    frames = [build_frame(bench.plan, bench.store, 50)]
    bench.finish(bench.add("two", needs=("measurements",), uses_encoder=False), bench.noisy(2, 1))
    frames.append(build_frame(bench.plan, bench.store, 50))
    captions = []
    for frame in frames:
        (summary,) = summarise(frame, MetricViews(bench.store, 50))
        captions.append(board(replace(summary, measured="neurokit2"), bench.plan.suites[0], 50).caption)
    cells, _ = _cells(cost(summary, bench.plan.suites[0]), "two")
    assert cells["encoder parameters"].text == "–"
    assert ["computed from the ECG by neurokit2." in caption for caption in captions] == [False, True]


def test_lead_sets_trained_and_evaluated_alike_stand_once(summary):
    def setting(lead_set, eval_lead_set):
        return replace(
            summary, setting=replace(summary.setting, lead_set=lead_set, eval_lead_set=eval_lead_set)
        )

    assert names([setting("II", "II"), setting("all-12", "all-12"), setting("all-12", "II")]) == [
        "tiny-sim, rhythm, II", "tiny-sim, rhythm, all-12", "tiny-sim, rhythm, all-12, II",
    ]  # fmt: skip
    assert names([setting("all-12", "all-12"), setting("all-12", "II")]) == [
        "tiny-sim, rhythm, all-12", "tiny-sim, rhythm, II",
    ]  # fmt: skip


def test_missing_seeds_are_noted(tmp_path):
    bench = make_bench(tmp_path, label_fractions=(1.0,))
    bench.finish(bench.add("one", seed=0), bench.noisy(2, 1))
    bench.add("one", seed=1)
    (summary,) = summarise(build_frame(bench.plan, bench.store, 50), MetricViews(bench.store, 50))
    table = board(summary, bench.plan.suites[0], 50)
    cells, row = _cells(table, "one")
    assert table.footnotes[cells[HEAD].notes[0] - 1].startswith("1 of 2 seeds")
    assert row.data["seeds"] == 1


def test_failed_row_says_why(bench, summary):
    table = board(summary, bench.plan.suites[0], 400)
    cells, row = _cells(table, "broken")
    assert cells[HEAD].text == "failed"
    assert table.footnotes[cells[HEAD].notes[0] - 1] == "failed: Diverged"
    assert row.data["no_result"] == "failed: Diverged"


def test_caption_states_corpus_scale_split_and_that_it_is_simulated(bench, summary):
    for table in (
        board(summary, bench.plan.suites[0], 400),
        selection(summary, bench.plan.suites[0]),
        comparisons(summary, bench.plan.suites[0], 400),
        no_result(summary, bench.plan.suites[0]),
        classes(summary, bench.plan.suites[0]),
    ):
        assert table.title.startswith(SIMULATED)
        for stated in (
            "tiny-sim (240 simulated records)",
            "scale quick",
            "split official",
            f"{summary.records} test",
        ):
            assert stated in table.caption
        assert table.context["corpus"] == "tiny-sim"


def test_selection_shows_both_and_a_dash_where_there_is_one_kind(bench, summary):
    table = selection(summary, bench.plan.suites[0])
    _, good = _cells(table, "good")
    assert good.data["macro_auroc@0.1/subset"] == good.data["macro_auroc@0.1/all"] < 1
    cells, floor = _cells(table, "floor")
    assert floor.data["macro_auroc@0.1/all"] is None
    assert cells["10\u00a0%, all validation labels"].text == "–"


def test_comparisons_are_paired_and_corrected(bench, summary):
    rows = {
        (r.data["label"], r.data["minus"]): r.data
        for r in comparisons(summary, bench.plan.suites[0], 400).rows
    }
    assert set(rows) == {
        ("good", "prior"), ("half", "prior"), ("good", "floor"), ("half", "floor"), ("prior", "floor"),
    }  # fmt: skip
    assert rows["half", "floor"]["difference"] == 0.25
    assert rows["half", "floor"]["low"] == rows["half", "floor"]["high"] == 0.25
    assert rows["good", "floor"]["p"] == pytest.approx(2 / 401)
    assert rows["good", "floor"]["p_holm"] == pytest.approx(3 * 2 / 401)


def test_comparisons_with_a_control_of_another_encoder_say_so(tmp_path):
    entries = ("one", "stem", {"strategy": "finetune", "label": "tuned", "init": "stem"}, "floor", "prior")
    given = {label: {"name": "stem_net"} for label in ("stem", "floor")}
    bench = make_bench(tmp_path, label_fractions=(1.0,), entries=entries, encoders=given)
    for seed, label in enumerate(("one", "stem", "tuned")):
        bench.finish(bench.add(label), bench.noisy(2, seed))
    bench.finish(bench.add("floor", origin="baseline"), bench.noisy(9, 4))
    bench.finish(bench.add("prior", origin="baseline", uses_encoder=False), bench.noisy(4, 5))
    (summary,) = summarise(build_frame(bench.plan, bench.store, 50), MetricViews(bench.store, 50))
    table = comparisons(summary, bench.plan.suites[0], 50)
    assert table.footnotes == (
        "This row's encoder is not the control's: the difference is also one of encoders",
    )
    noted = {(row.data["label"], row.data["minus"]) for row in table.rows if row.cells[0].notes}
    assert noted == {("one", "floor")}
    assert {row.data["minus"] for row in table.rows} == {"floor", "prior"}
    assert "(Stem; Tuned; Floor: stem_net)" in table.caption


def test_classes_are_means_over_seeds(bench, summary):
    _, row = _cells(classes(summary, bench.plan.suites[0]), "half")
    assert row.data == {"label": "half", "title": "Half", "auroc/slow": 0.75, "auroc/fast": 0.75}


def test_no_result_lists_each_reason_once(bench, summary):
    rows = [row.data for row in no_result(summary, bench.plan.suites[0]).rows]
    assert [(r["label"], r["fractions"], r["status"]) for r in rows] == [
        ("broken", "0.1 1", "failed"),
        ("prior", "0.1", "skipped"),
    ]
    assert rows[1]["reason"] == SKIPPED


def test_dropped_classes_are_counted_in_the_caption(tmp_path):
    bench = make_bench(
        tmp_path, label_fractions=(1.0,), corpora=({"corpus": "tiny-sim", "task": "findings"},)
    )
    row = bench.add("simclr", task="findings", kind="multi")
    table = bench.table(row, np.clip(bench.noisy(2.0, 1, "findings"), 0, 1))
    table["target:odd"] = np.int8(0)
    bench.commit(row, table)
    (summary,) = summarise(build_frame(bench.plan, bench.store, 50), MetricViews(bench.store, 50))
    assert "2 of 3 classes" in board(summary, bench.plan.suites[0], 50).caption


def test_what_is_needed_at_test_is_paid_for_in_training_too(tmp_path):
    bench = make_bench(tmp_path, label_fractions=(1.0,))
    bench.finish(bench.add("boosting", needs_at_test=("measurements",)), bench.noisy(2, 1))
    (summary,) = summarise(build_frame(bench.plan, bench.store, 50), MetricViews(bench.store, 50))
    cells, _ = _cells(board(summary, bench.plan.suites[0], 50), "boosting")
    assert cells["paid for in training"].text == cells["needs at test"].text == "measurements"


def test_the_rule_of_the_macro_average_is_in_the_header_of_many_classes(summary, bench):
    suite, many = bench.plan.suites[0], replace(summary, kept=69, total=71)
    table = board(many, suite, 50)
    rule = "the mean over the 69 of 71 classes with a positive and a negative test record; the others are left out"
    assert rule in table.title
    assert table.columns[1].head.startswith(
        "AUROC ×100, mean of the 69 of 71 classes that have both kinds at 100"
    )
    assert "with 0.5 in its place, as printed elsewhere: macro_auroc_half in cells.csv" in table.caption
    few = board(summary, suite, 50)
    assert few.title == f"{SIMULATED} Every strategy: macro one-vs-rest AUROC on the test part."
    assert "macro_auroc_half" not in few.caption
