"""SwAV: the prototypes to which one view is assigned are predicted from the others; all prototypes are used alike.

Caron et al., "Unsupervised Learning of Visual Features by Contrasting Cluster Assignments", NeurIPS 2020 (arXiv
2006.09882), as in Mehari and Strodthoff, "Self-supervised representation learning from 12-lead ECG data", Comput.
Biol. Med. 2022 (arXiv 2103.12676): six views of one length, the first two of which are assigned.

Prototypes stand still at first (`frozen_epochs`), and assignments are balanced over earlier batches too from some
epoch on (`queue_epoch`). Both count epochs, of which the published run has 2,000, of 11 steps each; a budget of fewer
epochs than `queue_epoch` has no queue. A queue of embeddings that still change fast does harm.

Paper and code: the published code makes a seventh view and discards it, and divides the sum over the five other views
by six (`as_published`). No number of SwAV was published.
"""

from collections.abc import Mapping
from typing import Any

import pydantic
import torch
from torch import Tensor, nn

from bench.nn.heads import projector
from bench.nn.prototypes import unit, usage
from bench.nn.queue import Queue
from bench.nn.transforms import GOOD_VIEWS, Name, by_name, changed
from bench.train.strategy import BOARD, Batch, Encoder, Info, Loss, Step, Strategy, Views

ASSIGNED = 2
"""Views that are assigned to prototypes: the first ones."""


class SwAVParams(pydantic.BaseModel):
    """Parameters of `SwAV`; the defaults are those of Mehari and Strodthoff.

    Attributes:
        chain: the views of each record are under all of these, in this order; see `bench.nn.transforms`.
        transforms: where the chain names none, a view is under one of these, drawn for each view of each record.
        views: of each record.
        projection, hidden: sizes of the projector.
        prototypes: K.
        temperature: of the predictions.
        epsilon, iterations: how sharp assignments are, and how often prototypes and rows are balanced in turn.
        frozen_epochs: epochs at the start in which the prototypes do not learn.
        queue: earlier batches over which assignments are balanced, once there are so many; 0: none.
        queue_epoch: the first epoch whose batches they are.
        as_published: divide by all views in place of the other views.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    chain: tuple[Name, ...] = ("random_resized_crop", "time_out")
    transforms: tuple[Name, ...] = GOOD_VIEWS
    views: int = pydantic.Field(default=6, ge=ASSIGNED)
    projection: pydantic.PositiveInt = 128
    hidden: pydantic.PositiveInt = 2048
    prototypes: int = pydantic.Field(default=3000, ge=2)
    temperature: pydantic.PositiveFloat = 0.1
    epsilon: pydantic.PositiveFloat = 0.05
    iterations: pydantic.PositiveInt = 3
    frozen_epochs: pydantic.NonNegativeInt = 1
    queue: pydantic.NonNegativeInt = 8
    queue_epoch: pydantic.NonNegativeInt = 15
    as_published: bool = False


class SwAV(Strategy):
    """Assign two views of each record to prototypes; predict that from each other view."""

    name = "swav"
    title = "SwAV"
    paper = "Caron et al. 2020, arXiv 2006.09882; Mehari and Strodthoff 2022, arXiv 2103.12676"
    deviations = (
        "No number was published: Mehari and Strodthoff publish the code of SwAV, and no result.",
        "The loss is a mean over the other views; the published code divides by one more.",
        "Six views; the published code makes a seventh, which it does not use.",
        "Views are of one length, as in the published code; the original has small crops too.",
        "Recipe board: two views, 64 prototypes, and assignments sharper than published: at the published epsilon a"
        " short budget of small batches ends with all predictions alike. Below 16 epochs there is no queue.",
    )
    recipes = {
        "ssl12lead": {},
        "board": {
            "chain": (),
            "views": 2,
            "projection": BOARD["projection"],
            "hidden": BOARD["hidden"],
            "temperature": BOARD["temperature"],
            "prototypes": 64,
            "epsilon": 0.02,
        },
    }
    Params = SwAVParams
    params: SwAVParams

    def __init__(
        self, encoder: Encoder, params: Any, info: Info, parents: Mapping[str, Strategy] | None = None
    ) -> None:
        super().__init__(encoder, params, info, parents)
        p = self.params
        self.projector = projector(encoder.dim, p.hidden, p.projection, norm="batch")
        self.prototypes = nn.Linear(p.projection, p.prototypes, bias=False)
        self.queue = Queue(ASSIGNED, p.queue, p.projection) if p.queue else None
        self._newest: Tensor | None = None

    def views(self, batch: Batch, generator: torch.Generator) -> Views:
        """V views of each record, those that are assigned first."""
        p, known = self.params, by_name(self.info.rate)
        return Views.of(
            *(
                changed(batch.signal, generator, p.chain, p.transforms, known, valid=batch.valid)
                for _ in range(p.views)
            )
        )

    def on_step_start(self, step: Step) -> None:
        """Prototypes of unit length, which learn if it is time."""
        weight = self.prototypes.weight
        weight.requires_grad_(step.epoch >= self.params.frozen_epochs)
        with torch.no_grad():
            weight.copy_(unit(weight))

    def loss(self, batch: Batch, views: Views, step: Step) -> Loss:
        """Cross-entropy of each view's prediction with the assignments of the others."""
        p = self.params
        projection = unit(self.projector(self.encoder(views.signal))).unflatten(0, (p.views, -1))
        scores = self.prototypes(projection)
        self._newest = projection[:ASSIGNED].detach()
        assigned = self._assign(scores[:ASSIGNED].detach(), step)
        total = swapped_prediction(scores / p.temperature, assigned, as_published=p.as_published)
        entropy, share = usage(assigned.argmax(dim=2).flatten(), p.prototypes)
        return Loss(total, {"usage_entropy": entropy, "largest_share": share})

    def passes(self, views: Views) -> Tensor:
        """Encoder, projector, scores of the prototypes."""
        scores: Tensor = self.prototypes(unit(self.projector(self.encoder(views.signal))))
        return scores

    def on_step_end(self, step: Step) -> None:
        """Queue the embeddings of the views that were assigned."""
        if self.queue is not None and self._newest is not None and step.epoch >= self.params.queue_epoch:
            self.queue.push(self._newest)
        self._newest = None

    @torch.no_grad()
    def _assign(self, scores: Tensor, step: Step) -> Tensor:
        """(A, B, K) assignments of the batch from its scores (A, B, K), balanced over the queue too if it is full."""
        p, count = self.params, scores.shape[1]
        if self.queue is not None and step.epoch >= p.queue_epoch and self.queue.full:
            scores = torch.cat((self.queue.rows @ self.prototypes.weight.T, scores), dim=1)
        return balanced(scores, p.epsilon, p.iterations)[:, -count:]


def balanced(scores: Tensor, epsilon: float, iterations: int) -> Tensor:
    """Assignments of a fixed number of Sinkhorn iterations (Caron et al., section 3.1), in the log domain.

    From exp(scores / epsilon), every prototype is given equal mass, then every row, in turn.

    Args:
        scores: (A, R, K) of R rows and K prototypes.
        epsilon: above 0; the smaller, the sharper.
        iterations: at least 1.

    Returns:
        (A, R, K), rows sum to 1; with more iterations columns come to sum to R / K.
    """
    log_q = scores / epsilon
    for _ in range(iterations):
        log_q = log_q.log_softmax(dim=1).log_softmax(dim=2)
    return log_q.exp()


def swapped_prediction(logits: Tensor, assigned: Tensor, *, as_published: bool = False) -> Tensor:
    """Mean over assigned views, of the mean over the other views, of the cross-entropy of their predictions.

    Args:
        logits: (V, B, K) of all views, over the temperature.
        assigned: (A, B, K) assignments of the first A views, rows sum to 1; no gradient reaches them.
        as_published: divide the sum over the V - 1 other views by V.

    Returns:
        A scalar.
    """
    views, count, _ = logits.shape
    log_p = logits.log_softmax(dim=2).flatten(1)
    cross = -(assigned.detach().flatten(1) @ log_p.T) / count  # (A, V)
    own = torch.eye(len(assigned), views, dtype=torch.bool, device=cross.device)
    divisor = views if as_published else views - 1
    return cross.masked_fill(own, 0).sum() / (len(assigned) * divisor)
