"""Contrastive predictive coding: which of many steps of the sequence is the one some steps ahead?

Van den Oord, Li, Vinyals, "Representation Learning with Contrastive Predictive Coding" (arXiv 1807.03748), as
Mehari & Strodthoff (arXiv 2103.12676) use it on ECGs: one horizon, negatives from the same sequence, plain dot
products. All scores are one batched product, of which the drawn ones are picked: memory is linear in the batch, and
the candidates' features are never copied.

Paper and code: the official code adds the loss up over time, `as_published_sum`; here it is a mean.
"""

import torch
from torch import Tensor


def draw_candidates(
    rows: int, steps: int, horizon: int, negatives: int, generator: torch.Generator
) -> Tensor:
    """The steps among which each anchor is to find the one `horizon` ahead.

    An anchor is a step with one `horizon` ahead: A = steps - horizon of them. Its negatives are drawn uniformly, with
    replacement, from all steps of the sequence but that one; it may be among them itself.

    Args:
        rows: sequences B.
        steps: of a sequence, L.
        horizon: at least 1.
        negatives: for each anchor of each sequence, at least 1.
        generator: on the device of the result.

    Returns:
        (B, A, 1 + negatives) int64 steps, the right one first.

    Raises:
        ValueError: nothing to predict, or nothing to tell it from.
    """
    if not 1 <= horizon < steps or negatives < 1:
        raise ValueError(
            f"{negatives} negatives, horizon {horizon} in a sequence of {steps} steps: at least one negative,"
            " and a horizon from 1 to one step less than the sequence has"
        )
    positive = torch.arange(horizon, steps, device=generator.device)[:, None]
    drawn = torch.randint(
        steps - 1, (rows, len(positive), negatives), generator=generator, device=generator.device
    )
    drawn += drawn >= positive  # steps from the right one on move up by one: it is left out
    return torch.cat((positive.expand(rows, -1, -1), drawn), dim=2)


def latent_prediction(
    predicted: Tensor, features: Tensor, candidates: Tensor, *, as_published_sum: bool = False
) -> tuple[Tensor, Tensor]:
    """Cross-entropy of finding the right step among its candidates by dot products (InfoNCE).

    Args:
        predicted: (B, A, D) what each anchor expects.
        features: (B, L, D) what there is at each step; the gradient reaches right steps and negatives alike.
        candidates: (B, A, M) int64 of `draw_candidates`.
        as_published_sum: add up over the anchors, in place of their mean; over the sequences it is a mean always.

    Returns:
        Two scalars: the loss, about log M for scores that are small; and without gradient the share of anchors whose
        right step has the highest score (ties count as wrong, so that constant features score 0).

    Raises:
        ValueError: shapes disagree.
    """
    if predicted.shape[::2] != features.shape[::2] or predicted.shape[:2] != candidates.shape[:2]:
        raise ValueError(
            f"predicted {tuple(predicted.shape)}, features {tuple(features.shape)}, candidates"
            f" {tuple(candidates.shape)}: must be (B, A, D), (B, L, D) and (B, A, M)"
        )
    with torch.autocast(predicted.device.type, enabled=False):
        scores = (_full(predicted) @ _full(features).mT).gather(2, candidates)
    loss = scores.logsumexp(dim=2) - scores[..., 0]
    accuracy = (scores[..., 0] > scores[..., 1:].amax(dim=2)).float().mean()
    return loss.sum(dim=1).mean() if as_published_sum else loss.mean(), accuracy


def _full(x: Tensor) -> Tensor:
    """At least float32."""
    return x if x.dtype == torch.float64 else x.float()
