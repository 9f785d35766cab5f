"""Input specification and budget: the two frozen descriptions every fit shares."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class InputSpec(BaseModel):
    """What of a record reaches the encoder.

    Attributes:
        rate: Hz of the prepared corpus.
        band: pass band of the prepared corpus in Hz, None for none.
        window: samples of an instance; None: the whole record (all records must then be of one length).
        crop: where an instance starts in training: 'random' for each draw, or at the record's 'start'.
        scaling: 'minmax' over the record's leads jointly (Good Views), 'minmax-lead' over each lead of the record
            by itself (CROCS), 'minmax-view' over each lead of each view by itself (CLOCS), 'zscore-lead' and
            'zscore-record' with the record's own statistics, 'zscore-global' with the training part's, or 'none'
            (millivolts).
        instance: 'record' (all leads as channels) or 'lead' (each lead is an instance of one channel).
        stride: samples between evaluation windows; None: the window's length.
        windows: evaluation windows of a record at most, evenly spaced where there would be more (1: the first); None:
            all.
        aggregation: how a record's windows become one score: 'mean' or 'max', embeddings being averaged in
            both; or 'none': every window (and lead) is a unit of its own, which is judged by itself.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate: int = Field(gt=0)
    band: tuple[float, float] | None = None
    window: int | None = Field(default=None, gt=0)
    crop: Literal["random", "start"] = "random"
    scaling: Literal[
        "minmax", "minmax-lead", "minmax-view", "zscore-lead", "zscore-record", "zscore-global", "none"
    ] = "zscore-lead"
    instance: Literal["record", "lead"] = "record"
    stride: int | None = Field(default=None, gt=0)
    windows: int | None = Field(default=None, gt=0)
    aggregation: Literal["mean", "max", "none"] = "mean"


class Budget(BaseModel):
    """What every strategy of a suite may spend on one fit.

    Attributes:
        steps: optimiser steps.
        batch: records a batch (fewer only where the training set has fewer).
        lr: learning rate; `schedule` 'constant', 'cosine' to zero, or 'step', a tenth from each of `milestones` on,
            which are shares of a phase's steps; after `warmup` linear steps.
        selection: 'last', or 'best_val_loss' over the validation part every `check_every` steps, stopping
            after `patience` checks without a better one (0: never stop early).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(ge=0)
    batch: int = Field(ge=2)
    optimiser: Literal["adamw", "adam", "sgd"] = "adamw"
    lr: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    schedule: Literal["constant", "cosine", "step"] = "cosine"
    milestones: tuple[float, ...] = ()
    warmup: int = Field(default=0, ge=0)
    selection: Literal["last", "best_val_loss"] = "last"
    check_every: int = Field(default=20, gt=0)
    patience: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _warmup_fits(self) -> "Budget":
        if self.steps and self.warmup >= self.steps:
            raise ValueError(f"warmup ({self.warmup}) must be shorter than the {self.steps} steps")
        if (self.schedule == "step") != bool(self.milestones):
            raise ValueError("milestones are the schedule 'step', and it needs some")
        if any(not 0 < share < 1 for share in self.milestones):
            raise ValueError(f"milestones {self.milestones} are not all in (0, 1)")
        return self
