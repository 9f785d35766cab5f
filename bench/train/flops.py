"""Counts the floating-point operations of what runs under it: convolutions, matrix products, recurrent layers.

Two a multiplication with its addition, forward and backward; what is cheap beside these (norms, activations, views,
the optimiser) counts nothing. Counting observes and changes no number.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class FlopCounter(TorchDispatchMode):
    """Within `with FlopCounter() as counter:` every operation adds to `counter.total`."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run an operation and count it."""
        keywords = dict(kwargs or {})
        output = func(*args, **keywords)
        packet = func._overloadpacket
        if packet in _RECURRENT:
            self.total += _RECURRENT[packet](*args)
        elif packet in flop_registry:
            self.total += int(flop_registry[packet](*args, **keywords, out_val=output))
        return output


def _recurrent(input: Tensor, weights: Iterable[Tensor]) -> int:
    """Every matrix of a recurrent layer meets every step of every sequence of `input` (.., .., features) once."""
    matrices = sum(weight.numel() for weight in weights if weight.ndim == 2)
    return 2 * matrices * (input.numel() // input.shape[-1])


_RECURRENT: dict[Any, Callable[..., int]] = {
    torch.ops.aten.mkldnn_rnn_layer: lambda *a: _recurrent(a[0], a[1:5]),
    torch.ops.aten.mkldnn_rnn_layer_backward: lambda *a: 2 * _recurrent(a[0], a[1:5]),
    torch.ops.aten._cudnn_rnn: lambda *a: _recurrent(a[0], a[1]),
    torch.ops.aten._cudnn_rnn_backward: lambda *a: 2 * _recurrent(a[0], a[1]),
}
"""torch's own registry lacks the fused recurrent layers; gradients of input and weights cost as much again, each."""
