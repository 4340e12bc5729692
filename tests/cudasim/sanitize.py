"""`make sanitize`: the CUDA kernels, run on the CPU by the simulator, under AddressSanitizer and
UndefinedBehaviorSanitizer.

    python -m tests.cudasim.sanitize [FILE …]

First bugs are planted, each of which must end its process with a report; then the tests of the CUDA provider and of the
simulator run. These end the run: an access beyond an array in global or shared memory, a misaligned float4, an overflow
of a signed integer, a shift by too many bits. Needs Linux and g++, whose runtime is loaded before Python.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.cudasim import build

ROOT = Path(__file__).resolve().parents[2]
FLAGS = "-O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer"

# {bug: (a kernel, what the report must say, "" for no report)}; a block of 32 threads runs it on 32 numbers.
PLANTED = {
    "none": ("y[t] = 1.f;", ""),
    "a read behind an array": ("y[t] = y[t + 1];", "heap-buffer-overflow"),
    "a write before an array": ("y[t - 1] = 1.f;", "heap-buffer-overflow"),
    "a read behind shared memory": (
        "__shared__ float s[32]; s[t] = 1; __syncthreads(); const float* volatile p = s; y[t] = p[t + 1];",
        "global-buffer-overflow",
    ),
    "an index beyond a row": ("float r[2][4] = {}; r[1][t % 4] = y[t]; y[t] = r[0][t / 4];", "out of bounds"),
    "a misaligned float4": ("*reinterpret_cast<float4*>(y + t / 30) = float4{};", "misaligned address"),
    "a null pointer": ("float* p = y; if (t == 7) p = nullptr; *p = 1.f;", "null pointer"),
    "an overflow": ("int n = 2147483647; n += t; y[t] = n;", "signed integer overflow"),
    "a shift too far": ("y[t] = 1 << (t + 1);", "shift exponent"),
    "a stack that was left": ("float* p; { float x[4] = {y[t]}; p = x; } y[t] = p[t % 4];", "stack-use-after-scope"),
}


def tests() -> list[str]:
    """The files of tests that run kernels."""
    files = sorted((ROOT / "tests" / "backend" / "cuda").glob("test_*.py"))
    own = [ROOT / "tests" / "cudasim" / name for name in ("test_intrinsics.py", "test_simulator.py")]
    return [str(file.relative_to(ROOT)) for file in (*files, *own)]


def plant(name: str) -> None:
    """Run the kernel with the bug `name`, in this process."""
    import numpy as np

    from tests.backend.standin import Cupy

    body, _ = PLANTED[name]
    code = f'extern "C" __global__ void planted(float* y) {{ const int t = threadIdx.x; {body} }}'
    cupy = Cupy()
    cupy.RawModule(code=code).get_function("planted")((1,), (32,), (cupy.zeros(32, np.float32),))


def sanitized(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the sanitizers' runtime, and with malloc, so that they check its allocations."""
    environment = {
        **os.environ,
        "CI": "true",  # the same examples of hypothesis each time
        "CUDASIM_FLAGS": FLAGS,
        # The C++ library too, or the sanitizer would look up its functions before it is loaded.
        "LD_PRELOAD": f"{runtime('libasan.so')} {runtime('libstdc++.so.6')}",
        # Python does not free everything at exit, so leaks are not reported.
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0:allocator_may_return_null=1",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": str(ROOT),
        "OPENBLAS_NUM_THREADS": "1",
    }
    together = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment, text=True, check=False, **together)


def runtime(name: str) -> str:
    """The path of one of the compiler's libraries."""
    found = subprocess.run(["g++", f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    path = found.stdout.strip()
    if not os.path.isabs(path):
        sys.exit(f"g++ has no {name}; the sanitizers need GCC on Linux")
    return path


def is_found(name: str) -> str:
    """What is wrong with the report on a planted bug; empty if it is right."""
    done, wanted = sanitized("-m", "tests.cudasim.sanitize", "--plant", name), PLANTED[name][1]
    if bool(done.returncode) == bool(wanted) and wanted in done.stdout:
        return ""
    return f"planted {name}: status {done.returncode}, {wanted!r} is to be in the report:\n{done.stdout[-3000:]}"


def take(file: str) -> subprocess.CompletedProcess[str]:
    """Run a file of tests, without capture: a sanitizer ends the process before pytest could show captured output."""
    options = ["-q", "-x", "-s", "-m", "not slow and not gpu", "-p", "no:cacheprovider", "-p", "no:xdist"]
    return sanitized("-m", "pytest", file, *options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", help="of tests; all that run kernels if none is named")
    parser.add_argument("--jobs", type=int, default=min(4, os.cpu_count() or 1), help="programs at a time")
    parser.add_argument("--plant", choices=PLANTED, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if build.unavailable():
        sys.exit(build.unavailable())
    if asked.plant:
        plant(asked.plant)
        return
    start, failed = time.monotonic(), False
    with ThreadPoolExecutor(asked.jobs) as pool:
        blind = [complaint for complaint in pool.map(is_found, PLANTED) if complaint]
        if blind:
            sys.exit("\n".join(blind))
        print(f"=== all {len(PLANTED) - 1} planted bugs are found ({time.monotonic() - start:.0f} s)", flush=True)
        files = asked.files or tests()
        for file, done in zip(files, pool.map(take, files), strict=True):
            lines = done.stdout.strip().splitlines()
            verdict = "FAILED" if done.returncode else "passed"
            print(f"=== {file}: {verdict} ({time.monotonic() - start:.0f} s)", flush=True)
            print("\n".join(lines if done.returncode else lines[-1:]), flush=True)
            failed |= done.returncode != 0
    sys.exit(failed)


if __name__ == "__main__":
    main()
