"""Against training from scratch: with the same encoder, at each label fraction, with and without transfer."""

import pytest

from bench.report import figures, transfer
from bench.report.curves import is_control
from bench.report.details import comparisons
from bench.report.figures import label_efficiency, transfer_efficiency
from bench.report.frame import build_frame
from bench.report.summary import Summary, summarise
from bench.report.transfer import FROZEN, TUNED, scratch_of, transfer_table
from bench.report.views import MetricViews
from tests.report.hand_made import Bench, make_bench

FAR = "far-sim"
NETWORKS = (
    "plain",
    "other",
    {"strategy": "finetune", "label": "plain_tuned", "init": "plain"},
    {"strategy": "finetune", "label": "other_tuned", "init": "other"},
    {"strategy": "narrow", "encoder": {"width": 4}},
    "supervised",
    {"strategy": "supervised", "label": "supervised_other"},
)


def _two_networks(folder, moves: bool) -> tuple[Bench, Summary]:
    """Scratch rows of two encoders that differ: 0.5 and 0.75 everywhere, the first 1.0 at the smaller fraction."""
    wide = {"name": "resnet1d18", "arguments": {"width": 16}}
    bench = make_bench(
        folder, records=240, entries=NETWORKS, encoders={"other": wide, "supervised_other": wide}
    )
    constant, tuned = 0 * bench.truth() + 0.5, {"readout": "classifier"}
    for seed in range(2):
        half = bench.truth() if seed else constant
        for fraction in (0.1, 1.0):
            control = {"origin": "baseline", **tuned}
            few = bench.truth() if fraction < 1 else constant
            bench.finish(bench.add("supervised", fraction, seed, **control), few)
            other = bench.add("supervised_other", fraction, seed, strategy="supervised", **control)
            bench.finish(other, half)
            for label in ("plain_tuned", "other_tuned"):
                bench.finish(bench.add(label, fraction, seed, **control), bench.truth())
            if moves:
                bench.finish(bench.move("supervised_other", FAR, fraction, seed), bench.truth())
                bench.finish(bench.move("other_tuned", FAR, fraction, seed, **tuned), half)
                bench.finish(bench.move("narrow", FAR, fraction, seed), half)
        for label in ("plain", "other", "narrow"):
            bench.finish(bench.add(label, 1.0, seed), bench.truth())
    (summary,) = summarise(build_frame(bench.plan, bench.store, 40), MetricViews(bench.store, 40))
    return bench, summary


@pytest.fixture(scope="module")
def networks(tmp_path_factory) -> tuple[Bench, Summary]:
    return _two_networks(tmp_path_factory.mktemp("networks"), moves=True)


def _row(table, **wanted):
    (row,) = [row for row in table.rows if all(row.data.get(name) == v for name, v in wanted.items())]
    return dict(zip([column.head for column in table.columns], row.cells, strict=True)), row


def test_from_scratch_is_of_the_same_encoder(networks):
    bench, summary = networks
    suite = bench.plan.suites[0]
    found = {
        label: scratch_of(summary, suite, summary.entry(label))
        for label in ("plain", "plain_tuned", "other_tuned", "narrow", "supervised_other")
    }
    assert {label: base and base.label for label, base in found.items()} == {
        "plain": "supervised",
        "plain_tuned": "supervised",
        "other_tuned": "supervised_other",
        "narrow": None,  # the same network with other arguments
        "supervised_other": "supervised_other",
    }
    table = transfer_table(summary, suite, 40)
    cells, row = _row(table, label="other_tuned", fraction=1.0)
    assert (row.data["base"], row.data["scratch"]) == ("supervised_other", 0.75)
    assert (row.data["here_minus_scratch"], row.data[f"{FAR}_minus_scratch"]) == (0.25, 0.0)
    cells, row = _row(table, label="narrow", fraction=1.0)
    assert (cells["from scratch"].text, cells["here − from scratch (95\u00a0% interval)"].text) == ("–", "–")
    assert row.data[f"{FAR}_minus_here"] == -0.25


def test_a_row_from_scratch_is_not_compared_with_itself(networks):
    bench, summary = networks
    table = transfer_table(summary, bench.plan.suites[0], 40)
    for fraction in (0.1, 1.0):
        cells, row = _row(table, label="supervised_other", fraction=fraction)
        assert cells["here − from scratch (95\u00a0% interval)"].text == "–"
        assert row.data["here_minus_scratch"] is None
        assert row.data[f"{FAR}_minus_scratch"] == row.data[f"{FAR}_minus_here"] == 0.25


def test_without_transfer_the_same_table_is_against_training_from_scratch(tmp_path):
    bench, summary = _two_networks(tmp_path, moves=False)
    table = transfer_table(summary, bench.plan.suites[0], 40)
    assert table.name == "from_scratch"
    assert table.heading == "Against training from scratch"
    assert [column.head for column in table.columns] == [
        "strategy", "labels", "pre-trained here", "from scratch", "here − from scratch (95\u00a0% interval)",
    ]  # fmt: skip
    shown = [(row.block, row.data["label"], row.data["fraction"]) for row in table.rows]
    assert shown == [
        (FROZEN, "plain", 1.0), (FROZEN, "other", 1.0),
        (TUNED, "plain_tuned", 0.1), (TUNED, "plain_tuned", 1.0),
        (TUNED, "other_tuned", 0.1), (TUNED, "other_tuned", 1.0),
    ]  # fmt: skip
    gains = [row.data["here_minus_scratch"] for row in table.rows]
    assert gains == [0.5, 0.25, 0.0, 0.5, 0.25, 0.25]
    assert table.rows[3].data["here_minus_scratch_low"] == 0.5
    assert "(Other; Other tuned; Supervised other: resnet1d18, width 16)" in table.caption
    assert "read out like any frozen encoder" not in table.caption


def test_many_rows_break_across_pages(networks, monkeypatch):
    bench, summary = networks
    suite = bench.plan.suites[0]
    assert not transfer_table(summary, suite, 40).long
    monkeypatch.setattr(transfer, "_LONG", 3)
    assert transfer_table(summary, suite, 40).long


def test_controls_stand_back_for_those_of_the_same_encoder(networks):
    bench, summary = networks
    rows = {(r.data["label"], r.data["minus"]) for r in comparisons(summary, bench.plan.suites[0], 40).rows}
    assert {label for label, minus in rows if minus == "supervised"} == {"plain", "narrow", "plain_tuned"}
    assert {label for label, minus in rows if minus == "supervised_other"} == {
        "other",
        "narrow",
        "other_tuned",
    }
    assert {minus for _, minus in rows} == {
        "supervised",
        "supervised_other",
    }  # nothing that starts from a fit


def test_rows_from_scratch_are_grey_in_the_figure_of_transfer(networks, monkeypatch):
    bench, summary = networks
    drawn: dict[str, object] = {}

    def draw(ax, lines, looks, width=0):
        drawn.update({line.name: looks[line.name] for line in lines})

    monkeypatch.setattr(figures, "draw", draw)
    figure = transfer_efficiency([summary], bench.plan.suites[0])
    assert list(drawn) == [
        "Other tuned",
        f"Other tuned, from {FAR}",
        "Supervised other",
    ]  # nothing of `supervised`
    assert is_control(drawn["Supervised other"])
    assert "grey: trained from scratch with the same encoder" in figure.caption


def test_rows_of_one_label_fraction_are_points_in_the_legend(networks, monkeypatch):
    bench, summary = networks
    told = []
    monkeypatch.setattr(figures, "legend", lambda canvas, shown, lone: told.append((set(shown), lone)))
    label_efficiency([summary], bench.plan.suites[0])
    ((shown, lone),) = told
    assert lone == {"Plain", "Other", "Narrow"}
    assert shown - lone == {"Plain tuned", "Other tuned", "Supervised", "Supervised other"}
