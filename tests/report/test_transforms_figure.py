from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from bench.nn.transforms import by_name
from bench.report import paper_figures as papers
from bench.report import transforms_figure as module
from bench.report.table import SIMULATED
from bench.report.transforms_figure import transforms_figure
from tests.report.hand_made import Bench, make_bench

NAMES = {"negation": "Upside down", "clamped_scaling": "Scaling", "cutout": "Cutout"}
CONTENT = {"transforms": NAMES, "captions": {"transforms": "Their Figure 9."}}


@pytest.fixture
def paper(tmp_path, monkeypatch):
    """A paper of the test's own, whose figure shows 3 s of an ECG."""
    folder = tmp_path / "papers" / "board"
    folder.mkdir(parents=True)
    (folder / "figures.yaml").write_text(yaml.safe_dump(CONTENT, sort_keys=False))
    monkeypatch.setattr(papers, "PAPERS", tmp_path / "papers")
    monkeypatch.setattr(module, "SHOWN", 3.0)
    return folder


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Bench:
    bench = make_bench(tmp_path_factory.mktemp("transforms"), lead_sets=("challenge-3",))
    bench.add("skipped", skipped="too few")
    bench.add("one")
    return bench


@pytest.fixture
def drawn(monkeypatch) -> list:
    """Canvases in place of bytes."""
    found: list = []
    monkeypatch.setattr(module, "saved", lambda canvas: (found.append(canvas), (b"", b""))[1])
    return found


def _lines(ax) -> list[np.ndarray]:
    return [line.get_xydata() for line in ax.lines]


def _middle(bench: Bench) -> str:
    """The test record of median spread in lead II, by a loop."""
    records = bench.corpus.records.iloc[bench.parts("rhythm").test]
    order = sorted((sd[1], record) for record, sd in zip(records["record"], records["sd"], strict=True))
    return order[(len(order) - 1) // 2][1]


def _millivolts(bench: Bench, record: str) -> np.ndarray:
    """(3, T) leads I, II, V2."""
    row = bench.corpus.records.set_index("record").loc[record]
    first, last = int(row["offset"]), int(row["offset"]) + int(row["length"])
    return bench.corpus.signals[first:last, [0, 1, 7]].T.astype(np.float32) / 1000


def test_the_typical_test_record_is_drawn_lead_two_above_the_first_other(bench, paper, drawn):
    figure = transforms_figure(bench.plan, bench.plan.suites[0])
    assert f"of 3 s of test record {_middle(bench)}, leads II and I (50 Hz);" in figure.caption
    (line,) = _lines(drawn[0].axes[0])
    assert line.shape == (2 * (150 + 1), 2)
    assert np.isnan(line[[150, 301], 1]).all()
    np.testing.assert_allclose(line[:150, 0], np.arange(150) / 50)
    own = _millivolts(bench, _middle(bench))[[1, 0], :150].astype(float)
    for lead, shown in enumerate((line[:150, 1], line[151:301, 1])):
        offset = np.median(shown)
        np.testing.assert_allclose(shown - offset, own[lead] - np.median(own[lead]), atol=1e-6)
        assert offset * 10 == pytest.approx(round(offset * 10))  # on a line of the paper
    assert np.median(line[:150, 1]) > np.median(line[151:301, 1])
    assert line[:150, 1].min() > line[151:301, 1].max()  # the leads do not touch


def test_the_spread_is_that_of_lead_two(bench, paper, drawn):
    corpus = replace(bench.corpus)
    records = corpus.records.sort_values("record", kind="stable")
    tested = records["record"].iloc[bench.parts("rhythm").test].to_list()
    spread = {record: k for k, record in enumerate([*tested[1:], tested[0]])}
    vars(corpus)["records"] = records.assign(
        sd=[np.eye(12)[1] * spread.get(record, 0) for record in records["record"]]
    )
    plan = replace(bench.plan, corpora=dict.fromkeys(bench.plan.corpora, corpus))
    figure = transforms_figure(plan, bench.plan.suites[0])
    assert f"test record {[*tested[1:], tested[0]][(len(tested) - 1) // 2]}," in figure.caption
    assert [*tested[1:], tested[0]][(len(tested) - 1) // 2] != tested[(len(tested) - 1) // 2]


def test_each_transformation_has_a_panel_with_the_original_behind_it(bench, paper, drawn):
    transforms_figure(bench.plan, bench.plan.suites[0])
    axes = [ax for ax in drawn[0].axes if ax.axison]
    assert [ax.get_title(loc="left") for ax in axes] == [
        f"{title} — SIMULATED" for title in ("Original", *NAMES.values())
    ]
    (original,) = _lines(axes[0])
    for ax in axes[1:]:
        changed, behind = _lines(ax)
        np.testing.assert_array_equal(behind, original)
        assert ax.lines[1].zorder < ax.lines[0].zorder
        assert np.nanmax(np.abs(changed - original)) > 0
    upside = _lines(axes[1])[0]
    own = _millivolts(bench, _middle(bench))[1, :150]
    np.testing.assert_allclose(upside[:150, 1] - original[:150, 1], -2 * own, atol=1e-6)
    assert [text.get_text() for ax in axes[:2] for text in ax.texts] == ["II", "I"]


def test_the_draw_shown_changes_more_than_three_quarters_do(bench, paper, drawn):
    transforms_figure(bench.plan, bench.plan.suites[0])
    whole = torch.from_numpy(_millivolts(bench, _middle(bench)))
    draws = by_name(50)["clamped_scaling"](
        whole.repeat(20, 1, 1), torch.Generator().manual_seed(0)
    ).numpy()  # of the whole window
    assert whole.shape[1] == 200
    shown = draws[:, [1, 0], :150] - whole.numpy()[[1, 0], :150]
    changes = [float(np.mean(one**2)) for one in shown]
    chosen = shown[sorted(range(20), key=changes.__getitem__)[15]]
    changed, original = _lines([ax for ax in drawn[0].axes if ax.axison][2])
    found = np.stack([(changed - original)[a:b, 1] for a, b in ((0, 150), (151, 301))])
    np.testing.assert_allclose(found, chosen, atol=1e-6)


def test_panels_hold_all_that_is_drawn_within_reach(bench, paper, drawn):
    transforms_figure(bench.plan, bench.plan.suites[0])
    axes = [ax for ax in drawn[0].axes if ax.axison]
    limits = {(*ax.get_xlim(), *ax.get_ylim()) for ax in axes}
    assert len(limits) == 1
    left, right, low, high = limits.pop()
    assert (left, right, low) == (0, 3, 0)
    assert high * 2 == pytest.approx(round(high * 2))  # a whole large square
    every = np.concatenate([line[:, 1] for ax in axes for line in _lines(ax)])
    assert np.nanmin(every) > low and np.nanmax(every) < high
    assert axes[0].get_aspect() == pytest.approx(10 / 25)


def test_large_changes_do_not_press_the_others_flat():
    original = np.array([[0.0, 1.0], [-0.5, 0.5]])
    offsets, low, high = module._places(original, [original + 9, original - 9])
    # a lead may go 1 mV beyond itself, with 0.2 mV around: -1.7 to 1.7 below, -1.2 to 2.2 above
    assert offsets.tolist() == pytest.approx([1.7 + 1.7 + 1.2, 1.7])
    assert (low, high) == (0, pytest.approx(7.0))  # 6.8 in whole squares


def test_the_same_plan_gives_the_same_bytes(bench, paper):
    first, again = (transforms_figure(bench.plan, bench.plan.suites[0]) for _ in range(2))
    assert (first.name, first.svg, first.png, first.caption) == (
        "transforms",
        again.svg,
        again.png,
        again.caption,
    )
    assert first.caption.startswith(f"{SIMULATED} The transformations, each by itself,")
    assert "0.5 mV. Their Figure 9. Scale" in first.caption


def test_without_names_cells_or_long_records_there_is_no_figure(bench, paper, tmp_path, monkeypatch):
    suite = bench.plan.suites[0]
    assert transforms_figure(bench.plan, suite.model_copy(update={"name": "other"})) is None
    empty = make_bench(tmp_path / "empty", lead_sets=("challenge-3",))
    empty.add("one", skipped="too few")
    assert transforms_figure(empty.plan, suite) is None
    monkeypatch.setattr(module, "SHOWN", 4.1)
    assert transforms_figure(bench.plan, suite) is None


def test_real_and_simulated_corpora_have_figures_of_their_own(bench, paper, drawn):
    suite = bench.plan.suites[0]
    assert transforms_figure(bench.plan, suite, simulated=True) is not None
    assert transforms_figure(bench.plan, suite, simulated=False) is None
    real = {name: replace(corpus, simulated=False) for name, corpus in bench.plan.corpora.items()}
    plan = replace(bench.plan, corpora=real)
    figure = transforms_figure(plan, suite, simulated=False)
    assert figure.caption.startswith("The transformations, each by itself,")
    assert drawn[-1].axes[0].get_title(loc="left") == "Original"


def test_a_single_lead_is_drawn_alone_and_a_window_ends_the_signal(bench, paper, drawn):
    suite = bench.plan.suites[0]
    spec = suite.input.model_copy(update={"window": 100})
    one = suite.model_copy(update={"lead_sets": ("lead-II",), "input": spec})
    figure = transforms_figure(bench.plan, one)
    assert "leads II (50 Hz)" not in figure.caption and "lead II (50 Hz)" in figure.caption
    assert "of 2 s of" in figure.caption
    assert _lines(drawn[-1].axes[0])[0].shape == (101, 2)
