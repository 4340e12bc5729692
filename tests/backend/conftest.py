"""The fixture `cupy`: a stand-in for CuPy that needs no GPU."""

from __future__ import annotations

import sys

import pytest

from minires import cuda
from tests.backend.standin import Cupy


@pytest.fixture
def cupy(monkeypatch):
    """The stand-in, imported as `cupy`, with one device."""
    module = Cupy()
    monkeypatch.setitem(sys.modules, "cupy", module)
    cuda.device._probe.cache_clear()
    yield module
    cuda.device._probe.cache_clear()
