"""A user's own folder of records as a corpus of the board: `leadboard run board --corpus FOLDER`.

The folder holds a `records.csv` (`bench.data.folder`). Its name in tables is the folder's; its task is `labels`; its
split is the column `part`, or else patients are drawn. What cannot be judged is refused before anything is trained.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from bench.data.corpus import CorpusError, CorpusIndex, PreparedCorpus
from bench.data.folder import TABLE, FolderReader
from bench.data.splits import PARTS, SplitSpec, make_split
from bench.run.catalogue import CORPORA
from bench.run.suite import CorpusUse, Suite, SuiteError, corpus_uses

TASK = "labels"

_KNOWN = {name for name, _, source in CORPORA if not source.startswith("--corpus")}


@dataclass(frozen=True)
class OwnCorpus:
    """A folder of one's own.

    Attributes:
        name: in tables, results and files.
        folder: that holds `records.csv`.
        split: of its patients.
    """

    name: str
    folder: Path
    split: SplitSpec

    @property
    def use(self) -> CorpusUse:
        """How a suite runs on it."""
        return CorpusUse(corpus=self.name, task=TASK, split=self.split)


def own_corpora(given: Iterable[str]) -> dict[str, OwnCorpus]:
    """Those of some values of `--corpus` that are folders of one's own, as they were given.

    A name of a known corpus is that corpus, whatever folder bears it; what has a path separator, or is a folder with a
    `records.csv`, is one's own.

    Raises:
        CorpusError: such a folder has no `records.csv` or a damaged one, no two classes, or a name that is another's.
    """
    found: dict[str, OwnCorpus] = {}
    for text in dict.fromkeys(given):
        path = Path(text)
        if text in _KNOWN or not (_is_path(text) or (path / TABLE).is_file()):
            continue
        own = _open(path)
        for other in found.values():
            if other.name == own.name and other.folder.resolve() != own.folder.resolve():
                raise CorpusError(
                    f"{other.folder} and {own.folder} would both be corpus {own.name!r}; rename one"
                )
        found[text] = own
    return found


def uses_of(suite: Suite, name: str, corpus: str, own: Iterable[OwnCorpus]) -> tuple[CorpusUse, ...]:
    """How a suite uses a corpus by name: as one's own, or as its file has it.

    Args:
        name: of the suite as the user gave it, a path maybe.

    Raises:
        SuiteError: it does not run on that corpus; a paper's suite runs on the paper's alone.
    """
    mine = next((one for one in own if one.name == corpus), None)
    if mine is None:
        return corpus_uses(name, suite.scale, corpus)
    if suite.paper:
        raise SuiteError(
            f"suite {suite.name!r} reproduces a paper on that paper's corpora; your own joins the board:"
            f" leadboard run board --corpus {mine.folder}"
        )
    return (mine.use,)


def assert_judgeable(corpus: PreparedCorpus, use: CorpusUse) -> None:
    """Refuse an own corpus on which nothing could be learnt, chosen or scored.

    Raises:
        CorpusError: a part lacks labelled records, or has no class with a positive and a negative record.
    """
    targets = corpus.targets(use.task)
    if use.split.kind == "official":
        _assert_parts(corpus.name, corpus.records, targets)
    try:
        split = make_split(corpus.records, targets, use.split)
    except CorpusError as error:
        raise CorpusError(f"own corpus {corpus.name}: {error}") from None
    remedy = "use more patients of each class"
    remedy += ", or other parts" if use.split.kind == "official" else f", or say the parts in {TABLE}"
    for part in PARTS:
        records = corpus.records.iloc[split.parts[part]]
        shares = targets.loc[records["record"]].mean()
        if not ((shares > 0) & (shares < 1)).any():
            patients = records["patient"].nunique()
            raise CorpusError(
                f"own corpus {corpus.name}: part {part} ({len(records)} labelled records of {patients} patients) has no"
                f" class with both a positive and a negative record; {remedy}"
            )


def _assert_parts(name: str, records: pd.DataFrame, targets: pd.DataFrame) -> None:
    labelled = records.loc[records["record"].isin(targets.index), "part"]
    empty = [part for part in PARTS if not np.any(labelled == part)]
    if empty:
        raise CorpusError(
            f"own corpus {name}: column part of {TABLE} puts no labelled record in {' and '.join(empty)}; give each of"
            f" {', '.join(PARTS)} some, or leave the column out: patients are then drawn"
        )


def _is_path(text: str) -> bool:
    separators = {os.sep, "/", *filter(None, [os.altsep])}
    return text in (".", "..") or any(separator in text for separator in separators)


def _open(path: Path) -> OwnCorpus:
    if not path.is_dir():
        raise CorpusError(f"no folder {path}; give the folder that holds {TABLE}")
    if not (path / TABLE).is_file():
        raise CorpusError(
            f"{path} has no {TABLE}, which says whose the records are; see `leadboard data check` and"
            " bench/data/folder.py (a public corpus: --corpus NAME --data FOLDER)"
        )
    index = FolderReader().index(path)
    _assert_classes(path, index)
    drawn = (index.records["part"] == "").all()
    return OwnCorpus(_name(path), path, SplitSpec(kind="stratified" if drawn else "official"))


def _assert_classes(path: Path, index: CorpusIndex) -> None:
    classes = sorted(set(index.labels["label"]))
    if len(classes) < 2:
        what = f"has one class alone, {classes[0]!r}" if classes else "gives no record a label"
        raise CorpusError(
            f"{path / TABLE} {what}; the board needs two classes or more in column labels, and a record without any is"
            " not judged: name the normal ones too"
        )


def _name(path: Path) -> str:
    """A folder's name in lower case, with letters, digits, '.', '_' and '-' only."""
    own = path.resolve().name
    name = re.sub(r"[^a-z0-9._-]+", "-", own.lower()).strip("-._")
    if not name:
        raise CorpusError(f"{path}: {own!r} holds no letter or digit to name a corpus by; rename the folder")
    if name.endswith("-sim") or _plain(name) in {_plain(known) for known in _KNOWN}:
        raise CorpusError(
            f"{path}: {own!r} is the name of a known corpus or a simulated one; rename the folder"
        )
    return name


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name)
