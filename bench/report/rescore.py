"""The claims of a submission: headline metrics with their intervals, written beside the results and computed again.

`leadboard submit` writes them as `cells.csv` has them; `leadboard verify` computes them from the submitted results by
the same views that every table reads. Whether those results are true is another question
(`bench.run.review`, `bench.run.rerun`).
"""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from bench.report.frame import HEADLINE, build_crossed_frame, build_frame, build_noise_frame
from bench.report.group_summary import HEADLINE as GROUP_HEADLINE
from bench.report.group_summary import build_group_frame
from bench.report.group_views import SET, GroupViews
from bench.report.provenance import provenance
from bench.report.views import MetricViews
from bench.run.plan import Plan, Row
from bench.run.store import Store
from bench.run.submission import PLACE, Place, SubmissionError, only, told

TOLERANCE = 1e-6
"""Between a claim and the same number computed again."""

LEAST = 0.02
"""By which a score may always differ between two kinds of machine: training makes rounding grow."""

RETRIEVAL = "precision_at_5/2"
"""The headline of retrieval: a hit among the nearest five, two attributes of three alike."""

RESAMPLES = 1000

_RESULT = ("selection", "part", "attribute", "metric", "n", "value", "low", "high")
COLUMNS = (*PLACE, *_RESULT, "key")

_LONGEST = 16 * 2**20


@dataclass(frozen=True)
class Claim:
    """One number that is claimed.

    Attributes:
        result: selection ('' of groups), part, attribute ('' of scores), metric.
        n: units that it is of.
        numbers: value, low and high, rounded to six digits; NaN: none.
    """

    place: Place
    key: str
    result: tuple[str, str, str, str]
    n: int
    numbers: tuple[float, float, float]

    def __str__(self) -> str:
        return f"{told(self.place)}: {' '.join(filter(None, self.result))}"

    @property
    def value(self) -> float:
        """Of the metric."""
        return self.numbers[0]

    @property
    def width(self) -> float:
        """Of its interval; NaN: it has none."""
        return self.numbers[2] - self.numbers[1]


def claims(cells: Iterable[tuple[Place, str]], store: Store, resamples: int = RESAMPLES) -> list[Claim]:
    """Headline metrics of stored results: a claim for each selection, part and attribute.

    Args:
        cells: place and key of predict and group cells that are in the store.
        resamples: of the bootstrap over test patients.

    Raises:
        ReportError: a record is scored twice, or the scores are no probabilities.
    """
    scores, groups = MetricViews(store, resamples), GroupViews(store, resamples)
    found = []
    for place, key in cells:
        at = dict(zip(PLACE, place, strict=True))
        content = groups.metrics(key) if at["grouping"] else scores.metrics(key, at["kind"])
        for part in content["parts"]:
            attribute = part.get("attribute", "")
            metric = HEADLINE if not at["grouping"] else RETRIEVAL if attribute == SET else GROUP_HEADLINE
            numbers = (part["metrics"].get(metric, np.nan), *part.get("interval", (np.nan, np.nan)))
            result = (part.get("selection", ""), part["part"], attribute, metric)
            rounded = tuple(round(float(number), 6) for number in numbers)
            found.append(Claim(place, key, result, int(part["n"]), (rounded[0], rounded[1], rounded[2])))
    return found


def claims_csv(found: Iterable[Claim]) -> str:
    """The content of `scores.csv`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for claim in found:
        numbers = ["" if np.isnan(number) else f"{number:.6f}" for number in claim.numbers]
        writer.writerow([*claim.place, *claim.result, claim.n, *numbers, claim.key])
    return text.getvalue()


def read_claims(content: bytes) -> list[Claim]:
    """Inverse of `claims_csv`.

    Raises:
        SubmissionError: it is no such table; the message names the line.
    """
    if len(content) > _LONGEST:
        raise SubmissionError(f"it has {len(content):,} bytes, {_LONGEST:,} may be")
    try:
        lines = list(csv.reader(io.StringIO(content.decode()), strict=True))
    except (csv.Error, UnicodeDecodeError) as error:
        raise SubmissionError(f"it is no CSV: {error}") from None
    if not lines or tuple(lines[0]) != COLUMNS:
        raise SubmissionError("its columns are others than those that `leadboard submit` writes")
    return [_claim(number, line) for number, line in enumerate(lines[1:], 2)]


def _claim(number: int, line: list[str]) -> Claim:
    try:
        values = dict(zip(COLUMNS, line, strict=True))
        result = (values["selection"], values["part"], values["attribute"], values["metric"])
        numbers = [float(values[name] or "nan") for name in ("value", "low", "high")]
        place = tuple(values[name] for name in PLACE)
        return Claim(place, values["key"], result, int(values["n"]), (numbers[0], numbers[1], numbers[2]))
    except ValueError:
        raise SubmissionError(f"line {number} cannot be read") from None


def unlike(claimed: Sequence[Claim], found: Sequence[Claim]) -> list[str]:
    """Where claims are not what the results give, a line each; empty: they all are, to `TOLERANCE`."""
    said = {(claim.place, claim.result): claim for claim in claimed}
    true = {(claim.place, claim.result): claim for claim in found}
    lines = [f"{claim} is claimed twice" for claim in claimed if said[claim.place, claim.result] is not claim]
    for at, claim in said.items():
        if at not in true:
            lines.append(f"{claim} is claimed, and the results have no such number")
        elif claim.n != true[at].n:
            lines.append(f"{claim}: of {claim.n:,} units claimed, of {true[at].n:,} by the results")
        elif not np.allclose(claim.numbers, true[at].numbers, rtol=0, atol=1.001 * TOLERANCE, equal_nan=True):
            lines.append(f"{claim}: {_numbers(claim)} claimed, {_numbers(true[at])} by the results")
    return lines + [
        f"{claim}: the results have it, and it is not claimed" for at, claim in true.items() if at not in said
    ]


def _numbers(claim: Claim) -> str:
    value, low, high = claim.numbers
    return f"{value:.6f}" + ("" if np.isnan(low) else f" ({low:.6f} to {high:.6f})")


def apart(claimed: Sequence[Claim], again: Sequence[Claim]) -> tuple[list[str], str]:
    """Test scores farther from those of a training anew than rounding grows, and the largest distance in words.

    Between kinds of machines a score may differ by the width of its own interval over test patients, and by `LEAST` in
    any case: as two seeds of a fit may.
    """
    made = {(claim.place, claim.result): claim for claim in again}
    lines, largest = [], 0.0
    for claim in claimed:
        other = made.get((claim.place, claim.result))
        if other is None or np.isnan(claim.width) or claim.result[1] != "test":
            continue
        distance = abs(claim.value - other.value)
        largest = max(largest, distance)
        if not distance <= max(claim.width, LEAST):
            lines.append(f"{claim}: {_numbers(claim)} claimed, {_numbers(other)} when trained anew")
    return lines, f"test scores at most {largest:.4f} apart"


def unreportable(plan: Plan, rows: Sequence[Row], store: Store, resamples: int = RESAMPLES) -> str:
    """Why a report could not show some rows from a store; empty: it can. The frames of all reports are built."""
    part = only(plan, rows)
    try:
        frames = [
            build(part, store, resamples)
            for build in (build_frame, build_noise_frame, build_crossed_frame, build_group_frame)
        ]
        for frame in frames:
            if len(frame):
                provenance(part, store, frame, resamples)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return ""
