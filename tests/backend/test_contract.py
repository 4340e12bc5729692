"""The contract is stated once, and everybody keeps to it."""

from __future__ import annotations

import inspect

import pytest

from minires import backend
from minires.backend import contract, reference


def test_the_list_of_names_is_the_contract():
    assert contract.__all__ == sorted(backend.CONTRACT)
    assert set(backend.CONTRACT) <= set(backend.__all__)


@pytest.mark.parametrize("name", contract.__all__)
def test_reference_keeps_the_contract(name):
    promised = inspect.signature(backend.CONTRACT[name]).parameters
    kept = inspect.signature(getattr(reference, name)).parameters
    assert list(kept) == list(promised)
    assert backend.CONTRACT[name].__doc__
