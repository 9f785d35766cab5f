"""Losses over clinical prototypes, one for each attribute set, as pure functions: the equations of CROCS.

Kiyasseh et al., "CROCS: Clustering and Retrieval of Cardiac Signals Based on Patient Disease Class, Sex, and Age",
NeurIPS 2021 (arXiv 2011.14230), section 4. An attribute set is a row (class, sex, age bin) of integers. Everything
computes in float32 (float64 if given it) whatever the autocast state.
"""

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

EPSILON = 1e-8
"""Least norm by which a vector is divided: one of zeros stays one."""


def unit(x: Tensor) -> Tensor:
    """(N, D) rows of length 1, at least float32."""
    return F.normalize(x if x.dtype == torch.float64 else x.float(), dim=1, eps=EPSILON)


def soft_weights(sets: Tensor, softness: float) -> Tensor:
    """How strongly an instance of each attribute set is drawn to every prototype (equation 2).

    A softmax of the number of matching attributes over `softness`, among the prototypes of the same class. The
    printed denominator repeats the index of the numerator; meant is the sum over the class.

    Args:
        sets: (M, 3) int64, all different.
        softness: the paper's tau_omega, above 0; `math.inf` draws to all prototypes of the class alike.

    Returns:
        (M, M) float32: row the instance's set, column the prototype; rows sum to 1, 0 for other classes.

    Raises:
        ValueError: softness not above 0.
    """
    if not softness > 0:
        raise ValueError(f"softness {softness}: it must be above 0")
    matches = (sets[:, None] == sets[None]).sum(dim=2)
    return (matches / softness).masked_fill(~_same_class(sets), -math.inf).softmax(dim=1)


def prototype_nce(embedding: Tensor, prototypes: Tensor, weights: Tensor, temperature: float) -> Tensor:
    """Contrast of instances with prototypes (equations 1 and 2): all M of them are in the denominator.

    With cosine similarities s, the mean over instances i of
    - sum over j of weights_ij log( exp(s_ij / temperature) / sum over k of exp(s_ik / temperature) ).

    Args:
        embedding: (B, D), of any length.
        prototypes: (M, D), of any length.
        weights: (B, M): one-hot rows are the hard loss, rows of `soft_weights` the soft one. A row of zeros
            is an instance that does not count.
        temperature: the paper's tau_s, above 0; 0.1 there.

    Returns:
        A scalar; zero with a zero gradient when no instance counts.

    Raises:
        ValueError: shapes disagree, or the temperature is not above 0.
    """
    if weights.shape != (len(embedding), len(prototypes)):
        raise ValueError(
            f"weights {tuple(weights.shape)} for {len(embedding)} instances and {len(prototypes)} prototypes"
        )
    if not temperature > 0:
        raise ValueError(f"temperature {temperature}: it must be above 0")
    with torch.autocast(embedding.device.type, enabled=False):
        share = (unit(embedding) @ unit(prototypes).T / temperature).log_softmax(dim=1)
        return -(weights * share).sum() / (weights > 0).any(dim=1).sum().clamp(min=1)


def arrangement_loss(
    prototypes: Tensor,
    sets: Tensor,
    beta: float = 0.2,
    distance: Literal["squared", "plain"] = "squared",
    age: Literal["hamming", "ordinal"] = "hamming",
    reduction: Literal["mean", "sum"] = "mean",
) -> Tensor:
    """Squared error of the distances between prototypes of a class, wanted at beta x mismatches (equation 3).

    The final paper prints a sum and plain Euclidean distances; the first version of its preprint ("DROPS")
    prints the mean and names squared ones, the only ones for which every target can be met at once.

    Args:
        prototypes: (M, D), of any length; compared as unit vectors.
        sets: (M, 3) int64.
        beta: distance that one mismatch asks for.
        distance: 'squared' Euclidean, or 'plain'.
        age: two age bins differ by 1 ('hamming'), or by their difference ('ordinal').
        reduction: over the ordered pairs of a class, the M pairs of a prototype with itself included.

    Returns:
        A scalar, at least 0.
    """
    difference = (sets[:, None] - sets[None]).abs()
    mismatch = difference[..., :2].clamp(max=1).sum(dim=2)
    mismatch = mismatch + (difference[..., 2].clamp(max=1) if age == "hamming" else difference[..., 2])
    with torch.autocast(prototypes.device.type, enabled=False):
        points = unit(prototypes)
        found = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
        found = found.square() if distance == "squared" else found
        same = _same_class(sets)
        error = ((found - beta * mismatch.to(found.dtype)).square() * same).sum()
        return error / same.sum() if reduction == "mean" else error


def usage(ids: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """How evenly groups are used: entropy of their shares over its maximum, and the largest share.

    Args:
        ids: (N,) int64 from 0 to `groups` - 1, N at least 1.
        groups: how many there are, G.

    Returns:
        Two scalars: 1 and 1 / G if all are used alike, 0 and 1 if one has everything.
    """
    share = (ids[:, None] == torch.arange(groups, device=ids.device)).float().mean(dim=0)
    return torch.special.entr(share).sum() / math.log(max(2, groups)), share.max()


def _same_class(sets: Tensor) -> Tensor:
    """(M, M) bool."""
    return sets[:, None, 0] == sets[None, :, 0]
