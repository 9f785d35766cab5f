"""CLOCS across time and leads: which lead and which samples a view holds, its pairs, and the embedding."""

from itertools import combinations

import pytest
import torch
from pydantic import ValidationError

from bench.nn.clocs import clocs_loss
from bench.nn.encoders.net_s import NetS
from bench.nn.losses import multi_positive_nt_xent
from bench.run.contract.stand import Stand
from bench.train.strategy import BOARD, Draw, Field
from strategies.clocs_time_lead import ClocsTimeLead
from tests.strategies.making import STEP, batch, generator, info, make, pairs, signals


def clocs(recipe: str = "clocs", leads: int = 1, **more) -> tuple[ClocsTimeLead, NetS]:
    """CMSMLC over three leads and two windows of 400 samples; what is evaluated is one lead, or all."""
    encoder = NetS(1, samples=400, dim=8, dropout=0.0)
    known = info(leads=leads, samples=400, drawn=(3, 800))
    params = ClocsTimeLead.Params(**ClocsTimeLead.recipes[recipe], **more)
    return ClocsTimeLead(encoder, params, known), encoder


def test_every_lead_of_every_segment_is_a_view():
    strategy, _ = clocs()
    b = batch(signals(2, leads=3, samples=801), patient=[4, 5])
    views = strategy.views(b, generator())
    halves = b.signal[:, :, :400], b.signal[:, :, 400:800]
    expected = [halves[segment][:, [lead]] for lead in range(3) for segment in range(2)]
    assert torch.equal(views.signal, torch.cat(expected))
    assert views.source.tolist() == [0, 1] * 6
    assert views.group.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert views.leads.tolist() == [[0]] * 4 + [[1]] * 4 + [[2]] * 4
    same = {(i, j) for i, j in combinations(range(12), 2) if i % 2 == j % 2}
    assert pairs(strategy.positives(b, views)) == same


def test_more_segments_are_shorter_and_share_no_sample():
    strategy, b = make(ClocsTimeLead, segments=4, positives="record"), batch(signals(2))
    views = strategy.views(b, generator())
    rebuilt = views.signal.view(12, 4, 2, 10).permute(2, 0, 1, 3).flatten(2)
    assert torch.equal(rebuilt, b.signal)
    assert torch.equal(views.leads[:, 0], torch.arange(12).repeat_interleave(4 * 2))


def test_the_board_draws_two_views_of_each_record():
    board = ClocsTimeLead.recipes["board"]
    assert {name: board[name] for name in BOARD} == dict(BOARD)
    strategy, b = make(ClocsTimeLead, **board), batch(signals(400))
    views = strategy.views(b, generator())
    assert views.signal.shape == (800, 1, 20)
    segments = b.signal.view(400, 12, 2, 20)[views.source, views.leads[:, 0]]
    which = (segments == views.signal).all(2)
    assert bool((which.sum(1) == 1).all())
    part = 2 * views.leads[:, 0] + which.long().argmax(1)
    assert not bool((part[:400] == part[400:]).any())
    assert set(part.tolist()) == set(range(24))
    assert pairs(strategy.positives(b, views)) == {(i, i + 400) for i in range(400)}


def test_the_board_has_the_loss_of_the_board():
    strategy = make(ClocsTimeLead, **ClocsTimeLead.recipes["board"])
    b = batch(signals(6))
    views = strategy.views(b, generator())
    z = strategy.projector(strategy.encoder(views.signal))
    assert z.shape == (12, 64)
    expected = multi_positive_nt_xent(z, strategy.positives(b, views), 0.1)
    torch.testing.assert_close(strategy.loss(b, views, STEP).total, expected)


def test_all_leads_are_drawn_and_as_many_windows_as_segments():
    drawn = {n: ClocsTimeLead.draws(ClocsTimeLead.Params(**p)) for n, p in ClocsTimeLead.recipes.items()}
    long = Draw(windows=2, all_leads=True)
    assert drawn == {"clocs": long, "clocs_code": long, "board": Draw(all_leads=True)}
    params = ClocsTimeLead.Params(segments=3, segment="window")
    assert ClocsTimeLead.draws(params) == Draw(windows=3, all_leads=True)


def test_the_loss_is_over_all_pairs_of_views():
    strategy, encoder = clocs()
    strategy.eval()
    b = batch(signals(5, leads=3, samples=800), patient=[1, 2, 1, 3, 1])
    loss = strategy.loss(b, strategy.views(b, generator()), STEP).total
    embedding = [encoder(b.signal[:, [k], t : t + 400]) for k in range(3) for t in (0, 400)]
    each = [clocs_loss(torch.stack(pair), b.patient, 0.1) for pair in combinations(embedding, 2)]
    assert len(each) == 15
    torch.testing.assert_close(loss, torch.stack(each).mean())


@pytest.mark.parametrize(
    ("recipe", "reached"), [("clocs", [True] * 6), ("clocs_code", [False] * 4 + [True] * 2)]
)
def test_the_gradient_reaches_every_view_and_as_published_the_last_lead_alone(recipe, reached):
    strategy, encoder = clocs(recipe)
    b = batch(signals(5, leads=3, samples=800), patient=[1, 2, 1, 3, 1])
    views = strategy.views(b, generator())
    views.signal.requires_grad_()
    strategy.loss(b, views, STEP).total.backward()
    assert [bool(views.signal.grad[views.group == view].any()) for view in range(6)] == reached
    assert all(bool(p.grad.isfinite().all()) for p in encoder.parameters())
    assert bool(encoder.head.weight.grad.any())


def test_each_instance_may_draw_views_of_its_own_in_the_loss_of_clocs_too():
    strategy, encoder = clocs(views=3)
    strategy.eval()
    b = batch(signals(5, leads=3, samples=800), patient=[1, 2, 1, 3, 1])
    views = strategy.views(b, generator())
    embedding = encoder(views.signal).view(3, 5, 8)
    assert len(views.leads.view(3, 5).T.unique(dim=0)) > 1
    torch.testing.assert_close(strategy.loss(b, views, STEP).total, clocs_loss(embedding, b.patient, 0.1))


@pytest.mark.parametrize("leads", [1, 3])
def test_one_lead_is_embedded_or_the_mean_of_all(leads):
    strategy, encoder = clocs(leads=leads)
    strategy.eval()
    judged = batch(signals(4, leads=leads, samples=400))
    expected = torch.stack([encoder(judged.signal[:, [lead]]) for lead in range(leads)]).mean(0)
    torch.testing.assert_close(strategy.embed(judged), expected)
    assert strategy.embed(judged).shape == (4, 8)
    assert ClocsTimeLead.encoder_leads(leads, strategy.params) == 1


@pytest.mark.parametrize(
    ("known", "params", "says"),
    [
        ({"leads": 1}, {}, "one lead only"),
        ({"leads": 1, "drawn": (4, 80)}, {"segment": "window"}, None),
        ({"drawn": (12, 80), "instances": 0}, {"segment": "window"}, "record is 2 windows of 40 samples"),
        ({"samples": 3}, {"segments": 4}, "3 samples cannot be cut into 4"),
        ({"samples": 4}, {"segments": 4}, None),
        ({}, {"views": 1}, "use 2 to 24"),
        ({}, {"views": 25}, "use 2 to 24"),
        ({}, {"views": 24}, None),
    ],
)
def test_what_has_no_two_views_is_refused_with_the_reason(known, params, says):
    reason = ClocsTimeLead.incompatible(info(**known), ClocsTimeLead.Params(**params))
    assert (reason is None) if says is None else (says in reason)


def test_one_segment_is_no_pair():
    with pytest.raises(ValidationError):
        ClocsTimeLead.Params(segments=1)


def test_patients_are_on_the_ledger_but_on_the_board(tmp_path):
    needs = {n: ClocsTimeLead.needs_with(ClocsTimeLead.Params(**p)) for n, p in ClocsTimeLead.recipes.items()}
    assert needs == {"clocs": {Field.PATIENT}, "clocs_code": {Field.PATIENT}, "board": frozenset()}
    fit = Stand(ClocsTimeLead, ClocsTimeLead.recipes["board"], tmp_path).fit()
    assert set(fit.data.fields.columns) == set()
