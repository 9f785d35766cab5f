"""Exponential moving average of a module: the target encoder of BYOL follows the one that is trained.

Grill et al., "Bootstrap Your Own Latent", NeurIPS 2020 (arXiv 2006.07733), section 3.1: after every step,
target <- decay x target + (1 - decay) x online, with a decay that rises to 1.

Everything that is a number follows: parameters (biases too) and floating-point buffers, with the same decay;
integers, such as a batch norm's count of batches, are copied. Running statistics are averaged rather than copied
because a target that runs in training mode keeps statistics of its own features, which a copy would overwrite;
one that does not still follows the online ones.

Paper and code: the code of Mehari and Strodthoff (arXiv 2103.12676) averages only what has "weight" in its name, so
the target's biases stay as they were drawn; `as_published` does that.
"""

import math
from collections.abc import Iterator
from itertools import chain

import torch
from torch import Tensor, nn


def decay(step: int, total: int, base: float = 0.996) -> float:
    """Decay of one step: 1 - (1 - base) (cos(pi step / total) + 1) / 2.

    Args:
        step: counted from 0, where the decay is `base`.
        total: steps in all, at least 1; there the decay would be 1, and the target stand still.
        base: in [0, 1]; BYOL's is 0.996.
    """
    return 1 - (1 - base) * (math.cos(math.pi * step / total) + 1) / 2


@torch.no_grad()
def update(target: nn.Module, online: nn.Module, kept: float, *, as_published: bool = False) -> None:
    """Move `target` towards `online`, in place, in one fused operation.

    Args:
        target: of the same structure as `online`.
        online: it is left alone.
        kept: what the target keeps of itself: the decay of this step, in [0, 1].
        as_published: move only the parameters whose name contains "weight", and no buffer.

    Raises:
        ValueError: `kept` is no share, or the two modules differ in the names of what they hold.
    """
    if not 0 <= kept <= 1:
        raise ValueError(f"a moving average that keeps {kept} of itself: it must be in [0, 1]")
    ours, theirs = (dict(_tensors(module, as_published)) for module in (target, online))
    if ours.keys() != theirs.keys():
        raise ValueError(f"target and online differ: {sorted(ours.keys() ^ theirs.keys())[:3]}")
    averaged = [name for name, tensor in ours.items() if tensor.is_floating_point()]
    torch._foreach_lerp_([ours[name] for name in averaged], [theirs[name] for name in averaged], 1 - kept)
    for name in ours.keys() - set(averaged):
        ours[name].copy_(theirs[name])


def _tensors(module: nn.Module, weights_only: bool) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers by name; or the parameters alone whose name contains "weight"."""
    if weights_only:
        return ((name, tensor) for name, tensor in module.named_parameters() if "weight" in name)
    return chain(module.named_parameters(), module.named_buffers())
