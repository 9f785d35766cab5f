"""What a page and a results folder show of one setting: which tables stand in full, and which are folded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import pandas as pd

from bench.report.challenge import challenge_table
from bench.report.challenge_views import ChallengeViews
from bench.report.details import classes, comparisons, cost, methods, no_result
from bench.report.frontier import frontier_table
from bench.report.group_summary import AnySummary, GroupSummary
from bench.report.group_tables import group_tables
from bench.report.health import health_table
from bench.report.noise import Noise, noise_table
from bench.report.paper_group_tables import paper_group_tables
from bench.report.paper_tables import corpus_of, paper_tables, use_of
from bench.report.savings import labelled_records, savings_table
from bench.report.spread import spread_table
from bench.report.subgroup_views import SubgroupViews
from bench.report.subgroups import subgroup_table
from bench.report.summary import Setting, Summary
from bench.report.table import Table
from bench.report.tables import board, selection
from bench.report.transfer import leak_table, transfer_table
from bench.report.words import titles
from bench.run.plan import Plan
from bench.run.suite import Suite

_S = TypeVar("_S", Summary, GroupSummary)

_IN_FULL = ("clustering_class", "retrieval")  # of our tables of groupings, where nothing is scored


@dataclass(frozen=True)
class Section:
    """One setting on the page.

    Attributes:
        name: of the setting.
        titles: of its rows by label.
        tables: shown in full; details: shown folded.
    """

    name: str
    simulated: bool
    titles: Mapping[str, str]
    tables: tuple[Table, ...]
    details: tuple[Table, ...]


@dataclass(frozen=True)
class Shown:
    """All results of one setting: scores, clean and noisy and with other seeds' label subsets, groupings, or both."""

    scores: Summary | None
    groups: GroupSummary | None
    noise: Noise | None = None
    crossed: pd.DataFrame | None = None

    @property
    def any(self) -> AnySummary:
        """The scores where there are some."""
        found = self.scores or self.groups
        if found is None:
            raise ValueError("a setting without any result is none")
        return found

    @property
    def setting(self) -> Setting:
        """What every number has in common."""
        return self.any.setting


def by_setting(
    scores: Sequence[Summary],
    groups: Sequence[GroupSummary],
    noises: Sequence[Noise] = (),
    crossed: Mapping[Setting, pd.DataFrame] | None = None,
) -> list[Shown]:
    """Scores and groupings of each setting side by side, in the plan's order."""
    subsets = crossed or {}
    scored = {summary.setting: summary for summary in scores}
    grouped = {summary.setting: summary for summary in groups}
    noisy = {noise.setting: replace(noise, summary=scored[noise.setting]) for noise in noises}
    return [
        Shown(scored.get(setting), grouped.get(setting), noisy.get(setting), subsets.get(setting))
        for setting in scored | grouped
    ]


def described(plan: Plan, suite: Suite, summary: _S) -> _S:
    """A summary that knows what computed its corpus's measurements, and the corpus's licence and citation."""
    corpus = corpus_of(plan, suite, summary.setting)
    licence = f"licence {corpus.licence}" if corpus.licence else ""
    told = "; ".join(filter(None, [licence, corpus.citation]))
    terms = f"Corpus: {told.rstrip('.')}." if told else ""
    return replace(summary, measured=str(corpus.facts.get("measured", "")), terms=terms)


def section(plan: Plan, suite: Suite, shown: Shown, name: str, views: ChallengeViews) -> Section:
    """A paper's suite shows the paper's tables first, ours folded; any other suite shows ours.

    Args:
        name: of the setting.
    """
    here = suite.on(use_of(plan, suite, shown.setting))
    ours, details = _score_tables(plan, shown, here, views)
    grouped = group_tables(shown.groups, here) if shown.groups else []
    if shown.scores is None:
        ours = [table for table in grouped if table.name in _IN_FULL]
    details = [*(table for table in grouped if table not in ours), *details]
    paper = [*(paper_tables(plan, shown.scores, suite) if shown.scores else [])]
    paper += paper_group_tables(plan, shown.groups, suite) if shown.groups else []
    full, folded = (paper, [*ours, *details]) if paper else (ours, details)
    everywhere = [
        methods(shown.any, here),
        no_result(shown.any, here, shown.groups if shown.scores else None),
    ]
    if shown.scores is None:
        everywhere.insert(0, cost(shown.any, here))
        found = health_table(shown.any, here, views.store)
        everywhere += [found] if found else []
    tables = tuple(full), (*folded, *everywhere)
    return Section(name, shown.setting.simulated, titles(shown.any.entries), *tables)


def _score_tables(
    plan: Plan, shown: Shown, suite: Suite, views: ChallengeViews
) -> tuple[list[Table], list[Table]]:
    """The board with what is asked beside it, and what stands behind it."""
    summary, resamples = shown.scores, views.resamples
    if summary is None:
        return [], []
    full = [board(summary, suite, resamples, shown.groups), challenge_table(summary, views, suite)]
    full.append(transfer_table(summary, suite, resamples))
    full.append(leak_table(summary, suite, resamples))
    full.append(noise_table(shown.noise, suite, resamples) if shown.noise else None)
    full.append(savings_table(summary, suite, resamples, labelled_records(plan, summary)))
    full.append(frontier_table(summary, suite, resamples))
    if not suite.paper:
        full.append(subgroup_table(summary, suite, SubgroupViews(plan, views.store, resamples)))
    by_class = classes(summary, suite)
    behind = [
        cost(summary, suite),
        by_class,
        spread_table(summary, shown.crossed, suite) if shown.crossed is not None else None,
        health_table(summary, suite, views.store),
    ]
    details = [table for table in behind if table]
    if len(summary.fractions) > 1 and "patients" in summary.fractions_by:
        details.append(selection(summary, suite))
    details.append(comparisons(summary, suite, resamples))
    return [table for table in full if table], details
