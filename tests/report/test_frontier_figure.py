import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from bench.report import frontier_figure as module
from bench.report.curves import is_control, looks
from bench.report.frame import build_frame
from bench.report.frontier import Point, frontier
from bench.report.frontier_figure import aside, axis_of, frontier_figure, side_by_side, ticks_of
from bench.report.summary import Summary, summarise
from bench.report.table import SIMULATED
from bench.report.views import MetricViews
from tests.report.hand_made import Bench, make_bench

COSTS = {
    "cheap": (100, 0.3),
    "alike": (101, 0.5),
    "twin": (100, 0.2),
    "dear": (1000, 0.9),
    "random": (0, 0.1),
}
"""Views of the fits, and the share of the records that they know."""

_RESAMPLES = 100


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Bench:
    """Five rows with FLOPs, one control without, one from elsewhere, on two corpora; on one only one row has any."""
    bench = make_bench(
        tmp_path_factory.mktemp("frontier"), 240, entries=(*COSTS, "table"), label_fractions=(1.0,)
    )
    truth = bench.truth()
    knows = np.random.default_rng(5).random(len(truth))[:, None]
    for label, (views, share) in COSTS.items():
        control = {"origin": "baseline"} if label == "random" else {}
        for corpus in ("tiny-sim", "other-sim"):
            row = bench.add(label, corpus=corpus, title=corpus, **control)
            bench.finish(row, np.where(knows < share, truth, 0.5), views=views)
    table = bench.add("table", origin="baseline", uses_encoder=False)
    bench.finish(table, truth, views=0)
    bench.finish(bench.move("cheap", "far-sim"), truth, views=1)
    bench.finish(bench.add("cheap", corpus="lone-sim", title="lone-sim"), truth)
    return bench


@pytest.fixture(scope="module")
def summaries(bench) -> list[Summary]:
    return summarise(build_frame(bench.plan, bench.store, _RESAMPLES), MetricViews(bench.store, _RESAMPLES))


@pytest.fixture(scope="module")
def suite(bench):
    return bench.plan.suites[0]


@pytest.fixture
def canvas(monkeypatch) -> list:
    """The canvas of each figure that is drawn."""
    found: list = []
    monkeypatch.setattr(module, "saved", lambda canvas: (found.append(canvas), (b"", b""))[1])
    return found


def _panels(canvas) -> list:
    return [ax for ax in canvas.axes if ax.axison]


def _marks(ax) -> dict[float, float]:
    """Score by place of the rows that are drawn."""
    marks = (line for line in ax.lines if line.get_linestyle() == "None")
    return {float(line.get_xdata()[0]): float(line.get_ydata()[0]) for line in marks}


def _percent(summary: Summary, label: str) -> float:
    return 100 * summary.score(summary.entry(label)).seeds.mean


def _steps(ax) -> list[tuple[float, float]]:
    (line,) = [line for line in ax.lines if line.get_drawstyle() == "steps-post"]
    return list(zip(line.get_xdata(), line.get_ydata(), strict=True))


def test_a_panel_a_setting_with_two_trained_rows(summaries, suite, canvas):
    figure = frontier_figure(summaries, suite)
    assert figure.name == "cost_frontier"
    axes = _panels(canvas[0])
    assert [ax.get_title(loc="left").partition(",")[0] for ax in axes] == ["tiny-sim", "other-sim"]
    assert all("SIMULATED" in ax.get_title(loc="left") for ax in axes)
    assert figure.caption.startswith(SIMULATED)
    assert "at 100\u00a0% of the labels" in figure.caption
    assert figure.caption.endswith("Scale quick. tiny-sim, rhythm; other-sim, rhythm.")
    assert "Small dots" not in figure.caption


def test_marks_bars_numbers_and_steps_are_the_scores(summaries, suite, canvas):
    frontier_figure(summaries, suite)
    ax, summary = _panels(canvas[0])[0], summaries[0]
    scores = {label: summary.score(summary.entry(label)) for label in COSTS}
    marks = _marks(ax)
    assert sorted(marks.values()) == pytest.approx(sorted(100 * s.seeds.mean for s in scores.values()))
    bars = sorted(tuple(sorted(xy[1] for xy in c.get_segments()[0])) for c in ax.collections if _upright(c))
    assert bars == [
        pytest.approx(span)
        for span in sorted((100 * s.interval[0], 100 * s.interval[1]) for s in scores.values())
    ]
    numbers = {text.get_text(): text.xy for text in ax.texts}
    assert set(numbers) == {"1", "2", "3", "4", "5"}
    tops = sorted(100 * score.interval[1] for score in scores.values())
    assert sorted(xy[1] for xy in numbers.values()) == pytest.approx(tops)
    low, high = ax.get_xlim()
    axis = axis_of([point.cost for point in frontier(summary)])
    assert (low, high) == (axis.low, axis.high)
    assert _steps(ax) == [
        (axis.nothing, pytest.approx(100 * scores["random"].seeds.mean)),
        (math.log10(700), pytest.approx(100 * scores["cheap"].seeds.mean)),
        (math.log10(707), pytest.approx(100 * scores["alike"].seeds.mean)),
        (math.log10(7000), pytest.approx(100 * scores["dear"].seeds.mean)),
        (axis.high, pytest.approx(100 * scores["dear"].seeds.mean)),
    ]


def _upright(collection) -> bool:
    (segment,) = collection.get_segments()
    return segment[0][0] == segment[1][0]


def test_rows_of_one_cost_stand_apart_on_paper_and_lead_to_their_places(summaries, suite, canvas):
    frontier_figure(summaries, suite)
    ax, summary = _panels(canvas[0])[0], summaries[0]
    places = sorted(_marks(ax))
    points = [ax.transData.transform((x, 0))[0] * 72 / canvas[0].dpi for x in places]
    assert min(np.diff(points)) > 7.4
    marks = {y: x for x, y in _marks(ax).items()}
    cheap = next(x for y, x in marks.items() if y == pytest.approx(_percent(summary, "cheap")))
    assert abs(cheap - math.log10(700)) < 0.6 * min(np.diff(places))  # the frontier's own place is kept
    twin = _percent(summary, "twin")
    leaders = [c.get_segments()[0] for c in ax.collections if not _upright(c)]
    (own,) = [segment for segment in leaders if segment[0][1] == pytest.approx(twin)]
    assert own[0][0] == pytest.approx(math.log10(700))
    assert own[1][0] in places
    dear = max(places)
    assert dear == pytest.approx(math.log10(7000))


def test_the_legend_has_numbers_with_the_looks_of_all_figures(summaries, suite, canvas):
    frontier_figure(summaries, suite)
    (box,) = canvas[0].legends
    known = looks(summaries, suite)
    texts = [text.get_text() for text in box.texts]
    assert texts == ["1  Cheap", "2  Alike", "3  Twin", "4  Dear", "5  Random", "frontier"]
    for text, handle in zip(texts[:-1], box.get_lines(), strict=False):
        look = known[text.partition("  ")[2]]
        assert (handle.get_color(), handle.get_marker()) == (look.color, look.marker)
        assert is_control(look) == (text == "5  Random")


def test_of_many_rows_only_controls_and_the_frontier_have_numbers(summaries, suite, canvas, monkeypatch):
    monkeypatch.setattr(module, "MOST", 4)
    figure = frontier_figure(summaries, suite)
    (box,) = canvas[0].legends
    assert [text.get_text() for text in box.texts] == [
        "1  Cheap", "2  Alike", "3  Dear", "4  Random", "frontier", "other rows",
    ]  # fmt: skip
    ax = _panels(canvas[0])[0]
    assert len(_marks(ax)) == 5
    assert len(ax.texts) == len([c for c in ax.collections if _upright(c)]) == 4
    assert any(x == math.log10(700) for x in _marks(ax))  # at its own place
    assert "Small dots" in figure.caption


def test_numbers_alternate_where_there_is_no_room(summaries, suite, canvas, monkeypatch):
    monkeypatch.setattr(module, "_APART", 200.0)
    frontier_figure(summaries, suite)
    ax = _panels(canvas[0])[0]
    assert {text.get_va() for text in ax.texts} == {"top", "bottom"}
    assert all(ax.get_xlim()[0] <= x <= ax.get_xlim()[1] for x in _marks(ax))


def test_settings_evaluated_with_other_leads_and_those_without_flops_are_left_out(summaries, suite):
    parts = [replace(s, setting=replace(s.setting, eval_lead_set="lead-II")) for s in summaries]
    assert frontier_figure(parts, suite) is None
    free = tuple(replace(e, cost=e.cost | {"flops": math.nan}) for e in summaries[0].entries)
    assert frontier_figure([replace(summaries[0], entries=free)], suite) is None
    assert frontier_figure([], suite) is None


def test_the_same_summaries_give_the_same_bytes(summaries, suite):
    first, second = (frontier_figure(summaries, suite) for _ in range(2))
    assert (first.svg, first.png) == (second.svg, second.png)
    assert first.png[:4] == b"\x89PNG"


def test_axis_of_costs_by_hand():
    axis = axis_of([1e9, 1e11])
    assert (axis.low, axis.high, axis.begins, axis.nothing) == pytest.approx((8.8, 11.2, 8.8, None))
    axis = axis_of([0.0, 1e9, 1e11])
    assert (axis.nothing, axis.begins, axis.low, axis.high) == pytest.approx((8.36, 8.52, 8.16, 11.2))
    assert (axis.place(0), axis.place(1e10)) == (axis.nothing, 10)
    narrow = axis_of([1e9, 1e9])
    assert narrow.high - narrow.low == pytest.approx(1.2 * 0.3)


def test_ticks_are_few_and_stand_apart():
    assert ticks_of(axis_of([1e9, 1e13])) == pytest.approx([1e9, 1e10, 1e11, 1e12, 1e13])
    assert ticks_of(axis_of([1e9, 1e11])) == pytest.approx([1e9, 1e10, 1e11])
    assert ticks_of(axis_of([1.5e9, 2.1e10])) == pytest.approx([2e9, 5e9, 1e10, 2e10])
    for costs in ([1e9, 1.2e9], [3e9, 5e9], [0.0, 2e9, 3e9], [7e9, 7e9], [1e3, 1e17]):
        axis = axis_of(costs)
        ticks = [math.log10(cost) for cost in ticks_of(axis)]
        assert ticks
        assert all(axis.begins < tick < axis.high for tick in ticks)
        places = ticks if axis.nothing is None else [axis.nothing, *ticks]
        assert all(np.diff(places) >= 0.16 * (axis.high - axis.low))


def _points(*rows: tuple[float, float, bool]) -> list[Point]:
    other = ("another", "")
    return [Point((f"{c:g}/{s:g}", ""), "", c, s, None if best else other) for c, s, best in rows]


def test_the_frontier_stands_in_the_middle_of_its_like():
    points = _points(
        (1, 0.5, True),
        (1, 0.4, False),
        (1.01, 0.6, True),
        (1.02, 0.3, False),
        (1.04, 0.2, False),
        (2, 0.1, False),
    )
    assert [point.key[0] for point in side_by_side(points)] == [
        "1.02/0.3", "1/0.5", "1.01/0.6", "1/0.4", "1.04/0.2", "2/0.1",
    ]  # fmt: skip


def test_places_aside_are_the_nearest_that_are_apart():
    generator = np.random.default_rng(0)
    for _ in range(5):
        places = np.sort(generator.uniform(0, 4, 6))
        weights = generator.uniform(0.5, 3, 6)
        found = aside(places, weights, 1.0, (-2.0, 8.0))
        rule = {"type": "ineq", "fun": lambda x: np.diff(x) - 1.0}
        best = minimize(
            lambda x, places=places, weights=weights: float((weights * (x - places) ** 2).sum()),
            np.arange(6.0),
            constraints=[rule],
            options={"ftol": 1e-12},
        )
        assert found == pytest.approx(best.x, abs=1e-4)
    assert aside([1, 5, 9], [1, 1, 1], 2.0, (0, 10)).tolist() == [1, 5, 9]
    assert aside([3, 3], [1e9, 1], 2.0, (0, 10)) == pytest.approx([3, 5])


def test_places_aside_stay_within():
    assert aside([0, 0, 0], [1, 1, 1], 1.0, (0, 10)).tolist() == [0, 1, 2]
    assert aside([10, 10, 10], [1, 1, 1], 1.0, (0, 10)).tolist() == [8, 9, 10]
    assert len(aside([], [], 1.0, (0, 10))) == 0
