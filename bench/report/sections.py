"""What a page and a results folder show of one setting: which tables stand in full, and which are folded."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.report.board import Section
from bench.report.challenge import challenge_table
from bench.report.challenge_views import ChallengeViews
from bench.report.details import classes, comparisons, cost, methods, no_result
from bench.report.group_summary import AnySummary, GroupSummary
from bench.report.group_tables import group_tables
from bench.report.noise import Noise, noise_table
from bench.report.paper_group_tables import paper_group_tables
from bench.report.paper_tables import corpus_of, paper_tables, use_of
from bench.report.summary import Setting, Summary
from bench.report.table import Table
from bench.report.tables import board, selection
from bench.report.transfer import leak_table, transfer_table
from bench.report.words import titles
from bench.run.plan import Plan
from bench.run.suite import Suite

_IN_FULL = ("clustering_class", "retrieval")  # of our tables of groupings, where nothing is scored


@dataclass(frozen=True)
class Shown:
    """All results of one setting: scores, clean and noisy, groupings, or both."""

    scores: Summary | None
    groups: GroupSummary | None
    noise: Noise | None = None

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
    plan: Plan,
    suite: Suite,
    scores: Sequence[Summary],
    groups: Sequence[GroupSummary],
    noises: Sequence[Noise] = (),
) -> list[Shown]:
    """Scores and groupings of each setting side by side, in the plan's order.

    Summaries leave here knowing whether their corpus's measurements were computed, and by what.
    """
    scored = {summary.setting: replace(summary, measured=_source(plan, suite, summary)) for summary in scores}
    grouped = {
        summary.setting: replace(summary, measured=_source(plan, suite, summary)) for summary in groups
    }
    noisy = {noise.setting: replace(noise, summary=scored[noise.setting]) for noise in noises}
    return [
        Shown(scored.get(setting), grouped.get(setting), noisy.get(setting)) for setting in scored | grouped
    ]


def _source(plan: Plan, suite: Suite, summary: AnySummary) -> str:
    return str(corpus_of(plan, suite, summary.setting).facts.get("measured", ""))


def section(plan: Plan, suite: Suite, shown: Shown, name: str, views: ChallengeViews) -> Section:
    """A paper's suite shows the paper's tables first, ours folded; any other suite shows ours.

    Args:
        name: of the setting.
    """
    here = suite.on(use_of(plan, suite, shown.setting))
    ours, details = _score_tables(shown, here, views)
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
    tables = tuple(full), (*folded, *everywhere)
    return Section(name, shown.setting.simulated, titles(shown.any.entries), *tables)


def _score_tables(shown: Shown, suite: Suite, views: ChallengeViews) -> tuple[list[Table], list[Table]]:
    """The board with what is asked beside it, and what stands behind it."""
    summary, resamples = shown.scores, views.resamples
    if summary is None:
        return [], []
    full = [board(summary, suite, resamples, shown.groups), challenge_table(summary, views, suite)]
    full.append(transfer_table(summary, suite, resamples))
    full.append(leak_table(summary, suite, resamples))
    full.append(noise_table(shown.noise, suite, resamples) if shown.noise else None)
    by_class = classes(summary, suite)
    details = [cost(summary, suite), *([by_class] if by_class else [])]
    if len(summary.fractions) > 1 and "patients" in summary.fractions_by:
        details.append(selection(summary, suite))
    details.append(comparisons(summary, suite, resamples))
    return [table for table in full if table], details
