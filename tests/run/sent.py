"""Submissions of a tiny plan, and what a cheat or an accident does to them."""

import json
import shutil

from bench.report.rescore import claims, claims_csv
from bench.run.integrity import key_of
from bench.run.review import Sent
from bench.run.store import Store
from bench.run.submission import (
    Asked,
    Submission,
    corpus_facts,
    pack,
    place_of,
    rows_of,
    strategy_files,
)


def packed(plan, store, registry, folder, labels=("noise", "head"), **changes):
    """A submission of some rows of a plan; `changes` of what it says of itself."""
    rows = [row for row in rows_of(plan, labels) if store.has(row.key)]
    cells = len({row.key for row in rows})
    said = Submission(
        name="mine",
        rows=labels,
        asked=Asked(suites=("tiny",), scale="smoke"),
        corpora=corpus_facts(plan, rows),
        strategies=strategy_files(plan.suites, labels, registry),
        cells=cells,
        wanted=cells,
        partial=False,
        command="leadboard run tiny",
        leadboard="0.1.0",
        commit=None,
        modified=None,
    )
    found = claims([(place_of(row), row.key) for row in rows], store, resamples=50)
    pack(plan, rows, store, folder, said.model_copy(update=changes), claims_csv(found))
    return folder


def opened(plan, folder, labels=("noise", "head")):
    """A submission of which nothing has been moved, as the checks see it."""
    said = Submission.model_validate_json((folder / "submission.json").read_text())
    store = Store(folder)
    places = {place_of(row): row.key for row in rows_of(plan, labels) if store.has(row.key)}
    return Sent(said, store, places, "digest")


def refile(folder, place, key, files):
    """Put other files in place of some of a cell's; None takes one away. Sizes are told as they are then."""
    cell = folder / place / key[:2] / key
    for name, content in files.items():
        (cell / name).unlink(missing_ok=True)
        if content is not None:
            (cell / name).write_bytes(content)
    sizes = {path.name: path.stat().st_size for path in cell.iterdir() if path.name != "manifest.json"}
    (cell / "manifest.json").write_text(json.dumps(sizes))


def redescribe(folder, place, key, changes):
    """Let a cell say something else of itself, under the key of what it then says, which is given back."""
    old = folder / place / key[:2] / key
    described = json.loads((old / "cell.json").read_text()) | changes
    new = key_of(described)
    target = folder / place / new[:2] / new
    target.parent.mkdir(exist_ok=True)
    shutil.move(old, target)
    files = {"cell.json": json.dumps(described).encode()}
    if (target / "fit.json").exists():
        told = json.loads((target / "fit.json").read_text())
        files["fit.json"] = json.dumps(told | {"cell": described}).encode()
    refile(folder, place, new, files)
    return new
