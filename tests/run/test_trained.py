"""Trained encoders are found by a piece of their key, loaded strictly, and refused in one line."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from bench.data.leads import LEADS, lead_set
from bench.run.errors import UserError
from bench.run.execute import InlineExecutor, execute
from bench.run.registry import Registry, Source
from bench.run.store import Store
from bench.run.trained import (
    TRAINED_COLUMNS,
    find_fit,
    load_trained,
    prepared_corpora,
    trained_encoders,
)
from bench.train.checkpoint import from_bytes

NEEDY = """
from bench.train.strategy import Field, Strategy


class Needy(Strategy):
    name, title = "needy", "Needy"
    trained = False
    needs_at_test = frozenset({Field.DEMOGRAPHICS, Field.DATABASE})


class Bare(Strategy):
    name, title = "bare", "Bare"
    trained, uses_encoder = False, False
"""

GLOBAL = {"rate": 50, "window": 100, "stride": 50, "scaling": "zscore-global", "aggregation": "none"}


@pytest.fixture(scope="module")
def made(tiny, tmp_path_factory):
    """A store with two seeds of one strategy and one of another; the corpora; the strategy file's text."""
    folder = tmp_path_factory.mktemp("trained")
    plan = tiny.plan(input=GLOBAL, entries=["noise", "untrained"], label_fractions=[1.0])
    store = Store(folder / "store")
    execute(plan, store, InlineExecutor)
    fits = [key for key, job in plan.jobs.items() if job.cell.stage == "fit"]
    assert len(fits) == 4
    sources = {name: Source(tiny.file.name, tiny.file.read_text()) for name in ("noise", "untrained")}
    sources = {name: plan.jobs[fits[0]].sources.get(name, sources[name]) for name in sources}
    return store, plan, fits, sources


@pytest.fixture
def corpora(tiny):
    return prepared_corpora(tiny.corpus.folder.parent)


def copied(target, store, key, new_key, **changes):
    """A fit of one store in another, under another key, its description changed."""
    described = store.read_json(key, "cell.json") | changes
    target.commit(new_key, dict(store.load(key)) | {"cell.json": json.dumps(described).encode()})
    return new_key


def test_prepared_corpora_are_known_by_their_fingerprint(tiny, tmp_path, corpora):
    assert list(corpora) == [tiny.corpus.fingerprint]
    assert corpora[tiny.corpus.fingerprint].name == "tiny-sim"
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "corpus.json").write_text("{")
    assert prepared_corpora(tmp_path) == {} and prepared_corpora(tmp_path / "nowhere") == {}


def test_a_fit_is_found_by_the_beginning_of_its_key(made):
    store, _, fits, _ = made
    for key in fits:
        assert find_fit(store, key[:6]) == find_fit(store, key[:20]) == find_fit(store, key) == key
    with pytest.raises(UserError, match="key '01234' is too short; give 6 characters"):
        find_fit(store, "01234")
    with pytest.raises(UserError, match=r"none of the 4 fits in .*store begins with '012345'"):
        find_fit(store, "012345")


def test_a_cell_of_another_stage_leads_to_its_fit(made):
    store, plan, _, _ = made
    embed, cell = next((k, job.cell) for k, job in plan.jobs.items() if job.cell.stage == "embed")
    with pytest.raises(
        UserError, match=f"is no fit but of stage 'embed'; it rests on {cell.parents['fit'][:12]}"
    ):
        find_fit(store, embed[:10])


def test_a_strategy_with_one_fit_is_found_by_name(made, corpora, tmp_path):
    store, plan, fits, _ = made
    alone = Store(tmp_path / "alone")
    alone.commit(fits[0], store.load(fits[0]))
    name, corpus = plan.jobs[fits[0]].cell.strategy.name, plan.jobs[fits[0]].cell.corpus
    for text in (name, f"{name}@tiny-sim", f"{name}@{corpus[:7]}"):
        assert find_fit(alone, text, corpora) == fits[0]
    for text in (f"{name}@other-sim", "byol", "byol@tiny-sim"):
        with pytest.raises(UserError, match=f"none of the 1 fits .* is of '{text}'"):
            find_fit(alone, text, corpora)
    with pytest.raises(UserError, match="none of the 1 fits"):
        find_fit(alone, f"{name}@tiny-sim")  # no corpus is known by name


def test_a_strategy_may_be_called_like_a_key(made, tmp_path):
    store, _, fits, _ = made
    named = Store(tmp_path)
    strategy = store.read_json(fits[0], "cell.json")["strategy"]
    for place, name in enumerate(("dec", "facade")):
        key = copied(named, store, fits[0], str(place) * 64, strategy=strategy | {"name": name})
        assert find_fit(named, name) == key


def test_of_several_fits_five_are_told_apart(made, corpora, tmp_path):
    store, _, fits, _ = made
    many, keys = Store(tmp_path), [f"abcdef{place}" + "0" * 57 for place in range(7)]
    for seed, key in enumerate(keys):
        copied(many, store, fits[0], key, seed_index=seed, lead_set="lead-II")
    name = store.read_json(fits[0], "cell.json")["strategy"]["name"]
    steps = store.read_json(fits[0], "cell.json")["budget"]["steps"]
    with pytest.raises(UserError) as error:
        find_fit(many, "abcdef", corpora)
    shown = "; ".join(
        f"{key[:12]} ({name}, corpus tiny-sim, lead-II, {steps} steps, seed {seed})"
        for seed, key in enumerate(keys[:5])
    )
    assert str(error.value) == f"7 fits are called 'abcdef', give more of one key: {shown}; and 2 more"
    assert find_fit(many, "abcdef6") == keys[6]


def test_a_fit_without_its_weights_is_told(made, tmp_path):
    store, _, fits, _ = made
    noted = Store(tmp_path)
    noted.note(fits[0], {"cell.json": store.read(fits[0], "cell.json")})
    with pytest.raises(UserError, match=f"{fits[0][:12]} was brought here without its weights"):
        find_fit(noted, fits[0][:8])


def test_the_list_says_what_tells_fits_apart(made, corpora):
    store, plan, fits, _ = made
    rows = trained_encoders(store, corpora)
    assert sorted(row[0] for row in rows) == sorted(key[:12] for key in fits)
    assert [row[1] for row in rows] == ["noise", "noise", "untrained", "untrained"]
    steps = {"noise": "2", "untrained": "0"}
    for row in rows:
        known = dict(zip(TRAINED_COLUMNS, row, strict=True))
        key = find_fit(store, known["key"])
        assert known == {
            "key": key[:12],
            "strategy": plan.jobs[key].cell.strategy.name,
            "encoder": "resnet1d18",
            "corpus": "tiny-sim",
            "lead set": "challenge-2",
            "Hz": "50",
            "steps": steps[known["strategy"]],
            "finished": store.read_json(key, "provenance.json")["finished"],
        }
    assert trained_encoders(store)[0][3] == next(iter(corpora))[:8]


def test_a_loaded_encoder_is_the_stored_one(made, corpora):
    store, plan, fits, sources = made
    key = next(k for k in fits if plan.jobs[k].cell.strategy.name == "noise")
    trained = load_trained(store, key, sources, corpora)
    stored = from_bytes(store.read(key, "state.pt"))
    mine = trained.strategy.state_dict()
    assert set(mine) == set(stored) and all(torch.equal(mine[name], stored[name]) for name in stored)
    assert not any(module.training for module in trained.strategy.modules())
    assert trained.leads == ("I", "II") and trained.cell == plan.jobs[key].cell
    spec = trained.spec
    assert (spec.window, spec.stride, spec.rate, spec.aggregation) == (100, 50, 50, "mean")


def test_the_description_is_json_and_complete(made, corpora, tiny):
    store, _, fits, sources = made
    trained = load_trained(store, fits[0], sources, corpora)
    about = json.loads(json.dumps(trained.describe()))
    assert about["key"] == fits[0] and about["leads"] == ["I", "II"] and about["units"] == "millivolts"
    assert (about["rate_hz"], about["band_hz"], about["window_samples"]) == (50, None, 100)
    assert about["conditioning"] == "resample to 50 Hz (polyphase); no filter"
    assert about["input"]["scaling"] == "zscore-global"
    assert about["global_scaling_mv"] == list(trained.global_scaling)
    (corpus,) = about["training_corpora"]
    assert corpus["fingerprint"] == tiny.corpus.fingerprint and corpus["simulated"] is True
    assert corpus["name"] == "tiny-sim" and "licence" in corpus and "citation" in corpus
    assert about["written_with"]["packages"]["torch"] == torch.__version__
    assert about["trained_with"]["finished"] == store.read_json(fits[0], "provenance.json")["finished"]
    spec = trained.cell.input.model_copy(update={"band": (0.5, 20.0), "scaling": "none"})
    filtered = replace(trained, cell=trained.cell.model_copy(update={"input": spec}))
    expected = "resample to 50 Hz (polyphase); Butterworth band-pass of order 3, 0.5 to 20 Hz, forwards and backwards"
    assert filtered.describe()["conditioning"] == expected and filtered.describe()["band_hz"] == [0.5, 20.0]


def test_the_corpora_of_what_it_starts_from_are_named(made, corpora, tiny, tmp_path):
    store, _, fits, sources = made
    own = store.read_json(fits[0], "fit.json")
    parent = own | {"cell": own["cell"] | {"corpus": "f" * 64}}
    described = own | {"parents": {"init": parent | {"parents": {"init": own}}}}
    started = Store(tmp_path)
    started.commit(fits[0], dict(store.load(fits[0])) | {"fit.json": json.dumps(described).encode()})
    facts = load_trained(started, fits[0], sources, corpora).corpora
    assert [fact["fingerprint"] for fact in facts] == [tiny.corpus.fingerprint, "f" * 64]
    assert facts[0]["name"] == "tiny-sim" and set(facts[1]) == {"fingerprint"}


def test_global_scaling_is_that_of_the_training_part(made, corpora, tiny):
    store, plan, fits, sources = made
    rows = plan.jobs[fits[0]].rows.train
    leads = lead_set("challenge-2")
    assert 0 < len(rows) < len(tiny.corpus.records)
    pieces = []
    for row in rows:
        place = int(tiny.corpus.records["offset"][row])
        pieces.append(tiny.corpus.signals[place : place + 200, leads].astype(float).ravel() / 1000)
    values = np.concatenate(pieces)
    shift, width = load_trained(store, fits[0], sources).global_scaling
    assert shift == pytest.approx(values.mean(), abs=1e-6) and width == pytest.approx(values.std(), rel=1e-5)


def test_other_code_is_refused(made, corpora, tiny):
    store, plan, fits, _ = made
    key = next(k for k in fits if plan.jobs[k].cell.strategy.name == "noise")
    edited = Source("extra.py", tiny.file.read_text().replace("0.1 * torch", "0.2 * torch"))
    assert edited.text != tiny.file.read_text()
    with pytest.raises(UserError, match=r"^\w{12} \(noise\) cannot be loaded: the code here is not the code"):
        load_trained(store, key, {"noise": edited}, corpora)
    with pytest.raises(UserError, match=r"\(noise\) cannot be loaded: no strategy 'noise'; there are"):
        load_trained(store, key, {}, corpora)
    with pytest.raises(UserError, match=r"\(noise\) cannot be loaded"):
        load_trained(store, key, {"noise": Source("other.py", NEEDY)}, corpora)


def test_weights_are_loaded_strictly(made, corpora, tmp_path):
    store, _, fits, sources = made
    torn = Store(tmp_path)
    state = from_bytes(store.read(fits[0], "state.pt"))
    state.pop(next(iter(state)))
    path = tmp_path / "state.pt"
    torch.save(state, path)
    torn.commit(fits[0], dict(store.load(fits[0])) | {"state.pt": path.read_bytes()})
    with pytest.raises(UserError, match="cannot be loaded: Error"):
        load_trained(torn, fits[0], sources, corpora)


def test_what_a_signal_does_not_bring_is_refused(tiny, tmp_path):
    file = tmp_path / "needy.py"
    file.write_text(NEEDY)
    plan = tiny.plan(Registry((file,)), entries=["needy", "bare"], seeds=1, label_fractions=[1.0])
    store = tiny.store(tmp_path)
    execute(plan, store, InlineExecutor)
    fits = {job.cell.strategy.name: (k, job) for k, job in plan.jobs.items() if job.cell.stage == "fit"}
    key, job = fits["needy"]
    with pytest.raises(
        UserError, match=r"\(needy\) reads database and demographics of the record beside its signal"
    ):
        load_trained(store, key, job.sources)
    key, job = fits["bare"]
    with pytest.raises(UserError, match=r"\(bare\) is a control without an encoder"):
        load_trained(store, key, job.sources)


def test_leads_are_those_of_the_lead_set_in_its_order(made, corpora):
    store, _, fits, sources = made
    trained = load_trained(store, fits[0], sources, corpora)
    four = replace(trained, cell=trained.cell.model_copy(update={"lead_set": "clocs-4"}))
    assert four.leads == ("II", "V2", "aVL", "aVR")
    assert replace(trained, cell=trained.cell.model_copy(update={"lead_set": "all-12"})).leads == LEADS
