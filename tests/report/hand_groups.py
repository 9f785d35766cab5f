"""A summary of the CROCS suite's groupings with hand-made numbers, for the tests of the paper's tables."""

import zlib
from types import SimpleNamespace

import numpy as np
import pandas as pd

from bench.data.corpus import Task
from bench.report.group_summary import GroupEntry, GroupSummary
from bench.report.summary import Missing, Setting
from bench.run.cell import FitCell, GroupCell, StrategySpec, Subset
from bench.run.plan import Plan, corpus_id
from bench.run.suite import budget_of, load_suite
from strategies.crocs import CROCS

ATTRIBUTES = ("class", "sex", "age")
SOUGHT = dict.fromkeys(("sela", "deepcluster", "iic", "dtcr"), ("class",))
SOUGHT |= {"dtcr_sex": ("sex",), "dtcr_age": ("age",)}
METRICS = ("acc", "acc_hungarian", "acc_oracle", "acc_majority", "acc_identity", "ami", "ami_mapped")
HITS = [f"precision_at_{k}/{m}{end}" for k in (1, 5, 10) for m in (1, 2, 3) for end in ("", "/patients")]
CLASSES = {
    "rhythm4": ("AFIB", "GSVT", "SB", "SR"),
    "superdiagnostic-single": ("CD", "HYP", "MI", "NORM", "STTC"),
}


def number(*place: object) -> float:
    """A value of its own for every place, the same every time."""
    return zlib.crc32("|".join(map(str, place)).encode()) / 2**32


class Views:
    """Resamples and floors made by hand."""

    def draws(self, key, attribute):
        return np.linspace(0.2, 0.8, 41)

    def floors(self, key):
        of = {
            part: {
                name: {floor: {m: number(part, name, floor, m) for m in METRICS} for floor in FLOOR_NAMES}
                for name in ATTRIBUTES
            }
            for part in ("val", "test")
        }
        for part, floors in of.items():
            floors["set"] = {
                "constant": {
                    "precision_at_1/1": 23 / 32,
                    "precision_at_1/2": 8 / 32,
                    "precision_at_1/3": 1 / 32,
                }
                | {"distinct_top": 1.0},
                "random": {m: number(part, "random", m) for m in HITS} | {"distinct_top": 31.5},
            }
        return of


FLOOR_NAMES = ("constant", "majority", "random")


def setup(corpus="chapman-sim", scale="quick", records=10646, lost=(), without=()):
    """A plan and a summary of the suite on one corpus; `lost` labels have failed, `without` ones were not asked for."""
    suite = load_suite("crocs", scale)
    use = next(u for u in suite.corpora if u.corpus == corpus)
    here, simulated = suite.on(use), corpus.endswith("-sim")
    task = Task(use.task, "single", CLASSES[use.task])
    found = SimpleNamespace(
        name=corpus,
        simulated=simulated,
        facts={} if simulated else {"form": "denoised"},
        tasks={use.task: task},
        targets=lambda task: range(records),
    )
    plan = Plan([suite], {corpus_id(suite, u): replace_name(found, u.corpus) for u in suite.corpora})
    setting = Setting(
        "crocs", scale, corpus, corpus, simulated, use.task, "official", "net", "all-12", "all-12"
    )
    rows, entries = [], []
    for entry in suite.entries:
        for grouping in () if entry.label in without else entry.groupings or suite.groupings:
            cells = [_cells(plan, here, use, entry, grouping, seed) for seed in range(suite.seeds)]
            cells = [] if entry.label in lost else cells
            entries.append(_entry(entry, grouping, suite.seeds, cells))
            for seed, (key, _) in enumerate(cells):
                rows += _rows(entry.label, grouping, seed, key)
    return plan, GroupSummary(setting, pd.DataFrame(rows), tuple(entries), Views()), suite


def replace_name(corpus, name):
    return SimpleNamespace(**{**vars(corpus), "name": name})


def _rows(label, grouping, seed, key):
    common = {"label": label, "grouping": grouping, "seed_index": seed, "key": key}
    common |= {"status": "done", "records": 7, "n": 7, "clusters": 32}
    places = [(a, m) for a in ATTRIBUTES for m in METRICS]
    if grouping != "kmeans":
        places += [("set", m) for m in (*HITS, "distinct_top", "queries")]
    for part in ("val", "test"):
        for attribute, metric in places:
            value = 32.0 if metric == "queries" else number(label, grouping, part, attribute, metric, seed)
            place = {"part": part, "attribute": attribute, "metric": metric}
            yield common | place | {"value": value, "digest": f"{seed}"}


def _cells(plan, suite, use, entry, grouping, seed):
    params = {}
    if entry.strategy == "crocs":
        params = CROCS.Params(**{**CROCS.recipes.get(entry.recipe, {}), **entry.params}).model_dump(
            mode="json"
        )
    encoder = suite.encoder.model_copy(update={"arguments": {**suite.encoder.arguments, **entry.encoder}})
    common = {"corpus": "c", "split": use.split, "split_fingerprint": "s"}
    common |= {"input": suite.input, "lead_set": "all-12", "suite_seed": 0, "seed_index": seed}
    fit = FitCell(
        **common,
        encoder=encoder,
        strategy=StrategySpec(name=entry.strategy, params=params, code=""),
        budget=budget_of(suite, entry),
    )
    fraction = max(entry.fractions or (1.0,))
    group = GroupCell(
        **common,
        task=use.task,
        subset=Subset(fraction=fraction, fingerprint="f"),
        grouping=grouping,
        attributes=ATTRIBUTES,
        edges=(49, 62, 72),
        parents={"fit": fit.key()},
    )
    for cell in (fit, group):
        plan.jobs[cell.key()] = SimpleNamespace(cell=cell)
    return group.key(), fit.key()


def _entry(entry, grouping, wanted, cells):
    fraction = max(entry.fractions or (1.0,))
    missing = () if cells else (Missing((fraction,), (0,), "failed", "Diverged"),)
    return GroupEntry(
        label=entry.label,
        strategy=entry.strategy,
        name=entry.title or entry.label,
        origin="strategy",
        needs=("labels", "demographics") if entry.strategy == "crocs" else (),
        needs_at_test=(),
        grouping=grouping,
        attributes=SOUGHT.get(entry.label, ATTRIBUTES),
        fraction=fraction,
        wanted=wanted,
        keys=tuple(key for key, _ in cells),
        fit_keys=tuple(fit for _, fit in cells),
        cost={},
        missing=missing,
    )


def mean(*place, seeds=2):
    return np.mean([number(*place, seed) for seed in range(seeds)])
