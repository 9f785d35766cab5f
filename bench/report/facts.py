"""What a suite is and what was run of it, as lines of text for its page."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from bench.data.leads import LEAD_SETS
from bench.report.inputs import input_line
from bench.report.layout import AnyLayout, GridLayout, Layout, SettingsLayout
from bench.report.published import layouts
from bench.report.words import CORPORA, budget_line, encoder_arguments, own_encoders, percent
from bench.run.suite import Suite

_OF_MORE = "each where the leads trained on have it as a part"


def notice(suite: Suite, simulated: bool) -> str:
    """What a reader must know first: that numbers are simulated, or of fits too short to tell strategies apart."""
    if not simulated and suite.scale == "paper":
        return ""
    if not simulated:
        return (
            f"Scale {suite.scale}: a fit takes {suite.budget.steps:,} steps of {suite.budget.batch}. It shows that the"
            " suite runs, not which strategy is best."
        )
    named = sorted({CORPORA.get(name, name) for name in _published_on(suite)})
    published = f"; the published ones were, on {', '.join(named)}" if named else ""
    return (
        f"None of our numbers here was measured on real ECGs{published}. The cohorts are made by a simulator;"
        " what ranks first here need not rank first on patients."
    )


def _published_on(suite: Suite) -> set[str]:
    """Corpora of the published numbers that stand on the page."""
    return {name for layout in layouts(suite.name).values() for name in _corpora_of(layout)}


def _corpora_of(layout: AnyLayout) -> Iterable[str]:
    """Corpora of ours on which a published table's numbers were measured."""
    if isinstance(layout, Layout | SettingsLayout):
        return [layout.corpus]
    if isinstance(layout, GridLayout):
        return [column.corpus for column in layout.columns if column.corpus]
    return layout.corpora


def facts(suite: Suite, titles: Mapping[str, str], provenance: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was run, as (name, value) lines."""
    statuses = ", ".join(f"{count:,} {status}" for status, count in provenance["evaluations"].items())
    return [
        ("Scale", suite.scale),
        ("Encoder", _by_corpus(suite, lambda here: _encoder(here, titles))),
        ("Input", _by_corpus(suite, lambda here: input_line(here, titles, window=True))),
        ("Budget of a fit", _by_corpus(suite, lambda here: budget_line(here, titles))),
        ("Seeds", str(suite.seeds)),
        ("Label fractions", _fractions(suite, titles)),
        ("Lead sets", ", ".join(_trained_on(suite))),
        *([("Evaluated also with", f"{', '.join(parts)} ({_OF_MORE})")] if (parts := _parts(suite)) else []),
        *([("Noise levels", ", ".join(map(str, suite.noise_levels)))] if suite.noise_levels else []),
        *([("Transfer", moves)] if (moves := _moves(suite)) else []),
        ("Evaluations", statuses),
        ("Finished", provenance["last_finished"] or "nothing has run"),
    ]


def _moves(suite: Suite) -> str:
    """Which corpora's fits are evaluated on which others."""
    return "; ".join(f"{', '.join(use.sources)} to {use.corpus}" for use in suite.corpora if use.sources)


def _by_corpus(suite: Suite, describe: Callable[[Suite], str]) -> str:
    """A description of the suite, corpus by corpus where they differ."""
    found = {use.corpus: describe(suite.on(use)) for use in suite.corpora}
    if len(set(found.values())) == 1:
        return next(iter(found.values()))
    return "; ".join(f"{corpus}: {text}" for corpus, text in found.items())


def _fractions(suite: Suite, titles: Mapping[str, str]) -> str:
    """Those of the suite, and once those of entries that have others: '10 %, 100 % (100 % alone: SimCLR; Base)'."""
    groups: dict[str, list[str]] = {}
    for entry in suite.entries:
        if entry.fractions and set(entry.fractions) != set(suite.label_fractions):
            told = ", ".join(map(percent, entry.fractions))
            groups.setdefault(told, []).append(titles.get(entry.label, entry.label))
    own = "".join(f" ({told} alone: {'; '.join(rows)})" for told, rows in groups.items())
    return ", ".join(map(percent, suite.label_fractions)) + own


def _trained_on(suite: Suite) -> tuple[str, ...]:
    """Lead sets that any entry is trained on; of a suite without entries its own."""
    every = (name for entry in suite.entries for name in suite.trained_on(entry))
    return tuple(dict.fromkeys(every)) or suite.lead_sets


def _parts(suite: Suite) -> tuple[str, ...]:
    """Lead sets with which any fit of more leads is evaluated too, those of most leads first."""
    fits = ((entry, trained) for entry in suite.entries for trained in suite.trained_on(entry))
    parts = (name for entry, trained in fits for name in suite.evaluated_on(entry, trained)[1:])
    return tuple(sorted(dict.fromkeys(parts), key=lambda name: -len(LEAD_SETS[name])))


def _encoder(suite: Suite, titles: Mapping[str, str]) -> str:
    arguments = ", ".join([*_variants(suite), *encoder_arguments(suite, titles)])
    shared = f"{suite.encoder.name} ({arguments})" if arguments else suite.encoder.name
    return shared + own_encoders(suite, titles)


def _variants(suite: Suite) -> list[str]:
    """Arguments of the encoder that the suite varies, with every value of each."""
    names = dict.fromkeys(name for variant in suite.encoder_variants for name in variant)
    values = {
        name: dict.fromkeys(str(v[name]) for v in suite.encoder_variants if name in v) for name in names
    }
    return [f"{name} {' / '.join(found)}" for name, found in sorted(values.items())]
