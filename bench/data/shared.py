"""Records that several corpora of one folder share, found while they are checked: no corpus is prepared for it.

The published identity of a record tells first (HRn is PTB-XL's ecg_id n, JSn Chapman's row n), and its signal must
agree; then signals are compared alone, by the audit's signature.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import pandas as pd

from bench.data.audit import BINS, HOMES, MATCH, agreement, alike, signatures
from bench.data.corpus import Note

_SHOWN = 5


@dataclass(eq=False)
class Seen:
    """The records of one corpus, as they are read.

    Attributes:
        place: what a report calls the corpus: its folder.
        corpus: its name, 'ptbxl'; '' for one whose records are nobody's (a simulated one).
        records: ids.
        marks: the signature of each, (2, lines).
    """

    place: str
    corpus: str
    records: list[str] = field(default_factory=list)
    marks: list[np.ndarray] = field(default_factory=list)

    def add(self, record: str, signal: np.ndarray, rate: float) -> None:
        """Remember a record by its (samples, 12) signal in any unit at a rate in Hz."""
        self.records.append(record)
        self.marks.extend(signatures([signal], rate))

    def spectra(self) -> np.ndarray:
        """(records, 2, lines) complex64."""
        return np.stack(self.marks) if self.marks else np.empty((0, 2, BINS.stop - BINS.start), np.complex64)

    def identities(self) -> pd.Series:
        """'ptbxl/7' for HR00007 as for PTB-XL's own record 7, '' for a record no other corpus has by id."""
        records = pd.Series(self.records, dtype="object")
        found = pd.Series("", records.index, dtype="object")
        for prefix, home in HOMES.items() if self.corpus else ():
            own = rf"(?:{prefix})?" if self.corpus == home else prefix
            number = records.str.extract(rf"^{own}0*(\d+)$", expand=False)
            found = (home + "/" + number).fillna(found)
        return found


def shared_records(a: Seen, b: Seen, by_id: bool = True) -> pd.DataFrame:
    """Pairs of records that are one recording.

    Args:
        a: one corpus.
        b: another.
        by_id: let published identities tell; else the signals alone.

    Returns:
        Columns record_a, record_b, evidence and correlation (of the signatures; NaN where no lead moves in both).
        Evidence is 'id' for one identity and no signal against it, 'signal' for the signal alone, and 'id only'
        for one identity with another signal: these are two recordings, and something is wrong.
    """
    spectra = a.spectra(), b.spectra()
    pairs = _same_identity(a, b) if by_id else _same_identity(Seen("", ""), Seen("", ""))
    pairs["correlation"] = agreement(spectra[0][pairs["a"]], spectra[1][pairs["b"]])
    pairs["evidence"] = np.where(pairs["correlation"] < MATCH, "id only", "id")
    pairs = pd.concat([pairs, alike(*spectra).assign(evidence="signal")], ignore_index=True)
    pairs = pairs.drop_duplicates(["a", "b"]).sort_values(["a", "b"])
    named = {
        "record_a": np.array(a.records, object)[pairs["a"]],
        "record_b": np.array(b.records, object)[pairs["b"]],
    }
    return pairs.assign(**named)[["record_a", "record_b", "evidence", "correlation"]].reset_index(drop=True)


def _same_identity(a: Seen, b: Seen) -> pd.DataFrame:
    """Positions (a, b) of records with one published identity."""
    sides = [
        pd.DataFrame({"identity": seen.identities(), name: np.arange(len(seen.records))})
        for name, seen in (("a", a), ("b", b))
    ]
    left, right = (side[side["identity"] != ""] for side in sides)
    return left.merge(right, on="identity")[["a", "b"]].astype(int)


def overlap_notes(corpora: Sequence[Seen]) -> Iterator[Note]:
    """One line for each two corpora of different places and each kind of evidence, most telling first."""
    for a, b in combinations(corpora, 2):
        if a.place == b.place:
            continue
        pairs = shared_records(a, b)
        for evidence in ("id", "signal", "id only"):
            found = pairs[pairs["evidence"] == evidence]
            if len(found):
                yield Note("", "note", _line(f"{a.place} and {b.place}", found, evidence))


def _line(places: str, pairs: pd.DataFrame, evidence: str) -> str:
    """'cinc2021 and ptbxl share 10 records (HR00001 = 1, HR00002 = 2, ...)'."""
    sign = "/" if evidence == "id only" else "="
    first = [
        f"{a} {sign} {b}" for a, b in pairs[["record_a", "record_b"]].head(_SHOWN).itertuples(index=False)
    ]
    named = ", ".join(first) + (", ..." if len(pairs) > _SHOWN else "")
    records = "1 record" if len(pairs) == 1 else f"{len(pairs):,} records"
    if evidence == "id only":
        return f"{places} have {records} of one id and different signals ({named})"
    alone = ", told by signal alone" if evidence == "signal" else ""
    return f"{places} share {records} ({named}){alone}"
