"""Label-free fits can be read out with every seed's label subset; a protocol says how rows are judged."""

import pytest

from bench.run.protocol import LENGTH


def _of(plan, label, crossed):
    return [row for row in plan.rows if row.label == label and (row.crossed >= 0) == crossed]


def test_every_label_free_fit_meets_the_label_subset_of_every_other_seed(tiny):
    plan = tiny.plan(seeds=3, crossed_fractions=[0.5])
    rows = _of(plan, "noise", True)
    assert [(row.seed_index, row.crossed, row.fraction) for row in rows] == [
        (i, j, 0.5) for i in range(3) for j in range(3) if i != j
    ]
    own = {row.seed_index: row for row in _of(plan, "noise", False) if row.fraction == 0.5}
    for row in rows:
        cell, lender = plan.jobs[row.key].cell, plan.jobs[own[row.crossed].key]
        assert row.fit_key == own[row.seed_index].fit_key
        assert cell.subset == lender.cell.subset and cell.seed_index == row.seed_index
        assert (plan.jobs[row.key].rows.labelled == lender.rows.labelled).all()
    assert len({row.key for row in plan.rows if row.label == "noise"}) == 6 + 6


def test_what_has_seen_labels_and_what_is_not_trained_is_not_crossed(tiny):
    plan = tiny.plan(crossed_fractions=[0.5])
    assert {row.label for row in plan.rows if row.crossed >= 0} == {"noise"}
    assert not [row for row in tiny.plan().rows if row.crossed >= 0]


def test_crossing_adds_cells_and_changes_none(tiny):
    assert set(tiny.plan().jobs) < set(tiny.plan(crossed_fractions=[0.5]).jobs)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"budget": {"steps": 3, "batch": 8}}, True),
        ({"label_fractions": [1.0]}, True),
        ({"encoder": {"name": "resnet1d18", "arguments": {"width": 5, "dim": 8}}}, True),
        ({"seed": 1}, False),
        ({"input": {"rate": 50, "window": 100, "scaling": "minmax"}}, False),
        ({"corpora": [{"corpus": "tiny-sim", "task": "rhythm", "split": {"kind": "stratified"}}]}, False),
    ],
)
def test_a_protocol_is_how_rows_are_judged_and_nothing_else(tiny, change, same):
    (before,), (after,) = ({row.protocol for row in plan.rows} for plan in (tiny.plan(), tiny.plan(**change)))
    assert len(before) == LENGTH
    assert (before == after) is same


def test_a_change_of_the_code_that_judges_is_another_protocol(tiny, monkeypatch):
    before = {row.protocol for row in tiny.plan().rows}
    monkeypatch.setattr("bench.run.protocol.classification.VERSION", -1)
    assert not before & {row.protocol for row in tiny.plan().rows}
