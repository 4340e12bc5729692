"""Which build of the C kernels this processor gets.

The same sources are built for several instruction sets (`setup.py`); each build is a module of its own, and the best
that the processor can run is imported. MINIRES_ISA=baseline, avx2 or avx512 forces one. Where nothing was built, for
want of a compiler, there is none, and the reference kernels serve.
"""

from __future__ import annotations

import importlib
import os
from types import ModuleType

from minires.errors import DeviceError

ISAS = ("baseline", "avx2", "avx512")  # in order of preference, the best last


def built() -> dict[str, ModuleType]:
    """The builds that this installation has and this processor can run: {instruction set: module}, the best last."""
    try:
        modules = {"baseline": importlib.import_module("minires.backend.cpu._baseline")}
    except ImportError:
        return {}
    for isa in modules["baseline"].supported():
        try:
            modules[isa] = importlib.import_module(f"minires.backend.cpu._{isa}")
        except ImportError:  # not built: its compiler did not know the instructions
            continue
    return modules


def load() -> tuple[str, ModuleType | None]:
    """(instruction set, module) to use; ("", None) where there are no C kernels.

    Raises DeviceError if MINIRES_ISA names what is not there.
    """
    modules = built()
    wanted = os.environ.get("MINIRES_ISA") or next(reversed(modules), "")
    if wanted and wanted not in modules:
        available = ", ".join(modules) or "none; the C kernels were not built"
        raise DeviceError(f"MINIRES_ISA={wanted}: no such kernels for this processor; available: {available}")
    return wanted, modules.get(wanted)
