"""What every simulated cohort shares: blocks of records with their own random numbers, and draws of facts.

A cohort is made in blocks of `BLOCK` records, each from (seed, block) alone and always whole: record i is the
same in a small cohort and in a large one, and it does not matter who makes which block.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

BLOCK = 64
"""Records made together."""

_GOLDEN = (np.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Block:
    """Some consecutive records of a cohort.

    Attributes:
        rows: one row a record: the columns of the corpus's own table and what else its files need.
        signals: (records, 12, samples) mV at 500 Hz, in the order of `LEADS`.
    """

    rows: pd.DataFrame
    signals: np.ndarray


def generator(purpose: int, seed: int, block: int) -> np.random.Generator:
    """The random numbers of one block of one corpus."""
    return np.random.default_rng([purpose, seed, block])


def spread_classes(shares: Mapping[str, float], indices: np.ndarray, seed: int) -> np.ndarray:
    """A class for each index such that every run of indices holds the classes in nearly these shares.

    A golden-ratio sequence decides, so that the shares hold without knowing how many records there will be: a
    class of share p occurs at least once in any 2.7 / p consecutive indices.

    Args:
        shares: class -> share, of any sum.

    Returns:
        (n,) class names.
    """
    start = np.random.default_rng([seed, 17]).random()
    edges = np.cumsum(list(shares.values()))
    place = ((indices + 1) * _GOLDEN + start) % 1
    return np.array(list(shares), dtype=object)[np.searchsorted(edges / edges[-1], place, side="right")]


def bounded_normal(
    rng: np.random.Generator, mean: np.ndarray, sd: np.ndarray, low: np.ndarray, high: np.ndarray
) -> np.ndarray:
    """Normal draws conditioned to lie between low and high; arrays of one shape."""
    bottom, top = ndtr((low - mean) / sd), ndtr((high - mean) / sd)
    return mean + sd * ndtri(bottom + (top - bottom) * rng.random(np.shape(mean)))


def pick(rng: np.random.Generator, weights: Mapping[str, float], size: int) -> np.ndarray:
    """Draw names with these weights: (size,) of str objects."""
    chance = np.array(list(weights.values()), dtype=float)
    return rng.choice(np.array(list(weights), dtype=object), size, p=chance / chance.sum())


class Severities:
    """Severities of findings of n records, the largest demand on a finding winning."""

    def __init__(self, n: int):
        self.n = n
        self.of: dict[str, np.ndarray] = {}

    def demand(self, finding: str, rows: slice | int, severity: np.ndarray | float) -> None:
        """Ask for at least this severity in some rows."""
        column = self.of.setdefault(finding, np.zeros(self.n))
        column[rows] = np.maximum(column[rows], severity)
