"""PyTorch's own samples of every layer that has the same name here: each passes, or is listed with its reason."""

from __future__ import annotations

import re

import numpy as np
import pytest

from minires import nn
from tests.nn.torch_modules import accepted_errors, differing_signatures, factory_layers, failures, infos
from tests.nn.torch_modules_listed import LISTED, LISTED_ARGUMENTS, LISTED_ERRORS
from tests.torch_comparison import Copies, Results, assert_few_fail, stale, unlisted

pytestmark = [pytest.mark.torch, pytest.mark.slow]  # slow: importing PyTorch's lists of samples takes ten seconds


@pytest.fixture(scope="module")
def results(torch) -> Results:
    pytest.importorskip("expecttest", reason="PyTorch's lists of samples need the package expecttest")
    return {name: failures(torch, info) for name, info in infos(torch).items()}


def test_every_sample_passes_or_is_listed(results):
    failing = unlisted(results, LISTED)
    assert not failing, f"{len(failing)} samples fail and are not listed:\n" + "\n".join(failing[:40])


def test_what_is_listed_fails(results):
    assert not stale(results, LISTED), "these pass, or have another message; take them from the list"


def test_few_are_listed(results):
    assert_few_fail(results)


def test_arguments_are_torchs_or_listed(torch):
    """Of constructors and of forward: the same names in the same order, with the same defaults."""
    assert_listed(differing_signatures(torch), LISTED_ARGUMENTS)


def test_what_pytorch_refuses_is_refused_or_listed(torch):
    pytest.importorskip("expecttest", reason="PyTorch's lists of samples need the package expecttest")
    assert_listed(accepted_errors(torch), LISTED_ERRORS)


def assert_listed(found, listed):
    unlisted = [each for each in found if not any(re.search(pattern, each) for pattern in listed)]
    assert not unlisted, "\n".join(unlisted)
    assert all(any(re.search(pattern, each) for each in found) for pattern in listed), "a stale entry"


def test_constructors_take_device_and_dtype_where_pytorchs_do(torch):
    """torch.nn.Linear(2, 3, dtype=torch.float64): parameters and floating-point buffers are of that dtype."""
    pytest.importorskip("expecttest", reason="PyTorch's lists of samples need the package expecttest")
    wrong = []
    for name, info in factory_layers(torch).items():
        sample = info.module_inputs_func(info, "cpu", torch.float64, requires_grad=False, training=True)[0]
        arguments = Copies(torch, to_minires=True)
        args, kwargs = arguments(tuple(sample.constructor_input.args)), arguments(dict(sample.constructor_input.kwargs))
        try:
            layer = getattr(nn, name)(*args, **kwargs | {"device": "cpu", "dtype": np.float64})
        except TypeError as error:
            wrong.append(f"{name}: {error}")
            continue
        tensors = [*layer.parameters(), *layer.buffers()]
        if any(tensor.dtype != np.float64 for tensor in tensors if tensor.dtype.kind == "f"):
            wrong.append(f"{name}: {[str(tensor.dtype) for tensor in tensors]}")
    assert not wrong, "\n".join(wrong)
