"""The batched logistic regression reaches scikit-learn's optimum for every strength and label."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from bench.evaluate.logistic import STRENGTHS, fit_logistic, log_loss, predict_logistic
from bench.evaluate.readout import ReadoutData, boosting, probe


def problem(n, d, k, seed=0):
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(d, d)) * np.exp(-np.arange(d) / 8)
    features = rng.normal(size=(n, d)) @ mixing.T
    features = (features - features.mean(0)) / features.std(0)
    return features, features @ rng.normal(size=(d, k)) / 4 + rng.normal(size=(n, k)) * 2


@pytest.mark.parametrize("n", [9, 60, 400])
def test_multinomial_agrees_with_scikit_learn(n):
    features, logits = problem(n, 24, 3)
    labels = logits.argmax(1)
    targets = np.eye(3)[labels]
    x, t = torch.from_numpy(features), torch.from_numpy(targets)
    got = predict_logistic(fit_logistic(x, t, "single"), x, "single").numpy()
    for s, strength in enumerate(STRENGTHS):
        model = LogisticRegression(C=strength, max_iter=10_000, tol=1e-8).fit(features, labels)
        np.testing.assert_allclose(got[s][:, model.classes_], model.predict_proba(features), atol=2e-4)


def test_binary_problems_agree_with_scikit_learn():
    features, logits = problem(300, 16, 4)
    targets = (logits > 1).astype(float)
    x, t = torch.from_numpy(features), torch.from_numpy(targets)
    got = predict_logistic(fit_logistic(x, t, "multi"), x, "multi").numpy()
    for s, strength in enumerate(STRENGTHS):
        for k in range(4):
            model = LogisticRegression(C=strength, max_iter=10_000, tol=1e-8).fit(features, targets[:, k])
            np.testing.assert_allclose(got[s][:, k], model.predict_proba(features)[:, 1], atol=2e-4)


def test_log_loss_by_hand():
    p = torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]], dtype=torch.float64)
    t = torch.tensor([[1.0, 0, 0], [0, 1.0, 0]], dtype=torch.float64)
    assert float(log_loss(p, t, "single")) == pytest.approx(-(np.log(0.5) + np.log(0.8)) / 2)
    hand = -(np.log(0.5) + 2 * np.log(0.75) + np.log(0.8) + 2 * np.log(0.9)) / 2
    assert float(log_loss(p, t, "multi")) == pytest.approx(hand)


def data(features, targets, kind, train, val):
    choices = {"subset": val[:5], "all": val}
    return ReadoutData(features.astype(np.float32), targets, train, choices, kind, 0, 1)


def test_a_probe_on_constant_features_is_the_label_prior():
    targets = np.eye(3)[np.repeat([0, 1, 2], [50, 30, 20])].astype(np.int8)
    train, val = np.arange(0, 100, 2), np.arange(1, 100, 2)
    scores = probe(data(np.zeros((100, 1)), targets, "single", train, val)).scores["all"]
    np.testing.assert_allclose(scores, np.tile(targets[train].mean(0), (100, 1)), atol=1e-3)


def test_a_probe_never_looks_at_the_test_records():
    features, logits = problem(120, 8, 3)
    targets = np.eye(3)[logits.argmax(1)].astype(np.int8)
    train, val, test = np.arange(60), np.arange(60, 90), np.arange(90, 120)
    first = probe(data(features, targets, "single", train, val))
    shuffled = targets.copy()
    shuffled[test] = shuffled[test][::-1]
    second = probe(data(features, shuffled, "single", train, val))
    np.testing.assert_array_equal(first.scores["subset"], second.scores["subset"])
    moved = features.copy()
    moved[test] += 5
    third = probe(data(moved, targets, "single", train, val))
    np.testing.assert_array_equal(first.scores["all"][train], third.scores["all"][train])


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_boosting_takes_missing_values_and_absent_classes(kind):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 3))
    features[rng.random((200, 3)) < 0.2] = np.nan
    targets = np.zeros((200, 4), np.int8)
    targets[np.arange(200), np.where(np.nan_to_num(features[:, 0]) > 0, 1, 2)] = 1
    scores = boosting(data(features, targets, kind, np.arange(120), np.arange(120, 160))).scores["all"]
    assert np.isfinite(scores).all() and (scores[:, 0] == 0).all() and (scores[:, 3] == 0).all()
    assert (scores[160:].argmax(1) == targets[160:].argmax(1)).mean() > 0.85


def test_boosting_with_a_single_class_scores_it_one():
    targets = np.zeros((30, 2), np.int8)
    targets[:, 1] = 1
    rows = data(
        np.random.default_rng(0).normal(size=(30, 2)), targets, "single", np.arange(20), np.arange(20, 30)
    )
    np.testing.assert_array_equal(boosting(rows).scores["all"], np.tile([0.0, 1.0], (30, 1)))


def test_boosting_learns_from_nine_records():
    """With the library's least leaf of twenty records it could not split at all."""
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1, 2], 40)
    features = labels[:, None] * 3.0 + rng.normal(size=(120, 2))
    targets = np.eye(3)[labels].astype(np.int8)
    train = np.array([0, 1, 2, 40, 41, 42, 80, 81, 82])
    val = np.setdiff1d(np.arange(120), train)
    scores = boosting(data(features, targets, "single", train, val)).scores["all"]
    assert (scores[val].argmax(1) == labels[val]).mean() > 0.7
