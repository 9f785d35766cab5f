"""A fitted strategy over whole records: every evaluation window of every record, then one row a record."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from bench.train.budget import InputSpec
from bench.train.inputs import Signals
from bench.train.strategy import Batch, Fields
from bench.train.units import Instances, evaluation_instances

Disturb = Callable[[Tensor, Instances], Tensor]
"""(signal (B, C, T) in millivolts, what each row shows) -> the same with something added."""


@torch.no_grad()
def over_records(
    function: Callable[[Batch], Tensor],
    signals: Signals,
    fields: Fields,
    spec: InputSpec,
    aggregation: str,
    rows: np.ndarray | None = None,
    disturb: Disturb | None = None,
    rows_a_batch: int = 256,
) -> np.ndarray:
    """Apply `function` to every window (and lead, for one-lead instances) and aggregate per record.

    Args:
        function: scaled batch -> (B, K).
        fields: the test-time fields of all records of the corpus.
        aggregation: 'mean' or 'max' over a record's instances, or 'none'.
        rows: ascending record rows to look at; None: all.
        disturb: what is done to the signal before it is scaled.

    Returns:
        (R, K) float32, in the order of the records looked at; without aggregation (U, K), in the order of
        `evaluation_instances`.
    """
    lengths = signals.length.cpu().numpy()
    units = evaluation_instances(lengths, signals.window, signals.flat.shape[1], spec)
    if rows is not None:
        units = units.at(np.flatnonzero(np.isin(units.record, rows)))
    outputs = []
    for places in np.array_split(np.arange(len(units)), max(1, -(-len(units) // rows_a_batch))):
        batch = _batch(units.at(places), signals, fields, disturb)
        outputs.append(function(batch).float().cpu())
    values = torch.cat(outputs)
    if aggregation == "none":
        return values.numpy()
    looked_at = np.arange(len(lengths)) if rows is None else rows
    owner = torch.from_numpy(np.searchsorted(looked_at, units.record))
    return aggregate(values, owner, len(looked_at), aggregation)


def _batch(units: Instances, signals: Signals, fields: Fields, disturb: Disturb | None) -> Batch:
    """Some evaluation instances, scaled."""
    place = signals.offset.device
    record = torch.tensor(units.record, device=place)
    start = torch.tensor(units.start, device=place)
    signal, valid = signals.gather(record, start), signals.valid(record, start)
    record = record.to(signal.device)
    channel = None
    if len(units) and units.lead[0] >= 0:
        channel = torch.tensor(units.lead, device=signal.device)[:, None]
        signal = signal.gather(1, channel[..., None].expand(-1, 1, signal.shape[2]))
    if disturb is not None:
        signal = disturb(signal, units)
    return Batch(signals.scaled(signal, record, channel), record, record, fields.take(record), valid)


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
