"""The parameters of an entry's strategy: its defaults, a recipe, the entry's own, the scale's."""

from typing import Any

from pydantic import ValidationError

from bench.run.suite import Entry, Suite, SuiteError
from bench.train.strategy import Strategy


def params_of(suite: Suite, entry: Entry, kind: type[Strategy]) -> Any:
    """An entry's parameters: defaults, recipe, its own, the scale's.

    Raises:
        SuiteError: there is no such recipe or parameter.
    """
    try:
        return kind.Params.model_validate(changes_of(suite, entry, kind))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SuiteError(f"entry {entry.label!r}: parameter {where}: {first['msg']}") from None


def changes_of(suite: Suite, entry: Entry, kind: type[Strategy]) -> dict[str, Any]:
    """The parameters of an entry that differ from the strategy's defaults, or restate them."""
    recipe: dict[str, Any] = {}
    if entry.recipe is not None:
        if entry.recipe not in kind.recipes:
            known = ", ".join(kind.recipes) or "none"
            raise SuiteError(f"strategy {entry.strategy!r} has no recipe {entry.recipe!r} (it has: {known})")
        recipe = kind.recipes[entry.recipe]
    return {**recipe, **entry.params, **suite.params.get(entry.label, {})}
