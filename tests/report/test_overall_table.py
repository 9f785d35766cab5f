import csv
import io
from dataclasses import replace

import numpy as np
import pytest

from bench.report.latex import to_latex
from bench.report.overall import overall
from bench.report.overall_table import overall_table
from bench.report.stats import MIN_BLOCKS, friedman
from bench.report.summary import Missing
from bench.report.table import DASH, SIMULATED, to_csv, to_markdown
from bench.report.tables import CONTROLS, STRATEGIES
from tests.report.hand_overall import CLASSIFIER, UNTRAINED, block, make_suite

KINDS = {
    "b": {"needs": ("labels", "patient")},
    "scratch": CLASSIFIER,
    "random": UNTRAINED,
}
RUNS = {
    "low": {0.5: [0.5], 1.0: [0.55, 0.55]},
    "a": {0.5: [0.6], 1.0: [0.7, 0.7]},
    "b": {0.5: [0.65], 1.0: [0.6, 0.6]},
    "random": {0.5: [0.5], 1.0: [0.5, 0.5]},
    "scratch": {0.5: [0.7], 1.0: [0.65, 0.65]},
}
BURST = Missing((1.0,), (0, 1), "failed", "it burst")


def _summaries(more=None, **changes):
    own = RUNS | {"gone": {0.5: [0.9]}, **(more or {})}
    one = block("one", own, KINDS, missing={"gone": BURST}, **changes)
    two = block("two", own | {"gone": {0.5: [0.9], 1.0: [0.9, 0.9]}}, KINDS, **changes)
    return [one, two]


def _table(summaries, suite=None, resamples: int = 40):
    made = suite or make_suite(*dict.fromkeys(e.label for s in summaries for e in s.entries))
    (found,) = overall(summaries, made)
    return overall_table(found, summaries, made, resamples)


def _cells(table, label: str) -> list:
    return next(list(row.cells) for row in table.rows if row.data["label"] == label)


def test_strategies_stand_above_baselines_the_best_at_all_labels_on_top():
    table = _table(_summaries())
    found = [(row.block, row.data["label"]) for row in table.rows]
    strategies = [(STRATEGIES, label) for label in ("a", "b", "low", "gone")]
    assert found == [*strategies, (CONTROLS, "scratch"), (CONTROLS, "random")]


def test_cells_hold_average_rank_and_probability_and_the_best_is_bold():
    table = _table(_summaries())
    texts = {label: [cell.text for cell in _cells(table, label)] for label in ("a", "b", "scratch")}
    assert texts["a"] == [
        "A", "60.0 (60.0 to 60.0)", "70.0 (70.0 to 70.0)", "1.0 (1.0 to 1.0)", "1.00 (0.40 to 1.00)", "none",
    ]  # fmt: skip
    assert texts["b"][3:] == ["2.0 (2.0 to 2.0)", "0.00 (0.00 to 0.60)", "labels, patient"]
    assert texts["scratch"][2:] == ["65.0 (65.0 to 65.0)", DASH, DASH, "labels"]
    emphasis = {row.data["label"]: [cell.emphasis for cell in row.cells[1:5]] for row in table.rows}
    assert emphasis == {
        "a": ["", "best", "best", ""],
        "b": ["second", "second", "second", ""],  # of 50 % labels 'gone' is the best
        "low": ["", "", "", ""],
        "gone": ["best", "", "", ""],
        "scratch": [""] * 4,
        "random": [""] * 4,
    }
    assert [column.head for column in table.columns] == [
        "strategy", "IQM at 50\u00a0% labels", "IQM at 100\u00a0% labels", "mean rank at 100\u00a0%",
        "probability of improvement over Scratch at 100\u00a0%", "paid for in training",
    ]  # fmt: skip


def test_a_row_that_lacks_a_block_says_how_many_it_has_and_why():
    table = _table(_summaries())
    cells = _cells(table, "gone")
    assert [cell.text for cell in cells[2:5]] == ["1 of 2", DASH, DASH]
    (note,) = cells[2].notes
    assert table.footnotes[note - 1] == "one, rhythm: failed: it burst"
    both = [replace(s, entries=tuple(replace(e, missing=(BURST,)) for e in s.entries)) for s in _summaries()]
    both = [
        replace(s, entries=tuple(replace(e, scores={}) if e.label == "low" else e for e in s.entries))
        for s in both
    ]
    table = _table(both)
    cells = _cells(table, "low")
    assert (cells[1].text, cells[2].text) == (DASH, "0 of 2")
    assert [table.footnotes[n - 1] for n in cells[2].notes] == ["failed: it burst"]


def test_footnotes_of_lost_and_identical_seeds_name_their_block():
    summaries = _summaries({"a": {0.5: [0.6, 0.7], 1.0: [0.7]}})

    def lost(entry):
        scores = (
            {p: replace(s, wanted=2) for p, s in entry.scores.items()} if entry.label == "a" else entry.scores
        )
        return replace(entry, scores=scores)

    table = _table([replace(one, entries=tuple(map(lost, one.entries))) for one in summaries])
    cell = _cells(table, "a")[2]
    assert cell.text == "0 of 2"  # an average over runs would lean to the block that has more
    assert "1 of 2 seeds; the others have no result" in [table.footnotes[n - 1] for n in cell.notes]
    one, two = _summaries({"a": {1.0: [0.7, 0.7]}})

    def same(entry):
        scores = {p: replace(s, seeds=replace(s.seeds, identical=True)) for p, s in entry.scores.items()}
        return replace(entry, scores=scores) if entry.label == "a" else entry

    table = _table([one, replace(two, entries=tuple(map(same, two.entries)))])
    (note,) = _cells(table, "a")[2].notes
    assert table.footnotes[note - 1].startswith("two, rhythm: All seeds gave bit-identical scores")


def test_footnote_of_the_ranks_is_friedmans_test_or_why_there_is_none():
    table = _table(_summaries())
    head = next(column for column in table.columns if column.head.startswith("mean rank"))
    assert [table.footnotes[n - 1] for n in head.notes] == [
        f"Too few blocks for a Friedman test: 2, at least {MIN_BLOCKS}"
    ]
    rng = np.random.default_rng(0)
    scores = rng.uniform(0.5, 0.6, (MIN_BLOCKS, 3)) + np.array([0, 0.2, 0.1])
    corpora = [f"c{k}" for k in range(MIN_BLOCKS)]
    summaries = [
        block(name, {x: {1.0: [scores[k, m]]} for m, x in enumerate("xyz")}) for k, name in enumerate(corpora)
    ]
    table = _table(summaries, make_suite(*"xyz", corpora=corpora))
    test = friedman(scores)
    assert table.footnotes[0].startswith(
        f"Friedman test of 3 strategies on {MIN_BLOCKS} blocks: chi-squared 12.00"
    )
    assert f"less than {test.critical_difference:.2f} apart" in table.footnotes[0]
    assert [row.data["label"] for row in table.rows] == ["y", "z", "x"]


def test_csv_has_the_numbers_themselves():
    rows = {row["label"]: row for row in csv.DictReader(io.StringIO(to_csv(_table(_summaries()))))}
    a, gone = rows["a"], rows["gone"]
    assert (a["corpus"], a["simulated"], a["of"], a["blocks@0.5"]) == ("all", "True", "2", "2")
    assert (a["iqm@1"], a["iqm@0.5_low"], a["mean_rank"], a["mean_rank_high"]) == ("0.7", "0.6", "1", "1")
    assert (a["base"], a["improvement"], a["improvement_high"]) == ("scratch", "1", "1")
    assert float(a["improvement_low"]) == pytest.approx(0.025 ** (1 / 4), abs=1e-6)
    assert (gone["blocks@1"], gone["iqm@1"], gone["mean_rank"], gone["mean_rank_low"], gone["base"]) == (
        "1", "", "", "", "",
    )  # fmt: skip
    assert rows["b"]["paid_for"] == "labels patient"
    assert rows["random"]["origin"] == "baseline"


def test_several_bases_are_named_row_by_row():
    suite = make_suite("a", "b", "low", "gone", "scratch", "random", "other", encoders={
        "b": {"name": "wide"}, "other": {"name": "wide"},
    })  # fmt: skip
    kinds = KINDS | {"other": UNTRAINED}
    summaries = [block(c, RUNS | {"other": {1.0: [0.5, 0.6]}}, kinds) for c in ("one", "two")]
    table = _table(summaries, suite)
    head = table.columns[4].head
    assert head == "probability of improvement at 100\u00a0%"
    told = {x: [table.footnotes[n - 1] for n in _cells(table, x)[4].notes] for x in ("a", "b")}
    assert told == {"a": ["Over Scratch"], "b": ["Over Other"]}
    assert _cells(table, "b")[4].text.startswith("0.75 (")  # ties count half
    assert "above a run of the row that its footnote names" in table.caption


def test_caption_names_every_block_and_what_differs_between_them():
    corpora = (
        {"corpus": "one", "task": "rhythm"},
        {"corpus": "two", "task": "rhythm", "budget": {"steps": 7}},
    )
    labels = ("low", "a", "b", "random", "scratch", "gone")
    suite = make_suite(*labels, corpora=corpora)
    one, two = _summaries(protocol="p1")
    two = replace(two, terms="Corpus: licence CC BY 4.0; Doe 2020.", kept=3)
    table = _table([one, two], suite, 1234)
    assert table.title.startswith(
        f"{SIMULATED} Across corpora: interquartile mean (IQM) of macro one-vs-rest AUROC"
    )
    assert table.heading == "Across corpora"
    caption = table.caption
    assert caption.startswith(
        "Blocks: one (9 records), task rhythm, split official, protocol p1, 30 test records; two (9 records), task"
        " rhythm, split official, protocol p1, 30 test records, 3 of 4 classes. Scale quick; encoder net; leads all-12;"
    )
    assert "budget one, rhythm: 9 steps of 3 records" in caption
    assert "two, rhythm: 7 steps of 3 records" in caption
    assert "label fractions: share of training patients; 2 seeds." in caption
    assert "(1,234 resamples); over so few seeds it is too narrow, and covers less than that. Mean" in caption
    enough = _table([one, two], suite.model_copy(update={"seeds": 5}))
    assert "(40 resamples). Mean rank" in enough.caption
    assert "above a run of Scratch on the same block" in caption
    assert "Macro averages leave out a class" in caption
    assert " two: licence CC BY 4.0; Doe 2020." in caption
    assert "Not at" not in caption


def test_caption_names_label_fractions_that_some_block_lacks():
    one = block("one", {"a": {0.1: [0.5], 1.0: [0.5]}})
    two = block("two", {"a": {1.0: [0.5]}}, missing={"a": Missing((0.1,), (0,), "skipped", "few")})
    table = _table([one, two])
    assert "Not at 10\u00a0% labels, where some block has no result." in table.caption
    assert "probability of improvement" not in table.caption.lower()
    assert "label fractions" not in table.caption
    assert "Macro averages" not in table.caption


@pytest.mark.parametrize("rows", [3, 40])
def test_every_form_is_written(rows):
    runs = {f"r{k}": {1.0: [0.5 + k / 100]} for k in range(rows)}
    table = _table([block(c, runs) for c in ("one", "two")])
    assert table.long == (rows == 40)
    assert f"**{50 + rows - 1:.1f} (" in to_markdown(table)
    assert rf"\textbf{{{50 + rows - 1:.1f} (" in to_latex(table)
    assert rf"\underline{{{50 + rows - 2:.1f} (" in to_latex(table)
