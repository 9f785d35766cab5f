"""What is evaluated of a corpus: windows, and single leads of them where an instance is one lead."""

from dataclasses import dataclass

import numpy as np

from bench.train.budget import InputSpec


def record_windows(
    lengths: np.ndarray, window: int, stride: int, most: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Record row and start of every evaluation window; a record shorter than the window has one, padded.

    Args:
        lengths: samples of each record.
        most: windows of a record; one that would have more has so many, evenly spaced from its first to its last.
    """
    every = np.maximum((lengths - window) // stride, 0) + 1
    counts = every if most is None else np.minimum(every, most)
    record = np.repeat(np.arange(len(lengths)), counts)
    place = np.arange(len(record)) - np.repeat(np.cumsum(counts) - counts, counts)
    apart = np.repeat((every - 1) / np.maximum(counts - 1, 1), counts)
    return record, np.rint(place * apart).astype(np.int64) * stride


@dataclass(frozen=True)
class Instances:
    """What is embedded of a corpus: record row, first sample and channel (-1: all leads), each (U,)."""

    record: np.ndarray
    start: np.ndarray
    lead: np.ndarray

    def __len__(self) -> int:
        return len(self.record)

    def at(self, places: np.ndarray) -> "Instances":
        """Some of them."""
        return Instances(self.record[places], self.start[places], self.lead[places])


def evaluation_instances(lengths: np.ndarray, window: int, channels: int, spec: InputSpec) -> Instances:
    """Every evaluation window of every record, and of every lead where an instance is one lead.

    Args:
        lengths: samples of each record.
        channels: leads of the lead set.
    """
    record, start = record_windows(lengths, window, spec.stride or window, spec.windows)
    if spec.instance == "record":
        return Instances(record, start, np.full(len(record), -1))
    lead = np.tile(np.arange(channels), len(record))
    return Instances(np.repeat(record, channels), np.repeat(start, channels), lead)


def judged_units(lengths: np.ndarray, channels: int, spec: InputSpec) -> Instances:
    """What a read-out judges: every record (from 0, all leads), or every evaluation instance where none are merged.

    Args:
        lengths: samples of each record.
        channels: leads of the lead set.
    """
    if spec.aggregation == "none":
        return evaluation_instances(lengths, int(spec.window or lengths[0]), channels, spec)
    everything = np.arange(len(lengths))
    return Instances(everything, np.zeros_like(everything), np.full_like(everything, -1))
