"""A report that would be the same is not written again; whatever could change it has it written."""

import pytest

from bench.report import fresh, write
from bench.report.write import write_report
from tests.report.hand_made import make_bench


@pytest.fixture
def bench(tmp_path):
    bench = make_bench(tmp_path, label_fractions=(1.0,))
    bench.finish(bench.add("simclr"), bench.noisy(2, 0))
    bench.add("late")
    return bench


@pytest.fixture
def built(monkeypatch):
    """Suites whose frames were read."""
    calls = []
    monkeypatch.setattr(write, "_BUILD", tuple(_counted(build, calls) for build in write._BUILD))
    return calls


def _counted(build, calls):
    def counting(*arguments):
        calls.append(build.__name__)
        return build(*arguments)

    return counting


def _report(bench, folder, resamples=50):
    return {path: path.read_bytes() for path in write_report(bench.plan, bench.store, folder, resamples)}


def test_a_second_report_reads_nothing_and_names_the_same_files(bench, built, tmp_path):
    first = _report(bench, tmp_path / "out")
    assert len(built) == 4
    assert _report(bench, tmp_path / "out") == first and len(built) == 4
    (tmp_path / "moved").mkdir()
    assert [path.name for path in _report(bench, tmp_path / "moved")] == [path.name for path in first]
    assert len(built) == 8  # nothing lies there yet


def test_what_is_gone_or_was_edited_is_written_again(bench, built, tmp_path):
    first = _report(bench, tmp_path / "out")
    for damage in (lambda path: path.unlink(), lambda path: path.write_text("mine")):
        damage(next(path for path in first if path.name == "board.csv"))
        assert _report(bench, tmp_path / "out") == first
    assert len(built) == 12


def test_a_new_result_a_failure_and_other_resamples_are_seen(bench, built, tmp_path):
    _report(bench, tmp_path / "out")
    late = bench.rows["late", 1.0, 0]
    bench.store.fail(late.key, "failed", "boom", "trace")
    assert any(b"boom" in content for content in _report(bench, tmp_path / "out").values())
    bench.finish(late, bench.noisy(3, 1))
    assert not any(b"boom" in content for content in _report(bench, tmp_path / "out").values())
    _report(bench, tmp_path / "out", resamples=60)
    assert len(built) == 16


def test_other_code_and_another_row_are_seen(bench, built, tmp_path, monkeypatch):
    _report(bench, tmp_path / "out")
    monkeypatch.setattr(fresh, "_code", lambda: "other code")
    _report(bench, tmp_path / "out")
    assert len(built) == 8
    bench.add("later still")
    _report(bench, tmp_path / "out")
    assert len(built) == 12


def test_a_damaged_note_is_no_note(bench, built, tmp_path):
    first = _report(bench, tmp_path / "out")
    (note,) = (bench.store.root / "reports").iterdir()
    for content in ("{", "[]", '{"files": 3}'):
        note.write_text(content)
        assert _report(bench, tmp_path / "out") == first
    assert len(built) == 16
