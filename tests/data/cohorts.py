"""Cohorts for tests of splits and label subsets: records, targets, and patients' strata by explicit loops."""

from collections import defaultdict

import numpy as np
import pandas as pd

CLASSES = ["A", "B", "C"]


def make_cohort(patients: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Records (1-3 a patient) in random order, and multi-hot targets of about four in five of them."""
    generator = np.random.default_rng(seed)
    owners = np.repeat(np.arange(patients), generator.integers(1, 4, patients))
    generator.shuffle(owners)
    records = pd.DataFrame(
        {"record": [f"r{i}" for i in range(len(owners))], "patient": [f"p{i}" for i in owners]}
    )
    hot = pd.DataFrame(generator.random((len(owners), 3)) < (0.5, 0.3, 0.1), columns=CLASSES).astype("int8")
    hot.index = pd.Index(records["record"], name="record")
    return records, hot[hot.any(axis=1)]


def strata_of(records: pd.DataFrame, targets: pd.DataFrame) -> dict[str, str]:
    """Each labelled patient's rarest class, by explicit loops."""
    owner = dict(zip(records["record"], records["patient"], strict=True))
    carried: dict[str, set[str]] = defaultdict(set)
    for record, row in targets.iterrows():
        carried[owner[record]] |= {name for name in CLASSES if row[name]}
    count = {name: sum(name in classes for classes in carried.values()) for name in CLASSES}
    return {
        patient: min(classes, key=lambda name: (count[name], CLASSES.index(name)))
        for patient, classes in carried.items()
    }
