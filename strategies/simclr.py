"""SimCLR: two random transformations of the same ECG should agree.

Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020 (arXiv 2002.05709),
as Strategy 2 of Jeong et al., "Finding 'Good Views' of Electrocardiogram Signals" (arXiv 2411.17702, section 2.2).

Paper and code: the paper draws two transformations for each record from jittering, scaling, flipping, rotating and
time/size warping, and so does this file. The published code computes four views of each record once, one fixed
transformation each (jitter of 0.03 microvolts, which changes nothing; a gain for each lead; a sign for each lead and
a random order of the leads; a time warp of each lead by itself), and fills a batch with the four views of one
record and one view of each of others, all of which are positives of each other. `as_published` does that.
"""

from functools import partial
from typing import Literal

import torch
from torch import Tensor

from bench.nn.augment import TRANSFORMS, Transform, jitter, one_of, rotation, scaling, time_warp
from bench.train.strategy import BOARD, Batch, Params, Strategy, Views

Name = Literal["jitter", "scaling", "flipping", "rotation", "time_warp", "size_warp"]

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
        scaling, time_warp, size_warp: standard deviations of the multipliers, which have mean 1.
        as_published: views and positives of the published code; the parameters above are then not used.
    """

    transforms: tuple[Name, ...] = ("jitter", "scaling", "flipping", "rotation", "time_warp", "size_warp")
    jitter: float = 0.03
    scaling: float = 0.1
    time_warp: float = 0.2
    size_warp: float = 0.2
    as_published: bool = False


class SimCLR(Strategy):
    """Positives: the two views of one record."""

    name = "simclr"
    title = "SimCLR"
    paper = "Chen et al. 2020, arXiv 2002.05709; Good Views strategy 2, arXiv 2411.17702"
    deviations = (
        "Views are drawn afresh at every step; the published code computes four views of each record once.",
        "The paper gives no strengths; these are the published code's, noise in units of the record's own spread.",
    )
    recipes = {
        "goodviews": {},
        "goodviews_code": {"as_published": True, "as_published_diagonal": True},
        "board": dict(BOARD),
    }
    Params = SimCLRParams
    params: SimCLRParams

    def views(self, batch: Batch, generator: torch.Generator) -> Views:
        """Two views of each record; see `_published_views` for the other mode."""
        if self.params.as_published:
            return self._published_views(batch, generator)
        rows = torch.arange(len(batch.signal), device=batch.signal.device)
        signal = one_of(batch.signal.repeat(2, 1, 1), self._transforms(), generator)
        return Views(signal, rows.repeat(2), (rows >= 0).long().repeat(2).cumsum(0).gt(len(rows)).long())

    def positives(self, batch: Batch, views: Views) -> Tensor:
        """(N, N): views of one record; as published, all views of all records but the first as well."""
        if not self.params.as_published:
            return super().positives(batch, views)
        first = views.source == 0
        return first[:, None] == first[None, :]

    def _transforms(self) -> list[Transform]:
        strengths = {
            name: {"sd": getattr(self.params, name)} for name in ("jitter", "scaling", "time_warp", "size_warp")
        }
        return [partial(TRANSFORMS[name], **strengths.get(name, {})) for name in self.params.transforms]

    def _published_views(self, batch: Batch, generator: torch.Generator) -> Views:
        """Four views of the batch's first record, one of each other record."""
        one, others = batch.signal[:1], batch.signal[1:]
        signal = [*(change(one, generator) for change in PUBLISHED), one_of(others, PUBLISHED, generator)]
        rows = torch.arange(len(batch.signal), device=batch.signal.device)
        return Views(torch.cat(signal), torch.cat((rows[:1].expand(4), rows[1:])), _group(rows))
