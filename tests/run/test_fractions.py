"""Folds and frames: what of a label fraction reaches rows, keys, fits and read-outs."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from bench.evaluate import predict as scoring
from bench.run.execute import InlineExecutor, execute
from bench.run.ground import instances_of
from bench.run.registry import Registry
from bench.run.status import Status
from tests.corpora import tiny_corpus
from tests.run.conftest import fitted, one, pick

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


def labelled(plan, corpus, **wanted):
    """Record ids of the label subset of each row's scores, by fraction."""
    ids = corpus.records["record"].to_numpy()
    return {
        row.fraction: set(ids[plan.jobs[row.key].rows.labelled]) for row in pick(plan, **wanted) if row.key
    }


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
    assert sorted(len(train) for train, _, _ in seen) == sorted(frames) and len(frames) == 2
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
