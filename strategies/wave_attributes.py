"""Wave attributes: ECGs whose machine measurements are alike should agree.

Strategy 5 of "Finding 'Good Views' of Electrocardiogram Signals" (arXiv 2411.17702, section 2.2): eleven rates,
intervals and axes that the recorder wrote beside the ECG. They nearly give rhythm labels away.

Paper and code: the paper matches records within a Euclidean distance h that it does not state; its code clusters
standardised attributes by k-means, k = 40, over training, validation and test records together. Here statistics
and clusters come from the training records alone. Mode 'epsilon' with h = 1.5 makes as many positives as k-means.
"""

from collections.abc import Mapping
from typing import Any, Literal

import pydantic
import torch
from sklearn.cluster import KMeans
from torch import Tensor

from bench.train.strategy import (
    ATTRIBUTES,
    BOARD,
    Batch,
    Encoder,
    Field,
    Info,
    Params,
    Strategy,
    Training,
    Views,
    matching,
)

LINEAR = [ATTRIBUTES.index(name) for name in ("VentricularRate", "AtrialRate", "QRSDuration", "QTCorrected")]
ANGLES = [ATTRIBUTES.index(name) for name in ("RAxis", "TAxis")]


class WaveAttributesParams(Params):
    """Parameters of `WaveAttributes`.

    Attributes:
        mode: 'kmeans': of one cluster; 'epsilon': within distance h; 'knn': one among the other's nearest
            neighbours in the batch, either way round.
        clusters: k of k-means; of n training instances, at most n // 8.
        h: greatest distance between standardised attributes.
        neighbours: how many nearest neighbours.
        attributes: 'all' eleven, of seven independent dimensions, so that rate and QT count several times; or
            'deduplicated': two rates, QRS duration, corrected QT, and the two axes as points on a circle.
    """

    mode: Literal["kmeans", "epsilon", "knn"] = "kmeans"
    clusters: int = pydantic.Field(default=40, ge=1)
    h: float = pydantic.Field(default=1.5, gt=0)
    neighbours: int = pydantic.Field(default=2, ge=1)
    attributes: Literal["all", "deduplicated"] = "all"


class WaveAttributes(Strategy):
    """Positives are records with similar attributes."""

    name = "wave_attributes"
    title = "Wave attributes"
    paper = "Good Views strategy 5, arXiv 2411.17702"
    needs = frozenset({Field.MEASUREMENTS})
    deviations = (
        "k-means, 40 clusters, as in the code; the paper: a distance threshold it does not state.",
        "Statistics and clusters are fitted on training records; the published code fits them on test ones too.",
        "A missing attribute takes the training median; a record without any attribute has no positives.",
    )
    recipes = {
        "goodviews": {},
        "goodviews_code": {"as_published_diagonal": True},
        "goodviews_text": {"mode": "epsilon"},
        "board": dict(BOARD),
    }
    Params = WaveAttributesParams
    params: WaveAttributesParams
    median: Tensor
    mean: Tensor
    sd: Tensor
    centroids: Tensor

    def __init__(
        self, encoder: Encoder, params: Any, info: Info, parents: Mapping[str, Strategy] | None = None
    ) -> None:
        super().__init__(encoder, params, info, parents)
        columns = self._columns(torch.zeros(1, len(ATTRIBUTES))).shape[1]
        for name in ("median", "mean", "sd"):
            self.register_buffer(name, torch.zeros(columns))
        clusters = min(params.clusters, max(1, info.instances // 8))
        self.register_buffer("centroids", torch.zeros(clusters, columns))

    def setup(self, training: Training) -> None:
        """Fit median, mean and standard deviation (over n - 1), and the clusters where the mode asks."""
        measured = training.measurements[_any_known(training.measurements)]
        if not len(measured):
            raise ValueError("no training record has measurements; measure the corpus first")
        columns = self._columns(measured)
        self.median.copy_(columns.nanmedian(0).values.nan_to_num())
        filled = torch.where(columns.isfinite(), columns, self.median).double()
        self.mean.copy_(filled.mean(0))
        self.sd.copy_(filled.std(0).nan_to_num())
        self.sd[self.sd == 0] = 1.0
        if self.params.mode == "kmeans":
            points = self._standardised(measured).double().cpu().numpy()
            count = min(len(self.centroids), len(points))
            kmeans = KMeans(count, n_init=10, random_state=training.seed % 2**32).fit(points)
            self.centroids.fill_(
                torch.inf
            )  # near to nothing, where fewer records are measured than counted on
            self.centroids[:count] = torch.from_numpy(kmeans.cluster_centers_)

    def positives(self, batch: Batch, views: Views) -> Tensor:
        """(N, N) records of one cluster, within h, or nearest to each other."""
        points, known = self._standardised(batch.measurements), _any_known(batch.measurements)
        if self.params.mode == "kmeans":
            cluster = _distances(points, self.centroids).argmin(1)
            return matching(torch.where(known, cluster, -1), views)
        apart = _distances(points, points).masked_fill(~(known[:, None] & known[None, :]), torch.inf)
        near = apart <= self.params.h if self.params.mode == "epsilon" else self._neighbours(apart)
        return near[views.source][:, views.source]

    def _neighbours(self, apart: Tensor) -> Tensor:
        """(B, B) bool: pairs of which one is among the other's nearest, at a finite distance."""
        apart = apart.clone().fill_diagonal_(torch.inf)
        nearest = apart.topk(min(self.params.neighbours, len(apart) - 1), dim=1, largest=False)
        near = torch.zeros_like(apart, dtype=torch.bool)
        near.scatter_(1, nearest.indices, nearest.values.isfinite())
        return near | near.T

    def _columns(self, measurements: Tensor) -> Tensor:
        """(M, F) the attributes chosen, of measurements (M, 11)."""
        if self.params.attributes == "all":
            return measurements
        angles = torch.deg2rad(measurements[:, ANGLES])
        return torch.cat((measurements[:, LINEAR], angles.sin(), angles.cos()), dim=1)

    def _standardised(self, measurements: Tensor) -> Tensor:
        columns = self._columns(measurements)
        return (torch.where(columns.isfinite(), columns, self.median) - self.mean) / self.sd


def _any_known(measurements: Tensor) -> Tensor:
    return measurements.isfinite().any(1)


def _distances(a: Tensor, b: Tensor) -> Tensor:
    """(A, B) Euclidean distances, exactly symmetric where a is b."""
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
