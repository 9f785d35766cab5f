"""Weights to bytes and back; nothing but tensors is ever unpickled."""

import io
from typing import Any

import torch
from torch import Tensor


def to_bytes(state: dict[str, Any]) -> bytes:
    """A state as bytes, on the host; equal states give equal bytes."""
    buffer = io.BytesIO()
    torch.save({name: _on_host(value) for name, value in state.items()}, buffer)
    return buffer.getvalue()


def from_bytes(data: bytes) -> dict[str, Any]:
    """Inverse of `to_bytes`; refuses anything but tensors and plain values."""
    state: dict[str, Any] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return state


def _on_host(value: Any) -> Any:
    return value.detach().cpu().contiguous().clone() if isinstance(value, Tensor) else value
