"""A tiny suite with strategies of its own, for tests of planning and execution."""

from types import SimpleNamespace

import pytest
import torch

from bench.run.plan import make_plan
from bench.run.registry import Registry, encoders, load_strategy
from bench.run.store import Store
from bench.run.suite import Suite
from bench.run.work import fit_info
from bench.train.build import Recipe, Setting, prepare_fit
from bench.train.fit import Seeds
from tests.corpora import other_corpus, tiny_corpus

STRATEGIES = """
import torch
from bench.train.strategy import Classifier, Field, Loss, Strategy, Views


class Noise(Strategy):
    name, title = "noise", "Noise"

    def views(self, batch, generator):
        one = super().views(batch, generator)
        signal = torch.cat([one.signal, one.signal + 0.1 * torch.randn(one.signal.shape, generator=generator)])
        return Views(signal, one.source.repeat(2), one.group.repeat_interleave(2))


class ByLabel(Strategy):
    name, title = "by_label", "By label"
    needs = frozenset({Field.LABELS})
    labelled_only = True

    def positives(self, batch, views):
        same = (batch.labels[:, None] == batch.labels[None]).all(-1)
        return same[views.source][:, views.source]


class Head(Classifier):
    name, title = "head", "Head"
    needs = frozenset({Field.LABELS})
    labelled_only = True

    def __init__(self, encoder, params, info, parents=None):
        super().__init__(encoder, params, info, parents)
        self.head = torch.nn.Linear(encoder.dim, len(info.classes))

    def loss(self, batch, views, step):
        return Loss(torch.nn.functional.cross_entropy(self.head(self.encoder(views.signal)), batch.labels))

    def logits(self, batch):
        return self.head(self.encoder(batch.signal))


class Thief(Strategy):
    name, title = "thief", "Reads labels it does not declare"

    def positives(self, batch, views):
        return batch.labels[:, 0][:, None] == batch.labels[:, 0][None]


class Untrained(Strategy):
    name, title = "untrained", "Untrained"
    trained = False


class Picky(Strategy):
    name, title = "picky", "Picky"

    @classmethod
    def incompatible(cls, info, params):
        return "needs a thirteenth lead"
"""

BASE = {
    "name": "tiny",
    "title": "Tiny",
    "scale": "smoke",
    "seeds": 2,
    "corpora": [{"corpus": "tiny-sim", "task": "rhythm"}],
    "input": {"rate": 50, "window": 100},
    "encoder": {"name": "resnet1d18", "arguments": {"width": 4, "dim": 8}},
    "entries": ["noise", "by_label", "head", "untrained"],
    "budget": {"steps": 2, "batch": 8},
    "label_fractions": [0.5, 1.0],
    "lead_sets": ["challenge-2"],
}


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """The corpus, the strategy file, and functions that make suites, plans and stores."""
    folder = tmp_path_factory.mktemp("tiny")
    corpus = tiny_corpus(folder / "prepared", records=60)
    file = folder / "extra.py"
    file.write_text(STRATEGIES)

    def plan(registry=None, prepared=None, **changes):
        suite = Suite.model_validate(BASE | changes)
        return make_plan([suite], prepared or {"tiny-sim@50": corpus}, registry or Registry((file,)))

    return SimpleNamespace(corpus=corpus, file=file, plan=plan, store=lambda path: Store(path / "store"))


PAIR = [
    {"corpus": "tiny-sim", "task": "rhythm", "sources": ["other-sim"]},
    {"corpus": "other-sim", "task": "pace", "sources": ["tiny-sim"]},
]
"""Each of two corpora, also with what was fitted on the other one."""


@pytest.fixture(scope="session")
def pair(tiny, tmp_path_factory):
    """Two corpora of other patients, leads and classes; and a function that makes plans of both."""
    other = other_corpus(tmp_path_factory.mktemp("pair") / "other")
    prepared = {"tiny-sim@50": tiny.corpus, "other-sim@50": other}

    def plan(**changes):
        return tiny.plan(prepared=prepared, **{"corpora": PAIR, "seeds": 1, **changes})

    return SimpleNamespace(tiny=tiny.corpus, other=other, file=tiny.file, plan=plan)


def pick(plan, **wanted):
    """The rows with these values of these attributes."""
    return [row for row in plan.rows if all(getattr(row, name) == value for name, value in wanted.items())]


def one(plan, **wanted):
    """The only row with these values."""
    (row,) = pick(plan, **wanted)
    return row


def fitted(plan, key, corpus):
    """A fit cell without parents, ready to run."""
    job = plan.jobs[key]
    cell = job.cell
    kind = load_strategy(cell.strategy.name, job.sources.get(cell.strategy.name))
    info = fit_info(corpus, cell, job.rows, kind)
    recipe = Recipe(kind, encoders()[cell.encoder.name], cell.encoder.arguments, cell.strategy.params, info)
    seeds = Seeds(cell.suite_seed, cell.seed_index)
    setting = Setting(cell.input, cell.lead_set, job.rows, cell.task, cell.budget, seeds)
    return prepare_fit(recipe, corpus, setting, torch.device("cpu"))
