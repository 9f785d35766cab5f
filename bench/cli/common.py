"""What the commands share: options that choose what to run, and errors in one line."""

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from bench.run.errors import UserError

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
            help="Run on this corpus in place of the suite's, or on a FOLDER of your own with a records.csv;"
            " repeatable. Real ones need --data.",
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
