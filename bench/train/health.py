"""Signs of life of a fit: loss, and how much room the embeddings take."""

import torch
from torch import Tensor


def effective_rank(embedding: Tensor) -> float:
    """exp(entropy) of the normalised singular values of the centred embeddings (N, D); 1 is a collapse."""
    centred = (embedding - embedding.mean(0)).double()
    values = torch.linalg.svdvals(centred)
    total = values.sum()
    if not torch.isfinite(total) or total <= 0:
        return 1.0
    share = (values / total).clamp_min(1e-12)
    return float(torch.exp(-(share * share.log()).sum()))


def spread(embedding: Tensor) -> float:
    """Mean standard deviation of the L2-normalised embeddings' coordinates, times sqrt(D): 1 is uniform."""
    unit = torch.nn.functional.normalize(embedding.float(), dim=1)
    return float(unit.std(0).mean() * unit.shape[1] ** 0.5)
