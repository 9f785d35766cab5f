"""Counts the floating-point operations of what runs under it: convolutions, matrix products, recurrent layers.

Two a multiplication with its addition, forward and backward; what is cheap beside these (norms, activations, the
optimiser) counts nothing. Counting observes and changes no number.
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
        if packet in _OWN:
            self.total += _OWN[packet](*args)
        elif packet in flop_registry:
            self.total += int(flop_registry[packet](*args, **keywords, out_val=output))
        return output


def _recurrent(input: Tensor, weights: Iterable[Tensor]) -> int:
    """Every matrix of a recurrent layer meets every step of every sequence of `input` (.., .., features) once."""
    matrices = sum(weight.numel() for weight in weights if weight.ndim == 2)
    return 2 * matrices * (input.numel() // input.shape[-1])


def _convolution_backward(output: Tensor, input: Tensor, weight: Tensor, *rest: Any) -> int:
    """Gradients of input and weights, where they are asked for: each costs what the convolution did.

    Every weight meets every place of the output, or of the input where the convolution is a transposed one; a weight of
    a group meets the channels of that group alone.
    """
    transposed, wanted = rest[4], rest[7]
    met = input if transposed else output
    return 2 * weight.numel() * (met.numel() // met.shape[1]) * (int(wanted[0]) + int(wanted[1]))


def _attention(query: Tensor, key: Tensor, value: Tensor) -> int:
    """Similarities (.., S, T) of queries and keys, and the values they weigh."""
    return 2 * query.numel() * key.shape[-2] + 2 * (query.numel() // query.shape[-1]) * value.numel() // (
        value.numel() // (value.shape[-2] * value.shape[-1])
    )


_OWN: dict[Any, Callable[..., int]] = {
    torch.ops.aten.convolution_backward: _convolution_backward,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: lambda *a: _attention(*a[:3]),
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: lambda *a: (
        5 * _attention(*a[1:4]) // 2
    ),
    torch.ops.aten.mkldnn_rnn_layer: lambda *a: _recurrent(a[0], a[1:5]),
    torch.ops.aten.mkldnn_rnn_layer_backward: lambda *a: 2 * _recurrent(a[0], a[1:5]),
    torch.ops.aten._cudnn_rnn: lambda *a: _recurrent(a[0], a[1]),
    torch.ops.aten._cudnn_rnn_backward: lambda *a: 2 * _recurrent(a[0], a[1]),
}
"""What torch's own registry lacks (fused recurrent layers, attention on a CPU), or counts for one group alone.

Gradients of a layer's input and weights cost as much again, each; attention's backward has five products where forward
has two.
"""
