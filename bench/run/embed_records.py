"""A user's own records through a trained encoder: one embedding a record, with what it was made by.

The records become a small prepared corpus that the board's own embedding runs over, so that a record has here the
numbers that it has in a store. Only a few are held at a time.
"""

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch

from bench.data.corpus import Note, PreparedCorpus
from bench.data.loose_records import LooseRecord, prepare_loose
from bench.evaluate.embed import corpus_signals, embed_corpus
from bench.run.errors import UserError
from bench.run.trained import Trained
from bench.train.fit import use_precision
from bench.train.inputs import Signals
from bench.train.strategy import Strategy

SUFFIXES = (".parquet", ".csv")

METADATA = "leadboard"
"""Key of the provenance, JSON, among the metadata of a parquet file's schema."""


@dataclass(frozen=True)
class Embedded:
    """What came of some records.

    Attributes:
        table: record, path, e0 to e(D-1) float32; a row a record that could be embedded, in the order given.
        refused: record, path, reason.
        notes: record, path, reason of what was repaired or is worth knowing of records that were embedded.
    """

    table: pd.DataFrame
    refused: pd.DataFrame
    notes: pd.DataFrame


def embed_records(trained: Trained, records: Sequence[LooseRecord], batch: int = 64) -> Embedded:
    """Embed records as the board does: the mean over a record's evaluation windows, and leads where an instance is one.

    Args:
        records: see `bench.data.loose_records.find_records`.
        batch: records that are held at a time.
    """
    strategy = copy.deepcopy(trained.strategy)
    use_precision(strategy, trained.cell.precision, trained.device)
    kept: list[LooseRecord] = []
    notes: list[Note] = []
    values: list[np.ndarray] = []
    for start in range(0, len(records), batch):
        with TemporaryDirectory() as folder:
            loose = prepare_loose(
                records[start : start + batch],
                Path(folder) / "records",
                trained.leads,
                trained.spec.rate,
                trained.spec.band,
            )
            kept += loose.kept
            notes += loose.notes
            if loose.corpus is not None:
                values.append(_embedded(trained, strategy, loose.corpus))
    embedding = np.concatenate(values) if values else np.empty((0, 0), np.float32)
    names = pd.DataFrame(
        {"record": [record.name for record in kept], "path": [str(record.path) for record in kept]}
    )
    columns = pd.DataFrame(embedding, columns=[f"e{place}" for place in range(embedding.shape[1])])
    named = {str(record.path): record.name for record in records}
    return Embedded(
        pd.concat([names, columns], axis=1),
        note_table([note for note in notes if note.action == "rejected"], named),
        note_table([note for note in notes if note.action != "rejected"], named),
    )


def _embedded(trained: Trained, strategy: Strategy, corpus: PreparedCorpus) -> np.ndarray:
    """(R, D) of a small corpus; the strategy is in its precision already."""
    everything = np.arange(len(corpus.records))
    signals = corpus_signals(corpus, trained.spec, trained.cell.lead_set, everything, trained.device)
    return embed_corpus(strategy, corpus, trained.spec, _scaled_as_trained(signals, trained))


def _scaled_as_trained(signals: Signals, trained: Trained) -> Signals:
    """The same signals under the training part's own statistics, where these scale all records alike."""
    if trained.global_scaling is None:
        return signals
    shift, width = trained.global_scaling
    return replace(
        signals,
        shift=torch.full_like(signals.shift, shift),
        scale=torch.full_like(signals.scale, width),
    )


def note_table(notes: Sequence[Note], named: dict[str, str]) -> pd.DataFrame:
    """Notes as record, path, reason.

    Args:
        named: the record of each path; a note on any other is of a record without a file.
    """
    rows = [
        (named.get(note.record, note.record), note.record if note.record in named else "", note.reason)
        for note in notes
    ]
    return pd.DataFrame(rows, columns=["record", "path", "reason"])


def check_output(path: Path) -> None:
    """Refuse a place that embeddings cannot be written to, before any is made.

    Raises:
        UserError: neither .parquet nor .csv, or no such folder.
    """
    if path.suffix not in SUFFIXES:
        raise UserError(f"{path}: embeddings are written as {' or '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise UserError(f"no folder {path.parent}")


def write_embeddings(table: pd.DataFrame, path: Path, about: dict[str, Any]) -> None:
    """Write embeddings by the path's suffix, aside and then renamed.

    Args:
        about: `Trained.describe`; a parquet file keeps it among its metadata, under `METADATA`.

    Raises:
        UserError: see `check_output`.
    """
    check_output(path)
    aside = path.with_name(f".{path.name}.partial{path.suffix}")
    try:
        if path.suffix == ".csv":
            table.to_csv(aside, index=False)
        else:
            _write_parquet(table, aside, about)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _write_parquet(table: pd.DataFrame, path: Path, about: dict[str, Any]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    content = pa.Table.from_pandas(table, preserve_index=False)
    metadata = {**(content.schema.metadata or {}), METADATA: json.dumps(about, sort_keys=True)}
    parquet.write_table(content.replace_schema_metadata(metadata), path)
