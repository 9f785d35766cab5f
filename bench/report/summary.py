"""From the tidy frame to what tables, figures and page show: the entries of one setting with their scores over seeds.

A setting is one suite on one corpus, task, split, encoder and lead set: all that may stand in one table.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from itertools import groupby
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd

from bench.report.frame import COST_COLUMNS, HEADLINE
from bench.report.stats import Difference, Seeds, difference, mean_interval, over_seeds
from bench.report.views import MetricViews
from bench.run.status import Status


@dataclass(frozen=True)
class Setting:
    """What every number of one table has in common.

    Attributes:
        title: of the corpus, with how much of it was there.
        protocol: hash of how rows are judged; rows of two never share a table.
    """

    suite: str
    scale: str
    corpus: str
    title: str
    simulated: bool
    task: str
    split: str
    encoder: str
    lead_set: str
    eval_lead_set: str
    protocol: str = ""


class HasDraws(Protocol):
    """Views that hold a score in every resample of the test patients."""

    def draws(self, key: str, selection: str) -> np.ndarray:
        """(B,) of a cell."""
        ...


@dataclass(frozen=True)
class Score:
    """One entry at one label fraction and selection.

    Attributes:
        wanted: seeds that the plan asks for; `seeds.n` of them are there.
        keys: of the cells, one a seed.
        constant: every seed gives all records one score: 'here', or 'always', at every other fraction too.
        views: where the resamples are; read only when somebody asks.
    """

    seeds: Seeds
    wanted: int
    keys: tuple[str, ...]
    selection: str
    views: "HasDraws" = field(repr=False, compare=False)
    constant: Literal["", "here", "always"] = ""

    @cached_property
    def draws(self) -> np.ndarray:
        """(S, B) the score of each seed in each resample of the test patients."""
        return np.stack([self.views.draws(key, self.selection) for key in self.keys])

    @cached_property
    def interval(self) -> tuple[float, float]:
        """95 %, over test patients, of the mean over seeds."""
        return mean_interval(self.draws)

    def minus(self, other: "Score") -> Difference:
        """Paired difference of the means over seeds, on the same test patients."""
        return difference(self.seeds.mean - other.seeds.mean, self.draws, other.draws)


@dataclass(frozen=True)
class Missing:
    """Evaluations of one entry that have no result, for one reason."""

    fractions: tuple[float, ...]
    seeds: tuple[int, ...]
    status: str
    reason: str


@dataclass(frozen=True)
class Entry:
    """A row of a board.

    Attributes:
        label: of the suite's entry; the same one may be there from several corpora, and `key` tells them apart.
        name: what tables print: the strategy's title, and the label where it is not the strategy's name.
        keys, fit_keys: of its cells at the headline fraction.
        scores: by (label fraction, selection); absent where there is no result.
        cost: of a fit at the headline fraction, mean over seeds; NaN where unknown.
        source: corpus that it was pre-trained on, where that is another one.
        overlap: its pre-training also saw the ECGs of validation and test.
        fractions_by: what label fractions are shares of.
        readout: 'classifier' where the fit itself scores.
        own_encoder: with its arguments, where it is not the setting's.
    """

    label: str
    name: str
    origin: str
    needs: tuple[str, ...]
    needs_at_test: tuple[str, ...]
    keys: tuple[str, ...]
    fit_keys: tuple[str, ...]
    scores: dict[tuple[float, str], Score]
    cost: dict[str, float]
    missing: tuple[Missing, ...]
    strategy: str = ""
    source: str = ""
    overlap: bool = False
    fractions_by: str = "patients"
    readout: str = ""
    own_encoder: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Label and source, which no other row of a setting has."""
        return self.label, self.source

    @property
    def title(self) -> str:
        """The name without the corpus of the pre-training: the same wherever that was."""
        return self.name.replace(f", from {self.source}", "", 1) if self.source else self.name

    @property
    def paid_for(self) -> tuple[str, ...]:
        """Fields read in training: what is needed at test time is needed of the training records too."""
        return tuple(sorted({*self.needs, *self.needs_at_test}))


@dataclass(frozen=True)
class Summary:
    """All entries of one setting.

    Attributes:
        fractions: ascending; the last one is the headline.
        records: of the test part; 0 where nothing has run.
        kept, total: classes in the macro average.
        rows: of the frame.
        measured: what computed the corpus's measurements from its ECGs; empty: they came with it.
        terms: licence and citation of the corpus; empty for a simulated one.
        units: scored in the test part; more than its records where each window is judged by itself.
        metric: what its scores are of.
    """

    setting: Setting
    fractions: tuple[float, ...]
    entries: tuple[Entry, ...]
    records: int
    kept: int
    total: int
    rows: pd.DataFrame = field(repr=False, compare=False)
    measured: str = ""
    terms: str = ""
    units: int = 0
    metric: str = HEADLINE

    @property
    def headline(self) -> float:
        """The largest label fraction."""
        return self.fractions[-1]

    @property
    def sources(self) -> tuple[str, ...]:
        """Other corpora that rows were pre-trained on, in the plan's order."""
        return tuple(dict.fromkeys(entry.source for entry in self.entries if entry.source))

    @property
    def fractions_by(self) -> tuple[str, ...]:
        """What label fractions are shares of, each once."""
        return tuple(dict.fromkeys(entry.fractions_by for entry in self.entries))

    def entry(self, label: str, source: str = "") -> Entry | None:
        """The row of this label and source, if there is one."""
        return next((entry for entry in self.entries if entry.key == (label, source)), None)

    def score(self, entry: Entry, fraction: float | None = None, selection: str = "subset") -> Score | None:
        """A score of an entry, at the headline fraction by default; None where there is no result."""
        return entry.scores.get((self.headline if fraction is None else fraction, selection))

    def ranked(self, *origins: str) -> list[Entry]:
        """Entries of these origins that have a headline score, the best first."""
        scored = [(self.score(e), e) for e in self.entries if e.origin in origins]
        present = [(score.seeds.mean, entry) for score, entry in scored if score]
        return [entry for _, entry in sorted(present, key=lambda pair: -pair[0])]

    def unscored(self) -> list[Entry]:
        """Entries without a headline score."""
        return [entry for entry in self.entries if not self.score(entry)]


class HasSetting(Protocol):
    """Whatever is about one setting."""

    @property
    def setting(self) -> Setting:
        """What all of its numbers have in common."""


_AXES = ("split", "encoder", "lead_set", "eval_lead_set")


def names(summaries: Sequence[HasSetting]) -> list[str]:
    """A name a setting: corpus and task, and whatever else tells settings of one suite apart."""
    vary = [axis for axis in _AXES if len({getattr(summary.setting, axis) for summary in summaries}) > 1]
    return [_name(summary.setting, vary) for summary in summaries]


def _name(setting: Setting, vary: Sequence[str]) -> str:
    """Lead sets that are trained and evaluated alike stand once."""
    once = "lead_set" in vary and setting.lead_set == setting.eval_lead_set
    axes = [axis for axis in vary if not (once and axis == "eval_lead_set")]
    return ", ".join(str(getattr(setting, axis)) for axis in ("corpus", "task", *axes))


def summarise(frame: pd.DataFrame, views: MetricViews) -> list[Summary]:
    """Every setting of a frame, in the plan's order."""
    axes = [axis.name for axis in fields(Setting)]
    groups = (rows for _, rows in frame.groupby(axes, sort=False))
    return [_summary(Setting(*(rows[axis].iloc[0] for axis in axes)), rows, views) for rows in groups]


def _summary(setting: Setting, rows: pd.DataFrame, views: MetricViews) -> Summary:
    tested = rows[(rows["part"] == "test") & (rows["metric"] == HEADLINE)]
    fractions = tuple(sorted(float(f) for f in tested["fraction"].unique()))
    by_key: dict[tuple[str, str], list[Any]] = {}
    for row in tested.itertuples(index=False):
        by_key.setdefault((str(row.label), str(row.source)), []).append(row)
    entries = tuple(_entry(own, fractions[-1], views) for own in by_key.values())
    done = tested[tested["status"] == Status.DONE.value]
    records, kept, total, units = (
        int(done[name].iloc[0]) if len(done) else 0 for name in ("records", "kept", "total", "n")
    )
    return Summary(setting, fractions, entries, records, kept, total, rows, units=units)


def _entry(rows: list[Any], headline: float, views: MetricViews) -> Entry:
    """Args: rows: of the frame as named tuples, headline metric in the test part, one entry."""
    first = rows[0]
    done = [row for row in rows if row.status == Status.DONE.value]
    wanted = Counter(row.fraction for row in rows if row.selection == "subset")
    scores = {
        place: score_over_seeds(list(own), wanted[place[0]], views)
        for place, own in groupby(sorted(done, key=_place), key=lambda row: _place(row)[:2])
    }
    if scores and all(score.constant for score in scores.values()):
        scores = {place: replace(score, constant="always") for place, score in scores.items()}
    at_headline = [row for row in done if (row.fraction, row.selection) == (headline, "subset")]
    return Entry(
        label=first.label,
        name=first.strategy_title,
        origin=first.origin,
        needs=first.needs,
        needs_at_test=first.needs_at_test,
        keys=tuple(row.key for row in at_headline),
        fit_keys=tuple(row.fit_key for row in at_headline),
        scores=scores,
        cost=mean_cost(at_headline),
        missing=missing_of([row for row in rows if row.status != Status.DONE.value]),
        strategy=first.strategy,
        source=first.source,
        overlap=bool(first.overlap),
        fractions_by=first.fractions_by,
        readout=first.readout,
        own_encoder=first.own_encoder,
    )


def _place(row: Any) -> tuple[float, str, int]:
    return row.fraction, row.selection, row.seed_index


def mean_cost(rows: Sequence[Any]) -> dict[str, float]:
    """Mean over seeds; a row whose embedding does not use the encoder has no parameters of it, and no FLOPs counted."""
    cost = {name: _mean([float(getattr(row, name)) for row in rows]) for name in COST_COLUMNS}
    used = all(row.uses_encoder for row in rows)
    return cost if used else cost | dict.fromkeys(("parameters", "flops"), float("nan"))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")


def score_over_seeds(rows: Sequence[Any], wanted: int, views: MetricViews) -> Score:
    """The score of one entry in one condition.

    Args:
        rows: of the frame as named tuples, done, one a seed.
        wanted: seeds that the plan asks for.
    """
    seeds = over_seeds([row.value for row in rows], [row.digest for row in rows])
    # one score for all records is an AUROC of one half in every resample, and nothing else is
    constant: Literal["", "here"] = "here" if all(r.value == r.low == r.high == 0.5 for r in rows) else ""
    return Score(seeds, wanted, tuple(row.key for row in rows), rows[0].selection, views, constant)


def missing_of(rows: Sequence[Any]) -> tuple[Missing, ...]:
    """Rows of the frame without a result, put together by status and reason."""
    found: dict[tuple[str, str], list[Any]] = {}
    for row in rows:
        found.setdefault((row.status, row.reason), []).append(row)
    return tuple(
        Missing(tuple(sorted({r.fraction for r in own})), tuple(sorted({r.seed_index for r in own})), *why)
        for why, own in found.items()
    )
