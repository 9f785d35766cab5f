"""Where a result came from: code, versions, machine, time, memory. Never part of a key.

The memory of a cell is its own, not that of the warm process that ran a hundred before it: `start_measuring` goes
before it, `cell_provenance` after. What a machine cannot measure is None, never a number of something else.
"""

import contextlib
import ctypes
import datetime
import hashlib
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

_PACKAGES = (
    "leadboard",
    "torch",
    "numpy",
    "pandas",
    "pyarrow",
    "scikit-learn",
    "scipy",
    "ray",
    "wfdb",
    "neurokit2",
)

_CODE = ("bench", "strategies", "baselines")
_SUFFIXES = (".py", ".yaml")
_SELF = "bench/run/provenance.py"
_ROOT = Path(__file__).resolve().parents[2]
_ELSEWHERE = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"}
"""With these in the environment, as within a git hook, git would speak of another checkout."""


@dataclass(frozen=True)
class Start:
    """What the process held when a cell began.

    Attributes:
        memory_mib: MiB resident (on a GPU: allocated there); None where a cell's own peak cannot be measured.
    """

    memory_mib: float | None


def start_measuring(device: str) -> Start:
    """Forget the highest memory so far, so that what `cell_provenance` finds is the next cell's own.

    On a CPU that is Linux's high-water mark of resident memory, set back; before, glibc returns what it kept of
    freed memory, or a cell would be charged with the largest that ever ran in its process.
    """
    if device.startswith("cuda"):
        try:
            torch.cuda.init()  # a process that has not used the GPU yet has nothing to reset, and says so by an error
            torch.cuda.reset_peak_memory_stats(device)
            return Start(torch.cuda.memory_allocated(device) / 2**20)
        except (
            RuntimeError,
            AssertionError,
        ):  # a GPU that is not there or broken fails the cell, not its measuring
            return Start(None)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return Start(None)
    return Start(_resident("VmHWM"))


def cell_provenance(device: str, seconds: float, start: Start | None = None) -> dict[str, Any]:
    """Provenance of one finished cell.

    Args:
        start: what `start_measuring` gave before the cell; None: its memory was not measured.

    Returns:
        Plain values. `peak_memory_mib` is the most that the cell's process held while the cell ran, resident (on a
        GPU: allocated there), with everything that was there before: torch itself (about 300 MiB of a CPU's memory),
        and corpora kept from cells before. `memory_at_start_mib` tells how much that was. Both None: not measured.
    """
    before = start.memory_mib if start else None
    peak = None if before is None else _peak(device)
    return {
        **process_facts(),
        **device_facts(device),
        "threads": torch.get_num_threads(),
        "seconds": round(seconds, 4),
        "peak_memory_mib": None if peak is None else round(peak, 1),
        "memory_at_start_mib": None if before is None else round(before, 1),
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def device_facts(device: str) -> dict[str, str]:
    """What computed: the kind of device, and its name."""
    if device.startswith("cuda"):
        return {"accelerator": "cuda", "device": torch.cuda.get_device_name(device)}
    return {"accelerator": "cpu", "device": platform.processor() or platform.machine()}


def _peak(device: str) -> float | None:
    """MiB since `start_measuring`."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device) / 2**20
    return _resident("VmHWM")


def _resident(name: str) -> float | None:
    """MiB of a line of the kernel's account of this process; None where it keeps none."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return None


@lru_cache(maxsize=1)
def process_facts() -> dict[str, Any]:
    """What does not change while a process lives."""
    return {
        **code_state(_ROOT),
        "python": sys.version.split()[0],
        "packages": {name: _version(name) for name in _PACKAGES},
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


def code_state(root: Path) -> dict[str, Any]:
    """Which code lies below a folder.

    Returns:
        `commit` of the checkout, and whether the project's code is `modified` since, new files included; both None
        where git does not know this code. Then, and where it is modified, `source_hash` tells one state from another;
        else it is None.
    """
    known = _git(root, "ls-files", "--", _SELF)  # an installed package may lie in somebody else's checkout
    if not known:
        return {"commit": None, "modified": None, "source_hash": source_hash(root)}
    patterns = [f":(glob){folder}/**/*{suffix}" for folder in _CODE for suffix in _SUFFIXES]
    changed = _git(root, "status", "--porcelain", "--untracked-files=all", "--", *patterns)
    commit, modified = _git(root, "rev-parse", "HEAD"), None if changed is None else bool(changed)
    return {
        "commit": commit,
        "modified": modified,
        "source_hash": None if commit and modified is False else source_hash(root),
    }


def source_hash(root: Path) -> str:
    """SHA-256 over the names and texts of the project's Python and YAML files, in the order of their paths."""
    digest = hashlib.sha256()
    files = (path for folder in _CODE for path in (root / folder).rglob("*") if path.suffix in _SUFFIXES)
    for name, path in sorted((path.relative_to(root).as_posix(), path) for path in files if path.is_file()):
        text = path.read_bytes().replace(b"\r\n", b"\n")
        digest.update(f"{name}\0{len(text)}\0".encode() + text)
    return digest.hexdigest()


def _git(root: Path, *arguments: str) -> str | None:
    """What git says of a folder's checkout; None where there is no git or no checkout."""
    command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
    own = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10, env=own)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


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
