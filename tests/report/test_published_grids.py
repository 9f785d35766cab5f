"""What the papers' grids hold: every number in one place, as published, and what their footnotes say of them."""

import math

import numpy as np
import pytest

from bench.report.layout import GridLayout
from bench.report.published import grid_numbers, layouts, papers, place_of, published
from bench.run.suite import load_suite


def test_every_row_of_a_grid_points_at_an_entry_on_every_side_or_has_a_reason():
    for layout in _grids().values():
        for row in layout.rows:
            assert all(row.label_of(side) for side in layout.sides) or row.reason or layout.reason, row
        for column in layout.columns:
            assert bool(column.corpus and column.task) != bool(column.reason), column


def _grids():
    named = {(paper, name): x for paper in papers() for name, x in layouts(paper).items()}
    return {place: x for place, x in named.items() if isinstance(x, GridLayout)}


def test_every_number_of_a_grid_stands_in_exactly_one_place():
    for (paper, name), layout in _grids().items():
        own = [n for n in published(paper) if n.table == name]
        assert own
        assert len({place_of(layout, n) for n in own} - {None}) == len(own), name


def test_a_view_shows_its_own_numbers_and_all_others_at_its_fractions():
    numbers, tables = published("clocs"), layouts("clocs")
    for name, whole, columns in (("table1", "table9", 2), ("table2", "table17", 6)):
        halves = [n for n in numbers if n.table == whole and n.setting.endswith("F 0.5")]
        own = [n for n in numbers if n.table == name]
        shown = grid_numbers(numbers, name, tables[name])
        assert list(shown.values()) == own + halves
        assert {n.row for n in own} == {"MT-SSL"}
        assert len(own) == columns
        assert {place.fraction for place in shown} == {0.5}
        assert grid_numbers(numbers, whole, tables[whole]).keys() >= set(list(shown)[len(own) :])


CLOCS = {
    "table1": (2, 1.342, 0.039),
    "table2": (6, 4.495, 0.065),
    "fig3": (18, 11.813, 0.0),
    "table7": (32, 22.613, 1.048),
    "table8": (32, 23.416, 0.996),
    "table9": (40, 28.826, 0.803),
    "table10": (32, 23.693, 1.126),
    "table11": (32, 22.967, 0.595),
    "table12": (32, 23.797, 0.703),
    "table13": (32, 24.044, 0.524),
    "table14": (32, 24.195, 0.476),
    "table15": (120, 92.894, 1.534),
    "table16": (120, 93.201, 1.374),
    "table17": (168, 130.53, 1.89),
    "table18": (120, 92.702, 1.4),
    "table19": (120, 93.463, 1.58),
    "table20": (120, 93.698, 1.503),
    "table21": (120, 93.624, 1.394),
    "table22": (120, 93.719, 1.184),
    "table23": (24, 14.636, 1.004),
    "table24": (72, 54.733, 1.145),
}
"""Numbers of each table, the sum of the means and that of the deviations."""


def test_published_values_of_clocs():
    found = {}
    for n in published("clocs"):
        count, means, spreads = found.get(n.table, (0, 0.0, 0.0))
        found[n.table] = count + 1, means + n.mean, spreads + (0.0 if math.isnan(n.spread) else n.spread)
    assert {table: (c, round(m, 3), round(s, 3)) for table, (c, m, s) in found.items()} == CLOCS
    values = {(n.table, n.row, n.corpus, n.setting): (n.mean, n.spread) for n in published("clocs")}
    assert len(values) == 1394
    assert values["table7", "CMSC", "chapman", "linear; leads 4; E 32; F 0.25"] == (0.831, 0.131)
    assert values["table9", "CMSC", "physionet2020", "linear; leads 4; E 128; F 0.5"] == (0.715, 0.033)
    assert values["table17", "Supervised", "pn20->chap", "fine-tune; leads 4; E 128; F 1.0"] == (0.961, 0.004)
    assert values["table22", "CMSMLC", "chap->card", "fine-tune; leads 12; E 256; F 1.0"] == (0.722, 0.008)
    assert values["table24", "BYOL, tau_d 0.5", "pn20->card", "fine-tune; leads 4; E 128; F 0.5"] == (
        0.658,
        0.046,
    )


def test_irregularities_that_the_footnotes_of_clocs_tell_of_are_in_its_numbers():
    numbers = published("clocs")
    of = {(n.row, n.corpus, n.setting): n for n in numbers if n.table in {f"table{i}" for i in range(7, 23)}}
    wide = {(n.row, n.corpus, n.table) for n in of.values() if n.spread > 0.1}
    assert wide == {("CMSC", "chapman", table) for table in ("table7", "table8", "table10")}
    four, one = 0.896, 0.57
    assert np.mean([four] * 4 + [one]) == pytest.approx(0.831, abs=2e-3)
    assert np.std([four] * 4 + [one]) == pytest.approx(0.131, abs=2e-3)
    for (row, corpus, setting), n in of.items():
        if row == "Random Init" and corpus in ("chap->card", "chap->pn17"):
            assert of[row, corpus.replace("chap", "pn20"), setting].mean == n.mean
        if setting.startswith("linear; leads 12") and setting.endswith("F 1.0"):
            assert n.mean - of[row, corpus, setting.replace("F 1.0", "F 0.25")].mean <= 0.013 + 1e-9
    for n in numbers:
        if n.row == "BYOL, tau_d 0.9":
            assert (n.mean, n.spread) == (
                of["BYOL", n.corpus, n.setting].mean,
                of["BYOL", n.corpus, n.setting].spread,
            )


def test_conditions_and_controls_of_the_papers_are_those_of_their_suites():
    for (paper, _), layout in _grids().items():
        suite = load_suite(paper, "paper")
        labels = {entry.label for entry in suite.entries}
        named = {row.label_of(side) for row in (*layout.rows, *layout.controls) for side in layout.sides} - {
            ""
        }
        assert named <= labels
    main = layouts("ssl12lead")["main"]
    assert [row.labels for row in main.controls] == [
        {"fine-tuned": f"{name}_finetuned_plain"} for name in ("simclr", "byol")
    ]
    (own,) = {check.published for check in layouts("clocs")["table9"].checks if check.what == "scaling"}
    assert own == load_suite("clocs", "paper").input.scaling == "minmax-view"
    assert not [x for (_, n), x in _grids().items() if any("min-max" in line for line in x.differs)]


def test_published_values_of_ssl12lead():
    numbers = published("ssl12lead")
    main = {(n.row, n.setting): (n.mean, n.spread) for n in numbers if n.table == "main"}
    assert len(main) == 12
    assert main["CPC (4FC+2LSTM+2FC)", "fine-tuned"] == (0.942, 0.001)
    assert main["CPC without PTB-XL (4FC+2LSTM+2FC)", "linear"] == (0.919, 0.001)
    assert main["none (xresnet1d50)", "linear"] == (0.721, 0.016)
    assert sum(mean for mean, _ in main.values()) == pytest.approx(10.633)
    assert all(n.note.startswith("second-hand") for n in numbers if n.table == "main")
    board = {(n.row, n.corpus): (n.mean, n.spread) for n in numbers if n.table == "leaderboard"}
    assert len(board) == 42
    assert board["xresnet1d101", "ptbxl all71"] == (0.925, 0.007)
    assert board["Wavelet+NN", "ptbxl rhythm12"] == (0.89, 0.024)
    assert sum(mean for mean, _ in board.values()) == pytest.approx(38.258)
