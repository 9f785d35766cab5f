"""The traps of the published code of CLOCS and of its siblings (G1-G18).

Where a trap's test stands elsewhere, it is named here.

 1  The loss of each pair of views is overwritten by the next:
    nn/test_clocs.py::test_the_gradient_reaches_all_views_and_as_published_the_last_two
    strategies/test_clocs_lead.py::test_the_gradient_of_clocs_reaches_every_lead_and_as_published_the_last_two
    strategies/test_clocs_time_lead.py::test_the_gradient_reaches_every_view_and_as_published_the_last_lead_alone
 2  Half of the pairs of one patient's instances are left out in each direction:
    nn/test_clocs.py::test_the_loss_equals_explicit_loops
    nn/test_clocs.py::test_the_order_of_instances_does_not_matter_but_to_the_published_halves
 3  A frozen encoder drops units and adapts its batch norm: here, and
    strategies/test_finetune.py::test_frozen_means_frozen_in_linear_evaluation
    strategies/test_finetune.py::test_frozen_as_published_drifts
 4  Which corpora are scaled hangs on how their name is passed on: here, and
    train/test_inputs.py::test_each_lead_of_each_view_may_be_scaled_by_itself
 5  Trained at 500 Hz, evaluated at 250 Hz: here, and
    strategies/test_clocs_time.py::test_segments_of_clocs_are_as_long_as_what_is_evaluated
 6  Seeds name folders and seed nothing: here, and
    train/test_fit.py::test_same_seed_same_bits_and_other_seed_other_bits
 7  Shares of a split that are not those stated: here.
 8  A split by the order of a set, or of files in a folder: here, and
    data/test_splits.py::test_the_order_of_rows_changes_no_split
    run/test_fractions.py::test_which_frames_are_drawn_does_not_hang_on_the_order_of_the_records
 9  The first sample of a record taken for the titles of its leads:
    data/test_chapman.py::test_both_forms
10  All leads of a record in one row where each should have its own:
    train/test_inputs.py::test_lead_instances_are_one_lead_each_scaled_by_their_own_statistics
11  A batch of one, and patients told apart by their spelling: here, and
    nn/test_clocs.py::test_a_batch_of_one_costs_nothing
    nn/test_clocs.py::test_unknown_patients_are_nobodys_and_large_ids_are_told_apart
12  The mean over no pair at all:
    nn/test_clocs.py::test_equal_embeddings_cost_ln_b_a_term
13  A loss that selects, of other batches at every time: here.
14  The area under the curve of logits, column by column: here.
15  A label that is carried over from the frame before; that corpus is not read, and labels are of records: here (14).
16  Leads in the order of the file, under the names of the order asked for: here, and
    data/test_leads.py::test_a_lead_set_gives_the_positions_of_its_leads
    data/test_wfdb_record.py::test_any_lead_order_and_spelling_is_mapped
17  A ReLU behind the embedding that is in the paper and not in the code:
    nn/encoders/test_net_s.py::test_equals_the_network_written_out_forward_and_backward
18  Fold 8 of PTB-XL lost:
    data/test_ptbxl.py::test_records_by_hand
    data/test_label_subsets.py::test_ptbxl_s_folds_give_the_published_sizes
"""

import io
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from bench.data.leads import LEADS
from bench.data.prepare import prepare
from bench.data.ptbxl import PtbxlReader
from bench.data.splits import SplitSpec, label_subset, make_split
from bench.evaluate.embed import corpus_signals, embed_corpus
from bench.evaluate.result import Result, targets_and_scores
from bench.nn.encoders.net_s import NetS
from bench.report.views import MetricViews
from bench.run.suite import load_suite
from bench.run.work import restore
from bench.train.fit import state_hash
from tests.corpora import tiny_corpus
from tests.traps import (
    CPU,
    assert_complete,
    fit_of,
    one,
    pick,
    plan_of,
    run,
    simulated_ptbxl,
    told_under_two_hash_seeds,
)
from tests.traps.sines import FOUR, RATE, RECORDS, WINDOW, frame_of, frequencies, signal_of, sines


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A corpus of volts and one of microvolts, of other frequencies; and plans of the suite on both."""
    folder = tmp_path_factory.mktemp("clocs")
    loud, quiet = sines(folder, "loud-sim", 3.0, 2.0), sines(folder, "quiet-sim", 3.02, 0.1)

    def plan(*labels, **changes):
        entries = [entry for entry in load_suite("clocs", "smoke").entries if entry.label in labels]
        uses = [
            {"corpus": "loud-sim", "task": "side", "sources": ["quiet-sim"]},
            {"corpus": "quiet-sim", "task": "side", "sources": ["loud-sim"]},
        ]
        spec = {"rate": RATE, "window": WINDOW, "stride": 2 * WINDOW, "instance": "lead"}
        given = {
            "entries": [entry.model_dump() for entry in entries],
            "corpora": uses,
            "input": {**spec, "scaling": "minmax-view", "aggregation": "none"},
            "encoder": {"name": "net_s", "arguments": {"samples": WINDOW, "dim": 8}},
            "budget": {"steps": 3, "batch": 8},
        }
        return plan_of("clocs", "smoke", loud, quiet, **given | changes)

    return SimpleNamespace(loud=loud, quiet=quiet, plan=plan)


@pytest.fixture(scope="module")
def ran(two, tmp_path_factory):
    """Some of the suite, executed, and every signal that any encoder met, once, (N, T), in training or not."""
    plan = two.plan("cmsc", "cmlc", "cmsmlc", "cmsc_finetuned", "supervised")
    met, forward = {True: [], False: []}, NetS.forward

    def watched(self, signal):
        met[self.training].append(signal.detach()[:, 0])
        return forward(self, signal)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NetS, "forward", watched)
        store = run(plan, tmp_path_factory.mktemp("ran"), "cmsc", "cmsmlc", "cmsc_finetuned", "supervised")
    seen = {training: torch.cat(signals).unique(dim=0) for training, signals in met.items()}
    return plan, store, {training: rows[rows.any(1)] for training, rows in seen.items()}


def test_g03_a_frozen_encoder_drops_nothing_and_keeps_its_statistics(two, ran):
    """The published linear evaluation freezes weights and leaves the network in training mode."""
    plan, store, _ = ran
    row = one(plan, label="cmsc", corpus="loud-sim", source="")
    (key,) = plan.jobs[row.key].cell.parents.values()
    job = plan.jobs[key]
    strategy = restore(store.load(row.fit_key), plan.jobs[row.fit_key].sources, CPU)
    before = state_hash(strategy)
    signals = corpus_signals(two.loud, job.cell.input, row.lead_set, job.rows.train, CPU)
    found = embed_corpus(strategy.train(), two.loud, job.cell.input, signals)
    np.testing.assert_array_equal(found, np.load(io.BytesIO(store.read(key, "embeddings.npy"))))
    assert state_hash(strategy) == before
    frames = torch.cat([frame_of(two.loud, r, x) for r in two.loud.records["record"] for x in FOUR])
    with torch.no_grad():
        np.testing.assert_allclose(found, strategy.encoder.eval()(frames), atol=1e-4)
        assert np.abs(found - strategy.encoder.train()(frames).numpy()).max() > 1e-2


def test_g03_what_moves_while_it_embeds_is_refused(two, ran):
    """Nothing in the published code notices that the frozen network drifts."""
    plan, store, _ = ran
    row = one(plan, label="cmsc", corpus="loud-sim", source="")
    strategy = restore(store.load(row.fit_key), plan.jobs[row.fit_key].sources, CPU)
    strategy.embed = lambda batch: strategy.encoder.train()(batch.signal)
    spec = plan.jobs[row.key].cell.input
    signals = corpus_signals(two.loud, spec, row.lead_set, np.arange(RECORDS), CPU)
    with pytest.raises(RuntimeError, match="changed its own weights or buffers while it embedded"):
        embed_corpus(strategy, two.loud, spec, signals)


@pytest.mark.parametrize("training", [True, False])
def test_g04_every_encoder_sees_every_corpus_scaled(two, ran, training):
    """The published code scales by the corpus's name, which fine-tuning passes on in a list."""
    _, _, seen = ran
    ranges = [np.ptp(signal_of(corpus, 0), axis=1).max() for corpus in (two.loud, two.quiet)]
    assert ranges == pytest.approx([4.0, 0.2], rel=0.02)
    assert float(seen[training].amin(1).abs().max()) == 0
    assert float((seen[training].amax(1) - 1).abs().max()) < 1e-6
    met = frequencies(seen[training])
    for first in (3.0, 3.02):
        assert (np.abs(met[:, None] - (first + 0.04 * np.arange(RECORDS))).min(1) < 0.005).any()


@pytest.mark.parametrize("training", [True, False])
def test_g05_what_is_trained_and_what_is_evaluated_run_at_one_pace(ran, training):
    """The published CMSC learns from 5 s in 2,500 samples and is judged on 10 s in 2,500 samples."""
    met = frequencies(ran[2][training])
    known = 3 + 0.02 * np.arange(2 * RECORDS)
    assert known.max() < 2 * known.min()
    assert np.abs(met[:, None] - known).min(1).max() < 0.009


@pytest.mark.parametrize("scale", ["smoke", "quick", "paper"])
def test_g05_every_corpus_of_the_suite_has_one_rate_and_one_length(scale):
    """In the published code a frame is 2,500 samples whatever the rate."""
    suite = load_suite("clocs", scale)
    specs = [suite.on(use).input for use in suite.corpora]
    assert len({(spec.rate, spec.window, spec.instance, spec.scaling) for spec in specs}) == 1


def test_g06_seeds_decide_weights_order_and_label_subset_and_nothing_else_does(two):
    """The published seed names a folder: nothing is seeded but the split and the label subset, always by 0."""
    plan = two.plan("cmsc", "supervised", seeds=2, label_fractions=[0.5])
    found = {}
    for label in ("cmsc", "supervised"):
        for index in (0, 1):
            row = one(plan, label=label, corpus="loud-sim", source="", seed_index=index)
            for noise in (7, 8):
                torch.manual_seed(noise)
                fit = fit_of(plan, row.fit_key)
                state = state_hash(fit.strategy.encoder)
                fit.run(until=1)
                now = (state, fit.permutation.tolist(), state_hash(fit.strategy))
                assert found.setdefault((label, index), now) == now
    for label in ("cmsc", "supervised"):
        assert all(a != b for a, b in zip(found[label, 0], found[label, 1], strict=True))
    assert found["cmsc", 0][0] == found["supervised", 0][0]
    rows = [plan.jobs[row.key].rows for row in pick(plan, label="supervised", corpus="loud-sim")]
    labelled = [tuple(each.labelled) for each in rows]
    assert len(rows) == len(set(labelled)) == 2
    for part in ("train", "val", "test"):
        np.testing.assert_array_equal(getattr(rows[0], part), getattr(rows[1], part))


def test_g07_parts_have_the_shares_that_the_rows_state(tmp_path):
    """The paper says 60/20/20 and its code makes 64/16/20."""
    corpus, stated = tiny_corpus(tmp_path / "tiny", records=240), set()
    settings = {
        "entries": ["supervised"],
        "input": {"rate": RATE, "window": 100},
        "encoder": {"name": "resnet1d18", "arguments": {"width": 4, "dim": 8}},
    }
    uses = [use for use in load_suite("clocs", "paper").corpora if use.split.kind == "stratified"]
    for use in uses:
        own = {"corpus": "tiny-sim", "task": "rhythm", "split": use.split.model_dump()}
        plan = plan_of("clocs", "smoke", corpus, corpora=[own], **settings)
        row = one(plan)
        stated.add(row.split)
        shares = [float(share) / 100 for share in re.findall(r"\d+", row.split)[:3]]
        rows, patients = plan.jobs[row.key].rows, corpus.records["patient"].to_numpy()
        parts = [set(patients[part]) for part in (rows.train, rows.val, rows.test)]
        count = sum(map(len, parts))
        assert count == len(set(patients)) == len(set.union(*parts)) == 160
        assert [len(part) / count for part in parts] == pytest.approx(shares, abs=0.01)
    assert stated == {"stratified 60/20/20, seed 0", "stratified 64/16/20, seed 0"}


def test_g08_splits_hang_on_neither_hash_seed_nor_order_of_rows(tmp_path, tmp_path_factory):
    """The published split takes patients in the order of a set, records in that of the folder."""
    home = tmp_path_factory.getbasetemp() / "traps"
    home.mkdir(exist_ok=True)
    root, _ = simulated_ptbxl(home)
    told = told_under_two_hash_seeds(root, home)
    assert told[0]["splits"] == told[1]["splits"] and told[0]["subsets"] == told[1]["subsets"]
    turned = tmp_path / "ptbxl-sim"
    turned.mkdir()
    for path in root.iterdir():
        (turned / path.name).symlink_to(path)
    (turned / "ptbxl_database.csv").unlink()
    table = pd.read_csv(root / "ptbxl_database.csv", dtype=str, keep_default_na=False)
    table.sample(frac=1, random_state=1).to_csv(turned / "ptbxl_database.csv", index=False)
    corpus = prepare(PtbxlReader(), turned, tmp_path / "prepared", 100, workers=1)
    records, targets = corpus.records, corpus.targets("all")
    assert records["record"].tolist() != table["ecg_id"].tolist()
    for kind, (fingerprint, *parts), expected in zip(
        ("official", "stratified"), told[0]["splits"], told[0]["subsets"][::2], strict=True
    ):
        split = make_split(records, targets, SplitSpec(kind=kind))
        assert split.fingerprint == fingerprint
        for rows, ids in zip(split.parts.values(), parts, strict=True):
            assert set(records["record"].iloc[rows]) == set(ids)
        train = split.parts["train"]
        of = records.iloc[train]
        drawn = label_subset(train, of["patient"].to_numpy(), targets.loc[of["record"]], 0.3, 5)
        assert set(records["record"].iloc[drawn]) == set(expected)


@pytest.mark.parametrize("label", ["cmsc", "cmsmlc", "cmsc_finetuned"])
def test_g11_a_last_batch_of_one_is_not_trained_on_and_does_no_harm_in_validation(two, label):
    """The published head drops the axis of a batch of one."""
    sizes = {True: [], False: []}
    fit = fit_of_size(two, label, 1)
    loss = fit.loss

    def watched(data, batch, step, generator):
        made = loss(data, batch, step, generator)
        sizes[data is fit.data].append((len(batch.index), float(made.total.detach())))
        return made

    fit.loss = watched
    fit.run()
    assert {size for size, _ in sizes[True]} == {fit.batch} and len(fit.data) % fit.batch
    assert {size for size, _ in sizes[False]} == {fit.batch, 1}
    assert np.isfinite([value for _, value in sizes[False]]).all()
    if label != "cmsc_finetuned":
        assert {value for size, value in sizes[False] if size == 1} == {0}
        assert fit.data.fields.column("patient").dtype == torch.int64


def fit_of_size(two, label, left):
    """A fit whose batch leaves so many of the validation instances for the last one."""
    settings = {"corpora": [{"corpus": "loud-sim", "task": "side"}], "label_fractions": [1.0]}
    budget = {"steps": 4, "selection": "best_val_loss", "check_every": 2}
    entries = ["cmsc", label]
    probe = two.plan(*entries, budget={**budget, "batch": 8}, **settings)
    count = len(fit_of(probe, one(probe, label=label).fit_key).validation)
    plan = two.plan(*entries, budget={**budget, "batch": count - left}, **settings)
    return fit_of(plan, one(plan, label=label).fit_key)


@pytest.mark.parametrize("label", ["cmsc", "simclr"])
def test_g13_the_loss_that_selects_is_of_the_same_batches_at_every_time(two, label):
    """The published one shuffles, and how many of a batch are of one patient changes it."""
    fit, batches = fit_of_size(two, label, 5), []
    loss = fit.loss

    def watched(data, batch, step, generator):
        if data is fit.validation:
            state = generator.get_state()
            views = fit.strategy.views(batch, generator).signal
            generator.set_state(state)
            batches.append((batch.index, batch.signal, views))
        return loss(data, batch, step, generator)

    fit.loss = watched
    values = [fit.run(until=step).validation_loss() for step in (1, 3)]
    again = fit.validation_loss()
    assert values[0] != values[1] == again
    once, *others = batches[:2], batches[2:4], batches[-2:]
    for other in others:
        for ours, theirs in zip(once, other, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert label == "cmsc" or any(
        not torch.equal(signal, fit.validation.draw(index, None).signal) for index, signal, _ in once
    )


def test_g14_areas_are_those_of_probabilities(two, ran):
    """The published ones are of raw logits, which rank otherwise as soon as classes compete."""
    plan, store, _ = ran
    row = one(plan, label="supervised", corpus="quiet-sim")
    classifier = restore(store.load(row.fit_key), plan.jobs[row.fit_key].sources, CPU)
    table = Result.from_bytes("scores", store.read(row.key, "scores.parquet")).table.query("part == 'test'")
    targets, scores, _ = targets_and_scores(table)
    frames = torch.cat(
        [frame_of(two.quiet, *place) for place in zip(table["record"], table["lead"], strict=True)]
    )
    with torch.no_grad():
        logits = classifier.head(classifier.encoder(frames))
    np.testing.assert_allclose(scores, logits.softmax(1), atol=1e-4)
    areas = [
        np.mean([roc_auc_score(targets[:, k], values[:, k]) for k in range(2)])
        for values in (scores, logits.numpy())
    ]
    (found,) = (
        part["metrics"]["macro_auroc"]
        for part in MetricViews(store, resamples=20).metrics(row.key, row.kind)["parts"]
        if part["part"] == "test"
    )
    assert found == pytest.approx(areas[0]) and found != pytest.approx(areas[1], abs=1e-3)
    labels = two.quiet.targets("side").loc[table["record"]].to_numpy()
    np.testing.assert_array_equal(targets, labels)


def test_g16_leads_come_in_the_order_asked_for_and_under_their_own_names(two, ran):
    """The published selection keeps the file's order and names leads by the order asked for."""
    plan, store, _ = ran
    levels = torch.tensor([2.0 * LEADS.index(lead) for lead in FOUR])
    wide = fit_of(plan, one(plan, label="cmlc", corpus="loud-sim", source="").fit_key)
    shown = wide.data.draw(torch.arange(5), None).signal.mean(2)
    torch.testing.assert_close(shown, levels.expand(5, 4), atol=0.1, rtol=0)
    single = fit_of(plan, one(plan, label="cmsc", corpus="loud-sim", source="").fit_key)
    shown = single.data.draw(torch.arange(9), None).signal.mean((1, 2))
    torch.testing.assert_close(shown, levels[single.data.lead[:9]], atol=0.1, rtol=0)
    row = one(plan, label="supervised", corpus="loud-sim")
    classifier = restore(store.load(row.fit_key), plan.jobs[row.fit_key].sources, CPU)
    table = Result.from_bytes("scores", store.read(row.key, "scores.parquet")).table.query("part == 'test'")
    assert table["lead"].tolist()[:8] == [*FOUR, *FOUR]
    for place in table.iloc[:8].itertuples():
        with torch.no_grad():
            logits = classifier.head(classifier.encoder(frame_of(two.loud, place.record, place.lead)))
        assert table["score:right"][place.Index] == pytest.approx(float(logits.softmax(1)[0, 1]), abs=1e-4)


def test_every_trap_is_listed_and_every_test_that_the_list_names_is_there():
    assert_complete(__doc__, __file__, 18)
