"""SimCLR: two random transformations of the same ECG should agree.

Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020 (arXiv
2002.05709), in four readings:

Recipe 'goodviews' is Strategy 2 of "Finding 'Good Views' of Electrocardiogram Signals" (arXiv 2411.17702, section
2.2). Paper and code: the paper draws two transformations for each record from jittering, scaling, flipping, rotating
and time/size warping, and so does this file. The published code computes four views of each record once, one
fixed transformation each: jitter of 0.03 microvolts, which changes nothing; a gain for each lead; a sign for
each lead and a random order of the leads; a time warp of each lead by itself. A batch is then the four views of
one record and one view of each of some others, all of which are positives of each other. `as_published` does
that, with views drawn at every step.

Recipe 'ssl12lead' is that of Mehari and Strodthoff, "Self-supervised representation learning from 12-lead ECG data",
Comput. Biol. Med. 2022 (arXiv 2103.12676): both views are under the same transformations, one after the other. Their
code means to leave each view's similarity to itself, exp(1 / temperature), out of the denominator, and subtracts e:
`as_published_self_term`, recipe 'ssl12lead_code'.

Recipe 'clocs' is the baseline of CLOCS, Kiyasseh et al., ICML 2021 (arXiv 2005.13249): white noise on single leads, 10
microvolts on Chapman, and no projector. Its loss is the same.

Recipe 'snu' is the pre-training of the Challenge entry of Suh et al., "Learning ECG Representations for Multi-Label
Classification of Cardiac Abnormalities", Computing in Cardiology 2021 (sections 2.5 and 2.8): each view of each
record under one or two of seven transformations, chosen as RandAugment does, and a two-layer projector with batch norm.
Paper and code: the paper leaves all strengths open (see `bench.nn.snu`), the projector's widths, the temperature (0.1
here, that of SimCLR on ImageNet; Mehari and Strodthoff have 0.5) and whether one transformation can come twice (here,
as in RandAugment, it can); its code is not public.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

import pydantic
import torch
from torch import Tensor

from bench.nn.augment import Transform, jitter, one_of, rotation, scaling, size_warp, time_warp
from bench.nn.heads import projector
from bench.nn.nt_xent import published_nt_xent
from bench.nn.transforms import GOOD_VIEWS, SNU, Name, by_name, changed, gaussian_noise
from bench.train.strategy import BOARD, Batch, Encoder, Info, Loss, Params, Step, Strategy, Views

SSL12LEAD = {
    "chain": ("random_resized_crop", "time_out"),
    "temperature": 0.5,
    "projection": 16,
    "hidden": 512,
}

SUH = {
    "transforms": SNU,
    "most": 2,
    "temperature": 0.1,
    "projection": 128,
    "hidden": 512,
    "projector_norm": "batch",
}

PUBLISHED: tuple[Transform, ...] = (
    partial(jitter, sd=3e-5, absolute=True),
    partial(scaling, sd=0.1),
    partial(rotation, permute=True),
    partial(time_warp, sd=0.2, knots=6, multiply="position", per_lead=True),
)


class SimCLRParams(Params):
    """Parameters of `SimCLR`.

    Attributes:
        transforms: what a view is drawn from, for each view of each record.
        most: of `transforms` that a view is under, 1 to so many, any number alike; one may come twice.
        jitter: standard deviation of the noise, as a share of the record's own.
        scaling, time_warp, size_warp: standard deviations of the multipliers, whose mean is 1.
        chain: where it names any, both views of each record are under all of these, in this order, in place of
            one of `transforms`; see `bench.nn.transforms`.
        noise: standard deviation of the chain's gaussian_noise, in millivolts.
        as_published: views and positives of Good Views' published code, in place of all of the above.
        as_published_self_term: the loss of the published code of Mehari and Strodthoff.
        projector_norm: of the projector's hidden layer.
    """

    transforms: tuple[Name, ...] = GOOD_VIEWS
    jitter: float = 0.03
    scaling: float = 0.1
    time_warp: float = 0.2
    size_warp: float = 0.2
    chain: tuple[Name, ...] = ()
    noise: float = 0.005
    as_published: bool = False
    as_published_self_term: bool = False
    most: pydantic.PositiveInt = 1
    projector_norm: Literal["none", "batch"] = "none"


class SimCLR(Strategy):
    """Positives are the two views of one record."""

    name = "simclr"
    title = "SimCLR"
    paper = (
        "Chen et al. 2020, arXiv 2002.05709; Good Views strategy 2, arXiv 2411.17702;"
        " Mehari and Strodthoff 2022, arXiv 2103.12676; Kiyasseh et al. 2021, arXiv 2005.13249;"
        " Suh et al. 2021, CinC"
    )
    deviations = (
        "Views are drawn afresh at every step; the published code draws four views of each record once.",
        "The paper states no strengths; these are the code's, but for noise, a share of the record's spread.",
        "Recipe ssl12lead: a crop or a blank begins at any place where it fits, the published code's at any but the"
        " last.",
        "Recipe snu: the paper leaves strengths, projector widths and temperature open; strengths are those of the"
        " works it cites, one transformation may come twice, and each keeps to the record, away from its padding.",
    )
    recipes = {
        "goodviews": {},
        "goodviews_code": {"as_published": True, "as_published_diagonal": True},
        "ssl12lead": dict(SSL12LEAD),
        "ssl12lead_code": {**SSL12LEAD, "as_published_self_term": True},
        "clocs": {"chain": ("gaussian_noise",), "noise": 0.01, "temperature": 0.1},
        "snu": dict(SUH),
        "board": dict(BOARD),
    }
    Params = SimCLRParams
    params: SimCLRParams

    def __init__(
        self, encoder: Encoder, params: Any, info: Info, parents: Mapping[str, Strategy] | None = None
    ) -> None:
        super().__init__(encoder, params, info, parents)
        p = self.params
        if p.projector_norm != "none":
            self.projector = projector(encoder.dim, p.hidden, p.projection, norm=p.projector_norm)

    @classmethod
    def incompatible(cls, info: Info, params: SimCLRParams) -> str | None:
        """The quirks of one published code at a time, and no parameter that another makes idle."""
        if params.as_published and (params.chain or params.as_published_self_term or params.most > 1):
            return (
                "as_published is Good Views' code, which has neither a chain nor that self-term, and one"
                " transformation a view: choose one"
            )
        if params.as_published_diagonal and params.as_published_self_term:
            return "as_published_diagonal and as_published_self_term are of two codes: choose one"
        if params.as_published_self_term and params.temperature < 0.02:
            return "as_published_self_term overflows below a temperature of 0.02"
        return _idle(params)

    def views(self, batch: Batch, generator: torch.Generator) -> Views:
        """Two views of each record, each under transformations drawn for it, or under the whole chain."""
        p = self.params
        if p.as_published:
            return _published_views(batch, generator)
        given = (p.chain, p.transforms, self._known(), p.most, batch.valid)
        return Views.of(*(changed(batch.signal, generator, *given) for _ in range(2)))

    def positives(self, batch: Batch, views: Views) -> Tensor:
        """(N, N) views of one record; as published, the views of all records but the first as well."""
        if not self.params.as_published:
            return super().positives(batch, views)
        first = views.source == 0
        return first[:, None] == first[None, :]

    def loss(self, batch: Batch, views: Views, step: Step) -> Loss:
        """NT-Xent over the positives, or as the code of Mehari and Strodthoff has it."""
        if not self.params.as_published_self_term:
            return super().loss(batch, views, step)
        z = self.projector(self.encoder(views.signal))
        return Loss(published_nt_xent(z, self.params.temperature))

    def _known(self) -> dict[str, Transform]:
        p = self.params
        return by_name(self.info.rate) | {
            "jitter": partial(jitter, sd=p.jitter),
            "scaling": partial(scaling, sd=p.scaling),
            "time_warp": partial(time_warp, sd=p.time_warp),
            "size_warp": partial(size_warp, sd=p.size_warp),
            "gaussian_noise": partial(gaussian_noise, sd=p.noise),
        }


def _idle(params: SimCLRParams) -> str | None:
    """What parameters cannot be beside each other, whatever the code."""
    if not (params.chain or params.transforms):
        return "neither `chain` nor `transforms` names a transformation: name one"
    if params.chain and params.most > 1:
        return f"most is {params.most}, but a view is under all of `chain`: choose one"
    if params.projector_norm != "none" and not (params.projection and params.hidden):
        return "projector_norm is of a hidden layer: set `projection` and `hidden`, or leave it 'none'"
    return None


def _published_views(batch: Batch, generator: torch.Generator) -> Views:
    """Four views of the batch's first record, then one of each other record, under one of the four."""
    views = [transform(batch.signal[:1], generator) for transform in PUBLISHED]
    views.append(one_of(batch.signal[1:], PUBLISHED, generator))
    row = torch.arange(len(batch.signal), device=batch.signal.device)
    four = torch.arange(len(PUBLISHED), device=row.device)
    source = torch.cat((torch.zeros_like(four), row[1:]))
    return Views(torch.cat(views), source, torch.cat((four, torch.zeros_like(row[1:]))))
