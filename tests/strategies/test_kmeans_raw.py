"""KM raw: the embedding is the signal, or what of it lies on principal axes; the same bits each time."""

import pytest
import torch

from baselines.kmeans_raw import KMeansRaw
from bench.run.contract.stand import ROWS, Stand
from bench.train.strategy import Fields, Training
from tests.strategies.making import batch, info, make, signals


def fitted(b, seed=0, **params):
    strategy = make(KMeansRaw, info(leads=3, samples=40, instances=len(b.signal)), **params)
    fields = Fields({}, frozenset(), "kmeans_raw")
    strategy.setup(Training(fields, lambda rows=None: strategy.embed(b)[rows], seed))
    return strategy


def low_rank(count=60, rank=5):
    """Signals in a plane of `rank` dimensions, off the origin."""
    basis = signals(rank, 3, 40, seed=1)
    weights = torch.randn(count, rank, generator=torch.Generator().manual_seed(2))
    return batch(torch.einsum("nr,rct->nct", weights, basis) + 0.5)


def test_without_components_the_embedding_is_the_flattened_signal():
    b = batch(signals(4, 3, 40))
    assert torch.equal(fitted(b, components=0).embed(b), b.signal.reshape(4, 120))


def test_axes_keep_all_distances_of_signals_that_lie_in_their_plane():
    b = low_rank()
    strategy = fitted(b, components=5)
    assert strategy.embed(b).shape == (60, 5)
    kept, whole = (torch.pdist(points.double()) for points in (strategy.embed(b), b.signal.flatten(1)))
    assert kept.tolist() == pytest.approx(whole.tolist(), rel=1e-5)
    assert torch.allclose(strategy.axes @ strategy.axes.T, torch.eye(5), atol=1e-5)


def test_fewer_axes_keep_the_most_variance():
    b = low_rank()
    flat = b.signal.flatten(1)
    kept = fitted(b, components=3).embed(b).var(0)
    values = torch.linalg.svdvals((flat - flat.mean(0)).double()) ** 2 / (len(flat) - 1)
    assert kept.tolist() == pytest.approx(values[:3].tolist(), rel=1e-3)


def test_axes_are_found_on_a_subset_drawn_by_the_seed():
    b = batch(signals(50, 3, 40))
    seen = []
    for seed in (0, 0, 1):
        strategy = make(KMeansRaw, info(leads=3, samples=40, instances=50), components=4, subset=20)

        def embed(rows, strategy=strategy):
            seen.append(rows.tolist())
            return strategy.embed(b)[rows]

        strategy.setup(Training(Fields({}, frozenset(), "kmeans_raw"), embed, seed))
    assert seen[0] == seen[1] != seen[2]
    assert len(set(seen[0])) == 20


@pytest.mark.parametrize(("instances", "subset", "width"), [(50, 4096, 50), (50, 20, 20), (500, 4096, 120)])
def test_there_are_no_more_axes_than_the_data_have(instances, subset, width):
    strategy = make(KMeansRaw, info(leads=3, samples=40, instances=instances), subset=subset)
    assert strategy.axes.shape == (width, 120)


def test_a_fit_has_the_same_bits_twice_and_leaves_the_global_generators(tmp_path):
    stand = Stand(KMeansRaw, {"components": 16}, tmp_path)
    before = torch.get_rng_state()
    first, second = (stand.fit().run().strategy for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first.axes, second.axes)
    assert torch.equal(first.mean, second.mean)
    assert first.info.instances == len(ROWS.train)
    assert first.embed(stand.judged(5)).shape == (5, 16)
