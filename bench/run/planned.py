"""What a plan is: the cells to run, by key, and the rows that the reports show."""

from dataclasses import dataclass, field

from bench.data.corpus import PreparedCorpus
from bench.run.suite import Suite
from bench.run.work import Job


@dataclass(frozen=True)
class Row:
    """One evaluation that a suite asks for, and the cell that holds it.

    Attributes:
        key: of the predict cell; empty when skipped.
        fit_key: of the fit it rests on.
        skipped: why it cannot run.
        grouping: 'own', 'means' or 'kmeans'; '' where the downstream classes are scored.
        attributes: whose groups are judged.
        source: corpus whose fit is evaluated, where it is another one than `corpus`.
        overlap: its label-free pre-training also saw the ECGs of validation and test, to measure that leak.
        noise: level of physiological noise added to the test windows; 0: none.
        fractions_by: what label fractions are shares of.
        own_encoder: the row's, with its arguments, where it is not the suite's, which `encoder` names.
        protocol: hash of how it is judged (`protocol_of`).
        crossed: seed index of the label subset, where it is read out with another than its own seed's; else -1.
        params: of the strategy, as canonical JSON.
    """

    suite: str
    scale: str
    corpus: str
    title: str
    simulated: bool
    task: str
    kind: str
    label: str
    strategy: str
    strategy_title: str
    origin: str
    recipe: str
    needs: tuple[str, ...]
    needs_at_test: tuple[str, ...]
    readout: str
    encoder: str
    split: str
    lead_set: str
    eval_lead_set: str
    fraction: float
    seed_index: int
    key: str = ""
    fit_key: str = ""
    skipped: str = ""
    paper: str = ""
    deviations: tuple[str, ...] = ()
    uses_encoder: bool = True
    grouping: str = ""
    attributes: tuple[str, ...] = ()
    source: str = ""
    overlap: bool = False
    noise: int = 0
    fractions_by: str = "patients"
    own_encoder: str = ""
    protocol: str = ""
    crossed: int = -1
    params: str = ""


@dataclass
class Plan:
    """Everything to run, by key, and the rows that the reports show.

    Attributes:
        jobs: in an order in which parents come before children.
    """

    suites: list[Suite]
    corpora: dict[str, PreparedCorpus]
    jobs: dict[str, Job] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)

    def stages(self) -> dict[str, int]:
        """Number of cells of each stage."""
        stages = [job.cell.stage for job in self.jobs.values()]
        return {stage: stages.count(stage) for stage in ("fit", "embed", "predict", "group")}
