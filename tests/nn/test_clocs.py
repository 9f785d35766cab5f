"""CLOCS: its loss against loops over Python numbers, as the paper and as the code has it; views and encoding."""

import math
from itertools import combinations
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.nn.clocs import AS_PUBLISHED, clocs_loss, embed_groups, embed_views, take_parts
from bench.nn.encoder import Encoder

PATIENTS = torch.tensor([4, 9, 4, 2, 9, 4])
STRANGERS = torch.arange(6)
CODE: dict[str, Any] = {"pairs": "last", "offdiagonals": "half"}


def case(views: int = 4, patients: Tensor = PATIENTS, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(views, len(patients), 5, generator=generator, dtype=torch.float64), patients


def similarities(h: Tensor, a: int, b: int, tau: float) -> list[list[float]]:
    cosine = torch.nn.functional.cosine_similarity
    return [[math.exp(float(cosine(x, y, dim=0)) / tau) for y in h[b]] for x in h[a]]


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def terms(h: Tensor, patients: Tensor, a: int, b: int, tau: float, half: bool) -> list[float]:
    """The terms of one pair of views, number by number; those over nobody are left out."""
    s, n, who = similarities(h, a, b, tau), range(len(patients)), patients.tolist()
    row = [sum(s[i]) for i in n]
    column = [sum(s[i][j] for i in n) for j in n]
    same = [(i, j) for i in n for j in n if i != j and who[i] == who[j] >= 0]
    above, below = ([p for p in same if p[0] < p[1]], [p for p in same if p[0] > p[1]])
    found = [
        [-math.log(s[i][i] / row[i]) for i in n],
        [-math.log(s[i][i] / column[i]) for i in n],
        [-math.log(s[i][j] / row[i]) for i, j in (above if half else same)],
        [-math.log(s[i][j] / column[j]) for i, j in (below if half else same)],
    ]
    return [mean(values) for values in found if values]


def as_written(h: Tensor, patients: Tensor, tau: float) -> float:
    return mean([sum(terms(h, patients, a, b, tau, False)) for a, b in combinations(range(len(h)), 2)])


def as_coded(h: Tensor, patients: Tensor, tau: float) -> float:
    """The running total is overwritten, then divided by the numbers of terms and of pairs."""
    for pair in combinations(range(len(h)), 2):
        last = terms(h, patients, *pair, tau, True)
    return sum(last) / (len(last) * math.comb(len(h), 2))


@pytest.mark.parametrize("patients", [PATIENTS, STRANGERS, torch.zeros(6, dtype=torch.int64)])
@pytest.mark.parametrize("views", [2, 4])
def test_the_loss_equals_explicit_loops(views, patients):
    h, patients = case(views, patients)
    for tau in (0.1, 0.7):
        ours = clocs_loss(h, patients, tau)
        assert ours.item() == pytest.approx(as_written(h, patients, tau), rel=1e-10)
        ours = clocs_loss(h, patients, tau, **CODE)
        assert ours.item() == pytest.approx(as_coded(h, patients, tau), rel=1e-10)


def test_the_two_published_rules_stand_alone_too():
    h, patients = case(3)
    last = clocs_loss(h, patients, 0.1, pairs="last")
    assert last.item() == pytest.approx(sum(terms(h, patients, 1, 2, 0.1, False)) / 3, rel=1e-10)
    half = clocs_loss(h, patients, 0.1, offdiagonals="half")
    expected = [mean(terms(h, patients, a, b, 0.1, True)) for a, b in combinations(range(3), 2)]
    assert half.item() == pytest.approx(mean(expected), rel=1e-10)
    assert not math.isclose(half.item(), clocs_loss(h, patients, 0.1).item() / 4, rel_tol=1e-3)


def test_the_recipes_of_the_code_have_both_rules_and_batch_norm_by_view():
    assert AS_PUBLISHED == {"pairs": "last", "offdiagonals": "half", "batch_norm": "by_view"}


@pytest.mark.parametrize(("patients", "number"), [(PATIENTS, 4), (STRANGERS, 2)])
def test_equal_embeddings_cost_ln_b_a_term(patients, number):
    h = torch.ones(3, 6, 4)
    assert clocs_loss(h, patients, 0.1).item() == pytest.approx(number * math.log(6), rel=1e-6)
    published = clocs_loss(h, patients, 0.1, **CODE)
    assert published.item() == pytest.approx(math.log(6) / 3, rel=1e-6)  # over three pairs of views


def test_the_order_of_views_does_not_matter_but_for_which_are_last_as_published():
    h, patients = case(3)
    ours, published = clocs_loss(h, patients, 0.1), clocs_loss(h, patients, 0.1, **CODE)
    for order in ([1, 0, 2], [0, 2, 1], [1, 2, 0]):
        torch.testing.assert_close(clocs_loss(h[order], patients, 0.1), ours)
    torch.testing.assert_close(clocs_loss(h[[0, 2, 1]], patients, 0.1, **CODE), published)
    assert abs(clocs_loss(h[[2, 1, 0]], patients, 0.1, **CODE).item() - published.item()) > 1e-3


def test_the_order_of_instances_does_not_matter_but_to_the_published_halves():
    h, patients = case(3)
    order = torch.tensor([5, 2, 0, 1, 4, 3])
    ours, published = clocs_loss(h, patients, 0.1), clocs_loss(h, patients, 0.1, **CODE)
    torch.testing.assert_close(clocs_loss(h[:, order], patients[order], 0.1), ours)
    assert abs(clocs_loss(h[:, order], patients[order], 0.1, **CODE).item() - published.item()) > 1e-3


def test_the_length_of_embeddings_does_not_matter():
    h, patients = case(3)
    length = torch.arange(1.0, 19, dtype=torch.float64).view(3, 6, 1)
    torch.testing.assert_close(clocs_loss(h * length, patients, 0.1), clocs_loss(h, patients, 0.1))


@pytest.mark.parametrize("offdiagonals", ["full", "half"])
def test_the_gradient_reaches_all_views_and_as_published_the_last_two(offdiagonals):
    h, patients = case(4)
    h.requires_grad_()
    for pairs, reached in (("all", [True] * 4), ("last", [False, False, True, True])):
        loss = clocs_loss(h, patients, 0.1, pairs=pairs, offdiagonals=offdiagonals)
        (gradient,) = torch.autograd.grad(loss, h)
        assert gradient.abs().sum((1, 2)).gt(1e-6).tolist() == reached


@pytest.mark.parametrize("options", [{}, CODE])
def test_the_gradient_is_that_of_the_loss(options):
    h, patients = case(3, PATIENTS[:4])
    assert torch.autograd.gradcheck(lambda x: clocs_loss(x, patients, 0.3, **options), h.requires_grad_())


def test_instances_of_one_patient_are_drawn_together():
    """Orthogonal instances, each equal in both views: two terms as before, two for the pair of one patient."""
    h = torch.eye(4).expand(2, 4, 4)
    alone = 2 * math.log(1 + 3 * math.exp(-10))
    assert clocs_loss(h, torch.arange(4), 0.1).item() == pytest.approx(alone, rel=1e-2)
    pair = 2 * math.log(math.exp(10) + 3)
    assert clocs_loss(h, torch.tensor([0, 0, 1, 2]), 0.1).item() == pytest.approx(alone + pair, rel=1e-5)


def test_unknown_patients_are_nobodys_and_large_ids_are_told_apart():
    h, _ = case(2)
    unknown = torch.tensor([-1, -1, -1, 3, 4, 5])
    assert clocs_loss(h, unknown, 0.1).item() == clocs_loss(h, STRANGERS, 0.1).item()
    large = 2**53 + STRANGERS
    assert clocs_loss(h, large, 0.1).item() == clocs_loss(h, STRANGERS, 0.1).item()


@pytest.mark.parametrize("options", [{}, CODE])
def test_a_batch_of_one_costs_nothing(options):
    h = torch.randn(3, 1, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    loss = clocs_loss(h, torch.tensor([7]), 0.1, **options)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(h.grad, torch.zeros(3, 1, 4))


def test_a_low_temperature_and_a_zero_embedding_stay_finite():
    h = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))
    h[1, 2] = 0
    h.requires_grad_()
    loss = clocs_loss(1e4 * h, torch.tensor([1, 1, 2, 2, 3]), 1e-4)
    loss.backward()
    assert math.isfinite(loss.item())
    assert bool(h.grad.isfinite().all())


def test_it_computes_in_float32_under_autocast():
    h = torch.randn(2, 8, 16, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        within = clocs_loss(h, torch.arange(8), 0.1)
    assert within.dtype == torch.float32
    assert within.item() == clocs_loss(h, torch.arange(8), 0.1).item()


@pytest.mark.parametrize(
    ("shape", "count", "temperature", "says"),
    [
        ((2, 3), 3, 0.1, r"embedding \(2, 3\)"),
        ((1, 3, 4), 3, 0.1, "V at least 2"),
        ((2, 3, 4), 2, 0.1, r"ids \(2,\)"),
        ((2, 3, 4), 3, 0.0, "temperature 0.0: it must be above 0"),
    ],
)
def test_what_is_no_contrast_is_refused(shape, count, temperature, says):
    with pytest.raises(ValueError, match=says):
        clocs_loss(torch.ones(shape), torch.arange(count), temperature)


def test_all_parts_are_shown_in_their_order():
    parts = torch.arange(2 * 3 * 4.0).view(2, 3, 1, 4)
    shown, part = take_parts(parts, 0, torch.Generator())
    assert torch.equal(torch.stack(shown), parts.transpose(0, 1))
    assert part.tolist() == [0, 0, 1, 1, 2, 2]


def test_some_parts_are_drawn_by_each_instance_none_twice_and_all_alike():
    parts = torch.arange(6.0).view(1, 6, 1, 1).expand(3000, 6, 1, 1)
    shown, part = take_parts(parts, 2, torch.Generator().manual_seed(0))
    values = torch.cat(shown).flatten()
    assert len(shown) == 2
    assert torch.equal(values.long(), part)
    first, second = part.view(2, 3000)
    assert not bool((first == second).any())
    share = torch.bincount(6 * first + second, minlength=36) / 3000
    assert share[share > 0].tolist() == pytest.approx([1 / 30] * 30, abs=0.015)


class Centred(Encoder):
    """The first sample of each lead, less the mean over whatever passes together: a batch norm in short."""

    name = "centred"
    min_samples = 1

    def __init__(self, leads: int) -> None:
        super().__init__()
        self.leads = self.dim = leads
        self.passes = 0

    def forward(self, signal: Tensor) -> Tensor:
        self.passes += 1
        return signal[:, :, 0] - signal[:, :, 0].mean(0)

    def groups(self) -> list[list[torch.nn.Parameter]]:
        return []


def test_views_pass_the_encoder_together_or_each_alone():
    signal = torch.tensor([0.0, 2.0, 10.0, 14.0, 20.0, 26.0]).view(6, 1, 1)  # three views of two instances
    together, alone = Centred(1), Centred(1)
    h = embed_views(together, signal, 2)
    assert h[:, :, 0].tolist() == [[-12, -10], [-2, 2], [8, 14]]
    h = embed_views(alone, signal, 2, "by_view")
    assert h[:, :, 0].tolist() == [[-1, 1], [-2, 2], [-3, 3]]
    assert (together.passes, alone.passes) == (1, 3)


def test_an_instance_is_embedded_as_the_mean_of_its_groups_of_leads():
    signal = torch.tensor([[1.0, 2, 3, 8], [0, 0, 6, 10]])[:, :, None]
    embedding = embed_groups(Centred(2), signal)
    expected = torch.tensor([[2.0, 5], [3, 5]]) - torch.tensor([2.5, 5.0])
    torch.testing.assert_close(embedding, expected)
