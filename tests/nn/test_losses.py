import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.nn.losses import classification_loss, multi_positive_nt_xent, supcon


def same(groups: list[int]) -> Tensor:
    group = torch.tensor(groups)
    return group[:, None] == group[None, :]


def random_case(seed: int, n: int = 9, d: int = 4) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(n, d, generator=generator, dtype=torch.float64)
    positives = torch.rand(n, n, generator=generator) < 0.3  # not symmetric, not transitive, some rows empty
    positives[0] = False
    anchors = torch.rand(n, generator=generator) < 0.7
    candidates = torch.rand(n, n, generator=generator) < 0.8
    return z, positives, anchors, candidates


def loops(z, positives, tau, anchors=None, candidates=None, *, published=False, out=False) -> float:
    """Both objectives and the published diagonal, anchor by anchor, on Python numbers."""
    n = len(z)
    unit = [row / row.norm() for row in z]
    losses = []
    for i in range(n):
        if anchors is not None and not anchors[i]:
            continue
        others = [j for j in range(n) if j != i and (candidates is None or candidates[i, j])]
        e = {j: math.exp((unit[i] @ unit[j]).item() / tau) for j in others}
        mine = [j for j in others if positives[i, j]]
        if published:
            share = (sum(e[j] for j in mine) + 1) / (sum(e.values()) + 1 + 1e-7)
            losses.append(-math.log(share + 1e-7))
        elif mine and out:
            losses.append(sum(-math.log(e[j] / sum(e.values())) for j in mine) / len(mine))
        elif mine:
            losses.append(-math.log(sum(e[j] for j in mine) / sum(e.values())))
    return sum(losses) / len(losses) if losses else 0.0


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("masks", ["none", "anchors", "candidates", "both"])
def test_equals_explicit_loops(seed, masks):
    z, positives, anchors, candidates = random_case(seed)
    chosen = {}
    if masks in ("anchors", "both"):
        chosen["anchors"] = anchors
    if masks in ("candidates", "both"):
        chosen["candidates"] = candidates
    for tau in (0.07, 0.5):
        expected = loops(z, positives, tau, **chosen)
        assert multi_positive_nt_xent(z, positives, tau, **chosen).item() == pytest.approx(expected)
        expected = loops(z, positives, tau, **chosen, published=True)
        published = multi_positive_nt_xent(z, positives, tau, **chosen, as_published=True)
        assert published.item() == pytest.approx(expected, rel=1e-9)
        assert supcon(z, positives, tau, **chosen).item() == pytest.approx(
            loops(z, positives, tau, **chosen, out=True)
        )


def each(z: Tensor, groups: list[int], *, as_published: bool) -> list[float]:
    """The loss of every anchor by itself."""
    rows = torch.eye(len(z), dtype=torch.bool)
    return [
        multi_positive_nt_xent(z, same(groups), 0.07, anchors=row, as_published=as_published).item()
        for row in rows
    ]


def test_published_unit_values():
    orthonormal = torch.eye(4)
    assert each(orthonormal, [0, 0, 1, 1], as_published=True) == pytest.approx([0.693147] * 4, abs=1e-6)
    assert each(orthonormal, [0, 0, 1, 1], as_published=False) == pytest.approx([1.098612] * 4, abs=1e-6)
    assert each(orthonormal, [0, 1, 2, 3], as_published=True) == pytest.approx([1.386294] * 4, abs=1e-6)
    twins = torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    assert each(twins.double(), [0, 0, 1, 1], as_published=True) == pytest.approx([1.15e-6] * 4, rel=0.01)
    identical = torch.ones(6, 3)
    expected = [1.60944, 1.60944, 0.91629, 0.91629, 0.91629, 15.30728]
    assert each(identical, [0, 0, 1, 1, 1, 2], as_published=True) == pytest.approx(expected, abs=2e-5)
    masked = each(identical, [0, 0, 1, 1, 1, 2], as_published=False)
    assert masked == pytest.approx([math.log(5)] * 2 + [math.log(5 / 2)] * 3 + [0], abs=1e-5)
    skipped = multi_positive_nt_xent(identical, same([0, 0, 1, 1, 1, 2]), 0.07)
    assert skipped.item() == pytest.approx(sum(masked) / 5, abs=1e-5)


def test_published_loss_of_an_anchor_without_positives_is_capped():
    z = torch.ones(3, 2)
    capped = multi_positive_nt_xent(z, same([0, 1, 2]), 0.01, as_published=True)
    assert capped.item() == pytest.approx(-math.log(1e-7), abs=1e-4)
    assert capped.item() == pytest.approx(16.1, abs=0.05)


@pytest.mark.parametrize("tau", [0.07, 0.5])
def test_against_pytorch_metric_learning(tau):
    losses = pytest.importorskip("pytorch_metric_learning.losses")
    torch.manual_seed(0)
    z = torch.randn(10, 6)
    pairs = torch.arange(5).repeat(2)
    mask = pairs[:, None] == pairs[None, :]
    expected = losses.NTXentLoss(tau)(z, pairs).item()
    assert multi_positive_nt_xent(z, mask, tau).item() == pytest.approx(expected, rel=1e-5)
    assert supcon(z, mask, tau).item() == pytest.approx(expected, rel=1e-5)
    groups = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 2, 3])
    expected = losses.SupConLoss(tau)(z, groups).item()
    assert supcon(z, groups[:, None] == groups[None, :], tau).item() == pytest.approx(expected, rel=1e-5)


def test_gradients():
    z, positives, anchors, candidates = random_case(1, n=5, d=3)
    z = z.requires_grad_()
    masks = {"anchors": anchors, "candidates": candidates}
    for published in (False, True):
        assert torch.autograd.gradcheck(
            lambda x, p=published: multi_positive_nt_xent(x, positives, 0.3, **masks, as_published=p), z
        )
    assert torch.autograd.gradcheck(lambda x: supcon(x, positives, 0.3, **masks), z)


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("loss", [multi_positive_nt_xent, supcon])
def test_nothing_to_agree_on_is_zero_with_a_zero_gradient(loss, n):
    z = torch.randn(n, 4, requires_grad=True)
    value = loss(z, torch.eye(n, dtype=torch.bool), 0.07)
    value.backward()
    assert value.item() == 0
    assert torch.equal(z.grad, torch.zeros(n, 4))


@pytest.mark.parametrize("loss", [multi_positive_nt_xent, supcon])
def test_anchors_without_positives_leave_no_nan(loss):
    z = torch.randn(3, 4, requires_grad=True)
    loss(z, same([0, 0, 1]), 0.001).backward()
    assert torch.isfinite(z.grad).all()
    assert z.grad.abs().sum() > 0


def test_two_rows_agree_at_no_loss():
    z = torch.randn(2, 4)
    assert multi_positive_nt_xent(z, same([0, 0]), 0.07).item() == 0
    assert supcon(z, same([0, 0]), 0.07).item() == 0


@pytest.mark.parametrize("loss", [multi_positive_nt_xent, supcon])
def test_rows_marked_nowhere_are_left_out_altogether(loss):
    torch.manual_seed(0)
    z, positives = torch.randn(8, 4), same([0, 0, 1, 1, 2, 2, 0, 1])
    keep = torch.tensor([True] * 6 + [False] * 2)
    z[6:] = 1e6
    ours = loss(z, positives, 0.1, anchors=keep, candidates=keep)
    torch.testing.assert_close(ours, loss(z[:6], positives[:6, :6], 0.1))


def test_extreme_temperature_and_scale_stay_finite():
    z = torch.tensor([[1.0, 0], [1, 0], [-1, 0], [0, 1]], requires_grad=True)
    for published in (False, True):
        value = multi_positive_nt_xent(z * 1e4, same([0, 1, 0, 1]), 1e-3, as_published=published)
        (gradient,) = torch.autograd.grad(value, z)
        assert torch.isfinite(value)
        assert torch.isfinite(gradient).all()


def test_contrastive_losses_compute_in_float32_under_autocast():
    torch.manual_seed(0)
    z, positives = torch.randn(16, 8), same(list(range(8)) * 2)
    for loss in (multi_positive_nt_xent, supcon):
        expected = loss(z, positives, 0.07)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(loss(z, positives, 0.07), expected)
        half = loss(z.bfloat16(), positives, 0.07)
        assert half.dtype == torch.float32
        assert torch.equal(half, loss(z.bfloat16().float(), positives, 0.07))


def test_contrastive_refusals():
    z = torch.randn(3, 2)
    with pytest.raises(ValueError, match="temperature 0: it must be above 0"):
        multi_positive_nt_xent(z, same([0, 0, 1]), 0)
    with pytest.raises(ValueError, match=r"positives \(2, 2\)"):
        supcon(z, same([0, 0]), 0.1)


def test_single_class_loss_is_cross_entropy():
    logits, classes = torch.randn(6, 4), torch.tensor([0, 3, 2, 2, 1, 0])
    targets = F.one_hot(classes, 4)
    torch.testing.assert_close(
        classification_loss(logits, targets, "single"), F.cross_entropy(logits, classes)
    )
    valid = torch.tensor([True, False, True, True, False, True])
    torch.testing.assert_close(
        classification_loss(logits, targets, "single", valid), F.cross_entropy(logits[valid], classes[valid])
    )


def test_multi_label_loss_is_binary_cross_entropy():
    logits = torch.randn(6, 4, dtype=torch.float64)
    targets = torch.rand(6, 4) < 0.4
    by_hand = [
        -math.log(p if t else 1 - p)
        for p, t in zip(logits.sigmoid().flatten().tolist(), targets.flatten().tolist(), strict=True)
    ]
    assert classification_loss(logits, targets, "multi").item() == pytest.approx(sum(by_hand) / 24)
    valid = torch.tensor([True, True, False, False, False, False])
    assert classification_loss(logits, targets, "multi", valid).item() == pytest.approx(sum(by_hand[:8]) / 8)


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_no_valid_row_is_zero_with_a_zero_gradient(kind):
    logits = torch.randn(3, 4, requires_grad=True)
    value = classification_loss(logits, torch.zeros(3, 4), kind, torch.zeros(3, dtype=torch.bool))
    value.backward()
    assert value.item() == 0
    assert torch.equal(logits.grad, torch.zeros(3, 4))


def test_classification_refusals():
    with pytest.raises(ValueError, match="no classification kind 'both'"):
        classification_loss(torch.zeros(2, 3), torch.zeros(2, 3), "both")
    with pytest.raises(ValueError, match=r"targets \(2,\): both must be \(N, K\)"):
        classification_loss(torch.zeros(2, 3), torch.zeros(2), "single")
