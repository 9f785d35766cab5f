"""Lead sets, inputs and further parents of single entries: what of them reaches rows, keys, fits and embeddings."""

import io
import json

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from bench.data.leads import lead_set
from bench.report.frame import build_frame
from bench.run.execute import InlineExecutor, execute
from bench.run.registry import Registry, load_strategy
from bench.run.status import Status
from bench.run.suite import SuiteError
from bench.run.work import restore
from bench.train.inputs import load_signals
from tests.corpora import other_corpus, tiny_corpus
from tests.run.conftest import one

FOLLOWER = """
import torch
from bench.train.strategy import Field, Loss, Strategy


class Follower(Strategy):
    name, title = "follower", "Follower"
    needs = frozenset({Field.LABELS})
    parents = ("classifier",)
    embeddings_of = ("target",)
    seen = []

    def __init__(self, encoder, params, info, parents=None):
        super().__init__(encoder, params, info, parents)
        self.head = torch.nn.Linear(encoder.dim, len(info.classes))
        self.head.load_state_dict(parents["classifier"].head.state_dict())
        self.given = tuple(parents)

    def loss(self, batch, views, step):
        self.seen.append((batch.record, batch.embedding_of("target")))
        return Loss((self.encoder(views.signal) - batch.embedding_of("target")).square().mean())
"""

FOLLOWS = {
    "strategy": "follower",
    "parents": {"target": "head", "classifier": "head"},
    "parents_lead_set": "all-12",
}
FEW = {"seeds": 1, "label_fractions": [1.0]}


@pytest.fixture(scope="module")
def registry(tiny, tmp_path_factory):
    file = tmp_path_factory.mktemp("follower") / "follower.py"
    file.write_text(FOLLOWER)
    return Registry((tiny.file, file))


def test_a_fit_reads_the_embeddings_of_its_target_with_the_target_s_own_leads(tiny, registry, tmp_path):
    plan, store = tiny.plan(registry, entries=["head", FOLLOWS], **FEW), tiny.store(tmp_path)
    progress = execute(plan, store, InlineExecutor)
    assert set(progress.statuses.values()) == {Status.DONE}
    follower = plan.jobs[one(plan, label="follower").fit_key].cell
    target, classifier = (plan.jobs[follower.parents[role]].cell for role in ("target", "classifier"))
    assert (target.stage, classifier.stage) == ("embed", "fit")
    assert {target.lead_set, classifier.lead_set} == {"all-12"} and follower.lead_set == "challenge-2"
    assert target.parents["fit"] == follower.parents["classifier"]
    stored = np.load(io.BytesIO(store.read(follower.parents["target"], "embeddings.npy")))
    kind = load_strategy("follower", registry.found["follower"].source)
    assert len(kind.seen) == follower.budget.steps
    for record, read in kind.seen:
        assert torch.equal(read, torch.from_numpy(stored[record.numpy()]))


def test_a_stored_fit_with_such_parents_is_restored_without_their_embeddings(tiny, registry, tmp_path):
    plan, store = tiny.plan(registry, entries=["head", FOLLOWS], **FEW), tiny.store(tmp_path)
    execute(plan, store, InlineExecutor)
    row = one(plan, label="follower")
    fitted = restore(store.load(row.fit_key), plan.jobs[row.fit_key].sources, torch.device("cpu"))
    head = restore(
        store.load(plan.jobs[row.fit_key].cell.parents["classifier"]),
        plan.jobs[row.fit_key].sources,
        torch.device("cpu"),
    )
    assert fitted.given == ("classifier",)
    assert torch.equal(fitted.head.weight, head.head.weight)
    frame = build_frame(plan, store, resamples=20)
    steps = frame[frame["label"] == "follower"]["steps"].iloc[0]
    own, parent = (json.loads(store.read(key, "fit.json"))["steps"] for key in (row.fit_key, row.fit_key))
    assert steps == own + parent == 4


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"strategy": "follower", "parents": {"target": "head"}}, "needs `classifier: LABEL OF AN ENTRY`"),
        ({**FOLLOWS, "parents": {**FOLLOWS["parents"], "muse": "head"}}, "follower has no parent 'muse'"),
        ({"strategy": "noise", "parents": {"target": "head"}}, "noise has no parent 'target'"),
        ({"strategy": "noise", "init": "head"}, "starts from no other fit"),
    ],
)
def test_parents_that_do_not_fit_the_strategy_are_named(tiny, registry, entry, message):
    with pytest.raises(SuiteError, match=message):
        tiny.plan(registry, entries=["head", {**entry, "label": "odd"}], **FEW)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (["head", {**FOLLOWS, "parents": {"target": "nobody"}}], "starts from 'nobody', which is no entry"),
        (["head", {**FOLLOWS, "parents": {"init": "head"}}], "name the parent in role 'init' as `init`"),
        (["head", {**FOLLOWS, "parents": {"target": "follower"}}], "starts from itself"),
        ([{"strategy": "head", "input": {"scaling": "none"}}, FOLLOWS], "differ in `input`"),
        ([{"strategy": "head", "lead_sets": ["nine"]}], "no lead set 'nine'"),
        ([{"strategy": "head", "lead_sets": ["lead-II", "lead-II"]}], "lead_sets names something twice"),
        ([{"strategy": "head", "eval_lead_sets": ["all-12"]}], "'head' is not trained on more leads"),
    ],
)
def test_a_suite_that_contradicts_itself_is_refused(tiny, registry, entries, message):
    with pytest.raises(ValidationError, match=message):
        tiny.plan(registry, entries=entries, **FEW)


def test_what_stands_on_a_fit_that_saw_test_ecgs_inherits_the_mark_from_any_role(tiny, registry):
    entries = [{"strategy": "noise", "label": "leaking", "overlap": True}]
    entries.append({"strategy": "follower", "parents": {"target": "leaking", "classifier": "leaking"}})
    row = one(tiny.plan(registry, entries=entries, **FEW), label="follower")
    assert row.overlap and row.origin == "overlap"


def test_entries_have_lead_sets_of_their_own(tiny):
    own = {"strategy": "head", "lead_sets": ["all-12"], "eval_lead_sets": ["challenge-3"]}
    plan = tiny.plan(entries=["noise", own], **FEW)
    pairs = {
        label: {(r.lead_set, r.eval_lead_set) for r in plan.rows if r.label == label}
        for label in ("noise", "head")
    }
    assert pairs["noise"] == {("challenge-2", "challenge-2")}
    assert pairs["head"] == {("all-12", "all-12"), ("all-12", "challenge-3")}
    assert len({row.fit_key for row in plan.rows if row.label == "head"}) == 1


def test_leads_that_are_not_evaluated_are_zero_for_the_encoder(tiny, tmp_path):
    whole = {"lead_sets": ["all-12"], "eval_lead_sets": ["challenge-3"]}
    plan, store = tiny.plan(entries=["noise"], **FEW, **whole), tiny.store(tmp_path)
    execute(plan, store, InlineExecutor)
    row = one(plan, eval_lead_set="challenge-3")
    embed = plan.jobs[row.key].cell.parents["embed"]
    stored = np.load(io.BytesIO(store.read(embed, "embeddings.npy")))
    job = plan.jobs[row.fit_key]
    fitted = restore(store.load(row.fit_key), job.sources, torch.device("cpu"))
    signals = load_signals(
        tiny.corpus, job.cell.input, lead_set("challenge-3"), torch.device("cpu"), job.rows.train
    )
    record = torch.arange(60)
    parts = []
    for start in (0, 100):
        begin = torch.full((60,), start)
        seen = torch.zeros(60, 12, 100)
        seen[:, lead_set("challenge-3")] = signals.scaled(signals.gather(record, begin), record)
        with torch.no_grad():
            parts.append(fitted.encoder(seen))
    np.testing.assert_allclose(stored, torch.stack(parts).mean(0).numpy(), atol=1e-5)
    other = plan.jobs[one(plan, eval_lead_set="all-12").key].cell.parents["embed"]
    assert not np.allclose(stored, np.load(io.BytesIO(store.read(other, "embeddings.npy"))))


def test_an_entry_has_its_own_input_and_is_compared_on_the_same_records(tiny, tmp_path):
    plain = {"strategy": "head", "label": "plain", "input": {"scaling": "none"}}
    filtered = {"strategy": "head", "label": "filtered", "input": {"band": [1, 20]}}
    banded = tiny_corpus(tmp_path / "banded", records=60)
    prepared = {"tiny-sim@50": tiny.corpus, "tiny-sim@50/1-20 Hz": banded}
    plan = tiny.plan(prepared=prepared, entries=["head", plain, filtered], **FEW)
    cells = {row.label: plan.jobs[row.fit_key].cell for row in plan.rows}
    assert {label: cell.input.scaling for label, cell in cells.items()} == {
        "head": "zscore-lead",
        "plain": "none",
        "filtered": "zscore-lead",
    }
    assert cells["filtered"].input.band == (1, 20) and cells["head"].input.band is None
    assert len({row.fit_key for row in plan.rows}) == 3
    assert len({plan.jobs[row.key].cell.split_fingerprint for row in plan.rows}) == 1
    for row in plan.rows:
        np.testing.assert_array_equal(plan.jobs[row.key].rows.test, plan.jobs[plan.rows[0].key].rows.test)
    assert any("Input here: scaling none." in line for line in one(plan, label="plain").deviations)
    with pytest.raises(SuiteError, match=r"entry 'head': input.scaling: Input should be"):
        tiny.plan(entries=[{"strategy": "head", "input": {"scaling": "wild"}}])


def test_an_input_under_which_a_corpus_has_other_records_is_refused(tiny, tmp_path):
    filtered = {"strategy": "head", "label": "filtered", "input": {"band": [1, 20]}}
    fewer = tiny_corpus(tmp_path / "fewer", records=59)
    prepared = {"tiny-sim@50": tiny.corpus, "tiny-sim@50/1-20 Hz": fewer}
    with pytest.raises(SuiteError, match=r"entry 'filtered'.*record r059 is in one of the two only"):
        tiny.plan(prepared=prepared, entries=["head", filtered], **FEW)


def test_frames_are_for_inputs_that_merge_nothing(tiny):
    framed = {"strategy": "by_label", "fractions_by": "frames", "input": {"aggregation": "mean"}}
    own = {"rate": 50, "window": 100, "aggregation": "none"}
    with pytest.raises(ValidationError, match="fractions_by 'frames' needs|judged by other units"):
        tiny.plan(entries=[framed], input=own, **FEW)
    tiny.plan(entries=[{**framed, "input": {}}], input=own, **FEW)


def test_a_target_that_was_made_elsewhere_is_embedded_under_its_own_cleared_records(tiny, registry, tmp_path):
    where = {3: "train", 12: "train"}
    copies = {row: tiny.corpus.signals[200 * k : 200 * (k + 1)] for k, row in enumerate(where)}
    other = other_corpus(tmp_path / "other", copies=copies, moved=where)
    uses = [
        {"corpus": "tiny-sim", "task": "rhythm", "sources": ["other-sim"]},
        {"corpus": "other-sim", "task": "pace", "evaluate": False},
    ]
    prepared = {"tiny-sim@50": tiny.corpus, "other-sim@50": other}
    plan = tiny.plan(registry, prepared, entries=["head", FOLLOWS], corpora=uses, **FEW)
    row = one(plan, label="follower", source="other-sim")
    parents = plan.jobs[row.fit_key].cell.parents
    target = plan.jobs[parents["target"]]
    fit = plan.jobs[target.cell.parents["fit"]]
    assert fit.cell.trained_on  # some were left out
    np.testing.assert_array_equal(target.rows.train, fit.rows.train)
