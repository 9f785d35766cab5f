import numpy as np
import pytest

from bench.report import leads_figure
from bench.report.curves import Line, looks
from bench.report.leads_figure import apart, lead_sets_figure, ticks
from bench.report.summary import Summary
from bench.report.table import SIMULATED
from tests.report.hand_leads import SIX, TWELVE, TWO, add_leads, as_challenge, finish_leads, summaries_of
from tests.report.hand_made import Bench, make_bench

ENTRIES = ("wide", {"strategy": "finetune", "label": "wide_tuned", "init": "wide"}, "read", "alone")


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Bench:
    """Trained on three sets and evaluated with parts; on two sets; on one and a part; on one alone."""
    bench = make_bench(tmp_path_factory.mktemp("leads"), records=240, label_fractions=(1.0,), entries=ENTRIES)
    truth, half = bench.truth(), 0 * bench.truth() + 0.5
    for name, own in ((TWO, half), (SIX, truth), (TWELVE, truth)):
        finish_leads(bench, "wide", name, name, [own, truth])
    finish_leads(bench, "wide", TWELVE, TWO, [half, half])
    finish_leads(bench, "wide", SIX, TWO, [truth, truth])  # not of the widest: in the table alone
    add_leads(bench, "wide", TWELVE, SIX, skipped="too few")
    control = {"origin": "baseline"}
    for name in (TWELVE, TWO):
        finish_leads(bench, "wide_tuned", name, name, [half, truth], **control)
    finish_leads(bench, "read", SIX, SIX, [truth], **control)
    finish_leads(bench, "read", SIX, TWO, [half], **control)
    finish_leads(bench, "alone", SIX, SIX, [truth])
    moved = {"origin": "transfer", "source": "far-sim"}
    for name in (TWELVE, TWO):
        finish_leads(bench, "wide", name, name, [truth], **moved)
    return bench


@pytest.fixture(scope="module")
def summaries(bench) -> list[Summary]:
    return summaries_of(bench)


@pytest.fixture
def drawn(monkeypatch) -> dict:
    """Lines and looks by name, keys of the legend, chance lines and canvases, in place of the figure."""
    found: dict = {"lines": {}, "looks": {}, "idle": [], "canvas": []}

    def draw(ax, lines, looks, width):
        found["lines"] |= {line.name: line.points for line in lines}
        found["looks"] |= looks

    monkeypatch.setattr(leads_figure, "draw", draw)
    monkeypatch.setattr(leads_figure, "legend", lambda canvas, keys: found.update(keys=keys))
    monkeypatch.setattr(leads_figure, "chance_line", lambda axes, at: found["idle"].append(at))
    monkeypatch.setattr(leads_figure, "saved", lambda canvas: (found["canvas"].append(canvas), (b"", b""))[1])
    return found


def _at(points) -> dict[int, float]:
    return {round(x): seeds.mean for x, seeds in points}


def test_solid_is_trained_on_the_leads_and_dashed_on_the_widest_set(bench, summaries, drawn):
    lead_sets_figure(summaries, bench.plan.suites[0])
    assert {name: _at(points) for name, points in drawn["lines"].items()} == {
        "Wide, trained on all-12": {0: 1.0, 2: 0.5},
        "Wide": {0: 1.0, 1: 1.0, 2: 0.75},
        "Wide tuned": {0: 0.75, 2: 0.75},
        "Read, trained on challenge-6": {1: 1.0, 2: 0.5},
        "Read": {1: 1.0},
    }


def test_looks_are_those_of_the_entries_in_every_figure(bench, summaries, drawn):
    lead_sets_figure(summaries, bench.plan.suites[0])
    known, own = looks(summaries, bench.plan.suites[0]), drawn["looks"]
    for name, dashed in (("Wide", "Wide, trained on all-12"), ("Read", "Read, trained on challenge-6")):
        for found in (own[name], own[dashed]):
            assert (found.color, found.marker) == (known[name].color, known[name].marker)
        assert (own[name].dashes, bool(own[dashed].dashes)) == ("", True)
    assert own["Wide"].color == own["Wide tuned"].color
    assert own["Wide"].marker != own["Wide tuned"].marker
    assert list(drawn["keys"]) == [
        "Wide", "Wide tuned", "Read", "trained on its widest set,\nevaluated with parts",
    ]  # fmt: skip
    assert [look.dashes for look in drawn["keys"].values()][:3] == ["", "", ""]


def test_a_panel_has_its_leads_below_it(bench, summaries, drawn):
    lead_sets_figure(summaries, bench.plan.suites[0])
    (canvas,) = drawn["canvas"]
    (ax,) = canvas.axes
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["12", "6", "2"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("leads evaluated with", "macro AUROC ×100, test part")
    assert ax.get_title(loc="left") == "tiny-sim, rhythm — SIMULATED"
    assert drawn["idle"] == [50]


def test_the_challenge_metric_has_a_figure_of_its_own(bench, summaries, drawn):
    figure = lead_sets_figure(as_challenge(summaries), bench.plan.suites[0])
    assert figure.name == "lead_sets_challenge"
    assert "Lead sets: Challenge metric ×100 (masked, database known) on the test part" in figure.caption
    assert "this asks for the database's identity at test time" in figure.caption
    assert "stricter" not in figure.caption
    assert drawn["idle"] == [0]
    assert _at(drawn["lines"]["Wide"]) == {0: 0.5, 1: 0.5, 2: 0.25}
    assert "(masked, database known)" in drawn["canvas"][0].axes[0].get_ylabel()


def test_sets_of_as_many_leads_are_named_and_one_lead_by_its_name():
    assert ticks(["all-12", "challenge-4", "clocs-4", "challenge-2", "lead-II"]) == [
        "12", "4\nchallenge-4", "4\nclocs-4", "2", "II",
    ]  # fmt: skip


@pytest.mark.parametrize(("count", "step"), [(1, 0), (2, 0.06), (3, 0.06), (22, 0.025)])
def test_lines_stand_beside_each_other_and_near_their_set(count, step):
    found = apart([Line(str(k), ((0, None), (2, None))) for k in range(count)])
    first = np.array([line.points[0][0] for line in found])
    assert first.mean() == pytest.approx(0)
    assert np.diff(first) == pytest.approx([step] * (count - 1))
    assert [line.points[1][0] for line in found] == pytest.approx(2 + first)
    assert np.ptp(first) < 0.6
    assert apart([]) == []


def test_figure_is_the_same_every_time_and_says_what_it_shows(bench, summaries):
    suite = bench.plan.suites[0]
    figure, again = lead_sets_figure(summaries, suite), lead_sets_figure(summaries, suite)
    assert (figure.name, figure.svg, figure.png) == ("lead_sets", again.svg, again.png)
    assert figure.caption.startswith(
        f"{SIMULATED} Lead sets: macro one-vs-rest AUROC ×100 on the test part at 100\u00a0% of the labels against the"
        " leads evaluated with: all-12 (I, II, III, aVR, aVL, aVF, V1, V2, V3, V4, V5, V6); challenge-6 ("
    )
    assert "Dashed: trained on its widest lead set (all-12 or challenge-6) alone." in figure.caption
    assert "the other leads being zero after scaling" in figure.caption
    assert "bars: SD over seeds (range where there are 2)." in figure.caption


def test_without_parts_there_is_nothing_dashed(tmp_path, drawn):
    bench = make_bench(tmp_path, label_fractions=(1.0,), entries=("one",))
    for name in (SIX, TWO):
        finish_leads(bench, "one", name, name, [bench.noisy(2, 0)])
    figure = lead_sets_figure(summaries_of(bench), bench.plan.suites[0])
    assert list(drawn["lines"]) == list(drawn["keys"]) == ["One"]
    assert "Dashed" not in figure.caption


def test_a_single_widest_set_is_named_in_the_legend(tmp_path, drawn):
    bench = make_bench(tmp_path, label_fractions=(1.0,), entries=("one",))
    finish_leads(bench, "one", SIX, SIX, [bench.noisy(2, 0)])
    finish_leads(bench, "one", SIX, TWO, [bench.noisy(2, 0)])
    lead_sets_figure(summaries_of(bench), bench.plan.suites[0])
    assert list(drawn["keys"]) == ["One", f"trained on {SIX},\nevaluated with parts"]


def test_one_lead_set_and_what_has_no_score_have_no_figure(tmp_path):
    bench = make_bench(tmp_path, label_fractions=(1.0,))
    finish_leads(bench, "one", SIX, SIX, [bench.noisy(2, 0)])
    add_leads(bench, "one", TWO, skipped="too few")
    suite = bench.plan.suites[0]
    assert lead_sets_figure(summaries_of(bench), suite) is lead_sets_figure([], suite) is None


def test_panels_are_corpora_and_tasks_and_their_sets_stand_at_one_place(tmp_path, drawn):
    uses = tuple({"corpus": "tiny-sim", "task": task} for task in ("rhythm", "findings"))
    bench = make_bench(tmp_path, label_fractions=(1.0,), corpora=uses, entries=("one", "two"))
    for name in (TWELVE, TWO):
        finish_leads(bench, "one", name, name, [bench.noisy(2, 0)])
    on = {"task": "findings", "kind": "multi"}
    for name in (SIX, TWO):
        finish_leads(bench, "two", name, name, [bench.noisy(2, 0, "findings")], **on)
    figure = lead_sets_figure(summaries_of(bench), bench.plan.suites[0])
    assert {name: sorted(_at(points)) for name, points in drawn["lines"].items()} == {
        "One": [0, 2],
        "Two": [1, 2],
    }
    titles = [ax.get_title(loc="left") for ax in drawn["canvas"][0].axes]
    assert titles == ["tiny-sim, rhythm — SIMULATED", "tiny-sim, findings — SIMULATED"]
    assert "Panels share the y-axis." in figure.caption
