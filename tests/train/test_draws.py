"""Instances longer or of more leads than what is evaluated: what is drawn, scaled, embedded and counted."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from bench.data.leads import lead_set
from bench.nn.encoders.cpc_net import CPCNet
from bench.nn.encoders.resnet1d import ResNet1d18
from bench.train.budget import Budget, InputSpec
from bench.train.build import Recipe, Rows, Setting, finish, make_info, prepare_fit
from bench.train.fit import Seeds, use_precision
from bench.train.strategy import Draw, Field, Loss, Params, Strategy, Views
from tests.corpora import tiny_corpus

CPU = torch.device("cpu")
LEADS = "clocs-4"
CHANNELS = lead_set(LEADS)
WINDOW = 80


class Long(Strategy):
    """Two windows an instance, each a view."""

    name, title = "long", "Long"

    @classmethod
    def draws(cls, params):
        return Draw(windows=2)

    def views(self, batch, generator):
        return Views.of(*batch.signal.split(WINDOW, dim=2))


class Wide(Strategy):
    """All leads an instance, and single ones as views: the last, then the second."""

    name, title = "wide", "Wide"
    needs = frozenset({Field.PATIENT})
    shown = (3, 1)

    @classmethod
    def encoder_leads(cls, leads, params):
        return 1

    @classmethod
    def draws(cls, params):
        return Draw(all_leads=True)

    def views(self, batch, generator):
        made = Views.of(*(batch.signal[:, lead : lead + 1] for lead in self.shown))
        leads = torch.tensor(self.shown).repeat_interleave(len(batch.signal))[:, None]
        return Views(made.signal, made.source, made.group, leads)

    def loss(self, batch, views, step):
        self.scaled = views.signal
        assert len(batch.patient) == len(batch.signal)
        return super().loss(batch, views, step)


class LongAndWide(Wide):
    name = "long_and_wide"

    @classmethod
    def draws(cls, params):
        return Draw(windows=2, all_leads=True)

    def views(self, batch, generator):
        return super().views(replace(batch, signal=batch.signal[:, :, :WINDOW]), generator)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Every fifth record has 100 samples, the others 200."""
    return tiny_corpus(tmp_path_factory.mktemp("draws") / "tiny", short=5)


def rows_of(corpus):
    part = corpus.records["part"].to_numpy()
    train, val, test = (np.flatnonzero(part == name) for name in ("train", "val", "test"))
    return Rows(train, train, val, val, test)


def made(corpus, kind, instance="lead", steps=4, encoder=ResNet1d18, precision="float32", **changes):
    given = {"rate": 50, "window": WINDOW, "instance": instance, "scaling": "minmax-lead"}
    spec = InputSpec.model_validate(given | changes)
    budget = Budget(steps=steps, batch=8, selection="best_val_loss", check_every=2)
    rows = rows_of(corpus)
    info = make_info(corpus, spec, LEADS, rows, kind, Params(), None, steps)
    arguments = {"width": 4, "dim": 8} if encoder is ResNet1d18 else {"hidden": 4}
    recipe = Recipe(kind, encoder, arguments, Params().model_dump(), info)
    return prepare_fit(recipe, corpus, Setting(spec, LEADS, rows, None, budget, Seeds(0, 0), precision), CPU)


def record_signal(corpus, record):
    """(4, T) millivolts of a record."""
    place = corpus.records.iloc[record]
    signal = corpus.signals[place["offset"] : place["offset"] + place["length"]][:, CHANNELS]
    return np.asarray(signal, np.float64).T / 1e3


def minmax(corpus, record, lead, values):
    """Values of one lead of a record, scaled by that lead's extremes over the whole record."""
    whole = record_signal(corpus, record)[lead]
    return (values - whole.min()) / (whole.max() - whole.min())


@pytest.mark.parametrize("kind", [Long, LongAndWide])
@pytest.mark.parametrize("instance", ["record", "lead"])
def test_records_too_short_are_left_out_and_counted_so(corpus, kind, instance):
    fit = made(corpus, kind, instance)
    lengths = corpus.records["length"].to_numpy()
    long = [row for row in rows_of(corpus).train if lengths[row] >= 2 * WINDOW]
    assert 0 < len(long) < len(rows_of(corpus).train)
    each = 4 if instance == "lead" and kind is Long else 1
    assert sorted(fit.data.record.tolist()) == sorted(long * each)
    info = fit.strategy.info
    assert info.instances == len(fit.data) == len(long) * each
    assert info.drawn == (1 if each == 4 else 4, 2 * WINDOW)
    assert (info.leads, info.samples) == (1 if instance == "lead" else 4, WINDOW)
    assert finish(fit).facts["instances"] == info.instances


def test_one_window_is_drawn_of_every_record_however_short(corpus):
    info = made(corpus, Wide).strategy.info
    assert info.instances == len(rows_of(corpus).train)
    assert info.drawn == (4, WINDOW)
    assert made(corpus, Wide, window=120).strategy.info.instances == info.instances


@pytest.mark.parametrize("crop", ["random", "start"])
def test_windows_are_consecutive_and_start_anywhere_that_both_fit(corpus, crop):
    fit = made(corpus, Long, crop=crop)
    index = torch.tensor([0, 6, 41])
    generator, starts = torch.Generator().manual_seed(3), set()
    for _ in range(80):
        batch = fit.data.draw(index, generator)
        assert batch.signal.shape == (3, 1, 2 * WINDOW)
        for signal, record, instance in zip(batch.signal[:, 0].numpy(), batch.record, index, strict=True):
            whole = record_signal(corpus, int(record))[int(fit.data.lead[instance])]
            found = [s for s in range(41) if np.allclose(signal, whole[s : s + 2 * WINDOW], atol=1e-6)]
            assert len(found) == 1
            starts.add(found[0])
    assert starts == {0} if crop == "start" else min(starts) <= 2 and max(starts) >= 38


def test_views_of_single_leads_are_scaled_as_the_leads_they_show(corpus):
    fit = made(corpus, Wide, crop="start").run(until=1)
    index = fit.permutation[: fit.batch]
    records = fit.data.record[index].tolist()
    shown = fit.strategy.scaled[:, 0].numpy()
    assert len(shown) == 2 * len(records)
    for view, lead in enumerate(Wide.shown):
        for i, record in enumerate(records):
            values = record_signal(corpus, record)[lead][:WINDOW]
            expected = minmax(corpus, record, lead, values)
            np.testing.assert_allclose(shown[view * len(records) + i], expected, atol=1e-4)
            wrong = minmax(corpus, record, 0, values)
            assert not np.allclose(shown[view * len(records) + i], wrong, atol=1e-3)


def test_views_of_single_lead_instances_are_scaled_as_their_lead(corpus):
    fit = made(corpus, Long, crop="start")
    seen = []
    fit.strategy.encoder.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    fit.run(until=1)
    index = fit.permutation[: fit.batch]
    views = seen[0].view(2, len(index), WINDOW)
    for i, instance in enumerate(index):
        record, lead = int(fit.data.record[instance]), int(fit.data.lead[instance])
        values = minmax(corpus, record, lead, record_signal(corpus, record)[lead])
        for view in (0, 1):
            expected = values[view * WINDOW : (view + 1) * WINDOW]
            np.testing.assert_allclose(views[view, i].numpy(), expected, atol=1e-4)


def embedded(fit, corpus, record, leads):
    """Mean over some leads of the embeddings of a record's first window, each by itself."""
    signal = record_signal(corpus, record)
    scaled = np.stack([minmax(corpus, record, lead, signal[lead][:WINDOW]) for lead in leads])
    with torch.no_grad():
        return fit.strategy.eval().encoder(torch.tensor(scaled, dtype=torch.float32)[:, None]).mean(0)


@pytest.mark.parametrize("kind", [Long, Wide, LongAndWide])
def test_training_instances_are_embedded_as_they_are_evaluated(corpus, kind):
    """The first window alone; of all leads the mean, for single ones are what the encoder reads."""
    fit = made(corpus, kind).run(until=2)
    every = fit.training().embed()
    assert every.shape == (len(fit.data), 8)
    for i in (0, 5, len(fit.data) - 1):
        leads = range(4) if fit.data.lead is None else [int(fit.data.lead[i])]
        expected = embedded(fit, corpus, int(fit.data.record[i]), leads)
        torch.testing.assert_close(every[i], expected, rtol=1e-4, atol=1e-5)
    some = torch.tensor([5, 0])
    torch.testing.assert_close(fit.training().embed(some), every[some])


@pytest.mark.parametrize("kind", [Long, Wide, LongAndWide])
@pytest.mark.parametrize("instance", ["record", "lead"])
def test_validation_instances_are_drawn_alike_and_select(corpus, kind, instance):
    fit = made(corpus, kind, instance)
    lengths = corpus.records["length"].to_numpy()
    windows = kind.draws(Params()).windows
    long = [row for row in rows_of(corpus).val if windows == 1 or lengths[row] >= 2 * WINDOW]
    assert sorted(set(fit.validation.record.tolist())) == sorted(long)
    before = fit.validation_loss()
    assert np.isfinite(before) and fit.validation_loss() == before
    fit.run()
    assert fit.selection.step in (2, 4) and np.isfinite(fit.selection.best)


class Averaged(Strategy):
    """A copy of the encoder sees the same views; watches what its layers compute in."""

    name, title = "averaged", "Averaged"

    def __init__(self, encoder, params, info, parents=None):
        super().__init__(encoder, params, info, parents)
        self.target = copy.deepcopy(encoder)
        self.types = {}
        for name, part in (("online", self.encoder), ("target", self.target)):
            for layer in part.modules():
                if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear | torch.nn.LSTM):
                    layer.register_forward_hook(self._watch(name))

    def _watch(self, name):
        def hook(module, inputs, output):
            values = output[0] if isinstance(output, tuple) else output
            self.types.setdefault((name, type(module).__name__), set()).add(values.dtype)

        return hook

    def loss(self, batch, views, step):
        with torch.no_grad():
            goal = self.target(views.signal)
        made = self.encoder(views.signal)
        self.returned = (goal.dtype, made.dtype)
        return Loss((made - goal + 1).square().mean())


class Sequenced(Averaged):
    """Reads features over time and their context."""

    name = "sequenced"

    def loss(self, batch, views, step):
        features = self.encoder.sequence(views.signal)
        context = self.encoder.context(features)
        with torch.no_grad():
            goal = self.target.context(self.target.sequence(views.signal))
        self.returned = (features.dtype, context.dtype, goal.dtype)
        return Loss((context - goal + 1).square().mean() + features.square().mean())


@pytest.mark.parametrize(("precision", "inside"), [("float32", torch.float32), ("bf16", torch.bfloat16)])
@pytest.mark.parametrize("kind", [Averaged, Sequenced])
def test_low_precision_reaches_every_encoder_and_nothing_that_leaves_one(corpus, kind, precision, inside):
    encoder = CPCNet if kind is Sequenced else ResNet1d18
    fit = made(corpus, kind, "record", encoder=encoder, precision=precision).run(until=2)
    strategy = fit.strategy
    assert set(strategy.returned) == {torch.float32}
    layers = ("Linear", "LSTM") if kind is Sequenced else ("Conv2d",)
    for name in ("online", "target"):
        for layer in layers:
            assert strategy.types[name, layer] == {inside}
    assert {p.dtype for p in strategy.parameters()} == {torch.float32}


def test_an_unknown_precision_is_refused(corpus):
    with pytest.raises(ValueError, match="unknown precision 'fp8'; use float32 or bf16"):
        use_precision(made(corpus, Long).strategy, "fp8", CPU)
