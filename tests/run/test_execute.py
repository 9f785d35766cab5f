"""Whatever the executor, the order or the interruption: the same bytes, and no finished cell lost."""

import json

import numpy as np
import pandas as pd
import pytest

from bench.evaluate.result import Result, targets_and_scores
from bench.run.execute import InlineExecutor, execute, needed_cells
from bench.run.plan import Plan
from bench.run.registry import Registry
from bench.run.status import Status
from bench.run.store import Store
from bench.run.work import run_job

RESULTS = (
    "state.pt",
    "health.csv",
    "fit.json",
    "embeddings.npy",
    "scores.parquet",
    "predict.json",
    "cell.json",
)


def contents(store, plan):
    return {
        (key, name): content
        for key in plan.jobs
        for name, content in store.load(key).items()
        if name in RESULTS
    }


def run(tiny, store, plan, **options):
    return execute(plan, store, InlineExecutor, **options)


@pytest.fixture(scope="module")
def finished(tiny, tmp_path_factory):
    store, plan = tiny.store(tmp_path_factory.mktemp("inline")), tiny.plan()
    progress = run(tiny, store, plan)
    assert set(progress.statuses.values()) == {Status.DONE}
    return store, plan


def test_every_cell_is_done_once_and_then_cached(tiny, finished):
    store, plan = finished
    assert set(store.keys()) == set(plan.jobs)

    def never():
        raise AssertionError("nothing is left to run")

    assert execute(plan, store, never).statuses == {}


def test_scores_hold_every_validation_and_test_record_once(tiny, finished):
    store, plan = finished
    truth = tiny.corpus.targets("rhythm")
    for row in plan.rows:
        table = Result.from_bytes("scores", store.read(row.key, "scores.parquet")).table
        selections = {"subset"} if row.readout == "classifier" else {"subset", "all"}
        assert set(table["selection"]) == selections
        for selection, chosen in table.groupby("selection"):
            for part in ("val", "test"):
                expected = tiny.corpus.records["record"].iloc[getattr(plan.jobs[row.key].rows, part)]
                got = chosen[chosen["part"] == part]
                assert sorted(got["record"]) == sorted(expected), selection
                targets, scores, _ = targets_and_scores(got)
                np.testing.assert_array_equal(targets, truth.loc[got["record"]].to_numpy())
                np.testing.assert_allclose(scores.sum(1), 1, atol=1e-5)


def test_a_reversed_order_gives_the_same_bytes(tiny, finished, tmp_path):
    store, plan = finished
    backwards = Plan(plan.suites, plan.corpora, dict(reversed(plan.jobs.items())), list(reversed(plan.rows)))
    other = tiny.store(tmp_path)
    run(tiny, other, backwards)
    assert contents(other, plan) == contents(store, plan)


def test_interrupting_loses_no_finished_cell(tiny, finished, tmp_path):
    store, plan = finished
    other = tiny.store(tmp_path)

    def interrupt(progress, key):
        if progress.count(Status.DONE) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tiny, other, plan, on_change=interrupt)
    first = {key: (other.folder(key) / "cell.json").stat().st_mtime_ns for key in list(other.keys())}
    assert len(first) == 5
    run(tiny, other, plan)
    assert contents(other, plan) == contents(store, plan)
    assert all((other.folder(k) / "cell.json").stat().st_mtime_ns == t for k, t in first.items())


def test_a_failure_blocks_its_dependants_and_nobody_else(tiny, tmp_path):
    store = tiny.store(tmp_path)
    plan = tiny.plan(entries=["noise", "thief"], seeds=1)
    progress = run(tiny, store, plan)
    status = {row.label: progress.statuses[row.key] for row in plan.rows}
    assert status == {"noise": Status.DONE, "thief": Status.BLOCKED}
    fit = next(row.fit_key for row in plan.rows if row.label == "thief")
    assert progress.statuses[fit] is Status.FAILED
    failure = store.failure(fit)
    assert failure["error"] == "thief reads 'labels' but declares nothing; add Field.LABELS to `needs`"
    assert "Traceback" in failure["traceback"]
    assert needed_cells(plan, store) == {k for k in plan.jobs if not store.has(k)}


def test_only_the_asked_rows_run(tiny, tmp_path):
    store, plan = tiny.store(tmp_path), tiny.plan(seeds=1)
    run(tiny, store, plan, only=frozenset({"untrained"}))
    done = {row.label for row in plan.rows if store.has(row.key)}
    assert done == {"untrained"}


def test_a_labelled_strategy_sees_its_fraction_of_the_labels_only(tiny, finished):
    store, plan = finished
    for row in plan.rows:
        if row.label in ("by_label", "head"):
            described = json.loads(store.read(row.fit_key, "fit.json"))
            assert described["instances"] == len(plan.jobs[row.fit_key].rows.labelled)
    sizes = {
        row.fraction: json.loads(store.read(row.fit_key, "fit.json"))["instances"]
        for row in plan.rows
        if row.label == "head"
    }
    assert sizes[0.5] < 0.7 * sizes[1.0]


def test_provenance_says_where_a_result_came_from(finished):
    store, plan = finished
    facts = store.read_json(plan.rows[0].fit_key, "provenance.json")
    assert {"commit", "modified", "packages", "cpu", "threads", "seconds", "device", "finished"} <= set(facts)
    health = pd.read_csv(store.folder(plan.rows[0].fit_key) / "health.csv")
    assert {"step", "loss", "spread", "effective_rank"} <= set(health.columns)


def test_code_that_changed_since_planning_is_refused(tiny, monkeypatch):
    from dataclasses import replace

    plan = tiny.plan(entries=["noise"], seeds=1)
    job = next(iter(plan.jobs.values()))
    stale = replace(job, cell=job.cell.model_copy(update={"code": "0" * 64}))
    outcome = run_job(stale, {})
    assert outcome.status is Status.FAILED and "not the code that was planned" in outcome.error
    strategy = job.cell.strategy.model_copy(update={"code": "0" * 64})
    outcome = run_job(replace(job, cell=job.cell.model_copy(update={"strategy": strategy})), {})
    assert outcome.status is Status.FAILED and "not the code that was planned" in outcome.error


def test_a_strategy_that_calls_exit_fails_alone(tiny, tmp_path):
    file = tmp_path / "exits.py"
    file.write_text(
        "from bench.train.strategy import Strategy\n"
        "class Exits(Strategy):\n    name, title = 'exits', 'Exits'\n"
        "    def views(self, batch, generator):\n        raise SystemExit(3)\n"
    )
    plan = tiny.plan(Registry((tiny.file, file)), entries=["exits", "untrained"], seeds=1)
    progress = run(tiny, tiny.store(tmp_path), plan)
    assert progress.count(Status.FAILED) == 1 and progress.count(Status.DONE) == 4


@pytest.mark.ray
def test_ray_gives_the_same_bytes_as_inline(tiny, finished, tmp_path):
    from bench.run.ray_executor import RayExecutor

    store, plan = finished
    other = tiny.store(tmp_path)
    progress = execute(plan, other, lambda: RayExecutor(cpus=2))
    assert set(progress.statuses.values()) == {Status.DONE}
    assert contents(other, plan) == contents(store, plan)


@pytest.mark.ray
def test_ray_carries_failures_and_outside_strategies(tiny, tmp_path):
    from bench.run.ray_executor import RayExecutor

    store = tiny.store(tmp_path)
    plan = tiny.plan(Registry((tiny.file,)), entries=["thief", "untrained"], seeds=1, label_fractions=[1.0])
    progress = execute(plan, store, lambda: RayExecutor(cpus=1))
    assert progress.count(Status.DONE) == 3 and progress.count(Status.FAILED, Status.BLOCKED) == 3


def test_a_fit_described_here_is_not_made_again_for_its_description(tiny, tmp_path):
    plan, store = tiny.plan(entries=["noise"], seeds=1, label_fractions=[1.0]), Store(tmp_path / "store")
    (row,) = plan.rows
    assert row.fit_key in needed_cells(plan, store)
    store.commit(row.key, {"scores.parquet": b"x"})
    assert needed_cells(plan, store) == {row.fit_key}
    store.note(row.fit_key, {"fit.json": b"{}"})
    assert needed_cells(plan, store) == set()
