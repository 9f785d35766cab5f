"""Commands that run suites and report them."""

import sys
from pathlib import Path
from typing import Any

import click

from bench.cli.common import FOLDER, friendly, plan_options
from bench.cli.group import main
from bench.progress import Narrator, duration, table
from bench.session import Options, Session, assemble_board


@main.command()
@plan_options
@click.option(
    "--executor",
    type=click.Choice(["ray", "inline"]),
    default="ray",
    show_default=True,
    help="Ray tasks, or this process.",
)
@click.option("--address", help="Join a running Ray cluster at this address.")
@click.option(
    "--gpus-per-cell", type=float, help="Share of a GPU that a cell takes (Ray); default 0.25 on a GPU."
)
@friendly
def run(executor: str, address: str | None, gpus_per_cell: float | None, **options: Any) -> None:
    """Run what is missing, then report. Without SUITE: every suite. Interrupt and repeat freely."""
    with Narrator() as narrator:
        session = Session(Options(**options), narrator.step)
        plan = session.plan()
        for line in session.warnings:
            narrator.say(line)
        progress = session.run(plan, executor, address, gpus_per_cell, narrator.cells(plan))
        written = session.report(plan)
    click.echo(session.summary(plan, progress))
    for path in written:
        click.echo(f"wrote {path}")
    if progress.errors or session.broken_files:
        sys.exit(1)


@main.command()
@plan_options
@friendly
def plan(**options: Any) -> None:
    """Show what would run, what is cached, and what it would take."""
    with Narrator() as narrator:
        session = Session(Options(**options), narrator.step)
        estimate = session.estimate(session.plan())
    for line in session.warnings:
        click.echo(line, err=True)
    table(["stage", "cells", "cached", "to run", "estimated"], estimate.rows)
    for reason, count in estimate.skipped.items():
        click.echo(f"skipped ({count} rows): {reason}")
    known = duration(estimate.seconds) if estimate.seconds is not None else "not known yet"
    click.echo(
        f"one after the other on this machine: {known}; new results on disk: about {estimate.mebibytes:.0f} MiB"
    )


@main.command()
@plan_options
@friendly
def report(**options: Any) -> None:
    """Write tables, figures and the board from the store; trains nothing."""
    with Narrator() as narrator:
        session = Session(Options(**options), narrator.step)
        written = session.report(session.plan())
    for path in written:
        click.echo(f"wrote {path}")


@main.command()
@click.option(
    "--results",
    type=FOLDER,
    default=Path("results"),
    show_default=True,
    help="Folder with the results of suites; the page goes there too.",
)
@click.option(
    "--picture",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also take a picture of the page, PNG; needs playwright and a Chromium.",
)
@friendly
def board(results: Path, picture: Path | None) -> None:
    """Put the page board.html together from the results of every suite; needs no store and trains nothing."""
    for path in assemble_board(results, picture):
        click.echo(f"wrote {path}")


@main.command()
@plan_options
@click.option(
    "--rounds", type=click.IntRange(1), default=5, show_default=True, help="Rounds; the median counts."
)
@click.option("--cells/--no-cells", default=True, help="Also time scheduling a cell on warm Ray workers.")
@click.option(
    "--groups",
    is_flag=True,
    help="Instead: time k-means and rankings of 100,000 embeddings, by as many threads as OMP_NUM_THREADS says.",
)
@friendly
def perf(rounds: int, cells: bool, groups: bool, **options: Any) -> None:
    """Time each strategy's fit against its floor (its own networks and optimiser on random tensors)."""
    if groups:
        perf_groups()
        return
    with Narrator() as narrator:
        session = Session(Options(**options), narrator.step)
        machine, rates, overhead = session.perf(session.plan(), rounds, cells, narrator.step)
    click.echo(machine)
    rows = [
        [
            r.label,
            str(r.views),
            f"{r.step * 1e3:.1f}",
            f"{r.floor * 1e3:.1f}",
            f"{r.share:.2f}",
            f"{r.draw_ns:.2f}",
        ]
        for r in rates
    ]
    table(["row", "views/step", "ms/step", "floor ms", "floor/step", "views ns/lead-sample"], rows)
    if overhead is not None:
        click.echo(f"scheduling on warm Ray workers: {overhead * 1e3:.1f} ms a cell")


def perf_groups() -> None:
    """Print what grouping many embeddings costs."""
    import torch

    from bench.run.perf import describe_machine

    threads = torch.get_num_threads()
    click.echo(f"{describe_machine()}, {threads} threads")
    times = Session.perf_groups(threads)
    table(["work", "s", "peak MiB"], [[t.what, f"{t.seconds:.1f}", f"{t.mebibytes:.0f}"] for t in times])
