"""What stands on an encoder: projectors for contrastive losses and the linear classification head."""

from typing import Literal

import torch
from torch import Tensor, nn


def projector(
    dim: int, hidden: int, out: int, layers: int = 2, norm: Literal["none", "batch"] = "none"
) -> nn.Module:
    """An MLP from embeddings (N, dim) to projections (N, out), not normalised.

    Args:
        dim: length of the embedding.
        hidden: width of the layers between; 0 for none, whatever `layers` says: one linear map.
        out: length of the projection; 0 for no projector at all, as "Finding Good Views" has it.
        layers: linear layers, 1 for one linear map.
        norm: 'batch' puts a batch norm, and then no bias, before every ReLU.

    Raises:
        ValueError: fewer than one layer, or no such norm.
    """
    if out == 0:
        return nn.Identity()
    if layers < 1 or norm not in ("none", "batch"):
        raise ValueError(f"projector of {layers} layers, norm {norm!r}: at least 1 layer, 'none' or 'batch'")
    modules: list[nn.Module] = []
    for _ in range(layers - 1 if hidden else 0):
        modules.append(nn.Linear(dim, hidden, bias=norm == "none"))
        if norm == "batch":
            modules.append(nn.BatchNorm1d(hidden))
        modules.append(nn.ReLU(inplace=True))
        dim = hidden
    return nn.Sequential(*modules, nn.Linear(dim, out))


class LinearHead(nn.Module):
    """Logits from an embedding, and from tabular columns beside it (metadata, hand features) if any.

    Args:
        dim: length of the embedding.
        classes: number of logits.
        tabular: columns concatenated to the embedding; the caller has standardised and imputed them.
    """

    def __init__(self, dim: int, classes: int, tabular: int = 0) -> None:
        super().__init__()
        self.tabular = tabular
        self.linear = nn.Linear(dim + tabular, classes)

    def forward(self, embedding: Tensor, tabular: Tensor | None = None) -> Tensor:
        """Logits (N, classes) of `embedding` (N, dim) and `tabular` (N, columns; None when there are none).

        Raises:
            ValueError: not the number of columns the head was built for.
        """
        columns = 0 if tabular is None else tabular.shape[1]
        if columns != self.tabular:
            raise ValueError(f"{columns} tabular columns: this head was built for {self.tabular}")
        if tabular is not None:
            embedding = torch.cat((embedding, tabular.to(embedding.dtype)), dim=1)
        logits: Tensor = self.linear(embedding)
        return logits
