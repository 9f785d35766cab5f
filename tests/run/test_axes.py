"""Overlap, noise, encoders by entry: what of these axes reaches rows, keys and fits."""

import numpy as np
import pytest
from pydantic import ValidationError

from bench.evaluate.result import Result
from bench.run.cell import PredictCell
from bench.run.execute import InlineExecutor, execute
from bench.run.status import Status
from bench.run.suite import SuiteError
from tests.run.conftest import fitted, one

TUNED = {"strategy": "finetune", "label": "tuned", "init": "noise"}
NARROW = {"name": "resnet1d18", "arguments": {"width": 5, "dim": 6}}
LEAKING = {"strategy": "noise", "label": "leaking", "overlap": True}


def test_overlap_is_training_on_every_record_and_says_so(tiny):
    plan = tiny.plan(entries=["noise", LEAKING], seeds=1)
    clean, leaking = (one(plan, label=label, fraction=1.0) for label in ("noise", "leaking"))
    jobs = [plan.jobs[row.fit_key] for row in (clean, leaking)]
    assert set(jobs[1].rows.train) == set(range(60))
    parts = tiny.corpus.records["part"].to_numpy()
    assert set(parts[jobs[0].rows.train]) == {"train"}
    assert jobs[0].cell == jobs[1].cell.model_copy(update={"trained_on": ""})
    assert clean.fit_key != leaking.fit_key
    assert (clean.overlap, clean.origin) == (False, "strategy")
    assert (leaking.overlap, leaking.origin) == (True, "overlap")
    assert "saw test ECGs" in leaking.strategy_title and "saw" not in clean.strategy_title
    assert fitted(plan, leaking.fit_key, tiny.corpus).strategy.info.instances == 60


def test_what_is_read_out_of_such_a_fit_is_as_ever(tiny):
    plan = tiny.plan(entries=["noise", LEAKING], seeds=1)
    for fraction in (0.5, 1.0):
        rows = [plan.jobs[one(plan, label=x, fraction=fraction).key].rows for x in ("noise", "leaking")]
        for part in ("train", "labelled", "val", "val_subset", "test"):
            np.testing.assert_array_equal(getattr(rows[0], part), getattr(rows[1], part))


def test_what_starts_from_such_a_fit_inherits_the_mark_and_no_record(tiny):
    tuned = {**TUNED, "init": "leaking"}
    again = {**TUNED, "label": "again", "init": "tuned"}
    plan = tiny.plan(entries=[LEAKING, tuned, again], seeds=1, label_fractions=[1.0])
    for label in ("tuned", "again"):
        row = one(plan, label=label)
        assert row.overlap and row.origin == "overlap" and row.strategy_title.endswith("saw test ECGs")
        rows = plan.jobs[row.fit_key].rows
        assert not set(rows.train) & set(rows.test) and not set(rows.labelled) & set(rows.val)


@pytest.mark.parametrize("label", ["by_label", "head"])
def test_labels_of_test_records_are_never_read_even_so(tiny, label):
    with pytest.raises(SuiteError, match="`overlap` is for fits that read no labels"):
        tiny.plan(entries=[{"strategy": label, "overlap": True}])


def test_noise_is_for_classifiers_at_their_largest_fraction(tiny):
    quiet = {"strategy": "head", "label": "quiet", "noise": False}
    few = {"strategy": "head", "label": "few", "fractions": [0.5]}
    entries = ["noise", "untrained", "head", TUNED, quiet, few]
    plan = tiny.plan(entries=entries, noise_levels=[1, 6], seeds=1)
    noisy = {(row.label, row.fraction, row.noise) for row in plan.rows if row.noise}
    assert noisy == {
        ("head", 1.0, 1),
        ("head", 1.0, 6),
        ("tuned", 1.0, 1),
        ("tuned", 1.0, 6),
        ("few", 0.5, 1),
        ("few", 0.5, 6),
    }
    assert {row.readout for row in plan.rows if row.noise} == {"classifier"}


def test_a_level_of_noise_is_another_result_of_the_same_fit(tiny):
    clean = tiny.plan(entries=["head"], label_fractions=[1.0], seeds=1)
    plan = tiny.plan(entries=["head"], label_fractions=[1.0], seeds=1, noise_levels=[1, 2])
    rows = {row.noise: row for row in plan.rows}
    assert len({row.key for row in rows.values()}) == 3
    assert len({row.fit_key for row in rows.values()}) == 1
    assert (rows[0].key, rows[0].fit_key) == (one(clean).key, one(clean).fit_key)
    cells = {level: plan.jobs[row.key].cell for level, row in rows.items()}
    assert all(isinstance(cell, PredictCell) and cell.noise == level for level, cell in cells.items())


def test_a_level_that_does_not_exist_is_refused(tiny):
    with pytest.raises(ValidationError, match="noise level 7 is none of 1, 2, 3, 4, 5, 6"):
        tiny.plan(noise_levels=[7])


def test_noisy_scores_are_of_the_test_part_alone(tiny, tmp_path):
    plan, store = (
        tiny.plan(entries=["head"], label_fractions=[1.0], seeds=1, noise_levels=[6]),
        tiny.store(tmp_path),
    )
    assert set(execute(plan, store, InlineExecutor).statuses.values()) == {Status.DONE}
    tables = {
        row.noise: Result.from_bytes("scores", store.read(row.key, "scores.parquet")).table
        for row in plan.rows
    }
    assert set(tables[0]["part"]) == {"val", "test"} and set(tables[6]["part"]) == {"test"}
    clean, noisy = tables[0][tables[0]["part"] == "test"], tables[6]
    assert noisy["record"].tolist() == clean["record"].tolist()
    assert (noisy["target:fast"].to_numpy() == clean["target:fast"].to_numpy()).all()
    assert (np.abs(noisy["score:fast"].to_numpy() - clean["score:fast"].to_numpy()) > 1e-5).all()


def test_an_entry_has_an_encoder_of_its_own_and_so_has_what_starts_from_it(tiny):
    again = {**TUNED, "label": "again", "init": "tuned"}
    plan = tiny.plan(
        entries=["noise", TUNED, again, "head"], encoders={"noise": NARROW}, label_fractions=[1.0], seeds=1
    )
    found = {row.label: plan.jobs[row.fit_key].cell.encoder.model_dump() for row in plan.rows}
    suite = plan.suites[0].encoder.model_dump()
    own = {row.label: row.own_encoder for row in plan.rows}
    assert own["noise"] == own["tuned"] == own["again"] == "resnet1d18 (dim 6, width 5)" and own["head"] == ""
    assert {row.encoder for row in plan.rows} == {"resnet1d18"}
    assert found == {"noise": NARROW, "tuned": NARROW, "again": NARROW, "head": suite}
    plain = tiny.plan(entries=["head"], label_fractions=[1.0], seeds=1)
    assert one(plain).key == one(plan, label="head").key


def test_an_entrys_arguments_come_on_top_of_its_encoder(tiny):
    entry = {"strategy": "noise", "encoder": {"dim": 7}}
    plan = tiny.plan(entries=[entry], encoders={"noise": NARROW}, label_fractions=[1.0], seeds=1)
    assert plan.jobs[one(plan).fit_key].cell.encoder.arguments == {"width": 5, "dim": 7}
    assert one(plan).own_encoder == "resnet1d18 (dim 7, width 5)"


def test_encoders_of_nobody_are_refused(tiny):
    with pytest.raises(ValidationError, match="encoders names 'nobody', which is no entry"):
        tiny.plan(encoders={"nobody": NARROW})


def test_everything_runs_with_each_variant_of_the_encoder(tiny):
    entries = ["noise", "head", TUNED]
    plan = tiny.plan(entries=entries, seeds=1, encoder_variants=[{"dim": 8}, {"dim": 6}])
    plain = tiny.plan(entries=entries, seeds=1)
    assert {row.encoder for row in plan.rows} == {"resnet1d18 (dim 8)", "resnet1d18 (dim 6)"}
    assert {row.encoder for row in plain.rows} == {"resnet1d18"}
    by_encoder = {
        dim: {
            (row.label, row.fraction): (row.key, row.fit_key)
            for row in plan.rows
            if f"dim {dim}" in row.encoder
        }
        for dim in (8, 6)
    }
    assert by_encoder[8] == {(row.label, row.fraction): (row.key, row.fit_key) for row in plain.rows}
    assert by_encoder[6].keys() == by_encoder[8].keys()
    keys = [{key for pair in found.values() for key in pair} for found in by_encoder.values()]
    assert not keys[0] & keys[1]
    for row in plan.rows:
        assert f"(dim {plan.jobs[row.fit_key].cell.encoder.arguments['dim']})" in row.encoder


def test_a_variant_named_twice_is_refused(tiny):
    with pytest.raises(ValidationError, match="encoder_variants names something twice"):
        tiny.plan(encoder_variants=[{"dim": 8}, {"dim": 8}])
