"""The reference provider: every kernel in a few lines, on NumPy or CuPy arrays of any dtype.

Convolution is im2col and a matrix product, pooling works by shifted slices, batch norm by its formula. Every test
compares with the reference, and the documentation explains it. It is always there, so no other provider has to be
complete.
"""

from minires.backend.provider import Provider
from minires.backend.reference import (
    blocking,
    elementwise,
    loss,
    matmul,
    normalization,
    pooling,
    reduction,
    sgd,
    shape,
)
from minires.backend.reference.float16 import in_float32

REFERENCE = Provider(
    "reference",
    supports=lambda array: True,
    modules=[elementwise, reduction, shape, matmul, pooling, blocking, normalization, loss, sgd],
    decorator=in_float32,
)
