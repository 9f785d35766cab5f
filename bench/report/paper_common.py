"""What all tables with published numbers share: the corpus they are about, the facts behind a number of ours, words."""

from collections.abc import Iterator, Sequence
from typing import Any

from bench.data.corpus import PreparedCorpus
from bench.report import words
from bench.report.summary import Score, Setting, Summary
from bench.report.table import Cell, Footnotes
from bench.run.cell import AnyCell, FitCell
from bench.run.plan import Plan, corpus_id
from bench.run.suite import CorpusUse, Suite

PUBLISHED, OURS = "rows of the paper", "ours only: controls that the paper's table lacks"


def corpus_of(plan: Plan, suite: Suite, setting: Setting) -> PreparedCorpus:
    """The prepared corpus of a setting."""
    return plan.corpora[corpus_id(suite, use_of(plan, suite, setting))]


def use_of(plan: Plan, suite: Suite, setting: Setting) -> CorpusUse:
    """The use of a corpus, of those a suite names, that a setting is about."""
    uses = [use for use in suite.corpora if use.task == setting.task]
    return next(use for use in uses if plan.corpora[corpus_id(suite, use)].name == setting.corpus)


def base_name(corpus: str) -> str:
    """Name of a corpus, simulated or not."""
    return corpus.removesuffix("-sim")


def general(footnotes: Sequence[str]) -> str:
    """What a caption says of every table with published numbers.

    Args:
        footnotes: those about the whole table, which are its first.
    """
    return (
        "Published numbers are reported, not reproduced; the verdict says whether ours can be held against them."
        + words.see_notes(len(footnotes))
    )


def score_facts(plan: Plan, summary: Summary, corpus: PreparedCorpus, score: Score) -> dict[str, Any]:
    """What the conditions of a layout look at: the corpora, and the cells behind the first seed of a score.

    `fit` is the fit that is judged, `pretraining` the one that it starts from in the end, or itself where it reads no
    label; there is none behind a fit from scratch.
    """
    row = summary.rows[summary.rows["key"] == score.keys[0]].iloc[0]
    fits = list(_fits(plan, score.keys[0]))
    by_fingerprint = {known.fingerprint: known for known in plan.corpora.values()}
    source = by_fingerprint.get(fits[-1].corpus, corpus)
    facts = {
        "simulated": summary.setting.simulated,
        "scale": summary.setting.scale,
        "records": len(corpus.targets(summary.setting.task)),
        "seeds": score.seeds.n,
        "fractions_by": row["fractions_by"],
        "overlap": bool(row["overlap"]),
        "corpus": {"name": corpus.name, "facts": corpus.facts},
        "source": {"name": source.name, "simulated": source.simulated, "records": len(source.records)},
        "fit": fits[0].model_dump(mode="json"),
        "predict": plan.jobs[score.keys[0]].cell.model_dump(mode="json"),
    }
    if len(fits) > 1 or fits[0].task is None:
        facts["pretraining"] = fits[-1].model_dump(mode="json")
    return facts


def _fits(plan: Plan, key: str) -> Iterator[FitCell]:
    """The fit behind a predict cell, then those that it starts from."""
    while key:
        cell: AnyCell = plan.jobs[key].cell
        if isinstance(cell, FitCell):
            yield cell
        key = next((cell.parents[role] for role in ("init", "embed", "fit") if role in cell.parents), "")


def score_cells(score: Score | None, notes: Footnotes) -> list[Cell]:
    """Mean, spread, interval, seeds."""
    if score is None:
        return [Cell()] * 4
    mean = Cell(words.points(score.seeds.mean), notes=notes(*words.seed_notes(score)))
    shown = (words.spread(score.seeds), words.span(*score.interval), str(score.seeds.n))
    return [mean, *map(Cell, shown)]
