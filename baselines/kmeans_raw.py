"""KM raw: the scaled signal itself is the embedding, so that k-means clusters inputs: the floor of every clustering.

The row "KM raw" of CROCS (Kiyasseh et al., NeurIPS 2021, Table 1). No number of clusters is set here: k-means is
the evaluation's. Beats are not aligned, so Euclidean distance says next to nothing of rhythm; the scaling of the
input spec decides what little it does say.
"""

from collections.abc import Mapping
from typing import Any

import pydantic
import torch
from torch import Tensor

from bench.train.strategy import Batch, Encoder, Info, Strategy, Training


class KMeansRawParams(pydantic.BaseModel):
    """Parameters of `KMeansRaw`.

    Attributes:
        components: principal axes kept of the flattened signal; 0: the signal as it is.
        subset: training instances at most from which the axes are found, drawn at random.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    components: pydantic.NonNegativeInt = 256
    subset: pydantic.PositiveInt = 4096


class KMeansRaw(Strategy):
    """An instance's samples in a row, on the principal axes of the training instances."""

    name = "kmeans_raw"
    title = "Raw signal"
    paper = "KM raw of CROCS, Kiyasseh et al., NeurIPS 2021 (arXiv 2011.14230)"
    trained = False
    uses_encoder = False
    deviations = (
        "Signals are clustered on 256 principal axes of at most 4,096 training instances; the paper clusters"
        " the samples themselves.",
    )
    recipes = {"crocs": {}, "full": {"components": 0}, "board": {}}
    Params = KMeansRawParams
    params: KMeansRawParams
    axes: Tensor
    mean: Tensor
    fitted: Tensor

    def __init__(
        self, encoder: Encoder, params: Any, info: Info, parents: Mapping[str, Strategy] | None = None
    ) -> None:
        super().__init__(encoder, params, info, parents)
        width, p = info.leads * info.samples, self.params
        self.components = min(p.components, width, p.subset, info.instances)
        self.register_buffer("axes", torch.zeros(self.components, width))
        self.register_buffer("mean", torch.zeros(width if self.components else 0))
        self.register_buffer("fitted", torch.tensor(False))

    def setup(self, training: Training) -> None:
        """Find the axes."""
        if not self.components:
            return
        from sklearn.decomposition import PCA

        generator = torch.Generator().manual_seed(training.seed)
        rows = torch.randperm(self.info.instances, generator=generator)[: self.params.subset]
        points = training.embed(rows.sort().values).cpu().numpy()
        pca = PCA(self.components, copy=False, random_state=training.seed % 2**32).fit(points)
        self.axes.copy_(torch.from_numpy(pca.components_))
        self.mean.copy_(torch.from_numpy(pca.mean_))
        self.fitted.fill_(True)

    def embed(self, batch: Batch) -> Tensor:
        """(B, components), or (B, C T) where there are no axes."""
        flat = batch.signal.flatten(1)
        return (flat - self.mean) @ self.axes.T if self.fitted else flat
