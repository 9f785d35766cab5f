"""From the store to a results folder. The same store gives the same bytes; every file is replaced whole.

results/<real or simulated>/<scale>/<suite>/ holds one suite: its page, figures, scores, noisy scores, groups,
provenance, a folder a corpus with the tables. Real and simulated results never share a file.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, fields
from pathlib import Path

import pandas as pd

from bench.report.across import Across
from bench.report.board_data import Report, board_json
from bench.report.canvas import Figure
from bench.report.cells import cells_csv, crossed_csv, groups_csv, noise_csv
from bench.report.challenge_views import ChallengeViews
from bench.report.critical_difference import critical_difference_figure, without_critical_difference
from bench.report.embedding_map import embedding_maps
from bench.report.figures import label_efficiency, transfer_efficiency
from bench.report.files import replace_file
from bench.report.frame import build_crossed_frame, build_frame, build_noise_frame
from bench.report.fresh import fresh, remember, report_hash
from bench.report.frontier_figure import frontier_figure
from bench.report.group_figures import group_figures
from bench.report.group_summary import build_group_frame, summarise_groups
from bench.report.group_views import GroupViews
from bench.report.latex import to_latex
from bench.report.noise import Noise, summarise_noise
from bench.report.noise_figure import noise_robustness
from bench.report.provenance import provenance
from bench.report.rank_figures import ranks_figure
from bench.report.sections import by_setting, described, section
from bench.report.spread import crossed_by_setting
from bench.report.summary import HasSetting, Setting, Summary, names, summarise
from bench.report.table import to_csv, to_markdown
from bench.report.transfer_figure import transfer_matrices
from bench.report.views import MetricViews, ReportError
from bench.run.plan import Plan, Row
from bench.run.store import Store
from bench.run.suite import Suite

_PLANNED = (*(field.name for field in fields(Row)), "status")
_FILES = "files.txt"
"""Lists what a report wrote into a suite's folder, so that the next one can remove what it no longer writes."""

_MARKS = ("board.csv", "table1.csv", "no_result.csv")  # a folder with one of them holds tables of a report


_BUILD = (build_frame, build_noise_frame, build_crossed_frame, build_group_frame)


@dataclass(frozen=True)
class _Frames:
    """All that the store holds: scores, scores under noise, scores with other seeds' label subsets, groupings."""

    scores: pd.DataFrame
    noisy: pd.DataFrame
    crossed: pd.DataFrame
    groups: pd.DataFrame

    def of(self, place: tuple[str, str, bool]) -> "_Frames":
        """Rows of one results folder: suite, scale, simulated."""
        name, scale, simulated = place
        own = [
            frame[(frame["suite"] == name) & (frame["scale"] == scale) & (frame["simulated"] == simulated)]
            for frame in (self.scores, self.noisy, self.crossed, self.groups)
        ]
        return _Frames(*own)

    def planned(self) -> pd.DataFrame:
        """What was asked for, with its status."""
        every = (self.scores, self.groups, self.noisy, self.crossed)
        return pd.concat([frame[[*_PLANNED]] for frame in every if len(frame)])

    def csvs(self) -> Iterator[tuple[str, bytes]]:
        """Name and content of a file for each that holds anything."""
        named = (
            ("cells", self.scores, cells_csv),
            ("noise", self.noisy, noise_csv),
            ("crossed", self.crossed, crossed_csv),
            ("groups", self.groups, groups_csv),
        )
        for name, frame, write in named:
            if len(frame):
                yield f"{name}.csv", write(frame).encode()


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
    frames: list[_Frames] = []  # made when the first suite needs them
    written = []
    for place in dict.fromkeys(_place(row) for row in plan.rows):
        name, scale, simulated = place
        suite = next(suite for suite in plan.suites if (suite.name, suite.scale) == (name, scale))
        kind = "simulated" if simulated else "real"
        folder, called = results / kind / scale / name, f"{kind}-{scale}-{name}"
        told = report_hash(plan, store, suite, (row for row in plan.rows if _place(row) == place), resamples)
        own = fresh(store, called, told, folder)
        if own is None:
            frames = frames or [_Frames(*(build(plan, store, resamples) for build in _BUILD))]
            hashes = _write_suite(folder, _suite_files(plan, store, suite, frames[0].of(place), resamples))
            remember(store, called, told, hashes)
            own = list(hashes)
        written += [folder / relative for relative in own]
        _remove_stale(folder, {path.parent for path in written})
    return written


def _place(row: Row) -> tuple[str, str, bool]:
    return row.suite, row.scale, row.simulated


def _write_suite(folder: Path, files: Iterator[tuple[str, bytes]]) -> dict[str, str]:
    """Write the files of one suite, remove what an earlier report wrote and this one does not; hashes by name."""
    earlier, own = _listed(folder), dict[str, str]()
    for relative, content in files:
        if relative in own:
            raise ReportError(f"two tables or figures of {folder} would both be {relative}")
        replace_file(folder / relative, content)
        own[relative] = hashlib.sha256(content).hexdigest()
    replace_file(folder / _FILES, "".join(f"{name}\n" for name in sorted(own)).encode())
    for relative in earlier - set(own):
        (folder / relative).unlink(missing_ok=True)
    return own


def _listed(folder: Path) -> set[str]:
    """What an earlier report wrote here, by its own list; names that lead elsewhere are not believed."""
    if not (folder / _FILES).is_file():
        return set()
    names = (folder / _FILES).read_text().splitlines()
    return {name for name in names if (folder / name).resolve().is_relative_to(folder.resolve())}


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
    plan: Plan, store: Store, suite: Suite, frames: _Frames, resamples: int
) -> Iterator[tuple[str, bytes]]:
    """Relative path and content of every file of one suite."""
    views, challenge = MetricViews(store, resamples), ChallengeViews(plan, store, resamples)
    summaries = [described(plan, suite, one) for one in summarise(frames.scores, views)]
    noises = summarise_noise(frames.noisy, summaries, views)
    grouped = [
        described(plan, suite, g) for g in summarise_groups(frames.groups, GroupViews(store, resamples))
    ]
    crossed = crossed_by_setting(frames.crossed)
    shown = [one for one in by_setting(summaries, grouped, noises, crossed) if _trained_so(one.setting)]
    sections = [
        section(plan, suite, one, name, challenge) for one, name in zip(shown, names(shown), strict=True)
    ]
    across = Across(plan, suite, summaries, views, challenge)
    own = {one.setting: folder for one, folder in zip(shown, folders(shown), strict=True)}
    filed = [*across.sections(), *zip(own.values(), sections, strict=True)]
    for folder, one in filed:
        for table in (*one.tables, *one.details):
            yield f"{folder}/{table.name}.csv", to_csv(table).encode()
            yield f"{folder}/{table.name}.md", to_markdown(table).encode()
            yield f"{folder}/{table.name}.tex", to_latex(table).encode()
    planned = frames.planned()
    drawn, undrawn = group_figures(plan, store, suite, bool(planned["simulated"].iloc[0]))
    maps, unmapped = ([], []) if suite.paper else embedding_maps(plan, store, suite, summaries)
    undrawn = [*undrawn, *unmapped, *([] if suite.paper else without_critical_difference(across.overall))]
    curves = [*_curves(summaries, noises, suite), *across.figures(), *maps]
    figures = [*_of_ranks(summaries, across, suite), *curves, *transfer_matrices(summaries, suite), *drawn]
    for figure in figures:
        yield f"{figure.name}.svg", figure.svg
        yield f"{figure.name}.png", figure.png
    origin = provenance(plan, store, planned, resamples)
    yield from frames.csvs()
    yield "provenance.json", (json.dumps(origin, indent=1) + "\n").encode()
    places = [own.get(summary.setting, "") for summary in summaries]
    report = Report(suite, summaries, places, filed, figures, undrawn, origin, across.overall)
    yield "board.json", board_json(report, store)


def _trained_so(setting: Setting) -> bool:
    """Was it trained on the leads it is evaluated with? What was not stands in the table of lead sets."""
    return setting.lead_set == setting.eval_lead_set


def _curves(summaries: Sequence[Summary], noises: Sequence[Noise], suite: Suite) -> list[Figure]:
    """Those of the figures of lines for which there is anything to draw."""
    drawn = (
        label_efficiency(summaries, suite),
        transfer_efficiency(summaries, suite),
        noise_robustness(noises, summaries, suite),
    )
    return [figure for figure in drawn if figure]


def _of_ranks(summaries: Sequence[Summary], across: Across, suite: Suite) -> list[Figure]:
    """What tells the strategies of our own suites apart; a paper has its own figures."""
    if suite.paper:
        return []
    drawn = (
        ranks_figure(summaries, suite),
        critical_difference_figure(across.overall, summaries, suite),
        frontier_figure(summaries, suite),
    )
    return [figure for figure in drawn if figure]


def folders(summaries: Sequence[HasSetting]) -> list[str]:
    """A folder name a setting: its corpus where that is enough, else its whole name."""
    corpora = [summary.setting.corpus for summary in summaries]
    plain_names = corpora if len(set(corpora)) == len(corpora) else names(summaries)
    return [re.sub(r"[^\w.-]+", "-", name).strip("-") for name in plain_names]
