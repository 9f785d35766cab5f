"""Claims are the numbers of cells.csv and groups.csv, and whatever else is claimed is named."""

import dataclasses
import io

import numpy as np
import pandas as pd
import pytest

from bench.report.cells import cells_csv, groups_csv
from bench.report.frame import build_frame
from bench.report.group_summary import build_group_frame
from bench.report.rescore import (
    COLUMNS,
    LEAST,
    apart,
    claims,
    claims_csv,
    read_claims,
    unlike,
    unreportable,
)
from bench.run.plan import make_plan
from bench.run.registry import Registry
from bench.run.submission import SubmissionError, place_of, rows_of
from bench.run.suite import Suite
from tests.corpora import tiny_corpus
from tests.report.hand_made import make_bench
from tests.run.conftest import BASE, STRATEGIES
from tests.run.stored import run

AXES = {
    "entries": ["noise", "head"],
    "groupings": ["means", "kmeans"],
    "crossed_fractions": [0.5],
    "noise_levels": [1],
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A plan with scores, noisy and crossed ones and groups, and a store that has them all."""
    folder = tmp_path_factory.mktemp("rescore")
    (folder / "extra.py").write_text(STRATEGIES)
    corpora = {"tiny-sim@50": tiny_corpus(folder / "prepared", records=60)}
    plan = make_plan([Suite.model_validate(BASE | AXES)], corpora, Registry((folder / "extra.py",)))
    return plan, run(plan, folder / "store")


@pytest.fixture(scope="module")
def found(finished):
    plan, store = finished
    rows = rows_of(plan, ("noise", "head"))
    return claims([(place_of(row), row.key) for row in rows], store, 40)


def test_claims_of_scores_are_the_numbers_of_cells_csv(finished, found):
    plan, store = finished
    table = pd.read_csv(io.StringIO(cells_csv(build_frame(plan, store, 40))))
    places = {(row.key, row.label): place_of(row) for row in plan.rows if row.crossed < 0 and not row.noise}
    mine = {(claim.place, *claim.result[:2]): claim for claim in found}
    assert len(table) == 2 * 2 * (
        4 + 2
    )  # fractions, seeds; read out: selections and parts, classifier: parts
    for line in table.itertuples():
        claim = mine[places[line.key, line.label], line.selection, line.part]
        assert claim.result[3] == "macro_auroc" and claim.n == line.n
        assert np.allclose(
            claim.numbers, (line.macro_auroc, line.low, line.high), rtol=0, atol=1e-9, equal_nan=True
        )
    plain = [claim for claim in found if claim.place[-3:] == ("", "0", "-1")]
    assert len(plain) == len(table)


def test_claims_of_groups_are_the_numbers_of_groups_csv(finished, found):
    plan, store = finished
    table = pd.read_csv(io.StringIO(groups_csv(build_group_frame(plan, store, 40))))
    mine = {(claim.key, *claim.result[1:3]): claim for claim in found if claim.place[-3]}
    scored = table[table["n"] > 0]
    assert len(mine) == len(scored) > 20
    for line in scored.itertuples():
        claim = mine[line.key, line.part, line.attribute]
        kind = "precision_at_5/2" if line.attribute == "set" else "acc"
        expected = (scored.loc[line.Index, kind], line.low, line.high)
        assert claim.result[3] == kind and claim.n == line.n
        assert np.allclose(claim.numbers, expected, rtol=0, atol=1e-9, equal_nan=True)


def test_noisy_and_crossed_evaluations_are_claimed_too(finished, found):
    plan, _ = finished
    noisy = {place_of(row) for row in plan.rows if row.noise}
    crossed = {place_of(row) for row in plan.rows if row.crossed >= 0}
    assert len(noisy) == 2 and len(crossed) == 2
    claimed = {claim.place for claim in found}
    assert noisy | crossed < claimed
    assert {claim.result[1] for claim in found if claim.place in noisy} == {"test"}


def test_what_is_written_is_read_back(found):
    text = claims_csv(found)
    assert text.splitlines()[0] == ",".join(COLUMNS)
    back = read_claims(text.encode())
    assert unlike(back, found) == [] and [claim.key for claim in back] == [claim.key for claim in found]
    assert claims_csv(back) == text


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (lambda text: text.replace("selection", "choice", 1), "its columns are others"),
        (lambda text: "", "its columns are others"),
        (lambda text: text + "a,b\n", "line [0-9]+ cannot be read"),
        (lambda text: text.replace("macro_auroc,", "macro_auroc,x", 1), "line 2 cannot be read"),
        (lambda text: text + '"', "it is no CSV"),
        (lambda text: text * 3000, "it has [0-9,]+ bytes"),
    ],
)
def test_what_cannot_be_read_is_one_line(found, spoil, line):
    with pytest.raises(SubmissionError, match=line):
        read_claims(spoil(claims_csv(found[:30])).encode())


def test_bytes_that_are_no_text_are_one_line():
    with pytest.raises(SubmissionError, match="it is no CSV"):
        read_claims(b"\xff\xfe")


def changed(claim, **numbers):
    names = ("value", "low", "high")
    values = dict(zip(names, claim.numbers, strict=True)) | numbers
    return dataclasses.replace(claim, numbers=tuple(values[name] for name in names))


def test_each_number_that_is_not_what_the_results_give_is_named(found):
    tested = next(claim for claim in found if not np.isnan(claim.width))
    rest = [claim for claim in found if claim is not tested]
    for name, number in zip(("value", "low", "high"), tested.numbers, strict=True):
        assert unlike([*rest, changed(tested, **{name: number + 0.9e-6})], found) == []
        (line,) = unlike([*rest, changed(tested, **{name: number + 2.5e-6})], found)
        assert line.startswith(f"{tested}: ") and f"{number + 2.5e-6:.6f}" in line.partition(" claimed, ")[0]
        (line,) = unlike([*rest, changed(tested, **{name: float("nan")})], found)
        assert " by the results" in line
    (line,) = unlike([*rest, dataclasses.replace(tested, n=7)], found)
    assert line == f"{tested}: of 7 units claimed, of {tested.n} by the results"


def test_claims_too_many_or_too_few_are_named(found):
    one = found[0]
    assert unlike(found[1:], found) == [f"{one}: the results have it, and it is not claimed"]
    assert unlike(found, found[1:]) == [f"{one} is claimed, and the results have no such number"]
    assert unlike([*found, changed(one, value=1.0)], found)[0] == f"{one} is claimed twice"


def test_another_machine_may_be_as_far_off_as_the_interval_is_wide(found):
    tested = next(claim for claim in found if claim.width > 0.1)
    others = [claim for claim in found if claim is not tested]
    inside = changed(tested, value=tested.value + 0.99 * tested.width)
    lines, told = apart([*others, inside], found)
    assert lines == [] and told == f"test scores at most {0.99 * tested.width:.4f} apart"
    outside = changed(tested, value=tested.value - 1.01 * tested.width)
    (line,) = apart([*others, outside], found)[0]
    assert line.startswith(f"{tested}: ") and line.endswith("when trained anew")


def test_a_narrow_interval_still_leaves_what_two_seeds_differ_by(found):
    tested = next(claim for claim in found if not np.isnan(claim.width))
    narrow = changed(tested, low=tested.value - 1e-4, high=tested.value + 1e-4)
    assert apart([changed(narrow, value=tested.value + 0.95 * LEAST)], found)[0] == []
    assert len(apart([changed(narrow, value=tested.value + 1.05 * LEAST)], found)[0]) == 1


def test_validation_scores_and_what_was_not_made_again_are_not_compared(found):
    far = [changed(claim, value=9.0) for claim in found if claim.result[1] == "val"]
    assert far and apart(far, found) == ([], "test scores at most 0.0000 apart")
    assert apart(found, [])[0] == []


def test_what_a_report_cannot_read_is_told(tmp_path):
    bench = make_bench(tmp_path)
    row = bench.add("simclr")
    bench.finish(row, bench.noisy(2.0, seed=1))
    assert unreportable(bench.plan, [row], bench.store, 20) == ""
    fit = bench.store.folder(row.fit_key) / "fit.json"
    fit.write_text(fit.read_text().replace('"flops"', '"flop"'))
    assert unreportable(bench.plan, [row], bench.store, 20) == "KeyError: 'flops'"


def test_a_test_record_that_is_missing_is_told(tmp_path):
    bench = make_bench(tmp_path)
    row = bench.add("simclr")
    table = bench.table(row, bench.noisy(2.0, seed=1))
    bench.commit(row, table.drop(index=table.index[-1]))
    assert "lacks the test record" in unreportable(bench.plan, [row], bench.store, 20)
