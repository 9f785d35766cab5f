"""Units and targets of a stored result are those of the plan and the corpus; anything else is named."""

import io
import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bench.run.expected_units import ExpectedUnits, agreement
from tests.run.conftest import one
from tests.run.stored import ALL_STAGES, cells, run

FRAMED = {"seeds": 1, "entries": ["noise"], "label_fractions": [1.0], "groupings": ["kmeans"]}
FRAMED |= {"input": {"rate": 50, "window": 100, "stride": 50, "instance": "lead", "aggregation": "none"}}


@pytest.fixture(scope="module")
def finished(tiny, tmp_path_factory):
    plan = tiny.plan(**ALL_STAGES)
    return SimpleNamespace(plan=plan, store=run(plan, tmp_path_factory.mktemp("units") / "store"))


@pytest.fixture(scope="module")
def framed(tiny, tmp_path_factory):
    plan = tiny.plan(**FRAMED)
    return SimpleNamespace(plan=plan, store=run(plan, tmp_path_factory.mktemp("frames") / "store"))


def spoilt(content, change):
    """A table's bytes after a change in place."""
    table = pd.read_parquet(io.BytesIO(content))
    change(table)
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()


def fault_of(finished, name, change=None, **wanted):
    """What is said of a row's result after a change to one of its tables."""
    row = one(finished.plan, **wanted)
    files = dict(finished.store.load(row.key))
    if change is not None:
        files[name] = spoilt(files[name], change)
    return ExpectedUnits().fault(finished.plan.jobs[row.key], files)


PROBE = {"label": "noise", "fraction": 0.5, "grouping": ""}
HEAD = {"label": "head", "fraction": 1.0, "grouping": ""}
MEANS = {"label": "noise", "grouping": "means"}


@pytest.mark.parametrize("which", ["finished", "framed"])
def test_what_the_harness_stores_is_what_is_expected(which, request):
    place = request.getfixturevalue(which)
    expected = ExpectedUnits()
    for key in [*cells(place.plan, "predict"), *cells(place.plan, "group")]:
        assert expected.fault(place.plan.jobs[key], place.store.load(key)) == ""


def put(column, value, where=0):
    def change(table):
        table[column] = table[column].astype(object) if isinstance(value, str) else table[column]
        table.loc[where, column] = value

    return change


def cut(*places):
    return lambda table: table.drop(index=list(places), inplace=True)


def twice(table):
    table.loc[len(table)] = table.loc[0]


def swap(table):
    for column in table:
        values = table[column].to_numpy().copy()
        values[[0, 1]] = values[[1, 0]]
        table[column] = values


def rename(**names):
    return lambda table: table.rename(columns=names, inplace=True)


def reorder(table):
    table.insert(0, "patient", table.pop("patient"))


def no_all(table):
    table.drop(index=table.index[table["selection"] == "all"], inplace=True)


def no_test(table):
    table.drop(index=table.index[(table["part"] == "test") & (table["selection"] == "all")], inplace=True)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (cut(0), "it lacks the val record 'r"),
        (lambda table: table.pop("record"), "it cannot be read as what it should be"),
        (put("record", "r999"), "it lacks the val record 'r"),
        (twice, "val units in place of"),
        (swap, "its val records are in another order"),
        (put("target:fast", 9), "has target:fast 9, the corpus says"),
        (put("patient", "p999"), "has patient p999, the corpus says p"),
        (put("source", "elsewhere"), "has source elsewhere, the corpus says tiny"),
        (put("part", "train"), "it has the train part, selection 'subset'"),
        (no_all, "it lacks the test part, selection 'all'"),
        (no_test, "it lacks the test part, selection 'all'"),
        (rename(**{"target:fast": "target:odd"}), "it has a column 'target:odd'"),
        (lambda table: table.pop("score:fast"), "it has no column 'score:fast'"),
        (reorder, "its columns are in another order"),
    ],
)
def test_other_units_or_targets_of_scores_are_named(finished, change, line):
    assert line in fault_of(finished, "scores.parquet", change, **PROBE)


def test_a_classifier_has_one_selection(finished):
    def both(table):
        table.loc[0, "selection"] = "all"

    assert fault_of(finished, "scores.parquet", both, **HEAD) == "it has the val part, selection 'all'"


def test_scores_themselves_are_the_models(finished):
    assert fault_of(finished, "scores.parquet", put("score:fast", 0.123), **PROBE) == ""


def test_a_score_that_is_not_finite_is_none(finished):
    found = fault_of(finished, "scores.parquet", put("score:fast", np.nan), **PROBE)
    assert found == "it cannot be read as what it should be: a result holds a score that is not finite"


def test_windows_and_leads_are_units_too(framed):
    probe = {"label": "noise", "grouping": ""}
    assert "has start 51, the corpus says 0" in fault_of(framed, "scores.parquet", put("start", 51), **probe)
    assert "has lead V6, the corpus says" in fault_of(framed, "scores.parquet", put("lead", "V6"), **probe)


@pytest.mark.parametrize(
    ("name", "change", "line"),
    [
        ("assignments.parquet", cut(0), "assigned units in place of"),
        ("assignments.parquet", put("class", 1 - 2), "has class -1, the corpus says"),
        ("assignments.parquet", put("age", 99), "has age 99, the corpus says"),
        ("assignments.parquet", put("part", "val"), "has part val, the corpus says"),
        ("assignments.parquet", rename(**{"id:age": "id:odd"}), "it has a column 'id:odd'"),
        ("rankings.parquet", put("record", "r999"), "it ranks 'r999', which is no unit of that part"),
        ("rankings.parquet", put("class", 9), "class of a ranked unit is another's"),
        ("rankings.parquet", put("patient", "p999"), "patient of a ranked unit is another's"),
    ],
)
def test_other_units_or_values_of_groups_are_named(finished, name, change, line):
    row = one(finished.plan, **MEANS)
    table = pd.read_parquet(io.BytesIO(finished.store.read(row.key, "assignments.parquet")))
    if line == "has part val, the corpus says":
        change = put("part", "val", int(np.flatnonzero(table["part"] == "train")[0]))
    if line == "has class -1, the corpus says":
        change = put("class", -1, int(np.flatnonzero(table["class"] >= 0)[0]))
    found = fault_of(finished, name, change, **MEANS)
    assert line in found or (line == "assigned units in place of" and "it lacks the assigned record" in found)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"values": {"class": ["fast", "slow"]}}, "the values of its attributes are others"),
        ({"query_codes": [[0, 0, 0]]}, "its groups stand for other attribute sets"),
        ({"stands": None}, "its groups stand for other attribute sets"),
    ],
)
def test_what_groups_stand_for_follows_from_the_plan(finished, change, line):
    row = one(finished.plan, **MEANS)
    files = dict(finished.store.load(row.key))
    files["grouping.json"] = json.dumps(json.loads(files["grouping.json"]) | change).encode()
    assert ExpectedUnits().fault(finished.plan.jobs[row.key], files) == line
    del files["rankings.parquet"]
    files["grouping.json"] = finished.store.load(row.key)["grouping.json"]
    assert ExpectedUnits().fault(finished.plan.jobs[row.key], files) == "it has no rankings"


def test_cells_of_one_split_agree(finished):
    keys = cells(finished.plan, "predict")
    files = {key: dict(finished.store.load(key)) for key in keys}
    assert list(agreement(files)) == []
    files[keys[-1]]["scores.parquet"] = spoilt(files[keys[-1]]["scores.parquet"], cut(0))
    (line,) = agreement(files)
    assert line.startswith(
        f"cells {keys[-1][:12]} and {keys[0][:12]} differ, selection subset: it lacks the val record"
    )
