"""What the papers' tables over settings hold: every number in one row, where our runs have it, as published."""

import math
import shutil

import pytest
import yaml
from pydantic import ValidationError

from bench.report import published as module
from bench.report.layout import SettingsLayout
from bench.report.published import judge, layouts, papers, published, settings_numbers
from bench.report.views import ReportError
from bench.run.parameters import params_of
from bench.run.registry import Registry
from bench.run.suite import budget_of, load_suite
from tests.report.hand_settings import AUROC, LAYOUTS


def _laid_out():
    named = {(paper, name): x for paper in papers() for name, x in layouts(paper).items()}
    return {place: x for place, x in named.items() if isinstance(x, SettingsLayout)}


def test_four_tables_lie_over_settings():
    names = [("cinc2021", name) for name in ("table1", "table2", "figure3")]
    assert set(_laid_out()) == {*names, ("reduced_leads", "table1")}


def test_every_number_stands_in_exactly_one_row():
    for (paper, name), layout in _laid_out().items():
        own = [n for n in published(paper) if n.table == name]
        found = settings_numbers(published(paper), name, layout)
        assert list(found) == [row.row for row in layout.rows]
        assert sorted(map(id, found.values())) == sorted(map(id, own))
        assert {n.cell for n in own} == ({layout.metric} if layout.rows else set())


def test_every_row_is_asked_for_by_the_papers_suite():
    for (paper, _), layout in _laid_out().items():
        suite = load_suite(paper, "paper")
        entries = {entry.label: entry for entry in suite.entries}
        (use,) = [use for use in suite.corpora if (use.corpus, use.task) == (layout.corpus, layout.task)]
        for row in (*layout.rows, *layout.controls):
            if row.reason:
                continue
            entry, (trained, evaluated) = entries[row.label], row.leads
            assert trained in suite.trained_on(entry), row
            assert evaluated in suite.evaluated_on(entry, trained), row
            assert row.fraction in (entry.fractions or suite.label_fractions), row
            assert use.evaluate


def _differences(paper, layout):
    """What differs from the paper in each row, at scale paper on the whole corpus, by the suite alone."""
    suite, registry = load_suite(paper, "paper"), Registry()
    entries = {entry.label: entry for entry in suite.entries}
    use = suite.corpora[0]
    found = {}
    for row in layout.rows:
        if row.reason:
            continue
        entry = entries[row.label]
        spec = (suite.use_of(use, entry).input or suite.input).model_dump(mode="json")
        params = params_of(suite, entry, registry.get(entry.strategy).strategy).model_dump(mode="json")
        fit = {
            "input": spec,
            "budget": budget_of(suite, entry).model_dump(mode="json"),
            "encoder": suite.encoders.get(row.label, suite.encoder).model_dump(mode="json"),
            "strategy": {"params": params},
        }
        facts = {"simulated": False, "scale": "paper", "records": layout.records, "seeds": suite.seeds}
        facts |= {"fit": fit, "predict": {"input": spec, "split": use.split.model_dump(mode="json")}}
        verdict = judge(layout, row, facts)
        assert verdict.compares
        found[row.row] = [line.partition(" (published")[0] for line in verdict.differences]
    return found


def test_at_scale_paper_only_what_is_not_told_differs_from_the_entry():
    for (paper, _), layout in _laid_out().items():
        if paper == "cinc2021":
            each = _differences(paper, layout)
            assert (
                len(each)
                == {"SNU entry, Table 1": 12, "SNU entry, Table 2": 5, "SNU entry, Figure ": 0}[
                    layout.title[:18]
                ]
            )
            for lines in each.values():
                assert lines == ["split stratified", "windows of a record that are judged 1"]


def test_at_scale_paper_rows_of_reduced_leads_differ_as_told():
    each = _differences("reduced_leads", layouts("reduced_leads")["table1"])
    always = ["pass band in Hz none", "schedule cosine", "checkpoint best_val_loss", "seeds 5"]
    second = ["learning rate (of the earlier script) 0.0005", "records a batch (of the earlier script) 128"]
    second.append("steps (of the earlier script) 2,660")
    for row, lines in each.items():
        assert sorted(lines) == sorted([*always, *(second if "True" in row else [])]), row


def test_published_values_of_the_entry():
    values = {(n.table, n.row, n.setting, n.split): (n.mean, n.spread) for n in published("cinc2021")}
    assert len(values) == 27
    local = "local test of the training data"
    assert values["table1", "Base model: -", "6 leads", local] == (0.666, 0.002)
    assert values["table1", "Pre-processing: Filtering only", "6 leads", local] == (0.672, 0.005)
    assert values["table2", "snu_adsl", "6 leads", local] == (0.664, 0.005)
    hidden = values["table2", "snu_adsl", "2 leads", "hidden test"]
    assert hidden[0] == 0.45
    assert math.isnan(hidden[1])
    assert sum(mean for (t, *_), (mean, _) in values.items() if t == "table1") == pytest.approx(7.905)
    assert sum(mean for (t, *_), (mean, _) in values.items() if t == "table2") == pytest.approx(8.757)


def test_published_values_of_reduced_leads():
    values = {(n.row, n.setting): n.mean for n in published("reduced_leads")}
    assert len(values) == 9
    assert {n.split for n in published("reduced_leads")} == {"validation"}
    gains = {
        leads: round(
            values["pseudo = True", f"leads {leads}"] - values["pseudo = False", f"leads {leads}"], 4
        )
        for leads in (6, 4, 3, 2)
    }
    assert gains == {6: 0.001, 4: 0.0009, 3: 0.0014, 2: 0.0015}
    assert values["pseudo = True", "leads 12"] == 0.932


def _published(paper, name):
    layout = layouts(paper)[name]
    return layout, {row: n.mean for row, n in settings_numbers(published(paper), name, layout).items()}


def test_what_footnotes_say_of_numbers_is_in_them():
    ablation, means = _published("cinc2021", "table1")
    base = means["Base model"]
    expected = {
        "Label masking: none": 0.025,
        "Augmentation: none": 0.005,
        "Pre-processing: none": 0.022,
        "Feature: none": 0.001,
    }
    for row, gain in expected.items():
        assert base - means[row] == pytest.approx(gain)
        assert f"+{gain}" in ablation.footnotes["signs"]
    assert max(means, key=means.__getitem__) == "Pre-processing: filtering only"
    leads, means = _published("cinc2021", "table2")
    gaps = [means["12 leads"] - means[f"{x} leads"] for x in (6, 4, 3, 2)]
    assert (min(gaps), max(gaps)) == pytest.approx((0.004, 0.015))
    assert "0.004 to 0.015" in leads.footnotes["claim"]
    numbers = settings_numbers(published("cinc2021"), "table2", leads)
    ranks = [numbers[f"{x} leads, hidden test"].note.removeprefix("rank ") for x in (12, 6, 4, 3, 2)]
    assert f"{', '.join(ranks[:-1])} and {ranks[-1]} with 12, 6, 4, 3 and 2 leads" in leads.footnotes["ranks"]
    few, means = _published("reduced_leads", "table1")
    for one, other, gap in ((6, 2, 0.0005), (4, 3, 0.0019)):
        apart = means[f"{one} leads, pseudo = False"] - means[f"{other} leads, pseudo = False"]
        assert apart == pytest.approx(gap)
        assert f"{gap} ({one} " in few.footnotes["gains"]


def test_pairs_are_the_published_ones_on_either_part():
    layout = layouts("reduced_leads")["table1"]
    minus = {row.row: row.minus for row in (*layout.rows, *layout.controls)}
    for x in (6, 4, 3, 2):
        assert minus[f"{x} leads, pseudo = True"] == f"{x} leads, pseudo = False"
        assert minus[f"{x} leads, pseudo = True, test"] == f"{x} leads, pseudo = False, test"
    assert {row.part for row in layout.rows} == {"val"}
    ablation = layouts("cinc2021")["table1"]
    assert [row.minus for row in ablation.rows] == ["", *["Base model"] * 11]
    masks = {row.row: (row.label, row.rule) for row in ablation.rows if row.row.startswith("Label masking")}
    assert list(masks.values()) == [("no_mask", "unmasked"), ("base", "unmasked"), ("base", "validation")]
    hidden = [row for row in layouts("cinc2021")["table2"].rows if row.reason]
    assert len(hidden) == 10
    assert all("never released" in row.reason for row in hidden)


def test_the_curve_over_label_ratios_is_paired_at_every_fraction_of_the_suite():
    layout, suite = layouts("cinc2021")["figure3"], load_suite("cinc2021", "paper")
    assert layout.rows == ()
    by_name = {row.row: row for row in layout.controls}
    pairs = [(row, by_name[row.minus]) for row in layout.controls if row.minus]
    assert [row.fraction for row, _ in pairs] == list(suite.label_fractions)
    for row, other in pairs:
        assert (row.label, other.label, row.fraction) == ("simclr_finetuned", "scratch", other.fraction)
        assert row.row == f"pre-trained, {100 * row.fraction:g} %"
    assert len(layout.controls) == 2 * len(pairs)


def _with(name, **changes):
    rows = [{**one, **changes} if one["row"] == name else one for one in AUROC["rows"]]
    controls = [{**one, **changes} if one["row"] == name else one for one in AUROC["controls"]]
    return {**AUROC, "rows": rows, "controls": controls}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (_with("two", row="twelve"), "another row has this name"),
        (_with("two", published=None), "rows have a published number"),
        (_with("half", published={"row": "x"}), "controls none"),
        (_with("hidden", reason=""), "give a label, or the reason"),
        (_with("two", reason="odd"), "give a label, or the reason"),
        (_with("two", lead_set="challenge-7"), "no lead sets"),
        (_with("two", lead_set=""), "no lead sets"),
        (_with("two", minus="nothing"), "'nothing' is no other row of part val"),
        (_with("two", minus="two"), "'two' is no other row"),
        (_with("two", minus="two, plain, test"), "is no other row of part val"),
        (_with("two", rule="unmasked"), "only the Challenge metric has decision rules"),
        ({**LAYOUTS["rules"], "rows": AUROC["rows"]}, "chose the thresholds"),
    ],
)
def test_a_layout_that_contradicts_itself_is_refused(content, message):
    with pytest.raises(ValidationError, match=message):
        SettingsLayout.model_validate(content)


@pytest.fixture
def paper(tmp_path, monkeypatch):
    folder = tmp_path / "papers" / "reduced_leads"
    shutil.copytree(module.PAPERS / "reduced_leads", folder)
    monkeypatch.setattr(module, "PAPERS", folder.parent)
    return folder


def test_a_number_without_a_row_and_a_row_without_a_number_are_refused(paper):
    content = yaml.safe_load((paper / "tables.yaml").read_text())
    rows = content["table1"]["rows"]
    lost = {
        **content,
        "table1": {**content["table1"], "rows": [row for row in rows if "12" not in row["row"]]},
    }
    lost["table1"]["controls"] = []
    (paper / "tables.yaml").write_text(yaml.safe_dump(lost))
    with pytest.raises(ReportError, match="no row for table1, 'pseudo = True': macro_auroc"):
        layouts("reduced_leads")
    twice = [*rows, {**rows[0], "row": "again"}]
    (paper / "tables.yaml").write_text(yaml.safe_dump({"table1": {**content["table1"], "rows": twice}}))
    with pytest.raises(ReportError, match="table1 has no published number for row 'again'"):
        layouts("reduced_leads")
    rows[0]["published"]["split"] = "test"
    (paper / "tables.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ReportError, match="no row for table1, 'pseudo = True'"):
        layouts("reduced_leads")
