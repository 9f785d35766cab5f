from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.report.frame import build_frame
from bench.report.group_summary import GroupSummary, build_group_frame, summarise_groups
from bench.report.group_views import GroupViews
from bench.report.views import ReportError
from bench.run.planned import Row
from tests.report.group_cells import add_group, finish_group, ranking, swapped, units
from tests.report.hand_made import Bench, make_bench

RESAMPLES = 40


def _summaries(bench: Bench) -> list[GroupSummary]:
    return summarise_groups(
        build_group_frame(bench.plan, bench.store, RESAMPLES), GroupViews(bench.store, RESAMPLES)
    )


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Bench:
    bench = make_bench(tmp_path_factory.mktemp("groups"))
    bench.finish(bench.add("two"), bench.noisy(2, 0))
    for seed, wrong in enumerate((0, 4)):
        finish_group(bench, add_group(bench, "two", "kmeans", seed), swapped(units(bench), wrong))
    finish_group(bench, add_group(bench, "half", "kmeans", 0), swapped(units(bench), 2))
    add_group(bench, "half", "kmeans", 1)
    table = swapped(units(bench), 1)
    finish_group(bench, add_group(bench, "two", "means", 0), table, rankings=ranking(table, {3: [0, 1]}))
    add_group(bench, "sex_only", "own", 0, ("sex",), skipped="too few")
    broken = add_group(bench, "broken", "means", 0)
    bench.store.fail(broken.fit_key, "failed", "loss is NaN", "")
    return bench


def _tested(bench: Bench) -> int:
    return int((units(bench)["part"] == "test").sum())


def test_every_planned_grouping_has_rows(bench):
    frame = build_group_frame(bench.plan, bench.store, RESAMPLES)
    assert set(Row.__dataclass_fields__) <= set(frame.columns)
    places = frame[["label", "grouping", "seed_index"]].drop_duplicates()
    assert len(places) == sum(bool(row.grouping) for row in bench.plan.rows) == 7
    lost = frame[frame["status"] != "done"]
    assert set(zip(lost["label"], lost["attribute"], lost["status"], lost["reason"], strict=True)) == {
        ("sex_only", "sex", "skipped", "too few"),
        *(("half", a, "missing", "not run yet") for a in ("class", "sex", "age")),
        *(("broken", a, "blocked", "loss is NaN") for a in ("class", "sex", "age")),
    }
    assert set(lost["metric"]) == {"acc"} and lost["value"].isna().all()
    shared = frame[(frame["label"] == "two") & (frame["seed_index"] == 0)]  # with the scores, committed first
    assert set(shared["steps"]) == {100}


def test_scores_and_groupings_do_not_mix(bench):
    scores = build_frame(bench.plan, bench.store, RESAMPLES)
    assert set(scores["label"]) == {"two"} and set(scores["grouping"]) == {""}
    assert "macro_auroc" not in set(build_group_frame(bench.plan, bench.store, RESAMPLES)["metric"])


def test_a_plan_without_scores_has_an_empty_frame(tmp_path):
    bench = make_bench(tmp_path, scores=False)
    add_group(bench, "one")
    frame = build_frame(bench.plan, bench.store, RESAMPLES)
    assert len(frame) == 0 and {"metric", "value", "suite"} <= set(frame.columns)


def test_values_are_over_seeds(bench):
    (summary,) = _summaries(bench)
    n = _tested(bench)
    seeds = summary.value("two", "kmeans", "test", "class", "acc")
    assert (seeds.n, seeds.low, seeds.high) == (2, pytest.approx(1 - 4 / n), 1)
    assert seeds.mean == pytest.approx(1 - 2 / n) and not seeds.identical
    assert summary.value("two", "kmeans", "test", "set", "queries") is None
    assert summary.value("two", "means", "test", "set", "queries").mean == 1
    assert summary.value("broken", "means", "test", "class", "acc") is None
    assert (summary.seeds, summary.records, summary.headline) == (2, n, 1.0)
    assert (summary.units("test", "sex"), summary.units("test", "set")) == (n, n)
    assert summary.clusters("two", "means", "set") == 8 and summary.clusters("two", "kmeans", "age") == 2


def test_the_interval_is_of_the_mean_over_seeds(bench):
    (summary,) = _summaries(bench)
    views = GroupViews(bench.store, RESAMPLES)
    entry = next(entry for entry in summary.entries if entry.place == ("two", "kmeans"))
    mean = np.mean([views.draws(key, "class") for key in entry.keys], axis=0)
    expected = pytest.approx(tuple(np.quantile(mean, [0.025, 0.975])))
    assert summary.interval("two", "kmeans", "test", "class", "acc") == expected
    for other in (("val", "class", "acc"), ("test", "class", "ami"), ("test", "set", "queries")):
        assert np.isnan(summary.interval("two", "kmeans", *other)).all()


def test_entries_say_what_is_missing_and_why(bench):
    (summary,) = _summaries(bench)
    entries = {entry.place: entry for entry in summary.entries}
    assert list(entries) == [
        ("two", "kmeans"),
        ("half", "kmeans"),
        ("two", "means"),
        ("sex_only", "own"),
        ("broken", "means"),
    ]
    half, skipped = entries["half", "kmeans"], entries["sex_only", "own"]
    assert (half.wanted, len(half.keys), half.title) == (2, 1, "Half, KM")
    assert [(m.seeds, m.status) for m in half.missing] == [((1,), "missing")]
    assert [(m.status, m.reason) for m in skipped.missing] == [("skipped", "too few")]
    assert (skipped.attributes, skipped.keys) == (("sex",), ())


def test_floors_are_there_as_soon_as_anything_is(bench, tmp_path):
    (summary,) = _summaries(bench)
    assert set(summary.floors("test", "class")) == {"constant", "majority", "random"}
    assert set(summary.retrieval_floors("val")) == {"constant", "random"}
    table = units(bench)
    share = (table.loc[table["part"] == "test", "sex"] == 0).mean()
    assert summary.floors("test", "sex")["constant"]["acc"] == pytest.approx(share)
    empty = make_bench(tmp_path)
    add_group(empty, "one")
    (nothing,) = _summaries(empty)
    assert nothing.floors("test", "class") == nothing.retrieval_floors("test") == {}
    assert (nothing.records, nothing.units("test", "class")) == (0, 0)


def test_random_ids_have_the_ami_that_is_expected_of_them(bench):
    (summary,) = _summaries(bench)
    for part in ("val", "test"):
        floors = summary.floors(part, "class")
        assert floors["random"]["ami"] == floors["random"]["ami_mapped"] == 0
        assert 0 < floors["random"]["acc"] < 1 and "ami" not in summary.floors(part, "set")["random"]


def test_ids_that_stand_for_nothing_are_own_groups_and_not_prototypes(bench):
    (summary,) = _summaries(bench)
    entries = {entry.place: entry for entry in summary.entries}
    told = {place: (entry.readout, entry.title, entry.reads_off) for place, entry in entries.items()}
    assert told["sex_only", "own"] == ("own groups", "Sex only", False)
    assert told["two", "means"] == ("means of attribute sets (TP)", "Two, TP", True)
    assert told["two", "kmeans"] == ("k-means (KM)", "Two, KM", False)
    whole = replace(entries["sex_only", "own"], attributes=("class", "sex", "age"))
    assert (whole.readout, whole.title) == ("own prototypes (CP)", "Sex only, CP")


def test_other_test_records_are_refused(tmp_path: Path):
    bench = make_bench(tmp_path)
    table = swapped(units(bench))
    finish_group(bench, add_group(bench, "one"), table.iloc[:-1])
    with pytest.raises(ReportError, match="lacks the test record"):
        build_group_frame(bench.plan, bench.store, RESAMPLES)
