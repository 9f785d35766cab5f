"""One cell's work, as a function of its description and its parents' files; the same under every executor."""

import contextlib
import ctypes
import io
import json
import random
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from threadpoolctl import ThreadpoolController

from bench.data.corpus import CorpusError, PreparedCorpus
from bench.evaluate.embed import corpus_signals, embed_corpus
from bench.evaluate.group import (
    GROUPINGS,
    GroupingData,
    assignment_table,
    describe_units,
    figure_sample,
    ranking_table,
    value_names,
)
from bench.evaluate.predict import Judged, predict_from_classifier, predict_from_embeddings
from bench.evaluate.result import Result
from bench.run.cell import AnyCell, EmbedCell, FitCell, GroupCell, PredictCell
from bench.run.provenance import cell_provenance, start_measuring
from bench.run.registry import Source, encoders, load_strategy, stage_code, strategy_code
from bench.run.status import Status
from bench.run.store import Payload
from bench.train.budget import InputSpec
from bench.train.build import Recipe, Rows, Setting, build, finish, make_info, prepare_fit
from bench.train.checkpoint import from_bytes, to_bytes
from bench.train.fit import Seeds
from bench.train.inputs import Signals
from bench.train.prototypes import AttributeGrid, Prototypes
from bench.train.seeding import derive_seed
from bench.train.strategy import Classifier, Info, Strategy, UndeclaredField

_OTHER_CODE = "the code here is not the code that was planned; plan again (or update this node)"

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # of <malloc.h>


@dataclass(frozen=True)
class Job:
    """A cell with what its worker needs beside it; none of this is in the key.

    Attributes:
        corpus: folder of the prepared corpus.
        rows: record rows of the split and the label subset.
        sources: texts of strategy files outside the project, by strategy name.
    """

    cell: AnyCell
    corpus: Path
    rows: Rows
    device: str = "cpu"
    sources: Mapping[str, Source] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What came of a job: files when done, else the error in one line and its traceback."""

    status: Status
    files: Payload
    error: str = ""
    traceback: str = ""


def run_job(job: Job, parents: Mapping[str, Payload]) -> Outcome:
    """Do one cell's work; never raises."""
    started, memory = time.perf_counter(), start_measuring(job.device)
    try:
        keep_memory()
        _assert_code(job)
        _seed_everything(job.cell.key())
        torch.set_num_threads(job.cell.threads)
        with _thread_pools().limit(limits=job.cell.threads):
            files, timings = _work(job, parents)
    except (torch.cuda.OutOfMemoryError, MemoryError) as error:
        line = (str(error) or "out of memory").splitlines()[0]
        return Outcome(Status.OOM, {}, line, traceback.format_exc())
    except (Exception, SystemExit) as error:
        plain = isinstance(error, UndeclaredField | CorpusError)
        line = str(error) if plain else f"{type(error).__name__}: {error}"
        return Outcome(Status.FAILED, {}, line.splitlines()[0] if line else "", traceback.format_exc())
    files["cell.json"] = _json(job.cell.model_dump(mode="json"))
    files["provenance.json"] = _json(
        cell_provenance(job.device, time.perf_counter() - started, memory) | timings
    )
    return Outcome(Status.DONE, files)


def _assert_code(job: Job) -> None:
    """Refuse to compute under a key that other code made: an edit since planning, or another checkout."""
    if job.cell.code != stage_code(job.cell.stage):
        raise RuntimeError(_OTHER_CODE)
    if isinstance(job.cell, FitCell):
        _planned_strategy(job.cell, job.sources)


def _planned_strategy(cell: FitCell, sources: Mapping[str, Source]) -> type[Strategy]:
    """The strategy of a fit, if its code here is the code in the fit's key."""
    source = sources.get(cell.strategy.name)
    kind = load_strategy(cell.strategy.name, source)
    if cell.strategy.code != strategy_code(kind.__module__, cell.encoder.name, source):
        raise RuntimeError(_OTHER_CODE)
    return kind


def _seed_everything(key: str) -> None:
    """Global generators by the cell's key: a strategy that uses them all the same repeats itself."""
    seed = int(key[:8], 16)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)


@lru_cache(maxsize=1)
def _thread_pools() -> ThreadpoolController:
    return ThreadpoolController()


def _work(job: Job, parents: Mapping[str, Payload]) -> tuple[dict[str, bytes], dict[str, float]]:
    """Files of the cell, and the seconds of what a report quotes, without start-up and loading."""
    if isinstance(job.cell, FitCell):
        return _fit(job, job.cell, parents)
    if isinstance(job.cell, EmbedCell):
        return _embed(job, job.cell, parents), {}
    if isinstance(job.cell, GroupCell):
        return _group(job, job.cell, parents), {}
    return _predict(job, job.cell, parents), {}


def _fit(
    job: Job, cell: FitCell, parents: Mapping[str, Payload]
) -> tuple[dict[str, bytes], dict[str, float]]:
    corpus = open_corpus(job.corpus)
    kind = load_strategy(cell.strategy.name, job.sources.get(cell.strategy.name))
    info = fit_info(corpus, cell, job.rows, kind)
    recipe = Recipe(kind, encoders()[cell.encoder.name], cell.encoder.arguments, cell.strategy.params, info)
    device = torch.device(job.device)
    fits = {role: payload for role, payload in parents.items() if role in kind.parents}
    built = {role: restore(payload, job.sources, device) for role, payload in fits.items()}
    frozen = {role: _embeddings(parents[role]) for role in kind.embeddings_of}
    setting = Setting(
        cell.input,
        cell.lead_set,
        job.rows,
        cell.task,
        cell.budget,
        Seeds(cell.suite_seed, cell.seed_index),
        cell.precision,
    )
    signals = _signals(job, cell.input, cell.lead_set)
    fit = prepare_fit(recipe, corpus, setting, device, built, signals, frozen)
    started = time.perf_counter()
    fitted = finish(fit)
    seconds = time.perf_counter() - started
    ancestry = {role: json.loads(payload["fit.json"]) for role, payload in fits.items()}
    described = {"cell": cell.model_dump(mode="json"), "parents": ancestry, **fitted.facts}
    if cell.input.scaling == "zscore-global":  # of the training part: whoever uses the encoder needs it
        described["global_scaling"] = [float(signals.shift[0, 0]), float(signals.scale[0, 0])]
    files = {"state.pt": to_bytes(fitted.strategy.state_dict()), "fit.json": _json(described)}
    files["health.csv"] = fitted.health.to_csv(index=False).encode()
    return files, {"fit_seconds": round(seconds, 4)}


def _embeddings(payload: Payload) -> np.ndarray:
    """What an embed cell holds."""
    values: np.ndarray = np.load(io.BytesIO(payload["embeddings.npy"]))
    return values


def fit_info(corpus: PreparedCorpus, cell: FitCell, rows: Rows, kind: type[Strategy]) -> Info:
    """What the strategy of a fit cell is told of its training set."""
    params, steps = kind.Params.model_validate(cell.strategy.params), cell.budget.steps
    return make_info(
        corpus, cell.input, cell.lead_set, rows, kind, params, cell.task, steps, cell.counts, cell.edges
    )


def restore(payload: Payload, sources: Mapping[str, Source], device: torch.device) -> Strategy:
    """A fitted strategy from a fit cell's files."""
    described = json.loads(payload["fit.json"])
    strategy = _structure(described, sources, device)
    strategy.load_state_dict(from_bytes(payload["state.pt"]), strict=True)
    return strategy.to(device).eval()


def _structure(described: Mapping[str, Any], sources: Mapping[str, Source], device: torch.device) -> Strategy:
    """The untrained strategy of a stored fit, its parents' structure included (their weights are in its own)."""
    cell = FitCell.model_validate(described["cell"])
    kind = _planned_strategy(cell, sources)
    info = Info.model_validate(described["info"])
    recipe = Recipe(kind, encoders()[cell.encoder.name], cell.encoder.arguments, cell.strategy.params, info)
    parents = {role: _structure(parent, sources, device) for role, parent in described["parents"].items()}
    return build(recipe, device, Seeds(0, 0), parents)


def _embed(job: Job, cell: EmbedCell, parents: Mapping[str, Payload]) -> dict[str, bytes]:
    corpus, device = open_corpus(job.corpus), torch.device(job.device)
    strategy = restore(parents["fit"], job.sources, device)
    signals = _signals(job, cell.input, cell.lead_set, cell.filled_to)
    buffer = io.BytesIO()
    np.save(buffer, embed_corpus(strategy, corpus, cell.input, signals, cell.precision))
    return {"embeddings.npy": buffer.getvalue()}


def _predict(job: Job, cell: PredictCell, parents: Mapping[str, Payload]) -> dict[str, bytes]:
    judged = Judged(open_corpus(job.corpus), cell.task, job.rows, cell.input, cell.lead_set)
    chosen: dict[str, float] = {}
    if cell.readout == "classifier":
        device = torch.device(job.device)
        classifier = restore(parents["fit"], job.sources, device)
        if not isinstance(classifier, Classifier):
            raise TypeError(f"{classifier.name} is no classifier")
        signals = _signals(job, cell.input, cell.lead_set, cell.filled_to)
        result = predict_from_classifier(classifier, judged, signals, cell.precision, cell.noise)
    else:
        embeddings = _embeddings(parents["embed"])
        seed = derive_seed(cell.suite_seed, "readout", cell.seed_index)
        result, chosen = predict_from_embeddings(embeddings, judged, cell.readout, seed, cell.threads)
    return {"scores.parquet": result.to_bytes(), "predict.json": _json(chosen)}


def _group(job: Job, cell: GroupCell, parents: Mapping[str, Payload]) -> dict[str, bytes]:
    corpus = open_corpus(job.corpus)
    classes = corpus.tasks[cell.task].classes
    grid = AttributeGrid(classes=len(classes), edges=cell.edges)
    units = describe_units(corpus, cell.task, job.rows, cell.input, cell.lead_set, grid)
    fit = None
    if "fit" in parents:
        fit = restore(parents["fit"], job.sources, torch.device("cpu"))
    embeddings = torch.from_numpy(_embeddings(parents["embed"]))
    broken = int((~embeddings.isfinite().all(1)).sum())
    if broken:
        raise ValueError(
            f"{broken:,} of {len(embeddings):,} embeddings are not finite: the encoder diverged; lower its"
            " learning rate"
        )
    seed = derive_seed(cell.suite_seed, "readout", cell.seed_index)
    own = fit if isinstance(fit, Prototypes) else None
    grouping = GROUPINGS[cell.grouping](GroupingData(embeddings, units, cell.attributes, seed, own))
    described = {
        "clusters": grouping.clusters,
        "values": value_names(grid, classes),
        "stands": None if grouping.stands is None else grouping.stands.tolist(),
        "query_codes": None if grouping.query_codes is None else grouping.query_codes.tolist(),
    }
    files = {"grouping.json": _json(described)}
    files["assignments.parquet"] = Result("assignments", assignment_table(grouping, units)).to_bytes()
    if grouping.queries is not None:
        rankings = [ranking_table(grouping, units, part) for part in ("val", "test")]
        files["rankings.parquet"] = Result("rankings", pd.concat(rankings, ignore_index=True)).to_bytes()
        buffer = io.BytesIO()
        np.savez(buffer, **figure_sample(grouping, units, seed))  # type: ignore[arg-type]
        files["sample.npz"] = buffer.getvalue()
    return files


@lru_cache(maxsize=1)
def keep_memory() -> None:
    """Tell glibc to keep freed pages: a fresh page costs more than the arithmetic of a narrow encoder's layer."""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        for option, value in ((_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 2**28), (_MMAP_THRESHOLD, 2**25)):
            libc.mallopt(option, value)


@lru_cache(maxsize=8)
def open_corpus(folder: Path) -> PreparedCorpus:
    """A prepared corpus, opened once a process."""
    return PreparedCorpus.open(folder)


def _signals(job: Job, spec: InputSpec, lead_set_name: str, filled_to: str = "") -> Signals:
    shown = lead_set_name if filled_to else ""
    statistics = job.rows.statistics.tobytes()
    return _cached_signals(job.corpus, spec, filled_to or lead_set_name, shown, statistics, job.device)


@lru_cache(maxsize=2)
def _cached_signals(
    folder: Path, spec: InputSpec, lead_set_name: str, shown: str, train: bytes, device: str
) -> Signals:
    """A corpus on the device, kept between the cells of a warm worker."""
    rows = np.frombuffer(train, dtype=np.int64)
    return corpus_signals(open_corpus(folder), spec, lead_set_name, rows, torch.device(device), shown)


def _json(content: Any) -> bytes:
    return json.dumps(content, indent=1, sort_keys=True).encode()
