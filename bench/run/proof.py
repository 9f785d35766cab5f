"""The last look at a plan: no fit of it has seen a patient whom its row is tested on, whatever way it came about."""

from collections.abc import Iterator
from functools import cache

import numpy as np

from bench.data.audit import CorpusPart, audit, refuse_overlap
from bench.run.planned import Plan
from bench.run.work import Job
from bench.train.build import Rows

_Pair = tuple[str, bytes, str, bytes]
"""Fingerprint and rows of a corpus trained on, the same of the one tested on."""


def refuse_leaks(plan: Plan) -> None:
    """Audit every fit that a row rests on, its parents too, against the row's test part.

    Rows that are marked to have seen test ECGs are let pass.

    Raises:
        CorpusError: one line that counts the patients and names the first ones.
    """
    corpora = {corpus.fingerprint: corpus for corpus in plan.corpora.values()}

    @cache
    def part(fingerprint: str, rows: bytes) -> CorpusPart:
        return CorpusPart(corpora[fingerprint], np.frombuffer(rows, np.int64))

    for trained, seen, tested, judged in dict.fromkeys(_pairs(plan)):
        refuse_overlap(audit([part(trained, seen)], [part(tested, judged)]))


def _pairs(plan: Plan) -> Iterator[_Pair]:
    known: dict[int, bytes] = {}
    for row in plan.rows:
        if not row.key or row.overlap:
            continue
        judged = plan.jobs[row.key]
        for job in _ancestry(plan, row.fit_key):
            place = id(job.rows)
            if place not in known:
                known[place] = _seen(job.rows).tobytes()
            test = judged.rows.test.astype(np.int64).tobytes()
            yield job.cell.corpus, known[place], judged.cell.corpus, test


def _ancestry(plan: Plan, key: str) -> Iterator[Job]:
    """A fit, and the fits that it starts from."""
    waiting = [key]
    while waiting:
        job = plan.jobs[waiting.pop()]
        yield job
        waiting += job.cell.parents.values()


def _seen(rows: Rows) -> np.ndarray:
    """Rows of every record that a fit has anything of."""
    return np.unique(np.concatenate([rows.train, rows.labelled, rows.val, rows.val_subset])).astype(np.int64)
