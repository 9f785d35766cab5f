"""A fitted strategy over whole records: every evaluation window of every record, then one row a record."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bench.train.budget import InputSpec
from bench.train.inputs import Signals
from bench.train.strategy import Batch, Fields


def record_windows(lengths: np.ndarray, window: int, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Record row and start of every evaluation window; a record shorter than the window has one, padded."""
    counts = np.maximum((lengths - window) // stride, 0) + 1
    record = np.repeat(np.arange(len(lengths)), counts)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    return record, (np.arange(len(record)) - first) * stride


@dataclass(frozen=True)
class Instances:
    """What is embedded of a corpus: record row, first sample and channel (-1: all leads), each (U,)."""

    record: np.ndarray
    start: np.ndarray
    lead: np.ndarray

    def __len__(self) -> int:
        return len(self.record)


def evaluation_instances(lengths: np.ndarray, window: int, channels: int, spec: InputSpec) -> Instances:
    """Every evaluation window of every record, and of every lead where an instance is one lead.

    Args:
        lengths: samples of each record.
        channels: leads of the lead set.
    """
    record, start = record_windows(lengths, window, spec.stride or window)
    if spec.instance == "record":
        return Instances(record, start, np.full(len(record), -1))
    lead = np.tile(np.arange(channels), len(record))
    return Instances(np.repeat(record, channels), np.repeat(start, channels), lead)


@torch.no_grad()
def over_records(
    function: Callable[[Batch], Tensor],
    signals: Signals,
    fields: Fields,
    spec: InputSpec,
    aggregation: str,
    rows_a_batch: int = 256,
) -> np.ndarray:
    """Apply `function` to every window (and lead, for one-lead instances) and aggregate per record.

    Args:
        function: scaled batch -> (B, K).
        fields: the test-time fields of all records of the corpus.
        aggregation: 'mean' or 'max' over a record's instances, or 'none'.

    Returns:
        (R, K) float32, in the order of the corpus's records; without aggregation (U, K), in the order of
        `evaluation_instances`.
    """
    lengths = signals.length.cpu().numpy()
    units = evaluation_instances(lengths, signals.window, signals.flat.shape[1], spec)
    outputs = []
    for rows in np.array_split(np.arange(len(units)), max(1, -(-len(units) // rows_a_batch))):
        place = signals.offset.device
        rec = torch.tensor(units.record[rows], device=place)
        signal = signals.gather(rec, torch.tensor(units.start[rows], device=place))
        rec = rec.to(signal.device)
        channel = None
        if spec.instance == "lead":
            channel = torch.tensor(units.lead[rows], device=signal.device)[:, None]
            signal = signal.gather(1, channel[..., None].expand(-1, 1, signal.shape[2]))
        batch = Batch(signals.scaled(signal, rec, channel), rec, rec, fields.take(rec))
        outputs.append(function(batch).float().cpu())
    values = torch.cat(outputs)
    if aggregation == "none":
        return values.numpy()
    return aggregate(values, torch.from_numpy(units.record), len(lengths), aggregation)


def aggregate(values: Tensor, record: Tensor, records: int, how: str) -> np.ndarray:
    """(M, K) instance values -> (records, K) by mean or max.

    Raises:
        ValueError: a record has no instance.
    """
    counts = torch.bincount(record, minlength=records)
    if bool((counts == 0).any()):
        raise ValueError(f"{int((counts == 0).sum())} records have no evaluation window")
    if how == "mean":
        total = torch.zeros(records, values.shape[1], dtype=torch.float64)
        total.index_add_(0, record, values.double())
        return (total / counts[:, None]).float().numpy()
    index = record[:, None].expand_as(values)
    empty = torch.full((records, values.shape[1]), -torch.inf)
    return empty.scatter_reduce(0, index, values, "amax").numpy()
