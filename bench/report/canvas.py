"""What all figures share: colours, style, and bytes that depend on nothing but what is drawn."""

import io
import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")
"""Okabe and Ito's, which colour-blind readers tell apart, for classes; black and grey mean other things."""

UNKNOWN = "0.6"
"""Of what has no class, or several."""


class NoFigure(Exception):
    """A figure cannot be drawn; the message says why."""


@dataclass(frozen=True)
class Figure:
    """A figure in both forms, with the text that describes it."""

    name: str
    caption: str
    svg: bytes
    png: bytes


_KEPT = re.compile(rb"(scale\([^)]*\))|(\.\d\d)\d+|<!--[^>]*-->\n?|(?<=\n) +")


def style(**more: Any) -> AbstractContextManager[Any]:
    """The style in which to draw and save, with some of matplotlib's settings besides (dots as underscores)."""
    from matplotlib import rc_context

    chosen = {"svg.hashsalt": "leadboard", "font.family": "DejaVu Sans", "font.size": 9}
    others = {name.replace("_", ".", 1): value for name, value in more.items()}
    return rc_context({**chosen, "path.simplify_threshold": 0.6, **others})


def class_colours(count: int) -> list[Any]:
    """A colour a class; more classes than safe colours get evenly spaced hues."""
    import seaborn

    return list(COLOURS[:count]) if count <= len(COLOURS) else list(seaborn.color_palette("husl", count))


def saved(canvas: Any) -> tuple[bytes, bytes]:
    """A drawn figure as SVG and as PNG, without dates and versions."""
    svg = _bytes(canvas, "svg", 120, {"Date": None, "Creator": None})
    canvas.set_layout_engine("none")  # solved once: the second form keeps its places
    return _shortened(svg), _bytes(canvas, "png", 160, {"Software": None})


def _shortened(svg: bytes) -> bytes:
    """Coordinates to a hundredth of a point, no comments, no indents: half the file; factors stay as they are."""
    return _KEPT.sub(lambda found: found[1] or found[2] or b"", svg)


def _bytes(canvas: Any, form: str, dpi: int, metadata: dict[str, None]) -> bytes:
    buffer = io.BytesIO()
    canvas.savefig(buffer, format=form, dpi=dpi, metadata=metadata)
    return buffer.getvalue()


def mark(simulated: bool) -> str:
    """What ends the title of every panel that shows no real ECG."""
    return " — SIMULATED" if simulated else ""
