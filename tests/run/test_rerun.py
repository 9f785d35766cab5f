"""A fit trained again gives what was submitted: the same bits on such a machine, elsewhere at least the same start."""

import json
import shutil
from types import SimpleNamespace

import pytest

from bench.run.registry import Registry
from bench.run.rerun import make_again
from bench.run.store import Store
from bench.run.submission import rows_of
from tests.run.sent import opened, packed, refile
from tests.run.stored import ALL_STAGES, made_by, run
from tests.run.test_expected_units import spoilt

ROWS = ("noise", "head")
OTHER = {"cpu": "another processor"}


@pytest.fixture(scope="module")
def finished(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rerun")
    plan, registry = tiny.plan(**ALL_STAGES), Registry((tiny.file,))
    store = run(plan, folder / "store")
    packed(plan, store, registry, folder / "mine")
    return SimpleNamespace(plan=plan, store=store, folder=folder / "mine", rows=rows_of(plan, ROWS))


@pytest.fixture
def copy(finished, tmp_path):
    return shutil.copytree(finished.folder, tmp_path / "mine")


def again(finished, folder, tmp_path, count=9, seed=0):
    sent = opened(finished.plan, folder)
    return list(make_again(sent, finished.plan, finished.rows, count, seed, Store(tmp_path / "scratch")))


def of(finished, **wanted):
    return next(r for r in finished.rows if all(getattr(r, n) == v for n, v in wanted.items()))


def better(table):
    """The scores of somebody who knew the answers."""
    table["score:fast"], table["score:slow"] = (
        table["target:fast"] * 0.9 + 0.05,
        table["target:slow"] * 0.9 + 0.05,
    )
    for name in ("score:fast", "score:slow"):
        table[name] = table[name].astype("float32")


def test_every_fit_and_what_rests_on_it_has_the_same_bits(finished, tmp_path):
    found = again(finished, finished.folder, tmp_path)
    assert len(found) == 3 and not any(one.broken or one.faults or one.notes or one.unlike for one in found)
    rows = [row for one in found for row in one.rows]
    assert sorted(row.key for row in rows) == sorted(row.key for row in finished.rows)
    assert {one.name.partition("(")[2] for one in found} == {
        "noise on tiny-sim, seed 0)",
        "head on tiny-sim, seed 0)",
    }


def test_so_many_fits_are_drawn_by_seed_and_claims(finished, tmp_path):
    def names(seed, count=1):
        return [
            one.name for one in again(finished, finished.folder, tmp_path / f"{seed}{count}", count, seed)
        ]

    assert len(names(0)) == 1 and names(0) == names(0) and len(names(0, 2)) == 2 and names(0, 0) == []
    assert len({name for seed in range(6) for name in names(seed)}) > 1


def test_scores_that_nobody_computed_are_found(finished, copy, tmp_path):
    row = of(finished, label="noise", fraction=0.5)
    content = finished.store.read(row.key, "scores.parquet")
    refile(copy, "cells", row.key, {"scores.parquet": spoilt(content, better)})
    (bad,) = [one for one in again(finished, copy, tmp_path) if one.faults]
    (line,) = bad.faults
    assert line.startswith(f"predict {row.key[:12]}: scores.parquet, score:") and bad.unlike == ()


def test_a_cost_that_was_not_paid_is_found(finished, copy, tmp_path):
    fit = of(finished, label="noise", fraction=0.5).fit_key
    told = json.loads(finished.store.read(fit, "fit.json")) | {"flops": 1}
    refile(copy, "notes", fit, {"fit.json": json.dumps(told, indent=1, sort_keys=True).encode()})
    (bad,) = [one for one in again(finished, copy, tmp_path) if one.faults]
    assert bad.faults[0].startswith(f"fit {fit[:12]}: fit.json, flops")


def moved(finished, folder, **facts):
    """As if another machine had made it all."""
    for place, keys in (("cells", Store(folder).keys()), ("notes", Store(folder).notes())):
        for key in list(keys):
            refile(folder, place, key, {"provenance.json": made_by(finished.store, key, **facts)})


def test_on_another_machine_rounding_may_have_grown(finished, copy, tmp_path):
    row = of(finished, label="noise", fraction=0.5)
    content = finished.store.read(row.key, "scores.parquet")

    def nearly(table):
        table["score:fast"] = (table["score:fast"] * 0.97).astype("float32")

    refile(copy, "cells", row.key, {"scores.parquet": spoilt(content, nearly)})
    moved(finished, copy, **OTHER)
    found = again(finished, copy, tmp_path)
    assert not any(one.faults for one in found)
    (noted,) = [one for one in found if one.notes]
    assert noted.notes[0].startswith(f"predict {row.key[:12]}: scores.parquet, score:fast")
    assert len(noted.unlike) == 1 and noted.unlike[0].startswith("cpu another processor there, ")


def test_on_another_machine_a_fit_must_begin_alike(finished, copy, tmp_path):
    fit = of(finished, label="noise", fraction=0.5).fit_key
    health = finished.store.read(fit, "health.csv").decode().splitlines()
    moved(finished, copy, **OTHER)

    def told(line, factor):
        step, *values = health[line].split(",")
        values = [f"{float(value) * factor}" if value else "" for value in values]
        return "\n".join([*health[:line], ",".join([step, *values]), *health[line + 1 :], ""]).encode()

    refile(copy, "notes", fit, {"health.csv": told(len(health) - 1, 1.5)})
    assert len(health) > 2 and not any(one.faults for one in again(finished, copy, tmp_path))
    refile(copy, "notes", fit, {"health.csv": told(1, 1.5)})
    (bad,) = [one for one in again(finished, copy, tmp_path / "more") if one.faults]
    assert bad.faults[0].startswith(f"fit {fit[:12]}: health.csv, ")


def test_of_a_gpu_a_fits_start_says_nothing(finished, copy, tmp_path):
    fit = of(finished, label="noise", fraction=0.5).fit_key
    health = finished.store.read(fit, "health.csv").decode().replace("1,", "2,")
    moved(finished, copy, accelerator="cuda", device="a GPU")
    refile(copy, "notes", fit, {"health.csv": health.encode()})
    found = again(finished, copy, tmp_path)
    assert not any(one.faults for one in found) and any(one.notes for one in found)
    assert any("accelerator cuda there, cpu here" in one.unlike for one in found)


def test_versions_of_libraries_count_too(finished, copy, tmp_path):
    moved(finished, copy, packages={"torch": "1.0"})
    found = again(finished, copy, tmp_path, count=1)
    assert found[0].unlike[0].startswith("torch 1.0 there, ") and found[0].notes == ()


def test_a_fit_that_cannot_be_made_here_says_why(finished, tmp_path, monkeypatch):
    from bench.run import work

    def refuse(*_):
        raise RuntimeError("no such luck")

    monkeypatch.setattr(work, "_fit", refuse)
    (broken,) = again(finished, finished.folder, tmp_path, count=1)
    assert broken.broken == "RuntimeError: no such luck"


def test_what_is_not_submitted_is_not_trained(finished, copy, tmp_path):
    sent = opened(finished.plan, copy)
    head = [row for row in finished.rows if row.label == "head"]
    found = list(make_again(sent, finished.plan, head, 9, 0, Store(tmp_path / "scratch")))
    assert len(found) == 2
    sent = sent.__class__(sent.said, sent.store, {}, sent.digest)
    assert list(make_again(sent, finished.plan, head, 9, 0, Store(tmp_path / "none"))) == []
