"""Writes a new strategy file that works as it stands: `leadboard new NAME`; or an adapter for a checkpoint."""

import hashlib
import json
import keyword
import os
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

ADAPTER = Template('''\
"""$title: whose network this is, and what it was trained for.

Cite the paper here, and say where the checkpoint was fetched.
"""

from torch import Tensor, nn

from bench.train.strategy import External


class $kind(External):
    """The published weights, frozen."""

    name = "$name"
    title = "$title"
    paper = ""
    checkpoint = $checkpoint
    sha256 = "$sha256"
    # Say every corpus that the weights have seen, in whatever training; () for random weights. It marks the row.
    # trained_on = ("mimic-iv-ecg", "cinc2021")
    # What that training read beside the signal: frozenset({Field.LABELS}), for one.
    trained_with = frozenset()
    # What the network wants: Hz, leads in its order, the one length it accepts (None: any), scaling ("none": mV).
    rate = 500
    leads = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
    samples = None
    scaling = "zscore-lead"

    def build(self) -> nn.Module:
        """The network whose state the checkpoint holds: from its own package, or written out in this file."""
        return nn.Sequential(nn.Conv1d(len(self.leads), 64, 15, stride=4), nn.ReLU(), nn.AdaptiveAvgPool1d(1))

    @classmethod
    def features(cls, network: nn.Module, signal: Tensor) -> Tensor:
        """(N, D) features of (N, leads, samples) as the network wants them."""
        return network(signal).flatten(1)
''')


def write_strategy(name: str, into: Path) -> Path:
    """Write `into`/NAME.py.

    Args:
        name: of the strategy, in lower case: letters, digits and underscores.
        into: folder, made where it is missing.

    Raises:
        UserError: the name is none, or taken; the file exists.
    """
    return _write(TEMPLATE, name, into)


def write_adapter(name: str, checkpoint: Path, into: Path) -> Path:
    """Write `into`/NAME.py, an adapter for a file of weights; what is left to say in it is the network.

    Args:
        name: as of a strategy.
        checkpoint: the file, which stays where it is.
        into: folder, made where it is missing.

    Raises:
        UserError: as of a strategy; there is no such checkpoint.
    """
    try:
        with checkpoint.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"cannot read checkpoint {checkpoint}: {error.strerror}") from None
    place = Path(os.path.relpath(checkpoint.resolve(), into.resolve())).as_posix()
    return _write(ADAPTER, name, into, checkpoint=json.dumps(place), sha256=digest)


def _write(template: Template, name: str, into: Path, **more: str) -> Path:
    """Fill a template in and write it, if the name is free."""
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
    kind, title = "".join(map(str.title, words)), " ".join(words).capitalize()
    text = template.substitute(name=name, title=title, kind=kind, **more)
    into.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UserError(f"{path} exists; choose another name, or remove it") from None
    return path
