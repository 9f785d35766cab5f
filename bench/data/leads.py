"""Lead names, their one order on disk and in memory, and the named lead sets."""

from collections.abc import Sequence

LEADS: tuple[str, ...] = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")

LEAD_SETS: dict[str, tuple[str, ...]] = {
    "all-12": LEADS,
    "challenge-6": ("I", "II", "III", "aVR", "aVL", "aVF"),
    "challenge-4": ("I", "II", "III", "V2"),
    "challenge-3": ("I", "II", "V2"),
    "challenge-2": ("I", "II"),
    "clocs-4": ("II", "V2", "aVL", "aVR"),
    "lead-II": ("II",),
}

_BY_SPELLING = {lead.upper(): position for position, lead in enumerate(LEADS)}


def lead_positions(names: Sequence[str]) -> list[int]:
    """Where each of our twelve leads stands among `names`, whatever their order and spelling.

    Returns:
        Twelve positions into `names`, in the order of `LEADS`.

    Raises:
        ValueError: a lead is missing, doubled or unknown; the message names it.
    """
    spelled = [name.strip().upper().replace(" ", "") for name in names]
    unknown = [name for name, key in zip(names, spelled, strict=True) if key not in _BY_SPELLING]
    if unknown:
        raise ValueError(f"unknown lead {unknown[0]!r} (known: {', '.join(LEADS)})")
    missing = [lead for lead in LEADS if lead.upper() not in spelled]
    if missing:
        raise ValueError(f"lead {', '.join(missing)} missing ({len(names)} leads present)")
    if len(set(spelled)) != len(spelled):
        raise ValueError(f"a lead occurs twice among {', '.join(names)}")
    return [spelled.index(lead.upper()) for lead in LEADS]


def lead_set(name: str) -> list[int]:
    """Channel positions of a named lead set, in the order of `LEADS` unless the set states its own.

    Raises:
        ValueError: no such lead set.
    """
    if name not in LEAD_SETS:
        raise ValueError(f"no lead set {name!r}; there are: {', '.join(LEAD_SETS)}")
    return [LEADS.index(lead) for lead in LEAD_SETS[name]]
