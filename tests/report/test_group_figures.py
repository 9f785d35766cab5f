"""Figures of prototypes: what is drawn is what was stored and what the corpus holds."""

import io
import json
import sys
from dataclasses import replace
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from bench.data.leads import LEADS
from bench.data.splits import SplitSpec
from bench.evaluate.result import UNIT_COLUMNS, Result
from bench.report import retrieval_figure, umap_figure
from bench.report.ecg_figure import draw_ecg, strip
from bench.report.group_figures import group_figures
from bench.report.own_groups import own_groups
from bench.run.cell import GroupCell, Subset
from bench.run.work import Job
from bench.train.budget import InputSpec
from tests.report.hand_made import TASK, make_bench

VALUES = {"class": ["slow", "fast"], "sex": ["male", "female"], "age": ["<=50", "51-62", "63-72", ">72"]}
SETS = np.indices((2, 2, 4)).reshape(3, -1).T
WINDOW, START = 100, 40


@pytest.fixture
def bench(tmp_path):
    return make_bench(tmp_path)


@pytest.fixture
def fake_umap(monkeypatch):
    """umap-learn in name; counts its calls."""

    class UMAP:
        calls = []

        def __init__(self, *, n_neighbors, metric, random_state, n_jobs):
            assert (metric, n_jobs) == ("cosine", 1)
            assert isinstance(random_state, int)
            self.n_neighbors = n_neighbors

        def fit_transform(self, points):
            assert np.isfinite(points).all()
            assert self.n_neighbors < len(points)
            self.calls.append(len(points))
            return points[:, :2] + 0.123456

    module = ModuleType("umap")
    module.UMAP = UMAP
    monkeypatch.setitem(sys.modules, "umap", module)
    return UMAP.calls


@pytest.fixture
def drawn(monkeypatch):
    """Canvases instead of bytes."""
    canvases = []

    def keep(canvas):
        canvases.append(canvas)
        return b"", b""

    monkeypatch.setattr(retrieval_figure, "saved", keep)
    monkeypatch.setattr(umap_figure, "saved", keep)
    return canvases


def units(bench, lead=""):
    table = bench.corpus.records.iloc[bench.parts(TASK).val].assign(part="val")[list(UNIT_COLUMNS)]
    names = bench.corpus.targets(TASK).loc[table["record"]].to_numpy().argmax(1)
    return table.assign(start=START, lead=lead, **{"class": names}, sex=1, age=2).reset_index(drop=True)


def add(bench, label="crocs", seed=0, lead="", depth=10, answered=range(16), empty=(), absent=-1, **row):
    """A finished cell of own groups; every query finds the same units, the first at distance 0.5."""
    suite, corpus, rng = bench.plan.suites[0], bench.corpus, np.random.default_rng(3)
    spec = InputSpec(rate=50, window=WINDOW, instance="lead" if lead else "record", aggregation="none")
    described = bench.add(label, 1.0, seed, **{"grouping": "own", "strategy_title": label.upper(), **row})
    cell = GroupCell(
        corpus=corpus.fingerprint,
        split=SplitSpec(kind="official"),
        split_fingerprint="split",
        task=TASK,
        subset=Subset(fraction=1.0, fingerprint=label),
        grouping="own",
        attributes=("class",),
        edges=(50.0, 62.0, 72.0),
        lead_set="all-12",
        input=spec,
        suite_seed=suite.seed,
        seed_index=seed,
    )
    bench.plan.rows[-1] = replace(described, key=cell.key())
    bench.plan.jobs[cell.key()] = Job(cell, corpus.folder, bench.parts(TASK))
    table = units(bench, lead).head(depth)
    found = [
        table.assign(
            query=query,
            rank=np.arange(1, len(table) + 1),
            deduplicated=single,
            distance=0.5 + table.index / 8,
        )
        for query in answered
        for single in (False, True)
    ]
    ranked = pd.concat(found, ignore_index=True)
    means = rng.standard_normal((16, 3)).astype("f4")
    means[list(empty)] = np.nan
    sample = {"queries": rng.standard_normal((16, 3)).astype("f4"), "query_codes": SETS.astype("i2")}
    sample |= {"means": means, "points": rng.standard_normal((30, 3)).astype("f4")}
    sample["codes"] = np.column_stack([np.arange(30) % 3 - 1, np.arange(30) % 2, np.arange(30) % 4]).astype(
        "i2"
    )
    sample["codes"][sample["codes"][:, 0] == absent, 0] = -1
    buffer = io.BytesIO()
    np.savez(buffer, **sample)
    files = {"grouping.json": json.dumps({"values": VALUES, "query_codes": SETS.tolist()}).encode()}
    files |= {"sample.npz": buffer.getvalue(), "rankings.parquet": Result("rankings", ranked).to_bytes()}
    bench.store.commit(cell.key(), files)
    return cell.key()


def figures(bench):
    return group_figures(bench.plan, bench.store, bench.plan.suites[0], True)


def ecgs(canvas):
    """(axes, whether it is framed as a match) of every strip."""
    frames = [ax for ax in canvas.axes if ax.get_title(loc="left")[:1] in ("✓", "✗")]
    return [(ax, ax.get_title(loc="left")[0] == "✓") for ax in frames]


def test_figures_are_named_described_and_the_same_twice(bench, fake_umap):
    add(bench)
    first, notes = figures(bench)
    again, _ = figures(bench)
    assert [f.name for f in first] == ["umap_tiny-sim", "retrieval_tiny-sim"]
    assert notes == []
    assert first == again
    assert all(f.caption.startswith("SIMULATED DATA.") and "CROCS" in f.caption for f in first)
    assert all(f.svg.startswith(b"<?xml") and f.png.startswith(b"\x89PNG") for f in first)
    assert all(len(f.svg) < 400_000 for f in first)


def test_the_map_is_made_once(bench, fake_umap):
    key = add(bench, empty=(3,))
    own = next(own_groups(bench.plan, bench.store, bench.plan.suites[0], True))
    places = umap_figure.coordinates(own, bench.store)
    assert fake_umap == [30 + 16 + 15, 16]
    again = umap_figure.coordinates(own, bench.store)
    assert fake_umap == [61, 16]
    for name, points in (("points", own.points), ("queries", own.queries), ("means", own.means)):
        np.testing.assert_allclose(places[name], points[:, :2] + 0.123456, atol=6e-5)
        np.testing.assert_array_equal(places[name], again[name])
    assert np.isnan(places["means"][3]).all()
    assert bench.store.view(key, f"umap-{umap_figure.VERSION}-{own.digest[:16]}") is not None


def test_another_sample_gets_another_map(bench, fake_umap):
    add(bench)
    own = next(own_groups(bench.plan, bench.store, bench.plan.suites[0], True))
    umap_figure.coordinates(own, bench.store)
    umap_figure.coordinates(replace(own, digest="0" * 64), bench.store)
    assert len(fake_umap) == 4


def test_a_kept_map_needs_no_umap(bench, fake_umap, monkeypatch):
    add(bench)
    before, _ = figures(bench)
    monkeypatch.setitem(sys.modules, "umap", None)
    assert figures(bench) == (before, [])


def test_without_umap_a_note_says_so(bench, monkeypatch):
    add(bench)
    monkeypatch.setitem(sys.modules, "umap", None)
    found, notes = figures(bench)
    assert [f.name for f in found] == ["retrieval_tiny-sim"]
    assert len(notes) == 1
    assert "umap-learn is not installed" in notes[0]
    assert notes[0].startswith(bench.corpus.title)


def test_the_ecgs_are_those_of_the_corpus(bench, fake_umap, drawn):
    add(bench)
    figures(bench)
    strips = ecgs(drawn[1])
    assert len(strips) == 2 * 6
    records = bench.corpus.records.set_index("record")
    for place, (ax, _) in enumerate(strips):
        record = units(bench)["record"].iloc[place % 6]
        first = records.loc[record, "offset"] + START
        wave = bench.corpus.signals[first : first + WINDOW, LEADS.index("II")] / 1000.0
        trace = ax.lines[0]
        np.testing.assert_allclose(trace.get_ydata(), wave - np.median(wave), atol=1e-9)
        np.testing.assert_allclose(trace.get_xdata(), np.arange(WINDOW) / 50)


def test_units_of_one_lead_show_their_own(bench, fake_umap, drawn):
    add(bench, lead="V5")
    figures(bench)
    ax, _ = ecgs(drawn[1])[0]
    row = bench.corpus.records.set_index("record").loc[units(bench)["record"].iloc[0]]
    wave = bench.corpus.signals[row["offset"] + START : row["offset"] + START + WINDOW, LEADS.index("V5")]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), (wave - np.median(wave)) / 1000, atol=1e-9)
    assert "V5" in ax.get_title(loc="left")


def test_green_only_where_the_class_is_the_one_asked_for(bench, fake_umap, drawn):
    from matplotlib.colors import same_color

    add(bench)
    figures(bench)
    found = units(bench)["class"].head(6).tolist()
    assert set(found) == {0, 1}
    for place, (ax, signed) in enumerate(ecgs(drawn[1])):
        matches = found[place % 6] == place // 6
        assert signed == matches
        frames = list(ax.spines.values())
        assert all(same_color(s.get_edgecolor(), "#00774F") == matches for s in frames)
        assert f"{VALUES['class'][found[place % 6]]}, female, 63–72" in ax.get_title(loc="left")
        assert ax.get_title(loc="left").endswith(f"{0.5 + (place % 6) / 8:.2f}")


def test_distances_are_euclidean_to_the_query_shown(bench, fake_umap):
    add(bench)
    own = next(own_groups(bench.plan, bench.store, bench.plan.suites[0], True))
    assert retrieval_figure.chosen_queries(own) == [6, 14]
    found = retrieval_figure.ask(own, 14)
    for point, distance in zip(own.points, found.distances, strict=True):
        assert distance == pytest.approx(
            sum((a - b) ** 2 for a, b in zip(point, own.queries[14], strict=True)) ** 0.5
        )


def test_captions_say_how_queries_were_chosen_and_what_the_distance_is(bench, fake_umap):
    add(bench)
    (umap, found), _ = figures(bench)
    assert "fixed in advance: women of the third age bin" in found.caption
    assert "Left: Euclidean distances to 30 validation units" in found.caption
    for text in (umap.caption, found.caption):
        assert text.count("CP, clinical") == 1
    own = next(own_groups(bench.plan, bench.store, bench.plan.suites[0], True))
    pieces = {name: getattr(own, name) for name in ("points", "queries")}
    unit = replace(own, **{n: x / np.linalg.norm(x, axis=1, keepdims=True) for n, x in pieces.items()})
    assert (
        "Euclidean distances between vectors of length 1, to"
        in retrieval_figure.retrieval_figure(unit).caption
    )


def test_where_the_preferred_query_is_missing_the_nearest_set_is_asked(bench, fake_umap):
    add(bench, answered=(0, 3, 5, 10))
    own = next(own_groups(bench.plan, bench.store, bench.plan.suites[0], True))
    assert retrieval_figure.chosen_queries(own) == [5, 10]


def test_ecg_paper_is_to_scale(bench):
    from matplotlib.figure import Figure

    ax = Figure(figsize=(5, 5)).add_subplot()
    record = bench.corpus.records["record"].iloc[0]
    draw_ecg(ax, strip(bench.corpus, record, 0, "I", None), 2.0, -1.0, 1.5)
    (fine_x, fine_y), (large_x, large_y) = (ax.collections[k : k + 2] for k in (0, 2))
    for lines, axis, step in ((fine_x, 0, 0.04), (fine_y, 1, 0.1), (large_x, 0, 0.2), (large_y, 1, 0.5)):
        at = [segment[0][axis] for segment in lines.get_segments()]
        np.testing.assert_allclose(np.diff(at), step)
    assert ax.get_aspect() == pytest.approx(10 / 25)  # 10 mm a millivolt, 25 mm a second
    assert (*ax.get_xlim(), *ax.get_ylim()) == (0, 2, -1, 1.5)


def test_prototypes_are_joined_from_young_to_old(bench, fake_umap, drawn):
    add(bench)
    figures(bench)
    own = next(own_groups(bench.plan, bench.store, bench.plan.suites[0], True))
    joined = [line for line in drawn[0].axes[0].lines if len(line.get_xdata()) == 4]
    assert len(joined) == 4
    for line, start in zip(joined, range(0, 16, 4), strict=True):
        expected = np.round(own.queries[start : start + 4, 0] + 0.123456, 4)
        np.testing.assert_allclose(line.get_xdata(), expected, atol=1e-4)
    sizes = [line.get_markersize() for line in drawn[0].axes[0].lines if len(line.get_xdata()) == 1][:4]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == 4


def test_the_first_entry_of_the_suite_at_its_first_seed_is_drawn(bench, fake_umap):
    add(bench, "later", seed=1)
    key = add(bench, "mine")
    add(bench, "other")
    (own,) = own_groups(bench.plan, bench.store, bench.plan.suites[0], True)
    assert own.row.key == key


@pytest.mark.parametrize(
    "change",
    [
        {"depth": 4},
        {"answered": (1,)},
        {"absent": 1},
    ],
    ids=["four ECGs", "one class asked", "a class without units"],
)
def test_less_is_drawn_of_less(bench, fake_umap, drawn, change):
    add(bench, **change)
    found, _ = figures(bench)
    assert len(found) == 2
    queries = 1 if "answered" in change else 2
    assert len(ecgs(drawn[1])) == queries * change.get("depth", 6)


def test_without_own_groups_there_is_nothing(bench):
    bench.add("crocs", grouping="own", skipped="no ages")
    bench.add("simclr", grouping="means")
    assert figures(bench) == ([], [])
