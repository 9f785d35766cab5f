"""What machines made in parts is, merged, what one would have made; nothing else gets in, and nothing is lost."""

import errno
import json
import os
import shutil

import pytest

from bench.run.integrity import check_store
from bench.run.merge import Fate, merge
from bench.run.store import Store, StoreError
from bench.run.verify import Finding, verify
from tests.run.stored import ALL_STAGES, bytes_of, cells, copied, made_by, rewrite, run


@pytest.fixture(scope="module")
def halves(tiny, tmp_path_factory):
    """A plan, all of it in one store, and the same rows run apart in two."""
    folder, plan = tmp_path_factory.mktemp("merge"), tiny.plan(**ALL_STAGES)
    rows = {"first": {"noise", "untrained"}, "second": {"head"}}
    parts = [run(plan, folder / name, only=frozenset(labels)) for name, labels in rows.items()]
    return plan, run(plan, folder / "whole"), parts


@pytest.fixture
def first(halves, tmp_path):
    """A copy of the first half, to be spoilt."""
    return copied(halves[2][0], tmp_path / "first")


def results(store):
    """All bytes but times, which two runs of one cell do not share; nor do the sizes of the files they are in."""
    return {
        place: content
        for place, content in bytes_of(store).items()
        if place[1] not in ("provenance.json", "manifest.json")
    }


def test_two_halves_merge_to_what_one_run_gives(halves, tmp_path):
    plan, whole, parts = halves
    merged, seen = Store(tmp_path / "merged"), []
    done = merge([part.root for part in parts], merged, seen.append)
    assert bytes_of(merged) == bytes_of(parts[0]) | bytes_of(parts[1])
    assert results(merged) == results(whole) and set(merged.keys()) == set(plan.jobs)
    assert (done.copied, done.kept, done.differing, done.refused) == (len(plan.jobs), 0, (), ())
    assert [one.fate for one in seen] == [Fate.COPIED] * len(plan.jobs)
    assert check_store(merged) == []
    assert {one.outcome for one in verify(plan, merged, 4, 0)} == {Finding.SAME}


def test_the_order_of_the_sources_does_not_matter_nor_does_ours_come_first(halves, tmp_path):
    _, _, parts = halves
    turned = Store(tmp_path / "turned")
    merge([part.root for part in reversed(parts)], turned)
    into_half = copied(parts[1], tmp_path / "half")
    merge([parts[0].root], into_half)
    assert bytes_of(turned) == bytes_of(into_half) == bytes_of(parts[0]) | bytes_of(parts[1])


def test_sources_stay_as_they_are(halves, tmp_path):
    _, _, parts = halves
    before = (
        [sorted(path for path in part.root.rglob("*")) for part in parts],
        [bytes_of(part) for part in parts],
    )
    merge([part.root for part in parts], Store(tmp_path / "merged"))
    after = (
        [sorted(path for path in part.root.rglob("*")) for part in parts],
        [bytes_of(part) for part in parts],
    )
    assert after == before


def test_merging_again_changes_nothing(halves, tmp_path):
    plan, whole, parts = halves
    merged = copied(parts[0], tmp_path / "merged")
    first = merge([whole.root], merged)
    assert (first.copied, first.kept, first.differing) == (
        len(list(parts[1].keys())), len(list(parts[0].keys())), ()
    )  # fmt: skip
    times = {path: path.stat().st_mtime_ns for path in merged.root.rglob("*")}
    again = merge([whole.root], merged)
    assert (again.copied, again.kept) == (0, len(plan.jobs))
    assert times == {path: path.stat().st_mtime_ns for path in merged.root.rglob("*")}


def test_killed_half_way_and_repeated(halves, tmp_path):
    plan, _, parts = halves
    merged, sources = Store(tmp_path / "merged"), [part.root for part in parts]

    def kill(one):
        if len(list(merged.keys())) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        merge(sources, merged, kill)
    assert len(list(merged.keys())) == 5 and check_store(merged) == []
    done = merge(sources, merged)
    assert (done.copied, done.kept) == (len(plan.jobs) - 5, 5)
    assert bytes_of(merged) == bytes_of(parts[0]) | bytes_of(parts[1])


def test_a_full_disk_is_one_line_and_loses_nothing(halves, tmp_path, monkeypatch):
    plan, _, parts = halves
    merged, sources, sync, calls = Store(tmp_path / "merged"), [part.root for part in parts], os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) > 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError) as error:
        merge(sources, merged)
    have = len(list(merged.keys()))
    assert str(error.value) == (
        f"cannot write to the store {merged.root}: No space left on device; {have} cells were merged, repeat to go on"
    )
    assert have == 3 and check_store(merged) == [] and merged.sweep(0) == 0
    monkeypatch.setattr(os, "fsync", sync)
    assert merge(sources, merged).copied == len(plan.jobs) - have


def test_a_cell_with_other_results_is_told_and_ours_is_kept(halves, first, tmp_path):
    plan, whole, _ = halves
    merged, key = copied(whole, tmp_path / "merged"), cells(plan, "embed")[0]
    facts = {"cpu": "abacus\x1b[2J", "finished": "1999", "packages": {"torch": "0.1"}, "commit": "c" * 40}
    rewrite(first, key, {"embeddings.npy": b"other", "provenance.json": made_by(first, key, **facts)})
    before = bytes_of(merged)
    done = merge([first.root], merged)
    assert bytes_of(merged) == before and done.copied == 0 and done.kept == len(list(first.keys())) - 1
    (one,) = done.differing
    machine = json.loads(merged.read(key, "provenance.json"))
    assert str(one) == (
        f"{first.root}, cell {key[:12]}: differs in embeddings.npy: made by torch 0.1, {machine['device']},"
        f" abacus?[2J, {machine['cpu_capability']}, commit ccccccc, finished 1999; ours is kept"
    )


def test_our_own_damaged_cell_is_told_as_such(halves, tmp_path):
    plan, whole, parts = halves
    merged, key = copied(whole, tmp_path / "merged"), cells(plan, "embed")[0]
    (merged.folder(key) / "embeddings.npy").write_bytes(b"")
    (one,) = merge([parts[0].root], merged).differing
    assert one.detail.startswith("ours is damaged, embeddings.npy has 0 bytes in place of ")
    assert one.detail.endswith(f"; remove {merged.folder(key)} and merge again")
    shutil.rmtree(merged.folder(key))
    assert merge([parts[0].root], merged).copied == 1


def test_what_is_damaged_or_tampered_with_is_refused_and_others_go_on(first, tmp_path):
    keys = list(first.keys())
    rewrite(
        first, keys[0], {"cell.json": json.dumps(first.read_json(keys[0], "cell.json") | {"x": 1}).encode()}
    )
    (first.folder(keys[1]) / "provenance.json").write_bytes(b"{}")
    (first.folder(keys[2]) / "manifest.json").unlink()
    shutil.copytree(first.folder(keys[3]), first.folder("ab" * 32))
    shutil.copytree(first.folder(keys[3]), first.root / "cells" / "zz" / "no key\n")
    (first.root / "cells" / "note.txt").write_text("stray")
    merged = Store(tmp_path / "merged")
    done = merge([first.root], merged)
    assert set(merged.keys()) == set(keys[3:]) and done.copied == len(keys) - 3
    told = {one.key: one.detail for one in done.refused}
    assert told.pop(keys[1]).startswith("refused, provenance.json has 2 bytes in place of ")
    assert told == {
        keys[0]: "refused, its cell.json is that of another cell",
        keys[2]: "refused, it is not finished",
        "ab" * 32: "refused, its cell.json is that of another cell",
        "no key\n": "refused, its name is no key",
        "note.txt": "refused, its name is no key",
    }
    assert all("\n" not in str(one) for one in done.refused)


@pytest.mark.parametrize("name", ["../../../../escaped", "/escaped", "sub/file"])
def test_no_name_leads_out_of_a_cell(first, tmp_path, name):
    key = next(iter(first.keys()))
    (tmp_path / "escaped").write_bytes(b"secret")
    name = name if name != "/escaped" else str(tmp_path / "escaped")
    manifest = first.folder(key) / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {name: 6}))
    merged = Store(tmp_path / "merged")
    (one,) = merge([first.root], merged).refused
    assert one.key == key and "which is no file of a cell" in one.detail and not merged.has(key)


def test_no_link_is_followed(first, tmp_path):
    keys, secret = list(first.keys()), tmp_path / "secret"
    path = first.folder(keys[0]) / "cell.json"
    shutil.move(path, secret)
    path.symlink_to(secret)
    shutil.move(first.folder(keys[1]), tmp_path / keys[1])
    first.folder(keys[1]).symlink_to(tmp_path / keys[1])
    shutil.move(first.folder(keys[2]).parent, tmp_path / keys[2][:2])
    first.folder(keys[2]).parent.symlink_to(tmp_path / keys[2][:2])
    merged = Store(tmp_path / "merged")
    done = merge([first.root], merged)
    assert not any(merged.has(key) for key in keys[:3])
    details = [one.detail for one in done.refused]
    assert {keys[0], keys[1], keys[2][:2]} <= {one.key for one in done.refused}
    assert details.count("refused, it is a link, which is not followed") == 2
    assert "refused, cell.json is no plain file" in details
    (first.root / "cells").rename(tmp_path / "moved")
    (first.root / "cells").symlink_to(tmp_path / "moved")
    with pytest.raises(StoreError, match=r"cells is a link, which merge does not follow; name the store"):
        merge([first.root], merged)


def test_a_source_that_is_no_store_is_one_line_and_nothing_is_copied(first, tmp_path):
    merged = Store(tmp_path / "merged")
    (tmp_path / "empty").mkdir()
    for source, said in (
        (tmp_path / "gone", "no folder .*gone"),
        (tmp_path / "empty", "empty is no store: it has no folder cells"),
        (first.root / "cells", "cells is no store"),
    ):
        with pytest.raises(StoreError, match=said):
            merge([first.root, source], merged)
    assert not merged.root.exists()
    with pytest.raises(StoreError, match="is the store that is merged into"):
        merge([first.root / ".." / first.root.name], first)


def test_failures_views_and_leftovers_stay_where_they_are(first, tmp_path):
    key = "cd" * 32
    first.fail(key, "failed", "boom", "trace")
    first.keep_view(next(iter(first.keys())), "v1", {"auroc": 1.0})
    (first.root / "cells" / "cd" / f".{key}.12345678").mkdir(parents=True)
    merged = Store(tmp_path / "merged")
    assert merge([first.root], merged).refused == ()
    assert [path.name for path in merged.root.iterdir() if path.name != "failed"] == ["cells"]
    assert merged.failure(key) is None and merged.sweep(0) == 0


def test_a_merged_cell_ends_our_failure_of_it(first, tmp_path):
    merged, key = Store(tmp_path / "merged"), next(iter(first.keys()))
    merged.fail(key, "failed", "boom", "trace")
    merge([first.root], merged)
    assert merged.failure(key) is None and merged.has(key)


TOLD = ("cell.json", "fit.json", "provenance.json")


def noted(source, plan, root):
    """A store with a note of a fit, and the fit's key."""
    store, key = Store(root), cells(plan, "fit")[0]
    store.note(key, {name: source.read(key, name) for name in TOLD})
    return store, key


def test_notes_are_brought_and_a_whole_cell_outdoes_them(halves, tmp_path):
    plan, whole, _ = halves
    source, key = noted(whole, plan, tmp_path / "noted")
    merged = Store(tmp_path / "merged")
    done = merge([source.root], merged)
    assert (done.noted, done.copied) == (1, 0) and list(merged.notes()) == [key]
    assert merged.describes(key) and not merged.has(key)
    assert all(merged.read(key, name) == whole.read(key, name) for name in TOLD)
    assert merge([source.root], merged).kept == 1
    assert merge([whole.root], merged).copied == len(plan.jobs) and merged.has(key)
    assert merge([source.root], merged).kept == 1


def test_a_note_of_other_results_is_told(halves, tmp_path):
    plan, whole, _ = halves
    source, key = noted(whole, plan, tmp_path / "noted")
    merged = Store(tmp_path / "merged")
    files = {name: whole.read(key, name) for name in TOLD}
    merged.note(key, files | {"fit.json": b'{"steps": 1}'})
    for ours in (merged, copied(whole, tmp_path / "whole")):
        if ours is not merged:
            rewrite(ours, key, {"fit.json": b'{"steps": 1}'})
        (one,) = merge([source.root], ours).differing
        assert one.key == key and one.detail.startswith("differs in fit.json: made by torch ")
        assert ours.read(key, "fit.json") == b'{"steps": 1}'


def test_a_tampered_note_is_refused(halves, tmp_path):
    plan, whole, _ = halves
    source, key = noted(whole, plan, tmp_path / "noted")
    folder = source.root / "notes" / key[:2] / key
    (folder / "fit.json").write_bytes(b"{}")
    merged = Store(tmp_path / "merged")
    (one,) = merge([source.root], merged).refused
    assert one.detail.startswith("refused, fit.json has 2 bytes in place of ") and not merged.describes(key)
