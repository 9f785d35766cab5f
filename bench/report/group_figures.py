"""Figures of a strategy's own groups, after CROCS (Kiyasseh et al. 2021, figures 3 to 5); what misses gets a note."""

from bench.report.figures import Figure
from bench.report.own_groups import own_groups
from bench.report.retrieval_figure import retrieval_figure
from bench.report.umap_figure import NoMap, umap_figure
from bench.run.plan import Plan
from bench.run.store import Store
from bench.run.suite import Suite


def group_figures(plan: Plan, store: Store, suite: Suite) -> tuple[list[Figure], list[str]]:
    """For each corpus of a suite a map of the prototypes (`umap_<corpus>`) and what they find (`retrieval_<corpus>`).

    Drawn is the first entry with prototypes of its own, at its first seed; a suite without one has no figures.

    Returns:
        The figures, and a line for each that could not be drawn, saying why.
    """
    figures, notes = [], []
    for own in own_groups(plan, store, suite):
        try:
            figures.append(umap_figure(own, store))
        except NoMap as reason:
            notes.append(f"{own.row.title}: no map of the prototypes: {reason}.")
        retrieval = retrieval_figure(own)
        if retrieval is None:
            notes.append(f"{own.row.title}: no ECGs retrieved: no query has a validation unit to find.")
        else:
            figures.append(retrieval)
    return figures, notes
