"""Traps that the published codes fall into, and what their tests share: plans as a user makes them, fits out of them.

Each module's docstring lists every trap with the tests that ours does not fall into it; those that stand in the module
begin with the trap's number.
"""

import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import torch

from bench.data.corpus import PreparedCorpus
from bench.data.prepare import prepare
from bench.data.ptbxl import PtbxlReader
from bench.data.simulator.cohort import simulate
from bench.run.execute import InlineExecutor, execute
from bench.run.plan import Plan, Row, make_plan
from bench.run.registry import Registry, encoders, load_strategy
from bench.run.status import Status
from bench.run.store import Store
from bench.run.suite import Suite, load_suite
from bench.run.work import Job, fit_info, open_corpus
from bench.train.build import Recipe, Setting, build, prepare_fit
from bench.train.fit import Fit, Seeds
from bench.train.strategy import Strategy

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[2]

registry = cache(Registry)

TELL = """
import json, sys
from pathlib import Path
import numpy as np
from bench.data.prepare import prepare
from bench.data.ptbxl import PtbxlReader
from bench.data.splits import SplitSpec, fold_subset, label_subset, make_split

root, out = map(Path, sys.argv[1:])
corpus = prepare(PtbxlReader(), root, out, 100, workers=1)
records, targets = corpus.records, corpus.targets("all")
splits = [make_split(records, targets, SplitSpec(kind=kind)) for kind in ("official", "stratified")]
drawn = []
for split in splits:
    train = split.parts["train"]
    of = records.iloc[train]
    known = of["patient"].to_numpy(), targets.loc[of["record"]]
    drawn.append(label_subset(train, *known, 0.3, 5))
    drawn.append(fold_subset(train, known[0], of["fold"].to_numpy(), known[1], 0.05, 5))
ids = records["record"].to_numpy()
told = {
    "a set in its order": list(set(corpus.tasks["all"].classes)),
    "classes": {name: task.classes for name, task in corpus.tasks.items()},
    "labels": corpus.labels.to_numpy().tolist(),
    "fingerprint": corpus.fingerprint,
    "splits": [[split.fingerprint, *(ids[rows].tolist() for rows in split.parts.values())] for split in splits],
    "subsets": [ids[rows].tolist() for rows in drawn],
}
print(json.dumps(told))
"""
"""What a process of its own finds in a PTB-XL folder: classes and labels, splits, label subsets."""


def told_under_two_hash_seeds(root: Path, folder: Path) -> list[dict[str, Any]]:
    """What two processes, with other hash seeds, find in one PTB-XL folder; asked once."""
    answer = folder / "told.json"
    if not answer.exists():
        asked = [
            subprocess.Popen(
                [sys.executable, "-c", TELL, str(root), str(folder / f"hashed{seed}")],
                stdout=subprocess.PIPE,
                cwd=ROOT,
                env={**os.environ, "PYTHONHASHSEED": str(seed)},
            )
            for seed in (1, 2)
        ]
        answer.write_text(json.dumps([json.loads(process.communicate()[0]) for process in asked]))
    told: list[dict[str, Any]] = json.loads(answer.read_text())
    return told


def simulated_ptbxl(folder: Path, records: int = 120) -> tuple[Path, PreparedCorpus]:
    """A simulated PTB-XL as its reader reads it; made once in a folder."""
    root = simulate("ptbxl-sim", folder / "ptbxl-sim", records, workers=1)
    return root, prepare(PtbxlReader(), root, folder / "prepared", 100, workers=1)


def planned(suite: Suite, *corpora: PreparedCorpus) -> Plan:
    """The plan of a suite on corpora that lie ready."""
    return make_plan([suite], {f"{corpus.name}@{corpus.rate}": corpus for corpus in corpora}, registry())


def plan_of(name: str, scale: str, *corpora: PreparedCorpus, **changes: object) -> Plan:
    """The plan of a suite of the project with some of its values replaced."""
    return planned(load_suite(name, scale, changes), *corpora)


def pick(plan: Plan, **wanted: object) -> list[Row]:
    """The rows with these values."""
    return [row for row in plan.rows if all(getattr(row, name) == value for name, value in wanted.items())]


def one(plan: Plan, **wanted: object) -> Row:
    """The only row with these values."""
    (row,) = pick(plan, **wanted)
    return row


def run(plan: Plan, folder: Path, *labels: str) -> Store:
    """The store in which the rows with these labels were executed, and what they rest on; none: all rows."""
    store = Store(folder / "store")
    progress = execute(plan, store, InlineExecutor, only=frozenset(labels) or None)
    assert set(progress.statuses.values()) == {Status.DONE}, progress.errors
    return store


def fit_of(plan: Plan, key: str) -> Fit:
    """The fit of a planned cell, ready to run; what it starts from is untrained."""
    job = plan.jobs[key]
    cell = job.cell
    parents = {role: _untrained(plan, parent) for role, parent in cell.parents.items()}
    seeds = Seeds(cell.suite_seed, cell.seed_index)
    setting = Setting(cell.input, cell.lead_set, job.rows, cell.task, cell.budget, seeds, cell.precision)
    return prepare_fit(_recipe(job), open_corpus(job.corpus), setting, CPU, parents)


def _untrained(plan: Plan, key: str) -> Strategy:
    cell = plan.jobs[key].cell
    parents = {role: _untrained(plan, parent) for role, parent in cell.parents.items()}
    return build(_recipe(plan.jobs[key]), CPU, Seeds(cell.suite_seed, cell.seed_index), parents)


def _recipe(job: Job) -> Recipe:
    cell = job.cell
    kind = load_strategy(cell.strategy.name, job.sources.get(cell.strategy.name))
    info = fit_info(open_corpus(job.corpus), cell, job.rows, kind)
    return Recipe(kind, encoders()[cell.encoder.name], cell.encoder.arguments, cell.strategy.params, info)


def rates_while_training(fit: Fit, until: int | None = None) -> list[set[float]]:
    """The optimiser's learning rates at every step of a run."""
    seen: list[set[float]] = []
    fit.on_step = lambda done, total: seen.append({group["lr"] for group in fit.optimiser.param_groups})
    fit.run(until)
    return seen


def assert_complete(text: str, file: str, traps: int) -> None:
    """A module's docstring lists every trap, says "here" where the module has its test, and names tests that exist."""
    lines = re.split(r"^ ?(\d+)  ", text, flags=re.MULTILINE)
    listed = dict(zip(map(int, lines[1::2]), lines[2::2], strict=True))
    assert list(listed) == list(range(1, traps + 1))
    named = re.findall(r"([\w/]+\.py)::(\w+)", text)
    lost = [pair for pair in named if f"def {pair[1]}(" not in (ROOT / "tests" / pair[0]).read_text()]
    assert not lost
    here = {int(number) for number in re.findall(r"^def test_g(\d+)_", Path(file).read_text(), re.MULTILINE)}
    assert here == {number for number, line in listed.items() if re.search(r"\bhere\b(?! \()", line)}
