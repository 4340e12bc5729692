"""The gradient of an input is the same whichever other inputs ask for one, at order 1 and at order 2.

`backward` leaves out what nobody needs. That must be the gradient of just that input.
"""

from __future__ import annotations

import numpy as np
import pytest

import minires as mr
from minires.gradcheck.catalogue import EXAMPLES, Example
from tests.ops.derivatives import cotangent

SEVERAL = [each for each in EXAMPLES if "dropout" not in each.name]  # each call of those draws another mask


Derivatives = dict[tuple[str, int], np.ndarray]


def derivatives(example: Example, variables: set[int], asking: set[int]) -> Derivatives:
    """The gradients gᵢ and ∂(Σᵢ ⟨gᵢ, vᵢ⟩)/∂xⱼ, for i and j in `asking`, while `variables` require gradients.

    Inputs have numbers from 0, and the next number is that of the cotangent.
    """
    tensors = example.tensors()
    count = len(tensors) - len(example.constants)
    for number in range(count):
        tensors[number].requires_grad_(number in variables)
    outputs = example.f(*tensors)
    outputs = [outputs] if isinstance(outputs, mr.Tensor) else list(outputs)
    us = [mr.tensor(cotangent(y.shape), requires_grad=count in variables) for y in outputs]
    wanted = [k for k in range(count) if k in asking]
    pairs = [(y, u) for y, u in zip(outputs, us, strict=True) if y.requires_grad]
    if not pairs or not wanted:
        return {}
    roots, given = zip(*pairs, strict=True)
    first = mr.grad(list(roots), [tensors[k] for k in wanted], list(given), create_graph=True, allow_unused=True)
    found = {("first", k): g.numpy() for k, g in zip(wanted, first, strict=True) if g is not None}
    terms = [(g * mr.tensor(cotangent(g.shape, k))).sum() for k, g in zip(wanted, first, strict=True) if g is not None]
    terms = [each for each in terms if each.requires_grad]
    if terms:
        asked = {k: tensors[k] for k in wanted} | (dict(enumerate(us, count)) if count in asking else {})
        second = mr.grad(sum(terms[1:], terms[0]), list(asked.values()), allow_unused=True)
        found |= {("second", k): g.numpy() for k, g in zip(asked, second, strict=True) if g is not None}
    return found


def assert_equal(some: Derivatives, others: Derivatives) -> None:
    """A derivative that is missing is zero."""
    for key in some.keys() | others.keys():
        a, b = some.get(key, np.zeros(())), others.get(key, np.zeros(()))
        np.testing.assert_allclose(a - b, 0, atol=1e-12, err_msg=str(key))


@pytest.mark.parametrize("example", SEVERAL, ids=lambda each: each.name)
def test_what_is_left_out_is_what_nobody_needs(example):
    count = len(example.tensors()) - len(example.constants)
    everything = set(range(count + 1))
    subsets = [everything - {k} for k in range(count + 1)] + [{k} for k in range(count)]
    for some in subsets:
        assert_equal(derivatives(example, some, some), derivatives(example, everything, some))
