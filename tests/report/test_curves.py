from dataclasses import replace

import pytest

from bench.report.curves import Line, chance_line, is_control, legend, looks, panels
from bench.report.curves import draw as drawing
from bench.report.stats import over_seeds
from bench.report.summary import Entry, Setting, Summary
from bench.report.words import first_of
from bench.run.suite import Suite

ENTRIES = (
    "one",
    "two",
    "random",
    {"strategy": "finetune", "label": "tuned", "init": "two"},
    {"strategy": "linear", "label": "linear", "init": "two"},
    {"strategy": "finetune", "label": "again", "init": "tuned"},
    {"strategy": "linear", "label": "floor", "init": "random"},
)


@pytest.fixture(scope="module")
def suite() -> Suite:
    content = {
        "name": "s",
        "title": "S",
        "scale": "quick",
        "seeds": 1,
        "corpora": ({"corpus": "c", "task": "t"},),
    }
    content |= {"input": {"rate": 50}, "encoder": {"name": "net"}, "budget": {"steps": 9, "batch": 3}}
    return Suite.model_validate({**content, "entries": ENTRIES})


def _entry(label: str, origin: str, scored: bool = True, source: str = "") -> Entry:
    scores = {(1.0, "subset"): None} if scored else {}
    nothing = {"needs": (), "needs_at_test": (), "keys": (), "fit_keys": (), "cost": {}, "missing": ()}
    return Entry(label=label, name=label.upper(), origin=origin, scores=scores, source=source, **nothing)


def _summary(*entries: Entry) -> Summary:
    setting = Setting("s", "quick", "c", "c", True, "t", "official", "net", "all-12", "all-12")
    return Summary(setting, (1.0,), entries, 9, 2, 2, None)


def _all(scored: tuple[str, ...] = ("one", "two", "random", "tuned", "linear", "again", "floor")) -> Summary:
    origins = {"one": "strategy", "two": "strategy"}
    labels = ("one", "two", "random", "tuned", "linear", "again", "floor")
    return _summary(*(_entry(x, origins.get(x, "baseline"), x in scored) for x in labels))


def test_what_starts_from_a_strategy_has_its_colour(suite):
    found = looks([_all()], suite)
    family = [found[name] for name in ("TWO", "TUNED", "LINEAR", "AGAIN")]
    assert {look.color for look in family} == {found["TWO"].color} != {found["ONE"].color}
    assert len({look.marker for look in family}) == len({look.dashes for look in family}) == 4
    assert (found["TWO"].dashes, found["ONE"].dashes) == ("", "")


def test_controls_and_what_starts_from_them_are_grey(suite):
    found = looks([_all()], suite)
    assert [name for name, look in found.items() if is_control(look)] == ["RANDOM", "FLOOR"]
    assert found["RANDOM"] != found["FLOOR"]


def test_a_strategy_without_a_score_still_gives_its_colour_and_has_no_look(suite):
    found = looks([_all(("one", "tuned", "linear"))], suite)
    assert list(found) == ["ONE", "TUNED", "LINEAR"]
    assert found["TUNED"].color == found["LINEAR"].color != found["ONE"].color
    assert not is_control(found["TUNED"])
    assert found["TUNED"].dashes != ""


def test_looks_are_the_same_in_every_panel_and_leave_other_corpora_out(suite):
    moved = _entry("one", "transfer", source="far")
    both = looks([_all(), _summary(replace(moved, name="ONE, from far"))], suite)
    assert both == looks([_all()], suite)


def test_the_first_fit_is_found_through_others(suite):
    assert [first_of(suite, label) for label in ("again", "tuned", "one", "stranger")] == [
        "two", "two", "one", "stranger",
    ]  # fmt: skip


def test_means_are_lines_and_spreads_bars(suite):
    _, (ax,) = panels(1)
    points = ((0, over_seeds([0.9, 0.7])), (1, over_seeds([0.6, 0.5, 0.4])))
    drawing(ax, [Line("ONE", points)], looks([_all()], suite))
    assert ax.lines[0].get_xydata().ravel().tolist() == pytest.approx([0, 80, 1, 50])
    (bars,) = [collection for collection in ax.collections if len(collection.get_segments()) == 2]
    assert [sorted(xy[1] for xy in segment) for segment in bars.get_segments()] == [
        pytest.approx([70, 90]),
        pytest.approx([40, 60]),
    ]


def test_rows_at_one_place_stand_beside_each_other_on_paper(suite):
    canvas, (ax,) = panels(1)
    points = ((0, over_seeds([0.9, 0.7])), (1, over_seeds([0.6, 0.5, 0.4])))
    drawing(ax, [Line(name, points) for name in ("ONE", "TWO", "RANDOM")], looks([_all()], suite))
    canvas.draw_without_rendering()
    lines = [line for line in ax.lines if len(line.get_xdata()) == 2 and line.get_marker() not in "_|"]
    where = [line.get_transform().transform((1, 50))[0] * 72 / canvas.dpi for line in lines]
    assert len(where) == 3
    assert [where[1] - where[0], where[2] - where[1]] == pytest.approx([1.2, 1.2])
    assert where[1] == pytest.approx(ax.transData.transform((1, 50))[0] * 72 / canvas.dpi)
    bars = [one for one in ax.collections if len(one.get_segments()) == 2]
    assert [one.get_transform().transform((1, 50))[0] * 72 / canvas.dpi for one in bars] == pytest.approx(
        where
    )


@pytest.mark.parametrize(("low", "count"), [(0.4, 1), (0.6, 0)])
def test_chance_is_marked_where_the_panels_reach_it(suite, low, count):
    _, axes = panels(2)
    drawing(axes[0], [Line("ONE", ((0, over_seeds([0.8])), (1, over_seeds([0.9]))))], looks([_all()], suite))
    drawing(axes[1], [Line("ONE", ((0, over_seeds([low])),))], looks([_all()], suite))
    before = axes[0].get_ylim()
    chance_line(axes)
    for ax in axes:
        assert [list(line.get_ydata()) for line in ax.lines].count([50, 50]) == count
        assert ax.get_ylim() == before


def test_a_single_point_has_no_line_in_the_legend(suite):
    canvas, _ = panels(1)
    legend(canvas, looks([_all()], suite), {"TWO"})
    (box,) = canvas.legends
    styles = {
        text.get_text(): line.get_linestyle() for text, line in zip(box.texts, box.get_lines(), strict=True)
    }
    assert [name for name, style in styles.items() if style == "None"] == ["TWO"]
