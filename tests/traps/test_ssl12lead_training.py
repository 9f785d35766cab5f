"""The traps of the published code of Mehari and Strodthoff (1-20) and of the PTB-XL benchmark (21-26).

Where a trap's test stands elsewhere, it is named here; those that lie in how fits are scored stand in
test_ssl12lead_evaluation.

 1  The last test records are never scored:
    traps/test_ssl12lead_evaluation.py::test_g01_every_record_is_scored_by_the_mean_of_its_own_seven_windows
 2  Pre-training sees the test fold: here, and
    run/test_ground.py::test_no_fit_of_any_row_sees_a_record_that_the_row_is_tested_on
    run/test_axes.py::test_overlap_is_training_on_every_record_and_says_so
 3  A filter by name filters nothing: here, and
    run/test_ground.py::test_patients_are_known_by_id_where_corpora_contain_one_another
 4  NT-Xent keeps a share of each view's similarity to itself:
    strategies/test_simclr.py::test_the_published_self_term_against_loops
    nn/test_nt_xent.py::test_what_stays_in_the_denominator_matters_in_small_batches_only
 5  The moving average leaves out biases and statistics:
    nn/test_ema.py::test_every_tensor_follows_biases_and_buffers_too
    strategies/test_byol.py::test_the_target_follows_after_every_step
 6  Hyper-parameters that do not arrive: here, and
    run/test_suite.py::test_mistakes_are_named
 7  A schedule by epoch, whose first epoch has rate 0: here.
 8  SwAV divides by one view too many, makes one for nothing, and its sizes cannot be set: here (6), and
    strategies/test_swav.py::test_the_loss_against_an_explicit_loop
    strategies/test_swav.py::test_all_views_are_under_the_whole_chain_and_the_published_six
 9  CPC cannot be evaluated:
    traps/test_ssl12lead_evaluation.py::test_g09_cpc_is_evaluated_linearly_fine_tuned_and_under_noise_on_its_own_network
10  Noise on what is scaled otherwise, on the last epoch's weights, without a seed:
    traps/test_ssl12lead_evaluation.py::test_g10_noise_is_met_by_the_selected_weights_and_is_the_same_again
    evaluate/test_predict.py::test_what_disturbs_a_signal_is_told_what_it_shows_in_millivolts
    evaluate/test_predict.py::test_every_classifier_meets_the_same_noise_and_every_window_its_own
    evaluate/test_predict.py::test_noise_does_not_hang_on_which_windows_stand_beside_one
11  With validation and test exchanged, crops go to the wrong records:
    traps/test_ssl12lead_evaluation.py::test_g11_parts_that_are_exchanged_exchange_their_scores
12  The first view changes the signal that the second starts from:
    nn/test_transforms.py::test_the_second_view_starts_from_the_signal_and_not_from_the_first_view
    strategies/test_simclr.py::test_views_are_fresh_at_every_step_and_the_batch_is_left_alone
13  Mains noise that is none at 100 Hz:
    nn/test_noise.py::test_mains_lie_below_nyquist
    nn/test_noise.py::test_published_mains_are_an_alternation_and_a_constant_at_100_hz
14  Classes in the order of a set: here.
15  Records without a label of the task are all-zero targets: here, and
    data/test_splits.py::test_unlabelled_patients_are_split_too_for_pre_training
16  From scratch, CPC's encoder has a hundredth of the head's rate: here, and
    strategies/test_baselines.py::test_supervised_trains_everything_at_one_rate
17  A frozen encoder's batch norm adapts, and a head of two layers trains one:
    strategies/test_finetune.py::test_frozen_means_frozen_in_linear_evaluation
    strategies/test_finetune.py::test_every_layer_of_the_head_is_trained_while_it_trains_alone
18  A resumed run starts again: here, and
    strategies/test_swav.py::test_same_bits_twice_and_after_a_kill
19  The last crop is never drawn, and one record alone breaks the shapes: here, and
    traps/test_ssl12lead_evaluation.py::test_g19_one_record_alone_is_scored_as_among_others
    nn/test_transforms.py::test_random_resized_crop_chooses_every_place_alike
    nn/test_transforms.py::test_time_out_blanks_one_stretch_of_all_leads_wherever_it_fits
    data/test_splits.py::test_a_stratified_split_keeps_patients_apart_and_classes_in_proportion
20  One method's input is scaled, the other's is not: here.
21  A scaler that belongs to other data: here (20); it is part of no file, but made from the training part.
22  Crops are merged by their maximum:
    traps/test_ssl12lead_evaluation.py::test_g22_no_suite_of_the_project_takes_the_greatest_of_a_records_crops
    evaluate/test_windows.py::test_aggregation_against_a_loop
23  Zero-initialised branches are initialised anew:
    nn/encoders/test_xresnet1d50.py::test_a_block_begins_as_its_shortcut
24  No bootstrap unless asked, and unknown names let pass: here (6), and
    metrics/test_classification.py::test_resamples_keep_a_patient_s_records_together
25  Male and female exchanged in one corpus:
    data/test_ptbxl.py::test_records_by_hand
    data/test_cinc2021.py::test_comments_by_hand
26  An uncertainty that cannot be had again from what is stored:
    metrics/test_classification.py::test_resamples_repeat_with_the_generator
"""

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from bench.data.folder import FolderReader
from bench.data.leads import lead_set
from bench.data.prepare import prepare
from bench.evaluate.predict import Judged
from bench.run.registry import encoders
from bench.run.suite import load_suite, suite_files
from bench.train.checkpoint import from_bytes, to_bytes
from bench.train.fit import state_hash
from tests.traps import (
    assert_complete,
    fit_of,
    one,
    plan_of,
    rates_while_training,
    told_under_two_hash_seeds,
)
from tests.traps.ssl12lead import FEW_LEADS, entries, signal_of

NARROW = {"name": "xresnet1d50", "arguments": {"width": 4, "blocks": [1, 1, 1, 1]}}
ADAM = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "sgd": torch.optim.SGD}


@pytest.fixture(scope="module")
def smoke(ptbxl):
    """The whole suite at its smallest scale; no label fraction but one, no noise but one level."""
    small = {"projection": 8, "hidden": 16}
    params = {
        "byol": small,
        "swav": {**small, "prototypes": 16, "queue": 2, "queue_epoch": 0, "views": 2},
        "cpc": {"windows": 1},
    }
    budget = {"steps": 6, "batch": 16, "selection": "best_val_loss", "check_every": 2}
    return plan_of("ssl12lead", "smoke", ptbxl, params=params, budget=budget, **FEW_LEADS)


def test_g02_no_row_of_the_suite_rests_on_a_fit_that_saw_fold_9_or_10(smoke, ptbxl):
    """The published code pre-trains on the test fold, and CPC selects its checkpoint there."""
    fold = ptbxl.records["fold"].to_numpy()
    marked = set()
    for row in smoke.rows:
        key, seen, selected = row.fit_key, set(), set()
        while key:
            seen |= set(fold[smoke.jobs[key].rows.train])
            selected |= set(fold[smoke.jobs[key].rows.val])
            key = smoke.jobs[key].cell.parents.get("init")
        assert selected == {9}
        assert seen == set(range(1, 11)) if row.overlap else seen == set(range(1, 9))
        marked |= {row.label} if row.overlap else set()
    assert marked == {"cpc_overlap", "cpc_overlap_linear", "cpc_overlap_finetuned"}


def test_g03_test_patients_are_filtered_by_what_they_are_whatever_they_are_called(home, ptbxl):
    """The published filter drops 'PTB-XL' where the records say 'cinc_PTB-XL', and so drops nothing."""
    root = home / "cinc_PTB-XL"
    root.mkdir()
    (root / "records100").symlink_to(home / "ptbxl-sim" / "records100")
    theirs = ptbxl.records.sample(frac=1, random_state=3)
    stems = [f"records100/{int(i) // 1000:02d}000/{int(i):05d}_lr" for i in theirs["record"]]
    table = pd.DataFrame({"record": [f"cinc_PTB-XL_{i}" for i in range(len(stems))], "path": stems})
    table = table.assign(labels="seen", part="train")
    table.loc[:9, "labels"], table.loc[::12, "part"], table.loc[5::12, "part"] = "other", "val", "test"
    table.to_csv(root / "records.csv", index=False)
    everything = prepare(FolderReader(), root, home / "prepared", 100, workers=1)
    assert len(everything.records) == len(ptbxl.records) and everything.name == "cinc_PTB-XL"
    corpora = [
        {"corpus": "cinc_PTB-XL", "task": "labels", "evaluate": False},
        {"corpus": "ptbxl-sim", "task": "all", "sources": ["cinc_PTB-XL"]},
    ]
    plan = plan_of(
        "ssl12lead", "smoke", everything, ptbxl, corpora=corpora, entries=entries("simclr"), encoders={}
    )
    rows = plan.jobs[one(plan, source="cinc_PTB-XL").fit_key].rows
    seen = np.concatenate([rows.train, rows.val])
    parts = theirs["part"].to_numpy()  # in the order of the folder's records
    offered = np.flatnonzero(everything.records["part"] != "test")
    assert set(parts[offered]) == {"train", "val", "test"}
    assert sorted(seen) == [row for row in offered if parts[row] == "train"]


@pytest.mark.parametrize("scale", ["quick", "paper"])
def test_g06_every_hyper_parameter_of_the_suite_arrives(ptbxl, scale):
    """Rates, decay, warm-up, sizes that the published scripts take and never pass on."""
    written = yaml.safe_load(suite_files()["ssl12lead"].read_text())
    written |= written["scales"][scale]
    changes = {**FEW_LEADS, "seeds": 1, "label_fractions": [1.0], "noise_levels": []}
    if scale == "paper":
        corpora = [{"corpus": "ptbxl-sim", "task": "superdiagnostic"}]
        cpc = {"name": "cpc_net", "arguments": {"hidden": 4}}
        changes |= {
            "corpora": corpora,
            "encoder": NARROW,
            "encoders": dict.fromkeys(written["encoders"], cpc),
        }
    plan = plan_of("ssl12lead", scale, ptbxl, **changes)
    described = {entry.label: entry for entry in load_suite("ssl12lead", scale).entries}
    fits = {row.label: row.fit_key for row in plan.rows if row.strategy != "random_encoder"}
    assert len(fits) == len(described) - 2
    for label, key in fits.items():
        entry, fit = described[label], fit_of(plan, key)
        assert_budget(fit, {**written["budget"], **entry.budget, **written.get("budgets", {}).get(label, {})})
        told = {**fit.strategy.recipes.get(entry.recipe, {}), **written.get("params", {}).get(label, {})}
        for name, value in told.items():
            assert getattr(fit.strategy.params, name) == value
        assert_sizes(fit.strategy)
        cell = plan.jobs[key].cell
        encoder = encoders()[cell.encoder.name](fit.strategy.encoder.leads, **cell.encoder.arguments)
        shapes = [{n: p.shape for n, p in e.state_dict().items()} for e in (encoder, fit.strategy.encoder)]
        assert type(encoder) is type(fit.strategy.encoder) and shapes[0] == shapes[1]
    if scale == "quick":
        found = {label: plan.jobs[key].cell.encoder.model_dump() for label, key in fits.items()}
        assert found["simclr_finetuned"] == found["supervised"] == written["encoder"]
        assert found["cpc_finetuned"] == found["supervised_cpc"] == written["encoders"]["cpc"]


def assert_budget(fit, told):
    """What the optimiser does in its first two steps, and what the loop stops at and selects by."""
    warmup, schedule = told.get("warmup", 0), told.get("schedule", "cosine")
    assert warmup > 2 or schedule == "constant"
    expected = [told["lr"] * (min(1, (step + 1) / warmup) if warmup else 1) for step in range(2)]
    rates = rates_while_training(fit, until=2 if warmup else 1)
    assert [rate for (rate,) in rates] == pytest.approx(expected[: len(rates)])
    groups = fit.optimiser.param_groups
    assert type(fit.optimiser) is ADAM[told.get("optimiser", "adamw")]
    assert {group["weight_decay"] for group in groups if group["params"][0].ndim > 1} == {
        told.get("weight_decay", 1e-4)
    }
    assert fit.batch == min(told["batch"], len(fit.data)) and fit.budget.steps == told["steps"]
    selects = told.get("selection", "last") == "best_val_loss"
    assert (fit.budget.selection, fit.validation is not None) == (
        ("best_val_loss", True) if selects else ("last", False)
    )
    assert fit.budget.schedule == schedule and fit.budget.check_every == told.get("check_every", 20)


def assert_sizes(strategy):
    """Parameters that decide how large a network is."""
    if strategy.name == "swav":
        assert strategy.prototypes.weight.shape == (strategy.params.prototypes, strategy.params.projection)
    if strategy.name == "cpc":
        assert strategy.info.drawn[1] == strategy.params.windows * strategy.info.samples
    if strategy.name == "finetune":
        two_layers = strategy.params.head == "mlp"
        assert sum(isinstance(m, torch.nn.Linear) for m in strategy.head.modules()) == 1 + two_layers


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"budget": {"steps": 4, "batch": 16, "lr_schedule": "{CosineAnnealingLR}"}}, "lr_schedule"),
        ({"budget": {"steps": 4, "batch": 16, "warm_up": 1}}, "warm_up"),
        ({"budgets": {"byol": {"warm_up_epochs": 5}}}, "warm_up_epochs"),
        ({"budgets": {"simclr": {"weight_deacy": 1e-5}}}, "weight_deacy"),
        ({"budgets": {"bolts": {"lr": 1e-3}}}, "bolts"),
        ({"params": {"swav": {"num_prototypes": 300}}}, "num_prototypes"),
        ({"params": {"simclr_finetuned": {"bn_head": True}}}, "bn_head"),
        ({"encoder": {"name": "xresnet1d50", "arguments": {"widen": 2.0}}}, "widen"),
        ({"base_model": "xresnet1d50"}, "base_model"),
    ],
)
def test_g06_what_would_not_arrive_is_refused(ptbxl, changes, named):
    """The published scripts take unknown and misspelt options in silence."""
    with pytest.raises(ValueError, match=named):
        plan_of("ssl12lead", "smoke", ptbxl, **changes)


def test_g07_the_rate_is_above_0_at_the_first_step_and_moves_at_every_step(ptbxl):
    """BYOL's published schedule moves by epoch and trains the whole first epoch at rate 0."""
    budget = {"steps": 12, "batch": 16, "lr": 0.01, "warmup": 4}
    plan = plan_of("ssl12lead", "smoke", ptbxl, budgets={"byol": budget}, **FEW_LEADS)
    fit = fit_of(plan, one(plan, label="byol").fit_key)
    before = {name: p.detach().clone() for name, p in fit.strategy.encoder.named_parameters()}
    (first,) = rates_while_training(fit, until=1)
    assert all(
        not torch.equal(before[n], p) for n, p in fit.strategy.encoder.named_parameters() if p.ndim > 1
    )
    rates = [*first, *(rate for step in rates_while_training(fit) for rate in step)]
    rising = [0.01 * (step + 1) / 4 for step in range(4)]
    falling = [0.01 * 0.5 * (1 + math.cos(math.pi * step / 8)) for step in range(8)]
    assert rates == pytest.approx(rising + falling)
    assert min(rates) > 0 and fit.epoch == 1  # six steps an epoch


def test_g14_classes_have_one_order_whatever_the_hash_seed(home, ptbxl):
    """The published preparation takes them in the order of a set, so that no head fits another run."""
    told = told_under_two_hash_seeds(home / "ptbxl-sim", home)
    assert told[0].pop("a set in its order") != told[1].pop("a set in its order")
    assert told[0] == told[1]
    assert all(classes == sorted(classes) for classes in told[0]["classes"].values())
    assert told[0]["fingerprint"] == ptbxl.fingerprint
    assert told[0]["classes"] == {name: list(task.classes) for name, task in ptbxl.tasks.items()}


def test_g15_records_without_a_label_of_the_task_are_in_no_part_but_are_pre_trained_on(ptbxl):
    """The published CPC script keeps them as records of no class."""
    plan = plan_of(
        "ssl12lead", "smoke", ptbxl, corpora=[{"corpus": "ptbxl-sim", "task": "form"}], **FEW_LEADS
    )
    ids, fold = ptbxl.records["record"].to_numpy(), ptbxl.records["fold"].to_numpy()
    labelled = np.isin(ids, ptbxl.targets("form").index)
    assert 30 < labelled.sum() < 90
    for job in plan.jobs.values():
        rows = job.rows
        assert labelled[np.concatenate([rows.labelled, rows.val, rows.val_subset, rows.test])].all()
    free, paid = (fit_of(plan, one(plan, label=x, noise=0).fit_key) for x in ("simclr", "supervised"))
    assert sorted(free.data.record.tolist()) == np.flatnonzero(fold <= 8).tolist()
    assert sorted(paid.data.record.tolist()) == np.flatnonzero((fold <= 8) & labelled).tolist()
    assert bool((paid.data.fields.columns["labels"].sum(1) >= 1).all())
    job = plan.jobs[one(plan, label="simclr").key]
    judged = Judged(ptbxl, "form", job.rows, job.cell.input, "challenge-2")
    assert (judged.targets()[job.rows.test].sum(1) >= 1).all()


def test_g16_from_scratch_the_cpc_network_trains_at_one_rate(smoke):
    """The published script gives its encoder a hundredth of the head's unless told otherwise."""
    fit = fit_of(smoke, one(smoke, label="supervised_cpc", noise=0).fit_key)
    strategy, lr = fit.strategy, fit.budget.lr
    groups = [*strategy.encoder.groups(), list(strategy.head.parameters())]
    before = [[p.detach().clone() for p in group] for group in groups]
    assert rates_while_training(fit, until=1) == [{lr}]
    for old, new in zip(before, groups, strict=True):  # Adam's first step is the rate itself
        moved = max(float((a - b.detach()).abs().max()) for a, b in zip(old, new, strict=True))
        assert moved == pytest.approx(lr, rel=0.1)


@pytest.mark.parametrize("label", ["simclr", "byol", "swav", "cpc", "cpc_finetuned"])
def test_g18_a_resumed_fit_goes_on_where_it_stopped(smoke, label):
    """The published scripts load the checkpoint, drop it, and train from the start."""
    key = one(smoke, label=label, noise=0).fit_key
    whole = fit_of(smoke, key).run()
    stopped = fit_of(smoke, key).run(until=3)
    resumed = fit_of(smoke, key).restore(from_bytes(to_bytes(stopped.state())))
    assert state_hash(resumed.strategy) == state_hash(stopped.strategy)
    assert state_hash(resumed.strategy) != state_hash(fit_of(smoke, key).strategy)
    assert len(rates_while_training(resumed)) == 3
    assert state_hash(resumed.strategy) == state_hash(whole.strategy)
    assert (resumed.health, resumed.selection.step) == (whole.health, whole.selection.step)
    if label == "swav":
        assert bool(whole.strategy.queue.full)


def test_g19_the_last_crop_of_a_record_is_drawn_too(ptbxl):
    """The published crop begins anywhere but at the last place where it fits."""
    spec = {"rate": 100, "window": 999, "scaling": "none"}
    plan = plan_of(
        "ssl12lead", "smoke", ptbxl, input=spec, entries=entries("simclr"), encoders={}, **FEW_LEADS
    )
    fit = fit_of(plan, one(plan).fit_key)
    index, generator = torch.zeros(40, dtype=torch.int64), torch.Generator().manual_seed(0)
    found = fit.data.draw(index, generator).signal
    whole = torch.tensor(signal_of(ptbxl, int(fit.data.record[0]), lead_set("challenge-2")).T).float()
    starts = [[torch.allclose(crop, whole[:, s : s + 999]) for s in (0, 1)] for crop in found]
    assert all(sum(start) == 1 for start in starts)
    assert 10 < sum(last for _, last in starts) < 30


def test_g20_every_row_of_the_suite_sees_the_same_scaled_signals(smoke, ptbxl):
    """The published xresnets see millivolts and CPC sees z-scores, so that comparisons mix method and scaling."""
    train = np.flatnonzero(ptbxl.records["fold"] <= 8)
    for job in smoke.jobs.values():
        assert job.cell.input == smoke.suites[0].input
        np.testing.assert_array_equal(job.rows.statistics, train)  # of the leaking rows too
    assert smoke.suites[0].input.scaling == "zscore-global"
    seen = {}
    for label in ("supervised", "supervised_cpc"):
        fit, seen[label] = fit_of(smoke, one(smoke, label=label, noise=0).fit_key), []
        fit.strategy.encoder.register_forward_pre_hook(lambda _, inputs, to=seen[label]: to.append(inputs[0]))
        fit.run(until=2)
    assert all(torch.equal(*pair) for pair in zip(seen["supervised"], seen["supervised_cpc"], strict=True))
    leads = lead_set("challenge-2")
    signal = np.concatenate([signal_of(ptbxl, row, leads) for row in train])
    whole = fit.data.signals.scaled(
        fit.data.signals.gather(torch.arange(4), torch.zeros(4).long()), torch.arange(4)
    )
    by_hand = [(signal_of(ptbxl, row, leads)[:250] - signal.mean()) / signal.std() for row in range(4)]
    np.testing.assert_allclose(whole.transpose(1, 2), by_hand, atol=1e-3)


def test_every_trap_is_listed_and_every_test_that_the_list_names_is_there():
    assert_complete(__doc__, __file__, 26)
    beside = Path(__file__).with_name("test_ssl12lead_evaluation.py")
    scored = re.findall(r"^def (test_g\w+)", beside.read_text(), re.MULTILINE)
    assert scored and all(f"traps/{beside.name}::{name}\n" in __doc__ for name in scored)
