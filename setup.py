"""The part of the build that pyproject.toml cannot express: the C kernels, the CUDA sources and the documentation.

The sources of `kernels/cpu/` are built once for each instruction set, as extension modules of `minires.backend.cpu`.
At import the processor decides which of them is used (`minires/backend/cpu/isa.py`), so nothing here depends on the
machine that builds. Without a C compiler the installation succeeds, says so, and the reference kernels are used.

    MINIRES_KERNELS=all             build for every instruction set of the platform; fail where one does not compile
    MINIRES_KERNELS=baseline,avx2   build for these; fail where one does not compile
    MINIRES_KERNELS=none            build no C kernels
    MINIRES_CFLAGS="-O1 …"          add these flags in compiling and linking, for instance of sanitizers
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

# A product and a sum in one expression may become a fused multiply-add. NaN, infinity and the order of sums are kept.
FLAGS = ["-std=gnu11", "-O3", "-fvisibility=hidden", "-ffp-contract=fast", "-fno-math-errno", "-pthread"]
FLAGS += ["-Werror=implicit-function-declaration"]  # otherwise the module compiles and cannot be imported
X86 = {
    "avx2": ["-mavx2", "-mfma"],
    "avx512": ["-mavx2", "-mfma", "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mprefer-vector-width=512"],
}
OLDEST_NUMPY = "NPY_2_1_API_VERSION"  # the oldest NumPy that the modules run with, as in pyproject.toml
CUDA = sorted([*glob("kernels/cuda/*.cu"), *glob("kernels/cuda/*.cuh")])
PAGES = sorted([*glob("docs/**/*.md", recursive=True), *glob("docs/studies/results/*.json")])
SLOWLY = "everything works, slowly, by the reference kernels"


def say(what: str) -> None:
    """Prints a line for whoever installs. pip shows it with -v, `make` always."""
    sys.stderr.write(f"MiniRes: {what}\n")


def instruction_sets() -> dict[str, list[str]]:
    """{name: compiler flags} of the instruction sets of the target platform, which may not be this machine's."""
    platform = sysconfig.get_platform()  # linux-x86_64, macosx-11.0-arm64; macOS's universal2 gets only the baseline
    if platform.startswith("win"):  # the kernels use POSIX threads
        return {}
    return {"baseline": [], **(X86 if platform.endswith(("x86_64", "amd64")) else {})}


def extensions() -> list[Extension]:
    """An extension module for each instruction set; MINIRES_KERNELS says which, and whether one may fail to compile."""
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
    """`build_ext` for modules that are made of the same sources; it explains what a failure means for MiniRes."""

    def run(self) -> None:
        """Builds the modules in parallel, names those that do not compile, and deletes their earlier builds."""
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
        """Compiles one module. Its object files get a folder of their own: those of the others have the same names."""
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
    """`build_py` that also copies the CUDA sources, compiled on the user's machine, to minires/backend/cuda/sources/.

    The pages of docs/ go to minires/docs/, for `minires docs`, and with them the studies' results, for the lessons. In
    a checkout they are read where they are, as the CUDA sources are, so an editable installation copies nothing.
    """

    def run(self) -> None:
        """Copies the CUDA sources and the pages last, when their folders exist."""
        super().run()
        if not self.editable_mode:
            package = os.path.join(self.build_lib, "minires")
            copies = {
                path: os.path.join(package, "backend", "cuda", "sources", os.path.basename(path)) for path in CUDA
            }
            copies |= {path: os.path.join(package, path) for path in PAGES}
            for path, target in copies.items():
                self.mkpath(os.path.dirname(target))
                self.copy_file(path, target)


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildKernels, "build_py": CopySources})
