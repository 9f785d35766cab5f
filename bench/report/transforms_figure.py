"""Transformations drawn on one ECG, a panel each, for papers that name some in figures.yaml.

They pass over a whole window of the suite's input, as in training; a few seconds of it are shown. How strong they are
is drawn as in training too: of several draws that one is shown which changes the ECG more than three quarters do.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from bench.data.corpus import PreparedCorpus
from bench.data.leads import LEAD_SETS, LEADS
from bench.nn.transforms import Name, by_name
from bench.report import words
from bench.report.canvas import Figure, mark, saved, style
from bench.report.ecg_figure import MILLIVOLTS, PAPER, SECONDS, draw_ecg
from bench.report.paper_figures import paper_figures
from bench.run.plan import Plan, corpus_id
from bench.run.suite import CorpusUse, Suite

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = 5.0
"""Seconds of the ECG."""

_DRAWS, _STRONGER = (
    20,
    0.75,
)  # of each transformation, and the share of them that change the ECG less than the one shown
_SEED = 0
_ACROSS, _WIDTH = 2, 9.0  # panels; inches of the figure
_LEFT, _HEAD = 0.4, 0.32  # inches: of lead names, of a panel's title
_GAP, _REACH = 0.2, 1.0  # millivolts: around a lead, and as far as a change of it is shown
_GREY = "0.62"


@dataclass(frozen=True)
class Example:
    """The ECG that is transformed.

    Attributes:
        leads: of the suite's lead set, in its order.
        signal: (C, T) float32 millivolts, the first window of the record.
    """

    corpus: PreparedCorpus
    task: str
    record: str
    leads: tuple[str, ...]
    signal: torch.Tensor

    @property
    def samples(self) -> int:
        """How many are shown."""
        return min(self.signal.shape[1], round(SHOWN * self.corpus.rate))

    @property
    def rows(self) -> list[int]:
        """Channels that are shown: lead II, and the first other one."""
        second = self.leads.index("II") if "II" in self.leads else 0
        return [second, *[row for row in range(len(self.leads)) if row != second][:1]]

    def strips(self, signal: torch.Tensor) -> np.ndarray:
        """(rows, samples) of a signal (C, T) as shown; the ECG's own median is 0."""
        own = self.signal[self.rows, : self.samples].double().numpy()
        shown: np.ndarray = signal[self.rows, : self.samples].double().numpy()
        return shown - np.median(own, axis=1, keepdims=True)


def transforms_figure(plan: Plan, suite: Suite, simulated: bool | None = None) -> Figure | None:
    """The paper's transformations on one test record of the suite's first corpus; None where it names none.

    Args:
        simulated: of the suite's simulated corpora, or of its real ones; None: of all.
    """
    titles = paper_figures(suite.name).transforms
    example = _example(plan, suite, simulated) if titles else None
    if example is None:
        return None
    original = example.strips(example.signal)
    changed = {title: example.strips(_changed(example, name)) for name, title in titles.items()}
    svg, png = _draw(example, original, changed)
    return Figure("transforms", _caption(example, suite), svg, png)


def _example(plan: Plan, suite: Suite, simulated: bool | None) -> Example | None:
    for use in suite.corpora:
        corpus = plan.corpora[corpus_id(suite, use)]
        if simulated in (None, corpus.simulated) and (record := _typical(plan, suite, use, corpus)):
            return _of_record(suite, use, corpus, record)
    return None


def _typical(plan: Plan, suite: Suite, use: CorpusUse, corpus: PreparedCorpus) -> str:
    """The test record of median spread in lead II among those that are long enough; '' where there is none."""
    records = corpus.records.iloc[_tested(plan, suite, use, corpus)]
    records = records[records["length"] >= SHOWN * corpus.rate].sort_values("record", kind="stable")
    if not len(records):
        return ""
    spread = np.stack(records["sd"].to_list())[:, LEADS.index("II")]
    middle = np.argsort(spread, kind="stable")[(len(records) - 1) // 2]
    return str(records["record"].iloc[middle])


def _tested(plan: Plan, suite: Suite, use: CorpusUse, corpus: PreparedCorpus) -> np.ndarray:
    """Rows of the test part, as the plan's cells have it; none where it has no cell."""
    asked = (suite.name, suite.scale, use.task)
    for row in plan.rows:
        job = plan.jobs.get(row.key)
        if job and (row.suite, row.scale, row.task) == asked and job.cell.corpus == corpus.fingerprint:
            return job.rows.test
    return np.zeros(0, dtype=int)


def _of_record(suite: Suite, use: CorpusUse, corpus: PreparedCorpus, record: str) -> Example:
    row = corpus.records.loc[corpus.records["record"] == record].iloc[0]
    first, length = int(row["offset"]), int(row["length"])
    length = min(length, suite.on(use).input.window or length)
    leads = LEAD_SETS[suite.lead_sets[0]]
    microvolts = corpus.signals[first : first + length, [LEADS.index(lead) for lead in leads]]
    signal = torch.from_numpy(microvolts.T.astype(np.float32) / 1000)
    return Example(corpus, use.task, record, leads, signal)


def _changed(example: Example, name: Name) -> torch.Tensor:
    """(C, T) the ECG under one transformation, of several draws the one of its quantile."""
    generator = torch.Generator().manual_seed(_SEED)
    draws = by_name(example.corpus.rate)[name](example.signal.expand(_DRAWS, -1, -1).clone(), generator)
    shown = (draws - example.signal)[:, example.rows, : example.samples]
    order = shown.square().mean(dim=(1, 2)).argsort(stable=True)
    return draws[order[int(_STRONGER * _DRAWS)]]


def _draw(example: Example, original: np.ndarray, changed: Mapping[str, np.ndarray]) -> tuple[bytes, bytes]:
    from matplotlib.figure import Figure as Canvas

    offsets, low, high = _places(original, list(changed.values()))
    panels = {"Original": original, **changed}
    down = -(-len(panels) // _ACROSS)
    seconds = example.samples / example.corpus.rate
    height = (_WIDTH - _LEFT) / _ACROSS * (high - low) * PAPER / seconds
    with style():
        canvas = Canvas(figsize=(_WIDTH, down * (height + _HEAD)), layout="constrained")
        axes = list(canvas.subplots(down, _ACROSS, squeeze=False).flat)
        for ax in axes[len(panels) :]:
            ax.set_axis_off()
        for place, ((title, strips), ax) in enumerate(zip(panels.items(), axes, strict=False)):
            draw_ecg(ax, _joined(example, strips, offsets), seconds, low, high)
            if place:
                ax.plot(*_joined(example, original, offsets), color=_GREY, linewidth=1.4, zorder=1.5)
            ax.set_title(f"{title}{mark(example.corpus.simulated)}", fontsize=9, loc="left")
            if place % _ACROSS == 0:
                _name(ax, example, offsets)
        return saved(canvas)


def _places(original: np.ndarray, changed: list[np.ndarray]) -> tuple[np.ndarray, float, float]:
    """Where the zero of each lead lies, on a line of the paper, and from where to where the panels reach."""
    every = np.stack([original, *changed])
    lows = np.maximum(every.min(axis=(0, 2)), original.min(axis=1) - _REACH) - _GAP
    highs = np.minimum(every.max(axis=(0, 2)), original.max(axis=1) + _REACH) + _GAP
    top, offsets = 0.0, np.zeros(len(original))
    for lead in reversed(range(len(original))):
        offsets[lead] = _up(top - lows[lead], MILLIVOLTS / 5)
        top = offsets[lead] + highs[lead]
    return offsets, 0.0, _up(top, MILLIVOLTS)


def _up(millivolts: float, square: float) -> float:
    """Rounded up to whole squares."""
    return float(np.ceil(millivolts / square - 1e-9) * square)


def _joined(example: Example, strips: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Seconds and millivolts of leads below each other, as one line with gaps."""
    gap = np.full((len(strips), 1), np.nan)
    seconds = np.arange(strips.shape[1] + 1) / example.corpus.rate
    return np.tile(seconds, len(strips)), np.hstack([strips + offsets[:, None], gap]).ravel()


def _name(ax: "Axes", example: Example, offsets: np.ndarray) -> None:
    """Write the names of the leads beside them."""
    for row, offset in zip(example.rows, offsets, strict=True):
        at = ax.get_yaxis_transform()
        ax.text(-0.02, offset, example.leads[row], transform=at, ha="right", va="center", fontsize=9)


def _caption(example: Example, suite: Suite) -> str:
    corpus = example.corpus
    band = "" if corpus.band is None else ", {:g} to {:g} Hz".format(*corpus.band)
    shown = f"lead{'s' * (len(example.rows) > 1)} {' and '.join(example.leads[row] for row in example.rows)}"
    seconds = example.samples / corpus.rate
    text = (
        f"The transformations, each by itself, of {seconds:g} s of test record {example.record}, {shown}"
        f" ({corpus.rate} Hz{band}); grey: the original. Each is drawn {_DRAWS} times at the strengths of training,"
        f" over a whole window; shown is the draw that changes the ECG more than {100 * _STRONGER:g}\u00a0% of them. A"
        f" large square is {SECONDS:g} s by {MILLIVOLTS:g} mV.{paper_figures(suite.name).told('transforms')} Scale"
        f" {suite.scale}. {corpus.title}, {example.task}."
    )
    return words.title(text, corpus.simulated)
