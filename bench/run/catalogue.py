"""What there is to run, as tables for `leadboard list`."""

from pathlib import Path

from bench.data.leads import LEAD_SETS
from bench.run.registry import Registry, encoders
from bench.run.suite import load_suite, suite_files
from bench.train.external import FromCheckpoint

Listing = tuple[str, list[str], list[list[str]]]

CORPORA = (
    (
        "chapman",
        "Chapman-Shaoxing: figshare CSV, or PhysioNet/Challenge WFDB with Diagnostics.xlsx",
        "--data",
    ),
    ("chapman-sim", "simulated cohort in Chapman's layout", "simulated"),
    ("ptbxl", "PTB-XL 1.0.1 to 1.0.3, 100 or 500 Hz", "--data"),
    ("cinc2021", "PhysioNet/Challenge 2021, any of its databases", "--data"),
    ("cpsc", "CPSC 2018 as the Challenge gives it, nine classes", "--data"),
    ("ptbxl-sim", "simulated cohort in PTB-XL's layout", "simulated"),
    ("cinc2021-sim", "simulated cohort in the Challenge's layout: eight databases", "simulated"),
    ("FOLDER", "your own records, WFDB or CSV, with a records.csv; for the board", "--corpus FOLDER"),
)


def catalogue(extra: tuple[Path, ...] = ()) -> list[Listing]:
    """(title, headers, rows) of everything that can be run."""
    registry = Registry(extra)
    listings = [
        _strategies(registry, "strategy", "Strategies"),
        _strategies(registry, "baseline", "Baselines"),
    ]
    external = _external(registry)
    if external:
        headers = ["name", "title", "has seen", "paid for there", "checkpoint"]
        listings.append(("External checkpoints", headers, external))
    if registry.broken:
        broken = [[str(b.path), b.reason] for b in registry.broken]
        listings.append(("Broken files (skipped)", ["file", "reason"], broken))
    names = [[name, (kind.__doc__ or "").splitlines()[0]] for name, kind in sorted(encoders().items())]
    sets = [[name, " ".join(leads)] for name, leads in LEAD_SETS.items()]
    suites = []
    for name in suite_files():
        suite = load_suite(name, "quick")
        suites.append([name, suite.title, ", ".join(use.corpus for use in suite.corpora)])
    return [
        *listings,
        ("Encoders", ["name", "what"], names),
        ("Corpora", ["name", "what", "from"], [list(row) for row in CORPORA]),
        ("Lead sets", ["name", "leads"], sets),
        ("Suites", ["name", "title", "corpora at scale quick"], suites),
    ]


def _strategies(registry: Registry, kind: str, title: str) -> Listing:
    rows = []
    for name, found in sorted(registry.found.items()):
        if found.kind == kind and not issubclass(found.strategy, FromCheckpoint):
            fields = found.strategy.needs | found.strategy.needs_at_test
            paid = ", ".join(sorted(f.value for f in fields)) or "none"
            rows.append([name, found.strategy.title, paid, ", ".join(found.strategy.recipes) or "-"])
    return title, ["name", "title", "paid for in training", "recipes"], rows


def _external(registry: Registry) -> list[list[str]]:
    """A row for each adapter of a checkpoint."""
    rows = []
    for name, found in sorted(registry.found.items()):
        kind = found.strategy
        if issubclass(kind, FromCheckpoint):
            paid = ", ".join(sorted(field.value for field in kind.trained_with)) or "none"
            seen = ", ".join(kind.trained_on) or "no ECG"
            rows.append([name, found.strategy.title, seen, paid, kind.checkpoint])
    return rows
