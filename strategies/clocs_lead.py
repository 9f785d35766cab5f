"""CLOCS across leads: different leads of the same ECG, at the same time, should agree.

Kiyasseh et al., "CLOCS: Contrastive Learning of Cardiac Signals Across Space, Time, and Patients", ICML 2021
(arXiv 2005.13249), contrastive multi-lead coding (CMLC, recipe 'clocs'); and Strategy 1 of "Finding 'Good Views'
of Electrocardiogram Signals" (arXiv 2411.17702, section 2.2). One encoder reads one group of leads at a time,
whichever it is.

Paper and code: the Good Views paper pairs single leads, any two of twelve; its code pairs two fixed halves, the
limb leads and the precordial ones, and its table comes from the code. Halves are the default; `groups="single"`
with `views=2` is the text. CLOCS takes every lead of the set as a view, in pairs; its code trains on the last pair
alone (recipe 'clocs_code'). That is V5 with V6 of twelve leads; of `clocs-4`, in the set's order, aVL with aVR,
where the published run on Chapman, in the file's order, had aVL with V2.
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

CLOCS = {"temperature": 0.1, "groups": "single", "positives": "patient", "loss": "clocs"}


class ClocsLeadParams(Params):
    """Parameters of `ClocsLead`.

    Attributes:
        groups: 'halves' of the lead set in its order (of twelve leads: limb, precordial), or 'single' leads.
        views: groups drawn for each instance at every step, each at most once; 0: all of them.
        positives: groups of the same 'record', or of any record of the same 'patient', at that price.
        loss: 'nt_xent', every view against all others, or 'clocs', one pair of views at a time.
        pairs, offdiagonals, batch_norm: of loss 'clocs'; see `bench.nn.clocs`.
    """

    groups: Literal["halves", "single"] = "halves"
    views: int = pydantic.Field(default=0, ge=0)
    positives: Literal["record", "patient"] = "record"
    loss: Literal["nt_xent", "clocs"] = "nt_xent"
    pairs: Pairs = "all"
    offdiagonals: OffDiagonals = "full"
    batch_norm: BatchNorm = "joint"


class ClocsLead(Strategy):
    """Positives are groups of leads of one record."""

    name = "clocs_lead"
    title = "CLOCS (lead)"
    paper = "Kiyasseh et al. 2021, arXiv 2005.13249; Good Views strategy 1, arXiv 2411.17702"
    deviations = (
        "Two fixed halves of the leads, as in the code of Good Views; its paper pairs single leads.",
        "A record's embedding is the mean over its groups; the published code of Good Views scores each as its"
        " own record.",
        "Recipe clocs has all pairs of leads, as its paper says, and batch norm over all leads together; the"
        " published code has the last pair alone, and batch norm by lead (recipe clocs_code).",
    )
    recipes = {
        "goodviews": {},
        "goodviews_code": {"as_published_diagonal": True},
        "goodviews_text": {"groups": "single", "views": 2},
        "clocs": dict(CLOCS),
        "clocs_code": {**CLOCS, **AS_PUBLISHED},
        "board": dict(BOARD),
    }
    Params = ClocsLeadParams
    params: ClocsLeadParams

    @classmethod
    def needs_with(cls, params: ClocsLeadParams) -> frozenset[Field]:
        """Patient ids only where they make the positives."""
        return frozenset({Field.PATIENT}) if params.positives == "patient" else frozenset()

    @classmethod
    def incompatible(cls, info: Info, params: ClocsLeadParams) -> str | None:
        """At least two groups of one size, and no more drawn than there are."""
        leads = info.drawn[0]
        if leads < 2:
            return "views are groups of leads, and an instance of one lead has no two"
        if params.groups == "halves" and leads % 2:
            return f"{leads} leads have no halves; use groups='single', or an even lead set"
        groups = leads // cls.encoder_leads(leads, params)
        if params.views == 1 or params.views > groups:
            return (
                f"views={params.views}, but there are {groups} groups of leads; use 2 to {groups}, or 0: all"
            )
        return None

    @classmethod
    def encoder_leads(cls, leads: int, params: ClocsLeadParams) -> int:
        """Leads of one group."""
        return max(1, leads // 2) if params.groups == "halves" else 1

    @classmethod
    def draws(cls, params: ClocsLeadParams) -> Draw:
        """All leads, though single ones may be what is evaluated; halves are of the leads evaluated."""
        return Draw(all_leads=params.groups == "single")

    def views(self, batch: Batch, generator: torch.Generator) -> Views:
        """The chosen groups of each instance, (V B, leads of a group, T)."""
        groups = batch.signal.unflatten(1, (-1, self.encoder.leads))
        shown, group = take_parts(groups, self.params.views, generator)
        within = torch.arange(self.encoder.leads, device=groups.device)
        return replace(Views.of(*shown), leads=group[:, None] * self.encoder.leads + within)

    def positives(self, batch: Batch, views: Views) -> Tensor:
        """(N, N) groups of the same record or patient."""
        return matching(self._owner(batch), views)

    def loss(self, batch: Batch, views: Views, step: Step) -> Loss:
        """NT-Xent over the positives, or CLOCS's terms over pairs of groups."""
        if self.params.loss == "nt_xent":
            return super().loss(batch, views, step)
        owner = self._owner(batch)
        return Loss(contrast_views(self.encoder, self.projector, views.signal, owner, self.params))

    def embed(self, batch: Batch) -> Tensor:
        """(B, D) mean of the embeddings of an instance's groups; of one lead, its own."""
        return embed_groups(self.encoder, batch.signal)

    def _owner(self, batch: Batch) -> Tensor:
        """(B,) whose the instances are."""
        return batch.patient if self.params.positives == "patient" else batch.record
