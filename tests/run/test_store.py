"""A cell exists only if complete; nothing half-written survives; the first of two drivers wins."""

import multiprocessing
import os
import signal
import time

import pytest

from bench.run.store import Store, StoreError

KEY = "ab" + "0" * 62


def test_what_is_committed_is_read_back(tmp_path):
    store = Store(tmp_path / "store")
    assert not store.has(KEY)
    store.fail(KEY, "failed", "boom", "trace")
    assert store.failure(KEY)["error"] == "boom"
    store.commit(KEY, {"a.bin": b"\x00\x01", "cell.json": b'{"x": 1}'})
    assert store.has(KEY) and list(store.keys()) == [KEY]
    assert store.load(KEY) == {"a.bin": b"\x00\x01", "cell.json": b'{"x": 1}'}
    assert store.read_json(KEY, "cell.json") == {"x": 1}
    assert store.failure(KEY) is None


def test_the_first_writer_wins_and_the_second_is_no_error(tmp_path):
    store = Store(tmp_path)
    store.commit(KEY, {"a": b"first"})
    store.commit(KEY, {"a": b"second"})
    assert store.read(KEY, "a") == b"first"
    assert store.sweep(0) == 0


def test_reading_what_is_not_there_is_one_clear_line(tmp_path):
    with pytest.raises(StoreError, match=r"has no a\.bin of cell ab0000000000"):
        Store(tmp_path).read(KEY, "a.bin")


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    store = Store(tmp_path)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="cannot write to the store .*No space left on device"):
        store.commit(KEY, {"a": b"x"})
    assert not store.has(KEY) and list(store.keys()) == [] and store.sweep(0) == 0


def _write_for_ever(root):
    store, n = Store(root), 0
    while True:
        store.commit(f"{n:064x}", {f"{i}.bin": os.urandom(20_000) for i in range(5)})
        n += 1


def test_killed_while_writing(tmp_path):
    process = multiprocessing.get_context("spawn").Process(target=_write_for_ever, args=(tmp_path,))
    process.start()
    store = Store(tmp_path)
    deadline = time.time() + 60
    while len(list(store.keys())) < 20 and time.time() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    keys = list(store.keys())
    assert len(keys) >= 20
    assert all(sorted(store.load(k)) == [f"{i}.bin" for i in range(5)] for k in keys)
    assert all(len(content) == 20_000 for k in keys for content in store.load(k).values())
    assert store.sweep(0) <= 1
    assert list(store.keys()) == keys


def test_views_are_kept_beside_cells_and_may_vanish(tmp_path):
    store = Store(tmp_path)
    assert store.view(KEY, "v1") is None
    store.keep_view(KEY, "v1", {"auroc": 0.5})
    assert store.view(KEY, "v1") == {"auroc": 0.5}
    path = next((store.root / "views").rglob("v1.json"))
    whole = path.read_bytes()
    for damaged in (b"", b"\xff\xfe\x00", b"{}", b"[1]", whole.replace(b"0.5", b"0.9")):
        path.write_bytes(damaged)
        assert store.view(KEY, "v1") is None
    path.write_bytes(whole)
    assert list(store.keys()) == []


def test_a_copy_that_broke_off_is_no_finished_cell_and_is_written_again(tmp_path):
    store = Store(tmp_path)
    store.folder(KEY).mkdir(parents=True)
    (store.folder(KEY) / "a").write_bytes(b"half")
    assert not store.has(KEY) and list(store.keys()) == []
    store.commit(KEY, {"a": b"whole"})
    assert store.load(KEY) == {"a": b"whole"}


def test_a_damaged_cell_is_named(tmp_path):
    store = Store(tmp_path)
    store.commit(KEY, {"a": b"whole", "b.json": b"{}"})
    (store.folder(KEY) / "a").write_bytes(b"who")
    with pytest.raises(StoreError, match="cell ab0000000000 is damaged; remove"):
        store.load(KEY)
    (store.folder(KEY) / "b.json").write_bytes(b"{")
    with pytest.raises(StoreError, match="b.json of cell ab0000000000 is damaged"):
        store.read_json(KEY, "b.json")


def test_sweeping_leaves_another_drivers_work_alone(tmp_path):
    store = Store(tmp_path)
    other = store.folder(KEY).parent / f".{KEY}.12345678"
    other.mkdir(parents=True)
    assert store.sweep() == 0 and other.is_dir()
    os.utime(other, (0, 0))
    assert store.sweep() == 1 and not other.exists()


def test_a_cell_is_stamped_when_it_is_placed(tmp_path):
    store = Store(tmp_path)
    assert store.stamp(KEY) == 0
    store.note(KEY, {"fit.json": b"{}"})
    noted = store.stamp(KEY)
    store.commit(KEY, {"fit.json": b"{}"})
    assert 0 < noted <= store.stamp(KEY)


def test_a_note_can_be_read_but_is_no_finished_cell(tmp_path):
    store = Store(tmp_path)
    assert not store.describes(KEY)
    store.note(KEY, {"fit.json": b'{"steps": 3}'})
    assert store.describes(KEY) and not store.has(KEY)
    assert list(store.notes()) == [KEY] and list(store.keys()) == []
    assert store.read_json(KEY, "fit.json") == {"steps": 3}
    with pytest.raises(StoreError, match=r"has no state\.pt"):
        store.read(KEY, "state.pt")
    store.commit(KEY, {"fit.json": b'{"steps": 4}', "state.pt": b"x"})
    assert store.read_json(KEY, "fit.json") == {"steps": 4} and store.has(KEY)
