from dataclasses import replace

import numpy as np
import pytest

from bench.report.challenge import METRIC
from bench.report.overall import blocks_of, overall, together
from bench.report.stats import (
    MIN_BLOCKS,
    friedman,
    interquartile_aggregate,
    interval,
    probability_of_improvement,
    rank_intervals,
)
from bench.report.summary import Missing
from tests.report.hand_overall import (
    CLASSIFIER,
    NO_ENCODER,
    RESAMPLES,
    UNTRAINED,
    block,
    make_suite,
)

FAILED = Missing((1.0,), (0, 1), "failed", "it burst")


def _rows(found, fraction: float = 1.0) -> dict:
    return {row.label: row for row in found.at(fraction)}


def test_an_average_is_the_middle_half_of_all_runs_with_the_interval_of_the_stratified_bootstrap():
    rng = np.random.default_rng(5)
    draws = [0.9 + rng.normal(0, 0.02, (2, RESAMPLES)), 0.6 + rng.normal(0, 0.05, (2, RESAMPLES))]
    runs = ({"a": {1.0: [0.9, 0.8]}}, {"a": {1.0: [0.61, 0.5]}})
    summaries = [block(c, s, draws={"a": d}) for c, s, d in zip(("one", "two"), runs, draws, strict=True)]
    (found,) = overall(summaries, make_suite("a", seed=3))
    (row,) = found.rows
    assert row.iqm.value == pytest.approx((0.8 + 0.61) / 2)
    points = [np.array([0.9, 0.8]), np.array([0.61, 0.5])]
    assert row.iqm == interquartile_aggregate(draws, points, np.random.default_rng(3))
    assert (row.iqm.runs, row.iqm.blocks, row.present, row.of) == (4, 2, 2, 2)
    assert (row.mean_rank, row.base, row.improvement) == (None, "", None)  # one alone


def test_a_row_that_lacks_a_block_has_no_average_and_moves_no_rank():
    one = block("one", {"a": {1.0: [0.7]}, "b": {1.0: [0.6]}, "best": {1.0: [0.99]}})
    two = block("two", {"a": {1.0: [0.5]}, "b": {1.0: [0.8]}}, missing={"best": FAILED})
    (found,) = overall([one, two], make_suite("a", "b", "best"))
    rows = _rows(found)
    best = rows["best"]
    assert (best.present, best.of, best.iqm, best.mean_rank, best.improvement) == (1, 2, None, None, None)
    assert np.isnan([best.rank_low, best.rank_high]).all()
    assert (rows["a"].mean_rank, rows["b"].mean_rank) == (1.5, 1.5)
    assert [row.label for row in found.ranked] == ["a", "b"]


def test_a_score_without_a_number_is_no_score():
    one = block("one", {"a": {1.0: [0.7]}, "b": {1.0: [float("nan")]}})
    two = block("two", {"a": {1.0: [0.5]}, "b": {1.0: [0.8]}})
    (found,) = overall([one, two], make_suite("a", "b"))
    assert (_rows(found)["b"].present, _rows(found)["b"].iqm) == (1, None)


def test_mean_ranks_share_ties_and_take_blocks_alike():
    scores = {"a": [0.9, 0.3, 0.7], "b": [0.9, 0.5, 0.8], "c": [0.2, 0.4, 0.9]}
    corpora = ("one", "two", "three")
    summaries = [
        block(name, {label: {1.0: [own[k]]} for label, own in scores.items()})
        for k, name in enumerate(corpora)
    ]
    (found,) = overall(summaries, make_suite("a", "b", "c", corpora=corpora))
    expected = {"a": (1.5 + 3 + 3) / 3, "b": (1.5 + 1 + 2) / 3, "c": (3 + 2 + 1) / 3}
    assert {row.label: row.mean_rank for row in found.rows} == pytest.approx(expected)


def test_intervals_of_mean_ranks_are_the_means_of_those_within_blocks():
    rng = np.random.default_rng(0)
    labels = ("a", "b", "c")
    shifts = {"a": 0.3, "b": 0.1, "c": 0.0}
    draws = {
        c: {x: shift + rng.normal(0.5, 0.1, (2, RESAMPLES)) for x, shift in shifts.items()}
        for c in ("one", "two", "three")
    }
    draws["two"]["c"][0, 3] = np.nan  # a resample without some class
    summaries = [block(c, {label: {1.0: [0.7, 0.8]} for label in labels}, draws=draws[c]) for c in draws]
    (found,) = overall(summaries, make_suite(*labels, corpora=tuple(draws)))
    within = [
        rank_intervals(np.stack([own[label].mean(axis=0) for label in labels]), 1 - 0.05 / 3)
        for own in draws.values()
    ]
    for row in found.rows:
        own = [spans[labels.index(row.label)] for spans in within]
        expected = sum(low for low, _ in own) / 3, sum(high for _, high in own) / 3
        assert (row.rank_low, row.rank_high) == pytest.approx(expected)
        assert row.mean_rank == 2.0  # all means are equal


def test_another_row_changes_no_average():
    rng = np.random.default_rng(1)
    draws = {label: rng.normal(0.7, 0.1, (2, RESAMPLES)) for label in ("a", "b")}
    runs = {"a": {1.0: [0.7, 0.6]}, "b": {1.0: [0.5, 0.8]}}

    def averages(*labels: str) -> dict:
        summaries = [block(c, {x: runs[x] for x in labels}, draws=draws) for c in ("one", "two")]
        (found,) = overall(summaries, make_suite(*labels))
        return {row.label: row.iqm for row in found.rows}

    assert averages("a", "b")["b"] == averages("b")["b"]


SCRATCH = {"scratch": CLASSIFIER, "random": UNTRAINED, "prior": NO_ENCODER}


def _four(*more: str, kinds=SCRATCH, fractions=(1.0,), suite=None):
    scores = {"a": [0.9, 0.7], "scratch": [0.8, 0.6], "random": [0.5, 0.5], "prior": [0.4, 0.4]}
    scores |= {label: [0.9, 0.7] for label in more}
    own = {
        label: dict.fromkeys(fractions, runs)
        for label, runs in scores.items()
        if label in (*kinds, "a", *more)
    }
    summaries = [block(c, own, kinds) for c in ("one", "two")]
    return overall(summaries, suite or make_suite(*own))[0]


def test_rows_are_to_improve_on_training_from_scratch():
    rows = _rows(_four())
    assert {label: row.base for label, row in rows.items()} == {
        "a": "scratch", "scratch": "", "random": "scratch", "prior": "scratch",
    }  # fmt: skip
    a, scratch = ([np.array(runs)] * 2 for runs in ([0.9, 0.7], [0.8, 0.6]))
    assert rows["a"].improvement == probability_of_improvement(a, scratch, np.random.default_rng(0))
    assert rows["a"].improvement.value == 0.75  # three of four pairs
    assert rows["random"].improvement.value == 0
    assert rows["scratch"].improvement is None


def test_copies_of_a_seed_are_one_run_of_what_is_to_improve_and_as_many_of_an_average():
    def same(summary):
        entries = []
        for entry in summary.entries:
            scores = {p: replace(s, seeds=replace(s.seeds, identical=True)) for p, s in entry.scores.items()}
            entries.append(replace(entry, scores=scores) if entry.label == "a" else entry)
        return replace(summary, entries=tuple(entries))

    runs = {"a": {1.0: [0.7, 0.7]}, "scratch": {1.0: [0.6, 0.8]}}
    summaries = [same(block("one", runs, SCRATCH)), block("two", runs, SCRATCH)]
    (found,) = overall(summaries, make_suite("a", "scratch"))
    a = _rows(found)["a"]
    assert (a.iqm.runs, a.improvement.runs, a.improvement.value) == (4, 1 + 2 + 2 + 2, 0.5)


def test_without_training_from_scratch_they_are_to_improve_on_the_untrained_encoder():
    kinds = {label: kind for label, kind in SCRATCH.items() if label != "scratch"}
    rows = _rows(_four(kinds=kinds))
    assert {label: row.base for label, row in rows.items()} == {
        "a": "random",
        "random": "",
        "prior": "random",
    }
    assert rows["a"].improvement.value == 1


def test_what_is_to_be_improved_on_has_the_rows_encoder_and_labels():
    other = {**CLASSIFIER, "fractions_by": "frames"}
    rows = _rows(_four(kinds={**SCRATCH, "scratch": other}))
    assert rows["a"].base == "random"
    assert _rows(_four(kinds={"random": {**UNTRAINED, "fractions_by": "frames"}}))["a"].base == ""
    suite = make_suite("a", "b", "scratch", "random", "prior", encoders={"b": {"name": "another"}})
    rows = _rows(_four("b", suite=suite))
    assert (rows["a"].base, rows["b"].base) == ("scratch", "")
    trained = {"origin": "baseline"}  # of so many steps
    assert _rows(_four(kinds={"random": trained, "prior": NO_ENCODER}))["a"].base == ""


def test_what_is_to_be_improved_on_has_all_blocks():
    one = block("one", {"a": {1.0: [0.9]}, "scratch": {1.0: [0.8]}, "random": {1.0: [0.5]}}, SCRATCH)
    two = block("two", {"a": {1.0: [0.9]}, "random": {1.0: [0.5]}}, SCRATCH, missing={"scratch": FAILED})
    suite = make_suite("a", "scratch", "random")
    for summaries in ([one, two], [two, one]):
        (found,) = overall(summaries, suite)
        assert (_rows(found)["a"].base, _rows(found)["scratch"].base) == ("random", "")


def test_only_label_fractions_at_which_every_block_has_a_result():
    one = block("one", {"a": {0.1: [0.7], 0.5: [0.8], 1.0: [0.9]}, "b": {1.0: [0.6]}})
    two = block(
        "two",
        {"a": {0.5: [0.8], 1.0: [0.9]}, "b": {1.0: [0.5]}},
        missing={"a": Missing((0.1,), (0,), "skipped", "few")},
    )
    (found,) = overall([one, two], make_suite("a", "b"))
    assert (found.fractions, found.headline) == ((0.5, 1.0), 1.0)
    assert [row.label for row in found.at(0.5)] == ["a"]  # b was not asked for there
    assert found.at(0.1) == ()
    three = block("three", {"a": {0.2: [0.5]}})
    assert overall([one, three], make_suite("a", "b")) == []


def test_what_was_asked_for_and_has_no_result_at_all_is_there():
    summaries = [block(c, {"a": {1.0: [0.5]}}, missing={"gone": FAILED}) for c in ("one", "two")]
    (found,) = overall(summaries, make_suite("a", "gone"))
    assert (_rows(found)["gone"].present, _rows(found)["gone"].of) == (0, 2)


def test_blocks_have_one_encoder_and_lead_set_and_are_of_two_corpora():
    runs = {"a": {1.0: [0.5]}}
    suite = make_suite("a")
    alone = [block("one", runs, task=task) for task in ("rhythm", "form")]
    assert overall(alone, suite) == overall([], suite) == []
    summaries = [
        block(corpus, runs, encoder=encoder, lead_set=leads, eval_lead_set=shown, simulated=simulated)
        for encoder, leads, shown, simulated in (
            ("net", "all-12", "all-12", True),
            ("net", "all-12", "challenge-2", True),
            ("wide", "all-12", "all-12", True),
        )
        for corpus in ("one", "two")
    ]
    summaries.append(block("three", runs, simulated=False))
    summaries.append(block("three", runs, encoder="tiny"))
    found = overall(summaries, suite)
    assert [[s.setting.corpus for s in blocks_of(one, summaries)] for one in found] == [["one", "two"]] * 3
    assert [blocks_of(one, summaries)[0].setting.encoder for one in found] == ["net", "net", "wide"]
    assert found[1].blocks[0] == "one, rhythm, net, challenge-2"


def test_rows_from_other_corpora_and_those_that_saw_test_ecgs_are_left_out():
    kinds = {"far": {"origin": "transfer", "source": "far"}, "leak": {"origin": "overlap", "overlap": True}}
    runs = {label: {1.0: [0.5, 0.6]} for label in ("a", "far", "leak")}
    summaries = [block(c, runs, kinds) for c in ("one", "two")]
    (found,) = overall(summaries, make_suite("a", "far", "leak"))
    assert [row.label for row in found.rows] == ["a"]
    assert [entry.label for entry in together(found, summaries).entries] == ["a"]


def _many(corpora: int, rows: int, tasks: int = 1):
    rng = np.random.default_rng(2)
    names = [f"c{k}" for k in range(corpora)]
    scores = rng.uniform(0.5, 0.9, (corpora * tasks, rows))
    summaries = [
        block(
            name,
            {f"r{m}": {1.0: [scores[k * tasks + t, m]]} | ({0.5: [0.5]} if m else {}) for m in range(rows)},
            task=f"t{t}",
        )
        for k, name in enumerate(names)
        for t in range(tasks)
    ]
    (found,) = overall(summaries, make_suite(*(f"r{m}" for m in range(rows)), corpora=names))
    return found, scores


def test_friedman_is_of_the_ranked_strategies_at_the_largest_fraction():
    found, scores = _many(MIN_BLOCKS, 4)
    expected = friedman(scores)
    assert (found.friedman.statistic, found.friedman.p) == (expected.statistic, expected.p)
    assert found.friedman.cliques == expected.cliques
    assert [row.mean_rank for row in found.ranked] == pytest.approx(list(expected.mean_ranks))
    assert found.why_not == ""
    assert found.told.startswith(
        f"Friedman test of 4 strategies on {MIN_BLOCKS} blocks: chi-squared {expected.statistic:.2f}, p"
        f" {expected.p:.3f};"
    )
    assert f"less than {expected.critical_difference:.2f} apart" in found.told
    assert found.told.endswith("tells no strategies apart") == (expected.p >= 0.05)


def test_why_there_is_no_friedman_test():
    few = _many(MIN_BLOCKS - 1, 4)[0]
    assert few.friedman is None
    assert few.why_not == f"too few blocks for a Friedman test: {MIN_BLOCKS - 1}, at least {MIN_BLOCKS}"
    assert few.told == few.why_not.capitalize().replace("friedman", "Friedman")
    two = _many(MIN_BLOCKS, 2)[0]
    assert two.why_not == "too few strategies with all blocks for a Friedman test: 2, at least 3"
    tasks = _many(MIN_BLOCKS, 4, tasks=2)[0]
    assert tasks.friedman is None
    assert tasks.why_not.startswith("no Friedman test: it takes independent blocks")


def test_other_metrics_are_refused():
    summaries = [replace(block(c, {"a": {1.0: [0.5]}}), metric=METRIC) for c in ("one", "two")]
    with pytest.raises(ValueError, match=f"not of {METRIC}"):
        overall(summaries, make_suite("a"))


def test_all_blocks_as_one_have_what_they_share():
    summaries = [
        block("one", {"a": {0.5: [0.5], 1.0: [0.6]}}, split="official"),
        block("two", {"a": {1.0: [0.5]}, "b": {1.0: [0.6]}}, split="stratified"),
    ]
    (found,) = overall(summaries, make_suite("a", "b"))
    whole = together(found, summaries)
    setting = whole.setting
    assert (setting.corpus, setting.split, setting.title) == ("all", "all", "all")
    assert (setting.task, setting.encoder, setting.suite) == ("rhythm", "net", "s")
    assert (whole.records, whole.units, whole.fractions) == (60, 60, (1.0,))
    assert [entry.label for entry in whole.entries] == ["a", "b"]
    assert _rows(found)["b"].present == 1


def test_the_order_of_corpora_changes_no_point():
    rng = np.random.default_rng(7)
    runs = {c: {x: {1.0: list(rng.uniform(0.5, 1, 2))} for x in "abc"} for c in ("one", "two")}
    there = overall([block(c, runs[c]) for c in ("one", "two")], make_suite(*"abc"))[0]
    back = overall([block(c, runs[c]) for c in ("two", "one")], make_suite(*"abc"))[0]
    for first, second in zip(there.rows, back.rows, strict=True):
        assert (first.iqm.value, first.mean_rank) == pytest.approx((second.iqm.value, second.mean_rank))
    assert interval(np.array([0.5])) == (0.5, 0.5)
