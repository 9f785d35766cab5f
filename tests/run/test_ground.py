"""Who must be left out where a fit is evaluated on another corpus, and that no test record is ever trained on."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from bench.data.corpus import CorpusError
from bench.run import ground as module
from bench.run.execute import InlineExecutor, execute
from bench.run.ground import Ground, instances_of
from bench.run.status import Status
from bench.run.suite import Suite
from tests.corpora import other_corpus
from tests.run.conftest import BASE, one, pick

HERE, THERE = "other-sim", "third-sim"
"""Fitted on the first, evaluated on the second."""

USES = [
    {"corpus": HERE, "task": "pace"},
    {"corpus": THERE, "task": "pace", "sources": [HERE]},
]
TUNED = {"strategy": "finetune", "label": "tuned", "init": "noise"}
AGAIN = {"strategy": "finetune", "label": "again", "init": "tuned"}
FRAMES = {
    "input": {"rate": 50, "window": 100, "instance": "lead", "aggregation": "none"},
    "fractions_by": "frames",
}

TEST_ROW, VAL_ROW, TRAIN_ROW = 8, 6, 2
"""Of `other_corpus`: patients 4, 3 and 1."""


def signal_of(corpus, row):
    place = corpus.records.iloc[row]
    return np.asarray(corpus.signals[place["offset"] : place["offset"] + place["length"]])


@pytest.fixture(scope="module")
def met(tiny, tmp_path_factory):
    """The evaluated corpus; one that has copies of records of its test, val and train parts; and plans of both.

    Rows 0 and 12 (train: patients 0 and 6) and 26 (val: patient 13) are copies of a test record, a val record and
    another test record; row 20 (train: patient 10) is of a train record.
    """
    folder = tmp_path_factory.mktemp("met")
    there = other_corpus(folder / "there", seed=8, name=THERE)
    rows = {0: TEST_ROW, 12: VAL_ROW, 26: TEST_ROW + 10, 20: TRAIN_ROW}
    here = other_corpus(folder / "here", copies={a: signal_of(there, b) for a, b in rows.items()})

    def plan(registry=None, first=here, second=there, **changes):
        prepared = {f"{c.name}@50": c for c in (first, second)}
        return tiny.plan(registry, prepared, **{"corpora": USES, "seeds": 1, "entries": ["noise"], **changes})

    return SimpleNamespace(here=here, there=there, plan=plan, folder=folder, store=tiny.store)


def moved(plan, **wanted):
    return one(plan, corpus=THERE, source=HERE, **{"label": "noise", "fraction": 1.0, **wanted})


def test_patients_who_are_evaluated_elsewhere_are_left_out_of_training(met):
    plan = met.plan()
    home = plan.jobs[one(plan, corpus=HERE, fraction=1.0).fit_key]
    away = plan.jobs[moved(plan).fit_key]
    assert set(home.rows.train) - set(away.rows.train) == {0, 1, 12, 13}
    assert set(home.rows.labelled) - set(away.rows.labelled) == {0, 1, 12, 13}
    assert set(home.rows.val) - set(away.rows.val) == {26, 27}
    assert set(away.rows.train) < set(home.rows.train) and 20 in away.rows.train


def test_such_a_fit_has_a_key_of_its_own_and_the_one_at_home_keeps_its(met):
    plan = met.plan()
    home, away = one(plan, corpus=HERE, fraction=1.0).fit_key, moved(plan).fit_key
    cells = [plan.jobs[key].cell for key in (home, away)]
    assert home != away and cells[0].trained_on == "" and len(cells[1].trained_on) == 64
    assert cells[0] == cells[1].model_copy(update={"trained_on": ""})
    clean = other_corpus(met.folder / "clean")
    plain = met.plan(first=clean)
    assert moved(plain).fit_key == one(plain, corpus=HERE, fraction=1.0).fit_key
    alone = met.plan(corpora=USES[:1])
    assert {row.fit_key for row in alone.rows} == {home}


def test_the_rows_say_how_many_records_were_left_out(met):
    plan = met.plan()
    line = f"6 records of {HERE} left out: their patients are evaluated here."
    assert line in moved(plan).deviations
    assert not any("left out" in text for row in pick(plan, source="") for text in row.deviations)
    unused = {18: TEST_ROW}  # a record of its own test part, which no fit sees
    copy = {a: signal_of(met.there, b) for a, b in unused.items()}
    plain = met.plan(first=other_corpus(met.folder / "unused", copies=copy))
    assert not any("left out" in text for text in moved(plain).deviations)
    assert moved(plain).fit_key == one(plain, corpus=HERE, fraction=1.0).fit_key


def test_every_fit_that_a_moved_row_rests_on_is_cleared(met):
    plan = met.plan(entries=["noise", TUNED, AGAIN])
    for label in ("noise", "tuned", "again"):
        key = moved(plan, label=label).fit_key
        while key:
            job = plan.jobs[key]
            if job.cell.corpus == met.here.fingerprint:
                assert not {0, 1, 12, 13} & set(job.rows.train)
                assert job.cell.trained_on
            key = job.cell.parents.get("init")


def test_frames_of_such_patients_go_too(met):
    plan = met.plan(entries=["head"], **FRAMES)
    home = plan.jobs[one(plan, corpus=HERE, fraction=1.0).fit_key]
    away = plan.jobs[moved(plan, label="head").fit_key]
    owner = instances_of(met.here, home.cell.input, "challenge-2").record
    lost = set(home.rows.frames) - set(away.rows.frames)
    assert set(away.rows.frames) < set(home.rows.frames)
    assert {int(owner[unit]) for unit in lost} == {0, 1, 12, 13}
    assert len(lost) == 4 * 2 * 2  # records, windows, leads


def test_patients_are_known_by_id_where_corpora_contain_one_another(met):
    parts = {0: "test", 1: "test"} | dict.fromkeys((16, 17, 26, 27, 36, 37), "train")
    whole = other_corpus(met.folder / "whole", name="cinc2021", ids="HR{:05d}")
    home = other_corpus(met.folder / "home", seed=9, name="ptbxl", ids="{}", moved=parts)
    uses = [
        {"corpus": "cinc2021", "task": "pace"},
        {"corpus": "ptbxl", "task": "pace", "sources": ["cinc2021"]},
    ]
    plan = met.plan(first=whole, second=home, corpora=uses)
    own = plan.jobs[one(plan, corpus="cinc2021", fraction=1.0).fit_key].rows
    rows = plan.jobs[one(plan, corpus="ptbxl", source="cinc2021", fraction=1.0).fit_key].rows
    assert set(own.train) - set(rows.train) == {0, 1}
    assert set(own.val) - set(rows.val) == {6, 7}


def test_records_of_no_part_count_where_their_patient_is_evaluated(met):
    """A test patient's record in the official train part is in neither, and still nothing to train on elsewhere."""
    there = other_corpus(met.folder / "apart", seed=8, name=THERE, moved={TEST_ROW + 1: "train"})
    here = other_corpus(met.folder / "taken", copies={4: signal_of(there, TEST_ROW + 1)})
    plan = met.plan(first=here, second=there)
    rows = plan.jobs[moved(plan).fit_key].rows
    assert TEST_ROW + 1 not in plan.jobs[moved(plan).key].rows.test
    assert not {4, 5} & set(rows.train) and len(rows.train) == 22


def test_who_is_evaluated_hangs_on_the_task(met):
    """Every other patient has a side: of the copies in rows 0, 12 and 26, that in row 12 is of one without."""
    suite = Suite.model_validate(BASE | {"corpora": USES})
    here = Ground(suite, suite.corpora[0], met.here)
    lost = {}
    for task in ("side", "pace"):
        use = suite.corpora[1].model_copy(update={"task": task})
        lost[task] = set(range(40)) - set(here.cleared_for(Ground(suite, use, met.there)))
    assert lost == {"side": {0, 1}, "pace": {0, 1, 12, 13, 26, 27}}


def test_nothing_left_to_train_on_is_told(met):
    seen, judged = (
        np.flatnonzero(np.isin(np.arange(40) // 2 % 5, where)) for where in ((0, 1, 2, 3), (3, 4))
    )
    copies = {a: signal_of(met.there, b) for a, b in zip(seen[::2], judged, strict=True)}
    plan = met.plan(first=other_corpus(met.folder / "all", copies=copies))
    reasons = {row.skipped for row in pick(plan, corpus=THERE, source=HERE)}
    assert reasons == {f"every patient of {HERE} is also tested on in {THERE}"}
    assert all(row.key for row in pick(plan, source=""))


def test_a_leak_within_a_corpus_is_refused_though_it_is_only_a_source(met, monkeypatch):
    honest, calls = module.make_split, []

    def leaky(records, targets, spec):
        split = honest(records, targets, spec)
        calls.append(split)
        first_test = split.parts["test"][: len(calls) == 2]  # of the source alone, which comes second
        return type(split)(split.parts, np.union1d(split.pretrain, first_test), split.fingerprint)

    monkeypatch.setattr(module, "make_split", leaky)
    with pytest.raises(CorpusError, match=f"1 test patient is also in training on {HERE}"):
        met.plan(corpora=[{**USES[0], "evaluate": False}, USES[1]])


def test_a_run_without_the_left_out_records_is_done_and_counts_what_it_saw(met, tmp_path):
    plan, store = met.plan(label_fractions=[1.0]), met.store(tmp_path)
    assert set(execute(plan, store, InlineExecutor).statuses.values()) == {Status.DONE}
    seen = {
        (row.corpus, row.source): json.loads(store.read(row.fit_key, "fit.json"))["instances"]
        for row in plan.rows
    }
    assert seen == {(HERE, ""): 24, (THERE, ""): 24, (THERE, HERE): 20}


def ancestry(plan, key):
    """A fit and all that it rests on."""
    while key:
        yield plan.jobs[key]
        key = plan.jobs[key].cell.parents.get("init")


def seen_by(job, corpus):
    """Rows of every record that a fit has anything of."""
    rows = job.rows
    frames = np.array([], int) if rows.frames is None else rows.frames
    owner = instances_of(corpus, job.cell.input, job.cell.lead_set).record
    return set(np.concatenate([rows.train, rows.labelled, rows.val, rows.val_subset, owner[frames]]))


@pytest.mark.parametrize("by", ["patients", "frames"])
def test_no_fit_of_any_row_sees_a_record_that_the_row_is_tested_on(met, by):
    leaking = {"strategy": "noise", "label": "leaking", "overlap": True}
    tuned = {"strategy": "finetune", "label": "leaking_tuned", "init": "leaking"}
    entries = ["noise", "by_label", "head", "untrained", TUNED, AGAIN, leaking, tuned]
    uses = [{**USES[0], "sources": [THERE]}, USES[1]]
    plan = met.plan(entries=entries, corpora=uses, seeds=2, **{**FRAMES, "fractions_by": by})
    corpora = {corpus.fingerprint: corpus for corpus in (met.here, met.there)}
    copies = {0: TEST_ROW, 12: VAL_ROW, 26: TEST_ROW + 10}
    rows = [row for row in plan.rows if row.key]
    assert len(rows) == 2 * 2 * (8 + 5) * 2
    for row in rows:
        judged = plan.jobs[row.key]
        tested = set(judged.rows.test)
        elsewhere = (
            {a for a, b in copies.items() if b in tested}
            if row.corpus == THERE
            else {b for a, b in copies.items() if a in tested}
        )
        leaks = False
        for job in ancestry(plan, row.fit_key):
            forbidden = tested if job.cell.corpus == judged.cell.corpus else elsewhere
            leaks |= bool(seen_by(job, corpora[job.cell.corpus]) & forbidden)
        assert leaks == (row.overlap and (row.source == "" or bool(elsewhere))), row
