"""CLOCS in time: segments of the same ECG, one after the other, should agree.

Kiyasseh et al., "CLOCS: Contrastive Learning of Cardiac Signals Across Space, Time, and Patients", ICML 2021
(arXiv 2005.13249), contrastive multi-segment coding, as Strategy 1 of "Finding 'Good Views' of Electrocardiogram
Signals" (arXiv 2411.17702, section 2.2): an ECG is cut into V segments that do not overlap.

Paper and code: Good Views states no V; its code takes the two halves of ten seconds, all leads. CLOCS itself
cuts single leads, and counts segments of any lead and record of the patient as positives: that is
`positives="patient"` on instances of one lead each.
"""

from typing import Literal

import pydantic
import torch
from torch import Tensor

from bench.nn.augment import random_crop
from bench.train.strategy import BOARD, Batch, Field, Info, Params, Strategy, Views, matching


class ClocsTimeParams(Params):
    """Parameters of `ClocsTime`.

    Attributes:
        views: segments V of an instance; each has a V-th of its samples.
        crops: 'consecutive' segments, which share no sample, or each at a 'random' start.
        positives: segments of the same 'record', or of any record of the same 'patient', at that price.
    """

    views: int = pydantic.Field(default=2, ge=2)
    crops: Literal["consecutive", "random"] = "consecutive"
    positives: Literal["record", "patient"] = "record"


class ClocsTime(Strategy):
    """Positives are segments of one record."""

    name = "clocs_time"
    title = "CLOCS (time)"
    paper = "Kiyasseh et al. 2021, arXiv 2005.13249; Good Views strategy 1, arXiv 2411.17702"
    deviations = (
        "Instances are embedded whole; the published code scores each half as a record of its own.",
    )
    recipes = {
        "goodviews": {},
        "goodviews_code": {"as_published_diagonal": True},
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
        """At least one sample a segment."""
        if info.samples < params.views:
            return f"instances of {info.samples} samples cannot be cut into {params.views} segments"
        return None

    def views(self, batch: Batch, generator: torch.Generator) -> Views:
        """V segments of each instance, (V B, C, T // V); the last T mod V samples are left out."""
        count = self.params.views
        length = batch.signal.shape[2] // count
        if self.params.crops == "random":
            return Views.of(*(random_crop(batch.signal, length, generator) for _ in range(count)))
        return Views.of(*batch.signal[:, :, : count * length].split(length, dim=2))

    def positives(self, batch: Batch, views: Views) -> Tensor:
        """(N, N) segments of the same record or patient."""
        return matching(batch.patient if self.params.positives == "patient" else batch.record, views)
