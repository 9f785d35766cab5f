"""Finds strategies, baselines and encoders by looking at files; a broken file is reported, never fatal."""

import ast
import hashlib
import importlib
import importlib.util
import inspect
import pkgutil
import sys
import traceback
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from types import ModuleType

from bench.nn.encoder import Encoder
from bench.train.external import FromCheckpoint
from bench.train.strategy import Field, Strategy

PACKAGES = ("bench", "strategies", "baselines")
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Source:
    """A strategy file as text, so that a worker on another machine can load it: file name and content.

    Attributes:
        folder: where the file lies, from which an adapter names its checkpoint.
    """

    filename: str
    text: str
    folder: str = ""


@dataclass(frozen=True)
class Found:
    """A strategy or baseline found in a file.

    Attributes:
        kind: 'strategy' or 'baseline'.
        source: for files outside the project's packages; None when importable.
    """

    strategy: type[Strategy]
    kind: str
    path: Path
    source: Source | None = None


@dataclass(frozen=True)
class Broken:
    """A file that holds no usable strategy: where, and why in one line."""

    path: Path
    reason: str
    traceback: str


class Registry:
    """Every strategy and baseline of the project, plus extra files.

    Args:
        extra: files or folders given with `--strategy`; a name that is taken already is an error of the file.
    """

    def __init__(self, extra: tuple[Path, ...] = ()) -> None:
        self.found: dict[str, Found] = {}
        self.broken: list[Broken] = []
        for package, kind in (("strategies", "strategy"), ("baselines", "baseline")):
            module = importlib.import_module(package)
            for info in sorted(pkgutil.iter_modules(module.__path__), key=lambda item: item.name):
                path = Path(module.__path__[0]) / f"{info.name}.py"
                if not info.name.startswith("_") and path.exists():
                    self._add(path, kind, f"{package}.{info.name}")
        for path in extra:
            for file in sorted(path.glob("*.py")) if path.is_dir() else [path]:
                self._add(file, "strategy", None)

    def _add(self, path: Path, kind: str, module_name: str | None) -> None:
        try:
            source = None
            if module_name:
                module = importlib.import_module(module_name)
            else:
                source = Source(path.name, path.read_text(), str(path.resolve().parent))
                module = load_source(source)
            strategies = strategies_of(module)
            if not strategies:
                raise ValueError("it defines no Strategy with a `name`")
            for strategy in strategies:
                _assert_declared(strategy)
                taken = self.found.get(strategy.name)
                if taken is not None and taken.path.resolve() != path.resolve():
                    raise ValueError(f"the name {strategy.name!r} is taken by {taken.path.name}")
            for strategy in strategies:
                if strategy.name in self.found:
                    continue
                self.found[strategy.name] = Found(strategy, kind, path, source)
        except (Exception, SystemExit) as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            self.broken.append(Broken(path, reason, traceback.format_exc()))

    def get(self, name: str) -> Found:
        """A strategy by name; raises KeyError with what there is."""
        if name not in self.found:
            broken = next((b for b in self.broken if b.path.stem == name), None)
            if broken:
                raise KeyError(f"strategy {name!r} is broken ({broken.path}: {broken.reason})")
            raise KeyError(f"no strategy {name!r}; there are: {', '.join(sorted(self.found))}")
        return self.found[name]


def _assert_declared(strategy: type[Strategy]) -> None:
    """Refuse a strategy whose class attributes are missing or of the wrong kind."""
    if not isinstance(getattr(strategy, "title", None), str):
        raise ValueError(f"strategy {strategy.name!r} has no `title`")
    for name in ("needs", "needs_at_test"):
        fields = getattr(strategy, name)
        if not isinstance(fields, frozenset) or not all(isinstance(f, Field) for f in fields):
            raise ValueError(f"`{name}` of {strategy.name!r} is not a frozenset of Field members")
    if "init" in strategy.embeddings_of or set(strategy.parents) & set(strategy.embeddings_of):
        raise ValueError(f"`embeddings_of` of {strategy.name!r} names 'init' or a role of `parents`")
    if strategy.labelled_only and Field.LABELS not in strategy.needs:
        raise ValueError(
            f"{strategy.name!r} trains on labelled records alone but does not declare Field.LABELS"
        )
    reason = strategy.undeclared() if issubclass(strategy, FromCheckpoint) else None
    if reason:
        raise ValueError(reason)


def strategies_of(module: ModuleType) -> list[type[Strategy]]:
    """The concrete strategies a module itself defines."""
    return [
        item
        for item in vars(module).values()
        if inspect.isclass(item)
        and issubclass(item, Strategy)
        and item.__module__ == module.__name__
        and isinstance(getattr(item, "name", None), str)
    ]


@lru_cache(maxsize=64)
def load_source(source: Source) -> ModuleType:
    """Execute a strategy file's text as a module of its own."""
    told = f"{source.folder}/{source.filename}\n{source.text}"
    name = f"leadboard_extra_{hashlib.sha256(told.encode()).hexdigest()[:16]}"
    module = ModuleType(name)
    module.__file__ = str(Path(source.folder) / source.filename)
    sys.modules[name] = module
    try:
        exec(compile(source.text, source.filename, "exec"), vars(module))
    except BaseException:
        del sys.modules[name]
        raise
    return module


def load_strategy(name: str, source: Source | None) -> type[Strategy]:
    """A strategy class in whatever process this is."""
    if source is not None:
        return next(s for s in strategies_of(load_source(source)) if s.name == name)
    return _project().get(name).strategy


@lru_cache(maxsize=1)
def _project() -> Registry:
    return Registry()


@lru_cache(maxsize=1)
def encoders() -> dict[str, type[Encoder]]:
    """Every encoder by name."""
    package = importlib.import_module("bench.nn.encoders")
    result: dict[str, type[Encoder]] = {}
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"bench.nn.encoders.{info.name}")
        for item in vars(module).values():
            if inspect.isclass(item) and issubclass(item, Encoder) and item.__module__ == module.__name__:
                result[item.name] = item
    return result


def code_hash(*modules: str, source: Source | None = None, alone: tuple[str, ...] = ()) -> str:
    """SHA-256 of the syntax trees, docstrings stripped, of modules and of all project modules they reach.

    Comments, formatting, docstrings, titles, citations, deviations and what an external checkpoint is said to have seen
    do not count; a file that nothing here imports does not either. Modules `alone` count without what they import.
    """
    trees = {module: _tree_text(module) for module in {*_reach(modules, source), *alone}}
    digest = hashlib.sha256()
    if source is not None:
        digest.update(_stripped(ast.parse(source.text)).encode())
    for module in sorted(trees):
        digest.update(f"{module}\n{trees[module]}\n".encode())
    return digest.hexdigest()


def _reach(modules: tuple[str, ...], source: Source | None) -> set[str]:
    waiting = list(modules)
    if source is not None:
        waiting += _project_imports(ast.parse(source.text))
    seen: set[str] = set()
    while waiting:
        module = waiting.pop()
        if module not in seen and _file(module):
            seen.add(module)
            waiting += _module_imports(module)
    return seen


@cache
def _file(module: str) -> Path | None:
    if module.partition(".")[0] not in PACKAGES:
        return None
    spec = importlib.util.find_spec(module.partition(".")[0])
    base = Path(next(iter(spec.submodule_search_locations or []))) if spec else ROOT
    path = base.joinpath(*module.split(".")[1:])
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file() and candidate != base.with_suffix(".py"):
            return candidate
    return None


@cache
def _tree(module: str) -> ast.Module:
    path = _file(module)
    return ast.parse(path.read_text() if path else "")


@cache
def _tree_text(module: str) -> str:
    return _stripped(_tree(module))


@cache
def _module_imports(module: str) -> tuple[str, ...]:
    return tuple(_project_imports(_tree(module)))


def _project_imports(tree: ast.Module) -> list[str]:
    """Project modules that a tree imports anywhere, `from package import module` included."""
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.append(node.module)
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return [name for name in names if name.partition(".")[0] in PACKAGES]


def _stripped(tree: ast.Module) -> str:
    """The tree's dump without docstrings and without positions."""
    tree = ast.parse(ast.unparse(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [item for item in node.body if not _is_text(item)] or [ast.Pass()]
        if isinstance(node, ast.ClassDef):
            node.body = [item for item in node.body if not _is_wording(item)] or [ast.Pass()]
    return ast.dump(tree)


def _is_text(node: ast.stmt) -> bool:
    """A docstring: of a module, class or function, or below a constant."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _is_wording(node: ast.stmt) -> bool:
    """A class attribute that only tables read, or that names a file whose content another one tells."""
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return any(isinstance(t, ast.Name) and t.id in _WORDING for t in targets)


_WORDING = {"title", "paper", "deviations", "checkpoint", "trained_on", "trained_on_parts", "trained_with"}
"""Of any strategy, and of an adapter, whose `sha256` tells the checkpoint."""

_STAGES = {
    "fit": "bench.train.build",
    "embed": "bench.evaluate.embed",
    "predict": "bench.evaluate.predict",
    "group": "bench.evaluate.group",
}


@cache
def stage_code(stage: str) -> str:
    """Hash of the code that does a stage's work, the strategy's and the encoder's own apart."""
    return code_hash(_STAGES[stage], "bench.train.checkpoint", alone=("bench.run.work",))


@cache
def strategy_code(module: str, encoder: str, source: Source | None) -> str:
    """Hash of a strategy's file, of an encoder's (by name), and of what they reach."""
    encoder_module = encoders()[encoder].__module__
    return code_hash(*(() if source is not None else (module,)), encoder_module, source=source)
