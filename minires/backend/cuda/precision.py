"""Whether convolutions and matrix products may round their operands to TF32, which tensor cores multiply.

TF32 has float32's range and 10 bits of mantissa: an error of up to 1e-3 of Σ|x·w|, for several times the speed. Sums
stay in float32. It is off unless asked for.
"""

from __future__ import annotations

import sys

_allowed = False
LEAST = 80  # compute capability ×10 of the first GPU (Ampere) whose tensor cores know TF32


def allow_tf32(allowed: bool = True) -> None:
    """Let convolutions and matrix products on a GPU use TF32, in this process (torch.backends.cuda.matmul.allow_tf32).

    Without effect on GPUs that have none (compute capability below 8.0), on the CPU, and on other dtypes.
    """
    global _allowed
    _allowed = bool(allowed)


def tf32_allowed() -> bool:
    """What `allow_tf32` was last told; False if never."""
    return _allowed


def tf32() -> int:
    """1 where the next product on the current GPU is to be made in TF32, else 0: the kernels' constant."""
    return int(_allowed and int(sys.modules["cupy"].cuda.Device().compute_capability) >= LEAST)
