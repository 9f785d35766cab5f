"""What is measured of a prepared corpus after its preparation and kept beside it: the hand features of its R peaks."""

import hashlib
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from bench.data.corpus import FEATURES, CorpusError, PreparedCorpus

_FILE = "features.parquet"


def read_features(corpus: PreparedCorpus) -> np.ndarray:
    """(R, 8) float32 in the order of the records and of `FEATURES`; NaN where a record has none.

    Raises:
        CorpusError: they have not been measured.
    """
    path = corpus.folder / _FILE
    if not path.is_file():
        raise CorpusError(f"{corpus.name}: its hand features are not measured; run `leadboard run` again")
    table = pd.read_parquet(path).set_index("record").reindex(corpus.records["record"])
    return table[list(FEATURES)].to_numpy(np.float32)


def features_fingerprint(corpus: PreparedCorpus) -> str:
    """SHA-256 of the hand features; read once, a plan asks for it with every cell."""
    path = corpus.folder / _FILE
    return _fingerprint(corpus.folder, path.stat().st_mtime_ns if path.is_file() else 0)


@lru_cache(maxsize=16)
def _fingerprint(folder: Path, _changed: int) -> str:
    values = read_features(PreparedCorpus.open(folder))
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


def databases(corpus: PreparedCorpus) -> tuple[str, ...]:
    """Source databases of a corpus's records, sorted; those of unknown source count for none."""
    return tuple(sorted(set(corpus.records["source"]) - {"", "unknown"}))
