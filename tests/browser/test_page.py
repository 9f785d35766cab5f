"""What a reader sees and does: suites, addresses, opened rows, tables, figures, light and dark, phone, print, keys."""

import json
import re

from tests.report.hand_site import NASTY, board_file

SIMULATED = "#simulated/quick/board"


def texts(page, selector):
    return [" ".join(text.split()) for text in page.locator(selector).all_inner_texts()]


def test_the_first_suite_is_the_real_board_and_a_click_opens_another(site, opened):
    page = opened(site)
    assert page.locator("h2").first.inner_text() == "Suite board, by hand REAL ECGs"
    assert texts(page, "#suites [aria-current]") == ["board Suite board, by hand"]
    assert page.locator("main .badge:not(.real)").count() == 0
    page.click("a[data-place='simulated/quick/leads']")
    page.wait_for_selector("html[data-whole='simulated/quick/leads']")
    assert page.locator("h2").first.inner_text() == "Suite leads, by hand SIMULATED"
    assert page.evaluate("location.hash") == "#simulated/quick/leads"
    assert page.locator("main .badge.real").count() == 0
    page.go_back()
    page.wait_for_selector("html[data-whole='real/quick/board']")


def test_real_and_simulated_suites_stand_apart(site, opened):
    page = opened(site)
    assert texts(page, ".suites:not(.simulated) li") == ["board Suite board, by hand"]
    assert [text.split()[0] for text in texts(page, ".suites.simulated li")] == [
        "board",
        "groups",
        "leads",
        "nasty",
    ]
    assert texts(page, ".suites.simulated .badge") == ["SIMULATED"]


def test_an_address_opens_the_view_it_was_copied_from(site, opened):
    page = opened(
        site, f"{SIMULATED}&fraction=0.1&corpus=chapman-sim&paid=none&sort=seconds&open=strategy_000"
    )
    assert page.input_value("#f-fraction") == "0.1" and page.input_value("#f-corpus") == "chapman-sim"
    assert page.input_value("#f-paid") == "none"
    assert page.locator("[aria-sort=ascending]").inner_text().startswith("Time")
    assert page.locator(".opener[aria-expanded=true]").all_inner_texts() == ["Strategy 000"]
    again = opened(site, page.evaluate("location.hash"))
    assert texts(again, "#box th.name") == texts(page, "#box th.name")
    page.click("#reset")
    assert page.evaluate("location.hash") == SIMULATED
    assert page.locator(".opener[aria-expanded=true]").count() == 0


def test_an_address_that_makes_no_sense_opens_what_there_is(site, opened):
    for address in (
        "#nothing/here",
        "#%E0%A4%A",
        f"{SIMULATED}&fraction=7&corpus=x&sort=y:z&open=nobody&leads=%00",
    ):
        page = opened(site, address)
        assert page.locator("tr.line:visible").count() > 4
    assert page.input_value("#f-fraction") == "" and page.input_value("#f-corpus") == ""


def test_the_address_of_another_view_changes_the_page_that_is_open(site, opened):
    page = opened(site, SIMULATED)
    page.evaluate("location.hash = '#simulated/quick/board&q=strategy_002'")
    page.wait_for_function("document.querySelectorAll('tr.line:not([hidden])').length === 1")
    assert page.input_value("#f-q") == "strategy_002"


def test_a_row_opens_its_runs_health_and_provenance(site, opened):
    content = board_file(6)
    row = next(r for r in content["rows"] if r["label"] == "strategy_003" and r["setting"] == 0)
    page = opened(site, SIMULATED)
    assert page.get_attribute("text=Strategy 003 >> visible=true", "aria-expanded") == "false"
    page.click("text=Strategy 003")
    assert page.evaluate("location.hash") == f"{SIMULATED}&open=strategy_003"
    page.wait_for_selector(".detail .health")
    assert page.get_attribute("text=Strategy 003 >> visible=true", "aria-expanded") == "true"
    inside = page.locator(".detail .inside")
    method = inside.locator(".method").inner_text()
    for told in (
        "Paper of strategy_003 (2021)",
        "temperature 0.07, views 2",
        "strategy_003 departs here",
        "patient",
    ):
        assert told in method
    runs = [
        row.split("\t")
        for row in inside.locator(".setting >> nth=0 >> table >> nth=0 >> tbody >> tr").all_inner_texts()
    ]
    expected = sorted(row["runs"], key=lambda run: (-run["fraction"], run["seed"]))
    assert [(float(r[0][:-2]) / 100, int(r[1]), r[2], r[3], r[4]) for r in runs] == [
        (run["fraction"], run["seed"], f"{100 * run['value']:.1f}", run["key"], run["fit"])
        for run in expected
    ]
    assert inside.locator("details[open] .curve path").count() == 4
    label = inside.locator("details[open] .curve svg").first.get_attribute("aria-label")
    health = [content["fits"][run["fit"]]["health"] for run in expected[:2]]
    first, last = (", ".join(f"{curve[at]['loss']:.3g}" for curve in health) for at in (0, -1))
    assert label == f"Loss of 2 fits up to step 120: from {first} to {last}"
    inside.locator("details[open] .origin summary").click()
    origin = inside.locator("details[open] .origin[open]").inner_text()
    for told in ("c0ffee" * 6, "668", "2026-01-02 03:04:05 UTC", "torch 2.13.0", "a cpu"):
        assert told in origin
    page.click("text=Strategy 003 >> nth=0")
    assert page.locator(".detail").count() == 0 and page.evaluate("location.hash") == SIMULATED


def test_a_missing_result_says_why(site, opened):
    page = opened(site, f"{SIMULATED}&fraction=0.01&open=strategy_001")
    page.wait_for_selector(".detail .setting")
    row = page.locator("tr.line", has_text="Strategy 001")
    assert "skipped" in row.inner_text() and "1 of 2" in row.inner_text()
    assert row.locator("td[title='skipped: too few labels']").count() == 1
    assert "1 % labels, seed 0: skipped: too few labels" in page.locator(".detail").inner_text().replace(
        "\u00a0", " "
    )


def test_tables_figures_facts_and_corpora_are_there(site, opened):
    page = opened(site, SIMULATED)
    assert texts(page, "#tables .of > h3")[0].startswith("ptbxl-sim, rhythm SIMULATED")
    assert page.locator("#tables .of >> nth=0 >> .table >> visible=true").count() == 1
    assert "Table 1, published beside ours" in texts(page, "#tables .caption")[0]
    assert texts(page, "#tables .of >> nth=0 >> summary") == [
        "The board as one flat table",
        "What a fit cost",
    ]
    page.click("#tables summary >> nth=1")
    table = page.locator("#tables details[open] table")
    table.wait_for()
    assert [" ".join(text.split()) for text in table.locator("tbody tr").all_inner_texts()] == [
        "strategies",
        "SimCLR 93.41",
        "CPC 91.0†",
    ]
    assert table.locator("b").inner_text() == "93.4" and table.locator("u").inner_text() == "91.0"
    image = page.locator("#figures img")
    assert image.get_attribute("alt") == "Score against label fraction."
    page.wait_for_function("document.querySelector('#figures img').complete")
    assert image.evaluate("one => [one.naturalWidth, one.naturalHeight]") == [120, 40]
    told = page.locator("#provenance").inner_text()
    for text in ("c0ffee" * 6, "torch 2.13.0", "CC BY 4.0", "Somebody, 2020", "1,000 resamples"):
        assert text in told
    page.click("text=What was run")
    assert "resnet1d18 (width 8)" in page.locator(".facts").inner_text()


def test_a_suite_without_scores_shows_its_tables(site, opened):
    page = opened(site, "#simulated/quick/groups")
    assert page.locator("#box").count() == 0 and page.locator("#tables table").count() > 0
    assert "Nothing is ranked in this suite" in page.locator("main").inner_text()


def test_hostile_texts_stay_texts(site, opened):
    page = opened(site, "#simulated/quick/nasty&open=strategy_001")
    page.wait_for_selector(".detail .setting")
    for summary in page.locator("summary").all():
        if summary.is_visible():
            summary.click()
    shown = page.evaluate("document.body.textContent")
    assert shown.count(re.sub("[\u202a-\u202e]", "", NASTY)) > 30
    assert (
        page.evaluate("document.querySelectorAll('main img:not(#figures img), main script, main b b').length")
        == 0
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_no_request_leaves_the_page_even_when_asked(site, opened):
    page = opened(site, SIMULATED)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.locator("#f-q").fill("strategy")
    page.locator(".opener").first.click()
    page.click("[data-sort=seconds]")
    page.wait_for_selector(".detail .setting")
    assert [url for url in asked if not url.startswith("data:")] == []


def test_light_and_dark_follow_the_system_and_the_button(site, opened):
    def paper(page):
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    light, dark = opened(site, color_scheme="light"), opened(site, color_scheme="dark")
    assert paper(light) == "rgb(255, 255, 255)" and paper(dark) == "rgb(18, 22, 29)"
    assert dark.get_attribute("#theme", "aria-pressed") == "true"
    for page, other in ((light, dark), (dark, light)):
        expected = paper(other)
        page.click("#theme")
        assert paper(page) == expected
        page.click("#theme")


def test_a_phone_never_scrolls_sideways(site, opened):
    for address in (
        "",
        f"{SIMULATED}&open=strategy_001",
        "#simulated/quick/nasty&open=strategy_001",
        "#simulated/quick/leads",
    ):
        page = opened(site, address, viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
        page.wait_for_timeout(50)
        assert page.evaluate("[document.documentElement.scrollWidth, innerWidth]") == [390, 390]
    page.evaluate("document.querySelector('#box').scrollLeft = 150")
    name = page.locator("tr.line th.name").first.bounding_box()
    assert abs(name["x"] - page.locator("#box").bounding_box()["x"]) < 3


def test_print_shows_what_is_open_without_controls(site, opened):
    page = opened(site, f"{SIMULATED}&open=strategy_001", color_scheme="dark")
    page.wait_for_selector(".detail .setting")
    assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")
    page.emulate_media(media="print")
    for control in (".filters", "#theme", "#suites", ".jump"):
        assert not page.is_visible(control)
    assert page.is_visible(".detail .health") and page.is_visible("#box table")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.querySelector('table.board')).display") == "table"
    assert page.evaluate(
        "document.querySelector('#box').scrollWidth <= document.querySelector('#box').clientWidth + 1"
    )


def test_the_keyboard_alone_sorts_filters_and_opens(site, opened):
    page = opened(site, SIMULATED)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the board"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    seen = []
    for _ in range(40):
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate(
                "document.activeElement.dataset.sort || document.activeElement.id || document.activeElement.className"
            )
        )
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", seen[-1]
        if seen[-1] == "f-q":
            page.keyboard.type("strategy")
        elif seen[-1] == "seconds":
            page.keyboard.press("Enter")
        elif seen[-1] == "opener":
            page.keyboard.press("Space")
            break
    assert {"f-q", "f-corpus", "f-fraction", "reset", "box", "seconds"} <= set(seen)
    assert page.locator("#box [aria-sort=ascending]").inner_text().startswith("Time")
    assert page.locator("tr.line:visible").count() == 7
    page.wait_for_selector(".detail .setting")
    opener = page.evaluate(
        "[document.activeElement.getAttribute('aria-expanded'), document.activeElement.getAttribute('aria-controls')]"
    )
    assert opener[0] == "true" and page.locator(f"#{opener[1]}").is_visible()


def test_readers_of_the_screen_find_landmarks_names_and_heads(site, opened):
    page = opened(site, f"{SIMULATED}&open=strategy_000")
    page.wait_for_selector(".detail .setting")
    for role in ("banner", "main", "contentinfo"):
        assert page.get_by_role(role).count() == 1, role
    assert page.get_by_role("navigation", name="Suites").count() == 1
    board = page.get_by_role("table", name=re.compile("SIMULATED data"))
    heads = board.get_by_role("columnheader").all_inner_texts()
    assert [head.split()[0] for head in heads][:4] == ["Rank", "Strategy", "Paid", "ptbxl-sim"]
    assert board.get_by_role("rowheader", name="Strategy 000", exact=True).count() == 1
    assert page.get_by_role("status").inner_text() == "9 of 9 rows, 2 of 2 columns of scores."
    assert page.evaluate("document.documentElement.lang") == "en"
    unnamed = page.evaluate(
        "[...document.querySelectorAll('button, input, select, img, a, svg[role]')].filter(one => !("
        "one.textContent.trim() || one.getAttribute('aria-label') || one.alt || one.labels?.length)).length"
    )
    assert unnamed == 0
    ids = json.loads(
        page.evaluate("JSON.stringify([...document.querySelectorAll('[id]')].map(one => one.id))")
    )
    assert len(ids) == len(set(ids))
