from dataclasses import replace

import numpy as np
import pytest

from bench.report import critical_difference
from bench.report.critical_difference import (
    clique_bars,
    critical_difference_figure,
    without_critical_difference,
)
from bench.report.curves import looks
from bench.report.overall import overall
from bench.report.stats import MIN_BLOCKS, Friedman
from bench.report.table import SIMULATED
from tests.report.hand_overall import block, make_suite

WIDTH = 3.4  # inches of the axis
LABELS = tuple("abcde")


def _summaries(blocks: int = MIN_BLOCKS, labels=LABELS, spread: float = 0.02, **changes):
    """The first label is the best nearly everywhere, the last the worst."""
    rng = np.random.default_rng(4)
    return [
        block(
            f"c{k}",
            {
                label: {1.0: [0.9 - 0.05 * place + rng.normal(0, spread)]}
                for place, label in enumerate(labels)
            },
            **changes,
        )
        for k in range(blocks)
    ]


def _suite(labels=LABELS, blocks: int = MIN_BLOCKS):
    return make_suite(*labels, corpora=[f"c{k}" for k in range(blocks)])


@pytest.fixture
def drawn(monkeypatch) -> list:
    """Canvases in place of their bytes."""
    found: list = []
    monkeypatch.setattr(critical_difference, "saved", lambda canvas: (found.append(canvas), (b"", b""))[1])
    return found


def _place(rank: float, rows: int = len(LABELS)) -> float:
    return WIDTH * (rank - 1) / (rows - 1)


def _stems(ax) -> list:
    """(place on the axis, height of the name, end, colour) of each strategy."""
    return [
        (line.get_xdata()[0], line.get_ydata()[1], line.get_xdata()[2], line.get_color())
        for line in ax.lines
        if len(line.get_xdata()) == 3
    ]


def test_every_strategy_hangs_at_its_mean_rank_by_its_name_and_colour(drawn):
    summaries, suite = _summaries(spread=0.05), _suite()
    found = overall(summaries, suite)
    critical_difference_figure(found, summaries, suite)
    (ax,), known = drawn[0].axes, looks(summaries, suite)
    stems = _stems(ax)
    rows = sorted(found[0].ranked, key=lambda row: row.mean_rank)
    order = [*rows[:3], rows[4], rows[3]]  # the better half from the left, the worse from the right
    assert [stem[0] for stem in stems] == pytest.approx([_place(row.mean_rank) for row in order])
    assert [stem[3] for stem in stems] == [known[row.name].color for row in order]
    assert [stem[2] > WIDTH for stem in stems] == [False] * 3 + [True] * 2
    heights = [stem[1] for stem in stems]
    assert heights[0] > heights[1] > heights[2]
    assert (heights[3], heights[4]) == (heights[0], heights[1])
    texts = {round(text.get_position()[1], 6): [] for text in ax.texts}
    for text in ax.texts:
        texts[round(text.get_position()[1], 6)].append(text.get_text())
    for row, height in zip(order[:3], heights, strict=False):
        assert f"{row.name}  {row.mean_rank:.1f}" in texts[round(height, 6)]
    for row, height in zip(order[3:], heights, strict=False):
        assert f"{row.mean_rank:.1f}  {row.name}" in texts[round(height, 6)]


def test_the_ruler_is_as_long_as_the_critical_difference_and_bars_join_cliques(drawn):
    summaries, suite = _summaries(), _suite()
    found = overall(summaries, suite)
    test = found[0].friedman
    assert len(test.cliques) > 1
    critical_difference_figure(found, summaries, suite)
    (ax,) = drawn[0].axes
    ruler = next(line for line in ax.lines if line.get_marker() == "|")
    assert np.ptp(ruler.get_xdata()) == pytest.approx(WIDTH * test.critical_difference / 4)
    bars = [line for line in ax.lines if line.get_linewidth() == 3.5]
    expected = [[_place(ranks.min()) - 0.03, _place(ranks.max()) + 0.03] for ranks in (
        test.mean_ranks[list(clique)] for clique in test.cliques
    )]  # fmt: skip
    assert sorted(list(bar.get_xdata()) for bar in bars) == [pytest.approx(ends) for ends in sorted(expected)]
    assert all(bar.get_ydata()[0] < 0 for bar in bars)
    lowest = min(bar.get_ydata()[0] for bar in bars)
    assert all(stem[1] < lowest for stem in _stems(ax))  # names below all bars
    assert [t.get_text() for t in ax.texts if t.get_text().isdigit()] == ["1", "2", "3", "4", "5"]
    assert f"critical difference {test.critical_difference:.2f}" in [t.get_text() for t in ax.texts]


def test_bars_that_overlap_lie_on_lines_of_their_own():
    (one,) = overall(_summaries(), _suite())
    ranks = np.array([1.0, 2.0, 3.0, 4.5, 5.0])
    test = Friedman(9.0, 0.01, ranks, 1.5, ((1, 0), (1, 2), (4, 3)), MIN_BLOCKS)
    assert clique_bars(replace(one, friedman=test)) == [(0, 1.0, 2.0), (1, 2.0, 3.0), (0, 4.5, 5.0)]
    assert clique_bars(replace(one, friedman=None)) == []


def test_too_few_blocks_have_no_figure_but_a_line_that_says_so(drawn):
    summaries, suite = _summaries(2), _suite(blocks=2)
    found = overall(summaries, suite)
    assert critical_difference_figure(found, summaries, suite) is None
    assert without_critical_difference(found) == [
        "c0, rhythm; c1, rhythm: no critical-difference diagram: too few blocks for a Friedman test: 2, at least"
        f" {MIN_BLOCKS}."
    ]
    assert critical_difference_figure([], [], suite) is None
    assert without_critical_difference([]) == []
    assert drawn == []


def test_each_group_of_settings_has_a_panel_that_says_what_it_is(drawn):
    wide = _summaries(labels=("a", "b", "c"), lead_set="challenge-2", eval_lead_set="challenge-2")
    summaries, suite = [*_summaries(), *wide], _suite()
    found = overall(summaries, suite)
    critical_difference_figure(found, summaries, suite)
    titles = [ax.texts[0].get_text() for ax in drawn[0].axes]
    assert titles == [
        f"5 strategies on {MIN_BLOCKS} blocks, net, leads all-12 — SIMULATED",
        f"3 strategies on {MIN_BLOCKS} blocks, net, leads challenge-2 — SIMULATED",
    ]
    assert without_critical_difference(found) == []
    boxes = [ax.get_position() for ax in drawn[0].axes]
    assert boxes[0].y0 == pytest.approx(boxes[1].y1)
    for ax, box in zip(drawn[0].axes, boxes, strict=True):  # an inch is an inch
        wide, high = drawn[0].get_size_inches()
        assert np.ptp(ax.get_xlim()) == pytest.approx(box.width * wide)
        assert np.ptp(ax.get_ylim()) == pytest.approx(box.height * high)


def test_many_strategies_with_long_names_have_room(drawn):
    labels = tuple(f"a_strategy_with_a_name_of_more_than_forty_six_letters_{k}" for k in range(26))
    summaries, suite = _summaries(labels=labels), _suite(labels)
    critical_difference_figure(overall(summaries, suite), summaries, suite)
    (ax,) = drawn[0].axes
    heights = sorted({stem[1] for stem in _stems(ax)})
    assert len(heights) == 13
    assert np.diff(heights) == pytest.approx([0.3] * 12)
    assert min(heights) > ax.get_ylim()[0]
    assert sum(text.get_text().count("\n") for text in ax.texts) == 26
    assert [t.get_text() for t in ax.texts if t.get_text().isdigit()][:3] == ["1", "4", "7"]


def test_figure_is_the_same_every_time_and_says_what_it_shows():
    summaries, suite = _summaries(), _suite()
    found = overall(summaries, suite)
    figure, again = (critical_difference_figure(found, summaries, suite) for _ in range(2))
    assert (figure.name, figure.svg, figure.png) == ("critical_difference", again.svg, again.png)
    assert figure.caption.startswith(
        f"{SIMULATED} Critical differences: mean ranks of strategies over blocks (a corpus and task each) by macro"
        " one-vs-rest AUROC ×100 on the test part at 100\u00a0% of the labels, mean over seeds; 1 is best."
    )
    assert f" {found[0].told}. Scale quick. c0 (9 records), rhythm; c1" in figure.caption


def test_real_records_are_not_called_simulated(drawn):
    summaries, suite = _summaries(simulated=False), _suite()
    figure = critical_difference_figure(overall(summaries, suite), summaries, suite)
    assert not figure.caption.startswith(SIMULATED)
    assert drawn[0].axes[0].texts[0].get_text() == f"5 strategies on {MIN_BLOCKS} blocks"
