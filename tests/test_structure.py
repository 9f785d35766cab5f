"""The house keeps its shape: imports run one way, files stay small, heavy libraries load where they are used."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted(p for d in ("bench", "strategies", "baselines") for p in (ROOT / d).rglob("*.py"))

ALLOWED = {
    "data": {"data"},
    "nn": {"nn"},
    "metrics": {"metrics"},
    "train": {"train", "data", "nn"},
    "evaluate": {"evaluate", "train", "data", "nn", "metrics"},
    "run": {"run", "evaluate", "train", "data", "nn", "metrics"},
    "report": {"report", "run", "evaluate", "data", "metrics", "nn"},
}
LAZY = ("ray", "wfdb", "neurokit2", "seaborn", "matplotlib", "openpyxl", "umap", "scikit_posthocs")


def imported(path, top_level_only=False):
    nodes = ast.parse(path.read_text()).body if top_level_only else ast.walk(ast.parse(path.read_text()))
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_run_one_way(path):
    parts = path.relative_to(ROOT).parts
    ours = {name for name in imported(path) if name.split(".")[0] in ("bench", "strategies", "baselines")}
    if parts[0] in ("strategies", "baselines"):
        assert all(n == "bench.train.strategy" or n.startswith("bench.nn") for n in ours), ours
    elif len(parts) > 2 and parts[1] in ALLOWED:
        layers = {name.split(".")[1] for name in ours if name.startswith("bench.")}
        assert layers <= ALLOWED[parts[1]], layers
        assert not any(name.startswith(("strategies", "baselines")) for name in ours)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_heavy_libraries_are_imported_where_they_are_used(path):
    assert not [n for n in imported(path, top_level_only=True) if n.split(".")[0] in LAZY]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_can_be_held_in_the_head(path):
    assert len(path.read_text().splitlines()) <= 400


def test_training_needs_none_of_the_heavy_libraries():
    code = (
        "import sys; import bench.run.work, bench.run.execute, bench.run.plan, bench.cli; "
        f"print([m for m in {LAZY!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
