import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from bench.report.frame import build_frame
from bench.report.frontier import cost_of, equal_compute, frontier, frontier_table, uncounted
from bench.report.stats import difference
from bench.report.summary import Summary, summarise
from bench.report.tables import standings
from bench.report.views import MetricViews
from tests.report.hand_made import Bench, make_bench

COSTS = {
    "cheap": (100, 0.2),
    "alike": (102, 0.6),
    "twin": (100, 0.1),
    "dear": (400, 0.5),
    "best": (1000, 0.9),
    "worse": (1000, 0.4),
}
"""Strategies: views of their fits, and the share of the records that they know."""

CONTROLS = {"random": (0, 0.05), "scratch": (104, 0.3)}
_RESAMPLES = 200
_RANK = "rank at equal FLOPs (95\u00a0% interval over test patients)"


def _mixed(bench: Bench, share: float) -> np.ndarray:
    """Scores of which this share of the records knows the truth, the others nothing."""
    truth = bench.truth()
    knows = np.random.default_rng(5).random(len(truth)) < share
    return np.where(knows[:, None], truth, 0.5)


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Bench:
    """FLOPs are seven times the views; one control trains no encoder, and others came from elsewhere or saw tests."""
    entries = (*COSTS, *CONTROLS, "table", {"strategy": "cheap", "label": "leak", "overlap": True})
    bench = make_bench(tmp_path_factory.mktemp("frontier"), 240, entries=entries, label_fractions=(1.0,))
    for label, (views, share) in (COSTS | CONTROLS).items():
        control = {"origin": "baseline"} if label in CONTROLS else {}
        for seed in range(2):
            row = bench.add(label, 1.0, seed, **control)
            bench.finish(row, _mixed(bench, share), views=views, peak_memory_mib=float(views))
    for seed in range(2):
        table = bench.add("table", 1.0, seed, origin="baseline", uses_encoder=False)
        bench.finish(table, bench.truth(), views=0)
        bench.finish(bench.move("cheap", "far-sim", 1.0, seed), bench.truth(), views=1)
        leak = bench.add("leak", 1.0, seed, origin="overlap", overlap=True)
        bench.finish(leak, bench.truth(), views=1)
    return bench


@pytest.fixture(scope="module")
def summary(bench) -> Summary:
    frame = build_frame(bench.plan, bench.store, _RESAMPLES)
    (found,) = summarise(frame, MetricViews(bench.store, _RESAMPLES))
    return found


@pytest.fixture(scope="module")
def suite(bench):
    return bench.plan.suites[0]


def _with(summary: Summary, places: list[tuple[float, float]]) -> Summary:
    """Rows at these costs and scores."""
    like = summary.entry("cheap")
    score = summary.score(like)
    entries = tuple(
        replace(
            like,
            label=f"row {number}",
            cost=like.cost | {"flops": cost},
            scores={(1.0, "subset"): replace(score, seeds=replace(score.seeds, mean=mean))},
        )
        for number, (cost, mean) in enumerate(places)
    )
    return replace(summary, entries=entries)


def test_points_by_hand(summary):
    points = frontier(summary)
    assert [(point.key[0], point.cost) for point in points] == [
        ("random", 0), ("cheap", 700), ("twin", 700), ("alike", 714), ("scratch", 728), ("dear", 2800),
        ("best", 7000), ("worse", 7000),
    ]  # fmt: skip
    by = {point.key[0]: point.dominated_by and point.dominated_by[0] for point in points}
    assert by == {
        "random": None, "cheap": None, "twin": "cheap", "alike": None, "scratch": "alike", "dear": "alike",
        "best": None, "worse": "best",
    }  # fmt: skip
    assert all(point.score == summary.score(summary.entry(*point.key)).seeds.mean for point in points)
    assert [point.key[0] for point in points if point.on_frontier] == ["random", "cheap", "alike", "best"]


def test_frontier_is_that_of_all_pairs(summary):
    generator = np.random.default_rng(1)
    ties = 0
    for _ in range(60):
        places = [(float(c), float(s) / 8) for c, s in generator.integers(0, 8, (7, 2))]
        points = frontier(_with(summary, places))
        assert len(points) == 7
        for point, other in itertools.product(points, points):
            ties += (point.cost, point.score) == (other.cost, other.score) and point is not other
        for point in points:
            better = [
                other
                for other in points
                if other.cost <= point.cost
                and other.score >= point.score
                and (other.cost, other.score) != (point.cost, point.score)
            ]
            assert point.on_frontier == (not better)
            if better:
                assert max(better, key=lambda other: other.score).score == next(
                    other.score for other in points if other.key == point.dominated_by
                )
    assert ties


def test_what_trains_no_encoder_and_what_has_no_cost_is_left_out_and_counted(summary):
    assert [entry.label for entry in uncounted(summary)] == ["table"]
    assert math.isnan(cost_of(summary.entry("table")))
    lost = replace(summary.entry("best"), cost={"parameters": 5.0})
    without = replace(summary, entries=(*(e for e in summary.entries if e.label != "best"), lost))
    assert {entry.label for entry in uncounted(without)} == {"table", "best"}
    assert frontier(without)[-1].on_frontier is False  # 'worse' costs most, and 'alike' is better


def test_other_costs(summary):
    assert [point.cost for point in frontier(summary, "peak_memory_mib")][:3] == [0, 100, 100]


def test_equal_compute_ranks_what_spends_as_much_as_the_median(summary, suite):
    equal = equal_compute(summary)
    assert equal.reference == 714  # of 700, 700, 714, 2800, 7000, 7000
    assert equal.spent["best", ""] == 7000 / 714
    assert {label for label, _ in equal.standings} == {"cheap", "twin", "alike"}
    among = tuple(summary.entry(label) for label in ("cheap", "alike", "twin"))
    assert equal.standings == standings(replace(summary, entries=among), 1.0)
    assert [equal.standings[label, ""].rank for label in ("alike", "cheap", "twin")] == [1, 2, 3]
    assert equal.alike(("scratch", ""))
    assert not equal.alike(("table", ""))


def test_five_percent_is_alike_and_more_is_not(summary, suite):
    near = _with(summary, [(1000, 0.9), (1050, 0.8), (950, 0.7), (1051, 0.6), (949, 0.5)])
    equal = equal_compute(near)
    assert equal.reference == 1000
    assert [equal.alike((f"row {number}", "")) for number in range(5)] == [True, True, True, False, False]


def test_without_flops_there_is_no_ranking_and_no_table(summary, suite):
    unknown = tuple(replace(entry, cost=entry.cost | {"flops": math.nan}) for entry in summary.entries)
    nothing = replace(summary, entries=unknown)
    assert equal_compute(nothing) is None
    assert frontier_table(nothing, suite, _RESAMPLES) is None
    free = tuple(replace(entry, cost=entry.cost | {"flops": 0.0}) for entry in summary.entries)
    assert equal_compute(replace(summary, entries=free)) is None
    table = frontier_table(replace(summary, entries=free), suite, _RESAMPLES)
    assert [column.head for column in table.columns][-1] == "on the frontier, or behind"
    lone = replace(summary, entries=(summary.entry("best"), summary.entry("table")))
    assert frontier_table(lone, suite, _RESAMPLES) is None


def _row(table, label):
    (row,) = [row for row in table.rows if row.data["label"] == label]
    return dict(zip([column.head for column in table.columns], row.cells, strict=True)), row.data


def test_table(summary, suite):
    table = frontier_table(summary, suite, _RESAMPLES)
    assert table.name == "cost_frontier"
    assert table.heading == "Cost against quality"
    assert [(block, [row.data["label"] for row in rows]) for block, rows in table.blocks()] == [
        ("by FLOPs", ["random", "cheap", "twin", "alike", "scratch", "dear", "best", "worse"]),
        ("FLOPs not counted: not on the frontier, and dominates nobody", ["table"]),
    ]
    cells, data = _row(table, "dear")
    score, by = (summary.score(summary.entry(label)) for label in ("dear", "alike"))
    gap = difference(score.seeds.mean - by.seeds.mean, score.draws, by.draws)
    texts = {head: cell.text for head, cell in cells.items()}
    assert (texts["FLOPs"], texts["fit seconds"], texts["peak MiB"]) == ("2,800", "10.0", "400")
    assert texts["encoder parameters"] == "8.8 M"
    assert texts["AUROC ×100"] == f"{100 * score.seeds.mean:.1f}"
    assert texts["on the frontier, or behind"].startswith(f"Alike: −{-100 * gap.value:.1f} (−")
    assert (data["minus_dominating"], data["minus_dominating_low"]) == (gap.value, gap.low)
    assert (texts["× reference"], texts[_RANK]) == (
        "3.92",
        "–",
    )
    assert (data["on_frontier"], data["dominated_by"], data["equal_rank"]) == (False, "alike", None)
    assert data["times_reference"] == 2800 / 714


def test_ranks_and_the_frontier_in_the_table(summary, suite):
    table = frontier_table(summary, suite, _RESAMPLES)
    equal = equal_compute(summary)
    cells, data = _row(table, "alike")
    standing = equal.standings["alike", ""]
    assert cells["on the frontier, or behind"].text == "on it"
    assert cells[_RANK].text == f"1 ({standing.low}–{standing.high})"
    assert (data["on_frontier"], data["equal_rank"], data["equal_rank_low"]) == (True, 1, standing.low)
    assert cells["AUROC ×100"].emphasis == ("best" if standing.groups > 1 else "")
    cells, data = _row(table, "table")
    assert (cells["FLOPs"].text, cells["on the frontier, or behind"].text) == ("–", "–")
    assert (data["on_frontier"], data["dominated_by"]) == (None, "")
    assert math.isnan(data["flops"])
    assert "1 row without FLOPs" in table.caption
    assert "reference, 714 (the median of the ranked rows)" in table.caption


def test_alone_at_the_reference_says_why_there_is_no_rank(summary, suite):
    lone = _with(summary, [(1000, 0.9), (100, 0.8), (9000, 0.7)])
    table = frontier_table(lone, suite, _RESAMPLES)
    rank = _row(table, "row 0")[0][_RANK]
    assert rank.text == "–"
    assert table.footnotes[rank.notes[0] - 1].startswith("No other strategy spends as much")
    other = _row(table, "row 1")[0][_RANK]
    assert other.notes == ()
