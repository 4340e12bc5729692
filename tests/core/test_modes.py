"""Recording belongs to a thread: contexts, decorators, and two trainings at once."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires.backend import capturing, dispatch, profiling
from minires.core import modes


def leaf() -> mr.Tensor:
    return mr.tensor([2.0], requires_grad=True)


def test_no_grad_as_context():
    x = leaf()
    with mr.no_grad():
        assert not mr.is_grad_enabled()
        y = x * x
        with mr.enable_grad():
            assert (x * x).requires_grad
        assert not (x * x).requires_grad
    assert not y.requires_grad
    assert mr.is_grad_enabled()
    assert (x * x).requires_grad


def test_no_grad_as_decorator():
    @mr.no_grad()
    def predict(x):
        return x * x

    @mr.enable_grad()
    def record(x):
        return x * x

    x = leaf()
    assert not predict(x).requires_grad
    assert predict.__name__ == "predict"
    with mr.no_grad():
        assert record(x).requires_grad
        assert not predict(x).requires_grad
    assert mr.is_grad_enabled()


def test_an_exception_restores_the_mode():
    with pytest.raises(KeyError), mr.no_grad():
        raise KeyError
    assert mr.is_grad_enabled()


def test_one_switch_may_be_entered_twice():
    switch = mr.no_grad()
    with switch, mr.enable_grad():
        with switch:
            assert not mr.is_grad_enabled()
        assert mr.is_grad_enabled()
    assert mr.is_grad_enabled()


def test_set_grad_enabled_as_a_call_sets_at_once():
    x = leaf()
    try:
        mr.set_grad_enabled(False)
        assert not mr.is_grad_enabled()
        assert not (x * x).requires_grad
        mr.set_grad_enabled(True)
        assert (x * x).requires_grad
        mr.set_grad_enabled(False)
        with mr.enable_grad():
            assert mr.is_grad_enabled()
        assert not mr.is_grad_enabled()
    finally:
        mr.set_grad_enabled(True)


@pytest.mark.parametrize("outside", [True, False])
@pytest.mark.parametrize("mode", [True, False])
def test_set_grad_enabled_as_context_restores(mode, outside):
    x = leaf()
    with mr.set_grad_enabled(outside):
        with mr.set_grad_enabled(mode):
            assert mr.is_grad_enabled() == mode
            with mr.set_grad_enabled(not mode):
                assert mr.is_grad_enabled() != mode
            assert (x * x).requires_grad == mode
        assert mr.is_grad_enabled() == outside
        with pytest.raises(KeyError), mr.set_grad_enabled(mode):
            raise KeyError
        assert mr.is_grad_enabled() == outside
    assert mr.is_grad_enabled()


@pytest.mark.parametrize("mode", [True, False])
def test_set_grad_enabled_as_decorator_holds_for_the_call_alone(mode):
    @mr.set_grad_enabled(mode)
    def square(x):
        return x * x

    assert mr.is_grad_enabled()
    for _ in range(2):
        assert square(leaf()).requires_grad == mode
    assert mr.is_grad_enabled()
    with mr.no_grad():
        assert square(leaf()).requires_grad == mode
        assert not mr.is_grad_enabled()
    with ThreadPoolExecutor(4) as pool:
        assert {y.requires_grad for y in pool.map(lambda _: square(leaf()), range(8))} == {mode}
    with pytest.raises(TypeError, match="numbers is a generator"):
        mr.set_grad_enabled(not mode)(numbers)
    assert mr.is_grad_enabled()


def test_set_grad_enabled_in_one_thread_is_not_seen_in_another():
    def turn_off():
        mr.set_grad_enabled(False)
        return mr.is_grad_enabled()

    with ThreadPoolExecutor(1) as pool:
        assert not pool.submit(turn_off).result()
        assert mr.is_grad_enabled()
        assert not pool.submit(mr.is_grad_enabled).result()  # it stays off in the thread that turned it off


def test_backward_and_gradcheck_leave_the_mode_as_it_was():
    x = mr.tensor(np.array([2.0]), requires_grad=True)
    for on in (True, False):
        y = x * x
        with mr.set_grad_enabled(on):
            mr.grad(y, x, create_graph=True)
            y.backward(retain_graph=True)
            assert mr.gradcheck.gradcheck(lambda x: x * x, x)
            assert mr.is_grad_enabled() == on
            with pytest.raises(KeyError):
                mr.gradcheck.gradcheck(lambda x: {}["no such key"], x)
            assert mr.is_grad_enabled() == on


def test_interceptors_nest_and_each_leaves_the_other_as_it_is():
    """The inner `compute` or `observe` takes the outer one's place; one that is not given stays."""
    x, seen = leaf(), []

    def doubled(op, arrays):
        return 2 * op.forward(*arrays)

    def note(name):
        return lambda op, inputs, output: seen.append((name, op.name, output.item()))

    with modes.intercepting(compute=doubled):
        with modes.intercepting(observe=note("outer")):
            x + 1
            with modes.intercepting(observe=note("inner")):
                x + 1
            with modes.intercepting(compute=lambda op, arrays: op.forward(*arrays)):
                x + 1
        assert (x + 1).item() == 6.0
    assert (x + 1).item() == 3.0
    assert seen == [("outer", "Add", 6.0), ("inner", "Add", 6.0), ("outer", "Add", 3.0)]


def test_an_interceptor_belongs_to_its_thread():
    seen = []
    with modes.intercepting(observe=lambda op, inputs, output: seen.append(op.name)), ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: (leaf() * 2).item()).result() == 4.0
        leaf() + 1
    assert seen == ["Add"]


def test_backward_records_only_when_asked_to():
    x = leaf()
    x_hooked = []
    x.register_hook(lambda g: x_hooked.append(mr.is_grad_enabled()))
    mr.grad(x * x, x)
    mr.grad(x * x, x, create_graph=True)
    with mr.no_grad():
        pass
    assert x_hooked == [False, True]


def test_create_graph_works_under_no_grad():
    x = leaf()
    y = x**3
    with mr.no_grad():
        (first,) = mr.grad(y, x, create_graph=True)
    assert mr.grad(first, x)[0].item() == 12.0


def test_the_other_switches():
    assert not modes.is_detecting_anomaly()
    assert not modes.is_fused_backward_disabled()
    with mr.detect_anomaly(), mr.disable_fused_backward():
        assert modes.is_detecting_anomaly()
        assert modes.is_fused_backward_disabled()
    assert not modes.is_detecting_anomaly()
    assert not modes.is_fused_backward_disabled()


def test_another_thread_is_not_under_this_threads_no_grad():
    x, seen = leaf(), []
    inside, done = threading.Event(), threading.Event()

    def predict():
        with mr.no_grad(), mr.use_backend("reference"):
            inside.set()
            assert done.wait(10)
            seen.append((x * x).requires_grad)

    thread = threading.Thread(target=predict)
    thread.start()
    assert inside.wait(10)
    y = x * x
    done.set()
    thread.join()
    assert y.requires_grad
    assert seen == [False]


def numbers():
    yield leaf() * 2


async def answer():
    return leaf() * 2


async def answers():
    yield leaf() * 2


@pytest.mark.parametrize("function", [numbers, answer, answers])
def test_a_function_whose_body_runs_after_its_call_cannot_be_decorated(function):
    for switch in (mr.no_grad(), mr.enable_grad(), mr.detect_anomaly()):
        with pytest.raises(TypeError, match=rf"{function.__name__} is a generator or async .*Use `with` inside it"):
            switch(function)


def test_a_decorated_function_in_many_threads():
    @mr.no_grad()
    def predict(barrier):
        barrier.wait(10)  # all are inside at once
        recorded = (leaf() * 2).requires_grad
        barrier.wait(10)
        return recorded

    barrier = threading.Barrier(4)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: (predict(barrier), mr.is_grad_enabled()), range(4)))
    assert results == [(False, True)] * 4


def train(seed: int) -> list[float]:
    """Losses of a small network trained for some steps; draws its weights, dropout and data from `seed`."""
    generator = mr.manual_seed(seed)
    x, labels = mr.randn(8, 2, 6, 6), mr.tensor(generator.integers(0, 3, 8))
    parameters = [mr.randn(4, 2, 3, 3), mr.ones(4), mr.zeros(4), mr.randn(3, 4)]
    for parameter in parameters:
        parameter.requires_grad_()
    w, scale, shift, classifier = parameters
    losses = []
    for _ in range(10):
        h = F.batch_norm(F.conv2d(x, w, padding=1), None, None, scale, shift, training=True, relu=True)
        h = F.dropout(F.global_avg_pool2d(F.max_pool2d(h, 2)), 0.2)
        loss = F.cross_entropy(F.linear(h, classifier), labels)
        loss.backward()
        for parameter in parameters:
            parameter.assign_(parameter.data - 0.1 * parameter.grad.data)
            parameter.grad = None
        with mr.no_grad():
            losses.append(loss.item())
    return losses


def test_two_trainings_in_two_threads_equal_each_alone():
    seeds = range(6)
    alone = [train(seed) for seed in seeds]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(train, seeds))
    assert together == alone
    assert alone[0][-1] < alone[0][0]
    assert np.isfinite(alone).all()


def test_two_threads_may_hold_the_same_weights():
    """Guards are counted under a lock: weights that both graphs need are free again when both are done."""
    w = mr.tensor(np.ones((3, 3)), requires_grad=True)

    def work(_):
        for _ in range(200):
            (w @ w).sum()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert w.data.flags.writeable


# Every switch, and what reads it.
SWITCHES = {
    "no_grad": (mr.no_grad, mr.is_grad_enabled),
    "detect_anomaly": (mr.detect_anomaly, modes.is_detecting_anomaly),
    "disable_fused_backward": (mr.disable_fused_backward, modes.is_fused_backward_disabled),
    "indices_checked": (modes.indices_checked, modes.are_indices_checked),
    "set_grad_enabled": (lambda: mr.set_grad_enabled(False), mr.is_grad_enabled),
    "use_backend": (lambda: mr.use_backend("reference"), lambda: dispatch._forced.get()),
    "profile": (mr.profile, lambda: len(profiling.ACTIVE.get())),
    "intercepting": (lambda: modes.intercepting(observe=lambda *_: None), lambda: modes.interceptor() is None),
    "watching_writes": (lambda: modes.watching_writes(lambda tensor: None), lambda: modes.write_watcher() is None),
    "capturing": (capturing.capturing, capturing.is_capturing),
}


def held(switch):
    with switch():
        yield


@pytest.mark.parametrize("name", SWITCHES)
def test_a_generator_may_leave_a_block_in_another_thread(name):
    """The thread that leaves it goes on with its own value; so does one that starts with the block's value."""
    switch, read = SWITCHES[name]
    outside = read()
    with ThreadPoolExecutor(1) as pool, ThreadPoolExecutor(1) as other:
        generator = held(switch)
        pool.submit(next, generator).result()
        assert other.submit(lambda: (generator.close(), read())[1]).result() == outside
        copied = pool.submit(contextvars.copy_context).result()  # what an async task made inside the block has

        def leave_in_copy():
            generator = held(switch)
            contextvars.copy_context().run(next, generator)
            generator.close()
            return read()

        assert copied.run(read) != outside
        assert other.submit(leave_in_copy).result() == outside
    assert read() == outside


def test_a_block_that_is_left_in_a_copy_of_its_context_is_left_there():
    generator = held(mr.no_grad)
    entered = contextvars.Context()
    entered.run(next, generator)
    copied = entered.copy()
    assert not copied.run(mr.is_grad_enabled)
    copied.run(generator.close)
    assert copied.run(mr.is_grad_enabled)


def test_an_async_generator_that_the_event_loop_closes_leaves_its_block_without_an_error():
    async def numbers():
        with mr.no_grad(), mr.use_backend("reference"):
            yield 1
            yield 2

    async def first(generator):
        return await anext(generator)

    errors = []

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: errors.append(context))
        generator = numbers()
        assert await asyncio.create_task(first(generator)) == 1
        await asyncio.create_task(generator.aclose())
        return mr.is_grad_enabled()

    assert asyncio.run(main())
    assert not errors


def test_one_block_object_in_two_threads_at_once():
    switch, barrier = mr.no_grad(), threading.Barrier(2)

    def work(_):
        with switch:
            barrier.wait(10)
            inside = mr.is_grad_enabled()
        barrier.wait(10)
        return inside, mr.is_grad_enabled()

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(work, range(2))) == [(False, True)] * 2


def test_use_backend_decorates_functions_but_no_generators():
    @mr.use_backend("reference")
    def forced():
        return dispatch._forced.get()

    assert forced() == "reference"
    assert dispatch._forced.get() is None
    with pytest.raises(TypeError, match="numbers is a generator"):
        mr.use_backend("reference")(numbers)


def test_no_grad_decorates_without_parentheses():
    w = mr.ones(2, requires_grad=True)

    @mr.no_grad
    def predicted(x):
        return w * x

    @mr.enable_grad
    def recorded(x):
        return w * x

    assert not predicted(2.0).requires_grad
    with mr.no_grad():
        assert recorded(2.0).requires_grad
    assert (w * 2.0).requires_grad
    assert predicted.__name__ == "predicted"
