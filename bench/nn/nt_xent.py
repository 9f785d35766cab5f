"""NT-Xent as the published code of "Self-supervised representation learning from 12-lead ECG data" has it."""

import math

import torch
from torch import Tensor

from bench.nn.prototypes import unit


def published_nt_xent(z: Tensor, temperature: float) -> Tensor:
    """NT-Xent that takes e, in place of exp(1 / temperature), out of each denominator; two views of each record.

    Mehari and Strodthoff 2022 (arXiv 2103.12676). So a share of each view's similarity to itself stays, 4.67 at
    their temperature of 0.5: nothing beside their batch of 4,096, much beside one of 64. `multi_positive_nt_xent`
    of `losses` is NT-Xent as it should be.

    Args:
        z: (2 B, P) projections of any length: the first view of all records, then the second in the same order.
        temperature: above 0.

    Returns:
        A scalar.
    """
    with torch.autocast(z.device.type, enabled=False):
        directions = unit(z)
        logits = directions @ directions.T / temperature
        others = (logits.exp().sum(1) - math.e).clamp(min=1e-6) + 1e-6
    partner = logits.roll(len(z) // 2, dims=1).diagonal()
    return (others.log() - partner).mean()
