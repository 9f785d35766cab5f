"""What an external checkpoint has seen of the corpus that it is evaluated on, by what its adapter declares.

Nobody can audit a training set that is not here, so the declaration decides. Names are compared without case and
punctuation, and through what is known of which corpora hold which databases; a simulated cohort is in none but itself.
The mark is inherited by whatever starts from the checkpoint, and none of these rows is ranked: they have networks,
data and budgets of their own.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from bench.data.cinc2021 import SOURCES
from bench.data.splits import SplitSpec
from bench.run.registry import Registry
from bench.run.suite import Entry, Suite, SuiteError
from bench.train.budget import InputSpec
from bench.train.external import FromCheckpoint
from bench.train.strategy import Field, Strategy

Mark = Literal["none", "other", "train", "all"]
"""No ECG at all; other corpora; of this one the official training part alone; this one, or one that holds it."""

_ORDER: tuple[Mark, ...] = ("none", "other", "train", "all")

_ORIGINS: dict[Mark, str] = {"none": "baseline", "other": "transfer", "train": "transfer", "all": "overlap"}


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


_ALIASES = {
    **dict.fromkeys(("challenge2021", "physionet2021", "physionetcinc2021"), "cinc2021"),
    **dict.fromkeys(("challenge2020", "physionet2020", "physionetcinc2020"), "cinc2020"),
    **dict.fromkeys(("cpsc2018", "icbeb2018"), "cpsc"),
    **dict.fromkeys(("cpsc2018extra", "cpscunused"), "cpscextra"),
    **dict.fromkeys(("g12ec", "georgia12lead"), "georgia"),
    **dict.fromkeys(("incart", "stpetersburgincart"), "stpetersburg"),
    **dict.fromkeys(("ptbdb", "ptbdiagnostic"), "ptb"),
    **dict.fromkeys(("chapmanshaoxing",), "chapman"),
    **dict.fromkeys(("ecgarrhythmia", "chapmanshaoxingningbo"), "chapmanningbo"),
}
"""Other names of corpora and databases, plain."""

_CHALLENGE = frozenset(map(_plain, SOURCES))

_HOLDS: dict[str, frozenset[str]] = {
    "cinc2021": _CHALLENGE,
    "cinc2020": _CHALLENGE - {"chapman", "ningbo"},
    "chapmanningbo": frozenset({"chapman", "ningbo"}),
    "code": frozenset({"code", "code15"}),
}
"""Databases of corpora that have several (Reyna et al. 2021, doi 10.13026/34va-7q14; Perez Alday et al. 2020,
doi 10.1088/1361-6579/abc960; Zheng et al. 2022, doi 10.13026/wgex-er52; Ribeiro et al. 2021,
doi 10.5281/zenodo.4916206); any other is one by itself."""


_KNOWN = frozenset(_HOLDS).union(*_HOLDS.values()) | {"ptbxl", "chapman", "cpsc", "mimicivecg"}
"""Names that mean a corpus."""

_SHORT = frozenset({"ptb", "code"})
"""Too short to mean one within another name."""


@dataclass(frozen=True)
class Exposure:
    """What the checkpoints that a row rests on have seen.

    Attributes:
        mark: the worst of them.
        corpora: all that they are said to have seen.
        paid_for: fields that their training read elsewhere.
        told: a line for each.
    """

    mark: Mark
    corpora: tuple[str, ...]
    paid_for: frozenset[Field]
    told: tuple[str, ...]

    @property
    def origin(self) -> str:
        """Where a row stands: none of these blocks is ranked."""
        return _ORIGINS[self.mark]

    @property
    def overlap(self) -> bool:
        """Were validation and test ECGs among what was seen?"""
        return self.mark == "all"


def exposure(
    entry: Entry, entries: Mapping[str, Entry], registry: Registry, corpus: str, split: SplitSpec
) -> Exposure | None:
    """What the external checkpoints among an entry and what it starts from have seen of a corpus; None: there are none.

    Args:
        entries: of the suite, by label.
        corpus: name of the evaluated one.
        split: of it.
    """
    kinds = [kind for kind in _ancestry(entry, entries, registry) if issubclass(kind, FromCheckpoint)]
    if not kinds:
        return None
    marks = [seen(kind, corpus, split) for kind in kinds]
    corpora = tuple(dict.fromkeys(name for kind in kinds for name in kind.trained_on))
    paid = frozenset[Field]().union(*(kind.trained_with for kind in kinds))
    told = tuple(_told(kind, mark, corpus) for kind, mark in zip(kinds, marks, strict=True))
    return Exposure(max(marks, key=_ORDER.index), corpora, paid, told)


def seen(kind: type[FromCheckpoint], corpus: str, split: SplitSpec) -> Mark:
    """What a checkpoint has seen of a corpus, by its declaration.

    'train' only where it says so of this very corpus, the split is the official one, and nothing else that it has seen
    holds any of the corpus.
    """
    for name in kind.trained_on:
        _assert_spelled(name)
    if not kind.trained_on:
        return "none"
    mine = _databases(corpus)
    holding = [name for name in kind.trained_on if _databases(name) & mine]
    if not holding:
        return "other"
    own = all(_name(name) == _name(corpus) and name in kind.trained_on_parts for name in holding)
    return "train" if own and split.kind == "official" else "all"


def _assert_spelled(name: str) -> None:
    """Refuse a name that holds a known corpus's and is another: 'ptbxl_train' would be taken for one never heard of.

    Raises:
        SuiteError: the message says what to write.
    """
    plain, known = _plain(name), _KNOWN | frozenset(_ALIASES)
    held = max((one for one in known - _SHORT if one in plain), key=len, default="")
    if held and plain.removesuffix("sim") not in known:
        raise SuiteError(
            f"trained_on {name!r}: write {_ALIASES.get(held, held)!r}, if that is the corpus (which part of it was seen"
            " goes to trained_on_parts)"
        )


def assert_input(entry: Entry, kind: type[Strategy], spec: InputSpec) -> None:
    """Refuse a suite's row whose input is not what its network wants.

    Raises:
        SuiteError: the message says what to add to the row.
    """
    wanted = kind.own_input(spec) if issubclass(kind, FromCheckpoint) else {}
    if wanted:
        told = ", ".join(f"{name}: {value}" for name, value in wanted.items())
        raise SuiteError(f"entry {entry.label!r}: its network wants another input; add `input: {{{told}}}`")


def own_input(kind: type[Strategy], suite: Suite) -> dict[str, object]:
    """What of a suite's input spec a strategy from a file has otherwise when it joins the board."""
    return kind.own_input(suite.input) if issubclass(kind, FromCheckpoint) else {}


def _name(corpus: str) -> str:
    plain = _plain(corpus)
    return _ALIASES.get(plain, plain)


def _databases(corpus: str) -> frozenset[str]:
    return _HOLDS.get(_name(corpus), frozenset({_name(corpus)}))


def _ancestry(entry: Entry, entries: Mapping[str, Entry], registry: Registry) -> Iterator[type[Strategy]]:
    """Strategies of an entry and of all that it starts from."""
    yield registry.get(entry.strategy).strategy
    for label in entry.starts_from:
        yield from _ancestry(entries[label], entries, registry)


def _told(kind: type[FromCheckpoint], mark: Mark, corpus: str) -> str:
    """A line for the page: whose weights, and what they are said to have seen."""
    names = [
        f"{name} (official training part)" if name in kind.trained_on_parts else name
        for name in kind.trained_on
    ]
    what = f"said to have seen {', '.join(names)}" if names else "said to have seen no ECG"
    tests = f": {corpus}'s validation and test ECGs too" if mark == "all" else ""
    whose = "A checkpoint from outside, not trained here, with a network of its own"
    return f"{whose}; {what}{tests}."
