"""ECGs as they are printed: 25 mm/s and 10 mm/mV, small squares of 0.04 s by 0.1 mV, large ones five times that."""

from typing import TYPE_CHECKING, Any

import numpy as np

from bench.data.corpus import PreparedCorpus
from bench.data.leads import LEADS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SECONDS, MILLIVOLTS = 0.2, 0.5
"""Of a large square."""

PAPER = SECONDS / MILLIVOLTS
"""Seconds as long as a millivolt is high."""

_SMALL = 5
_PAPER, _FINE, _COARSE, _INK = "#FFF7F5", "#F8DCD6", "#EDB0A6", "#1A1A1A"


def strip(
    corpus: PreparedCorpus, record: str, start: int, lead: str, samples: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """One lead of a stretch of a record.

    Args:
        start: its first sample; samples: how many, fewer where the record ends; None: all.

    Returns:
        (n,) seconds from the start and (n,) millivolts, shifted to a median of 0.
    """
    row = corpus.records.loc[corpus.records["record"] == record].iloc[0]
    first, last = int(row["offset"]) + start, int(row["offset"]) + int(row["length"])
    last = last if samples is None else min(last, first + samples)
    microvolts = corpus.signals[first:last, LEADS.index(lead)].astype(np.float64)
    return np.arange(len(microvolts)) / corpus.rate, (microvolts - np.median(microvolts)) / 1000


def draw_ecg(
    ax: "Axes", strip: tuple[np.ndarray, np.ndarray], seconds: float, low: float, high: float
) -> None:
    """Draw a strip on ECG paper that shows `seconds` and `low` to `high` millivolts; what exceeds it is cut off.

    The grid is one picture in an SVG: as lines it would be most of the file.
    """
    ax.set_facecolor(_PAPER)
    for small, colour, width in ((_SMALL, _FINE, 0.25), (1, _COARSE, 0.45)):
        across, down = SECONDS / small, MILLIVOLTS / small
        style: dict[str, Any] = {"colors": colour, "linewidth": width, "zorder": 0}
        ax.vlines(across * np.arange(round(seconds / across) + 1), low, high, **style)
        ax.hlines(low + down * np.arange(round((high - low) / down) + 1), 0, seconds, **style)
    ax.set_rasterization_zorder(1)
    ax.plot(*strip, color=_INK, linewidth=0.7, zorder=2)
    ax.set_xlim(0, seconds)
    ax.set_ylim(low, high)
    ax.set_aspect(PAPER)
    ax.set_xticks([])
    ax.set_yticks([])
