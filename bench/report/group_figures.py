"""Figures of a strategy's own groups, after CROCS (Kiyasseh et al. 2021, figures 3 to 5); what misses gets a note."""

import base64
import hashlib
import importlib.metadata
import json
from functools import partial

from bench.report.canvas import Figure, NoFigure
from bench.report.own_groups import OwnGroups, own_groups
from bench.report.retrieval_figure import retrieval_figure
from bench.report.umap_figure import umap_figure
from bench.run.plan import Plan
from bench.run.registry import code_hash
from bench.run.store import Store
from bench.run.suite import Suite


def group_figures(plan: Plan, store: Store, suite: Suite, simulated: bool) -> tuple[list[Figure], list[str]]:
    """A map of the prototypes (`umap_<corpus>`) and what they find (`retrieval_<corpus>`), for each corpus.

    Of the suite's simulated corpora, or of its real ones.

    Drawn is the first entry with prototypes of its own, at its first seed; a suite without one has no figures. A
    figure drawn once is kept as a view of its cell.

    Returns:
        The figures, and a line for each that could not be drawn, saying why.
    """
    figures, notes = [], []
    for own in own_groups(plan, store, suite, simulated):
        for what, draw in (
            ("map of the prototypes", partial(umap_figure, own, store)),
            ("picture of retrieved ECGs", partial(retrieval_figure, own)),
        ):
            try:
                figures.append(_kept(store, own, draw))
            except NoFigure as reason:
                notes.append(f"{own.row.title}: no {what}: {reason}.")
    return figures, notes


def _kept(store: Store, own: OwnGroups, draw: "partial[Figure]") -> Figure:
    """A figure from the store, or drawn and kept there."""
    view = f"{draw.func.__name__}-{_drawn_by(own)}"
    kept = store.view(own.row.key, view)
    if kept is None:
        figure = draw()
        forms = {form: base64.b64encode(getattr(figure, form)).decode() for form in ("svg", "png")}
        kept = {"name": figure.name, "caption": figure.caption, **forms}
        store.keep_view(own.row.key, view, kept)
    svg, png = (base64.b64decode(kept[form]) for form in ("svg", "png"))
    return Figure(kept["name"], kept["caption"], svg, png)


def _drawn_by(own: OwnGroups) -> str:
    """A hash of all that a figure depends on beside its cell: our code, the libraries that draw, the words in it."""
    code = code_hash("bench.report.retrieval_figure", "bench.report.umap_figure")
    libraries = [importlib.metadata.version(name) for name in ("matplotlib", "seaborn")]
    words = [own.name, own.row.title, own.row.strategy_title, own.row.scale, own.row.lead_set, own.digest]
    return hashlib.sha256(json.dumps([code, libraries, words]).encode()).hexdigest()[:16]
