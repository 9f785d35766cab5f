"""A cell is sound if its key, names and sizes hold; whatever is not is named, and nothing leads elsewhere."""

import json
import os
import shutil

import pytest

from bench.run.integrity import (
    Fault,
    Unsound,
    assert_sound,
    check_store,
    key_of,
    load_note,
    load_sound,
    printable,
)
from tests.run.stored import ALL_STAGES, cells, copied, rewrite, run


@pytest.fixture(scope="module")
def finished(tiny, tmp_path_factory):
    plan = tiny.plan(**ALL_STAGES)
    return plan, run(plan, tmp_path_factory.mktemp("sound") / "store")


@pytest.fixture
def spoilt(finished, tmp_path):
    """A copy, one of its cells, and what is said of that cell."""
    plan, store = finished
    store = copied(store, tmp_path / "spoilt")
    key = cells(plan, "predict")[0]

    def why():
        with pytest.raises(Unsound) as fault:
            load_sound(store.folder(key), key)
        return str(fault.value)

    return store, key, why


def test_every_cell_of_a_store_is_looked_at(finished):
    plan, store = finished
    seen = []
    assert check_store(store, on_cell=seen.append) == []
    assert set(seen) == set(plan.jobs)
    wanted = ["f" * 64, *cells(plan, "fit")]
    seen.clear()
    assert check_store(store, wanted, seen.append) == [] and seen == cells(plan, "fit")


def test_a_key_is_the_hash_of_the_description_without_its_schema(finished):
    plan, store = finished
    assert all(key_of(store.read_json(key, "cell.json")) == key for key in plan.jobs)


def test_a_sound_cell_is_loaded_in_the_order_it_was_written_in(finished):
    plan, store = finished
    for key in plan.jobs:
        listed = json.loads((store.folder(key) / "manifest.json").read_bytes())
        files = load_sound(store.folder(key), key)
        assert list(files) == list(listed) and files == store.load(key)
        assert assert_sound(store.folder(key), key) == {name: len(content) for name, content in files.items()}


def test_a_changed_description_is_found(spoilt):
    store, key, why = spoilt
    description = store.read_json(key, "cell.json") | {"seed_index": 7}
    rewrite(store, key, {"cell.json": json.dumps(description).encode()})
    assert why() == "its cell.json is that of another cell"
    assert check_store(store) == [Fault(key, why())]


def test_a_file_of_another_size_is_found_without_reading_it(spoilt):
    store, key, why = spoilt
    path = store.folder(key) / "scores.parquet"
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-1])
    assert why() == f"scores.parquet has {size - 1:,} bytes in place of {size:,}"
    assert check_store(store, [key]) == [Fault(key, why())]
    os.truncate(path, size)
    assert check_store(store, [key]) == []
    path.unlink()
    assert why() == "scores.parquet is missing"


@pytest.mark.parametrize("name", ["cell.json", "provenance.json", "scores.parquet", "predict.json"])
def test_a_cell_without_one_of_its_stages_files_is_not_whole(spoilt, name):
    store, key, why = spoilt
    rewrite(store, key, {name: None})
    assert why() == f"it has no {name}"


@pytest.mark.parametrize(
    "name", ["../escape", "/etc/passwd", "a/b", "a\\b", "..", ".hidden", "", "manifest.json"]
)
def test_a_name_that_leads_elsewhere_is_refused(spoilt, name):
    store, key, why = spoilt
    manifest = store.folder(key) / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {name: 1}))
    assert why() == f"its manifest names {name!r}, which is no file of a cell"


@pytest.mark.parametrize(("content", "said"), [
    (b"{", "manifest.json is no JSON"),
    (b"\xff", "manifest.json is no JSON"),
    (b"[" * 100_000, "manifest.json is no JSON"),
    (b"[]", "manifest.json is no JSON object"),
    (b'{"cell.json": "1", "provenance.json": 2}', "its manifest has no size of cell.json"),
    (b'{"cell.json": true, "provenance.json": 2}', "its manifest has no size of cell.json"),
    (b'{"cell.json": -1, "provenance.json": 2}', "its manifest has no size of cell.json"),
])  # fmt: skip
def test_a_manifest_that_is_none_is_refused(spoilt, content, said):
    store, key, why = spoilt
    (store.folder(key) / "manifest.json").write_bytes(content)
    assert why() == said


def test_a_copy_that_broke_off_is_not_finished(spoilt):
    store, key, why = spoilt
    (store.folder(key) / "manifest.json").unlink()
    assert why() == "it is not finished" and check_store(store) == []


@pytest.mark.parametrize("name", ["scores.parquet", "cell.json", "manifest.json"])
def test_no_link_and_no_pipe_is_read(spoilt, tmp_path, name):
    store, key, why = spoilt
    path, elsewhere = store.folder(key) / name, tmp_path / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    assert why() == f"{name} is no plain file"
    path.unlink()
    os.mkfifo(path)
    assert why() == f"{name} is no plain file"


@pytest.mark.parametrize("level", [0, 1])
def test_no_folder_that_is_a_link_is_entered(spoilt, tmp_path, level):
    store, key, why = spoilt
    folder = [store.folder(key), store.folder(key).parent][level]
    shutil.move(folder, tmp_path / "moved")
    folder.symlink_to(tmp_path / "moved")
    assert why() == "it is a link, which is not followed"


def test_a_folder_of_another_name_is_no_cell(spoilt):
    store, key, _ = spoilt
    for name in ("x" * 64, key[:-1], key.upper(), "ff" + key[2:]):
        folder = store.folder(key).with_name(name)
        store.folder(key).rename(folder)
        with pytest.raises(Unsound, match="its name is no key"):
            load_sound(folder, name)
        folder.rename(store.folder(key))


def test_a_damaged_provenance_is_found(spoilt):
    store, key, why = spoilt
    rewrite(store, key, {"provenance.json": b"[1]"})
    assert why() == "provenance.json is no JSON object"


def test_a_note_needs_no_weights_but_its_description(spoilt, finished, tmp_path):
    store, _, _ = spoilt
    key = cells(finished[0], "fit")[0]
    rewrite(store, key, {"state.pt": None, "health.csv": None})
    with pytest.raises(Unsound, match=r"it has no state\.pt"):
        load_sound(store.folder(key), key)
    assert set(load_note(store.folder(key), key)) == {"cell.json", "fit.json", "provenance.json"}
    rewrite(store, key, {"fit.json": b"{"})
    with pytest.raises(Unsound, match=r"fit\.json is no JSON"):
        load_note(store.folder(key), key)
    rewrite(store, key, {"fit.json": b"{}", "cell.json": b"{}"})
    with pytest.raises(Unsound, match="that of another cell"):
        load_note(store.folder(key), key)


def test_strangers_words_are_one_short_line():
    assert printable("torch 2.13\n\x1b[2Jgone") == "torch 2.13??[2Jgone"
    assert printable("x" * 81) == "x" * 77 + "..." and printable("x" * 80) == "x" * 80
    assert printable(None) == "None"
