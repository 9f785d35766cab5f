"""The page's file: what is packed into it, what is left out and why, and that no value leaves its place."""

import base64
import hashlib
import json
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.report.site import write_site
from tests.report.hand_site import NASTY, SVG, board_file, nasty_file, write_suite


def _chunks(page: str) -> dict[str, bytes]:
    found = re.findall(r'<script type="text/plain" id="(c\d+)">([A-Za-z0-9+/=]*)</script>', page)
    return {name: zlib.decompress(base64.b64decode(text)) for name, text in found}


def _index(page: str) -> list[dict[str, Any]]:
    (text,) = re.findall(r'id="index">([A-Za-z0-9+/=]*)<', page)
    return json.loads(base64.b64decode(text))


def _view(page: str, place: str) -> dict[str, Any]:
    (line,) = [line for line in _index(page) if line["place"] == place]
    return json.loads(_chunks(page)[line["view"]]) | {"packed_sections": line["sections"]}


def _left_out(page: str) -> list[str]:
    (box,) = re.findall(r'id="left-out">(.*?)</div>', page, re.DOTALL) or [""]
    return re.findall(r"<li>(.*?)</li>", box)


def _written(results: Path) -> str:
    page = write_site(results)
    assert page == results / "board.html"
    return page.read_text()


def test_without_any_suite_there_is_no_page(tmp_path):
    assert write_site(tmp_path) is None and not list(tmp_path.iterdir())


def test_the_same_files_give_the_same_bytes_and_nothing_stays_aside(tmp_path):
    for name in ("clocs", "board"):
        write_suite(tmp_path / "one", board_file(3, name=name))
    for name in ("board", "clocs"):
        write_suite(tmp_path / "two", board_file(3, name=name))
    first, again = _written(tmp_path / "one"), _written(tmp_path / "one")
    assert first == again == _written(tmp_path / "two")
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == ["board.html", "simulated"]


def test_real_stands_before_simulated_and_the_board_first(tmp_path):
    for name, simulated, scale in (
        ("clocs", True, "quick"),
        ("board", True, "quick"),
        ("goodviews", False, "quick"),
        ("board", False, "quick"),
        ("board", False, "paper"),
    ):
        corpora = ("ptbxl",) if not simulated else ("ptbxl-sim",)
        write_suite(tmp_path, board_file(2, corpora, name, scale, simulated))
    page = _written(tmp_path)
    assert [line["place"] for line in _index(page)] == [
        "real/paper/board",
        "real/quick/board",
        "real/quick/goodviews",
        "simulated/quick/board",
        "simulated/quick/clocs",
    ]
    head = page[: page.index("<main")]
    assert re.findall(r'data-place="(.*?)"', head) == [line["place"] for line in _index(page)]
    assert head.index("REAL ECGs") < head.index("real/paper/board") < head.index(">SIMULATED<")
    assert "<title>leadboard</title>" in page


def test_a_page_of_simulated_numbers_alone_says_so_in_its_title(tmp_path):
    write_suite(tmp_path, board_file(2))
    page = _written(tmp_path)
    assert "<title>SIMULATED – leadboard</title>" in page and "REAL ECGs</span>" not in page


def test_every_number_of_the_file_is_in_the_page(tmp_path):
    content = board_file(4)
    write_suite(tmp_path, content)
    page = _written(tmp_path)
    view, chunks = _view(page, "simulated/quick/board"), _chunks(page)
    assert [setting["name"] for setting in view["settings"]] == [s["name"] for s in content["settings"]]
    for place, (shown, given) in enumerate(zip(view["rows"], content["rows"], strict=True)):
        assert {name: shown[name] for name in ("label", "cost", "flags", "missing")} == {
            name: given[name] for name in ("label", "cost", "flags", "missing")
        }
        assert [(s["mean"], s["low"], s["rank"], s["tie"]) for s in shown["scores"]] == [
            (s["mean"], s["low"], s["rank"], s["tie"]) for s in given["scores"]
        ]
        assert "runs" not in shown and "params" not in shown
        detail = json.loads(chunks[view["details"][shown["detail"]]])
        assert detail["rows"][str(place)]["runs"] == given["runs"]
        assert detail["rows"][str(place)]["params"] == given["params"]
        for run in given["runs"]:
            fit = detail["fits"][run["fit"]]
            assert fit["health"] == content["fits"][run["fit"]]["health"]
            assert fit["commit"] == content["fits"][run["fit"]]["commit"]
    (one,) = view["overall"]
    assert [row["iqm"] for row in one["rows"]] == [row["iqm"] for row in content["overall"][0]["rows"]]
    sections = json.loads(chunks[view["packed_sections"]])
    assert [table["name"] for table in sections[0]["tables"]] == ["board", "table1"]
    assert sections[1]["details"][0]["blocks"][0]["rows"][1][1] == {
        "text": "91.0",
        "emphasis": "second",
        "dagger": True,
        "notes": [],
    }


def test_rows_of_one_label_are_unpacked_together_and_large_suites_in_pieces(tmp_path):
    write_suite(tmp_path, board_file(60, seeds=2))
    view = _view(_written(tmp_path), "simulated/quick/board")
    by_label: dict[tuple[str, str], set[int]] = {}
    for row in view["rows"]:
        by_label.setdefault((row["label"], row["source"]), set()).add(row["detail"])
    assert all(len(chunks) == 1 for chunks in by_label.values())
    assert len(view["details"]) > 2
    assert {row["detail"] for row in view["rows"]} == set(range(len(view["details"])))


def test_figures_come_from_beside_the_file_and_a_lost_one_is_told(tmp_path):
    content = board_file(2)
    content["figures"] += [{"name": "lost", "caption": ""}, {"name": "../secret", "caption": ""}]
    folder = write_suite(tmp_path, {**content, "figures": content["figures"][:1]})
    (folder / "board.json").write_text(json.dumps(content))
    (folder.parent / "secret.svg").write_bytes(b"<svg>secret</svg>")
    page = _written(tmp_path)
    view, chunks = _view(page, "simulated/quick/board"), _chunks(page)
    assert [figure["name"] for figure in view["figures"]] == ["label_efficiency"]
    assert chunks[view["figures"][0]["chunk"]] == SVG
    assert not any(b"secret</svg>" in chunk for chunk in chunks.values())
    assert view["undrawn"] == [
        "Figure lost: its file is not there.",
        "Figure ../secret: its file is not there.",
    ]


def _without(name: str) -> Callable[[dict[str, Any]], Any]:
    return lambda content: {key: value for key, value in content.items() if key != name}


def _with_row(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda content: {**content, "rows": [content["rows"][0] | changes, *content["rows"][1:]]}


def _deep(levels: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(levels):
        found = {"a": found}
    return found


DAMAGED: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (lambda content: [content], "is damaged: no JSON object"),
    (lambda content: content | {"format": 7}, "has format 7; this page reads 1"),
    (_without("format"), "has format None; this page reads 1"),
    (_without("rows"), "is damaged: rows: Field required"),
    (lambda content: content | {"rows": "many"}, "is damaged: rows: "),
    (lambda content: content | {"settings": []}, "is damaged: content: "),
    (_with_row(setting=-1), "is damaged: rows.0.setting: "),
    (_with_row(label=None), "is damaged: rows.0.label: "),
    (_with_row(scores=[{"fraction": "some"}]), "is damaged: rows.0.scores.0.fraction: "),
    (_with_row(params=_deep(40)), "is damaged: rows.0.params: Value error, nested too deeply"),
    (
        lambda content: content | {"fits": {"k": {"health": [{"step": []}]}}},
        "is damaged: fits.k.health.0.step: ",
    ),
    (lambda content: content | {"provenance": 3}, "is damaged: provenance: "),
]


@pytest.mark.parametrize(("damage", "told"), DAMAGED, ids=[told for _, told in DAMAGED])
def test_what_is_damaged_is_left_out_and_told_and_the_rest_stands(tmp_path, damage, told):
    write_suite(tmp_path, board_file(2, name="good"))
    folder = write_suite(tmp_path, board_file(2, name="bad"))
    (folder / "board.json").write_text(json.dumps(damage(board_file(2, name="bad"))))
    page = _written(tmp_path)
    (line,) = _left_out(page)
    assert line.startswith(f"simulated/quick/bad/board.json {told}")
    assert [one["place"] for one in _index(page)] == ["simulated/quick/good"]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe{}", b"[" * 100_000, b"nul", b'{"format": 1e999999']
)
def test_what_is_no_json_is_left_out(tmp_path, content):
    folder = tmp_path / "real" / "quick" / "board"
    folder.mkdir(parents=True)
    (folder / "board.json").write_bytes(content)
    page = _written(tmp_path)
    assert _left_out(page) == ["real/quick/board/board.json is damaged: no JSON"] and _index(page) == []


def test_a_folder_of_that_name_is_left_out(tmp_path):
    (tmp_path / "real" / "board.json").mkdir(parents=True)
    (line,) = _left_out(_written(tmp_path))
    assert line.startswith("real/board.json cannot be read")


@pytest.mark.parametrize("part", ["folder", "setting", "section"])
def test_simulated_numbers_are_never_shown_as_real(tmp_path, part):
    content = board_file(2, ("ptbxl",), simulated=False)
    folder = write_suite(tmp_path, content)
    if part == "folder":
        content = board_file(2, ("ptbxl",), simulated=True)
    elif part == "setting":
        content["settings"][0]["simulated"] = True
    else:
        content["sections"][0]["simulated"] = True
    (folder / "board.json").write_text(json.dumps(content))
    page = _written(tmp_path)
    assert _index(page) == []
    assert _left_out(page) == [
        "real/quick/board/board.json mixes real and simulated numbers, or lies in the wrong folder"
    ]


def test_numbers_that_are_none_and_fields_of_later_versions(tmp_path):
    content = board_file(2)
    content |= {"later": {"x": 1}, "overall": None}
    content["rows"][0]["cost"]["flops"] = float("nan")
    content["rows"][0]["params"] = {"limit": float("inf")}
    folder = write_suite(tmp_path, content)
    text = (folder / "board.json").read_text().replace('"seconds": 3.8', '"seconds": 1e999')
    (folder / "board.json").write_text(text)
    page = _written(tmp_path)
    view, chunks = _view(page, "simulated/quick/board"), _chunks(page)
    assert _left_out(page) == [] and view["overall"] == [] and "later" not in view
    assert view["rows"][0]["cost"]["flops"] is None
    detail = json.loads(chunks[view["details"][0]], parse_constant=pytest.fail)
    assert detail["rows"]["0"]["params"] == {"limit": None}
    assert all(fit["seconds"] is None for fit in detail["fits"].values())


def test_one_overall_is_a_list_of_one(tmp_path):
    content = board_file(2)
    (one,) = content["overall"]
    write_suite(tmp_path, content | {"overall": one})
    (shown,) = _view(_written(tmp_path), "simulated/quick/board")["overall"]
    assert shown["blocks"] == one["blocks"]


def test_no_value_leaves_its_place(tmp_path):
    write_suite(tmp_path, nasty_file())
    folder = tmp_path / "simulated" / "quick" / "<b>&amp;"
    folder.mkdir()
    (folder / "board.json").write_text(json.dumps(board_file(2) | {"format": "<script>x</script>"}))
    page = _written(tmp_path)
    assert NASTY not in page and "<img" not in page and "onerror=alert" in page and "<script>x" not in page
    assert "simulated/quick/&lt;b&gt;&amp;amp;/board.json has format &lt;script&gt;" in page
    chunks = _chunks(page)
    assert page.count("<script") == page.count("</script>") == len(chunks) + 2
    texts = b" ".join(chunks.values()).decode()
    assert "onerror=alert(1)" in texts


def test_text_that_is_no_utf8_is_written_all_the_same(tmp_path):
    content = board_file(2)
    content["suite"]["title"] = "half \ud800 a pair"
    write_suite(tmp_path, content)
    assert "half ? a pair" in _written(tmp_path)


def test_the_policy_lets_only_our_script_and_style_run_and_nothing_be_fetched(tmp_path):
    write_suite(tmp_path, board_file(2))
    page = _written(tmp_path)
    (policy,) = re.findall(r'Content-Security-Policy" content="(.*?)"', page)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    for text, rule in ((script, "script-src"), (style, "style-src")):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"
    assert rules["default-src"] == "'none'" and rules["img-src"] == "data:"
    links = re.findall(r'(?:src|href)="(.*?)"', page)
    assert links and all(
        link.startswith(("#", "data:")) or link == "simulated/quick/board/" for link in links
    )
    assert not re.search(
        r"url\(|@import|innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|fetch\(", script + style
    )


def test_without_javascript_the_page_says_where_the_tables_lie(tmp_path):
    write_suite(tmp_path, board_file(2))
    (told,) = re.findall(r"<noscript>(.*?)</noscript>", _written(tmp_path), re.DOTALL)
    assert 'href="simulated/quick/board/"' in told
