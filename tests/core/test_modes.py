"""Recording belongs to a thread: contexts, decorators, and two trainings at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import minires as mr
from minires import functional as F
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
