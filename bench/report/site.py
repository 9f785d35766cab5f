"""One page of everything below a results folder: `board.html`, self-contained, of every `board.json` and its figures.

The one thing to know: the page computes no statistics. What it shows stands in the files, packed here into chunks
(deflate, base64) that its script unpacks when they are asked for: a suite when it is opened, a row's runs when the row
is.
"""

import base64
import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.report.files import replace_file
from bench.report.site_model import BoardFile, RowInfo, SiteError, read_board

SOURCE, PAGE = "board.json", "board.html"

_SCRIPTS = ("page.js", "table.js", "columns.js", "detail.js", "parts.js", "start.js")
_OF_A_ROW = ("runs", "params", "deviations", "paper", "recipe")
"""What is shown of a row only when it is opened."""

_CHUNK = 200_000  # characters of the rows and fits that are unpacked together


@dataclass(frozen=True)
class Found:
    """One suite's folder.

    Attributes:
        place: of the folder below the results: 'real/quick/board'.
    """

    place: str
    folder: Path
    content: BoardFile

    @property
    def order(self) -> tuple[bool, bool, str, str, str]:
        """Real before simulated, the suite `board` first, then by name."""
        suite = self.content.suite
        return suite.simulated, suite.name != "board", suite.name, suite.scale, self.place


@dataclass
class Chunks:
    """Texts to unpack on demand, each under a name."""

    packed: list[tuple[str, str]] = field(default_factory=list)

    def add(self, content: bytes) -> str:
        """The name of a new chunk."""
        name = f"c{len(self.packed)}"
        self.packed.append((name, base64.b64encode(zlib.compress(content, 6)).decode()))
        return name

    def add_json(self, content: Any) -> str:
        """The name of a new chunk of JSON."""
        return self.add(_json(content))


def write_site(results: Path) -> Path | None:
    """Assemble the page of all suites below a folder; the same files give the same bytes.

    A `board.json` that cannot be used is left out, and the page says so.

    Args:
        results: the folder that holds `<real|simulated>/<scale>/<suite>/board.json`.

    Returns:
        `board.html` in that folder; None where there is no `board.json` at all.
    """
    found, left_out = _find(results)
    if not found and not left_out:
        return None
    page = results / PAGE
    replace_file(page, site(found, left_out).encode("utf-8", errors="replace"))
    return page


def site(found: Sequence[Found], left_out: Sequence[str] = ()) -> str:
    """The page, as HTML text.

    Args:
        left_out: a line for each file that could not be used.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("bench.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    ordered = sorted(found, key=lambda one: one.order)
    chunks = Chunks()
    views = [_packed(one, chunks) for one in ordered]
    style, script = _text("page.css"), "".join(_text(name) for name in _SCRIPTS)
    script = f'"use strict";\n(() => {{\n{script}}})();\n'
    return environment.get_template("page.html.j2").render(
        style=style,
        script=script,
        style_hash=_digest(style),
        script_hash=_digest(script),
        groups=_groups(ordered),
        any_real=any(not one.content.suite.simulated for one in ordered),
        scales=len({one.content.suite.scale for one in ordered}) > 1,
        index=base64.b64encode(_json(views)).decode(),
        chunks=_first_first(chunks, views),
        left_out=list(left_out),
    )


def _find(results: Path) -> tuple[list[Found], list[str]]:
    """What can be used, and a line for what cannot."""
    found, left_out = [], []
    for path in sorted(results.rglob(SOURCE)):
        place = path.parent.relative_to(results).as_posix()
        try:
            content = read_board(path)
            _agrees(content, place)
        except SiteError as error:
            left_out.append(f"{place}/{SOURCE} {error}")
        else:
            found.append(Found(place, path.parent, content))
    return found, left_out


def _agrees(content: BoardFile, place: str) -> None:
    """Do the file and every part of it say of their numbers what the folder says?

    Raises:
        SiteError: they do not.
    """
    told = {"real": False, "simulated": True}.get(place.partition("/")[0], content.suite.simulated)
    settings = [setting.simulated for setting in content.settings]
    sections = [section.simulated for section in content.sections]
    if any(mark != told for mark in (content.suite.simulated, *settings, *sections)):
        raise SiteError("mixes real and simulated numbers, or lies in the wrong folder")


def _packed(one: Found, chunks: Chunks) -> dict[str, Any]:
    """A suite's line of the index; its content goes into chunks."""
    content = one.content
    shown = content.model_dump(exclude={"rows", "fits", "sections", "figures", "undrawn"})
    figures, lost = _figures(one, chunks)
    details, chunk_of = _details(content, chunks)
    rows = [row.model_dump(exclude={*_OF_A_ROW}) for row in content.rows]
    shown |= {
        "rows": [{**row, "detail": detail} for row, detail in zip(rows, chunk_of, strict=True)],
        "details": details,
        "figures": figures,
        "undrawn": [*content.undrawn, *lost],
    }
    sections = [section.model_dump() for section in content.sections]
    return {
        "place": one.place,
        "view": chunks.add_json(shown),
        "sections": chunks.add_json(sections) if sections else None,
    }


def _figures(one: Found, chunks: Chunks) -> tuple[list[dict[str, str]], list[str]]:
    """Those whose SVG is there, with its chunk, and a line for each that is not."""
    figures, lost = [], []
    for figure in one.content.figures:
        path = one.folder / f"{figure.name}.svg"
        inside = path.name == f"{figure.name}.svg" and path.is_file()
        if inside:
            figures.append({**figure.model_dump(), "chunk": chunks.add(path.read_bytes())})
        else:
            lost.append(f"Figure {figure.name}: its file is not there.")
    return figures, lost


def _details(content: BoardFile, chunks: Chunks) -> tuple[list[str], list[int]]:
    """Chunks of what opened rows show, with their fits, and for each row which of them is its own.

    Rows of one label lie together, whatever their setting: they are opened together.
    """
    together: dict[tuple[str, str], list[int]] = {}
    for place, row in enumerate(content.rows):
        together.setdefault((row.label, row.source or ""), []).append(place)
    chunk_of, names = [0] * len(content.rows), list[str]()
    for places in _batches(content.rows, list(together.values())):
        for place in places:
            chunk_of[place] = len(names)
        names.append(chunks.add_json(_detail(content, places)))
    return names, chunk_of


def _batches(rows: Sequence[RowInfo], groups: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Groups put together until they are large; a run weighs as much as its fit's curve."""
    batch: list[int] = []
    weight = 0
    for places in groups:
        batch += places
        weight += sum(1000 * (1 + len(rows[place].runs)) for place in places)
        if weight > _CHUNK:
            yield batch
            batch, weight = [], 0
    if batch:
        yield batch


def _detail(content: BoardFile, places: Sequence[int]) -> dict[str, Any]:
    rows = {place: content.rows[place].model_dump(include={*_OF_A_ROW}) for place in places}
    asked = dict.fromkeys(run.fit for place in places for run in content.rows[place].runs if run.fit)
    fits = {key: content.fits[key].model_dump() for key in asked if key in content.fits}
    return {"rows": rows, "fits": fits}


def _first_first(chunks: Chunks, views: Sequence[Mapping[str, Any]]) -> tuple[list[tuple[str, str]], ...]:
    """Chunks that stand before the script (the first suite's view), and those after it."""
    first = {views[0]["view"]} if views else set()
    early = [chunk for chunk in chunks.packed if chunk[0] in first]
    return early, [chunk for chunk in chunks.packed if chunk[0] not in first]


def _groups(found: Sequence[Found]) -> list[dict[str, Any]]:
    """Suites of real and of simulated numbers apart, with their corpora: what stands in the page's head."""
    groups = []
    for simulated in (False, True):
        own = [one for one in found if one.content.suite.simulated == simulated]
        titles = (setting.title or setting.corpus for one in own for setting in one.content.settings)
        told = (
            corpus.title
            for one in own
            for corpus in one.content.provenance.corpora
            if corpus.simulated
            == simulated  # real ones may have been evaluated with encoders of simulated ones
        )
        corpora = [title for title in dict.fromkeys((*titles, *told)) if title]
        if own:
            groups.append({"simulated": simulated, "corpora": corpora, "suites": [_told(one) for one in own]})
    return groups


def _told(one: Found) -> dict[str, str]:
    suite = one.content.suite
    return {"place": one.place, "name": suite.name, "title": suite.title, "scale": suite.scale}


def _text(name: str) -> str:
    return (Path(__file__).parent / "templates" / name).read_text(encoding="utf-8")


def _json(content: Any) -> bytes:
    return json.dumps(content, separators=(",", ":"), allow_nan=False).encode()


def _digest(text: str) -> str:
    """As a content security policy names what may run."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
