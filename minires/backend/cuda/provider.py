"""The CUDA provider: kernels in CUDA C (`kernels/cuda/`), for CuPy arrays of float32.

CuPy compiles them at first use and keeps them on disk. Images are channels-last in memory, (N, C, H, W) in shape. A
kernel declines what it cannot compute (empty arrays, broadcast operands) by returning NotImplemented, and
`dispatch` asks the reference, which computes with CuPy's own functions. Nothing here imports CuPy: a caller that has an
array of CuPy's has imported it. The kernels are imported with the first of its arrays: most processes have no GPU, and
would wait for a quarter of MiniRes in vain.
"""

from minires.backend.cuda.eligibility import supports
from minires.backend.provider import LateProvider, Provider


def _load() -> Provider:
    from minires.backend.cuda import (
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
    from minires.backend.cuda.launch import on_device_of_arrays

    return Provider(
        "cuda",
        supports,
        modules=[elementwise, reduction, shape, matmul, convolution, pooling, normalization, softmax, sgd],
        decorator=on_device_of_arrays,
    )


CUDA = LateProvider("cuda", supports, _load)
