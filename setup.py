"""The build's one imperative part: the C kernels. Everything declarative stands in pyproject.toml.

The sources of `kernels/cpu/` are built once for each instruction set, as extension modules of `minires.backend.cpu`;
which one runs is decided at import, from the processor (`minires/backend/cpu/isa.py`). Nothing here depends on the
machine that builds. They are optional: with no C compiler the installation succeeds, says so, and the readable
reference kernels serve.
"""

from __future__ import annotations

import os
import platform
import sys
from glob import glob

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# Products and sums in one expression may become fused multiply-adds; NaN, infinity and the order of sums stay as written.
FLAGS = ["-std=gnu11", "-O3", "-fvisibility=hidden", "-ffp-contract=fast", "-fno-math-errno", "-pthread"]
X86 = {
    "avx2": ["-mavx2", "-mfma"],
    "avx512": ["-mavx2", "-mfma", "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mprefer-vector-width=512"],
}


def extensions() -> list[Extension]:
    """One for each instruction set that compilers for this architecture know."""
    try:
        import numpy
    except ImportError:
        print("MiniRes: without NumPy's headers the C kernels are not built; the reference kernels will serve")
        return []
    if sys.platform == "win32" or os.environ.get("MINIRES_NO_KERNELS"):
        return []
    is_x86 = platform.machine().lower() in ("x86_64", "amd64")
    more = os.environ.get("MINIRES_CFLAGS", "").split()  # for sanitizers
    return [
        Extension(
            f"minires.backend.cpu._{isa}",
            sources=sorted(glob("kernels/cpu/*.c")),
            depends=sorted(glob("kernels/cpu/*.h")),
            include_dirs=[numpy.get_include()],
            define_macros=[("MODULE_NAME", f"_{isa}")],
            extra_compile_args=[*FLAGS, *flags, *more],
            extra_link_args=["-pthread", *more],
            optional=True,
        )
        for isa, flags in {"baseline": [], **(X86 if is_x86 else {})}.items()
    ]


class BuildKernels(build_ext):
    """`build_ext` that says in MiniRes's words what a failure means."""

    def run(self) -> None:
        self.parallel = self.parallel or os.cpu_count()
        super().run()
        missing = [each.name for each in self.extensions if not os.path.exists(self.get_ext_fullpath(each.name))]
        if missing and not self.inplace:
            self.warn(f"not built: {', '.join(missing)}. MiniRes works without: the reference kernels serve, slowly.")


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildKernels})
