import math
from dataclasses import replace

import numpy as np
import pytest

from bench.report.frame import build_frame
from bench.report.savings import (
    Saving,
    crossings,
    label_savings,
    labelled_records,
    savings_table,
    savings_text,
)
from bench.report.stats import difference
from bench.report.summary import Summary, summarise
from bench.report.tables import CONTROLS, LEAKS, STRATEGIES, TRANSFERS
from bench.report.views import MetricViews
from tests.report.hand_made import Bench, make_bench

FAR = "far-sim"
FRACTIONS = (0.01, 0.1, 1.0)
ENTRIES = (
    "early",
    "never",
    "dips",
    "noisy",
    {"strategy": "narrow", "encoder": {"width": 4}},
    {"strategy": "finetune", "label": "early_tuned", "init": "early"},
    "supervised",
    {"strategy": "early", "label": "early_leak", "overlap": True},
    "single",
)
_RESAMPLES = 200


def _mixed(bench: Bench, share: float, seed: int = 0) -> np.ndarray:
    """Scores of which this share of the records knows the truth, the others nothing."""
    truth = bench.truth()
    knows = np.random.default_rng(5 + seed).random(len(truth)) < share
    return np.where(knows[:, None], truth, 0.5)


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Bench:
    """The control knows half with all labels; rows know the shares below at 1, 10 and 100 % of them."""
    bench = make_bench(
        tmp_path_factory.mktemp("savings"), records=240, entries=ENTRIES, label_fractions=FRACTIONS
    )
    control = {"origin": "baseline", "readout": "classifier"}
    leak = {"origin": "overlap", "overlap": True}
    know = {
        ("early", ()): (0.9, 0.9, 0.9),
        ("never", ()): (0.0, 0.1, 0.2),
        ("dips", ()): (0.9, 0.2, 0.9),
        ("noisy", ()): (0.1, 0.4, 0.42),
        ("narrow", ()): (0.9, 0.9, 0.9),
        ("early_tuned", tuple(control.items())): (0.2, 0.9, 0.9),
        ("supervised", tuple(control.items())): (0.0, 0.9, 0.5),
        ("early_leak", tuple(leak.items())): (1.0, 1.0, 1.0),
    }
    for (label, changes), shares in know.items():
        for fraction, share in zip(FRACTIONS, shares, strict=True):
            for seed in range(2):
                row = bench.add(label, fraction, seed, **dict(changes))
                if (label, fraction, seed) != ("never", 0.1, 1):
                    bench.finish(
                        row, _mixed(bench, share, seed + 40 * (label == "noisy"))
                    )  # of other records
    for seed in range(2):
        bench.finish(bench.add("single", 1.0, seed), _mixed(bench, 0.9))
        for fraction in FRACTIONS:
            bench.finish(bench.move("early", FAR, fraction, seed), _mixed(bench, 0.9))
    return bench


@pytest.fixture(scope="module")
def summary(bench) -> Summary:
    frame = build_frame(bench.plan, bench.store, _RESAMPLES)
    (found,) = summarise(frame, MetricViews(bench.store, _RESAMPLES))
    return found


@pytest.fixture(scope="module")
def suite(bench):
    return bench.plan.suites[0]


@pytest.fixture(scope="module")
def savings(summary, suite) -> dict[tuple[str, str], Saving]:
    return {saving.key: saving for saving in label_savings(summary, suite)}


def _crossing(fractions, curve, target) -> float:
    """From the largest fraction down, in a loop."""
    if curve[-1] < target:
        return math.inf
    place = len(fractions) - 1
    while place and curve[place - 1] >= target:
        place -= 1
    if not place:
        return fractions[0]
    share = (target - curve[place - 1]) / (curve[place] - curve[place - 1])
    return fractions[place - 1] ** (1 - share) * fractions[place] ** share


def test_crossings_by_hand():
    curves = np.array(
        [[0.5, 0.9, 0.5, 0.9, 0.8, 0.5], [0.7, 0.6, 0.6, 0.7, 0.8, 0.6], [0.8, 0.9, 0.7, 0.9, 0.8, np.nan]]
    )
    targets = np.array([0.6, 0.8, 0.8, 0.7, 0.8, 0.6])
    found = crossings((0.01, 0.1, 1.0), curves, targets)
    assert found[:5].tolist() == pytest.approx([10**-1.5, 10 ** (-1 / 3), math.inf, 0.01, 0.01])
    assert math.isnan(found[5])
    assert math.isnan(crossings((0.1, 1.0), np.array([[0.1], [0.9]]), np.array([np.nan]))[0])
    exact = crossings((0.01, 0.1, 1.0), np.array([[0.1], [0.6], [0.9]]), np.array([0.6]))
    assert exact.tolist() == pytest.approx([0.1])


def test_crossings_are_those_of_a_loop():
    generator = np.random.default_rng(0)
    fractions = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0)
    curves = np.linspace(0.4, 0.9, 6)[:, None] + 0.15 * generator.standard_normal((6, 500))
    targets = 0.75 + 0.1 * generator.standard_normal(500)
    expected = [_crossing(fractions, curve, target) for curve, target in zip(curves.T, targets, strict=True)]
    assert 0 < np.isinf(expected).sum() < 400
    assert crossings(fractions, curves, targets).tolist() == pytest.approx(expected)


def test_only_rows_with_a_control_and_a_curve_have_savings(savings):
    assert set(savings) == {
        ("early", ""), ("never", ""), ("dips", ""), ("noisy", ""), ("early_tuned", ""), ("early_leak", ""),
        ("early", FAR),
    }  # fmt: skip
    assert {saving.control for saving in savings.values()} == {"supervised"}


def test_point_and_interval_are_of_curves_against_the_control_with_all_labels(savings, summary):
    control = summary.score(summary.entry("supervised"), 1.0)
    for key, saving in savings.items():
        scores = [summary.score(summary.entry(*key), fraction) for fraction in FRACTIONS]
        point = _crossing(FRACTIONS, [score.seeds.mean for score in scores], control.seeds.mean)
        assert (saving.reached or math.inf) == pytest.approx(point)
        drawn = sorted(
            _crossing(FRACTIONS, [score.draws.mean(axis=0)[b] for score in scores], target)
            for b, target in enumerate(control.draws.mean(axis=0))
        )
        assert saving.share_reached == pytest.approx(np.isfinite(drawn).mean())
        assert (saving.low or math.inf) == pytest.approx(drawn[4])
        assert (saving.high or math.inf) == pytest.approx(drawn[195])
        assert saving.control_score == control.seeds.mean
    assert _RESAMPLES == 200  # of which the fifth from either end is the last within 95 %


def test_a_row_that_is_always_above_saves_all_but_the_smallest_share(savings):
    early = savings["early", ""]
    assert (early.reached, early.low, early.high, early.share_reached) == (0.01, 0.01, 0.01, 1.0)
    assert (early.not_below, early.above, early.least, early.saved) == (0.01, 0.01, 0.01, 0.99)


def test_a_row_that_is_never_as_good_saves_nothing(savings):
    never = savings["never", ""]
    assert (never.reached, never.low, never.high, never.saved) == (None, None, None, None)
    assert (never.share_reached, never.not_below, never.above) == (0.0, None, None)


def test_a_curve_that_falls_again_has_not_arrived(savings):
    dips = savings["dips", ""]
    assert 0.1 < dips.reached < 1
    assert (dips.not_below, dips.above) == (1.0, 1.0)


def test_measured_shares_are_where_the_paired_interval_says_so(savings, summary):
    control = summary.score(summary.entry("supervised"), 1.0)
    ends = {}
    for fraction in FRACTIONS:
        score = summary.score(summary.entry("noisy"), fraction)
        found = difference(0.0, score.draws, control.draws)
        ends[fraction] = (found.low, found.high)
    assert all(low < 0 < high for low, high in (ends[0.1], ends[1.0]))
    assert ends[0.01][1] < 0
    assert (savings["noisy", ""].not_below, savings["noisy", ""].above) == (
        0.1 if ends[0.01][1] < 0 else 0.01,
        None,
    )
    assert (savings["early_tuned", ""].not_below, savings["early_tuned", ""].above) == (0.1, 0.1)


def test_without_a_control_with_all_labels_nothing_is_told(summary, suite, bench):
    lone = replace(summary, entries=tuple(e for e in summary.entries if e.label != "supervised"))
    assert label_savings(lone, suite) == ()
    assert savings_table(lone, suite, _RESAMPLES) is None
    control = summary.entry("supervised")
    few = replace(control, scores={place: s for place, s in control.scores.items() if place[0] < 1})
    without = replace(summary, entries=tuple(few if e is control else e for e in summary.entries))
    assert label_savings(without, suite) == ()
    whole = replace(summary, fractions=(1.0,))
    assert savings_table(whole, suite, _RESAMPLES) is None


def _row(table, label, source=""):
    (row,) = [row for row in table.rows if (row.data["label"], row.data.get("source", "")) == (label, source)]
    return dict(zip([column.head for column in table.columns], row.cells, strict=True)), row.data


def test_table(summary, suite, savings):
    table = savings_table(summary, suite, _RESAMPLES)
    assert table.name == "label_savings"
    assert table.heading == "Label savings"
    assert [(block, [row.data["label"] for row in rows]) for block, rows in table.blocks()] == [
        (STRATEGIES, ["early", "dips", "noisy", "never"]),
        (CONTROLS, ["early_tuned"]),
        (TRANSFERS, ["early"]),
        (LEAKS, ["early_leak"]),
    ]
    cells, data = _row(table, "early")
    shown = [cell.text.replace("\u00a0", " ") for cell in cells.values()]
    gap = savings["early", ""].gap
    assert shown[2:] == ["≤ 1 %", "≤ 1 %", "100 %", "≥ 99 %", "1 %", "1 %"]
    assert gap.value > 0.1
    assert shown[1].startswith(f"+{100 * gap.value:.1f} (")
    assert (data["base"], data["reached"], data["saved"], data["smallest_measured"]) == (
        "supervised",
        0.01,
        0.99,
        0.01,
    )
    assert data["all_labels_minus_control"] == gap.value
    gap = savings["early_tuned", ""].gap
    scores = (summary.score(summary.entry(label)) for label in ("early_tuned", "supervised"))
    assert gap == difference(gap.value, *(score.draws for score in scores))
    assert gap.value > 0
    cells, data = _row(table, "never")
    assert [cell.text for cell in cells.values()][2:] == [
        "not reached",
        "not reached",
        "0\u00a0%",
        "–",
        "–",
        "–",
    ]
    assert (data["reached"], data["reached_high"], data["saved"]) == (None, None, None)
    (number,) = cells["strategy"].notes
    assert table.footnotes[number - 1] == "At 10\u00a0%: 1 of 2 seeds; the others have no result"
    score = 100 * savings["early", ""].control_score
    assert f"Control, with all labels: Supervised ({score:.1f})." in table.caption
    assert "200 paired bootstrap resamples" in table.caption
    assert "2 more rows of one label fraction or without such a control are left out." in table.caption


def test_records_stand_beside_measured_shares(summary, suite, bench, savings):
    parts = bench.parts("rhythm")
    counts = labelled_records(bench.plan, summary)
    assert counts == dict.fromkeys(FRACTIONS, len(parts.labelled))
    records = {0.01: 3, 0.1: 12, 1.0: 120}
    cells, data = _row(savings_table(summary, suite, _RESAMPLES, records), "early_tuned")
    assert cells["not separably below from (measured)"].text == "10\u00a0% (12 records)"
    assert (data["not_below_records"], data["above_records"]) == (12, 12)
    saved = savings["early_tuned", ""].saved
    assert cells["labels saved"].text.endswith(f"(about {round(120 * saved)} records)")
    cells, _ = _row(savings_table(summary, suite, _RESAMPLES, records), "early")
    assert cells["labels saved"].text == "≥\u00a099\u00a0% (≥\u00a0119 records)"
    assert "in training records" in savings_table(summary, suite, _RESAMPLES, records).caption


def test_records_are_the_mean_over_seeds_and_not_told_of_windows(summary, bench):
    jobs = dict(bench.plan.jobs)
    for row in (r for r in bench.plan.rows if r.fraction == 0.1):
        rows = jobs[row.key].rows
        jobs[row.key] = replace(
            jobs[row.key], rows=replace(rows, labelled=rows.labelled[: 3 + 4 * row.seed_index])
        )
    assert labelled_records(replace(bench.plan, jobs=jobs), summary)[0.1] == 5
    framed = tuple(replace(entry, fractions_by="frames") for entry in summary.entries)
    assert labelled_records(bench.plan, replace(summary, entries=framed)) == {}
    mixed = (*summary.entries[:-1], framed[-1])
    assert labelled_records(bench.plan, replace(summary, entries=mixed)) == {}


def test_several_controls_are_named_in_a_column(tmp_path):
    wide = {"name": "resnet1d18", "arguments": {"width": 16}}
    entries = ("one", "two", "supervised", {"strategy": "supervised", "label": "other"})
    bench = make_bench(tmp_path, records=120, entries=entries, encoders={"two": wide, "other": wide})
    for label in ("one", "two", "supervised", "other"):
        control = {"origin": "baseline", "readout": "classifier", "strategy": "supervised"}
        for fraction in (0.1, 1.0):
            row = bench.add(label, fraction, **(control if label in ("supervised", "other") else {}))
            bench.finish(row, _mixed(bench, 0.5 if label == "supervised" else 0.8))
    (summary,) = summarise(build_frame(bench.plan, bench.store, 40), MetricViews(bench.store, 40))
    table = savings_table(summary, bench.plan.suites[0], 40)
    assert [row.cells[1].text for row in table.rows] == ["Supervised", "Other"]
    assert [row.data["base"] for row in table.rows] == ["supervised", "other"]
    assert "Controls, with all labels: Supervised (" in table.caption
    assert "left out" not in table.caption


@pytest.mark.parametrize(
    ("reached", "low", "high", "share", "expected"),
    [
        (0.2345, 0.1, None, 0.957, "at 23 % of them (95 % interval 10 % to not reached; 96 % of resamples reach it)"),
        (0.01, 0.01, 0.01, 1.0, "at ≤ 1 % of them (95 % interval ≤ 1 %; 100 % of resamples reach it)"),
        (0.5, 0.01, 0.9, 0.998, "at 50 % of them (95 % interval ≤ 1 % to 90 %; > 99 % of resamples reach it)"),
    ],
)  # fmt: skip
def test_one_line_for_the_page(savings, reached, low, high, share, expected):
    saving = replace(savings["early", ""], reached=reached, low=low, high=high, share_reached=share)
    assert savings_text(saving).replace("\u00a0", " ") == f"reaches Supervised with all labels {expected}"
    lost = replace(saving, reached=None, low=None, high=None, share_reached=0.002)
    told = "does not reach Supervised with all labels, whatever its own share (< 1 % of resamples do)"
    assert savings_text(lost).replace("\u00a0", " ") == told
