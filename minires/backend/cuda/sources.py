"""The CUDA C sources: their folder, their text with all headers inserted, and the kernels' signatures.

One text then contains everything that a kernel consists of. Together with the compiler's options it is a complete key
for CuPy's cache of compiled kernels, which would not notice that a header has changed.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minires.errors import DeviceError

_HERE = Path(__file__).resolve().parent
_PLACES = (_HERE / "sources", _HERE.parent.parent.parent / "kernels" / "cuda")  # in an installation; in a checkout

_INCLUDE = re.compile(r'^#include "([\w.]+)"\n', re.MULTILINE)
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_KERNEL = re.compile(
    r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\s*\([^)]*\)\s*)?(?P<name>\w+)\s*\((?P<parameters>[^)]*)\)'
)
_STRUCT = r"struct {} {{(.*?)\n}};"
_FIELDS = re.compile(r"^ *(int|unsigned|float|long long|\w+) (\w+(?:, \w+)*);", re.MULTILINE)
_NUMBERS = {"int": np.int32, "unsigned": np.uint32, "float": np.float32, "long long": np.int64}
_PARAMETER = re.compile(r"^(?:const )?(?P<type>\w[\w ]*?) ?(?P<pointer>\*)?(?: ?__restrict__)? (?P<name>\w+)$")


class Parameter(NamedTuple):
    """A parameter of a kernel: `const float* __restrict__ x` is Parameter("x", "float", True)."""

    name: str
    type: str
    is_pointer: bool


def folder() -> Path:
    """The folder of the sources. Raises DeviceError if this installation has none."""
    for place in _PLACES:
        if (place / "common.cuh").is_file():
            return place
    raise DeviceError(
        f"the CUDA sources of MiniRes are missing, looked for in {_PLACES[0]} and {_PLACES[1]}: install MiniRes again"
    )


def names() -> list[str]:
    """The names of all sources, without `.cu`."""
    return sorted(path.stem for path in folder().glob("*.cu"))


@cache
def text(source: str) -> str:
    """The text of `source`.cu in ASCII, with each header in place of the first line that includes it."""
    return in_ascii(_inlined(f"{source}.cu", set()))


def in_ascii(code: str) -> str:
    """The code with "_" for every character beyond ASCII, which only comments contain.

    CuPy writes the code to a file in the locale's encoding, which may lack such characters (Σ).
    """
    return _BEYOND_ASCII.sub("_", code)


def _inlined(file: str, seen: set[str]) -> str:
    if file in seen:
        return ""
    seen.add(file)
    own = (folder() / file).read_text("utf-8").replace("#pragma once\n", "")
    return _INCLUDE.sub(lambda include: _inlined(include[1], seen), own)


@cache
def signatures(source: str) -> dict[str, tuple[Parameter, ...]]:
    """{kernel: its parameters}, read from the text of `source`.cu."""
    return signatures_in(text(source))


def signatures_in(code: str) -> dict[str, tuple[Parameter, ...]]:
    """{kernel: its parameters} of any text. Raises ValueError for a parameter whose declaration it cannot parse."""
    return {
        kernel["name"]: tuple(map(_parameter, kernel["parameters"].split(",")))
        for kernel in _KERNEL.finditer(_COMMENT.sub("", code))
    }


def _parameter(declaration: str) -> Parameter:
    plain = " ".join(declaration.replace("*", "* ").split()).replace(" *", "*")
    found = _PARAMETER.match(plain)
    if found is None:
        raise ValueError(f"the parameter {plain!r} of a CUDA kernel is not of the form `const float* __restrict__ x`")
    return Parameter(found["name"], found["type"], bool(found["pointer"]))


@cache
def struct(source: str, name: str) -> np.dtype[np.void]:
    """The struct `name` of `source`.cu as a NumPy dtype, laid out as in C. Raises ValueError if there is none."""
    body = re.search(_STRUCT.format(name), _COMMENT.sub("", text(source)), re.DOTALL)
    if body is None:
        raise ValueError(f"{source}.cu has no struct {name}")
    fields = [
        (field, _NUMBERS[kind] if kind in _NUMBERS else struct(source, kind))
        for kind, names in _FIELDS.findall(body[1])
        for field in names.split(", ")
    ]
    return np.dtype(fields, align=True)


def pack(source: str, name: str, **values: object) -> np.ndarray:
    """A struct with these values, as an array (). Raises ValueError where a field is missing or unknown."""
    dtype = struct(source, name)
    if set(values) != set(dtype.names or ()):
        raise ValueError(f"{name} of {source}.cu: {sorted(set(values) ^ set(dtype.names or ()))} do not match")
    packed = np.zeros((), dtype)
    for field, value in values.items():
        packed[field] = value
    return packed
