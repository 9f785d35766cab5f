"""What a suite shows across its settings: a paper's tables whose rows lie on several lead sets, and what leads cost."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from bench.report.canvas import Figure
from bench.report.challenge import challenge_summaries
from bench.report.challenge_views import RULES, ChallengeViews, Rule
from bench.report.figures import label_efficiency
from bench.report.leads import by_leads, leads_table
from bench.report.leads_figure import lead_sets_figure
from bench.report.overall import Overall, blocks_of, overall
from bench.report.overall_table import overall_table
from bench.report.paper_settings import settings_tables
from bench.report.sections import Section
from bench.report.summary import Summary
from bench.report.table import Table
from bench.report.transforms_figure import transforms_figure
from bench.report.views import MetricViews
from bench.report.words import titles
from bench.run.plan import Plan
from bench.run.suite import Suite

Place = tuple[str, str, str]
"""Corpus, task, encoder."""


@dataclass(frozen=True)
class Across:
    """All settings of one suite, real or simulated.

    Attributes:
        summaries: in macro AUROC, one a setting.
        views, challenge: where further numbers are.
    """

    plan: Plan
    suite: Suite
    summaries: Sequence[Summary]
    views: MetricViews
    challenge: ChallengeViews

    @cached_property
    def overall(self) -> list[Overall]:
        """Statistics over all corpora, one a group of settings that can be averaged."""
        return overall(self.summaries, self.suite)

    def sections(self) -> Iterator[tuple[str, Section]]:
        """Folder and section of all corpora together, and of all that has the same corpus, task and encoder."""
        yield from self._of_all_corpora()
        tables = [*self._of_the_paper(), *self._of_leads()]
        places = list(dict.fromkeys(_place(table) for table in tables))
        for place in places:
            own = tuple(table for table in tables if _place(table) == place)
            here = [summary for summary in self.summaries if summary.setting.corpus == place[0]]
            titled = titles([entry for summary in here for entry in summary.entries])
            name = place_name(place, places)
            folder = re.sub(r"[^\w.-]+", "-", name).strip("-")
            yield folder, Section(f"{name}, all lead sets", here[0].setting.simulated, titled, own, ())

    def figures(self) -> list[Figure]:
        """By lead set, and the Challenge metric by label fraction; the transformations of a paper's figure."""
        known = self._under("known")
        simulated = self.summaries[0].setting.simulated if self.summaries else None
        drawn = (
            lead_sets_figure(self.summaries, self.suite),
            lead_sets_figure(known, self.suite) if known else None,
            label_efficiency(known, self.suite) if known else None,
            transforms_figure(self.plan, self.suite, simulated),
        )
        return [figure for figure in drawn if figure]

    def _of_all_corpora(self) -> Iterator[tuple[str, Section]]:
        for place, one in enumerate(self.overall):
            table = overall_table(one, self.summaries, self.suite, self.challenge.resamples)
            blocks = blocks_of(one, self.summaries)
            titled = titles([entry for summary in blocks for entry in summary.entries])
            more = f"-{place + 1}" if place else ""
            simulated = blocks[0].setting.simulated
            yield f"all-corpora{more}", Section("All corpora", simulated, titled, (table,), ())

    def _under(self, rule: Rule) -> list[Summary]:
        return challenge_summaries(self.summaries, self.challenge, rule)

    def _of_the_paper(self) -> list[Table]:
        by_rule = {rule: self._under(rule) for rule in RULES}
        resamples = self.challenge.resamples
        return settings_tables(self.plan, self.summaries, by_rule, self.suite, self.views, resamples)

    def _of_leads(self) -> list[Table]:
        groups = [*by_leads(self.summaries), *by_leads(self._under("known"))]
        found = (leads_table(group, self.suite, self.challenge.resamples) for group in groups)
        return [table for table in found if table]


def place_name(place: Place, places: Sequence[Place]) -> str:
    """The corpus; with task and encoder where it has several of them among the places."""
    here = [other for other in places if other[0] == place[0]]
    return ", ".join(
        place[axis] for axis in range(3) if axis == 0 or len({other[axis] for other in here}) > 1
    )


def _place(table: Table) -> Place:
    """Corpus, task and encoder that a table is about."""
    corpus, task, encoder = (str(table.context[name]) for name in ("corpus", "task", "encoder"))
    return corpus, task, encoder
