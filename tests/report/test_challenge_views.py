"""Masks, thresholds, decisions and resamples against loops over the raw scores, record by record."""

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from bench.data.leads import LEAD_SETS, LEADS
from bench.metrics import classification
from bench.metrics.challenge import CLASSES, weights
from bench.report import challenge_views
from bench.report.challenge_views import RULES, ChallengeViews
from bench.report.views import MetricViews
from bench.run.plan import Row
from tests.report.hand_challenge import OTHER, TASK, TURNED, ChallengeBench, make_challenge_bench

RESAMPLES = 12
CANDIDATES = [0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7]


@dataclass
class ByHand:
    """Decisions of one cell under one rule: by record id."""

    ids: list[str]
    targets: dict[str, np.ndarray]
    scores: dict[str, np.ndarray]
    thresholds: list[float]

    def decided(self, record: str) -> np.ndarray:
        return np.array([s >= t for s, t in zip(self.scores[record], self.thresholds, strict=True)])

    def matrices(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return tuple(
            np.array([of(record) for record in self.ids])
            for of in (self.targets.get, self.scores.get, self.decided)
        )

    def metric(self, ids: list[str]) -> float:
        """The organisers' sums over a list of records, in which a record may stand several times."""
        table, sums = weights(), np.zeros(3)
        normal = np.arange(26) == CLASSES.index("NSR")
        for record in ids:
            x = self.targets[record] > 0
            for kind, y in enumerate((self.decided(record), normal, x)):
                sums[kind] += table[np.ix_(x, y)].sum() / max((x | y).sum(), 1)
        observed, inactive, correct = sums
        return (observed - inactive) / (correct - inactive)


def by_hand(bench: ChallengeBench, row: Row, scores: np.ndarray, rule: str) -> ByHand:
    records, rows = bench.corpus.records, bench.plan.jobs[row.key].rows
    ids, sources = list(records["record"]), dict(zip(records["record"], records["source"], strict=True))
    truth = dict(zip(ids, bench.targets(TASK), strict=True))
    own = dict(zip([ids[i] for i in (*rows.val, *rows.test)], scores.astype(np.float32), strict=True))
    seen: dict[str, set[int]] = {}
    for i in rows.labelled:
        seen.setdefault(sources[ids[i]], set()).update(np.flatnonzero(truth[ids[i]]))
    seen.pop("unknown", None)

    def shown(record: str, source: str | None) -> np.ndarray:
        kept = seen.get(source, range(26)) if source else range(26)
        return np.array([own[record][k] if k in kept else 0.0 for k in range(26)], dtype=np.float32)

    val, test = ([ids[i] for i in sorted(which)] for which in (rows.val_subset, rows.test))
    chosen = {record: shown(record, None if rule == "unmasked" else sources[record]) for record in val}
    told = {"known": sources, "inferred": _guesses(bench, row)}.get(rule, {})
    tested = {record: shown(record, told.get(record)) for record in test}
    thresholds = [_threshold([truth[r][k] for r in val], [chosen[r][k] for r in val]) for k in range(26)]
    return ByHand(sorted(test), truth, tested, thresholds)


def _threshold(targets: list[int], scores: list[float]) -> float:
    if not any(targets):
        return 0.5
    f1 = []
    for candidate in CANDIDATES:
        pairs = [(x, s >= candidate) for x, s in zip(targets, scores, strict=True)]
        hits, wrong = sum(x and y for x, y in pairs), sum(x != y for x, y in pairs)
        f1.append(2 * hits / (2 * hits + wrong))
    return CANDIDATES[f1.index(max(f1))]


def _guesses(bench: ChallengeBench, row: Row) -> dict[str, str]:
    """From the records as they were read."""
    leads = [LEADS.index(lead) for lead in LEAD_SETS[bench.plan.jobs[row.key].cell.lead_set]]
    guesses = {}
    for record, raw in zip(bench.corpus.records["record"], bench.raw, strict=True):
        microvolts = 1000 * raw.signal[:, leads].astype(float).mean(axis=0)
        if raw.rate == 500:
            guesses[record] = "cpsc" if all(-0.5 <= mean <= 0.5 for mean in microvolts) else "georgia"
    return guesses


def _macro(metric, targets: np.ndarray, scores: np.ndarray) -> float:
    both = [k for k in range(26) if 0 < targets[:, k].sum() < len(targets)]
    return float(np.mean([metric(targets[:, k], scores[:, k]) for k in both]))


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> ChallengeBench:
    return make_challenge_bench(tmp_path_factory.mktemp("views"))


@pytest.fixture(scope="module")
def cells(bench) -> dict[str, tuple[Row, np.ndarray]]:
    """All labels and a third of them, two seeds; with two leads; as a probe, whose other selection is worthless."""
    cells = {}
    for name, fraction, seed in (("whole", 1.0, 0), ("third", 0.3, 0), ("other", 0.3, 1)):
        cells[name] = bench.add("net", fraction, seed, readout="classifier"), bench.noisy(1.5, 5 + seed)
        bench.finish(*cells[name], ("subset",))
    cells["two"] = bench.add("two", 0.3, cell={"lead_set": "challenge-2"}), bench.noisy(1.5, 7)
    bench.finish(*cells["two"], ("subset",))
    cells["probe"] = bench.add("probe", 0.3), bench.noisy(1.5, 8)
    bench.finish_unlike(*cells["probe"], bench.noisy(9, 9))
    return cells


@pytest.fixture(scope="module")
def views(bench) -> ChallengeViews:
    return ChallengeViews(bench.plan, bench.store, RESAMPLES)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", ["whole", "third", "other", "two", "probe"])
def test_every_metric_is_that_of_loops_over_the_raw_scores(bench, cells, views, name, rule):
    row, scores = cells[name]
    hand, found = by_hand(bench, row, scores, rule), views.masked(row.key)[rule]
    targets, masked, decided = hand.matrices()
    np.testing.assert_array_equal(found.targets, targets)
    np.testing.assert_array_equal(found.scores, masked)
    np.testing.assert_allclose(found.thresholds(), hand.thresholds, atol=1e-12)
    metrics = views.metrics(row.key, rule)
    assert metrics["challenge_metric"] == pytest.approx(hand.metric(hand.ids))
    used = [k for k in range(26) if targets[:, k].any() or decided[:, k].any()]
    assert metrics["macro_f"] == pytest.approx(f1_score(targets[:, used], decided[:, used], average="macro"))
    assert metrics["accuracy"] == pytest.approx((targets == decided).all(axis=1).mean())
    assert metrics["macro_auroc"] == pytest.approx(_macro(roc_auc_score, targets, masked))
    precision = _macro(average_precision_score, targets, masked)
    assert metrics["macro_average_precision"] == pytest.approx(precision)


def test_the_rules_differ_where_they_should(views, cells):
    row, _ = cells["third"]
    found = views.masked(row.key)
    thresholds = {rule: found[rule].thresholds() for rule in RULES}
    np.testing.assert_array_equal(thresholds["known"], thresholds["inferred"])
    np.testing.assert_array_equal(thresholds["known"], thresholds["validation"])
    assert (thresholds["known"] != thresholds["unmasked"]).any()
    np.testing.assert_array_equal(found["validation"].scores, found["unmasked"].scores)
    assert (found["unmasked"].scores > 0).all()
    values = [views.metrics(row.key, rule)["challenge_metric"] for rule in RULES]
    assert len(set(values)) == len(RULES)


def test_masks_are_of_the_labelled_training_records_alone(bench, views, cells):
    sources = bench.corpus.records["source"].to_numpy()
    labels, masks = bench.targets(TASK), {}
    for name in ("whole", "third", "other"):
        row, _ = cells[name]
        rows, found = bench.plan.jobs[row.key].rows, views.masked(row.key)["known"]
        masks[name] = found.scores > 0
        tested = rows.test[np.argsort(bench.corpus.records["record"].to_numpy()[rows.test])]
        own = [
            labels[[i for i in rows.labelled if sources[i] == sources[place]]].any(axis=0) for place in tested
        ]
        free = np.isin(sources[tested], ["unknown", "ningbo"])  # nobody's name, and none of part train
        assert free.any()
        assert masks[name][free].all()
        np.testing.assert_array_equal(masks[name][~free], np.array(own)[~free])
    assert masks["third"].sum() < masks["whole"].sum()
    assert (masks["third"] != masks["other"]).any()
    assert (labels[tested].astype(bool) & ~masks["whole"]).any()  # a mask of test labels would be another one


def test_a_database_is_guessed_from_the_leads_that_are_evaluated(bench, views, cells):
    all_12, two = (_guesses(bench, cells[name][0]) for name in ("third", "two"))
    changed = [record for record in all_12 if all_12[record] != two[record]]
    assert {two[record] for record in changed} == {"cpsc"}
    mine = [views.masked(cells[name][0].key)["inferred"].scores > 0 for name in ("third", "two")]
    assert (mine[0] != mine[1]).any()
    stored = np.stack(
        bench.corpus.records["mean"].to_list()
    )  # millivolts, after resampling: every record centred
    assert (np.abs(stored) < 0.5).all()


def test_validation_records_beyond_the_label_fraction_choose_nothing(bench, views, cells):
    row, scores = cells["third"]
    rows = bench.plan.jobs[row.key].rows
    beyond = ~np.isin(rows.val, rows.val_subset)
    assert beyond.any()
    changed = scores.copy()
    changed[: len(rows.val)][beyond] = 1 - changed[: len(rows.val)][beyond]
    other = bench.add("beyond", 0.3)
    bench.finish(other, changed, ("subset",))
    for rule in RULES:
        assert views.metrics(other.key, rule) == views.metrics(row.key, rule)
    whole = bench.add("all of them", 1.0)
    bench.finish(whole, changed, ("subset",))
    unlike = (
        views.masked(whole.key)["unmasked"].thresholds() != views.masked(row.key)["unmasked"].thresholds()
    )
    assert unlike.any()


def test_no_test_record_influences_what_is_chosen(bench, views, cells):
    row, scores = cells["third"]
    table = bench.table(row, scores)
    tested, rng = (table["part"] == "test").to_numpy(), np.random.default_rng(0)
    for name in CLASSES:
        table.loc[tested, f"target:{name}"] = rng.integers(0, 2, tested.sum()).astype(np.int8)
        table.loc[tested, f"score:{name}"] = rng.random(tested.sum()).astype(np.float32)
    other = bench.add("another test part", 0.3)
    bench.commit(other, table)
    for rule in RULES:
        one, two = views.masked(row.key)[rule], views.masked(other.key)[rule]
        np.testing.assert_array_equal(one.thresholds(), two.thresholds())
        np.testing.assert_array_equal(one.val_scores, two.val_scores)
        np.testing.assert_array_equal(one.scores == 0, two.scores == 0)
        assert (one.scores != two.scores).any()


@pytest.mark.parametrize("rule", RULES)
def test_draws_are_of_the_resamples_that_every_other_metric_has(bench, views, cells, rule):
    row, scores = cells["third"]
    hand, plain = by_hand(bench, row, scores, rule), by_hand(bench, row, scores, "unmasked")
    found, areas = views.draws(row.key, rule), MetricViews(bench.store, RESAMPLES)
    areas.metrics(row.key, "multi")
    auroc = areas.draws(row.key, "subset")
    assert found.shape == auroc.shape == (RESAMPLES,)
    for b, ids in enumerate(_resampled(bench, hand.ids)):
        assert found[b] == pytest.approx(hand.metric(ids), abs=1e-6)
        targets, scored = (np.array([of[record] for record in ids]) for of in (plain.targets, plain.scores))
        assert auroc[b] == pytest.approx(_macro(roc_auc_score, targets, scored), abs=1e-6)


def _resampled(bench: ChallengeBench, ids: list[str]) -> list[list[str]]:
    """Patients drawn with replacement, each with all its records."""
    patient = bench.corpus.records.set_index("record")["patient"]
    names = sorted({patient[record] for record in ids})
    assert len(names) < len(ids)
    seed = int(hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16], 16)
    drawn = np.random.default_rng(seed).integers(len(names), size=(RESAMPLES, len(names)))
    return [[record for i in draw for record in ids if patient[record] == names[i]] for draw in drawn]


def test_the_order_of_the_stored_rows_changes_nothing(bench, views, cells):
    row, scores = cells["third"]
    table = bench.table(row, scores)
    other = bench.add("shuffled", 0.3)
    bench.commit(other, table.sample(frac=1, random_state=0))
    for rule in RULES:
        assert views.metrics(other.key, rule) == views.metrics(row.key, rule)
        np.testing.assert_array_equal(views.draws(other.key, rule), views.draws(row.key, rule))


@pytest.mark.parametrize("rule", RULES)
def test_averaged_thresholds_are_the_mean_over_seeds(bench, views, cells, rule):
    hands = [by_hand(bench, *cells[name], rule) for name in ("third", "other")]
    mean = np.mean([hand.thresholds for hand in hands], axis=0)
    assert any(hand.thresholds != list(mean) for hand in hands)
    found = views.averaged([cells[name][0].key for name in ("third", "other")], rule)
    wanted = [replace(hand, thresholds=list(mean)).metric(hand.ids) for hand in hands]
    assert found == pytest.approx(wanted)
    assert views.averaged([cells["third"][0].key], rule) == pytest.approx([hands[0].metric(hands[0].ids)])


def test_equal_decisions_of_other_scores_have_another_digest(bench, views):
    truth = bench.truth(TASK)
    one, two, copy = (bench.add(name, cell={"code": name}) for name in ("one", "two", "copy"))
    for row, scores in ((one, 0.8 * truth), (two, 0.9 * truth), (copy, 0.9 * truth)):
        bench.finish(row, scores, ("subset",))
    found = {row.label: views.metrics(row.key, "unmasked") for row in (one, two, copy)}
    assert {metrics["challenge_metric"] for metrics in found.values()} == {1.0}
    assert found["one"]["digest"] != found["two"]["digest"] == found["copy"]["digest"]


def test_equal_scores_with_other_thresholds_have_another_digest(bench, views):
    rows = [bench.add("prior", 0.3, seed) for seed in range(2)]
    for row in rows:
        bench.finish(row, 0 * bench.truth() + 0.3, ("subset",))
    first, second = (views.metrics(row.key, "unmasked") for row in rows)
    assert first["challenge_metric"] != second["challenge_metric"]
    assert first["digest"] != second["digest"]


def test_other_classes_single_windows_and_noisy_cells_are_none_of_its_business(bench, views, cells):
    assert views.concerns(cells["third"][0].key)
    assert not views.concerns(bench.add("other", task=OTHER, cell={"task": OTHER}).key)
    assert not views.concerns(bench.add("turned", task=TURNED, cell={"task": TURNED}).key)
    spec = bench.plan.suites[0].input.model_copy(update={"aggregation": "none"})
    assert not views.concerns(bench.add("windows", cell={"input": spec}).key)
    assert not views.concerns(bench.add("noisy", noise=2).key)
    with pytest.raises(TypeError, match="holds no scores"):
        views.concerns(cells["third"][0].fit_key)


def test_views_are_read_and_not_made_again(bench, cells, views, monkeypatch):
    row, _ = cells["third"]
    first = views.metrics(row.key, "known"), views.draws(row.key, "known")
    fresh = ChallengeViews(bench.plan, bench.store, RESAMPLES)
    monkeypatch.setattr(ChallengeViews, "masked", None)
    assert fresh.metrics(row.key, "known") == first[0]
    np.testing.assert_array_equal(fresh.draws(row.key, "known"), first[1])


@pytest.mark.parametrize(
    "of", [(challenge_views, "VERSION"), (challenge_views, "_VERSION"), (classification, "VERSION")]
)
def test_another_version_makes_them_anew(bench, cells, views, monkeypatch, of):
    row, _ = cells["third"]
    before = views.metrics(row.key, "known"), views.draws(row.key, "known")
    monkeypatch.setattr(*of, 1_000_000)
    assert bench.store.view(row.key, views._name("challenge", row.key)) is None
    assert bench.store.view(row.key, views._name("challenge-bootstrap", row.key)) is None
    assert views.metrics(row.key, "known") == before[0]
    np.testing.assert_array_equal(views.draws(row.key, "known"), before[1])


def test_another_number_of_resamples_makes_them_anew(bench, cells, views):
    row, _ = cells["third"]
    views.draws(row.key, "known")
    more = ChallengeViews(bench.plan, bench.store, RESAMPLES + 1)
    assert more.draws(row.key, "known").shape == (RESAMPLES + 1,)
    assert views.draws(row.key, "known").shape == (RESAMPLES,)


def test_another_guess_makes_them_anew(tmp_path):
    """Native means are not in the corpus's fingerprint, and so not in the cell's key."""
    bench = make_challenge_bench(tmp_path)
    row = bench.add("net")
    bench.finish(row, bench.noisy(1.5, 0), ("subset",))
    before = {rule: ChallengeViews(bench.plan, bench.store, 5).metrics(row.key, rule) for rule in RULES}
    records = bench.corpus.records
    records["native_mean"] = [mean + np.float32(9.0) for mean in records["native_mean"]]
    after = {rule: ChallengeViews(bench.plan, bench.store, 5).metrics(row.key, rule) for rule in RULES}
    assert [rule for rule in RULES if before[rule] != after[rule]] == ["inferred"]


def test_lost_draws_are_made_again(bench, cells, views):
    row, _ = cells["third"]
    before = views.draws(row.key, "known")
    bench.store.keep_view(row.key, views._name("challenge-bootstrap", row.key), None)
    np.testing.assert_array_equal(views.draws(row.key, "known"), before)
