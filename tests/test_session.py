"""What the command makes of --corpus and --pretrain-on: which corpora are fitted on, and which evaluated on."""

from pathlib import Path

import pytest

from bench.run.errors import UserError
from bench.run.suite import CorpusUse, load_suite, sources_of
from bench.session import Options, Session

SIMULATED = ("chapman-sim", "ptbxl-sim")


def uses(suite="clocs", scale="quick", **options):
    """(corpus, its sources, whether it is evaluated) of a suite."""
    session = Session(Options(suites=(suite,), scale=scale, **options), lambda what, done, total: None)
    return [(use.corpus, use.sources, use.evaluate) for use in session.suites[0].corpora]


def test_without_options_the_suite_is_as_it_stands():
    suite = load_suite("clocs", "quick")
    assert uses() == [(use.corpus, use.sources, use.evaluate) for use in suite.corpora]
    assert uses() == [("chapman-sim", ("ptbxl-sim",), True), ("ptbxl-sim", ("chapman-sim",), True)]


@pytest.mark.parametrize("corpus", SIMULATED)
def test_of_one_corpus_nothing_moves(corpus):
    assert uses(corpora=(corpus,)) == [(corpus, (), True)]


def test_sources_are_those_among_the_corpora_asked_for():
    assert uses(corpora=SIMULATED) == [
        ("chapman-sim", ("ptbxl-sim",), True),
        ("ptbxl-sim", ("chapman-sim",), True),
    ]
    two = uses(scale="paper", corpora=("chapman", "ptbxl"), data=Path("somewhere"))
    assert two == [("chapman", ("ptbxl",), True), ("ptbxl", ("chapman",), True)]


def test_sources_are_real_where_the_corpora_are():
    """The quick scale names simulated cohorts; asked for real ones, it pairs these."""
    assert uses(corpora=("chapman", "ptbxl")) == [
        ("chapman", ("ptbxl",), True),
        ("ptbxl", ("chapman",), True),
    ]


@pytest.mark.parametrize("scale", ["smoke", "quick", "paper"])
def test_what_is_only_pre_trained_on_is_not_evaluated(scale):
    found = uses(scale=scale, corpora=("chapman-sim",), pretrain_on=("ptbxl-sim",))
    assert found == [("chapman-sim", ("ptbxl-sim",), True), ("ptbxl-sim", (), False)]


def test_pre_training_elsewhere_adds_to_the_suites_own_corpora():
    found = uses(pretrain_on=("cpsc",))
    assert found == [
        ("chapman-sim", ("ptbxl-sim", "cpsc"), True),
        ("ptbxl-sim", ("chapman-sim", "cpsc"), True),
        ("cpsc", (), False),
    ]


def test_a_corpus_that_is_evaluated_too_is_there_once_and_not_its_own_source():
    found = uses(corpora=SIMULATED, pretrain_on=("ptbxl-sim",))
    assert found == [("chapman-sim", ("ptbxl-sim",), True), ("ptbxl-sim", ("chapman-sim",), True)]


def test_pre_training_on_what_the_suite_does_not_know_is_refused():
    with pytest.raises(UserError, match="does not run on 'moon'; it runs on: chapman, cpsc, ptbxl"):
        uses(corpora=("chapman-sim",), pretrain_on=("moon",))


def test_sources_keep_their_order_and_are_named_once():
    use = CorpusUse(corpus="a", task="t", sources=("c-sim", "b-sim", "gone-sim"))
    assert sources_of(use, {"a", "b", "c"}, ("b", "d", "a")) == ("c", "b", "d")
