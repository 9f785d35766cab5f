import csv
import io

import numpy as np
import pytest

from bench.report import noise_figure
from bench.report.cells import cells_csv, noise_csv
from bench.report.frame import build_frame, build_noise_frame
from bench.report.noise import DECIBELS, Noise, noise_table, summarise_noise
from bench.report.noise_figure import noise_robustness
from bench.report.summary import Summary, summarise
from bench.report.table import SIMULATED
from bench.report.tables import CONTROLS, NOTHING, STRATEGIES
from bench.report.views import MetricViews
from bench.run.suite import Suite
from tests.report.hand_made import Bench, make_bench


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Bench:
    """Two levels and seeds: one row that never falls, one that loses half, one whose second level failed, one all."""
    bench = make_bench(tmp_path_factory.mktemp("noise"), records=240, noise_levels=(2, 6))
    control, constant = {"origin": "baseline"}, 0 * bench.truth() + 0.5
    for seed in range(2):
        bench.finish(bench.add("firm", 0.1, seed), constant)
        bench.finish(bench.add("firm", 1.0, seed), bench.truth())
        bench.finish(bench.add("soft", 1.0, seed, **control), bench.truth())
        bench.finish(bench.add("torn", 1.0, seed, **control), bench.noisy(3, seed))
        bench.finish(bench.add("gone", 1.0, seed, **control), bench.noisy(3, seed))
        for level in (2, 6):
            bench.finish_noise(bench.add("firm", 1.0, seed, noise=level), bench.truth())
            half = constant if level == 6 or seed else bench.truth()
            bench.finish_noise(bench.add("soft", 1.0, seed, noise=level, **control), half)
            torn = bench.add("torn", 1.0, seed, noise=level, **control)
            if level == 2 and seed == 0:
                bench.finish_noise(torn, bench.noisy(4, seed))
            else:
                bench.store.fail(torn.key, "oom", "out of memory", "")
            bench.add("gone", 1.0, seed, skipped="no window is long enough", noise=level, **control)
    return bench


@pytest.fixture(scope="module")
def summaries(bench) -> list[Summary]:
    return summarise(build_frame(bench.plan, bench.store, 100), MetricViews(bench.store, 100))


@pytest.fixture(scope="module")
def noise(bench, summaries) -> Noise:
    frame = build_noise_frame(bench.plan, bench.store, 100)
    (noise,) = summarise_noise(frame, summaries, MetricViews(bench.store, 100))
    return noise


@pytest.fixture(scope="module")
def suite(bench) -> Suite:
    return bench.plan.suites[0]


def _row(table, label):
    (row,) = [row for row in table.rows if row.data["label"] == label]
    return dict(zip([column.head for column in table.columns], row.cells, strict=True)), row


def test_clean_and_noisy_cells_have_frames_of_their_own(bench):
    clean = build_frame(bench.plan, bench.store, 100)
    noisy = build_noise_frame(bench.plan, bench.store, 100)
    assert set(clean["noise"]) == {0}
    assert set(noisy["noise"]) == {2, 6}
    assert set(noisy["part"]) == {"test"}
    assert not set(clean["key"]) & set(noisy["key"]) - {""}


def test_level_zero_is_the_clean_score_at_the_same_fraction(noise, summaries):
    firm = summaries[0].entry("firm")
    assert noise.levels == (2, 6)
    assert noise.fractions[firm.key] == 1.0
    assert [noise.score(firm, level).seeds.mean for level in (0, 2, 6)] == [1.0, 1.0, 1.0]
    assert noise.score(summaries[0].entry("torn"), 6) is None


def test_a_smaller_fraction_than_the_boards_has_its_own_clean_score(tmp_path):
    bench = make_bench(tmp_path)
    bench.finish(bench.add("few", 0.1), 0 * bench.truth() + 0.5)
    bench.finish_noise(bench.add("few", 0.1, noise=1), bench.truth())
    bench.finish(bench.add("all", 1.0), bench.truth())
    views = MetricViews(bench.store, 20)
    found = summarise(build_frame(bench.plan, bench.store, 20), views)
    (noise,) = summarise_noise(build_noise_frame(bench.plan, bench.store, 20), found, views)
    _, row = _row(noise_table(noise, bench.plan.suites[0], 20), "few")
    assert (row.data["fraction"], row.data["clean"], row.data["drop_1"]) == (0.1, 0.5, -0.5)
    assert len(noise_table(noise, bench.plan.suites[0], 20).rows) == 1


def test_table_by_hand(noise, suite):
    table = noise_table(noise, suite, 100)
    heads = [column.head for column in table.columns]
    assert heads[:4] == ["strategy", "clean", "level 2 (≈ −5.6 dB)", "level 6 (≈ −16.4 dB)"]
    cells, row = _row(table, "soft")
    assert [cells[head].text for head in heads[1:4]] == ["100.0", "75.0", "50.0"]
    assert cells["drop at level 2 (95\u00a0% interval)"].text == "+25.0 (+25.0 to +25.0)"
    assert (row.data["drop_6"], row.data["drop_6_low"]) == (0.5, 0.5)
    assert row.data["drop_6_p"] == pytest.approx(2 / 101)
    _, firm = _row(table, "firm")
    assert (firm.data["drop_2"], firm.data["drop_2_p"]) == (0.0, 1.0)
    assert table.title.startswith(f"{SIMULATED} Robustness to noise")
    assert "the same noise for every row" in table.caption


def test_rows_stand_in_the_boards_blocks_and_say_what_is_missing(noise, suite):
    table = noise_table(noise, suite, 100)
    assert [(block, [row.data["label"] for row in rows]) for block, rows in table.blocks()] == [
        (STRATEGIES, ["firm"]),
        (CONTROLS, ["soft", "torn"]),
        (NOTHING, ["gone"]),
    ]
    cells, _ = _row(table, "torn")
    assert table.footnotes[cells["level 2 (≈ −5.6 dB)"].notes[0] - 1].startswith("1 of 2 seeds")
    assert cells["level 6 (≈ −16.4 dB)"].text == "oom"
    assert table.footnotes[cells["level 6 (≈ −16.4 dB)"].notes[0] - 1] == "oom: out of memory"
    assert cells["drop at level 6 (95\u00a0% interval)"].text == "–"
    cells, _ = _row(table, "gone")
    assert cells["clean"].text != "–"
    assert cells["level 2 (≈ −5.6 dB)"].text == "skipped"


def test_drops_are_paired(bench, noise, summaries):
    torn = summaries[0].entry("torn")
    clean, noisy = noise.score(torn, 0), noise.score(torn, 2)
    gaps = clean.draws.mean(axis=0) - noisy.draws.mean(axis=0)
    low, high = np.quantile(gaps, [0.025, 0.975])
    _, row = _row(noise_table(noise, bench.plan.suites[0], 100), "torn")
    assert (row.data["drop_2_low"], row.data["drop_2_high"]) == pytest.approx((low, high))


def test_every_level_of_the_noise_has_its_decibels():
    from bench.nn.noise import LEVELS

    assert list(DECIBELS) == list(LEVELS)
    assert list(DECIBELS.values()) == sorted(DECIBELS.values(), reverse=True)


def test_curves_begin_at_the_clean_score(noise, summaries, suite, monkeypatch):
    drawn = {}
    monkeypatch.setattr(
        noise_figure, "draw", lambda ax, lines, looks: drawn.update({x.name: x.points for x in lines})
    )
    noise_robustness([noise], summaries, suite)
    soft = {x: seeds.mean for x, seeds in drawn["Soft"]}
    assert soft == {0: 1.0, 2: 0.75, 6: 0.5}
    assert [x for x, _ in drawn["Torn"]] == [0, 2]
    assert "Gone" not in drawn


def test_figure_is_the_same_every_time_and_says_what_it_shows(noise, summaries, suite):
    figure = noise_robustness([noise], summaries, suite)
    again = noise_robustness([noise], summaries, suite)
    assert (figure.name, figure.svg, figure.png) == ("noise_robustness", again.svg, again.png)
    assert figure.caption.startswith(f"{SIMULATED} Robustness to noise")
    assert "range" in figure.caption
    assert "the same noise for every row" in figure.caption


def test_without_noise_nothing_is_drawn(tmp_path):
    bench = make_bench(tmp_path)
    bench.finish(bench.add("firm"), bench.truth())
    views = MetricViews(bench.store, 20)
    found = summarise(build_frame(bench.plan, bench.store, 20), views)
    noises = summarise_noise(build_noise_frame(bench.plan, bench.store, 20), found, views)
    assert noises == []
    assert noise_robustness(noises, found, bench.plan.suites[0]) is None


def test_noise_csv_has_a_line_a_cell_with_its_level(bench):
    rows = list(csv.DictReader(io.StringIO(noise_csv(build_noise_frame(bench.plan, bench.store, 100)))))
    clean = list(csv.DictReader(io.StringIO(cells_csv(build_frame(bench.plan, bench.store, 100)))))
    assert len(rows) == 4 * 2 * 2
    assert {row["noise"] for row in rows} == {"2", "6"}
    assert list(clean[0]) == [name for name in rows[0] if name != "noise"]
    half = next(row for row in rows if (row["label"], row["noise"]) == ("soft", "6"))
    assert (half["macro_auroc"], half["records"]) == ("0.5", str(len(bench.parts("rhythm").test)))
