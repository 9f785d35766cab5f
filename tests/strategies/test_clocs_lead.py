"""CLOCS across leads: groups of leads, their places, and the record's embedding."""

import pytest
import torch

from bench.nn.clocs import clocs_loss
from bench.nn.encoders.net_s import NetS
from bench.run.contract.stand import Stand
from bench.train.strategy import Draw, Field
from strategies.clocs_lead import ClocsLead
from tests.strategies.making import STEP, batch, generator, info, make, pairs, signals


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


def clocs(recipe: str = "clocs", leads: int = 1) -> tuple[ClocsLead, NetS]:
    """CMLC over four leads; what is evaluated is one of them, or all."""
    encoder = NetS(1, samples=400, dim=8, dropout=0.0)
    known = info(leads=leads, samples=400, drawn=(4, 400))
    return ClocsLead(encoder, ClocsLead.Params(**ClocsLead.recipes[recipe]), known), encoder


def test_all_leads_are_drawn_where_views_are_single_leads():
    drawn = {name: ClocsLead.draws(ClocsLead.Params(**p)) for name, p in ClocsLead.recipes.items()}
    single = dict.fromkeys(("goodviews_text", "clocs", "clocs_code"), Draw(all_leads=True))
    assert drawn == dict.fromkeys(ClocsLead.recipes, Draw()) | single


def test_single_leads_are_paired_where_each_is_evaluated_by_itself_and_halves_are_not():
    alone = info(leads=1, drawn=(4, 40))
    assert ClocsLead.incompatible(alone, ClocsLead.Params(**ClocsLead.recipes["clocs"])) is None
    assert "4 groups" in ClocsLead.incompatible(alone, ClocsLead.Params(groups="single", views=5))
    assert "one lead" in ClocsLead.incompatible(info(leads=1), ClocsLead.Params())
    only = info(leads=1, drawn=(1, 40))
    assert "one lead" in ClocsLead.incompatible(only, ClocsLead.Params(groups="single"))


@pytest.mark.parametrize("leads", [1, 4])
def test_clocs_embeds_one_lead_or_the_mean_of_all(leads):
    strategy, encoder = clocs(leads=leads)
    strategy.eval()
    judged = batch(signals(3, leads=leads, samples=400))
    expected = torch.stack([encoder(judged.signal[:, [lead]]) for lead in range(leads)]).mean(0)
    torch.testing.assert_close(strategy.embed(judged), expected)
    assert strategy.embed(judged).shape == (3, 8)


def views_reached(recipe: str) -> list[bool]:
    """Which of the four leads the loss depends on."""
    strategy, _ = clocs(recipe)
    strategy.eval()
    b = batch(signals(5, leads=4, samples=400), patient=[1, 2, 1, 3, 1])
    views = strategy.views(b, generator())
    assert torch.equal(views.signal[:, 0], b.signal[views.source, views.leads[:, 0]])
    views.signal.requires_grad_()
    strategy.loss(b, views, STEP).total.backward()
    return [bool(views.signal.grad[views.leads[:, 0] == lead].any()) for lead in range(4)]


def test_the_gradient_of_clocs_reaches_every_lead_and_as_published_the_last_two():
    assert views_reached("clocs") == [True] * 4
    assert views_reached("clocs_code") == [False, False, True, True]


def test_the_loss_of_clocs_is_over_all_pairs_of_leads_at_the_temperature_of_its_paper():
    strategy, encoder = clocs()
    strategy.eval()
    b = batch(signals(5, leads=4, samples=400), patient=[1, 2, 1, 3, 1])
    loss = strategy.loss(b, strategy.views(b, generator()), STEP).total
    embedding = torch.stack([encoder(b.signal[:, [lead]]) for lead in range(4)])
    pairs_of_leads = [
        clocs_loss(embedding[[i, j]], b.patient, 0.1) for i in range(4) for j in range(i + 1, 4)
    ]
    torch.testing.assert_close(loss, torch.stack(pairs_of_leads).mean())


def test_recipes_of_clocs_are_on_the_ledger_and_hold_patients(tmp_path):
    recipes = {n: ClocsLead.needs_with(ClocsLead.Params(**p)) for n, p in ClocsLead.recipes.items()}
    assert {name for name, needs in recipes.items() if needs} == {"clocs", "clocs_code"}
    fit = Stand(ClocsLead, ClocsLead.recipes["clocs"], tmp_path).fit()
    assert set(fit.data.fields.columns) == {"patient"}
