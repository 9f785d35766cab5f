"""The contract between a strategy and the harness.

The harness owns data, order, clock, random numbers, scaling and evaluation; a strategy turns a batch of records
into views, says which views should agree, and returns a loss. Most strategies override `views` and `positives`
only. Letters: B records in the batch, C leads, T samples in time, N view rows, D embedding, P projection.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Protocol

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from bench.data.corpus import ATTRIBUTES
from bench.nn.encoder import Encoder
from bench.nn.heads import projector
from bench.nn.losses import multi_positive_nt_xent
from bench.train.description import Draw, Info
from bench.train.external import FromCheckpoint
from bench.train.fields import Field, Fields, HasFields, UndeclaredField
from bench.train.prototypes import GROUPED, Attribute, AttributeGrid, GroupParams, Prototypes

__all__ = [
    "ATTRIBUTES",
    "BOARD",
    "GROUPED",
    "Attribute",
    "AttributeGrid",
    "Batch",
    "Classifier",
    "Draw",
    "Encoder",
    "External",
    "Field",
    "Fields",
    "GroupParams",
    "Info",
    "Loss",
    "Params",
    "Phase",
    "Prototypes",
    "Step",
    "Strategy",
    "Training",
    "UndeclaredField",
    "Views",
    "matching",
    "no_decay_groups",
]

BOARD: Mapping[str, Any] = MappingProxyType({"temperature": 0.1, "projection": 64, "hidden": 128})
"""What every contrastive strategy's recipe 'board' shares, so that there only views and positives differ:
SimCLR's two-layer projector (Chen et al. 2020, arXiv 2002.05709) and the temperature of SimCLR and CLOCS."""


@dataclass(frozen=True)
class Batch(HasFields):
    """Some instances on the device.

    Attributes:
        signal: (B, C, T) float32. Millivolts in `views`; scaled as the input spec says in `embed`.
        index: (B,) int64, the instance's stable row in the training set.
        record: (B,) int64, the record's row in the corpus.
        fields: the declared fields, read as `batch.age`, `batch.labels`, ...
        valid: (B,) int64, samples that the record fills, what is behind them being padding; None: all.
    """

    signal: Tensor
    index: Tensor
    record: Tensor
    fields: Fields
    valid: Tensor | None = None


@dataclass(frozen=True)
class Views:
    """What the encoder sees.

    Attributes:
        signal: (N, C', T') float32 millivolts as `views` returns it; the harness scales it before `loss`.
        source: (N,) int64, the view's row in the batch.
        group: (N,) int64, which view of its source it is.
        leads: (N, C') int64, the batch's channel that each channel shows; None: the batch's own channels.
    """

    signal: Tensor
    source: Tensor
    group: Tensor
    leads: Tensor | None = None

    @classmethod
    def of(cls, *signals: Tensor) -> "Views":
        """Views of every instance: one (B, C', T') signal for each view, rows in the batch's order."""
        count, device = len(signals[0]), signals[0].device
        source = torch.arange(count, device=device).repeat(len(signals))
        group = torch.arange(len(signals), device=device).repeat_interleave(count)
        return cls(torch.cat(signals) if len(signals) > 1 else signals[0], source, group)


@dataclass(frozen=True)
class Loss:
    """A scalar to minimise, and named parts of it for the health record."""

    total: Tensor
    parts: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """Where training stands: `index` of `total` steps, `epoch`, number of the current phase."""

    index: int
    total: int
    epoch: int
    phase: int = 0


@dataclass(frozen=True)
class Phase:
    """A share of the steps with its own optimiser.

    Attributes:
        share: of all steps, in [0, 1]; the shares of all phases add up to 1.
        groups: torch parameter groups; `lr_scale` multiplies the budget's rate, `decay` False switches weight
            decay off. Parameters in no group are frozen during the phase.
    """

    share: float
    groups: list[dict[str, Any]]


class Params(BaseModel):
    """Parameters of a strategy: frozen, unknown names are errors. Subclass it; defaults are the paper's values.

    Attributes:
        temperature: of the contrastive loss (Good Views section 3: 0.07).
        projection: size of the projection; 0 compares the embeddings themselves, as Good Views does.
        hidden: width of the projector's hidden layer; 0 makes the projector one linear map.
        as_published_diagonal: keep each view's own similarity as exp(0) in both sums, as the published Good
            Views code does, in place of leaving it out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature: float = 0.07
    projection: int = 0
    hidden: int = 0
    as_published_diagonal: bool = False


@dataclass(frozen=True)
class Training(HasFields):
    """The training set as the hooks `setup` and `on_epoch_start` see it.

    Attributes:
        fields: the declared fields of every instance, in the order of `Batch.index`.
        embed: () -> (R, D) embeddings of every instance, or of the given rows, with the present weights, in
            evaluation mode, without gradient.
        seed: for what is fitted here (k-means, subsampling); the same for every strategy.
    """

    fields: Fields
    embed: "EmbedRows"
    seed: int


class EmbedRows(Protocol):
    """Embeds training instances."""

    def __call__(self, rows: Tensor | None = None) -> Tensor:
        """(R, D) embeddings of the instances `rows` (R,) of the training set; None: of all."""
        ...


class Strategy(nn.Module):
    """One way of training an encoder.

    Class attributes:
        name: as on the command line; unique.
        title: as in tables.
        paper: citation.
        needs: fields it reads in training; nothing else is in its batches. Where that hangs on the parameters,
            `needs_with` decides.
        needs_at_test: fields that `embed` (or `logits`) reads of the record to be judged. Where that hangs on the
            parameters, `needs_at_test_with` decides.
        deviations: what differs from the paper, one sentence each; shown on the board.
        recipes: named sets of parameters.
        parents: roles of the fits it starts from ('init', 'classifier', ...).
        embeddings_of: roles of further fits, whose frozen embedding of every training record it reads as
            `batch.embedding_of(role)`.
        trained: False for controls that take no optimiser step.
        readout: how its embeddings are judged: 'probe' (linear) or 'boosting' (tabular controls).
        uses_encoder: False for controls whose embedding needs none.
        labelled_only: train on labelled instances alone (else unlabelled ones are drawn too, labels masked).
        grouping: it looks for groups, and is told how many classes, sexes and age bins there are (`Info.counts`).
        per_instance: it keeps something for each training instance (pseudo-labels), so that its loss of other
            instances means nothing and cannot select a checkpoint.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    paper: ClassVar[str] = ""
    needs: ClassVar[frozenset[Field]] = frozenset()
    needs_at_test: ClassVar[frozenset[Field]] = frozenset()
    deviations: ClassVar[tuple[str, ...]] = ()
    recipes: ClassVar[dict[str, dict[str, Any]]] = {}
    parents: ClassVar[tuple[str, ...]] = ()
    embeddings_of: ClassVar[tuple[str, ...]] = ()
    trained: ClassVar[bool] = True
    readout: ClassVar[str] = "probe"
    labelled_only: ClassVar[bool] = False
    uses_encoder: ClassVar[bool] = True
    grouping: ClassVar[bool] = False
    per_instance: ClassVar[bool] = False
    Params: ClassVar[type[BaseModel]] = Params

    def __init__(
        self, encoder: Encoder, params: Any, info: Info, parents: Mapping[str, "Strategy"] | None = None
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.params = params
        self.info = info
        self.projector = projector(
            encoder.dim, getattr(params, "hidden", 0), getattr(params, "projection", 0)
        )

    @classmethod
    def needs_with(cls, params: Any) -> frozenset[Field]:
        """Fields it reads with such parameters: what its batches, its key and the ledger follow."""
        return cls.needs

    @classmethod
    def needs_at_test_with(cls, params: Any) -> frozenset[Field]:
        """Fields it reads of the record to be judged, with such parameters."""
        return cls.needs_at_test

    @classmethod
    def seeks(cls, params: Any) -> tuple[Attribute, ...]:
        """The attributes that its groups are to find: what its parameter `attribute` names, else all three."""
        attribute = getattr(params, "attribute", None)
        return tuple(name for name in GROUPED if name == attribute) or GROUPED

    @classmethod
    def incompatible(cls, info: Info, params: Any) -> str | None:
        """Why this strategy cannot run on such a training set, in one line; None when it can."""
        return None

    @classmethod
    def encoder_leads(cls, leads: int, params: Any) -> int:
        """Channels its encoder takes when the lead set has `leads`."""
        return leads

    @classmethod
    def draws(cls, params: Any) -> Draw:
        """What a training instance is: longer than an evaluated one, or of more leads."""
        return Draw()

    def views(self, batch: Batch, generator: torch.Generator) -> Views:
        """Views of a batch, in millivolts; default: each instance as it is, once."""
        return Views.of(batch.signal)

    def positives(self, batch: Batch, views: Views) -> Tensor:
        """(N, N) bool, symmetric: who should agree with whom; default: views of one source."""
        return views.source[:, None] == views.source[None, :]

    def loss(self, batch: Batch, views: Views, step: Step) -> Loss:
        """Default: encode, project, multi-positive NT-Xent over `positives` (Good Views equation 1)."""
        projection = self.projector(self.encoder(views.signal))
        total = multi_positive_nt_xent(
            projection.float(),
            self.positives(batch, views),
            self.params.temperature,
            as_published=self.params.as_published_diagonal,
        )
        return Loss(total)

    def passes(self, views: Views) -> Tensor:
        """The passes through its networks that a step takes, and nothing else: the floor of `leadboard perf`.

        Default: each view through encoder and projector.
        """
        projection: Tensor = self.projector(self.encoder(views.signal))
        return projection

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Default: all trainable parameters, no weight decay on norms and biases."""
        return no_decay_groups(self.named_parameters())

    def phases(self) -> list[Phase]:
        """Default: one phase over `parameter_groups`."""
        return [Phase(1.0, self.parameter_groups())]

    def setup(self, training: Training) -> None:
        """Called once before the first step, for what is fitted on the training set."""

    def on_phase_start(self, phase: int, training: Training) -> None:
        """Called when a phase of `phases` begins, for what is fitted on what the phase before it has learnt."""

    def on_epoch_start(self, epoch: int, training: Training) -> Iterable[nn.Parameter]:
        """Called at the start of every epoch, for pseudo-labels.

        Returns:
            Parameters that were drawn anew: the optimiser forgets what it knows of them.
        """
        return ()

    def draw_weights(self) -> Tensor | None:
        """(R,) weights by which an epoch's instances are drawn, with replacement; None: each once.

        Asked after `on_epoch_start`.
        """
        return None

    def on_step_start(self, step: Step) -> None:
        """Called before every step."""

    def on_step_end(self, step: Step) -> None:
        """Called after every optimiser step, for averages and queues."""

    def on_fit_end(self, training: Training) -> None:
        """Called once after the last step, with the selected weights, for what is fitted on the final embeddings."""

    def embed(self, batch: Batch) -> Tensor:
        """(B, D) what downstream sees of scaled instances; default: the encoder's output."""
        embedding: Tensor = self.encoder(batch.signal)
        return embedding


class Classifier(Strategy):
    """A strategy whose fit predicts the downstream classes itself."""

    def logits(self, batch: Batch) -> Tensor:
        """(B, K) logits of scaled instances."""
        raise TypeError(f"{type(self).__name__} declares itself a Classifier but does not define `logits`")


class External(FromCheckpoint, Strategy):
    """A network with published weights, frozen: see `bench.train.external`."""


def matching(ids: Tensor, views: Views) -> Tensor:
    """(N, N) bool: views whose instances share an id.

    Args:
        ids: (B,) integer id of each instance of the batch; a negative one matches nothing, not even itself.
    """
    mine = ids[views.source]
    return (mine[:, None] == mine[None, :]) & (mine >= 0)[:, None]


def no_decay_groups(
    parameters: Iterable[tuple[str, nn.Parameter]], lr_scale: float = 1.0
) -> list[dict[str, Any]]:
    """Parameter groups with weight decay on matrices and kernels only."""
    trainable = [p for _, p in parameters if p.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.ndim > 1], "lr_scale": lr_scale, "decay": True},
        {"params": [p for p in trainable if p.ndim <= 1], "lr_scale": lr_scale, "decay": False},
    ]
    return [group for group in groups if group["params"]]
