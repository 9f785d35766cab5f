"""Metadata only: gradient boosting on age and sex, without any ECG.

What an ECG model must add to. It reads the metadata of the record to be judged, which the ledger shows.
"""

import torch
from torch import Tensor

from bench.train.strategy import Batch, Field, Strategy


class MetadataOnly(Strategy):
    """Age and sex as two columns; boosting takes NaN as missing."""

    name = "metadata_only"
    title = "Metadata only (age, sex)"
    needs_at_test = frozenset({Field.DEMOGRAPHICS})
    trained = False
    uses_encoder = False
    readout = "boosting"
    recipes = {"goodviews": {}, "board": {}}

    def embed(self, batch: Batch) -> Tensor:
        """(B, 2) age in years; 0 male, 1 female; NaN unknown."""
        sex = torch.where(batch.sex >= 0, batch.sex.to(batch.age.dtype), torch.nan)
        return torch.stack((batch.age, sex), dim=1)
