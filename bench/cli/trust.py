"""Commands about trust: send results, check one's own and other people's, bring stores together."""

import sys
from pathlib import Path
from typing import Any

import click

from bench.cli.common import FOLDER, friendly, plan_options
from bench.cli.group import main
from bench.progress import Narrator
from bench.run.verify import Finding, Verified, summary
from bench.session import Options

_CELLS = 8
"""Of a store that are run again, where the user does not say."""


@main.command()
@click.argument("row")
@plan_options
@click.option(
    "-o",
    "--output",
    type=FOLDER,
    help="Folder of the submission; default results/submissions/ROW.",
)
@click.option("--partial", is_flag=True, help="Send what there is, though cells are missing.")
@friendly
def submit(row: str, output: Path | None, partial: bool, **options: Any) -> None:
    """Pack the results of ROW for a pull request: scores and groups whole, of all else what it says of itself."""
    from bench.trust import submit as pack

    folder = output or options["results"] / "submissions" / row
    with Narrator() as narrator:
        said, size = pack(Options(**options), row, folder, partial, narrator.step)
    part = f"{said.cells} of {said.wanted} cells" if said.partial else f"{said.cells} cells"
    click.echo(f"wrote {folder}: {part}, {size / 1000:,.0f} kB")
    for file in said.strategies:
        if not file.path.startswith(("strategies/", "baselines/")):
            click.echo(
                f"note: {file.path} lies outside the project, where it has other keys than CI will plan: move it to"
                " strategies/, add its line to bench/suites/board.yaml, and run and submit again"
            )
    files = " ".join(file.path for file in said.strategies)
    click.echo(f"next: leadboard verify --submission {folder}")
    click.echo(f"then: git add {files} bench/suites {folder}, commit, open a pull request")


@main.command(name="verify")
@plan_options
@click.option(
    "--count",
    type=click.IntRange(0),
    help=f"Cells of the store to run again, default {_CELLS}; fits of each submission to train again, default 1 (at"
    " scale paper none).",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the draw.")
@click.option(
    "--submission",
    "submissions",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Check this submission, or all in this folder, in place of the store; repeatable.",
)
@click.pass_context
@friendly
def verify(
    context: click.Context, count: int | None, seed: int, submissions: tuple[Path, ...], **options: Any
) -> None:
    """Run some finished cells again and compare; or check submissions against this checkout."""
    if submissions:
        refuse_what_submissions_say(context)
        check_submissions(Options(**options), submissions, count, seed)
        return
    from bench.trust import verify_store

    with Narrator() as narrator:
        found = verify_store(
            Options(**options), _CELLS if count is None else count, seed, narrator.step, say_cell
        )
    click.echo(summary(found))
    if not all(one.sound for one in found):
        sys.exit(1)


def say_cell(one: Verified) -> None:
    """A line about a cell that was looked at."""
    mark = "-   " if one.outcome is Finding.UNCHECKED else "ok  " if one.sound else "FAIL"
    click.echo(
        f"{mark} {one.stage} {one.key[:12]} ({one.label}): {one.outcome}{'; ' * bool(one.detail)}{one.detail}"
    )


def refuse_what_submissions_say(context: click.Context) -> None:
    """What is planned for a submission, it says itself."""
    from bench.trust import ASKED

    given = (
        name for name in ASKED if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    )
    name = next(given, None)
    if name:
        raise click.UsageError(f"a submission says its own {name}; give --submission without it")


def check_submissions(options: Options, places: tuple[Path, ...], count: int | None, seed: int) -> None:
    """Check each submission, a line a check; exits 1 where anything is wrong."""
    from bench.trust import Reviewer, submissions_in

    found, bad = submissions_in(places), 0
    if not found:
        click.echo(f"no submissions in {', '.join(map(str, places))}")
    with Narrator() as narrator:
        reviewer = Reviewer(options, count, seed, narrator.step)
        for folder in found:
            click.echo(f"{folder}")
            wrong = False
            for check in reviewer.review(folder):
                click.echo(f"  {check}")
                wrong |= check.wrong
            bad += wrong
    if found:
        click.echo(f"submissions checked: {len(found)}, {bad} with faults")
    if bad:
        sys.exit(1)


@main.command()
@click.argument(
    "stores", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, file_okay=False)
)
@click.option(
    "--store", type=FOLDER, default=Path("store"), show_default=True, help="The store that takes them."
)
@friendly
def merge(stores: tuple[Path, ...], store: Path) -> None:
    """Bring finished cells of STORES (other machines' stores, submissions) into the store; what is here stays."""
    from bench.trust import merge_stores

    merged = merge_stores(stores, store)
    for one in (*merged.differing, *merged.refused):
        click.echo(one)
    click.echo(merged)
    if merged.differing or merged.refused:
        sys.exit(1)
