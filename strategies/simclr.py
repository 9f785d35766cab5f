"""SimCLR: two random transformations of the same ECG should agree.

Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020 (arXiv
2002.05709), as Strategy 2 of "Finding 'Good Views' of Electrocardiogram Signals" (arXiv 2411.17702, section 2.2).

Paper and code: the paper draws two transformations for each record from jittering, scaling, flipping, rotating
and time/size warping, and so does this file. The published code computes four views of each record once, one
fixed transformation each: jitter of 0.03 microvolts, which changes nothing; a gain for each lead; a sign for
each lead and a random order of the leads; a time warp of each lead by itself. A batch is then the four views of
one record and one view of each of some others, all of which are positives of each other. `as_published` does
that, with views drawn at every step.
"""

from functools import partial
from typing import Literal

import torch
from torch import Tensor

from bench.nn.augment import TRANSFORMS, Transform, jitter, one_of, rotation, scaling, size_warp, time_warp
from bench.train.strategy import BOARD, Batch, Params, Strategy, Views

PUBLISHED: tuple[Transform, ...] = (
    partial(jitter, sd=3e-5, absolute=True),
    partial(scaling, sd=0.1),
    partial(rotation, permute=True),
    partial(time_warp, sd=0.2, knots=6, multiply="position", per_lead=True),
)


class SimCLRParams(Params):
    """Parameters of `SimCLR`.

    Attributes:
        transforms: what a view is drawn from, one of them for each view of each record.
        jitter: standard deviation of the noise, as a share of the record's own.
        scaling, time_warp, size_warp: standard deviations of the multipliers, whose mean is 1.
        as_published: views and positives of the published code, in place of all of the above.
    """

    transforms: tuple[Literal["jitter", "scaling", "flipping", "rotation", "time_warp", "size_warp"], ...] = (
        "jitter",
        "scaling",
        "flipping",
        "rotation",
        "time_warp",
        "size_warp",
    )
    jitter: float = 0.03
    scaling: float = 0.1
    time_warp: float = 0.2
    size_warp: float = 0.2
    as_published: bool = False


class SimCLR(Strategy):
    """Positives are the two views of one record."""

    name = "simclr"
    title = "SimCLR"
    paper = "Chen et al. 2020, arXiv 2002.05709; Good Views strategy 2, arXiv 2411.17702"
    deviations = (
        "Views are drawn afresh at every step; the published code draws four views of each record once.",
        "The paper states no strengths; these are the code's, but for noise, a share of the record's spread.",
    )
    recipes = {
        "goodviews": {},
        "goodviews_code": {"as_published": True, "as_published_diagonal": True},
        "board": dict(BOARD),
    }
    Params = SimCLRParams
    params: SimCLRParams

    def views(self, batch: Batch, generator: torch.Generator) -> Views:
        """Two views of each record, each under one transformation drawn for it."""
        if self.params.as_published:
            return _published_views(batch, generator)
        return Views.of(*(one_of(batch.signal, self._transforms(), generator) for _ in range(2)))

    def positives(self, batch: Batch, views: Views) -> Tensor:
        """(N, N) views of one record; as published, the views of all records but the first as well."""
        if not self.params.as_published:
            return super().positives(batch, views)
        first = views.source == 0
        return first[:, None] == first[None, :]

    def _transforms(self) -> list[Transform]:
        chosen: dict[str, Transform] = TRANSFORMS | {
            "jitter": partial(jitter, sd=self.params.jitter),
            "scaling": partial(scaling, sd=self.params.scaling),
            "time_warp": partial(time_warp, sd=self.params.time_warp),
            "size_warp": partial(size_warp, sd=self.params.size_warp),
        }
        return [chosen[name] for name in self.params.transforms]


def _published_views(batch: Batch, generator: torch.Generator) -> Views:
    """Four views of the batch's first record, then one of each other record, under one of the four."""
    views = [transform(batch.signal[:1], generator) for transform in PUBLISHED]
    views.append(one_of(batch.signal[1:], PUBLISHED, generator))
    row = torch.arange(len(batch.signal), device=batch.signal.device)
    four = torch.arange(len(PUBLISHED), device=row.device)
    source = torch.cat((torch.zeros_like(four), row[1:]))
    return Views(torch.cat(views), source, torch.cat((four, torch.zeros_like(row[1:]))))
