"""The CUDA provider's tests run twice: with its kernels on the CPU (tests/cudasim), and on a GPU if there is one."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from minires import cuda
from minires.backend.cuda import launch
from tests.backend.cuda.device import Device
from tests.backend.standin import Cupy


def _forget() -> None:
    """Clear what is cached of a device: the next test may run on another."""
    cuda.device._probe.cache_clear()
    launch._function.cache_clear()
    launch._module.cache_clear()


@pytest.fixture(scope="module", params=["simulated", pytest.param("gpu", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> Iterator[Device]:
    """The device of a test module. Hypothesis rejects fixtures of function scope, which it does not renew."""
    _forget()
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "simulated":
            patch.setitem(sys.modules, "cupy", Cupy())
        elif not cuda.is_available():
            pytest.skip(f"needs a GPU: {cuda.is_available().reason}")  # a failure where MINIRES_REQUIRE_GPU=1
        yield Device(sys.modules["cupy"])
    _forget()
