"""Finished cells of a tiny plan, and what befalls them: for tests of checking, repeating and merging stores."""

import json
import shutil

from bench.run.execute import InlineExecutor, execute
from bench.run.store import Store

ALL_STAGES = {"seeds": 1, "groupings": ["means"], "entries": ["noise", "head", "untrained"]}


def run(plan, root, **options):
    """A store with everything of a plan that `options` let run."""
    store = Store(root)
    progress = execute(plan, store, InlineExecutor, **options)
    assert not progress.errors
    return store


def copied(store, root):
    """The same cells elsewhere, to be spoilt."""
    shutil.copytree(store.root, root)
    return Store(root)


def rewrite(store, key, files):
    """Put other files in place of some of a finished cell's; None takes one away. Sizes are told as they are then."""
    kept = {**store.load(key), **files}
    shutil.rmtree(store.folder(key))
    store.commit(key, {name: content for name, content in kept.items() if content is not None})


def made_by(store, key, **facts):
    """The provenance of a finished cell with other facts, as bytes."""
    told = json.loads(store.read(key, "provenance.json"))
    packages = told["packages"] | facts.pop("packages", {})
    return json.dumps(told | {"packages": packages} | facts).encode()


def cells(plan, stage):
    """Keys of a stage, in the plan's order."""
    return [key for key, job in plan.jobs.items() if job.cell.stage == stage]


def bytes_of(store):
    """Every file of every finished cell, manifests too."""
    folders = [store.folder(key) for key in list(store.keys())]
    return {(folder.name, path.name): path.read_bytes() for folder in folders for path in folder.iterdir()}
