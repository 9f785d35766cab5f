"""Files are found, broken ones are named and skipped, and code hashes see what matters and nothing else."""

from pathlib import Path

import pytest

from bench.run.registry import Registry, Source, code_hash, load_strategy

GOOD = '''
"""A strategy."""
from bench.train.strategy import Strategy

class Mine(Strategy):
    """One."""
    name = "mine"
    title = "Mine"

    def views(self, batch, generator):
        """Views."""
        return super().views(batch, generator)  # comment
'''


def write(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_extra_files_join_and_broken_ones_are_named(tmp_path):
    good = write(tmp_path, "mine.py", GOOD)
    broken = write(tmp_path, "broken.py", "import not_a_module_at_all\n")
    empty = write(tmp_path, "empty.py", "x = 1\n")
    exits = write(tmp_path, "exits.py", "raise SystemExit(3)\n")
    registry = Registry((good, broken, empty, exits))
    assert registry.get("mine").strategy.title == "Mine"
    reasons = {b.path.name: b.reason for b in registry.broken}
    assert reasons["broken.py"] == "ModuleNotFoundError: No module named 'not_a_module_at_all'"
    assert "defines no Strategy" in reasons["empty.py"]
    assert "SystemExit" in reasons["exits.py"]
    with pytest.raises(KeyError, match=r"strategy 'broken' is broken .*not_a_module_at_all"):
        registry.get("broken")
    with pytest.raises(KeyError, match="no strategy 'nobody'; there are: .*mine"):
        registry.get("nobody")


def test_a_folder_of_strategies(tmp_path):
    write(tmp_path, "mine.py", GOOD)
    write(tmp_path, "other.py", GOOD.replace("mine", "other").replace("Mine", "Other"))
    assert {"mine", "other"} <= set(Registry((tmp_path,)).found)


def test_a_source_loads_in_any_process_as_the_same_class(tmp_path):
    source = Source("mine.py", GOOD)
    assert load_strategy("mine", source) is load_strategy("mine", Source("mine.py", GOOD))


def test_comments_docstrings_and_format_do_not_change_the_hash():
    base = code_hash(source=Source("mine.py", GOOD))
    assert code_hash(source=Source("renamed.py", GOOD)) == base
    assert (
        code_hash(source=Source("mine.py", GOOD.replace("  # comment", "").replace("One.", "Two."))) == base
    )
    reformatted = GOOD.replace('= "mine"', '= (\n    "mine"\n)')
    assert code_hash(source=Source("mine.py", reformatted)) == base
    assert code_hash(source=Source("mine.py", GOOD.replace('"Mine"', '"Yours"'))) == base
    assert code_hash(source=Source("mine.py", GOOD.replace('"mine"', '"yours"'))) != base
    assert code_hash(source=Source("mine.py", GOOD.replace("super().views", "self.views"))) != base


def test_reached_modules_count_and_others_do_not(tmp_path, monkeypatch):
    import bench.run.registry as module

    base = code_hash("bench.train.build")

    def changed(name, text):
        module._tree.cache_clear(), module._tree_text.cache_clear(), module._module_imports.cache_clear()
        real = module._file

        def file(other):
            path = real(other)
            if other == name and path:
                copy = tmp_path / "copy.py"
                copy.write_text(path.read_text() + text)
                return copy
            return path

        monkeypatch.setattr(module, "_file", file)
        try:
            return code_hash("bench.train.build")
        finally:
            monkeypatch.undo()
            module._tree.cache_clear(), module._tree_text.cache_clear(), module._module_imports.cache_clear()

    assert changed("bench.nn.losses", "\nEXTRA = 1\n") != base
    assert changed("bench.nn.losses", "\n# a comment\n") == base
    assert changed("bench.nn.losses", '\n"""What the constant above means."""\n') == base
    assert changed("bench.run.plan", "\nEXTRA = 1\n") == base
    assert changed("strategies.simclr", "\nEXTRA = 1\n") == base


def test_the_projects_own_files_are_all_sound():
    assert Registry().broken == []
    assert all(f.path.exists() and isinstance(f.path, Path) for f in Registry().found.values())


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"mine"', '"simclr"', "the name 'simclr' is taken by simclr.py"),
        ('    title = "Mine"\n', "", "strategy 'mine' has no `title`"),
        ('"Mine"\n', '"Mine"\n    needs = {"labels"}\n', "is not a frozenset of Field members"),
        ('"Mine"\n', '"Mine"\n    labelled_only = True\n', "does not declare Field.LABELS"),
    ],
)
def test_a_file_that_declares_itself_wrongly_is_broken_and_skipped(tmp_path, old, new, reason):
    registry = Registry((write(tmp_path, "odd.py", GOOD.replace(old, new, 1)),))
    assert "mine" not in registry.found and reason in registry.broken[0].reason
    assert registry.get("simclr").kind == "strategy" and registry.get("simclr").source is None
