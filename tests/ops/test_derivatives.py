"""Every op against finite differences, a complex step and its own float32, with no other library.

Each case of the table is differentiated along random directions with random cotangents: the numbers say whether a
derivative belongs to the function it claims to come from.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import numpy as np
import pytest

import minires as mr
from minires.core import modes
from minires.gradcheck.catalogue import OPS
from tests.ops.cases import CASES, Case
from tests.ops.derivatives import assert_close, cotangent, ours
from tests.ops.names import CONSTANT, DISTRIBUTED, HOOKS, differentiable_functions, op_classes
from tests.ops.problems import Draw, Problem

STEP = 2e-4
WEIGHTS = {1: 8 / 12, -1: -8 / 12, 2: -1 / 12, -2: 1 / 12}  # f′(x) h = Σ w_k f(x + kh) + O(h⁵)


def problems(case: Case, count: int = 3) -> list[Problem]:
    """The same problems in every run: no example lies near a kink one day and not the next."""
    return [case.draw(Draw.from_seed(zlib.crc32(case.name.encode()), k)) for k in range(count)]


def tensors(case: Case, problem: Problem, inputs: Sequence[np.ndarray]) -> tuple[list[mr.Tensor], mr.Tensor]:
    leaves = [mr.tensor(array, requires_grad=True) for array in inputs]
    return leaves, case.ours(*leaves, *map(mr.tensor, problem.constants), **problem.options)


def value(case: Case, problem: Problem, arrays: Sequence[np.ndarray]) -> float:
    """⟨f(inputs), u⟩, a number; arrays = (inputs …, u)."""
    with mr.no_grad():
        return float((tensors(case, problem, arrays[:-1])[1].numpy() * arrays[-1]).sum())


def first(case: Case, problem: Problem, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """∂⟨f, u⟩ by each input, through `backward`."""
    leaves, y = tensors(case, problem, arrays[:-1])
    if y.requires_grad:
        y.backward(mr.tensor(arrays[-1]))
    return [np.zeros(leaf.shape) if leaf.grad is None else leaf.grad.numpy() for leaf in leaves]


def along_first(case: Case, problem: Problem, arrays: Sequence[np.ndarray]) -> float:
    """Σᵢ ⟨∂⟨f, u⟩/∂xᵢ, vᵢ⟩, a number."""
    return sum(float((g * cotangent(g.shape, 1, i)).sum()) for i, g in enumerate(first(case, problem, arrays)))


def numeric(
    function: Callable[[Sequence[np.ndarray]], float], arrays: Sequence[np.ndarray], k: int, direction: np.ndarray
) -> float:
    """The derivative of `function` by arrays[k] along `direction`, by central differences of fourth order."""
    moved = [[*arrays[:k], arrays[k] + m * STEP * direction, *arrays[k + 1 :]] for m in WEIGHTS]
    return sum(w * function(each) for w, each in zip(WEIGHTS.values(), moved, strict=True)) / STEP


def direction_for(array: np.ndarray, k: int) -> np.ndarray:
    """Random, at most 1 in each element, so that a step keeps clear of kinks."""
    return np.random.default_rng([k, *array.shape]).uniform(-1, 1, array.shape)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradient_equals_differences(case):
    for problem in problems(case):
        arrays = [*problem.inputs, cotangent(tensors(case, problem, problem.inputs)[1].shape)]
        fused = first(case, problem, arrays)
        with mr.disable_fused_backward():
            formula = first(case, problem, arrays)
        for k, gradients in enumerate(zip(fused, formula, strict=True)):
            direction = direction_for(arrays[k], k)
            expected = numeric(lambda moved: value(case, problem, moved), arrays, k, direction)  # noqa: B023
            for gradient in gradients:
                assert float((gradient * direction).sum()) == pytest.approx(expected, rel=1e-8, abs=1e-9)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_second_derivative_equals_differences_of_the_first(case):
    for problem in problems(case):
        arrays = [*problem.inputs, cotangent(tensors(case, problem, problem.inputs)[1].shape)]
        second = ours(case, problem, 2)
        for k, array in enumerate(arrays):
            direction = direction_for(array, k)
            expected = numeric(lambda moved: along_first(case, problem, moved), arrays, k, direction)  # noqa: B023
            actual = float((second[f"order 2, of {k}"] * direction).sum())
            assert actual == pytest.approx(expected, rel=1e-7, abs=1e-8)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradient_equals_a_complex_step(case):
    """Im f(x + ihv)/h is the derivative along v to rounding error, by another road through the kernels."""
    for problem in problems(case):
        arrays = [*problem.inputs, cotangent(tensors(case, problem, problem.inputs)[1].shape)]
        gradients = first(case, problem, arrays)
        constants = [mr.tensor(c, np.complex128 if c.dtype.kind == "f" else None) for c in problem.constants]
        for k, gradient in enumerate(gradients):
            direction = direction_for(arrays[k], k)
            inputs = [mr.tensor(a + (1e-30j * direction if i == k else 0j)) for i, a in enumerate(problem.inputs)]
            with modes.complex_step():
                y = case.ours(*inputs, *constants, **problem.options).numpy()
            assert y.dtype == np.complex128
            expected = float((y.imag / 1e-30 * arrays[-1]).sum())
            assert float((gradient * direction).sum()) == pytest.approx(expected, rel=1e-11, abs=1e-12)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_float32_stays_float32(case):
    """Nothing on the way promotes, forward or backward to order two, and the numbers agree to float32's precision."""
    for problem in problems(case, 2):
        single, double = ours(case, problem, 2, np.float32), ours(case, problem, 2)
        assert {array.dtype for array in single.values()} == {np.dtype(np.float32)}
        low = {name: array for name, array in single.items() if name[:7] in ("output", "order 1")}
        assert_close(low, {name: double[name] for name in low}, 1e-5, least=0.1)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_inputs_and_constants_are_left_alone(case):
    problem = problems(case, 1)[0]
    leaves = [mr.tensor(array, requires_grad=True) for array in problem.inputs]
    constants = [mr.tensor(array) for array in problem.constants]
    y = case.ours(*leaves, *constants, **problem.options)
    y.backward(mr.tensor(cotangent(y.shape)))
    for leaf, array in zip(leaves, problem.inputs, strict=True):
        np.testing.assert_array_equal(leaf.numpy(), array)
    if case.name != "batch_norm":  # in training it moves the running statistics
        for constant, array in zip(constants, problem.constants, strict=True):
            np.testing.assert_array_equal(constant.numpy(), array)


def test_every_op_of_the_catalogue_has_a_case():
    """And every case belongs to an op of the catalogue: what the two tables say is joined by name."""
    no_op = {"operators"}  # of add, subtract, multiply and divide together
    elsewhere = {"astype"}  # tests/ops/test_cast.py
    assert {case.op for case in CASES} - no_op == set(OPS) - elsewhere


def test_every_public_function_has_a_case():
    assert differentiable_functions() - {case.op for case in CASES} == set()


def test_every_formula_is_run(monkeypatch):
    """No class of `minires.ops` has a backward that the table never reaches."""
    classes = {each for each in op_classes() if "backward" in vars(each)}
    assert len(classes) > 30
    ran = set()

    def noting(op, backward):
        def noted(self, gradient):
            ran.add(op)
            return backward(self, gradient)

        return noted

    for op in classes:
        monkeypatch.setattr(op, "backward", noting(op, op.backward))
    for case in CASES:
        for problem in problems(case):
            ours(case, problem, case.orders)
    without = HOOKS | CONSTANT | DISTRIBUTED
    assert {op.__name__ for op in classes - ran} - without == {"AsType", "ToDevice"}  # tests/ops/test_cast.py
