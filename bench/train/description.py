"""What a strategy is told of its training set, and what it says of the instances it wants drawn."""

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

from bench.train.prototypes import AttributeGrid


@dataclass(frozen=True)
class Draw:
    """What a training instance is; by default what the input spec evaluates.

    Attributes:
        windows: evaluation windows that it is long, end to end.
        all_leads: it has every lead of the lead set as a channel, even where each lead is an instance.
    """

    windows: int = 1
    all_leads: bool = False


class Info(BaseModel):
    """What a strategy may know of the training set before it is built.

    Attributes:
        leads: channels of an evaluated instance: the lead set's, or 1 where each lead is an instance.
        samples: length of an evaluated instance.
        rate: Hz.
        instances: rows of the training set.
        drawn: (leads, samples) of a training instance, which `Strategy.draws` may make larger.
        classes: names of the downstream classes; empty when the strategy declares no labels.
        kind: 'single' or 'multi', the downstream task's kind.
        tasks: number of classes of every task of the corpus.
        steps: optimiser steps of the budget.
        counts: number of classes, sexes and age bins; given to strategies that look for groups, else zeros.
        edges: ages in years between the age bins; given to those of them that declare demographics.
        databases: source databases of the corpus, sorted; given to strategies that declare them.
        lead_names: leads of the lead set, in the order of its channels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    leads: int
    samples: int
    rate: int
    instances: int
    drawn: tuple[int, int]
    classes: tuple[str, ...] = ()
    kind: Literal["single", "multi"] = "single"
    tasks: dict[str, int] = {}
    steps: int = 1
    counts: tuple[int, int, int] = (0, 0, 0)
    edges: tuple[float, ...] = ()
    databases: tuple[str, ...] = ()
    lead_names: tuple[str, ...] = ()

    def grid(self) -> AttributeGrid:
        """The attribute sets of the training set.

        Raises:
            ValueError: the strategy is told neither of classes nor of age bins.
        """
        if not (self.counts[0] and self.edges):
            raise ValueError("no attribute sets: set `grouping` and declare Field.DEMOGRAPHICS in `needs`")
        return AttributeGrid(classes=self.counts[0], edges=self.edges)
