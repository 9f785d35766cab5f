import pytest

from bench.report.challenge import explained
from bench.report.metric import metric_of
from tests.report.hand_leads import as_challenge, summaries_of
from tests.report.hand_made import make_bench


@pytest.fixture(scope="module")
def summaries(tmp_path_factory):
    bench = make_bench(tmp_path_factory.mktemp("metric"), label_fractions=(1.0,))
    bench.add("late", task="findings", kind="multi")
    bench.finish(bench.add("one"), bench.truth())
    return summaries_of(bench, 20)


def test_auroc_has_no_ending_and_half_is_idle(summaries):
    metric = metric_of(summaries)
    assert (metric.name, metric.ending, metric.explained, metric.idle) == ("macro_auroc", "", "", 50)
    assert metric.title == "macro one-vs-rest AUROC ×100"
    assert metric.head == "AUROC ×100"
    assert metric.axis == "macro AUROC ×100, test part"


@pytest.mark.parametrize(
    ("rule", "told", "ending"),
    [
        ("known", "masked, database known", "_challenge"),
        ("validation", "masked at validation only", "_challenge_validation"),
    ],
)
def test_challenge_metric_tells_its_rule(summaries, rule, told, ending):
    metric = metric_of(as_challenge(summaries, rule))
    assert (metric.name, metric.ending, metric.idle) == ("challenge_metric", ending, 0)
    assert metric.title == f"Challenge metric ×100 ({told})"
    assert metric.axis == f"Challenge metric ×100, test part\n({told})"
    assert metric.explained == f" {explained([rule])}"
    assert metric_of(as_challenge(summaries, rule), {0.1, 1.0}).explained.endswith(
        "the fewer these are, the stricter."
    )


def test_without_any_score_the_rule_is_the_headlines(tmp_path):
    bench = make_bench(tmp_path)
    bench.add("late")
    assert metric_of(as_challenge(summaries_of(bench), "unmasked")).ending == "_challenge"


def test_mixed_or_no_summaries_have_no_metric(summaries):
    with pytest.raises(ValueError, match="challenge_metric, macro_auroc"):
        metric_of([*summaries, *as_challenge(summaries)])
    with pytest.raises(ValueError, match="none"):
        metric_of([])
