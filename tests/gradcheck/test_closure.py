"""What a function uses besides its arguments: where it is looked for, and how deep."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires import nn
from minires.errors import DtypeError
from minires.gradcheck import closure, gradcheck
from minires.gradcheck.closure import constants_of
from minires.gradcheck.judge import CONFIRMED

W, OTHER = mr.tensor([1.0, 2.0]), mr.tensor([3.0])
NETWORK = nn.Linear(2, 1)
CONTAINERS = {"list": [W], "tuple": (W,), "dict": {"w": W}, "set": {W}}


class Layer:
    """A callable of no Module, with weights among its attributes and in the code of its call."""

    def __init__(self) -> None:
        self.scale = OTHER

    def __call__(self, x: mr.Tensor) -> mr.Tensor:
        return x * W * self.scale

    def forward(self, x: mr.Tensor) -> mr.Tensor:
        return x * self.scale


def with_default(x: mr.Tensor, w: mr.Tensor = W, *, other: mr.Tensor = OTHER) -> mr.Tensor:
    return x * w * other


def outer(x: mr.Tensor) -> mr.Tensor:
    def inner() -> mr.Tensor:
        return x * W

    return inner()


def cells() -> Any:
    w, network = W, NETWORK

    def f(x: mr.Tensor) -> mr.Tensor:
        return network(x) * w * later

    if not w.ndim:
        later = OTHER  # a cell without contents
    return f


def around(f: Any) -> Any:
    @functools.wraps(f)
    def wrapper(x: mr.Tensor) -> mr.Tensor:
        return f(x)

    return wrapper


FUNCTIONS = {
    "global": (lambda x: x * W, [W]),
    "nothing": (lambda x: x * 2, []),
    "MiniRes's own": (F.relu, []),
    "what MiniRes's own call": (F.cross_entropy, []),
    "default": (with_default, [W, OTHER]),
    "function inside": (outer, [W]),
    "cells": (cells(), [NETWORK, W]),
    "partial": (functools.partial(F.linear, weight=W), [W]),
    "positional partial": (functools.partial(with_default, OTHER), [W, OTHER]),
    "object": (Layer(), [W, OTHER]),
    "method": (Layer().forward, [OTHER, W]),  # the object may be called as well
    "wrapped": (around(with_default), [W, OTHER]),
    "network": (NETWORK, list(NETWORK.parameters())),
    "method of a network": (NETWORK.forward, [NETWORK]),
    "weight of a network": (lambda x: NETWORK(x) * NETWORK.weight, [NETWORK]),
    **{name: (lambda x, c=container: c, [W]) for name, container in CONTAINERS.items()},
}


def ids(found: Any) -> set[int]:
    modules, tensors = found
    assert all(isinstance(each, nn.Module) for each in modules)
    assert all(isinstance(each, mr.Tensor) for each in tensors)
    return {id(each) for each in (*modules, *tensors)}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_place_is_looked_into(name):
    f, used = FUNCTIONS[name]
    modules, tensors = constants_of(f)
    assert ids((modules, tensors)) == {id(each) for each in used}
    assert len(modules) + len(tensors) == len(used)


@pytest.mark.parametrize("network", [nn.Sequential(NETWORK, nn.BatchNorm1d(1))])
def test_tensors_that_belong_to_a_module_are_named_by_the_module_alone(network):
    used = [network, network[0].weight, network[1].running_mean, W]
    assert ids(constants_of(lambda x: used)) == {id(network), id(W)}


@pytest.mark.parametrize(("depth", "found"), [(3, True), (4, True), (5, False)])
def test_containers_inside_one_another_are_followed_four_deep(depth, found):
    nested: Any = W
    for _ in range(depth):
        nested = [nested]
    assert bool(constants_of(lambda x, c=nested: c)[1]) == found


def test_a_container_that_holds_itself():
    endless: list[Any] = [W]
    endless.append(endless)
    assert ids(constants_of(lambda x, c=endless: c)) == {id(W)}


@pytest.mark.parametrize(("before", "found"), [(1, True), (6, True), (7, False)])
def test_no_more_objects_are_looked_at_than_the_limit(monkeypatch, before, found):
    monkeypatch.setattr(closure, "MOST_OBJECTS", 8)  # the list, `before` objects, and the weight
    many = [W, *(object() for _ in range(before))]  # the last is looked at first
    assert bool(constants_of(lambda x, c=many: c)[1]) == found


def test_numbers_text_and_modules_do_not_count_as_objects(monkeypatch):
    monkeypatch.setattr(closure, "MOST_OBJECTS", 8)
    many = [W, 1, 2.5, "a", b"b", mr, int]
    assert ids(constants_of(lambda x, c=many: c)) == {id(W)}


CELL = nn.LSTMCell(3, 2)


def unrolled(x: mr.Tensor) -> mr.Tensor:
    """An LSTM that makes its own initial state, of the default dtype."""
    h, c = mr.zeros(1, 2), mr.zeros(1, 2)
    for each in x:
        h, c = CELL(each, (h, c))
    return h


MAKING: dict[str, Any] = {
    "the state of an LSTM": (unrolled, (2, 1, 3)),
    "eye": (lambda x: x @ mr.eye(3), (2, 3)),
    "a list of floats": (lambda x: x @ mr.tensor([[1.0], [2.0], [-0.5]]), (2, 3)),
    "a kernel of ones": (lambda x: F.conv2d(x, mr.ones(1, 1, 2, 2)), (1, 1, 3, 3)),
    "statistics": (lambda x: F.batch_norm(x, mr.zeros(3), mr.full((3,), 2.0)), (2, 3)),
    "random numbers": (lambda x: F.linear(x, mr.rand(2, 3)), (2, 3)),
    "linspace": (lambda x: x @ mr.linspace(0, 1, 3), (2, 3)),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", MAKING)
def test_what_a_function_makes_itself_has_the_dtype_that_it_is_evaluated_in(name: str, dtype: str) -> None:
    f, shape = MAKING[name]
    x = np.random.default_rng(0).normal(size=shape).astype(dtype)
    report = gradcheck(f, x)
    assert report, report
    assert {each.method for array in report.arrays for each in array.elements} == {CONFIRMED}
    assert mr.zeros(1).dtype == mr.tensor([1.5]).dtype == np.float32


def test_a_dtype_that_is_named_in_the_function_is_kept() -> None:
    with pytest.raises(DtypeError, match="float32"):
        gradcheck(lambda x: x @ mr.eye(3, dtype=np.float32), np.ones((2, 3)))
