"""From the store to a results folder. The same store gives the same bytes; every file is replaced whole.

results/<real or simulated>/<scale>/<suite>/ holds one suite: its page, figures, scores, groups, provenance, a folder a
corpus with the tables. Real and simulated results never share a file.
"""

import json
import re
import uuid
from collections.abc import Iterator, Sequence, Set
from dataclasses import fields
from pathlib import Path

import pandas as pd

from bench.report.board import page
from bench.report.cells import cells_csv, groups_csv
from bench.report.figures import label_efficiency
from bench.report.frame import build_frame
from bench.report.group_figures import group_figures
from bench.report.group_summary import build_group_frame, summarise_groups
from bench.report.group_views import GroupViews
from bench.report.latex import to_latex
from bench.report.provenance import provenance
from bench.report.sections import by_setting, section
from bench.report.summary import HasSetting, names, summarise
from bench.report.table import to_csv, to_markdown
from bench.report.views import MetricViews
from bench.run.plan import Plan, Row
from bench.run.store import Store
from bench.run.suite import Suite

_PLANNED = (*(field.name for field in fields(Row)), "status")
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
    frame, groups = build_frame(plan, store, resamples), build_group_frame(plan, store, resamples)
    written = []
    for place in dict.fromkeys((row.suite, row.scale, row.simulated) for row in plan.rows):
        name, scale, simulated = place
        suite = next(suite for suite in plan.suites if (suite.name, suite.scale) == (name, scale))
        folder = results / ("simulated" if simulated else "real") / scale / name
        own = _of(frame, place), _of(groups, place)
        for relative, content in _suite_files(plan, store, suite, *own, resamples):
            _replace(folder / relative, content)
            written.append(folder / relative)
        _remove_stale(folder, {path.parent for path in written})
    return written


def _of(frame: pd.DataFrame, place: tuple[str, str, bool]) -> pd.DataFrame:
    """Rows of one results folder: suite, scale, simulated."""
    name, scale, simulated = place
    return frame[(frame["suite"] == name) & (frame["scale"] == scale) & (frame["simulated"] == simulated)]


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
    plan: Plan, store: Store, suite: Suite, rows: pd.DataFrame, groups: pd.DataFrame, resamples: int
) -> Iterator[tuple[str, bytes]]:
    """Relative path and content of every file of one suite."""
    summaries = summarise(rows, MetricViews(store, resamples))
    shown = by_setting(plan, suite, summaries, summarise_groups(groups, GroupViews(store, resamples)))
    sections = [
        section(plan, suite, one, name, resamples) for one, name in zip(shown, names(shown), strict=True)
    ]
    for one, folder in zip(sections, folders(shown), strict=True):
        for table in (*one.tables, *one.details):
            yield f"{folder}/{table.name}.csv", to_csv(table).encode()
            yield f"{folder}/{table.name}.md", to_markdown(table).encode()
            yield f"{folder}/{table.name}.tex", to_latex(table).encode()
    simulated = bool([*rows["simulated"], *groups["simulated"]][0])
    drawn, undrawn = group_figures(plan, store, suite, simulated)
    efficiency = label_efficiency(summaries)
    figures = [*([efficiency] if efficiency else []), *drawn]
    for figure in figures:
        yield f"{figure.name}.svg", figure.svg
        yield f"{figure.name}.png", figure.png
    planned = pd.concat([part[[*_PLANNED]] for part in (rows, groups) if len(part)])
    origin = provenance(plan, store, planned, resamples)
    if len(rows):
        yield "cells.csv", cells_csv(rows).encode()
    if len(groups):
        yield "groups.csv", groups_csv(groups).encode()
    yield "provenance.json", (json.dumps(origin, indent=1) + "\n").encode()
    yield "board.html", page(suite, sections, figures, origin, undrawn).encode()


def folders(summaries: Sequence[HasSetting]) -> list[str]:
    """A folder name a setting: its corpus where that is enough, else its whole name."""
    corpora = [summary.setting.corpus for summary in summaries]
    plain_names = corpora if len(set(corpora)) == len(corpora) else names(summaries)
    return [re.sub(r"[^\w.-]+", "-", name) for name in plain_names]


def _replace(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        aside.write_bytes(content)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
