"""Groups against explicit loops; what is judged is never fitted on; rankings by hand."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from bench.evaluate.group import (
    DEPTH,
    GroupingData,
    assignment_table,
    by_kmeans,
    by_means,
    by_own,
    describe_units,
    figure_sample,
    ranking_table,
    value_names,
)
from bench.evaluate.result import Result
from bench.train.budget import InputSpec
from bench.train.build import Rows, attribute_grid
from bench.train.prototypes import AttributeGrid, Prototypes
from tests.corpora import tiny_corpus

RECORDS = InputSpec(rate=50, window=80, stride=40)
WINDOWS = RECORDS.model_copy(update={"aggregation": "none"})
LEADS = WINDOWS.model_copy(update={"instance": "lead"})


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return tiny_corpus(tmp_path_factory.mktemp("group") / "tiny", records=60)


@pytest.fixture(scope="module")
def rows(corpus):
    part = corpus.records["part"].to_numpy()
    train, val, test = (np.flatnonzero(part == name) for name in ("train", "val", "test"))
    return Rows(train, train[::2], val, val, test)


@pytest.fixture(scope="module")
def grid(corpus, rows):
    return attribute_grid(corpus, "rhythm", rows.train)


def units(corpus, rows, grid, spec=RECORDS, leads="challenge-2"):
    return describe_units(corpus, "rhythm", rows, spec, leads, grid)


def embeddings(count, width=6, seed=0):
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


class Own(Prototypes):
    """Four points at the corners of a square, the first two standing for sets."""

    def __init__(self, width, stands=((0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0))):
        corners = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        self.points = F.pad(corners, (0, width - 2))
        self.stands = torch.tensor(stands)

    def prototypes(self):
        return self.points

    def attributes(self):
        return self.stands


def test_age_quartiles_are_those_of_the_training_part(corpus, rows, grid):
    ages = corpus.records["age"].to_numpy()[rows.train]
    assert grid.edges == tuple(np.percentile(ages, (25, 50, 75)))
    assert grid.counts == (2, 2, 4)


def test_grid_codes_by_hand():
    grid = AttributeGrid(classes=2, edges=(49, 62, 72))
    labels = torch.tensor([[1.0, 0], [0, 1], [1, 1], [0, 0], [0, 1]])
    sex = torch.tensor([0, 1, 0, 1, -1])
    age = torch.tensor([49.0, 49.5, 72.0, 73.0, float("nan")])
    codes = grid.codes(labels, sex, age)
    assert codes.tolist() == [[0, 0, 0], [1, 1, 1], [-1, 0, 2], [-1, 1, 3], [1, -1, -1]]
    assert grid.index(codes).tolist() == [0, 13, -1, -1, -1]
    assert grid.sets()[13].tolist() == [1, 1, 1]
    assert torch.equal(grid.index(grid.sets()), torch.arange(16))


def test_ages_that_coincide_or_are_unknown_make_fewer_bins(corpus, rows):
    records = corpus.records
    for ages, bins in ((50.0, 1), (np.nan, 1)):
        altered = records.assign(age=ages)
        stand_in = type("Stub", (), {"records": altered, "tasks": corpus.tasks})()
        grid = attribute_grid(stand_in, "rhythm", rows.train)
        assert grid.counts[2] == bins
        assert value_names(grid, ["a", "b"])["age"] == ["all"]


def test_names_of_age_bins():
    names = value_names(AttributeGrid(classes=2, edges=(49, 62.5, 72)), ["A", "B"])
    assert names == {
        "class": ["A", "B"],
        "sex": ["male", "female"],
        "age": ["<=49", "49-62.5", "62.5-72", ">72"],
    }
    whole = value_names(AttributeGrid(classes=2, edges=(49, 62, 72)), ["A", "B"])
    assert whole["age"] == ["<=49", "50-62", "63-72", ">72"]


def test_units_are_records_windows_or_leads_of_windows(corpus, rows, grid):
    whole, windows = units(corpus, rows, grid), units(corpus, rows, grid, WINDOWS)
    leads = units(corpus, rows, grid, LEADS)
    assert (len(whole.table), len(windows.table), len(leads.table)) == (60, 60 * 4, 60 * 4 * 2)
    assert windows.table["start"].tolist()[:5] == [0, 40, 80, 120, 0]
    assert leads.table["lead"].tolist()[:3] == ["I", "II", "I"]
    assert torch.equal(windows.codes, whole.codes.repeat_interleave(4, 0))
    inside = leads.table.loc[leads.fitted.numpy(), "record"]
    assert set(inside) == set(corpus.records["record"].to_numpy()[rows.train])
    assert int(leads.labelled.sum()) == len(rows.labelled) * 8


def test_records_outside_the_label_subset_have_no_class_but_judged_ones_have(corpus, rows, grid):
    made = units(corpus, rows, grid)
    hidden = np.setdiff1d(rows.train, rows.labelled)
    assert (made.codes[hidden, 0] == -1).all()
    assert (made.codes[np.r_[rows.labelled, rows.val, rows.test], 0] >= 0).all()
    assert set(made.table["part"].to_numpy()[hidden]) == {""}


def test_kmeans_is_fitted_on_the_training_part_alone(corpus, rows, grid):
    made, points = units(corpus, rows, grid), embeddings(60)
    first = by_kmeans(GroupingData(points, made, ("class", "age"), 0))
    moved = points.clone()
    moved[rows.test] += 1000.0
    second = by_kmeans(GroupingData(moved, made, ("class", "age"), 0))
    assert first.clusters == {"class": 2, "age": 4}
    for attribute in ("class", "age"):
        kept = np.r_[rows.train, rows.val]
        assert torch.equal(first.ids[attribute][kept], second.ids[attribute][kept])


def test_means_against_a_loop(corpus, rows, grid):
    made, points = units(corpus, rows, grid), embeddings(60)
    found = by_means(GroupingData(points, made, ("class", "sex", "age"), 0))
    unit = F.normalize(points, dim=1)
    index = grid.index(made.codes)
    for place in range(16):
        members = [i for i in rows.labelled if index[i] == place]
        if not members:
            assert found.queries[place].isnan().all()
            continue
        mean = F.normalize(unit[members].mean(0), dim=0)
        torch.testing.assert_close(found.queries[place], mean)
    defined = found.queries.isfinite().all(1)
    apart = torch.cdist(unit, found.queries[defined])
    assert torch.equal(found.ids["class"], defined.nonzero().flatten()[apart.argmin(1)])
    assert found.stands[found.ids["class"]].shape == (60, 3)


def test_own_groups_are_the_strategys(corpus, rows, grid):
    made, points = units(corpus, rows, grid), embeddings(60)
    found = by_own(GroupingData(points, made, ("class",), 0, Own(6)))
    expected = (points[:, 0] < 0) * 2 + (points[:, 1] < 0)
    assert torch.equal(found.ids["class"], expected.long())
    assert found.clusters == {"class": 4}
    assert found.queries.shape == (4, 6)
    bare = by_own(GroupingData(points, made, ("class",), 0, Own(6, ((0, -1, -1),) * 4)))
    assert bare.queries is None and bare.stands is not None
    with pytest.raises(TypeError, match="none of its own|no prototypes"):
        by_own(GroupingData(points, made, ("class",), 0))


def test_rankings_against_a_loop_and_one_a_patient(corpus, rows, grid):
    made = units(corpus, rows, grid, WINDOWS)
    points = embeddings(len(made.table))
    found = by_own(GroupingData(points, made, ("class",), 0, Own(6)))
    table = ranking_table(found, made, "test")
    Result("rankings", table)
    assert set(table["part"]) == {"test"}
    here = [i for i, part in enumerate(made.table["part"]) if part == "test"]
    for query in range(4):
        order = sorted(here, key=lambda i: float((points[i] - found.queries[query]).norm()))
        rows_ = table[(table["query"] == query) & ~table["deduplicated"]]
        assert rows_["rank"].tolist() == list(range(1, DEPTH + 1))
        expected = made.table.iloc[order[:DEPTH]]
        assert rows_["record"].tolist() == expected["record"].tolist()
        assert rows_["start"].tolist() == expected["start"].tolist()
        single = table[(table["query"] == query) & table["deduplicated"]]
        seen = list(dict.fromkeys(made.table["patient"].iloc[order]))[:DEPTH]
        assert single["patient"].tolist() == seen
        assert (np.diff(single["distance"]) >= 0).all()


def test_a_set_without_a_point_is_not_asked(corpus, rows, grid):
    made, points = units(corpus, rows, grid), embeddings(60)
    found = by_means(GroupingData(points, made, ("class",), 0))
    table = ranking_table(found, made, "val")
    asked = found.queries.isfinite().all(1).nonzero().flatten().tolist()
    assert sorted(set(table["query"])) == asked
    assert len(asked) < 16


def test_embeddings_that_are_all_equal_are_grouped_and_ranked_all_the_same(corpus, rows, grid):
    made, points = units(corpus, rows, grid), torch.ones(60, 6)
    assert len(by_kmeans(GroupingData(points, made, ("age",), 0)).ids["age"].unique()) == 1
    found = by_means(GroupingData(torch.zeros(60, 6), made, ("class",), 0))
    assert len(found.ids["class"].unique()) == 1
    first = ranking_table(found, made, "val").query("rank == 1 and not deduplicated")
    assert first["record"].nunique() == 1


def test_tables_and_samples_hold_what_they_say(corpus, rows, grid):
    made, points = units(corpus, rows, grid), embeddings(60)
    found = by_means(GroupingData(points, made, ("class", "sex"), 0))
    table = assignment_table(found, made)
    assert set(table["part"]) == {"train", "val", "test"}
    assert len(table) == len(rows.labelled) + len(rows.val) + len(rows.test)
    assert [c for c in table if c.startswith("id:")] == ["id:class", "id:sex"]
    sample = figure_sample(found, made, 0)
    assert sample["points"].shape == (len(rows.val), 6)
    np.testing.assert_array_equal(sample["codes"], made.codes[np.sort(rows.val)].numpy())


def test_distances_that_are_no_numbers_end_the_ranking_of_patients():
    """An encoder that diverged must not hang the worker."""
    from bench.evaluate.group import _one_a_patient

    distance = torch.tensor([float("nan"), 1.0, 2.0])
    assert len(_one_a_patient(distance, np.array([0, 1, 2]))) <= 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"assign": lambda self, embedding: torch.full((len(embedding),), 9)}, "`assign` gives group 9"),
        ({"assign": lambda self, embedding: torch.zeros(len(embedding))}, "float32; it must give one int64"),
        ({"attributes": lambda self: torch.zeros(2, 3, dtype=torch.int64)}, r"`attributes` are \(2, 3\)"),
        ({"attributes": lambda self: torch.full((4, 3), 5)}, r"`attributes` are \(4, 3\)"),
    ],
)
def test_own_groups_that_are_not_what_they_say_fail_in_one_line(corpus, rows, grid, change, message):
    made = units(corpus, rows, grid)
    liar = type("Liar", (Own,), change)(6)
    with pytest.raises(ValueError, match=message):
        by_own(GroupingData(embeddings(60), made, ("class",), 0, liar))
