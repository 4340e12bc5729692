"""The time of each kernel beside the least that this GPU allows: its operations at the rate of a large matrix product,
its bytes at that of a copy.

    bound = max(operations / rate, bytes / bandwidth);  share = bound / time    (roofline model, Williams et al. 2009)

Operations are those of the direct method, two for each multiply-add. Bytes: each argument is read once, each result
written once, whatever the kernel does in between. Rate and bandwidth are measured; the rate is the better of cuBLAS's
and our own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

import minires as mr
from benchmarks.on_gpu.timing import Effort, Events, cupy_events, measure, torch_events
from benchmarks.on_gpu.workloads import FLOAT32, TF32
from minires import backend, models, nn
from minires.backend.shapes import Window

SIDE = 8192  # the matrices whose product is timed are SIDE × SIDE
COPIED = 1 << 30  # the array that is copied, in bytes
RANDOM = np.random.default_rng(0)


class Limits(NamedTuple):
    """The limits of the GPU, as measured.

    Attributes:
        bandwidth: bytes per second that a copy reads and writes.
        ours, cublas: {precision: operations per second of a large matrix product}.
    """

    bandwidth: float
    ours: dict[str, float]
    cublas: dict[str, float]

    def rate(self, precision: str) -> float:
        """The operations per second of the better of the two."""
        return max(self.ours[precision], self.cublas.get(precision, 0.0))

    def seconds(self, operations: float, moved: float, precision: str) -> float:
        """The least time that a kernel with so many operations and bytes can take."""
        return max(operations / self.rate(precision), moved / self.bandwidth)


class Kernel(NamedTuple):
    """A call of a kernel as a network makes it.

    Attributes:
        count: the number of such calls in a training step.
        moved: bytes that are read and written.
        multiplies: whether TF32 makes a difference to it.
        prepare: makes the arrays and returns the call.
    """

    name: str
    shape: str
    count: int
    operations: float
    moved: float
    multiplies: bool
    prepare: Callable[[], Callable[[], Any]]


class Layer(NamedTuple):
    """A layer of a network, and the shapes of its input and output for one image."""

    module: nn.Module
    x: tuple[int, ...]
    y: tuple[int, ...]


def layers(model: nn.Module, size: int) -> list[Layer]:
    """The convolutions, batch norms, pools and linear layers of a model, in order."""
    found: list[Layer] = []
    kinds = (nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d, nn.Linear)
    hooks = [
        module.register_forward_hook(lambda m, inputs, y: found.append(Layer(m, inputs[0].shape, y.shape)))
        for module in model.modules()
        if isinstance(module, kinds)
    ]
    with mr.no_grad():
        model.eval()(mr.zeros(1, 3, size, size))
    for hook in hooks:
        hook.remove()
    return found


# -- arrays on the GPU ------------------------------------------------------------------------------------------------


def noise(device: str, *shape: int) -> Any:
    """Random float32 on the device; a large array repeats a block of 2²⁰ numbers. Images are channels-last."""
    size = math.prod(shape)
    block = RANDOM.standard_normal(min(size, 1 << 20), np.float32)
    piece = backend.to_device(block, device)
    xp = backend.array_module(piece)
    times = -(-size // len(block))
    numbers = xp.broadcast_to(piece, (times, len(block))).reshape(-1)[:size].copy()
    if len(shape) != 4:
        return numbers.reshape(shape)
    n, c, h, w = shape
    return numbers.reshape(n, h, w, c).transpose(0, 3, 1, 2)


# -- the kernels of a training step -----------------------------------------------------------------------------------


def kernels(model: str, batch: int, size: int, device: str = "cuda") -> list[Kernel]:
    """The kernel calls that take the time of a training step of a residual network; equal calls are counted."""
    network = models.build(model)
    found: dict[tuple[str, str], Kernel] = {}
    for layer in layers(network, size):
        for kernel in kernels_of_layer(layer, batch, device):
            known = found.get(kernel[:2])
            found[kernel[:2]] = kernel._replace(count=1 + (known.count if known else 0))
    last = sgd([parameter.shape for parameter in network.parameters()], device)
    return [*found.values(), last]


def kernels_of_layer(layer: Layer, batch: int, device: str) -> Iterator[Kernel]:
    """The kernels of a layer: forward, and those that backward calls."""
    module = layer.module
    x, y = (batch, *layer.x[1:]), (batch, *layer.y[1:])
    if isinstance(module, nn.Conv2d):
        return convolution(module, x, y, device)
    if isinstance(module, nn.BatchNorm2d):
        return norm(x, device)
    if isinstance(module, nn.MaxPool2d):
        return pool(module, x, y, device)
    return linear(x, y, device)


def convolution(module: Any, x: tuple[int, ...], y: tuple[int, ...], device: str) -> Iterator[Kernel]:
    """y = x * w and its gradients; the stem needs no gradient of its input, the images."""
    w = tuple(module.weight.shape)
    window, groups = window_of(module), module.groups
    operations, moved = 2.0 * math.prod(y) * math.prod(w[1:]), 4.0 * (math.prod(x) + math.prod(w) + math.prod(y))
    shape = f"{x[1]}→{y[1]}, {w[2]}×{w[3]} /{window.stride[0]}, to {y[2]}×{y[3]}"

    def forward() -> Callable[[], Any]:
        a, b = noise(device, *x), noise(device, *w)
        return lambda: backend.conv2d(a, b, None, window, groups)

    def grad_input() -> Callable[[], Any]:
        g, b = noise(device, *y), noise(device, *w)
        return lambda: backend.conv2d_grad_input(g, b, x[2:], window, groups)

    def grad_weight() -> Callable[[], Any]:
        a, g = noise(device, *x), noise(device, *y)
        return lambda: backend.conv2d_grad_weight(a, g, window, groups)

    yield Kernel("conv2d", shape, 1, operations, moved, True, forward)
    if x[1] > 3:
        yield Kernel("conv2d_grad_input", shape, 1, operations, moved, True, grad_input)
    yield Kernel("conv2d_grad_weight", shape, 1, operations, moved, True, grad_weight)


def norm(x: tuple[int, ...], device: str) -> Iterator[Kernel]:
    """Batch norm: its statistics, the norm with its ReLU, and their gradient."""
    shape, bytes_of_x, eps = f"{x[1]} channels, {x[2]}×{x[3]}", 4.0 * math.prod(x), 1e-5

    def vectors() -> list[Any]:
        mean, var, weight, bias = (noise(device, x[1]) for _ in range(4))
        return [mean, var * var + np.float32(1), weight, bias]

    def stats() -> Callable[[], Any]:
        a = noise(device, *x)
        return lambda: backend.batch_norm_stats(a)

    def apply() -> Callable[[], Any]:
        a, (mean, var, weight, bias) = noise(device, *x), vectors()
        return lambda: backend.batch_norm(a, mean, var, weight, bias, eps, None, True)

    def grad() -> Callable[[], Any]:
        g, a, y = (noise(device, *x) for _ in range(3))
        mean, var, weight, _ = vectors()
        return lambda: backend.batch_norm_grad(g, a, mean, var, weight, eps, y)

    yield Kernel("batch_norm_stats", shape, 1, 0.0, bytes_of_x, False, stats)
    yield Kernel("batch_norm", shape, 1, 0.0, 2 * bytes_of_x, False, apply)
    yield Kernel("batch_norm_grad", shape, 1, 0.0, 4 * bytes_of_x, False, grad)


def pool(module: Any, x: tuple[int, ...], y: tuple[int, ...], device: str) -> Iterator[Kernel]:
    """Max pooling and the routing of its gradient; an argmax takes one byte."""
    window = window_of(module)
    shape, moved = f"{x[1]} channels, {x[2]}×{x[3]}", 4.0 * math.prod(x) + 5.0 * math.prod(y)

    def forward() -> Callable[[], Any]:
        a = noise(device, *x)
        return lambda: backend.max_pool2d(a, window, False)

    def route() -> Callable[[], Any]:
        g, (_, argmax) = noise(device, *y), forward()()
        return lambda: backend.max_pool2d_route(g, argmax, x[2:], window)

    yield Kernel("max_pool2d", shape, 1, 0.0, moved, False, forward)
    yield Kernel("max_pool2d_route", shape, 1, 0.0, moved, False, route)


def window_of(module: Any) -> Window:
    """The window of a layer, whose settings are integers or pairs."""
    settings = (module.kernel_size, module.stride, module.padding, module.dilation)
    return Window(*((value, value) if isinstance(value, int) else tuple(value) for value in settings))


def linear(x: tuple[int, ...], y: tuple[int, ...], device: str) -> Iterator[Kernel]:
    """The matrix product of the classifier."""
    operations, moved = 2.0 * math.prod(x) * y[1], 4.0 * (math.prod(x) + x[1] * y[1] + math.prod(y))

    def prepare() -> Callable[[], Any]:
        a, b = noise(device, *x), noise(device, x[1], y[1])
        return lambda: backend.matmul(a, b)

    yield Kernel("matmul", f"{x[0]}×{x[1]} by {x[1]}×{y[1]}", 1, operations, moved, True, prepare)


def sgd(shapes: list[tuple[int, ...]], device: str) -> Kernel:
    """One SGD step of all parameters: it reads parameter, gradient and velocity, and writes parameter and velocity."""
    numbers = sum(map(math.prod, shapes))

    def prepare() -> Callable[[], Any]:
        parameters, gradients, velocities = ([noise(device, *shape) for shape in shapes] for _ in range(3))
        return lambda: backend.sgd_step(parameters, gradients, velocities, 1e-6, 0.9, 1e-4, 0.0, False)

    return Kernel("sgd_step", f"{numbers:,} parameters", 1, 0.0, 20.0 * numbers, False, prepare)


# -- measuring --------------------------------------------------------------------------------------------------------


def copy_rate(events: Events, effort: Effort, device: str) -> float:
    """The bytes per second that a copy reads and writes."""
    source = noise(device, COPIED // 4)
    target = source.copy()

    def copy() -> None:
        target[...] = source

    return 2e3 * source.nbytes / measure(copy, events, effort)


def measure_limits(cupy: Any, torch: Any, effort: Effort, device: str = "cuda") -> Limits:
    """Measures the limits of the GPU. CuPy calls cuBLAS for float32, and PyTorch, if it is there, for TF32."""
    events, operations = cupy_events(cupy), 2e3 * SIDE**3
    bandwidth = copy_rate(events, effort, device)
    a, b = noise(device, SIDE, SIDE), noise(device, SIDE, SIDE)
    ours = {}
    for precision in (FLOAT32, TF32):
        mr.allow_tf32(precision == TF32)
        ours[precision] = operations / measure(lambda: backend.matmul(a, b), events, effort)
    cublas = {FLOAT32: operations / measure(lambda: cupy.matmul(a, b), events, effort)}  # TF32 only if CUPY_TF32=1
    if torch is not None:
        torch.backends.cuda.matmul.allow_tf32 = True
        x, y = (torch.randn(SIDE, SIDE, device=device) for _ in range(2))
        cublas[TF32] = operations / measure(lambda: torch.mm(x, y), torch_events(torch), effort)
    return Limits(bandwidth, ours, cublas)


def shares(each: Kernel, limits: Limits, events: Events, effort: Effort) -> Iterator[dict[str, Any]]:
    """A row for each precision that makes a difference: time, operations, bytes, share of the roofline bound."""
    run = each.prepare()
    for precision in (FLOAT32, TF32) if each.multiplies else (FLOAT32,):
        mr.allow_tf32(precision == TF32)
        milliseconds = measure(run, events, effort)
        least = limits.seconds(each.operations, each.moved, precision)
        row = {key: value for key, value in each._asdict().items() if key not in ("prepare", "multiplies")}
        yield {
            **row,
            "precision": precision if each.multiplies else "",
            "milliseconds": milliseconds,
            "bound": "bytes" if least == each.moved / limits.bandwidth else "operations",
            "share": 1e3 * least / milliseconds,
        }
