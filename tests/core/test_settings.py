"""Numbers and flags that users give as settings."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minires.core.settings import flag, integer, number, plain


def test_a_bound_itself_is_allowed():
    assert integer("f", "n", 3, least=3) == 3
    assert number("f", "p", 0, 0, 1) == 0
    assert number("f", "p", 1.0, 0, 1) == 1
    assert integer("f", "n", -5) == -5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: integer("f", "n", 2, least=3), "f: n = 2 must be at least 3"),
        (lambda: integer("f", "n", -1, least=0), "f: n = -1 must not be negative"),
        (lambda: integer("f", "n", 2.0), "f: n = 2.0 must be an integer, not a float"),
        (lambda: integer("f", "n", True), "f: n = True must be an integer, not a bool"),
        (lambda: number("f", "p", 1.5, 0, 1), "f: p = 1.5 must be between 0 and 1"),
        (lambda: number("f", "p", -0.1, 0), "f: p = -0.1 must not be negative"),
        (lambda: number("f", "p", math.nan), "f: p = nan must be a number"),
        (lambda: number("f", "p", "1"), "f: p = '1' must be a number, not a str"),
        (lambda: number("f", "p", False), "f: p = False must be a number, not a bool"),
        (lambda: flag("f", "b", 1), "f: b = 1 must be True or False$"),
        (lambda: flag("f", "b", None, "write True"), "f: b = None must be True or False; write True$"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_numpys_numbers_become_pythons():
    for given, expected in (
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.array(2.0), 2.0),
        ((np.float64(1), [np.int32(2)]), (1.0, [2])),
    ):
        assert plain(given) == expected
        assert type(plain(given)) is type(expected)
    assert type(number("f", "p", np.float32(0.5))) is float
    assert type(integer("f", "n", np.int8(3))) is int
    assert flag("f", "b", np.bool_(True)) is True


def test_a_bound_is_allowed_of_numpys_types_too():
    assert integer("f", "n", np.int64(3), least=3) == 3
    assert number("f", "p", np.float32(0), 0, 1) == 0
    assert number("f", "p", np.float32(1), 0, 1) == 1
    with pytest.raises(ValueError, match="n = 2 must be at least 3"):
        integer("f", "n", np.int64(2), least=3)
