"""Where a result came from: code, versions, machine, time. Never part of a key."""

import datetime
import os
import platform
import resource
import subprocess
import sys
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

_PACKAGES = ("leadboard", "torch", "numpy", "pandas", "scikit-learn", "scipy", "ray", "wfdb", "neurokit2")


def cell_provenance(device: str, seconds: float) -> dict[str, Any]:
    """Provenance of one finished cell."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    on_gpu = device.startswith("cuda")
    return {
        **process_facts(),
        "device": torch.cuda.get_device_name(device)
        if on_gpu
        else platform.processor() or platform.machine(),
        "accelerator": "cuda" if on_gpu else "cpu",
        "threads": torch.get_num_threads(),
        "seconds": round(seconds, 4),
        "peak_memory_mib": round(torch.cuda.max_memory_allocated(device) / 2**20 if on_gpu else peak, 1),
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


@lru_cache(maxsize=1)
def process_facts() -> dict[str, Any]:
    """What does not change while a process lives."""
    return {
        **git_state(),
        "python": sys.version.split()[0],
        "packages": {name: _version(name) for name in _PACKAGES},
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


@lru_cache(maxsize=1)
def git_state() -> dict[str, Any]:
    """Commit of the code and whether the checkout differs from it; None outside a checkout."""
    root = Path(__file__).resolve().parents[2]

    def git(*arguments: str) -> str | None:
        try:
            return subprocess.run(
                ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=10
            ).stdout.strip()
        except (OSError, subprocess.SubprocessError):
            return None

    changed = git("status", "--porcelain", "--untracked-files=no", "--", "bench", "strategies", "baselines")
    return {"commit": git("rev-parse", "HEAD"), "modified": None if changed is None else bool(changed)}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
