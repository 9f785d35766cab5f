"""An exported encoder gives the store's embeddings, in a process that knows nothing but torch."""

import io
import json
import subprocess
import sys
import warnings
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from bench.data.leads import lead_set
from bench.data.splits import SplitSpec
from bench.nn.encoder import Encoder
from bench.run.cell import EncoderSpec, FitCell, StrategySpec
from bench.run.contract.stand import LEADS, WINDOW, Stand, Start
from bench.run.errors import UserError
from bench.run.execute import InlineExecutor, execute
from bench.run.export import METADATA, RecordEncoder, export_encoder, loading_example
from bench.run.registry import Registry, encoders
from bench.run.trained import Trained, load_trained, prepared_corpora
from bench.train.budget import Budget, InputSpec
from bench.train.build import Recipe, build
from bench.train.description import Info
from bench.train.fit import Seeds
from bench.train.strategy import Strategy
from tests.corpora import tiny_corpus

REGISTRY = Registry()
CPU = torch.device("cpu")
SCALINGS = ("minmax", "minmax-lead", "minmax-view", "zscore-lead", "zscore-record", "zscore-global", "none")
SMALL = {
    "cpc_net": {"hidden": 4},
    "efficientnet1d": {"width": 0.1, "depth": 0.25},
    "inception_time": {"filters": 2, "depth": 3},
    "net_l": {"width": 4, "dim": 8},
    "net_s": {"samples": 400, "dim": 8},
    "resnet1d18": {"width": 4, "dim": 8},
    "resnet1d34": {"width": 4},
    "xresnet1d50": {"width": 4, "blocks": [1, 1, 1, 1]},
}


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """A corpus of records of 180 samples and, every fifth, of 90; one record's lead hardly moves."""
    return tiny_corpus(tmp_path_factory.mktemp("short") / "tiny", records=40, seconds=3.6, short=5)


def trained_on(tiny, corpus, store, spec):
    """A trained encoder of an input, and the store's embeddings."""
    options = {"entries": ["noise"], "seeds": 1, "label_fractions": [1.0], "lead_sets": ["clocs-4"]}
    plan = tiny.plan(prepared={"tiny-sim@50": corpus}, input={"rate": 50, "window": 100, **spec}, **options)
    execute(plan, store, InlineExecutor)
    key, job = next((key, job) for key, job in plan.jobs.items() if job.cell.stage == "embed")
    fit = job.cell.parents["fit"]
    corpora = prepared_corpora(corpus.folder.parent)
    values = np.load(io.BytesIO(store.read(key, "embeddings.npy")))
    return load_trained(store, fit, plan.jobs[fit].sources, corpora), values


def millivolts(corpus, row, lead_set_name):
    """(1, leads, samples) of a record."""
    start, length = int(corpus.records["offset"][row]), int(corpus.records["length"][row])
    signal = np.ascontiguousarray(corpus.signals[start : start + length][:, lead_set(lead_set_name)].T)
    return torch.from_numpy(signal).to(torch.float32)[None] * 1e-3


@pytest.mark.parametrize("instance", ["record", "lead"])
@pytest.mark.parametrize("scaling", SCALINGS)
def test_every_scaling_is_the_boards(tiny, short, tmp_path, scaling, instance):
    spec = {"scaling": scaling, "stride": 25, "instance": instance}  # four windows, four leads
    trained, values = trained_on(tiny, short, tiny.store(tmp_path), spec)
    encoder = RecordEncoder(trained)
    with torch.no_grad():
        ours = np.concatenate([encoder(millivolts(short, row, "clocs-4")).numpy() for row in range(40)])
    assert np.ptp(values, axis=0).min() > 1e-4
    np.testing.assert_allclose(ours, values, rtol=0, atol=2e-6 * np.abs(values).max())


@pytest.mark.parametrize(("most", "stride"), [(1, 10), (2, 10), (3, 10), (4, 25), (9, 3)])
def test_windows_are_the_boards(tiny, short, tmp_path, most, stride):
    spec = {"scaling": "none", "stride": stride, "windows": most}
    trained, values = trained_on(tiny, short, tiny.store(tmp_path), spec)
    encoder = RecordEncoder(trained)
    rows = [row for row in range(40) if short.records["length"][row] == 180]
    with torch.no_grad():
        ours = encoder(torch.cat([millivolts(short, row, "clocs-4") for row in rows]))
    np.testing.assert_allclose(ours.numpy(), values[rows], rtol=0, atol=2e-6 * np.abs(values).max())


def test_a_lead_that_hardly_moves_is_not_blown_up(tiny, short, tmp_path):
    trained, _ = trained_on(tiny, short, tiny.store(tmp_path), {"scaling": "zscore-lead"})
    seen = []
    encoder = RecordEncoder(trained)
    encoder.strategy.encoder.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    signal = millivolts(short, 0, "clocs-4")
    signal[0, 1] = 0.5 + 1e-4 * torch.sign(signal[0, 1])
    encoder(signal)
    lead = signal[0, 1]
    torch.testing.assert_close(seen[0][0, 1], ((lead - lead.mean()) / 1e-3)[:100], rtol=1e-4, atol=1e-4)


THREE = """
import sys
sys.modules["bench"] = None
{loading}
import json
import numpy as np
signals = np.load("signals.npz")
np.savez("embeddings.npz", **{{name: encoder(torch.from_numpy(signals[name])).numpy(force=True) for name in signals}})
files = {{{metadata!r}: ""}}
torch.export.load({path!r}, extra_files=files)
print(json.dumps([list(embeddings.shape), files[{metadata!r}], any(name.startswith("bench.") for name in sys.modules)]))
"""


def test_three_lines_and_torch_give_the_stores_embeddings(tiny, short, tmp_path):
    trained, values = trained_on(tiny, short, tiny.store(tmp_path), {"stride": 40, "windows": 3})
    path = tmp_path / "encoder.pt2"
    export_encoder(trained, path)
    loading = loading_example(trained, path)
    assert len(loading.splitlines()) == 3 and "leads II, V2, aVL, aVR" in loading
    signals = {f"r{row}": millivolts(short, row, "clocs-4").numpy() for row in range(6)}
    signals["many"] = np.concatenate([signals[f"r{row}"] for row in (0, 1, 2, 3)])
    np.savez(tmp_path / "signals.npz", **signals)
    code = THREE.format(loading=loading, metadata=METADATA, path=str(path))
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    shape, about, knows_us = json.loads(done.stdout)
    assert shape == [2, 8] and not knows_us
    given = np.load(tmp_path / "embeddings.npz")
    assert {short.records["length"][row] for row in range(6)} == {90, 180}
    for row in range(6):
        np.testing.assert_allclose(given[f"r{row}"][0], values[row], rtol=0, atol=2e-6)
    np.testing.assert_allclose(given["many"], values[:4], rtol=0, atol=2e-6)
    expected = {**trained.describe(), "embedding": 8, "precision": "float32"}
    assert json.loads(about) == json.loads(json.dumps(expected))
    left = {"embeddings.npz", "encoder.pt2", "signals.npz", "store"}
    assert {file.name for file in tmp_path.iterdir()} == left
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    assert {name.partition("/")[0] for name in content} == {"encoder"}
    assert not [name for name, data in content.items() if b"export.py" in data]  # nobody's own folders
    assert len(content["encoder/data/sample_inputs/model.pt"]) < 2_000


def plain(strategy, spec, lead_set_name, params):
    """A strategy that was never fitted, as the store would give it."""
    cell = FitCell(
        corpus="0" * 64,
        split=SplitSpec(kind="stratified"),
        split_fingerprint="",
        input=spec,
        lead_set=lead_set_name,
        encoder=EncoderSpec(name=strategy.encoder.name),
        strategy=StrategySpec(name=strategy.name, params=params, code=""),
        suite_seed=0,
        seed_index=0,
        budget=Budget(steps=0, batch=2),
    )
    scaling = (0.1, 0.5) if spec.scaling == "zscore-global" else None
    return Trained("0" * 64, strategy.eval(), cell, scaling, (), {})


def of_encoder(name, window, **spec):
    """An encoder by itself, its batch norms not at their beginning."""
    given = InputSpec(rate=100, window=window, **spec)
    info = Info(leads=6, samples=window, rate=100, instances=9, drawn=(6, window))

    class Alone(Strategy):
        """Nothing but the encoder."""

    Alone.name = Alone.title = "alone"
    strategy = build(Recipe(Alone, encoders()[name], SMALL[name], {}, info), CPU, Seeds(0, 0))
    generator = torch.Generator().manual_seed(1)
    for buffer in strategy.buffers():
        if buffer.is_floating_point():
            buffer += torch.rand(buffer.shape, generator=generator)
    return plain(strategy, given, "challenge-6", {})


def test_no_encoder_is_forgotten():
    assert set(SMALL) == {name for name in encoders() if name != "external"}


@pytest.mark.parametrize("name", SMALL)
def test_every_encoder_can_be_exported(name, tmp_path):
    trained = of_encoder(name, 400 if name == "net_s" else 40, scaling="zscore-global", stride=20)
    path = tmp_path / "encoder.pt2"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        export_encoder(trained, path)
        run = torch.export.load(path).module()
    whole = RecordEncoder(trained)
    generator = torch.Generator().manual_seed(3)
    for records, samples in ((1, 7), (2, 400), (5, 633)):
        signal = torch.randn(records, 6, samples, generator=generator)
        with torch.no_grad():
            expected = whole(signal)
        torch.testing.assert_close(run(signal), expected, rtol=1e-5, atol=1e-6)


class Slight(Encoder):
    """One convolution and a linear head: quick to trace."""

    name = "slight"
    min_samples = 8

    def __init__(self, leads, *, dim):
        super().__init__()
        self.leads, self.dim = leads, dim
        self.conv, self.head = nn.Conv1d(leads, 6, 8, 4), nn.Linear(6, dim)

    def sequence(self, signal):
        return self.conv(signal).relu().transpose(1, 2)

    def forward(self, signal):
        return self.head(self.sequence(signal).mean(1))

    def groups(self):
        return [list(self.parameters())]


class Narrow(Stand):
    """The contract's test stand around that encoder."""

    def recipe(self, *arguments, **named):
        recipe = super().recipe(*arguments, **named)
        return replace(recipe, encoder=Slight, encoder_arguments={"dim": 16})

    def parents(self, *arguments, **named):
        recipe = Recipe(Start, Slight, {"dim": 16}, {}, self.info())
        return {role: build(recipe, CPU, Seeds(5, 0)) for role in self.kind.parents}


def exportable():
    """Names of strategies that embed a signal alone, with their parameters on the board."""
    for name, found in sorted(REGISTRY.found.items()):
        kind = found.strategy
        params = kind.recipes.get("board", {})
        if kind.uses_encoder and not kind.needs_at_test_with(kind.Params.model_validate(params)):
            yield name


def test_few_strategies_are_not_for_export():
    others = set(REGISTRY.found) - set(exportable())
    assert others == {"attributes_only", "metadata_only", "label_prior", "kmeans_raw"}


@pytest.mark.parametrize("name", list(exportable()))
def test_every_strategy_can_be_exported_without_what_it_trained_with(name, tmp_path):
    kind = REGISTRY.get(name).strategy
    params = kind.recipes.get("board", {})
    stand = Narrow(kind, params, tmp_path)
    strategy = stand.build()
    trained = plain(strategy, stand.input, LEADS, dict(params))
    path = tmp_path / "encoder.pt2"
    export_encoder(trained, path)
    program = torch.export.load(path)
    signal = torch.randn(3, 12, WINDOW + 11, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = RecordEncoder(trained)(signal)
    torch.testing.assert_close(program.module()(signal), expected, rtol=1e-5, atol=1e-6)
    names = set(program.state_dict)
    kept = {key for key in names if "encoder" not in key}
    assert "strategy.encoder.head.weight" in {key.replace("init.", "") for key in names}
    assert all("projection" in key for key in kept), kept
    assert not [key for key in names if "num_batches" in key]


class Branching(Strategy):
    name = title = "branching"

    def embed(self, batch):
        return batch.signal.mean(2) if float(batch.signal.sum()) > 0 else batch.signal.amax(2)


class Counting(Strategy):
    name = title = "counting"

    def embed(self, batch):
        return batch.signal.flatten(0, 1).unflatten(0, (len(batch.signal), -1)).mean(2)


class Drawing(Strategy):
    name = title = "drawing"

    def embed(self, batch):
        return batch.signal.mean(2) + torch.rand(len(batch.signal[0]))


@pytest.mark.parametrize("kind", [Branching, Counting, Drawing])
def test_what_cannot_be_exported_is_told_in_one_line(kind, tmp_path, capfd):
    trained = of_encoder("resnet1d18", 40)
    strategy = kind(trained.strategy.encoder, None, trained.strategy.info)
    trained = plain(strategy, trained.cell.input, "challenge-6", {})
    with pytest.raises(
        UserError, match=rf"^0{{12}} \({kind.name}\) cannot be exported: .*not by len\)$"
    ) as error:
        export_encoder(trained, tmp_path / "encoder.pt2")
    assert "\n" not in str(error.value) and list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    trained = of_encoder("resnet1d18", 40)
    with pytest.raises(UserError, match=r"written as \.pt2"):
        export_encoder(trained, tmp_path / "encoder.pt")
    with pytest.raises(UserError, match="no folder"):
        export_encoder(trained, tmp_path / "nowhere" / "encoder.pt2")


def test_the_trained_encoder_is_left_as_it_was(tmp_path):
    trained = of_encoder("resnet1d18", 40)
    before = {name: value.clone() for name, value in trained.strategy.state_dict().items()}
    export_encoder(trained, tmp_path / "encoder.pt2")
    after = trained.strategy.state_dict()
    assert list(before) == list(after) and all(torch.equal(before[name], after[name]) for name in before)
