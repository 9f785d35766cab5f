"""Weights to bytes and back; nothing but tensors is ever unpickled."""

import io
from typing import Any

import torch
from torch import Tensor


def to_bytes(state: dict[str, Any]) -> bytes:
    """A state as bytes, on the host; equal states give equal bytes. A tensor under two names is stored once."""
    buffer, copies = io.BytesIO(), _Copies()
    torch.save({name: copies.of(value) for name, value in state.items()}, buffer)
    return buffer.getvalue()


def from_bytes(data: bytes) -> dict[str, Any]:
    """Inverse of `to_bytes`; refuses anything but tensors and plain values."""
    state: dict[str, Any] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return state


class _Copies:
    """Copies of tensors on the host, one for each place in memory."""

    def __init__(self) -> None:
        self._made: dict[tuple[Any, ...], Tensor] = {}

    def of(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        place = (value.data_ptr(), value.dtype, tuple(value.shape), value.stride())
        if place not in self._made:
            self._made[place] = value.detach().cpu().contiguous().clone()
        return self._made[place]
