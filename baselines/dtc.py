"""DTC: prototypes that begin as labelled means, and sharpen their own soft assignments of all instances.

Han, Vedaldi and Zisserman, "Learning to Discover Novel Visual Categories via Deep Transfer Clustering", ICCV 2019
(arXiv 1908.09884), as CROCS (Kiyasseh et al., NeurIPS 2021) needs it: with one prototype for each attribute set.
There labels belong to other classes than those to be found, and no cluster has a name. CROCS's first arXiv version
(appendix B.3) ties its prototypes by a target made of labels alone, recipe `published`; the default ties them where
they begin, and keeps DTC's target. `link` has all ways.

Paper and code: the code averages both losses over instances and clusters, which divides the divergence by K; here
it is the divergence itself, and the consistency term is multiplied by K to keep the balance.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, Self

import pydantic
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.nn.heads import LinearHead
from bench.nn.kmeans import kmeans
from bench.nn.losses import classification_loss
from bench.nn.perturb import perturb
from bench.nn.prototypes import unit, usage
from bench.nn.student import (
    RunningAssignments,
    divergence,
    group_means,
    label_targets,
    log_assignments,
    matched,
    principal_axes,
    ramp,
    sharpened,
    spacing,
)
from bench.train.strategy import (
    GROUPED,
    Attribute,
    Batch,
    Encoder,
    Field,
    Info,
    Loss,
    Phase,
    Prototypes,
    Step,
    Strategy,
    Training,
    Views,
    no_decay_groups,
)

SUPERVISED, WARM_UP, MAIN = range(3)
"""The phases."""

_CHUNK = 4096
_WATCHED = ("usage_entropy", "largest_share", "label_change", "centre_gap", "departure")


class DTCParams(pydantic.BaseModel):
    """Parameters of `DTC`.

    Attributes:
        link: prototypes are one for each attribute set and begin as its labelled mean ('sets'), the same for each
            class ('classes'), or as many as attribute sets, begin by k-means, and are matched with the sets
            one to one by the labelled instances they hold ('kmeans'). Or they are among the embeddings, begin at
            random as CROCS's do, and only the target ties them, fixed by an instance's labels ('target').
        over: what that target adds up to 1 over: all prototypes, or those of the instance's class.
        anchor: eta, share of a labelled instance's own prototype in its target.
        consistency: assignments agree with those of a second view ('perturbed', PI), with a running mean of
            earlier ones ('ensemble', TE), or need not.
        perturbation: of the views.
        weight: of consistency, reached over the first `ramp` of the main phase (5 of 100 epochs in DTC).
        momentum: of the ensemble.
        alpha: degrees of freedom of Student's t.
        update: epochs from one target to the next.
        pretraining, warm_up: shares of the steps; the rest is the main phase.
        rate: learning rate of warm-up and main phase, as a multiple of the budget's.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    link: Literal["sets", "classes", "kmeans", "target"] = "sets"
    over: Literal["all", "class"] = "all"
    anchor: float = pydantic.Field(default=0.0, ge=0, le=1)
    consistency: Literal["perturbed", "ensemble", "none"] = "perturbed"
    perturbation: Literal["strong", "gaussian"] = "strong"
    weight: pydantic.NonNegativeFloat = 10.0
    ramp: float = pydantic.Field(default=0.05, gt=0, le=1)
    momentum: float = pydantic.Field(default=0.6, ge=0, lt=1)
    alpha: pydantic.PositiveFloat = 1.0
    update: pydantic.PositiveInt = 1
    pretraining: float = pydantic.Field(default=0.3, ge=0, lt=1)
    warm_up: float = pydantic.Field(default=0.1, ge=0, lt=1)
    rate: pydantic.PositiveFloat = 0.3

    @pydantic.model_validator(mode="after")
    def _agree(self) -> Self:
        if self.anchor and self.link in ("kmeans", "target"):
            raise ValueError(f"anchor {self.anchor}: set link 'sets' or 'classes', not {self.link!r}")
        if self.over == "class" and self.link != "target":
            raise ValueError(f"over 'class': it needs link 'target', not {self.link!r}")
        if self.pretraining + self.warm_up >= 1:
            raise ValueError("pretraining and warm_up leave no step for the main phase")
        return self


class DTC(Prototypes, Strategy):
    """Learn the labels; begin prototypes; then draw assignments to their own sharpened selves."""

    name = "dtc"
    title = "DTC"
    paper = "Han et al., ICCV 2019 (arXiv 1908.09884); CROCS, arXiv 2011.14230"
    needs = frozenset({Field.LABELS, Field.DEMOGRAPHICS})
    grouping = True
    per_instance = True
    deviations = (
        "Pre-trained on the classes that are to be found, within the label subset; DTC on other classes.",
        "A prototype stands for an attribute set and begins as the mean of its labelled instances; in DTC"
        " prototypes stand for nothing and begin by k-means. In CROCS's first arXiv version (appendix B.3) they begin"
        " at random and are tied by a target made of labels alone (recipe 'published'); the final one does not say.",
        "The bottleneck begins as the principal axes of the embeddings; DTC draws it at random and lets the"
        " warm-up teach it those axes.",
        "Optimiser and number of steps are the suite's (DTC: SGD); once prototypes learn, at 0.3 (`rate`) of its"
        " learning rate, in DTC 0.05 after 0.1. At the whole of it embeddings can leave the prototypes behind.",
        "No weight decay on prototypes.",
        "Views are perturbed ECGs, in pre-training too; DTC crops and flips images.",
        "Where the suite crops at random, targets come from each instance's window at 0, the loss from another.",
        "Both views pass the encoder as one batch and share the statistics of batch norm; in DTC each has its own.",
        "The running mean of assignments counts an instance's own visits; DTC counts epochs.",
    )
    recipes = {
        "crocs": {},
        "classes": {"link": "classes"},
        "kmeans": {"link": "kmeans"},
        "anchored": {"anchor": 0.5},
        "ensemble": {"consistency": "ensemble"},
        "published": {"link": "target", "pretraining": 0, "warm_up": 0, "consistency": "none", "rate": 1},
        "board": {},
    }
    Params = DTCParams
    params: DTCParams
    stands: Tensor
    stage: Tensor
    targets: Tensor
    ids: Tensor
    watched: Tensor

    def __init__(
        self, encoder: Encoder, params: Any, info: Info, parents: Mapping[str, Strategy] | None = None
    ) -> None:
        super().__init__(encoder, params, info, parents)
        classes = F.pad(torch.arange(info.counts[0])[:, None], (0, 2), value=-1)
        self.grid = None if self.params.link == "classes" else info.grid()
        stands = self.grid.sets() if self.grid else classes
        groups, rows = len(stands), info.instances
        remembered = rows if self.params.consistency == "ensemble" else 0
        self.register_buffer("stands", stands)
        self.register_buffer("stage", torch.tensor(SUPERVISED))
        self.register_buffer("targets", torch.zeros(rows, groups))
        self.register_buffer("ids", torch.full((rows,), -1))
        self.register_buffer("watched", torch.zeros(len(_WATCHED)))
        self.ensemble = RunningAssignments(remembered, groups, self.params.momentum)
        self.head = LinearHead(encoder.dim, len(info.classes))
        free = self.params.link == "target"
        width = encoder.dim if free else min(encoder.dim, groups, rows)
        self.bottleneck = nn.Identity() if free else nn.Linear(encoder.dim, width)
        self.centres = nn.Parameter(unit(torch.randn(groups, width)))

    @classmethod
    def needs_with(cls, params: DTCParams) -> frozenset[Field]:
        """Groups of classes alone need no demographics."""
        return frozenset({Field.LABELS}) if params.link == "classes" else cls.needs

    @classmethod
    def seeks(cls, params: DTCParams) -> tuple[Attribute, ...]:
        """Groups of classes alone find no sex and no age."""
        return ("class",) if params.link == "classes" else GROUPED

    @classmethod
    def incompatible(cls, info: Info, params: DTCParams) -> str | None:
        """There are classes, and ages unless prototypes are for classes alone."""
        if info.counts[0] < 2:
            return f"its prototypes begin from labels: this task has {info.counts[0]} classes, it needs 2"
        if params.link != "classes" and not info.edges:
            return "its prototypes stand for class, sex and age: these ages are not known; set link: classes"
        return None

    def phases(self) -> list[Phase]:
        """Encoder and classifier; then twice encoder, bottleneck and prototypes, first under fixed targets."""
        encoder, p = list(self.encoder.named_parameters()), self.params
        learning = no_decay_groups([*encoder, *self.head.named_parameters()])
        moving = no_decay_groups([*encoder, *self.bottleneck.named_parameters()], p.rate)
        moving.append({"params": [self.centres], "lr_scale": p.rate, "decay": False})
        main = 1 - p.pretraining - p.warm_up
        return [Phase(p.pretraining, learning), Phase(p.warm_up, moving), Phase(main, moving)]

    def on_phase_start(self, phase: int, training: Training) -> None:
        """Begin bottleneck, prototypes and targets before the warm-up; renew the targets after it."""
        self.stage.fill_(phase)
        if phase == WARM_UP and isinstance(self.bottleneck, nn.Linear):
            self._begin(training, self.bottleneck)
        if phase != SUPERVISED:
            self._renew_targets(training)

    def on_epoch_start(self, epoch: int, training: Training) -> Iterable[nn.Parameter]:
        """Renew the targets of the main phase."""
        if int(self.stage) == MAIN and epoch % self.params.update == 0:
            self._renew_targets(training)
        return ()

    def on_fit_end(self, training: Training) -> None:
        """Match prototypes that have no set of their own, under the selected weights."""
        self._match(self.assign(training.embed()), self._members(training)[0])

    def views(self, batch: Batch, generator: torch.Generator) -> Views:
        """One perturbed view, and a second where it is compared with the first."""
        twice = int(self.stage) == MAIN and self.params.consistency == "perturbed"
        how, rate = self.params.perturbation, self.info.rate
        copies = (perturb(batch.signal, generator, how, rate) for _ in range(2 if twice else 1))
        return Views.of(*copies)

    def loss(self, batch: Batch, views: Views, step: Step) -> Loss:
        """Cross-entropy of labels; afterwards the divergence from the targets, and consistency."""
        embedding = self.encoder(views.signal)
        if step.phase == SUPERVISED:
            known = batch.labelled & ((batch.labels.sum(1) == 1) | (self.info.kind == "multi"))
            entropy = classification_loss(self.head(embedding), batch.labels, self.info.kind, known)
            return Loss(entropy, {"cross_entropy": entropy})
        log_q = self._log_q(self.project(embedding))
        total = divergence(self.targets[batch.index], log_q[: len(batch.index)])
        parts = {"divergence": total} | dict(zip(_WATCHED, self.watched, strict=True))
        if step.phase == MAIN and self.params.consistency != "none":
            consistency = self._consistency(log_q.exp(), batch.index)
            total = total + self.params.weight * self._ramp(step) * consistency
            parts["consistency"] = consistency
        return Loss(total, parts)

    def _log_q(self, z: Tensor) -> Tensor:
        return log_assignments(z, self.centres, self.params.alpha)

    def _ramp(self, step: Step) -> float:
        start = (self.params.pretraining + self.params.warm_up) * step.total
        return ramp((step.index - start) / (self.params.ramp * (step.total - start)))

    def _consistency(self, q: Tensor, index: Tensor) -> Tensor:
        """Mean squared distance of assignments (V B, G) to the other view's, or to the mean of earlier ones."""
        if self.params.consistency == "perturbed":
            first, second = q.chunk(2)
            return (first - second).square().sum(1).mean()
        mean, seen = self.ensemble(index)
        if self.training:
            self.ensemble.update(index, q.detach())
        return ((q - mean).square().sum(1) * seen).mean()  # an instance not seen yet agrees with anything

    @torch.no_grad()
    def _begin(self, training: Training, bottleneck: nn.Linear) -> None:
        """Bottleneck to the principal axes of the embeddings, prototypes to where `link` says."""
        embedding = training.embed()
        axes, mean = principal_axes(embedding, bottleneck.out_features)
        bottleneck.weight.copy_(axes)
        bottleneck.bias.copy_(-axes @ mean)
        z = self.project(embedding)
        generator = torch.Generator().manual_seed(training.seed)
        noise = torch.randn(self.centres.shape, generator=generator).to(z.device)
        self.centres.copy_(self._first_centres(z, training, 0.1 * z.std(0, correction=0) * noise))

    def _first_centres(self, z: Tensor, training: Training, noise: Tensor) -> Tensor:
        """(G, P) where prototypes begin; one without instances near the mean of its class, or of everything."""
        if self.params.link == "kmeans":
            means, _ = kmeans(z, len(self.stands), training.seed, restarts=20)
            fallback = z.mean(0)
        else:
            place, classes = self._members(training)
            means = group_means(z, place, len(self.stands))
            by_class = group_means(z, classes, self.info.counts[0])
            fallback = torch.where(by_class.isfinite(), by_class, z.mean(0))[self.stands[:, 0]]
        return torch.where(means.isfinite(), means, fallback + noise)

    @torch.no_grad()
    def _renew_targets(self, training: Training) -> None:
        """Targets of all training instances under the present weights, and what is watched."""
        z = self.project(training.embed())
        q = torch.cat([self._log_q(rows) for rows in z.split(_CHUNK)]).exp()
        place, _ = self._members(training)
        self.targets.copy_(self._targets(q, place))
        ids = q.argmax(1)
        self._match(ids, place)
        change = (ids != self.ids).float().mean()
        self.watched.copy_(torch.stack((*usage(ids, len(self.stands)), change, *spacing(z, self.centres))))
        self.ids.copy_(ids)

    def _match(self, ids: Tensor, place: Tensor) -> None:
        """Sets of prototypes that began by k-means, from all instances' prototypes and sets, (R,) each."""
        if self.params.link == "kmeans" and self.grid:
            sets = self.grid.sets().to(ids.device)
            self.stands.copy_(sets[matched(ids, place, len(sets))])

    def _targets(self, q: Tensor, place: Tensor) -> Tensor:
        """(R, G) from assignments q (R, G) and the prototype of each instance's labels, (R,), -1 unknown."""
        known, own = (place >= 0)[:, None], place.clamp(min=0)
        if self.params.link == "target":
            return label_targets(self.stands, self.params.over)[own] * known
        p, eta = sharpened(q), self.params.anchor
        return torch.where(known, (1 - eta) * p + eta * F.one_hot(own, len(self.stands)), p)

    def _members(self, rows: Training) -> tuple[Tensor, Tensor]:
        """(R,) row of `stands` and class that labels and demographics tell, -1 unknown."""
        if self.grid is None:
            classes = torch.where(rows.labels.sum(1) == 1, rows.labels.argmax(1), -1)
            return classes, classes
        codes = self.grid.codes(rows.labels, rows.sex, rows.age)
        return self.grid.index(codes), codes[:, 0]

    def project(self, embedding: Tensor) -> Tensor:
        """(N, D) embeddings -> (N, P) through the bottleneck."""
        z: Tensor = self.bottleneck(embedding.float())
        return z

    def prototypes(self) -> Tensor:
        """(G, P) in the space of `project`."""
        return self.centres.detach()

    def attributes(self) -> Tensor:
        """(G, 3) int64 class, sex and age bin of each prototype, -1 none."""
        return self.stands
