"""Every strategy and baseline keeps the contract, and each way of breaking it is caught by the check meant for it."""

import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from pydantic import BaseModel

from bench.run.contract.check import check_named, check_strategy
from bench.run.contract.stand import Stand, draw
from bench.run.registry import Registry
from bench.run.scaffold import write_strategy
from bench.session import UserError
from bench.train.strategy import Classifier, Field, Loss, Phase, Strategy, Views
from strategies.clocs_lead import ClocsLead
from strategies.demographics import Demographics
from strategies.rhythm import Rhythm
from strategies.wave_attributes import WaveAttributes

REGISTRY = Registry()


def failures(checks) -> dict[str, str]:
    return {check.name: check.detail for check in checks if not check.ok}


def test_no_file_of_the_project_is_broken():
    assert not REGISTRY.broken
    assert {found.kind for found in REGISTRY.found.values()} == {"strategy", "baseline"}


@pytest.mark.parametrize("name", sorted(REGISTRY.found))
def test_the_contract_is_kept(name):
    checks = check_named(name)
    assert not failures(checks)
    assert len(checks) == (13 if REGISTRY.found[name].strategy.trained else 5)


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        (ClocsLead, {"groups": "single", "views": 2, "positives": "patient"}),
        (WaveAttributes, {"mode": "knn", "attributes": "deduplicated"}),
        (Rhythm, {"mode": "rhythm_conditions"}),
    ],
)
def test_other_modes_keep_it_too(kind, params):
    assert not failures(check_strategy(kind, params))


@pytest.mark.parametrize("kind", [Demographics, Rhythm, WaveAttributes])
def test_the_first_records_of_the_made_up_corpus_have_nothing_in_common(kind, tmp_path):
    """So that the check of the loss meets a batch without positives."""
    fit = Stand(kind, {}, tmp_path).fit()
    batch = draw(fit, 3)
    mask = fit.strategy.positives(batch, fit.strategy.views(batch, torch.Generator()))
    assert not bool((mask & ~torch.eye(3, dtype=torch.bool)).any())


class Sound(Strategy):
    """Keeps every promise; the broken ones below differ from it in one place."""

    name = title = "sound"

    def views(self, batch, generator):
        noise = torch.randn(batch.signal.shape, generator=generator)
        return Views.of(batch.signal, batch.signal + 0.05 * noise)


class Untitled(Sound):
    title = ""


class LooseParams(Sound):
    class Params(BaseModel):
        temperature: float = 0.1
        as_published_diagonal: bool = False


class WrongRecipe(Sound):
    recipes: ClassVar = {"board": {"temprature": 0.1}}


class LostComma(Sound):
    deviations = "one sentence"


class Never(Sound):
    @classmethod
    def incompatible(cls, info, params):
        return "nothing suits it"


class PeeksAtLabels(Sound):
    def positives(self, batch, views):
        return (batch.labels @ batch.labels.T > 0)[views.source][:, views.source]


class PeeksInDisguise(Sound):
    def loss(self, batch, views, step):
        return Loss(self.encoder(views.signal).square().mean() * batch.fields.column("ag" + "e").nanmean())


class SourceOutside(Sound):
    def views(self, batch, generator):
        views = super().views(batch, generator)
        return replace(views, source=views.source + 1)


class SourceSwapped(Sound):
    def views(self, batch, generator):
        views = super().views(batch, generator)
        return replace(views, source=views.source.flip(0))


class InPlace(Sound):
    def views(self, batch, generator):
        batch.signal[:] = batch.signal * 1.1
        return super().views(batch, generator)


class OwnNoise(Sound):
    def views(self, batch, generator):
        return Views.of(batch.signal, batch.signal + torch.randn(batch.signal.shape))


class SilentLeads(Sound):
    @classmethod
    def encoder_leads(cls, leads, params):
        return leads // 2

    def views(self, batch, generator):
        return Views.of(*batch.signal.split(6, 1))


class OneSided(Sound):
    def positives(self, batch, views):
        return views.source[:, None] <= views.source[None, :]


class NaNWithoutPositives(Sound):
    needs: ClassVar = frozenset({Field.LABELS})

    def loss(self, batch, views, step):
        h = self.encoder(views.signal)
        near = (batch.labels @ batch.labels.T > 0)[views.source][:, views.source]
        others = near & (views.source[:, None] != views.source[None, :])
        return Loss((h[:, None] - h[None, :]).square().sum(2)[others].mean())


class NotAScalar(Sound):
    def loss(self, batch, views, step):
        return Loss(self.encoder(views.signal).square().mean(1))


class NoGradient(Sound):
    def __init__(self, encoder, params, info, parents=None):
        super().__init__(encoder, params, info, parents)
        self.head = torch.nn.Linear(encoder.dim, 1)

    def phases(self):
        return [Phase(1.0, [{"params": list(self.head.parameters())}])]

    def loss(self, batch, views, step):
        return Loss(self.head(self.encoder(views.signal).detach()).square().mean())


class IdleHead(Sound):
    def __init__(self, encoder, params, info, parents=None):
        super().__init__(encoder, params, info, parents)
        self.head = torch.nn.Linear(encoder.dim, 1)


class GlobalTorch(Sound):
    def loss(self, batch, views, step):
        loss = super().loss(batch, views, step)
        return Loss(loss.total * (1 + 0.01 * torch.rand(())))


class GlobalNumpy(Sound):
    def on_step_start(self, step):
        self.noise = np.random.rand()  # noqa: NPY002


class GlobalPython(Sound):
    def positives(self, batch, views):
        random.random()
        return super().positives(batch, views)


class NextToOthers(Sound):
    def embed(self, batch):
        h = self.encoder(batch.signal)
        return h - h.mean(0)


class Counting(Sound):
    def __init__(self, encoder, params, info, parents=None):
        super().__init__(encoder, params, info, parents)
        self.register_buffer("calls", torch.zeros(()))

    def embed(self, batch):
        self.calls += 1
        return self.encoder(batch.signal)


class Ragged(Sound):
    def embed(self, batch):
        return self.encoder(batch.signal)[:, : len(batch.signal)]


class Nameless(Classifier):
    """A classifier without logits."""

    name = title = "nameless"


class Remembering(Sound):
    fits: ClassVar[list[int]] = []

    def loss(self, batch, views, step):
        self.fits.append(1)
        loss = super().loss(batch, views, step)
        return Loss(loss.total * (1 + 0.001 * len(self.fits)))


class Deaf(Sound):
    """Hears no seed: everything it trains and sees is fixed."""

    def __init__(self, encoder, params, info, parents=None):
        super().__init__(encoder, params, info, parents)
        for parameter in self.parameters():
            torch.nn.init.constant_(parameter, 0.1)

    def phases(self):
        return [Phase(1.0, [{"params": list(self.parameters()), "lr_scale": 1e-30, "decay": False}])]

    def loss(self, batch, views, step):
        self.encoder.eval()
        return Loss(self.encoder(views.signal).square().mean() - 1)


class HiddenState(Sound):
    momentum = 0.0

    def loss(self, batch, views, step):
        loss = super().loss(batch, views, step)
        self.momentum = 0.5 * self.momentum + 0.1
        return Loss(loss.total * (1 + self.momentum))


class HiddenWeights(Sound):
    def __init__(self, encoder, params, info, parents=None):
        super().__init__(encoder, params, info, parents)
        self.mix = torch.randn(encoder.dim, encoder.dim)

    def embed(self, batch):
        return self.encoder(batch.signal) @ self.mix


class Standstill(Sound):
    def phases(self):
        return [Phase(1.0, [{"params": list(self.parameters()), "lr_scale": 1e-30, "decay": False}])]


def test_the_sound_one_passes():
    assert not failures(check_strategy(Sound))


BROKEN: list[tuple[Any, str, str]] = [
    (Untitled, "declared", "no `title`"),
    (LooseParams, "declared", "not frozen"),
    (WrongRecipe, "declared", "recipe 'board': temprature"),
    (LostComma, "declared", "no tuple"),
    (Never, "declared", "nothing suits it"),
    (PeeksAtLabels, "ledger", "line 3 reads .labels; add Field.LABELS"),
    (PeeksInDisguise, "ledger", "sound reads 'age' but declares nothing"),
    (SourceOutside, "views", "source [64] is no row of a batch of 64"),
    (SourceSwapped, "views", "says it shows record 0, but does not change with it"),
    (InPlace, "views", "in place"),
    (OwnNoise, "views", "the same generator gives other views"),
    (SilentLeads, "views", "must say which: set `leads`"),
    (OneSided, "positives", "not symmetric"),
    (NaNWithoutPositives, "loss", "the loss is nan for 3 records"),
    (NotAScalar, "loss", "want a scalar"),
    (NoGradient, "gradient", "no gradient reaches the encoder"),
    (IdleHead, "gradient", "no gradient reaches head.weight in phase 0"),
    (GlobalTorch, "randomness", "`loss` draws from the global generator of torch"),
    (GlobalNumpy, "randomness", "a step draws from the global generator of numpy.random"),
    (GlobalPython, "randomness", "`positives` draws from the global generator of random"),
    (NextToOthers, "embedding", "depends on which others are in its batch"),
    (Counting, "embedding", "changes weights or buffers"),
    (Ragged, "embedding", "no constant width"),
    (Nameless, "embedding", "does not define `logits`"),
    (Remembering, "repeats", "two fits with one seed differ"),
    (Deaf, "repeats", "another seed is the same to the bit"),
    (HiddenState, "resumes", "make it a buffer"),
    (HiddenWeights, "stored", "must be in its buffers"),
    (Standstill, "learns", "the loss went from"),
]


@pytest.mark.parametrize(("kind", "name", "says"), BROKEN, ids=[kind.__name__ for kind, _, _ in BROKEN])
def test_a_broken_promise_is_caught_by_its_own_check(kind, name, says, monkeypatch):
    monkeypatch.setattr(Remembering, "fits", [])
    failed = failures(check_strategy(kind, only=frozenset({name})))
    assert says in failed.pop(name)
    assert not failed


def test_what_rests_on_a_broken_promise_is_not_run():
    assert [check.name for check in check_strategy(SourceOutside)] == ["declared", "ledger", "views"]


def test_a_file_is_checked_by_its_path(tmp_path):
    path = write_strategy("my_idea", tmp_path / "new")
    assert not failures(check_named(str(path)))


def test_the_read_mes_example_works(tmp_path):
    text = Path(__file__).parents[2].joinpath("strategies", "README.md").read_text()
    path = tmp_path / "age_neighbours.py"
    path.write_text(re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0])
    checks = check_named(str(path))
    assert not failures(checks)
    assert "reads age" in next(check.detail for check in checks if check.name == "ledger")


def test_what_cannot_be_checked_is_named(tmp_path):
    assert "no strategy 'unheard'" in failures(check_named("unheard"))["found"]
    assert "FileNotFoundError" in failures(check_named(str(tmp_path / "missing.py")))["imports"]
    broken = tmp_path / "broken.py"
    broken.write_text("import nonsense_module\n")
    assert "nonsense_module" in failures(check_named(str(broken)))["imports"]
    empty = tmp_path / "empty.py"
    empty.write_text("x = 1\n")
    assert "defines no Strategy" in failures(check_named(str(empty)))["imports"]


def test_two_strategies_of_one_file_are_told_apart(tmp_path):
    path = tmp_path / "two.py"
    one = "class {0}(Strategy):\n    name = title = '{0}'\n    trained = False\n"
    path.write_text("from bench.train.strategy import Strategy\n" + one.format("A") + one.format("B"))
    names = [check.name for check in check_named(str(path))]
    assert names[0] == "A declared"
    assert names[-1] == "B stored"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("My", "lower-case"),
        ("1st", "lower-case"),
        ("a-b", "lower-case"),
        ("../up", "lower-case"),
        ("naïve", "lower-case"),
        ("class", "lower-case"),
        ("", "lower-case"),
        ("_hidden", "begins with _"),
        ("simclr", "already"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused(name, says, tmp_path):
    with pytest.raises(UserError, match=says):
        write_strategy(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_file_is_never_overwritten(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("precious")
    with pytest.raises(UserError, match="exists"):
        write_strategy("mine", tmp_path)
    assert path.read_text() == "precious"
