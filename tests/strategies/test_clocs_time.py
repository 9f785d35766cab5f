"""CLOCS in time: which samples a view holds, and whose views agree."""

import pytest
import torch
from pydantic import ValidationError

from bench.nn.clocs import clocs_loss
from bench.nn.encoders.net_s import NetS
from bench.run.contract.stand import Stand
from bench.train.strategy import Draw, Field
from strategies.clocs_time import ClocsTime
from tests.strategies.making import STEP, batch, generator, info, make, pairs, signals


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
    paid = {name for name, p in ClocsTime.recipes.items() if ClocsTime.needs_with(ClocsTime.Params(**p))}
    assert paid == {"clocs", "clocs_code"}


def test_what_cannot_be_cut_is_refused():
    assert ClocsTime.incompatible(info(samples=5), ClocsTime.Params(views=6)) is not None
    assert ClocsTime.incompatible(info(samples=6), ClocsTime.Params(views=6)) is None
    windows = ClocsTime.Params(segment="window")
    assert ClocsTime.incompatible(info(drawn=(12, 80)), windows) is None
    says = ClocsTime.incompatible(info(instances=0, drawn=(12, 80)), windows)
    assert says == "no training record is 2 windows of 40 samples long"
    with pytest.raises(ValidationError):
        ClocsTime.Params(views=1)


@pytest.mark.parametrize(("params", "columns"), [({}, set()), ({"positives": "patient"}, {"patient"})])
def test_batches_hold_patients_only_where_the_ledger_says_so(params, columns, tmp_path):
    assert set(Stand(ClocsTime, params, tmp_path).fit().data.fields.columns) == columns


def clocs(recipe: str = "clocs", **more) -> tuple[ClocsTime, NetS]:
    """CMSC on single leads with the encoder of its paper, which reads 400 samples and no other number."""
    encoder = NetS(1, samples=400, dim=8, dropout=0.0)
    known = info(leads=1, samples=400, drawn=(1, 800))
    return ClocsTime(encoder, ClocsTime.Params(**ClocsTime.recipes[recipe], **more), known), encoder


def test_segments_of_clocs_are_as_long_as_what_is_evaluated():
    strategy, encoder = clocs()
    b = batch(signals(3, leads=1, samples=800), patient=[1, 2, 1])
    views = strategy.views(b, generator())
    assert torch.equal(views.signal, torch.cat((b.signal[:, :, :400], b.signal[:, :, 400:])))
    assert views.leads is None
    assert encoder(views.signal).shape == (6, 8)
    assert strategy.embed(batch(signals(3, leads=1, samples=400))).shape == (3, 8)


def test_an_instance_is_drawn_as_many_windows_long_as_there_are_segments():
    drawn = {name: ClocsTime.draws(ClocsTime.Params(**p)) for name, p in ClocsTime.recipes.items()}
    windows = {"clocs": Draw(windows=2), "clocs_code": Draw(windows=2)}
    assert drawn == dict.fromkeys(ClocsTime.recipes, Draw()) | windows
    assert ClocsTime.draws(ClocsTime.Params(views=3, segment="window")) == Draw(windows=3)


@pytest.mark.parametrize(
    ("recipe", "terms"), [("clocs", {}), ("clocs_code", {"pairs": "last", "offdiagonals": "half"})]
)
def test_the_loss_of_clocs_contrasts_the_segments_of_all_instances(recipe, terms):
    strategy, encoder = clocs(recipe)
    strategy.eval()
    b = batch(signals(5, leads=1, samples=800), patient=[1, 2, 1, 3, 1])
    loss = strategy.loss(b, strategy.views(b, generator()), STEP).total
    embedding = torch.stack((encoder(b.signal[:, :, :400]), encoder(b.signal[:, :, 400:])))
    torch.testing.assert_close(loss, clocs_loss(embedding, b.patient, 0.1, **terms))
    loss.backward()
    assert all(bool(p.grad.isfinite().all()) for p in encoder.parameters())
    assert bool(encoder.head.weight.grad.any())


def test_the_loss_of_clocs_takes_its_positives_from_patients_or_records():
    strategy, _ = clocs()
    strategy.eval()
    same, apart = [6, 6, 6], [6, 7, 8]
    signal = signals(3, leads=1, samples=800)

    def loss(kind: ClocsTime, patient: list[int], record: list[int]) -> float:
        b = batch(signal, record=record, patient=patient)
        return kind.loss(b, kind.views(b, generator()), STEP).total.item()

    assert loss(strategy, same, apart) == loss(strategy, same, same) != loss(strategy, apart, same)
    record = ClocsTime(
        strategy.encoder, strategy.params.model_copy(update={"positives": "record"}), strategy.info
    )
    assert loss(record, same, apart) == loss(strategy, apart, apart)
    assert loss(record, apart, same) == loss(strategy, same, same)


def test_batch_norm_is_over_both_segments_or_by_segment():
    b = batch(signals(4, leads=1, samples=800) + torch.arange(800) / 100, patient=[1, 2, 3, 4])
    losses = []
    for batch_norm in ("joint", "by_view"):
        torch.manual_seed(0)
        strategy, encoder = clocs(batch_norm=batch_norm)
        losses.append(strategy.loss(b, strategy.views(b, generator()), STEP).total)
    torch.testing.assert_close(
        losses[1],
        clocs_loss(
            torch.stack((encoder(b.signal[:, :, :400]), encoder(b.signal[:, :, 400:]))), b.patient, 0.1
        ),
    )
    assert abs(losses[0].item() - losses[1].item()) > 1e-3
