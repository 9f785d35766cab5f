"""An adapter's network sees the leads, rate and length it wants, and only the weights that were announced."""

import hashlib
import math
import pickle

import numpy as np
import pytest
import torch
from scipy.signal import resample_poly
from torch import nn

from bench.data.leads import LEADS
from bench.train.budget import InputSpec
from bench.train.description import Info
from bench.train.external import (
    CheckpointError,
    ExternalEncoder,
    FromCheckpoint,
    fit_length,
    load_strictly,
    read_checkpoint,
    resample,
)

SPEC = InputSpec(rate=100, window=500, stride=250, scaling="zscore-lead")


def adapter(**attributes):
    """A complete adapter, with some attributes replaced."""
    complete = {"checkpoint": "w.pt", "sha256": "0" * 64, "trained_on": ("mimic-iv-ecg",), "rate": 100}
    return type("Adapter", (FromCheckpoint,), complete | attributes)


def info(names=LEADS, **more):
    facts = {"leads": len(names), "samples": 200, "rate": 100, "instances": 1, "drawn": (len(names), 200)}
    return Info(**facts | {"lead_names": names} | more)


@pytest.mark.parametrize(("rate", "wanted"), [(100, 500), (500, 100), (100, 250), (500, 257), (360, 250)])
def test_resampling_is_that_of_the_preparation(rate, wanted):
    signal = np.random.default_rng(0).normal(0, 1, (2, 3, 1000)).cumsum(axis=-1) / 30
    ratio = math.gcd(rate, wanted)
    ours = resample(torch.tensor(signal, dtype=torch.float32), rate, wanted).numpy()
    theirs = resample_poly(signal, wanted // ratio, rate // ratio, axis=-1, padtype="line")
    assert ours.shape == theirs.shape == (2, 3, math.ceil(1000 * wanted / rate))
    np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_a_slow_wave_comes_through_in_place_and_a_fast_one_does_not_alias():
    time, later = torch.arange(1000) / 500, torch.arange(200) / 100
    slow, fast = (torch.sin(2 * torch.pi * f * time)[None, None] for f in (5, 90))
    inside = slice(20, -20)
    expected = torch.sin(2 * torch.pi * 5 * later)
    assert (resample(slow, 500, 100)[0, 0] - expected)[inside].abs().max() < 5e-3
    assert resample(fast, 500, 100)[0, 0][inside].abs().max() < 0.01
    assert (resample(slow, 500, 100) - slow[..., ::5])[..., inside].abs().max() < 5e-3


def test_a_line_stays_a_line_and_one_rate_changes_nothing():
    line = (3 - 0.01 * torch.arange(301.0)).expand(1, 2, 301)
    found = resample(line, 100, 250)
    assert torch.allclose(found[0, 1], 3 - 0.004 * torch.arange(found.shape[-1]), atol=2e-3)
    assert resample(line, 250, 250) is line


def test_lengths_are_cut_or_filled_up_behind():
    signal = torch.arange(1.0, 6.0).expand(1, 1, 5)
    assert fit_length(signal, 3).tolist() == [[[1, 2, 3]]]
    assert fit_length(signal, 7).tolist() == [[[1, 2, 3, 4, 5, 0, 0]]]


class Sums(nn.Module):
    """Returns what it is shown, lead by lead, summed over time."""

    def __init__(self):
        super().__init__()
        self.seen = ()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, signal):
        self.seen = tuple(signal.shape)
        return signal.sum(-1)


def test_the_network_sees_its_leads_by_name_at_its_rate_and_length():
    names = ("II", "V2", "aVL", "aVR")
    kind, network = adapter(leads=("aVR", "II"), rate=200, samples=350), Sums()
    encoder = ExternalEncoder(kind, network, info(names)).eval()
    signal = torch.zeros(3, 4, 200)
    signal[:, 0], signal[:, 3] = 2.0, -5.0
    torch.testing.assert_close(
        encoder(signal), torch.tensor([[-5.0 * 350, 2.0 * 350]] * 3), rtol=1e-6, atol=0
    )
    assert network.seen == (3, 2, 350) and (encoder.leads, encoder.dim) == (4, 2)
    assert [len(group) for group in encoder.groups()] == [1] and encoder.training is False


def test_features_that_are_not_pooled_are_refused():
    with pytest.raises(CheckpointError, match=r"`features` gives \(2, 12, 200\) for 2 records; pool it"):
        ExternalEncoder(adapter(), nn.Identity(), info())
    pooled = adapter(features=classmethod(lambda cls, network, signal: network(signal).mean(-1)))
    assert ExternalEncoder(pooled, nn.Identity(), info()).dim == 12


def saved(folder, content):
    path = folder / "w.pt"
    torch.save(content, path)
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_checkpoint_is_the_file_that_was_announced(tmp_path):
    path, digest = saved(tmp_path, {"weight": torch.arange(3.0)})
    assert read_checkpoint(path, digest)["weight"].tolist() == [0, 1, 2]
    with pytest.raises(CheckpointError, match=f"w.pt has the SHA-256 {digest}, not the adapter's"):
        read_checkpoint(path, "0" * 64)
    with pytest.raises(
        CheckpointError, match=r"gone.pt: No such file .*; it must lie there on every machine"
    ):
        read_checkpoint(tmp_path / "gone.pt", digest)


class Planted:
    """What a pickle could do when it is loaded."""

    def __reduce__(self):
        return print, ("loaded",)


def test_nothing_but_tensors_is_unpickled(tmp_path, capsys):
    for content in (nn.Linear(2, 2), {"weight": torch.ones(1), "more": Planted()}):
        with pytest.raises(CheckpointError, match="w.pt is no file of tensors and plain values"):
            read_checkpoint(*saved(tmp_path, content))
    path = tmp_path / "w.pt"
    path.write_bytes(pickle.dumps(Planted(), protocol=2))
    with pytest.raises(CheckpointError, match="is no file of tensors"):
        read_checkpoint(path, hashlib.sha256(path.read_bytes()).hexdigest())
    assert capsys.readouterr().out == ""
    with pytest.raises(CheckpointError, match="holds a Tensor, not a state by name"):
        read_checkpoint(*saved(tmp_path, torch.ones(2)))


def test_weights_fit_or_nothing_is_loaded():
    network = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    state = {name: torch.full_like(value, 7) for name, value in network.state_dict().items()}
    wrong = {k: v for k, v in state.items() if k != "0.bias"} | {"1.weight": torch.zeros(1, 4)}
    wrong |= {f"head.{i}": torch.zeros(1) for i in range(7)}
    with pytest.raises(CheckpointError) as caught:
        load_strictly(network, wrong, "w.pt")
    assert str(caught.value) == (
        "checkpoint w.pt does not fit the network: missing: 0.bias; unexpected: head.0, head.1, head.2, head.3, head.4"
        " and 2 more; other shapes: 1.weight (1, 4), not (1, 3)"
    )
    assert not any((value == 7).all() for value in network.state_dict().values())
    load_strictly(network, state, "w.pt")
    assert all((value == 7).all() for value in network.state_dict().values())


def test_a_checkpoint_that_holds_more_says_what_it_holds():
    content = {"epoch": 3, "model": {"weight": torch.ones(1)}, "optimizer": {}}
    with pytest.raises(
        CheckpointError, match="holds epoch, model, optimizer, not tensors alone; .* from `state`"
    ):
        load_strictly(nn.Linear(1, 1), content, "w.pt")


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"sha256": "0" * 63}, "`sha256` is no 64 lower-case hexadecimal digits"),
        ({"sha256": "A" * 64}, "`sha256` is no 64 lower-case"),
        ({"trained_on": "ptbxl"}, "`trained_on` is no tuple of corpus names"),
        ({"trained_on": ("",)}, "`trained_on` is no tuple"),
        ({"trained_on_parts": {"ptbxl": "train"}}, "`trained_on_parts` says 'train' of corpora that"),
        ({"trained_on_parts": {"mimic-iv-ecg": "test"}}, "`trained_on_parts` says 'train'"),
        ({"leads": ("I", "MLII")}, "`leads` names 'MLII', which is none of I, II"),
        ({"leads": ("I", "I")}, "`leads` names none, or one twice"),
        ({"rate": 0}, "`rate` 0 is no positive whole number"),
        ({"rate": 250.5}, "`rate` 250.5 is no positive"),
        ({"scaling": "zscore"}, "`scaling` 'zscore' is none of minmax, minmax-lead"),
    ],
)
def test_what_an_adapter_gets_wrong_is_one_line(attributes, reason):
    assert adapter().undeclared() is None and adapter(trained_on=()).undeclared() is None
    assert adapter(**attributes).undeclared().startswith(reason)


@pytest.mark.parametrize("name", ["checkpoint", "sha256", "trained_on", "rate"])
def test_nothing_is_taken_for_granted(name):
    complete = {"checkpoint": "w.pt", "sha256": "0" * 64, "trained_on": (), "rate": 100}
    kind = type("Adapter", (FromCheckpoint,), {k: v for k, v in complete.items() if k != name})
    assert kind.undeclared().startswith(f"an external checkpoint needs `{name}`")


def test_its_row_has_the_scaling_it_wants_and_if_it_says_so_the_rate():
    assert adapter().own_input(SPEC) == {}
    assert adapter(scaling="none", rate=500).own_input(SPEC) == {"scaling": "none"}
    own = adapter(scaling="none", rate=250, own_rate=True).own_input(SPEC)
    assert own == {"scaling": "none", "rate": 250, "window": 1250, "stride": 625}
    assert (
        adapter(rate=250, own_rate=True).own_input(SPEC.model_copy(update=own | {"scaling": "zscore-lead"}))
        == {}
    )
    assert adapter(rate=250, own_rate=True).own_input(InputSpec(rate=100)) == {"rate": 250}


def test_records_without_its_leads_are_refused():
    assert adapter().incompatible(info(), None) is None
    assert adapter(leads=("II",)).incompatible(info(("I", "II")), None) is None
    reason = adapter(leads=("V1", "I", "V6")).incompatible(info(("I", "II")), None)
    assert reason.startswith(
        "the network wants V1, V6, which the lead set lacks; show fewer leads of more with"
    )
    single = info(LEADS, leads=1, drawn=(1, 200))
    assert adapter().incompatible(single, None) == "an external network sees records, not single leads"
