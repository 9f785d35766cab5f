"""How far apart two results of a cell are: hand-made files with known gaps."""

import io
import json
import math

import numpy as np
import pandas as pd
import pytest
import torch

from bench.run.compare import beginning, compare, unreadable
from bench.train.checkpoint import to_bytes


def parquet(**columns):
    buffer = io.BytesIO()
    pd.DataFrame(columns).to_parquet(buffer, index=False)
    return buffer.getvalue()


def csv(**columns):
    return pd.DataFrame(columns).to_csv(index=False).encode()


def npy(values):
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def js(content):
    return json.dumps(content).encode()


def gap(name, stored, again):
    (found,) = compare({name: stored}, {name: again})
    return found


def test_only_files_whose_bytes_differ_have_a_gap_and_provenance_none():
    stored = {"a.json": js({"x": 1}), "b.npy": npy(np.ones(2)), "provenance.json": b"1"}
    assert compare(stored, dict(stored) | {"provenance.json": b"2"}) == []
    names = [found.place for found in compare(stored, stored | {"a.json": js({"x": 2})})]
    assert names == ["a.json, x"]


def test_a_file_that_only_one_has_is_a_gap_that_nothing_allows():
    a, b = {"x.npy": b"1"}, {"y.npy": b"1"}
    found = [(one.place, one.size, one.text) for one in compare(a, b)]
    assert found == [("x.npy", math.inf, "is not made again"), ("y.npy", math.inf, "is new")]


def test_scores_may_be_a_thousandth_apart_however_small_they_are():
    stored = parquet(record=["a", "b"], score=np.array([1e-5, 0.5], np.float32))
    for apart, size in ((0.0005, 0.5), (0.002, 2.0)):
        again = parquet(record=["a", "b"], score=np.array([1e-5 + apart, 0.5], np.float32))
        found = gap("scores.parquet", stored, again)
        assert found.size == pytest.approx(size, rel=1e-3) and found.place == "scores.parquet, score"
        assert str(found) == f"scores.parquet, score: {apart:.2g} apart, 0.001 may be"


def test_embeddings_may_be_a_hundredth_of_their_largest_magnitude_apart():
    stored = np.array([[0.001, -4.0], [1.0, 2.0]], np.float32)
    for apart, size in ((0.02, 0.5), (0.08, 2.0)):
        again = stored.copy()
        again[0, 0] += apart
        found = gap("embeddings.npy", npy(stored), npy(again))
        assert found.size == pytest.approx(size, rel=1e-5) and found.place == "embeddings.npy"
        assert found.text == f"{apart / 4:.2g} of the largest value apart, 0.01 may be"


def test_each_weight_has_its_own_scale_and_the_worst_is_named():
    stored = {"big": torch.tensor([100.0, 1.0]), "small": torch.tensor([0.1]), "steps": torch.tensor(3)}
    again = {**stored, "big": stored["big"] + 0.5, "small": stored["small"] + 0.002}
    found = gap("state.pt", to_bytes(stored), to_bytes(again))
    assert found.place == "state.pt, small" and found.size == pytest.approx(2.0, rel=1e-3)
    found = gap("state.pt", to_bytes(stored), to_bytes({**stored, "big": stored["big"] + 0.5}))
    assert found.place == "state.pt, big" and found.size == pytest.approx(0.5, rel=1e-3)
    found = gap("state.pt", to_bytes(stored), to_bytes({**stored, "steps": torch.tensor(4)}))
    assert str(found) == "state.pt, steps: 4 in place of 3" and found.size == math.inf


def test_half_precision_weights_are_compared_as_numbers():
    stored = {"w": torch.tensor([1.0, 2.0], dtype=torch.bfloat16)}
    again = {"w": torch.tensor([1.0, 2.015625], dtype=torch.bfloat16)}
    assert gap("state.pt", to_bytes(stored), to_bytes(again)).size == pytest.approx(0.78125)
    other = {"w": torch.tensor([1.0, 2.0])}
    assert gap("state.pt", to_bytes(stored), to_bytes(other)).size == math.inf


def test_another_shape_name_or_order_is_no_matter_of_tolerance():
    one, two = {"a": torch.zeros(2), "b": torch.zeros(1)}, {"a": torch.zeros(3), "b": torch.zeros(1)}
    assert str(gap("state.pt", to_bytes(one), to_bytes(two))) == (
        "state.pt, a: torch.float32 (3,) in place of torch.float32 (2,)"
    )
    missing = gap("state.pt", to_bytes(one), to_bytes({"a": torch.zeros(2)}))
    assert (missing.size, missing.text) == (math.inf, "only one of the two has b")
    turned = gap("state.pt", to_bytes(one), to_bytes(dict(reversed(one.items()))))
    assert (turned.size, turned.text) == (math.inf, "other order")


def test_fractions_in_json_are_compared_one_by_one_and_whole_numbers_exactly():
    stored = {"C": [1e-4, 10.0], "steps": 80, "label": "a", "none": None}
    assert gap("predict.json", js(stored), js(stored | {"C": [1.005e-4, 10.0]})).size == pytest.approx(0.5)
    assert gap("predict.json", js(stored), js(stored | {"C": [1e-3, 10.0]})).size == pytest.approx(900)
    for change in ({"steps": 81}, {"label": "b"}, {"none": 1}, {"C": [1e-4]}, {"steps": 80.0}):
        assert gap("predict.json", js(stored), js(stored | change)).size == math.inf, change
    assert gap("fit.json", js({"a": {"b": 1}}), js({"a": {"b": 2}})).place == "fit.json, a.b"


def test_the_same_values_in_other_bytes_are_no_distance():
    stored = js({"a": 1, "b": [1.5]})
    assert gap("predict.json", stored, stored.replace(b" ", b"")).size == 0
    table = pd.DataFrame({"x": [1.0, None]})
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False, compression="gzip")
    assert gap("scores.parquet", parquet(x=[1.0, None]), buffer.getvalue()).size == 0


def test_what_is_not_finite_must_be_so_in_both():
    stored = csv(loss=[1.0, np.nan, np.inf])
    assert gap("health.csv", stored, csv(loss=[1.005, np.nan, np.inf])).size == pytest.approx(0.5)
    for other in ([1.0, 2.0, np.inf], [1.0, np.nan, -np.inf], [1.0, np.inf, np.nan]):
        assert gap("health.csv", stored, csv(loss=other)).size == math.inf
    assert gap("embeddings.npy", npy(np.zeros(2)), npy(np.array([0, 1e-9]))).size == math.inf


def test_a_hundredth_of_the_groups_and_ranks_may_tip_but_no_record_of_the_scores():
    ids = np.arange(400, dtype=np.int32)
    for moved, size in ((2, 0.5), (8, 2.0)):
        again = ids.copy()
        again[:moved] += 1
        found = gap("assignments.parquet", parquet(id=ids), parquet(id=again))
        assert found.size == pytest.approx(size)
        assert found.text == f"{moved / 400:.2%} of the rows differ, 1% may"
        assert gap("scores.parquet", parquet(id=ids), parquet(id=again)).size == math.inf
    names = np.array([f"r{i}" for i in ids], dtype=object)
    swapped = names.copy()
    swapped[:2] = swapped[1::-1]
    assert gap("rankings.parquet", parquet(record=names), parquet(record=swapped)).size == pytest.approx(0.5)


def test_arrays_of_a_figure_are_compared_each():
    stored = {"points": np.ones((2, 2), np.float32), "codes": np.array([1, 2], np.int16)}
    found = gap("sample.npz", npz(**stored), npz(**stored | {"points": stored["points"] * 1.005}))
    assert found.place == "sample.npz, points" and found.size == pytest.approx(0.5, rel=1e-3)
    assert (
        gap("sample.npz", npz(**stored), npz(**stored | {"codes": np.array([1, 3], np.int16)})).size
        == math.inf
    )


def test_a_stored_text_cannot_command_a_terminal():
    here, there = js({}), js({" \x1b[2J\n": 1})
    found = str(gap("fit.json", there, here)) + str(gap("fit.json", js({"b": "\x1b" * 1000}), js({"b": ""})))
    assert found.isprintable() and len(found) < 250 and " ?[2J?" in found


def test_an_unknown_file_is_compared_by_its_bytes():
    assert gap("x.bin", b"1", b"2").size == math.inf


def test_the_first_file_that_cannot_be_read_is_named():
    good = {"cell.json": js({}), "embeddings.npy": npy(np.ones(2)), "health.csv": csv(a=[1])}
    assert unreadable(good) == ""
    assert unreadable(good | {"health.csv": b"\n"}) == "", "that of a fit without steps"
    for name in ("fit.json", "state.pt", "embeddings.npy", "scores.parquet", "sample.npz"):
        assert unreadable(good | {name: b"damaged"}) == name
    assert unreadable(good | {"fit.json": b"[1]"}) == "fit.json"
    pickled = io.BytesIO()
    np.save(pickled, np.array([object()]), allow_pickle=True)
    assert unreadable(good | {"embeddings.npy": pickled.getvalue()}) == "embeddings.npy"


def fit(weights=(1.0, 2.0), loss=(5.0, 4.0, 3.0), steps=80, selected=80, instances=7):
    told = {"steps": steps, "views": 2 * steps, "selected_step": selected, "instances": instances}
    state = {"w": torch.tensor(weights)}
    return {"state.pt": to_bytes(state), "health.csv": csv(loss=loss), "fit.json": js(told)}


def start_gap(again):
    stored = fit()
    return max((found.size for found in compare(stored, beginning(stored, again))), default=0.0)


def test_a_fit_that_drifted_began_alike():
    for drifted in (
        fit(weights=(-9.0, 30.0)),
        fit(loss=(5.0, 9.0, 0.1)),
        fit(selected=40),
        fit(loss=(5.0, 4.0), steps=60),
        fit(loss=(5.01, 9.0, 0.1), weights=(0.0, 0.0), steps=90, selected=30),
    ):
        assert max(found.size for found in compare(fit(), drifted)) > 1
        assert start_gap(drifted) <= 1


def test_a_fit_without_steps_has_no_health_to_compare():
    stored, again = ({**fit(weights=weights), "health.csv": b"\n"} for weights in ((1.0, 2.0), (1.0, 3.0)))
    assert compare(stored, beginning(stored, again)) == []
    assert gap("health.csv", b"\n", csv(loss=[1.0])).size == math.inf


def test_a_fit_that_began_otherwise_is_found():
    for other in (
        fit(loss=(5.1, 4.0, 3.0)),
        fit(weights=(1.0, 2.0, 3.0)),
        fit(instances=8),
        {**fit(), "health.csv": csv(loss=[5.0, 4.0, 3.0], spread=[1.0, 1.0, 1.0])},
        {**fit(), "state.pt": to_bytes({"v": torch.ones(2)})},
        {**fit(), "fit.json": js({"steps": 80, "views": 161, "selected_step": 80, "instances": 7})},
        {name: content for name, content in fit().items() if name != "health.csv"},
    ):
        assert start_gap(other) > 1
