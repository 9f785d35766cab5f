"""Suite files are closed: every mistake is one line that says where."""

import pytest
import yaml

from bench.run.suite import SuiteError, corpus_uses, load_suite, suite_files

BASE = {
    "name": "x",
    "title": "X",
    "input": {"rate": 50},
    "entries": ["a", {"strategy": "a", "label": "b", "init": "a"}],
    "scales": {
        "quick": {
            "seeds": 1,
            "corpora": [{"corpus": "tiny", "task": "rhythm"}],
            "encoder": {"name": "resnet1d18"},
            "budget": {"steps": 5, "batch": 4},
        }
    },
}


def load(tmp_path, scale="quick", **changes):
    content = yaml.safe_load(yaml.safe_dump(BASE))
    content["scales"]["quick"] |= changes
    path = tmp_path / "x.yaml"
    path.write_text(yaml.safe_dump(content))
    return load_suite(str(path), scale)


def test_every_suite_of_the_project_loads_at_every_scale():
    for name, path in suite_files().items():
        for scale in yaml.safe_load(path.read_text())["scales"]:
            assert load_suite(name, scale).scale == scale


def test_a_scale_overrides_the_suite(tmp_path):
    suite = load(tmp_path, label_fractions=[0.5])
    assert suite.label_fractions == (0.5,)
    assert [entry.label for entry in suite.entries] == ["a", "b"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sedes": 3}, "sedes: Extra inputs"),
        ({"budget": {"steps": 5, "batch": 4, "lrr": 1}}, "budget.lrr"),
        ({"lead_sets": ["all-13"]}, "no lead set 'all-13'"),
        ({"label_fractions": [0]}, r"label fraction 0\.0 is not in"),
        ({"entries": ["a", "a"]}, "two entries are labelled 'a'"),
        ({"entries": [{"strategy": "a", "init": "zz"}]}, "starts from 'zz'"),
        ({"budget": {"steps": 5, "batch": 4, "warmup": 5}}, "warmup"),
        ({"label_fractions": [1.0, 1.0]}, "label_fractions names something twice"),
        ({"entries": [{"strategy": "a", "init": "a"}]}, "starts from itself"),
        ({"precision": "bf17"}, "precision"),
        ({"noise_levels": [1, 9]}, "noise level 9 is none of 1, 2, 3, 4, 5, 6"),
        ({"noise_levels": [1, 1]}, "noise_levels names something twice"),
        ({"encoders": {"zz": {"name": "resnet1d18"}}}, "encoders names 'zz', which is no entry"),
        ({"encoder_variants": [{"dim": 8}, {"dim": 8}]}, "encoder_variants names something twice"),
        ({"fractions_by": "frames"}, "'frames' needs input.aggregation 'none'"),
        ({"fractions_by": "weeks"}, "fractions_by"),
        (
            {"corpora": [{"corpus": "tiny", "task": "rhythm", "sources": ["far"]}]},
            "source 'far' is no other corpus",
        ),
        ({"corpora": [{"corpus": "tiny", "task": "rhythm", "evaluate": False}]}, "no corpus is evaluated"),
        ({"entries": [{"strategy": "a", "transfer": "sometimes"}]}, "transfer"),
    ],
)
def test_mistakes_are_named(tmp_path, changes, message):
    with pytest.raises(SuiteError, match=message):
        load(tmp_path, **changes)


def test_unknown_suites_and_scales_list_what_there_is(tmp_path):
    with pytest.raises(SuiteError, match="no suite 'nope'; there are: .*board"):
        load_suite("nope", "quick")
    with pytest.raises(SuiteError, match="no scale 'huge'; it has: quick"):
        load(tmp_path, "huge")
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(SuiteError, match="is not valid YAML"):
        load_suite(str(tmp_path / "bad.yaml"), "quick")


def test_entries_left_out_at_a_scale_are_gone_and_must_exist():
    quick, paper = load_suite("crocs", "quick"), load_suite("crocs", "paper")
    gone = {entry.label for entry in paper.entries} - {entry.label for entry in quick.entries}
    assert gone == set(quick.leave_out)
    assert {"crocs_e64", "crocs_e128", "crocs_b05"} <= gone
    with pytest.raises(SuiteError, match="leave_out names 'nobody'"):
        load_suite("board", "smoke", {"leave_out": ["nobody"]})
    with pytest.raises(SuiteError, match="'simclr_finetuned' starts from one that leave_out names"):
        load_suite("board", "smoke", {"leave_out": ["simclr"]})


def test_variants_come_on_top_of_each_corpus_own_encoder(tmp_path):
    own = {"name": "net_s", "arguments": {"samples": 100, "dim": 4}}
    uses = [{"corpus": "tiny", "task": "rhythm"}, {"corpus": "other", "task": "pace", "encoder": own}]
    suite = load(tmp_path, corpora=uses, encoder={"name": "resnet1d18", "arguments": {"dim": 16}})
    arguments = [suite.on(use, {"dim": 32}).encoder.model_dump() for use in suite.corpora]
    assert arguments == [
        {"name": "resnet1d18", "arguments": {"dim": 32}},
        {"name": "net_s", "arguments": {"samples": 100, "dim": 32}},
    ]
    assert [suite.on(use).encoder.arguments["dim"] for use in suite.corpora] == [16, 4]


def test_what_starts_from_a_fit_has_its_encoder(tmp_path):
    own = [{"strategy": "a"}, {"strategy": "a", "label": "b", "init": "a", "encoder": {"dim": 8}}]
    with pytest.raises(SuiteError, match="'b' has the encoder of what it starts from"):
        load(tmp_path, entries=own)
    with pytest.raises(SuiteError, match="fixes an argument of the encoder that encoder_variants vary"):
        load(tmp_path, entries=[{"strategy": "a", "encoder": {"dim": 8}}], encoder_variants=[{"dim": 4}])


def test_every_task_of_a_corpus_is_taken():
    uses = corpus_uses("ssl12lead", "paper", "ptbxl-sim")
    assert [use.task for use in uses] == [
        "all",
        "diagnostic",
        "subdiagnostic",
        "superdiagnostic",
        "form",
        "rhythm",
    ]
    assert {use.corpus for use in uses} == {"ptbxl-sim"}
