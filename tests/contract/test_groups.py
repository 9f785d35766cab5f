"""A strategy's own groups are what they say, and each way of not being it is caught."""

import re
from typing import ClassVar

import pytest
import torch

from bench.run.contract.check import check_strategy
from bench.train.strategy import Prototypes, Strategy
from tests.contract.test_contract import failures


class Points(Prototypes, Strategy):
    name, title = "points", "Points"
    trained: ClassVar = False

    def __init__(self, encoder, params, info, parents=None):
        super().__init__(encoder, params, info, parents)
        self.register_buffer(
            "points", torch.randn(3, encoder.dim, generator=torch.Generator().manual_seed(0))
        )

    def prototypes(self):
        return self.points


class FewerGroups(Points):
    def groups(self):
        return 0


class InCompany(Points):
    def assign(self, embedding):
        return embedding.argsort(dim=0)[:, 0] % 3


class NarrowPoints(Points):
    def prototypes(self):
        return self.points[:, :2]

    def assign(self, embedding):
        return torch.zeros(len(embedding), dtype=torch.int64)


class StrangeValues(Points):
    def attributes(self):
        return torch.full((3, 3), 7)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (FewerGroups, "ids outside 0 to -1"),
        (InCompany, "hangs on the others of its batch"),
        (NarrowPoints, r"`prototypes` are \(3, 2\)"),
        (StrangeValues, "`attributes` hold unknown values"),
    ],
)
def test_groups_that_are_not_what_they_say_are_caught(kind, reason):
    assert not failures(check_strategy(Points, only=frozenset({"groups"})))
    assert re.search(reason, failures(check_strategy(kind, only=frozenset({"groups"})))["groups"])
