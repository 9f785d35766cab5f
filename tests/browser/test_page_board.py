"""The board: order, marks, filters and columns, each against the numbers of the file."""

import re

import pytest

from bench.report.site import write_site
from tests.report.hand_site import board_file, write_suite

SIMULATED = "#simulated/quick/board"
CONTENT = board_file(6)


def names(page, block=0):
    """Of the rows that are seen, in their order."""
    body = page.locator("#box tbody").nth(block)
    return [
        text
        for row in body.locator("tr.line:visible").all()
        for text in row.locator(".opener").all_inner_texts()
    ]


def rows_of(setting, origin="strategy"):
    return [row for row in CONTENT["rows"] if row["setting"] == setting and row["origin"] == origin]


def score(row, fraction=1.0):
    return next((one for one in row["scores"] if one["fraction"] == fraction), None)


def sort_by(page, name):
    page.click(f"[data-sort='{name}']")


def heads(page):
    return [" ".join(text.split()) for text in page.locator("#box thead th").all_inner_texts()]


def cell(page, name, column):
    row = page.locator("tr.line", has=page.get_by_role("button", name=name, exact=True))
    return row.locator("td, th").nth(column)


def test_rows_stand_by_mean_rank_in_blocks_by_origin(site, opened):
    page = opened(site, SIMULATED)
    (overall,) = CONTENT["overall"]
    ranked = [row for row in overall["rows"] if row["fraction"] == 1.0 and row["origin"] == "strategy"]
    ranked.sort(key=lambda row: (row["mean_rank"], -row["iqm"]))
    assert names(page) == [row["label"].replace("_", " ").capitalize() for row in ranked]
    assert names(page, 1) == ["Supervised", "Label prior"]
    assert names(page, 2) == ["Strategy 000, from elsewhere"]
    blocks = page.locator("#box tr.block").all_inner_texts()
    assert blocks == [
        "Strategies (ranked)",
        "Controls and floors (not ranked)",
        "Pre-trained on another corpus (not ranked)",
    ]
    shown = [cell(page, name, 0).inner_text() for name in names(page)]
    assert shown == [f"{row['mean_rank']:.1f}" for row in ranked]


def test_a_cell_has_score_interval_rank_and_tie_group(site, opened):
    page = opened(site, SIMULATED)
    for row in rows_of(0):
        one = score(row)
        text = cell(page, row["name"], 3).inner_text().split()
        dagger = "†" * (one["tie"] == 0 and one["rank"] > 1)
        assert text == [
            str(one["rank"]),
            "abcdef"[one["tie"]],
            f"{100 * one['mean']:.1f}{dagger}",
            f"{100 * one['low']:.1f}–{100 * one['high']:.1f}",
        ]
    best = min(rows_of(0), key=lambda row: score(row)["rank"])
    assert "best" in cell(page, best["name"], 3).locator(".value").get_attribute("class")
    assert page.locator("#box .best").count() == page.locator("#box .second").count() == 2
    assert page.locator("tbody >> nth=1 >> .best").count() == 0


def test_overall_tells_how_many_blocks_there_are_where_one_is_missing(site, opened):
    page = opened(site, f"{SIMULATED}&fraction=0.01")
    rows = {r["label"]: r for r in CONTENT["overall"][0]["rows"] if r["fraction"] == 0.01}
    whole = rows["strategy_000"]
    assert cell(page, "Strategy 001", 5).inner_text() == "1 of 2"
    assert cell(page, "Strategy 000", 5).inner_text().split() == [
        f"{100 * whole['iqm']:.1f}",
        f"{100 * whole['low']:.1f}–{100 * whole['high']:.1f}",
    ]
    assert names(page)[-1] == "Strategy 001"


def test_bars_lie_where_the_interval_lies(site, opened):
    page = opened(site, SIMULATED)
    scores = [score(row) for row in CONTENT["rows"] if row["setting"] == 0]
    least, most = min(one["low"] for one in scores), max(one["high"] for one in scores)
    for row in rows_of(0):
        one, wide = score(row), (score(row)["high"] - score(row)["low"]) / (most - least)
        style = cell(page, row["name"], 3).get_attribute("style")
        found = {name: float(value) for name, value in re.findall(r"--([\w-]+): ([\d.-]+)%", style)}
        start = (one["low"] - least) / (most - least)
        assert found["wide"] == pytest.approx(100 * wide, abs=0.06)
        assert found["at"] == pytest.approx(100 * start / (1 - wide), abs=0.06)
        assert found["dot-at"] == pytest.approx(100 * (one["mean"] - least) / (most - least), abs=0.06)


def test_a_click_sorts_and_another_turns_it_round(site, opened):
    page = opened(site, SIMULATED)
    by_score = [row["name"] for row in sorted(rows_of(1), key=lambda row: -score(row)["mean"])]
    sort_by(page, "s1")
    assert names(page) == by_score
    assert page.locator("#box [aria-sort=descending]").inner_text().startswith("chapman-sim")
    assert "Sorted by chapman-sim, rhythm" in page.locator("#count").inner_text()
    sort_by(page, "s1")
    assert names(page) == by_score[::-1] and page.locator("#box [aria-sort=ascending]").count() == 1
    sort_by(page, "name")
    assert names(page) == sorted(by_score)
    sort_by(page, "seconds")
    cost = {
        row["name"]: max(r["cost"]["seconds"] for r in CONTENT["rows"] if r["name"] == row["name"])
        for row in rows_of(0)
    }
    assert names(page) == sorted(cost, key=cost.get)
    assert page.evaluate("location.hash").endswith("sort=seconds")


def test_what_is_unknown_stands_last_whichever_way(site, opened):
    page = opened(site, f"{SIMULATED}&fraction=0.01")
    sort_by(page, "s0")
    assert names(page)[-1] == "Strategy 001"
    sort_by(page, "s0")
    assert names(page)[-1] == "Strategy 001"


def test_words_must_all_be_found_and_what_is_counted_is_said(site, opened):
    page = opened(site, SIMULATED)
    page.fill("#f-q", "STRATEGY_00 labels")
    assert names(page) == ["Strategy 002"]
    assert page.locator("#count").inner_text() == "1 of 9 rows, 2 of 2 columns of scores."
    assert not page.locator("tr.block", has_text="Controls").is_visible()
    page.fill("#f-q", "no such thing")
    assert page.locator("#nothing").is_visible() and page.locator("tr.line:visible").count() == 0
    page.fill("#f-q", "")
    assert page.locator("tr.line:visible").count() == 9 and not page.locator("#nothing").is_visible()


def test_supervision_and_origin_filter_rows(site, opened):
    page = opened(site, SIMULATED)
    assert page.locator("#f-paid option").all_inner_texts() == [
        "anything",
        "nothing but the signal",
        "demographics",
        "labels",
        "measurements",
        "patient",
    ]
    page.select_option("#f-paid", "none")
    assert sorted(names(page)) == ["Strategy 000", "Strategy 001"] and names(page, 1) == ["Label prior"]
    page.select_option("#f-paid", "patient")
    assert names(page) == ["Strategy 003"]
    page.select_option("#f-paid", "")
    page.select_option("#f-rows", "baseline")
    assert page.locator("tr.line:visible").count() == 2 and names(page, 1) == ["Supervised", "Label prior"]


def test_a_label_fraction_changes_every_column_of_scores(site, opened):
    page = opened(site, SIMULATED)
    page.select_option("#f-fraction", "0.1")
    for row in rows_of(1):
        assert f"{100 * score(row, 0.1)['mean']:.1f}" in cell(page, row["name"], 4).inner_text()
    assert heads(page)[3:6] == [
        "ptbxl-sim rhythm at 10 % labels",
        "chapman-sim rhythm at 10 % labels",
        "Overall IQM of 2 at 10 %",
    ]


def test_one_corpus_alone_has_all_columns(site, opened):
    page = opened(site, SIMULATED)
    page.select_option("#f-corpus", "chapman-sim")
    shown = heads(page)
    assert [head.split(" labels")[0] for head in shown] == [
        "Rank 95 %",
        "Strategy",
        "Paid for in training",
        "Needs at test",
        "chapman-sim rhythm at 100 %",
        "Seeds SD or range",
        "10 %",
        "1 %",
        "Selected on all validation",
        "Time device, a fit",
        "FLOPs a fit",
        "Parameters",
        "Memory peak",
        "Flags",
    ]
    row = rows_of(1)[2]
    one = score(row)
    assert cell(page, row["name"], 0).inner_text().split() == [
        str(one["rank"]),
        f"{one['rank_low']}–{one['rank_high']}",
    ]
    assert cell(page, row["name"], 5).inner_text().split() == [
        f"{100 * one['seed_low']:.1f}–{100 * one['seed_high']:.1f}"
    ]
    assert f"{100 * score(row, 0.01)['mean']:.1f}" in cell(page, row["name"], 7).inner_text()
    assert cell(page, row["name"], 8).inner_text() == f"{100 * one['all']:.1f}"
    assert cell(page, row["name"], 9).inner_text() == f"{row['cost']['seconds']:.1f}\u00a0s"
    assert cell(page, row["name"], 11).inner_text() == "147.2\u00a0k"
    assert cell(page, row["name"], 12).inner_text() == "668\u00a0MiB"
    assert names(page) == [r["name"] for r in sorted(rows_of(1), key=lambda r: -score(r)["mean"])]


def test_over_several_corpora_a_cost_goes_from_the_least_to_the_most(site, opened):
    page = opened(site, SIMULATED)
    costs = sorted(row["cost"]["seconds"] for row in CONTENT["rows"] if row["name"] == "Strategy 004")
    assert cell(page, "Strategy 004", 6).inner_text().replace("\u2009", "").replace("\u200a", "") == (
        f"{costs[0]:.1f}\u00a0s–{costs[1]:.1f}\u00a0s"
    )


def test_lead_sets_are_those_trained_on_until_others_are_asked_for(site, opened):
    page = opened(site, "#simulated/quick/leads")
    scores = [head for head in heads(page) if head.startswith("ptbxl-sim")]
    assert scores == ["ptbxl-sim rhythm all-12 at 100 % labels", "ptbxl-sim rhythm lead-II at 100 % labels"]
    page.select_option("#f-leads", "every")
    assert not any("protocol" in head for head in heads(page))
    assert sum(head.startswith("ptbxl-sim") for head in heads(page)) == 3
    page.select_option("#f-leads", "all-12, evaluated with lead-II")
    assert heads(page)[4] == "ptbxl-sim rhythm all-12, evaluated with lead-II at 100 % labels"
    assert page.locator("#f-corpus").count() == 0 and "1 of 3 columns" in page.locator("#count").inner_text()


def test_the_winners_are_the_first_of_each_setting(site, opened):
    page = opened(site, SIMULATED)
    for place, card in enumerate(page.locator(".card").all()):
        ranked = sorted(rows_of(place), key=lambda row: score(row)["rank"])
        text = card.inner_text()
        assert ranked[0]["name"] in text and f"{100 * score(ranked[0])['mean']:.1f}" in text
        free = next(row for row in ranked if not row["paid_for"])
        assert f"Best that paid for nothing: {free['name']}" in text
        tied = [row["name"] for row in ranked[1:] if score(row)["tie"] == 0]
        assert ("Not separable" in text) == bool(tied) and all(name in text for name in tied)
    assert page.locator(".card").count() == 2


def test_an_opened_row_keeps_its_place_beneath_its_name(site, opened):
    page = opened(site, SIMULATED)
    page.click("text=Strategy 004")
    page.wait_for_selector(".detail .setting")
    sort_by(page, "seconds")
    order = page.evaluate(
        "[...document.querySelectorAll('#box tbody tr')].map(row => row.className + ' ' + row.textContent.slice(0, 40))"
    )
    at = next(place for place, text in enumerate(order) if text.startswith("detail"))
    assert "Strategy 004" in order[at - 1]
    page.fill("#f-q", "strategy_002")
    assert not page.locator(".detail").is_visible()


def test_settings_that_differ_in_their_protocol_alone_are_told_apart(tmp_path, opened):
    content = board_file(2, ("one", "two"))
    for setting in content["settings"]:
        setting["corpus"] = "ptbxl-sim"
    write_suite(tmp_path, content)
    page = opened(write_site(tmp_path))
    protocols = [setting["protocol"][:8] for setting in content["settings"]]
    shown = [head for head in heads(page) if head.startswith("ptbxl-sim")]
    assert shown == [f"ptbxl-sim rhythm protocol {one} at 100 % labels" for one in protocols]
