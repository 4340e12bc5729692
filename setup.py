"""The build's imperative part: the C kernels, and the CUDA sources. Everything declarative stands in pyproject.toml.

The sources of `kernels/cpu/` are built once for each instruction set, as extension modules of `minires.backend.cpu`;
which one runs is decided at import, from the processor (`minires/backend/cpu/isa.py`). Nothing here depends on the
machine that builds. With no C compiler the installation succeeds, says so, and the readable reference kernels serve.

    MINIRES_KERNELS=all             build every one that the platform can have, and fail where one does not compile
    MINIRES_KERNELS=baseline,avx2   the same for these alone
    MINIRES_KERNELS=none            build none
    MINIRES_CFLAGS="-O1 …"          more flags, for compiling and linking: sanitizers, for instance
"""

from __future__ import annotations

import copy
import os
import sys
import sysconfig
from contextlib import suppress
from glob import glob

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

# A product and a sum in one expression may become a fused multiply-add; NaN, infinity and the order of sums stay.
FLAGS = ["-std=gnu11", "-O3", "-fvisibility=hidden", "-ffp-contract=fast", "-fno-math-errno", "-pthread"]
FLAGS += ["-Werror=implicit-function-declaration"]  # else a module that compiles, and cannot be imported
X86 = {
    "avx2": ["-mavx2", "-mfma"],
    "avx512": ["-mavx2", "-mfma", "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mprefer-vector-width=512"],
}
OLDEST_NUMPY = "NPY_2_1_API_VERSION"  # that the modules run with, as pyproject.toml has it
CUDA = sorted([*glob("kernels/cuda/*.cu"), *glob("kernels/cuda/*.cuh")])
SLOWLY = "everything works, slowly, by the reference kernels"


def say(what: str) -> None:
    """A line for whoever installs; pip shows it with -v, `make` always."""
    sys.stderr.write(f"MiniRes: {what}\n")


def instruction_sets() -> dict[str, list[str]]:
    """{name: flags of the compiler}: what there is for the platform that is built for, which may not be this one."""
    platform = sysconfig.get_platform()  # linux-x86_64, macosx-11.0-arm64; macOS's universal2 gets the baseline alone
    if platform.startswith("win"):  # the kernels' threads are POSIX's
        return {}
    return {"baseline": [], **(X86 if platform.endswith(("x86_64", "amd64")) else {})}


def extensions() -> list[Extension]:
    """A module for each instruction set; which of them may fail to compile, MINIRES_KERNELS says."""
    known, asked = instruction_sets(), os.environ.get("MINIRES_KERNELS", "").replace(" ", "")
    if asked == "none":
        return []
    chosen = list(known) if asked in ("", "all") else asked.split(",")
    if not set(chosen) <= set(known):
        sys.exit(f"MiniRes: MINIRES_KERNELS={asked}: here it may be none, all, or some of {', '.join(known)}")
    try:
        import numpy
    except ImportError:
        if asked:
            raise
        say(f"no C kernels, for want of NumPy's headers: {SLOWLY}")
        return []
    more = os.environ.get("MINIRES_CFLAGS", "").split()
    return [
        Extension(
            f"minires.backend.cpu._{isa}",
            sources=sorted(glob("kernels/cpu/*.c")),
            depends=["setup.py", *sorted(glob("kernels/cpu/*.h"))],
            include_dirs=[numpy.get_include()],
            define_macros=[("MODULE_NAME", f"_{isa}"), ("NPY_TARGET_VERSION", OLDEST_NUMPY)],
            extra_compile_args=[*FLAGS, *known[isa], *more],
            extra_link_args=["-pthread", *more],
            optional=not asked,
        )
        for isa in chosen
    ]


class BuildKernels(build_ext):
    """`build_ext` for modules made of the same sources, which says in MiniRes's words what a failure means."""

    def run(self) -> None:
        """Build the modules side by side; what does not compile is named, and its predecessor taken away."""
        self.failed: list[str] = []
        self.parallel = self.parallel or os.cpu_count()
        super().run()
        for name in self.failed:
            with suppress(FileNotFoundError):
                os.remove(self.get_ext_fullpath(name))
        if len(self.failed) == len(self.extensions) > 0:
            say(f"no C kernels, for want of a compiler that builds them (why: above): {SLOWLY}")
        elif self.failed:
            names = ", ".join(name.rpartition("_")[2] for name in self.failed)
            say(f"C kernels built, but not for {names}, which this compiler does not manage (why: above)")

    def build_extension(self, ext: Extension) -> None:
        """Compile one, its object files in a folder of their own: those of the others have the same names."""
        own = copy.copy(self)
        own.build_temp = os.path.join(self.build_temp, ext.name)
        try:
            super(BuildKernels, own).build_extension(ext)
        except Exception:
            self.failed.append(ext.name)
            with suppress(FileNotFoundError):
                os.remove(self.get_ext_fullpath(ext.name))
            raise


class CopySources(build_py):
    """`build_py` that takes the CUDA sources along, which a GPU's machine compiles: into minires/backend/cuda/sources/.

    In a checkout they are read from kernels/cuda/ itself, so an editable installation copies nothing.
    """

    def run(self) -> None:
        """Copy them last: the folder that they go to is made before."""
        super().run()
        if not self.editable_mode:
            folder = os.path.join(self.build_lib, "minires", "backend", "cuda", "sources")
            self.mkpath(folder)
            for path in CUDA:
                self.copy_file(path, os.path.join(folder, os.path.basename(path)))


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildKernels, "build_py": CopySources})
