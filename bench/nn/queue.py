"""A first-in, first-out queue of embeddings: what a batch is too small to hold.

SwAV (Caron et al., NeurIPS 2020, arXiv 2006.09882, section 3.1) balances its assignments over the embeddings of the
last batches, apart for each view that is assigned. The queue is made of buffers, so it is part of a checkpoint.
"""

import torch
from torch import Tensor, nn


class Queue(nn.Module):
    """The last embeddings of each of some views; a push overwrites the oldest in place.

    Args:
        views: A, each with rows of its own.
        batches: batches it holds; the first push says how large one is.
        dim: D.

    Attributes:
        rows: (A, R, D) in no particular order, R = batches x rows of the first push; (A, 0, D) before it.
        pushed: () int64, rows pushed so far to each view.

    Raises:
        ValueError: no views, no batches or no dimension.
    """

    rows: Tensor
    pushed: Tensor

    def __init__(self, views: int, batches: int, dim: int) -> None:
        super().__init__()
        if min(views, batches, dim) < 1:
            raise ValueError(
                f"a queue of {views} views, {batches} batches, {dim} dimensions: at least 1 each"
            )
        self.batches = batches
        self.register_buffer("rows", torch.zeros(views, 0, dim))
        self.register_buffer("pushed", torch.zeros((), dtype=torch.int64))
        self.register_load_state_dict_pre_hook(_take_size)

    @property
    def full(self) -> bool:
        """Whether every row has been pushed; on a GPU this waits for the device."""
        return self.rows.shape[1] > 0 and bool(self.pushed >= self.rows.shape[1])

    @torch.no_grad()
    def push(self, rows: Tensor) -> None:
        """Put in the newest embeddings of every view, for the oldest.

        Args:
            rows: (A, B, D); kept without gradient.

        Raises:
            ValueError: not the views or dimension of this queue, or more rows than it holds.
        """
        views, size, dim = self.rows.shape
        if rows.ndim != 3 or (rows.shape[0], rows.shape[2]) != (views, dim) or 0 < size < rows.shape[1]:
            raise ValueError(f"push of {tuple(rows.shape)} to a queue of {(views, size, dim)}")
        if not size:
            size = self.batches * rows.shape[1]
            self.rows = self.rows.new_zeros(views, size, dim)
        place = (self.pushed + torch.arange(rows.shape[1], device=rows.device)) % size
        self.rows.index_copy_(1, place, rows.to(self.rows.dtype))
        self.pushed += rows.shape[1]


def _take_size(queue: Queue, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Before rows are loaded: take their size, which no queue knows before its first push."""
    found = state.get(f"{prefix}rows")
    if found is not None:
        queue.rows = torch.empty_like(found, device=queue.rows.device)
