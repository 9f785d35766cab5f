import numpy as np
import pytest

from bench.report.frame import MISSING, build_frame
from bench.report.views import MetricViews, ReportError
from tests.report.hand_made import Bench, make_bench


@pytest.fixture
def bench(tmp_path) -> Bench:
    return make_bench(tmp_path)


def _auroc_by_pairs(positive: np.ndarray, scores: np.ndarray) -> float:
    wins = [(p > n) + 0.5 * (p == n) for p in scores[positive] for n in scores[~positive]]
    return float(np.mean(wins))


def _one(frame, **wanted):
    rows = frame
    for name, value in wanted.items():
        rows = rows[rows[name] == value]
    assert len(rows) == 1
    return rows.iloc[0]


def test_value_is_the_macro_auroc_of_the_test_part_by_pairs(bench):
    row = bench.add("simclr")
    scores = bench.noisy(2.0, seed=1)
    bench.finish(row, scores)
    frame = build_frame(bench.plan, bench.store, 100)
    parts = bench.plan.jobs[row.key].rows
    truth, tested = bench.truth()[len(parts.val) :] > 0, scores.astype(np.float32)[len(parts.val) :]
    expected = np.mean([_auroc_by_pairs(truth[:, k], tested[:, k]) for k in range(2)])
    found = _one(frame, part="test", selection="subset", metric="macro_auroc")
    assert found["value"] == pytest.approx(expected)
    assert found["low"] < found["value"] < found["high"]
    assert (found["n"], found["kept"], found["total"]) == (len(parts.test), 2, 2)
    assert _one(frame, part="val", selection="all", metric="macro_auroc")["n"] == len(parts.val)


def test_class_metrics_are_listed_once(bench):
    bench.finish(bench.add("simclr"), bench.noisy(2.0, seed=1))
    frame = build_frame(bench.plan, bench.store, 100)
    by_class = frame[frame["metric"].str.startswith("auroc/")]
    assert sorted(by_class["metric"]) == ["auroc/fast", "auroc/slow"]
    assert set(by_class["part"]) == {"test"}


def test_cost_is_that_of_the_fit_and_of_the_fits_it_started_from(bench):
    start, row = bench.add("simclr"), bench.add("finetune")
    bench.finish(start, bench.noisy(2.0, seed=1), seconds=30.0, steps=100, views=1000, peak_memory_mib=700.0)
    cell = bench.plan.jobs[row.fit_key].cell.model_copy(update={"parents": {"init": start.fit_key}})
    bench.plan.jobs[row.fit_key] = _job(bench, row.fit_key, cell)
    bench.finish(row, bench.noisy(2.0, seed=2), seconds=5.0, steps=20, views=64)
    found = _one(build_frame(bench.plan, bench.store, 100), label="finetune", part="test", selection="subset",
                 metric="macro_auroc")  # fmt: skip
    assert (found["seconds"], found["steps"], found["views"]) == (35.0, 120, 1064)
    assert found["lead_samples"] == 1_064_000
    assert found["flops"] == 7 * 1064
    assert found["peak_memory_mib"] == 700.0  # the most that one of the two held, not their sum
    assert found["parameters"] == 8_803_072


def _job(bench: Bench, key: str, cell):
    from dataclasses import replace

    return replace(bench.plan.jobs[key], cell=cell)


def test_nothing_planned_vanishes(bench):
    bench.finish(bench.add("simclr"), bench.noisy(2.0, seed=1))
    failed, blocked = bench.add("rhythm"), bench.add("clocs")
    bench.add("demographics")
    bench.add("wave", fraction=0.1, skipped="label fraction 0.1 leaves class slow with 1 patient (2 needed)")
    bench.store.fail(failed.key, "failed", "Diverged: loss is nan", "Traceback")
    bench.store.fail(blocked.fit_key, "oom", "out of memory", "Traceback")
    frame = build_frame(bench.plan, bench.store, 100).drop_duplicates("label").set_index("label")
    assert frame["status"].to_dict() == {
        "simclr": "done",
        "rhythm": "failed",
        "clocs": "blocked",
        "demographics": MISSING,
        "wave": "skipped",
    }
    assert frame.loc["rhythm", "reason"] == "Diverged: loss is nan"
    assert frame.loc["clocs", "reason"] == "out of memory"
    assert frame.loc["wave", "reason"].endswith("(2 needed)")
    assert frame.loc["wave", "split"] == "official"
    assert np.isnan(frame.loc["demographics", "value"])


def test_a_missing_test_record_is_named(bench):
    bench.finish(bench.add("simclr"), bench.noisy(2.0, seed=1))
    row = bench.add("rhythm")
    table = bench.table(row, bench.noisy(2.0, seed=2))
    victim = table.loc[table["part"] == "test", "record"].iloc[2]
    bench.commit(row, table[table["record"] != victim])
    with pytest.raises(ReportError, match=f"rhythm.*lacks the test record '{victim}'"):
        build_frame(bench.plan, bench.store, 100)


def test_a_doubled_record_is_named(bench):
    row = bench.add("rhythm")
    table = bench.table(row, bench.noisy(2.0, seed=2))
    table.loc[table.index[-1], "record"] = table["record"].iloc[-2]
    bench.commit(row, table)
    with pytest.raises(ReportError, match=f"test record '{table['record'].iloc[-2]}' more than once"):
        build_frame(bench.plan, bench.store, 100)


def test_scores_that_are_no_probabilities_are_refused(bench):
    bench.finish(bench.add("rhythm"), 5 * bench.truth())
    with pytest.raises(ReportError, match="give probabilities"):
        build_frame(bench.plan, bench.store, 100)


def test_resamples_are_the_same_whatever_the_order_of_the_records(bench):
    one, two = bench.add("simclr"), bench.add("rhythm")
    table = bench.table(one, bench.noisy(2.0, seed=1))
    bench.commit(one, table)
    bench.commit(two, table.sample(frac=1, random_state=0))
    views = MetricViews(bench.store, 200)
    views.metrics(one.key, "single")
    views.metrics(two.key, "single")
    np.testing.assert_array_equal(views.draws(one.key, "subset"), views.draws(two.key, "subset"))
    assert views.draws(one.key, "subset").shape == (200,)
    assert views.draws(one.key, "subset").std() > 0


def test_a_second_report_reads_no_scores(bench, monkeypatch):
    bench.finish(bench.add("simclr"), bench.noisy(2.0, seed=1))
    first = build_frame(bench.plan, bench.store, 100)
    monkeypatch.setattr(MetricViews, "table", lambda *_: pytest.fail("the scores were read again"))
    assert build_frame(bench.plan, bench.store, 100).equals(first)


def test_a_class_without_positives_is_dropped_and_counted(tmp_path):
    bench = make_bench(tmp_path)
    row = bench.add("simclr", task="findings", kind="multi")
    table = bench.table(row, np.clip(bench.noisy(2.0, 1, "findings"), 0, 1))
    table["target:odd"] = np.int8(0)
    bench.commit(row, table)
    frame = build_frame(bench.plan, bench.store, 100)
    found = _one(frame, part="test", selection="subset", metric="macro_auroc")
    assert (found["kept"], found["total"]) == (2, 3)


def test_the_loops_own_seconds_count_where_they_were_measured(bench):
    row = bench.add("simclr")
    bench.finish(row, bench.noisy(2.0, seed=1), seconds=30.0, fit_seconds=20.0)
    frame = build_frame(bench.plan, bench.store, 50)
    assert set(frame["seconds"]) == {20.0}
