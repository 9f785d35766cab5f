from dataclasses import replace

import numpy as np
import pytest

from bench.report import rank_figures
from bench.report.critical_difference import critical_difference_figure
from bench.report.curves import looks
from bench.report.rank_figures import MOST, brackets, limits, rank_rows, ranks_figure
from bench.report.table import SIMULATED
from bench.report.tables import standings
from tests.report.hand_leads import as_challenge
from tests.report.hand_overall import CLASSIFIER, RESAMPLES, block, make_suite

TUNED = {"strategy": "finetune", "label": "a_tuned", "init": "a"}
KINDS = {"a_tuned": CLASSIFIER, "scratch": CLASSIFIER, "floor": {"origin": "baseline"}}
SCORES = {"a": 0.8, "b": 0.9, "c": 0.79, "scratch": 0.85, "a_tuned": 0.95, "floor": 0.2}


def _wave(mean: float, width: float) -> np.ndarray:
    """(1, B) draws around a mean."""
    return mean + width * np.sin(np.arange(RESAMPLES))[None]


DRAWS = {"a": _wave(0.8, 0.02), "b": _wave(0.9, 0.01), "c": _wave(0.79, -0.02), "scratch": _wave(0.85, 0.01)}


def _one(corpus: str = "one", scores=SCORES, draws=DRAWS, **changes):
    return block(corpus, {label: {1.0: [score]} for label, score in scores.items()}, KINDS, draws, **changes)


@pytest.fixture(scope="module")
def suite():
    return make_suite("a", "b", "c", "scratch", TUNED, "floor")


@pytest.fixture
def drawn(monkeypatch) -> list:
    """Canvases in place of their bytes."""
    found: list = []
    monkeypatch.setattr(rank_figures, "saved", lambda canvas: (found.append(canvas), (b"", b""))[1])
    return found


def _texts(ax) -> dict:
    """What stands beside or in the panel, by row."""
    found: dict = {}
    for text in ax.texts:
        found.setdefault(round(text.get_position()[1], 1), []).append(text.get_text())
    return found


def _at(ax, y: float) -> list:
    """Lines and points of a row within the panel, without its guide."""
    return [
        line for line in ax.lines if set(line.get_ydata()) == {y} and line.get_transform() == ax.transData
    ]


def test_strategies_stand_by_their_mean_and_controls_below_them(suite, drawn):
    ranks_figure([_one()], suite)
    (ax,) = drawn[0].axes
    labels = [tick.get_text() for tick in ax.get_yticklabels()]
    assert labels == ["B", "A", "C", "A tuned", "Scratch", "Floor"]
    assert list(ax.get_yticks()) == pytest.approx([0, 1, 2, 3.9, 4.9, 5.9])
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first on top
    assert [tick.get_color() for tick in ax.get_yticklabels()] == ["black"] * 3 + ["0.4"] * 3
    assert ax.get_title(loc="left") == "one, rhythm — SIMULATED"
    assert ax.get_xlabel() == "macro AUROC ×100, test part, 100\u00a0% of the labels"


def test_a_row_has_its_score_and_interval_and_the_look_it_has_everywhere(suite, drawn):
    summary = _one()
    ranks_figure([summary], suite)
    (ax,), known = drawn[0].axes, looks([summary], suite)
    for y, label, hollow in (
        (0, "b", False),
        (1, "a", False),
        (3.9, "a_tuned", True),
        (4.9, "scratch", False),
    ):
        entry = summary.entry(label)
        bar, point = _at(ax, y)
        low, high = summary.score(entry).interval
        assert bar.get_xdata() == pytest.approx([100 * low, 100 * high])
        assert point.get_xdata() == pytest.approx([100 * SCORES[label]])
        look = known[entry.name]
        assert (bar.get_color(), point.get_marker()) == (look.color, look.marker)
        face, edge = point.get_markerfacecolor(), point.get_markeredgecolor()
        assert (face, edge) == (("white", look.color) if hollow else (look.color, "white"))


def test_ranks_tie_groups_and_brackets_stand_beside_the_strategies(suite, drawn):
    summary = _one()
    at = standings(summary, 1.0)
    assert {key[0]: (s.rank, s.group) for key, s in at.items()} == {"b": (1, 0), "a": (2, 1), "c": (3, 1)}
    ranks_figure([summary], suite)
    (ax,) = drawn[0].axes
    found = _texts(ax)
    assert found[-1.0] == ["rank (95\u00a0%)", "tie group"]
    assert (found[0], found[1], found[2]) == (["1 (1–1)", "a"], ["2 (2–3)", "b"], ["3 (2–3)", "b"])
    assert [list(line.get_ydata()) for line in ax.lines if not line.get_clip_on()] == [[1, 2]] * 2
    assert not {3.9, 4.9} & set(found)  # controls have no rank


def test_what_lies_far_from_all_strategies_is_an_arrow_at_the_edge(suite, drawn):
    summary = _one()
    ranks_figure([summary], suite)
    (ax,) = drawn[0].axes
    assert _texts(ax)[5.9] == ["◂ 20.0"]
    assert _at(ax, 5.9) == []
    left, right = limits(rank_rows(summary))
    assert ax.get_xlim() == (left, right)
    low, high = 100 * _ends("c")[0], 100 * _ends("b")[1]
    edge = 0.04 * (95 - (low - 1.2 * (high - low)))
    assert (left, right) == pytest.approx((low - 1.2 * (high - low) - edge, 95 + edge))
    ranks_figure([_one(scores=SCORES | {"floor": 0.75, "a_tuned": 1.5})], suite)
    assert _texts(drawn[1].axes[0])[3.9] == ["150.0 ▸"]


def _ends(label: str) -> tuple[float, float]:
    return tuple(np.quantile(DRAWS[label], [0.025, 0.975]))


def test_scores_that_are_all_one_have_an_axis_all_the_same(suite):
    low, high = limits(rank_rows(_one(scores={"a": 0.5, "b": 0.5}, draws={})))
    assert low < 50 < high


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ([], []),
        ([0, 1, 2], []),
        ([0, 0, 1, 1], [(0, (0, 1)), (0, (2, 3))]),
        ([0, 1, 0, 1, 2, 2], [(0, (0, 2)), (1, (1, 3)), (0, (4, 5))]),
        ([0, 1, 2, 2, 1, 0, 3, 3], [(0, (0, 5)), (1, (1, 4)), (2, (2, 3)), (0, (6, 7))]),
    ],
)
def test_brackets_of_groups_that_cross_stand_beside_each_other(groups, expected):
    assert brackets(groups) == expected


def test_many_panels_stand_in_two_columns_with_rows_at_one_height(suite, drawn):
    few = {"a": 0.6, "b": 0.7}
    summaries = [_one("one"), _one("two", few, {}), _one("three", few, {})]
    ranks_figure(summaries, suite)
    axes = drawn[0].axes
    assert [ax.get_title(loc="left") for ax in axes[:3]] == [
        f"{c}, rhythm — SIMULATED" for c in ("one", "two", "three")
    ]
    assert not axes[3].axison
    tall, low = axes[0].get_gridspec().get_height_ratios()
    assert tall - low == pytest.approx(4 * 0.215)  # six rows and two
    assert axes[0].get_ylim() == axes[1].get_ylim() != axes[2].get_ylim()
    wide = drawn[0].get_size_inches()[0]
    ranks_figure(summaries[:2], suite)
    assert drawn[1].get_size_inches()[0] == wide / 2


def test_settings_without_two_strategies_or_with_a_part_of_the_leads_have_no_panel(suite, drawn):
    part, alone = _one(eval_lead_set="challenge-2"), _one("two", {"a": 0.5, "scratch": 0.6}, {})
    assert ranks_figure([part, alone], suite) is ranks_figure([], suite) is None
    ranks_figure([part, _one("three"), alone], suite)
    assert len(drawn[0].axes) == 1


def test_more_rows_than_a_panel_holds_are_in_the_tables(drawn):
    runs = {f"r{k:02}": 0.5 + k / 1000 for k in range(MOST[0] + 3)} | {"floor": 0.5, "scratch": 0.6}
    summary = _one(scores=runs, draws={})
    figure = ranks_figure([summary], make_suite(*runs))
    rows = rank_rows(summary)
    assert [row.entry.label for row in rows[:2]] == [f"r{MOST[0] + 2}", f"r{MOST[0] + 1}"]
    assert [row.entry.label for row in rows[MOST[0] :]] == ["scratch", "floor"]
    assert " 3 more rows are in the tables." in figure.caption
    assert "The resamples are too few to separate so many strategies." in figure.caption
    controls = {f"x{k}": 0.5 for k in range(MOST[1] + 1)}
    kinds = {label: {"origin": "baseline"} for label in controls}
    summary = block("one", {x: {1.0: [v]} for x, v in ({"a": 0.5, "b": 0.6} | controls).items()}, kinds)
    assert len(rank_rows(summary)) == 2 + MOST[1]


def test_long_names_have_two_lines_and_higher_rows(suite, drawn):
    long = "A name of more letters than a line of a panel of this figure holds"
    summary = _one()
    entries = tuple(replace(e, name=long) if e.label == "a" else e for e in summary.entries)
    ranks_figure([summary], suite)
    ranks_figure([replace(summary, entries=entries)], suite)
    (ax,) = drawn[1].axes
    assert ax.get_yticklabels()[1].get_text().count("\n") == 1
    assert drawn[1].get_size_inches()[1] > drawn[0].get_size_inches()[1]


def test_figure_is_the_same_every_time_and_says_what_it_shows(suite):
    figure, again = ranks_figure([_one()], suite), ranks_figure([_one()], suite)
    assert (figure.name, figure.svg, figure.png) == ("ranks", again.svg, again.png)
    assert figure.caption.startswith(
        f"{SIMULATED} Ranks: macro one-vs-rest AUROC ×100 on the test part at 100\u00a0% of the labels, mean over"
        " seeds (1), the best on top; bars: 95\u00a0% interval over test patients"
    )
    assert figure.caption.endswith("Each panel has a scale of its own. Scale quick. one (9 records), rhythm.")
    assert "more row" not in figure.caption and "too few" not in figure.caption


def test_real_records_are_not_called_simulated(suite, drawn):
    figure = ranks_figure([_one(simulated=False)], suite)
    assert not figure.caption.startswith(SIMULATED)
    assert drawn[0].axes[0].get_title(loc="left") == "one, rhythm"


def test_of_the_challenge_metric_axis_caption_and_file_say_so(suite, drawn):
    known = [replace(s, entries=s.entries[:3]) for s in as_challenge([_one()])]
    figure = ranks_figure(known, suite)
    assert figure.name == "ranks_challenge"
    assert drawn[0].axes[0].get_xlabel().startswith("Challenge metric ×100, test part")
    assert "AUROC" not in figure.caption


def test_the_diagram_over_many_corpora_is_to_be_had_here_too():
    assert rank_figures.critical_difference_figure is critical_difference_figure
