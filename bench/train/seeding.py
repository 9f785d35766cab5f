"""Seeds by purpose: derived from the suite seed, a purpose and the axes that may vary, never from the strategy."""

import hashlib

import torch


def derive_seed(suite_seed: int, purpose: str, *axes: int | str) -> int:
    """A 63-bit seed for one purpose ('init', 'order', 'views', 'subset', ...)."""
    text = "/".join(str(part) for part in (suite_seed, purpose, *axes))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(device: torch.device, suite_seed: int, purpose: str, *axes: int | str) -> torch.Generator:
    """A torch generator on `device`, seeded for one purpose."""
    return torch.Generator(device=device).manual_seed(derive_seed(suite_seed, purpose, *axes))
