"""Clinical prototypes: the weights, bounds and distances that CROCS's equations imply, and explicit loops."""

import itertools
import math

import pytest
import torch

from bench.nn.prototypes import arrangement_loss, prototype_nce, soft_weights, unit, usage

GRIDS = {"chapman": (4, 2, 4), "ptbxl": (5, 2, 4)}
EXACT, ONE, TWO = 0.3475, 0.1278, 0.0470


def sets_of(counts):
    return torch.tensor(list(itertools.product(*map(range, counts))))


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def ideal(sets, beta):
    """Prototypes of one class whose squared distances are beta x Hamming: a direction for each attribute value."""
    base = torch.nn.functional.one_hot
    sex, age = base(sets[:, 1], 2), base(sets[:, 2], 4)
    common = torch.full((len(sets), 1), (1 - beta) ** 0.5, dtype=torch.float64)
    return torch.cat((common, (beta / 2) ** 0.5 * torch.cat((sex, age), 1).double()), 1)


@pytest.mark.parametrize("name", GRIDS)
def test_weights_at_softness_one(name):
    weights = soft_weights(sets_of(GRIDS[name]), 1.0)
    for row in range(len(weights)):
        own = row // 8
        inside = weights[row, own * 8 : own * 8 + 8]
        expected = torch.tensor([EXACT] + 4 * [ONE] + 3 * [TWO])
        assert torch.allclose(inside.sort(descending=True).values, expected, atol=5e-5)
        assert weights[row].argmax() == row
        assert weights[row].count_nonzero() == 8
    assert torch.allclose(weights.sum(1), torch.ones(len(weights)))


def test_one_mismatch_is_one_other_sex_and_three_other_ages():
    sets = sets_of((4, 2, 4))
    weights = soft_weights(sets, 1.0)[0]
    for (label, sex, age), weight in zip(sets.tolist(), weights.tolist(), strict=True):
        expected = 0.0 if label else (EXACT, ONE, TWO)[(sex != 0) + (age != 0)]
        assert weight == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize("softness", [1e9, math.inf])
def test_infinite_softness_is_uniform_over_the_class(softness):
    weights = soft_weights(sets_of((4, 2, 4)), softness)
    assert torch.allclose(weights, torch.block_diag(*4 * [torch.full((8, 8), 0.125)]))


def test_little_softness_is_the_hard_loss():
    weights = soft_weights(sets_of((4, 2, 4)), 0.1)
    assert torch.allclose(weights.diagonal(), torch.full((32,), 0.9998), atol=5e-5)


def test_softness_must_be_positive():
    with pytest.raises(ValueError, match="softness 0"):
        soft_weights(sets_of((2, 2, 2)), 0.0)


@pytest.mark.parametrize(("name", "expected"), [("chapman", 3.4657), ("ptbxl", 3.6889)])
def test_equal_cosines_cost_the_logarithm_of_m(name, expected):
    sets = sets_of(GRIDS[name])
    v = torch.randn(6, 1) * torch.ones(1, 5)
    for weights in (torch.eye(len(sets)), soft_weights(sets, 1.0), soft_weights(sets, math.inf)):
        loss = prototype_nce(v, torch.ones(len(sets), 5) * 3, weights[[0, 3, 9, 9, 20, 31]], 0.1)
        assert float(loss) == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize(("softness", "bound"), [(1.0, 1.8505), (math.inf, 2.0794)])
def test_the_soft_loss_is_bounded_by_the_entropy_of_its_weights_and_attains_it(softness, bound):
    sets = sets_of((4, 2, 4))
    weights, temperature = soft_weights(sets, softness)[:1].double(), 0.05
    cosine = torch.where(weights[0] > 0, 0.5 + temperature * weights[0].clamp(min=1e-9).log(), -1.0)
    points = torch.stack((cosine, (1 - cosine.square()).sqrt()), 1)
    v = torch.tensor([[2.0, 0.0]], dtype=torch.float64)
    assert float(prototype_nce(v, points, weights, temperature)) == pytest.approx(bound, abs=5e-5)
    for seed in range(20):
        random = prototype_nce(normal(1, 6, seed=seed), normal(32, 6, seed=seed + 50), weights, 0.1)
        assert float(random) > bound


def looped(v, points, weights, temperature):
    total, counted = 0.0, 0
    for i in range(len(v)):
        exps = []
        for p in points:
            cosine = sum(a * b for a, b in zip(v[i].tolist(), p.tolist(), strict=True))
            exps.append(math.exp(cosine / (float(v[i].norm()) * float(p.norm()) * temperature)))
        row = weights[i].tolist()
        total -= sum(w * math.log(e / sum(exps)) for w, e in zip(row, exps, strict=True))
        counted += any(row)
    return total / counted


@pytest.mark.parametrize("kind", ["hard", "soft"])
@pytest.mark.parametrize("masked", [(), (1, 4)])
def test_contrast_against_loops(kind, masked):
    sets = sets_of((3, 2, 2))
    table = torch.eye(12) if kind == "hard" else soft_weights(sets, 0.7)
    weights = table[[0, 5, 5, 11, 2]].double()
    weights[list(masked)] = 0
    v, points = normal(5, 4), normal(12, 4, seed=1)
    expected = sum(0.0 if i in masked else looped(v[[i]], points, weights[[i]], 0.1) for i in range(5))
    loss = prototype_nce(v, points, weights, 0.1)
    assert float(loss) == pytest.approx(expected / (5 - len(masked)), rel=1e-6)


def test_the_length_of_vectors_does_not_matter():
    weights = torch.eye(7, dtype=torch.float64)[:4]
    v, points = normal(4, 3), normal(7, 3, seed=1)
    assert torch.allclose(
        prototype_nce(v, points, weights, 0.1), prototype_nce(9 * v, points / 5, weights, 0.1)
    )


def test_masked_rows_have_no_gradient_and_nothing_known_costs_nothing():
    v, points = normal(3, 4).requires_grad_(), normal(6, 4, seed=1).requires_grad_()
    weights = torch.eye(6, dtype=torch.float64)[:3].clone()
    weights[1] = 0
    prototype_nce(v, points, weights, 0.1).backward()
    assert v.grad[1].abs().sum() == 0
    assert (v.grad[[0, 2]].abs().sum(1) > 0).all()
    assert (points.grad.abs().sum(1) > 0).all()  # those of no instance are pushed away
    v.grad = points.grad = None
    loss = prototype_nce(v, points, torch.zeros(3, 6), 0.1)
    loss.backward()
    assert float(loss.detach()) == 0
    assert v.grad.abs().sum() == points.grad.abs().sum() == 0


def test_an_embedding_of_zeros_is_finite():
    v = torch.zeros(1, 4, requires_grad=True)
    loss = prototype_nce(v, normal(6, 4).float(), torch.eye(6)[:1], 0.1)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(math.log(6))
    assert v.grad.isfinite().all()


def test_contrast_computes_in_float32_under_autocast():
    v, points, weights = torch.randn(4, 8), torch.randn(6, 8), torch.eye(6)[:4]
    with torch.autocast("cpu", torch.bfloat16):
        loss = prototype_nce(v, points, weights, 0.1)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, prototype_nce(v, points, weights, 0.1))


@pytest.mark.parametrize("weights", [torch.eye(5), torch.ones(3, 4)])
def test_contrast_refuses_shapes_that_disagree(weights):
    with pytest.raises(ValueError, match="3 instances and 5 prototypes"):
        prototype_nce(torch.ones(3, 2), torch.ones(5, 2), weights, 0.1)


def test_contrast_refuses_no_temperature():
    with pytest.raises(ValueError, match="temperature 0"):
        prototype_nce(torch.ones(2, 2), torch.ones(2, 2), torch.eye(2), 0)


def test_squared_distances_of_beta_times_hamming_can_be_met_and_plain_ones_are_not():
    sets = sets_of((1, 2, 4))
    points = 3 * ideal(sets, 0.2)
    assert float(arrangement_loss(points, sets, 0.2)) == pytest.approx(0, abs=1e-28)
    assert float(arrangement_loss(points, sets, 0.2, distance="plain")) > 0.01
    assert float(arrangement_loss(points, sets, 0.4)) > 0.01


def test_classes_do_not_constrain_each_other():
    sets = sets_of((3, 2, 4))
    one = ideal(sets[:8], 0.2)
    turned = one @ torch.linalg.qr(normal(7, 7)).Q
    assert float(arrangement_loss(torch.cat((one, one, turned)), sets)) == pytest.approx(0, abs=1e-28)


def test_prototypes_that_coincide_cost_the_mean_square_of_their_targets():
    sets = sets_of((2, 2, 4))
    points = torch.ones(16, 3, dtype=torch.float64)
    squares = (0.0 + 4 * 0.2**2 + 3 * 0.4**2) / 8
    for distance in ("squared", "plain"):
        assert float(arrangement_loss(points, sets, 0.2, distance)) == pytest.approx(squares)
        total = arrangement_loss(points, sets, 0.2, distance, reduction="sum")
        assert float(total) == pytest.approx(squares * 2 * 8 * 8)


@pytest.mark.parametrize("distance", ["squared", "plain"])
@pytest.mark.parametrize("age", ["hamming", "ordinal"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_arrangement_against_loops(distance, age, reduction):
    sets, points = sets_of((2, 2, 3)), normal(12, 5)
    errors = []
    for j, k in itertools.product(range(12), repeat=2):
        (cj, sj, aj), (ck, sk, ak) = sets[j].tolist(), sets[k].tolist()
        if cj == ck:
            found = float((points[j] / points[j].norm() - points[k] / points[k].norm()).norm())
            years = abs(aj - ak) if age == "ordinal" else float(aj != ak)
            errors.append(((found**2 if distance == "squared" else found) - 0.3 * ((sj != sk) + years)) ** 2)
    expected = sum(errors) / (len(errors) if reduction == "mean" else 1)
    loss = arrangement_loss(points, sets, 0.3, distance, age, reduction)
    assert float(loss) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("distance", ["squared", "plain"])
def test_arrangement_has_a_gradient_even_where_prototypes_coincide(distance):
    sets, points = sets_of((2, 2, 4)), normal(16, 5)
    points[1] = points[0]
    points.requires_grad_()
    arrangement_loss(points, sets, distance=distance).backward()
    assert points.grad.isfinite().all()
    assert (points.grad.abs().sum(1) > 0).all()


@pytest.mark.parametrize("distance", ["squared", "plain"])
def test_arrangement_has_the_right_gradient(distance):
    sets, points = sets_of((2, 2, 2)), normal(8, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: arrangement_loss(p, sets, distance=distance), points)


def test_usage():
    assert [float(x) for x in usage(torch.arange(8), 8)] == pytest.approx([1, 1 / 8])
    assert [float(x) for x in usage(torch.full((5,), 3), 8)] == [0, 1]
    assert [float(x) for x in usage(torch.tensor([0, 0, 0, 2]), 4)] == pytest.approx(
        [0.8113 / 2, 0.75], abs=1e-4
    )
    assert [float(x) for x in usage(torch.zeros(2, dtype=torch.int64), 1)] == [0, 1]


def test_unit_leaves_zeros():
    rows = unit(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    assert torch.allclose(rows, torch.tensor([[0.6, 0.8], [0.0, 0.0]]))
