import pytest
import torch
from torch import Tensor, nn

from bench.nn.encoder import Encoder


class Mean(Encoder):
    name = "mean"
    min_samples = 4

    def __init__(self, leads: int) -> None:
        super().__init__()
        self.leads = self.dim = leads

    def forward(self, signal: Tensor) -> Tensor:
        self.check(signal)
        return signal.mean(dim=2)

    def groups(self) -> list[list[nn.Parameter]]:
        return [list(self.parameters())]


def test_an_encoder_without_features_over_time_says_so():
    with pytest.raises(NotImplementedError, match="'mean' has no features over time"):
        Mean(2).sequence(torch.zeros(1, 2, 8))


def test_an_encoder_refuses_what_it_cannot_read():
    encoder = Mean(2)
    assert encoder(torch.ones(3, 2, 4)).tolist() == [[1, 1]] * 3
    with pytest.raises(ValueError, match=r"\(3, 5, 4\).*takes \(N, 2, samples\)"):
        encoder(torch.ones(3, 5, 4))
    with pytest.raises(ValueError, match=r"signal of 3 samples.*needs 4"):
        encoder(torch.ones(3, 2, 3))


def test_an_encoder_of_one_length_refuses_every_other():
    encoder = Mean(2)
    encoder.samples = encoder.min_samples = 6
    assert encoder(torch.ones(3, 2, 6)).tolist() == [[1, 1]] * 3
    for other in (3, 5, 7):
        message = rf"signal of {other} samples.*'mean'.*6 exactly.*`samples: {other}`, or a window of 6"
        with pytest.raises(ValueError, match=message):
            encoder(torch.ones(3, 2, other))
    assert Mean(2).samples is None


def test_an_encoder_must_define_forward_and_groups():
    class Empty(Encoder):
        pass

    with pytest.raises(TypeError, match="abstract"):
        Empty()
