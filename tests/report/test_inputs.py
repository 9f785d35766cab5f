"""What captions and facts say of an encoder's input: rate, pass band, scaling, rows with an input of their own."""

from dataclasses import replace

import pytest

from bench.report import words
from bench.report.frame import build_frame
from bench.report.inputs import band_of, input_line, own_inputs
from bench.report.summary import summarise
from bench.report.tables import board
from bench.report.views import MetricViews
from bench.run.suite import Suite
from tests.report.hand_made import make_bench

SPEC = {"rate": 50, "window": 1000, "band": (1.0, 45.0), "scaling": "zscore-record"}
ENTRIES = (
    "base",
    {"strategy": "raw", "input": {"band": None, "scaling": "none"}},
    {"strategy": "filtered", "input": {"scaling": "none"}},
    {"strategy": "also_filtered", "input": {"scaling": "none", "rate": 50}},
    {"strategy": "same", "input": {"scaling": "zscore-record", "band": [1, 45]}},
)
NAMES = {"base": "Base", "raw": "Raw", "filtered": "Filtered", "also_filtered": "Too", "same": "Same"}


@pytest.fixture
def suite(tmp_path) -> Suite:
    return make_bench(tmp_path, input=SPEC, entries=ENTRIES).plan.suites[0]


@pytest.mark.parametrize(
    ("band", "text"),
    [
        ((1.0, 45.0), "pass band 1 to 45 Hz"),
        ([0.05, 100], "pass band 0.05 to 100 Hz"),
        (None, "no pass band"),
    ],
)
def test_pass_bands(band, text):
    assert band_of(band) == text


def test_rows_with_an_input_of_their_own_are_named_with_what_differs(suite):
    told = " (Raw: no pass band, scaling none) (Filtered; Too: scaling none)"
    assert own_inputs(suite, NAMES) == told
    assert input_line(suite, NAMES) == f"50 Hz, pass band 1 to 45 Hz, scaling zscore-record{told}"
    long = "50 Hz, pass band 1 to 45 Hz, windows of 1,000 samples, scaling zscore-record"
    assert input_line(suite, {"base": "Base"}, window=True) == long


def test_every_setting_of_an_input_has_words(suite):
    other = {
        "rate": 300, "band": [0.5, 40], "window": 4000, "crop": "start", "scaling": "minmax", "instance": "lead",
        "stride": 1500, "windows": 3, "aggregation": "none",
    }  # fmt: skip
    told = (
        "300 Hz, pass band 0.5 to 40 Hz, windows of 4,000 samples, crops: start, scaling minmax, an instance is a"
        " lead, evaluation windows 1,500 samples apart, evaluation windows of a record at most 3, aggregation none"
    )
    entry = suite.entries[1].model_copy(update={"input": other})
    changed = suite.model_copy(update={"entries": (entry,)})
    assert own_inputs(changed, NAMES) == f" (Raw: {told})"
    spec = suite.input.model_copy(update={"window": 10, "stride": 5, "windows": 1})
    nothing = entry.model_copy(update={"input": {"window": None, "stride": None, "windows": None}})
    bare = suite.model_copy(update={"entries": (nothing,), "input": spec})
    assert own_inputs(bare, NAMES) == (
        " (Raw: whole records, evaluation windows end to end, all evaluation windows)"
    )


def test_the_corpuss_own_input_is_what_rows_differ_from(suite):
    use = suite.corpora[0].model_copy(
        update={"input": suite.input.model_copy(update={"scaling": "none", "band": None})}
    )
    line = input_line(suite.on(use), NAMES)
    assert line == (
        "50 Hz, no pass band, scaling none (Same: pass band 1 to 45 Hz, scaling zscore-record)"
    )  # what only repeats it does not differ


def test_a_caption_tells_the_input_of_its_own_rows_only(tmp_path):
    bench = make_bench(tmp_path, input=SPEC, entries=ENTRIES, label_fractions=(1.0,))
    for label in ("base", "raw"):
        bench.finish(bench.add(label), bench.noisy(2, 1))
    (summary,) = summarise(build_frame(bench.plan, bench.store, 50), MetricViews(bench.store, 50))
    suite = bench.plan.suites[0]
    told = (
        "; 50 Hz, pass band 1 to 45 Hz, scaling zscore-record (Raw: no pass band, scaling none); budget 100"
    )
    assert told in board(summary, suite, 50).caption
    alone = replace(summary, entries=summary.entries[:1])
    assert "; 50 Hz, pass band 1 to 45 Hz, scaling zscore-record; budget" in words.conditions(alone, suite)
    assert "Raw" not in words.conditions(summary, suite, {"base"})
