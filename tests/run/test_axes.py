"""Folds and frames as label fractions, overlap, noise, encoders by entry: what reaches rows, keys and fits."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from bench.evaluate import predict as scoring
from bench.evaluate.result import Result
from bench.run.cell import PredictCell
from bench.run.execute import InlineExecutor, execute
from bench.run.ground import instances_of
from bench.run.registry import Registry, encoders, load_strategy
from bench.run.status import Status
from bench.run.suite import SuiteError
from bench.run.work import fit_info
from bench.train.build import Recipe, Setting, prepare_fit
from bench.train.fit import Seeds
from tests.corpora import tiny_corpus
from tests.run.conftest import one, pick

TUNED = {"strategy": "finetune", "label": "tuned", "init": "noise"}
THIRDS = [0.15, 0.3333, 0.6667, 1.0]
FRAMES = {
    "input": {"rate": 50, "window": 80, "stride": 60, "instance": "lead", "aggregation": "none"},
    "fractions_by": "frames",
}

GUIDED = """
from bench.train.strategy import Draw, Field, Strategy


class Guided(Strategy):
    name, title = "guided", "Reads labels, and draws records without"
    needs = frozenset({Field.LABELS})


class Long(Strategy):
    name, title = "long", "Draws two windows"
    needs = frozenset({Field.LABELS})
    labelled_only = True

    @classmethod
    def draws(cls, params):
        return Draw(windows=2)
"""


@pytest.fixture(scope="module")
def folded(tiny, tmp_path_factory):
    """Plans on a corpus of five folds, the first three of which are trained on."""
    corpus = tiny_corpus(tmp_path_factory.mktemp("folded") / "tiny", folds=True)

    def plan(**changes):
        return tiny.plan(prepared={"tiny-sim@50": corpus}, **changes)

    return corpus, plan


def fitted(plan, key, corpus):
    """A fit cell without parents, ready to run."""
    job = plan.jobs[key]
    cell = job.cell
    kind = load_strategy(cell.strategy.name, job.sources.get(cell.strategy.name))
    info = fit_info(corpus, cell, job.rows, kind)
    recipe = Recipe(kind, encoders()[cell.encoder.name], cell.encoder.arguments, cell.strategy.params, info)
    seeds = Seeds(cell.suite_seed, cell.seed_index)
    setting = Setting(cell.input, cell.lead_set, job.rows, cell.task, cell.budget, seeds)
    return prepare_fit(recipe, corpus, setting, torch.device("cpu"))


def labelled(plan, corpus, **wanted):
    """Record ids of the label subset of each row's scores, by fraction."""
    ids = corpus.records["record"].to_numpy()
    return {
        row.fraction: set(ids[plan.jobs[row.key].rows.labelled]) for row in pick(plan, **wanted) if row.key
    }


# Folds


def test_whole_fractions_are_the_first_folds_and_smaller_ones_lie_within_the_first(folded):
    corpus, plan = folded
    planned = plan(entries=["noise", "head"], fractions_by="folds", label_fractions=THIRDS)
    fold = corpus.records.set_index("record")["fold"]
    for label in ("noise", "head"):
        for index in (0, 1):
            drawn = labelled(planned, corpus, label=label, seed_index=index)
            assert drawn[0.3333] == set(fold.index[fold == 1])
            assert drawn[0.6667] == set(fold.index[fold <= 2])
            assert drawn[1.0] == set(fold.index[fold <= 3])
            assert drawn[0.15] < drawn[0.3333]
    assert {row.fractions_by for row in planned.rows} == {"folds"}


def test_a_classifier_trains_on_just_these_folds(folded):
    corpus, plan = folded
    planned = plan(entries=["head"], fractions_by="folds", label_fractions=[0.3333], seeds=1)
    fit = fitted(planned, one(planned).fit_key, corpus)
    seen = corpus.records["fold"].to_numpy()[fit.data.record.numpy()]
    assert (seen == 1).all() and len(fit.data) == (corpus.records["fold"] == 1).sum()


def test_what_is_no_whole_number_of_folds_is_skipped_and_says_what_there_is(folded):
    _, plan = folded
    planned = plan(entries=["noise"], fractions_by="folds", label_fractions=[0.5, 1.0], seeds=1)
    reason = one(planned, fraction=0.5).skipped
    assert "no whole number of 3 folds" in reason and "0.3333, 0.6667, 1" in reason
    assert one(planned, fraction=1.0).key


def test_an_entry_may_draw_its_labels_in_its_own_way(folded):
    corpus, plan = folded
    by_fold = {"strategy": "head", "label": "by_fold", "fractions_by": "folds"}
    planned = plan(entries=["head", by_fold, "noise"], label_fractions=[0.3333, 1.0], seeds=1)
    ways = {row.label: row.fractions_by for row in planned.rows}
    assert ways == {"head": "patients", "by_fold": "folds", "noise": "patients"}
    drawn = {label: labelled(planned, corpus, label=label) for label in ways}
    assert drawn["head"] == drawn["noise"]
    assert drawn["head"][0.3333] != drawn["by_fold"][0.3333]
    assert drawn["head"][1.0] == drawn["by_fold"][1.0]
    fits = {label: {row.fraction: row.fit_key for row in pick(planned, label=label)} for label in ways}
    assert fits["head"][0.3333] != fits["by_fold"][0.3333]
    assert fits["head"][1.0] == fits["by_fold"][1.0]


# Frames


def places(corpus, plan, row):
    """(record id, start, lead) of the frames whose labels a row may read."""
    job = plan.jobs[row.key]
    units = instances_of(corpus, job.cell.input, row.lead_set).at(job.rows.frames)
    ids = corpus.records["record"].to_numpy()[units.record]
    return set(zip(ids, units.start.tolist(), units.lead.tolist(), strict=True))


def test_frames_are_shares_of_all_windows_of_all_leads_and_nest(tiny):
    plan = tiny.plan(entries=["noise", "head"], label_fractions=[0.25, 0.5, 1.0], **FRAMES)
    parts = tiny.corpus.records.set_index("record")["part"]
    every = {
        (record, start, lead)
        for record in parts.index[parts == "train"]
        for start in (0, 60, 120)
        for lead in (0, 1)
    }
    drawn = {}
    for index in (0, 1):
        for label in ("noise", "head"):
            rows = pick(plan, label=label, seed_index=index)
            drawn[label, index] = {row.fraction: places(tiny.corpus, plan, row) for row in rows}
        found = drawn["noise", index]
        assert found == drawn["head", index]
        assert found[1.0] == every
        assert found[0.25] < found[0.5] < found[1.0]
        assert [len(found[f]) for f in (0.25, 0.5)] == [len(every) // 4, len(every) // 2]
    assert drawn["noise", 0][0.25] != drawn["noise", 1][0.25]


def test_which_frames_are_drawn_does_not_hang_on_the_order_of_the_records(tiny, tmp_path):
    turned = tiny_corpus(tmp_path / "turned", backwards=True)
    assert turned.records["record"].tolist() == tiny.corpus.records["record"].tolist()[::-1]
    found = []
    for corpus in (tiny.corpus, turned):
        plan = tiny.plan(prepared={"tiny-sim@50": corpus}, entries=["noise"], label_fractions=[0.1], **FRAMES)
        found.append([places(corpus, plan, row) for row in plan.rows])
    assert found[0] == found[1] and len(found[0][0]) > 10


def test_a_classifier_trains_on_just_these_windows_of_these_leads(tiny):
    plan = tiny.plan(entries=["head"], label_fractions=[0.25], seeds=1, **FRAMES)
    row = one(plan)
    fit = fitted(plan, row.fit_key, tiny.corpus)
    units = instances_of(tiny.corpus, plan.jobs[row.fit_key].cell.input, row.lead_set)
    frames = plan.jobs[row.fit_key].rows.frames
    assert len(fit.data) == len(frames) == fit.strategy.info.instances
    targets = tiny.corpus.targets("rhythm").to_numpy()
    for seed in (0, 1):
        batch = fit.data.draw(torch.arange(len(frames)), torch.Generator().manual_seed(seed))
        assert batch.signal.shape == (len(frames), 1, 80)
        for i, unit in enumerate(frames):
            record, start, lead = units.record[unit], units.start[unit], units.lead[unit]
            first = tiny.corpus.records["offset"][record] + start
            expected = tiny.corpus.signals[first : first + 80, lead] / 1e3
            np.testing.assert_allclose(batch.signal[i, 0].numpy(), expected, atol=1e-6)
            np.testing.assert_array_equal(batch.labels[i].numpy(), targets[record])
    scaled = fit.data.scaled(batch).signal
    means = np.stack(tiny.corpus.records["mean"].to_list())[units.record[frames], units.lead[frames]]
    sds = np.stack(tiny.corpus.records["sd"].to_list())[units.record[frames], units.lead[frames]]
    expected = (batch.signal[:, 0].numpy() - means[:, None]) / sds[:, None]
    np.testing.assert_allclose(scaled[:, 0].numpy(), expected, atol=1e-4)


def test_a_read_out_is_fitted_on_just_these_units(tiny, tmp_path, monkeypatch):
    seen, probe = [], scoring.READOUTS["probe"]

    def spy(data):
        seen.append((data.train, data.targets, len(data.features)))
        return probe(data)

    monkeypatch.setitem(scoring.READOUTS, "probe", spy)
    plan = tiny.plan(entries=["untrained"], label_fractions=[0.25, 1.0], seeds=1, **FRAMES)
    progress = execute(plan, tiny.store(tmp_path), InlineExecutor)
    assert set(progress.statuses.values()) == {Status.DONE}
    frames = {
        len(job.rows.frames): job.rows.frames for job in plan.jobs.values() if job.cell.stage == "predict"
    }
    owner = instances_of(tiny.corpus, plan.suites[0].input, "challenge-2").record
    truth = tiny.corpus.targets("rhythm").to_numpy()
    assert len(seen) == len(frames) == 2
    for train, targets, count in seen:
        np.testing.assert_array_equal(train, frames[len(train)])
        np.testing.assert_array_equal(targets, truth[owner])
        assert count == len(owner) == 60 * 3 * 2


def test_label_free_fits_are_one_whatever_labels_are_shares_of(tiny):
    framed = {"strategy": "noise", "label": "framed", "fractions_by": "frames"}
    spec = {**FRAMES, "fractions_by": "patients"}
    for selection in ("last", "best_val_loss"):
        budget = {"steps": 2, "batch": 8, "selection": selection}
        plan = tiny.plan(entries=["noise", framed], seeds=1, budget=budget, **spec)
        assert plan.stages() == {"fit": 1, "embed": 1, "predict": 4, "group": 0}
        assert len({row.key for row in plan.rows}) == 4


def test_frames_need_windows_that_are_judged_by_themselves(tiny):
    merged = {**FRAMES["input"], "aggregation": "mean"}
    with pytest.raises(ValidationError, match="needs input.aggregation 'none'"):
        tiny.plan(input=merged, fractions_by="frames")
    with pytest.raises(ValidationError, match="needs input.aggregation 'none'"):
        tiny.plan(input=merged, entries=[{"strategy": "noise", "fractions_by": "frames"}])
    own = {"corpus": "tiny-sim", "task": "rhythm", "input": merged}
    with pytest.raises(ValidationError, match="needs input.aggregation 'none'"):
        tiny.plan(corpora=[own], **FRAMES)


@pytest.mark.parametrize("label", ["guided", "long"])
def test_what_does_not_train_on_single_labelled_frames_is_skipped(tiny, tmp_path, label):
    file = tmp_path / "guided.py"
    file.write_text(GUIDED)
    registry = Registry((tiny.file, file))
    rows = tiny.plan(registry, entries=[label, "head"], seeds=1, **FRAMES).rows
    reasons = {row.skipped for row in rows if row.label == label}
    assert reasons == {"labels drawn by frame are for strategies that learn from labelled frames alone"}
    assert all(row.key for row in rows if row.label == "head")
    other = tiny.plan(registry, entries=[label], seeds=1, **{**FRAMES, "fractions_by": "patients"}).rows
    assert all(row.key for row in other)


# Overlap


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


# Noise


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


# Encoders


NARROW = {"name": "resnet1d18", "arguments": {"width": 5, "dim": 6}}


def test_an_entry_has_an_encoder_of_its_own_and_so_has_what_starts_from_it(tiny):
    again = {**TUNED, "label": "again", "init": "tuned"}
    plan = tiny.plan(
        entries=["noise", TUNED, again, "head"], encoders={"noise": NARROW}, label_fractions=[1.0], seeds=1
    )
    found = {row.label: plan.jobs[row.fit_key].cell.encoder.model_dump() for row in plan.rows}
    suite = plan.suites[0].encoder.model_dump()
    assert found == {"noise": NARROW, "tuned": NARROW, "again": NARROW, "head": suite}
    plain = tiny.plan(entries=["head"], label_fractions=[1.0], seeds=1)
    assert one(plain).key == one(plan, label="head").key


def test_an_entrys_arguments_come_on_top_of_its_encoder(tiny):
    entry = {"strategy": "noise", "encoder": {"dim": 7}}
    plan = tiny.plan(entries=[entry], encoders={"noise": NARROW}, label_fractions=[1.0], seeds=1)
    assert plan.jobs[one(plan).fit_key].cell.encoder.arguments == {"width": 5, "dim": 7}


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
