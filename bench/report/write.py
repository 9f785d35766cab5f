"""From the store to a results folder. The same store gives the same bytes; every file is replaced whole.

results/<real or simulated>/<scale>/<suite>/ holds one suite: its page, figures, scores, provenance, and a folder a
corpus with the tables. Real and simulated results never share a file.
"""

import json
import re
import uuid
from collections.abc import Iterator, Sequence, Set
from dataclasses import replace
from pathlib import Path

import pandas as pd

from bench.report.board import Section, page
from bench.report.details import classes, comparisons, cost, methods, no_result
from bench.report.figures import label_efficiency
from bench.report.frame import HEADLINE, build_frame
from bench.report.latex import to_latex
from bench.report.paper_tables import corpus_of, paper_tables
from bench.report.provenance import provenance
from bench.report.summary import Summary, names, summarise
from bench.report.table import Table, to_csv, to_markdown
from bench.report.tables import board, selection
from bench.report.views import MetricViews
from bench.report.words import titles
from bench.run.plan import Plan
from bench.run.store import Store
from bench.run.suite import Suite

_CELL_COLUMNS = (
    *("suite", "scale", "corpus", "simulated", "task", "split", "encoder", "lead_set", "eval_lead_set"),
    *(
        "label",
        "strategy_title",
        "strategy",
        "recipe",
        "origin",
        "fraction",
        "seed_index",
        "selection",
        "part",
        "n",
        "kept",
        "total",
    ),
    *("status", "reason", "seconds", "steps", "views", "lead_samples", "parameters", "key"),
)


_MARKS = ("board.csv", "table1.csv", "no_result.csv")  # a folder with one of them holds tables of a report


def write_report(plan: Plan, store: Store, results: Path, resamples: int = 1000) -> list[Path]:
    """Write every table, figure and page of a plan; trains nothing. Tables of settings no longer in it go.

    Args:
        results: the folder below which suites get theirs; files of other suites stay as they are.
        resamples: of the bootstrap over test patients.

    Returns:
        The files, in the order written.

    Raises:
        ReportError: the store holds results that cannot be compared.
    """
    views = MetricViews(store, resamples)
    frame = build_frame(plan, store, resamples)
    written = []
    for (name, scale, simulated), rows in frame.groupby(["suite", "scale", "simulated"], sort=False):
        suite = next(suite for suite in plan.suites if (suite.name, suite.scale) == (name, scale))
        folder = results / ("simulated" if simulated else "real") / str(scale) / str(name)
        for relative, content in _suite_files(plan, store, views, suite, rows):
            _replace(folder / relative, content)
            written.append(folder / relative)
        _remove_stale(folder, {path.parent for path in written})
    return written


def _remove_stale(folder: Path, fresh: Set[Path]) -> None:
    """Remove the tables of settings that an earlier report wrote below a suite's folder; nothing else."""
    for old in sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()):
        if old in fresh or not any((old / mark).is_file() for mark in _MARKS):
            continue
        for path in old.iterdir():
            if path.is_file() and path.suffix in (".csv", ".md", ".tex"):
                path.unlink()
        if not any(old.iterdir()):
            old.rmdir()


def _suite_files(
    plan: Plan, store: Store, views: MetricViews, suite: Suite, rows: pd.DataFrame
) -> Iterator[tuple[str, bytes]]:
    """Relative path and content of every file of one suite."""
    summaries = [_with_source(plan, suite, summary) for summary in summarise(rows, views)]
    named = zip(summaries, names(summaries), strict=True)
    sections = [_section(plan, suite, summary, name, views.resamples) for summary, name in named]
    for section, folder in zip(sections, folders(summaries), strict=True):
        for table in (*section.tables, *section.details):
            yield f"{folder}/{table.name}.csv", to_csv(table).encode()
            yield f"{folder}/{table.name}.md", to_markdown(table).encode()
            yield f"{folder}/{table.name}.tex", to_latex(table).encode()
    figure = label_efficiency(summaries)
    if figure:
        yield f"{figure.name}.svg", figure.svg
        yield f"{figure.name}.png", figure.png
    origin = provenance(plan, store, rows, views.resamples)
    yield "cells.csv", cells_csv(rows).encode()
    yield "provenance.json", (json.dumps(origin, indent=1) + "\n").encode()
    yield "board.html", page(suite, sections, [figure] if figure else [], origin).encode()


def _with_source(plan: Plan, suite: Suite, summary: Summary) -> Summary:
    """A summary that knows whether its corpus's measurements were computed, and by what."""
    return replace(summary, measured=str(corpus_of(plan, suite, summary.setting).facts.get("measured", "")))


def _section(plan: Plan, suite: Suite, summary: Summary, name: str, resamples: int) -> Section:
    """A paper's suite shows the paper's tables first, with our board folded; any other suite shows the board."""
    paper = paper_tables(plan, summary, suite)
    ours = board(summary, suite, resamples)
    by_class = classes(summary, suite)
    details: list[Table] = [
        *([ours] if paper else []),
        cost(summary, suite),
        *([by_class] if by_class else []),
    ]
    details += [selection(summary, suite)] if len(summary.fractions) > 1 else []
    details += [comparisons(summary, suite, resamples), methods(summary, suite)]
    details += [no_result(summary, suite)]
    shown = tuple(paper) or (ours,)
    return Section(name, summary.setting.simulated, titles(summary.entries), shown, tuple(details))


def folders(summaries: Sequence[Summary]) -> list[str]:
    """A folder name a setting: its corpus where that is enough, else its whole name."""
    corpora = [summary.setting.corpus for summary in summaries]
    plain_names = corpora if len(set(corpora)) == len(corpora) else names(summaries)
    return [re.sub(r"[^\w.-]+", "-", name) for name in plain_names]


def cells_csv(rows: pd.DataFrame) -> str:
    """Every cell, selection and part with its metrics over all classes, one a line."""
    shown = rows[~rows["metric"].str.contains("/", regex=False)].reset_index(drop=True)
    starts = (
        shown["metric"] == HEADLINE
    ).cumsum()  # the headline is the first metric of a cell, selection and part
    wide = shown.assign(place=starts).pivot(index="place", columns="metric", values="value")
    lines = shown[shown["metric"] == HEADLINE].set_axis(wide.index)
    others = sorted(set(wide.columns) - {HEADLINE})
    described = lines[[*_CELL_COLUMNS]].rename(columns={"strategy_title": "title"})
    table = pd.concat([described, wide[HEADLINE], lines[["low", "high"]], wide[others]], axis=1)
    counts = dict.fromkeys(("n", "kept", "total", "steps", "views", "lead_samples", "parameters"), "Int64")
    return str(table.round(6).astype(counts).to_csv(index=False, lineterminator="\n"))


def _replace(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        aside.write_bytes(content)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
