"""The words for what became of a cell, everywhere the same."""

from enum import StrEnum


class Status(StrEnum):
    """What became of a cell."""

    DONE = "done"
    CACHED = "cached"
    FAILED = "failed"
    OOM = "oom"
    TIMEOUT = "timeout"
    BLOCKED = "blocked"
    SKIPPED = "skipped"
