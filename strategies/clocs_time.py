"""CLOCS in time: segments of the same ECG, one after the other, should agree.

Kiyasseh et al., "CLOCS: Contrastive Learning of Cardiac Signals Across Space, Time, and Patients", ICML 2021
(arXiv 2005.13249), contrastive multi-segment coding (CMSC, recipe 'clocs'); and Strategy 1 of "Finding 'Good
Views' of Electrocardiogram Signals" (arXiv 2411.17702, section 2.2): an ECG is cut into V segments that do not
overlap.

CLOCS pairs two segments of one lead, each as long as what is evaluated, so that an encoder of one length reads
both; any segment of any lead of the patient is a positive too. It wants instances of one lead each.

Paper and code: Good Views states no V; its code takes the two halves of ten seconds, all leads. The loss of CLOCS
has terms that its code lacks: see `bench.nn.clocs`, and recipe 'clocs_code'.
"""

from typing import Literal

import pydantic
import torch
from torch import Tensor

from bench.nn.augment import random_crop
from bench.nn.clocs import AS_PUBLISHED, BatchNorm, OffDiagonals, Pairs, contrast_views
from bench.train.strategy import (
    BOARD,
    Batch,
    Draw,
    Field,
    Info,
    Loss,
    Params,
    Step,
    Strategy,
    Views,
    matching,
)

CLOCS = {"temperature": 0.1, "segment": "window", "positives": "patient", "loss": "clocs"}


class ClocsTimeParams(Params):
    """Parameters of `ClocsTime`.

    Attributes:
        views: segments V of an instance; each has a V-th of its samples.
        segment: a 'part' of what is evaluated, or a 'window' as long as that; an instance is then V windows long.
        crops: 'consecutive' segments, which share no sample, or each at a 'random' start.
        positives: segments of the same 'record', or of any record of the same 'patient', at that price.
        loss: 'nt_xent', every view against all others, or 'clocs', one pair of views at a time.
        pairs, offdiagonals, batch_norm: of loss 'clocs'; see `bench.nn.clocs`.
    """

    views: int = pydantic.Field(default=2, ge=2)
    segment: Literal["part", "window"] = "part"
    crops: Literal["consecutive", "random"] = "consecutive"
    positives: Literal["record", "patient"] = "record"
    loss: Literal["nt_xent", "clocs"] = "nt_xent"
    pairs: Pairs = "all"
    offdiagonals: OffDiagonals = "full"
    batch_norm: BatchNorm = "joint"


class ClocsTime(Strategy):
    """Positives are segments of one record, or of one patient's."""

    name = "clocs_time"
    title = "CLOCS (time)"
    paper = "Kiyasseh et al. 2021, arXiv 2005.13249; Good Views strategy 1, arXiv 2411.17702"
    deviations = (
        "Instances are embedded whole; the published code of Good Views scores each half as a record of its own.",
        "Recipe clocs is trained and evaluated at one sampling rate; the published code of CLOCS is trained at"
        " 500 Hz and evaluated at 250 Hz on Chapman.",
        "Recipe clocs has all same-patient positives in both directions, as its paper says, and batch norm over"
        " all views together; the published code has half of them, and batch norm by view (recipe clocs_code).",
    )
    recipes = {
        "goodviews": {},
        "goodviews_code": {"as_published_diagonal": True},
        "clocs": dict(CLOCS),
        "clocs_code": {**CLOCS, **AS_PUBLISHED},
        "board": dict(BOARD),
    }
    Params = ClocsTimeParams
    params: ClocsTimeParams

    @classmethod
    def needs_with(cls, params: ClocsTimeParams) -> frozenset[Field]:
        """Patient ids only where they make the positives."""
        return frozenset({Field.PATIENT}) if params.positives == "patient" else frozenset()

    @classmethod
    def incompatible(cls, info: Info, params: ClocsTimeParams) -> str | None:
        """At least one sample a segment, and records long enough for all of them."""
        if not info.instances:
            return f"no training record is {params.views} windows of {info.samples} samples long"
        if info.drawn[1] < params.views:
            return f"instances of {info.drawn[1]} samples cannot be cut into {params.views} segments"
        return None

    @classmethod
    def draws(cls, params: ClocsTimeParams) -> Draw:
        """As evaluated, or as many windows as there are segments."""
        return Draw(windows=params.views) if params.segment == "window" else Draw()

    def views(self, batch: Batch, generator: torch.Generator) -> Views:
        """V segments of each instance, (V B, C, T // V); the last T mod V samples are left out."""
        count = self.params.views
        length = batch.signal.shape[2] // count
        if self.params.crops == "random":
            return Views.of(*(random_crop(batch.signal, length, generator) for _ in range(count)))
        return Views.of(*batch.signal[:, :, : count * length].split(length, dim=2))

    def positives(self, batch: Batch, views: Views) -> Tensor:
        """(N, N) segments of the same record or patient."""
        return matching(self._owner(batch), views)

    def loss(self, batch: Batch, views: Views, step: Step) -> Loss:
        """NT-Xent over the positives, or the sum of CLOCS's terms over pairs of segments."""
        if self.params.loss == "nt_xent":
            return super().loss(batch, views, step)
        owner = self._owner(batch)
        return Loss(contrast_views(self.encoder, self.projector, views.signal, owner, self.params))

    def _owner(self, batch: Batch) -> Tensor:
        """(B,) whose the instances are."""
        return batch.patient if self.params.positives == "patient" else batch.record
