"""CLOCS in time: which samples a view holds, and whose views agree."""

import pytest
import torch
from pydantic import ValidationError

from bench.run.contract.stand import Stand
from bench.train.strategy import Field
from strategies.clocs_time import ClocsTime
from tests.strategies.making import batch, generator, info, make, pairs, signals


def test_two_halves_of_each_record():
    strategy, b = make(ClocsTime), batch(signals(2, samples=41))
    views = strategy.views(b, generator())
    assert torch.equal(views.signal, torch.cat((b.signal[:, :, :20], b.signal[:, :, 20:40])))
    assert views.source.tolist() == [0, 1, 0, 1]
    assert views.group.tolist() == [0, 0, 1, 1]
    assert pairs(strategy.positives(b, views)) == {(0, 2), (1, 3)}


def test_more_segments_share_no_sample_and_all_agree():
    strategy, b = make(ClocsTime, views=4), batch(signals(2, samples=40))
    views = strategy.views(b, generator())
    rebuilt = views.signal.view(4, 2, 12, 10).permute(1, 2, 0, 3).flatten(2)
    assert torch.equal(rebuilt, b.signal)
    same_record = {(i, j) for i in range(8) for j in range(8) if i < j and i % 2 == j % 2}
    assert pairs(strategy.positives(b, views)) == same_record


def test_random_crops_lie_within_their_record_at_starts_of_their_own():
    strategy = make(ClocsTime, crops="random")
    ramp = torch.arange(40.0) + 1000 * torch.arange(50.0)[:, None, None]
    b = batch(ramp.expand(50, 12, 40).contiguous())
    views = strategy.views(b, generator())
    assert views.signal.shape == (100, 12, 20)
    start = views.signal[:, 0, 0] - 1000 * views.source
    assert torch.equal(
        views.signal[:, 3], ramp[views.source, 0].gather(1, start.long()[:, None] + torch.arange(20))
    )
    assert start.min() == 0
    assert start.max() == 20
    assert not torch.equal(start[:50], start[50:])


def test_positives_of_the_same_record_or_patient():
    b = batch(signals(3), record=[7, 9, 8], patient=[1, 1, 2])
    by_record, by_patient = make(ClocsTime), make(ClocsTime, positives="patient")
    views = by_record.views(b, generator())
    assert pairs(by_record.positives(b, views)) == {(0, 3), (1, 4), (2, 5)}
    assert pairs(by_patient.positives(b, views)) == {(0, 1), (0, 3), (0, 4), (1, 3), (1, 4), (3, 4), (2, 5)}


def test_one_lead_instances_of_one_record_agree():
    """With instances of one lead, two of them are of one record: CLOCS counts its segments as positives."""
    b = batch(signals(2, leads=1), record=[5, 5])
    strategy = make(ClocsTime, info(leads=1))
    assert len(pairs(strategy.positives(b, strategy.views(b, generator())))) == 6


def test_the_ledger_is_charged_for_patients_only_where_they_are_used():
    assert ClocsTime.needs_with(ClocsTime.Params()) == frozenset()
    assert ClocsTime.needs_with(ClocsTime.Params(positives="patient")) == {Field.PATIENT}


def test_what_cannot_be_cut_is_refused():
    assert ClocsTime.incompatible(info(samples=5), ClocsTime.Params(views=6)) is not None
    assert ClocsTime.incompatible(info(samples=6), ClocsTime.Params(views=6)) is None
    with pytest.raises(ValidationError):
        ClocsTime.Params(views=1)


@pytest.mark.parametrize(("params", "columns"), [({}, set()), ({"positives": "patient"}, {"patient"})])
def test_batches_hold_patients_only_where_the_ledger_says_so(params, columns, tmp_path):
    assert set(Stand(ClocsTime, params, tmp_path).fit().data.fields.columns) == columns
