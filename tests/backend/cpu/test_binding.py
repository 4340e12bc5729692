"""Arguments of the C kernels: what Python passes wrongly is refused with an exception, and no reference is lost."""

import sys

import numpy as np
import pytest

from minires.backend.cpu.machine import library

pytestmark = pytest.mark.skipif(library is None, reason="the C kernels are not built")

ONES = (1, 1)


def image(*shape):
    return np.ones(shape, np.float32)


def conv(*, relu=False, stride=ONES, groups=1, algorithm=0, more=()):
    return library.conv2d(
        image(1, 2, 4, 4), image(3, 2, 3, 3), None, None, relu, stride, ONES, ONES, groups, algorithm, *more
    )


def test_every_kernel_refuses_a_call_without_arguments_and_says_so():
    kernels = [name for name in dir(library) if callable(getattr(library, name)) and not name.startswith("__")]
    takes_none = {"num_threads", "empty_cache", "cache_state", "image_conversions", "supported"}
    assert len(kernels) > 25
    for name in set(kernels) - takes_none:
        with pytest.raises(TypeError, match=rf"{name}\(\) takes more than 0 arguments"):
            getattr(library, name)()


def test_arguments_that_are_too_many_are_refused():
    with pytest.raises(TypeError, match=r"conv2d\(\) takes 10 arguments, not 11"):
        conv(more=[None])
    with pytest.raises(TypeError, match=r"max_pool2d\(\) takes 7 arguments, not 8"):  # with the optional one
        library.max_pool2d(image(1, 1, 4, 4), (2, 2), (2, 2), (2, 2), (0, 0), ONES, None, None)
    with pytest.raises(TypeError):
        library.relu(image(2), out=None)


@pytest.mark.parametrize("stride", [(1,), (1, 1, 1), [1, 1], 1, "11", None], ids=repr)
def test_a_pair_is_a_tuple_of_two(stride):
    with pytest.raises(TypeError, match=r"conv2d\(\) needs a tuple of 2 integers, not "):
        conv(stride=stride)


@pytest.mark.parametrize("wrong", [1.0, "1", None], ids=repr)
def test_integers_are_integers(wrong):
    for arguments in ({"stride": (1, wrong)}, {"groups": wrong}, {"algorithm": wrong}):
        with pytest.raises(TypeError, match="integer"):
            conv(**arguments)


def test_integers_must_fit():
    for arguments in ({"stride": (1, 1 << 63)}, {"groups": -(1 << 64)}, {"algorithm": 1 << 31}):
        with pytest.raises(OverflowError):
            conv(**arguments)


def test_a_flag_whose_truth_raises_and_a_number_that_is_none_are_refused():
    with pytest.raises(ValueError, match="truth value"):
        conv(relu=np.ones(2))
    with pytest.raises(TypeError, match="must be real number"):
        library.sum_pixels(image(1, 1, 2, 2), None, None)


def test_lists_must_be_lists():
    with pytest.raises(TypeError, match=r"sgd\(\) needs a list, not tuple"):
        library.sgd((), [], None, 0.1, 0.0, 0.0, 0.0, False)


def test_a_refused_call_keeps_no_reference_to_its_arguments():
    x, w, bias = image(1, 2, 4, 4), image(3, 2, 3, 3), image(3)
    before = [sys.getrefcount(a) for a in (x, w, bias)]
    for stride in (ONES, (0, 1), None):  # computes, is refused by a check, is refused as it is taken
        try:
            library.conv2d(x, w, bias, None, False, stride, ONES, ONES, 1, 0)
        except (TypeError, ValueError):
            assert stride != ONES
    assert [sys.getrefcount(a) for a in (x, w, bias)] == before


def test_results_are_none_an_array_or_a_tuple():
    assert library.sgd([], [], None, 0.1, 0.0, 0.0, 0.0, False) is None
    assert isinstance(conv(), np.ndarray)
    stats = library.batch_norm_stats(image(2, 3, 4, 4))
    assert isinstance(stats, tuple)
    assert len(stats) == 2
    assert library.add(image(2), image(3), False, None) is None  # declined
    out = image(2)
    before = sys.getrefcount(out)
    assert library.relu(image(2), out) is out
    assert sys.getrefcount(out) == before


def test_an_image_is_placed_only_where_it_fits():
    for start, apart, shape in [
        ((0, 0, 0, 0), (1, 1, 2, 1), (1, 2, 6, 4)),  # the last row would be the seventh
        ((0, 1, 0, 0), (1, 1, 1, 1), (1, 2, 4, 4)),
        ((0, 0, -1, 0), (1, 1, 1, 1), (1, 2, 4, 4)),
        ((0, 0, 0, 0), (1, 1, 1, 0), (1, 2, 4, 4)),
        ((0, 0, 0, 9), (1, 1, 1, 1), (1, 2, 4, 4)),
    ]:
        with pytest.raises(ValueError, match="the image does not fit"):
            library.place_image(image(1, 2, 4, 4), start, apart, shape)
    placed = library.place_image(image(1, 2, 4, 4), (0, 1, 0, 1), (1, 1, 2, 1), (2, 4, 7, 6))
    assert placed.sum() == 32
    assert placed[0, 1:3, ::2, 1:5].all()
