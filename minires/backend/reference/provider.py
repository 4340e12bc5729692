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
    resampling,
    sgd,
    shape,
    special,
    transcendental,
)
from minires.backend.reference.float16 import in_float32

_MODULES = [
    elementwise,
    transcendental,
    special,
    reduction,
    shape,
    matmul,
    pooling,
    blocking,
    resampling,
    normalization,
    loss,
    sgd,
]
REFERENCE = Provider("reference", supports=lambda array: True, modules=_MODULES)
# The same kernels for arrays of float16, with sums in float32.
REFERENCE_FLOAT16 = Provider("reference", supports=REFERENCE.supports, modules=_MODULES, decorator=in_float32)
