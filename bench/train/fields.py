"""The supervision ledger: which fields a strategy is paid for, and records that hold no others."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from torch import Tensor


class Field(StrEnum):
    """What a strategy may be paid for: the columns of the supervision ledger."""

    PATIENT = "patient"
    DEMOGRAPHICS = "demographics"
    MEASUREMENTS = "measurements"
    LABELS = "labels"
    DATABASE = "database"
    FEATURES = "features"


class UndeclaredField(AttributeError):
    """A strategy read a field that its `needs` does not declare."""


_COLUMNS = {
    "patient": Field.PATIENT,
    "age": Field.DEMOGRAPHICS,
    "sex": Field.DEMOGRAPHICS,
    "height": Field.DEMOGRAPHICS,
    "weight": Field.DEMOGRAPHICS,
    "measurements": Field.MEASUREMENTS,
    "labels": Field.LABELS,
    "labelled": Field.LABELS,
    "database": Field.DATABASE,
    "features": Field.FEATURES,
}


@dataclass(frozen=True)
class Fields:
    """The declared fields of some records; reading any other raises `UndeclaredField`.

    Attributes:
        columns: patient (M,) int64; age (M,) years, NaN unknown; sex (M,) 0 male, 1 female, -1 unknown;
            height (M,) cm and weight (M,) kg, NaN unknown; database (M,) int64, -1 unknown; features (M, 8) in the
            order of `bench.data.corpus.FEATURES`, NaN unknown; `embedding:<role>` (M, D);
            measurements (M, 11) in the order of `bench.data.corpus.ATTRIBUTES`, NaN unknown; labels (M, K)
            multi-hot of the downstream task, zero where masked; labelled (M,) bool; `labels:<task>` (M, K').
        allowed: the fields the owner declared.
        owner: name of the strategy, for the error.
    """

    columns: Mapping[str, Tensor]
    allowed: frozenset[Field]
    owner: str

    def column(self, name: str) -> Tensor:
        """A column by name; raises UndeclaredField when its field is not declared or the corpus has none."""
        needed = _COLUMNS.get(name.partition(":")[0])
        if needed is not None and needed not in self.allowed:
            declared = ", ".join(sorted(f.value for f in self.allowed)) or "nothing"
            raise UndeclaredField(
                f"{self.owner} reads {name!r} but declares {declared}; add Field.{needed.name} to `needs`"
            )
        if name not in self.columns:
            raise UndeclaredField(f"{self.owner} reads {name!r}, which these records do not carry")
        return self.columns[name]

    def take(self, rows: Tensor) -> "Fields":
        """The same fields at some rows."""
        return replace(self, columns={name: column[rows] for name, column in self.columns.items()})


class HasFields:
    """Reads the declared fields as attributes."""

    fields: Fields

    @property
    def patient(self) -> Tensor:
        """(M,) int64; needs Field.PATIENT."""
        return self.fields.column("patient")

    @property
    def age(self) -> Tensor:
        """(M,) years, NaN unknown; needs Field.DEMOGRAPHICS."""
        return self.fields.column("age")

    @property
    def sex(self) -> Tensor:
        """(M,) 0 male, 1 female, -1 unknown; needs Field.DEMOGRAPHICS."""
        return self.fields.column("sex")

    @property
    def height(self) -> Tensor:
        """(M,) cm, NaN unknown; needs Field.DEMOGRAPHICS."""
        return self.fields.column("height")

    @property
    def weight(self) -> Tensor:
        """(M,) kg, NaN unknown; needs Field.DEMOGRAPHICS."""
        return self.fields.column("weight")

    @property
    def database(self) -> Tensor:
        """(M,) int64, which of `Info.databases` the record is from, -1 unknown; needs Field.DATABASE."""
        return self.fields.column("database")

    @property
    def features(self) -> Tensor:
        """(M, 8) hand features of the record's R peaks, NaN where there are none; needs Field.FEATURES."""
        return self.fields.column("features")

    @property
    def measurements(self) -> Tensor:
        """(M, 11) machine measurements, NaN unknown; needs Field.MEASUREMENTS."""
        return self.fields.column("measurements")

    @property
    def labels(self) -> Tensor:
        """(M, K) multi-hot downstream labels, zero where masked; needs Field.LABELS."""
        return self.fields.column("labels")

    @property
    def labelled(self) -> Tensor:
        """(M,) bool, False where the label subset hides the labels; needs Field.LABELS."""
        return self.fields.column("labelled")

    def labels_of(self, task: str) -> Tensor:
        """(M, K') multi-hot labels of another task of the corpus; needs Field.LABELS."""
        return self.fields.column(f"labels:{task}")

    def embedding_of(self, role: str) -> Tensor:
        """(M, D) frozen embedding of the record by the parent in a role of `Strategy.embeddings_of`."""
        return self.fields.column(f"embedding:{role}")
