"""The CPU provider: kernels in C (`kernels/cpu/`), for NumPy arrays of float32.

Its images are channels-last in memory, (N, C, H, W) in shape. A kernel declines what it cannot compute (empty arrays,
broadcast operands, layouts with gaps) by returning NotImplemented, and `dispatch` asks the next provider.
"""

from minires.backend.cpu import (
    convolution,
    elementwise,
    matmul,
    normalization,
    pooling,
    reduction,
    sgd,
    shape,
    softmax,
)
from minires.backend.cpu.eligibility import supports
from minires.backend.provider import Provider

CPU = Provider(
    "cpu",
    supports,
    modules=[elementwise, reduction, shape, matmul, convolution, pooling, normalization, softmax, sgd],
)
