"""Losses as pure functions: contrastive ones over a positive mask, and the two of classification.

All compute in float32 (float64 if given it) whatever the autocast state, and are zero with a zero gradient
when nothing in the batch counts.
"""

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

_PUBLISHED_EPSILON = math.log(1e-7)


def multi_positive_nt_xent(
    z: Tensor,
    positives: Tensor,
    temperature: float,
    *,
    anchors: Tensor | None = None,
    candidates: Tensor | None = None,
    as_published: bool = False,
) -> Tensor:
    """The objective of "Finding Good Views of ECG Signals" (arXiv 2411.17702, the loss over S+ and S-).

    With cosine similarities s, positives P and candidates A of anchor i, neither of them holding i itself,

        loss_i = -log( sum over P of exp(s_ij / temperature) / sum over A of exp(s_ij / temperature) ),

    averaged over the anchors that have a positive. The logarithm stands outside the sum, unlike in `supcon`;
    with one positive an anchor it is the NT-Xent of SimCLR (Chen et al. 2020, arXiv 2002.05709).

    Paper and code: the official code sets the diagonal of s to 0 instead of leaving it out, counts an anchor
    as its own positive, adds 1e-7 in the denominator and inside the logarithm, and averages over all anchors,
    so that one without positives repels everybody, at a loss of at most 16.1. `as_published` does all that.

    Args:
        z: projections (N, D), of any length.
        positives: bool (N, N), row i marking the positives of anchor i; its diagonal is ignored.
        temperature: above 0; the paper's is 0.07.
        anchors: bool (N,), whose loss counts; all by default.
        candidates: bool (N, N), or (N,) for the same in every row: who stands in the denominator.
            All by default. A positive that is no candidate does not count. To leave a row out of the loss
            altogether, mark it neither in `anchors` nor in `candidates`.
        as_published: the official code's rule for the diagonal.

    Returns:
        A scalar.

    Raises:
        ValueError: shapes disagree, or the temperature is not above 0.
    """
    logits, positives, candidates = _contrast(z, positives, candidates, temperature)
    if not as_published:
        loss = _log_sum(logits, candidates) - _log_sum(logits, positives)
        return _mean(loss, anchors, positives.any(dim=1))
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    logits = logits.masked_fill(itself, 0)
    epsilon = logits.new_full((), _PUBLISHED_EPSILON)
    denominator = torch.logaddexp(_log_sum(logits, candidates | itself), epsilon)
    share = _log_sum(logits, positives | itself) - denominator
    return _mean(-torch.logaddexp(share, epsilon), anchors)


def supcon(
    z: Tensor,
    positives: Tensor,
    temperature: float,
    *,
    anchors: Tensor | None = None,
    candidates: Tensor | None = None,
) -> Tensor:
    """Supervised contrastive loss, the "out" variant (Khosla et al. 2020, arXiv 2004.11362, equation 2).

    As `multi_positive_nt_xent`, whose arguments and errors it shares, with the logarithm inside the sum: the
    mean over P of -log( exp(s_ip / temperature) / sum over A of exp(s_ia / temperature) ), averaged over the
    anchors that have a positive.
    """
    logits, positives, candidates = _contrast(z, positives, candidates, temperature)
    number = positives.sum(dim=1)
    loss = _log_sum(logits, candidates) - (logits * positives).sum(dim=1) / number.clamp(min=1)
    return _mean(loss, anchors, number > 0)


def classification_loss(
    logits: Tensor, targets: Tensor, kind: Literal["single", "multi"], valid: Tensor | None = None
) -> Tensor:
    """Cross-entropy of a single-class task; of a multi-label one, binary cross-entropy averaged over classes.

    Args:
        logits: (N, K).
        targets: multi-hot (N, K), any dtype; with kind 'single' exactly one class in every valid row.
        kind: of the task.
        valid: bool (N,), rows that count; all by default. Unmark rows without labels and, under 'single',
        rows
            with several.

    Returns:
        The mean over valid rows, a scalar.

    Raises:
        ValueError: shapes disagree, or no such kind.
    """
    if logits.shape != targets.shape:
        raise ValueError(f"logits {tuple(logits.shape)}, targets {tuple(targets.shape)}: both must be (N, K)")
    logits = _full(logits)
    targets = targets.to(logits.dtype)
    if kind == "single":
        loss = -(targets * F.log_softmax(logits, dim=1)).sum(dim=1)
    elif kind == "multi":
        loss = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(dim=1)
    else:
        raise ValueError(f"no classification kind {kind!r}; there are 'single' and 'multi'")
    return _mean(loss, valid)


def _contrast(
    z: Tensor, positives: Tensor, candidates: Tensor | None, temperature: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Cosine similarities over temperature, positives, candidates: (N, N), masks without diagonal."""
    if z.dim() != 2 or positives.shape != (len(z), len(z)):
        raise ValueError(f"z {tuple(z.shape)}, positives {tuple(positives.shape)}: must be (N, D) and (N, N)")
    if temperature <= 0:
        raise ValueError(f"temperature {temperature}: it must be above 0")
    others = ~torch.eye(len(z), dtype=torch.bool, device=z.device)
    candidates = others if candidates is None else candidates & others
    with torch.autocast(z.device.type, enabled=False):
        unit = F.normalize(_full(z), dim=1)
        return unit @ unit.T / temperature, positives & candidates, candidates


def _log_sum(logits: Tensor, mask: Tensor) -> Tensor:
    """Logarithm of the sum of exp(logits) over `mask`, by row.

    What is masked becomes the least finite number, not minus infinity: so an empty row, whose value nobody
    uses, has no NaN in its gradient.
    """
    return logits.masked_fill(~mask, torch.finfo(logits.dtype).min).logsumexp(dim=1)


def _mean(values: Tensor, *masks: Tensor | None) -> Tensor:
    """Mean of `values` (N,) over the rows that every mask given marks; zero if there is none."""
    counts = torch.ones_like(values, dtype=torch.bool)
    for mask in masks:
        if mask is not None:
            counts = counts & mask
    return torch.where(counts, values, 0).sum() / counts.sum().clamp(min=1)


def _full(x: Tensor) -> Tensor:
    """At least float32."""
    return x if x.dtype == torch.float64 else x.float()
