"""Scores by sex and age band against loops over the stored rows, record by record."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from bench.metrics.classification import bootstrap_macro_auroc, classification_metrics, patient_resamples
from bench.report import subgroup_views
from bench.report.subgroup_views import FAMILIES, SHARED, SubgroupViews, brier, class_draws
from bench.report.views import MetricViews, records_hash
from tests.report.hand_made import TASK, make_bench

RESAMPLES = 30
BANDS = {"<40": (0, 40), "40–59": (40, 60), "60–74": (60, 75), "≥75": (75, 200)}


def with_people(bench, **columns):
    """The corpus with other columns in its records table."""
    vars(bench.corpus)["records"] = bench.corpus.records.assign(**columns)
    return bench


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """900 records; every band's first and last year is there, and people of whom one or the other is unknown."""
    bench = make_bench(tmp_path_factory.mktemp("people"), 900)
    records = bench.corpus.records
    test = np.flatnonzero(records["part"] == "test")
    age, sex = records["age"].to_numpy(), records["sex"].to_numpy(object)
    age[test[:8]] = [39.9, 40.0, 59.5, 60.0, 74.9, 75.0, np.nan, np.nan]
    sex[test[5:8]] = ["", "", "unknown"]
    return with_people(bench, age=age, sex=sex)


@pytest.fixture(scope="module")
def rows(bench):
    """Two cells of one task; in the other selection, and in the validation part, scores that are worth nothing."""
    rows = [bench.add("one"), bench.add("one", seed=1), bench.add("found", task="findings")]
    for seed, row in enumerate(rows):
        bench.finish(row, scores_of(bench, row, seed), ("subset", "all"))
        table = MetricViews(bench.store).table(row.key)
        other = (table["selection"] == "all") | (table["part"] == "val")
        table.loc[other, [c for c in table if c.startswith("score:")]] = 0.5
        (bench.store.folder(row.key) / "scores.parquet").write_bytes(parquet(table))
    return rows


def scores_of(bench, row, seed):
    truth = bench.truth(row.task)
    logits = 2 * truth - 1 + 1.5 * np.random.default_rng(seed).standard_normal(truth.shape).round(1)
    if row.kind == "multi":
        return 1 / (1 + np.exp(-logits))
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def parquet(table):
    from bench.evaluate.result import Result

    return Result("scores", table).to_bytes()


@pytest.fixture
def views(bench):
    return SubgroupViews(bench.plan, bench.store, RESAMPLES)


def members(bench, name, task=TASK):
    """Test records of a group, found one by one."""
    found = []
    for record in bench.corpus.records.iloc[bench.parts(task).test].itertuples():
        low, high = BANDS.get(name, (0, 0))
        if record.sex == name or low <= record.age < high:
            found.append(record)
    return found


def scored(bench, row, name):
    """(n, K) targets and scores of a group, sorted by record; and its table."""
    table = MetricViews(bench.store).table(row.key)
    ids = {record.record for record in members(bench, name, row.task)}
    table = table[(table["part"] == "test") & (table["selection"] == "subset") & table["record"].isin(ids)]
    table = table.sort_values("record", kind="stable")
    targets, scores = (
        table[[c for c in table if c.startswith(kind)]].to_numpy() for kind in ("target", "score")
    )
    return targets, scores, table


def both_kinds(targets):
    return [k for k in range(targets.shape[1]) if 0 < targets[:, k].sum() < len(targets)]


GROUPS = [(family, name) for family, names in FAMILIES.items() for name in names]


@pytest.mark.parametrize(("family", "name"), GROUPS)
def test_points_are_those_of_the_records_of_a_group(bench, rows, views, family, name):
    for row in rows:
        group, (targets, scores, _) = views.metrics(row.key)[family]["groups"][name], scored(bench, row, name)
        people = members(bench, name, row.task)
        assert group["reason"] == ""
        assert (group["records"], group["patients"]) == (len(people), len({p.patient for p in people}))
        kept = both_kinds(targets)
        assert (group["kept"], group["total"]) == (len(kept), targets.shape[1])
        areas = [roc_auc_score(targets[:, k], scores[:, k]) for k in kept]
        assert group["macro_auroc"] == pytest.approx(np.mean(areas))
        fewest = min(min(targets[:, k].sum(), (1 - targets[:, k]).sum()) for k in kept)
        assert group["fewest"] == fewest
        metrics = classification_metrics(targets, scores, row.kind, [str(k) for k in range(targets.shape[1])])
        assert group["brier"] == pytest.approx(metrics["brier"])
        assert views.group(row.key, name) == group


def test_whose_sex_or_age_is_unknown_is_counted_and_in_no_group(bench, rows, views):
    found = views.metrics(rows[0].key)
    assert (found["sex"]["unknown"], found["age"]["unknown"]) == (3, 2)
    tested = int((bench.corpus.records["part"] == "test").sum())
    for family in FAMILIES:
        counted = sum(group["records"] for group in found[family]["groups"].values())
        assert counted + found[family]["unknown"] == tested


@pytest.mark.parametrize("name", [name for _, name in GROUPS])
def test_resamples_are_of_the_patients_of_the_group(bench, rows, views, name):
    for row in rows:
        targets, scores, table = scored(bench, row, name)
        place = f"{records_hash(table['record'])}/{len(table)}"
        generator = np.random.default_rng(int(place[:16], 16))
        counts = patient_resamples(table["patient"].to_numpy(), RESAMPLES, generator)
        expected = []
        for times in counts:
            drawn = np.repeat(np.arange(len(targets)), times)
            own, given = targets[drawn], scores[drawn]
            expected.append(np.mean([roc_auc_score(own[:, k], given[:, k]) for k in both_kinds(own)]))
        np.testing.assert_allclose(views.draws(row.key, name), expected, atol=1e-6)


def test_two_groups_are_resampled_independently(rows, views):
    draws = np.stack([views.draws(rows[0].key, name) for name in ("female", "male")])
    assert abs(np.corrcoef(draws)[0, 1]) < 0.5
    seeds = np.stack([views.draws(row.key, "female") for row in rows[:2]])
    assert not np.allclose(*seeds)


@pytest.mark.parametrize(
    ("people", "reason"), [(20, ""), (19, "19 patients, fewer than 20"), (1, "1 patient, fewer than 20")]
)
def test_a_group_needs_patients_not_records(tmp_path, people, reason):
    bench = make_bench(tmp_path, 300)
    records = bench.corpus.records
    patients = records.loc[records["part"] == "test", "patient"].unique()
    few = records["patient"].isin(patients[:people])
    assert few.sum() > people or people == 1
    with_people(bench, age=np.where(few, 80.0, 50.0))
    row = bench.add("one")
    bench.finish(row, scores_of(bench, row, 0))
    views = SubgroupViews(bench.plan, bench.store, RESAMPLES)
    old = views.metrics(row.key)["age"]["groups"]["≥75"]
    assert (old["patients"], old["reason"]) == (people, reason)
    assert ("macro_auroc" in old) == (not reason)
    assert views.metrics(row.key)["age"]["groups"]["<40"]["reason"] == "0 patients, fewer than 20"


def test_a_group_of_one_class_has_no_number(tmp_path):
    bench = make_bench(tmp_path, 400)
    fast = bench.targets(TASK)[:, 1] == 1
    with_people(bench, sex=np.where(fast, "male", "female"))
    row = bench.add("one")
    bench.finish(row, scores_of(bench, row, 0))
    found = SubgroupViews(bench.plan, bench.store, RESAMPLES).metrics(row.key)["sex"]
    reasons = {group["reason"] for group in found["groups"].values()}
    assert reasons == {"no class has both a positive and a negative record"}
    assert found["shared"] == 0


def test_shared_classes_are_those_that_all_judged_groups_score(tmp_path):
    bench = make_bench(tmp_path, 600)
    odd, test = bench.targets("findings")[:, 2] == 1, (bench.corpus.records["part"] == "test").to_numpy()
    age = np.where(odd, 50.0, np.where(np.arange(len(odd)) % 2, 50.0, 65.0))  # nothing odd from 60 to 74
    age[np.flatnonzero(test)[:5]] = 80.0  # and too few to be judged
    with_people(bench, age=age)
    row = bench.add("found", task="findings")
    bench.finish(row, scores_of(bench, row, 0))
    views = SubgroupViews(bench.plan, bench.store, RESAMPLES)
    found = views.metrics(row.key)
    assert [found["age"]["groups"][name].get("kept") for name in BANDS] == [None, 3, 2, None]
    assert (found["age"]["shared"], found["sex"]["shared"]) == (2, 3)
    targets, scores, table = scored(bench, row, "40–59")
    areas = [roc_auc_score(targets[:, k], scores[:, k]) for k in range(3)]
    group = found["age"]["groups"]["40–59"]
    assert group["macro_auroc"] == pytest.approx(np.mean(areas))
    assert group["macro_auroc" + SHARED] == pytest.approx(np.mean(areas[:2]))
    counts = MetricViews(bench.store, RESAMPLES).resamples_of(table)
    drawn = bootstrap_macro_auroc(targets[:, :2], scores[:, :2], counts)
    np.testing.assert_allclose(views.draws(row.key, "40–59" + SHARED), drawn, atol=1e-6)
    assert not np.allclose(views.draws(row.key, "40–59"), drawn)
    same = [views.draws(row.key, "60–74" + ending) for ending in ("", SHARED)]
    np.testing.assert_array_equal(*same)


def test_without_a_shared_class_there_is_no_shared_score(tmp_path):
    bench = make_bench(tmp_path, 600)
    big, inverted, odd = bench.targets("findings").T == 1
    with_people(bench, sex=np.where(big, "male", np.where(inverted | odd, "female", "")), age=np.nan)
    row = bench.add("found", task="findings")
    table = bench.table(row, scores_of(bench, row, 0))
    female = table["record"].isin(bench.corpus.records["record"][~big])
    table.loc[~female, ["target:inverted", "target:odd"]] = np.int8(0)
    table.loc[~female & (np.arange(len(table)) % 2 == 0), "target:big"] = np.int8(0)
    bench.commit(row, table)
    views = SubgroupViews(bench.plan, bench.store, RESAMPLES)
    found = views.metrics(row.key)["sex"]
    assert found["shared"] == 0
    groups = found["groups"]
    assert (groups["male"]["kept"], groups["female"]["kept"]) == (1, 2)
    assert groups["male"]["macro_auroc" + SHARED] is None
    assert len(views.draws(row.key, "male")) == RESAMPLES
    assert views.metrics(row.key)["age"]["unknown"] == len(bench.parts("findings").test)


def test_windows_of_a_record_count_as_one(tmp_path):
    bench = make_bench(tmp_path, 300)
    row = bench.add("one")
    table = bench.table(row, scores_of(bench, row, 0))
    table = pd.concat([table.assign(start=start, lead="") for start in (0, 100)], ignore_index=True)
    bench.commit(row, table)
    group = SubgroupViews(bench.plan, bench.store, RESAMPLES).group(row.key, "male")
    assert group["records"] == len(members(bench, "male"))
    assert group["patients"] == len({person.patient for person in members(bench, "male")})


def test_views_are_made_once(bench, rows, monkeypatch):
    first = SubgroupViews(bench.plan, bench.store, RESAMPLES)
    content, draws = first.metrics(rows[0].key), first.draws(rows[0].key, "male")

    def refuse(*_):
        raise AssertionError("read again")

    monkeypatch.setattr(MetricViews, "table", refuse)
    again = SubgroupViews(bench.plan, bench.store, RESAMPLES)
    assert again.metrics(rows[0].key) == content
    np.testing.assert_array_equal(again.draws(rows[0].key, "male"), draws)
    with pytest.raises(AssertionError, match="read again"):
        SubgroupViews(bench.plan, bench.store, RESAMPLES + 1).metrics(rows[0].key)


@pytest.mark.parametrize("few", [0, 1000])
def test_pairs_and_sorting_give_the_same_draws(monkeypatch, few):
    monkeypatch.setattr(subgroup_views, "_FEW_ROWS", few)
    rng = np.random.default_rng(5)
    targets, scores = rng.integers(0, 2, (40, 3)), rng.random((40, 3)).round(1)  # many ties
    targets[:, 2] = 0
    targets[7, 1:] = 1  # one positive: some resamples have none
    targets[:, 1] = np.arange(40) == 7
    counts = rng.integers(0, 3, (25, 40))
    counts[:5, 7] = 0
    areas = class_draws(targets, scores, counts)
    for k in range(3):
        for b in range(25):
            drawn = np.repeat(np.arange(40), counts[b])
            known = 0 < targets[drawn, k].sum() < len(drawn)
            expected = roc_auc_score(targets[drawn, k], scores[drawn, k]) if known else np.nan
            assert areas[b, k] == pytest.approx(expected, nan_ok=True)


def test_brier_by_hand():
    targets, scores = np.array([[1, 0], [0, 1]]), np.array([[0.8, 0.2], [0.5, 0.5]])
    assert brier(targets, scores, "single") == pytest.approx((0.04 + 0.04 + 0.25 + 0.25) / 2)
    assert brier(targets, scores, "multi") == pytest.approx((0.04 + 0.04 + 0.25 + 0.25) / 4)


def test_only_scores_have_subgroups(bench, rows, views):
    with pytest.raises(TypeError, match="holds no scores"):
        views.metrics(rows[0].fit_key)
