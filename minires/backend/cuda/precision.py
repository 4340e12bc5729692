"""Whether convolutions and matrix products may round their operands to TF32, the format that tensor cores multiply.

TF32 has the range of float32 and 10 bits of mantissa. The error is up to 1e-3 of Σ|x·w|, the speed several times
higher. Sums stay in float32. TF32 is off by default.
"""

from __future__ import annotations

import sys

_allowed = False
MIN_CAPABILITY = 80  # compute capability ×10 of Ampere, the first GPU with TF32


def allow_tf32(allowed: bool = True) -> None:
    """Let convolutions and matrix products on a GPU use TF32, in this process (torch.backends.cuda.matmul.allow_tf32).

    It has no effect on GPUs without TF32 (compute capability below 8.0), on the CPU, and on other dtypes.
    """
    global _allowed
    _allowed = bool(allowed)


def tf32_allowed() -> bool:
    """Whether TF32 is allowed in this process; see `allow_tf32`."""
    return _allowed


def tf32() -> int:
    """The kernels' constant TF32: 1 if products on the current GPU use TF32, else 0."""
    return int(_allowed and int(sys.modules["cupy"].cuda.Device().compute_capability) >= MIN_CAPABILITY)
