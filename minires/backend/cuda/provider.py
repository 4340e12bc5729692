"""The CUDA provider: kernels in CUDA C (`kernels/cuda/`), for CuPy arrays of float32.

CuPy compiles them at first use and keeps them on disk. Images are channels-last in memory, (N, C, H, W) in shape.
Whatever it does not do (groups, empty arrays, broadcast operands) it declines with NotImplemented, and `dispatch` asks
the reference, which computes with CuPy's own functions. Nothing here imports CuPy: who has an array of it has done so.
"""

from __future__ import annotations

from minires.backend.cuda import convolution, elementwise, normalization, optimizer, pooling, reduction, softmax
from minires.backend.cuda import matmul as matrix_product
from minires.backend.cuda.eligibility import serves
from minires.backend.cuda.launch import on_device_of_arrays
from minires.backend.cuda.precision import allow_tf32, tf32_allowed

name = "cuda"

conv2d = on_device_of_arrays(convolution.conv2d)
conv2d_grad_input = on_device_of_arrays(convolution.conv2d_grad_input)
conv2d_grad_weight = on_device_of_arrays(convolution.conv2d_grad_weight)
matmul = on_device_of_arrays(matrix_product.matmul)
batch_norm = on_device_of_arrays(normalization.batch_norm)
batch_norm_stats = on_device_of_arrays(normalization.batch_norm_stats)
batch_norm_update_stats = on_device_of_arrays(normalization.batch_norm_update_stats)
batch_norm_grad = on_device_of_arrays(normalization.batch_norm_grad)
max_pool2d = on_device_of_arrays(pooling.max_pool2d)
max_pool2d_route = on_device_of_arrays(pooling.max_pool2d_route)
max_pool2d_gather = on_device_of_arrays(pooling.max_pool2d_gather)
avg_pool2d = on_device_of_arrays(pooling.avg_pool2d)
avg_pool2d_split = on_device_of_arrays(pooling.avg_pool2d_split)
sum = on_device_of_arrays(reduction.sum)
broadcast_to = on_device_of_arrays(reduction.broadcast_to)
pad = on_device_of_arrays(reduction.pad)
index_add = on_device_of_arrays(reduction.index_add)
add = on_device_of_arrays(elementwise.add)
relu = on_device_of_arrays(elementwise.relu)
relu_mask = on_device_of_arrays(elementwise.relu_mask)
log_softmax = on_device_of_arrays(softmax.log_softmax)
cross_entropy = on_device_of_arrays(softmax.cross_entropy)
cross_entropy_grad = on_device_of_arrays(softmax.cross_entropy_grad)
sgd_step = on_device_of_arrays(optimizer.sgd_step)

__all__ = [
    "add",
    "allow_tf32",
    "avg_pool2d",
    "avg_pool2d_split",
    "batch_norm",
    "batch_norm_grad",
    "batch_norm_stats",
    "batch_norm_update_stats",
    "broadcast_to",
    "conv2d",
    "conv2d_grad_input",
    "conv2d_grad_weight",
    "cross_entropy",
    "cross_entropy_grad",
    "index_add",
    "log_softmax",
    "matmul",
    "max_pool2d",
    "max_pool2d_gather",
    "max_pool2d_route",
    "name",
    "pad",
    "relu",
    "relu_mask",
    "serves",
    "sgd_step",
    "sum",
    "tf32_allowed",
]
