"""Maps of embeddings: which fits are shown, what of them, and that the same store gives the same bytes."""

import io
from dataclasses import replace

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from bench.report import embedding_map
from bench.report.canvas import COLOURS, UNKNOWN
from bench.report.embedding_map import coloured, embedding_maps, principal
from bench.report.frame import build_frame
from bench.report.summary import summarise
from bench.report.views import MetricViews
from bench.run.cell import EmbedCell, EncoderSpec
from bench.run.suite import Entry
from bench.run.work import Job
from bench.train.budget import InputSpec
from tests.report.group_cells import add_group
from tests.report.hand_made import TASK, make_bench

RESAMPLES = 20
ENTRIES = tuple(Entry(strategy=name, label=name) for name in ("other", "drawn", "good"))


@pytest.fixture
def bench(tmp_path):
    """A good and a poor strategy, a classifier from scratch and a random encoder, all with embeddings."""
    bench = make_bench(tmp_path, 100, label_fractions=(1.0,))
    add(bench, "poor", 5.0)
    add(bench, "good", 1.5)
    add(bench, "scratch", 1.0, origin="baseline", readout="classifier")
    add(bench, "drawn", 4.0, steps=0, origin="baseline")
    return bench


def add(bench, label, noise, seed=0, embed=True, steps=100, cell=None, **changes):
    """A scored row and its embed cell, of which `embeddings` tells the content."""
    row = bench.add(label, 1.0, seed, **changes)
    bench.finish(row, bench.noisy(noise, seed))
    job = bench.plan.jobs[row.fit_key]
    fit = job.cell.model_copy(update={"budget": job.cell.budget.model_copy(update={"steps": steps})})
    bench.plan.jobs[row.fit_key] = replace(job, cell=fit)
    given = {"corpus": bench.corpus.fingerprint, "input": bench.plan.suites[0].input, "lead_set": "all-12"}
    own = EmbedCell(**{**given, "parents": {"fit": row.fit_key}, **(cell or {})})
    bench.plan.jobs[own.key()] = Job(own, bench.corpus.folder, bench.parts(TASK))
    if embed:
        commit(bench, own.key(), embeddings(bench, f"{label}{seed or ''}"))
    return own.key()


def embeddings(bench, label, units=None):
    """Embeddings of their own for each label: (R, 5) float32."""
    rng = np.random.default_rng(sum(map(ord, label)))
    return rng.standard_normal((units or len(bench.corpus.records), 5)).astype(np.float32)


def commit(bench, key, values):
    buffer = io.BytesIO()
    np.save(buffer, values)
    bench.store.commit(key, {"embeddings.npy": buffer.getvalue()})


def maps(bench):
    frame = build_frame(bench.plan, bench.store, RESAMPLES)
    summaries = summarise(frame, MetricViews(bench.store, RESAMPLES))
    return embedding_maps(bench.plan, bench.store, bench.plan.suites[0], summaries)


@pytest.fixture
def drawn(monkeypatch):
    """Canvases instead of bytes, always drawn anew."""
    canvases = []

    def keep(canvas):
        canvases.append(canvas)
        return b"", b""

    monkeypatch.setattr(embedding_map, "saved", keep)
    return canvases


def titles(canvas):
    return [ax.get_title(loc="left") for ax in canvas.axes]


def test_the_figure_is_named_described_and_the_same_twice(bench, tmp_path):
    (figure,), notes = maps(bench)
    assert (figure.name, notes) == ("embedding_map_tiny-sim", [])
    assert figure.svg.startswith(b"<?xml") and figure.png.startswith(b"\x89PNG")
    count = len(bench.parts(TASK).test)
    assert figure.caption.startswith(f"SIMULATED DATA. Embeddings of the test part ({count} test records)")
    assert (
        "the best strategy: Good; trained from scratch on labels: Scratch; an encoder as it was drawn: Drawn"
        in (figure.caption)
    )
    assert "seed index 0" in figure.caption and "principal components" in figure.caption
    views = list((bench.store.root / "views").rglob("embedding-map-*.json"))
    assert len(views) == 1
    views[0].unlink()
    assert maps(bench)[0] == [figure]


def test_a_kept_figure_is_not_drawn_again(bench, monkeypatch):
    before = maps(bench)

    def refuse(_):
        raise AssertionError("drawn again")

    monkeypatch.setattr(embedding_map, "saved", refuse)
    assert maps(bench) == before
    bench.plan.rows[:] = [replace(row, strategy_title=f"{row.strategy_title} II") for row in bench.plan.rows]
    with pytest.raises(AssertionError, match="drawn again"):
        maps(bench)


def test_panels_show_the_test_part_of_each_fit(bench, drawn):
    maps(bench)
    (canvas,) = drawn
    assert [title.partition("\n")[0] for title in titles(canvas)] == ["Good", "Scratch", "Drawn"]
    test = bench.parts(TASK).test
    order = np.random.default_rng(0).permutation(len(test))
    for ax, label in zip(canvas.axes, ("good", "scratch", "drawn"), strict=True):
        values = StandardScaler().fit_transform(embeddings(bench, label)[test].astype(float))
        model = PCA(2).fit(values)
        points = np.asarray(ax.collections[0].get_offsets())
        expected = model.transform(values)[order]
        signs = np.sign((points * expected).sum(axis=0))
        np.testing.assert_allclose(points, expected * signs, atol=1e-9)
        shares = [
            f"component {k + 1} ({100 * share:.0f} %)"
            for k, share in enumerate(model.explained_variance_ratio_)
        ]
        assert [ax.get_xlabel(), ax.get_ylabel()] == shares


def test_colour_is_the_class(bench, drawn):
    maps(bench)
    test = bench.parts(TASK).test
    classes = bench.targets(TASK)[test].argmax(axis=1)[np.random.default_rng(0).permutation(len(test))]
    for ax in drawn[0].axes:
        shown = [tuple(colour[:3]) for colour in ax.collections[0].get_facecolors()]
        assert shown == [rgb(COLOURS[k]) for k in classes]
    legend = drawn[0].legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["slow", "fast"]
    assert [handle.get_color() for handle in legend.legend_handles] == list(COLOURS[:2])


def rgb(colour):
    from matplotlib.colors import to_rgb

    return to_rgb(colour)


def test_of_several_findings_or_none_a_point_is_grey(tmp_path, drawn):
    bench = make_bench(tmp_path, 200, label_fractions=(1.0,))
    row = bench.add("good", task="findings")
    bench.finish(row, 1 / (1 + np.exp(-bench.noisy(1, 0, "findings"))))
    own = EmbedCell(
        corpus=bench.corpus.fingerprint,
        input=InputSpec(rate=50),
        lead_set="all-12",
        parents={"fit": row.fit_key},
    )
    bench.plan.jobs[own.key()] = Job(own, bench.corpus.folder, bench.parts("findings"))
    commit(bench, own.key(), embeddings(bench, "good"))
    maps(bench)
    test = bench.parts("findings").test
    several = (bench.targets("findings")[test].sum(axis=1) != 1)[
        np.random.default_rng(0).permutation(len(test))
    ]
    shown = [tuple(colour[:3]) == rgb(UNKNOWN) for colour in drawn[0].axes[0].collections[0].get_facecolors()]
    assert shown == list(several) and several.any()
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()][-1] == "none, or several"


def test_more_classes_than_safe_colours_are_another():
    codes = np.repeat(np.arange(8), [9, 8, 1, 7, 6, 2, 5, 4])
    found = coloured(np.concatenate([codes, [-1] * 50]))
    assert found == dict(zip((0, 1, 3, 4, 6, 7), COLOURS, strict=True))
    assert coloured(np.array([-1, -1])) == {}


def test_the_best_with_embeddings_is_shown_where_the_best_has_none(bench, drawn):
    add(bench, "best", 0.01, embed=False)
    (figure,), _ = maps(bench)
    assert "the best strategy with embeddings: Good" in figure.caption


def test_the_first_seed_is_shown_and_the_mean_told(bench, drawn):
    add(bench, "good", 0.7, seed=1)
    maps(bench)
    summaries = summarise(
        build_frame(bench.plan, bench.store, RESAMPLES), MetricViews(bench.store, RESAMPLES)
    )
    mean = summaries[0].score(summaries[0].entry("good")).seeds.mean
    assert titles(drawn[0])[0] == f"Good\nAUROC ×100 {100 * mean:.1f} — SIMULATED"
    test = bench.parts(TASK).test
    points, _ = principal(embeddings(bench, "good")[test])
    order = np.random.default_rng(0).permutation(len(test))
    np.testing.assert_allclose(np.asarray(drawn[0].axes[0].collections[0].get_offsets()), points[order])


@pytest.mark.parametrize("away", [("scratch", "drawn"), ("scratch",), ("drawn",)])
def test_controls_without_embeddings_are_left_out(tmp_path, drawn, away):
    bench = make_bench(tmp_path, 100, label_fractions=(1.0,))
    add(bench, "good", 0.5)
    add(bench, "scratch", 1.0, embed="scratch" not in away, origin="baseline", readout="classifier")
    add(bench, "raw", 4.0, steps=0, origin="baseline", uses_encoder=False)  # embeds without an encoder
    add(bench, "trained", 4.0, steps=5, origin="baseline")  # a probe on a trained control is neither
    add(bench, "drawn", 4.0, steps=0, embed="drawn" not in away, origin="baseline")
    bench.add("waiting")
    maps(bench)
    left = [name.capitalize() for name in ("good", "scratch", "drawn") if name not in away]
    assert [title.partition("\n")[0] for title in titles(drawn[0])] == left


def test_of_several_encoders_as_drawn_that_of_the_best_is_shown(tmp_path, drawn):
    bench = make_bench(tmp_path, 100, label_fractions=(1.0,))
    encoders = {"other": EncoderSpec(name="net_s")}
    bench.plan.suites[0] = bench.plan.suites[0].model_copy(update={"encoders": encoders, "entries": ENTRIES})
    for label in ("other", "drawn"):
        add(bench, label, 4.0, steps=0, origin="baseline")
    add(bench, "good", 0.5)
    (figure,), _ = maps(bench)
    assert "an encoder as it was drawn: Drawn." in figure.caption


def test_without_embeddings_a_line_says_so(tmp_path):
    bench = make_bench(tmp_path, 100)
    add(bench, "good", 0.5, embed=False)
    figures, notes = maps(bench)
    assert figures == []
    told = "the store holds the scores of its strategies, and none of their embeddings"
    assert notes == [f"{bench.corpus.title}: no map of embeddings: {told}."]


def test_where_none_are_asked_for_nothing_is_said(tmp_path):
    bench = make_bench(tmp_path, 100)
    bench.finish(bench.add("good"), bench.noisy(1, 0))
    assert maps(bench) == ([], [])


def test_suites_with_prototypes_of_their_own_have_other_maps(bench):
    add_group(bench, "crocs", "own")
    assert maps(bench) == ([], [])


def test_rows_from_another_corpus_are_not_the_best(bench, drawn):
    row = bench.move("moved", "other-sim")
    bench.finish(row, bench.noisy(0.01, 0))
    (figure,), _ = maps(bench)
    assert "the best strategy: Good" in figure.caption


def test_windows_are_points_of_their_own(tmp_path, drawn, monkeypatch):
    spec = InputSpec(rate=50, window=50, stride=50, aggregation="none")
    bench = make_bench(tmp_path, 100, label_fractions=(1.0,), input=spec)
    key = add(bench, "good", 0.5, embed=False)
    units = 4 * len(bench.corpus.records)
    values = embeddings(bench, "good", units)
    commit(bench, key, values)
    (figure,), _ = maps(bench)
    test = bench.parts(TASK).test
    assert f"({4 * len(test)} test windows of {len(test)} records)" in figure.caption
    chosen = np.flatnonzero(np.isin(np.repeat(np.arange(100), 4), test))
    points, _ = principal(values[chosen])
    order = np.random.default_rng(0).permutation(len(chosen))
    np.testing.assert_allclose(np.asarray(drawn[0].axes[0].collections[0].get_offsets()), points[order])
    monkeypatch.setattr(embedding_map, "MOST", 30)
    bench.plan.rows[:] = [replace(row, strategy_title="Other") for row in bench.plan.rows]
    (figure,), _ = maps(bench)
    assert "30 of them drawn" in figure.caption
    assert len(drawn[1].axes[0].collections[0].get_offsets()) == 30


def test_units_that_are_not_finite_have_no_point(tmp_path, drawn):
    bench = make_bench(tmp_path, 100)
    key = add(bench, "good", 0.5, embed=False)
    values, test = embeddings(bench, "good"), bench.parts(TASK).test
    values[test[:3], 1] = np.nan
    commit(bench, key, values)
    maps(bench)
    assert len(drawn[0].axes[0].collections[0].get_offsets()) == len(test) - 3


def test_too_few_units_are_no_map(tmp_path):
    bench = make_bench(tmp_path, 100)
    key = add(bench, "good", 0.5, embed=False)
    values, test = embeddings(bench, "good"), bench.parts(TASK).test
    values[test[4:]] = np.inf
    commit(bench, key, values)
    figures, notes = maps(bench)
    assert figures == []
    assert notes[0].endswith("4 test embeddings to map, fewer than 5.")


def test_components_do_not_turn_with_the_sign_or_the_scale_of_a_coordinate():
    values = np.random.default_rng(0).standard_normal((40, 6)) @ np.random.default_rng(1).standard_normal(
        (6, 6)
    )
    points, shares = principal(values)
    again, _ = principal(values[:, ::-1] * 7 + 3)
    np.testing.assert_allclose(again, points, atol=1e-9)
    assert 0 < shares[1] <= shares[0] < 1
    np.testing.assert_allclose(
        principal(-values)[0], -points, atol=1e-9
    )  # and the points with the embeddings


@pytest.mark.parametrize("values", [np.ones((7, 3)), np.ones((7, 1))])
def test_embeddings_that_are_all_one_lie_in_the_middle(values):
    points, shares = principal(values)
    np.testing.assert_array_equal(points, np.zeros((7, 2)))
    assert shares == (0, 0)


def test_embeddings_of_one_coordinate_lie_on_a_line():
    points, shares = principal(np.arange(7.0)[:, None])
    np.testing.assert_allclose(points[:, 0], (np.arange(7) - 3) / 2)
    np.testing.assert_allclose(points[:, 1], 0, atol=1e-12)
    assert shares == (pytest.approx(1), pytest.approx(0))
