"""Label prior: the same scores for every record, the class shares of the label subset.

The floor of every metric: AUROC 0.5, and the log-loss and accuracy that knowing the shares alone earns.
"""

from torch import Tensor

from bench.train.strategy import Batch, Strategy


class LabelPrior(Strategy):
    """An embedding that says nothing, so that a probe can learn its intercept only."""

    name = "label_prior"
    title = "Label prior"
    trained = False
    uses_encoder = False
    recipes = {"goodviews": {}, "board": {}}

    def embed(self, batch: Batch) -> Tensor:
        """(B, 1) zeros."""
        return batch.signal.new_zeros(len(batch.signal), 1)
