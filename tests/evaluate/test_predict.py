"""What is scored, unit by unit, and what noise does to it."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from bench.data.leads import lead_set
from bench.evaluate import predict as module
from bench.evaluate.predict import Judged, predict_from_classifier, predict_from_embeddings
from bench.evaluate.result import Result
from bench.evaluate.windows import over_records
from bench.nn.encoders.resnet1d import ResNet1d18
from bench.nn.noise import physiological_noise
from bench.report.views import MetricViews, ReportError
from bench.run.store import Store
from bench.train.budget import InputSpec
from bench.train.build import Recipe, Rows, build, make_info
from bench.train.fit import Seeds
from bench.train.inputs import load_signals, record_fields
from bench.train.strategy import Classifier, Params
from bench.train.units import evaluation_instances
from tests.corpora import tiny_corpus

CPU = torch.device("cpu")
LEADS = "challenge-2"
SPEC = InputSpec(rate=50, window=80, stride=60, instance="lead", aggregation="none")
"""Three windows a record of 200 samples: from 0, 60 and 120."""


class Watched(Classifier):
    """Keeps what it is shown; its logits are the encoder's first outputs."""

    name, title = "watched", "Watched"

    def __init__(self, encoder, params, info, parents=None):
        super().__init__(encoder, params, info, parents)
        self.seen = []

    def logits(self, batch):
        self.seen.append(batch.signal.clone())
        return self.encoder(batch.signal)[:, :2]


class Plain(Classifier):
    """Another classifier, without an encoder's help."""

    name, title = "plain", "Plain"

    def __init__(self, encoder, params, info, parents=None):
        super().__init__(encoder, params, info, parents)
        self.seen = []

    def logits(self, batch):
        self.seen.append(batch.signal.clone())
        return batch.signal.mean(dim=(1, 2))[:, None] * torch.tensor([1.0, -1.0])


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return tiny_corpus(tmp_path_factory.mktemp("predict") / "tiny", records=30)


def rows_of(corpus):
    part = corpus.records["part"].to_numpy()
    train, val, test = (np.flatnonzero(part == name) for name in ("train", "val", "test"))
    return Rows(train, train, val, val[:2], test)


def judged_by(corpus, spec=SPEC, task="rhythm"):
    return Judged(corpus, task, rows_of(corpus), spec, LEADS)


def signals_of(corpus, spec=SPEC):
    return load_signals(corpus, spec, lead_set(LEADS), CPU, rows_of(corpus).train)


def classifier(corpus, kind=Watched, spec=SPEC):
    info = make_info(corpus, spec, LEADS, rows_of(corpus), kind, Params(), None, 1)
    return build(
        Recipe(kind, ResNet1d18, {"width": 4, "dim": 8}, Params().model_dump(), info), CPU, Seeds(0, 0)
    )


def places(table):
    return list(zip(table["record"], table["start"], table["lead"], strict=True))


def every_unit(corpus, part):
    ids = corpus.records.loc[corpus.records["part"] == part, "record"]
    return [(record, start, lead) for record in ids for start in (0, 60, 120) for lead in ("I", "II")]


@pytest.mark.parametrize("task", ["rhythm", "findings"])
def test_windows_that_are_not_merged_are_scored_each_in_one_row(corpus, task):
    if task == "findings":
        labelled = corpus.targets(task).index
        known = np.flatnonzero(corpus.records["record"].isin(labelled))
        rows = rows_of(corpus)
        parts = {
            name: np.intersect1d(getattr(rows, name), known) for name in ("train", "labelled", "val", "test")
        }
        judged = Judged(corpus, task, replace(rows, **parts, val_subset=parts["val"]), SPEC, LEADS)
    else:
        judged, labelled = judged_by(corpus), corpus.records["record"]
    units = evaluation_instances(corpus.records["length"].to_numpy(), 80, 2, SPEC)
    embeddings = np.random.default_rng(0).normal(size=(len(units), 3)).astype(np.float32)
    result, _ = predict_from_embeddings(embeddings, judged, "probe", 0, 1)
    classes = corpus.tasks[task].classes
    for selection in ("subset", "all"):
        for part in ("val", "test"):
            table = result.table
            table = table[(table["selection"] == selection) & (table["part"] == part)]
            assert places(table) == [unit for unit in every_unit(corpus, part) if unit[0] in set(labelled)]
            targets = table[[f"target:{name}" for name in classes]].to_numpy()
            np.testing.assert_array_equal(targets, corpus.targets(task).loc[table["record"]].to_numpy())
            patients = corpus.records.set_index("record")["patient"]
            assert table["patient"].tolist() == patients[table["record"]].tolist()


def test_scores_of_units_are_those_of_the_classifier_one_by_one(corpus):
    judge = classifier(corpus)
    table = predict_from_classifier(judge, judged_by(corpus), signals_of(corpus)).table
    ids = corpus.records["record"].tolist()
    assert places(table[table["part"] == "test"]) == every_unit(corpus, "test")
    for row in table.iloc[::7].itertuples():
        place = corpus.records.iloc[ids.index(row.record)]
        column = ["I", "II"].index(row.lead)
        signal = corpus.signals[place["offset"] : place["offset"] + place["length"], column] / 1e3
        window = (signal[row.start : row.start + 80] - signal.mean()) / signal.std()
        logits = judge.encoder(torch.tensor(window, dtype=torch.float32)[None, None])[0, :2]
        expected = logits.softmax(0)[1].item()
        assert table.loc[row.Index, "score:fast"] == pytest.approx(expected, abs=1e-4)


def test_a_record_that_is_merged_has_one_row_and_no_place(corpus):
    spec = SPEC.model_copy(update={"aggregation": "mean"})
    table = predict_from_classifier(
        classifier(corpus), judged_by(corpus, spec), signals_of(corpus, spec)
    ).table
    assert not {"start", "lead"} & set(table.columns)
    assert table["record"].is_unique and len(table) == (corpus.records["part"] != "train").sum()
    single = predict_from_classifier(classifier(corpus), judged_by(corpus), signals_of(corpus)).table
    means = single.groupby("record")["score:fast"].mean()
    np.testing.assert_allclose(table["score:fast"], means[table["record"]], atol=1e-6)


def test_metrics_take_units_and_refuse_one_that_is_there_twice(corpus, tmp_path):
    result = predict_from_classifier(classifier(corpus), judged_by(corpus), signals_of(corpus))
    store = Store(tmp_path / "store")
    store.commit("a" * 64, {"scores.parquet": result.to_bytes()})
    parts = MetricViews(store, resamples=20).metrics("a" * 64, "single")["parts"]
    counts = {part["part"]: part["n"] for part in parts}
    assert counts == {part: len(every_unit(corpus, part)) for part in ("val", "test")}
    table = result.table.copy()
    twin = table.index[table["part"] == "test"][:2]
    table.loc[twin[1], "lead"] = table.loc[twin[0], "lead"]
    assert table.loc[twin, ["record", "start", "lead"]].duplicated().any()
    store.commit("b" * 64, {"scores.parquet": Result("scores", table).to_bytes()})
    with pytest.raises(ReportError, match="more than once"):
        MetricViews(store, resamples=20).metrics("b" * 64, "single")


def shape(batch):
    """(B, 3) of what tells signals apart."""
    return torch.stack((batch.signal.amax((1, 2)), batch.signal.amin((1, 2)), batch.signal[:, 0, 5]), 1)


@pytest.mark.parametrize("aggregation", ["mean", "max", "none"])
@pytest.mark.parametrize("instance", ["record", "lead"])
def test_some_records_alone_get_what_they_get_among_all(corpus, aggregation, instance):
    spec = SPEC.model_copy(update={"instance": instance})
    signals, fields = signals_of(corpus, spec), record_fields(corpus, np.arange(30), frozenset(), "x")
    whole = over_records(shape, signals, fields, spec, aggregation)
    rows = np.array([3, 4, 17, 29])
    some = over_records(shape, signals, fields, spec, aggregation, rows, rows_a_batch=5)
    units = evaluation_instances(corpus.records["length"].to_numpy(), 80, 2, spec)
    kept = np.isin(units.record, rows) if aggregation == "none" else rows
    assert len(some) == (4 if aggregation != "none" else 12 * (2 if instance == "lead" else 1))
    np.testing.assert_array_equal(some, whole[kept])


@pytest.mark.parametrize("instance", ["record", "lead"])
def test_what_disturbs_a_signal_is_told_what_it_shows_in_millivolts(corpus, instance):
    spec = SPEC.model_copy(update={"instance": instance})
    signals, fields = signals_of(corpus, spec), record_fields(corpus, np.arange(30), frozenset(), "x")
    shown, rows = [], np.array([2, 11])

    def disturb(signal, units):
        shown.extend(zip(units.record, units.start, units.lead, signal.numpy().copy(), strict=True))
        return signal * 0

    values = over_records(shape, signals, fields, spec, "none", rows, disturb, rows_a_batch=5)
    assert len(shown) == len(values) == 2 * 3 * (2 if instance == "lead" else 1)
    for i, (record, start, lead, signal) in enumerate(shown):
        place = corpus.records.iloc[record]
        first = place["offset"] + start
        leads = [lead] if instance == "lead" else [0, 1]
        expected = corpus.signals[first : first + 80, leads].T / 1e3
        np.testing.assert_allclose(signal, expected, atol=1e-6)
        flat = -np.array(place["mean"])[leads] / np.array(place["sd"])[leads]
        np.testing.assert_allclose(values[i, :2], [flat.max(), flat.min()], atol=1e-4)


def noise_in(corpus, kind, level, spec=SPEC):
    """Millivolts that a classifier met beyond the signal, (C, T), by record id, start and lead of a test window."""
    signals, judge = signals_of(corpus, spec), classifier(corpus, kind, spec)
    rows, fields = rows_of(corpus).test, record_fields(corpus, np.arange(30), frozenset(), "x")
    predict_from_classifier(judge, judged_by(corpus, spec), signals, noise=level)
    clean = torch.tensor(over_records(lambda b: b.signal.flatten(1), signals, fields, spec, "none", rows))
    units = evaluation_instances(corpus.records["length"].to_numpy(), 80, 2, spec)
    units = units.at(np.flatnonzero(np.isin(units.record, rows)))
    seen, scale = torch.cat(judge.seen), signals.scale[units.record]
    if spec.instance == "lead":
        scale = scale.gather(1, torch.tensor(units.lead)[:, None])
    noise = (seen - clean.view_as(seen)) * scale[..., None]
    ids = corpus.records["record"].to_numpy()[units.record]
    return dict(zip(zip(ids, units.start, units.lead, strict=True), noise, strict=True))


def assert_same(noise, other, atol=0.0):
    assert noise.keys() == other.keys() and noise
    for place, values in noise.items():
        torch.testing.assert_close(values, other[place], rtol=0, atol=atol)


def strength(noise):
    return float(torch.stack(list(noise.values())).std())


@pytest.mark.parametrize("instance", ["record", "lead"])
def test_every_classifier_meets_the_same_noise_and_every_window_its_own(corpus, instance):
    spec = SPEC.model_copy(update={"instance": instance})
    noise = noise_in(corpus, Watched, 3, spec)
    assert_same(noise, noise_in(corpus, Plain, 3, spec))
    flat = torch.stack(list(noise.values())).flatten(1)
    assert float((torch.corrcoef(flat) - torch.eye(len(flat))).max()) < 0.99
    assert strength(noise) > 0.3


def test_noise_does_not_hang_on_which_windows_stand_beside_one(corpus, tmp_path, monkeypatch):
    noise = noise_in(corpus, Plain, 2)
    turned = tiny_corpus(tmp_path / "turned", records=30, backwards=True)
    assert_same(noise, noise_in(turned, Plain, 2), atol=1e-5)
    monkeypatch.setattr(module, "over_records", partial(over_records, rows_a_batch=7))
    assert_same(noise, noise_in(corpus, Plain, 2))


def test_noise_is_as_strong_as_its_level(corpus):
    levels = {level: strength(noise_in(corpus, Plain, level)) for level in (1, 3, 6)}
    assert levels[1] < levels[3] < levels[6]
    for level, found in levels.items():
        drawn = physiological_noise((400, 1, 80), level, range(400), 50)
        assert found == pytest.approx(float(drawn.std()), rel=0.35)


def test_noise_touches_the_test_part_and_none_leaves_scores_as_they_were(corpus):
    judge, judged, signals = classifier(corpus), judged_by(corpus), signals_of(corpus)
    clean = predict_from_classifier(judge, judged, signals).table
    again = predict_from_classifier(judge, judged, signals, noise=0).table
    noisy = predict_from_classifier(judge, judged, signals, noise=1).table
    assert clean.equals(again) and set(clean["part"]) == {"val", "test"}
    test = clean[clean["part"] == "test"].reset_index(drop=True)
    assert set(noisy["part"]) == {"test"} and places(noisy) == places(test)
    scores = [name for name in test if name.startswith("score:")]
    assert noisy.drop(columns=scores).equals(test.drop(columns=scores))
    assert (np.abs(noisy["score:fast"] - test["score:fast"]) > 0).all()
