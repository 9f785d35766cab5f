"""What the page reads of a suite's `board.json`: its shape, checked before anything is embedded.

The one thing to know: what passes here has every field that the page's script reads, of the type that it expects.
Unknown numbers are None. Fields that are not named here are dropped, so that a file may hold more than the page shows.
"""

import json
import math
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

FORMATS = (1,)
"""Values of a file's `format` that can be read."""

Number = float | None


class SiteError(ValueError):
    """A file that the page leaves out; the message says why."""


def _shallow(value: Any, depth: int = 12) -> Any:
    """Parameters are a few levels deep; more is nobody's."""
    if depth == 0:
        raise ValueError("nested too deeply")
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _shallow(inner, depth - 1)
    return value


Params = Annotated[dict[str, Any], AfterValidator(_shallow)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class SuiteInfo(_Part):
    """What a suite is.

    Attributes:
        notice: what a reader must know first.
        facts: (name, text) lines.
    """

    name: str
    title: str
    scale: str
    simulated: bool
    paper: str = ""
    notice: str = ""
    facts: list[tuple[str, str]] = []
    paper_suite: bool = False


class SettingInfo(_Part):
    """One column of scores: a corpus, task, split, encoder and lead set.

    Attributes:
        folder: of its tables, beside the file.
    """

    corpus: str
    name: str = ""
    title: str = ""
    simulated: bool = False
    task: str = ""
    split: str = ""
    encoder: str = ""
    lead_set: str = ""
    eval_lead_set: str = ""
    protocol: str = ""
    records: int | None = None
    units: int | None = None
    kept: int | None = None
    total: int | None = None
    fractions: list[float] = []
    score: str = ""
    folder: str = ""


class ScoreInfo(_Part):
    """A row's score at one label fraction, as a share of one."""

    fraction: float
    mean: Number = None
    sd: Number = None
    seed_low: Number = None
    seed_high: Number = None
    low: Number = None
    high: Number = None
    seeds: int | None = None
    wanted: int | None = None
    rank: Number = None
    rank_low: Number = None
    rank_high: Number = None
    tie: int | None = None
    all: Number = None
    notes: list[str] = []


class MissingInfo(_Part):
    """Evaluations without a result, for one reason."""

    fractions: list[float] = []
    seeds: list[int] = []
    status: str = ""
    reason: str = ""


class RunInfo(_Part):
    """One evaluation: a label fraction and a seed."""

    fraction: float
    seed: int
    value: Number = None
    key: str | None = ""
    fit: str | None = ""
    status: str = ""


class RowInfo(_Part):
    """One strategy or baseline in one setting.

    Attributes:
        setting: place of the setting in its list.
    """

    setting: int = Field(ge=0)
    label: str
    name: str
    origin: str
    source: str | None = ""
    overlap: bool = False
    strategy: str = ""
    recipe: str | None = ""
    paid_for: list[str] = []
    needs_at_test: list[str] = []
    paper: str | None = ""
    deviations: list[str] = []
    params: Params = {}
    fractions_by: str = ""
    own_encoder: str | None = ""
    cost: dict[str, Number] = {}
    flags: list[str] = []
    savings: str | None = None
    savings_short: str | None = None
    scores: list[ScoreInfo] = []
    missing: list[MissingInfo] = []
    runs: list[RunInfo] = []


class OverallRowInfo(_Part):
    """A row over all blocks at one label fraction; `n` of `of` blocks are there."""

    label: str
    name: str = ""
    origin: str = ""
    fraction: float
    n: int
    of: int
    iqm: Number = None
    low: Number = None
    high: Number = None
    mean_rank: Number = None
    rank_low: Number = None
    rank_high: Number = None


class OverallInfo(_Part):
    """Averages over settings, which `blocks` names."""

    blocks: list[str]
    fractions: list[float] = []
    rows: list[OverallRowInfo] = []
    text: str = ""


class FitInfo(_Part):
    """A fit's health and provenance."""

    flags: list[str] = []
    health: list[dict[str, Number]] = []
    seconds: Number = None
    steps: Number = None
    flops: Number = None
    peak_memory_mib: Number = None
    commit: str | None = None
    modified: bool | None = None
    source_hash: str | None = None
    device: str | None = None
    accelerator: str | None = None
    cpu: str | None = None
    threads: int | None = None
    python: str | None = None
    packages: dict[str, str] | None = None
    finished: str | None = None
    corpus: str | None = None
    seed_index: int | None = None


class CellInfo(_Part):
    """A shown cell of a table."""

    text: str
    emphasis: str = ""
    dagger: bool = False
    notes: list[int] = []


class ColumnInfo(_Part):
    """A table's column."""

    head: str
    left: bool = False
    notes: list[int] = []


class BlockInfo(_Part):
    """Rows of a table under one heading."""

    name: str = ""
    rows: list[list[CellInfo]] = []


class TableInfo(_Part):
    """A table as `bench.report.table.Table` has it."""

    name: str
    title: str = ""
    heading: str = ""
    caption: str = ""
    columns: list[ColumnInfo] = []
    blocks: list[BlockInfo] = []
    footnotes: list[str] = []


class SectionInfo(_Part):
    """Tables of one setting, or across lead sets; `details` are folded."""

    name: str
    simulated: bool = False
    folder: str = ""
    tables: list[TableInfo] = []
    details: list[TableInfo] = []


class FigureInfo(_Part):
    """A figure, whose SVG lies beside the file."""

    name: str
    caption: str = ""


class CorpusInfo(_Part):
    """A corpus with its terms."""

    name: str = ""
    title: str = ""
    simulated: bool = False
    rate: Number = None
    band: list[float] | None = None
    fingerprint: str = ""
    licence: str = ""
    citation: str = ""


class ProvenanceInfo(_Part):
    """Where a suite's numbers come from."""

    corpora: list[CorpusInfo] = []
    cells: int | None = None
    evaluations: dict[str, int] = {}
    keys: str = ""
    first_finished: str | None = None
    last_finished: str | None = None
    compute_seconds: Number = None
    commit: list[str] = []
    modified: list[bool] = []
    python: list[str] = []
    cpu: list[str] = []
    accelerator: list[str] = []
    device: list[str] = []
    threads: list[int | str] = []
    packages: dict[str, list[str]] = {}
    metric_versions: dict[str, int | str] = {}
    resamples: int | None = None


class BoardFile(_Part):
    """The whole of a `board.json`."""

    suite: SuiteInfo
    settings: list[SettingInfo]
    rows: list[RowInfo]
    overall: list[OverallInfo] = []
    fits: dict[str, FitInfo] = {}
    sections: list[SectionInfo] = []
    figures: list[FigureInfo] = []
    undrawn: list[str] = []
    provenance: ProvenanceInfo = ProvenanceInfo()

    @model_validator(mode="before")
    @classmethod
    def _one_overall_is_a_list_of_one(cls, given: Any) -> Any:
        if not isinstance(given, dict) or isinstance(given.get("overall"), list):
            return given
        found = given.get("overall")
        return {**given, "overall": [] if found is None else [found]}

    @model_validator(mode="after")
    def _rows_have_settings(self) -> "BoardFile":
        for place, row in enumerate(self.rows):
            if row.setting >= len(self.settings):
                raise ValueError(
                    f"row {place} is of setting {row.setting}, and there are {len(self.settings)}"
                )
        return self


def read_board(path: Path) -> BoardFile:
    """The content of a `board.json`.

    Raises:
        SiteError: it cannot be read, is no JSON, has another format, or a value is wrong.
    """
    try:
        content = json.loads(path.read_bytes(), parse_constant=_nothing, parse_float=_finite)
    except OSError as error:
        raise SiteError(f"cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise SiteError("is damaged: no JSON") from error
    if not isinstance(content, dict):
        raise SiteError("is damaged: no JSON object")
    if content.get("format") not in FORMATS:
        told = str(content.get("format"))[:40]
        raise SiteError(f"has format {told}; this page reads {', '.join(map(str, FORMATS))}")
    try:
        return BoardFile.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "content"
        raise SiteError(f"is damaged: {where}: {first['msg']}") from error


def _nothing(name: str) -> None:
    """NaN and infinities are unknown numbers."""


def _finite(text: str) -> Number:
    value = float(text)
    return value if math.isfinite(value) else None
