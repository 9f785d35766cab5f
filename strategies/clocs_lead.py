"""CLOCS across leads: different leads of the same ECG, at the same time, should agree.

Kiyasseh et al., "CLOCS: Contrastive Learning of Cardiac Signals Across Space, Time, and Patients", ICML 2021
(arXiv 2005.13249), contrastive multi-lead coding, as Strategy 1 of "Finding 'Good Views' of Electrocardiogram
Signals" (arXiv 2411.17702, section 2.2). One encoder reads one group of leads at a time, whichever it is.

Paper and code: the Good Views paper pairs single leads, any two of twelve; its code pairs two fixed halves, the
limb leads and the precordial ones, and its table comes from the code. Halves are the default; `groups="single"`
with `views=2` is the text. CLOCS itself takes every lead of the set as a view: `groups="single"`, `views=0`.
"""

from dataclasses import replace
from typing import Literal

import pydantic
import torch
from torch import Tensor

from bench.train.strategy import BOARD, Batch, Field, Info, Params, Strategy, Views, matching


class ClocsLeadParams(Params):
    """Parameters of `ClocsLead`.

    Attributes:
        groups: 'halves' of the lead set in its order (of twelve leads: limb, precordial), or 'single' leads.
        views: groups drawn for each instance at every step, each at most once; 0: all of them.
        positives: groups of the same 'record', or of any record of the same 'patient', at that price.
    """

    groups: Literal["halves", "single"] = "halves"
    views: int = pydantic.Field(default=0, ge=0)
    positives: Literal["record", "patient"] = "record"


class ClocsLead(Strategy):
    """Positives are groups of leads of one record."""

    name = "clocs_lead"
    title = "CLOCS (lead)"
    paper = "Kiyasseh et al. 2021, arXiv 2005.13249; Good Views strategy 1, arXiv 2411.17702"
    deviations = (
        "Two fixed halves of the leads, as in the code; the paper pairs single leads.",
        "A record's embedding is the mean over its groups; the published code scores each as its own record.",
    )
    recipes = {
        "goodviews": {},
        "goodviews_code": {"as_published_diagonal": True},
        "goodviews_text": {"groups": "single", "views": 2},
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
        if info.leads < 2:
            return "views are groups of leads, and an instance of one lead has no two"
        if params.groups == "halves" and info.leads % 2:
            return f"{info.leads} leads have no halves; use groups='single', or an even lead set"
        groups = info.leads // cls.encoder_leads(info.leads, params)
        if params.views == 1 or params.views > groups:
            return (
                f"views={params.views}, but there are {groups} groups of leads; use 2 to {groups}, or 0: all"
            )
        return None

    @classmethod
    def encoder_leads(cls, leads: int, params: ClocsLeadParams) -> int:
        """Leads of one group."""
        return max(1, leads // 2) if params.groups == "halves" else 1

    def views(self, batch: Batch, generator: torch.Generator) -> Views:
        """The chosen groups of each instance, (V B, leads of a group, T)."""
        groups = batch.signal.unflatten(1, (-1, self.encoder.leads))
        order = torch.arange(groups.shape[1], device=groups.device).expand(groups.shape[:2])
        if self.params.views:
            lots = torch.rand(order.shape, generator=generator, device=groups.device)
            order = lots.argsort(1)[:, : self.params.views]
        row = torch.arange(len(groups), device=groups.device)
        views = Views.of(*(groups[row, chosen] for chosen in order.T))
        within = torch.arange(self.encoder.leads, device=groups.device)
        return replace(views, leads=order.T.reshape(-1, 1) * self.encoder.leads + within)

    def positives(self, batch: Batch, views: Views) -> Tensor:
        """(N, N) groups of the same record or patient."""
        return matching(batch.patient if self.params.positives == "patient" else batch.record, views)

    def embed(self, batch: Batch) -> Tensor:
        """(B, D) mean of the embeddings of a record's groups."""
        groups = batch.signal.unflatten(1, (-1, self.encoder.leads))
        embedding: Tensor = self.encoder(groups.flatten(0, 1))
        return embedding.unflatten(0, groups.shape[:2]).mean(1)
