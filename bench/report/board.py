"""One self-contained HTML page: what was run, the tables, the figures, what has no result, and where it comes from.

No script, no network. Everything that is not markup is escaped by the template engine.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.report.figures import Figure
from bench.report.published import layouts
from bench.report.table import Table
from bench.report.words import budget_line, counted
from bench.run.suite import Suite


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


def page(
    suite: Suite, sections: Sequence[Section], figures: Sequence[Figure], provenance: Mapping[str, Any]
) -> str:
    """The page of one suite, as HTML text."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("bench.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data_uri"] = _data_uri
    environment.globals["counted"] = counted
    published_on = sorted({layout.corpus.capitalize() for layout in layouts(suite.name).values()})
    return environment.get_template("board.html.j2").render(
        suite=suite,
        sections=sections,
        figures=figures,
        provenance=provenance,
        published_on=published_on,
        facts=_facts(suite, {k: v for section in sections for k, v in section.titles.items()}, provenance),
    )


def _data_uri(svg: bytes) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()


def _facts(suite: Suite, titles: Mapping[str, str], provenance: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was run, as (name, value) lines."""
    arguments = ", ".join(f"{name} {value}" for name, value in sorted(suite.encoder.arguments.items()))
    spec = suite.input
    statuses = ", ".join(f"{count:,} {status}" for status, count in provenance["evaluations"].items())
    window = f", windows of {spec.window:,} samples" if spec.window else ""
    return [
        ("Scale", suite.scale),
        ("Encoder", f"{suite.encoder.name} ({arguments})" if arguments else suite.encoder.name),
        ("Input", f"{spec.rate} Hz{window}, scaling {spec.scaling}"),
        (
            "Budget of a fit",
            budget_line(suite, titles),
        ),
        ("Seeds", str(suite.seeds)),
        ("Label fractions", ", ".join(f"{100 * fraction:g} %" for fraction in suite.label_fractions)),
        ("Lead sets", ", ".join(suite.lead_sets)),
        ("Evaluations", statuses),
        ("Finished", provenance["last_finished"] or "nothing has run"),
    ]
