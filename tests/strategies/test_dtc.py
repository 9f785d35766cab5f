"""DTC: where prototypes begin, what the targets are, the order of phases, and that labels stay within their subset."""

import math

import pytest
import torch

from baselines.dtc import DTC, MAIN, SUPERVISED, WARM_UP
from bench.nn.kmeans import kmeans
from bench.nn.student import log_assignments, sharpened, spacing
from bench.run.contract.stand import Stand
from bench.train.checkpoint import from_bytes, to_bytes
from bench.train.fit import state_hash
from bench.train.strategy import Field, Fields, Step, Training, Views
from tests.strategies.making import batch, generator, info, make, signals

EDGES = (50.0,)
STEPS = 8


def told(classes=2, instances=80, edges=EDGES, **more):
    names = tuple(f"c{i}" for i in range(classes))
    return info(
        leads=12, instances=instances, classes=names, counts=(classes, 2, len(edges) + 1), edges=edges, **more
    )


def world(copies=10, spread=0.05, hidden=0.5):
    """A batch of 8 attribute sets, each a cloud at a place of its own; some rows without labels."""
    sets = torch.cartesian_prod(torch.arange(2), torch.arange(2), torch.arange(2)).repeat(copies, 1)
    place = (sets * torch.tensor([4, 2, 1])).sum(1)
    signal = spread * signals(len(sets), samples=2)
    signal[torch.arange(len(sets)), place, 0] += 2.0
    labelled = torch.rand(len(sets), generator=generator(1)) >= hidden
    labels = torch.nn.functional.one_hot(sets[:, 0], 2).float() * labelled[:, None]
    age = torch.where(sets[:, 2] == 1, 70.0, 30.0)
    return batch(signal, labels=labels, labelled=labelled, sex=sets[:, 1], age=age), sets, labelled


def training(strategy, b, seed=0):
    def embed(rows=None):
        with torch.no_grad():
            return strategy.embed(b) if rows is None else strategy.embed(b)[rows]

    return Training(b.fields, embed, seed)


def begun(phase=WARM_UP, hidden=0.5, **params):
    b, sets, labelled = world(hidden=hidden)
    strategy = make(DTC, told(), **params)
    for number in range(phase + 1):
        strategy.on_phase_start(number, training(strategy, b))
    return strategy, b, sets, labelled


def test_prototypes_begin_as_the_means_of_labelled_instances():
    strategy, b, sets, labelled = begun()
    z = strategy.project(strategy.embed(b)).detach()
    for row, attributes in enumerate(strategy.attributes()):
        mine = (sets == attributes).all(1) & labelled
        assert mine.any()
        assert torch.allclose(strategy.prototypes()[row], z[mine].mean(0), atol=1e-5)


def test_prototypes_of_classes_begin_as_class_means():
    strategy, b, sets, labelled = begun(link="classes")
    z = strategy.project(strategy.embed(b)).detach()
    expected = torch.stack([z[(sets[:, 0] == c) & labelled].mean(0) for c in range(2)])
    assert torch.allclose(strategy.prototypes(), expected, atol=1e-5)
    assert strategy.attributes().tolist() == [[0, -1, -1], [1, -1, -1]]


def test_a_set_without_instances_begins_near_its_class_and_a_class_without_near_everything():
    b, _, _ = world(hidden=0.0)
    strategy = make(DTC, told(classes=3))
    labels = torch.nn.functional.pad(b.labels, (0, 1))
    labels[(b.sex == 1) & (labels[:, 1] == 1)] = 0  # no labelled woman of class 1, nobody of class 2
    b = batch(b.signal, labels=labels, labelled=labels.any(1), sex=b.sex, age=b.age)
    strategy.on_phase_start(SUPERVISED, training(strategy, b))
    strategy.on_phase_start(WARM_UP, training(strategy, b))
    z, centres = strategy.project(strategy.embed(b)).detach(), strategy.prototypes()
    noise = 5 * 0.1 * float(z.std(0).max())
    assert centres.isfinite().all()
    for row, (chosen, sex, _) in enumerate(strategy.attributes().tolist()):
        near = z[labels[:, 1] == 1].mean(0) if chosen == 1 else z.mean(0)
        if chosen == 2 or (chosen == 1 and sex == 1):
            assert 0 < float((centres[row] - near).abs().max()) < noise


def test_the_bottleneck_begins_as_principal_axes():
    strategy, b, _, _ = begun()
    weight = strategy.bottleneck.weight.detach()
    assert weight.shape == (8, 12)
    assert torch.allclose(weight @ weight.T, torch.eye(8), atol=1e-5)
    z = strategy.project(strategy.embed(b)).detach()
    assert float(z.mean(0).abs().max()) < 1e-5
    assert float(torch.triu(torch.cov(z.T), 1).abs().max()) < 1e-5


def test_an_anchor_mixes_in_the_own_prototype_of_labelled_instances_only():
    plain, _, sets, labelled = begun()
    anchored, *_ = begun(anchor=0.5)
    own = torch.nn.functional.one_hot((sets * torch.tensor([4, 2, 1])).sum(1), 8)
    expected = torch.where(labelled[:, None], 0.5 * plain.targets + 0.5 * own, plain.targets)
    assert torch.allclose(anchored.targets, expected, atol=1e-6)


def test_as_published_prototypes_begin_at_random_and_labels_alone_make_the_targets():
    b, sets, labelled = world()
    strategy = make(DTC, told(), **DTC.recipes["published"])
    begin = strategy.centres.detach().clone()
    assert begin.shape == (8, strategy.encoder.dim)
    assert torch.allclose(begin.norm(dim=1), torch.ones(8))
    for phase in (SUPERVISED, WARM_UP, MAIN):
        strategy.on_phase_start(phase, training(strategy, b))
    assert torch.equal(strategy.prototypes(), begin)
    assert torch.equal(strategy.project(strategy.embed(b)), strategy.embed(b))
    assert torch.equal(strategy.targets > 0, labelled[:, None].expand(-1, 8))
    assert torch.equal(strategy.attributes()[strategy.targets[labelled].argmax(1)], sets[labelled])


def test_kmeans_prototypes_are_matched_with_sets_afterwards():
    strategy, b, sets, _ = begun(link="kmeans")
    ids = strategy.assign(strategy.embed(b))
    assert len(ids.unique()) == 8
    assert torch.equal(strategy.attributes()[ids], sets)
    assert sorted(map(tuple, strategy.attributes().tolist())) == sorted(set(map(tuple, sets.tolist())))


def test_kmeans_prototypes_are_the_best_of_twenty_restarts():
    b, _, _ = world(spread=20.0)  # no clusters
    strategy = make(DTC, told(), link="kmeans")
    strategy.on_phase_start(WARM_UP, training(strategy, b))
    z = strategy.project(strategy.embed(b)).detach()
    once, best = (kmeans(z, 8, 0, restarts=count)[0] for count in (1, 20))
    assert torch.allclose(strategy.prototypes(), best, atol=1e-5)
    assert not torch.allclose(once, best, atol=1e-2)


@pytest.mark.parametrize("link", ["kmeans", "sets"])
def test_only_kmeans_prototypes_are_matched_anew_at_the_end(link):
    strategy, b, sets, _ = begun(MAIN, link=link)
    with torch.no_grad():
        strategy.centres.copy_(strategy.centres.flip(0))
    before = strategy.attributes().clone()
    assert not torch.equal(before[strategy.assign(strategy.embed(b))], sets)
    strategy.on_fit_end(training(strategy, b))
    assert torch.equal(strategy.attributes(), before) == (link == "sets")
    assert torch.equal(strategy.attributes()[strategy.assign(strategy.embed(b))], sets) == (link == "kmeans")


def moved(strategy):
    with torch.no_grad():
        strategy.centres.add_(torch.randn(strategy.centres.shape, generator=generator(3)))


def fresh(strategy, b):
    """Whether the targets are those of the present prototypes."""
    q = log_assignments(strategy.project(strategy.embed(b)), strategy.centres).exp()
    return torch.allclose(strategy.targets, sharpened(q).detach(), atol=1e-5)


def test_targets_are_fixed_in_the_warm_up_and_renewed_after_it():
    strategy, b, _, _ = begun(WARM_UP)
    assert fresh(strategy, b)
    moved(strategy)
    strategy.on_epoch_start(0, training(strategy, b))
    assert not fresh(strategy, b)
    strategy.on_phase_start(MAIN, training(strategy, b))
    assert fresh(strategy, b)


def test_the_main_phase_renews_targets_every_so_many_epochs():
    strategy, b, _, _ = begun(MAIN, update=3)
    for epoch in range(1, 7):
        moved(strategy)
        strategy.on_epoch_start(epoch, training(strategy, b))
        assert fresh(strategy, b) == (epoch in (3, 6))
    z = strategy.project(strategy.embed(b)).detach()
    expected = [float(part) for part in spacing(z, strategy.prototypes())]
    assert strategy.watched[3:].tolist() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("consistency", ["none", "ensemble"])
def test_the_loss_finds_targets_and_means_by_the_row_in_the_training_set(consistency):
    strategy, b, _, _ = begun(MAIN, consistency=consistency)
    rows = torch.tensor([7, 2, 5, 0])
    few = type(b)(b.signal[rows], rows, rows, b.fields)
    call = few, Views.of(few.signal), Step(99, 100, 9, MAIN)
    parts = strategy.loss(*call).parts
    log_q = log_assignments(strategy.project(strategy.embed(few)), strategy.centres).detach()
    p = strategy.targets[rows]
    assert float((p - strategy.targets[:4]).abs().max()) > 0.1
    kl = sum(float((p[i] * (p[i].log() - log_q[i])).sum()) for i in range(4)) / 4
    assert float(parts["divergence"].detach()) == pytest.approx(kl, rel=1e-4)
    if consistency == "ensemble":
        assert strategy.ensemble.visits.nonzero()[:, 0].tolist() == [0, 2, 5, 7]
        assert torch.allclose(strategy.ensemble(rows)[0], log_q.exp(), atol=1e-6)
        assert float(strategy.loss(*call).parts["consistency"].detach()) < 1e-9  # the same again


@pytest.mark.parametrize(("phase", "count"), [(SUPERVISED, 1), (WARM_UP, 1), (MAIN, 2)])
def test_views_are_perturbed_each_in_its_own_way(phase, count):
    strategy, b, _, _ = begun(phase, perturbation="gaussian")
    added = strategy.views(b, generator()).signal.reshape(count, *b.signal.shape) - b.signal
    assert [float(part.std()) for part in added] == pytest.approx([0.01] * count, rel=0.1)
    assert count == 1 or abs(float(torch.corrcoef(added.flatten(1))[0, 1])) < 0.1
    strong = begun(phase)[0].views(b, generator()).signal - b.signal.repeat(count, 1, 1)
    assert all(float(part.std()) > 0.05 for part in strong.chunk(count))


def test_from_the_warm_up_on_the_rate_is_a_share_and_prototypes_do_not_decay():
    strategy = make(DTC, told(), rate=0.2)
    pretraining, *later = strategy.phases()
    assert all(group.get("lr_scale", 1.0) == 1.0 for group in pretraining.groups)
    for phase in later:
        assert all(group["lr_scale"] == 0.2 for group in phase.groups)
        (mine,) = (g for g in phase.groups if any(p is strategy.centres for p in g["params"]))
        assert not mine["decay"]


@pytest.mark.parametrize(("index", "factor"), [(41, math.exp(-5 * (2 / 3) ** 2)), (99, 1.0)])
def test_the_main_loss_is_divergence_plus_clusters_times_the_mean_squared_difference(index, factor):
    strategy, b, _, _ = begun(MAIN, weight=7.0)
    views = strategy.views(b, generator())
    step = Step(index, 100, 9, MAIN)  # the ramp is of steps 40 to 43
    z = strategy.project(strategy.encoder(views.signal))
    log_q = log_assignments(z, strategy.centres).detach()
    first, second = log_q.exp().chunk(2)
    p = strategy.targets
    kl = sum(float((p[i] * (p[i].log() - log_q[i])).sum()) for i in range(80)) / 80
    expected = kl + factor * 7.0 * 8 * float(torch.nn.functional.mse_loss(first, second))
    assert float(strategy.loss(b, views, step).total.detach()) == pytest.approx(expected, rel=1e-4)


def test_the_ensemble_counts_from_the_second_visit_on():
    strategy, b, _, _ = begun(MAIN, consistency="ensemble")
    views, step = Views.of(b.signal), Step(99, 100, 9, MAIN)
    first, again = (strategy.loss(b, views, step).parts["consistency"].detach() for _ in range(2))
    assert float(first) == 0
    assert float(again) < 1e-9  # the same assignments again
    rolled = Views.of(b.signal.roll(1, 1))
    earlier, _ = strategy.ensemble(b.index)
    z = strategy.project(strategy.encoder(rolled.signal)).detach()
    expected = (log_assignments(z, strategy.centres).exp() - earlier).square().sum(1).mean()
    found = strategy.loss(b, rolled, step).parts["consistency"].detach()
    assert float(found) == pytest.approx(float(expected.detach()), rel=1e-4)


def test_pretraining_is_cross_entropy_of_the_labelled():
    strategy, b, sets, labelled = begun(SUPERVISED)
    views = strategy.views(b, generator())
    logits = strategy.head(strategy.encoder(views.signal))
    expected = torch.nn.functional.cross_entropy(logits[labelled], sets[labelled, 0])
    found = strategy.loss(b, views, Step(0, 9, 0, 0)).total.detach()
    assert float(found) == pytest.approx(float(expected.detach()), rel=1e-5)


@pytest.mark.parametrize("params", [{}, {"link": "kmeans"}, {"consistency": "ensemble"}, {"anchor": 0.5}])
def test_separated_groups_keep_their_attributes(params):
    b, sets, _ = world()
    strategy = make(DTC, told(), perturbation="gaussian", **params)
    step = 0
    for number, phase in enumerate(strategy.phases()):
        strategy.on_phase_start(number, training(strategy, b))
        optimiser = torch.optim.Adam([p for group in phase.groups for p in group["params"]], lr=1e-2)
        for epoch in range(4):
            strategy.on_epoch_start(epoch, training(strategy, b))
            optimiser.zero_grad()
            now = Step(step, 12, epoch, number)
            strategy.loss(b, strategy.views(b, generator(step)), now).total.backward()
            optimiser.step()
            step += 1
    assert torch.equal(strategy.attributes()[strategy.assign(strategy.embed(b))], sets)
    entropy, largest, change, gap, departure = strategy.watched.tolist()
    assert (entropy, largest, change) == pytest.approx((1, 1 / 8, 0), abs=1e-6)
    assert gap > 0.1
    assert departure < 0.1


@pytest.mark.parametrize(
    ("recipe", "share", "stop"),
    [
        ("crocs", 0.25, 2),
        ("crocs", 0.25, 3),
        ("kmeans", 0.25, 6),
        ("ensemble", 0.25, 7),
        ("published", 0.0, 3),
    ],
)
def test_a_fit_goes_through_its_phases_and_resumes_in_each(tmp_path, recipe, share, stop):
    stand = Stand(DTC, DTC.recipes[recipe] | {"pretraining": share, "warm_up": share}, tmp_path)
    seen, fit, count = [], stand.fit(steps=STEPS), int(share * STEPS)
    begin, loss = fit.strategy.on_phase_start, fit.strategy.loss
    fit.strategy.on_phase_start = lambda phase, t: (seen.append(f"begin {phase}"), begin(phase, t))[1]
    fit.strategy.loss = lambda b, v, step: (seen.append(step.phase), loss(b, v, step))[1]
    fit.run()
    before = ["begin 0", *[SUPERVISED] * count, "begin 1", *[WARM_UP] * count]
    assert seen == [*before, "begin 2", *[MAIN] * (STEPS - 2 * count)]
    assert {"usage_entropy", "label_change", "centre_gap", "departure"} <= set(fit.health[-1])
    state = to_bytes(stand.fit(steps=STEPS).run(until=stop).state())
    resumed = stand.fit(steps=STEPS).restore(from_bytes(state)).run()
    assert state_hash(resumed.strategy) == state_hash(fit.strategy)


def test_phases_train_their_own_parameters(tmp_path):
    fit = Stand(DTC, {"pretraining": 0.5, "warm_up": 0.25}, tmp_path).fit(steps=8)
    fit.run(until=4)
    head = fit.strategy.head.linear.weight.clone()
    fit.run(until=5)
    begin = fit.strategy.prototypes().clone()
    fit.run()
    assert torch.equal(fit.strategy.head.linear.weight, head)
    assert not torch.equal(fit.strategy.prototypes(), begin)


def test_classes_alone_are_paid_for_with_labels_alone():
    params = DTC.Params(link="classes")
    assert DTC.needs_with(params) == {Field.LABELS}
    assert DTC.needs_with(DTC.Params()) == {Field.LABELS, Field.DEMOGRAPHICS}
    assert (DTC.seeks(params), DTC.seeks(DTC.Params())) == (("class",), ("class", "sex", "age"))
    b, _, _ = world()
    columns = {name: b.fields.column(name) for name in ("labels", "labelled")}
    only = batch(b.signal, **columns)
    only = type(only)(only.signal, only.index, only.record, Fields(columns, frozenset({Field.LABELS}), "dtc"))
    strategy = make(DTC, told(edges=()), link="classes")
    strategy.on_phase_start(WARM_UP, training(strategy, only))
    assert strategy.prototypes().isfinite().all()


@pytest.mark.parametrize(
    ("known", "params", "reason"),
    [
        (told(), {}, None),
        (told(edges=()), {}, "link: classes"),
        (told(edges=()), {"link": "classes"}, None),
        (info(), {}, "0 classes"),
    ],
)
def test_what_it_cannot_do_is_said(known, params, reason):
    said = DTC.incompatible(known, DTC.Params(**params))
    assert said is None if reason is None else reason in said


@pytest.mark.parametrize("link", ["kmeans", "target"])
def test_parameters_that_contradict_each_other_are_refused(link):
    for params in ({"anchor": 0.5, "link": link}, {"over": "class"}, {"pretraining": 0.7, "warm_up": 0.3}):
        with pytest.raises(ValueError, match="link|main phase"):
            DTC.Params(**params)
