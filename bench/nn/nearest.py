"""The nearest of some centres: what k-means, prototypes and evaluation share."""

import torch
from torch import Tensor


def nearest(points: Tensor, centres: Tensor, chunk: int = 65536) -> Tensor:
    """Index of the nearest centre, (N,) int64; the first of equally near ones.

    Differences are squared and summed, so that points far from the origin lose nothing.

    Args:
        points: (N, D), finite.
        centres: (K, D), at least one of them finite; infinite ones are never chosen.
        chunk: points at a time, whose distances are all the memory this takes.
    """
    with torch.autocast(points.device.type, enabled=False):
        centres = centres.float()
        ids = [
            torch.cdist(part.float(), centres, compute_mode="donot_use_mm_for_euclid_dist").argmin(dim=1)
            for part in points.split(chunk)
        ]
    return torch.cat(ids)
