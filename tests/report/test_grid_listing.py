from itertools import product
from types import SimpleNamespace

import pytest

from bench.report.grid_listing import unmatched
from bench.report.layout import GridLayout
from bench.report.paper_common import PUBLISHED
from bench.report.published import layouts, published
from bench.run.cell import FitCell
from bench.run.suite import load_suite
from tests.report.hand_grids import NUMBERS, add, real_bench, tables_of, write_paper


@pytest.fixture
def paper(tmp_path, monkeypatch):
    return write_paper(tmp_path, monkeypatch)


def test_what_stands_nowhere_is_listed_once_with_the_reason(tmp_path, paper):
    bench = real_bench(tmp_path)
    add(bench, "a", 1.0)
    add(bench, "a", 1.0, encoder="net_s (dim 9)", seeds=1)
    assert "not_run" not in tables_of(bench, setting=1)
    table = tables_of(bench)["not_run"]
    rows = {(r.data["published_on"], r.data["because"]): r.data for r in table.rows}
    listed = {place: (row["tables"], row["rows"], row["numbers"]) for place, row in rows.items()}
    scale = "Not run at scale paper: "
    assert listed == {
        ("here", "Its code is lost"): ("Table 1", "Lost", 1),
        ("here", f"{scale}label fraction 0.5"): ("Table 9", "A", 1),
        ("here", f"{scale}no entry 'b'"): ("Table 9 | main table", "B | A", 2),
        ("far->here", f"{scale}pre-training on far"): ("Table 9", "A", 2),
        ("far->here", f"{scale}no entry 'scratch'"): ("Table 9", "Scratch", 1),
        ("unread", "Nobody reads it"): ("Table 9", "A | B", 2),
        ("here", f"{scale}embeddings of length 16"): ("Table 10", "A", 1),
    }
    assert table.caption == "Scale paper; 10 of 12 published numbers."
    beside = [r for t in ("grid", "sides") for r in tables_of(bench)[t].rows if r.block == PUBLISHED]
    matched = sum(
        row.data.get(f"{side}published") is not None and row.data[f"{side}macro_auroc"] is not None
        for row in beside
        for side in ("", "linear_", "tuned_")
        if f"{side}published" in row.data
    )
    assert matched + 10 == len(NUMBERS)


@pytest.mark.parametrize("name", ["clocs", "ssl12lead"])
def test_at_scale_paper_a_suite_asks_for_every_number_that_has_no_reason(name):
    grids = {n: x for n, x in layouts(name).items() if isinstance(x, GridLayout)}
    suite = load_suite(name, "paper")
    listed = [row.data for table in unmatched(_plan(suite), suite, grids) for row in table.rows]
    assert not [row for row in listed if row["because"].startswith("Not run")]
    reasons = {row.reason for x in grids.values() for row in x.rows} | {x.reason for x in grids.values()}
    reasons |= {column.reason for x in grids.values() for column in x.columns}
    assert {row["because"] for row in listed} <= reasons - {""}
    gone = sum(row["numbers"] for row in listed)
    assert 0 < gone < len(published(name))


def _plan(suite):
    """What a plan of a suite asks for, without its cells."""
    rows, jobs = [], {}
    for use, variant in product(suite.corpora, suite.encoder_variants or ({},)):
        encoder = suite.on(use, variant).encoder
        key = f"{use.corpus} {variant}"
        jobs[key] = SimpleNamespace(cell=FitCell.model_construct(encoder=encoder))
        for entry in suite.entries:
            sources = [""] * (entry.transfer != "only") + list(use.sources) * (entry.transfer != "never")
            fractions = entry.fractions or suite.label_fractions
            for source, leads, fraction in product(sources, suite.lead_sets, fractions):
                axes = {"corpus": use.corpus, "task": use.task, "label": entry.label, "source": source}
                axes |= {"lead_set": leads, "eval_lead_set": leads, "fraction": fraction}
                place = {"suite": suite.name, "grouping": "", "noise": 0, "fit_key": key, "encoder": key}
                rows.append(SimpleNamespace(**axes, **place))
    return SimpleNamespace(rows=rows, jobs=jobs)
