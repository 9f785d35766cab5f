"""Writes a new strategy file that works as it stands: `leadboard new NAME`."""

import keyword
from pathlib import Path
from string import Template

from bench.run.errors import UserError
from bench.run.registry import Registry

TEMPLATE = Template('''\
"""$title: say in one sentence which ECGs, or which views of one, should agree.

Cite the paper here. Where paper and published code disagree, say how, and make the fork a parameter.
"""

import torch
from torch import Tensor

from bench.nn.augment import compose, jitter, scaling
from bench.train.strategy import BOARD, Batch, Params, Strategy, Views


class ${kind}Params(Params):
    """Parameters of `$kind`; those it inherits are the contrastive loss's.

    Attributes:
        views: of each record.
    """

    views: int = 2


class $kind(Strategy):
    """Positives are views of one record."""

    name = "$name"
    title = "$title"
    paper = ""
    # What it reads beside the signal: frozenset({Field.DEMOGRAPHICS}), for one. A batch holds nothing else.
    needs = frozenset()
    # What differs from the paper, one sentence each; the board prints them.
    deviations = ()
    recipes = {"board": dict(BOARD)}
    Params = ${kind}Params
    params: ${kind}Params

    def views(self, batch: Batch, generator: torch.Generator) -> Views:
        """Noisy views, each lead with a gain of its own.

        `batch.signal` is (B, leads, samples) in millivolts; the harness scales views afterwards. All random
        numbers come from `generator`.
        """
        changed = (compose(batch.signal, (jitter, scaling), generator) for _ in range(self.params.views))
        return Views.of(*changed)

    def positives(self, batch: Batch, views: Views) -> Tensor:
        """(N, N) bool, symmetric: which views should agree. `views.source` is each view's row in the batch."""
        return views.source[:, None] == views.source[None, :]
''')


def write_strategy(name: str, into: Path) -> Path:
    """Write `into`/NAME.py.

    Args:
        name: of the strategy, in lower case: letters, digits and underscores.
        into: folder, made where it is missing.

    Raises:
        UserError: the name is none, or taken; the file exists.
    """
    if not name.isidentifier() or not name.isascii() or name != name.lower() or keyword.iskeyword(name):
        raise UserError(
            f"{name!r} cannot name a strategy; use lower-case letters, digits and _, a letter first"
        )
    if name.startswith("_"):
        raise UserError(f"{name!r} begins with _, and such files are not looked at; choose another name")
    taken = Registry().found.get(name)
    if taken:
        raise UserError(f"there is a strategy {name!r} already ({taken.path.name}); choose another name")
    path = into / f"{name}.py"
    words = name.split("_")
    text = TEMPLATE.substitute(
        name=name, title=" ".join(words).capitalize(), kind="".join(map(str.title, words))
    )
    into.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UserError(f"{path} exists; choose another name, or remove it") from None
    return path
