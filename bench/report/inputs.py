"""What of a record reaches an encoder, in words: rate, pass band, scaling, and rows with an input of their own."""

from collections.abc import Mapping
from typing import Any

from bench.run.suite import Suite

Band = tuple[float, float] | None

_SPOKEN = {
    "rate": "{} Hz",
    "window": "windows of {:,} samples",
    "crop": "crops: {}",
    "scaling": "scaling {}",
    "instance": "an instance is a {}",
    "stride": "evaluation windows {:,} samples apart",
    "windows": "evaluation windows of a record at most {}",
    "aggregation": "aggregation {}",
}
_NONE = {
    "window": "whole records",
    "stride": "evaluation windows end to end",
    "windows": "all evaluation windows",
}


def band_of(band: Band) -> str:
    """'pass band 1 to 45 Hz', or that there is none."""
    return f"pass band {band[0]:g} to {band[1]:g} Hz" if band else "no pass band"


def input_line(suite: Suite, names: Mapping[str, str], window: bool = False) -> str:
    """Rate, pass band and scaling: '100 Hz, no pass band, scaling minmax', and the rows that differ.

    Args:
        suite: as it runs on one corpus.
        names: of the rows by label.
        window: tell its length too.
    """
    spec = suite.input
    length = [_told("window", spec.window)] if window and spec.window else []
    told = [_told("rate", spec.rate), _told("band", spec.band), *length, _told("scaling", spec.scaling)]
    return ", ".join(told) + own_inputs(suite, names)


def own_inputs(suite: Suite, names: Mapping[str, str]) -> str:
    """Rows with an input that is not the suite's: ' (No pre-processing: no pass band, scaling none)'.

    Args:
        suite: as it runs on one corpus.
        names: of the rows by label.
    """
    groups: dict[str, list[str]] = {}
    shared = suite.input.model_dump()
    for entry in suite.entries:
        own = type(suite.input).model_validate(shared | entry.input).model_dump()
        changes = [_told(name, own[name]) for name in shared if own[name] != shared[name]]
        if changes and entry.label in names:
            groups.setdefault(", ".join(changes), []).append(names[entry.label])
    return "".join(f" ({'; '.join(rows)}: {told})" for told, rows in groups.items())


def _told(name: str, value: Any) -> str:
    """One setting of an input in words."""
    if name == "band":
        return band_of(value)
    return _NONE[name] if value is None else _SPOKEN[name].format(value)
