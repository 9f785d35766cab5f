"""Signals on the device: the corpus once, then batches by index arithmetic; no workers, no per-record Python."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from bench.data.corpus import ATTRIBUTES, CorpusError, PreparedCorpus
from bench.data.measured import databases, read_features
from bench.train.budget import InputSpec
from bench.train.description import Draw
from bench.train.fields import Field, Fields
from bench.train.strategy import Batch
from bench.train.units import Instances

ONE_WINDOW = Draw()

_FLOOR = 1e-3
"""Millivolts: what does not move is not blown up."""

_SEX = {"male": 0, "female": 1}


@dataclass(frozen=True)
class Signals:
    """Some leads of a prepared corpus on a device, with each record's scaling.

    Attributes:
        flat: (all samples, C) int16 microvolts.
        offset, length: (R,) int64, where each record lies in `flat`.
        shift, scale: (R, C) float32 millivolts; scaled = (signal - shift) / scale.
        window: samples of an evaluated instance.
        present: (C,) bool, the leads that are shown; the others are zero after scaling. None: all are.
        by_view: scaled to [0, 1] by its own extremes instead, each lead of each signal by itself.
        shortest: samples of the shortest record; beyond them gathering must pad.
    """

    flat: Tensor
    offset: Tensor
    length: Tensor
    shift: Tensor
    scale: Tensor
    window: int
    shortest: int
    device: torch.device
    by_view: bool = False
    present: Tensor | None = None

    def gather(self, record: Tensor, start: Tensor, windows: int = 1) -> Tensor:
        """(B, C, windows * window) float32 millivolts from `start` (B,) on.

        Beyond the record's end it is padded with what scaling makes zero; under 'minmax-view', which scales by what it
        sees, with zeros.
        """
        samples = windows * self.window
        steps = torch.arange(samples, device=self.flat.device)
        position = start[:, None] + steps
        place = (self.offset[record][:, None] + position).clamp_max(len(self.flat) - 1)
        signal = self.flat[place].to(self.device).transpose(1, 2).to(torch.float32).contiguous() * 1e-3
        if samples > self.shortest:
            inside = (position < self.length[record][:, None])[:, None].to(self.device)
            signal = torch.where(inside, signal, self.shift[record.to(self.device)][..., None])
        return signal

    def valid(self, record: Tensor, start: Tensor, windows: int = 1) -> Tensor | None:
        """(B,) int64, samples of such an instance that the record fills; None where no record is shorter."""
        samples = windows * self.window
        if samples <= self.shortest:
            return None
        return (self.length[record] - start).clamp(max=samples).to(self.device)

    def scaled(self, signal: Tensor, record: Tensor, leads: Tensor | None = None) -> Tensor:
        """Scale (N, C', T) millivolts by the statistics of each row's record; `leads` (N, C') as in Views."""
        if self.by_view:
            low, high = signal.aminmax(dim=2, keepdim=True)
            scaled = (signal - low) / (high - low).clamp_min(_FLOOR)
        else:
            shift, scale = self.shift[record], self.scale[record]
            if leads is not None:
                shift, scale = shift.gather(1, leads), scale.gather(1, leads)
            scaled = (signal - shift[..., None]) / scale[..., None]
        if self.present is None:
            return scaled
        shown = self.present.expand(len(scaled), -1) if leads is None else self.present[leads]
        return scaled * shown[..., None]


def load_signals(
    corpus: PreparedCorpus,
    spec: InputSpec,
    leads: list[int],
    device: torch.device,
    train_rows: np.ndarray,
    present: list[int] | None = None,
) -> Signals:
    """Put a corpus on the device (it stays in host memory where the device has no room).

    Args:
        leads: channel positions of the lead set.
        train_rows: records whose statistics 'zscore-global' uses.
        present: those of the leads that are shown, and whose statistics scale; the others are zero. None: all.

    Raises:
        CorpusError: the rate differs, or whole records are asked for and lengths differ.
    """
    if corpus.rate != spec.rate:
        raise CorpusError(
            f"{corpus.name} is prepared at {corpus.rate} Hz but the input spec asks {spec.rate}"
        )
    records = corpus.records
    lengths = records["length"].to_numpy()
    if spec.window is None and len(set(lengths.tolist())) > 1:
        raise CorpusError(
            f"records of {corpus.name} are {lengths.min()} to {lengths.max()} samples long; set input.window"
        )
    shift, scale = _shown(corpus, spec, leads, train_rows, leads if present is None else present)
    columns = np.ascontiguousarray(corpus.signals[:, leads])
    flat = torch.from_numpy(columns)
    if device.type == "cuda" and flat.nbytes < 0.6 * torch.cuda.mem_get_info(device)[0]:
        flat = flat.to(device)
    place = flat.device
    window = int(spec.window or lengths[0])
    return Signals(
        flat,
        torch.tensor(records["offset"].to_numpy(), dtype=torch.int64, device=place),
        torch.tensor(lengths, dtype=torch.int64, device=place),
        torch.tensor(shift, dtype=torch.float32, device=device),
        torch.tensor(scale, dtype=torch.float32, device=device),
        window,
        int(lengths.min()),
        device,
        spec.scaling == "minmax-view",
        None if present is None else torch.tensor(np.isin(leads, present), device=device),
    )


def _shown(
    corpus: PreparedCorpus, spec: InputSpec, leads: list[int], train_rows: np.ndarray, present: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Per-record shift and scale (R, C) in millivolts, by the leads that are shown; (0, 1) for the others."""
    own_shift, own_scale = _scaling(corpus, spec, present, train_rows)
    shift, scale = np.zeros((len(own_shift), len(leads))), np.ones((len(own_shift), len(leads)))
    places = [leads.index(lead) for lead in present]
    shift[:, places], scale[:, places] = own_shift, own_scale
    return shift, scale


def _scaling(
    corpus: PreparedCorpus, spec: InputSpec, leads: list[int], train_rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Per-record shift and scale (R, C) in millivolts."""
    mean = np.stack(corpus.records["mean"].to_list())[:, leads].astype(float)
    sd = np.stack(corpus.records["sd"].to_list())[:, leads].astype(float)
    if spec.scaling in ("none", "minmax-view"):
        return np.zeros_like(mean), np.ones_like(mean)
    if spec.scaling == "zscore-lead":
        return mean, np.maximum(sd, _FLOOR)
    if spec.scaling.startswith("minmax"):
        low, high = _extremes(corpus, leads)
        if spec.scaling == "minmax":
            low = np.repeat(low.min(1, keepdims=True), len(leads), 1)
            high = np.repeat(high.max(1, keepdims=True), len(leads), 1)
        return low, np.maximum(high - low, _FLOOR)
    pooled = mean.mean(1, keepdims=True)
    spread = np.sqrt((sd**2 + (mean - pooled) ** 2).mean(1, keepdims=True))
    if spec.scaling == "zscore-record":
        return np.repeat(pooled, len(leads), 1), np.repeat(np.maximum(spread, _FLOOR), len(leads), 1)
    centre = pooled[train_rows].mean()
    width = np.sqrt((spread[train_rows] ** 2 + (pooled[train_rows] - centre) ** 2).mean())
    return np.full_like(mean, centre), np.full_like(mean, max(width, _FLOOR))


def _extremes(corpus: PreparedCorpus, leads: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest millivolt of each lead of each record, (R, C) each."""
    starts = corpus.records["offset"].to_numpy()
    signals = corpus.signals[:, leads]
    return np.minimum.reduceat(signals, starts) / 1e3, np.maximum.reduceat(signals, starts) / 1e3


@dataclass(frozen=True)
class TrainingSet:
    """Instances a fit draws from.

    Attributes:
        record: (R,) int64, record row of each instance; `lead` (R,) its channel, None for all leads.
        fields: the strategy's declared fields, one row an instance.
        random_start: draw a new start for every draw, else start at 0.
        windows: evaluation windows that an instance is long.
        start: (R,) where instances begin that have a fixed place; None: as `random_start` says.
    """

    signals: Signals
    record: Tensor
    lead: Tensor | None
    fields: Fields
    random_start: bool
    windows: int = 1
    start: Tensor | None = None

    def __len__(self) -> int:
        return len(self.record)

    def draw(self, index: Tensor, generator: torch.Generator | None) -> Batch:
        """The instances at `index`, in millivolts; `generator` (host) picks the starts, None starts at 0."""
        record, start = self.record[index], self._starts(index, generator)
        signal = self.signals.gather(record, start, self.windows)
        valid = self.signals.valid(record, start, self.windows)
        if self.lead is not None:
            rows = torch.arange(len(index), device=signal.device)
            signal = signal[rows, self.lead[index].to(signal.device)][:, None]
        index, record = index.to(signal.device), record.to(signal.device)
        return Batch(signal, index, record, self.fields.take(index), valid)

    def _starts(self, index: Tensor, generator: torch.Generator | None) -> Tensor:
        """(B,) first sample of each instance."""
        if self.start is not None:
            return self.start[index]
        record = self.record[index]
        if not self.random_start or generator is None:
            return torch.zeros_like(record)
        room = (self.signals.length[record] - self.windows * self.signals.window).clamp_min(0) + 1
        return (torch.rand(len(index), generator=generator).to(room.device) * room).long()

    def scaled(self, batch: Batch) -> Batch:
        """The same batch with its signal scaled, of one window only, which is what is embedded."""
        leads = None if self.lead is None else self.lead.to(batch.index.device)[batch.index][:, None]
        signal = self.signals.scaled(batch.signal[..., : self.signals.window], batch.record, leads)
        valid = None if batch.valid is None else batch.valid.clamp(max=self.signals.window)
        return Batch(signal, batch.index, batch.record, batch.fields, valid)


def record_fields(
    corpus: PreparedCorpus,
    rows: np.ndarray,
    allowed: frozenset[Field],
    owner: str,
    task: str | None = None,
    labelled_rows: np.ndarray | None = None,
    device: torch.device | None = None,
) -> Fields:
    """The declared fields of some records; labels are masked outside `labelled_rows`."""
    records = corpus.records.iloc[rows]
    columns: dict[str, Tensor] = {}
    if Field.PATIENT in allowed:
        codes, _ = pd.factorize(corpus.records["patient"], sort=True)
        columns["patient"] = torch.from_numpy(codes[rows].astype(np.int64))
    if Field.DEMOGRAPHICS in allowed:
        columns["age"] = torch.tensor(records["age"].to_numpy(float), dtype=torch.float32)
        sex = records["sex"].map(_SEX).fillna(-1).to_numpy(np.int64)
        columns["sex"] = torch.from_numpy(sex)
        for name in ("height", "weight"):
            columns[name] = torch.tensor(records[name].to_numpy(float), dtype=torch.float32)
    if Field.MEASUREMENTS in allowed:
        values = records[list(ATTRIBUTES)].to_numpy(np.float32)
        columns["measurements"] = torch.from_numpy(values)
    if Field.DATABASE in allowed:
        codes = pd.Categorical(records["source"], categories=list(databases(corpus))).codes
        columns["database"] = torch.from_numpy(codes.astype(np.int64))
    if Field.FEATURES in allowed:
        columns["features"] = torch.from_numpy(read_features(corpus)[rows])
    if Field.LABELS in allowed and task is not None:
        known = rows if labelled_rows is None else labelled_rows
        columns |= _label_columns(corpus, rows, task, known)
    return Fields({name: column.to(device) for name, column in columns.items()}, allowed, owner)


def _label_columns(
    corpus: PreparedCorpus, rows: np.ndarray, task: str, known: np.ndarray
) -> dict[str, Tensor]:
    """Multi-hot labels of every task at `rows`, all zero outside `known`."""
    ids = corpus.records["record"].to_numpy()
    visible = np.isin(rows, known)
    columns: dict[str, Tensor] = {}
    for name in corpus.tasks:
        targets = corpus.targets(name).reindex(ids[rows])
        present = visible & targets.notna().all(axis=1).to_numpy()
        values = np.where(present[:, None], targets.fillna(0).to_numpy(np.float32), 0.0)
        columns[f"labels:{name}"] = torch.from_numpy(values.astype(np.float32))
        if name == task:
            columns["labels"], columns["labelled"] = columns[f"labels:{name}"], torch.from_numpy(present)
    return columns


def training_set(
    signals: Signals,
    rows: np.ndarray,
    fields: Fields,
    spec: InputSpec,
    draw: Draw = ONE_WINDOW,
) -> TrainingSet:
    """Instances of some records: one each, or one a lead.

    Args:
        rows: of the corpus, none shorter than `draw` asks where that is more than a window.
        fields: of these records.
    """
    record = torch.tensor(rows, dtype=torch.int64, device=signals.offset.device)
    lead = None
    if spec.instance == "lead" and not draw.all_leads:
        channels = signals.flat.shape[1]
        lead = torch.arange(channels, device=record.device).repeat(len(record))
        record = record.repeat_interleave(channels)
        repeat = torch.arange(len(rows)).repeat_interleave(channels)
        fields = fields.take(repeat.to(signals.device))
    return TrainingSet(signals, record, lead, fields, spec.crop == "random", draw.windows)


def training_frames(signals: Signals, units: Instances, fields: Fields) -> TrainingSet:
    """Instances at fixed places: windows, of one lead each where an instance is one.

    Args:
        fields: of the record of each.
    """
    place = signals.offset.device
    record, start, lead = (
        torch.tensor(column, dtype=torch.int64, device=place)
        for column in (units.record, units.start, units.lead)
    )
    alone = bool(len(units)) and int(units.lead[0]) >= 0
    return TrainingSet(signals, record, lead if alone else None, fields, random_start=False, start=start)


def long_enough(lengths: np.ndarray, rows: np.ndarray, draw: Draw, window: int) -> np.ndarray:
    """The rows whose records hold an instance; one window is padded where the record is shorter, more are not."""
    return rows if draw.windows == 1 else rows[lengths[rows] >= draw.windows * window]
