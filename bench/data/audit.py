"""Refuses a plan in which a test patient was in any training set.

Evidence in order: the same patient by id (through the identity maps of corpora that contain one another), the
same int16 signal, and a signature of leads I and II that survives another rate, filter, gain or start.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

import numpy as np
import pandas as pd
from scipy.fft import irfft, rfft

from bench.data.corpus import CorpusError, PreparedCorpus

HOMES: dict[str, str] = {"HR": "ptbxl", "JS": "chapman"}
"""Whose records the Challenge's are, by prefix: HRn is PTB-XL's ecg_id n, JSn is Chapman's row n."""

SECONDS = 10
"""The signature sees the first ten seconds; what is shorter is filled up with zeros."""

BINS = slice(20, 121)
"""Its spectral lines, 2 to 12 Hz by 0.1: what 25 Hz can hold, less the baseline, in which filters differ."""

MAX_LAG = 1.0
"""Seconds by which two copies of a recording may start apart."""

COARSE = 0.94
"""Cosine of two lag-free signatures above which a pair is compared at its best lag."""

MATCH = 0.97
"""Correlation at the best lag, mean of leads I and II, from which two records are one recording.

PTB-XL at 100 Hz against itself at 500 Hz, filtered or cut by half a second: at least 0.996 in all of 488
records. Highest among 198,000 pairs of different recordings: 0.936. Where I or II is flat in one copy the other
lead decides alone, with less room: 487 of 488 or more are found, and different recordings reach 0.957.
"""

_EDGE = 0.5  # seconds faded in and out before the transform, and left out of the correlation
_FINE = 100  # Hz at which lags are searched
_ROWS = 1024  # records of one block of the coarse comparison
_COLUMNS = ["row_a", "row_b", "record_a", "record_b", "patient_b", "evidence", "correlation"]


@dataclass(frozen=True, eq=False)
class CorpusPart:
    """Records that something trains on, or is tested on: `rows` are positions into `corpus.records`."""

    corpus: PreparedCorpus
    rows: np.ndarray

    @cached_property
    def digests(self) -> list[str]:
        """Of each row's int16 signal with its rate; '' for a signal that never moves."""
        return [_digest(signal, self.corpus.rate) for signal in map(self._signal, self.rows)]

    @cached_property
    def spectra(self) -> np.ndarray:
        """(rows, 2, lines) complex64: the signature, unit norm a lead; zeros for a lead that never moves."""
        blocks = [self._spectra(self.rows[i : i + _ROWS]) for i in range(0, len(self.rows), _ROWS)]
        return np.concatenate([np.empty((0, 2, BINS.stop - BINS.start), np.complex64), *blocks])

    def _spectra(self, rows: np.ndarray) -> np.ndarray:
        return signatures([self._signal(row) for row in rows], self.corpus.rate)

    def _signal(self, row: int) -> np.ndarray:
        return self.corpus.signals[self._starts[row] : self._starts[row] + self._lengths[row]]

    @cached_property
    def _starts(self) -> np.ndarray:
        return self.corpus.records["offset"].to_numpy()

    @cached_property
    def _lengths(self) -> np.ndarray:
        return self.corpus.records["length"].to_numpy()


@dataclass(frozen=True, eq=False)
class Overlap:
    """Test patients who were trained on.

    Attributes:
        training: name of the corpus trained on.
        testing: name of the corpus tested on.
        pairs: as `find_duplicates` gives them, a trained on, b tested on.
    """

    training: str
    testing: str
    pairs: pd.DataFrame

    @property
    def patients(self) -> list[str]:
        """Ids of the test patients, sorted."""
        return sorted(set(self.pairs["patient_b"]))


def signatures(signals: Sequence[np.ndarray], rate: float) -> np.ndarray:
    """What survives another rate, filter, gain or start of a recording.

    Args:
        signals: of n records, (samples, at least 2) each, leads I and II first, in any unit.
        rate: Hz; below 25 Hz nothing can be compared.

    Returns:
        (n, 2, lines) complex64: the spectrum of either lead, of unit norm; zeros for one that never moves.
    """
    length = round(SECONDS * rate)
    if length // 2 < BINS.stop:
        return np.zeros((len(signals), 2, BINS.stop - BINS.start), np.complex64)
    windows = np.zeros((len(signals), length, 2), np.float32)
    for window, signal in zip(windows, signals, strict=True):
        start = signal[:length, :2].astype(np.float32)
        start -= start[:1].copy()  # so that a flat lead is exactly zero, whatever its level
        window[: len(start)] = (start - start.mean(axis=0)) * _fade(len(start), rate)[:, None]
    lines = rfft(windows, axis=1)[:, BINS].transpose(0, 2, 1)
    norm = np.linalg.norm(lines, axis=2, keepdims=True)
    return np.divide(lines, norm, out=np.zeros_like(lines), where=norm > 0)


def agreement(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Correlation of each record of one list with its partner in another, as `MATCH` judges it.

    Args:
        a: (n, 2, lines) `signatures`.
        b: (n, 2, lines) those of the partners.

    Returns:
        (n,) over the leads that move in both; NaN where none does.
    """
    result = np.full(len(a), np.nan)
    moves = a.any(axis=2) & b.any(axis=2)
    for leads in np.unique(moves, axis=0):
        here = np.flatnonzero((moves == leads).all(axis=1))
        for start in range(0, len(here) if leads.any() else 0, _ROWS):
            rows = here[start : start + _ROWS]
            result[rows] = _correlation(a[rows][:, leads], b[rows][:, leads])
    return result


def alike(a: np.ndarray, b: np.ndarray) -> pd.DataFrame:
    """Every pair of one recording among `signatures` (n, 2, lines) and (m, 2, lines): columns a, b, correlation."""
    return _alike(a, b)[["a", "b", "correlation"]].reset_index(drop=True)


def audit(training: Sequence[CorpusPart], testing: Sequence[CorpusPart]) -> list[Overlap]:
    """Compare everything that trains with everything that tests.

    Within one corpus its patient ids decide (equal signals there are lines of its quality report); across
    corpora, where ids rarely tell, the signals do.

    Args:
        training: every part any fit sees, with labels or without.
        testing: every part any score is computed on.

    Returns:
        One overlap for each (training, testing) pair that shares patients; empty for a clean plan.
    """
    known = [part.corpus for part in (*training, *testing)]
    found = []
    for trained in training:
        for tested in testing:
            same = trained.corpus.fingerprint == tested.corpus.fingerprint
            pairs = find_duplicates(trained, tested, known, signals=not same)
            if len(pairs):
                found.append(Overlap(trained.corpus.name, tested.corpus.name, pairs))
    return found


def refuse_overlap(overlaps: Sequence[Overlap]) -> None:
    """Stop a plan with overlap.

    Raises:
        CorpusError: one line that counts the patients, names the first ones and the evidence.
    """
    if not overlaps:
        return
    patients = sorted({(overlap.testing, patient) for overlap in overlaps for patient in overlap.patients})
    first = ", ".join(f"{patient} ({corpus})" for corpus, patient in patients[:5])
    more = ", ..." if len(patients) > 5 else ""
    evidence = sorted(set(pd.concat([overlap.pairs["evidence"] for overlap in overlaps])))
    trained = sorted({overlap.training for overlap in overlaps})
    noun = "patient is" if len(patients) == 1 else "patients are"
    raise CorpusError(
        f"{len(patients)} test {noun} also in training on {', '.join(trained)}, by {', '.join(evidence)}: "
        f"{first}{more}; take their records out of training, or test elsewhere"
    )


def find_duplicates(
    a: CorpusPart, b: CorpusPart, known: Iterable[PreparedCorpus] = (), signals: bool = True
) -> pd.DataFrame:
    """Pairs of records of one patient, or of one recording.

    A record is its own duplicate, should it be in both parts. Recordings that share only a stretch later than
    `MAX_LAG` are not found, nor those with no lead of I and II that moves in both.

    Args:
        a: some records.
        b: other records.
        known: further corpora whose patient ids may tell who the Challenge's records are.
        signals: also compare signals; else patient ids alone.

    Returns:
        Columns row_a, row_b (positions into the two record tables), record_a, record_b, patient_b, evidence
        (the first that holds of 'patient', 'signal', 'signature') and correlation (of signatures, else NaN).
    """
    homes = {corpus.name: corpus for corpus in (a.corpus, b.corpus, *known)}
    persons = [_persons(part.corpus, homes)[part.rows] for part in (a, b)]
    pairs = [_equal(persons[0], persons[1], "patient")]
    if signals:
        pairs.append(_equal(np.array(a.digests, object), np.array(b.digests, object), "signal"))
        pairs.append(_alike(a.spectra, b.spectra))
    table = pd.concat(pairs, ignore_index=True).drop_duplicates(["a", "b"])
    table["row_a"], table["row_b"] = a.rows[table["a"]], b.rows[table["b"]]
    table["record_a"] = a.corpus.records["record"].to_numpy()[table["row_a"]]
    table["record_b"] = b.corpus.records["record"].to_numpy()[table["row_b"]]
    table["patient_b"] = b.corpus.records["patient"].to_numpy()[table["row_b"]]
    return table.sort_values(["row_a", "row_b"])[_COLUMNS].reset_index(drop=True)


def _persons(corpus: PreparedCorpus, homes: dict[str, PreparedCorpus]) -> np.ndarray:
    """A name for the patient of each record that is the same in every corpus, as far as ids tell."""
    record, patient = corpus.records["record"], corpus.records["patient"]
    person = corpus.name + "/" + patient
    if corpus.simulated:
        return person.to_numpy(object)
    known = record.str.fullmatch(r"HR\d+") & patient.str.fullmatch(r"\d+")  # by PTB-XL's own table
    person = person.mask(known, f"{HOMES['HR']}/" + patient)
    for prefix, name in HOMES.items():
        if name in homes and name != corpus.name:
            number = record.str.extract(rf"^{prefix}0*(\d+)$", expand=False)
            person = number.map(_persons_by_number(homes[name])).fillna(person)
    return person.to_numpy(object)


def _persons_by_number(corpus: PreparedCorpus) -> dict[str, str]:
    """Name of the patient by published number: the one the record id is or ends in ('1', 'JS00001')."""
    number = corpus.records["record"].str.extract(r"^(?:HR|JS)?0*(\d+)$", expand=False)
    patients = zip(number, corpus.records["patient"], strict=True)
    return {key: f"{corpus.name}/{patient}" for key, patient in patients if isinstance(key, str)}


def _equal(a: np.ndarray, b: np.ndarray, evidence: str) -> pd.DataFrame:
    """Positions (a, b) of equal, non-empty keys."""
    left = pd.DataFrame({"key": a, "a": np.arange(len(a))}, columns=["key", "a"])
    right = pd.DataFrame({"key": b, "b": np.arange(len(b))}, columns=["key", "b"])
    pairs = left[left["key"] != ""].merge(right, on="key")[["a", "b"]]
    return pairs.assign(evidence=evidence, correlation=np.nan)


def _alike(a: np.ndarray, b: np.ndarray) -> pd.DataFrame:
    """Positions of matching signatures; a pair is judged by the leads that move in both its records."""
    found = [pd.DataFrame({"a": [], "b": [], "correlation": []}).astype({"a": int, "b": int})]
    for moves_a, i in _by_moving_leads(a):
        for moves_b, j in _by_moving_leads(b):
            leads = moves_a & moves_b
            if leads.any():
                table = _alike_in(a[i][:, leads], b[j][:, leads])
                found.append(table.assign(a=i[table["a"]], b=j[table["b"]]))
    return pd.concat([table for table in found if len(table)] or found[:1]).assign(evidence="signature")


def _by_moving_leads(spectra: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Which leads move (leads,) bool, and the positions of the records in which just these do."""
    moves = spectra.any(axis=2)
    return [(kind, np.nonzero((moves == kind).all(axis=1))[0]) for kind in np.unique(moves, axis=0)]


def _alike_in(a: np.ndarray, b: np.ndarray) -> pd.DataFrame:
    """Matches of (n, leads, lines): a matrix product screens all pairs, lags are tried for the rest."""
    coarse_b = _lag_free(b)
    positions, others, correlations = [], [], []
    for start in range(0, len(a), _ROWS):
        i, j = np.nonzero(_lag_free(a[start : start + _ROWS]) @ coarse_b.T > COARSE)
        for near in range(0, len(i), _ROWS):
            k, m = i[near : near + _ROWS] + start, j[near : near + _ROWS]
            found = _correlation(a[k], b[m])
            match = found >= MATCH
            positions.append(k[match])
            others.append(m[match])
            correlations.append(found[match])
    none = [np.empty(0, dtype=int)]
    columns = [np.concatenate(parts or none) for parts in (positions, others, correlations)]
    return pd.DataFrame(dict(zip(("a", "b", "correlation"), columns, strict=True)))


def _lag_free(spectra: np.ndarray) -> np.ndarray:
    """(n, -1) unit vectors of (n, leads, lines) that a shift in time leaves alone.

    The lines' magnitudes, and the phase between two leads weighted by the root of their product.
    """
    parts = list(np.abs(spectra).transpose(1, 0, 2))
    if spectra.shape[1] == 2:
        cross = spectra[:, 0] * spectra[:, 1].conj()
        size = np.abs(cross)
        cross = np.divide(cross, np.sqrt(size), out=np.zeros_like(cross), where=size > 0)
        parts += [cross.real, cross.imag]
    vectors = np.concatenate(parts, axis=1)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n,) mean over leads of Pearson's r of (n, leads, lines) signatures over what overlaps at the best lag."""
    reach, edge = int(MAX_LAG * _FINE), int(_EDGE * _FINE)
    circular = _in_time((a * b.conj()).sum(axis=1))
    lags = np.concatenate([np.arange(reach + 1), np.arange(-reach, 0)])
    best = lags[circular[:, lags].argmax(axis=1)]
    time_a, time_b = _in_time(a)[..., edge:-edge], _in_time(b)[..., edge:-edge]
    result = np.empty(len(a))
    for lag in np.unique(best):
        here = best == lag
        length = time_a.shape[-1] - abs(lag)
        first_a, first_b = max(lag, 0), max(-lag, 0)
        left, right = time_a[here, :, first_a : first_a + length], time_b[here, :, first_b : first_b + length]
        result[here] = _pearson(left, right).mean(axis=1)
    return result


def _in_time(lines: np.ndarray) -> np.ndarray:
    """(..., 10 s at `_FINE` Hz) of (..., lines)."""
    spectrum = np.zeros((*lines.shape[:-1], SECONDS * _FINE // 2 + 1), np.complex64)
    spectrum[..., BINS] = lines
    return irfft(spectrum, SECONDS * _FINE)


def _pearson(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Correlation along the last axis, 0 for a constant."""
    a, b = a - a.mean(axis=-1, keepdims=True), b - b.mean(axis=-1, keepdims=True)
    size = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return np.divide((a * b).sum(axis=-1), size, out=np.zeros(size.shape), where=size > 0)


def _fade(length: int, rate: float) -> np.ndarray:
    """(length,) weights with raised-cosine edges."""
    from_edge = np.minimum(np.arange(length), np.arange(length)[::-1]) + 0.5
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * np.minimum(from_edge / (_EDGE * rate), 1)))


def _digest(signal: np.ndarray, rate: int) -> str:
    if (signal == signal[:1]).all():
        return ""
    return blake2b(
        np.ascontiguousarray(signal).tobytes(), digest_size=16, salt=str(rate).encode()
    ).hexdigest()
