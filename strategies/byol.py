"""BYOL: the network predicts what a slowly moving average of itself says of another view; nothing is pushed apart.

Grill et al., "Bootstrap Your Own Latent", NeurIPS 2020 (arXiv 2006.07733), as in Mehari and Strodthoff,
"Self-supervised representation learning from 12-lead ECG data", Comput. Biol. Med. 2022 (arXiv 2103.12676; recipe
'ssl12lead'), and as a baseline of CLOCS, Kiyasseh et al., ICML 2021 (arXiv 2005.13249; recipe 'clocs').

Online are encoder, projector and predictor. The target, a copy of encoder and projector, gets no gradient and moves
towards them after every step; it runs in training mode, with the statistics of its own batch. Downstream sees the
online encoder.

Paper and code: the code of Mehari and Strodthoff averages only what has "weight" in its name, so that the target
keeps its first biases (`as_published`). Of CLOCS's BYOL no code was published; its predictor repeats the encoder's
last layer, to which the paper gives a ReLU that the published encoder has not (`predictor="relu"`).
"""

import copy
from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

import pydantic
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.nn import ema
from bench.nn.heads import projector
from bench.nn.transforms import GOOD_VIEWS, Name, by_name, changed, gaussian_noise
from bench.train.strategy import BOARD, Batch, Encoder, Info, Loss, Step, Strategy, Views


class BYOLParams(pydantic.BaseModel):
    """Parameters of `BYOL`; the defaults are those of Mehari and Strodthoff.

    Attributes:
        chain: both views of each record are under all of these, in this order; see `bench.nn.transforms`.
        transforms: where the chain names none, a view is under one of these, drawn for each view of each record.
        noise: standard deviation of gaussian_noise, in millivolts.
        projection, hidden: sizes of the projector; `projection` 0 compares the embeddings themselves.
        norm: of the layers within projector and predictor.
        predictor: as wide as what it predicts: with a hidden layer ('mlp'), one 'linear' map, or that and a 'relu'.
        decay: of the target's moving average, at the first step.
        schedule: the decay rises to 1 as a 'cosine', or is 'constant'.
        as_published: the moving average leaves out what has no "weight" in its name.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    chain: tuple[Name, ...] = ("random_resized_crop", "time_out")
    transforms: tuple[Name, ...] = GOOD_VIEWS
    noise: pydantic.NonNegativeFloat = 0.005
    projection: pydantic.NonNegativeInt = 16
    hidden: pydantic.PositiveInt = 512
    norm: Literal["batch", "none"] = "batch"
    predictor: Literal["mlp", "linear", "relu"] = "mlp"
    decay: float = pydantic.Field(default=0.996, ge=0, le=1)
    schedule: Literal["cosine", "constant"] = "cosine"
    as_published: bool = False


class BYOL(Strategy):
    """Each of two views predicts the target's projection of the other."""

    name = "byol"
    title = "BYOL"
    paper = "Grill et al. 2020, arXiv 2006.07733; Mehari and Strodthoff 2022, arXiv 2103.12676; CLOCS, arXiv 2005.13249"
    deviations = (
        "The moving average covers biases and running statistics too; the published code leaves them out.",
        "Both views are one batch to the networks and their batch norms; in the published code each is its own.",
        "Recipe clocs: the predictor is one linear map without ReLU, as the published encoder's last layer is.",
        "Recipe board: the decay rises from 0.9; the average of 0.996 is over 250 steps, as long as a short budget.",
    )
    recipes = {
        "ssl12lead": {},
        "clocs": {
            "chain": ("gaussian_noise",),
            "noise": 0.01,
            "projection": 0,
            "predictor": "linear",
            "decay": 0.9,
            "schedule": "constant",
        },
        "board": {
            "chain": (),
            "projection": BOARD["projection"],
            "hidden": BOARD["hidden"],
            "decay": 0.9,
        },
    }
    Params = BYOLParams
    params: BYOLParams

    def __init__(
        self, encoder: Encoder, params: Any, info: Info, parents: Mapping[str, Strategy] | None = None
    ) -> None:
        super().__init__(encoder, params, info, parents)
        p = self.params
        self.projector = projector(encoder.dim, p.hidden, p.projection, norm=p.norm)
        self.predictor = _predictor(p.projection or encoder.dim, p)
        self.target = copy.deepcopy(self._online()).requires_grad_(False)

    def views(self, batch: Batch, generator: torch.Generator) -> Views:
        """Two views of each record."""
        p = self.params
        known = by_name(self.info.rate) | {"gaussian_noise": partial(gaussian_noise, sd=p.noise)}
        return Views.of(
            *(
                changed(batch.signal, generator, p.chain, p.transforms, known, valid=batch.valid)
                for _ in range(2)
            )
        )

    def loss(self, batch: Batch, views: Views, step: Step) -> Loss:
        """Squared distances of unit vectors, of each view's prediction and the target of the other view."""
        prediction = self.predictor(self.projector(self.encoder(views.signal)))
        with torch.no_grad():
            target = self.target(views.signal)
        return Loss(regression_loss(prediction, target.roll(len(batch.signal), dims=0)))

    def passes(self, views: Views) -> Tensor:
        """Encoder, projector and predictor, and the target without gradient."""
        with torch.no_grad():
            self.target(views.signal)
        prediction: Tensor = self.predictor(self.projector(self.encoder(views.signal)))
        return prediction

    def on_step_end(self, step: Step) -> None:
        """Move the target."""
        p = self.params
        kept = p.decay if p.schedule == "constant" else ema.decay(step.index, step.total, p.decay)
        ema.update(self.target, self._online(), kept, as_published=p.as_published)

    def _online(self) -> nn.Module:
        """What the target is a copy of."""
        return nn.Sequential(self.encoder, self.projector)


def regression_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Sum over the two views of the mean of |p - t|^2 = 2 - 2 cos(p, t), p and t of unit length: from 0 to 8.

    Args:
        prediction: (2B, P) of both views, of any length.
        target: (2B, P) of the view that each row is to predict; no gradient reaches it.

    Returns:
        A scalar, computed in float32.
    """
    return 4 - 4 * F.cosine_similarity(prediction.float(), target.detach().float(), dim=1).mean()


def _predictor(size: int, params: BYOLParams) -> nn.Module:
    """From (N, size) to as many."""
    if params.predictor == "mlp":
        return projector(size, params.hidden, size, norm=params.norm)
    linear = nn.Linear(size, size)
    return nn.Sequential(linear, nn.ReLU()) if params.predictor == "relu" else linear
