"""What the page knows of one suite, as plain JSON: rows with their runs, fits, tables, figures.

The page computes no statistics: whatever it shows or sorts by stands here. Unknown numbers are null, scores are shares
of 1, text is text and never markup.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.report import health, words
from bench.report.canvas import Figure
from bench.report.facts import facts, notice
from bench.report.frame import COST_COLUMNS, HEADLINE
from bench.report.overall import Overall
from bench.report.savings import Saving, label_savings, savings_short, savings_text
from bench.report.sections import Section
from bench.report.summary import Entry, Score, Summary, names
from bench.report.table import Table
from bench.report.tables import Standing, standings
from bench.run.store import Store
from bench.run.suite import Suite

FORMAT = 1
"""Of the JSON: a page leaves out what it cannot read."""

_DIGITS = 6
_OVERALL = ("label", "name", "origin", "fraction", "mean_rank", "rank_low", "rank_high")
_TOOK = (
    "seconds",
    "fit_seconds",
    "peak_memory_mib",
    "commit",
    "modified",
    "source_hash",
    "device",
    "accelerator",
)
_RAN = ("cpu", "threads", "python", "packages", "finished")


@dataclass(frozen=True)
class Report:
    """All that is shown of one suite.

    Attributes:
        folders: of the summaries' own tables, '' where they have none.
        sections: by folder of their tables.
        undrawn: a line for each figure that could not be drawn.
    """

    suite: Suite
    summaries: Sequence[Summary]
    folders: Sequence[str]
    sections: Sequence[tuple[str, Section]]
    figures: Sequence[Figure]
    undrawn: Sequence[str]
    provenance: Mapping[str, Any]
    overall: Sequence[Overall]


def board_json(report: Report, store: Store) -> bytes:
    """`board.json` of a suite's folder."""
    text = json.dumps(_plain(board_data(report, store)), ensure_ascii=False, separators=(",", ":"))
    return (text + "\n").encode()


def board_data(report: Report, store: Store) -> dict[str, Any]:
    """The content of `board.json`."""
    suite, summaries = report.suite, report.summaries
    fits = {key: _fit(store, key) for key in _fit_keys(summaries) if store.describes(key)}
    titles = {label: name for _, one in report.sections for label, name in one.titles.items()}
    simulated = bool(report.provenance["simulated"])
    return {
        "format": FORMAT,
        "suite": {
            "name": suite.name,
            "title": suite.title,
            "paper": suite.paper,
            "scale": suite.scale,
            "simulated": simulated,
            "notice": notice(suite, simulated),
            "facts": facts(suite, titles, report.provenance),
            "paper_suite": bool(suite.paper),
        },
        "settings": [
            {"name": name, "folder": folder, **_setting(summary)}
            for name, folder, summary in zip(names(summaries), report.folders, summaries, strict=True)
        ],
        "rows": [
            row for place, summary in enumerate(summaries) for row in _rows(place, summary, suite, fits)
        ],
        "overall": [_overall(one) for one in report.overall],
        "fits": fits,
        "sections": [_section(folder, one) for folder, one in report.sections],
        "figures": [{"name": figure.name, "caption": figure.caption} for figure in report.figures],
        "undrawn": list(report.undrawn),
        "provenance": report.provenance,
    }


def _setting(summary: Summary) -> dict[str, Any]:
    counted = {name: getattr(summary, name) for name in ("records", "units", "kept", "total", "fractions")}
    return {**vars(summary.setting), **counted, "score": words.SCORE}


def _rows(place: int, summary: Summary, suite: Suite, fits: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    savings = {saving.key: saving for saving in label_savings(summary, suite)}
    standing = {fraction: standings(summary, fraction) for fraction in summary.fractions}
    for entry in summary.entries:
        own = {fraction: at[entry.key] for fraction, at in standing.items() if entry.key in at}
        yield {"setting": place, **_row(summary, entry, fits, savings.get(entry.key), own)}


def _row(
    summary: Summary,
    entry: Entry,
    fits: Mapping[str, Any],
    saving: Saving | None,
    standing: Mapping[float, Standing],
) -> dict[str, Any]:
    own = summary.rows[(summary.rows["label"] == entry.label) & (summary.rows["source"] == entry.source)]
    described = own.iloc[0]
    return {
        **{
            name: getattr(entry, name)
            for name in ("label", "name", "origin", "source", "overlap", "strategy")
        },
        "recipe": described["recipe"],
        "paid_for": entry.paid_for,
        "needs_at_test": entry.needs_at_test,
        "paper": described["paper"],
        "deviations": described["deviations"],
        "params": json.loads(described["params"] or "{}"),
        "fractions_by": entry.fractions_by,
        "own_encoder": entry.own_encoder,
        "cost": {name: entry.cost.get(name) for name in COST_COLUMNS},
        "flags": _flags(summary, entry, fits),
        "savings": savings_text(saving) if saving else None,
        "savings_short": savings_short(saving) if saving else None,
        "scores": [
            _score(summary, entry, fraction, score, standing.get(fraction))
            for fraction in summary.fractions
            if (score := summary.score(entry, fraction))
        ],
        "missing": [vars(missing) for missing in entry.missing],
        "runs": _runs(own),
    }


def _flags(summary: Summary, entry: Entry, fits: Mapping[str, Any]) -> list[str]:
    """Warnings about a row: those of its fits, each once, and of its headline score."""
    of_fits = [flag for key in entry.fit_keys if key in fits for flag in fits[key]["flags"]]
    score = summary.score(entry)
    return list(dict.fromkeys([*of_fits, *(words.seed_notes(score) if score else ())]))


def _score(
    summary: Summary, entry: Entry, fraction: float, score: Score, standing: Standing | None
) -> dict[str, Any]:
    every = summary.score(entry, fraction, "all")
    low, high = score.interval
    return {
        "fraction": fraction,
        "mean": score.seeds.mean,
        "sd": score.seeds.sd,
        "seed_low": score.seeds.low,
        "seed_high": score.seeds.high,
        "low": low,
        "high": high,
        "seeds": score.seeds.n,
        "wanted": score.wanted,
        "rank": standing.rank if standing else None,
        "rank_low": standing.low if standing else None,
        "rank_high": standing.high if standing else None,
        "tie": standing.group if standing else None,
        "all": every.seeds.mean if every else None,
        "notes": words.seed_notes(score),
    }


def _runs(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """One a label fraction and seed."""
    shown = rows[(rows["part"] == "test") & (rows["metric"] == HEADLINE) & (rows["selection"] == "subset")]
    columns = {"fraction": "fraction", "seed": "seed_index", "value": "value", "key": "key", "fit": "fit_key"}
    columns |= {"status": "status"}
    return [
        {name: getattr(row, column) for name, column in columns.items()}
        for row in shown.itertuples(index=False)
    ]


def _fit_keys(summaries: Iterable[Summary]) -> list[str]:
    return list(dict.fromkeys(str(key) for summary in summaries for key in summary.rows["fit_key"] if key))


def _fit(store: Store, key: str) -> dict[str, Any]:
    """A fit's health and provenance."""
    fit, took = health.read_fit(store, key), store.read_json(key, "provenance.json")
    return {
        "flags": health.flags(fit),
        "health": fit["health"],
        "steps": fit["steps"],
        "flops": fit["flops"],
        "parameters": fit["parameters"],
        **{name: took.get(name) for name in (*_TOOK, *_RAN)},
        "corpus": fit["cell"]["corpus"],
        "seed_index": fit["cell"]["seed_index"],
    }


def _overall(one: Overall) -> dict[str, Any]:
    return {
        "blocks": one.blocks,
        "fractions": one.fractions,
        "text": one.told,
        "rows": [
            {
                **{name: getattr(row, name) for name in _OVERALL},
                "n": row.present,
                "of": row.of,
                "iqm": row.iqm.value if row.iqm else None,
                "low": row.iqm.low if row.iqm else None,
                "high": row.iqm.high if row.iqm else None,
            }
            for row in one.rows
        ],
    }


def _section(folder: str, section: Section) -> dict[str, Any]:
    return {
        "name": section.name,
        "simulated": section.simulated,
        "folder": folder,
        "tables": [_table(table) for table in section.tables],
        "details": [_table(table) for table in section.details if table.rows],
    }


def _table(table: Table) -> dict[str, Any]:
    return {
        **{name: getattr(table, name) for name in ("name", "title", "heading", "caption", "footnotes")},
        "columns": [{"head": c.head, "left": c.left, "notes": c.notes} for c in table.columns],
        "blocks": [
            {"name": block, "rows": [[vars(cell) for cell in row.cells] for row in rows]}
            for block, rows in table.blocks()
        ],
    }


def _plain(value: Any) -> Any:
    """JSON's own types: no NaN, no infinities, numbers to six digits."""
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(one) for one in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
    return value
