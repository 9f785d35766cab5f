"""The protocol of a setting: a short hash of how its rows are judged. Numbers of two protocols never share a table."""

import hashlib
import json

from bench.metrics import challenge, classification, clustering, retrieval
from bench.run.registry import stage_code
from bench.run.suite import CorpusUse, Suite

LENGTH = 12
"""Hexadecimal digits."""


def protocol_of(suite: Suite, use: CorpusUse, corpus: str, split: str) -> str:
    """What two results must have in common to be compared, whatever was trained.

    In it: corpus, task, split, input spec, what label fractions are shares of, the suite's seed, the versions of the
    metrics, and of the code that embeds, scores and groups, with all that it imports.

    Args:
        use: a corpus of the suite; an entry's own input is no part of the protocol.
        corpus, split: fingerprints of the corpus, as prepared for the suite, and of its split.
    """
    judged = {
        "corpus": corpus,
        "task": use.task,
        "split": split,
        "input": (use.input or suite.input).model_dump(mode="json"),
        "fractions_by": suite.fractions_by,
        "min_patients": suite.min_patients,
        "seed": suite.seed,
        "code": [stage_code(stage) for stage in ("embed", "predict", "group")],
        "metrics": [module.VERSION for module in (classification, clustering, retrieval, challenge)],
    }
    return hashlib.sha256(json.dumps(judged, sort_keys=True).encode()).hexdigest()[:LENGTH]
