"""Fitted on one corpus, evaluated on another: what moves, what is shared, what is read out, and the numbers."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.linear_model import LogisticRegression

from bench.evaluate.result import Result, targets_and_scores
from bench.report.views import MetricViews
from bench.run.execute import InlineExecutor, execute
from bench.run.registry import Registry
from bench.run.status import Status
from bench.run.suite import SuiteError
from bench.run.work import restore
from bench.train.strategy import Batch, Fields
from tests.run.conftest import PAIR, one, pick

TUNED = {"strategy": "finetune", "label": "tuned", "init": "noise"}

TABLE = """
from bench.train.strategy import Strategy


class Table(Strategy):
    name, title = "table", "No encoder"
    uses_encoder = False
"""


def cell(plan, key):
    return plan.jobs[key].cell


def init_of(plan, row):
    """Key of the fit that a row's fit starts from."""
    return cell(plan, row.fit_key).parents["init"]


def test_each_corpus_has_rows_of_its_own_and_of_its_sources(pair):
    rows = pair.plan(entries=["noise"], label_fractions=[1.0]).rows
    found = {(row.corpus, row.source, row.origin, row.strategy_title) for row in rows}
    assert found == {
        ("tiny-sim", "", "strategy", "Noise"),
        ("tiny-sim", "other-sim", "transfer", "Noise, from other-sim"),
        ("other-sim", "", "strategy", "Noise"),
        ("other-sim", "tiny-sim", "transfer", "Noise, from tiny-sim"),
    }
    assert all("Pre-trained on" in " ".join(row.deviations) for row in rows if row.source)


def test_only_named_sources_are_taken(pair):
    one_way = [PAIR[0], {**PAIR[1], "sources": []}]
    rows = pair.plan(corpora=one_way, entries=["noise"]).rows
    assert {(row.corpus, row.source) for row in rows} == {
        ("tiny-sim", ""),
        ("tiny-sim", "other-sim"),
        ("other-sim", ""),
    }


def test_a_corpus_that_is_not_evaluated_has_fits_and_no_rows(pair):
    plan = pair.plan(corpora=[PAIR[0], {"corpus": "other-sim", "task": "pace", "evaluate": False}])
    assert {row.corpus for row in plan.rows} == {"tiny-sim"}
    assert {row.source for row in plan.rows} == {"", "other-sim"}
    corpora = {job.cell.stage: set() for job in plan.jobs.values()}
    for job in plan.jobs.values():
        corpora[job.cell.stage].add(job.cell.corpus)
    both = {pair.tiny.fingerprint, pair.other.fingerprint}
    only = {pair.tiny.fingerprint}
    assert corpora == {"fit": both, "embed": only, "predict": only}


@pytest.mark.parametrize(
    ("corpora", "message"),
    [
        (
            [{**PAIR[0], "sources": ["moon-sim"]}, PAIR[1]],
            "source 'moon-sim' is no other corpus of the suite",
        ),
        (
            [{**PAIR[0], "sources": ["tiny-sim"]}, PAIR[1]],
            "source 'tiny-sim' is no other corpus of the suite",
        ),
        ([{**PAIR[0], "sources": [], "evaluate": False}], "no corpus is evaluated"),
    ],
)
def test_sources_that_make_no_sense_are_refused(pair, corpora, message):
    with pytest.raises(ValidationError, match=message):
        pair.plan(corpora=corpora)


def test_a_label_free_fit_is_one_whether_it_is_judged_at_home_or_elsewhere(pair):
    plan = pair.plan(entries=["noise"])
    for home, away in (("tiny-sim", "other-sim"), ("other-sim", "tiny-sim")):
        own = {row.fit_key for row in pick(plan, corpus=home, source="")}
        moved = {row.fit_key for row in pick(plan, corpus=away, source=home)}
        assert own == moved and len(own) == 1
    assert plan.stages() == {"fit": 2, "embed": 4, "predict": 8, "group": 0}


def test_label_free_selection_on_validation_is_shared_too(pair):
    plan = pair.plan(entries=["noise"], budget={"steps": 2, "batch": 8, "selection": "best_val_loss"})
    assert plan.stages()["fit"] == 2


def test_a_labelled_fit_moves_with_all_labels_whatever_the_fraction_there(pair):
    plan = pair.plan(entries=["by_label"])
    own = {row.fraction: row.fit_key for row in pick(plan, corpus="tiny-sim", source="")}
    moved = {row.fraction: row.fit_key for row in pick(plan, corpus="other-sim", source="tiny-sim")}
    assert own[0.5] != own[1.0]
    assert moved == {0.5: own[1.0], 1.0: own[1.0]}
    assert cell(plan, own[1.0]).task == "rhythm"
    read = {row.fraction: cell(plan, row.key).subset.fraction for row in pick(plan, source="tiny-sim")}
    assert read == {0.5: 0.5, 1.0: 1.0}


@pytest.mark.parametrize("first", ["noise", "by_label"])
def test_fine_tuning_starts_from_the_fit_with_all_labels_elsewhere(pair, first):
    plan = pair.plan(entries=[first, {**TUNED, "init": first}])
    start = one(plan, corpus="tiny-sim", source="", label=first, fraction=1.0).fit_key
    for row in pick(plan, corpus="other-sim", source="tiny-sim", label="tuned"):
        assert init_of(plan, row) == start
        fit = cell(plan, row.fit_key)
        assert (fit.corpus, fit.task) == (pair.other.fingerprint, "pace")
        assert fit.subset.fraction == row.fraction
    at_home = {
        row.fraction: init_of(plan, row) for row in pick(plan, corpus="other-sim", source="", label="tuned")
    }
    assert (at_home[0.5] == at_home[1.0]) is (first == "noise")
    assert start not in at_home.values()


def test_a_whole_chain_of_fits_moves(pair):
    again = {**TUNED, "label": "again", "init": "tuned"}
    plan = pair.plan(entries=["noise", TUNED, again], label_fractions=[0.5])
    row = one(plan, corpus="other-sim", source="tiny-sim", label="again")
    middle = cell(plan, init_of(plan, row))
    first = cell(plan, middle.parents["init"])
    assert [c.corpus for c in (middle, first)] == [pair.tiny.fingerprint] * 2
    assert (middle.task, middle.subset.fraction, first.task) == ("rhythm", 1.0, None)
    assert cell(plan, row.fit_key).subset.fraction == 0.5


def test_a_classifier_of_other_classes_is_judged_by_its_embedding(pair):
    plan = pair.plan(entries=["noise", "head", TUNED], label_fractions=[1.0])
    readouts = {(row.label, row.source != ""): row.readout for row in plan.rows}
    assert readouts == {
        ("noise", False): "probe",
        ("noise", True): "probe",
        ("head", False): "classifier",
        ("head", True): "probe",
        ("tuned", False): "classifier",
        ("tuned", True): "classifier",
    }
    moved = one(plan, corpus="other-sim", source="tiny-sim", label="head")
    assert set(cell(plan, moved.key).parents) == {"embed"}
    assert moved.fit_key == one(plan, corpus="tiny-sim", source="", label="head").fit_key


def test_an_entry_may_move_never_or_only(pair):
    entries = [{"strategy": "noise", "label": how, "transfer": how} for how in ("also", "never", "only")]
    rows = pair.plan(entries=entries, label_fractions=[1.0]).rows
    found = {how: sorted(row.source for row in rows if row.label == how) for how in ("also", "never", "only")}
    assert found == {
        "also": ["", "", "other-sim", "tiny-sim"],
        "never": ["", ""],
        "only": ["other-sim", "tiny-sim"],
    }


def test_what_learns_nothing_does_not_move(pair, tmp_path):
    file = tmp_path / "table.py"
    file.write_text(TABLE)
    entries = ["untrained", {**TUNED, "init": "untrained"}, "table"]
    rows = pair.plan(registry=Registry((pair.file, file)), entries=entries).rows
    assert {row.label for row in rows} == {"untrained", "tuned", "table"}
    assert {row.source for row in rows} == {""}


@pytest.mark.parametrize(("scaling", "embeddings"), [("zscore-lead", 1), ("zscore-global", 2)])
def test_embeddings_are_shared_by_splits_unless_the_split_scales_the_signals(pair, scaling, embeddings):
    elsewhere = {"corpus": "other-sim", "task": "pace", "sources": ["tiny-sim"]}
    splits = [{**elsewhere, "split": {"kind": "stratified", "seed": seed}} for seed in (0, 1)]
    corpora = [{"corpus": "tiny-sim", "task": "rhythm", "evaluate": False}, *splits]
    spec = {"rate": 50, "window": 100, "scaling": scaling}
    plan = pair.plan(corpora=corpora, entries=["noise"], input=spec, label_fractions=[1.0])
    moved = pick(plan, source="tiny-sim")
    assert len(moved) == 2 and len({row.fit_key for row in moved}) == 1
    assert len({cell(plan, row.key).parents["embed"] for row in moved}) == embeddings


def test_groups_and_noise_are_of_the_corpus_alone(pair):
    plan = pair.plan(entries=["noise", "head"], groupings=["kmeans"], noise_levels=[2])
    for row in plan.rows:
        assert not (row.source and (row.grouping or row.noise))
    assert {(row.corpus, row.grouping) for row in plan.rows if row.grouping} == {
        ("tiny-sim", "kmeans"),
        ("other-sim", "kmeans"),
    }
    assert {row.corpus for row in plan.rows if row.noise} == {"tiny-sim", "other-sim"}


@pytest.fixture(scope="module")
def ran(pair, tiny, tmp_path_factory):
    """A plan of both corpora, executed."""
    plan = pair.plan(entries=["noise", "head", "untrained", TUNED])
    store = tiny.store(tmp_path_factory.mktemp("transfer"))
    progress = execute(plan, store, InlineExecutor)
    assert set(progress.statuses.values()) == {Status.DONE}
    return plan, store


def test_a_whole_run_scores_the_classes_of_the_corpus_it_is_judged_on(pair, ran):
    plan, store = ran
    views = MetricViews(store, resamples=20)
    corpora = {"tiny-sim": (pair.tiny, "rhythm"), "other-sim": (pair.other, "pace")}
    assert len(plan.rows) == 2 * 2 * (2 + 2 + 1 + 2)
    for row in plan.rows:
        corpus, task = corpora[row.corpus]
        table = Result.from_bytes("scores", store.read(row.key, "scores.parquet")).table
        targets, scores, classes = targets_and_scores(table)
        assert classes == corpus.tasks[task].classes
        np.testing.assert_array_equal(targets, corpus.targets(task).loc[table["record"]])
        np.testing.assert_allclose(scores.sum(1), 1, atol=1e-5)
        assert set(corpus.records["record"]) >= set(table["record"])
        assert {part["part"] for part in views.metrics(row.key, row.kind)["parts"]} == {"val", "test"}


def windows_by_hand(corpus, row, leads=(0, 1), window=100):
    """(2, leads, window) of a record of 200 samples, each lead less its mean, by its standard deviation."""
    place = corpus.records.iloc[row]
    signal = np.asarray(corpus.signals[place["offset"] : place["offset"] + place["length"]])[:, leads] / 1e3
    signal = (signal - signal.mean(0)) / signal.std(0)
    return torch.tensor(signal.T.reshape(len(leads), 2, window).transpose(1, 0, 2), dtype=torch.float32)


def embedded_by_hand(strategy, corpus):
    rows = []
    for row in range(len(corpus.records)):
        signal = windows_by_hand(corpus, row)
        index = torch.full((2,), row)
        with torch.no_grad():
            batch = Batch(signal, index, index, Fields({}, frozenset(), "by hand"))
            rows.append(strategy.embed(batch).mean(0).double().numpy())
    return np.stack(rows)


@pytest.mark.parametrize(("label", "fraction"), [("noise", 1.0), ("noise", 0.5), ("head", 0.5)])
def test_moved_scores_are_those_of_a_probe_by_hand(pair, ran, label, fraction):
    plan, store = ran
    row = one(plan, corpus="other-sim", source="tiny-sim", label=label, fraction=fraction)
    fit = plan.jobs[row.fit_key]
    strategy = restore(store.load(row.fit_key), fit.sources, torch.device("cpu"))
    assert json.loads(store.read(row.fit_key, "fit.json"))["cell"]["corpus"] == pair.tiny.fingerprint
    features = embedded_by_hand(strategy, pair.other)
    train = plan.jobs[row.key].rows.labelled
    features = (features - features[train].mean(0)) / features[train].std(0)
    classes = pair.other.targets("pace").to_numpy().argmax(1)
    chosen = store.read_json(row.key, "predict.json")
    stored = Result.from_bytes("scores", store.read(row.key, "scores.parquet")).table
    ids = pair.other.records["record"].tolist()
    for selection in ("subset", "all"):
        probe = LogisticRegression(C=chosen[f"C_{selection}"], max_iter=5000, tol=1e-8)
        expected = probe.fit(features[train], classes[train]).predict_proba(features)
        table = stored[stored["selection"] == selection]
        _, scores, _ = targets_and_scores(table)
        np.testing.assert_allclose(scores, expected[[ids.index(r) for r in table["record"]]], atol=2e-3)


def test_a_fine_tuned_row_holds_another_encoder_than_the_fit_it_started_from(ran):
    plan, store = ran
    row = one(plan, corpus="other-sim", source="tiny-sim", label="tuned", fraction=1.0)
    parents = {key: store.load(key) for key in (row.fit_key, init_of(plan, row))}
    job = plan.jobs[row.fit_key]
    tuned, start = (
        restore(payload, job.sources, torch.device("cpu")).encoder.state_dict()
        for payload in parents.values()
    )
    assert tuned.keys() == start.keys()
    assert any(not torch.equal(tuned[name], start[name]) for name in tuned)
    described = store.read_json(row.fit_key, "fit.json")
    assert described["parents"]["init"]["cell"]["corpus"] == plan.jobs[init_of(plan, row)].cell.corpus


def test_a_source_that_failed_blocks_its_rows_elsewhere_and_no_others(pair, tiny, tmp_path):
    plan = pair.plan(entries=["noise"], label_fractions=[1.0])
    fit = one(plan, corpus="other-sim", source="").fit_key
    job = plan.jobs[fit]
    plan.jobs[fit] = replace(job, cell=job.cell.model_copy(update={"code": "0" * 64}))
    progress = execute(plan, tiny.store(tmp_path), InlineExecutor)
    status = {(row.corpus, row.source): progress.statuses[row.key] for row in plan.rows}
    assert status == {
        ("tiny-sim", ""): Status.DONE,
        ("other-sim", "tiny-sim"): Status.DONE,
        ("other-sim", ""): Status.BLOCKED,
        ("tiny-sim", "other-sim"): Status.BLOCKED,
    }


def test_rows_that_saw_test_ecgs_stay_on_their_corpus(pair):
    leaking = {"strategy": "noise", "label": "leaking", "overlap": True}
    rows = pair.plan(entries=[leaking, {"strategy": "finetune", "label": "after", "init": "leaking"}]).rows
    assert rows and {row.source for row in rows} == {""}


@pytest.mark.parametrize(
    "own",
    [{"input": {"rate": 50, "window": 60}}, {"encoder": {"name": "resnet1d18", "arguments": {"dim": 16}}}],
)
def test_an_encoder_moves_only_between_like_inputs(pair, own):
    what = next(iter(own))
    with pytest.raises(SuiteError, match=f"each their own {what}; an encoder of one cannot"):
        pair.plan(entries=["noise"], corpora=[PAIR[0], {**PAIR[1], **own}])


def test_rows_that_no_table_can_tell_apart_are_no_seeds_of_one(pair):
    twice = [{**PAIR[0], "sources": []}, {**PAIR[0], "sources": [], "budget": {"steps": 3}}]
    with pytest.raises(SuiteError, match="asks twice for row 'noise' on tiny-sim"):
        pair.plan(entries=["noise"], corpora=twice)
