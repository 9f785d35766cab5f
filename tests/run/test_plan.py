"""Keys depend on what a result depends on, and on nothing else."""

import shutil

import numpy as np
import pytest

from bench.data.corpus import PreparedCorpus
from bench.run.cell import FitCell
from bench.run.registry import Registry
from bench.run.suite import SuiteError


def keys(plan, label=None):
    return {row.key for row in plan.rows if label is None or row.label == label}


def test_label_free_fits_are_shared_by_all_fractions_and_labelled_ones_are_not(tiny):
    plan = tiny.plan()
    fits = {
        label: {row.fit_key for row in plan.rows if row.label == label}
        for label in ("noise", "by_label", "head")
    }
    assert {label: len(found) for label, found in fits.items()} == {"noise": 2, "by_label": 4, "head": 4}
    assert plan.stages() == {"fit": 2 + 4 + 4 + 2, "embed": 2 + 4 + 2, "predict": 16, "group": 0}
    cells = [plan.jobs[k].cell for k in fits["noise"]]
    assert all(isinstance(c, FitCell) and c.subset is None and c.task is None for c in cells)


def test_the_same_suite_gives_the_same_keys_in_any_order(tiny):
    first = tiny.plan()
    again = tiny.plan(entries=["untrained", "head", "by_label", "noise"], label_fractions=[1.0, 0.5])
    assert set(first.jobs) == set(again.jobs)


def test_keys_do_not_depend_on_where_the_corpus_lies(tiny, tmp_path):
    shutil.copytree(tiny.corpus.folder, tmp_path / "elsewhere")
    moved = tiny.plan(prepared={"tiny-sim@50": PreparedCorpus.open(tmp_path / "elsewhere")})
    assert set(moved.jobs) == set(tiny.plan().jobs)


@pytest.mark.parametrize(
    "change",
    [
        {"budget": {"steps": 3, "batch": 8}},
        {"seed": 1},
        {"lead_sets": ["all-12"]},
        {"input": {"rate": 50, "window": 100, "scaling": "minmax"}},
        {"encoder": {"name": "resnet1d18", "arguments": {"width": 5, "dim": 8}}},
        {"threads": 2},
        {"precision": "bf16"},
        {"corpora": [{"corpus": "tiny-sim", "task": "rhythm", "split": {"kind": "stratified"}}]},
    ],
)
def test_whatever_matters_changes_every_key(tiny, change):
    entries = ["noise", "by_label", "head"]
    assert not keys(tiny.plan(entries=entries)) & keys(tiny.plan(entries=entries, **change))


def test_a_control_without_training_does_not_depend_on_the_steps(tiny):
    more = tiny.plan(budget={"steps": 3, "batch": 8})
    assert keys(tiny.plan(), "untrained") == keys(more, "untrained")


def test_another_task_keeps_the_label_free_fits_alone(tiny):
    plan = tiny.plan()
    other = tiny.plan(corpora=[{"corpus": "tiny-sim", "task": "findings"}])
    fits = [
        {label: {r.fit_key for r in p.rows if r.label == label} for label in ("noise", "head")}
        for p in (plan, other)
    ]
    assert fits[0]["noise"] == fits[1]["noise"]
    assert not fits[0]["head"] & fits[1]["head"]
    assert not keys(plan) & keys(other)


def test_a_new_strategy_file_leaves_every_other_key_alone(tiny, tmp_path):
    extra = tmp_path / "newcomer.py"
    extra.write_text(
        "from bench.train.strategy import Strategy\n"
        "class Newcomer(Strategy):\n    name, title = 'newcomer', 'Newcomer'\n"
    )
    registry = Registry((tiny.file, extra))
    both = tiny.plan(registry, entries=["noise", "by_label", "head", "untrained", "newcomer"])
    assert set(tiny.plan().jobs) < set(both.jobs)


def test_a_changed_strategy_file_gets_new_keys(tiny, tmp_path):
    changed = tmp_path / "changed.py"
    changed.write_text(tiny.file.read_text().replace("0.1 * torch", "0.2 * torch"))
    assert not keys(tiny.plan(), "noise") & keys(tiny.plan(Registry((changed,))), "noise")


def test_label_free_selection_on_validation_is_keyed_by_what_it_selects_on(tiny):
    selecting = {"budget": {"steps": 2, "batch": 8, "selection": "best_val_loss"}, "entries": ["noise"]}
    other = [{"corpus": "tiny-sim", "task": "findings"}]
    fits = [{row.fit_key for row in tiny.plan(**selecting, **more).rows} for more in ({}, {"corpora": other})]
    assert not fits[0] & fits[1]


def test_a_fit_is_also_evaluated_with_parts_of_its_lead_set_and_never_with_more(tiny):
    plan = tiny.plan(
        lead_sets=["challenge-3", "challenge-2"], eval_lead_sets=["challenge-2", "lead-II"], seeds=1
    )
    pairs = {(row.lead_set, row.eval_lead_set) for row in plan.rows}
    own = {("challenge-3", "challenge-3"), ("challenge-2", "challenge-2")}
    assert pairs == own | {
        ("challenge-3", "challenge-2"),
        ("challenge-3", "lead-II"),
        ("challenge-2", "lead-II"),
    }
    for row in plan.rows:
        cell = plan.jobs[row.key].cell
        embed = plan.jobs[cell.parents["embed"]].cell if "embed" in cell.parents else cell
        assert (embed.lead_set, embed.filled_to) == (
            row.eval_lead_set,
            row.lead_set if row.lead_set != row.eval_lead_set else "",
        )
        assert plan.jobs[row.fit_key].cell.lead_set == row.lead_set
    with pytest.raises(ValueError, match="'all-12' is no part of a lead set that is trained on"):
        tiny.plan(lead_sets=["challenge-3"], eval_lead_sets=["all-12"])


def test_rows_are_patient_disjoint_and_subsets_nest(tiny):
    plan = tiny.plan(label_fractions=[0.25, 0.5, 1.0])
    patients = tiny.corpus.records["patient"].to_numpy()
    by_fraction = {}
    for job in plan.jobs.values():
        rows = job.rows
        train, val, test = (set(patients[r]) for r in (rows.train, rows.val, rows.test))
        assert not (train & val or train & test or val & test)
        assert set(rows.labelled) <= set(rows.train) and set(rows.val_subset) <= set(rows.val)
        subset = getattr(job.cell, "subset", None)
        if subset and job.cell.stage == "predict":
            by_fraction.setdefault(job.cell.seed_index, {})[subset.fraction] = set(rows.labelled)
    for drawn in by_fraction.values():
        assert drawn[0.25] < drawn[0.5] < drawn[1.0]
    assert by_fraction[0][0.25] != by_fraction[1][0.25]


def test_fractions_too_small_are_skipped_with_the_reason(tiny):
    plan = tiny.plan(label_fractions=[0.01, 1.0])
    skipped = [row for row in plan.rows if row.fraction == 0.01]
    assert skipped and all("leaves class" in row.skipped and not row.key for row in skipped)


def test_an_incompatible_strategy_is_skipped_with_its_reason(tiny):
    rows = tiny.plan(entries=["picky", "noise"]).rows
    assert {row.skipped for row in rows if row.label == "picky"} == {"needs a thirteenth lead"}
    assert all(row.key for row in rows if row.label == "noise")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"entries": ["nobody"]}, "no strategy 'nobody'"),
        ({"encoder": {"name": "vgg"}}, "no encoder 'vgg'"),
        ({"entries": [{"strategy": "noise", "recipe": "fancy"}]}, "has no recipe 'fancy'"),
        ({"entries": [{"strategy": "noise", "params": {"heat": 1}}]}, "parameter heat: Extra inputs"),
        ({"entries": ["untrained", {"strategy": "noise", "init": "untrained"}]}, "starts from no other fit"),
        ({"encoder": {"name": "resnet1d18", "arguments": {"wdth": 4}}}, "cannot be built: .*wdth"),
    ],
)
def test_what_does_not_exist_is_named(tiny, changes, message):
    with pytest.raises(SuiteError, match=message):
        tiny.plan(**changes)


def test_a_test_patient_in_training_is_refused(tiny, monkeypatch):
    from bench.data.corpus import CorpusError
    from bench.run import ground as module

    honest = module.make_split

    def leaky(records, targets, spec):
        split = honest(records, targets, spec)
        return type(split)(
            split.parts, np.union1d(split.pretrain, split.parts["test"][:1]), split.fingerprint
        )

    monkeypatch.setattr(module, "make_split", leaky)
    with pytest.raises(CorpusError, match="patient"):
        tiny.plan()


def test_rows_of_one_strategy_are_told_apart_in_tables(tiny):
    entries = [
        "noise",
        {"strategy": "noise", "label": "again"},
        {"strategy": "noise", "label": "x", "title": "Own"},
    ]
    titles = {row.label: row.strategy_title for row in tiny.plan(entries=entries).rows}
    assert titles == {"noise": "Noise", "again": "Noise (again)", "x": "Own"}
