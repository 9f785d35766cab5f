"""The command line: parse, call, print. No logic lives here."""

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from bench.progress import Narrator, duration, table
from bench.run.errors import UserError
from bench.session import Options, Session

FOLDER = click.Path(path_type=Path, file_okay=False)


def friendly(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turn our errors into one line, and Ctrl-C into a clean end."""

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except UserError as error:
            raise click.ClickException(str(error)) from None
        except KeyboardInterrupt:
            click.echo("stopped; every finished cell is kept, the same command goes on from here", err=True)
            sys.exit(130)

    return wrapped


def plan_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that choose what to run."""
    options = [
        click.argument("suites", nargs=-1, metavar="[SUITE]..."),
        click.option(
            "--scale",
            default="quick",
            show_default=True,
            help="smoke (seconds), quick (minutes on two cores) or paper (GPUs).",
        ),
        click.option(
            "--corpus",
            "corpora",
            multiple=True,
            help="Run on this corpus in place of the suite's; repeatable. Real ones need --data.",
        ),
        click.option(
            "--pretrain-on",
            multiple=True,
            metavar="CORPUS",
            help="Also evaluate encoders that were pre-trained on this corpus; repeatable.",
        ),
        click.option(
            "--data",
            type=FOLDER,
            help="Folder with the real corpora: a corpus itself, or one sub-folder a corpus.",
        ),
        click.option(
            "--strategy",
            "strategies",
            multiple=True,
            help="Run only this row (its label or strategy), or a strategy FILE.py, which joins the board; repeatable.",
        ),
        click.option("--seeds", type=click.IntRange(1), help="Seed indices, in place of the suite's."),
        click.option(
            "--lead-set",
            "lead_sets",
            multiple=True,
            help="Train and evaluate with this lead set (`leadboard list` names them), in place of the suite's;"
            " repeatable. Rows with lead sets of their own keep them.",
        ),
        click.option(
            "--eval-lead-set",
            "eval_lead_sets",
            multiple=True,
            help="Also evaluate what was trained on more leads with this part of them, the others being zero;"
            " repeatable.",
        ),
        click.option(
            "--records",
            type=click.IntRange(60),
            default=1500,
            show_default=True,
            help="Size of a simulated cohort.",
        ),
        click.option(
            "--store",
            type=FOLDER,
            default=Path("store"),
            show_default=True,
            help="Where results of cells are kept.",
        ),
        click.option(
            "--results",
            type=FOLDER,
            default=Path("results"),
            show_default=True,
            help="Where tables, figures and the board go.",
        ),
        click.option(
            "--cache",
            type=FOLDER,
            default=Path("data"),
            show_default=True,
            help="Where simulated and prepared corpora are kept.",
        ),
        click.option("--device", default="auto", show_default=True, help="cpu, cuda or auto."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="leadboard")
def main() -> None:
    """Which way of pre-training an ECG encoder is worth using: one harness, one board, honest statistics.

    \b
    leadboard run board --scale quick                      our board, on simulated cohorts
    leadboard run goodviews                                Good Views, Table 1, published numbers beside ours
    leadboard run board --corpus ptbxl --data PTBXL        the board on real data
    leadboard run board --strategy mine.py                 your strategy on the same board
    leadboard new mine && leadboard check mine.py          scaffold a strategy, prove it
    """


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
@friendly
def new(name: str, into: Path) -> None:
    """Write a working strategy file NAME.py to start from."""
    from bench.run.scaffold import write_strategy

    path = write_strategy(name, into)
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


@main.group()
def data() -> None:
    """Simulate corpora, and look real ones over."""


@data.command()
@click.argument("corpus")
@click.argument("folder", type=FOLDER)
@click.option("--records", type=click.IntRange(60), default=1500, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@friendly
def simulate(corpus: str, folder: Path, records: int, seed: int) -> None:
    """Write a simulated cohort (chapman-sim, ptbxl-sim, cinc2021-sim) in the real corpus's layout into FOLDER."""
    from bench.session import simulate_corpus

    with Narrator() as narrator:
        simulate_corpus(corpus, folder, records, seed, narrator.step)
    click.echo(f"wrote {folder}: {corpus}, {records} simulated records")


@data.command(name="check")
@click.argument(
    "folders", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, file_okay=False)
)
@friendly
def check_data(folders: tuple[Path, ...]) -> None:
    """Read every record below FOLDER and report each defect in one line."""
    from bench.session import check_folder

    for place, title, notes in (checked for folder in folders for checked in check_folder(folder)):
        count = "no defect found" if not notes else "1 note" if len(notes) == 1 else f"{len(notes)} notes"
        click.echo(f"{place}: {title}: {count}")
        for note in notes:
            click.echo(f"  {note.action} {note.record or '(corpus)'}: {note.reason}")


if __name__ == "__main__":
    main()
