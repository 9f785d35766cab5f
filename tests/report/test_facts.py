"""The page's facts and frame: lead sets, label fractions, corpora and their bands, versions, what is folded."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.metrics import challenge, classification
from bench.report import challenge_views
from bench.report.write import write_report
from tests.report.group_cells import add_group, finish_group, swapped, units
from tests.report.hand_challenge import make_challenge_bench
from tests.report.hand_made import Bench, make_bench


def _written(bench: Bench, folder: Path) -> Path:
    write_report(bench.plan, bench.store, folder / "results", 50)
    return folder / "results" / "simulated" / "quick" / "board"


def _page(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "board.json").read_text()))


def _facts(folder: Path) -> dict[str, str]:
    return dict(_page(folder)["suite"]["facts"])


def _one(tmp_path: Path, **suite: object) -> Path:
    """A page with one row that has run."""
    bench = make_bench(tmp_path, **{"label_fractions": (1.0,), **suite})
    bench.finish(bench.add("one"), bench.noisy(2, 1))
    return _written(bench, tmp_path)


def test_lead_sets_are_those_of_the_entries_and_parts_stand_apart(tmp_path):
    entries = (
        {
            "strategy": "one",
            "lead_sets": ["challenge-6", "all-12"],
            "eval_lead_sets": ["lead-II", "challenge-6"],
        },
        "two",
    )
    facts = _facts(_one(tmp_path, entries=entries, lead_sets=("challenge-2",)))
    assert facts["Lead sets"] == "challenge-6, all-12, challenge-2"
    assert facts["Evaluated also with"] == (
        "challenge-6, lead-II (each where the leads trained on have it as a part)"
    )


def test_lead_sets_of_a_suite_whose_entries_have_none_are_its_own(tmp_path):
    facts = _facts(_one(tmp_path, entries=("one",), lead_sets=("challenge-3",)))
    assert facts["Lead sets"] == "challenge-3" and "Evaluated also with" not in facts


def test_own_label_fractions_are_told_once_and_only_where_they_differ(tmp_path):
    all_of_them = {"strategy": "three", "fractions": [1.0]}
    entries = (
        {"strategy": "one", "fractions": [1.0, 0.1]},
        {"strategy": "two", "label": "late"},
        all_of_them,
        {**all_of_them, "label": "four"},
    )
    bench = make_bench(tmp_path, entries=entries)
    for label in ("one", "three"):
        bench.finish(bench.add(label), bench.noisy(2, 1))
    facts = _facts(_written(bench, tmp_path))
    assert facts["Label fractions"] == "10\u00a0%, 100\u00a0% (100\u00a0% alone: Three; four)"


def test_a_corpus_prepared_twice_is_named_once_and_its_bands_tell_the_two_apart(tmp_path):
    bench = make_bench(tmp_path, label_fractions=(1.0,))
    bench.finish(bench.add("one"), bench.noisy(2, 1))
    bench.plan.corpora["filtered"] = replace(bench.corpus, band=(1.0, 45.0), fingerprint="f" * 64)
    folder = _written(bench, tmp_path)
    corpora = json.loads((folder / "provenance.json").read_text())["corpora"]
    assert [corpus["band"] for corpus in corpora if corpus["fingerprint"] == "f" * 64] == [[1.0, 45.0]]
    assert {str(corpus["band"]) for corpus in corpora} == {"None", "[1.0, 45.0]"}


def test_the_page_folds_no_table_without_rows(tmp_path):
    folder = _one(tmp_path)
    for name in ("comparisons", "no_result"):
        (header,) = csv.reader(io.StringIO((folder / "tiny-sim" / f"{name}.csv").read_text()))
        assert "block" in header
    folded = [table for section in _page(folder)["sections"] for table in section["details"]]
    assert folded and all(table["blocks"] for table in folded)
    assert not {"comparisons", "no_result"} & {table["name"] for table in folded}


def test_versions_of_the_challenges_metrics_are_told_where_its_classes_are_scored(tmp_path):
    plain = json.loads((_one(tmp_path / "plain") / "provenance.json").read_text())
    assert plain["metric_versions"] == {"classification": classification.VERSION}
    bench = make_challenge_bench(tmp_path, label_fractions=(1.0,))
    bench.finish(bench.add("one"), bench.noisy(1, 1))
    folder = _written(bench, tmp_path)
    versions = json.loads((folder / "provenance.json").read_text())["metric_versions"]
    assert versions == {
        "classification": classification.VERSION,
        "challenge": challenge.VERSION,
        "challenge_rules": challenge_views.versions()["challenge_rules"],
    }


def test_a_task_of_other_classes_of_the_challenges_corpus_is_not_the_challenges(tmp_path):
    bench = make_challenge_bench(
        tmp_path, label_fractions=(1.0,), corpora=({"corpus": "cinc2021-sim", "task": "other"},)
    )
    bench.finish(bench.add("one", task="other", kind="multi"), bench.noisy(1, 1, "other"))
    versions = json.loads((_written(bench, tmp_path) / "provenance.json").read_text())["metric_versions"]
    assert list(versions) == ["classification"]


def test_every_csv_of_rows_names_a_rows_own_encoder(tmp_path):
    entries = ("one", "stem", "other")
    given = {"stem": {"name": "stem_net", "arguments": {"width": 4}}}
    bench = make_bench(tmp_path, label_fractions=(1.0,), entries=entries, encoders=given)
    bench.finish(bench.add("one"), bench.truth())
    bench.finish(bench.add("stem", own_encoder="stem_net (width 4)"), bench.noisy(2, 2))
    bench.finish(bench.add("other", origin="baseline"), bench.noisy(3, 3))
    folder = _written(bench, tmp_path)
    for name in ("cells.csv", "tiny-sim/board.csv", "tiny-sim/comparisons.csv", "tiny-sim/cost.csv"):
        rows = list(csv.DictReader(io.StringIO((folder / name).read_text())))
        assert {(row["label"], row["encoder"], row["own_encoder"]) for row in rows} >= {
            ("one", "resnet1d18", ""),
            ("stem", "resnet1d18", "stem_net (width 4)"),
        }, name
    header = (folder / "tiny-sim" / "board.csv").read_text().splitlines()[0]
    assert ",label,title,own_encoder," in header


def test_rows_of_groups_name_their_own_encoder_too(tmp_path):
    bench = make_bench(tmp_path, label_fractions=(1.0,))
    table = swapped(units(bench))
    finish_group(bench, add_group(bench, "one"), table)
    finish_group(bench, add_group(bench, "wide", own_encoder="resnet1d18 (width 16)"), table)
    rows = list(csv.DictReader(io.StringIO((_written(bench, tmp_path) / "groups.csv").read_text())))
    assert {(row["label"], row["own_encoder"]) for row in rows} == {
        ("one", ""),
        ("wide", "resnet1d18 (width 16)"),
    }
