"""A submission is small, whole, and nothing lies in it that no submission has."""

import hashlib
import io
import json
import os
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bench.run import submission
from bench.run.registry import Registry
from bench.run.store import Store, StoreError
from bench.run.submission import (
    SubmissionError,
    faults_of,
    pack,
    place_of,
    read_submission,
    rows_of,
    size_of,
    strategy_files,
    told,
)
from tests.run.sent import packed, refile
from tests.run.stored import ALL_STAGES, cells, copied, run


@pytest.fixture(scope="module")
def sent(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sent")
    plan, registry = tiny.plan(**ALL_STAGES), Registry((tiny.file,))
    store = run(plan, folder / "store")
    mine = packed(plan, store, registry, folder / "mine")
    return SimpleNamespace(plan=plan, registry=registry, store=store, folder=mine)


@pytest.fixture
def copy(sent, tmp_path):
    return shutil.copytree(sent.folder, tmp_path / "mine")


def files(folder):
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


def own(sent, stage):
    """Keys of a stage that the two rows rest on."""
    return [key for key in cells(sent.plan, stage) if Store(sent.folder).describes(key)]


def test_scores_and_groups_are_whole_and_of_the_rest_there_are_notes_without_weights(sent):
    there = {name: path.read_bytes() for name, path in files(sent.folder).items()}
    for row in rows_of(sent.plan, ("noise", "head")):
        for name, content in sent.store.load(row.key).items():
            assert there.pop(f"cells/{row.key[:2]}/{row.key}/{name}", content) == content
    fits, embeds = own(sent, "fit"), own(sent, "embed")
    # noise is fitted once, head at two label fractions; only groups rest on an embedding of head
    assert len(fits) == 3 and len(embeds) == 2
    for keys, names in ((fits, {"cell.json", "fit.json", "health.csv"}), (embeds, {"cell.json"})):
        for key in keys:
            for name in (*names, "provenance.json"):
                assert there.pop(f"notes/{key[:2]}/{key}/{name}") == sent.store.read(key, name)
    rest = [name for name in there if not name.endswith("manifest.json")]
    assert sorted(rest) == ["scores.csv", "submission.json"]
    assert faults_of(sent.folder) == []
    assert size_of(sent.folder) == sum(path.stat().st_size for path in files(sent.folder).values())


def test_nothing_of_other_rows_is_in_it(sent):
    untrained = {row.key for row in sent.plan.rows if row.label == "untrained"}
    assert untrained and not untrained & set(Store(sent.folder).keys())


def test_it_says_what_ran(sent, tiny):
    said = read_submission(sent.folder)
    assert said.rows == ("noise", "head") and said.cells == len(list(Store(sent.folder).keys()))
    (fact,) = said.corpora
    assert (fact.name, fact.fingerprint, fact.simulated) == (
        "tiny-sim@50", tiny.corpus.fingerprint, tiny.corpus.simulated,
    )  # fmt: skip
    (file,) = said.strategies
    assert file.path == "strategies/extra.py"
    assert file.sha256 == hashlib.sha256(tiny.file.read_bytes()).hexdigest()


def test_files_of_what_a_row_starts_from_are_named_too(sent):
    suite = sent.plan.suites[0]
    entries = [{"strategy": "finetune", "label": "tuned", "init": "noise"}, {"strategy": "noise"}]
    tuned = type(suite).model_validate(suite.model_dump() | {"entries": entries})
    paths = [file.path for file in strategy_files([tuned], ["tuned"], sent.registry)]
    assert sorted(paths) == ["baselines/finetune.py", "strategies/extra.py"]


def test_a_control_that_takes_no_steps_is_sound_too(sent, tmp_path):
    folder = packed(sent.plan, sent.store, sent.registry, tmp_path / "control", ("untrained",))
    assert faults_of(folder) == []


def test_a_place_is_told_in_a_few_words(sent):
    row = rows_of(sent.plan, ("noise",))[0]
    assert told(place_of(row)) == "noise on tiny-sim, fraction 0.5, seed 0"
    by_hand = row.__class__(
        **{**vars(row), "source": "elsewhere", "noise": 3, "crossed": 1, "grouping": "means"}
    )
    assert told(place_of(by_hand)).endswith("seed 0, from elsewhere, means, noise 3, labels of seed 1")


def test_packed_again_it_is_replaced_and_anything_else_is_left_alone(sent, tmp_path):
    folder = packed(sent.plan, sent.store, sent.registry, tmp_path / "mine")
    before = {name: path.read_bytes() for name, path in files(folder).items()}
    (folder / "cells" / "stale").write_text("of an earlier one")
    packed(sent.plan, sent.store, sent.registry, folder)
    assert {name: path.read_bytes() for name, path in files(folder).items()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    mine = tmp_path / "precious"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(SubmissionError, match="holds no submission"):
        packed(sent.plan, sent.store, sent.registry, mine)
    assert (mine / "thesis.txt").read_text() == "years of work"


def test_a_link_is_not_written_through(sent, copy, tmp_path):
    (tmp_path / "elsewhere").symlink_to(copy)
    with pytest.raises(SubmissionError, match="choose another folder"):
        packed(sent.plan, sent.store, sent.registry, tmp_path / "elsewhere")


def test_without_a_fit_that_it_rests_on_nothing_is_written(sent, tmp_path):
    store = copied(sent.store, tmp_path / "store")
    gone = own(sent, "fit")[0]
    shutil.rmtree(store.folder(gone))
    rows = rows_of(sent.plan, ("noise", "head"))
    with pytest.raises(StoreError, match=f"fit {gone[:12]}, which the row rests on, is not in"):
        pack(sent.plan, rows, store, tmp_path / "mine", read_submission(sent.folder), "")
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_what_was_brought_as_a_note_is_noted_again(sent, tmp_path):
    store = copied(sent.store, tmp_path / "store")
    fit = own(sent, "fit")[0]
    note = {
        name: store.read(fit, name) for name in ("cell.json", "fit.json", "health.csv", "provenance.json")
    }
    shutil.rmtree(store.folder(fit))
    store.note(fit, note)
    again = packed(sent.plan, store, sent.registry, tmp_path / "mine")
    assert {n: p.read_bytes() for n, p in files(again).items()} == {
        n: p.read_bytes() for n, p in files(sent.folder).items()
    }


def first(folder, place, stage):
    """Key of a cell or note of a stage."""
    keys = sorted(path.parent.name for path in folder.glob(f"{place}/??/*/cell.json"))
    return next(
        k
        for k in keys
        if json.loads((folder / place / k[:2] / k / "cell.json").read_text())["stage"] == stage
    )


def link_out(folder):
    key = first(folder, "cells", "predict")
    path = folder / "cells" / key[:2] / key / "scores.parquet"
    path.unlink()
    path.symlink_to("/etc/passwd")


def link_a_cell_out(folder):
    key = first(folder, "notes", "fit")
    target = folder / "notes" / key[:2] / key
    shutil.move(target, folder.parent / "moved")
    target.symlink_to(folder.parent / "moved")


def pipe(folder):
    os.mkfifo(folder / "cells" / "pipe")


def another_file(folder):
    (folder / "run.sh").write_text("echo hello")


def hidden(folder):
    (folder / "notes" / ".secret").write_text("x")


def weights(folder):
    refile(folder, "notes", first(folder, "notes", "fit"), {"state.pt": b"weights"})


def whole_fit(folder):
    key = first(folder, "notes", "fit")
    (folder / "cells" / key[:2]).mkdir(exist_ok=True)
    shutil.move(folder / "notes" / key[:2] / key, folder / "cells" / key[:2] / key)


def longer(folder):
    key = first(folder, "cells", "predict")
    path = folder / "cells" / key[:2] / key / "predict.json"
    path.write_text(path.read_text() + " ")


def renamed(folder):
    key = first(folder, "cells", "predict")
    (folder / "cells" / "ff").mkdir(exist_ok=True)
    shutil.move(folder / "cells" / key[:2] / key, folder / "cells" / "ff" / f"ff{key[2:]}")


def misplaced(folder):
    key = first(folder, "cells", "predict")
    (folder / "cells" / "zz").mkdir()
    shutil.move(folder / "cells" / key[:2] / key, folder / "cells" / "zz" / key)


def not_finished(folder):
    key = first(folder, "cells", "predict")
    (folder / "cells" / key[:2] / key / "manifest.json").unlink()


def no_table(folder):
    refile(folder, "cells", first(folder, "cells", "predict"), {"scores.parquet": b"PAR1 no table PAR1"})


def no_health(folder):
    refile(folder, "notes", first(folder, "notes", "fit"), {"health.csv": None})


def health_of_nobody(folder):
    refile(folder, "notes", first(folder, "notes", "fit"), {"health.csv": b'step,loss\n1,"'})


def fit_of_another(folder):
    key = first(folder, "notes", "fit")
    told = json.loads((folder / "notes" / key[:2] / key / "fit.json").read_text())
    told["cell"]["seed_index"] = 7
    refile(folder, "notes", key, {"fit.json": json.dumps(told).encode()})


def no_claims(folder):
    (folder / "scores.csv").unlink()


def unsaid(folder):
    (folder / "submission.json").unlink()


def huge(folder):
    table = pd.DataFrame({"x": np.zeros(60_000, np.int8), "y": np.zeros(60_000, np.int8)})
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    refile(folder, "cells", first(folder, "cells", "predict"), {"scores.parquet": buffer.getvalue()})


def huge_archive(folder):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, points=np.zeros(20_000, np.float64))
    refile(folder, "cells", first(folder, "cells", "group"), {"sample.npz": buffer.getvalue()})


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (link_out, r"scores\.parquet is a link"),
        (link_a_cell_out, r"notes/\w\w/\w+ is a link"),
        (pipe, r"cells/pipe is no plain file"),
        (another_file, r"run\.sh is no file of a submission"),
        (hidden, r"notes/\.secret is no file of a submission"),
        (weights, r"notes, \w{12}: state\.pt is no file of such a cell"),
        (whole_fit, r"cells, \w{12}: it has no state\.pt"),
        (longer, r"cells, \w{12}: predict\.json has \d+ bytes in place of \d+"),
        (renamed, r"cells, ff\w{10}: its cell\.json is that of another cell"),
        (misplaced, r"cells, \w{12}: it is not finished"),
        (not_finished, r"cells, \w{12}: it is not finished"),
        (no_table, r"cells, \w{12}: scores\.parquet cannot be read"),
        (no_health, r"notes, \w{12}: it has no health\.csv"),
        (health_of_nobody, r"notes, \w{12}: health\.csv cannot be read"),
        (fit_of_another, r"notes, \w{12}: its fit\.json is that of another fit"),
        (no_claims, r"scores\.csv is missing"),
        (unsaid, r"submission\.json is missing"),
        (huge, r"scores\.parquet unpacks to more than 100,000 values"),
        (huge_archive, r"sample\.npz unpacks to more than 100,000 values"),
    ],
)
def test_what_is_wrong_with_the_files_is_one_line(copy, spoil, line, monkeypatch):
    if spoil in (huge, huge_archive):
        monkeypatch.setattr(submission, "_MOST_VALUES", 100_000)
    spoil(copy)
    faults = faults_of(copy)
    assert len([fault for fault in faults if re.search(line, fault)]) == 1, faults
    assert len(faults) <= 2


def test_many_faults_are_counted(copy):
    for number in range(9):
        (copy / f"more{number}").write_text("x")
    assert faults_of(copy)[-1] == "and 4 more" and len(faults_of(copy)) == 6


def test_a_submission_has_a_largest_size(copy, monkeypatch):
    monkeypatch.setattr(submission, "LARGEST_MIB", 0.01)
    (fault,) = faults_of(copy)
    assert fault.startswith("it has 0.") and fault.endswith("MiB, 0.01 may be")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"rows": []}, "rows: Tuple should have at least 1 item"),
        ({"shell": "rm"}, "shell: Extra inputs are not permitted"),
        ({"asked": {"suites": ["../../mine.yaml"], "scale": "smoke"}}, "asked.suites.0: String should match"),
        (
            {"asked": {"suites": ["board"], "scale": "smoke", "records": 10**9}},
            "asked.records: Input should be less",
        ),
        (
            {"strategies": [{"path": "../../etc/x.py", "sha256": "0" * 64}]},
            "strategies.0.path: String should match",
        ),
    ],
)
def test_what_it_says_is_read_narrowly(copy, changes, line):
    content = json.loads((copy / "submission.json").read_text()) | changes
    (copy / "submission.json").write_text(json.dumps(content))
    with pytest.raises(SubmissionError, match=line) as error:
        read_submission(copy)
    assert "\n" not in str(error.value)


def test_what_it_says_may_not_lie_elsewhere(copy):
    shutil.move(copy / "submission.json", copy.parent / "said.json")
    (copy / "submission.json").symlink_to(copy.parent / "said.json")
    with pytest.raises(SubmissionError, match="no plain file"):
        read_submission(copy)
