"""The queue against a list: first in, first out; full when it is; a checkpoint like any other buffer."""

import copy

import pytest
import torch

from bench.nn.queue import Queue
from bench.train.checkpoint import from_bytes, to_bytes


def batch(number, views=2, rows=3, dim=4):
    """Embeddings that say where they come from: 100 x view + 10 x push + row, in every dimension."""
    view, row = torch.arange(views)[:, None, None], torch.arange(rows)[None, :, None]
    return (100 * view + 10 * number + row).float().expand(views, rows, dim)


def held(queue):
    """What each view holds, sorted, by the first dimension."""
    return [sorted(rows[:, 0].tolist()) for rows in queue.rows]


@pytest.mark.parametrize("batches", [1, 2, 3])
def test_it_holds_the_last_batches_of_each_view_and_says_when_it_is_full(batches):
    queue = Queue(2, batches, 4)
    assert not queue.full
    assert queue.rows.shape == (2, 0, 4)
    for number in range(1, 8):
        queue.push(batch(number))
        assert queue.full == (number >= batches)
        assert queue.rows.shape == (2, 3 * batches, 4)
        if queue.full:
            last = range(number - batches + 1, number + 1)
            for view, rows in enumerate(held(queue)):
                assert rows == sorted(100 * view + 10 * n + row for n in last for row in range(3))
    assert torch.equal(queue.rows, queue.rows[:, :, :1].expand_as(queue.rows))


def test_batches_of_another_size_overwrite_the_oldest_rows():
    queue = Queue(1, 2, 1)  # of four rows
    queue.push(torch.tensor([[[0.0], [1.0]]]))
    queue.push(torch.tensor([[[2.0], [3.0]]]))
    queue.push(torch.tensor([[[4.0]]]))
    assert held(queue) == [[1, 2, 3, 4]]
    queue.push(torch.tensor([[[5.0], [6.0], [7.0]]]))  # round the end
    assert held(queue) == [[4, 5, 6, 7]]
    assert int(queue.pushed) == 8


def test_a_push_is_in_place_and_without_gradient():
    queue = Queue(2, 2, 4)
    queue.push(batch(1))
    place = queue.rows.data_ptr()
    source = batch(2).clone().requires_grad_()
    queue.push(source * 2)
    assert queue.rows.data_ptr() == place
    assert not queue.rows.requires_grad
    with torch.no_grad():
        source.zero_()
    assert held(queue)[0] == [10, 11, 12, 40, 42, 44]


@pytest.mark.parametrize("pushes", [0, 1, 5])
def test_a_checkpoint_continues_in_a_fresh_queue(pushes):
    queue, fresh = Queue(2, 2, 4), Queue(2, 2, 4)
    for number in range(pushes):
        queue.push(batch(number))
    fresh.load_state_dict(from_bytes(to_bytes(queue.state_dict())))
    for number in range(pushes, pushes + 3):
        queue.push(batch(number))
        fresh.push(batch(number))
        assert queue.full == fresh.full
        assert torch.equal(queue.rows, fresh.rows)
    assert {"rows", "pushed"} == set(queue.state_dict())


def test_going_back_to_a_state_before_the_first_push():
    """As the selection of a checkpoint does, in the module that has gone on; also as a part of another."""
    holder = torch.nn.ModuleDict({"queue": Queue(2, 2, 4)})
    early = copy.deepcopy(holder.state_dict())
    holder["queue"].push(batch(1))
    copied = copy.deepcopy(holder)
    for module in (holder, copied):
        module.load_state_dict(early)
        assert module["queue"].rows.shape == (2, 0, 4)
        assert int(module["queue"].pushed) == 0
        module["queue"].push(batch(2, rows=5))
        assert module["queue"].rows.shape == (2, 10, 4)


def test_what_does_not_fit_is_refused():
    queue = Queue(2, 2, 4)
    for wrong in (batch(1, views=1), batch(1, dim=3), batch(1)[0]):
        with pytest.raises(ValueError, match="push of"):
            queue.push(wrong)
    queue.push(batch(1))
    with pytest.raises(ValueError, match="push of"):
        queue.push(batch(1, rows=7))
    for arguments in ((0, 2, 4), (2, 0, 4), (2, 2, 0)):
        with pytest.raises(ValueError, match="at least 1"):
            Queue(*arguments)
