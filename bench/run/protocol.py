"""The protocol of a setting: one short hash of how its rows are judged. Numbers of two protocols never share a table."""

import hashlib
import json

from bench.metrics import classification
from bench.run.registry import stage_code
from bench.run.suite import CorpusUse, Suite

LENGTH = 12
"""Hexadecimal digits."""


def protocol_of(suite: Suite, use: CorpusUse, split: str) -> str:
    """What two results must have in common to be compared, whatever was trained, and how.

    In it: task, split, input spec, what label fractions are shares of, the suite's seed, and the versions of the code
    that embeds and scores and of the metrics.

    Args:
        use: a corpus of the suite; an entry's own input is no part of the protocol.
        split: fingerprint of the split.
    """
    judged = {
        "task": use.task,
        "split": split,
        "input": (use.input or suite.input).model_dump(mode="json"),
        "fractions_by": suite.fractions_by,
        "min_patients": suite.min_patients,
        "seed": suite.seed,
        "code": [stage_code("embed"), stage_code("predict")],
        "metrics": classification.VERSION,
    }
    return hashlib.sha256(json.dumps(judged, sort_keys=True).encode()).hexdigest()[:LENGTH]
