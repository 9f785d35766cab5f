"""What stands on an encoder: projectors for contrastive losses, and heads for classification."""

from typing import Literal

import torch
from torch import Tensor, nn

from bench.nn.dropout import Dropout

HeadKind = Literal["linear", "mlp"]
"""Heads for classification; see `classification_head`."""


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


def classification_head(kind: HeadKind, dim: int, classes: int, hidden: int = 512) -> nn.Module:
    """Logits (N, classes) from embeddings (N, dim).

    'linear' is one linear map. 'mlp' is batch norm - dropout 0.25 - linear - ReLU - batch norm - dropout 0.5 -
    linear: the head under which Mehari and Strodthoff (Comput. Biol. Med. 2022, arXiv 2103.12676) fine-tune CPC,
    827,463 parameters from 1,536 by 512 to 71.

    Args:
        kind: which of them.
        dim: length of the embedding.
        classes: number of logits.
        hidden: width between the two layers of 'mlp'; 'linear' has none.

    Raises:
        ValueError: no such head.
    """
    if kind == "linear":
        return LinearHead(dim, classes)
    if kind != "mlp":
        raise ValueError(f"no head {kind!r}; there are 'linear' and 'mlp'")
    first = (nn.BatchNorm1d(dim), Dropout(0.25), nn.Linear(dim, hidden), nn.ReLU(inplace=True))
    return nn.Sequential(*first, nn.BatchNorm1d(hidden), Dropout(0.5), nn.Linear(hidden, classes))
