"""What the scores of summaries are of, in words: the macro AUROC, or the Challenge metric under a decision rule."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from bench.report import words
from bench.report.challenge import CHALLENGE, HEADS, METRIC, explained
from bench.report.challenge_views import Rule
from bench.report.frame import HEADLINE
from bench.report.summary import Summary


@dataclass(frozen=True)
class Metric:
    """How a metric is told in titles, captions, axes and names of files.

    Attributes:
        name: in the data of a CSV.
        title: of tables and figures; head: of a table's scores.
        axis: of a figure's scores.
        idle: times 100, the score of what tells no record from another.
        explained: what a reader must know of it; begins with a space, or is empty.
        ending: of the names of files.
    """

    name: str
    title: str
    head: str
    axis: str
    idle: float
    explained: str = ""
    ending: str = ""


def metric_of(summaries: Sequence[Summary], fractions: Collection[float] = (1.0,)) -> Metric:
    """The metric that all of these summaries have.

    Args:
        fractions: label fractions of the scores that are shown.

    Raises:
        ValueError: no summary, or they have several.
    """
    names = {summary.metric for summary in summaries}
    if len(names) != 1:
        raise ValueError(f"one metric is told at a time, not {', '.join(sorted(names)) or 'none'}")
    if METRIC in names:
        return _challenge(_rule(summaries), fractions)
    counted = next((summary for summary in summaries if summary.records), summaries[0])
    return Metric(
        HEADLINE,
        f"macro one-vs-rest {words.SCORE}",
        words.score_head(counted),
        f"macro {words.SCORE}, test part",
        50,
    )


def _challenge(rule: Rule, fractions: Collection[float]) -> Metric:
    told = HEADS[rule]
    return Metric(
        METRIC,
        f"{CHALLENGE} ({told})",
        f"{CHALLENGE}, {told},",
        f"{CHALLENGE}, test part\n({told})",
        0,
        f" {explained([rule], fractions)}",
        "_challenge" if rule == "known" else f"_challenge_{rule}",
    )


def _rule(summaries: Sequence[Summary]) -> Rule:
    """The decision rule of Challenge metrics, which is what their scores were selected by."""
    scores = (score for s in summaries for entry in s.entries for score in entry.scores.values())
    chosen = next((score.selection for score in scores), "known")
    return next(rule for rule in HEADS if rule == chosen)
