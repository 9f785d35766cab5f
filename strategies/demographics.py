"""Demographics: ECGs of people of the same sex and about the same age should agree.

Strategy 3 of "Finding 'Good Views' of Electrocardiogram Signals" (arXiv 2411.17702, section 2.2).

Paper and code: the paper names age, sex and race, and no bins; its code has no race, and 11 age bins that with
two sexes make 22 groups of 254 to 820 records. Bins are open below and closed above; the first begins above 17
years, where the paper's cohort does.

A record of unknown age or sex, or outside the bins, belongs to no group: it is no anchor and nobody's positive.
It stays a negative of the others, wrongly so about once in 22 times, like any record that could not be matched.
"""

import torch
from torch import Tensor

from bench.train.strategy import BOARD, Batch, Field, Params, Strategy, Views, matching


class DemographicsParams(Params):
    """Parameters of `Demographics`.

    Attributes:
        edges: ages in years, ascending; each two neighbours bound a bin (low, high].
    """

    edges: tuple[float, ...] = (17, 34, 44, 49, 54, 59, 64, 69, 74, 79, 84, 100)


class Demographics(Strategy):
    """Positives are records of one age bin and sex."""

    name = "demographics"
    title = "Demographics"
    paper = "Good Views strategy 3, arXiv 2411.17702"
    needs = frozenset({Field.DEMOGRAPHICS})
    deviations = ("No race: the corpora have none, and neither has the published code.",)
    recipes = {
        "goodviews": {},
        "goodviews_code": {"as_published_diagonal": True},
        "board": dict(BOARD),
    }
    Params = DemographicsParams
    params: DemographicsParams

    def positives(self, batch: Batch, views: Views) -> Tensor:
        """(N, N) records of the same group."""
        return matching(self.groups(batch.age, batch.sex), views)

    def groups(self, age: Tensor, sex: Tensor) -> Tensor:
        """(B,) group of each record; -1: none.

        Args:
            age: (B,) years, NaN unknown.
            sex: (B,) 0 male, 1 female, -1 unknown.
        """
        edges = torch.tensor(self.params.edges, device=age.device)
        bins = torch.bucketize(age, edges) - 1
        known = (sex >= 0) & (age > edges[0]) & (age <= edges[-1])
        return torch.where(known, 2 * bins + sex, -1)
