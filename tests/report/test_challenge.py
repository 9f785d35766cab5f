"""The Challenge's table and summaries: what stands in each cell, and that no row is wider than another."""

import csv
import io

import numpy as np
import pytest

from bench.report.challenge import (
    CHALLENGE,
    METRIC,
    SHORT,
    challenge_summaries,
    challenge_table,
    explained,
)
from bench.report.challenge_views import RULES, ChallengeViews
from bench.report.frame import build_frame
from bench.report.latex import to_latex
from bench.report.summary import Summary, summarise
from bench.report.table import SIMULATED, Table, to_csv, to_markdown
from bench.report.tables import CONTROLS, NOTHING, STRATEGIES
from bench.report.views import MetricViews
from bench.run.suite import CorpusUse, Suite
from tests.report.hand_challenge import NAME, OTHER, ChallengeBench, make_challenge_bench

RESAMPLES = 40
KNOWN = "known (95\u00a0% interval)"
GAIN = "known − no masks (95\u00a0% interval)"
LEDGER = "needs at test"
AVERAGED = "averaged"


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> ChallengeBench:
    """A classifier and a probe of two seeds; one that lost a seed and a fraction; a control without any seed's say."""
    bench = make_challenge_bench(tmp_path_factory.mktemp("challenge"), seeds=2)
    control, constant = {"origin": "baseline"}, 0 * bench.truth() + 0.3
    for seed in range(2):
        for fraction in (0.3, 1.0):
            noise = 1.5 - fraction
            net = bench.add("net", fraction, seed, readout="classifier", needs_at_test=("demographics",))
            bench.finish(net, bench.noisy(noise, seed), ("subset",))
            probe = bench.add("probe", fraction, seed)
            bench.finish_unlike(probe, bench.noisy(noise, 10 + seed), bench.noisy(9, 20 + seed))
            bench.finish(bench.add("prior", fraction, seed, **control), constant)
            bench.add("gone", fraction, seed, skipped="no window is long enough", **control)
        bench.store.fail(bench.add("torn", 0.3, seed).key, "oom", "out of memory", "")
    bench.finish(bench.add("torn", 1.0, 0), bench.noisy(3, 7))
    bench.store.fail(bench.add("torn", 1.0, 1).key, "oom", "out of memory", "")
    return bench


def _summaries(bench: ChallengeBench) -> list[Summary]:
    return summarise(build_frame(bench.plan, bench.store, RESAMPLES), MetricViews(bench.store, RESAMPLES))


def _views(bench: ChallengeBench) -> ChallengeViews:
    return ChallengeViews(bench.plan, bench.store, RESAMPLES)


@pytest.fixture(scope="module")
def views(bench) -> ChallengeViews:
    return _views(bench)


@pytest.fixture(scope="module")
def summary(bench) -> Summary:
    (summary,) = _summaries(bench)
    return summary


@pytest.fixture(scope="module")
def suite(bench) -> Suite:
    return bench.plan.suites[0]


@pytest.fixture(scope="module")
def table(summary, views, suite) -> Table:
    return challenge_table(summary, views, suite)


def _row(table: Table, label: str, fraction: float = 1.0):
    (row,) = [r for r in table.rows if (r.data["label"], r.data["fraction"]) == (label, fraction)]
    return dict(zip([column.head for column in table.columns], row.cells, strict=True)), row.data


def _keys(bench: ChallengeBench, label: str, fraction: float = 1.0) -> list[str]:
    return [bench.rows[label, fraction, seed].key for seed in range(2)]


def _mean(views: ChallengeViews, keys: list[str], rule: str, name: str) -> float:
    return sum(views.metrics(key, rule)[name] for key in keys) / len(keys)


@pytest.mark.parametrize("rule", RULES)
def test_summaries_hold_the_metric_of_the_fractions_own_selection(bench, summary, views, rule):
    (found,) = challenge_summaries([summary], views, rule)
    assert (found.metric, found.setting, found.fractions) == (METRIC, summary.setting, (0.3, 1.0))
    assert ("probe", "") in {entry.key for entry in found.entries if (1.0, "subset") in entry.scores}
    assert {chosen for entry in found.entries for _, chosen in entry.scores} == {"subset"}
    for label in ("net", "probe"):
        score, keys = found.score(found.entry(label), 0.3), _keys(bench, label, 0.3)
        values = [views.metrics(key, rule)[METRIC] for key in keys]
        assert score.keys == tuple(keys)
        assert (score.seeds.mean, score.seeds.n, score.wanted) == (pytest.approx(np.mean(values)), 2, 2)
        assert (score.seeds.low, score.seeds.high) == (min(values), max(values))
        drawn = np.mean([views.draws(key, rule) for key in keys], axis=0)
        assert score.interval == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])))
    torn = found.entry("torn")
    assert (found.score(torn, 0.3), found.score(torn).seeds.n, found.score(torn).wanted) == (None, 1, 2)


def test_known_is_the_default_rule(summary, views):
    (plain,), (known,) = challenge_summaries([summary], views), challenge_summaries([summary], views, "known")
    (other,) = challenge_summaries([summary], views, "unmasked")
    means = [
        [one.score(entry).seeds.mean for entry in one.ranked("strategy")] for one in (plain, known, other)
    ]
    assert means[0] == means[1] != means[2]


def test_rows_are_as_wide_as_the_columns_in_every_block_and_fraction(table):
    assert {len(row.cells) for row in table.rows} == {len(table.columns)}
    seen = [(block, [(r.data["label"], r.data["fraction"]) for r in rows]) for block, rows in table.blocks()]
    assert seen == [
        (
            STRATEGIES,
            [("net", 0.3), ("net", 1.0), ("probe", 0.3), ("probe", 1.0), ("torn", 0.3), ("torn", 1.0)],
        ),
        (CONTROLS, [("prior", 0.3), ("prior", 1.0)]),
        (NOTHING, [("gone", 0.3), ("gone", 1.0)]),
    ]
    for row in table.rows:
        assert row.cells[1].text == ("30\u00a0%" if row.data["fraction"] == 0.3 else "100\u00a0%")


@pytest.mark.parametrize("label", ["net", "probe"])
@pytest.mark.parametrize("fraction", [0.3, 1.0])
def test_cells_and_data_of_a_row(bench, views, table, label, fraction):
    cells, data = _row(table, label, fraction)
    keys = _keys(bench, label, fraction)
    for rule in RULES:
        mean = _mean(views, keys, rule, METRIC)
        shown = f"{100 * mean:.1f}"
        if rule == "known":
            low, high = np.quantile(np.mean([views.draws(key, rule) for key in keys], axis=0), [0.025, 0.975])
            shown += f" ({100 * low:.1f} to {100 * high:.1f})".replace("-", "−")
        assert cells[KNOWN if rule == "known" else SHORT[rule]].text == shown.replace("-", "−")
        assert data[f"{rule}_{METRIC}"] == pytest.approx(mean)
        assert data[f"{rule}_seeds"] == 2
    averaged = np.mean(views.averaged(keys, "known"))
    assert averaged != data[f"known_{METRIC}"]
    assert data["known_thresholds_averaged"] == pytest.approx(averaged)
    assert cells[AVERAGED].text == f"{100 * averaged:.1f}"
    for name, rule, head in (
        ("macro_f", "known", "F"),
        ("accuracy", "known", "accuracy"),
        ("macro_auroc", "unmasked", "AUROC"),
        ("macro_average_precision", "unmasked", "AUPRC"),
    ):
        mean = _mean(views, keys, rule, name)
        other = _mean(views, keys, "unmasked" if rule == "known" else "known", name)
        assert mean != other or name == "accuracy"
        assert data[name] == pytest.approx(mean)
        assert cells[head].text == f"{100 * mean:.1f}"


def test_auroc_of_unmasked_scores_is_the_boards(summary, table):
    for label in ("net", "probe"):
        _, data = _row(table, label, 0.3)
        assert data["macro_auroc"] == pytest.approx(summary.score(summary.entry(label), 0.3).seeds.mean)


def test_masks_minus_none_is_paired(bench, views, table):
    keys = _keys(bench, "probe", 0.3)
    known, unmasked = (
        np.mean([views.draws(key, rule) for key in keys], axis=0) for rule in ("known", "unmasked")
    )
    cells, data = _row(table, "probe", 0.3)
    gap = data[f"known_{METRIC}"] - data[f"unmasked_{METRIC}"]
    low, high = np.quantile(known - unmasked, [0.025, 0.975])
    assert gap != 0
    assert data["masks_minus_none"] == pytest.approx(gap)
    assert (data["masks_minus_none_low"], data["masks_minus_none_high"]) == pytest.approx((low, high))
    signs = sorted([(known <= unmasked).sum(), (known >= unmasked).sum()])
    assert data["masks_minus_none_p"] == pytest.approx(min(1, 2 * (1 + signs[0]) / (RESAMPLES + 1)))
    text = f"{100 * gap:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
    assert cells[GAIN].text == text.replace("-", "−")


def test_the_ledger_says_that_masks_need_the_database(table):
    assert _row(table, "net")[0][LEDGER].text == "database, demographics"
    assert _row(table, "net")[1]["needs_at_test_masked"] == "database demographics"
    assert _row(table, "probe")[0][LEDGER].text == "database"
    assert "database's identity at test time" in table.caption
    assert "be held against a leaderboard" in table.caption


def test_what_is_missing_says_why(table):
    cells, _ = _row(table, "torn", 0.3)
    assert cells[KNOWN].text == "oom"
    assert [table.footnotes[n - 1] for n in cells[KNOWN].notes] == ["oom: out of memory"]
    assert {cell.text for head, cell in cells.items() if head not in ("strategy", "labels", KNOWN)} == {"–"}
    cells, data = _row(table, "torn")
    assert table.footnotes[cells[SHORT["unmasked"]].notes[0] - 1].startswith("1 of 2 seeds")
    assert (cells[AVERAGED].text, data["known_thresholds_averaged"]) == ("–", None)
    assert _row(table, "gone")[0][KNOWN].text == "skipped"


def test_a_row_without_any_say_says_so(table):
    cells, _ = _row(table, "prior")
    notes = [table.footnotes[n - 1] for n in cells[KNOWN].notes]
    assert notes == ["Every record got the same score"]


def test_title_and_caption(table):
    assert table.title.startswith(f"{SIMULATED} {CHALLENGE} on the test part")
    assert f"{RESAMPLES} bootstrap resamples" in table.caption
    assert "2 trained encoders a row" in table.caption
    assert [column.head for column in table.columns][:5] == [
        "strategy",
        "labels",
        KNOWN,
        "SD over seeds (range where there are 2)",
        "averaged",
    ]
    assert "the fewer these are, the stricter." in table.caption
    assert "Guessed: from rate and lead means" in table.caption


def test_csv_is_in_the_metrics_own_unit(table):
    rows = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert [(row["label"], float(row["fraction"])) for row in rows] == [
        (row.data["label"], row.data["fraction"]) for row in table.rows
    ]
    for row, made in zip(rows, table.rows, strict=True):
        assert (row["corpus"], row["simulated"], row["task"]) == (NAME, "True", "scored26")
        for rule in RULES:
            value = made.data.get(f"{rule}_{METRIC}")
            assert row[f"{rule}_{METRIC}"] == ("" if value is None else f"{value:.6f}".rstrip("0"))
    assert all(abs(float(row[f"known_{METRIC}"])) < 1 for row in rows if row[f"known_{METRIC}"])
    assert rows[-1]["needs_at_test_masked"] == ""


def test_markdown_and_latex_have_every_row_and_column(table):
    lines = [line for line in to_markdown(table).splitlines() if line.startswith("|")]
    assert {line.replace(r"\|", "").count("|") for line in lines} == {len(table.columns) + 1}
    assert len(lines) == 2 + len(table.blocks()) + len(table.rows)
    written = to_latex(table)
    body = [line for line in written.splitlines() if line.endswith(r" \\") and " & " in line]
    assert {line.replace(r"\&", "").count(" & ") for line in body} == {len(table.columns) - 1}
    assert len(body) == 1 + len(table.rows)
    assert not any("nan" in cell.text for row in table.rows for cell in row.cells)


def test_one_fraction_needs_no_column_for_it(tmp_path):
    bench = make_challenge_bench(tmp_path, seeds=3)
    for seed in range(3):
        bench.finish(bench.add("net", 1.0, seed), bench.noisy(1.5, seed), ("subset",))
    bench.add("never", 1.0, 0)
    (summary,) = _summaries(bench)
    table = challenge_table(summary, _views(bench), bench.plan.suites[0])
    assert "the stricter" not in table.caption
    heads = [column.head for column in table.columns]
    assert heads[:3] == ["strategy", KNOWN, "SD over 3 seeds"]
    assert {len(row.cells) for row in table.rows} == {len(heads)}
    each = [_views(bench).metrics(bench.rows["net", 1.0, seed].key, "known")[METRIC] for seed in range(3)]
    assert _row(table, "net")[1]["known_seed_sd"] == pytest.approx(np.std(each, ddof=1))
    assert _row(table, "never")[0][KNOWN].text == "missing"
    assert to_latex(table)


def test_seeds_that_decide_alike_are_no_copies(tmp_path):
    bench = make_challenge_bench(tmp_path, seeds=2)
    for seed in range(2):
        bench.finish(bench.add("sure", 1.0, seed), (0.8 + seed / 10) * bench.truth(), ("subset",))
        bench.finish(bench.add("copy", 1.0, seed), bench.noisy(1, 0), ("subset",))
    (summary,) = _summaries(bench)
    table = challenge_table(summary, _views(bench), bench.plan.suites[0])
    cells, _ = _row(table, "sure")
    assert (cells[SHORT["unmasked"]].text, cells[SHORT["unmasked"]].notes) == ("100.0", ())
    cells, _ = _row(table, "copy")
    assert [table.footnotes[n - 1][:29] for n in cells[KNOWN].notes] == ["All seeds gave bit-identical "]


def test_other_tasks_have_no_such_table(tmp_path):
    use = CorpusUse(corpus=NAME, task=OTHER)
    bench = make_challenge_bench(tmp_path, corpora=(use,))
    row = bench.add("net", task=OTHER, cell={"task": OTHER})
    bench.finish(row, bench.noisy(1, 0, OTHER), ("subset",))
    (summary,) = _summaries(bench)
    assert challenge_summaries([summary], _views(bench)) == []
    assert challenge_table(summary, _views(bench), bench.plan.suites[0]) is None


def test_windows_that_are_judged_by_themselves_have_no_such_score(tmp_path):
    bench = make_challenge_bench(tmp_path)
    spec = bench.plan.suites[0].input.model_copy(update={"aggregation": "none"})
    windows = bench.add("windows", cell={"input": spec})
    bench.finish(windows, bench.noisy(1, 0), ("subset",))
    (summary,) = _summaries(bench)
    assert challenge_table(summary, _views(bench), bench.plan.suites[0]) is None
    bench.finish(bench.add("net"), bench.noisy(1, 1), ("subset",))
    (summary,) = _summaries(bench)
    table = challenge_table(summary, _views(bench), bench.plan.suites[0])
    assert {len(row.cells) for row in table.rows} == {len(table.columns)}
    assert _row(table, "windows")[0][KNOWN].text == "–"
    assert _row(table, "net")[0][KNOWN].text != "–"


def test_without_any_result_there_is_no_table(tmp_path):
    bench = make_challenge_bench(tmp_path)
    bench.add("net")
    (summary,) = _summaries(bench)
    assert challenge_table(summary, _views(bench), bench.plan.suites[0]) is None


def test_only_what_the_rules_need_is_explained():
    every = explained(RULES)
    assert all(word in every for word in ("Masked:", "Database known:", "Guessed:", "Validation only:"))
    known = explained(["known"], [0.1, 1.0])
    assert "Guessed" not in known and "Validation only" not in known and known.endswith("the stricter.")
    bare = explained(["unmasked"], [0.1])
    assert not [word for word in ("asked", "leaderboard", "stricter") if word in bare]
    assert known.startswith(bare) and every.startswith(bare)
    assert "stricter" not in explained(["known"], [1.0]) + every
