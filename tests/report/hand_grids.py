"""A paper of four small grids, and benches with hand-made scores of it, for the tests of grids."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from bench.data.corpus import PreparedCorpus
from bench.report import published as module
from bench.report.frame import build_frame
from bench.report.grid_tables import grid_tables
from bench.report.paper_common import PUBLISHED
from bench.report.summary import summarise
from bench.report.table import Cell, Table
from bench.report.views import MetricViews
from bench.run.cell import EncoderSpec
from tests.corpora import tiny_corpus
from tests.report.hand_made import Bench, make_bench

NUMBERS = [
    ("grid", "A", "here", "linear; E 8; F 0.5", 0.611, 0.012, ""),
    ("grid", "A", "here", "linear; E 8; F 1.0", 0.622, 0.013, ""),
    ("grid", "A", "far->here", "linear; E 8; F 0.5", 0.633, 0.014, ""),
    ("grid", "A", "far->here", "linear; E 8; F 1.0", 0.644, 0.015, ""),
    ("grid", "A", "unread", "linear; E 8; F 1.0", 0.655, 0.016, ""),
    ("grid", "B", "here", "linear; E 8; F 1.0", 0.666, 0.017, ""),
    ("grid", "B", "unread", "linear; E 8; F 1.0", 0.677, 0.018, ""),
    ("grid", "Scratch", "far->here", "linear; E 8; F 1.0", 0.688, 0.019, ""),
    ("cut", "Lost", "here", "linear; E 8; F 0.5", 0.699, "", ""),
    ("wider", "A", "here", "linear; E 16", 0.711, 0.021, ""),
    ("sides", "A", "here", "linear", 0.722, 0.022, "second-hand"),
    ("sides", "A", "here", "fine-tuned", 0.733, 0.023, "second-hand"),
]
HEAD = "paper,table,row,corpus,metric,setting,mean,std,seeds,split,note"

HERE = {"published": "here", "title": "Here", "corpus": "tiny", "task": "rhythm", "source": "", "records": 60}
TRANSFER = {
    **HERE,
    "published": "far->here",
    "title": "Far → Here",
    "source": "far",
    "pretraining_records": 60,
}
UNREAD = {"published": "unread", "title": "Unread", "reason": "Nobody reads it"}
STEPS = {"what": "steps", "path": "fit.budget.steps", "published": 100}
GRID = {
    "kind": "grid",
    "title": "Paper, Table 9 (linear)",
    "spread": "± as printed",
    "lead_set": "all-12",
    "dim": 8,
    "fractions": [0.5, 1.0],
    "sides": [{"setting": "linear; E 8"}],
    "columns": [HERE, TRANSFER, UNREAD],
    "checks": [STEPS],
    "rows": [
        {"row": "A", "label": "a", "footnotes": ["odd"], "cells": {"far->here": ["far"]}},
        {"row": "B", "label": "b", "also_differs": ["its views"]},
        {"row": "Scratch", "label": "scratch", "source": ""},
        {"row": "Unbuilt", "reason": "Nobody built it"},
    ],
    "controls": [{"row": "control", "label": "c"}, {"row": "absent control", "label": "d"}],
    "footnotes": {"odd": "An odd row", "far": "An odd number", "all": "On all"},
    "table_footnotes": ["all"],
}
LAYOUTS = {
    "cut": {
        **GRID,
        "title": "Paper, Table 1 (cut)",
        "view_of": "grid",
        "fractions": [0.5],
        "rows": [*GRID["rows"][:3], {"row": "Lost", "reason": "Its code is lost"}],
        "controls": [],
    },
    "grid": GRID,
    "wider": {
        "kind": "grid",
        "title": "Paper, Table 10 (wider)",
        "dim": 16,
        "sides": [{"setting": "linear; E 16"}],
        "columns": [HERE],
        "rows": [{"row": "A", "label": "a"}],
    },
    "sides": {
        "kind": "grid",
        "title": "Paper, main table (both)",
        "spread": "± as quoted",
        "provenance": "second-hand",
        "sides": [
            {"setting": "linear", "name": "linear", "checks": [STEPS]},
            {"setting": "fine-tuned", "name": "tuned", "checks": [{**STEPS, "published": 70}]},
        ],
        "columns": [{**HERE, "source": None}],
        "rows": [
            {"row": "A", "labels": {"linear": "a", "tuned": "b"}},
            {"row": "Unpublished", "label": "c", "labels": {"tuned": "nobody"}},
        ],
        "controls": [
            {"row": "one side", "labels": {"tuned": "scratch"}},
            {"row": "no side", "labels": {"tuned": "d"}},
        ],
    },
}


def write_paper(folder: Path, monkeypatch: Any) -> Path:
    """Make it the only paper there is; its folder."""
    folder = folder / "papers" / "paper"
    folder.mkdir(parents=True)
    lines = [HEAD]
    for table, row, corpus, setting, mean, std, note in NUMBERS:
        lines.append(f"paper,{table},{row},{corpus},macro_auroc,{setting},{mean},{std},5,test,{note}")
    (folder / "published.csv").write_text("\n".join(lines) + "\n")
    (folder / "tables.yaml").write_text(yaml.safe_dump(LAYOUTS, sort_keys=False))
    monkeypatch.setattr(module, "PAPERS", folder.parent)
    return folder


def relaid(folder: Path, **changes: Any) -> None:
    """Change the layout named 'grid'."""
    content = {**LAYOUTS, "grid": {**GRID, **changes}}
    (folder / "tables.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def real_bench(folder: Path, **suite: Any) -> Bench:
    """A bench of the paper on a real corpus at scale paper, encoder of length 8."""
    encoder = EncoderSpec(name="net_s", arguments={"dim": 8})
    plain = {"name": "paper", "scale": "paper", "label_fractions": (0.5, 1.0), "encoder": encoder}
    bench = make_bench(folder, **plain | suite)
    bench.corpus = replace(bench.corpus, name="tiny", simulated=False)
    bench.plan.corpora = dict.fromkeys(bench.plan.corpora, bench.corpus)
    return bench


def add(
    bench: Bench, label: str, fraction: float = 1.0, noise: float = 1.0, seeds: int = 2, **changes: Any
) -> None:
    """Finished evaluations of an entry."""
    for seed in range(seeds):
        row = bench.add(label, fraction, seed, **changes)
        bench.finish(row, bench.noisy(noise, seed + int(10 * fraction)))


def transferred(bench: Bench, label: str, source: PreparedCorpus, steps: int = 7) -> None:
    """One evaluation of an entry that starts from a fit of so many steps on another corpus."""
    row = bench.add(label, 1.0, 0, source=source.name)
    job = bench.plan.jobs[row.key]
    fit = bench.plan.jobs[row.fit_key].cell
    budget = fit.budget.model_copy(update={"steps": steps})
    first = fit.model_copy(update={"corpus": source.fingerprint, "budget": budget})
    fine = fit.model_copy(update={"parents": {"init": first.key()}, "task": "rhythm"})
    judged = job.cell.model_copy(update={"parents": {"fit": fine.key()}})
    bench.plan.jobs |= {cell.key(): replace(job, cell=cell) for cell in (first, fine, judged)}
    took = {"steps": steps, "views": 1, "lead_samples": 1, "flops": 1, "parameters": {"encoder": 1}}
    content = {
        "fit.json": {"cell": first.model_dump(mode="json"), **took},
        "provenance.json": {"seconds": 1.0, "peak_memory_mib": 1.0},
    }
    bench.store.commit(first.key(), {name: json.dumps(value).encode() for name, value in content.items()})
    bench.plan.corpora[f"{source.name}@50"] = source
    bench.plan.rows[-1] = replace(row, key=judged.key(), fit_key=fine.key())
    bench.finish(bench.plan.rows[-1], bench.noisy(1.0, 3))


def corpus(folder: Path, name: str, simulated: bool = False, records: int = 60) -> PreparedCorpus:
    """Another corpus."""
    return replace(tiny_corpus(folder, records, seed=1), name=name, simulated=simulated)


def tables_of(bench: Bench, setting: int = 0) -> dict[str, Table]:
    """Tables of one setting, by name."""
    summaries = summarise(build_frame(bench.plan, bench.store, 100), MetricViews(bench.store, 100))
    found = grid_tables(bench.plan, summaries[setting], bench.plan.suites[0])
    return {table.name: table for table in found}


def rows_of(table: Table, block: str = PUBLISHED) -> dict[tuple[Any, ...], Any]:
    """Data of a block's rows by row, column and label fraction."""
    return {
        (row.data["row"], row.data["published_on"], row.data.get("fraction")): row.data
        for row in table.rows
        if row.block == block
    }


def shown(table: Table, name: str, **data: Any) -> dict[str, Cell]:
    """What a row shows, by head."""
    fits = (r for r in table.rows if r.data["row"] == name and data.items() <= r.data.items())
    return dict(zip((column.head for column in table.columns), next(fits).cells, strict=True))


def notes_of(table: Table, cell: Cell) -> list[str]:
    """Texts of a cell's footnotes."""
    return [table.footnotes[number - 1] for number in cell.notes]
