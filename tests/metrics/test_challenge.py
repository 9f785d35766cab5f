"""The Challenge's metric against its published hand values, loops over records and classes, and scikit-learn."""

import hashlib
import math

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from bench.data.challenge_classes import SCORED
from bench.metrics import challenge
from bench.metrics.challenge import (
    CLASSES,
    THRESHOLDS,
    best_thresholds,
    challenge_draws,
    challenge_metric,
    contributions,
    database_mask,
    decide,
    decision_metrics,
    inferred_databases,
    mask_rows,
    weights,
)
from bench.metrics.classification import auroc, average_precision, patient_resamples

LBBB, PAC, PVC = "CLBBB|LBBB", "PAC|SVPB", "PVC|VPB"
FOUR = [{"AF", LBBB}, {"NSR"}, {"SB", "TAb", "LAD"}, {PVC}]

# labels and decisions of each record; observed, inactive and correct sum; metric: from the organisers' own code
HAND = {
    "a": ([{"NSR"}], [{"NSR"}], 1, 1, 1, 0),
    "b": ([{"AF"}], [{"AF"}], 1, 0.125, 1, 1),
    "c": ([{"AF"}], [{"NSR"}], 0.125, 0.125, 1, 0),
    "d": ([{"AF"}], [set()], 0, 0.125, 1, -0.142857142857),
    "e": ([{"AF"}], [{"AF", "AFL"}], 0.75, 0.125, 1, 0.714285714286),
    "f": ([set()], [{"AF"}], 0, 0, 0, 0),
    "g": ([{"AF"}, set()], [{"AF"}, {"TInv", "SB"}], 1, 0.125, 1, 1),
    "h": ([{"NSR", "IAVB"}], [{"IAVB"}], 0.725, 0.725, 1.45, 0),
    "i": ([{"NSR", "IAVB"}], [{"NSR", "IAVB", "LAD"}], 1.25, 0.725, 1.45, 0.724137931034),
    "j": ([{"QAb"}], [{"NSR"}], 0.075, 0.075, 1, 0),
    "k": ([{"QAb"}], [{"SB"}], 0.1, 0.075, 1, 0.027027027027),
    "l": (
        FOUR,
        [{"AF"}, {"NSR", "SA"}, {"SB", "TInv"}, {PAC, PVC}],
        *(2.91875, 1.6375, 5.2083333333, 0.358809801634),
    ),
    "m": (FOUR, [set(CLASSES)] * 4, 2.9197115385, 1.6375, 5.2083333333, 0.359079077282),
    "n": (FOUR, [set()] * 4, 0, 1.6375, 5.2083333333, -0.458576429405),
}

# positives by database: CPSC, CPSC-Extra, St Petersburg, PTB, PTB-XL, Georgia, Chapman, Ningbo; published mask
POSITIVES = {
    "AF": ((1221, 153, 2, 15, 1514, 570, 1780, 0), "11111110"),
    "AFL": ((0, 54, 0, 1, 73, 186, 445, 7615), "01011111"),
    "BBB": ((0, 0, 1, 20, 0, 116, 0, 385), "00110101"),
    "Brady": ((0, 271, 11, 0, 0, 6, 0, 7), "01100101"),
    "CLBBB|LBBB": ((236, 38, 0, 0, 536, 231, 205, 248), "11001111"),
    "CRBBB|RBBB": ((1857, 114, 2, 0, 542, 570, 454, 1291), "11101111"),
    "IAVB": ((722, 106, 0, 0, 797, 769, 247, 893), "11001111"),
    "IRBBB": ((0, 86, 0, 0, 1118, 407, 0, 246), "01001101"),
    "LAD": ((0, 0, 0, 0, 5146, 940, 382, 1163), "00001111"),
    "LAnFB": ((0, 0, 0, 0, 1626, 180, 0, 380), "00001101"),
    "LPR": ((0, 0, 0, 0, 340, 0, 12, 40), "00001011"),
    "LQRSV": ((0, 0, 0, 0, 182, 374, 249, 794), "00001111"),
    "LQT": ((0, 4, 0, 0, 118, 1391, 57, 337), "01001111"),
    "NSIVCB": ((0, 4, 1, 0, 789, 203, 235, 536), "01101111"),
    "NSR": ((918, 4, 0, 80, 18092, 1752, 1826, 6299), "11011111"),
    "PAC|SVPB": ((616, 126, 7, 0, 555, 640, 258, 1063), "11101111"),
    "PR": ((0, 3, 0, 0, 296, 0, 0, 1182), "01001001"),
    "PRWP": ((0, 0, 0, 0, 0, 0, 0, 638), "00000001"),
    "PVC|VPB": ((0, 196, 0, 0, 0, 357, 294, 1091), "01000111"),
    "QAb": ((0, 1, 0, 0, 548, 464, 235, 828), "01001111"),
    "RAD": ((0, 1, 0, 0, 343, 83, 215, 638), "01001111"),
    "SA": ((0, 11, 2, 0, 772, 455, 0, 2550), "01101101"),
    "SB": ((0, 45, 0, 0, 637, 1677, 3889, 12670), "01001111"),
    "STach": ((0, 303, 11, 1, 826, 1261, 1568, 5687), "01111111"),
    "TAb": ((0, 22, 0, 0, 2345, 2306, 1876, 5167), "01001111"),
    "TInv": ((0, 5, 1, 0, 294, 812, 157, 2720), "01101111"),
}
DATABASES = ("cpsc", "cpsc_extra", "stpetersburg", "ptb", "ptbxl", "georgia", "chapman", "ningbo")


def multi_hot(records: list[set[str]]) -> np.ndarray:
    return np.array([[name in record for name in CLASSES] for record in records])


def random_case(seed: int, records: int = 50, rate: float = 0.08) -> tuple[np.ndarray, np.ndarray]:
    """Labels and decisions that agree by more than chance, with empty records and normal ones among them."""
    generator = np.random.default_rng(seed)
    targets = generator.random((records, 26)) < rate
    outputs = np.where(generator.random((records, 26)) < 0.2, generator.random((records, 26)) < 0.3, targets)
    targets[:3], outputs[1:4] = False, False
    targets[3:6] = np.array(CLASSES) == "NSR"
    return targets, outputs


def loop_sum(targets: np.ndarray, outputs: np.ndarray) -> float:
    """The sum of weights over a confusion matrix that every record adds to by hand, class by class."""
    confusion, table = np.zeros((26, 26)), weights()
    for x, y in zip(targets, outputs, strict=True):
        size = max(sum(1 for a, b in zip(x, y, strict=True) if a or b), 1)
        for i in range(26):
            for j in range(26):
                if x[i] and y[j]:
                    confusion[i, j] += 1 / size
    return float((confusion * table).sum())


def loop_metric(targets: np.ndarray, outputs: np.ndarray) -> float:
    inactive = loop_sum(targets, np.tile(np.array(CLASSES) == "NSR", (len(targets), 1)))
    correct = loop_sum(targets, targets)
    return (loop_sum(targets, outputs) - inactive) / (correct - inactive) if correct != inactive else 0.0


def test_the_weights_are_the_organisers_file() -> None:
    table = weights()
    codes = ["|".join(SCORED[name]) for name in CLASSES]
    lines = ["," + ",".join(codes)]
    lines += [f"{codes[i]}," + ",".join(f"{w:g}" if w < 1 else "1.0" for w in table[i]) for i in range(26)]
    digest = hashlib.md5(("\n".join(lines) + "\n").encode(), usedforsecurity=False).hexdigest()
    assert digest == "ac224d926ee34815ede761fba10e8298"
    assert tuple(SCORED) == CLASSES


def test_the_weights_checks() -> None:
    table = weights()
    assert table.sum() == pytest.approx(286.075)
    assert np.trace(table) == 26
    assert np.array_equal(table, table.T)
    assert table[CLASSES.index("NSR")].mean() == pytest.approx(0.3784, abs=5e-5)
    assert table[CLASSES.index("BBB"), CLASSES.index(LBBB)] == 0.475
    assert table[CLASSES.index("PRWP"), CLASSES.index("LQRSV")] == 0.475
    assert (table[~np.eye(26, dtype=bool)].min(), table[~np.eye(26, dtype=bool)].max()) == (0.15, 0.5)


@pytest.mark.parametrize("case", HAND)
def test_hand_case(case: str) -> None:
    labels, decided, observed, inactive, correct, metric = HAND[case]
    targets, outputs = multi_hot(labels), multi_hot(decided)
    sums = contributions(targets, outputs).sum(axis=0)
    assert sums == pytest.approx([observed, inactive, correct], abs=1e-10)
    assert challenge_metric(targets, outputs) == pytest.approx(metric, abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_equals_loops_over_records_and_classes(seed: int) -> None:
    targets, outputs = random_case(seed, records=25, rate=0.05 + 0.1 * seed)
    normal = np.tile(np.array(CLASSES) == "NSR", (25, 1))
    each = contributions(targets.astype(np.int8), outputs.astype(float))
    for k in range(25):
        row = slice(k, k + 1)
        expected = [loop_sum(targets[row], y[row]) for y in (outputs, normal, targets)]
        assert each[k] == pytest.approx(expected, abs=1e-13)
    assert challenge_metric(targets, outputs) == pytest.approx(loop_metric(targets, outputs), abs=1e-13)


def test_nothing_but_normal_records_score_zero_whatever_is_decided() -> None:
    targets = multi_hot([{"NSR"}, {"NSR"}, set()])
    assert challenge_metric(targets, multi_hot([{"AF"}, {"NSR", "SB"}, {"PR"}])) == 0
    assert challenge_metric(targets[:0], targets[:0]) == 0


def test_what_is_no_decision_is_refused() -> None:
    targets, outputs = random_case(0)
    with pytest.raises(ValueError, match="outputs must be 0 or 1; decide scores"):
        challenge_metric(targets, outputs * 0.7)
    with pytest.raises(ValueError, match="targets must be 0 or 1"):
        challenge_metric(np.where(targets, np.nan, 0), outputs)
    with pytest.raises(ValueError, match=r"targets \(50, 3\) must be \(records, 26\)"):
        challenge_metric(targets[:, :3], outputs[:, :3])
    with pytest.raises(ValueError, match=r"\(50, 26\) and \(49, 26\)"):
        challenge_metric(targets, outputs[1:])


@pytest.mark.parametrize("block", [100, 4_000_000])
def test_draws_equal_the_metric_of_repeated_records(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(challenge, "_BLOCK", block)
    targets, outputs = random_case(1)
    counts = patient_resamples([f"p{k // 3}" for k in range(50)], 7, np.random.default_rng(0))
    draws = challenge_draws(contributions(targets, outputs), counts)
    for b, value in enumerate(draws):
        chosen = np.repeat(np.arange(50), counts[b])
        assert value == pytest.approx(loop_metric(targets[chosen], outputs[chosen]), abs=1e-12)
    assert len(set(draws.round(9))) == 7


def test_draws_of_nothing_to_gain_are_zero() -> None:
    targets, outputs = random_case(2)
    shares = contributions(targets, outputs)
    counts = np.zeros((3, 50))
    counts[0, [0, 3, 4]] = 0.1, 0.7, 1 / 3  # an empty record and normal ones
    counts[1] = 1 / 7
    draws = challenge_draws(shares, counts)
    assert draws[[0, 2]].tolist() == [0, 0]
    assert draws[1] == pytest.approx(challenge_metric(targets, outputs))
    assert challenge_draws(shares, counts[:0]).shape == (0,)
    with pytest.raises(ValueError, match=r"counts \(3, 49\) must be \(resamples, 50\)"):
        challenge_draws(shares, counts[:, 1:])
    with pytest.raises(ValueError, match=r"contributions \(50, 2\)"):
        challenge_draws(shares[:, 1:], counts)


def test_the_candidates() -> None:
    expected = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7)
    assert expected == THRESHOLDS


@pytest.mark.parametrize("seed", range(6))
def test_thresholds_equal_a_search_by_scikit_learn(seed: int) -> None:
    generator = np.random.default_rng(seed)
    targets = generator.random((40, 6)) < np.array([0, 0.02, 0.1, 0.3, 0.6, 1])
    scores = generator.integers(0, 21, (40, 6)) / 20 * np.array([1, 1, 1, 0.9, 1, 0.05])
    for k, found in enumerate(best_thresholds(targets, scores)):
        tried = [f1_score(targets[:, k], scores[:, k] >= t, zero_division=0) for t in THRESHOLDS]
        assert found == (THRESHOLDS[int(np.argmax(tried))] if targets[:, k].any() else 0.5)


def test_thresholds_by_hand() -> None:
    targets = np.array([[1, 0, 1], [0, 0, 1], [1, 0, 0]])
    scores = np.array([[0.6, 0.9, 0.01], [0.59, 0.1, 0.02], [0.65, 0.3, 0.5]])
    found = best_thresholds(targets, scores)
    assert found.tolist() == [0.6, 0.5, 0.1]  # a score on the candidate counts; none present; no hit at all
    assert decide(scores, found).tolist() == [[True, True, False], [False, False, False], [True, False, True]]
    assert best_thresholds(targets[:0], scores[:0]).tolist() == [0.5] * 3


def test_decisions_are_made_in_double_precision() -> None:
    low = np.array([[0.35]], dtype=np.float32)  # just below 0.35
    assert not decide(low, np.array([0.35])).any()
    assert decide(np.array([[0.35]]), np.array([0.35])).all()
    assert best_thresholds(np.array([[1], [0]]), np.array([[0.35], [0.33]], dtype=np.float32))[0] == 0.1


def test_thresholds_refuse() -> None:
    with pytest.raises(ValueError, match=r"thresholds \(2,\)"):
        decide(np.zeros((4, 3)), np.zeros(2))
    with pytest.raises(ValueError, match="1 scores are not finite"):
        decide(np.array([[np.nan, 0]]), np.zeros(2))
    with pytest.raises(ValueError, match="2 scores are not finite"):
        best_thresholds(np.zeros((1, 2)), np.array([[np.inf, np.nan]]))
    with pytest.raises(ValueError, match=r"\(1, 2\) and \(2, 2\)"):
        best_thresholds(np.zeros((1, 2)), np.zeros((2, 2)))


@pytest.mark.parametrize("seed", range(3))
def test_decision_metrics_equal_scikit_learn(seed: int) -> None:
    targets, outputs = random_case(seed, rate=0.02)
    targets[:, :2], outputs[:, 0] = False, False
    outputs[4, 1] = True
    expected = [
        f1_score(targets[:, k], outputs[:, k], zero_division=0)
        for k in range(26)
        if targets[:, k].any() or outputs[:, k].any()
    ]
    found = decision_metrics(targets, outputs)
    assert len(expected) < 26
    assert found["macro_f"] == pytest.approx(np.mean(expected))
    assert found["accuracy"] == pytest.approx(accuracy_score(targets, outputs))


def test_decision_metrics_by_hand() -> None:
    targets = np.array([[1, 0, 0], [1, 0, 0], [0, 0, 0]])
    outputs = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0]])
    found = decision_metrics(targets, outputs)
    assert found == pytest.approx({"macro_f": (2 / 3 + 0) / 2, "accuracy": 2 / 3})
    nothing = decision_metrics(np.zeros((2, 3)), np.zeros((2, 3)))
    assert math.isnan(nothing["macro_f"])
    assert nothing["accuracy"] == 1
    with pytest.raises(ValueError, match="at least one record"):
        decision_metrics(targets[:0], outputs[:0])


def test_the_macro_areas_leave_out_what_the_official_ones_do() -> None:
    targets = np.array([[0, 1, 1], [0, 1, 0], [0, 1, 1]])
    scores = np.random.default_rng(0).random((3, 3))
    assert np.isnan(auroc(targets, scores)).tolist() == [True, True, False]
    # the official average precision is 1 for the class in the middle
    assert np.isnan(average_precision(targets, scores)).tolist() == [True, True, False]


def test_masks_of_the_published_counts() -> None:
    labels, sources = [], []
    for name, (counts, _) in POSITIVES.items():
        for database, count in zip(DATABASES, counts, strict=True):
            labels += [{name}] * min(count, 2)
            sources += [database] * min(count, 2)
    labels += [set(CLASSES), {"AF"}, set()]
    sources += ["", "unknown", "empty"]
    mask = database_mask(multi_hot(labels), np.array(sources))
    assert set(mask) == {*DATABASES, "empty"}
    for k, database in enumerate(DATABASES):
        assert mask[database].dtype == bool
        assert mask[database].tolist() == [bits[k] == "1" for _, bits in POSITIVES.values()]
    assert [int(mask[database].sum()) for database in DATABASES] == [6, 20, 9, 5, 22, 23, 19, 25]
    assert not mask["empty"].any()
    assert tuple(POSITIVES) == CLASSES


def test_mask_rows() -> None:
    mask = {"ptb": np.array([True, False]), "cpsc": np.array([False, False])}
    rows = mask_rows(mask, ["cpsc", "ptb", "umich", "", "ptb"])
    assert rows.tolist() == [[False, False], [True, False], [True, True], [True, True], [True, False]]
    assert mask_rows(mask | {"unknown": np.array([False, True])}, ["unknown"]).all()
    assert mask_rows(mask, []).shape == (0, 2)
    assert mask_rows({}, ["", "ptb"]).shape == (2, 26)
    assert mask_rows({}, ["", "ptb"]).all()
    assert mask_rows(mask, ["ptb", ""]).dtype == bool
    with pytest.raises(ValueError, match=r"databases \(3,\)"):
        database_mask(np.ones((2, 2)), ["a", "b", "c"])


def test_inferred_databases() -> None:
    nan = np.nan
    rules = [
        (500, (0.5, -0.5), "cpsc"),
        (500.0, (0.1, 0.51), "georgia"),
        (500, (-0.51, 0), "georgia"),
        (500, (nan, 0.2), "cpsc"),
        (500, (nan, 7), "georgia"),
        (500, (nan, nan), ""),
        (300, (0, 0), ""),
        (250, (9, 9), ""),
        (1000, (0, 0), ""),
    ]
    rates, means, expected = zip(*rules, strict=True)
    assert inferred_databases(np.array(rates), np.array(means)).tolist() == list(expected)
    with pytest.raises(ValueError, match=r"rates \(2,\) and means \(3, 2\)"):
        inferred_databases(np.array([500, 500]), np.zeros((3, 2)))
