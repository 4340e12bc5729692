"""The program that runs under compute-sanitizer: each CUDA source once, small, against the reference.

im2col.cu alone is left out: it is there for study, and the provider does not call it.
"""

from __future__ import annotations

import sys

from benchmarks.on_gpu.first_run.record import Record
from benchmarks.on_gpu.first_run.scale import Scale
from benchmarks.on_gpu.rounds import one_line
from minires import cuda
from tests.cudasim.cases import CASES, WITHOUT_BARRIER


def drive(record: Record, scale: Scale, seconds: float) -> None:
    """Run the cases of each source (in a rehearsal, of some). Ends with status 1 if one is wrong.

    Each array is a piece of CUDA's memory of its own: in CuPy's pool, the sanitizer could not see where it ends.
    """
    cupy = cuda.require()
    if hasattr(cupy.cuda, "set_allocator"):  # the stand-in has none
        cupy.cuda.set_allocator(None)
    wrong = 0
    for source, checks in list({**CASES, **WITHOUT_BARRIER}.items())[: scale.modules]:
        error = None
        try:
            for check in checks:
                check(cupy)
            cupy.cuda.Device().synchronize()
        except Exception as raised:  # a source that fails: the others run all the same
            error, wrong = one_line(raised), wrong + 1
        record.add("source", source=source, calls=len(checks), error=error)
    if wrong:
        sys.exit(f"{wrong} of the sources compute something wrong, or fail")
