"""CLOCS across leads: groups of leads, their places, and the record's embedding."""

import pytest
import torch

from bench.train.strategy import Field
from strategies.clocs_lead import ClocsLead
from tests.strategies.making import batch, generator, info, make, pairs, signals


def test_halves_are_limb_and_precordial_leads():
    strategy, b = make(ClocsLead), batch(signals(2))
    views = strategy.views(b, generator())
    assert strategy.encoder.leads == 6
    assert torch.equal(views.signal, torch.cat((b.signal[:, :6], b.signal[:, 6:])))
    assert views.source.tolist() == [0, 1, 0, 1]
    assert views.leads.tolist() == [[0, 1, 2, 3, 4, 5]] * 2 + [[6, 7, 8, 9, 10, 11]] * 2
    assert pairs(strategy.positives(b, views)) == {(0, 2), (1, 3)}


def test_single_leads_are_all_views():
    strategy, b = make(ClocsLead, info(leads=4), groups="single"), batch(signals(2, leads=4))
    views = strategy.views(b, generator())
    assert strategy.encoder.leads == 1
    assert views.signal.shape == (8, 1, 40)
    for row in range(8):
        assert torch.equal(views.signal[row], b.signal[views.source[row], views.leads[row]])
    assert views.leads.flatten().tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_a_random_pair_of_leads_differs_within_a_record_and_between_records():
    strategy, b = make(ClocsLead, groups="single", views=2), batch(signals(300))
    views = strategy.views(b, generator())
    assert views.signal.shape == (600, 1, 40)
    assert torch.equal(views.signal[:, 0], b.signal[views.source, views.leads[:, 0]])
    first, second = views.leads[:300, 0], views.leads[300:, 0]
    assert not bool((first == second).any())
    assert len(torch.stack((first, second), 1).unique(dim=0)) > 100  # of 132 ordered pairs
    assert pairs(strategy.positives(b, views)) == {(i, i + 300) for i in range(300)}


def test_a_record_is_embedded_as_the_mean_over_its_groups():
    strategy, b = make(ClocsLead), batch(signals(3))
    expected = (b.signal[:, :6, 0] + b.signal[:, 6:, 0]) / 2
    assert torch.allclose(strategy.embed(b), expected)
    single = make(ClocsLead, groups="single")
    assert torch.allclose(single.embed(b), b.signal[:, :, 0].mean(1, keepdim=True))


def test_an_encoder_of_single_leads_embeds_any_lead_set():
    strategy = make(ClocsLead, groups="single")
    assert strategy.embed(batch(signals(3, leads=2))).shape == (3, 1)


@pytest.mark.parametrize(
    ("leads", "params", "says"),
    [
        (1, {}, "one lead"),
        (1, {"groups": "single"}, "one lead"),
        (3, {}, "3 leads have no halves"),
        (12, {"views": 3}, "2 groups"),
        (12, {"groups": "single", "views": 13}, "12 groups"),
        (12, {"groups": "single", "views": 1}, "2 to 12"),
        (3, {"groups": "single"}, None),
        (2, {}, None),
        (12, {"views": 2}, None),
    ],
)
def test_lead_sets_that_have_no_two_groups_are_refused_with_the_reason(leads, params, says):
    reason = ClocsLead.incompatible(info(leads=leads), ClocsLead.Params(**params))
    assert (reason is None) if says is None else (says in reason)


def test_patient_positives_are_on_the_ledger():
    assert ClocsLead.needs_with(ClocsLead.Params(positives="patient")) == {Field.PATIENT}
    strategy = make(ClocsLead, positives="patient")
    b = batch(signals(2), patient=[4, 4])
    assert len(pairs(strategy.positives(b, strategy.views(b, generator())))) == 6
