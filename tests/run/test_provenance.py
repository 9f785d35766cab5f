"""Memory is the cell's own, and any two states of the code can be told apart."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from bench.run import provenance
from bench.run.provenance import cell_provenance, code_state, source_hash, start_measuring

MIB = 2**20


def held(mebibytes):
    """Touch and free so much memory."""
    assert np.ones(mebibytes * MIB, np.uint8).sum() == mebibytes * MIB


def test_peak_memory_is_of_one_cell_not_of_the_largest_before_it():
    before = start_measuring("cpu")
    held(300)
    large = cell_provenance("cpu", 1.0, before)
    between = start_measuring("cpu")
    held(40)
    small = cell_provenance("cpu", 1.0, between)
    assert 290 < large["peak_memory_mib"] - large["memory_at_start_mib"] < 340
    assert 30 < small["peak_memory_mib"] - small["memory_at_start_mib"] < 80
    assert large["peak_memory_mib"] - small["peak_memory_mib"] > 200
    assert small["memory_at_start_mib"] == round(between.memory_mib, 1) > 100


def test_memory_that_was_freed_in_small_pieces_is_given_back_before_a_cell():
    from bench.run.work import keep_memory

    keep_memory()
    idle = start_measuring("cpu").memory_mib
    pieces = [np.ones(MIB, np.uint8) for _ in range(300)]
    busy = cell_provenance("cpu", 1.0, start_measuring("cpu"))["memory_at_start_mib"]
    del pieces
    assert busy - idle > 280
    assert start_measuring("cpu").memory_mib - idle < 60


def test_what_cannot_be_measured_is_none(monkeypatch):
    facts = cell_provenance("cpu", 2.0)
    assert facts["peak_memory_mib"] is None and facts["memory_at_start_mib"] is None
    write = Path.write_text

    def refused(path, text):
        if path.name == "clear_refs":
            raise PermissionError(13, "Permission denied")
        return write(path, text)

    monkeypatch.setattr(Path, "write_text", refused)
    assert start_measuring("cpu").memory_mib is None
    assert cell_provenance("cpu", 2.0, start_measuring("cpu"))["peak_memory_mib"] is None


def test_on_a_gpu_the_allocator_is_asked(monkeypatch):
    calls = []
    for name, answer in (
        ("init", None),
        ("reset_peak_memory_stats", None),
        ("memory_allocated", 3 * MIB),
        ("max_memory_allocated", 10 * MIB),
        ("get_device_name", "A GPU"),
    ):
        monkeypatch.setattr(
            provenance.torch.cuda, name, lambda *where, name=name, answer=answer: calls.append(name) or answer
        )
    start = start_measuring("cuda:1")
    assert calls == ["init", "reset_peak_memory_stats", "memory_allocated"]
    facts = cell_provenance("cuda:1", 1.0, start)
    assert (facts["peak_memory_mib"], facts["memory_at_start_mib"]) == (10.0, 3.0)
    assert (facts["accelerator"], facts["device"]) == ("cuda", "A GPU")


def test_a_gpu_that_is_not_there_fails_no_measuring(monkeypatch):
    def broken():
        raise RuntimeError("no NVIDIA driver")

    monkeypatch.setattr(provenance.torch.cuda, "init", broken)
    assert start_measuring("cuda").memory_mib is None


def test_seconds_versions_and_machine_are_told():
    facts = cell_provenance("cpu", 1.23456)
    assert facts["seconds"] == 1.2346 and facts["accelerator"] == "cpu" and facts["threads"] >= 1
    assert facts["packages"]["torch"] == provenance.torch.__version__ and facts["packages"]["pyarrow"]
    assert set(facts) >= {"commit", "modified", "source_hash", "python", "cpu", "cpu_capability", "finished"}


@pytest.fixture
def checkout(tmp_path):
    """A folder laid out like the project, with this module where it belongs."""
    root = tmp_path / "checkout"
    (root / "bench" / "run").mkdir(parents=True)
    (root / "strategies").mkdir()
    shutil.copy(provenance.__file__, root / "bench" / "run" / "provenance.py")
    (root / "strategies" / "one.py").write_text("A = 1\n")
    (root / "bench" / "suite.yaml").write_text("name: one\n")
    return root


def git(root, *arguments):
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    done = subprocess.run(
        ["git", "-C", str(root), *who, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def commit(root):
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "all")
    return git(root, "rev-parse", "HEAD")


def test_a_clean_checkout_is_its_commit(checkout):
    head = commit(checkout)
    assert code_state(checkout) == {"commit": head, "modified": False, "source_hash": None}
    (checkout / "README.md").write_text("words")
    (checkout / "bench" / "notes.txt").write_text("words")
    assert code_state(checkout)["modified"] is False


def test_two_changed_checkouts_are_told_apart(checkout):
    head, states = commit(checkout), []
    for text in ("A = 2\n", "A = 3\n"):
        (checkout / "strategies" / "one.py").write_text(text)
        states.append(code_state(checkout))
    assert [(state["commit"], state["modified"]) for state in states] == [(head, True)] * 2
    assert states[0]["source_hash"] != states[1]["source_hash"]


def test_a_new_or_removed_file_is_a_change(checkout):
    commit(checkout)
    (checkout / "strategies" / "two.py").write_text("B = 1\n")
    with_new = code_state(checkout)
    assert with_new["modified"] is True
    (checkout / "strategies" / "two.py").unlink()
    (checkout / "bench" / "suite.yaml").unlink()
    without = code_state(checkout)
    assert without["modified"] is True and without["source_hash"] != with_new["source_hash"]


def test_code_that_git_does_not_know_has_a_hash_and_no_commit(checkout, monkeypatch):
    expected = {"commit": None, "modified": None, "source_hash": source_hash(checkout)}
    assert code_state(checkout) == expected
    (checkout.parent / ".gitignore").write_text("checkout\n")
    git(checkout.parent, "init", "-q")
    git(checkout.parent, "add", ".")
    git(checkout.parent, "commit", "-q", "-m", "an installed package within another project")
    assert code_state(checkout) == expected
    monkeypatch.setenv("PATH", "")
    assert code_state(checkout) == expected


def test_another_checkout_in_the_environment_is_not_asked(checkout, tmp_path, monkeypatch):
    head = commit(checkout)
    (tmp_path / "other").mkdir()
    git(tmp_path / "other", "init", "-q")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    assert code_state(checkout)["commit"] == head


def test_the_source_hash_is_over_names_and_texts_in_order(checkout):
    found = [
        ("bench/run/provenance.py", (checkout / "bench/run/provenance.py").read_bytes()),
        ("bench/suite.yaml", b"name: one\n"),
        ("strategies/one.py", b"A = 1\n"),
    ]
    by_hand = b"".join(name.encode() + b"\0%d\0" % len(text) + text for name, text in found)
    assert source_hash(checkout) == hashlib.sha256(by_hand).hexdigest()
    (checkout / "bench" / "table.csv").write_text("1")
    (checkout / "strategies" / "one.py").write_bytes(b"A = 1\r\n")
    assert source_hash(checkout) == hashlib.sha256(by_hand).hexdigest()
    (checkout / "strategies" / "one.py").rename(checkout / "strategies" / "won.py")
    assert source_hash(checkout) != hashlib.sha256(by_hand).hexdigest()
