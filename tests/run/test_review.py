"""What is submitted is held against the plan that this checkout makes, and each difference is one clear line."""

import dataclasses
import json
import shutil
from types import SimpleNamespace

import pytest

from bench.run import review
from bench.run.registry import Registry
from bench.run.review import Check, Verdict, differences
from bench.run.store import Store
from bench.run.submission import place_of, rows_of
from tests.run.conftest import STRATEGIES
from tests.run.sent import opened, packed, redescribe, refile
from tests.run.stored import ALL_STAGES, run

ROWS = ("noise", "head")


@pytest.fixture(scope="module")
def finished(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("review")
    plan, registry = tiny.plan(**ALL_STAGES), Registry((tiny.file,))
    store = run(plan, folder / "store")
    packed(plan, store, registry, folder / "mine")
    return SimpleNamespace(plan=plan, registry=registry, store=store, folder=folder / "mine", tiny=tiny)


@pytest.fixture
def copy(finished, tmp_path):
    return shutil.copytree(finished.folder, tmp_path / "mine")


def lines(checks, verdict):
    return [check.detail for check in checks if check.verdict is verdict]


def wrong(checks):
    return lines(checks, Verdict.WRONG)


def of(plan, **wanted):
    return next(r for r in rows_of(plan, ROWS) if all(getattr(r, n) == v for n, v in wanted.items()))


def test_an_honest_submission_passes_every_check(finished):
    plan, sent = finished.plan, opened(finished.plan, finished.folder)
    rows = rows_of(plan, ROWS)
    checks = [
        *review.check_complete(sent),
        *review.check_plan(sent, plan, rows),
        *review.check_corpora(sent, plan),
        *review.check_strategies(sent, finished.registry),
        *review.check_code(sent, finished.registry),
        *review.check_agreement(sent),
        *review.check_ledger(plan, ROWS),
        *review.check_units(sent, plan, rows),
    ]
    assert all(check.verdict is Verdict.GOOD for check in checks), [str(c) for c in checks]
    keys = {row.key for row in rows}
    assert f"{len(keys)} cells and 5 notes" in checks[0].detail
    assert f"{len(rows)} of {len(rows)} evaluations that tiny plans here" in checks[1].detail
    assert f"all of {len(keys)} cells" in checks[-1].detail


def test_what_a_row_is_paid_for_the_code_here_says(finished):
    first, second = lines(review.check_ledger(finished.plan, ROWS), Verdict.GOOD)
    assert first == "beside ECGs noise reads in training nothing, to be judged nothing"
    assert second == "beside ECGs head reads in training labels, to be judged nothing"


def test_a_line_holds_no_commands_for_a_terminal():
    assert str(Check("plan", Verdict.WRONG, "red \x1b[31m\nline")) == "FAIL plan: red ?[31m?line"


def test_cells_without_claims_and_claims_without_cells(finished, copy):
    sent = opened(finished.plan, copy)
    row = of(finished.plan, label="noise", fraction=0.5)
    places = {place: key for place, key in sent.places.items() if place != place_of(row)}
    assert wrong(review.check_complete(dataclasses.replace(sent, places=places))) == [
        f"cell {row.key[:12]} is there, and nothing is claimed of it"
    ]
    shutil.rmtree(copy / "cells" / row.key[:2] / row.key)
    assert f"cell {row.key[:12]} is claimed, and not there" in wrong(review.check_complete(sent))


def test_what_a_row_rests_on_must_be_told_and_nothing_else(finished, copy):
    fit = of(finished.plan, label="head", fraction=1.0).fit_key
    other = next(row.fit_key for row in finished.plan.rows if row.label == "untrained")
    names = ("cell.json", "fit.json", "health.csv", "provenance.json")
    Store(copy).note(other, {name: finished.store.read(other, name) for name in names})
    shutil.rmtree(copy / "notes" / fit[:2] / fit)
    assert wrong(review.check_complete(opened(finished.plan, copy))) == [
        f"nothing is told of {fit[:12]}, which the row rests on",
        f"note {other[:12]}: no cell of the row rests on it",
    ]


def test_only_its_own_rows_are_claimed(finished):
    sent = opened(finished.plan, finished.folder)
    said = sent.said.model_copy(update={"rows": ("noise",)})
    (line,) = wrong(review.check_complete(dataclasses.replace(sent, said=said)))
    assert line == "row 'head' is claimed, but not named in its rows"


def test_missing_cells_must_be_said(finished):
    sent, rows = opened(finished.plan, finished.folder), rows_of(finished.plan, ROWS)
    gone = [place_of(row) for row in rows if row.label == "noise" and not row.grouping]
    fewer = dataclasses.replace(sent, places={p: k for p, k in sent.places.items() if p not in gone})
    (line,) = wrong(review.check_plan(fewer, finished.plan, rows))
    assert (
        line
        == "noise on tiny-sim, fraction 0.5, seed 0 and 1 more: missing, and it does not say that it is partial"
    )
    said = sent.said.model_copy(update={"partial": True})
    (good,) = review.check_plan(dataclasses.replace(fewer, said=said), finished.plan, rows)
    assert good.verdict is Verdict.GOOD and f"{len(rows) - 2} of {len(rows)} evaluations" in good.detail


def test_a_row_that_is_not_here(finished):
    sent = opened(finished.plan, finished.folder)
    (line,) = wrong(review.check_plan(sent, finished.plan, rows_of(finished.plan, ("head",))))
    count = sum(row.label == "noise" for row in rows_of(finished.plan, ROWS))
    assert (
        line
        == f"noise on tiny-sim, fraction 0.5, seed 0 and {count - 1} more: no such evaluation is planned here"
    )


def test_swapped_cells_stand_at_another_place(finished):
    sent = opened(finished.plan, finished.folder)
    low, high = (of(finished.plan, label="noise", fraction=f, grouping="") for f in (0.5, 1.0))
    places = {**sent.places, place_of(low): high.key, place_of(high): low.key}
    found = wrong(
        review.check_plan(
            dataclasses.replace(sent, places=places), finished.plan, rows_of(finished.plan, ROWS)
        )
    )
    assert found[0].startswith(
        "noise on tiny-sim, fraction 0.5, seed 0: subset.fingerprint of the predict is "
    )
    assert "subset.fraction of the predict is 1.0 there, 0.5 here" in found[0] and len(found) == 2


def test_other_code_of_a_strategy(finished, tmp_path):
    """The same plan with a strategy's file that differs: told once, at the fit, for all of its cells."""
    file = tmp_path / "extra.py"
    file.write_text(STRATEGIES.replace("0.1 * torch.randn", "0.2 * torch.randn"))
    here = finished.tiny.plan(Registry((file,)), **ALL_STAGES)
    sent, rows = opened(finished.plan, finished.folder), rows_of(here, ("noise",))
    found = wrong(review.check_plan(sent, here, rows))
    theirs, ours = (
        p.jobs[rows_of(p, ("noise",))[0].fit_key].cell.strategy.code[:8] for p in (finished.plan, here)
    )
    (line,) = [line for line in found if line.startswith("noise")]
    assert line.endswith(
        f"strategy.code of the fit is {theirs} there, {ours} here (the strategy's file, its encoder's, or what they"
        " import is another)"
    )
    file.write_text("# the same code, told otherwise\n" + STRATEGIES)
    same = finished.tiny.plan(Registry((file,)), **ALL_STAGES)
    assert wrong(review.check_plan(sent, same, rows_of(same, ROWS))) == []


def test_another_protocol_is_told_field_by_field(finished):
    here = finished.tiny.plan(**ALL_STAGES, budget={"steps": 3, "batch": 8}, seed=4)
    row, ours = (
        of(finished.plan, label="noise", fraction=1.0, grouping=""),
        of(here, label="noise", fraction=1.0, grouping=""),
    )
    found = differences(opened(finished.plan, finished.folder), row.key, here, ours.key)
    assert found == ["budget.steps of the fit is 2 there, 3 here", "suite_seed of the fit is 0 there, 4 here"]
    other = finished.tiny.plan(
        **ALL_STAGES, encoder={"name": "resnet1d18", "arguments": {"width": 2, "dim": 4}}, seed=4
    )
    key = of(other, label="noise", fraction=0.5, grouping="").key
    found = differences(
        opened(finished.plan, finished.folder),
        of(finished.plan, label="noise", fraction=0.5, grouping="").key,
        other,
        key,
    )
    assert found[0] == "encoder.arguments.dim of the fit is 8 there, 4 here"
    assert found[1] == "encoder.arguments.width of the fit is 4 there, 2 here"
    assert found[2:] == ["suite_seed of the fit is 0 there, 4 here", "and 1 more"]


def test_other_code_that_scores(finished, copy):
    row = of(finished.plan, label="noise", fraction=0.5)
    new = redescribe(copy, "cells", row.key, {"code": "0" * 64})
    sent = opened(finished.plan, copy)
    sent = dataclasses.replace(sent, places={**sent.places, place_of(row): new})
    (line,) = wrong(review.check_plan(sent, finished.plan, rows_of(finished.plan, ROWS)))
    code = finished.plan.jobs[row.key].cell.code[:8]
    place = "noise on tiny-sim, fraction 0.5, seed 0"
    assert (
        line
        == f"{place}: code of the predict is 00000000 there, {code} here (the code that scores is another)"
    )
    assert wrong(review.check_code(sent, finished.registry)) == [
        "the code that scores is another here (1 cells)"
    ]


def test_without_a_plan_the_code_of_a_strategy_is_still_looked_at(finished, copy, tmp_path):
    sent = opened(finished.plan, copy)
    file = tmp_path / "extra.py"
    file.write_text(STRATEGIES.replace("0.1 * torch.randn", "0.2 * torch.randn"))
    head, noise = sorted(wrong(review.check_code(sent, Registry((file,)))))
    assert head.startswith("strategy.code of 'head' differs") and head.endswith("(2 cells)")
    assert noise.startswith("strategy.code of 'noise' differs") and noise.endswith("(1 cells)")
    nobody = wrong(review.check_code(sent, Registry()))
    assert {line.partition(" or ")[0] for line in nobody} == {"strategy 'noise'", "strategy 'head'"}


def test_another_corpus(finished):
    sent = opened(finished.plan, finished.folder)
    (fact,) = sent.said.corpora

    def said(**changes):
        corpora = (fact.model_copy(update=changes),)
        other = dataclasses.replace(sent, said=sent.said.model_copy(update={"corpora": corpora}))
        return wrong(review.check_corpora(other, finished.plan))

    assert said() == []
    ours = fact.fingerprint[:8]
    assert said(fingerprint="1" * 64) == [
        f"tiny-sim@50: fingerprint 11111111 there, {ours} here: another corpus"
    ]
    assert said(name="moon@50") == ["moon@50 is no corpus of these suites"]
    is_so = "simulated" if fact.simulated else "real"
    assert said(simulated=not fact.simulated) == [f"tiny-sim@50 is {is_so}, and said not to be"]


def test_the_strategys_file_must_be_here(finished, tmp_path):
    sent = opened(finished.plan, finished.folder)
    (line,) = wrong(review.check_strategies(sent, Registry()))
    assert line == "strategies/extra.py is not here; add it to the pull request"
    file = tmp_path / "extra.py"
    file.write_text("import nothing_like_this\n")
    (line,) = wrong(review.check_strategies(sent, Registry((file,))))
    assert line.startswith("strategies/extra.py cannot be used: ModuleNotFoundError")
    file.write_text(STRATEGIES + "\n# a remark\n")
    (check,) = review.check_strategies(sent, Registry((file,)))
    assert check.verdict is Verdict.GOOD and check.detail.endswith(
        "(not byte for byte what ran: strategies/extra.py)"
    )
    file.write_bytes(STRATEGIES.replace("\n", "\r\n").encode())
    (check,) = review.check_strategies(sent, Registry((file,)))
    assert check.detail == "strategies/extra.py"


def test_cells_that_disagree_about_a_target_are_found_without_the_corpus(finished, copy):
    from tests.run.test_expected_units import spoilt

    row = of(finished.plan, label="head", fraction=1.0, grouping="")
    content = finished.store.read(row.key, "scores.parquet")

    def flip(table):
        table.loc[0, "target:fast"] = 1 - table.loc[0, "target:fast"]

    refile(copy, "cells", row.key, {"scores.parquet": spoilt(content, flip)})
    found = wrong(review.check_agreement(opened(finished.plan, copy)))
    assert found and all("has target:fast" in line for line in found)
    assert any(row.key[:12] in line for line in found)


def test_units_are_looked_at_cell_by_cell(finished, copy):
    from tests.run.test_expected_units import spoilt

    row = of(finished.plan, label="noise", fraction=0.5)
    content = finished.store.read(row.key, "scores.parquet")
    refile(
        copy, "cells", row.key, {"scores.parquet": spoilt(content, lambda t: t.drop(index=0, inplace=True))}
    )
    (line,) = wrong(
        review.check_units(opened(finished.plan, copy), finished.plan, rows_of(finished.plan, ROWS))
    )
    assert line.startswith("noise on tiny-sim, fraction 0.5, seed 0: it lacks the val record ")


def test_records_of_what_is_not_planned_here_are_open(finished):
    other = finished.tiny.plan(**ALL_STAGES, seed=4)
    sent, rows = opened(finished.plan, finished.folder), rows_of(other, ROWS)
    assert not {row.key for row in rows} & set(sent.places.values())
    (check,) = review.check_units(sent, other, rows)
    assert check.verdict is Verdict.OPEN and "none of the cells is planned here" in check.detail


def test_many_faults_are_counted():
    checks = review.of_faults("files", [f"fault {n}" for n in range(8)], "")
    assert [check.detail for check in checks][-2:] == ["fault 4", "and 3 more"]
    assert all(check.wrong for check in checks)
    assert json.dumps([str(c) for c in review.of_faults("files", [], "fine")]) == '["ok   files: fine"]'
