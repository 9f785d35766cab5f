"""Batches by index arithmetic give what reading record by record gives; undeclared fields stay closed."""

import numpy as np
import pytest
import torch

from bench.data.corpus import CorpusError
from bench.data.measured import databases
from bench.train.budget import InputSpec
from bench.train.inputs import load_signals, long_enough, record_fields, training_frames, training_set
from bench.train.strategy import Draw, Field, UndeclaredField
from bench.train.units import evaluation_instances
from tests.corpora import tiny_corpus

CPU = torch.device("cpu")
LEADS = [0, 6, 11]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return tiny_corpus(tmp_path_factory.mktemp("corpus") / "tiny")


def reference(corpus, record):
    row = corpus.records.iloc[record]
    return np.asarray(corpus.signals[row["offset"] : row["offset"] + row["length"]], float)[:, LEADS].T / 1e3


@pytest.mark.parametrize("start", [0, 17, 150])
def test_gather_reads_the_right_samples_and_pads_with_zeros(corpus, start):
    signals = load_signals(corpus, InputSpec(rate=50, window=90), LEADS, CPU, np.arange(10))
    got = signals.gather(torch.tensor([3, 41]), torch.tensor([start, start])).numpy()
    for row, record in enumerate((3, 41)):
        expected = reference(corpus, record)[:, start : start + 90]
        np.testing.assert_allclose(got[row, :, : expected.shape[1]], expected, atol=1e-6)


def test_records_shorter_than_the_window_are_padded(corpus):
    signals = load_signals(corpus, InputSpec(rate=50, window=260), LEADS, CPU, np.arange(10))
    got = signals.gather(torch.tensor([5, 59]), torch.tensor([0, 0])).numpy()
    np.testing.assert_allclose(got[1, :, :200], reference(corpus, 59), atol=1e-6)
    levels = np.stack(corpus.records["mean"].iloc[[5, 59]].to_list())[:, LEADS, None]
    np.testing.assert_allclose(got[:, :, 200:], np.repeat(levels, 60, axis=2), atol=1e-6)
    scaled = signals.scaled(torch.from_numpy(got), torch.tensor([5, 59])).numpy()
    assert (scaled[:, :, 200:] == 0).all() and not (scaled[:, :, :200] == 0).any()


def test_an_instance_knows_how_much_of_it_is_the_record(corpus):
    signals = load_signals(corpus, InputSpec(rate=50, window=260), LEADS, CPU, np.arange(10))
    fields = record_fields(corpus, np.arange(4), frozenset(), "x")
    data = training_set(signals, np.arange(4), fields, InputSpec(rate=50, window=260))
    assert data.draw(torch.arange(3), torch.Generator()).valid.tolist() == [200, 200, 200]
    whole = load_signals(corpus, InputSpec(rate=50, window=90), LEADS, CPU, np.arange(10))
    assert (
        training_set(whole, np.arange(4), fields, InputSpec(rate=50)).draw(torch.arange(3), None).valid
        is None
    )


@pytest.mark.parametrize(
    "scaling", ["zscore-record", "zscore-global", "minmax", "zscore-lead", "minmax-view"]
)
def test_leads_that_are_not_shown_are_zero_and_the_others_as_if_they_were_alone(corpus, scaling):
    spec, rows = InputSpec(rate=50, window=90, scaling=scaling), torch.tensor([3, 41])
    filled = load_signals(corpus, spec, LEADS, CPU, np.arange(10), present=[0, 11])
    alone = load_signals(corpus, spec, [0, 11], CPU, np.arange(10))
    start = torch.tensor([0, 20])
    shown = filled.scaled(filled.gather(rows, start), rows)
    assert (shown[:, 1] == 0).all()
    assert torch.equal(shown[:, [0, 2]], alone.scaled(alone.gather(rows, start), rows))
    single = filled.scaled(filled.gather(rows, start)[:, 1:], rows, torch.tensor([[1, 2], [1, 2]]))
    assert torch.equal(single, shown[:, 1:])


def test_the_database_of_a_record_is_its_place_among_the_corpus_s_own(corpus, monkeypatch):
    sources = ["b", "a", "", "unknown", "c"] * 12
    monkeypatch.setitem(corpus.__dict__, "records", corpus.records.assign(source=sources))
    fields = record_fields(corpus, np.array([0, 1, 2, 3, 4]), frozenset({Field.DATABASE}), "x")
    assert databases(corpus) == ("a", "b", "c")
    assert fields.column("database").tolist() == [1, 0, -1, -1, 2]


def test_every_scaling_is_what_it_says(corpus):
    everything = np.stack([reference(corpus, r) for r in range(len(corpus.records))])
    record = torch.tensor([2, 7])
    train = np.arange(20)
    flat = everything.reshape(len(everything), -1)
    expected = {
        "none": everything,
        "zscore-lead": (everything - everything.mean(2, keepdims=True)) / everything.std(2, keepdims=True),
        "zscore-record": (everything - flat.mean(1)[:, None, None]) / flat.std(1)[:, None, None],
        "zscore-global": (everything - flat[train].mean()) / flat[train].std(),
        "minmax": (everything - flat.min(1)[:, None, None]) / np.ptp(flat, axis=1)[:, None, None],
    }
    for scaling, values in expected.items():
        signals = load_signals(corpus, InputSpec(rate=50, scaling=scaling), LEADS, CPU, train)
        got = signals.scaled(signals.gather(record, torch.zeros(2, dtype=torch.int64)), record)
        np.testing.assert_allclose(got.numpy(), values[[2, 7]], atol=2e-3, err_msg=scaling)


def test_each_lead_of_each_view_may_be_scaled_by_itself(corpus):
    signals = load_signals(
        corpus, InputSpec(rate=50, window=60, scaling="minmax-view"), LEADS, CPU, np.arange(9)
    )
    view = (
        signals.gather(torch.tensor([2, 2]), torch.tensor([0, 90])) * torch.tensor([1.0, -3.0])[:, None, None]
    )
    view[0, 1] = 0.25  # a lead that does not move
    got = signals.scaled(view, torch.tensor([2, 2])).numpy()
    expected = view.numpy() - view.numpy().min(2, keepdims=True)
    width = np.maximum(np.ptp(view.numpy(), axis=2, keepdims=True), 1e-3)
    np.testing.assert_allclose(got, expected / width, atol=1e-5)
    assert got[1].min() == 0
    np.testing.assert_allclose(got[1].max(axis=1), 1, atol=1e-6)


def test_scaling_follows_the_leads_a_view_shows(corpus):
    signals = load_signals(corpus, InputSpec(rate=50), LEADS, CPU, np.arange(10))
    record = torch.tensor([4])
    whole = signals.gather(record, torch.tensor([0]))
    full = signals.scaled(whole, record)
    swapped = signals.scaled(whole[:, [2, 0]], record, torch.tensor([[2, 0]]))
    torch.testing.assert_close(swapped, full[:, [2, 0]])


def test_a_wrong_rate_and_ragged_records_are_refused(corpus):
    with pytest.raises(CorpusError, match="prepared at 50 Hz but the input spec asks 100"):
        load_signals(corpus, InputSpec(rate=100), LEADS, CPU, np.arange(5))


def test_random_starts_stay_inside_the_record_and_cover_it(corpus):
    spec = InputSpec(rate=50, window=150)
    signals = load_signals(corpus, spec, LEADS, CPU, np.arange(10))
    fields = record_fields(corpus, np.arange(10), frozenset(), "x")
    data = training_set(signals, np.arange(10), fields, spec)
    whole = {r: reference(corpus, r) for r in range(10)}
    generator, starts = torch.Generator().manual_seed(1), set()
    for _ in range(60):
        batch = data.draw(torch.tensor([6]), generator)
        got = batch.signal[0].numpy()
        matches = [s for s in range(51) if np.allclose(got, whole[6][:, s : s + 150], atol=1e-6)]
        assert len(matches) == 1
        starts.add(matches[0])
    assert min(starts) <= 5 and max(starts) >= 45


def test_lead_instances_are_one_lead_each_scaled_by_their_own_statistics(corpus):
    spec = InputSpec(rate=50, instance="lead", crop="start")
    signals = load_signals(corpus, spec, LEADS, CPU, np.arange(10))
    fields = record_fields(corpus, np.arange(4), frozenset({Field.PATIENT}), "x")
    data = training_set(signals, np.arange(4), fields, spec)
    assert len(data) == 12
    batch = data.draw(torch.tensor([7]), None)
    np.testing.assert_allclose(batch.signal[0, 0].numpy(), reference(corpus, 2)[1], atol=1e-6)
    scaled = data.scaled(batch).signal
    assert abs(float(scaled.mean())) < 1e-2 and abs(float(scaled.std()) - 1) < 1e-2
    assert batch.patient.item() == data.fields.columns["patient"][7].item()


def test_undeclared_fields_raise_and_declared_ones_hold_the_corpus_values(corpus):
    rows = np.array([1, 5, 9])
    fields = record_fields(corpus, rows, frozenset({Field.DEMOGRAPHICS}), "greedy")
    np.testing.assert_allclose(fields.column("age").numpy(), corpus.records["age"].iloc[rows])
    assert set(fields.columns) == {"age", "sex", "height", "weight"}
    for closed in ("patient", "measurements", "labels", "labelled", "labels:rhythm"):
        with pytest.raises(UndeclaredField, match="greedy reads"):
            fields.column(closed)


def test_labels_outside_the_subset_are_masked_everywhere(corpus):
    rows, known = np.arange(20), np.array([3, 4])
    fields = record_fields(corpus, rows, frozenset({Field.LABELS}), "s", "rhythm", known)
    assert fields.column("labelled").nonzero().flatten().tolist() == [3, 4]
    truth = corpus.targets("rhythm").to_numpy()
    for name in ("labels", "labels:rhythm"):
        values = fields.column(name).numpy()
        np.testing.assert_array_equal(values[known], truth[known])
        assert values.sum() == 2
    hidden = np.setdiff1d(rows, known)
    assert fields.column("labels:findings").numpy()[hidden].sum() == 0


def test_several_windows_are_read_end_to_end_and_padded_beyond_the_record(corpus):
    signals = load_signals(corpus, InputSpec(rate=50, window=80), LEADS, CPU, np.arange(10))
    got = signals.gather(torch.tensor([3, 59]), torch.tensor([10, 30]), 3).numpy()
    assert got.shape == (2, 3, 240)
    for row, (record, start) in enumerate(((3, 10), (59, 30))):
        expected = reference(corpus, record)[:, start:]
        np.testing.assert_allclose(got[row, :, : 200 - start], expected, atol=1e-6)
        level = corpus.records["mean"].iloc[record][LEADS]
        np.testing.assert_allclose(got[row, :, 200 - start :], np.tile(level[:, None], 40 + start), atol=1e-6)


def test_only_instances_of_several_windows_need_records_that_hold_them():
    lengths, rows = np.array([50, 100, 200, 159, 160]), np.array([4, 0, 2, 3])
    assert long_enough(lengths, rows, Draw(), 80).tolist() == [4, 0, 2, 3]
    assert long_enough(lengths, rows, Draw(windows=2), 80).tolist() == [4, 2]
    assert long_enough(lengths, rows, Draw(windows=2, all_leads=True), 81).tolist() == [2]


@pytest.mark.parametrize("instance", ["record", "lead"])
def test_frames_are_windows_at_their_places_whatever_the_crop(corpus, instance):
    spec = InputSpec(rate=50, window=80, stride=60, instance=instance, crop="random")
    signals = load_signals(corpus, spec, LEADS, CPU, np.arange(10))
    every = evaluation_instances(corpus.records["length"].to_numpy(), 80, len(LEADS), spec)
    units = every.at(np.array([1, 7, 8, 40, 41]))
    fields = record_fields(corpus, units.record, frozenset({Field.DEMOGRAPHICS}), "x")
    data = training_frames(signals, units, fields)
    assert len(data) == 5
    index = torch.tensor([4, 0, 2])
    batch = data.draw(index, torch.Generator().manual_seed(0))
    scaled = data.scaled(batch).signal
    for row, i in enumerate(index.tolist()):
        record, start, lead = units.record[i], units.start[i], units.lead[i]
        leads = [lead] if instance == "lead" else [0, 1, 2]
        whole = reference(corpus, record)[leads]
        window = whole[:, start : start + 80]
        np.testing.assert_allclose(batch.signal[row].numpy(), window, atol=1e-6)
        expected = (window - whole.mean(1, keepdims=True)) / whole.std(1, keepdims=True)
        np.testing.assert_allclose(scaled[row].numpy(), expected, atol=2e-3)
        assert batch.age[row] == corpus.records["age"][record]
