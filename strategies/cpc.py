"""CPC: from what an ECG has shown so far, tell a moment of its near future from other moments of it.

Van den Oord, Li, Vinyals, "Representation Learning with Contrastive Predictive Coding" (arXiv 1807.03748), as used
by Mehari & Strodthoff, "Self-supervised representation learning from 12-lead ECG data", Computers in Biology and
Medicine 2022 (arXiv 2103.12676): an encoder gives features z of every step, a recurrent network sums up those so far
in c, and W c should be nearer to z some steps ahead than to z anywhere else in the recording. One horizon, 120 ms,
not several.

Paper and code: the official code adds the loss up over time (`as_published_sum`); here it is a mean over time, for
one rate to suit every length. Under Adam no more than its epsilon tells the two apart.

The paper's encoder `cpc_net` is recurrent itself and makes a step of each sample. Any other with features over time
gets a recurrent network of the strategy's own, and its steps are wide: 32 samples of the board's, 0.32 s. So the
horizon is 2 steps in recipe 'board'. Twelve would be 3.8 s and leave a short window few anchors or none; one is the
neighbour, which pools much the same samples.
"""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, PositiveInt
from torch import Tensor, nn

from bench.nn.latent_prediction import draw_candidates, latent_prediction
from bench.train.strategy import Batch, Draw, Encoder, Info, Loss, Step, Strategy, Views, no_decay_groups


class CPCParams(BaseModel):
    """Parameters of `CPC`.

    Attributes:
        horizon: steps ahead.
        negatives: for each step to be predicted, drawn from the same instance.
        windows: evaluation windows that a training instance is long; the paper's 10 s are four of its 2.5 s.
        as_published_sum: add the loss up over time, in place of its mean.
        network, layers, hidden: the strategy's own recurrent network, for an encoder that is not recurrent.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    horizon: PositiveInt = 12
    negatives: PositiveInt = 128
    windows: PositiveInt = 1
    as_published_sum: bool = False
    network: Literal["lstm", "gru"] = "lstm"
    layers: PositiveInt = 2
    hidden: PositiveInt = 512


class CPC(Strategy):
    """Features at every step, their summary so far, and which step is `horizon` ahead."""

    name = "cpc"
    title = "CPC"
    paper = "van den Oord et al. 2018, arXiv 1807.03748; Mehari & Strodthoff 2022, arXiv 2103.12676"
    deviations = (
        "The loss is a mean over time; the published code adds it up.",
        "Where the encoder is not recurrent, a recurrent network of the strategy's own sums up the past. Downstream"
        " sees the encoder's embedding, not this summary, and what the encoder computes behind its features over"
        " time (the last linear layer of a ResNet) keeps its random start.",
        "A padded convolution sees samples on both sides of a step and tells where in the window it lies, so that"
        " the task can be solved without looking at the ECG, even of flat lines; the paper's encoder sees one sample.",
        "The number of steps is the suite's; the paper trains for 1,000 epochs in batches of 32.",
    )
    recipes = {
        "ssl12lead": {"horizon": 12, "windows": 4},
        "board": {"horizon": 2, "hidden": 128, "layers": 1},
    }
    Params = CPCParams
    params: CPCParams

    def __init__(
        self, encoder: Encoder, params: Any, info: Info, parents: Mapping[str, Strategy] | None = None
    ) -> None:
        super().__init__(encoder, params, info, parents)
        with torch.no_grad():
            features, summary = _trial(encoder, info.drawn[1])
        steps, width = features.shape[1:]
        if steps <= self.params.horizon:
            raise ValueError(
                f"horizon {self.params.horizon}: encoder {encoder.name!r} makes {steps} steps of {info.drawn[1]}"
                " samples; take a shorter horizon, or longer instances (`windows`)"
            )
        self.recurrent = None if encoder.recurrent else _network(width, self.params)
        known = summary.shape[2] if encoder.recurrent else self.params.hidden
        self.prediction = nn.Linear(known, width, bias=False)

    @classmethod
    def draws(cls, params: CPCParams) -> Draw:
        """Instances of some evaluation windows' length."""
        return Draw(windows=params.windows)

    @classmethod
    def incompatible(cls, info: Info, params: CPCParams) -> str | None:
        """There are records of that length, longer than the horizon even if every sample is a step."""
        samples = info.drawn[1]
        if not info.instances:
            return f"no training record has {samples} samples; take fewer `windows`"
        if samples <= params.horizon:
            return (
                f"instances of {samples} samples: none is {params.horizon} steps ahead; take a longer window"
            )
        return None

    def views(self, batch: Batch, generator: torch.Generator) -> Views:
        """Each instance as it is, once. Negatives are drawn from the same generator, in the `loss` that follows."""
        self._generator = generator
        return Views.of(batch.signal)

    def loss(self, batch: Batch, views: Views, step: Step) -> Loss:
        """InfoNCE of the step `horizon` ahead, at every step that has one."""
        p = self.params
        features, predicted = self._forecast(views)
        rows, steps, _ = features.shape
        candidates = draw_candidates(rows, steps, p.horizon, p.negatives, self._generator)
        total, accuracy = latent_prediction(
            predicted, features, candidates, as_published_sum=p.as_published_sum
        )
        return Loss(total, {"accuracy": accuracy})

    def passes(self, views: Views) -> Tensor:
        """Encoder, context, prediction."""
        return self._forecast(views)[1]

    def _forecast(self, views: Views) -> tuple[Tensor, Tensor]:
        """(N, L, D) float32 features over time, and (N, L - horizon, D) what is predicted of the later ones."""
        features = self.encoder.sequence(views.signal).float()
        return features, self.prediction(self._context(features[:, : -self.params.horizon]))

    def parameter_groups(self) -> list[dict[str, Any]]:
        """As by default, but for what lies behind the features over time: no gradient reaches it."""
        idle = _behind_features(self.encoder)
        return no_decay_groups((name, p) for name, p in self.named_parameters() if id(p) not in idle)

    def _context(self, features: Tensor) -> Tensor:
        """(N, L, D) -> (N, L, D') float32, each step from itself and those before it."""
        summary: Tensor = (
            self.encoder.context(features) if self.recurrent is None else self.recurrent(features)[0]
        )
        return summary.float()


def _network(width: int, params: CPCParams) -> nn.LSTM | nn.GRU:
    """(N, L, width) -> (N, L, hidden), and its last state."""
    kind = nn.LSTM if params.network == "lstm" else nn.GRU
    return kind(width, params.hidden, params.layers, batch_first=True)


def _trial(encoder: Encoder, samples: int) -> tuple[Tensor, Tensor]:
    """(1, L, D) features over time of a flat line and, of a recurrent encoder, the first one's context (1, 1, D').

    The encoder stays as it is.
    """
    mode = encoder.training
    encoder.eval()
    line = torch.zeros(1, encoder.leads, samples, device=next(encoder.parameters()).device)
    features = encoder.sequence(line)
    summary = encoder.context(features[:, :1]) if encoder.recurrent else features
    encoder.train(mode)
    return features, summary


@torch.enable_grad()
def _behind_features(encoder: Encoder) -> set[int]:
    """Ids of the parameters on which neither features over time nor their context depend."""
    features, summary = _trial(encoder, encoder.min_samples)
    parameters = [p for p in encoder.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(features.sum() + summary.sum(), parameters, allow_unused=True)
    return {id(p) for p, gradient in zip(parameters, gradients, strict=True) if gradient is None}
