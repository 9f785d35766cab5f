"""What is submitted against what is planned, labelled and computed here. The lines that `leadboard verify` prints.

The plan comes from the suites and the strategies' files of this checkout, never from the submission: so do keys, what a
row is paid for, and which records are judged. Where a key differs, `differences` says in which part of the cell's
description.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bench.run.cell import FitCell
from bench.run.expected_units import ExpectedUnits, agreement
from bench.run.integrity import DESCRIPTION
from bench.run.planned import Plan, Row
from bench.run.registry import Registry, encoders, stage_code, strategy_code
from bench.run.store import Store
from bench.run.submission import PLACE, Place, Submission, place_of, sha256_of, told

_FEW = 5
"""Faults of a kind that are told one by one."""


class Verdict(StrEnum):
    """What a check came to."""

    GOOD = "ok"
    WRONG = "FAIL"
    OPEN = "open"


@dataclass(frozen=True)
class Check:
    """One line about a submission."""

    name: str
    verdict: Verdict
    detail: str

    @property
    def wrong(self) -> bool:
        """Does it speak against the submission?"""
        return self.verdict is Verdict.WRONG

    def __str__(self) -> str:
        line = f"{self.verdict:<5}{self.name}: {self.detail}"
        return "".join(letter if letter.isprintable() else "?" for letter in line)


def of_faults(name: str, faults: Sequence[str], good: str) -> list[Check]:
    """A line a fault, the first few; or one that says what is good."""
    more = len(faults) - _FEW
    lines = [*faults[:_FEW], *([f"and {more:,} more"] if more > 0 else [])]
    return [Check(name, Verdict.WRONG, line) for line in lines] or [Check(name, Verdict.GOOD, good)]


@dataclass(frozen=True)
class Sent:
    """An opened submission.

    Attributes:
        store: its cells and notes.
        places: key of the cell that is said to stand at each place.
        digest: hash of what is claimed.
    """

    said: Submission
    store: Store
    places: Mapping[Place, str]
    digest: str

    @property
    def cells(self) -> tuple[str, ...]:
        """Keys of its cells."""
        return tuple(self.store.keys())

    def holds(self, row: Row) -> bool:
        """Is the cell that this evaluation has here among its cells, at this place?"""
        return self.places.get(place_of(row)) == row.key

    def described(self, key: str) -> dict[str, Any]:
        """A cell's description."""
        return self.store.read_json(key, DESCRIPTION)


def check_complete(sent: Sent) -> list[Check]:
    """Every cell has a claim and every claim a cell; what cells rest on is noted; nothing lies there without use."""
    cells, claimed, notes = set(sent.cells), set(sent.places.values()), set(sent.store.notes())
    faults = [f"cell {key[:12]} is claimed, and not there" for key in sorted(claimed - cells)]
    faults += [f"cell {key[:12]} is there, and nothing is claimed of it" for key in sorted(cells - claimed)]
    waiting, rests_on = sorted(cells), set[str]()
    while waiting:
        for parent in _parents(sent.described(waiting.pop())).values():
            if parent not in rests_on:
                rests_on.add(parent)
                waiting += [parent] if sent.store.describes(parent) else []
    missing, unused = sorted(rests_on - notes - cells), sorted(notes - rests_on)
    faults += [f"nothing is told of {key[:12]}, which the row rests on" for key in missing]
    faults += [f"note {key[:12]}: no cell of the row rests on it" for key in unused]
    labels = {place[PLACE.index("label")] for place in sent.places}
    faults += [
        f"row {label!r} is claimed, but not named in its rows" for label in sorted(labels - {*sent.said.rows})
    ]
    return of_faults(
        "files", faults, f"{len(cells):,} cells and {len(notes):,} notes, each what its key says"
    )


def _parents(described: Mapping[str, Any]) -> dict[str, str]:
    parents = described.get("parents")
    return {str(k): str(v) for k, v in parents.items()} if isinstance(parents, dict) else {}


def check_plan(sent: Sent, plan: Plan, rows: Sequence[Row]) -> list[Check]:
    """The cells are those that are planned here, all of them unless it says otherwise.

    Args:
        rows: of the plan, those of the submission's labels that have a cell.
    """
    planned = {place_of(row): row for row in rows}
    other: dict[str, list[Place]] = {}
    for place, key in sent.places.items():
        row = planned.get(place)
        if row is None:
            other.setdefault("no such evaluation is planned here", []).append(place)
        elif row.key != key:
            unlike = "; ".join(differences(sent, key, plan, row.key)) or "its cell belongs to another place"
            other.setdefault(unlike, []).append(place)
    faults = [f"{_counted(places)}: {why}" for why, places in other.items()]
    missing = [place for place in planned if place not in sent.places]
    if missing and not sent.said.partial:
        faults.append(f"{_counted(missing)}: missing, and it does not say that it is partial")
    there = f"{len(planned) - len(missing):,} of {len(planned):,} evaluations"
    return of_faults(
        "plan", faults, f"{there} that {', '.join(sent.said.asked.suites)} plans here, by their keys"
    )


def _counted(places: Sequence[Place]) -> str:
    return told(places[0]) + (f" and {len(places) - 1:,} more" if len(places) > 1 else "")


_MEANING = {
    "strategy.code": "the strategy's file, its encoder's, or what they import is another",
    "corpus": "the corpus is another, or was prepared or simulated by other code",
}
_DOES = {"fit": "trains", "embed": "embeds", "predict": "scores", "group": "groups"}


def differences(sent: Sent, there: str, plan: Plan, here: str) -> list[str]:
    """In what the description of a submitted cell, and of what it rests on, differs from the planned one's; a few."""
    lines: dict[tuple[str, str, str], str] = {}
    for stage, field, theirs, ours in _unlike(sent, there, plan, here):
        meaning = (
            f"the code that {_DOES.get(stage, stage)} is another"
            if field == "code"
            else _MEANING.get(field, "")
        )
        plain = f"{field} of the {stage} is {_short(theirs)} there, {_short(ours)} here"
        lines.setdefault((field, theirs, ours), plain + (f" ({meaning})" if meaning else ""))
    every = list(lines.values())
    return [*every[:3], *([f"and {len(every) - 3} more"] if len(every) > 3 else [])]


def _unlike(sent: Sent, there: str, plan: Plan, here: str) -> Iterator[tuple[str, str, str, str]]:
    """Stage, field and both values of whatever differs; what is rested on comes first."""
    theirs, ours = sent.described(there), plan.jobs[here].cell.model_dump(mode="json")
    stage, mine, yours = str(ours["stage"]), _parents(ours), _parents(theirs)
    for role in sorted({*mine, *yours}):
        if mine.get(role) == yours.get(role):
            continue
        if role in mine and role in yours and sent.store.describes(yours[role]):
            yield from _unlike(sent, yours[role], plan, mine[role])
        else:
            yield stage, f"parent {role}", yours.get(role, "none"), mine.get(role, "none")
    before, after = (dict(_leaves("", {**cell, "parents": {}})) for cell in (theirs, ours))
    for field in sorted({*before, *after}):
        if before.get(field, "none") != after.get(field, "none"):
            yield stage, field, before.get(field, "none"), after.get(field, "none")


def _leaves(place: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(f"{place}.{name}" if place else str(name), inner)
    else:
        yield place, json.dumps(value)


def _short(value: str) -> str:
    plain = value.strip('"')
    return plain[:8] if len(plain) == 64 else plain if len(plain) <= 40 else f"{plain[:37]}..."


def check_corpora(sent: Sent, plan: Plan) -> list[Check]:
    """The corpora are those that are prepared here."""
    faults = []
    for fact in sent.said.corpora:
        corpus = plan.corpora.get(fact.name)
        if corpus is None:
            faults.append(f"{fact.name} is no corpus of these suites")
        elif corpus.fingerprint != fact.fingerprint:
            ours = corpus.fingerprint
            faults.append(
                f"{fact.name}: fingerprint {fact.fingerprint[:8]} there, {ours[:8]} here: another corpus"
            )
        elif corpus.simulated != fact.simulated:
            faults.append(f"{fact.name} is {'simulated' if corpus.simulated else 'real'}, and said not to be")
    names = ", ".join(fact.name for fact in sent.said.corpora)
    return of_faults("corpora", faults, f"{names}: as prepared here")


def check_strategies(sent: Sent, registry: Registry) -> list[Check]:
    """The strategies' files lie here; what in them does not count for keys may have changed."""
    paths = {found.path.name: found.path for found in registry.found.values()}
    broken = {one.path.name: one.reason for one in registry.broken}
    faults, changed = [], []
    for file in sent.said.strategies:
        name = file.path.rpartition("/")[2]
        if name not in paths:
            why = (
                f"cannot be used: {broken[name]}"
                if name in broken
                else "is not here; add it to the pull request"
            )
            faults.append(f"{file.path} {why}")
        elif sha256_of(paths[name]) != file.sha256:
            changed.append(file.path)
    good = ", ".join(file.path for file in sent.said.strategies) or "none"
    note = f" (not byte for byte what ran: {', '.join(changed)})" if changed else ""
    return of_faults("code", faults, good + note)


def check_code(sent: Sent, registry: Registry) -> list[Check]:
    """Without a plan: the code in the descriptions is the code here."""
    faults: Counter[str] = Counter()
    for key in (*sent.cells, *sent.store.notes()):
        described = sent.described(key)
        stage = str(described["stage"])
        if described.get("code") != stage_code(stage):
            faults[f"the code that {_DOES[stage]} is another here"] += 1
        if stage == "fit":
            cell = FitCell.model_validate(described)
            name, encoder = cell.strategy.name, cell.encoder.name
            if name not in registry.found or encoder not in encoders():
                faults[f"strategy {name!r} or encoder {encoder!r} is not here"] += 1
                continue
            found = registry.found[name]
            if cell.strategy.code != strategy_code(found.strategy.__module__, encoder, found.source):
                faults[f"strategy.code of {name!r} differs: {_MEANING['strategy.code']}"] += 1
    lines = [f"{line} ({count:,} cells)" for line, count in faults.items()]
    return of_faults("code", lines, "what trained, embedded and scored is the code here")


def check_agreement(sent: Sent) -> list[Check]:
    """Without the corpus: the cells agree with each other about records and targets."""
    every = {key: sent.store.load(key) for key in sent.cells}
    faults = list(agreement({key: files for key, files in every.items() if "scores.parquet" in files}))
    return of_faults("records", faults, "the cells agree about records and targets")


def check_ledger(plan: Plan, labels: Sequence[str]) -> list[Check]:
    """What the code here says that each row is paid for."""
    checks = []
    for label in labels:
        row = next((row for row in plan.rows if row.label == label), None)
        if row is not None:
            paid, known = (", ".join(names) or "nothing" for names in (row.needs, row.needs_at_test))
            line = f"beside ECGs {label} reads in training {paid}, to be judged {known}"
            checks.append(Check("supervision", Verdict.GOOD, line))
    return checks


def check_units(sent: Sent, plan: Plan, rows: Sequence[Row]) -> list[Check]:
    """The results hold the records that were to be judged, with their labels here."""
    expected, faults, seen = ExpectedUnits(), [], set[str]()
    for row in rows:
        if row.key not in seen and sent.holds(row):
            seen.add(row.key)
            fault = expected.fault(plan.jobs[row.key], sent.store.load(row.key))
            faults += [f"{told(place_of(row))}: {fault}"] if fault else []
    if not seen:
        return [Check("records", Verdict.OPEN, "not checked: none of the cells is planned here")]
    good = (
        f"those of validation and test in all of {len(seen):,} cells, targets the labels of the corpora here"
    )
    return of_faults("records", faults, good)
