"""Every window of every record counts once; aggregation is a mean or a maximum per record."""

import numpy as np
import pytest
import torch

from bench.evaluate.result import Result, score_rows, targets_and_scores
from bench.evaluate.windows import aggregate, over_records
from bench.train.budget import InputSpec
from bench.train.inputs import load_signals, record_fields
from bench.train.units import evaluation_instances, record_windows
from tests.corpora import tiny_corpus


def test_windows_by_hand():
    record, start = record_windows(np.array([1000, 250, 100, 600]), 250, 125)
    assert start[record == 0].tolist() == [0, 125, 250, 375, 500, 625, 750]
    assert start[record == 1].tolist() == [0]
    assert start[record == 2].tolist() == [0]
    assert start[record == 3].tolist() == [0, 125, 250]


def test_aggregation_against_a_loop():
    rng = np.random.default_rng(0)
    record = np.repeat([0, 1, 2], [3, 1, 4])[rng.permutation(8)]
    values = rng.normal(size=(8, 2)).astype(np.float32)
    for how, function in (("mean", np.mean), ("max", np.max)):
        got = aggregate(torch.from_numpy(values), torch.from_numpy(record), 3, how)
        expected = np.stack([function(values[record == r], 0) for r in range(3)])
        np.testing.assert_allclose(got, expected, rtol=1e-6)
    with pytest.raises(ValueError, match="1 records have no evaluation window"):
        aggregate(torch.from_numpy(values), torch.from_numpy(record), 4, "mean")


@pytest.mark.parametrize("instance", ["record", "lead"])
def test_over_records_does_not_depend_on_the_batch(tmp_path, instance):
    corpus = tiny_corpus(tmp_path / "tiny", records=12)
    spec = InputSpec(rate=50, window=80, stride=40, instance=instance, scaling="zscore-lead")
    signals = load_signals(corpus, spec, [0, 3], torch.device("cpu"), np.arange(12))
    fields = record_fields(corpus, np.arange(12), frozenset(), "x")

    def peak(batch):
        return batch.signal.amax((1, 2))[:, None]

    whole = over_records(peak, signals, fields, spec, "max", rows_a_batch=1000)
    np.testing.assert_array_equal(whole, over_records(peak, signals, fields, spec, "max", rows_a_batch=7))
    for row, record in corpus.records.iterrows():
        signal = corpus.signals[record["offset"] : record["offset"] + record["length"]][:, [0, 3]] / 1e3
        scaled = (signal - signal.mean(0)) / signal.std(0)
        assert whole[row, 0] == pytest.approx(scaled.max(), abs=1e-2)


def test_results_survive_bytes_and_refuse_nonsense():
    units = np.array([["test", "r1", "p1", "s"], ["test", "r2", "p1", "s"]])
    import pandas as pd

    frame = pd.DataFrame(units, columns=["part", "record", "patient", "source"])
    targets, scores = np.array([[1, 0], [0, 1]]), np.array([[0.7, 0.3], [0.4, 0.6]])
    result = Result("scores", score_rows(frame, ("a", "b"), targets, scores, "subset"))
    assert result.to_bytes() == result.to_bytes()
    again = Result.from_bytes("scores", result.to_bytes())
    got_targets, got_scores, classes = targets_and_scores(again.table)
    np.testing.assert_array_equal(got_targets, targets)
    np.testing.assert_allclose(got_scores, scores, atol=1e-7)
    assert classes == ("a", "b")
    with pytest.raises(ValueError, match="not finite"):
        Result("scores", score_rows(frame, ("a", "b"), targets, scores * np.nan, "subset"))
    with pytest.raises(ValueError, match="needs the column 'class'"):
        Result("assignments", again.table)


def test_a_record_has_at_most_so_many_windows_evenly_spaced():
    lengths = np.array([1000, 250, 100, 600])
    for most, expected in (
        (1, [[0], [0], [0], [0]]),
        (2, [[0, 750], [0], [0], [0, 250]]),
        (3, [[0, 375, 750], [0], [0], [0, 125, 250]]),
        (99, [list(range(0, 751, 125)), [0], [0], [0, 125, 250]]),
    ):
        record, start = record_windows(lengths, 250, 125, most)
        assert [start[record == r].tolist() for r in range(4)] == expected
    spec = InputSpec(rate=50, window=250, stride=125, windows=2)
    units = evaluation_instances(lengths, 250, 3, spec)
    assert (
        len(units) == 6
        and len(evaluation_instances(lengths, 250, 3, spec.model_copy(update={"windows": None}))) == 12
    )
