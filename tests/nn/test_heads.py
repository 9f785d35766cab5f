import pytest
import torch
from torch import nn

from bench.nn.heads import LinearHead, projector


def test_no_projection_is_the_embedding_itself():
    embedding = torch.randn(3, 8)
    assert projector(8, 16, 0)(embedding) is embedding


def test_projector_is_what_it_says():
    torch.manual_seed(0)
    head = projector(8, 16, 4)
    embedding = torch.randn(3, 8)
    first, _, last = head
    by_hand = (embedding @ first.weight.T + first.bias).clamp(min=0) @ last.weight.T + last.bias
    torch.testing.assert_close(head(embedding), by_hand)


def kinds(head: nn.Module) -> list[tuple[str, bool]]:
    return [(type(m).__name__, getattr(m, "bias", None) is not None) for m in head]


@pytest.mark.parametrize("arguments", [(8, 16, 4, 1), (8, 0, 4), (8, 0, 4, 3)])
def test_linear_projector(arguments):
    assert kinds(projector(*arguments)) == [("Linear", True)]


def test_norm_replaces_the_hidden_bias():
    middle = [("Linear", False), ("BatchNorm1d", True), ("ReLU", False)]
    assert kinds(projector(8, 16, 4, 3, "batch")) == [*middle, *middle, ("Linear", True)]


@pytest.mark.parametrize(("layers", "norm"), [(0, "none"), (2, "layer")])
def test_projector_refusals(layers, norm):
    with pytest.raises(ValueError, match="at least 1 layer, 'none' or 'batch'"):
        projector(8, 16, 4, layers, norm)


def test_linear_head_concatenates_tabular_columns():
    head = LinearHead(5, 3, tabular=2)
    embedding, tabular = torch.randn(4, 5), torch.randn(4, 2, dtype=torch.float64)
    weight, bias = head.linear.weight, head.linear.bias
    by_hand = embedding @ weight[:, :5].T + tabular.float() @ weight[:, 5:].T + bias
    torch.testing.assert_close(head(embedding, tabular), by_hand)


def test_linear_head_without_tabular_columns():
    head = LinearHead(5, 3)
    embedding = torch.randn(4, 5)
    torch.testing.assert_close(head(embedding), head.linear(embedding))


@pytest.mark.parametrize(("built", "given"), [(2, None), (0, 2), (2, 3)])
def test_linear_head_refuses_other_columns(built, given):
    tabular = None if given is None else torch.zeros(4, given)
    with pytest.raises(ValueError, match=f"{given or 0} tabular columns: this head was built for {built}"):
        LinearHead(5, 3, built)(torch.zeros(4, 5), tabular)
