"""A checkpoint from outside on the board: its embedding is its network's own, and its row says what it has seen."""

import hashlib
import inspect
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner

from bench.cli import main
from bench.data.leads import LEADS
from bench.data.splits import SplitSpec
from bench.run.contract.check import check_named
from bench.run.errors import UserError
from bench.run.execute import InlineExecutor, execute
from bench.run.exposure import exposure, seen
from bench.run.registry import Registry, Source, code_hash
from bench.run.scaffold import write_adapter
from bench.run.store import Store
from bench.run.suite import Entry, SuiteError
from bench.session import Options, Session
from bench.train.external import FromCheckpoint, resample
from bench.train.strategy import Field, Strategy
from tests.run.conftest import one, pick

ADAPTER = '''
"""A network from outside."""
from torch import nn

from bench.train.strategy import External, Field


class Outside(External):
    name, title = "outside", "Outside"
    checkpoint = "weights/outside.pt"
    sha256 = "{sha256}"
    trained_on = {trained_on}
    trained_with = frozenset({{Field.LABELS}})
    rate = {rate}
    leads = {leads}
    scaling = "none"

    def build(self):
        return nn.Sequential(nn.Conv1d(len(self.leads), 6, 9, stride=2), nn.BatchNorm1d(6), nn.ReLU())

    @classmethod
    def state(cls, content):
        return content["model"]

    @classmethod
    def features(cls, network, signal):
        return network(signal).mean(-1)
'''
FINETUNED = {"strategy": "finetune", "label": "tuned", "init": "outside", "input": {"scaling": "none"}}


def network(leads):
    """The network as its authors have it, with weights that no seed of the harness gives."""
    torch.manual_seed(1234)
    layers = torch.nn.Sequential(
        torch.nn.Conv1d(leads, 6, 9, stride=2), torch.nn.BatchNorm1d(6), torch.nn.ReLU()
    )
    layers[1].running_mean.fill_(0.05)
    return layers.eval()


def write(folder, trained_on=("mimic-iv-ecg",), rate=50, leads=("V2", "II"), text=ADAPTER):
    """The adapter with its checkpoint beside it."""
    path = folder / "weights" / "outside.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"epoch": 9, "model": network(len(leads)).state_dict()}, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    file = folder / "outside.py"
    file.write_text(text.format(sha256=digest, trained_on=trained_on, rate=rate, leads=leads))
    return file


def tiny_plan(tiny, file, **changes):
    row = {"strategy": "outside", "input": {"scaling": "none"}}
    changes = {"entries": [row], "lead_sets": ["all-12"], "seeds": 1, **changes}
    return tiny.plan(Registry((file,)), **changes)


def own_features(corpus, leads):
    """(R, 6) what the network itself says of each record: the mean over its two windows of 100 samples."""
    rows = []
    for start, length in zip(corpus.records["offset"], corpus.records["length"], strict=True):
        signal = torch.tensor(corpus.signals[start : start + length].T / 1e3, dtype=torch.float32)
        windows = signal[[LEADS.index(lead) for lead in leads]].split(100, dim=1)
        with torch.no_grad():
            rows.append(torch.stack([network(len(leads))(w[None]).mean(-1)[0] for w in windows]).mean(0))
    return torch.stack(rows).numpy()


def test_the_embedding_is_the_networks_own(tiny, tmp_path):
    plan, store = tiny_plan(tiny, write(tmp_path)), Store(tmp_path / "store")
    assert not execute(plan, store, InlineExecutor).errors
    key = next(key for key, job in plan.jobs.items() if job.cell.stage == "embed")
    found = np.load(store.folder(key) / "embeddings.npy")
    np.testing.assert_allclose(found, own_features(tiny.corpus, ("V2", "II")), rtol=1e-4, atol=1e-5)
    fit = store.read_json(one(plan, fraction=1.0).fit_key, "fit.json")
    count = sum(p.numel() for p in network(2).parameters())
    assert fit["steps"] == 0 and fit["parameters"] == {"encoder": count, "all": count}


def test_leads_that_are_not_shown_are_zero_and_leads_that_are_not_there_skip_the_row(tiny, tmp_path):
    file, sets = write(tmp_path), {"eval_lead_sets": ["challenge-2"]}
    plan, store = tiny_plan(tiny, file, **sets), Store(tmp_path / "store")
    assert not execute(plan, store, InlineExecutor).errors
    shown = one(plan, fraction=1.0, eval_lead_set="challenge-2")
    key = plan.jobs[shown.key].cell.parents["embed"]
    flat = tiny.corpus.signals.copy()
    flat[:, [i for i, lead in enumerate(LEADS) if lead not in ("I", "II")]] = 0
    blind = type("Blind", (), {"records": tiny.corpus.records, "signals": flat})
    expected = own_features(blind, ("V2", "II"))
    found = np.load(store.folder(key) / "embeddings.npy")
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    reasons = {row.skipped for row in tiny_plan(tiny, file, lead_sets=["challenge-2"]).rows}
    assert len(reasons) == 1 and min(reasons).startswith("the network wants V2, which the lead set lacks")


def test_it_can_be_fine_tuned_and_the_row_inherits_what_it_has_seen(tiny, tmp_path):
    file = write(tmp_path, trained_on=("Tiny-Sim",))
    entries = [{"strategy": "outside", "input": {"scaling": "none"}}, FINETUNED]
    plan, store = tiny_plan(tiny, file, entries=entries), Store(tmp_path / "store")
    assert not execute(plan, store, InlineExecutor).errors
    row = one(plan, label="tuned", fraction=1.0)
    state = torch.load(store.folder(row.fit_key) / "state.pt", weights_only=True)
    name, before = "init.encoder.network.0.weight", network(2).state_dict()["0.weight"]
    assert state[name].shape == before.shape and not torch.equal(state[name], before)
    assert (state[name] - before).abs().max() < 0.1
    assert {(r.origin, r.overlap) for r in plan.rows} == {("overlap", True)}
    assert row.strategy_title == "Fine-tuned (tuned), from Tiny-Sim, saw test ECGs"


@pytest.mark.parametrize(
    ("trained_on", "origin", "told"),
    [
        (("mimic-iv-ecg", "cinc2021"), "transfer", "said to have seen mimic-iv-ecg, cinc2021."),
        ((), "baseline", "said to have seen no ECG."),
        (("tiny_sim",), "overlap", "said to have seen tiny_sim: tiny-sim's validation and test ECGs too."),
    ],
)
def test_a_row_says_what_it_has_seen_and_is_not_ranked(tiny, tmp_path, trained_on, origin, told):
    plan = tiny_plan(tiny, write(tmp_path, trained_on=trained_on))
    row = plan.rows[0]
    assert {r.origin for r in plan.rows} == {origin} and row.overlap == (origin == "overlap")
    assert row.needs == ("labels",) and row.own_encoder == "external" and row.source == ""
    assert any(line.endswith(told) for line in row.deviations)
    from_ = f", from {', '.join(trained_on)}" if trained_on else ""
    assert row.strategy_title == f"Outside{from_}{', saw test ECGs' if row.overlap else ''}"


OFFICIAL, DRAWN = SplitSpec(kind="official"), SplitSpec(kind="stratified")


@pytest.mark.parametrize(
    ("trained_on", "parts", "corpus", "split", "mark"),
    [
        ((), {}, "ptbxl", OFFICIAL, "none"),
        (("mimic-iv-ecg", "code-15"), {}, "ptbxl", OFFICIAL, "other"),
        (("ptbxl",), {}, "chapman", OFFICIAL, "other"),
        (("ptb",), {}, "ptbxl", OFFICIAL, "other"),
        (("PTB-XL",), {}, "ptbxl", OFFICIAL, "all"),
        (("mimic-iv-ecg", "PhysioNet 2021"), {}, "ptbxl", OFFICIAL, "all"),
        (("cinc2021",), {}, "cpsc", OFFICIAL, "all"),
        (("CPSC 2018",), {}, "cinc2021", DRAWN, "all"),
        (("challenge2020",), {}, "chapman", OFFICIAL, "other"),
        (("challenge2020",), {}, "ptbxl", OFFICIAL, "all"),
        (("ecg-arrhythmia",), {}, "chapman", OFFICIAL, "all"),
        (("ecg-arrhythmia",), {}, "ptbxl", OFFICIAL, "other"),
        (("ptbxl", "cinc2021"), {}, "ptbxl-sim", OFFICIAL, "other"),
        (("ptbxl-sim",), {}, "ptbxl", OFFICIAL, "other"),
        (("ptbxl",), {"ptbxl": "train"}, "ptbxl", OFFICIAL, "train"),
        (("ptbxl",), {"ptbxl": "train"}, "ptbxl", DRAWN, "all"),
        (("ptbxl",), {"ptbxl": "train"}, "cinc2021", OFFICIAL, "all"),
        (("ptbxl", "cinc2021"), {"ptbxl": "train"}, "ptbxl", OFFICIAL, "all"),
        (("cinc2021",), {"cinc2021": "train"}, "ptbxl", OFFICIAL, "all"),
        (("ptbxl", "code"), {"ptbxl": "train"}, "ptbxl", OFFICIAL, "train"),
    ],
)
def test_corpora_that_hold_one_another_are_known(trained_on, parts, corpus, split, mark):
    kind = type("Any", (FromCheckpoint,), {"trained_on": trained_on, "trained_on_parts": parts})
    assert seen(kind, corpus, split) == mark


def test_of_several_checkpoints_the_worst_counts():
    kinds = {
        name: type(name, (FromCheckpoint,), {"trained_on": corpora, "trained_with": frozenset(paid)})
        for name, corpora, paid in (
            ("far", ("code",), ()),
            ("near", ("cinc2021",), (Field.LABELS,)),
            ("new", (), ()),
        )
    }
    kinds["own"] = Strategy
    registry = SimpleNamespace(get=lambda name: SimpleNamespace(strategy=kinds[name]))
    entries = {name: Entry(strategy=name, label=name) for name in kinds}

    def known(*parents):
        entry = Entry(strategy="own", label="it", parents={f"role{name}": name for name in parents})
        return exposure(entry, entries, registry, "ptbxl", OFFICIAL)

    assert known("own") is None
    assert (known("new").origin, known("new", "far").origin) == ("baseline", "transfer")
    for order in (("far", "near", "new"), ("near", "far")):
        worst = known(*order)
        assert worst.overlap and worst.origin == "overlap" and worst.paid_for == {Field.LABELS}
        assert set(worst.corpora) == {"code", "cinc2021"} and len(worst.told) == len(order)


def test_a_suites_row_must_have_the_input_that_the_network_wants(tiny, tmp_path):
    with pytest.raises(SuiteError, match=r"entry 'outside': .* add `input: \{scaling: none\}`"):
        tiny_plan(tiny, write(tmp_path), entries=["outside"])


def test_the_weights_and_the_file_make_the_key_but_not_their_place_or_what_they_have_seen(tiny, tmp_path):
    def key(place, **changes):
        return tiny_plan(tiny, write(tmp_path / place, **changes)).rows[0].fit_key

    here = key("here")
    assert key("there") == here == key("here", trained_on=("code",)) != key("here", rate=25)
    text = (tmp_path / "here" / "outside.py").read_text()
    moved = text.replace("weights/outside.pt", "outside.pt")
    hashes = [
        code_hash(source=Source("outside.py", t))
        for t in (text, moved, text.replace('sha256 = "', 'sha256 = "f'))
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def test_two_adapters_of_one_text_have_each_their_own_checkpoint(tmp_path):
    found = [Registry((write(tmp_path / place),)).get("outside") for place in ("a", "b")]
    assert found[0].source.text == found[1].source.text
    assert [inspect.getfile(one.strategy) for one in found] == [
        str(tmp_path / x / "outside.py") for x in "ab"
    ]


def test_check_proves_an_adapter_and_names_what_does_not_fit(tmp_path):
    checks = {check.name: check for check in check_named(str(write(tmp_path)))}
    assert all(check.ok for check in checks.values())
    assert set(checks) == {"declared", "ledger", "embedding", "groups", "stored"}
    assert checks["embedding"].detail == "embed 6 wide"
    other = write(
        tmp_path, text=ADAPTER.replace("Conv1d(len(self.leads), 6, 9", "Conv1d(len(self.leads), 6, 7")
    )
    (failed,) = [check for check in check_named(str(other)) if not check.ok]
    assert failed.name == "embedding" and failed.detail == (
        "CheckpointError: checkpoint outside.pt does not fit the network:"
        " other shapes: 0.weight (6, 2, 9), not (6, 2, 7)"
    )
    (missing,) = check_named(str(write(tmp_path, text=ADAPTER.replace("    rate = {rate}\n", ""))))
    assert (missing.name, missing.ok) == ("imports", False) and "needs `rate`" in missing.detail


def test_a_checkpoint_that_is_gone_fails_its_cell_in_one_line(tiny, tmp_path):
    plan, store = tiny_plan(tiny, write(tmp_path)), Store(tmp_path / "store")
    (tmp_path / "weights" / "outside.pt").unlink()
    (error,) = {line for line in execute(plan, store, InlineExecutor).errors.values() if "Checkpoint" in line}
    assert "outside.pt: No such file" in error and "\n" not in error


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    """The command as a user runs it: an adapter of another rate on the board at scale smoke."""
    folder = tmp_path_factory.mktemp("outside")
    file = write(folder, rate=250, trained_on=("mimic-iv-ecg",))
    places = {name: folder / name for name in ("cache", "store", "results")}
    options = [*("--scale", "smoke", "--records", "150", "--executor", "inline"), "--strategy", str(file)]
    options += [str(x) for name, path in places.items() for x in (f"--{name}", path)]
    done = CliRunner().invoke(main, ["run", "board", "--strategy", "random_encoder", *options])
    assert done.exit_code == 0, done.output
    return file, places


def test_on_the_board_it_stands_apart_with_its_input_and_deviation(board):
    _, places = board
    table = pd.read_csv(next(places["results"].rglob("board.csv")))
    row = table[table["label"] == "outside"].iloc[0]
    assert (row["origin"], row["paid_for"], row["own_encoder"]) == ("transfer", "labels", "external")
    assert 0 <= row["macro_auroc"] <= 1 and np.isnan(row["rank"])
    text = next(places["results"].rglob("board.md")).read_text()
    lines = [line.split(" | ")[0].strip("| *") for line in text.splitlines() if line.startswith("|")]
    after = dict(pairwise(line.strip() for line in lines))
    assert after["pre-trained on another corpus (not ranked)"] == "Outside, from mimic-iv-ecg"
    assert "Outside, from mimic-iv-ecg: scaling none" in text
    methods = next(places["results"].rglob("methods.md")).read_text()
    assert "A checkpoint from outside, not trained here" in methods


def test_its_embedding_on_the_board_is_the_networks_at_its_own_rate(board):
    file, places = board
    paths = {name: places[name] for name in ("store", "results", "cache")}
    options = Options(("board",), "smoke", strategies=(str(file),), records=150, device="cpu", **paths)
    session = Session(options, lambda what, done, total: None)
    plan = session.plan()
    (key,) = {plan.jobs[row.key].cell.parents["embed"] for row in pick(plan, label="outside", grouping="")}
    found = np.load(session.store.folder(key) / "embeddings.npy")
    corpus = next(iter(plan.corpora.values()))
    window = torch.tensor(corpus.signals[:500, [7, 1]].T / 1e3, dtype=torch.float32)[None]
    second = torch.tensor(corpus.signals[500:1000, [7, 1]].T / 1e3, dtype=torch.float32)[None]
    with torch.no_grad():
        own = [network(2)(resample(shown, 100, 250)).mean(-1)[0] for shown in (window, second)]
    assert corpus.records["length"].iloc[0] == 1000
    np.testing.assert_allclose(found[0], torch.stack(own).mean(0).numpy(), rtol=1e-4, atol=1e-5)


def test_list_names_it_among_external_checkpoints(board):
    output = CliRunner().invoke(main, ["list", "--strategy", str(board[0])]).output
    listed = output[output.index("External checkpoints") :].split("\n\n")[0]
    assert "outside" in listed and "mimic-iv-ecg" in listed and "weights/outside.pt" in listed
    assert "outside" not in output[: output.index("External checkpoints")]


def test_a_new_adapter_has_the_checkpoints_hash_and_asks_what_it_has_seen(tmp_path):
    weights = tmp_path / "weights.pt"
    torch.save(torch.nn.Sequential(torch.nn.Conv1d(12, 64, 15)).state_dict(), weights)
    path = write_adapter("ecg_net", weights, tmp_path / "mine")
    text = path.read_text()
    assert f'sha256 = "{hashlib.sha256(weights.read_bytes()).hexdigest()}"' in text
    assert 'checkpoint = "../weights.pt"' in text and "class EcgNet(External)" in text
    (asked,) = check_named(str(path))
    assert asked.detail.startswith("ValueError: an external checkpoint needs `trained_on`")
    path.write_text(text.replace('    # trained_on = ("mimic-iv-ecg", "cinc2021")', "    trained_on = ()"))
    assert all(check.ok for check in check_named(str(path)))
    with pytest.raises(UserError, match=r"cannot read checkpoint .*gone.pt: No such file"):
        write_adapter("other_net", Path("gone.pt"), tmp_path)
