from dataclasses import replace

import numpy as np
import pytest

from bench.report import figures, transfer_figure
from bench.report.details import classes, comparisons, cost, methods, no_result
from bench.report.figures import label_efficiency, transfer_efficiency
from bench.report.frame import build_frame
from bench.report.group_summary import build_group_frame, summarise_groups
from bench.report.group_views import GroupViews
from bench.report.summary import Summary, summarise
from bench.report.table import SIMULATED, to_csv
from bench.report.tables import CONTROLS, LEAKS, NOTHING, STRATEGIES, TRANSFERS, board, selection
from bench.report.transfer import (
    FROZEN,
    TUNED,
    leak_table,
    moved,
    transfer_table,
    without_overlap,
)
from bench.report.transfer_figure import transfer_matrices
from bench.report.views import MetricViews
from bench.run.suite import Suite
from tests.report.group_cells import add_group, finish_group, swapped, units
from tests.report.hand_made import Bench, make_bench

NEAR, FAR = "tiny-sim", "far-sim"
ENTRIES = (
    "good",
    {"strategy": "finetune", "label": "good_tuned", "init": "good"},
    "supervised",
    {"strategy": "good", "label": "good_leak", "title": "Good with a leak", "overlap": True},
    {"strategy": "finetune", "label": "leak_tuned", "init": "good_leak"},
    "lost",
)


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Bench:
    """Two corpora, each the other's source: scores are the truth, one half, or half of each by seed."""
    bench = make_bench(tmp_path_factory.mktemp("transfer"), records=240, entries=ENTRIES)
    for corpus, source in ((NEAR, FAR), (FAR, NEAR)):
        _fill(bench, source, {"corpus": corpus, "title": f"{corpus} (240 simulated records)"})
    return bench


def _fill(bench: Bench, source: str, on: dict[str, str]) -> None:
    constant, tuned = 0 * bench.truth() + 0.5, {"readout": "classifier"}
    for seed in range(2):
        half = bench.truth() if seed else constant
        for fraction in (0.1, 1.0):
            bench.finish(bench.add("good", fraction, seed, **on), bench.truth())
            bench.finish(bench.move("good", source, fraction, seed, **on), half)
            control = {"origin": "baseline", **tuned, **on}
            bench.finish(bench.add("good_tuned", fraction, seed, **control), half)
            bench.finish(bench.move("good_tuned", source, fraction, seed, **tuned, **on), bench.truth())
            bench.finish(bench.add("supervised", fraction, seed, **control), constant)
        leak = {"origin": "overlap", "overlap": True, **on}
        bench.finish(bench.add("good_leak", seed=seed, strategy="good", **leak), half)
        bench.finish(bench.add("leak_tuned", seed=seed, strategy="finetune", **leak, **tuned), bench.truth())
        bench.add("lost", 1.0, seed, skipped="no such thing", **on)
        bench.move("lost", source, 1.0, seed, skipped="an encoder of other leads", **on)


@pytest.fixture(scope="module")
def summaries(bench) -> list[Summary]:
    return summarise(build_frame(bench.plan, bench.store, 100), MetricViews(bench.store, 100))


@pytest.fixture(scope="module")
def summary(summaries) -> Summary:
    return summaries[0]


@pytest.fixture(scope="module")
def suite(bench) -> Suite:
    return bench.plan.suites[0]


def _row(table, **wanted):
    (row,) = [row for row in table.rows if all(row.data.get(name) == v for name, v in wanted.items())]
    return dict(zip([column.head for column in table.columns], row.cells, strict=True)), row


def test_one_label_from_two_corpora_is_two_entries(summary):
    here, there = summary.entry("good"), summary.entry("good", FAR)
    assert (here.key, there.key) == (("good", ""), ("good", FAR))
    assert (summary.score(here).seeds.mean, summary.score(there).seeds.mean) == (1.0, 0.75)
    assert summary.sources == (FAR,)
    assert summary.entry("good", NEAR) is None


def test_board_has_blocks_for_what_is_not_ranked(summary, suite):
    table = board(summary, suite, 100)
    found = [
        (block, [(r.data["label"], r.data.get("source", "")) for r in rows]) for block, rows in table.blocks()
    ]
    assert found == [
        (STRATEGIES, [("good", "")]),
        (CONTROLS, [("good_tuned", ""), ("supervised", "")]),
        (TRANSFERS, [("good_tuned", FAR), ("good", FAR)]),
        (LEAKS, [("leak_tuned", ""), ("good_leak", "")]),
        (NOTHING, [("lost", ""), ("lost", FAR)]),
    ]  # fmt: skip
    assert all(row.data["rank"] is None for row in table.rows if row.block != STRATEGIES)
    assert "pre-trained there, read out or trained further here" in table.caption
    assert "pre-trained on every signal of the corpus, validation and test too; no labels" in table.caption
    assert to_csv(table).splitlines()[0].split(",")[10:15] == ["block", "label", "title", "source", "overlap"]


def test_other_tables_keep_sources_apart(summary, suite):
    for table in (cost(summary, suite), selection(summary, suite), classes(summary, suite)):
        labels = [(row.data["label"], row.data.get("source", "")) for row in table.rows]
        assert labels.count(("good", "")) == labels.count(("good", FAR)) == 1
    by_class = classes(summary, suite)
    assert _row(by_class, label="good", source=FAR)[1].data["auroc/slow"] == 0.75
    assert [r.data["auroc/slow"] for r in by_class.rows if r.data["title"] == "Good"] == [1.0]
    assert [row.data["label"] for row in methods(summary, suite).rows].count("good") == 1
    assert "source" not in {name for row in comparisons(summary, suite, 100).rows for name in row.data}
    reasons = {row.data["title"]: row.data["reason"] for row in no_result(summary, suite).rows}
    assert reasons == {"Lost": "no such thing", f"Lost, from {FAR}": "an encoder of other leads"}


def test_budgets_name_the_row_that_was_pretrained_here(bench, summary, suite):
    given = suite.model_copy(update={"budgets": {"good": {"steps": 7}}})
    assert "(Good: 7 steps)" in transfer_table(summary, given, 100).caption


def test_transfer_table_by_hand(summary, suite):
    table = transfer_table(summary, suite, 100)
    assert [(block, [row.data["label"] for row in rows]) for block, rows in table.blocks()] == [
        (FROZEN, ["good", "good", "lost"]),
        (TUNED, ["good_tuned", "good_tuned"]),
    ]
    assert [row.data["fraction"] for row in table.rows] == [0.1, 1.0, 1.0, 0.1, 1.0]
    cells, row = _row(table, label="good", fraction=1.0)
    assert (cells["labels"].text, cells["from scratch"].text) == ("100\u00a0%", "50.0")
    assert [cells[head].text for head in ("pre-trained here", f"on {FAR}")] == ["100.0", "75.0"]
    assert cells[f"{FAR} − here (95\u00a0% interval)"].text == "−25.0 (−25.0 to −25.0)"
    assert cells["here − from scratch (95\u00a0% interval)"].text == "+50.0 (+50.0 to +50.0)"
    assert cells[f"{FAR} − from scratch (95\u00a0% interval)"].text == "+25.0 (+25.0 to +25.0)"
    assert (row.data[f"{FAR}_minus_here"], row.data[f"{FAR}_minus_scratch_low"]) == (-0.25, 0.25)
    assert row.data[f"{FAR}_minus_here_p"] == pytest.approx(2 / 101)
    assert (row.data["here_low"], row.data[f"{FAR}_high"], row.data["scratch_low"]) == (1.0, 0.75, 0.5)
    assert _row(table, label="good_tuned", fraction=0.1)[1].data[f"{FAR}_minus_here"] == 0.25
    assert table.title.startswith(SIMULATED)


def test_transfer_table_says_why_a_number_is_missing(summary, suite):
    table = transfer_table(summary, suite, 100)
    cells, row = _row(table, label="lost")
    assert cells[f"on {FAR}"].text == "skipped"
    assert table.footnotes[cells[f"on {FAR}"].notes[0] - 1] == "skipped: an encoder of other leads"
    assert cells[f"{FAR} − here (95\u00a0% interval)"].text == "–"
    assert row.data[f"{FAR}_minus_here"] is None


def test_from_scratch_is_of_the_same_label_fractions(tmp_path):
    bench = make_bench(tmp_path, entries=ENTRIES)
    control = {"origin": "baseline", "readout": "classifier"}
    bench.finish(bench.add("supervised", fractions_by="frames", **control), bench.truth())
    bench.finish(bench.add("good"), bench.noisy(2, 0))
    bench.finish(bench.move("good", FAR), bench.noisy(2, 1))
    (summary,) = summarise(build_frame(bench.plan, bench.store, 20), MetricViews(bench.store, 20))
    table = transfer_table(summary, bench.plan.suites[0], 20)
    _, row = _row(table, label="good")
    assert row.data["here_minus_scratch"] is None
    assert "labels" not in {column.head for column in table.columns}  # of one fraction there is no column
    assert row.data[f"{FAR}_minus_here"] is not None


def test_no_transfer_no_table_no_figure(tmp_path):
    bench = make_bench(tmp_path)
    for fraction in (0.1, 1.0):
        bench.finish(bench.add("good", fraction), bench.noisy(2, 0))
    suite = bench.plan.suites[0]
    found = summarise(build_frame(bench.plan, bench.store, 20), MetricViews(bench.store, 20))
    assert transfer_table(found[0], suite, 20) is leak_table(found[0], suite, 20) is None
    assert transfer_efficiency(found, suite) is None
    assert transfer_matrices(found, suite) == []


def test_leak_is_the_difference_to_the_same_method_without_it(summary, suite):
    table = leak_table(summary, suite, 100)
    cells, row = _row(table, label="good_leak")
    assert (row.data["without"], row.data["difference"], row.data["difference_high"]) == (
        "good",
        -0.25,
        -0.25,
    )
    assert [cells[head].text for head in ("without the test ECGs", "with them", "difference")] == [
        "100.0", "75.0", "−25.0",
    ]  # fmt: skip
    _, row = _row(table, label="leak_tuned")
    assert (row.data["without"], row.data["difference"]) == ("good_tuned", 0.25)


def test_the_same_method_without_the_leak_has_the_same_parameters_and_budget():
    content = {
        "name": "s",
        "title": "S",
        "scale": "quick",
        "seeds": 1,
        "corpora": ({"corpus": "c", "task": "t"},),
    }
    content |= {"input": {"rate": 50}, "encoder": {"name": "net"}, "budget": {"steps": 9, "batch": 3}}
    plain = {"strategy": "a", "label": "plain", "params": {"x": 2}}
    leak = {"strategy": "a", "label": "leak", "params": {"x": 2}, "overlap": True}
    entries = ("a", plain, {**plain, "label": "long", "budget": {"steps": 90}}, leak)
    suite = Suite.model_validate({**content, "entries": entries})
    assert without_overlap(suite, "leak") == "plain"
    longer = Suite.model_validate({**content, "entries": entries, "budgets": {"leak": {"steps": 90}}})
    assert without_overlap(longer, "leak") == "long"
    quiet = Suite.model_validate(
        {**content, "entries": (plain, {**leak, "noise": False, "transfer": "never"})}
    )
    assert without_overlap(quiet, "leak") == "plain"
    wider = Suite.model_validate({**content, "entries": entries, "encoders": {"leak": {"name": "wide"}}})
    assert without_overlap(wider, "leak") is None
    alone = Suite.model_validate({**content, "entries": ("a", leak)})
    assert without_overlap(alone, "leak") is without_overlap(alone, "nobody") is None


def test_a_matrix_has_rows_of_pretraining_and_columns_of_evaluation(summaries, suite):
    rows = [NEAR, FAR]
    first, last, tuned = transfer_figure.panels_of(summaries, suite, rows)
    assert (first.title, last.title, tuned.title) == ("Good", "Lost", "Good tuned")
    np.testing.assert_array_equal(first.values, [[100, 75], [75, 100]])
    np.testing.assert_array_equal(tuned.values, [[75, 100], [100, 75]])
    assert np.isnan(last.values).all()


def test_matrices_are_drawn_once_an_encoder_and_the_same_every_time(bench, summaries, suite, tmp_path):
    (figure,) = transfer_matrices(summaries, suite)
    assert figure.name == "transfer"
    assert figure.caption.startswith(f"{SIMULATED} Transfer: macro one-vs-rest AUROC")
    assert "framed: pre-trained where it is evaluated" in figure.caption
    assert transfer_matrices(summaries, suite)[0].svg == figure.svg
    other = make_bench(tmp_path, entries=("good",))
    for encoder in ("net (dim 32)", "net (dim 64)"):
        other.finish(other.add("good", encoder=encoder), other.noisy(2, 0))
        other.finish(other.move("good", FAR, encoder=encoder), other.noisy(2, 1))
    found = summarise(build_frame(other.plan, other.store, 20), MetricViews(other.store, 20))
    names = [one.name for one in transfer_matrices(found, other.plan.suites[0])]
    assert names == ["transfer_net-dim-32", "transfer_net-dim-64"]


def test_a_matrix_wraps_its_titles_and_says_once_that_it_is_simulated(summaries, suite, monkeypatch):
    saved = []
    monkeypatch.setattr(transfer_figure, "saved", lambda canvas: (saved.append(canvas), (b"", b""))[1])
    long = replace(
        summaries[0].entries[0], name="A name that is far too long for the panel that it stands on"
    )
    more = (long, *summaries[0].entries[1:])
    transfer_matrices([replace(summaries[0], entries=more), *summaries[1:]], suite)
    (canvas,) = saved
    titles = [ax.get_title(loc="left") for ax in canvas.axes]
    assert max(len(line) for title in titles for line in title.splitlines()) <= 2.5 * 13
    assert " ".join(titles[0].split()) == long.name
    assert not any("SIMULATED" in title for title in titles)
    assert canvas.get_suptitle() == "SIMULATED DATA"
    shown = [text.get_text() for text in canvas.axes[0].texts]
    assert shown == ["100.0", "75.0", "75.0", "100.0"]


@pytest.mark.parametrize(
    ("colour", "expected"),
    [
        ((1, 1, 1, 1), "black"), ((0, 0, 0, 1), "white"), ((0.73, 0.67, 0.43, 1), "black"),
        ((0.0, 0.2, 0.43, 1), "white"), ((0.5, 0.5, 0.47), "black"), ((0.42, 0.42, 0.45), "white"),
    ],
)  # fmt: skip
def test_text_on_a_colour_has_the_more_contrast(colour, expected):
    assert transfer_figure.ink(colour) == expected


def test_more_panels_than_fit_are_counted(summaries, suite, monkeypatch):
    monkeypatch.setattr(transfer_figure, "MOST", 1)
    (figure,) = transfer_matrices(summaries, suite)
    assert "1 more row is in the tables." in figure.caption


def test_label_efficiency_shows_what_was_pretrained_here_and_transfer_the_rest(summaries, suite, monkeypatch):
    drawn: list[str] = []
    monkeypatch.setattr(
        figures, "draw", lambda ax, lines, looks, width=0: drawn.extend(x.name for x in lines)
    )
    label_efficiency(summaries[:1], suite)
    assert drawn == ["Good", "Good tuned", "Supervised"]
    drawn.clear()
    figure = transfer_efficiency(summaries[:1], suite)
    # fine-tuned ones where there are any, and what is from scratch
    assert drawn == ["Good tuned", f"Good tuned, from {FAR}", "Supervised"]
    assert figure.name == "transfer_efficiency"


def test_moved_rows_are_frozen_or_fine_tuned(summary, suite):
    assert moved(summary, suite) == [(FROZEN, ["good", "lost"]), (TUNED, ["good_tuned"])]


def test_what_is_only_there_from_elsewhere_has_a_title_without_it(tmp_path):
    bench = make_bench(tmp_path, entries=("good",))
    for source in (FAR, "further-sim"):
        bench.finish(bench.move("good", source), bench.noisy(2, 0))
    (summary,) = summarise(build_frame(bench.plan, bench.store, 20), MetricViews(bench.store, 20))
    suite = bench.plan.suites[0]
    table = transfer_table(summary, suite, 20)
    assert [row.cells[0].text for row in table.rows] == ["Good"]
    assert [row.cells[1].text for row in table.rows] == ["–"]
    assert [row.data["title"] for row in methods(summary, suite).rows] == ["Good"]
    (panel,) = transfer_figure.panels_of([summary], suite, [NEAR, FAR, "further-sim"])
    assert panel.title == "Good"
    assert np.isnan(panel.values[0, 0])
    assert np.isfinite(panel.values[1:]).all()


def test_groups_of_embeddings_from_elsewhere_are_not_those_from_here(tmp_path):
    bench = make_bench(tmp_path, label_fractions=(1.0,))
    bench.finish(bench.add("good"), bench.noisy(2, 0))
    bench.finish(bench.move("good", FAR), bench.noisy(2, 1))
    finish_group(bench, add_group(bench, "good"), swapped(units(bench)))
    (scores,) = summarise(build_frame(bench.plan, bench.store, 20), MetricViews(bench.store, 20))
    frame = build_group_frame(bench.plan, bench.store, 20)
    (groups,) = summarise_groups(frame, GroupViews(bench.store, 20))
    rows = board(scores, bench.plan.suites[0], 20, groups).rows
    assert [row.data["kmeans_acc"] for row in rows] == [1.0, None]
