import pytest
import yaml

from bench.nn.transforms import SNU
from bench.report import paper_figures as module
from bench.report.paper_figures import paper_figures
from bench.report.published import PAPERS
from bench.report.views import ReportError


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ({"transforms": {"no_such_thing": "X"}}, "transforms.no_such_thing"),
        ({"transformations": {}}, "transformations"),
        ({"transforms": ["cutout"]}, "transforms"),
        ({"captions": {"label_eficiency": "X"}}, "captions.label_eficiency"),
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path, monkeypatch, content, where):
    monkeypatch.setattr(module, "PAPERS", tmp_path)
    (tmp_path / "board").mkdir()
    (tmp_path / "board" / "figures.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ReportError, match=rf"board/figures.yaml: {where}"):
        paper_figures("board")


def test_the_challenge_entry_has_its_seven_in_the_papers_order():
    assert (PAPERS / "cinc2021" / "figures.yaml").is_file()
    found = paper_figures("cinc2021")
    assert tuple(found.transforms) == SNU
    assert "Figure 1" in found.told("transforms")
    assert "local validation set" in found.told("label_efficiency_challenge")
    assert found.told("label_efficiency_challenge").startswith(" The paper's Figure 3")
    assert found.told("lead_sets") == ""


def test_a_paper_without_the_file_shows_nothing():
    assert paper_figures("goodviews").transforms == {}
    assert paper_figures("goodviews").told("label_efficiency") == ""
