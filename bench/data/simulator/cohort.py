"""`simulate`: write a simulated cohort in a real corpus's layout, to be read by that corpus's reader.

Its fingerprint is (code, parameters, seed); a folder that already holds it is left alone.
"""

import hashlib
import json
import multiprocessing
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from bench.data.corpus import SIMULATION_MARK, CorpusError, simulation
from bench.data.simulator.chapman_files import LAYOUTS, ChapmanFiles
from bench.data.simulator.cinc2021_files import CincFiles
from bench.data.simulator.ptbxl_files import SUFFIX, PtbxlFiles

Progress = Callable[[int, int], None]
Files = ChapmanFiles | PtbxlFiles | CincFiles

SIMULATED: dict[str, type[Files]] = {
    "chapman-sim": ChapmanFiles,
    "ptbxl-sim": PtbxlFiles,
    "cinc2021-sim": CincFiles,
}
"""What can be simulated, by the name it carries in every table."""

MOST_RECORDS = {"chapman-sim": 90_000, "ptbxl-sim": 99_999, "cinc2021-sim": 70_000}
"""Record numbers have five digits; the Challenge's Chapman records end at JS10646."""

_WRITTEN = re.compile(
    r"simulation\.json|Diagnostics\.xlsx|RECORDS|ptbxl_database\.csv|scp_statements\.csv"
    r"|WFDBRecords/\d+/\d+/(RECORDS|JS\d{5}\.(hea|mat))|ECGData(Denoised)?/MUSE_\d+_\d+_\d+\.csv"
    r"|records[15]00/\d{5}/\d{5}_[lh]r\.(hea|dat)"
    r"|training/[a-z_0-9-]+/g\d+/(RECORDS|(A|Q|I|S|HR|E|JS)\d{4,5}\.(hea|mat))"
)
"""Every file a simulation writes, below its folder; only these may be replaced."""

_BLOCKS_WORTH_A_WORKER = 8  # another process takes most of a second to start, a block a quarter to make


def simulate(
    corpus: str,
    root: Path,
    records: int = 1500,
    seed: int = 0,
    rates: tuple[int, ...] | None = None,
    layout: str | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write a simulated cohort to `root`, unless it is there already.

    The bytes depend on neither `workers` nor the order of work; record i is the same however many there are.

    Args:
        corpus: a name in `SIMULATED`.
        root: the folder to write, or a link to it; an earlier simulated cohort there is replaced. A folder
            that holds any other file is refused.
        records: records with a signal.
        rates: of ptbxl-sim, 100 and/or 500 Hz (default 100); chapman-sim is always 500 Hz, and cinc2021-sim's
            databases have their own.
        layout: of chapman-sim: 'wfdb' (default), 'figshare' (raw CSV) or 'figshare-denoised'.
        workers: processes; 1: this one alone; None: as many as the work is worth, at most one a core.
        progress: called with the number of records written and their total.

    Returns:
        `root`.

    Raises:
        CorpusError: no such corpus, layout, rate, seed or number of records, or `root` holds something else.
    """
    files = _files(corpus, records, seed, rates, layout)
    mark = _mark(corpus, files)
    if simulation(root).get("fingerprint") == mark["fingerprint"]:
        return root
    place = root.resolve()
    _refuse_foreign(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
    try:
        _write(files, aside, workers, progress)
        (aside / SIMULATION_MARK).write_text(json.dumps(mark, indent=2) + "\n")
        _put(aside, place, mark)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return root


def _files(corpus: str, records: int, seed: int, rates: tuple[int, ...] | None, layout: str | None) -> Files:
    if corpus not in SIMULATED:
        raise CorpusError(f"no simulated corpus {corpus!r}; there are: {', '.join(SIMULATED)}")
    if not 1 <= records <= MOST_RECORDS[corpus]:
        raise CorpusError(f"{records:,} records of {corpus}; give 1 to {MOST_RECORDS[corpus]:,}")
    if seed < 0:
        raise CorpusError(f"seed {seed}; give a whole number from 0 on")
    if corpus == "chapman-sim":
        chosen = next((known for known in LAYOUTS if known == (layout or "wfdb")), None)
        if rates not in (None, (500,)) or chosen is None:
            raise CorpusError(
                f"chapman-sim has 500 Hz, not {rates}, and layouts {', '.join(LAYOUTS)}, not {layout}"
            )
        return ChapmanFiles(records, seed, chosen)
    if corpus == "cinc2021-sim":
        if rates is not None or layout is not None:
            raise CorpusError(f"cinc2021-sim has its databases' rates, not {rates}, one layout, not {layout}")
        return CincFiles(records, seed)
    asked = (100,) if rates is None else tuple(sorted(set(rates)))
    if layout is not None or not asked or not set(asked) <= set(SUFFIX):
        raise CorpusError(f"ptbxl-sim has rates 100 and 500 Hz, not {rates}, and one layout, not {layout}")
    return PtbxlFiles(records, seed, asked)


def _mark(corpus: str, files: Files) -> dict[str, Any]:
    """What the folder says about itself."""
    facts = {"name": corpus, "corpus": corpus, **asdict(files), "code": _code_hash()}
    text = json.dumps(facts, sort_keys=True)
    return {"simulated": True, **facts, "fingerprint": hashlib.sha256(text.encode()).hexdigest()}


def _code_hash() -> str:
    """SHA-256 of this package's sources and of the tables it shares with the readers."""
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for path in [*sorted(here.glob("*.py")), here.parent / "leads.py"]:
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def _write(files: Files, folder: Path, workers: int | None, progress: Progress | None) -> None:
    tables: list[pd.DataFrame] = []
    for table in _blocks(files, folder, workers):
        tables.append(table)
        if progress:
            progress(min(sum(map(len, tables)), files.records), files.records)
    files.write_tables(folder, pd.concat(tables, ignore_index=True))


def _blocks(files: Files, folder: Path, workers: int | None) -> Iterator[pd.DataFrame]:
    """The tables of all blocks in their order, whoever makes them."""
    work, blocks = partial(files.write_block, folder), range(files.blocks)
    if workers is None:
        workers = min(os.cpu_count() or 1, 1 + len(blocks) // _BLOCKS_WORTH_A_WORKER)
    if workers <= 1:
        yield from map(work, blocks)
        return
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads (torch) can hang
    with ProcessPoolExecutor(workers, context) as pool:
        try:
            yield from pool.map(work, blocks)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _refuse_foreign(root: Path) -> None:
    """Nothing may stand at `root` but a simulated cohort, whole and by itself, or an empty folder."""
    if not root.exists():
        return
    if not root.is_dir():
        raise CorpusError(f"{root} is a file; give an empty or a new folder")
    held = (path for path in sorted(root.rglob("*")) if path.is_symlink() or not path.is_dir())
    names = [path.relative_to(root).as_posix() for path in held]
    if names and not simulation(root):
        raise CorpusError(f"{root} holds something that was not simulated; give an empty or a new folder")
    foreign = [name for name in names if not _WRITTEN.fullmatch(name)]
    if foreign:
        raise CorpusError(
            f"{root} holds {foreign[0]}, which was not simulated and would be lost; move it or give a new folder"
        )


def _put(aside: Path, root: Path, mark: dict[str, Any]) -> None:
    """Move the finished folder to its place; another process may have been quicker."""
    aside.chmod(0o755)  # mkdtemp's are closed to everyone else
    if root.exists():
        _refuse_foreign(root)  # again: making the cohort took its time
        old = aside.with_name(aside.name + ".old")
        root.rename(old)
        shutil.rmtree(old)
    try:
        aside.rename(root)
    except OSError:
        if simulation(root).get("fingerprint") != mark["fingerprint"]:
            raise
