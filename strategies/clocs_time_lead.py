"""CLOCS across time and leads: every lead of every segment of the same ECG should agree with every other.

Kiyasseh et al., "CLOCS: Contrastive Learning of Cardiac Signals Across Space, Time, and Patients", ICML 2021
(arXiv 2005.13249), contrastive multi-segment multi-lead coding (CMSMLC, recipe 'clocs'). A view is one lead of one
segment, as long as what is evaluated; of twelve leads and two segments there are 24, in 276 pairs.

Paper and code: the paper's loss is the mean over all pairs of views; its code trains on the last pair alone, the
two segments of the last lead (recipe 'clocs_code').
"""

from dataclasses import replace
from typing import Literal

import pydantic
import torch
from torch import Tensor

from bench.nn.clocs import (
    AS_PUBLISHED,
    BatchNorm,
    OffDiagonals,
    Pairs,
    contrast_views,
    embed_groups,
    take_parts,
)
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

CLOCS = {"segment": "window"}


class ClocsTimeLeadParams(Params):
    """Parameters of `ClocsTimeLead`.

    Attributes:
        segments: of an instance, one after the other.
        segment: a 'part' of what is evaluated, or a 'window' as long as that; an instance is then that many
            windows long.
        views: of all leads of all segments, those drawn for each instance at every step, each at most once;
            0: all of them.
        positives: views of the same 'record', or of any record of the same 'patient', at that price.
        loss: 'nt_xent', every view against all others, or 'clocs', one pair of views at a time.
        pairs, offdiagonals, batch_norm: of loss 'clocs'; see `bench.nn.clocs`.
    """

    temperature: float = 0.1
    segments: int = pydantic.Field(default=2, ge=2)
    segment: Literal["part", "window"] = "part"
    views: int = pydantic.Field(default=0, ge=0)
    positives: Literal["record", "patient"] = "patient"
    loss: Literal["nt_xent", "clocs"] = "clocs"
    pairs: Pairs = "all"
    offdiagonals: OffDiagonals = "full"
    batch_norm: BatchNorm = "joint"


class ClocsTimeLead(Strategy):
    """Positives are leads and segments of one record, or of one patient's."""

    name = "clocs_time_lead"
    title = "CLOCS (time and lead)"
    paper = "Kiyasseh et al. 2021, arXiv 2005.13249"
    deviations = (
        "All pairs of views, as the paper says, and batch norm over all views together; the published code has"
        " the last pair alone, and batch norm by view (recipe clocs_code).",
        "Trained and evaluated at one sampling rate; the published code is trained at 500 Hz and evaluated at"
        " 250 Hz on Chapman.",
        "Recipe board contrasts two of an instance's views at every step, drawn anew for each, with the board's"
        " loss.",
    )
    recipes = {
        "clocs": dict(CLOCS),
        "clocs_code": {**CLOCS, **AS_PUBLISHED},
        "board": {**BOARD, "views": 2, "positives": "record", "loss": "nt_xent"},
    }
    Params = ClocsTimeLeadParams
    params: ClocsTimeLeadParams

    @classmethod
    def needs_with(cls, params: ClocsTimeLeadParams) -> frozenset[Field]:
        """Patient ids only where they make the positives."""
        return frozenset({Field.PATIENT}) if params.positives == "patient" else frozenset()

    @classmethod
    def incompatible(cls, info: Info, params: ClocsTimeLeadParams) -> str | None:
        """Two leads, records long enough, and no more views drawn than there are."""
        (leads, samples), segments = info.drawn, params.segments
        if leads < 2:
            return "views are leads of segments, and there is one lead only; clocs_time pairs its segments"
        if not info.instances:
            return f"no training record is {segments} windows of {info.samples} samples long"
        if samples < segments:
            return f"instances of {samples} samples cannot be cut into {segments} segments"
        most = leads * segments
        if params.views == 1 or params.views > most:
            return f"views={params.views}, but instances have {most}; use 2 to {most}, or 0: all"
        return None

    @classmethod
    def encoder_leads(cls, leads: int, params: ClocsTimeLeadParams) -> int:
        """One lead at a time."""
        return 1

    @classmethod
    def draws(cls, params: ClocsTimeLeadParams) -> Draw:
        """All leads, and where segments are windows, as many of them."""
        return Draw(windows=params.segments if params.segment == "window" else 1, all_leads=True)

    def views(self, batch: Batch, generator: torch.Generator) -> Views:
        """(V B, 1, T // segments): lead 0 of segment 0, lead 0 of segment 1, lead 1 of segment 0, ..."""
        count = self.params.segments
        length = batch.signal.shape[2] // count
        segments = batch.signal[:, :, : count * length].unflatten(2, (count, length))
        shown, part = take_parts(segments.flatten(1, 2)[:, :, None], self.params.views, generator)
        return replace(Views.of(*shown), leads=part[:, None] // count)

    def positives(self, batch: Batch, views: Views) -> Tensor:
        """(N, N) views of the same record or patient."""
        return matching(self._owner(batch), views)

    def loss(self, batch: Batch, views: Views, step: Step) -> Loss:
        """CLOCS's terms over pairs of views, or NT-Xent over the positives."""
        if self.params.loss == "nt_xent":
            return super().loss(batch, views, step)
        owner = self._owner(batch)
        return Loss(contrast_views(self.encoder, self.projector, views.signal, owner, self.params))

    def embed(self, batch: Batch) -> Tensor:
        """(B, D) mean of the embeddings of an instance's leads; of one lead, its own."""
        return embed_groups(self.encoder, batch.signal)

    def _owner(self, batch: Batch) -> Tensor:
        """(B,) whose the instances are."""
        return batch.patient if self.params.positives == "patient" else batch.record
