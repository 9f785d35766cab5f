import pytest

from bench.report import figures
from bench.report.curves import chance_line, panels
from bench.report.figures import label_efficiency, transfer_efficiency
from bench.report.paper_figures import PaperFigures
from tests.report.hand_leads import as_challenge, summaries_of
from tests.report.hand_made import Bench, make_bench


def _bench(folder, points: int, lines: int = 2) -> Bench:
    """So many entries of one label fraction, beside lines at two."""
    names = [f"line{k}" for k in range(lines)], [f"point{k}" for k in range(points)]
    bench = make_bench(folder, entries=(*names[0], *names[1]))
    for name in names[0]:
        bench.finish(bench.add(name, 0.1), 0 * bench.truth() + 0.5)
        bench.finish(bench.add(name, 1.0), bench.truth())
    for name in names[1]:
        bench.finish(bench.add(name, 1.0), bench.truth())
    return bench


@pytest.fixture
def drawn(monkeypatch) -> dict:
    """Lines by name, keys of the legend, where chance is, and canvases."""
    found: dict = {"lines": {}, "idle": [], "canvas": []}

    def draw(ax, lines, looks, width=0):
        found["lines"] |= {line.name: [(x, seeds.mean) for x, seeds in line.points] for line in lines}

    def legend(canvas, keys, lone=()):
        found.update(keys=list(keys), lone=set(lone))

    monkeypatch.setattr(figures, "draw", draw)
    monkeypatch.setattr(figures, "legend", legend)
    monkeypatch.setattr(figures, "chance_line", lambda axes, at: found["idle"].append(at))
    monkeypatch.setattr(figures, "saved", lambda canvas: (found["canvas"].append(canvas), (b"", b""))[1])
    return found


def test_of_the_challenge_metric_axis_caption_and_file_say_so(tmp_path, drawn):
    bench = _bench(tmp_path, points=1)
    figure = label_efficiency(as_challenge(summaries_of(bench, 20)), bench.plan.suites[0])
    assert figure.name == "label_efficiency_challenge"
    assert drawn["lines"]["Line0"] == [(0.1, 0.0), (1.0, 0.5)]
    assert drawn["idle"] == [0]
    (ax,) = drawn["canvas"][0].axes
    assert ax.get_ylabel() == "Challenge metric ×100, test part\n(masked, database known)"
    assert (
        "Label efficiency: Challenge metric ×100 (masked, database known) on the test part" in figure.caption
    )
    assert "this asks for the database's identity at test time" in figure.caption
    assert "Masks are of the labelled records of each label fraction" in figure.caption
    assert "AUROC" not in figure.caption


def test_a_papers_sentence_stands_in_the_caption_of_its_figure_alone(tmp_path, drawn, monkeypatch):
    told = PaperFigures(captions={"label_efficiency_challenge": "Like Figure 3.", "lead_sets": "Another."})
    monkeypatch.setattr(figures, "paper_figures", lambda name: told if name == "board" else PaperFigures())
    bench = _bench(tmp_path, points=1)
    found, suite = summaries_of(bench, 20), bench.plan.suites[0]
    caption = label_efficiency(as_challenge(found), suite).caption
    assert " Like Figure 3. Challenge metric" in caption
    assert "Another" not in caption
    assert "Figure 3" not in label_efficiency(found, suite).caption
    other = suite.model_copy(update={"name": "other"})
    assert "Figure 3" not in label_efficiency(as_challenge(found), other).caption


def test_of_the_auroc_nothing_is_said_of_the_challenge(tmp_path, drawn):
    bench = _bench(tmp_path, points=1)
    figure = label_efficiency(summaries_of(bench, 20), bench.plan.suites[0])
    assert (figure.name, drawn["idle"]) == ("label_efficiency", [50])
    assert drawn["canvas"][0].axes[0].get_ylabel() == "macro AUROC ×100, test part"
    assert "Challenge" not in figure.caption


def test_classes_without_labels_are_no_matter_of_the_challenge_metric(tmp_path, monkeypatch):
    monkeypatch.setattr(figures.words, "MANY_CLASSES", 2)
    bench = make_bench(tmp_path, entries=("one",))
    for fraction in (0.1, 1.0):
        row = bench.add("one", fraction, task="findings", kind="multi")
        bench.finish(row, bench.noisy(2, 0, "findings"))
    found, suite = summaries_of(bench, 20), bench.plan.suites[0]
    assert "there a row can fall below 50" in label_efficiency(found, suite).caption
    assert "fall below 50" not in label_efficiency(as_challenge(found), suite).caption


@pytest.mark.parametrize(("points", "lines", "shown"), [(6, 2, 6), (7, 2, 0), (7, 7, 7), (8, 7, 0)])
def test_single_points_are_left_out_where_they_are_many_and_more_than_lines(
    tmp_path, drawn, points, lines, shown
):
    bench = _bench(tmp_path, points, lines)
    figure = label_efficiency(summaries_of(bench, 20), bench.plan.suites[0])
    assert len(drawn["lines"]) == len(drawn["keys"]) == lines + shown
    assert len(drawn["lone"]) == shown
    told = f"{points} more rows, of one label fraction, are in the tables."
    assert (told in figure.caption) == (shown == 0)


def test_transfer_of_the_challenge_metric_has_a_file_of_its_own(tmp_path, drawn):
    bench = make_bench(tmp_path, entries=("good",))
    for fraction in (0.1, 1.0):
        bench.finish(bench.add("good", fraction), bench.truth())
        bench.finish(bench.move("good", "far-sim", fraction), bench.truth())
    figure = transfer_efficiency(as_challenge(summaries_of(bench, 20)), bench.plan.suites[0])
    assert figure.name == "transfer_efficiency_challenge"
    assert "Label efficiency of transfer: Challenge metric ×100" in figure.caption
    assert drawn["idle"] == [0]


@pytest.mark.parametrize(("reached", "count"), [((-5, 5), 1), ((1, 60), 0)])
def test_what_knows_nothing_is_marked_at_its_own_score(reached, count):
    _, axes = panels(2)
    axes[0].set_ylim(*reached)
    chance_line(axes, 0)
    assert [[list(line.get_ydata()) for line in ax.lines] for ax in axes] == [[[0, 0]] * count] * 2
