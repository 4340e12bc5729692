"""Which buffer each step of a plan writes, and when a buffer is free again."""

from __future__ import annotations

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires import inference
from minires.backend import cpu
from minires.inference.plan import Plan, _needed, _view
from minires.inference.steps import Step

pytestmark = pytest.mark.skipif(cpu.library is None, reason="the C kernels were not built")


class Writes(Step):
    """A step that needs a buffer; it may write over its input `over`."""

    name = "writes"

    def __init__(self, inputs: tuple[int, ...], output: int, over: int | None = None) -> None:
        super().__init__(inputs, output)
        self.may_overwrite = over


class Views(Step):
    """A step whose result may be a view of its input."""

    name, needs_buffer = "views", False


def planned(steps: list[Step], outputs: tuple[int, ...], sizes: dict[int, int] | None = None) -> Plan:
    """A plan of these steps; values have ten numbers, or as many as `sizes` says."""
    plan = Plan.__new__(Plan)
    plan.steps, plan._outputs, plan.shape = steps, outputs, (10,)
    numbers = {0, *outputs, *(step.output for step in steps)}
    plan._shapes = {number: ((sizes or {}).get(number, 10),) for number in numbers}
    plan._sizes, plan._buffer_of = [], {}
    plan._assign_buffers()
    return plan


def test_two_buffers_serve_a_chain():
    plan = planned([Writes((k,), k + 1) for k in range(6)], (6,))
    assert plan._buffer_of == {1: 0, 2: 1, 3: 0, 4: 1, 5: 0}  # 6 is an output, and an array of its own
    assert plan._sizes == [10, 10]


def test_one_buffer_serves_a_chain_in_place():
    plan = planned([Writes((k,), k + 1, k) for k in range(6)], (6,))
    assert plan._buffer_of == dict.fromkeys(range(1, 6), 0)  # the input, 0, is the caller's
    assert plan._sizes == [10]


def test_what_is_read_later_is_not_written_over():
    """3 = f(1, 2) and 2 = g(1), which must not take the buffer of 1."""
    plan = planned([Writes((0,), 1), Writes((1,), 2, 1), Writes((2, 1), 3, 2), Writes((3,), 4)], (4,))
    assert plan._buffer_of == {1: 0, 2: 1, 3: 1}


def test_what_a_step_reads_twice_is_not_written_over():
    plan = planned([Writes((0,), 1), Writes((1, 1), 2, 1), Writes((2,), 3)], (3,))
    assert plan._buffer_of == {1: 0, 2: 1}


def test_an_output_is_not_written_over():
    plan = planned([Writes((0,), 1), Writes((1,), 2, 1), Writes((2,), 3)], (1, 3))
    assert plan._buffer_of == {2: 0}


def test_the_smallest_buffer_that_fits_is_taken():
    """1, 2 and 3 have 30, 20 and 10 numbers and are free when 5 and 6, of 10 and 15, are computed."""
    steps: list[Step] = [Writes((0,), 1), Writes((0,), 2), Writes((0,), 3), Writes((1, 2, 3), 4)]
    sizes = {1: 30, 2: 20, 3: 10, 4: 1, 5: 10, 6: 15, 7: 1}
    plan = planned([*steps, Writes((4,), 5), Writes((5,), 6), Writes((6, 5), 7)], (7,), sizes)
    assert [plan._buffer_of[k] for k in (1, 2, 3)] == [0, 1, 2]
    assert plan._buffer_of[4] == 3
    assert plan._buffer_of[5] == 2
    assert plan._buffer_of[6] == 1
    assert plan._sizes == [30, 20, 10, 1]


def test_the_largest_free_buffer_is_enlarged_before_another_is_made():
    sizes = {1: 30, 2: 20, 3: 5, 4: 40, 5: 1}
    plan = planned([Writes((0,), 1), Writes((0,), 2), Writes((1, 2), 3), Writes((3,), 4), Writes((4,), 5)], (5,), sizes)
    assert (plan._buffer_of[3], plan._buffer_of[4]) == (2, 0)
    assert plan._sizes == [40, 20, 5]


def test_a_buffer_is_as_long_as_its_shape():
    plan = Plan.__new__(Plan)
    plan.steps, plan._outputs, plan._sizes, plan._buffer_of = [Writes((0,), 1), Writes((1,), 2)], (2,), [], {}
    plan._shapes = {0: (1,), 1: (2, 3, 4, 5), 2: (1,)}
    plan._assign_buffers()
    assert plan._sizes == [120]


def test_a_view_keeps_the_buffer_of_its_base():
    """2 is a view of 1, and 4 is computed from it; so 3 must not take the buffer of 1."""
    plan = planned([Writes((0,), 1), Views((1,), 2), Writes((0,), 3), Writes((2, 3), 4, 3), Writes((4,), 5)], (5,))
    assert plan._buffer_of == {1: 0, 3: 1, 4: 1}
    assert plan._roots() == {0: 0, 1: 1, 2: 1, 3: 3, 4: 4, 5: 5}


def test_a_step_that_may_return_a_view_of_either_input_joins_their_lifetimes():
    plan = planned([Writes((0,), 1), Writes((0,), 2), Views((1, 2), 3), Writes((0,), 4), Writes((3, 4), 5)], (5,))
    assert len({plan._buffer_of[k] for k in (1, 2, 4)}) == 3
    roots = plan._roots()
    assert roots[1] == roots[2] == roots[3]


def test_the_last_reader_of_each_value():
    plan = planned([Writes((0,), 1), Writes((1, 0), 2), Writes((2, 1), 3), Writes((3, 2), 4)], (2, 4))
    assert plan._find_last_reads() == [[], [0], [1], [3]]  # 2 is an output


def test_steps_that_nothing_depends_on_are_left_out():
    steps: list[Step] = [Writes((0,), 1), Writes((0,), 2), Writes((1,), 3), Writes((2,), 4), Writes((3, 1), 5)]
    assert [step.output for step in _needed(steps, (5,))] == [1, 3, 5]
    assert [step.output for step in _needed(steps, (4, 3))] == [1, 2, 3, 4]


def test_a_buffer_is_seen_as_an_image_in_channels_last():
    buffer = np.arange(200, dtype=np.float32)
    image = _view(buffer, (2, 3, 4, 5))
    n, c, h, w = np.indices((2, 3, 4, 5))
    np.testing.assert_array_equal(image, ((n * 4 + h) * 5 + w) * 3 + c)
    assert image.strides == (4 * 60, 4, 4 * 15, 4 * 3)
    np.testing.assert_array_equal(_view(buffer, (4, 5)), np.arange(20).reshape(4, 5))


def test_a_plan_is_described_with_its_buffers():
    """Images are converted first; the ReLU of a pad writes over it, since nobody reads it any more."""
    x = mr.tensor(np.ones((1, 4, 64, 64), np.float32))

    def model(x: mr.Tensor) -> mr.Tensor:
        y = F.relu(F.pad(F.max_pool2d(x, 2), (1, 1)))
        return y.mean((2, 3)).exp()

    with mr.use_backend("cpu"):
        lines = inference.compile(model, x).describe().splitlines()
    assert [line.split("  ")[0] for line in lines[:-1]] == [
        "to channels-last",
        "max pool",
        "pad",
        "ReLU",
        "global average",
        "Exp",
    ]
    assert [line.rpartition("  ")[2] for line in lines[:4]] == ["buffer 0", "buffer 1", "buffer 0", "buffer 0"]
    assert "1×4×32×34" in lines[2]
    assert lines[-1] == "2 buffers, 0.1 MiB during each call"  # 16384 and 4096 numbers: 80 KiB


def test_the_input_is_converted_only_for_steps_that_read_images_and_never_twice():
    x = mr.tensor(np.ones((1, 4, 8, 8), np.float32))

    def names(model: object) -> list[str]:
        with mr.use_backend("cpu"):
            return [line.split("  ")[0] for line in inference.compile(model, x).describe().splitlines()[:-1]]

    both = names(lambda x: (F.max_pool2d(x, 2), F.max_pool2d(x, 4)))
    assert both == ["to channels-last", "max pool", "max pool"]
    assert names(lambda x: (F.max_pool2d(x, 2), x.exp())) == ["max pool", "Exp"]
    assert names(lambda x: F.max_pool2d(x.exp(), 2)) == ["Exp", "max pool"]
