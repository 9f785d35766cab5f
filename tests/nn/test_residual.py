import math

import pytest
import torch
from torch import nn

from bench.nn.residual import ResidualEncoder


class Plain(ResidualEncoder):
    name = "plain"


def make(leads: int = 3, **arguments: object) -> Plain:
    torch.manual_seed(0)
    given = {"blocks": 2, "width": 4, "kernel": 3, "stem_kernel": 7, "dim": 5, "dropout": 0.0}
    return Plain(leads, **{**given, **arguments})


def test_one_number_of_blocks_is_as_many_in_every_stage():
    one, many = make(blocks=2), make(blocks=[2, 2, 2, 2])
    signal = torch.randn(2, 3, 64)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), many.parameters(), strict=True))
    assert torch.equal(one(signal), many(signal))


def test_stages_of_different_depth_project_once_where_the_shape_changes():
    encoder = make(blocks=(3, 1, 4, 2))
    assert [len(stage) for stage in encoder.stages] == [3, 1, 4, 2]
    names = {name.partition(".shortcut")[0] for name, _ in encoder.named_parameters() if "shortcut" in name}
    assert names == {"stages.1.0", "stages.2.0", "stages.3.0"}
    strides = [block.residual[0].stride[1] for stage in encoder.stages for block in stage]
    assert strides == [1, 1, 1, 2, 2, 1, 1, 1, 2, 1]


def test_without_a_linear_layer_the_embedding_is_the_mean_over_time():
    plain, linear = make(dim=None).eval(), make(dim=32).eval()
    signal = torch.randn(2, 3, 330)
    over_time = plain.sequence(signal)
    assert over_time.shape == (2, math.ceil(330 / 32), 32)
    torch.testing.assert_close(plain(signal), over_time.mean(dim=1))
    assert (plain.dim, linear.dim) == (32, 32)
    assert set(linear.state_dict()) - set(plain.state_dict()) == {"head.weight", "head.bias"}


@pytest.mark.parametrize(("dim", "number"), [(None, 5), (5, 6)])
def test_no_group_is_empty(dim, number):
    encoder = make(dim=dim)
    groups = encoder.groups()
    assert len(groups) == number
    ids = [id(p) for group in groups for p in group]
    assert len(ids) == len(set(ids))
    assert set(ids) == {id(p) for p in encoder.parameters()}
    assert groups[0][0] is encoder.stem[0].weight
    assert groups[4] == list(encoder.stages[3].parameters())


def test_convolutions_are_all_of_them():
    encoder = make(blocks=(1, 2, 1, 1), dim=None)
    assert [conv.kernel_size[1] for conv in encoder.convolutions()].count(3) == 2 * 5
    assert len(list(encoder.convolutions())) == 1 + 2 * 5 + 3
    assert not any(isinstance(module, nn.Linear) for module in encoder.modules())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"blocks": (3, 4, 6)}, r"blocks \[3, 4, 6\]: four stages"),
        ({"blocks": (3, 0, 6, 3)}, "at least one block"),
        ({"blocks": 0}, r"blocks \[0, 0, 0, 0\]: four stages, of at least one block"),
        ({"kernel": 4}, "kernel 4, stem_kernel 7: both must be odd"),
        ({"stem_kernel": 8}, "kernel 3, stem_kernel 8: both must be odd"),
    ],
)
def test_refusals(arguments, says):
    with pytest.raises(ValueError, match=says):
        make(**arguments)
