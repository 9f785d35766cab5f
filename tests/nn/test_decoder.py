import pytest
import torch

from bench.nn.decoder import Decoder


@pytest.mark.parametrize("samples", [16, 17, 64, 65, 250, 257, 500, 2500, 5000])
@pytest.mark.parametrize("leads", [1, 12])
def test_makes_exactly_the_signal_asked_for(samples, leads):
    decoder = Decoder(dim=8, leads=leads, samples=samples, width=4)
    signal = decoder(torch.randn(3, 8, generator=torch.Generator().manual_seed(0)))
    assert signal.shape == (3, leads, samples)
    assert decoder.stem.out_features // 4 <= 16


def test_every_parameter_and_every_entry_of_the_embedding_counts():
    torch.manual_seed(0)
    decoder = Decoder(dim=6, leads=2, samples=100, width=8)
    embedding = torch.randn(4, 6, requires_grad=True)
    (decoder(embedding) * torch.randn(4, 2, 100)).sum().backward()
    assert embedding.grad is not None and (embedding.grad != 0).all()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in decoder.parameters())


def test_in_evaluation_a_record_does_not_depend_on_its_batch():
    torch.manual_seed(0)
    decoder = Decoder(dim=6, leads=2, samples=100, width=8).eval()
    embedding = torch.randn(5, 6)
    torch.testing.assert_close(decoder(embedding)[2:3], decoder(embedding[2:3]))


def test_learns_to_reconstruct():
    """Four records behind four embeddings: nine tenths of their variance within sixty steps."""
    torch.manual_seed(0)
    signal = torch.randn(4, 2, 128).cumsum(2)
    signal = (signal - signal.mean()) / signal.std()
    decoder = Decoder(dim=4, leads=2, samples=128, width=16)
    optimiser = torch.optim.Adam(decoder.parameters(), 1e-2)
    for _ in range(60):
        loss = (decoder(torch.eye(4)) - signal).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.1


def test_refuses_too_short_a_signal():
    with pytest.raises(ValueError, match="15 samples"):
        Decoder(dim=4, leads=1, samples=15)
