"""What makes results trustworthy, as the command line calls it: packing, checking, repeating and merging them."""

import dataclasses
import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

from pydantic import ValidationError

from bench.report import rescore
from bench.report.rescore import Claim
from bench.report.views import ReportError
from bench.run import rerun, review, submission
from bench.run.corpora import Report
from bench.run.errors import UserError
from bench.run.integrity import Unsound, read_plain
from bench.run.merge import Merged, merge
from bench.run.plan import Plan
from bench.run.planned import Row
from bench.run.provenance import process_facts
from bench.run.rerun import Again
from bench.run.review import Check, Sent, Verdict, of_faults
from bench.run.store import Store
from bench.run.submission import CLAIMS, SUBMISSION, Asked, Submission, SubmissionError
from bench.run.suite import Suite, load_suite
from bench.run.verify import Verified, verify
from bench.session import Options, Session, user_errors

ASKED = tuple(Asked.model_fields)
"""The options that decide about keys: a submission brings its own."""

_COUNT = 1
_COUNTS = {"paper": 0}
"""Fits of a submission that are trained again: at scale paper, where one can take hours, only when somebody asks."""


@user_errors
def submit(
    options: Options, row: str, folder: Path, partial: bool, progress: Report
) -> tuple[Submission, int]:
    """Pack a row's results.

    Returns:
        What the submission says of itself, and the bytes that it has.
    """
    session = Session(_with_row(options, row), progress)
    _refuse_what_others_lack(session)
    session.suites = _suites_with(session, row)
    plan = session.plan()
    planned = submission.rows_of(plan, [row])
    done = [one for one in planned if session.store.has(one.key)]
    _refuse_incomplete(row, planned, done, partial, session)
    said = _said(session, plan, row, folder.name, planned, done)
    claims = rescore.claims([(submission.place_of(one), one.key) for one in done], session.store)
    submission.pack(plan, done, session.store, folder, said, rescore.claims_csv(claims))
    return said, submission.size_of(folder)


def _said(
    session: Session, plan: Plan, row: str, name: str, planned: Sequence[Row], done: Sequence[Row]
) -> Submission:
    """What `submission.json` will say."""
    asked, facts = _asked(session), process_facts()
    try:
        return Submission(
            name=name,
            rows=(row,),
            asked=asked,
            corpora=submission.corpus_facts(plan, done),
            strategies=submission.strategy_files(session.suites, [row], session.registry),
            cells=len({one.key for one in done}),
            wanted=len({one.key for one in planned}),
            partial=len(done) < len(planned),
            command=_command(asked, row),
            leadboard=version("leadboard"),
            commit=facts["commit"],
            modified=facts["modified"],
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{'.'.join(map(str, first['loc']))} of the submission: {first['msg']}") from None


def _suites_with(session: Session, row: str) -> list[Suite]:
    """The suites asked for that have the row."""
    suites = [suite for suite in session.suites if row in {entry.label for entry in suite.entries}]
    if not suites:
        rows = {entry.label for suite in session.suites for entry in suite.entries if entry.strategy == row}
        raise UserError(f"no row {row!r}; of that strategy there are: {', '.join(sorted(rows))}")
    return suites


def _with_row(options: Options, row: str) -> Options:
    """The options with the row among those asked for, so that an unknown one is refused as everywhere."""
    files = tuple(name for name in options.strategies if name.endswith(".py"))
    return dataclasses.replace(options, strategies=(*files, row))


def _refuse_what_others_lack(session: Session) -> None:
    """Corpora and suites of one's own: nobody else could check what is sent."""
    own = [*session.own, *(name for name in session.options.suites if name.endswith((".yaml", ".yml")))]
    if own:
        raise UserError(f"nobody else has {own[0]}; what is sent is of what `leadboard list` names")


def _refuse_incomplete(
    row: str, planned: Sequence[Row], done: Sequence[Row], partial: bool, session: Session
) -> None:
    if len(done) == len(planned) and done:
        return
    first = next(one for one in planned if one not in done) if planned else None
    count = f"{len(done):,} of {len(planned):,} evaluations of row {row!r} are in {session.store.root}"
    if first is None or not done:
        raise UserError(f"{count}; run `{_command(_asked(session), row)}` first")
    if not partial:
        place = submission.told(submission.place_of(first))
        raise UserError(
            f"{count} (missing: {place}); run `{_command(_asked(session), row)}` first, or say --partial"
        )


def _asked(session: Session) -> Asked:
    options = {name: getattr(session.options, name) for name in ASKED}
    return Asked.model_validate(options | {"suites": [suite.name for suite in session.suites]})


def _command(asked: Asked, row: str) -> str:
    """Repeats a submission, once its strategy's file lies in `strategies/`."""
    words = ["leadboard run", *asked.suites, f"--scale {asked.scale}", f"--strategy {row}"]
    words += [f"--corpus {name}" for name in asked.corpora] + [
        f"--pretrain-on {name}" for name in asked.pretrain_on
    ]
    words += [f"--seeds {asked.seeds}"] * (asked.seeds is not None)
    words += [f"--lead-set {name}" for name in asked.lead_sets]
    words += [f"--eval-lead-set {name}" for name in asked.eval_lead_sets]
    words += [f"--records {asked.records}"] * (asked.records != Asked.model_fields["records"].default)
    return " ".join([*words, *["--data FOLDER"] * any(map(_is_real, _corpora(asked)))])


def _corpora(asked: Asked) -> list[str]:
    """Every corpus that a submission is planned on."""
    named = list(asked.corpora)
    if not named:
        suites = [load_suite(name, asked.scale) for name in asked.suites]
        named = [use.corpus for suite in suites for use in suite.corpora]
    return list(dict.fromkeys([*named, *asked.pretrain_on]))


@user_errors
def verify_store(
    options: Options, count: int, seed: int, progress: Report, on_cell: Callable[[Verified], None]
) -> list[Verified]:
    """Run some finished cells of a store again."""
    session = Session(options, progress)
    return verify(session.plan(), session.store, count, seed, on_cell, session.only)


@user_errors
def merge_stores(sources: Sequence[Path], store: Path) -> Merged:
    """Bring the cells of stores or submissions into a store."""
    return merge(sources, Store(store))


def submissions_in(places: Sequence[Path]) -> list[Path]:
    """The submissions among some folders: each of them, or, where it holds none itself, what lies in it."""
    found: list[Path] = []
    for place in places:
        if not place.exists() and not place.is_symlink():
            raise UserError(f"no folder {place}")
        if place.is_symlink() or (place / SUBMISSION).exists() or not place.is_dir():
            found += [place] if place.is_symlink() or place.exists() else []
            continue
        found += sorted(path for path in place.iterdir() if path.is_dir() or path.is_symlink())
    return found


class Reviewer:
    """Checks submissions against this checkout; what several of them ask for is planned once.

    Args:
        options: data, cache, device and files of strategies; all else comes from each submission.
        count: of fits that are trained again for each; None: one, but at scale 'paper' none.
        seed: of their draw.
    """

    def __init__(self, options: Options, count: int | None, seed: int, progress: Report) -> None:
        self.options, self.count, self.seed, self.progress = options, count, seed, progress
        self._planned: dict[str, Plan] = {}

    def review(self, folder: Path) -> Iterator[Check]:
        """The checks of a submission, each as soon as it is made. After files that are not sound there is no other."""
        if folder.is_symlink() or not folder.is_dir():
            yield Check("files", Verdict.WRONG, f"{folder} is no folder")
            return
        faults = submission.faults_of(folder)
        if faults:
            yield from of_faults("files", faults, "")
            return
        try:
            sent, claimed = _opened(folder)
        except SubmissionError as fault:
            yield Check("files", Verdict.WRONG, str(fault))
            return
        complete = review.check_complete(sent)
        yield from complete
        if any(check.wrong for check in complete):
            return
        with tempfile.TemporaryDirectory() as place:
            copy = Store(Path(place) / "store")
            merge([folder], copy)
            yield from _rescored(sent, claimed, copy)
            yield from self._by_plan(sent, claimed, copy, Store(Path(place) / "again"))

    def _by_plan(self, sent: Sent, claimed: Sequence[Claim], copy: Store, scratch: Store) -> Iterator[Check]:
        """What takes the suites, and mostly the corpora."""
        asked = sent.said.asked
        try:
            session = self._session(asked)
            absent = [] if self.options.data else [name for name in _corpora(asked) if _is_real(name)]
            if absent:
                yield from review.check_code(sent, session.registry)
                yield from review.check_agreement(sent)
                line = f"{', '.join(absent)} not here (--data FOLDER): plan, targets and training are not checked"
                yield Check("plan", Verdict.OPEN, line)
                return
            plan = self._plan(asked, session)
        except UserError as error:
            yield Check("plan", Verdict.WRONG, str(error))
            return
        rows = submission.rows_of(plan, sent.said.rows)
        yield from review.check_strategies(sent, session.registry)
        yield from review.check_ledger(plan, sent.said.rows)
        yield from review.check_corpora(sent, plan)
        yield from review.check_plan(sent, plan, rows)
        yield from review.check_units(sent, plan, rows)
        ours = [row for row in rows if sent.holds(row)]
        fault = rescore.unreportable(plan, ours, copy)
        if fault:
            yield Check("report", Verdict.WRONG, f"no report can show it: {fault}")
        yield from self._again(sent, claimed, plan, ours, scratch)

    def _session(self, asked: Asked) -> Session:
        return Session(dataclasses.replace(self.options, **asked.model_dump()), self.progress)

    def _plan(self, asked: Asked, session: Session) -> Plan:
        key = asked.model_dump_json()
        if key not in self._planned:
            self._planned[key] = session.plan()
        return self._planned[key]

    def _again(
        self, sent: Sent, claimed: Sequence[Claim], plan: Plan, rows: Sequence[Row], scratch: Store
    ) -> Iterator[Check]:
        """Drawn fits, trained again."""
        usual = _COUNTS.get(sent.said.asked.scale, _COUNT)
        count = usual if self.count is None else self.count
        if not count:
            yield Check("training", Verdict.OPEN, "no fit was trained again (--count 1 does)")
        for again in rerun.make_again(sent, plan, rows, count, self.seed, scratch):
            yield from _repeated(again, claimed, scratch)


def _repeated(again: Again, claimed: Sequence[Claim], scratch: Store) -> list[Check]:
    """What a fit that was trained again says of what was submitted."""
    if again.broken:
        return [Check("training", Verdict.WRONG, f"{again.name} cannot be made here: {again.broken}")]
    maker = "; ".join(again.unlike) or "by the same libraries on such a CPU, so bits should be equal"
    if again.faults:
        return of_faults("training", [f"{again.name}: {fault} ({maker})" for fault in again.faults], "")
    results = f"{again.name} and what rests on it, {len(again.rows):,} results"
    if not again.notes:
        return [Check("training", Verdict.GOOD, f"{results}: the same bits")]
    places = [(submission.place_of(row), row.key) for row in again.rows]
    faults, largest = rescore.apart(claimed, rescore.claims(places, scratch))
    return of_faults("training", faults, f"{results}: {largest} ({maker})")


def _is_real(corpus: str) -> bool:
    return not corpus.endswith("-sim")


def _opened(folder: Path) -> tuple[Sent, list[Claim]]:
    """A submission whose files are sound, and what it claims.

    Raises:
        SubmissionError: it cannot be read.
    """
    said = submission.read_submission(folder)
    try:
        content = read_plain(folder / CLAIMS)
        claimed = rescore.read_claims(content)
    except (Unsound, SubmissionError) as fault:
        raise SubmissionError(f"{CLAIMS}: {fault}") from None
    places = {claim.place: claim.key for claim in claimed}
    if any(places[claim.place] != claim.key for claim in claimed):
        raise SubmissionError(f"{CLAIMS}: two cells are claimed for one place")
    return Sent(said, Store(folder), places, hashlib.sha256(content).hexdigest()), claimed


def _rescored(sent: Sent, claimed: Sequence[Claim], copy: Store) -> list[Check]:
    """What is claimed against the same numbers from the submitted results."""
    try:
        found = rescore.claims(sent.places.items(), copy)
    except (ReportError, KeyError, ValueError, TypeError, IndexError) as error:
        line = f"{type(error).__name__}: {error}".splitlines()[0]
        return [Check("scores", Verdict.WRONG, f"they cannot be computed: {line}")]
    good = f"{len(claimed):,} claims are what the submitted results give"
    return of_faults("scores", rescore.unlike(claimed, found), good)
