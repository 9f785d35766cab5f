"""Commands about corpora."""

from pathlib import Path

import click

from bench.cli.common import FOLDER, friendly
from bench.cli.group import main
from bench.progress import Narrator


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
