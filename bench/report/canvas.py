"""What all figures of groups share: colours, style, and bytes that depend on nothing but what is drawn."""

import io
from contextlib import AbstractContextManager
from typing import Any

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")
"""Okabe and Ito's, which colour-blind readers tell apart, for classes; black and grey mean other things."""

UNKNOWN = "0.6"
"""Of what has no class, or several."""


def style() -> AbstractContextManager[Any]:
    """The style in which to draw and save."""
    from matplotlib import rc_context

    chosen = {"svg.hashsalt": "leadboard", "font.family": "DejaVu Sans", "font.size": 9}
    return rc_context({**chosen, "path.simplify_threshold": 0.3})


def class_colours(count: int) -> list[Any]:
    """A colour a class; more classes than safe colours get evenly spaced hues."""
    import seaborn

    return list(COLOURS[:count]) if count <= len(COLOURS) else list(seaborn.color_palette("husl", count))


def saved(canvas: Any) -> tuple[bytes, bytes]:
    """A drawn figure as SVG and as PNG, without dates and versions."""
    return _bytes(canvas, "svg", {"Date": None, "Creator": None}), _bytes(canvas, "png", {"Software": None})


def _bytes(canvas: Any, form: str, metadata: dict[str, None]) -> bytes:
    buffer = io.BytesIO()
    canvas.savefig(buffer, format=form, dpi=160, metadata=metadata)
    return buffer.getvalue()


def mark(simulated: bool) -> str:
    """What ends the title of every panel that shows no real ECG."""
    return " — SIMULATED" if simulated else ""
