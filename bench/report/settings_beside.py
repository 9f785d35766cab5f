"""What stands in a published table over settings: every published number, ours beside it, and what a row gains.

A number of ours is found by lead sets, label, label fraction, part and decision rule, wherever the run has it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from bench.data.corpus import PreparedCorpus
from bench.report import words
from bench.report.challenge import METRIC
from bench.report.challenge_views import ChallengeViews, Rule
from bench.report.frame import HEADLINE
from bench.report.layout import LayoutRow, SettingsLayout, SettingsRow
from bench.report.paper_common import base_name, corpus_of, score_facts, use_of
from bench.report.published import Number, Verdict, judge
from bench.report.stats import LEVEL, Difference, over_seeds
from bench.report.summary import Entry, Score, Setting, Summary
from bench.report.table import Footnotes
from bench.report.views import MetricViews
from bench.run.plan import Plan
from bench.run.suite import Suite

Leads = tuple[str, str]
"""Lead sets trained and evaluated."""


@dataclass(frozen=True)
class PartDraws:
    """Resamples of a part that is not the test part."""

    views: MetricViews
    part: str

    def draws(self, key: str, selection: str) -> np.ndarray:
        """(B,) of a cell."""
        return self.views.draws_of_part(key, selection, self.part)


def on_part(summary: Summary, score: Score, part: str, views: MetricViews) -> Score | None:
    """The macro AUROC of the same cells on another part; None where any of them does not hold it."""
    rows = summary.rows
    rows = rows[(rows["metric"] == HEADLINE) & (rows["part"] == part)]
    rows = rows[rows["selection"] == score.selection].drop_duplicates("key").set_index("key")
    if not set(score.keys) <= set(rows.index):
        return None
    own = rows.loc[list(score.keys)]
    seeds = over_seeds(own["value"].tolist(), own["digest"].tolist())
    return replace(score, seeds=seeds, views=PartDraws(views, part))


@dataclass(frozen=True)
class Place:
    """One table of a paper on one corpus, with every lead set that the run has there.

    Attributes:
        suite: as it runs on this corpus.
        summaries: by lead sets; challenge: the same with the Challenge metric under each rule.
        numbers: published, by name of the row.
        notes: of the table.
    """

    name: str
    layout: SettingsLayout
    plan: Plan
    suite: Suite
    corpus: PreparedCorpus
    summaries: Mapping[Leads, Summary]
    challenge: Mapping[Rule, Mapping[Leads, Summary]]
    views: MetricViews
    numbers: Mapping[str, Number]
    notes: Footnotes

    @cached_property
    def rows(self) -> dict[str, "Beside"]:
        """Every row of the layout by its name, controls last; of these only what the run asked for."""
        controls = [Beside(self, row) for row in self.layout.controls]
        every = [Beside(self, row) for row in self.layout.rows] + [own for own in controls if own.asked]
        return {own.row.row: own for own in every}


def places(
    name: str,
    layout: SettingsLayout,
    numbers: Mapping[str, Number],
    plan: Plan,
    summaries: Sequence[Summary],
    challenge: Mapping[Rule, Sequence[Summary]],
    suite: Suite,
    views: MetricViews,
) -> Iterator[Place]:
    """A table on every corpus that it is about, real or simulated, with a row of its own there."""
    by_rule = {rule: _by_setting(found) for rule, found in challenge.items()}
    for setting, own in _by_setting(summaries).items():
        if (base_name(setting.corpus), setting.task) != (layout.corpus, layout.task):
            continue
        one = next(iter(own.values())).setting
        here, corpus = suite.on(use_of(plan, suite, one)), corpus_of(plan, suite, one)
        scores = {rule: found.get(setting, {}) for rule, found in by_rule.items()}
        place = Place(name, layout, plan, here, corpus, own, scores, views, numbers, Footnotes())
        if any(beside.entry for beside in place.rows.values()):
            yield place


def _by_setting(summaries: Sequence[Summary]) -> dict[Setting, dict[Leads, Summary]]:
    """Summaries by lead sets, by what else they have in common."""
    found: dict[Setting, dict[Leads, Summary]] = {}
    for summary in summaries:
        setting = summary.setting
        common = replace(setting, lead_set="", eval_lead_set="")
        found.setdefault(common, {})[setting.lead_set, setting.eval_lead_set] = summary
    return found


@dataclass(frozen=True)
class Gain:
    """A row minus the row that it is compared with.

    Attributes:
        published: in the metric's own unit; None where one of the two is not.
        ours: paired, on the same records; None where one has no result.
        by_seed: ours, of each seed index that both have.
        comparable: both of ours can be held against their published numbers.
    """

    minus: str
    published: float | None
    ours: Difference | None
    by_seed: tuple[float, ...]
    comparable: bool

    @property
    def above(self) -> int:
        """Seed indices with a gain above 0."""
        return sum(gain > 0 for gain in self.by_seed)

    def holds(self, p: float | None) -> str:
        """Whether ours bears out a published gain; '' where there is nothing to bear out, or by nothing.

        Args:
            p: of ours, corrected for the number of gains.
        """
        if not (self.comparable and self.ours and self.published) or p is None:
            return ""
        if p > 1 - LEVEL:
            return "not told from 0"
        return "yes" if self.ours.value * self.published > 0 else "reversed"


@dataclass(frozen=True)
class Beside:
    """One row of a layout, and ours beside it; either number may be missing."""

    place: Place
    row: SettingsRow

    @cached_property
    def number(self) -> Number | None:
        """As published."""
        return self.place.numbers.get(self.row.row)

    @cached_property
    def summary(self) -> Summary | None:
        """Of the row's lead sets."""
        return self.place.summaries.get(self.row.leads)

    @cached_property
    def entry(self) -> Entry | None:
        """Ours, pre-trained on this corpus; None where the run did not ask for it."""
        return self.summary.entry(self.row.label) if self.summary and self.row.label else None

    @property
    def asked(self) -> bool:
        """Whether the run asked for our entry at the label fraction."""
        if self.entry is None:
            return False
        found = {fraction for fraction, _ in self.entry.scores}
        return self.row.fraction in found.union(*(missing.fractions for missing in self.entry.missing))

    @cached_property
    def score(self) -> Score | None:
        """Of our entry at the label fraction, on the part, under the rule."""
        summary, row = self.summary, self.row
        if summary is None or self.entry is None:
            return None
        if self.place.layout.metric == METRIC:
            found = self.place.challenge.get(row.rule, {}).get(row.leads)
            entry = found.entry(row.label) if found else None
            return found.score(entry, row.fraction) if found and entry else None
        score = summary.score(self.entry, row.fraction)
        if score is None or row.part == "test":
            return score
        return on_part(summary, score, row.part, self.place.views)

    @cached_property
    def by_seed(self) -> dict[int, float]:
        """Our number of each seed index."""
        if self.summary is None or self.score is None:
            return {}
        rows = self.summary.rows
        rows = rows[(rows["metric"] == HEADLINE) & rows["key"].isin(self.score.keys)]
        indices = dict(zip(rows["key"], rows["seed_index"], strict=True))
        views = self.score.views
        if isinstance(views, ChallengeViews):
            found = {key: views.metrics(key, self.row.rule)[METRIC] for key in self.score.keys}
        else:
            own = rows[(rows["part"] == self.row.part) & (rows["selection"] == self.score.selection)]
            found = dict(zip(own["key"], own["value"], strict=True))
        return {int(indices[key]): float(value) for key, value in found.items()}

    @cached_property
    def _facts(self) -> dict[str, Any]:
        if self.summary is None or self.score is None:
            return {}
        return score_facts(self.place.plan, self.summary, self.place.corpus, self.score)

    @cached_property
    def verdict(self) -> Verdict | None:
        """Whether the two can be held against each other; None where one is missing."""
        return judge(self.place.layout, self.row, self._facts) if self.score and self.number else None

    @property
    def gap(self) -> float | None:
        """Ours minus published, in the metric's own unit; None where they cannot be compared."""
        if not (self.score and self.number and self.verdict and self.verdict.compares):
            return None
        return self.score.seeds.mean - self.number.mean

    @property
    def word(self) -> str:
        """The verdict in a word."""
        if self.score is None:
            return "no result"
        return self.verdict.word if self.verdict else "ours"

    def because(self) -> tuple[str, ...]:
        """What a reader must know of the verdict, or why there is no result."""
        if self.verdict:
            plain = LayoutRow(row=self.row.row)
            return self.verdict.lines_beside(judge(self.place.layout, plain, self._facts))
        if self.score:
            return ()
        return (self.row.reason,) if self.row.reason else self._missing()

    def _missing(self) -> tuple[str, ...]:
        """Why a row with a label has no score."""
        row, every = self.row, self.place.summaries.values()
        if self.entry is None:
            elsewhere = any(summary.entry(row.label) for summary in every)
            leads = f" with {words.leads_of(self._setting)}" if elsewhere else ""
            return (f"The run did not ask for {row.label!r}{leads}",)
        scored = self.summary is not None and self.summary.score(self.entry, row.fraction) is not None
        if scored and self.place.layout.metric == METRIC:
            return (
                "Its scores are of other classes than the Challenge's, or of windows judged by themselves",
            )
        if scored:
            return (f"No scores of part {row.part}",)
        nothing = (f"The run did not ask for {words.percent(row.fraction)} labels",)
        return words.missing_notes(self.entry, row.fraction) or nothing

    @property
    def _setting(self) -> Setting:
        """The setting that the row asks for."""
        one = next(iter(self.place.summaries.values())).setting
        return replace(one, lead_set=self.row.leads[0], eval_lead_set=self.row.leads[1])

    @cached_property
    def gain(self) -> Gain | None:
        """Over the row that it is compared with; None where it is with none, or the run did not ask for that."""
        other = self.place.rows.get(self.row.minus)
        if other is None:
            return None
        published = None
        if self.number and other.number:
            published = round(self.number.mean - other.number.mean, 6)
        both = self.by_seed.keys() & other.by_seed.keys()
        return Gain(
            minus=self.row.minus,
            published=published,
            ours=self.score.minus(other.score) if self.score and other.score else None,
            by_seed=tuple(self.by_seed[index] - other.by_seed[index] for index in sorted(both)),
            comparable=all(one.verdict is not None and one.verdict.compares for one in (self, other)),
        )

    def marks(self) -> tuple[int, ...]:
        """Footnotes of the row."""
        return self.place.notes(*(self.place.layout.footnotes[key] for key in self.row.footnotes))
