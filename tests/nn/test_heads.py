import pytest
import torch
from torch import nn

from bench.nn.heads import LinearHead, classification_head, projector


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


@pytest.mark.parametrize(
    ("kind", "dim", "parameters"),
    [("mlp", 1536, 827_463), ("linear", 1536, 109_127), ("linear", 512, 36_423)],
)
def test_published_sizes_for_71_classes(kind, dim, parameters):
    head = classification_head(kind, dim, 71)
    assert sum(p.numel() for p in head.parameters()) == parameters


def test_head_of_two_layers_is_what_it_says():
    torch.manual_seed(0)
    head = classification_head("mlp", 6, 3, hidden=4)
    norm, _, first, _, second_norm, _, last = head
    for part in (norm, second_norm):
        for tensor in (part.weight.data, part.bias.data, part.running_mean, part.running_var):
            tensor.copy_(torch.rand(len(tensor)) + 0.5)

    def normed(x, part):
        return (x - part.running_mean) / (part.running_var + part.eps).sqrt() * part.weight + part.bias

    embedding = torch.randn(5, 6)
    hidden = (normed(embedding, norm) @ first.weight.T + first.bias).clamp(min=0)
    by_hand = normed(hidden, second_norm) @ last.weight.T + last.bias
    torch.testing.assert_close(head.eval()(embedding), by_hand)


def test_head_of_two_layers_drops_a_quarter_and_a_half_in_training():
    torch.manual_seed(0)
    head = classification_head("mlp", 200, 3, hidden=200).train()
    dropped = []
    for layer in (head[1], head[5]):
        layer.register_forward_hook(lambda _, __, out: dropped.append(out))
    head[4].bias.data.fill_(100.0)  # nothing that reaches the second dropout is zero by itself
    head(torch.randn(500, 200))
    shares = [float((out == 0).float().mean()) for out in dropped]
    assert shares == pytest.approx([0.25, 0.5], abs=0.01)


def test_no_other_head():
    with pytest.raises(ValueError, match="no head 'cosine'"):
        classification_head("cosine", 8, 3)
