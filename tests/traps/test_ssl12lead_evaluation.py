"""The traps of test_ssl12lead_training that lie in how fits are scored; the list of all traps stands there."""

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from bench.data.leads import lead_set
from bench.evaluate.predict import Judged, predict_from_classifier
from bench.evaluate.result import Result, targets_and_scores
from bench.nn.encoders.cpc_net import CPCNet
from bench.run.suite import load_suite, suite_files
from bench.run.work import restore
from bench.train.build import Rows
from bench.train.inputs import load_signals
from tests.traps import CPU, fit_of, one, plan_of, run
from tests.traps.ssl12lead import FEW_LEADS, entries, signal_of


@pytest.fixture(scope="module")
def ran(ptbxl, tmp_path_factory):
    """Some of the suite, executed, where validation and test part differ in size.

    The encoder trained from scratch is best early: its rate is far too high.
    """
    spec = {"kind": "stratified", "shares": [0.5, 0.15, 0.35]}
    plan = plan_of(
        "ssl12lead",
        "smoke",
        ptbxl,
        corpora=[{"corpus": "ptbxl-sim", "task": "superdiagnostic", "split": spec}],
        entries=entries("cpc", "cpc_linear", "cpc_finetuned", "supervised"),
        encoders={"cpc": {"name": "cpc_net", "arguments": {"hidden": 8}}},
        budgets={
            "cpc_finetuned": {"lr": 0.05, "steps": 12},
            "supervised": {"lr": 0.1, "steps": 8, "selection": "best_val_loss", "check_every": 1},
        },
        **FEW_LEADS,
    )
    return plan, run(plan, tmp_path_factory.mktemp("ran"))


def scores_of(store, row):
    return Result.from_bytes("scores", store.read(row.key, "scores.parquet")).table


@pytest.mark.parametrize("part", ["val", "test"])
def test_g01_every_record_is_scored_by_the_mean_of_its_own_seven_windows(ran, ptbxl, part):
    """The published code merges test crops by the validation set's map and so drops the last test records."""
    plan, store = ran
    row = one(plan, label="supervised", noise=0)
    job, leads = plan.jobs[row.key], lead_set("challenge-2")
    assert len(job.rows.test) > len(job.rows.val) + 15
    table = scores_of(store, row).query("part == @part").set_index("record")
    ids, rows = ptbxl.records["record"], getattr(job.rows, part)
    assert table.index.tolist() == ids.iloc[rows].tolist()
    train = np.concatenate([signal_of(ptbxl, other, leads) for other in job.rows.train])
    classifier = restore(store.load(row.fit_key), plan.jobs[row.fit_key].sources, CPU)
    by_mean, by_max = [], []
    for record in rows:
        scaled = (signal_of(ptbxl, record, leads) - train.mean()) / train.std()
        windows = torch.tensor(
            np.stack([scaled[start : start + 250].T for start in range(0, 751, 125)]), dtype=torch.float32
        )
        assert len(windows) == 7
        with torch.no_grad():
            each = [torch.sigmoid(classifier.head(classifier.encoder(window[None])))[0] for window in windows]
        by_mean.append(torch.stack(each).mean(0).numpy())
        by_max.append(torch.stack(each).amax(0).numpy())
    found = table[[f"score:{name}" for name in ptbxl.tasks["superdiagnostic"].classes]].to_numpy()
    np.testing.assert_allclose(found, by_mean, atol=2e-4)
    assert all(np.abs(found - wrong).max() > 5e-3 for wrong in (by_max, np.roll(by_mean, 1, axis=0)))
    targets = ptbxl.targets("superdiagnostic").loc[table.index].to_numpy()
    np.testing.assert_array_equal(table.filter(like="target:").to_numpy(), targets)


def test_g09_cpc_is_evaluated_linearly_fine_tuned_and_under_noise_on_its_own_network(ran):
    """The published evaluation of linear heads, rates and noise knows the xresnet alone."""
    plan, store = ran
    for label in ("cpc", "cpc_linear", "cpc_finetuned"):
        row = one(plan, label=label, noise=0)
        strategy = restore(store.load(row.fit_key), plan.jobs[row.fit_key].sources, CPU)
        assert type(strategy.encoder) is CPCNet
        assert len(scores_of(store, row)) > 0
    clean, noisy = (one(plan, label="cpc_finetuned", noise=level) for level in (0, 2))
    assert clean.fit_key == noisy.fit_key
    tables = [scores_of(store, row).query("part == 'test'") for row in (clean, noisy)]
    (_, quiet, _), (_, loud, _) = map(targets_and_scores, tables)
    assert quiet.shape == loud.shape and np.abs(quiet - loud).max() > 1e-3
    phases = fit_of(plan, clean.fit_key).strategy.phases()
    assert [sorted({g["lr_scale"] for g in phase.groups}) for phase in phases] == [
        [1.0],
        pytest.approx([1e-3, 1e-2, 0.1]),
    ]


def test_g10_noise_is_met_by_the_selected_weights_and_is_the_same_again(ran, ptbxl):
    """The published evaluation scores the last epoch's weights, on noise without a seed."""
    plan, store = ran
    row = one(plan, label="supervised", noise=2)
    job = plan.jobs[row.key]
    selected = store.read_json(row.fit_key, "fit.json")["selected_step"]
    assert 0 < selected < 8
    judged = Judged(ptbxl, row.task, job.rows, job.cell.input, row.lead_set)
    signals = load_signals(ptbxl, job.cell.input, lead_set(row.lead_set), CPU, job.rows.train)

    def scored(until):
        fit = fit_of(plan, row.fit_key).run(until)
        return targets_and_scores(predict_from_classifier(fit.strategy, judged, signals, noise=2).table)[1]

    stored = targets_and_scores(scores_of(store, row))[1]
    np.testing.assert_allclose(scored(selected), stored, atol=1e-6)
    assert np.abs(scored(7) - stored).max() > 1e-2


def test_g11_parts_that_are_exchanged_exchange_their_scores(ran, ptbxl):
    """With the published `--test` the validation loader's crops go by the test fold's map."""
    plan, store = ran
    row = one(plan, label="cpc_finetuned", noise=0)
    job = plan.jobs[row.key]
    classifier = restore(store.load(row.fit_key), plan.jobs[row.fit_key].sources, CPU)
    signals = load_signals(ptbxl, job.cell.input, lead_set(row.lead_set), CPU, job.rows.train)
    own = job.rows
    turned = Rows(own.train, own.labelled, own.test, own.test, own.val)
    ours, theirs = (
        predict_from_classifier(
            classifier, Judged(ptbxl, row.task, rows, job.cell.input, row.lead_set), signals
        ).table.set_index("record")
        for rows in (own, turned)
    )
    exchanged = theirs.assign(part=theirs["part"].map({"val": "test", "test": "val"})).loc[ours.index]
    pd.testing.assert_frame_equal(exchanged, ours)


def test_g19_one_record_alone_is_scored_as_among_others(ran, ptbxl):
    """The published `squeeze()` breaks for a batch of one."""
    plan, store = ran
    row = one(plan, label="cpc_finetuned", noise=0)
    job = plan.jobs[row.key]
    alone = Rows(job.rows.train, job.rows.labelled, job.rows.val[:1], job.rows.val[:1], job.rows.test[-1:])
    spec = job.cell.input.model_copy(update={"window": 1000, "stride": None})
    signals = load_signals(ptbxl, spec, lead_set(row.lead_set), CPU, job.rows.train)
    classifier = restore(store.load(row.fit_key), plan.jobs[row.fit_key].sources, CPU)
    some, every = (
        predict_from_classifier(classifier, Judged(ptbxl, row.task, rows, spec, row.lead_set), signals).table
        for rows in (alone, job.rows)
    )
    assert len(some) == 2
    expected = every.set_index("record").loc[some["record"]].reset_index()
    pd.testing.assert_frame_equal(some, expected[some.columns], atol=1e-6)


@pytest.mark.parametrize("scale", ["smoke", "quick", "paper"])
def test_g22_no_suite_of_the_project_takes_the_greatest_of_a_records_crops(scale):
    """The benchmark's maximum over crops inflates probabilities."""
    for name, path in suite_files().items():
        if scale in yaml.safe_load(path.read_text())["scales"]:
            suite = load_suite(name, scale)
            specs = [suite.on(use).input for use in suite.corpora]
            assert {spec.aggregation for spec in specs} <= {"mean", "none"}
