"""Trained encoders in use: which there are, embeddings of one's own ECGs, an encoder as a file of its own."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch

from bench.data.loose_records import find_records
from bench.run.embed_records import (
    Embedded,
    check_output,
    embed_records,
    note_table,
    write_embeddings,
)
from bench.run.errors import UserError
from bench.run.export import export_encoder, loading_example
from bench.run.registry import Registry
from bench.run.store import Store
from bench.run.trained import (
    TRAINED_COLUMNS,
    Trained,
    find_fit,
    load_trained,
    prepared_corpora,
    trained_encoders,
)
from bench.session import choose_device, user_errors

_AT_A_TIME = 64  # records


@user_errors
def encoders_here(store: Path, cache: Path) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of a list of every trained encoder of a store.

    Args:
        cache: where prepared corpora are, which give fingerprints their names.
    """
    rows = trained_encoders(Store(store), prepared_corpora(cache / "prepared"))
    if not rows:
        raise UserError(f"no trained encoder in {store}; `leadboard run` trains some")
    return list(TRAINED_COLUMNS), rows


@user_errors
def load(name: str, store: Path, cache: Path, files: tuple[Path, ...], device: str) -> Trained:
    """The trained encoder that a name means.

    Args:
        name: see `find_fit`.
        files: of strategies outside the project.
    """
    kept, corpora = Store(store), prepared_corpora(cache / "prepared")
    found = Registry(files).found
    sources = {key: one.source for key, one in found.items() if one.source is not None}
    place = torch.device(choose_device(device))
    return load_trained(kept, find_fit(kept, name, corpora), sources, corpora, place)


@user_errors
def embed(
    trained: Trained,
    paths: tuple[Path, ...],
    output: Path,
    rate: float | None,
    unit: str,
    say: Callable[[str, int, int], None],
) -> Embedded:
    """Embed records and write the embeddings; what could not be used is told, not fatal.

    Raises:
        UserError: no record could be used.
    """
    check_output(output)
    records, missing = find_records(paths, rate, unit)
    parts: list[Embedded] = []
    for start in range(0, len(records), _AT_A_TIME):
        parts.append(embed_records(trained, records[start : start + _AT_A_TIME], _AT_A_TIME))
        say("embed", min(start + _AT_A_TIME, len(records)), len(records))
    found = _together(parts, note_table(missing, {}))
    if found.table.empty:
        first = f": {found.refused['reason'].iloc[0]}" if len(found.refused) else ""
        raise UserError(f"none of {len(found.refused):,} records can be embedded{first}")
    write_embeddings(found.table, output, trained.describe())
    return found


def _together(parts: list[Embedded], missing: pd.DataFrame) -> Embedded:
    """All parts as one; `missing` are records that a table names and a folder lacks."""
    table, refused, notes = (
        [getattr(part, name) for part in parts] for name in ("table", "refused", "notes")
    )
    columns = ([pd.DataFrame(), *table], [missing, *refused], [pd.DataFrame(), *notes])
    return Embedded(*(pd.concat(own, ignore_index=True) for own in columns))


@user_errors
def export(trained: Trained, output: Path) -> str:
    """Write an encoder as a file of its own.

    Returns:
        The lines that load it.
    """
    export_encoder(trained, output)
    return loading_example(trained, output)
