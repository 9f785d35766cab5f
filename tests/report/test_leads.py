import csv
import io
from dataclasses import replace

import numpy as np
import pytest

from bench.report import leads
from bench.report.challenge import explained
from bench.report.leads import A_PART, by_leads, leads_table, leads_told, on_leads, widest_first
from bench.report.summary import Summary
from bench.report.table import SIMULATED, to_csv
from bench.report.tables import CONTROLS, NOTHING, STRATEGIES, TRANSFERS
from tests.report.hand_leads import SIX, TWELVE, TWO, add_leads, as_challenge, finish_leads, summaries_of
from tests.report.hand_made import Bench, make_bench


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Bench:
    """One row on three lead sets and their parts, one on one set and a part, one on one set alone, one that is lost."""
    bench = make_bench(tmp_path_factory.mktemp("leads"), records=240, label_fractions=(1.0,))
    truth, half = bench.truth(), 0 * bench.truth() + 0.5
    finish_leads(bench, "wide", TWO, TWO, [bench.noisy(3, 1), bench.noisy(3, 2)])
    finish_leads(bench, "wide", SIX, SIX, [truth, truth])
    finish_leads(bench, "wide", TWELVE, TWELVE, [half, truth])
    finish_leads(bench, "wide", TWELVE, SIX, [half, truth])
    finish_leads(bench, "wide", TWELVE, TWO, [bench.noisy(2, 3), bench.noisy(2, 4)])
    lost = add_leads(bench, "wide", SIX, TWO)
    bench.store.fail(lost.key, "oom", "out of memory", "")
    control = {"origin": "baseline"}
    finish_leads(bench, "read", TWELVE, TWELVE, [truth], **control)
    finish_leads(bench, "read", TWELVE, SIX, [half], **control)
    finish_leads(bench, "alone", SIX, SIX, [truth])
    far = {"origin": "transfer", "source": "far-sim", "strategy_title": "Wide, from far-sim"}
    finish_leads(bench, "wide", SIX, SIX, [half], **far)
    finish_leads(bench, "wide", TWO, TWO, [half], **far)
    for trained in (TWELVE, TWO):
        add_leads(bench, "gone", trained, skipped="too few leads")
    return bench


@pytest.fixture(scope="module")
def summaries(bench) -> list[Summary]:
    return summaries_of(bench, 100)


@pytest.fixture(scope="module")
def table(bench, summaries):
    return leads_table(summaries, bench.plan.suites[0], 100)


def _row(table, label, trained, source=""):
    (row,) = [
        row
        for row in table.rows
        if (row.data["label"], row.data["lead_set"], row.data.get("source", "")) == (label, trained, source)
    ]
    return dict(zip([column.head for column in table.columns], row.cells, strict=True)), row


def test_settings_that_differ_in_leads_alone_are_one_group(tmp_path):
    bench = make_bench(tmp_path, label_fractions=(1.0,))
    for trained, evaluated in ((TWELVE, TWELVE), (TWO, TWO), (TWELVE, TWO)):
        finish_leads(bench, "one", trained, evaluated, [bench.truth()])
    finish_leads(bench, "one", TWO, TWO, [bench.truth()], encoder="net (dim 8)")
    found = by_leads(summaries_of(bench))
    pairs = [[(s.setting.lead_set, s.setting.eval_lead_set) for s in group] for group in found]
    assert pairs == [[(TWELVE, TWELVE), (TWO, TWO), (TWELVE, TWO)], [(TWO, TWO)]]
    assert [len(on_leads(group)) for group in found] == [1, 0]
    assert leads_table(found[1], bench.plan.suites[0], 20) is None
    assert by_leads([]) == []


def test_lead_sets_stand_widest_first_and_are_told_in_full():
    names = ["lead-II", "clocs-4", "challenge-2", "challenge-4", "all-12", "challenge-3", "clocs-4"]
    assert widest_first(names) == [
        "all-12", "challenge-4", "clocs-4", "challenge-3", "challenge-2", "lead-II",
    ]  # fmt: skip
    assert leads_told(["clocs-4", "lead-II"]) == "clocs-4 (II, V2, aVL, aVR); lead-II (II)"


def test_rows_are_entries_on_several_lead_sets_in_the_boards_blocks(table):
    found = [
        (block, [(row.data["label"], row.data["lead_set"]) for row in rows]) for block, rows in table.blocks()
    ]
    assert found == [
        (STRATEGIES, [("wide", TWELVE), ("wide", SIX), ("wide", TWO)]),
        (CONTROLS, [("read", TWELVE)]),
        (TRANSFERS, [("wide", SIX), ("wide", TWO)]),
        (NOTHING, [("gone", TWELVE), ("gone", TWO)]),
    ]
    assert [column.head for column in table.columns] == [
        "strategy", "trained on", "on all-12", "on challenge-6",
        "on challenge-2", "challenge-6 − trained on it",
        "challenge-2 − trained on it",
    ]  # fmt: skip


def test_numbers_by_hand(table):
    cells, row = _row(table, "wide", TWELVE)
    assert [cells[f"on {name}"].text for name in (TWELVE, SIX)] == ["75.0", "75.0"]
    assert cells[f"{SIX} − trained on it"].text == "−25.0 (−25.0 to −25.0)"
    assert (row.data["fraction"], row.data[f"{SIX}_macro_auroc"], row.data[f"{SIX}_low"]) == (1.0, 0.75, 0.75)
    assert [row.data[f"{SIX}_{name}"] for name in ("seeds", "seed_low", "seed_high")] == [2, 0.5, 1.0]
    name = f"{SIX}_minus_trained_on_it"
    assert [row.data[f"{name}{end}"] for end in ("", "_low", "_high")] == [-0.25, -0.25, -0.25]
    assert row.data[f"{name}_p"] == pytest.approx(2 / 101)
    cells, row = _row(table, "wide", SIX, "far-sim")
    assert (cells["strategy"].text, cells[f"on {SIX}"].text) == ("Wide, from far-sim", "50.0")


def test_what_a_part_loses_is_paired_with_the_fit_trained_on_it(bench, summaries, table):
    own = next(one for one in on_leads(summaries) if one.entry.key == ("wide", ""))
    part, alone = own.score(TWELVE, TWO), own.score(TWO, TWO)
    gaps = part.draws.mean(axis=0) - alone.draws.mean(axis=0)
    low, high = np.quantile(gaps, [0.025, 0.975])
    _, row = _row(table, "wide", TWELVE)
    found = [row.data[f"{TWO}_minus_trained_on_it{end}"] for end in ("", "_low", "_high")]
    assert found == pytest.approx([part.seeds.mean - alone.seeds.mean, low, high])
    apart = np.quantile(part.draws.mean(axis=0), 0.5) - np.quantile(alone.draws.mean(axis=0), [0.025, 0.975])
    assert found[1] != pytest.approx(min(apart))
    assert own.loss(TWO, TWO) is None
    assert own.loss(SIX, TWO) is None  # failed


def test_a_dash_where_nobody_asked_and_the_status_where_something_is_missing(table):
    cells, row = _row(table, "wide", SIX)
    assert (cells["on all-12"].text, cells["on all-12"].notes) == ("–", ())
    lost = cells[f"on {TWO}"]
    assert (lost.text, table.footnotes[lost.notes[0] - 1]) == ("oom", "oom: out of memory")
    assert cells[f"{TWO} − trained on it"].text == "–"
    assert row.data[f"{TWO}_macro_auroc"] is row.data[f"{TWO}_minus_trained_on_it"] is None
    cells, _ = _row(table, "gone", TWO)
    assert [cells[f"on {name}"].text for name in (TWELVE, SIX, TWO)] == ["–", "–", "skipped"]
    cells, row = _row(table, "read", TWELVE)
    assert cells[f"on {SIX}"].text == "50.0"
    assert cells[f"{SIX} − trained on it"].text == "–"  # was not trained on it


def test_caption_says_what_is_compared(table):
    assert (table.name, table.heading) == ("leads", "Lead sets")
    assert table.title == (
        f"{SIMULATED} Lead sets: AUROC ×100 at 100\u00a0% labels by the leads trained on (rows) and"
        " evaluated with (columns), mean over seeds."
    )
    assert "leads of each row, evaluated on those of each column;" in table.caption
    assert "challenge-6 (I, II, III, aVR, aVL, aVF); challenge-2 (I, II). " in table.caption
    assert A_PART in table.caption
    assert "the other leads being zero after scaling" in A_PART
    assert "by 100 paired bootstrap resamples" in table.caption
    assert "Challenge" not in table.caption
    assert [table.context[name] for name in ("corpus", "task", "encoder")] == [
        "tiny-sim",
        "rhythm",
        "resnet1d18",
    ]
    assert not [name for name in table.context if name.endswith("lead_set")]


def test_csv_names_columns_by_lead_set(table):
    rows = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert list(rows[0])[:15] == [
        "suite", "scale", "corpus", "simulated", "task", "split", "protocol", "encoder", "block", "label", "title",
        "source", "lead_set", "fraction", "all-12_macro_auroc",
    ]  # fmt: skip
    assert "eval_lead_set" not in rows[0]
    assert (rows[0]["lead_set"], rows[0][f"{SIX}_macro_auroc"], rows[1]["all-12_low"]) == (TWELVE, "0.75", "")
    assert rows[1]["notes"].endswith("| oom: out of memory")


def test_the_challenge_metric_has_a_table_of_its_own(bench, summaries):
    for rule, told in (("known", "masked, database known"), ("unmasked", "unmasked")):
        table = leads_table(as_challenge(summaries, rule), bench.plan.suites[0], 100)
        assert f"Challenge metric ×100, {told}, at 100\u00a0% labels" in table.title
        assert explained([rule]) in table.caption
        assert "the stricter" not in table.caption
    assert table.name == "leads_challenge_unmasked"
    table = leads_table(as_challenge(summaries), bench.plan.suites[0], 100)
    assert table.name == "leads_challenge"
    cells, row = _row(table, "wide", TWELVE)
    assert (cells[f"on {SIX}"].text, row.data[f"{SIX}_challenge_metric"]) == ("25.0", 0.25)
    assert (row.data[f"{SIX}_low"], row.data[f"{SIX}_minus_trained_on_it"]) == (0.25, -0.25)
    assert f"{SIX}_macro_auroc" not in row.data


def test_one_metric_is_told_at_a_time(bench, summaries):
    both = [*summaries[:1], *as_challenge(summaries[1:])]
    with pytest.raises(ValueError, match="challenge_metric, macro_auroc"):
        leads_table(both, bench.plan.suites[0], 20)


def test_all_settings_are_compared_at_the_groups_largest_label_fraction(tmp_path):
    bench = make_bench(tmp_path)
    finish_leads(bench, "one", SIX, SIX, [bench.truth()])
    finish_leads(bench, "one", SIX, SIX, [0 * bench.truth() + 0.5], fraction=0.1)
    finish_leads(bench, "one", TWO, TWO, [0 * bench.truth() + 0.5], fraction=0.1)
    table = leads_table(summaries_of(bench), bench.plan.suites[0], 20)
    assert [[cell.text for cell in row.cells[2:]] for row in table.rows] == [["100.0", "–"], ["–", "–"]]
    assert {row.data["fraction"] for row in table.rows} == {1.0}
    assert "label fractions" not in table.caption
    assert "paired" not in table.caption  # nothing is evaluated with a part
    assert A_PART not in table.caption


def test_lead_sets_without_a_score_for_any_entry_are_no_table_and_many_rows_break(
    bench, summaries, table, monkeypatch
):
    assert leads_table([], bench.plan.suites[0], 20) is None
    assert not table.long
    monkeypatch.setattr(leads, "_LONG", 7)
    assert leads_table(summaries, bench.plan.suites[0], 20).long


def test_parts_that_an_entry_was_not_trained_on_have_no_column_of_differences(tmp_path):
    bench = make_bench(tmp_path, label_fractions=(1.0,))
    finish_leads(bench, "read", TWELVE, TWELVE, [bench.truth()])
    finish_leads(bench, "read", TWELVE, SIX, [bench.truth()])
    for name in (SIX, TWO):
        finish_leads(bench, "other", name, name, [bench.truth()])
    table = leads_table(summaries_of(bench), bench.plan.suites[0], 20)
    assert A_PART in table.caption
    assert [column.head for column in table.columns][2:] == [
        "on all-12", "on challenge-6", "on challenge-2",
    ]  # fmt: skip


def test_classes_left_out_matter_to_the_macro_average_alone(bench, summaries):
    few, suite = [replace(summary, kept=1) for summary in summaries], bench.plan.suites[0]
    assert ", 1 of 2 classes;" in leads_table(few, suite, 20).caption
    assert "of 2 classes" not in leads_table(as_challenge(few), suite, 20).caption
