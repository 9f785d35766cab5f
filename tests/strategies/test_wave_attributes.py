"""Wave attributes: standardisation, clusters, distances and neighbours, against explicit loops."""

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from bench.train.strategy import ATTRIBUTES, Training
from strategies.wave_attributes import WaveAttributes
from tests.strategies.making import batch, generator, info, make, pairs, signals

NAN = float("nan")


def table(rows: int = 80, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    scale = np.linspace(1, 60, len(ATTRIBUTES))
    return torch.tensor(rng.normal(100, scale, (rows, len(ATTRIBUTES))), dtype=torch.float32)


def fitted(measurements: torch.Tensor, **params) -> WaveAttributes:
    strategy = make(WaveAttributes, info(instances=len(measurements)), **params)
    fields = batch(torch.zeros(len(measurements), 1, 1), measurements=measurements).fields
    strategy.setup(Training(fields, lambda: torch.empty(0), seed=3))
    return strategy


def positives(strategy: WaveAttributes, measurements: torch.Tensor) -> torch.Tensor:
    b = batch(signals(len(measurements)), measurements=measurements)
    return strategy.positives(b, strategy.views(b, generator()))


def standardised(measurements: np.ndarray) -> np.ndarray:
    return (measurements - measurements.mean(0)) / measurements.std(0, ddof=1)


def test_kmeans_matches_records_of_one_cluster():
    data = table()
    strategy = fitted(data, clusters=5)
    points = standardised(data.double().numpy())
    oracle = KMeans(5, n_init=10, random_state=3).fit(points).labels_
    mask = positives(strategy, data)
    assert np.array_equal(mask.numpy(), oracle[:, None] == oracle[None, :])


def test_few_records_make_fewer_clusters():
    assert fitted(table(80)).centroids.shape == (10, 11)
    assert fitted(table(400)).centroids.shape == (40, 11)
    assert fitted(table(6)).centroids.shape == (1, 11)


def test_where_few_records_are_measured_each_is_its_own_cluster():
    data = table(80)
    data[4:] = NAN
    assert pairs(positives(fitted(data), torch.cat((data[:4], data[:4], data[4:6])))) == {
        (0, 4),
        (1, 5),
        (2, 6),
        (3, 7),
    }


def test_epsilon_matches_within_h():
    data = table(30)
    h = 3.0
    mask = positives(fitted(data, mode="epsilon", h=h), data)
    points = standardised(data.double().numpy())
    expected = {
        (i, j) for i in range(30) for j in range(i + 1, 30) if np.linalg.norm(points[i] - points[j]) <= h
    }
    assert 5 < len(expected) < 400
    assert pairs(mask) == expected


def test_neighbours_match_either_way_round():
    data = table(20)
    mask = positives(fitted(data, mode="knn", neighbours=2), data)
    points = standardised(data.double().numpy())
    expected = set()
    for i in range(20):
        apart = np.linalg.norm(points - points[i], axis=1)
        apart[i] = np.inf
        expected |= {(min(i, int(j)), max(i, int(j))) for j in np.argsort(apart)[:2]}
    assert pairs(mask) == expected
    assert pairs(positives(fitted(data, mode="knn"), data[:2])) == {(0, 1)}


def test_a_missing_attribute_takes_the_training_median():
    data = table(41)
    data[3, 1] = NAN
    strategy = fitted(data, mode="epsilon")
    known = data[torch.arange(41) != 3, 1].double()
    filled = data.double().clone()
    filled[3, 1] = strategy.median[1].double()
    assert known.sort().values[19] == pytest.approx(
        float(strategy.median[1])
    )  # the lower of forty's two middle ones
    assert torch.allclose(strategy.mean.double(), filled.mean(0), rtol=1e-5)
    assert torch.allclose(strategy.sd.double(), filled.std(0), rtol=1e-5)


def test_a_record_without_any_attribute_matches_nobody():
    data = table(40)
    row = torch.full((1, 11), NAN)
    asked = torch.cat((data[:1], data[:1], row, row))
    for mode in ("kmeans", "epsilon", "knn"):
        mask = positives(fitted(data, mode=mode), asked)
        assert pairs(mask) == {(0, 1)}


def test_only_training_records_are_fitted():
    """What a batch holds changes nothing that was fitted."""
    strategy = fitted(table(80))
    before = {name: buffer.clone() for name, buffer in strategy.named_buffers()}
    positives(strategy, 1e6 * table(10, seed=1))
    assert all(torch.equal(buffer, before[name]) for name, buffer in strategy.named_buffers())


def test_deduplicated_attributes_put_axes_on_a_circle():
    data = table(50)
    data[:, ATTRIBUTES.index("RAxis")] = torch.linspace(-89, 270, 50)
    strategy = fitted(data, mode="epsilon", h=0.2, attributes="deduplicated")
    assert strategy.mean.shape == (8,)
    a, b, c = data[:1].clone(), data[:1].clone(), data[:1].clone()
    axis, onset = ATTRIBUTES.index("RAxis"), ATTRIBUTES.index("QOnset")
    a[0, axis], b[0, axis], c[0, axis] = -89.0, 270.0, 90.0  # -89 and 270 are one degree apart
    b[0, onset] += 1e4  # follows from others, and is left out
    assert pairs(positives(strategy, torch.cat((a, b, c)))) == {(0, 1)}


def test_a_constant_attribute_counts_for_nothing():
    data = table(30)
    data[:, 4] = 7.0
    strategy = fitted(data, mode="epsilon", h=0.5)
    assert float(strategy.sd[4]) == 1.0
    assert bool(torch.isfinite(strategy._standardised(data)).all())


def test_no_measurements_at_all_is_an_error_that_says_so():
    with pytest.raises(ValueError, match="no training record has measurements"):
        fitted(torch.full((10, 11), NAN))


def test_clusters_are_kept_in_the_checkpoint():
    data = table(80)
    trained, fresh = fitted(data), make(WaveAttributes, info(instances=80))
    fresh.load_state_dict(trained.state_dict(), strict=True)
    assert torch.equal(positives(trained, data), positives(fresh, data))
