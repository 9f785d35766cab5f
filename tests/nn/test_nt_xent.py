import math

import pytest
import torch

from bench.nn.losses import multi_positive_nt_xent
from bench.nn.nt_xent import published_nt_xent


def views(seed: int = 0, records: int = 5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2 * records, 4, generator=generator, dtype=torch.float64)


def partners(records: int = 5) -> torch.Tensor:
    return torch.eye(records).repeat(2, 2).bool()


def test_at_temperature_1_it_is_nt_xent():
    """There e is exp(1 / temperature); what is left is the 1e-6 in the denominator."""
    right = multi_positive_nt_xent(views(), partners(), 1.0)
    torch.testing.assert_close(published_nt_xent(views(), 1.0), right, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("records", "temperature"), [(1, 0.5), (5, 0.5), (5, 0.1)])
def test_with_all_views_alike(records, temperature):
    """(2 B exp(1 / t) - e) / exp(1 / t), in place of 2 B - 1."""
    found = published_nt_xent(torch.ones(2 * records, 3, dtype=torch.float64), temperature).item()
    assert found == pytest.approx(math.log(2 * records - math.exp(1 - 1 / temperature)), abs=1e-6)


def test_what_stays_in_the_denominator_matters_in_small_batches_only():
    def excess(records: int) -> float:
        right = multi_positive_nt_xent(views(1, records), partners(records), 0.5)
        return (published_nt_xent(views(1, records), 0.5) - right).item()

    assert excess(3) > 0.2
    assert 0 < excess(500) < 0.01


def test_length_does_not_matter_and_low_denominators_are_held():
    z = views()
    torch.testing.assert_close(published_nt_xent(z * 7, 0.5), published_nt_xent(z, 0.5))
    two = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    found = published_nt_xent(two, 10.0)  # exp(0.1) + 1 is below e
    assert found.item() == pytest.approx(math.log(2e-6), rel=1e-6)


def test_it_is_computed_in_float32_under_autocast():
    z = views().float()
    with torch.autocast("cpu", torch.bfloat16):
        inside = published_nt_xent(z, 0.1)
    assert torch.equal(inside, published_nt_xent(z, 0.1))
    assert published_nt_xent(z.bfloat16(), 0.1).dtype == torch.float32
