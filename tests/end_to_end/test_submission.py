"""A contributor's way onto the board, and a cheat's: run, submit, verify, merge, report on the command line."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.report.rescore import claims, claims_csv
from bench.run import suite
from bench.run.store import Store
from bench.session import Options, Session
from bench.trust import ASKED
from tests.end_to_end.test_cli import MINE, leadboard
from tests.realdata import realdata
from tests.run.sent import redescribe, refile
from tests.run.test_expected_units import spoilt

SMALL = ["--scale", "smoke", "--records", "150"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a strategy, its finished row, and its submission."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "mine.py").write_text(MINE)
    leadboard("run", "board", *SMALL, *mine(folder), "--results", folder / "results", "--executor", "inline")
    output = leadboard("submit", "mine", "board", *SMALL, *mine(folder), "-o", folder / "sent" / "mine")
    return folder, output


def mine(folder):
    return ["--strategy", folder / "mine.py", *cache(folder), "--store", folder / "store"]


def cache(folder):
    return ["--cache", folder / "cache", "--device", "cpu"]


def verify(folder, *submissions, code=0, count=0):
    """Output lines of each submission that was checked, by name."""
    given = [word for submission in submissions for word in ("--submission", submission)]
    options = ["--strategy", folder / "mine.py", *cache(folder), "--count", count]
    *blocks, last = leadboard("verify", *given, *options, code=code).splitlines()
    found = {}
    for line in blocks:
        if line.startswith("  "):
            list(found.values())[-1].append(line[2:])
        else:
            found[line.rpartition("/")[2]] = []
    return found, last


def test_a_submission_is_small_and_says_what_to_do_next(home):
    folder, output = home
    sent = folder / "sent" / "mine"
    size = sum(path.stat().st_size for path in sent.rglob("*") if path.is_file())
    assert f"wrote {sent}: 4 cells, {size / 1000:,.0f} kB" in output and 50_000 < size < 150_000
    assert f"git add strategies/mine.py bench/suites {sent}, commit, open a pull request" in output
    said = json.loads((sent / "submission.json").read_text())
    assert said["command"] == "leadboard run board --scale smoke --strategy mine --records 150"
    assert said["corpora"][0]["name"] == "chapman-sim@100" and said["corpora"][0]["simulated"] is True
    cells = pd.read_csv(folder / "results" / "simulated" / "smoke" / "board" / "cells.csv")
    claimed = pd.read_csv(sent / "scores.csv")
    both = claimed.merge(cells[cells["label"] == "mine"], on=["key", "selection", "part"])
    assert len(both) == 8 and (both["value"] == both["macro_auroc"]).all()
    assert both["low_x"].equals(both["low_y"]) and both["high_x"].equals(both["high_y"])


def test_an_honest_submission_passes_and_is_trained_again_to_the_bit(home):
    folder, _ = home
    found, last = verify(folder, folder / "sent", count=1)
    assert all(line.startswith("ok   ") for line in found["mine"])
    names = [line.split()[1] for line in found["mine"]]
    assert names == [
        "files:",
        "scores:",
        "code:",
        "supervision:",
        "corpora:",
        "plan:",
        "records:",
        "training:",
    ]
    assert found["mine"][-1].endswith("what rests on it, 4 results: the same bits")
    assert last == "submissions checked: 1, 0 with faults"


def keys(submission, stage):
    described = {
        path.parent.name: json.loads(path.read_text()) for path in submission.glob("cells/??/*/cell.json")
    }
    chosen = {key: cell for key, cell in described.items() if cell["stage"] == stage}
    return sorted(
        chosen, key=lambda key: (chosen[key]["subset"]["fraction"], chosen[key].get("grouping", ""))
    )


def scores(submission, key):
    return (submission / "cells" / key[:2] / key / "scores.parquet").read_bytes()


def rewritten(submission, key, change):
    refile(submission, "cells", key, {"scores.parquet": spoilt(scores(submission, key), change)})


def best(table):
    """Scores of whoever knows the answers."""
    names = [name.removeprefix("target:") for name in table if name.startswith("target:")]
    for name in names:
        table[f"score:{name}"] = (table[f"target:{name}"] * 0.9 + 0.1 / len(names)).astype("float32")


def changed_score(submission):
    rewritten(submission, keys(submission, "predict")[0], best)


def changed_target(submission):
    def relabel(table):
        at = int(np.flatnonzero(table["target:AFIB"] == 0)[0])
        table.loc[at, [name for name in table if name.startswith("target:")]] = 0
        table.loc[at, "target:AFIB"] = 1

    rewritten(submission, keys(submission, "predict")[0], relabel)


def changed_claim(submission):
    lines = (submission / "scores.csv").read_text().splitlines()
    at = next(place for place, line in enumerate(lines) if ",subset,test,," in line)
    head, cells = lines[0].split(","), lines[at].split(",")
    cells[head.index("value")] = "0.999000"
    (submission / "scores.csv").write_text("\n".join([*lines[:at], ",".join(cells), *lines[at + 1 :], ""]))


def dropped_record(submission):
    def drop(table):
        table.drop(index=table.index[table["part"] == "test"][0], inplace=True)

    rewritten(submission, keys(submission, "predict")[0], drop)


def swapped_scores(submission):
    """The better half-labelled result: that of all labels, under the name of the other."""
    low, high = keys(submission, "predict")
    refile(submission, "cells", low, {"scores.parquet": scores(submission, high)})


def swapped_cell(submission):
    """A whole cell under another's key."""
    low, high = (submission / "cells" / key[:2] / key for key in keys(submission, "predict"))
    shutil.rmtree(low)
    shutil.copytree(high, low)


def other_code(submission):
    """Scored by other code, truthfully told; all that is claimed of it is told of the new key."""
    old = keys(submission, "predict")[0]
    new = redescribe(submission, "cells", old, {"code": "0" * 64})
    claims = submission / "scores.csv"
    claims.write_text(claims.read_text().replace(old, new))


def link_out(submission):
    key = keys(submission, "predict")[0]
    path = submission / "cells" / key[:2] / key / "predict.json"
    path.unlink()
    path.symlink_to(submission.parent.parent / "mine.py")


FRAUDS = {
    "changed_score": (
        changed_score,
        "scores: mine on chapman-sim, fraction 0.5, seed 0: all test macro_auroc: 0.",
    ),
    "changed_target": (changed_target, "records: mine on chapman-sim, fraction 0.5, seed 0: val record 'JS"),
    "changed_claim": (changed_claim, "subset test macro_auroc: 0.999000 ("),
    "dropped_record": (
        dropped_record,
        "records: mine on chapman-sim, fraction 0.5, seed 0: it lacks the test record",
    ),
    "swapped_scores": (
        swapped_scores,
        "scores: mine on chapman-sim, fraction 0.5, seed 0: all test macro_auroc: 0.",
    ),
    "swapped_cell": (swapped_cell, "its cell.json is that of another cell"),
    "other_code": (other_code, "fraction 0.5, seed 0: code of the predict is 00000000 there, "),
    "link_out": (link_out, "/predict.json is a link"),
}


def test_each_fraud_has_its_line(home, tmp_path):
    folder, _ = home
    for name, (spoil, _) in FRAUDS.items():
        spoil(shutil.copytree(folder / "sent" / "mine", tmp_path / "sent" / name))
    shutil.copytree(folder / "sent" / "mine", tmp_path / "sent" / "honest")
    found, last = verify(folder, tmp_path / "sent", code=1)
    assert last == f"submissions checked: {len(FRAUDS) + 1}, {len(FRAUDS)} with faults"
    assert not any(line.startswith("FAIL") for line in found["honest"])
    for name, (_, line) in FRAUDS.items():
        assert [text for text in found[name] if text.startswith("FAIL") and line in text], found[name]


def test_scores_and_claims_forged_together_fall_when_the_fit_is_trained_again(home, tmp_path):
    folder, _ = home
    forged = shutil.copytree(folder / "sent" / "mine", tmp_path / "forged")
    for key in keys(forged, "predict"):
        rewritten(forged, key, best)
    claimed = pd.read_csv(forged / "scores.csv", dtype=str, keep_default_na=False)
    places = {tuple(line[:16]): line[-1] for line in claimed.itertuples(index=False)}
    store = Store(shutil.copytree(forged, tmp_path / "views"))
    (forged / "scores.csv").write_text(claims_csv(claims(places.items(), store)))
    assert "FAIL" not in "".join(verify(folder, forged)[0]["forged"])
    lines = verify(folder, forged, code=1, count=1)[0]["forged"]
    bad = [line for line in lines if line.startswith("FAIL")]
    assert len(bad) == 2
    assert all(line.startswith("FAIL training: fit ") and "so bits should be equal" in line for line in bad)


def test_merged_it_is_on_the_board_and_nothing_is_trained(home, tmp_path):
    folder, _ = home
    output = leadboard("merge", folder / "sent" / "mine", "--store", tmp_path / "store")
    assert output.splitlines()[-1].startswith("cells: 4 copied, 2 noted, 0 here already, ")
    options = [*SMALL, "--strategy", folder / "mine.py", *cache(folder), "--results", tmp_path / "results"]
    leadboard("report", "board", *options, "--store", tmp_path / "store")
    board = pd.read_csv(next((tmp_path / "results").rglob("board.csv"))).set_index("label").loc["mine"]
    own = pd.read_csv(next((folder / "results").rglob("board.csv"))).set_index("label").loc["mine"]
    for column in ("macro_auroc", "low", "high", "steps", "flops", "kmeans_acc"):
        assert board[column] == own[column] and board[column] > 0
    stages = [
        json.loads(path.read_text())["stage"] for path in (tmp_path / "store").glob("cells/??/*/cell.json")
    ]
    assert sorted(stages) == ["group", "group", "predict", "predict"]
    again = leadboard("merge", folder / "sent" / "mine", folder / "store", "--store", tmp_path / "store")
    assert "cells: 2 copied, 0 noted, 10 here already" in again


def test_a_merge_says_what_it_does_not_take(home, tmp_path):
    folder, _ = home
    bad = shutil.copytree(folder / "sent" / "mine", tmp_path / "bad")
    swapped_cell(bad)
    output = leadboard("merge", bad, "--store", tmp_path / "store", code=1)
    assert "refused, its cell.json is that of another cell" in output and "3 copied" in output


def test_part_of_a_row_is_sent_only_when_that_is_said(home, tmp_path):
    folder, _ = home
    store = shutil.copytree(folder / "store", tmp_path / "store")
    gone = keys(folder / "sent" / "mine", "predict")[0]
    shutil.rmtree(store / "cells" / gone[:2] / gone)
    options = [*SMALL, *mine(folder)[:-1], store, "-o", tmp_path / "part"]
    output = leadboard("submit", "mine", "board", *options, code=1)
    assert "3 of 4 evaluations of row 'mine' are in" in output and "or say --partial" in output
    assert (
        "(missing: mine on chapman-sim, fraction 0.5, seed 0)" in output and not (tmp_path / "part").exists()
    )
    assert "3 of 4 cells" in leadboard("submit", "mine", "board", *options, "--partial")
    lines = verify(folder, tmp_path / "part")[0]["part"]
    assert "ok   plan: 3 of 4 evaluations that board plans here, by their keys" in lines
    said = json.loads((tmp_path / "part" / "submission.json").read_text())
    (tmp_path / "part" / "submission.json").write_text(json.dumps(said | {"partial": False}))
    lines = verify(folder, tmp_path / "part", code=1)[0]["part"]
    assert any("missing, and it does not say that it is partial" in line for line in lines)


def test_a_strategy_that_is_not_in_the_pull_request_is_asked_for(home):
    folder, _ = home
    output = leadboard("verify", "--submission", folder / "sent", *cache(folder), "--count", 0, code=1)
    assert "FAIL code: strategies/mine.py is not here; add it to the pull request" in output


def test_no_submissions_are_no_fault(tmp_path):
    assert leadboard("verify", "--submission", tmp_path) == f"no submissions in {tmp_path}\n"
    assert "no folder" in leadboard("verify", "--submission", tmp_path / "gone", code=1)
    (tmp_path / "empty").mkdir()
    output = leadboard("verify", "--submission", tmp_path, code=1)
    assert "FAIL files: submission.json is missing" in output
    (tmp_path / "empty").rmdir()
    (tmp_path / "elsewhere").symlink_to("/etc")
    assert "elsewhere is no folder" in leadboard("verify", "--submission", tmp_path, code=1)


def test_mistakes_are_one_line(home, tmp_path):
    folder, _ = home
    options = [*SMALL, *mine(folder)]
    assert "no row or strategy 'nobody'" in leadboard("submit", "nobody", "board", *options, code=1)
    output = leadboard("submit", "finetune", "board", *options, code=1)
    assert "no row 'finetune'; of that strategy there are: simclr_finetuned" in output
    output = leadboard("submit", "simclr", "board", *options, code=1)
    assert (
        "0 of 4 evaluations of row 'simclr'" in output and "run `leadboard run board --scale smoke" in output
    )
    output = leadboard("submit", "mine", "board", *options, "-o", tmp_path / "my results", code=1)
    assert "name of the submission: String should match" in output
    shutil.copy(Path(suite.__file__).parents[1] / "suites" / "board.yaml", tmp_path / "own.yaml")
    output = leadboard("submit", "simclr", tmp_path / "own.yaml", *SMALL, *mine(folder)[2:], code=1)
    assert f"nobody else has {tmp_path / 'own.yaml'}" in output
    output = leadboard("verify", "--submission", tmp_path, "--records", 90, code=2)
    assert "a submission says its own records" in output


def test_every_option_is_said_by_a_submission_or_is_a_place():
    """A new option that decides about keys must be in `submission.json`."""
    elsewhere = {"data", "strategies", "store", "results", "cache", "device"}
    assert set(ASKED) | elsewhere == set(Options.__dataclass_fields__)


def test_verify_runs_cells_of_the_store_again(home, tmp_path):
    folder, _ = home
    store = shutil.copytree(folder / "store", tmp_path / "store")
    options = [*SMALL, *mine(folder)[:-1], store]
    output = leadboard("verify", "board", *options, "--count", 4)
    assert output.count("ok   ") == 4 and "cells checked: 4 same bits" in output
    key = keys(folder / "sent" / "mine", "predict")[0]
    content = Store(store).load(key)
    shutil.rmtree(Store(store).folder(key))
    forged = spoilt(content["scores.parquet"], best)
    Store(store).commit(key, {**content, "scores.parquet": forged})
    output = leadboard("verify", "board", *options, "--count", 9, code=1)
    assert f"FAIL predict {key[:12]} (board: mine on chapman-sim): differs; scores.parquet, score:" in output


def test_of_a_corpus_that_is_not_here_as_much_is_checked_as_can_be(tmp_path):
    data = realdata("ptbxl")
    asked = {"suites": ("board",), "scale": "smoke", "corpora": ("ptbxl",), "strategies": ("random_encoder",)}
    where = {"data": data, "store": tmp_path / "store", "cache": tmp_path / "cache", "device": "cpu"}
    session = Session(Options(**asked, **where), lambda what, done, total: None)
    assert not session.run(session.plan()).errors
    places = ["--cache", tmp_path / "cache", "--device", "cpu"]
    options = [
        "--scale",
        "smoke",
        "--corpus",
        "ptbxl",
        "--data",
        data,
        "--store",
        tmp_path / "store",
        *places,
    ]
    sent = tmp_path / "sent" / "real"
    leadboard("submit", "random_encoder", "board", *options, "-o", sent)
    output = leadboard("verify", "--submission", sent, *places)
    assert "open plan: ptbxl not here (--data FOLDER): plan, targets and training are not checked" in output
    assert "ok   code:" in output and "ok   records: the cells agree" in output
    found = leadboard("verify", "--submission", sent, "--data", data, *places)
    assert "open" not in found and "FAIL" not in found and "ok   training:" in found

    def relabel(table):
        table.loc[0, "target:NORM"] = 1 - table.loc[0, "target:NORM"]

    rewritten(sent, keys(sent, "predict")[0], relabel)
    assert "FAIL records: cells " in leadboard("verify", "--submission", sent, *places, code=1)
