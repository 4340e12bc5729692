"""The build of the C kernels that this processor uses.

`setup.py` builds the same sources for several instruction sets. Each build is a module of its own, and the best one
that the processor can run is imported. MINIRES_ISA=baseline, avx2 or avx512 forces one. Without a compiler nothing is
built, and the reference kernels are used; a line on standard error says so.
"""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from types import ModuleType

from minires.errors import DeviceError

ISAS = ("baseline", "avx2", "avx512")  # in order of preference, the best last


def built() -> dict[str, ModuleType]:
    """{instruction set: module}: the builds that this installation has and this processor can run, the best last."""
    baseline = _import("baseline")
    if baseline is None:
        return {}
    modules = {isa: _import(isa) for isa in baseline.supported()}
    return {isa: module for isa, module in modules.items() if module is not None}


def _import(isa: str) -> ModuleType | None:
    """The build for one instruction set; None if there is none, because the compiler does not know the set."""
    try:
        return importlib.import_module(f"minires.backend.cpu._{isa}")
    except ModuleNotFoundError:
        return None
    except ImportError as error:  # the build is there but does not load: say why the kernels will be slow
        warnings.warn(f"MiniRes's C kernels for {isa} do not load ({error}); install it anew", stacklevel=2)
        return None


def _say_that_there_are_none() -> None:
    """Print one line on standard error, unless the environment asks for the reference, or for an installation without.

    It is no warning of the module `warnings`: a program that makes errors of those could not import MiniRes.
    """
    if os.environ.get("MINIRES_BACKEND") == "reference" or os.environ.get("MINIRES_KERNELS") == "none":
        return
    remedy = "There are none for Windows"
    if os.name != "nt":
        remedy = "Install a prebuilt wheel, or a C compiler and MiniRes again (`minires info` says how)"
    if sys.stderr is not None:
        sys.stderr.write(
            "MiniRes: there are no C kernels here, so the NumPy reference computes, many times more slowly. "
            f"{remedy}; MINIRES_BACKEND=reference hides this line.\n"
        )


def load() -> tuple[str, ModuleType | None]:
    """(instruction set, module) to use; ("", None) if there are no C kernels.

    Raises DeviceError if MINIRES_ISA names a build that is not there or that the processor cannot run.
    """
    modules = built()
    if not modules:
        _say_that_there_are_none()
    wanted = os.environ.get("MINIRES_ISA") or next(reversed(modules), "")
    if wanted and wanted not in modules:
        available = ", ".join(modules) or "none; the C kernels were not built"
        raise DeviceError(f"MINIRES_ISA={wanted}: no such kernels for this processor; available: {available}")
    return wanted, modules.get(wanted)
