"""What the three forms of CLOCS share: the contrast over pairs of views, and how views are taken and encoded.

Kiyasseh, Zhu and Clifton, "CLOCS: Contrastive Learning of Cardiac Signals Across Space, Time, and Patients", ICML
2021 (arXiv 2005.13249), equations 1 to 4. Only views of one pair are compared, never two instances of one view,
and a positive stays in the denominator of the others. Everything computes in float32 (float64 if given it).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from bench.nn.encoder import Encoder
from bench.nn.prototypes import unit

Pairs = Literal["all", "last"]
OffDiagonals = Literal["full", "half"]
BatchNorm = Literal["joint", "by_view"]

AS_PUBLISHED: Mapping[str, str] = MappingProxyType(
    {"pairs": "last", "offdiagonals": "half", "batch_norm": "by_view"}
)
"""What the official code does, for recipes 'clocs_code'; `clocs_loss` and `embed_views` say what that is."""


class Terms(Protocol):
    """Parameters of a strategy that say which terms its loss has; see `clocs_loss` and `embed_views`."""

    temperature: float
    pairs: Pairs
    offdiagonals: OffDiagonals
    batch_norm: BatchNorm


def clocs_loss(
    embedding: Tensor,
    ids: Tensor,
    temperature: float,
    *,
    pairs: Pairs = "all",
    offdiagonals: OffDiagonals = "full",
) -> Tensor:
    """Each instance should find itself, and others of its patient, in the other view of every pair of views.

    For views a < b, with S_ij = exp(cos(h_i of a, h_j of b) / temperature), R_i its row sums, C_j its column sums,
    the loss is the mean over all pairs (a, b) of the sum of

        D(a, b) = - mean over i of log(S_ii / R_i),   O(a, b) = - mean over i != j of one patient of log(S_ij / R_i),
        D(b, a) = - mean over j of log(S_jj / C_j),   O(b, a) = - mean over i != j of one patient of log(S_ij / C_j).

    Without two instances of one patient both O are 0; of one instance alone, everything is.

    Paper and code: the official code overwrites the loss of each pair by the next and divides by the number of
    pairs, so that it trains on the last two views alone (`pairs="last"`). Its O(a, b) has the half of the pairs
    of instances above the diagonal, its O(b, a) the half below, and the terms that are there, two or four, are
    averaged, not added (`offdiagonals="half"`).

    Args:
        embedding: (V, B, D) embeddings or projections of V views, at least two, of B instances.
        ids: (B,) integer patient of each instance; a negative one is nobody's.
        temperature: above 0; the paper's is 0.1.
        pairs: 'all', or the 'last' alone as published.
        offdiagonals: 'full', or 'half' of them in each direction as published.

    Returns:
        A scalar: with all embeddings equal, ln B for every term.

    Raises:
        ValueError: shapes disagree, or the temperature is not above 0.
    """
    if embedding.dim() != 3 or len(embedding) < 2 or ids.shape != embedding.shape[1:2]:
        raise ValueError(
            f"embedding {tuple(embedding.shape)}, ids {tuple(ids.shape)}: must be (V, B, D), V at least 2, and (B,)"
        )
    if not temperature > 0:
        raise ValueError(f"temperature {temperature}: it must be above 0")
    first, second = torch.triu_indices(len(embedding), len(embedding), 1, device=embedding.device)
    number = len(first)
    if pairs == "last":
        first, second = first[-1:], second[-1:]
    with torch.autocast(embedding.device.type, enabled=False):
        h = unit(embedding.flatten(0, 1)).unflatten(0, embedding.shape[:2])
        logits = h[first] @ h[second].mT / temperature
        by_row, by_column = (weight.to(logits.dtype) for weight in _weights(ids, offdiagonals))
        wanted = logits.flatten(1) @ (by_row + by_column).flatten()
        norms = logits.logsumexp(2) @ by_row.sum(1) + logits.logsumexp(1) @ by_column.sum(0)
        return (norms - wanted).sum() / number


def _weights(ids: Tensor, offdiagonals: OffDiagonals) -> tuple[Tensor, Tensor]:
    """How much each positive (B, B) counts against its row, D(a, b) and O(a, b), and against its column."""
    itself = torch.eye(len(ids), dtype=torch.bool, device=ids.device)
    same = (ids[:, None] == ids[None, :]) & (ids >= 0)[:, None] & ~itself
    if offdiagonals == "full":
        return _mean(itself) + _mean(same), _mean(itself) + _mean(same)
    terms = 2 + 2 * same.any()
    return (_mean(itself) + _mean(same.triu())) / terms, (_mean(itself) + _mean(same.tril())) / terms


def _mean(mask: Tensor) -> Tensor:
    """(B, B) float64 weights under which a sum is the mean over a mask; zeros where that is empty."""
    return mask.double() / mask.sum().clamp(min=1)


def contrast_views(
    encoder: Encoder, projector: nn.Module, signal: Tensor, ids: Tensor, terms: Terms
) -> Tensor:
    """`clocs_loss` of what projector and encoder make of views (V B, C', T') of instances whose ids are (B,)."""
    projection = projector(embed_views(encoder, signal, len(ids), terms.batch_norm))
    return clocs_loss(projection, ids, terms.temperature, pairs=terms.pairs, offdiagonals=terms.offdiagonals)


def take_parts(parts: Tensor, count: int, generator: torch.Generator) -> tuple[list[Tensor], Tensor]:
    """Views that each show one part of an instance: every part in turn, or some that each instance draws.

    Args:
        parts: (B, P, C', T').
        count: parts drawn for each instance, none twice; 0: all, in their order.
        generator: of the draw.

    Returns:
        One signal (B, C', T') for each of V views; (V B,) int64, the part that each row of them shows.
    """
    device = parts.device
    order = torch.arange(parts.shape[1], device=device).expand(parts.shape[:2])
    if count:
        order = torch.rand(order.shape, generator=generator, device=device).argsort(1)[:, :count]
    row = torch.arange(len(parts), device=device)
    return [parts[row, chosen] for chosen in order.T], order.T.flatten()


def embed_views(encoder: Encoder, signal: Tensor, instances: int, batch_norm: BatchNorm = "joint") -> Tensor:
    """(V B, C', T') views, view by view -> (V, B, D) embeddings.

    Paper and code: the official code encodes one view after the other, so that batch norm has statistics of
    each, and its running averages are mostly of the last ones (`batch_norm="by_view"`).

    Args:
        encoder: of one view.
        signal: the views of all instances, the first view of each, then the second, ...
        instances: B.
        batch_norm: all views pass the encoder together, or each alone.
    """
    if batch_norm == "by_view":
        return torch.stack([encoder(view) for view in signal.split(instances)])
    embedding: Tensor = encoder(signal)
    return embedding.unflatten(0, (-1, instances))


def embed_groups(encoder: Encoder, signal: Tensor) -> Tensor:
    """(B, C, T) -> (B, D): the mean embedding of its groups of leads, as many a group as the encoder reads."""
    groups = signal.unflatten(1, (-1, encoder.leads))
    embedding: Tensor = encoder(groups.flatten(0, 1))
    return embedding.unflatten(0, groups.shape[:2]).mean(1)
