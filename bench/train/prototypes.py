"""Attribute sets, and the mix-in of strategies whose fit itself says which group an instance belongs to.

CROCS (Kiyasseh et al., NeurIPS 2021, section 4) describes a patient by three attributes: class, sex and age
quartile. An attribute set is one combination of them; M of them there are.
"""

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from bench.nn.nearest import nearest

Attribute = Literal["class", "sex", "age"]

GROUPED: tuple[Attribute, ...] = ("class", "sex", "age")
"""The attributes by which groups are judged, in the order of every table of attribute sets."""

SEXES = ("male", "female")


class AttributeGrid(BaseModel):
    """Class x sex x age bin, all combinations; the age bin varies fastest.

    Attributes:
        classes: number of classes of the task.
        edges: ages in years between the bins, each the upper end of its bin (quartiles of the training part).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    classes: int
    edges: tuple[float, ...]

    @property
    def counts(self) -> tuple[int, int, int]:
        """Number of values of class, sex and age."""
        return self.classes, len(SEXES), len(self.edges) + 1

    def sets(self) -> Tensor:
        """(M, 3) int64 class, sex and age bin of every attribute set."""
        return torch.cartesian_prod(*(torch.arange(count) for count in self.counts))

    def codes(self, labels: Tensor, sex: Tensor, age: Tensor) -> Tensor:
        """(B, 3) int64 class, sex and age bin; -1: unknown, or not exactly one class.

        Args:
            labels: (B, K) multi-hot, zero where masked.
            sex: (B,) 0 male, 1 female, -1 unknown.
            age: (B,) years, NaN unknown.
        """
        one = labels.sum(1) == 1
        chosen = torch.where(one, labels.argmax(1), -1)
        edges = torch.tensor(self.edges, device=age.device, dtype=age.dtype)
        bins = torch.where(age.isfinite(), torch.bucketize(age, edges), -1)
        return torch.stack((chosen, sex.to(chosen.dtype), bins), 1)

    def index(self, codes: Tensor) -> Tensor:
        """(B,) row of `sets` of each (B, 3) code; -1 where a value is unknown."""
        _, sexes, bins = self.counts
        place = (codes[:, 0] * sexes + codes[:, 1]) * bins + codes[:, 2]
        return torch.where((codes >= 0).all(1), place, -1)


class GroupParams(BaseModel):
    """Parameters of every strategy that looks for groups without labels; subclass it.

    Attributes:
        attribute: what the groups are to find; its number of values is K.
        clusters: K itself; 0: as `attribute` says.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    attribute: Attribute = "class"
    clusters: int = Field(default=0, ge=0)

    def groups(self, counts: tuple[int, int, int]) -> int:
        """K, of the number of classes, sexes and age bins (`Info.counts`); 0 if it is not known."""
        return self.clusters or counts[GROUPED.index(self.attribute)]

    def too_few(self, counts: tuple[int, int, int]) -> str | None:
        """Why there is nothing to look for; None where K is 2 or more."""
        found = self.groups(counts)
        if found >= 2:
            return None
        return f"{found} values of attribute {self.attribute!r} are known; set `clusters` to 2 or more"


class Prototypes:
    """Mix-in of a strategy that assigns every embedding to one of its own groups.

    A group may be tied to attribute values by construction (`attributes`), or be a bare number that only an
    evaluation can give a meaning.
    """

    def project(self, embedding: Tensor) -> Tensor:
        """(N, D) embeddings -> (N, P), the space in which prototypes and distances live."""
        return embedding

    def prototypes(self) -> Tensor | None:
        """(G, P) one point a group, in the space of `project`, infinite where a group has none.

        None where groups come from a head.
        """
        return None

    def attributes(self) -> Tensor | None:
        """(G, 3) int64 the class, sex and age bin each group stands for, -1 none; None where they stand for nothing."""
        return None

    def groups(self) -> int:
        """G, the number of ids that `assign` may give."""
        points = self.prototypes()
        if points is None:
            raise NotImplementedError(
                f"{type(self).__name__} has no prototypes and must define `groups` and `assign`"
            )
        return len(points)

    def assign(self, embedding: Tensor) -> Tensor:
        """(N,) int64 group of each embedding (N, D); default: the nearest prototype, in Euclidean distance."""
        points = self.prototypes()
        if points is None:
            raise NotImplementedError(
                f"{type(self).__name__} has no prototypes and must define `groups` and `assign`"
            )
        return nearest(self.project(embedding), points)
