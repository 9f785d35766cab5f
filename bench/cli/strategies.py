"""Commands about strategies: what there is, a new one, a proof of one."""

import sys
from pathlib import Path

import click

from bench.cli.common import FOLDER, friendly
from bench.cli.group import main
from bench.progress import table


@main.command(name="list")
@click.option("--strategy", "strategies", multiple=True, help="Also list this file.")
@friendly
def list_(strategies: tuple[str, ...]) -> None:
    """List strategies, baselines, encoders, corpora, lead sets and suites."""
    from bench.run.catalogue import catalogue

    for title, headers, rows in catalogue(tuple(Path(s) for s in strategies)):
        click.echo(f"\n{title}")
        table(headers, rows)


@main.command()
@click.argument("name")
@click.option("--into", type=FOLDER, default=Path(), show_default=True, help="Folder for the new file.")
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write an adapter for this file of published weights instead.",
)
@friendly
def new(name: str, into: Path, checkpoint: Path | None) -> None:
    """Write a working strategy file NAME.py to start from, or an adapter for a checkpoint."""
    from bench.run.scaffold import write_adapter, write_strategy

    path = write_adapter(name, checkpoint, into) if checkpoint else write_strategy(name, into)
    click.echo(f"wrote {path}; next: leadboard check {path}")


@main.command()
@click.argument("name")
@friendly
def check(name: str) -> None:
    """Prove a strategy, by NAME or FILE.py, against the contract in seconds."""
    from bench.run.contract.check import check_named

    checks = check_named(name)
    for item in checks:
        click.echo(f"{'ok  ' if item.ok else 'FAIL'} {item.name}{': ' + item.detail if item.detail else ''}")
    if not all(item.ok for item in checks):
        sys.exit(1)
