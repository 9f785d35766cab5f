"""The budgets of CLOCS and of Mehari and Strodthoff at scale `paper` are the published ones, written out here."""

import pytest

from bench.run.suite import budget_of, load_suite

SSL = load_suite("ssl12lead", "paper")
CLOCS = load_suite("clocs", "paper")

STEPS_AN_EPOCH = 17_418 // 128  # records of folds 1 to 8, drop_last
XRESNET = {"batch": 128, "optimiser": "adamw", "weight_decay": 0.1, "schedule": "constant", "warmup": 0}
LONG = {"steps": 22_000, "batch": 4096, "optimiser": "adam", "schedule": "cosine", "selection": "last"}
CPC = {"optimiser": "adamw", "weight_decay": 1e-3, "schedule": "constant", "warmup": 0}

PUBLISHED = {
    "simclr": {**LONG, "lr": 2.29e-3, "weight_decay": 1e-6, "warmup": 11},
    "byol": {**LONG, "lr": 2.29e-3, "weight_decay": 1e-5, "warmup": 110},
    "swav": {**LONG, "lr": 1e-3, "weight_decay": 1e-6, "warmup": 110},
    "cpc": {**CPC, "steps": 1000 * (17_418 // 32), "batch": 32, "lr": 1e-4},
    "simclr_linear": {**XRESNET, "steps": 50 * STEPS_AN_EPOCH, "lr": 8e-3 * 128 / 256},
    "simclr_finetuned_plain": {**XRESNET, "steps": 50 * STEPS_AN_EPOCH, "lr": 0.01},
    "simclr_finetuned": {**XRESNET, "steps": 100 * STEPS_AN_EPOCH, "lr": 8e-3 * 128 / 256},
    "supervised": {**XRESNET, "steps": 50 * STEPS_AN_EPOCH, "lr": 0.01},
    "cpc_linear": {**CPC, "steps": 50 * STEPS_AN_EPOCH, "batch": 128, "lr": 1e-3},
    "cpc_finetuned": {**CPC, "steps": 70 * STEPS_AN_EPOCH, "batch": 128, "lr": 1e-3},
    "supervised_cpc": {**CPC, "batch": 128, "lr": 1e-3},
}
ALIKE = {
    "simclr_linear": ("byol_linear", "swav_linear", "random_linear"),
    "simclr_finetuned": ("byol_finetuned", "swav_finetuned"),
    "simclr_finetuned_plain": ("byol_finetuned_plain",),
    "cpc": ("cpc_overlap",),
    "cpc_linear": ("cpc_overlap_linear", "random_linear_cpc"),
    "cpc_finetuned": ("cpc_overlap_finetuned",),
}


@pytest.mark.parametrize("label", PUBLISHED)
def test_every_row_of_mehari_and_strodthoff_may_spend_what_was_published(label):
    entries = {entry.label: entry for entry in SSL.entries}
    for name in (label, *ALIKE.get(label, ())):
        budget = budget_of(SSL, entries[name]).model_dump()
        assert {key: budget[key] for key in PUBLISHED[label]} == pytest.approx(PUBLISHED[label]), name


def test_every_row_of_the_suite_is_among_them():
    named = {*PUBLISHED, *(label for others in ALIKE.values() for label in others)}
    assert {entry.label for entry in SSL.entries} - named == {"random_encoder", "random_encoder_cpc"}


def test_its_input_and_its_seeds():
    spec = SSL.input
    assert (spec.rate, spec.window, spec.stride, spec.crop, spec.aggregation) == (
        100,
        250,
        125,
        "random",
        "mean",
    )
    assert SSL.seeds == 10
    assert [fraction * 8 for fraction in SSL.label_fractions[2:]] == list(range(1, 9))


def test_every_row_of_clocs_has_one_budget():
    wanted = {
        "batch": 256,
        "optimiser": "adam",
        "lr": 1e-4,
        "weight_decay": 0,
        "schedule": "constant",
        "patience": 15,
    }
    wanted["selection"] = "best_val_loss"
    for entry in CLOCS.entries:
        budget = budget_of(CLOCS, entry).model_dump()
        assert {key: budget[key] for key in wanted} == wanted, entry.label
    spec = CLOCS.input
    assert (spec.rate, spec.window, spec.instance, spec.scaling) == (500, 2500, "lead", "minmax-view")
    assert (spec.crop, spec.aggregation) == ("random", "none")
    assert CLOCS.lead_sets == ("clocs-4", "all-12")
    assert [variant["dim"] for variant in CLOCS.encoder_variants] == [32, 64, 128, 256]
    assert (CLOCS.seeds, CLOCS.label_fractions) == (5, (0.25, 0.5, 0.75, 1.0))
