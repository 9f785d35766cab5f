"""A paper of two small tables over settings, and benches with hand-made scores of it, for the tests of such tables."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from bench.data.corpus import Task
from bench.metrics.challenge import CLASSES
from bench.report import published as module
from bench.report.challenge import challenge_summaries
from bench.report.challenge_views import RULES, ChallengeViews
from bench.report.frame import build_frame
from bench.report.paper_settings import settings_tables
from bench.report.summary import summarise
from bench.report.table import Cell, Table
from bench.report.views import MetricViews
from bench.run.plan import Row
from bench.run.suite import CorpusUse
from tests.report.hand_made import Bench, make_bench

RESAMPLES = 100

NUMBERS = [
    ("auroc", "True", "leads 12", 0.8012, 0.004, "validation", "no seeds"),
    ("auroc", "True", "leads 2", 0.7113, "", "validation", ""),
    ("auroc", "False", "leads 2", 0.7101, "", "validation", ""),
    ("auroc", "False", "leads 3", 0.6999, "", "validation", ""),
    ("auroc", "True", "leads 12", 0.7, "", "hidden", ""),
    ("rules", "Base", "6", 0.666, 0.002, "local", ""),
    ("rules", "Bare", "6", 0.649, 0.003, "local", ""),
    ("rules", "Chosen", "6", 0.649, 0.004, "local", ""),
    ("rules", "Equal", "6", 0.666, 0.004, "local", ""),
]
HEAD = "paper,table,row,corpus,metric,setting,mean,std,seeds,split,note"

STEPS = {"what": "steps", "path": "fit.budget.steps", "published": 100}


def _at(row: str, setting: str, split: str = "validation") -> dict[str, str]:
    return {"row": row, "setting": setting, "split": split}


AUROC: dict[str, Any] = {
    "kind": "settings",
    "title": "Paper, Table 1 (few leads)",
    "metric": "macro_auroc",
    "decimals": 2,
    "spread": "± SD",
    "corpus": "tiny",
    "task": "rhythm",
    "records": 90,
    "checks": [STEPS],
    "rows": [
        {
            "row": "twelve",
            "published": _at("True", "leads 12"),
            "label": "a",
            "lead_set": "all-12",
            "part": "val",
        },
        {
            "row": "two",
            "published": _at("True", "leads 2"),
            "label": "d",
            "lead_set": "challenge-2",
            "part": "val",
            "minus": "two, plain",
            "footnotes": ["odd"],
            "checks": [{**STEPS, "published": 7}],
        },
        {
            "row": "two, plain",
            "published": _at("False", "leads 2"),
            "label": "a",
            "lead_set": "challenge-2",
            "part": "val",
        },
        {
            "row": "three",
            "published": _at("False", "leads 3"),
            "label": "a",
            "lead_set": "challenge-3",
            "part": "val",
            "minus": "twelve",
        },
        {"row": "hidden", "published": _at("True", "leads 12", "hidden"), "reason": "Never released"},
    ],
    "controls": [
        {"row": "twelve, test", "label": "a", "lead_set": "all-12"},
        {"row": "half", "label": "a", "lead_set": "all-12", "fraction": 0.5, "minus": "twelve, test"},
        {"row": "two, test", "label": "d", "lead_set": "challenge-2", "minus": "two, plain, test"},
        {"row": "two, plain, test", "label": "a", "lead_set": "challenge-2"},
        {
            "row": "cut",
            "label": "a",
            "lead_set": "all-12",
            "eval_lead_set": "challenge-2",
            "minus": "two, plain, test",
        },
        {"row": "absent", "label": "nobody", "lead_set": "all-12"},
    ],
    "footnotes": {"odd": "An odd row", "all": "On all"},
    "table_footnotes": ["all"],
}


def _ruled(name: str, **changes: Any) -> dict[str, Any]:
    here = {"row": name, "published": _at(name, "6", "local"), "label": "a", "lead_set": "challenge-6"}
    return here | changes


LAYOUTS: dict[str, Any] = {
    "auroc": AUROC,
    "rules": {
        "kind": "settings",
        "title": "Paper, Table 2 (masks)",
        "metric": "challenge_metric",
        "spread": "± SD",
        "corpus": "tiny",
        "task": "scored26",
        "records": 90,
        "rows": [
            _ruled("Base"),
            _ruled("Bare", rule="unmasked", minus="Base"),
            _ruled("Chosen", rule="validation", minus="Base"),
            _ruled("Equal", label="b", minus="Base"),
        ],
        "controls": [
            {
                "row": "guessed",
                "label": "a",
                "lead_set": "challenge-6",
                "rule": "inferred",
                "minus": "Base",
            }
        ],
    },
}


def write_paper(folder: Path, monkeypatch: Any) -> Path:
    """Make it the only paper there is; its folder."""
    folder = folder / "papers" / "paper"
    folder.mkdir(parents=True)
    lines = [HEAD]
    for table, row, setting, mean, std, split, note in NUMBERS:
        lines.append(f"paper,{table},{row},somewhere,macro_auroc,{setting},{mean},{std},5,{split},{note}")
    (folder / "published.csv").write_text("\n".join(lines) + "\n")
    (folder / "tables.yaml").write_text(yaml.safe_dump(LAYOUTS, sort_keys=False))
    monkeypatch.setattr(module, "PAPERS", folder.parent)
    return folder


def relaid(folder: Path, **changes: Any) -> None:
    """Change the layout named 'auroc'."""
    content = {**LAYOUTS, "auroc": {**AUROC, **changes}}
    (folder / "tables.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def real_bench(folder: Path, **suite: Any) -> Bench:
    """A bench of the paper on a real corpus of 90 records at scale paper."""
    bench = make_bench(folder, 90, **{"name": "paper", "scale": "paper"} | suite)
    return _on(bench, name="tiny", simulated=False)


def _on(bench: Bench, **changes: Any) -> Bench:
    bench.corpus = replace(bench.corpus, **changes)
    bench.plan.corpora = dict.fromkeys(bench.plan.corpora, bench.corpus)
    return bench


def challenge_bench(folder: Path, **suite: Any) -> Bench:
    """The same of the Challenge's classes: what is fast is STach, what is slow SB, or AFL in no training record."""
    bench = real_bench(folder, corpora=(CorpusUse(corpus="tiny-sim", task="scored26"),), **suite)
    records = bench.corpus.records
    names = np.where(bench.targets("rhythm")[:, 1] > 0, "STach", "SB")
    odd = (np.arange(len(records)) % 2 == 1) & (records["part"] != "train") & (names == "SB")
    names = np.where(odd, "AFL", names)
    labels = pd.DataFrame({"record": records["record"], "task": "scored26", "label": names})
    pd.concat([bench.corpus.labels, labels]).to_parquet(bench.corpus.folder / "labels.parquet")
    scored = Task("scored26", "multi", CLASSES, every=True)
    return _on(bench, tasks={**bench.corpus.tasks, "scored26": scored})


def add(
    bench: Bench,
    label: str,
    leads: str,
    evaluated: str = "",
    noise: float = 1.0,
    seeds: int = 2,
    fraction: float = 1.0,
    steps: int = 100,
    task: str = "rhythm",
) -> list[Row]:
    """Finished evaluations of an entry, with cells of its lead sets; better scores with less noise."""
    where = {"lead_set": leads, "eval_lead_set": evaluated or leads, "task": task}
    rows = []
    for seed in range(seeds):
        row = bench.add(label, fraction, seed, **where)
        job, fit = bench.plan.jobs[row.key], bench.plan.jobs[row.fit_key].cell
        budget = fit.budget.model_copy(update={"steps": steps})
        fit = fit.model_copy(update={"lead_set": leads, "budget": budget})
        changes = {"lead_set": where["eval_lead_set"], "parents": {"fit": fit.key()}}
        judged = job.cell.model_copy(update=changes)
        bench.plan.jobs |= {cell.key(): replace(job, cell=cell) for cell in (fit, judged)}
        bench.plan.rows[-1] = replace(row, key=judged.key(), fit_key=fit.key())
        rows.append(bench.plan.rows[-1])
        drawn = f"{label}{leads}{evaluated}{fraction}".encode()
        scores = bench.noisy(noise, seed + int.from_bytes(drawn, "little") % 2**31, task)
        bench.finish(rows[-1], np.clip(2 * scores, 0, 1) if task == "scored26" else scores)
    return rows


def tables_of(bench: Bench, **challenge: Any) -> dict[str, Table]:
    """Tables over settings, by name; `challenge`: summaries by rule, in place of those of the bench's scores."""
    views = MetricViews(bench.store, RESAMPLES)
    summaries = summarise(build_frame(bench.plan, bench.store, RESAMPLES), views)
    ruled = ChallengeViews(bench.plan, bench.store, RESAMPLES)
    found = {rule: challenge_summaries(summaries, ruled, rule) for rule in RULES} | challenge
    tables = settings_tables(bench.plan, summaries, found, bench.plan.suites[0], views, RESAMPLES)
    return {table.name: table for table in tables}


def rows_of(table: Table) -> dict[str, Any]:
    """Data of the rows by name."""
    return {row.data["row"]: row.data for row in table.rows}


def shown(table: Table, name: str) -> dict[str, Cell]:
    """What a row shows, by head."""
    row = next(row for row in table.rows if row.data["row"] == name)
    return dict(zip((column.head for column in table.columns), row.cells, strict=True))


def notes_of(table: Table, cell: Cell) -> list[str]:
    """Texts of a cell's footnotes."""
    return [table.footnotes[number - 1] for number in cell.notes]
