"""Rhythm: label sets, the tasks each mode reads, and that hidden labels stay hidden."""

import numpy as np
import pytest
import torch

from bench.run.contract.stand import ROWS, Stand
from bench.train.strategy import Field, UndeclaredField
from strategies.rhythm import Rhythm, agreement
from tests.strategies.making import batch, generator, info, make, pairs, signals

LABELS = torch.tensor([[1, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 1], [0, 0, 0], [0, 0, 0]], dtype=torch.float32)


def test_equal_label_sets():
    assert pairs(agreement(LABELS, "equal")) == {(0, 1)}


def test_overlapping_label_sets():
    assert pairs(agreement(LABELS, "overlap")) == {(0, 1), (0, 2), (1, 2), (2, 3)}


def test_agreement_against_sets():
    labels = (torch.rand(40, 5, generator=generator()) < 0.3).float()
    sets = [frozenset(row.nonzero().flatten().tolist()) for row in labels]
    equal = {(i, j) for i in range(40) for j in range(i + 1, 40) if sets[i] == sets[j] and sets[i]}
    overlap = {(i, j) for i in range(40) for j in range(i + 1, 40) if sets[i] & sets[j]}
    assert pairs(agreement(labels, "equal")) == equal
    assert pairs(agreement(labels, "overlap")) == overlap


def positives(columns, **params):
    strategy = make(Rhythm, **params)
    b = batch(signals(len(next(iter(columns.values())))), **columns)
    return pairs(strategy.positives(b, strategy.views(b, generator())))


def test_modes_read_their_own_tasks():
    columns = {
        "labels": torch.tensor([[1, 0], [1, 0], [0, 1], [1, 0]], dtype=torch.float32),
        "labels:rhythm11": torch.tensor([[1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 1, 0]], dtype=torch.float32),
        "labels:conditions": torch.tensor([[0, 0], [0, 0], [0, 0], [1, 0]], dtype=torch.float32),
    }
    assert positives(columns) == {(0, 1), (0, 3), (1, 3)}
    assert positives(columns, mode="rhythm11") == {(1, 2), (1, 3), (2, 3)}
    assert positives(columns, mode="rhythm_conditions") == {(1, 2)}  # the empty set of conditions is a set


@pytest.mark.parametrize(
    ("mode", "tasks", "missing"),
    [
        ("rhythm11", {"superdiagnostic": 5}, "rhythm11"),
        ("rhythm_conditions", {"rhythm11": 11}, "conditions"),
        ("rhythm11", {"rhythm11": 11}, None),
        ("rhythm_conditions", {"rhythm11": 11, "conditions": 56}, None),
    ],
)
def test_a_corpus_without_the_task_is_refused(mode, tasks, missing):
    reason = Rhythm.incompatible(info(tasks=tasks), Rhythm.Params(mode=mode))
    assert (reason is None) if missing is None else (repr(missing) in reason)


def test_label4_runs_on_any_task():
    assert Rhythm.incompatible(info(tasks={"superdiagnostic": 5}), Rhythm.Params()) is None


def test_it_is_trained_on_labelled_records_only(tmp_path):
    fit = Stand(Rhythm, {}, tmp_path).fit()
    assert fit.data.record.tolist() == ROWS.labelled.tolist()
    assert bool(fit.data.fields.column("labelled").all())
    seen = np.zeros(len(ROWS.train) + 16, dtype=bool)
    views = fit.strategy.views
    fit.strategy.views = lambda b, g: (seen.__setitem__(b.record.numpy(), True), views(b, g))[1]
    fit.run()
    assert set(np.flatnonzero(seen)) <= set(ROWS.labelled.tolist())


def test_it_pays_with_labels_and_nothing_else():
    assert Rhythm.needs == {Field.LABELS}
    b = batch(signals(2))
    b = type(b)(b.signal, b.index, b.record, type(b.fields)({}, frozenset(), "rhythm"))
    with pytest.raises(UndeclaredField, match="labels"):
        make(Rhythm).positives(b, make(Rhythm).views(b, generator()))
