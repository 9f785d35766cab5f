"""Label masking by source database: the binary cross-entropy of classes that a record's source never labels counts 0.

Databases annotate different classes, so that a missing label means "absent" in one and "not asked" in another.
Masks are made from training labels; a database that those say nothing of, and an unknown one (-1), masks nothing.

Paper: Suh et al., CinC 48 (2021), section 2.6, which leaves open how the loss is averaged and what an unknown
database gets.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def database_mask(labels: Tensor, database: Tensor, count: int, counted: Tensor | None = None) -> Tensor:
    """Which classes each source database labels at all.

    Args:
        labels: multi-hot (N, K) of the training records, any dtype.
        database: (N,) int64, source of each, below `count`; -1 where unknown.
        count: number of databases S.
        counted: bool (N,), records that are labelled; all by default.

    Returns:
        (S, K) bool, False iff no record of the database has the class. All True for a database without records.

    Raises:
        ValueError: shapes disagree.
    """
    if labels.dim() != 2 or database.shape != labels.shape[:1]:
        raise ValueError(f"labels {tuple(labels.shape)}, database {tuple(database.shape)}: (N, K) and (N,)")
    member = F.one_hot(database + 1, count + 1)[:, 1:].float()  # none for -1
    if counted is not None:
        member = member * counted[:, None]
    positives = member.T @ (labels != 0).float()
    return (positives > 0) | (member.sum(dim=0) == 0)[:, None]


def mask_rows(mask: Tensor, database: Tensor) -> Tensor:
    """The mask of each record; all True where its database is unknown.

    Args:
        mask: (S, K) bool.
        database: (B,) int64, row of the mask; -1 where unknown.

    Returns:
        (B, K) bool.
    """
    everything = mask.new_ones(1, mask.shape[1])
    return torch.cat([everything, mask])[database + 1]


def masked_bce(logits: Tensor, labels: Tensor, mask: Tensor, counted: Tensor | None = None) -> Tensor:
    """Binary cross-entropy in which masked entries are 0 and yet count in the mean.

        loss = sum over records and classes of m * BCE(logit, label) / (records * classes)

    The paper gives m * BCE of one entry; it leaves the mean over all entries, masked ones too, open. So a record
    of a source with few classes weighs less. In float32 (float64 if given it) whatever the autocast state.

    Args:
        logits: (B, K).
        labels: multi-hot (B, K), any dtype.
        mask: (B, K) bool, False where the record's database never labels the class.
        counted: bool (B,), records that are labelled; all by default. The others count in neither sum.

    Returns:
        A scalar; zero with a zero gradient when nothing counts.

    Raises:
        ValueError: shapes disagree.
    """
    if not logits.shape == labels.shape == mask.shape or logits.dim() != 2:
        shapes = f"logits {tuple(logits.shape)}, labels {tuple(labels.shape)}, mask {tuple(mask.shape)}"
        raise ValueError(f"{shapes}: all must be (B, K)")
    if counted is None:
        counted = logits.new_ones(len(logits), dtype=torch.bool)
    full = logits if logits.dtype == torch.float64 else logits.float()
    loss = F.binary_cross_entropy_with_logits(full, labels.to(full.dtype), reduction="none")
    kept = (mask != 0) & counted[:, None]
    entries = counted.sum() * logits.shape[1]
    return torch.where(kept, loss, 0).sum() / entries.clamp(min=1)
