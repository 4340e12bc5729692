"""The switch breaks the engine, and puts back exactly what was there: after errors, nested, overlapping, in threads."""

from __future__ import annotations

import importlib
import sys
import threading
from contextlib import ExitStack

import numpy as np
import pytest

from minires import functional as F
from minires import lab
from minires.backend import available_providers, dispatch, use_backend
from minires.core.tensor import Tensor
from minires.errors import MiniResError
from minires.lab.patches import Attribute, Everywhere, applied
from minires.ops import shape
from tests.lab.snapshot import changes, snapshot

NAMES = list(lab.MISTAKES)


def gradient_of_square(x: float) -> float:
    """d(x·x)/dx by the engine: x is used twice."""
    tensor = Tensor(np.array(x), requires_grad=True)
    (tensor * tensor).backward()
    assert tensor.grad is not None
    return tensor.grad.item()


@pytest.mark.parametrize("name", NAMES)
def test_everything_is_put_back(name):
    before = snapshot()
    with lab.break_engine(name):
        assert changes(before, snapshot())
    assert changes(before, snapshot()) == set()


@pytest.mark.parametrize("name", NAMES)
def test_everything_is_put_back_after_an_exception(name):
    before = snapshot()
    with pytest.raises(KeyError, match="the user's"), lab.break_engine(name):
        raise KeyError("the user's")
    assert changes(before, snapshot()) == set()


def test_nested_blocks_combine():
    before = snapshot()
    with ExitStack() as stack:
        for name in [*NAMES, *NAMES]:  # each twice
            stack.enter_context(lab.break_engine(name))
        assert gradient_of_square(3.0) == 3.0
    assert changes(before, snapshot()) == set()


def test_an_inner_block_leaves_the_outer_one():
    with lab.break_engine("overwrite-instead-of-accumulate"):
        inside = snapshot()
        with lab.break_engine("overwrite-instead-of-accumulate"), lab.break_engine("missing-unbroadcast"):
            pass
        assert changes(inside, snapshot()) == set()
        assert gradient_of_square(3.0) == 3.0
    assert gradient_of_square(3.0) == 6.0


def test_blocks_may_end_in_any_order():
    before = snapshot()
    first = lab.break_engine("overwrite-instead-of-accumulate")
    second = lab.break_engine("overwrite-instead-of-accumulate")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert gradient_of_square(3.0) == 3.0
    second.__exit__(None, None, None)
    assert gradient_of_square(3.0) == 6.0
    assert changes(before, snapshot()) == set()


def test_the_whole_process_is_broken():
    found = []
    with lab.break_engine("overwrite-instead-of-accumulate"):
        thread = threading.Thread(target=lambda: found.append(gradient_of_square(3.0)))
        thread.start()
        thread.join()
    assert found == [3.0]


def test_threads_that_break_and_mend_leave_a_healthy_engine():
    before = snapshot()

    def work(name: str) -> None:
        for _ in range(5):
            with lab.break_engine(name):
                pass

    threads = [threading.Thread(target=work, args=(name,)) for name in NAMES[:4]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert changes(before, snapshot()) == set()


def test_it_decorates_functions():
    @lab.break_engine("overwrite-instead-of-accumulate")
    def broken() -> float:
        return gradient_of_square(3.0)

    assert [broken(), gradient_of_square(3.0), broken()] == [3.0, 6.0, 3.0]


def test_a_module_that_is_imported_meanwhile_is_mended_too():
    """`from … import sum_to` inside the block takes the broken function; it must not keep it."""
    module = "minires.ops.linear"
    healthy = sys.modules.pop(module)
    try:
        with lab.break_engine("missing-unbroadcast"):
            late = importlib.import_module(module)
            assert late.sum_to is not healthy.sum_to
        assert late.sum_to is healthy.sum_to is shape.sum_to
    finally:
        sys.modules[module] = healthy
        sys.modules["minires.ops"].linear = healthy


@pytest.mark.parametrize(
    "name", ["zero-padded-max-pool", "average-pool-forgets-to-divide", "col2im-overwrites-overlaps"]
)
def test_mistakes_in_kernels_reach_float32_whatever_backend_is_chosen(name):
    def measured() -> bytes:
        x = Tensor(-1 - np.random.default_rng(0).random((1, 2, 6, 6), np.float32), requires_grad=True)
        w = Tensor(np.random.default_rng(1).random((2, 2, 3, 3), np.float32))
        y = F.max_pool2d(x, 3, 1, 1) + F.conv2d(x, w, padding=1) + F.avg_pool2d(x, 3, 1, 1)
        y.sum().backward()
        assert x.grad is not None
        return y.numpy().tobytes() + x.grad.numpy().tobytes()

    healthy = measured()
    fastest = available_providers()[0]
    with use_backend(fastest):
        with lab.break_engine(name):
            assert available_providers() == ("reference",)
            assert measured() != healthy
        assert measured() == healthy
    assert dispatch.available_providers()[0] == fastest


def test_an_unknown_name_is_told_its_nearest():
    with (
        pytest.raises(MiniResError, match=r"'add-inplace'; did you mean add-in-place\?"),
        lab.break_engine("add-inplace"),
    ):
        pass
    with pytest.raises(MiniResError, match="there are overwrite-instead-of-accumulate, fire-before"):
        lab.find("x")


def test_an_inherited_attribute_is_removed_again():
    class Base:
        value = 1

    class Derived(Base):
        pass

    with applied([Attribute(Derived, "value", 2)]):
        assert Derived.value == 2
    assert "value" not in vars(Derived)


def test_a_patch_that_fails_breaks_nothing():
    """A mistake is applied whole or not at all."""
    before = snapshot()

    class Refuses:
        def apply(self):
            raise RuntimeError("refused")

    with pytest.raises(RuntimeError, match="refused"), applied([Everywhere(shape.sum_to, print), Refuses()]):
        pytest.fail("the block was entered")
    assert changes(before, snapshot()) == set()
