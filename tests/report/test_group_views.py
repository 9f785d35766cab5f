from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.metrics import clustering
from bench.metrics.classification import patient_resamples
from bench.metrics.retrieval import constant_query
from bench.report.group_views import GroupViews
from bench.report.views import ReportError, records_hash
from tests.report.group_cells import SETS, add_group, finish_group, ranking, swapped, units
from tests.report.hand_made import Bench, make_bench

RESAMPLES = 40


def _measured(bench: Bench, row) -> dict[tuple[str, str], dict]:
    content = GroupViews(bench.store, RESAMPLES).metrics(row.key)
    return {(part["part"], part["attribute"]): part for part in content["parts"]}


def _one(tmp_path: Path, table_of, **kinds) -> tuple[Bench, object, pd.DataFrame]:
    bench = make_bench(tmp_path)
    row = add_group(bench, "one")
    table = table_of(bench)
    finish_group(bench, row, table, **kinds)
    return bench, row, table


def test_ids_get_their_meaning_from_the_training_part(tmp_path):
    bench, row, table = _one(tmp_path, lambda b: swapped(units(b), 3))
    count = int((table["part"] == "test").sum())
    found = _measured(bench, row)
    assert set(found) == {(p, a) for p in ("val", "test") for a in ("class", "sex", "age")}
    one = found["test", "class"]
    assert (one["n"], one["records"], one["clusters"]) == (count, count, 2)
    assert one["metrics"]["acc"] == one["metrics"]["acc_hungarian"] == pytest.approx(1 - 3 / count)
    assert one["metrics"]["acc_identity"] == pytest.approx(3 / count)
    assert "interval" not in found["val", "class"]


def test_groups_that_stand_for_values_are_read_off(tmp_path):
    stands = [[0, 1, -1], [1, 0, -1]]  # class is the id, sex is not, of age they say nothing
    bench, row, table = _one(tmp_path, lambda b: swapped(units(b), 3), stands=stands)
    count = int((table["part"] == "test").sum())
    found = {
        attribute: _measured(bench, row)["test", attribute]["metrics"]
        for attribute in ("class", "sex", "age")
    }
    assert found["class"]["acc"] == pytest.approx(3 / count)
    assert found["class"]["acc_hungarian"] == pytest.approx(1 - 3 / count)
    assert found["sex"]["acc"] == pytest.approx(1 - 3 / count)
    assert found["age"]["acc"] == found["age"]["acc_hungarian"] == pytest.approx(1 - 3 / count)


def test_units_of_unknown_value_are_left_out_of_that_attribute_only(tmp_path):
    def table_of(bench):
        table = swapped(units(bench), 0)
        first = table.index[table["part"] == "test"][:4]
        table.loc[first, "sex"] = -1
        table.loc[table["part"] == "train", "age"] = -1
        return table

    bench, row, table = _one(tmp_path, table_of)
    count = int((table["part"] == "test").sum())
    found = _measured(bench, row)
    assert (found["test", "class"]["n"], found["test", "sex"]["n"]) == (count, count - 4)
    assert ("test", "age") not in found  # no mapping can be fitted
    assert np.isnan(GroupViews(bench.store, RESAMPLES).draws(row.key, "age")).all()


def test_the_interval_resamples_patients_not_units(tmp_path):
    bench, row, table = _one(tmp_path, lambda b: swapped(units(b, starts=(0, 100)), 3))
    test = table[table["part"] == "test"]
    right = (test["id:class"] != test["class"]).to_numpy()
    patients = np.unique(test["patient"])
    assert len(patients) < test["record"].nunique() < len(test)
    generator = np.random.default_rng(int(records_hash(set(test["record"]))[:16], 16))
    draws = []
    for weights in patient_resamples(patients, RESAMPLES, generator):
        units_of = {p: (test["patient"] == p).to_numpy() for p in patients}
        total = sum(w * units_of[p].sum() for p, w in zip(patients, weights, strict=True))
        draws.append(
            sum(w * right[units_of[p]].sum() for p, w in zip(patients, weights, strict=True)) / total
        )
    views = GroupViews(bench.store, RESAMPLES)
    low, high = _measured(bench, row)["test", "class"]["interval"]
    np.testing.assert_allclose(views.draws(row.key, "class"), draws, rtol=1e-6)
    np.testing.assert_allclose([low, high], np.quantile(draws, [0.025, 0.975]), rtol=1e-6)


def test_what_groups_should_not_follow_is_told_where_there_are_several(tmp_path):
    def table_of(bench):
        table = units(bench, leads=("I", "II"), starts=(0, 100))
        return table.assign(
            **{"id:class": (table["lead"] == "II").astype(int), "id:age": table["start"] // 100}
        )

    bench, row, _ = _one(tmp_path, table_of)
    found = _measured(bench, row)
    by_lead, by_start = found["test", "class"]["metrics"], found["test", "age"]["metrics"]
    assert by_lead["ami_lead"] == by_start["ami_start"] == pytest.approx(1)
    assert abs(by_lead["ami_start"]) < 0.05 and abs(by_lead["ami_sex"]) < 0.05
    plain = make_bench(tmp_path / "plain")
    other = add_group(plain, "one")
    finish_group(plain, other, swapped(units(plain)))
    assert not {"ami_lead", "ami_start"} & set(_measured(plain, other)["test", "class"]["metrics"])


def test_retrieval_counts_a_query_that_could_not_ask_as_a_miss(tmp_path):
    bench = make_bench(tmp_path)
    row = add_group(bench, "one", "means")
    table = swapped(units(bench))
    # the i-th unit of a part has class i % 2, sex i // 2 % 2, age i // 4 % 2; SETS has age fastest
    exact = {
        tuple(code): i
        for i, code in enumerate(
            table.loc[table["part"] == "test", ["class", "sex", "age"]].iloc[:8].to_numpy()
        )
    }
    first = exact[tuple(SETS[0])]
    picks = {0: [first, 1], 1: [first], 7: [first]}  # 3, 2 and 0 equal; then unit 1: class 1, sex 0, age 0
    rankings = pd.concat([ranking(table, picks), ranking(table, {0: [1]}, deduplicated=True)])
    finish_group(bench, row, table, rankings=rankings)
    part = _measured(bench, row)["test", "set"]
    metrics = part["metrics"]
    assert (part["clusters"], part["n"]) == (8, int((table["part"] == "test").sum()))
    assert (metrics["queries"], metrics["distinct_top"]) == (3, 1)
    assert [metrics[f"precision_at_1/{m}"] for m in (1, 2, 3)] == [2 / 8, 2 / 8, 1 / 8]
    assert [metrics[f"precision_at_5/{m}/patients"] for m in (1, 2, 3)] == [1 / 8, 1 / 8, 0]


def test_floors_need_no_groups(tmp_path):
    bench, row, table = _one(tmp_path, lambda b: swapped(units(b), 3, "sex"))
    test = table[table["part"] == "test"]
    floors = GroupViews(bench.store, RESAMPLES).floors(row.key)["test"]
    assert set(floors) == {"class", "sex", "age", "set"}
    assert floors["class"]["constant"]["acc"] == pytest.approx((test["class"] == 0).mean())
    assert floors["set"]["constant"]["precision_at_1/2"] == constant_query((2, 2, 2))["precision_at_1/2"]
    random = floors["set"]["random"]
    assert random["precision_at_1/1"] == pytest.approx(7 / 8, abs=0.03)
    assert 0 < random["precision_at_5/3"] < random["precision_at_10/3"] <= 1
    assert random["distinct_top"] == pytest.approx(len(test) * (1 - (1 - 1 / len(test)) ** 8))


def test_a_view_is_measured_once(tmp_path, monkeypatch):
    bench, row, _ = _one(tmp_path, lambda b: swapped(units(b), 3))
    views = GroupViews(bench.store, RESAMPLES)
    first, floors, draws = views.metrics(row.key), views.floors(row.key), views.draws(row.key, "class")
    for name in ("clustering_metrics", "clustering_floors", "ami"):
        monkeypatch.setattr(clustering, name, None)
    again = GroupViews(bench.store, RESAMPLES)
    assert (again.metrics(row.key), again.floors(row.key)) == (first, floors)
    np.testing.assert_array_equal(again.draws(row.key, "class"), draws)


def test_a_unit_twice_is_refused(tmp_path):
    bench, row, _ = _one(tmp_path, lambda b: pd.concat([swapped(units(b)), swapped(units(b)).iloc[-1:]]))
    with pytest.raises(ReportError, match="more than once at one place"):
        GroupViews(bench.store, RESAMPLES).metrics(row.key)
