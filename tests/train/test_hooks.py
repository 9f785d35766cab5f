"""The hooks by which strategies keep pseudo-labels: when they are called, with what, and what they may change."""

import numpy as np
import pytest
import torch

from bench.nn.encoders.resnet1d import ResNet1d18
from bench.train.budget import Budget, InputSpec
from bench.train.build import Recipe, Rows, Setting, make_info, prepare_fit
from bench.train.fit import Seeds, state_hash
from bench.train.strategy import Loss, Params, Phase, Strategy, no_decay_groups
from tests.corpora import tiny_corpus

CPU = torch.device("cpu")
SPEC = InputSpec(rate=50, window=100)


class Hooked(Strategy):
    """A head drawn anew every epoch, weights that leave out half of the instances, three phases."""

    name, title = "hooked", "Hooked"
    shares = (0.25, 0.25, 0.5)

    def __init__(self, encoder, params, info, parents=None):
        super().__init__(encoder, params, info, parents)
        self.head = torch.nn.Linear(encoder.dim, 3)
        self.register_buffer("pseudo", torch.full((info.instances,), -1))
        self.calls, self.seen = [], []

    def phases(self):
        return [Phase(share, no_decay_groups(self.named_parameters())) for share in self.shares]

    def on_phase_start(self, phase, training):
        self.calls.append(("phase", phase))

    def on_epoch_start(self, epoch, training):
        self.calls.append(("epoch", epoch))
        embedded = training.embed()
        some = torch.tensor([3, 0])
        assert torch.equal(training.embed(some), embedded[some])
        self.pseudo.copy_(torch.arange(len(self.pseudo)) % 3)
        generator = torch.Generator().manual_seed(training.seed + epoch)
        with torch.no_grad():
            self.head.weight.normal_(0, 0.1, generator=generator)
        return [self.head.weight]

    def draw_weights(self):
        return (torch.arange(len(self.pseudo)) % 2).float()

    def loss(self, batch, views, step):
        self.seen += batch.index.tolist()
        logits = self.head(self.encoder(views.signal))
        return Loss(torch.nn.functional.cross_entropy(logits, self.pseudo[batch.index]))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return tiny_corpus(tmp_path_factory.mktemp("hooks") / "tiny")


def make_fit(corpus, steps=12, kind=Hooked, **budget):
    train = np.flatnonzero(corpus.records["part"].to_numpy() == "train")
    rows = Rows(train, train, train, train, train)
    info = make_info(corpus, SPEC, "all-12", rows, kind, Params(), None, steps)
    recipe = Recipe(kind, ResNet1d18, {"width": 4, "dim": 8}, Params().model_dump(), info)
    budget = Budget(steps=steps, batch=8, lr=1e-2, **budget)
    return prepare_fit(
        recipe, corpus, Setting(SPEC, "all-12", rows, None, budget, Seeds(0, 0), "float32"), CPU
    )


def test_hooks_are_called_in_order_and_phases_begin_before_their_first_step(corpus):
    fit = make_fit(corpus).run()
    calls = fit.strategy.calls
    assert calls[:2] == [("phase", 0), ("epoch", 0)]
    assert [c for c in calls if c[0] == "phase"] == [("phase", 0), ("phase", 1), ("phase", 2)]
    assert [c[1] for c in calls if c[0] == "epoch"] == list(range(fit.epoch + 1))


def test_a_phase_without_a_step_is_begun_all_the_same(corpus):
    class Short(Hooked):
        shares = (0.05, 0.05, 0.9)

    fit = make_fit(corpus, steps=4, kind=Short).run()
    assert [c for c in fit.strategy.calls if c[0] == "phase"] == [("phase", 0), ("phase", 1), ("phase", 2)]


def test_instances_are_drawn_by_their_weights(corpus):
    fit = make_fit(corpus).run()
    assert fit.strategy.seen and all(index % 2 == 1 for index in fit.strategy.seen)


def test_the_optimiser_forgets_what_was_drawn_anew(corpus):
    class OnePhase(Hooked):
        shares = (1.0,)

    fit = make_fit(corpus, kind=OnePhase)
    per_epoch = len(fit.data) // fit.batch
    fit.run(until=per_epoch)
    steps = {p: int(fit.optimiser.state[p]["step"]) for p in fit.strategy.parameters()}
    assert set(steps.values()) == {per_epoch}
    fit.run(until=per_epoch + 1)
    after = {p: int(fit.optimiser.state[p]["step"]) for p in fit.strategy.parameters()}
    assert after[fit.strategy.head.weight] == 1
    assert after[fit.strategy.head.bias] == per_epoch + 1


def test_the_end_of_a_fit_is_told_with_the_selected_weights_in_evaluation_mode(corpus):
    """The checkpoint of step 4 is chosen, and training goes on to step 12."""

    class Worse(Hooked):
        ended = ()

        def loss(self, batch, views, step):
            made = super().loss(batch, views, step)
            return made if self.training else Loss(torch.tensor(abs(step.index - 4.0)))

        def on_fit_end(self, training):
            self.ended += ((self.training, state_hash(self), training.embed()),)

    at_four = make_fit(corpus, kind=Worse).run(until=4).strategy
    fit = make_fit(corpus, kind=Worse, selection="best_val_loss", check_every=2).run()
    assert (fit.done, fit.selection.step) == (12, 4)
    ((training, weights, embedded),) = fit.strategy.ended
    assert not training
    assert weights == state_hash(at_four) == state_hash(fit.strategy)
    assert torch.equal(embedded, fit.training().embed())


def test_continuing_in_mid_epoch_gives_the_same_bits(corpus):
    whole = make_fit(corpus).run()
    first = make_fit(corpus).run(until=5)
    second = make_fit(corpus).restore(first.state()).run()
    assert state_hash(second.strategy) == state_hash(whole.strategy)
