"""One WFDB record in, a `RawRecord` out: twelve leads in our order, millivolts, NaN for a missing sample.

Plain format 16 (PTB-XL, Chapman, every Challenge source) is read by numpy with its checksums verified;
anything else goes through `wfdb.rdrecord`. Both give the same numbers; a test holds this on real records.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bench.data.corpus import CorpusError, RawRecord
from bench.data.leads import LEADS, lead_positions
from bench.data.wfdb_header import Channel, Header, read_header

MISSING = -32768
"""The WFDB sentinel for a missing sample in format 16."""

_MILLIVOLTS = {"MV": 1.0, "UV": 1e-3, "V": 1e3, "NV": 1e-6}
_IN_ORDER = list(range(len(LEADS)))


def read_wfdb(stem: Path) -> RawRecord:
    """Read one record.

    Args:
        stem: path of the header without its extension.

    Raises:
        CorpusError: header beyond repair, signal file missing, truncated or damaged, leads missing.
    """
    header = read_header(stem.with_name(stem.name + ".hea"))
    try:
        positions = lead_positions([channel.name for channel in header.channels])
    except ValueError as error:
        raise CorpusError(str(error)) from None
    notes = list(header.notes)
    source = signal_file(stem, header.channels[0].file)
    if source.name != header.channels[0].file:
        notes.append(f"signal file {header.channels[0].file} is not there; {source.name} read instead")
    signal = _read_plain(header, source) if _is_plain(header) else _read_with_wfdb(header, source)
    if positions != _IN_ORDER:
        signal = signal[:, positions]
    return RawRecord(signal, header.rate, tuple(notes))


def signal_file(stem: Path, named: str) -> Path:
    """The signal file of a header: the one it names, or the only `.mat` that can be meant.

    The Challenge's `S23074.hea` belongs to `JS23074.mat`.

    Raises:
        CorpusError: no such file.
    """
    for candidate in (stem.with_name(named), stem.with_name(stem.name + ".mat")):
        if candidate.is_file():
            return candidate
    longer = sorted(stem.parent.glob(f"*{stem.name}.mat"))
    if len(longer) != 1:
        raise CorpusError(f"signal file {named} is missing")
    return longer[0]


def _is_plain(header: Header) -> bool:
    """Whether all signals are interleaved format 16 in one file, one sample a frame, no skew."""
    first = header.channels[0]
    return all(
        (channel.file, channel.fmt, channel.per_frame, channel.skew, channel.offset)
        == (first.file, "16", 1, 0, first.offset)
        for channel in header.channels
    )


def _read_plain(header: Header, source: Path) -> np.ndarray:
    """(samples, signals) float32 millivolts from interleaved little-endian int16."""
    width = len(header.channels)
    offset = header.channels[0].offset
    held = max(source.stat().st_size - offset, 0) // (2 * width)
    length = held if header.length is None else header.length
    if held < length:
        raise CorpusError(f"{source.name} is truncated: {held:,} of {length:,} samples a lead")
    digital = np.fromfile(source, "<i2", length * width, offset=offset).reshape(length, width)
    _verify(digital, header.channels)
    signal = _to_millivolts(digital, header.channels)
    missing = digital == MISSING
    if missing.any():
        signal[missing] = np.nan
    return signal


def _verify(digital: np.ndarray, channels: Sequence[Channel]) -> None:
    """Each lead's 16-bit sum must be the one its header states."""
    sums = digital.sum(axis=0, dtype=np.int64)
    for channel, total in zip(channels, sums.tolist(), strict=True):
        if channel.checksum is not None and (total - channel.checksum) % 65536:
            raise CorpusError(
                f"checksum of lead {channel.name} is {total % 65536}, its header says"
                f" {channel.checksum % 65536}: the signal file is damaged or belongs to another record"
            )


def _to_millivolts(digital: np.ndarray, channels: Sequence[Channel]) -> np.ndarray:
    scales = [channel.gain / _unit(channel.unit) for channel in channels]
    baselines = [channel.baseline for channel in channels]
    if len(set(scales)) == 1 and not any(baselines):
        return digital.astype(np.float32) / np.float32(scales[0])
    return ((digital - np.asarray(baselines, np.float64)) / np.asarray(scales)).astype(np.float32)


def _unit(name: str) -> float:
    """Millivolts in one of a header's unit, whatever its case (`mv` in PTB and PTB-XL of the Challenge)."""
    try:
        return _MILLIVOLTS[name.upper()]
    except KeyError:
        raise CorpusError(f"unit {name!r} is no voltage; known: mV, uV, V, nV") from None


def _read_with_wfdb(header: Header, source: Path) -> np.ndarray:
    """(samples, signals) float32 millivolts of any other format, from a copy whose header wfdb accepts."""
    import wfdb

    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / f"{header.name}.hea").write_text("\n".join(header.lines) + "\n")
        for file in {channel.file for channel in header.channels}:
            origin = source if file == header.channels[0].file else source.with_name(file)
            if not origin.is_file():
                raise CorpusError(f"signal file {file} is missing")
            shutil.copyfile(origin, folder / file)
        try:
            record = wfdb.rdrecord(str(folder / header.name))
        except Exception as error:  # wfdb raises whatever numpy or struct raised on damaged files
            raise CorpusError(f"wfdb cannot read {source.name}: {' '.join(str(error).split())}") from None
    units = np.asarray([_unit(unit) for unit in record.units])
    return (record.p_signal * units).astype(np.float32)
