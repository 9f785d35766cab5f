"""One WFDB header in, its fields out, mended where wfdb refuses it. The grammar is wfdb's own.

`wfdb.rdheader` spends 1.5 ms a record on pandas look-ups of field types, several times the rest of a 100 Hz
preparation; its regular expressions (`wfdb.io.header`) take a tenth of that, so we cast the fields here.
"""

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.data.corpus import RATES, CorpusError
from bench.data.leads import LEADS

_EXTENSION = re.compile(r"^(\s*[-\w]+)\.\w+(?=\s)")
_RECORD_START = re.compile(r"^\s*([-\w]+)\s+(\d+)\s+(\d+(?:\.\d+)?)\s+\d")
_SIGNAL_END = re.compile(r"(-?\d+)\s+(-?\d+)\s+\d+\s+(\S+)\s*$")


@dataclass(frozen=True)
class Channel:
    """One signal line. Names follow the WFDB header specification; None where the line says nothing."""

    file: str
    fmt: str
    per_frame: int
    skew: int
    offset: int
    gain: float
    baseline: int
    unit: str
    checksum: int | None
    name: str


@dataclass(frozen=True)
class Header:
    """A WFDB header.

    Attributes:
        name: record name of the record line.
        rate: Hz.
        length: samples a lead; None where the header leaves it open.
        channels: one a signal, in the order of the file.
        lines: record and signal lines as wfdb accepts them.
        comments: lines that start with '#'.
        notes: what was mended.
    """

    name: str
    rate: float
    length: int | None
    channels: tuple[Channel, ...]
    lines: tuple[str, ...]
    comments: tuple[str, ...]
    notes: tuple[str, ...] = ()


def read_header(path: Path) -> Header:
    """Read a `.hea` file, mending what is known to be broken in published copies.

    Raises:
        CorpusError: no such file, or a header beyond repair.
    """
    try:
        return _read(path)
    except CorpusError:
        raise
    except OSError as error:
        raise CorpusError(f"header {path.name} cannot be read ({error.strerror})") from None
    except (ArithmeticError, IndexError, ValueError) as error:
        raise CorpusError(f"header {path.name} is damaged ({' '.join(str(error).split())[:80]})") from None


def _read(path: Path) -> Header:
    from wfdb.io.header import parse_header_content

    text = path.read_text(encoding="ascii", errors="ignore")
    lines, comments = parse_header_content(text)
    if not lines:
        raise CorpusError(f"header {path.name} is empty")
    notes: list[str] = []
    lines[0] = _without_extension(lines[0], notes)
    channels = tuple(_channel(line) for line in lines[1:])
    fields = _record_fields(lines[0])
    declared = int(fields["n_sig"])
    length = int(fields["sig_len"]) if fields["sig_len"] else None
    if len(channels) == declared - 1 and channels:
        length, first = _swallowed_channel(path, lines[0], channels)
        channels = (first, *channels)
        notes.append(f"record line and the line of lead {first.name} were merged; rebuilt from {first.file}")
    if len(channels) != declared or not channels:
        raise CorpusError(f"header {path.name} declares {declared} signals and describes {len(channels)}")
    rate = float(fields["fs"] or 250.0)  # the WFDB default
    if not RATES[0] <= rate <= RATES[1]:
        raise CorpusError(
            f"header {path.name} states a rate of {rate:g} Hz, not within {RATES[0]} and {RATES[1]:,} Hz"
        )
    return Header(
        name=fields["record_name"],
        rate=rate,
        length=length,
        channels=channels,
        lines=tuple(lines),
        comments=tuple(comments),
        notes=tuple(notes),
    )


def _without_extension(line: str, notes: list[str]) -> str:
    """`E07509.mat 12 500 5000` is refused by wfdb: a record name has no extension."""
    mended = _EXTENSION.sub(r"\1", line)
    if mended != line:
        notes.append(f"record line names the file {line.split()[0]}, which wfdb refuses; extension dropped")
    return mended


def _record_fields(line: str) -> dict[str, str]:
    from wfdb.io.header import rx_record

    match = rx_record.match(line)
    if match is None:
        raise CorpusError(f"record line {line[:60]!r} is no WFDB record line")
    if match["n_seg"]:
        raise CorpusError(f"record {match['record_name']} has several segments; give its segments one by one")
    return match.groupdict()


def _channel(line: str) -> Channel:
    """Cast the fields of a signal line, with the defaults of the WFDB specification."""
    from wfdb.io.header import rx_signal

    match = rx_signal.match(line)
    if match is None:
        raise CorpusError(f"signal line {line[:60]!r} is no WFDB signal line")
    file, fmt, frame, skew, offset, gain, baseline, unit, _, zero, _, checksum, _, name = match.groups()
    return Channel(
        file=file,
        fmt=fmt,
        per_frame=int(frame or 1),
        skew=int(skew or 0),
        offset=int(offset or 0),
        gain=float(gain or 0.0) or 200.0,
        baseline=int(baseline or zero or 0),
        unit=unit or "mV",
        checksum=int(checksum) if checksum else None,
        name=name.strip(),
    )


def _swallowed_channel(path: Path, line: str, rest: Sequence[Channel]) -> tuple[int, Channel]:
    """The first signal line, lost into the record line by a missing newline, and the length it garbled.

    Known in JS01052 and JS23074 of ecg-arrhythmia 1.0.0. The `.mat` beside it still tells the length; the
    lead is the one the others leave over in the standard order.
    """
    present = [channel.name.upper() for channel in rest]
    start = _RECORD_START.match(line)
    mat = path.with_suffix(".mat")
    if start is None or present != [lead.upper() for lead in LEADS[1:]] or not mat.exists():
        raise CorpusError(f"header {path.name} declares one signal more than it describes")
    with mat.open("rb") as file:
        head = file.read(20)
    kind, rows, columns = struct.unpack("<3i", head[:12]) if len(head) == 20 else (0, 0, 0)
    if (kind, rows) != (30, len(LEADS)):
        raise CorpusError(f"header {path.name} is garbled and {mat.name} holds no (12, n) int16 matrix")
    end = _SIGNAL_END.search(line)
    checksum = int(end[2]) if end and end[3].upper() == LEADS[0] else None
    return columns, replace(rest[0], name=LEADS[0], checksum=checksum)
