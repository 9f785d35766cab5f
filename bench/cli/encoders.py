"""Commands that use trained encoders of the store."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from bench.cli.common import FOLDER, friendly
from bench.cli.group import main
from bench.progress import Narrator, table

_SHOWN = 10
"""Records that are told one by one."""


def encoder_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that say which encoder, and where it is."""
    options = [
        click.option(
            "--encoder",
            help="A fit's key (its first characters do), STRATEGY or STRATEGY@CORPUS; without it: list what is there.",
        ),
        click.option(
            "--strategy",
            "strategies",
            multiple=True,
            type=click.Path(path_type=Path, dir_okay=False, exists=True),
            help="File of a strategy that is not in the project; repeatable.",
        ),
        click.option(
            "--store", type=FOLDER, default=Path("store"), show_default=True, help="Where the fits are."
        ),
        click.option(
            "--cache",
            type=FOLDER,
            default=Path("data"),
            show_default=True,
            help="Where prepared corpora are, which give names to what encoders were trained on.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@main.command()
@click.argument("records", nargs=-1, type=click.Path(path_type=Path))
@encoder_options
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("embeddings.parquet"),
    show_default=True,
    help="A .parquet or .csv file: record, path, e0, e1, ...",
)
@click.option("--rate", type=click.FloatRange(1), help="Hz of CSV records; WFDB headers say their own.")
@click.option("--unit", default="mV", show_default=True, help="Of CSV records: mV or uV.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda or auto.")
@friendly
def embed(
    records: tuple[Path, ...],
    encoder: str | None,
    strategies: tuple[Path, ...],
    store: Path,
    cache: Path,
    output: Path,
    rate: float | None,
    unit: str,
    device: str,
) -> None:
    """Embed RECORDS (WFDB, CSV, or folders of them) with a trained encoder of the store."""
    from bench import use

    if encoder is None:
        show_encoders(store, cache)
        return
    if not records:
        raise click.UsageError("name the records: WFDB, CSV, or folders of them")
    trained = use.load(encoder, store, cache, strategies, device)
    with Narrator() as narrator:
        found = use.embed(trained, records, output, rate, unit, narrator.step)
    for what, rows in (("left out", found.refused), ("note", found.notes)):
        for row in rows.head(_SHOWN).itertuples():
            click.echo(f"{what} {row.record}: {row.reason}")
        if len(rows) > _SHOWN:
            click.echo(f"{what}: {len(rows) - _SHOWN:,} more records")
    click.echo(f"wrote {output}: {len(found.table):,} records, {len(found.refused):,} left out")


@main.command()
@encoder_options
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("encoder.pt2"),
    show_default=True,
    help="A .pt2 file.",
)
@friendly
def export(encoder: str | None, strategies: tuple[Path, ...], store: Path, cache: Path, output: Path) -> None:
    """Write a trained encoder, its scaling and windows included, as one file that needs torch alone."""
    from bench import use

    if encoder is None:
        show_encoders(store, cache)
        return
    trained = use.load(encoder, store, cache, strategies, "cpu")
    example = use.export(trained, output)
    click.echo(f"wrote {output}; to use it:\n\n{example}")


def show_encoders(store: Path, cache: Path) -> None:
    """Print what `--encoder` may name."""
    from bench import use

    table(*use.encoders_here(store, cache))
