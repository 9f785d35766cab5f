"""Groupings in a plan: cells, keys, what is refused; settings of one corpus or one entry."""

import json
from types import SimpleNamespace

import pytest

from bench.run.cell import FitCell, GroupCell
from bench.run.execute import InlineExecutor, execute
from bench.run.planned import Plan
from bench.run.registry import Registry
from bench.run.suite import CorpusUse, Suite, SuiteError, load_suite, suite_files
from tests.run.conftest import BASE

STRATEGIES = """
import torch
from bench.train.strategy import Field, Params, Prototypes, Strategy
from typing import Literal


class FourPoints(Prototypes, Strategy):
    name, title = "four_points", "Four points"
    grouping = True
    needs = frozenset({Field.LABELS, Field.DEMOGRAPHICS})

    def __init__(self, encoder, params, info, parents=None):
        super().__init__(encoder, params, info, parents)
        self.points = torch.nn.Parameter(torch.randn(len(info.grid().sets()), encoder.dim))

    def prototypes(self):
        return self.points.detach()

    def attributes(self):
        return self.info.grid().sets()


class Counter(Strategy):
    name, title = "counter", "Counter"
    grouping = True
    per_instance = True

    class Params(Params):
        attribute: Literal["class", "sex", "age"] = "class"


class Table(Strategy):
    name, title = "table", "A table"
    readout = "boosting"
    trained = False
"""

GROUPED = {"scores": False, "groupings": ["kmeans", "means"], "label_fractions": [0.5, 1.0], "seeds": 1}


@pytest.fixture(scope="module")
def grouped(tiny, tmp_path_factory):
    file = tmp_path_factory.mktemp("grouped") / "grouping.py"
    file.write_text(STRATEGIES)
    registry = Registry((tiny.file, file))

    def plan(**changes) -> Plan:
        return tiny.plan(registry=registry, **{**GROUPED, "entries": ["noise"], **changes})

    return SimpleNamespace(plan=plan, corpus=tiny.corpus, store=tiny.store)


def cells(plan, kind):
    return [job.cell for job in plan.jobs.values() if isinstance(job.cell, kind)]


def test_groupings_are_made_at_the_largest_fraction_alone_and_share_an_embedding(grouped):
    plan = grouped.plan()
    assert plan.stages() == {"fit": 1, "embed": 1, "predict": 0, "group": 2}
    assert {(row.grouping, row.fraction) for row in plan.rows} == {("kmeans", 1.0), ("means", 1.0)}
    assert {c.subset.fraction for c in cells(plan, GroupCell)} == {1.0}


def test_scores_and_groupings_share_the_fit_and_the_embedding(grouped):
    plan = grouped.plan(scores=True)
    assert plan.stages() == {"fit": 1, "embed": 1, "predict": 2, "group": 2}
    assert [row.grouping for row in plan.rows] == ["", "", "kmeans", "means"]


def test_own_groups_rest_on_the_fit_itself(grouped):
    plan = grouped.plan(entries=[{"strategy": "four_points", "groupings": ["own"]}])
    (cell,) = cells(plan, GroupCell)
    assert set(cell.parents) == {"embed", "fit"}
    (fit,) = cells(plan, FitCell)
    assert fit.counts == (2, 2, 4) and fit.edges == cell.edges and len(fit.edges) == 3


def test_a_strategy_is_told_of_age_bins_only_where_it_pays_for_demographics(grouped):
    (fit,) = cells(grouped.plan(entries=[{"strategy": "counter"}]), FitCell)
    assert fit.counts == (2, 2, 4) and fit.edges is None
    (plain,) = cells(grouped.plan(), FitCell)
    assert plain.counts is None and plain.edges is None


def test_an_attribute_of_its_own_is_all_that_is_judged(grouped):
    entry = {"strategy": "counter", "label": "by_sex", "params": {"attribute": "sex"}}
    plan = grouped.plan(entries=[entry])
    assert {row.attributes for row in plan.rows} == {("sex",)}
    assert {cell.attributes for cell in cells(plan, GroupCell)} == {("sex",)}


def test_own_groups_of_a_strategy_without_any_are_refused(grouped):
    with pytest.raises(SuiteError, match="no groups of its own"):
        grouped.plan(groupings=["own"])


def test_pseudo_labels_cannot_select_a_checkpoint(grouped):
    chosen = {"steps": 2, "batch": 8, "selection": "best_val_loss", "check_every": 1}
    with pytest.raises(SuiteError, match="no loss of validation records; set selection: last"):
        grouped.plan(entries=["counter"], budget=chosen)
    grouped.plan(entries=[{"strategy": "counter", "budget": {"selection": "last"}}], budget=chosen)


def test_tables_with_gaps_are_not_grouped_and_it_says_why(grouped):
    plan = grouped.plan(entries=["table"])
    assert not plan.jobs
    assert {row.skipped for row in plan.rows} == {
        "what it gives the read-out is a table with gaps, not an embedding to group"
    }


def test_frames_are_drawn_only_where_each_is_judged_by_itself():
    spec = {"rate": 50, "window": 100}
    with pytest.raises(ValueError, match="aggregation 'none'"):
        Suite.model_validate(BASE | {"input": spec, "fractions_by": "frames"})
    judged = Suite.model_validate(BASE | {"input": spec | {"aggregation": "none"}, "fractions_by": "frames"})
    assert judged.fractions_by == "frames"


def test_a_corpus_has_settings_of_its_own(grouped):
    use = {
        "corpus": "tiny-sim",
        "task": "rhythm",
        "input": {"rate": 50, "window": 80},
        "encoder": {"name": "resnet1d18", "arguments": {"width": 4, "dim": 16}},
        "budget": {"steps": 3},
    }
    (fit,) = cells(grouped.plan(corpora=[use]), FitCell)
    assert (fit.input.window, fit.encoder.arguments["dim"], fit.budget.steps, fit.budget.batch) == (
        80,
        16,
        3,
        8,
    )
    with pytest.raises(SuiteError, match=r"budget of corpus 'tiny-sim': batch"):
        grouped.plan(corpora=[{**use, "budget": {"batch": 1}}])


def test_an_entry_overrides_arguments_of_the_encoder(grouped):
    entries = ["noise", {"strategy": "noise", "label": "wide", "encoder": {"dim": 24}}]
    plan = grouped.plan(entries=entries)
    assert sorted(fit.encoder.arguments["dim"] for fit in cells(plan, FitCell)) == [8, 24]
    assert all(fit.encoder.arguments["width"] == 4 for fit in cells(plan, FitCell))


def test_an_encoder_of_another_length_is_refused_when_planning(grouped):
    encoder = {"name": "net_s", "arguments": {"samples": 400}}
    with pytest.raises(SuiteError, match=r"built for 400 samples, instances have 100; .*`samples: 100`"):
        grouped.plan(encoder=encoder)


def test_group_cells_run_and_repeat_themselves(grouped, tmp_path):
    entries = ["noise", {"strategy": "four_points", "groupings": ["own", "means"]}]
    spec = {"rate": 50, "window": 100, "aggregation": "none"}
    plan = grouped.plan(entries=entries, input=spec)
    stores = [grouped.store(tmp_path / name) for name in ("a", "b")]
    for store in stores:
        progress = execute(plan, store, InlineExecutor)
        assert not progress.errors
    for key, job in plan.jobs.items():
        if isinstance(job.cell, GroupCell):
            files = [store.load(key) for store in stores]
            assert set(files[0]) >= {"assignments.parquet", "grouping.json"}
            for name in set(files[0]) - {"provenance.json"}:
                assert files[0][name] == files[1][name], name
            described = json.loads(files[0]["grouping.json"])
            assert described["values"]["class"] == ["slow", "fast"]
            ranked = job.cell.grouping != "kmeans"
            assert ("rankings.parquet" in files[0]) == ranked == (described["stands"] is not None)


def test_an_encoder_that_diverged_fails_its_groups_and_nothing_else(grouped, tmp_path):
    far = {"steps": 2, "batch": 8, "lr": 1e30, "optimiser": "sgd", "schedule": "constant"}
    entries = ["noise", {"strategy": "noise", "label": "lost", "budget": far}]
    plan = grouped.plan(entries=entries)
    progress = execute(plan, grouped.store(tmp_path), InlineExecutor)
    failed = {row.label for row in plan.rows if row.key in progress.errors}
    assert failed == {"lost"}
    assert any("diverged" in line or "lower the learning rate" in line for line in progress.errors.values())


def test_nobody_with_class_sex_and_age_leaves_no_set_to_average(grouped, monkeypatch):
    records = grouped.corpus.records
    monkeypatch.setitem(records, "sex", "")
    plan = grouped.plan()
    skipped = {row.grouping: row.skipped for row in plan.rows}
    assert skipped["kmeans"] == ""
    assert "no labelled training record has a class, a sex and an age" in skipped["means"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"strategy": "noise", "groupings": ["kmeans", "kmeans"]}, "groupings names something twice"),
        ({"strategy": "noise", "fractions": [1.5]}, r"label fraction 1.5 is not in \(0, 1\]"),
        ({"strategy": "noise", "fractions": [0.5, 0.5]}, "named twice"),
    ],
)
def test_mistakes_in_an_entry_are_one_line(entry, message):
    with pytest.raises(ValueError, match=message):
        Suite.model_validate(BASE | {"entries": [entry]})


def test_an_encoder_that_cannot_be_built_is_one_line(grouped):
    with pytest.raises(SuiteError, match="cannot be built"):
        grouped.plan(entries=[{"strategy": "noise", "encoder": {"dim": -3}}])


def test_a_parameter_that_happens_to_be_called_attribute_means_nothing(grouped):
    from bench.train.strategy import GROUPED as ALL
    from bench.train.strategy import Strategy

    assert Strategy.seeks(SimpleNamespace(attribute="QRSDuration")) == ALL
    assert Strategy.seeks(SimpleNamespace(attribute="age")) == ("age",)


def test_every_suite_file_loads_at_every_scale():
    for name in suite_files():
        for scale in ("smoke", "quick", "paper"):
            suite = load_suite(name, scale)
            for use in suite.corpora:
                assert isinstance(use, CorpusUse)
                suite.on(use)
