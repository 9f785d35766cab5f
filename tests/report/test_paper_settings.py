import csv
import io

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from bench.evaluate.result import targets_and_scores
from bench.metrics.challenge import contributions, decide
from bench.report.challenge_views import RULES, ChallengeViews
from bench.report.frame import build_frame
from bench.report.paper_common import PUBLISHED
from bench.report.paper_settings import OURS, settings_tables
from bench.report.summary import summarise
from bench.report.table import to_csv, to_markdown
from bench.report.views import MetricViews, records_hash
from bench.run.suite import CorpusUse
from tests.report.hand_made import make_bench
from tests.report.hand_settings import (
    AUROC,
    RESAMPLES,
    STEPS,
    add,
    challenge_bench,
    notes_of,
    real_bench,
    relaid,
    rows_of,
    shown,
    tables_of,
    write_paper,
)


@pytest.fixture
def paper(tmp_path, monkeypatch):
    return write_paper(tmp_path, monkeypatch)


def _part(bench, row, part):
    """Records sorted by id of one part of a cell: ids, patients, targets, scores."""
    table = MetricViews(bench.store, RESAMPLES).table(row.key)
    rows = table[(table["part"] == part) & (table["selection"] == "subset")].sort_values("record")
    return rows["record"], rows["patient"].to_numpy(), *targets_and_scores(rows)[:2]


def _macro(targets, scores, weights=None):
    values = [
        roc_auc_score(targets[:, k], scores[:, k], sample_weight=weights) for k in range(targets.shape[1])
    ]
    return float(np.mean(values))


def test_numbers_are_found_by_lead_sets_label_fraction_and_part(tmp_path, paper):
    bench = real_bench(tmp_path)
    rows = {
        "twelve": add(bench, "a", "all-12"),
        "half": add(bench, "a", "all-12", fraction=0.5, noise=3.0),
        "two, plain": add(bench, "a", "challenge-2", noise=2.5),
        "two": add(bench, "d", "challenge-2", noise=1.5),
        "cut": add(bench, "a", "all-12", "challenge-2", noise=2.0),
    }
    rows |= {
        f"{name}, test": rows[name] for name in ("twelve", "two", "two, plain")
    }  # the same cells, evaluated on test
    table = tables_of(bench)["auroc"]
    found = rows_of(table)
    assert [row.data["row"] for row in table.rows] == [
        row["row"] for row in (*AUROC["rows"], *AUROC["controls"][:-1])
    ]
    values = set()
    for name, own in rows.items():
        part = "val" if name in ("twelve", "two", "two, plain") else "test"
        each = [_macro(*_part(bench, row, part)[2:]) for row in own]
        assert found[name]["part"] == part
        assert found[name]["macro_auroc"] == pytest.approx(np.mean(each))
        assert (found[name]["seed_low"], found[name]["seed_high"]) == pytest.approx((min(each), max(each)))
        assert found[name]["seeds"] == 2
        values.add(round(found[name]["macro_auroc"], 6))
    assert len(values) == len(rows)
    assert (found["cut"]["lead_set"], found["cut"]["eval_lead_set"]) == ("all-12", "challenge-2")
    assert found["half"]["fraction"] == 0.5


@pytest.mark.parametrize("part", ["val", "test"])
def test_a_gain_and_its_interval_are_those_of_the_same_resampled_patients(tmp_path, paper, part):
    bench = real_bench(tmp_path)
    plain, own = add(bench, "a", "challenge-2", noise=1.5), add(bench, "d", "challenge-2", noise=1.2)
    name = "two" if part == "val" else "two, test"
    row = rows_of(tables_of(bench)["auroc"])[name]
    assert row["minus"] == ("two, plain" if part == "val" else "two, plain, test")
    records, patients, *_ = _part(bench, plain[0], part)
    seed = int(records_hash(records)[:16], 16)
    names = np.unique(patients)
    drawn = np.random.default_rng(seed).integers(len(names), size=(RESAMPLES, len(names)))
    first, second = [[_part(bench, cell, part)[2:] for cell in cells] for cells in (own, plain)]
    gaps, levels = [], []
    for resample in drawn:
        weights = np.array([(names[resample] == patient).sum() for patient in patients])
        means = [np.mean([_macro(*pair, weights) for pair in cells]) for cells in (first, second)]
        gaps.append(means[0] - means[1])
        levels.append(means[0])
    points = [[_macro(*pair) for pair in cells] for cells in (first, second)]
    assert row["gain"] == pytest.approx(np.mean(points[0]) - np.mean(points[1]))
    assert (row["gain_low"], row["gain_high"]) == pytest.approx(np.quantile(gaps, [0.025, 0.975]), abs=1e-6)
    assert (row["low"], row["high"]) == pytest.approx(np.quantile(levels, [0.025, 0.975]), abs=1e-6)
    below, above = int((np.array(gaps) <= 1e-7).sum()), int((np.array(gaps) >= -1e-7).sum())
    assert row["gain_p"] == pytest.approx(min(1, 2 * (1 + min(below, above)) / (RESAMPLES + 1)))
    each = np.array(points[0]) - np.array(points[1])
    assert (row["gain_seeds"], row["gain_seeds_above"]) == (2, int((each > 0).sum()))
    assert (row["gain_seed_low"], row["gain_seed_high"]) == pytest.approx((each.min(), each.max()))


def test_scores_are_those_selected_on_the_fractions_own_records(tmp_path, paper):
    bench = real_bench(tmp_path)
    where = {"lead_set": "challenge-2", "eval_lead_set": "challenge-2"}
    values = {}
    for label in ("a", "d"):
        row = bench.add(label, **where)
        tables = [
            bench.table(row, bench.noisy(noise, len(values)), (chosen,))
            for chosen, noise in (("subset", 1.0), ("all", 9.0))
        ]
        bench.commit(row, pd.concat(tables, ignore_index=True))
        values[label] = {part: _macro(*_part(bench, row, part)[2:]) for part in ("val", "test")}
    rows = rows_of(tables_of(bench)["auroc"])
    for name, part in (("two, plain", "val"), ("two, plain, test", "test")):
        assert rows[name]["macro_auroc"] == pytest.approx(values["a"][part])
    assert rows["two"]["gain_seed_low"] == pytest.approx(values["d"]["val"] - values["a"]["val"])


def test_resamples_of_the_validation_part_are_kept_in_the_store(tmp_path, paper, monkeypatch):
    bench = real_bench(tmp_path)
    (row, _) = add(bench, "a", "challenge-2")
    views = MetricViews(bench.store, RESAMPLES)
    kept = views.draws_of_part(row.key, "subset", "val")
    assert kept.shape == (RESAMPLES,)
    views.metrics(row.key, "single")
    tested = views.draws_of_part(row.key, "subset", "test")
    assert np.array_equal(tested, views.draws(row.key, "subset"))
    assert not np.array_equal(kept, tested)
    again = MetricViews(bench.store, RESAMPLES)
    monkeypatch.setattr(again, "table", None)
    assert np.array_equal(again.draws_of_part(row.key, "subset", "val"), kept)


def test_p_is_corrected_over_the_gains_of_a_block(tmp_path, paper):
    bench = real_bench(tmp_path)
    for label, leads in (("a", "all-12"), ("a", "challenge-2"), ("d", "challenge-2")):
        add(bench, label, leads, noise=0.2 if label == "d" else 2.5)
    add(bench, "a", "all-12", fraction=0.5, noise=9.0)
    rows = rows_of(tables_of(bench)["auroc"])
    least = 2 / (RESAMPLES + 1)
    assert rows["two"]["gain_p"] == rows["two"]["gain_p_holm"] == pytest.approx(least)
    pair = sorted((rows["two, test"]["gain_p"], rows["half"]["gain_p"]))
    told = sorted((rows["two, test"]["gain_p_holm"], rows["half"]["gain_p_holm"]))
    assert told == pytest.approx([2 * pair[0], max(2 * pair[0], pair[1])])
    assert rows["twelve"]["gain_p_holm"] is None


def test_a_published_gain_holds_reversed_or_not_told_from_nothing(tmp_path, paper):
    bench = real_bench(tmp_path)
    add(bench, "a", "challenge-2", noise=2.5)
    add(bench, "d", "challenge-2", noise=0.2)
    add(bench, "a", "all-12", noise=2.5)
    add(bench, "a", "challenge-3", noise=0.2)
    table = tables_of(bench)["auroc"]
    rows = rows_of(table)
    assert (rows["two"]["published_gain"], rows["two"]["holds"]) == (0.0012, "yes")
    assert (rows["three"]["published_gain"], rows["three"]["holds"]) == (-0.1013, "reversed")
    assert rows["two, test"]["published_gain"] is None
    assert rows["two, test"]["holds"] == ""
    assert shown(table, "two")["published gain"].text == "+0.12"
    assert shown(table, "two")["seeds that gain"].text == "2 of 2"
    assert shown(table, "three")["published gain holds"].text == "reversed"
    weak = real_bench(tmp_path / "weak")
    for label, noise in (("a", 1.5), ("d", 1.2)):
        add(weak, label, "challenge-2", noise=noise)
    row = rows_of(tables_of(weak)["auroc"])["two"]
    assert 0.1 < row["gain_p_holm"] < 0.9
    assert row["holds"] == "not told from 0"


def test_ours_less_published_verdict_and_decimals(tmp_path, paper):
    bench = real_bench(tmp_path)
    add(bench, "a", "all-12")
    add(bench, "d", "challenge-2")
    table = tables_of(bench)["auroc"]
    row, cells = rows_of(table)["twelve"], shown(table, "twelve")
    assert (row["published"], row["published_spread"]) == (0.8012, 0.004)
    assert (row["published_split"], row["published_note"]) == ("validation", "no seeds")
    assert row["difference"] == pytest.approx(row["macro_auroc"] - 0.8012)
    assert (row["verdict"], row["because"], row["rule"]) == ("same", "", None)
    assert cells["published ± SD"].text == "80.12 ± 0.40"
    span = f"{100 * row['low']:.2f} to {100 * row['high']:.2f}"
    assert cells["ours (95\u00a0% interval)"].text == f"{100 * row['macro_auroc']:.2f} ({span})"
    assert cells["range over 2 seeds"].text == f"{100 * row['seed_low']:.2f} to {100 * row['seed_high']:.2f}"
    assert cells["ours − published"].text.replace("−", "-") == f"{100 * row['difference']:+.2f}"
    assert (cells["leads"].text, cells["part"].text) == ("all-12", "validation")
    assert {"masks", "seeds", "published gain holds"}.isdisjoint(cells)
    assert table.columns[-1].head == "verdict"
    assert shown(table, "two")["published ± SD"].text == "71.13"
    own = rows_of(table)["two"]
    assert (own["verdict"], own["because"]) == ("near", "In this row differ: steps 100 (published: 7)")
    assert own["gain"] is None  # the run lacks the row that it is compared with
    relaid(paper, checks=[{**STEPS, "published": 99}], spread="")
    assert shown(tables_of(bench)["auroc"], "twelve")["published"].text == "80.12 ± 0.40"
    assert rows_of(tables_of(bench)["auroc"])["twelve"]["because"] == (
        "Conditions that differ: steps 100 (published: 99)"
    )


def test_a_simulated_corpus_gives_no_comparison(tmp_path, paper):
    bench = make_bench(tmp_path, 90, name="paper")
    for label in ("a", "d"):
        add(bench, label, "challenge-2", noise=0.2 if label == "d" else 2.5)
    table = tables_of(bench)["auroc"]
    row = rows_of(table)["two"]
    assert (row["difference"], row["verdict"], row["holds"]) == (None, "not comparable", "")
    assert row["because"].startswith("Not comparable: ours is measured on a simulated cohort")
    assert row["gain"] > 0
    assert {"published gain holds", "ours − published"}.isdisjoint(shown(table, "two"))
    assert shown(table, "two")["verdict"].text == "not comparable"
    assert "A published gain holds" not in table.caption
    assert table.title.startswith("SIMULATED DATA. Paper, Table 1 (few leads): macro one-vs-rest AUROC")


def test_rows_without_a_result_say_why(tmp_path, paper):
    bench = real_bench(tmp_path)
    add(bench, "a", "all-12")
    failed = bench.add("d", lead_set="challenge-2", eval_lead_set="challenge-2")
    bench.store.fail(failed.key, "failed", "Diverged", "")
    table = tables_of(bench)["auroc"]
    rows = rows_of(table)
    assert rows["three"]["because"] == "The run did not ask for 'a' with challenge-3"
    assert rows["two, plain"]["because"] == "The run did not ask for 'a' with challenge-2"
    assert rows["two"]["because"] == "failed: Diverged"
    assert rows["hidden"]["because"] == "Never released"
    assert (rows["hidden"]["lead_set"], rows["hidden"]["published"]) == (None, 0.7)
    assert {rows[name]["verdict"] for name in ("three", "two", "hidden")} == {"no result"}
    assert {"absent", "cut", "two, plain, test", "half"}.isdisjoint(rows)
    assert notes_of(table, shown(table, "hidden")["verdict"]) == ["Never released"]
    assert [row.block for row in table.rows] == [PUBLISHED] * 5 + [OURS] * 2
    assert notes_of(table, shown(table, "two")["row of the paper"]) == ["An odd row"]
    other = real_bench(tmp_path / "other")
    add(other, "d", "challenge-2")
    assert rows_of(tables_of(other)["auroc"])["twelve"]["because"] == "The run did not ask for 'a'"


def test_seeds_that_are_lost_leave_the_pairs_that_both_have(tmp_path, paper):
    bench = real_bench(tmp_path)
    plain = add(bench, "a", "challenge-2", noise=1.5, seeds=3)
    own = add(bench, "d", "challenge-2", noise=1.2, seeds=2)
    row = rows_of(tables_of(bench)["auroc"])["two, test"]
    each = [_macro(*_part(bench, one, "test")[2:]) for one in own]
    base = [_macro(*_part(bench, one, "test")[2:]) for one in plain]
    assert row["gain"] == pytest.approx(np.mean(each) - np.mean(base))
    assert row["gain_seeds"] == 2
    gaps = np.subtract(each, base[:2])
    assert (row["gain_seed_low"], row["gain_seed_high"]) == pytest.approx((gaps.min(), gaps.max()))


def test_one_table_a_corpus_with_the_leads_in_its_rows(tmp_path, paper):
    real, simulated = real_bench(tmp_path / "real"), make_bench(tmp_path / "sim", 90, name="paper")
    summaries, plans = [], []
    for bench in (real, simulated):
        add(bench, "a", "all-12")
        add(bench, "a", "challenge-2")
        views = MetricViews(bench.store, RESAMPLES)
        summaries += summarise(build_frame(bench.plan, bench.store, RESAMPLES), views)
        plans.append(bench.plan)
    for bench, count in ((real, 1), (simulated, 1)):
        own = [s for s in summaries if s.setting.simulated == bench.corpus.simulated]
        views = MetricViews(bench.store, RESAMPLES)
        made = settings_tables(bench.plan, own, {}, bench.plan.suites[0], views, RESAMPLES)
        assert len(made) == count
        (table,) = made
        assert (table.context["corpus"], table.context["simulated"]) == (
            bench.corpus.name,
            bench.corpus.simulated,
        )
        assert not [name for name in table.context if name.endswith("lead_set")]
        assert "leads of each row;" in table.caption
        assert "Part validation: 18 records." in table.caption
        read = list(csv.DictReader(io.StringIO(to_csv(table))))
        assert read[0]["lead_set"] == "all-12"
        assert read[0]["macro_auroc"]
        assert len(next(csv.reader(io.StringIO(to_csv(table))))) == len(read[0])
        assert "| twelve " in to_markdown(table)


def test_no_table_where_nothing_is_of_its_corpus_and_task(tmp_path, paper):
    bench = real_bench(tmp_path, corpora=(CorpusUse(corpus="tiny-sim", task="findings"),))
    add(bench, "a", "all-12", task="findings")
    assert tables_of(bench) == {}
    bare = real_bench(tmp_path / "bare")
    add(bare, "stranger", "all-12")
    assert tables_of(bare) == {}


def test_each_row_has_the_score_of_its_rule(tmp_path, paper):
    bench = challenge_bench(tmp_path, label_fractions=(1.0,))
    cells = {label: add(bench, label, "challenge-6", task="scored26", noise=0.8) for label in ("a", "b")}
    table = tables_of(bench)["rules"]
    rows = rows_of(table)
    views = ChallengeViews(bench.plan, bench.store, RESAMPLES)
    rules = {"Base": "known", "Bare": "unmasked", "Chosen": "validation", "guessed": "inferred"}
    assert set(rules.values()) == set(RULES)
    values = {}
    for name, rule in rules.items():
        each = [views.metrics(row.key, rule)["challenge_metric"] for row in cells["a"]]
        assert (rows[name]["challenge_metric"], rows[name]["rule"]) == (pytest.approx(np.mean(each)), rule)
        values[name] = np.array(each)
    assert values["Base"].mean() < values["Bare"].mean() - 0.05
    gaps = values["Bare"] - values["Base"]
    assert (rows["Bare"]["gain_seed_low"], rows["Bare"]["gain_seed_high"]) == pytest.approx(
        (gaps.min(), gaps.max())
    )
    assert rows["Bare"]["gain"] == pytest.approx(gaps.mean())
    assert rows["Bare"]["gain_low"] == pytest.approx(_low(bench, views, cells["a"]), abs=1e-6)
    assert rows["Equal"]["published_gain"] == 0
    assert rows["Equal"]["holds"] == ""
    assert shown(table, "Bare")["masks"].text == "no masks"
    assert shown(table, "Base")["published ± SD"].text == "66.6 ± 0.2"
    assert "compared with" not in shown(table, "Bare")
    assert "Gain: a row minus 'Base', on the same" in table.caption
    assert "Holm-corrected over 3 gains (rows of the paper) and, apart, 1 gain (ours only);" in table.caption
    assert "leads" not in shown(table, "Base")
    assert "leads challenge-6;" in table.caption
    assert "compare" not in rows["Base"]["because"]
    assert table.title.startswith("Paper, Table 2 (masks): Challenge metric; published and ours")
    assert "Masked: classes that a record's source database never has" in table.caption


def _low(bench, views, cells):
    """Lower end of the interval of unmasked less masked, from every record's own share of the metric."""
    gaps = []
    scored = [views.masked(row.key) for row in cells]
    counts = MetricViews(bench.store, RESAMPLES).resamples_of(_rows(bench, cells[0]))
    for weights in counts:
        means = []
        for rule in ("unmasked", "known"):
            each = []
            for cell in scored:
                own = cell[rule]
                parts = contributions(own.targets, decide(own.scores, own.thresholds()))
                observed, inactive, correct = (weights[:, None] * parts).sum(axis=0)
                each.append((observed - inactive) / (correct - inactive))
            means.append(np.mean(each))
        gaps.append(means[0] - means[1])
    return np.quantile(gaps, 0.025)


def _rows(bench, row):
    table = MetricViews(bench.store, RESAMPLES).table(row.key)
    return table[(table["part"] == "test") & (table["selection"] == "subset")].sort_values("record")


def test_without_a_challenge_metric_its_rows_say_so(tmp_path, paper):
    bench = challenge_bench(tmp_path, label_fractions=(1.0,))
    add(bench, "a", "challenge-6", task="scored26", noise=0.8)
    found = tables_of(bench, unmasked=[])["rules"]
    assert rows_of(found)["Bare"]["because"].startswith("Its scores are of other classes")
    assert rows_of(found)["Base"]["seeds"] == 2
    assert rows_of(found)["Equal"]["because"] == "The run did not ask for 'b'"


def test_validation_that_chose_a_checkpoint_is_called_optimistic(tmp_path, paper):
    bench = real_bench(tmp_path, entries=("a",))
    add(bench, "a", "all-12")
    assert "optimistic" not in tables_of(bench)["auroc"].caption
    suite = bench.plan.suites[0]
    budget = suite.budget.model_copy(update={"selection": "best_val_loss"})
    bench.plan.suites[0] = suite.model_copy(update={"budget": budget})
    assert "also chose the checkpoint" in tables_of(bench)["auroc"].caption
