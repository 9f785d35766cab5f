"""The loop: phases, schedule, selection, determinism, and continuing from a checkpoint."""

from itertools import pairwise
from typing import ClassVar

import numpy as np
import pytest
import torch

from bench.nn.encoders.resnet1d import ResNet1d18
from bench.train.budget import Budget, InputSpec
from bench.train.build import Recipe, Rows, Setting, finish, make_info, prepare_fit
from bench.train.checkpoint import from_bytes, to_bytes
from bench.train.fit import Diverged, Seeds, state_hash
from bench.train.optim import phase_bounds, rate_factor
from bench.train.strategy import Classifier, Field, Loss, Params, Phase, Strategy, no_decay_groups
from tests.corpora import tiny_corpus

CPU = torch.device("cpu")
SPEC = InputSpec(rate=50, window=100)


class Mean(Strategy):
    """Pulls embeddings to the origin, through dropout and noise in the views."""

    name, title = "mean", "Mean"

    def views(self, batch, generator):
        views = super().views(batch, generator)
        noise = torch.randn(views.signal.shape, generator=generator, device=views.signal.device)
        return type(views)(views.signal + 0.01 * noise, views.source, views.group)

    def loss(self, batch, views, step):
        return Loss(self.encoder(views.signal).pow(2).mean())


class Labelled(Classifier):
    name, title = "labelled", "Labelled"
    needs: ClassVar = frozenset({Field.LABELS})
    labelled_only: ClassVar = True

    def __init__(self, encoder, params, info, parents=None):
        super().__init__(encoder, params, info, parents)
        self.head = torch.nn.Linear(encoder.dim, len(info.classes))

    def loss(self, batch, views, step):
        logits = self.head(self.encoder(views.signal))
        return Loss(torch.nn.functional.cross_entropy(logits, batch.labels))

    def logits(self, batch):
        return self.head(self.encoder(batch.signal))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return tiny_corpus(tmp_path_factory.mktemp("corpus") / "tiny")


def make_fit(corpus, kind=Mean, budget=None, index=0, precision="float32"):
    part = corpus.records["part"].to_numpy()
    train, val, test = (np.flatnonzero(part == name) for name in ("train", "val", "test"))
    rows = Rows(train, train, val, val, test)
    budget = budget or Budget(steps=6, batch=8, lr=1e-2)
    task = "rhythm" if kind.needs else None
    info = make_info(corpus, SPEC, "all-12", rows, kind, Params(), task, budget.steps)
    arguments = {"width": 4, "dim": 8}
    recipe = Recipe(kind, ResNet1d18, arguments, Params().model_dump(), info)
    setting = Setting(SPEC, "all-12", rows, task, budget, Seeds(0, index), precision)
    return prepare_fit(recipe, corpus, setting, CPU)


def test_same_seed_same_bits_and_other_seed_other_bits(corpus):
    hashes = [state_hash(make_fit(corpus, index=index).run().strategy) for index in (0, 0, 1)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_global_generators_neither_matter_nor_move(corpus):
    torch.manual_seed(123)
    before = torch.get_rng_state()
    first = state_hash(make_fit(corpus).run().strategy)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(9)
    assert state_hash(make_fit(corpus).run().strategy) == first


@pytest.mark.parametrize("kind", [Mean, Labelled])
@pytest.mark.parametrize("stop", [1, 4, 5])
def test_continuing_from_a_checkpoint_gives_the_same_bits(corpus, kind, stop):
    budget = Budget(steps=9, batch=8, warmup=2, selection="best_val_loss", check_every=2)
    whole = make_fit(corpus, kind, budget).run()
    half = make_fit(corpus, kind, budget).run(until=stop)
    resumed = make_fit(corpus, kind, budget).restore(from_bytes(to_bytes(half.state()))).run()
    assert state_hash(resumed.strategy) == state_hash(whole.strategy)
    assert resumed.health == whole.health
    assert (resumed.tally, resumed.selection.step) == (whole.tally, whole.selection.step)


def test_encoder_initialisation_does_not_depend_on_the_strategy(corpus):
    states = [make_fit(corpus, kind, Budget(steps=0, batch=8)).strategy.encoder for kind in (Mean, Labelled)]
    assert state_hash(states[0]) == state_hash(states[1])


def test_best_validation_loss_restores_the_best_weights(corpus):
    budget = Budget(steps=12, batch=8, lr=0.05, selection="best_val_loss", check_every=3)
    fit = make_fit(corpus, Labelled, budget)
    seen = {}
    while fit.done < 12:
        fit.run(until=fit.done + 3)
        if fit.done < 12:
            seen[fit.done] = fit.validation_loss()
    assert fit.selection.step in (3, 6, 9, 12)
    assert fit.selection.best <= min(seen.values())
    assert fit.validation_loss() == pytest.approx(fit.selection.best, rel=1e-5)


def test_patience_stops_early(corpus):
    budget = Budget(steps=60, batch=8, lr=3.0, selection="best_val_loss", check_every=1, patience=2)
    assert make_fit(corpus, Labelled, budget).run().done < 60


def test_phases_train_only_their_own_parameters(corpus):
    class TwoPhases(Labelled):
        name = "two"

        def phases(self):
            head = no_decay_groups(self.head.named_parameters())
            return [
                Phase(0.5, head),
                Phase(0.5, [*head, *no_decay_groups(self.encoder.named_parameters(), 0.1)]),
            ]

    fit = make_fit(corpus, TwoPhases, Budget(steps=6, batch=8, weight_decay=0))
    weights = [p.detach().clone() for p in fit.strategy.encoder.parameters()]
    fit.run(until=3)
    assert all(torch.equal(a, b) for a, b in zip(weights, fit.strategy.encoder.parameters(), strict=True))
    fit.run()
    assert not all(torch.equal(a, b) for a, b in zip(weights, fit.strategy.encoder.parameters(), strict=True))


def test_phase_bounds_and_rates():
    phases = [Phase(0.25, []), Phase(0.75, [])]
    assert phase_bounds(phases, 100) == [25, 100]
    with pytest.raises(ValueError, match=r"add up to 0\.25"):
        phase_bounds(phases[:1], 10)
    budget = Budget(steps=10, batch=2, warmup=2)
    factors = [rate_factor(i, 0, 10, budget) for i in range(10)]
    assert factors[:3] == [0.5, 1.0, 1.0]
    assert factors[6] == pytest.approx(0.5)
    assert all(a >= b for a, b in pairwise(factors[2:]))


def test_a_step_schedule_falls_to_a_tenth_at_each_milestone():
    budget = Budget(steps=20, batch=2, schedule="step", milestones=(0.25, 0.5), warmup=2)
    factors = [rate_factor(i, 0, 20, budget) for i in range(20)]
    assert factors == pytest.approx([0.5, *[1.0] * 4, *[0.1] * 5, *[0.01] * 10])
    for wrong in ({"schedule": "step"}, {"milestones": (0.5,)}, {"schedule": "step", "milestones": (1.0,)}):
        with pytest.raises(ValueError, match="milestones"):
            Budget(steps=20, batch=2, **wrong)


def test_a_loss_that_is_not_finite_stops_the_fit(corpus):
    class Broken(Mean):
        name = "broken"

        def loss(self, batch, views, step):
            return Loss(super().loss(batch, views, step).total * (float("nan") if step.index == 2 else 1))

    with pytest.raises(Diverged, match="at step 2"):
        make_fit(corpus, Broken).run()


def test_the_tally_counts_what_went_through_the_encoder(corpus):
    fitted = finish(make_fit(corpus))
    assert fitted.facts["views"] == 6 * 8
    assert fitted.facts["lead_samples"] == 6 * 8 * 12 * 100
    assert fitted.facts["steps"] == 6
    assert fitted.facts["parameters"]["encoder"] == sum(
        p.numel() for p in fitted.strategy.encoder.parameters()
    )


def test_every_record_is_seen_before_any_is_seen_twice(corpus):
    fit = make_fit(corpus, budget=Budget(steps=4, batch=8))
    seen = [fit._next_index() for _ in range(4)]
    assert len(torch.cat(seen).unique()) == 32


def test_bf16_trains_close_to_float32_and_returns_float32(corpus):
    budget = Budget(steps=3, batch=8, lr=1e-3)
    exact, low = (make_fit(corpus, budget=budget, precision=p).run() for p in ("float32", "bf16"))
    assert low.health[0]["loss"] == pytest.approx(exact.health[0]["loss"], rel=0.05)
    assert low.strategy.encoder(torch.zeros(2, 12, 100)).dtype == torch.float32
