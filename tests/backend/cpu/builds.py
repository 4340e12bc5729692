"""The instruction sets of the C kernels as parameters of a test: the builds, and a skip with its reason for each other.

The first lines of a test run say the same (`header`).
"""

from __future__ import annotations

from typing import Any

import pytest

from minires.backend import cpu
from minires.backend.cpu import isa


def absent() -> dict[str, str]:
    """{instruction set: the reason why its kernels are not tested here}."""
    built = isa.built()
    if not built:
        return dict.fromkeys(isa.ISAS, "the C kernels are not built")
    can = built["baseline"].supported()
    return {
        name: "not built (MINIRES_KERNELS=all builds it)" if name in can else "this processor does not have it"
        for name in isa.ISAS
        if name not in built
    }


def header() -> str:
    """The instruction sets that are tested, the one that all other tests use, and those that are not tested."""
    if cpu.library is None:
        return "C kernels: none here; the reference kernels are tested"
    absences = "".join(f"; not {name}: {reason}" for name, reason in absent().items())
    return f"C kernels tested: {', '.join(isa.built())} (where a test names none: {cpu.ISA}){absences}"


def every_build() -> list[Any]:
    """The parameters, in the order of isa.ISAS."""
    reasons = absent()
    skip = {name: pytest.mark.skip(reason=f"C kernels for {name}: {reason}") for name, reason in reasons.items()}
    return [pytest.param(name, marks=skip.get(name, ())) for name in isa.ISAS]
