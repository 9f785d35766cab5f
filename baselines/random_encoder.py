"""Random encoder: what the architecture alone is worth, before any training.

The floor of every pre-training strategy: one that does not beat it has learnt nothing of use to the task.
"""

from bench.train.strategy import Strategy


class RandomEncoder(Strategy):
    """The encoder as it was drawn, from the same seed as every strategy's."""

    name = "random_encoder"
    title = "Random encoder"
    trained = False
    recipes = {"goodviews": {}, "board": {}}
