"""The table by sex and age band: its numbers against the views, its gaps against loops and simulated cohorts."""

from itertools import combinations

import numpy as np
import pytest

from bench.report import subgroups
from bench.report.frame import build_frame
from bench.report.latex import to_latex
from bench.report.stats import difference, holm
from bench.report.subgroup_views import FAMILIES, SHARED, SubgroupViews
from bench.report.subgroups import subgroup_table, widest_gap
from bench.report.summary import summarise
from bench.report.table import to_csv, to_markdown
from bench.report.views import MetricViews
from tests.report.hand_made import TASK, make_bench

RESAMPLES = 200
NAMES = [name for names in FAMILIES.values() for name in names]
IDS = ["female", "male", "age_below_40", "age_40_59", "age_60_74", "age_75_up"]


def with_people(bench, **columns):
    vars(bench.corpus)["records"] = bench.corpus.records.assign(**columns)
    return bench


def table_of(bench, resamples=RESAMPLES):
    """The table, its rows by label, the views behind it."""
    views = SubgroupViews(bench.plan, bench.store, resamples)
    summary = summarise(build_frame(bench.plan, bench.store, resamples), MetricViews(bench.store, resamples))[
        0
    ]
    table = subgroup_table(summary, bench.plan.suites[0], views)
    return table, {row.data["label"]: row for row in table.rows} if table else {}, views


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """Three rows of which one is much worse on women, and one that gives everybody the same."""
    bench = make_bench(tmp_path_factory.mktemp("gaps"), 900, label_fractions=(1.0,))
    records = bench.corpus.records
    age = records["age"].to_numpy().copy()
    age[np.flatnonzero(records["part"] == "test")[:3]] = np.nan
    with_people(bench, age=age)
    rows = bench.parts(TASK)
    women = (records["sex"].iloc[np.concatenate([rows.val, rows.test])] == "female").to_numpy()
    for seed in (0, 1):
        bench.finish(bench.add("even", seed=seed), bench.noisy(1.5, seed))
        biased = np.where(women[:, None], bench.noisy(9, 5 + seed), bench.noisy(1, 7 + seed))
        bench.finish(bench.add("biased", seed=seed), biased)
        bench.finish(bench.add("floor", seed=seed, origin="baseline"), np.full(biased.shape, 0.5))
    bench.finish(bench.add("lone", seed=0), bench.noisy(2, 3))
    bench.add("lone", seed=1)
    return bench


@pytest.fixture(scope="module")
def made(bench):
    return table_of(bench)


def keys_of(bench, label):
    keys = [row.key for (own, _, _), row in bench.rows.items() if own == label]
    return [key for key in keys if bench.store.has(key)]


@pytest.mark.parametrize("label", ["even", "biased", "lone"])
@pytest.mark.parametrize("place", range(6))
def test_scores_are_means_over_seeds_with_intervals_over_patients(bench, made, label, place):
    _, rows, views = made
    name, ident, keys = NAMES[place], IDS[place], keys_of(bench, label)
    data = rows[label].data
    points = [views.group(key, name)["macro_auroc"] for key in keys]
    assert data[f"{ident}_macro_auroc"] == pytest.approx(np.mean(points))
    draws = np.mean([views.draws(key, name) for key in keys], axis=0)
    low, high = np.nanquantile(draws, [0.025, 0.975])
    assert (data[f"{ident}_low"], data[f"{ident}_high"]) == pytest.approx((low, high))
    briers = [views.group(key, name)["brier"] for key in keys]
    assert data[f"{ident}_brier"] == pytest.approx(np.mean(briers))
    group = views.group(keys[0], name)
    assert (data[f"{ident}_records"], data[f"{ident}_patients"]) == (group["records"], group["patients"])
    shown = rows[label].cells[[2, 3, 6, 7, 8, 9][place]].text
    assert shown == f"{100 * np.mean(points):.1f} ({100 * low:.1f} to {100 * high:.1f})"


@pytest.mark.parametrize("label", ["even", "biased", "lone"])
def test_the_gap_of_the_sexes_is_of_independent_resamples(bench, made, label):
    _, rows, views = made
    keys, data = keys_of(bench, label), rows[label].data
    first, second = (
        np.stack([views.draws(key, name + SHARED) for key in keys]) for name in ("female", "male")
    )
    value = data["female_macro_auroc"] - data["male_macro_auroc"]
    test = difference(value, first, second)
    found = [data[f"female_minus_male{end}"] for end in ("", "_low", "_high", "_p")]
    assert found == pytest.approx([test.value, test.low, test.high, test.p])
    assert rows[label].cells[4].text.startswith(f"{100 * value:+.1f} (".replace("-", "−"))


def test_the_gap_of_ages_is_the_widest_and_says_between_whom(bench, made):
    _, rows, views = made
    for label in ("even", "biased", "lone"):
        keys, data = keys_of(bench, label), rows[label].data
        bands = FAMILIES["age"]
        points = [data[f"{ident}_macro_auroc"] for ident in IDS[2:]]
        draws = np.stack([np.mean([views.draws(key, name) for key in keys], axis=0) for name in bands])
        test = widest_gap(points, draws)
        assert data["age_worst_minus_best"] == pytest.approx(min(points) - max(points))
        assert data["age_worst_minus_best_p"] == pytest.approx(test.p)
        between = f"{bands[np.argmin(points)]} − {bands[np.argmax(points)]}"
        assert data["age_worst_and_best"] == between
        assert rows[label].cells[10].text.endswith(f", {between}")


@pytest.mark.parametrize("gap", ["female_minus_male", "age_worst_minus_best"])
def test_p_values_are_corrected_over_the_rows_that_can_differ(made, gap):
    _, rows, _ = made
    data = [rows[label].data for label in ("even", "biased", "lone")]
    corrected = holm([row[f"{gap}_p"] for row in data])
    assert [row[f"{gap}_p_holm"] for row in data] == pytest.approx(list(corrected))
    floor = rows["floor"]
    assert floor.data[f"{gap}_p_holm"] is None
    assert [cell.text for cell in floor.cells[4:6]] == ["–", "–"]
    assert floor.cells[2].text == "50.0 (50.0 to 50.0)"


def test_only_the_row_that_is_worse_on_women_is_found_so(made):
    _, rows, _ = made
    corrected = {label: rows[label].data["female_minus_male_p_holm"] for label in ("even", "biased", "lone")}
    assert corrected["biased"] < 0.05 < min(corrected["even"], corrected["lone"])
    assert rows["biased"].data["female_minus_male"] < -0.2


def test_heads_tell_the_records_and_the_caption_the_unknown(bench, made):
    table, _, views = made
    heads = [column.head for column in table.columns]
    about = [views.group(keys_of(bench, "even")[0], name)["records"] for name in NAMES]
    assert heads[:2] == ["strategy", "all"]
    assert heads[2:4] == [f"{name}, {n} records" for name, n in zip(NAMES[:2], about[:2], strict=True)]
    assert heads[6:10] == [f"{name} years, {n} records" for name, n in zip(NAMES[2:], about[2:], strict=True)]
    assert heads[4:6] == ["female − male", "p (Holm)"]
    assert "Left out: unknown age of 3 records." in table.caption
    assert "200 bootstrap resamples" in table.caption
    assert "Gaps are of the classes" not in table.caption
    assert all(not column.notes for column in table.columns)


def test_the_table_has_all_forms_and_is_made_of_every_scored_row(made):
    table, rows, _ = made
    assert table.name == "subgroups"
    assert table.title.startswith("SIMULATED DATA. Scores by sex and age band")
    assert set(rows) == {"even", "biased", "lone", "floor"}
    assert {len(row.cells) for row in table.rows} == {len(table.columns)} == {12}
    assert "female_macro_auroc" in to_csv(table)
    assert "| Even" in to_markdown(table) and "tabular" in to_latex(table)


def test_groups_without_numbers_say_why_and_have_no_gaps(tmp_path):
    bench = make_bench(tmp_path, 300, label_fractions=(1.0,))
    with_people(bench, age=55.0)
    bench.finish(bench.add("one"), bench.noisy(1, 0))
    table, rows, _ = table_of(bench)
    told = {c.head: " ".join(table.footnotes[n - 1] for n in c.notes) for c in table.columns if c.notes}
    assert told["<40 years, 0 records"] == "No number: 0 patients, fewer than 20"
    assert told["age: worst − best band"] == "Fewer than two groups have a number"
    assert [cell.text for cell in rows["one"].cells[8:12]] == ["–"] * 4
    assert rows["one"].data["age_below_40_macro_auroc"] is None
    assert rows["one"].data["age_worst_minus_best"] is None
    assert rows["one"].data["female_minus_male"] is not None


def test_classes_that_a_group_lacks_are_told_and_not_in_gaps(tmp_path):
    bench = make_bench(tmp_path, 600, label_fractions=(1.0,))
    odd = bench.targets("findings")[:, 2] == 1
    with_people(bench, sex=np.where(odd | (np.arange(600) % 3 == 0), "male", "female"), age=np.nan)
    row = bench.add("found", task="findings")
    bench.finish(row, 1 / (1 + np.exp(-bench.noisy(1, 1, "findings"))))
    table, rows, views = table_of(bench)
    shared = [views.group(row.key, name)["macro_auroc" + SHARED] for name in ("female", "male")]
    data = rows["found"].data
    assert data["female_minus_male"] == pytest.approx(shared[0] - shared[1])
    assert abs(data["female_minus_male"] - (data["female_macro_auroc"] - data["male_macro_auroc"])) > 1e-6
    female = next(column for column in table.columns if column.head.startswith("female,"))
    told = " ".join(table.footnotes[n - 1] for n in female.notes)
    assert told.startswith("2 of 3 classes: the others lack")
    assert "Gaps are of the classes that all groups compared can score" in table.caption


def test_a_rare_class_is_told_at_the_head(tmp_path, monkeypatch):
    bench = make_bench(tmp_path, 300, label_fractions=(1.0,))
    bench.finish(bench.add("one"), bench.noisy(1, 0))
    fewest = table_of(bench)[2].group(bench.rows["one", 1.0, 0].key, "male")["fewest"]
    for few, told in ((fewest, ""), (fewest + 1, f"only {fewest} positive or negative")):
        monkeypatch.setattr(subgroups, "FEW", few)
        table = table_of(bench)[0]
        male = next(column for column in table.columns if column.head.startswith("male,"))
        assert told in " ".join(table.footnotes[n - 1] for n in male.notes)
        assert bool(male.notes) == bool(told)


def test_without_any_group_there_is_no_table(tmp_path):
    bench = make_bench(tmp_path, 60, label_fractions=(1.0,))  # 12 test records
    bench.add("waiting")
    assert table_of(bench)[0] is None  # nothing has run
    bench.finish(bench.add("one"), bench.noisy(1, 0))
    assert table_of(bench)[0] is None


def test_the_widest_gap_by_hand():
    draws = np.random.default_rng(0).normal(0.8, [[0.01], [0.02], [0.03]], (3, 500))
    points = [0.80, 0.70, 0.85]
    test = widest_gap(points, draws)
    largest = []
    for b in range(500):
        found = []
        for i, j in combinations(range(3), 2):
            gaps = draws[i] - draws[j]
            found.append(abs(gaps[b] - gaps.mean()) / gaps.std())
        largest.append(max(found))
    own = (draws[1] - draws[2]).std()
    assert test.value == pytest.approx(-0.15)
    reach = np.quantile(largest, 0.95) * own
    assert (test.low, test.high) == pytest.approx((-0.15 - reach, -0.15 + reach))
    assert test.p == pytest.approx((1 + sum(x >= 0.15 / own for x in largest)) / 501)


def test_the_widest_gap_of_equal_groups_is_found_as_rarely_as_promised():
    rng, cohorts = np.random.default_rng(1), 400
    widest, naive, covered = 0, 0, 0
    for _ in range(cohorts):
        points = rng.normal(0, [1, 1, 1.5, 0.7])
        draws = points[:, None] + rng.normal(0, 1, (4, 400)) * [[1], [1], [1.5], [0.7]]
        test = widest_gap(points, draws)
        worst, best = np.argmin(points), np.argmax(points)
        naive += difference(test.value, draws[[worst]], draws[[best]]).p <= 0.05
        widest += test.p <= 0.05
        covered += test.low <= 0 <= test.high
    assert widest / cohorts <= 0.08  # 0.05 and two standard errors, and a bit for 400 draws
    assert naive / cohorts >= 0.12
    assert covered / cohorts >= 0.92


def test_a_gap_that_is_there_is_found():
    rng = np.random.default_rng(2)
    points = np.array([0.8, 0.81, 0.6])
    test = widest_gap(points, points[:, None] + 0.02 * rng.standard_normal((3, 400)))
    assert test.p < 0.01
    assert test.low < test.high < 0


def test_the_widest_gap_of_groups_that_never_differ_is_nothing():
    test = widest_gap([0.5, 0.5], np.full((2, 50), 0.5))
    assert (test.value, test.low, test.high, test.p) == (0, 0, 0, 1)
    apart = widest_gap([0.9, 0.5], np.array([[0.9] * 50, [0.5] * 50]))  # by the same in every resample
    assert (apart.value, apart.p) == (pytest.approx(-0.4), pytest.approx(1 / 51))
    nothing = widest_gap([0.5, 0.4], np.full((2, 50), np.nan))
    assert np.isnan([nothing.low, nothing.high]).all() and nothing.p == 1


def test_resamples_without_a_class_are_left_out():
    draws = np.random.default_rng(0).normal(0.8, 0.02, (3, 300))
    holes = np.concatenate([draws, np.full((3, 10), np.nan)], axis=1)
    holes[0, 300:] = 0.5
    assert widest_gap([0.8, 0.7, 0.9], holes) == widest_gap([0.8, 0.7, 0.9], draws)
