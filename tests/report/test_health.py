"""Flags of hand-made fits, one cause at a time, and the table over them."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from bench.report import health
from bench.report.frame import build_frame
from bench.report.group_summary import build_group_frame, summarise_groups
from bench.report.group_views import GroupViews
from bench.report.summary import summarise
from bench.report.table import to_csv, to_markdown
from bench.report.views import MetricViews
from bench.train.health import effective_rank, spread
from tests.report.group_cells import add_group, finish_group, units
from tests.report.hand_made import make_bench


def fit(loss=(4, 3, 2.5, 2, 1.8, 1.6), rank=20.0, spread=0.5, first=(25.0, 0.3), **more):
    """A fit whose last point has this rank and spread, with one point a step."""
    points = len(loss)
    ranks, spreads = [first[0], *[rank] * (points - 1)], [first[1], *[spread] * (points - 1)]
    curve = [
        {"step": k, "epoch": 0, "loss": loss[k], "spread": spreads[k], "effective_rank": ranks[k]}
        for k in range(points)
    ]
    cell = {"encoder": {"arguments": {"dim": 128}}, "task": None, "strategy": {"params": {}}}
    cell["budget"] = {"selection": "last", "check_every": 20}
    made = {"cell": cell, "batch": 32, "steps": 100, "selected_step": 100, "info": {"classes": list("abcd")}}
    return {**made, "health": curve, **more}


def names(content):
    return [flag.name for flag in health.found(content)]


def with_column(content, name, values):
    rows = [{**row, name: value} for row, value in zip(content["health"], values, strict=True)]
    return {**content, "health": rows}


def cell(content, **changes):
    return {**content, "cell": {**content["cell"], **changes}}


def test_a_healthy_fit_has_no_flags():
    assert health.flags(fit()) == ()


@pytest.mark.parametrize(
    "content",
    [{"cell": {"encoder": {"arguments": {}}}}, {**fit(), "health": []}, fit(loss=())],
)
def test_without_a_curve_nothing_is_said(content):
    assert health.flags(content) == ()


def test_one_embedding_for_all_is_a_collapse_and_no_matter_of_directions():
    found = health.flags(fit(rank=1.0, spread=0.0004))
    assert found == ("collapsed: all embeddings are nearly one (spread 0.0004, at first 0.3)",)
    assert names(fit(spread=0.0004, first=(25.0, 0.0005))) == ["collapsed"]  # from the beginning


@pytest.mark.parametrize(("last", "flagged"), [(0.031, False), (0.029, True)])
def test_a_tenth_of_the_first_spread_must_be_left(last, flagged):
    assert (names(fit(spread=last)) == ["collapsed"]) == flagged


def test_a_small_spread_from_the_beginning_is_no_collapse():
    assert names(fit(spread=0.006, first=(16.0, 0.009))) == []  # a large common offset


@pytest.mark.parametrize(("rank", "flagged"), [(3.2, False), (3.0, True)])
def test_directions_are_counted_against_the_batch(rank, flagged):
    assert (names(fit(rank=rank)) == ["dimensional collapse"]) == flagged  # 31 of 32 centred embeddings


@pytest.mark.parametrize(
    ("dim", "batch", "seen", "room"), [(16, 32, 9, 16), (128, 999, 9, 128), (512, 999, 9, 255)]
)
def test_room_is_the_least_of_batch_dimension_and_measured_rows(dim, batch, seen, room):
    content = cell(fit(first=(seen, 0.3), batch=batch), encoder={"arguments": {"dim": dim}})
    for part, flagged in ((0.099, True), (0.101, False)):
        low = [{**row, "effective_rank": part * room} for row in content["health"][1:]]
        assert bool(names({**content, "health": [content["health"][0], *low]})) == flagged


def test_more_directions_than_the_batch_were_seen_in_its_views():
    content = fit(rank=4.0, first=(45.0, 0.3), batch=24)
    assert health.flags(content) == (
        "dimensional collapse: embeddings of a batch vary along 4.0 directions (effective rank), where there is"
        " room for 45",
    )


@pytest.mark.parametrize(("classes", "rank", "flagged"), [(4, 1.6, False), (4, 1.4, True), (2, 1.0, False)])
def test_with_labels_half_the_directions_of_the_classes_are_enough(classes, rank, flagged):
    content = cell(fit(rank=rank, info={"classes": list("abcdefg")[:classes]}), task="rhythm")
    assert bool(names(content)) == flagged


def test_what_is_judged_is_the_checkpoint_that_was_chosen():
    curve = fit()["health"]
    collapsed = [*curve[:4], *({**row, "spread": 1e-5} for row in curve[4:])]
    assert names(fit() | {"health": collapsed}) == ["collapsed"]
    assert names(fit() | {"health": collapsed, "selected_step": 3}) == []


@pytest.mark.parametrize(
    ("loss", "flagged"),
    [
        ((4.1, 4.0, 4.2, 4.1, 4.2, 4.2), True),
        ((4.1, 4.0, 4.2, 4.1, 4.0, 4.1), False),  # the last third's mean is below the first point
        (
            (4.1, 4.4, 4.2, 4.1, 4.2, 4.2),
            False,
        ),  # and here below the first third's, the first point being low
        ((4.0, 4.0, 4.0, 4.0, 4.0, 4.0), True),
        ((4.1, 4.0, 4.2, 4.2, 4.2), False),  # too few points
        ((1.6, 2.2, 1.4, 2.3, 1.3, 2.4), False),  # too much noise to tell
    ],
)
def test_a_loss_that_ends_no_lower_than_it_began(loss, flagged):
    assert names(fit(loss=loss)) == ["loss did not fall"] * flagged


def test_the_noise_of_a_loss_is_that_of_single_points():
    flat = np.array([4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0])
    jumps = np.array([0, 0, 0, 1, -1, 1, -1, 1, 1])
    for size, flagged in ((0.30, True), (0.50, False)):
        later = 4 + size * jumps[3:]
        noise = np.diff(later).std() / np.sqrt(2) / later.mean()
        assert (noise <= health.NOISE) == flagged
        assert bool(names(fit(loss=tuple(flat + size * jumps)))) == flagged


def test_the_sentence_about_a_loss_has_its_numbers():
    text = "the loss did not fall: 4.1 at the first step, 4.2 over the last third"
    assert health.flags(fit(loss=(4.1, 4.0, 4.2, 4.1, 4.2, 4.2))) == (text,)


def test_losses_of_changing_goals_are_not_judged():
    idle = fit(loss=(4.0,) * 6)
    assert names(with_column(idle, "contrast", [1.0] * 6)) == ["loss did not fall"]
    assert names(with_column(idle, "label_change", [0.5] * 6)) == []
    assert names(with_column(idle, "consistency", [float("nan")] * 2 + [1.0] * 4)) == []
    assert names(with_column(idle, "consistency", [None] * 2 + [1.0] * 4)) == []
    assert names(cell(idle, strategy={"params": {"queue": 8}})) == []
    assert names(cell(idle, strategy={"params": {"queue": 0}})) == ["loss did not fall"]


@pytest.mark.parametrize(
    ("selection", "selected", "steps", "flagged"),
    [
        ("best_val_loss", 20, 100, True),
        ("best_val_loss", 40, 100, False),
        ("best_val_loss", 20, 40, False),  # two looks
        ("last", 20, 100, False),
    ],
)
def test_validation_that_only_got_worse(selection, selected, steps, flagged):
    content = fit(steps=steps, selected_step=selected)
    found = health.flags(cell(content, budget={"selection": selection, "check_every": 20}))
    assert len(found) == flagged
    assert all("step 20 of 100" in text for text in found)


def test_one_group_that_holds_nearly_all():
    assert health.flags(with_column(fit(), "largest_share", [1, 1, 1, 1, 1, 0.96])) == (
        "96 % of the instances fall into one group",
    )
    assert names(with_column(fit(), "largest_share", [1, 1, 1, 1, 1, 0.89])) == []
    assert names(with_column(fit(), "largest_share", [0.5, 0.5, 0.5, 0.5, 0.95, None])) == ["one group"]


def test_collapses_that_are_made_are_found_by_what_a_fit_measures():
    rng = np.random.default_rng(0)
    wide = torch.from_numpy(rng.standard_normal((64, 16)))
    flat = wide[:, :1] @ torch.ones(1, 16, dtype=wide.dtype)
    point = torch.ones(64, 16) + 1e-5 * wide
    found = []
    for last in (wide, flat, point):
        first = (effective_rank(wide), spread(wide))
        content = fit(rank=effective_rank(last), spread=spread(last), first=first, batch=64)
        found.append(names(cell(content, encoder={"arguments": {"dim": 16}})))
    assert found == [[], ["dimensional collapse"], ["collapsed"]]


@pytest.fixture
def bench(tmp_path):
    bench = make_bench(tmp_path)
    for label, losses, flat in (
        ("good", (4.0, 2.0), False),
        ("idle", (3.0, 3.0), True),
        ("plain", None, False),
    ):
        for seed in (0, 1):
            row = bench.add(label, 1.0, seed, origin="baseline" if label == "plain" else "strategy")
            bench.finish(row, bench.noisy(1, seed))
            if losses:
                content = fit(loss=tuple(np.linspace(losses[0] + seed, losses[1] + seed, 6)))
                describe(bench, row, content, with_rank=not flat)
    return bench


def describe(bench, row, content, with_rank=True):
    """Add to a stored fit what a real one says of itself."""
    folder = bench.store.folder(row.fit_key)
    stored = json.loads((folder / "fit.json").read_text())
    told = {name: content[name] for name in ("batch", "selected_step", "info")}
    (folder / "fit.json").write_text(json.dumps({**stored, **told}))
    curve = pd.DataFrame(content["health"])
    columns = curve if with_rank else curve.drop(columns=["spread", "effective_rank"])
    columns.to_csv(folder / "health.csv", index=False)


def summary_of(bench):
    return summarise(build_frame(bench.plan, bench.store, 20), MetricViews(bench.store, 20))[0]


def rows_of(table):
    return {row.data["label"]: row for row in table.rows}


def test_the_table_has_means_over_seeds(bench):
    table = health.health_table(summary_of(bench), bench.plan.suites[0], bench.store)
    rows = rows_of(table)
    assert table.name == "health"
    data = rows["good"].data
    assert (data["first_loss"], data["last_loss"], data["fits"]) == (4.5, 2.5, 2)
    assert (data["first_effective_rank"], data["last_effective_rank"]) == (25.0, 20.0)
    assert (data["first_spread"], data["last_spread"]) == (0.3, 0.5)
    texts = [cell.text for cell in rows["good"].cells]
    assert texts == ["Good", "4.50", "2.50", "25.0", "20.0", "0.300", "0.500", "none"]
    assert data["flags"] == ""
    assert "| Good" in to_markdown(table) and "first_loss" in to_csv(table)


def test_flags_stand_in_the_table_with_their_seeds(bench):
    table = health.health_table(summary_of(bench), bench.plan.suites[0], bench.store)
    row = rows_of(table)["idle"]
    assert row.cells[-1].text == "loss did not fall (2 of 2 seeds)"
    told = [table.footnotes[number - 1] for number in row.cells[-1].notes]
    sentences = [f"the loss did not fall: {x} at the first step, {x} over the last third" for x in (3, 4)]
    assert told == [f"Idle: {text}" for text in sentences]
    assert row.data["flags"] == " | ".join(sentences)
    assert [cell.text for cell in row.cells[3:7]] == ["–"] * 4  # it measures no embeddings


def test_rows_that_train_nothing_have_dashes(bench):
    row = rows_of(health.health_table(summary_of(bench), bench.plan.suites[0], bench.store))["plain"]
    assert [cell.text for cell in row.cells] == ["Plain", *["–"] * 7]


def test_without_any_curve_there_is_no_table(tmp_path):
    bench = make_bench(tmp_path)
    row = bench.add("plain")
    bench.finish(row, bench.noisy(1, 0))
    (bench.store.folder(row.fit_key) / "health.csv").write_text("\n")  # as of a fit without steps
    assert health.health_table(summary_of(bench), bench.plan.suites[0], bench.store) is None


def test_groupings_have_a_table_too_a_row_an_entry(tmp_path):
    bench = make_bench(tmp_path)
    for grouping in ("kmeans", "means"):
        row = add_group(bench, "sorted", grouping)
        finish_group(bench, row, units(bench))
    describe(bench, row, fit(rank=2.0))
    summary = summarise_groups(build_group_frame(bench.plan, bench.store, 20), GroupViews(bench.store, 20))[0]
    table = health.health_table(summary, bench.plan.suites[0], bench.store)
    assert [row.cells[0].text for row in table.rows] == ["Sorted"]
    assert table.rows[0].cells[-1].text == "dimensional collapse (1 of 1 seed)"
