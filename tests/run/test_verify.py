"""Cells are run again and compared: the same bits here, a tolerance for other machines, and what is wrong is found."""

import io
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from shutil import rmtree

import numpy as np
import pandas as pd
import pytest

from bench.evaluate.result import Result
from bench.run.integrity import check_store
from bench.run.verify import Finding, Verified, summary, verify
from bench.train.checkpoint import from_bytes, to_bytes
from tests.run.stored import ALL_STAGES, bytes_of, cells, copied, made_by, rewrite, run

OLD = {"packages": {"torch": "0.1"}}
STAGES = ("fit", "embed", "predict", "group")


@pytest.fixture(scope="module")
def finished(tiny, tmp_path_factory):
    plan = tiny.plan(**ALL_STAGES)
    return plan, run(plan, tmp_path_factory.mktemp("verify") / "store")


@pytest.fixture
def spoilt(finished, tmp_path, monkeypatch):
    """The plan, a copy of the store, and what is found of one of its cells."""
    plan, store = finished
    store = copied(store, tmp_path / "spoilt")

    def found(key):
        with monkeypatch.context() as patch:
            patch.setattr("bench.run.verify._chosen", lambda *_: [key])
            (one,) = verify(plan, store, 1, 0)
        return one

    return plan, store, found


def probed(plan, store):
    """A predict cell of a probe, whose scores can be changed."""
    return next(key for key in cells(plan, "predict") if plan.jobs[key].cell.readout == "probe")


def trained(plan):
    """The fit of the row 'noise'."""
    return next(row.fit_key for row in plan.rows if row.label == "noise")


def with_scores(store, key, change):
    table = pd.read_parquet(io.BytesIO(store.read(key, "scores.parquet")))
    table["score:fast"] = change(table["score:fast"].to_numpy()).astype(np.float32)
    return Result("scores", table).to_bytes()


def test_every_cell_gives_its_bytes_again_and_the_store_stays_as_it_is(finished):
    plan, store = finished
    before, seen = bytes_of(store), []
    found = verify(plan, store, 1000, 0, seen.append)
    assert [one.key for one in found] == list(plan.jobs) and seen == found
    assert {(one.outcome, one.detail) for one in found} == {(Finding.SAME, "")}
    assert all(one.sound and one.stage == plan.jobs[one.key].cell.stage for one in found)
    assert bytes_of(store) == before and check_store(store) == []
    assert summary(found) == f"cells checked: {len(plan.jobs)} same bits"


@pytest.fixture
def unrun(monkeypatch):
    """Cells are drawn, not run again."""
    monkeypatch.setattr("bench.run.verify._look", lambda job, store, key: (Finding.SAME, ""))


def test_stages_share_the_draw(finished, unrun):
    plan, store = finished
    whole = plan.stages()
    assert whole == {"fit": 4, "embed": 3, "predict": 6, "group": 3}
    for count, shares in (
        (4, (1, 1, 1, 1)),
        (10, (3, 3, 2, 2)),
        (14, (4, 3, 4, 3)),
        (99, (4, 3, 6, 3)),
        (1, (1, 0, 0, 0)),
    ):
        stages = Counter(one.stage for one in verify(plan, store, count, 3))
        assert tuple(stages[stage] for stage in STAGES) == shares, count


def test_the_seed_decides_the_draw(finished, unrun):
    plan, store = finished
    draws = [tuple(one.key for one in verify(plan, store, 6, seed)) for seed in (0, 0, *range(20))]
    assert draws[0] == draws[1] and len(set(draws)) > 5
    assert set().union(*draws) == set(plan.jobs)


def test_only_what_is_finished_and_asked_for_is_drawn(tiny, unrun, tmp_path):
    plan = tiny.plan(**ALL_STAGES)
    store = run(plan, tmp_path / "store", only=frozenset({"noise", "head"}))
    found = verify(plan, store, 1000, 0)
    assert {one.key for one in found} == set(store.keys()) and len(found) < len(plan.jobs)
    found = verify(plan, store, 1000, 0, only=frozenset({"noise"}))
    assert {one.label for one in found} == {"tiny: noise on tiny-sim"} and len(found) == 5
    assert verify(plan, store, 1000, 0, only=frozenset({"untrained"})) == []
    assert summary([]) == "cells checked: none; nothing of these suites is finished"


def test_other_scores_are_found(spoilt):
    plan, store, found = spoilt
    key = probed(plan, store)
    rewrite(store, key, {"scores.parquet": with_scores(store, key, lambda scores: 1 - scores)})
    one = found(key)
    assert one.outcome is Finding.DIFFERS and not one.sound
    assert one.detail.startswith("scores.parquet, score:fast: ") and "0.001 may be" in one.detail


def test_a_bit_is_a_bit_where_the_same_libraries_and_processor_made_it(spoilt):
    plan, store, found = spoilt
    key = probed(plan, store)
    scores = with_scores(store, key, lambda scores: scores + 1e-4)
    rewrite(store, key, {"scores.parquet": scores})
    one = found(key)
    assert one.outcome is Finding.DIFFERS
    assert "0.0001 apart" in one.detail and "bits should be equal" in one.detail
    for facts, told in (
        (OLD, "torch 0.1 there"),
        ({"cpu_capability": "AVX-9"}, "instructions AVX-9 there"),
        ({"threads": 64}, "threads 64 there, 1 here"),
        ({"cpu": "abacus\n"}, "CPU abacus? there"),
        ({"accelerator": "cuda", "device": "A GPU"}, "device A GPU there"),
        ({"packages": {"scikit-learn": None}}, "scikit-learn None there"),
    ):
        rewrite(store, key, {"provenance.json": made_by(store, key, **facts)})
        one = found(key)
        assert one.outcome is Finding.CLOSE and one.sound, facts
        assert "0.0001 apart" in one.detail and told in one.detail and "\n" not in one.detail


def test_another_machine_is_no_excuse_for_other_scores(spoilt):
    plan, store, found = spoilt
    key = probed(plan, store)
    scores = with_scores(store, key, lambda scores: scores + 0.002)
    rewrite(store, key, {"scores.parquet": scores, "provenance.json": made_by(store, key, **OLD)})
    one = found(key)
    assert one.outcome is Finding.DIFFERS and "0.002 apart" in one.detail and "torch 0.1 there" in one.detail


def drifted(store, key):
    """Other weights, and other losses after the first."""
    health = pd.read_csv(io.BytesIO(store.read(key, "health.csv")))
    health.loc[1:, "loss"] *= 1.5
    state = {name: value * 2 for name, value in from_bytes(store.read(key, "state.pt")).items()}
    return {"state.pt": to_bytes(state), "health.csv": health.to_csv(index=False).encode()}


def test_a_fit_of_another_machine_must_only_begin_alike(spoilt):
    plan, store, found = spoilt
    key = trained(plan)
    rewrite(store, key, drifted(store, key))
    assert found(key).outcome is Finding.DIFFERS
    rewrite(store, key, {"provenance.json": made_by(store, key, **OLD)})
    one = found(key)
    assert one.outcome is Finding.UNCHECKED and one.sound
    assert one.detail.startswith("begins alike, then training makes rounding grow: state.pt, ")
    health = pd.read_csv(io.BytesIO(store.read(key, "health.csv")))
    health.loc[0, "loss"] *= 1.5
    rewrite(store, key, {"health.csv": health.to_csv(index=False).encode()})
    one = found(key)
    assert one.outcome is Finding.DIFFERS and one.detail.startswith("health.csv, loss: ")


def test_a_gpu_draws_other_random_numbers(spoilt):
    plan, store, found = spoilt
    key = trained(plan)
    health = pd.read_csv(io.BytesIO(store.read(key, "health.csv")))
    health.loc[0, "loss"] *= 1.5
    gpu = made_by(store, key, accelerator="cuda", device="A GPU")
    rewrite(store, key, {"health.csv": health.to_csv(index=False).encode(), "provenance.json": gpu})
    one = found(key)
    assert one.outcome is Finding.UNCHECKED and "draws other random numbers; device A GPU there" in one.detail


def test_a_cell_without_its_parents_cannot_be_checked_and_others_are_drawn_first(spoilt, monkeypatch):
    plan, store, _ = spoilt
    gone = cells(plan, "embed")[0]
    rmtree(store.folder(gone))
    orphans = {key for key, job in plan.jobs.items() if gone in job.cell.parents.values()}
    assert {plan.jobs[key].cell.stage for key in orphans} == {"predict", "group"}
    told = {one.key: one for one in verify(plan, store, 1000, 0)}
    for key in orphans:
        assert told[key].outcome is Finding.UNCHECKED and told[key].sound
        assert told[key].detail == f"parents not here: embed {gone[:12]}"
    assert {one.outcome for one in told.values() if one.key not in orphans} == {Finding.SAME}
    monkeypatch.setattr("bench.run.verify._look", lambda *_: (Finding.SAME, ""))
    rest = len(told) - len(orphans)
    for seed in range(20):
        drawn = Counter(one.stage for one in verify(plan, store, rest, seed) if one.key in orphans)
        assert drawn["predict"] == 0, "there are enough others of this stage"


def test_a_noted_parent_has_no_weights_to_start_from(spoilt):
    plan, store, found = spoilt
    key = trained(plan)
    store.note(key, {name: store.read(key, name) for name in ("cell.json", "fit.json", "provenance.json")})
    rmtree(store.folder(key))
    child = next(k for k, job in plan.jobs.items() if key in job.cell.parents.values())
    assert found(child).detail == f"parents not here: fit {key[:12]}"


def test_a_damaged_parent_is_told(spoilt):
    plan, store, found = spoilt
    key = trained(plan)
    rewrite(store, key, {"state.pt": None})
    child = next(k for k, job in plan.jobs.items() if key in job.cell.parents.values())
    one = found(child)
    assert one.outcome is Finding.UNCHECKED
    assert one.detail == f"its parent fit {key[:12]} is damaged: it has no state.pt"


@pytest.mark.parametrize(("name", "content", "said"), [
    ("scores.parquet", b"no table", "scores.parquet cannot be read; remove "),
    ("cell.json", b"{}", "its cell.json is that of another cell; remove "),
    ("predict.json", None, "it has no predict.json; remove "),
])  # fmt: skip
def test_a_damaged_cell_is_not_run_again(spoilt, name, content, said):
    plan, store, found = spoilt
    key = probed(plan, store)
    rewrite(store, key, {name: content})
    one = found(key)
    assert one.outcome is Finding.DAMAGED and not one.sound and one.detail.startswith(said)


def test_a_cell_that_cannot_be_run_again_has_failed(finished, monkeypatch):
    plan, store = finished
    key = trained(plan)
    broken = replace(plan, jobs={**plan.jobs, key: replace(plan.jobs[key], corpus=Path("gone"))})
    monkeypatch.setattr("bench.run.verify._chosen", lambda *_: [key])
    (one,) = verify(broken, store, 1, 0)
    assert one.outcome is Finding.FAILED and not one.sound and "gone" in one.detail


def test_the_summary_counts_every_outcome_in_one_order():
    found = [Verified("", "fit", "", outcome, "") for outcome in (Finding.FAILED, Finding.SAME, Finding.SAME)]
    assert summary(found) == "cells checked: 2 same bits, 1 failed"
    assert json.loads(json.dumps([one.outcome for one in found])) == ["failed", "same bits", "same bits"]
