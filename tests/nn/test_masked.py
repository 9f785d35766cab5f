"""Masks of source databases and the cross-entropy they mask, against loops and torch's own."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.nn.masked import database_mask, mask_rows, masked_bce


def random_case(seed: int, rows: int = 7, classes: int = 5) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(rows, classes, generator=generator, dtype=torch.float64)
    labels = torch.rand(rows, classes, generator=generator) < 0.4
    mask = torch.rand(rows, classes, generator=generator) < 0.6
    counted = torch.rand(rows, generator=generator) < 0.7
    return logits, labels, mask, counted


def loop(logits: Tensor, labels: Tensor, mask: Tensor, counted: Tensor) -> float:
    """Entry by entry: masked ones add nothing but are counted, rows that do not count are not."""
    total, entries = 0.0, 0
    for i in range(logits.shape[0]):
        for k in range(logits.shape[1]):
            p = 1 / (1 + math.exp(-logits[i, k].item()))
            entries += int(counted[i])
            if counted[i] and mask[i, k]:
                total -= math.log(p if labels[i, k] else 1 - p)
    return total / entries if entries else 0.0


@pytest.mark.parametrize("seed", range(5))
def test_loss_equals_loops(seed: int) -> None:
    logits, labels, mask, counted = random_case(seed)
    everyone = torch.ones(len(logits), dtype=torch.bool)
    assert masked_bce(logits, labels, mask).item() == pytest.approx(loop(logits, labels, mask, everyone))
    expected = loop(logits, labels, mask, counted)
    assert masked_bce(logits, labels.float(), mask.float(), counted).item() == pytest.approx(expected)


def test_without_masks_it_is_the_plain_loss() -> None:
    logits, labels, mask, counted = random_case(0)
    everything, targets = torch.ones_like(mask), labels.double()
    torch.testing.assert_close(
        masked_bce(logits, labels, everything), F.binary_cross_entropy_with_logits(logits, targets)
    )
    torch.testing.assert_close(
        masked_bce(logits, labels, everything, counted),
        F.binary_cross_entropy_with_logits(logits[counted], targets[counted]),
    )


def test_masked_entries_have_no_gradient_and_the_others_the_plain_one() -> None:
    logits, labels, mask, counted = random_case(1)
    logits.requires_grad_()
    (gradient,) = torch.autograd.grad(masked_bce(logits, labels, mask, counted), logits)
    kept = mask & counted[:, None]
    assert torch.equal(gradient[~kept], torch.zeros(int((~kept).sum()), dtype=torch.float64))
    expected = (logits.sigmoid() - labels.double()) / (int(counted.sum()) * logits.shape[1])
    torch.testing.assert_close(gradient[kept], expected[kept])
    assert torch.autograd.gradcheck(lambda x: masked_bce(x, labels, mask, counted), logits)


@pytest.mark.parametrize("nothing", ["masked", "uncounted"])
def test_nothing_that_counts_is_zero_with_a_zero_gradient(nothing: str) -> None:
    logits, labels, mask, counted = random_case(2)
    logits.requires_grad_()
    if nothing == "masked":
        value = masked_bce(logits, labels, torch.zeros_like(mask))
    else:
        value = masked_bce(logits, labels, mask, torch.zeros_like(counted))
    (gradient,) = torch.autograd.grad(value, logits)
    assert value.item() == 0
    assert torch.equal(gradient, torch.zeros_like(logits))


def test_loss_is_float32_under_autocast() -> None:
    logits, labels, mask, counted = random_case(3)
    logits = logits.float()
    expected = masked_bce(logits, labels, mask, counted)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(masked_bce(logits, labels, mask, counted), expected)
        inside = masked_bce(logits.bfloat16(), labels, mask, counted)
    half = masked_bce(logits.bfloat16(), labels, mask, counted)
    assert torch.equal(half, inside)
    assert half.dtype == expected.dtype == torch.float32
    assert torch.equal(half, masked_bce(logits.bfloat16().float(), labels, mask, counted))


def test_masks_equal_loops() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.rand(60, 6, generator=generator) < 0.08
    database = torch.randint(-1, 4, (60,), generator=generator)
    mask = database_mask(labels, database, 4)
    for s in range(4):
        for k in range(6):
            assert mask[s, k].item() is any(labels[i, k].item() and database[i] == s for i in range(60))
    assert mask.dtype == torch.bool
    assert 0 < mask.sum() < 24


def test_masks_by_hand() -> None:
    labels = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 1], [1, 0, 0]])
    database = torch.tensor([0, 0, 2, -1, 3])
    counted = torch.tensor([True, True, True, True, False])
    mask = database_mask(labels, database, 4, counted)
    expected = [[True, True, False], [True, True, True], [False, False, False], [True, True, True]]
    assert mask.tolist() == expected  # two known, no record, a record without a class, no labelled record
    assert database_mask(labels, database, 4)[3].tolist() == [True, False, False]


def test_mask_rows() -> None:
    mask = torch.tensor([[True, False], [False, False], [False, True]])
    rows = mask_rows(mask, torch.tensor([2, -1, 0, 1, 2]))
    assert rows.tolist() == [[False, True], [True, True], [True, False], [False, False], [False, True]]
    assert mask_rows(mask[:0], torch.tensor([-1, -1])).tolist() == [[True, True]] * 2
    assert rows.dtype == torch.bool


def test_an_unknown_database_is_learned_from_in_full() -> None:
    logits, labels, _, _ = random_case(4)
    unknown = mask_rows(torch.zeros(3, 5, dtype=torch.bool), torch.full((7,), -1))
    expected = F.binary_cross_entropy_with_logits(logits, labels.double())
    torch.testing.assert_close(masked_bce(logits, labels, unknown), expected)


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"mask \(3, 5\): all must be \(B, K\)"):
        masked_bce(torch.zeros(7, 5), torch.zeros(7, 5), torch.ones(3, 5))
    with pytest.raises(ValueError, match=r"labels \(7,\)"):
        masked_bce(torch.zeros(7), torch.zeros(7), torch.ones(7))
    with pytest.raises(ValueError, match=r"labels \(7, 5\), database \(6,\)"):
        database_mask(torch.zeros(7, 5), torch.zeros(6, dtype=torch.int64), 3)
