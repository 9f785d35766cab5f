"""Hand-made `board.json` files of any size, plain and nasty, for the tests of the page."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

FRACTIONS = (0.01, 0.1, 1.0)
FIELDS = ((), (), ("labels",), ("patient",), ("demographics",), ("measurements",))
NASTY = "<img src=x onerror=alert(1)></script><b>&amp;\"'`${1}\u2028\u202e]]>"
"""A text that is markup, a script's end, an entity and a template, and none of them on a page that escapes it."""

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="120" height="40"><rect width="120" height="40"/></svg>'


def board_file(
    strategies: int = 6,
    corpora: Sequence[str] = ("ptbxl-sim", "chapman-sim"),
    name: str = "board",
    scale: str = "quick",
    simulated: bool = True,
    fractions: Sequence[float] = FRACTIONS,
    seeds: int = 2,
    seed: int = 0,
) -> dict[str, Any]:
    """The content of a suite's file: strategies, two baselines, a transferred row, with runs, fits and tables."""
    rng = np.random.default_rng(seed)
    settings = [_setting(corpus, simulated, fractions) for corpus in corpora]
    labels = [f"strategy_{place:03d}" for place in range(strategies)]
    made = [(label, "strategy", FIELDS[place % len(FIELDS)]) for place, label in enumerate(labels)]
    made += [("supervised", "baseline", ("labels",)), ("label_prior", "baseline", ())]
    quality = {label: rng.uniform(0.55, 0.95) for label, _, _ in made} | {"label_prior": 0.5}
    rows = []
    for place in range(len(settings)):
        own = [_row(place, *one, quality[one[0]], fractions, seeds, rng) for one in made]
        if place == 0 and strategies > 1:
            _lose(own[1], fractions[0])
        _rank([row for row in own if row["origin"] == "strategy"], fractions)
        moved = _row(place, made[0][0], "transfer", (), 0.7, fractions, seeds, rng)
        rows += [*own, moved | {"source": "elsewhere", "name": f"{moved['name']}, from elsewhere"}]
    fits = {run["fit"]: _fit(run["fit"], run["seed"], rng) for row in rows for run in row["runs"]}
    return {
        "format": 1,
        "suite": {
            "name": name,
            "title": f"Suite {name}, by hand",
            "paper": "",
            "scale": scale,
            "simulated": simulated,
            "notice": "No number here was measured on a patient." if simulated else "",
            "facts": [["Scale", scale], ["Encoder", "resnet1d18 (width 8)"]],
            "paper_suite": False,
        },
        "settings": settings,
        "rows": rows,
        "overall": [_overall(rows, settings, made, fractions)] if len(settings) > 1 else [],
        "fits": fits,
        "sections": [_section(setting, simulated) for setting in settings],
        "figures": [{"name": "label_efficiency", "caption": "Score against label fraction."}],
        "undrawn": [],
        "provenance": _provenance(corpora, simulated),
    }


def write_suite(results: Path, content: dict[str, Any], svg: bytes = SVG) -> Path:
    """Write a suite's file and its figures where a report puts them; the folder."""
    suite = content["suite"]
    kind = "simulated" if suite["simulated"] else "real"
    folder = results / kind / suite["scale"] / suite["name"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "board.json").write_text(json.dumps(content))
    for figure in content["figures"]:
        (folder / f"{figure['name']}.svg").write_bytes(svg)
    return folder


def nasty_file() -> dict[str, Any]:
    """Every text is hostile, and every number that may be unknown is."""
    content = board_file(3, name="nasty")
    suite, provenance = content["suite"], content["provenance"]
    suite |= {"title": NASTY, "paper": NASTY, "notice": NASTY, "facts": [[NASTY, NASTY]]}
    for setting in content["settings"]:
        setting |= {"title": NASTY, "task": NASTY, "encoder": NASTY, "score": NASTY}
    for row in content["rows"]:
        row |= {"name": f"{row['name']} {NASTY}", "paper": NASTY, "recipe": NASTY, "savings": NASTY}
        row |= {"deviations": [NASTY], "params": {NASTY: NASTY, "deep": {"a": [1, None]}}, "flags": [NASTY]}
        row |= {"paid_for": [NASTY], "needs_at_test": [NASTY], "own_encoder": NASTY}
        row["cost"] = dict.fromkeys(row["cost"])
        row["missing"] = [{"fractions": [0.1], "seeds": [0], "status": NASTY, "reason": NASTY}]
        row["scores"] = [
            {**score, "low": None, "high": None, "sd": None, "notes": [NASTY]} for score in row["scores"]
        ]
    for fit in content["fits"].values():
        fit |= {"device": NASTY, "cpu": NASTY, "commit": NASTY, "packages": {NASTY: NASTY}, "seconds": None}
        fit["health"] = [{"step": 0, "loss": None, "effective_rank": 3.0}]
    for table in content["sections"][0]["tables"] + content["sections"][0]["details"]:
        table |= {"title": NASTY, "caption": NASTY, "heading": NASTY, "footnotes": [NASTY]}
        table["columns"] = [{"head": NASTY, "left": False, "notes": [1]} for _ in table["columns"]]
        table["blocks"][0]["name"] = NASTY
        table["blocks"][0]["rows"][0][0]["text"] = NASTY
    content["figures"][0]["caption"] = NASTY
    content["undrawn"] = [NASTY]
    provenance |= {"commit": [NASTY], "cpu": [NASTY], "compute_seconds": None}
    provenance["corpora"][0] |= {"citation": NASTY, "licence": NASTY, "title": NASTY}
    return content


def lead_sets_file() -> dict[str, Any]:
    """One corpus on two lead sets, and the fit of the wider one evaluated with the narrower."""
    content = board_file(3, ("one", "two", "three"), name="leads")
    places = (("all-12", "all-12"), ("lead-II", "lead-II"), ("all-12", "lead-II"))
    for setting, (trained, evaluated) in zip(content["settings"], places, strict=True):
        setting |= {"corpus": "ptbxl-sim", "lead_set": trained, "eval_lead_set": evaluated}
        setting["name"] = f"ptbxl-sim, rhythm, {trained}, {evaluated}"
    content["overall"] = []
    return content


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _setting(corpus: str, simulated: bool, fractions: Sequence[float]) -> dict[str, Any]:
    return {
        "name": f"{corpus}, rhythm",
        "corpus": corpus,
        "title": f"{corpus} (1,500 {'simulated ' * simulated}records)",
        "simulated": simulated,
        "task": "rhythm",
        "split": "official",
        "encoder": "resnet1d18",
        "lead_set": "all-12",
        "eval_lead_set": "all-12",
        "protocol": _hash(corpus)[:16],
        "records": 302,
        "units": 302,
        "kept": 4,
        "total": 5,
        "fractions": [*fractions],
        "score": "macro AUROC",
        "folder": corpus,
    }


def _row(
    place: int,
    label: str,
    origin: str,
    paid: Sequence[str],
    quality: float,
    fractions: Sequence[float],
    seeds: int,
    rng: np.random.Generator,
) -> dict[str, Any]:
    runs = []
    for fraction in fractions:
        for seed in range(seeds):
            value = float(np.clip(quality + 0.03 * np.log10(fraction) + rng.normal(0, 0.01), 0.4, 0.99))
            names = (f"{label} {place} {fraction} {seed}", f"{label} {place} {seed}")
            key, fit = map(_hash, names)
            runs.append(
                {
                    "fraction": fraction,
                    "seed": seed,
                    "value": round(value, 6),
                    "key": key,
                    "fit": fit,
                    "status": "done",
                }
            )
    return {
        "setting": place,
        "label": label,
        "name": label.replace("_", " ").capitalize(),
        "origin": origin,
        "source": "",
        "overlap": False,
        "strategy": label,
        "recipe": "board",
        "paid_for": [*paid],
        "needs_at_test": [],
        "paper": f"Paper of {label} (2021)",
        "deviations": [f"{label} departs here"],
        "params": {"temperature": 0.07, "views": 2},
        "fractions_by": "patients",
        "own_encoder": "",
        "cost": {
            "seconds": round(float(rng.uniform(3, 90)), 1),
            "flops": round(float(rng.uniform(1e11, 9e13))),
            "peak_memory_mib": 667.8,
            "parameters": 147152,
        },
        "flags": [],
        "savings": None,
        "scores": [_score(runs, fraction) for fraction in fractions],
        "missing": [],
        "runs": runs,
    }


def _score(runs: Sequence[dict[str, Any]], fraction: float) -> dict[str, Any]:
    values = [run["value"] for run in runs if run["fraction"] == fraction]
    mean = float(np.mean(values))
    return {
        "fraction": fraction,
        "mean": round(mean, 6),
        "sd": round(float(np.std(values, ddof=1)), 6) if len(values) > 1 else None,
        "seed_low": min(values),
        "seed_high": max(values),
        "low": round(mean - 0.02, 6),
        "high": round(mean + 0.015, 6),
        "seeds": len(values),
        "wanted": len(values),
        "rank": None,
        "rank_low": None,
        "rank_high": None,
        "tie": None,
        "all": round(mean + 0.001, 6),
        "notes": [],
    }


def _lose(row: dict[str, Any], fraction: float) -> None:
    """A row without its result at one label fraction."""
    row["scores"] = [score for score in row["scores"] if score["fraction"] != fraction]
    row["runs"] = [run for run in row["runs"] if run["fraction"] != fraction]
    row["missing"] = [
        {"fractions": [fraction], "seeds": [0], "status": "skipped", "reason": "too few labels"}
    ]


def _rank(rows: Sequence[dict[str, Any]], fractions: Sequence[float]) -> None:
    """Ranks and tie groups within one setting: what is within 0.02 of a group's first is of its group."""
    for fraction in fractions:
        column = [score for row in rows for score in row["scores"] if score["fraction"] == fraction]
        group, first = -1, 2.0
        for rank, score in enumerate(sorted(column, key=lambda score: -score["mean"]), 1):
            if score["mean"] < first - 0.02:
                group, first = group + 1, score["mean"]
            score |= {"rank": rank, "rank_low": max(1, rank - 1), "rank_high": rank + 1, "tie": group}


def _overall(
    rows: Sequence[dict[str, Any]],
    settings: Sequence[dict[str, Any]],
    made: Sequence[tuple[str, str, Sequence[str]]],
    fractions: Sequence[float],
) -> dict[str, Any]:
    of, found = len(settings), []
    scores: dict[tuple[str, float], list[dict[str, Any]]] = {}
    for row in rows:
        for score in row["scores"]:
            if not row["source"]:
                scores.setdefault((row["label"], score["fraction"]), []).append(score)
    for fraction in fractions:
        for label, origin, _ in made:
            own = scores.get((label, fraction), [])
            whole = len(own) == of
            mean = float(np.mean([score["mean"] for score in own]))
            rank = (
                float(np.mean([score["rank"] for score in own])) if origin == "strategy" and whole else None
            )
            told = {
                "label": label,
                "name": label,
                "origin": origin,
                "fraction": fraction,
                "n": len(own),
                "of": of,
            }
            average = {"iqm": round(mean, 6), "low": round(mean - 0.01, 6), "high": round(mean + 0.01, 6)}
            found.append(told | (average if whole else dict.fromkeys(average)) | {"mean_rank": rank})
    names = [setting["name"] for setting in settings]
    return {"blocks": names, "fractions": [*fractions], "rows": found, "text": "too few blocks"}


def _fit(key: str, seed: int, rng: np.random.Generator) -> dict[str, Any]:
    steps = np.linspace(0, 120, 11).astype(int).tolist()
    health = [
        {
            "step": step,
            "loss": round(float(4 * np.exp(-step / 60) + rng.uniform(0, 0.2)), 6),
            "spread": 0.7,
            "effective_rank": round(float(5 + step / 12 + rng.uniform(0, 1)), 6),
        }
        for step in steps
    ]
    return {
        "flags": [],
        "health": health,
        "seconds": 3.8,
        "steps": 120,
        "flops": 700_000_000_000,
        "peak_memory_mib": 667.8,
        "commit": "c0ffee" * 6,
        "modified": False,
        "source_hash": _hash("source"),
        "device": "x86_64",
        "accelerator": "cpu",
        "cpu": "a cpu",
        "threads": 1,
        "python": "3.11.7",
        "packages": {"torch": "2.13.0", "numpy": "2.4.6"},
        "finished": "2026-01-02T03:04:05+00:00",
        "corpus": _hash("corpus"),
        "seed_index": seed,
    }


def _section(setting: dict[str, Any], simulated: bool) -> dict[str, Any]:
    return {
        "name": setting["name"],
        "simulated": simulated,
        "folder": setting["folder"],
        "tables": [_table("board", "The board"), _table("table1", "Table 1, published beside ours")],
        "details": [_table("cost", "What a fit cost")],
    }


def _table(name: str, heading: str) -> dict[str, Any]:
    cell: dict[str, Any] = {"emphasis": "", "dagger": False, "notes": []}
    rows = [
        [{"text": "SimCLR", **cell}, {"text": "93.4", **cell, "emphasis": "best", "notes": [1]}],
        [{"text": "CPC", **cell}, {"text": "91.0", **cell, "emphasis": "second", "dagger": True}],
    ]
    return {
        "name": name,
        "title": f"{heading}: macro AUROC.",
        "heading": heading,
        "caption": "Corpus, split, seeds.",
        "columns": [
            {"head": "strategy", "left": True, "notes": []},
            {"head": "AUROC", "left": False, "notes": []},
        ],
        "blocks": [{"name": "strategies", "rows": rows}],
        "footnotes": ["One seed only"],
    }


def _provenance(corpora: Sequence[str], simulated: bool) -> dict[str, Any]:
    told = {
        "simulated": simulated,
        "rate": 100,
        "band": None,
        "licence": "CC BY 4.0",
        "citation": "Somebody, 2020",
    }
    return {
        "corpora": [{"name": c, "title": f"{c} (1,500)", "fingerprint": _hash(c), **told} for c in corpora],
        "cells": 12,
        "evaluations": {"done": 10, "skipped": 2},
        "keys": _hash("keys"),
        "first_finished": "2026-01-02T03:04:05+00:00",
        "last_finished": "2026-01-02T04:04:05+00:00",
        "compute_seconds": 371.7,
        "commit": ["c0ffee" * 6],
        "modified": [False],
        "python": ["3.11.7"],
        "cpu": ["a cpu"],
        "device": ["x86_64"],
        "accelerator": ["cpu"],
        "threads": [1],
        "packages": {"torch": ["2.13.0"]},
        "metric_versions": {"classification": 3},
        "resamples": 1000,
    }
