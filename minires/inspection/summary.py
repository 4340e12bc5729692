"""Summarises a network: one row for each module, with output shape, parameters, cost and receptive field.

    summarize(models.build("resnet18"), (3, 224, 224)).multiply_adds        # 1,814,073,344

One image runs through the network. Forward hooks see each call of a module, and the recorded graph shows what its input
was computed from. So skip connections and user-defined modules need no special rules.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minires import nn
from minires.backend.shapes import Pair, Window
from minires.core.autograd import Vertex, vertex_of
from minires.core.creation import tensor
from minires.core.modes import enable_grad
from minires.core.tensor import Tensor
from minires.errors import ShapeError
from minires.nn.module import eval_mode


@dataclass(frozen=True)
class Field:
    """A receptive field: the rectangle of image pixels on which one output pixel depends.

    Attributes:
        size: height and width of the rectangle, as if the image had no edges, so it may exceed the image.
        jump: the distance in image pixels between the fields of neighbouring output pixels.
    """

    size: Pair
    jump: Pair

    def through(self, window: Window) -> Field:
        """The field behind a window of span k: r' = r + (k − 1)·j, j' = j·s (Araujo et al. 2019, distill.pub)."""
        size = tuple(r + (k - 1) * j for r, k, j in zip(self.size, window.span, self.jump, strict=True))
        jump = tuple(j * s for j, s in zip(self.jump, window.stride, strict=True))
        return Field((size[0], size[1]), (jump[0], jump[1]))

    def union(self, other: Field) -> Field:
        """The field where two paths join: the larger one, since the paths of a residual block have the same centre."""
        size = tuple(map(max, self.size, other.size))
        jump = tuple(map(max, self.jump, other.jump))
        return Field((size[0], size[1]), (jump[0], jump[1]))

    def __str__(self) -> str:
        return f"{self.size[0]}×{self.size[1]}"


NOTHING = Field((0, 0), (0, 0))  # of a parameter, which depends on no pixel
PIXEL = Field((1, 1), (1, 1))


@dataclass(frozen=True)
class Row:
    """One call of a module.

    Attributes:
        name: its dotted name in the network; "" for the network itself.
        kind: its class, for a layer with a window also the kernel size and stride.
        output_shape: the shape of its output, without the batch axis.
        parameters: the number of its parameters, frozen ones and submodules included.
        multiply_adds: the cost of the convolutions and linear layers in it, for one image. Functions (F.conv2d) that a
            forward calls do not count.
        receptive_field: the receptive field of one pixel of its output.
        is_layer: whether it has no submodules.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    receptive_field: Field
    is_layer: bool

    @property
    def level(self) -> int:
        """The depth of nesting: 0 for the network, 1 for its submodules, …"""
        return self.name.count(".") + 1 if self.name else 0


@dataclass(frozen=True)
class Summary:
    """The result of `summarize`: a row for each module in the order in which they finished, the network last."""

    input_shape: tuple[int, int, int]
    rows: tuple[Row, ...]

    @property
    def parameters(self) -> int:
        """The number of parameters, frozen ones included, each counted once."""
        return self.rows[-1].parameters

    @property
    def multiply_adds(self) -> int:
        """The cost of all convolutions and linear layers, for one image."""
        return self.rows[-1].multiply_adds

    def _repr_html_(self) -> str:
        """A row for each module, indented by depth, as notebooks show it."""
        from minires.inspection.summary_markup import summary_html

        return summary_html(self)

    def layers(self, level: int | None = None) -> list[Row]:
        """The modules without submodules; with `level`, modules of that level stand for everything inside them."""
        if level is None:
            return [row for row in self.rows if row.is_layer]
        return [row for row in self.rows if row.level == level or (row.is_layer and row.level < level)]


def summarize(model: nn.Module, input_shape: Sequence[int]) -> Summary:
    """Run one image of zeros (1, *input_shape) through `model` in eval mode and describe its modules.

    It has the dtype and the device of the model's parameters. A module that is called twice has two rows.
    Multiply-adds are those of convolutions and linear layers without biases, as the ResNet papers and torchvision count
    them: activations, normalisation and pooling cost little in comparison.

    Raises ShapeError if `input_shape` is not (C, H, W), if the model cannot take such an image, or if a module takes or
    returns anything but a Tensor.
    """
    shape = tuple(int(length) for length in input_shape)
    if len(shape) != 3 or min(shape) < 1:
        raise ShapeError(f"summary: the input shape must be three positive numbers (C, H, W), not {shape}")
    first = next(model.parameters(), None)
    device, dtype = ("cpu", np.float32) if first is None else (first.device, first.dtype)
    recorder = _Recorder({id(module): name for name, module in model.named_modules()})
    hooks = [module.register_forward_hook(recorder) for module in model.modules()]
    try:
        with eval_mode(model), enable_grad():
            image = tensor(np.zeros((1, *shape), dtype), requires_grad=True, device=device)
            image = image.clone()  # a result: a model may begin with a layer in place
            recorder.fields[vertex_of(image)] = PIXEL
            model(image)
    finally:
        for hook in hooks:
            hook.remove()
    return Summary((shape[0], shape[1], shape[2]), tuple(recorder.rows))


class _Recorder:
    """The forward hook: adds a row for each call of a module, and stores the receptive fields of results."""

    def __init__(self, names: dict[int, str]) -> None:
        self.names = names
        self.rows: list[Row] = []
        self.fields: dict[Vertex, Field] = {}
        self.costs: dict[str, int] = {}  # multiply-adds so far of each module, submodules included

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        name = self.names[id(module)]
        if not inputs or not isinstance(inputs[0], Tensor) or not isinstance(output, Tensor):
            raise ShapeError(f"summary: {name or 'the model'} ({type(module).__name__}) must take and return a Tensor")
        is_layer = next(module.children(), None) is None
        before = self.field_of(vertex_of(inputs[0]))
        window = _window(module, inputs[0], output)
        if window is not None:
            self.fields[vertex_of(output)] = before.through(window)
        self._count(name, _multiply_adds(module, output))
        row = Row(
            name=name,
            kind=_kind(module) if is_layer else type(module).__name__,
            output_shape=output.shape[1:],
            parameters=sum(parameter.numel() for parameter in module.parameters()),
            multiply_adds=self.costs.pop(name, 0),
            receptive_field=self.field_of(vertex_of(output)),
            is_layer=is_layer,
        )
        self.rows.append(row)

    def _count(self, name: str, cost: int) -> None:
        """Add `cost` to the module and to all modules that contain it."""
        while cost:
            self.costs[name] = self.costs.get(name, 0) + cost
            if not name:
                return
            name = name.rpartition(".")[0]

    def field_of(self, vertex: Vertex) -> Field:
        """The field of a result, through all ops (sums, ReLUs, slices) since the outputs of the last modules.

        The traversal is iterative, because a network may be thousands of ops deep, and visits each vertex once.
        """
        stack = [vertex]
        while stack:
            current = stack[-1]
            edges = [] if isinstance(current, Tensor) else [edge for edge in current.edges if edge is not None]
            unknown = [edge for edge in edges if edge not in self.fields]
            if unknown and current not in self.fields:
                stack += unknown
                continue
            stack.pop()
            if current not in self.fields:
                self.fields[current] = self._joined(current, edges)
        return self.fields[vertex]

    def _joined(self, vertex: Vertex, edges: Sequence[Vertex]) -> Field:
        field = NOTHING
        for edge in edges:
            before = self.fields[edge]
            if len(edge.shape) == 4 and len(vertex.shape) < 4:  # flattened: the output sees every pixel
                before = before.through(Window((edge.shape[2], edge.shape[3])))
            field = field.union(before)
        return field


def _pair(value: int | Sequence[int]) -> Pair:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


def _window(module: nn.Module, x: Tensor, y: Tensor) -> Window | None:
    """The window of a layer whose output pixels see windows of its input, its padding left out; None for all others."""
    if isinstance(module, (nn.Conv2d, nn.MaxPool2d)):
        return Window(_pair(module.kernel_size), _pair(module.stride), dilation=_pair(module.dilation))
    if isinstance(module, nn.AvgPool2d):
        return Window(_pair(module.kernel_size), _pair(module.stride))
    if isinstance(module, nn.AdaptiveAvgPool2d):  # its bins: as many pixels as there are for one output pixel
        height, width = (math.ceil(before / after) for before, after in zip(x.shape[2:], y.shape[2:], strict=True))
        return Window((height, width), stride=(height, width))
    return None


def _multiply_adds(module: nn.Module, y: Tensor) -> int:
    """The cost of one layer for one image: an output of a convolution is a sum of in/groups · kh · kw products."""
    if isinstance(module, nn.Conv2d):
        return math.prod(y.shape[1:]) * math.prod(module.weight.shape[1:])
    if isinstance(module, nn.Linear):
        return math.prod(y.shape[1:]) * module.in_features
    return 0


def _kind(module: nn.Module) -> str:
    """A layer's class, and of a window its size and stride: "Conv2d 3×3 /2"."""
    kind = type(module).__name__
    if isinstance(module, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)):
        kernel, stride = _pair(module.kernel_size), _pair(module.stride)
        kind += f" {kernel[0]}×{kernel[1]}"
        if stride != (1, 1):
            kind += f" /{stride[0]}" if stride[0] == stride[1] else f" /{stride[0]},{stride[1]}"
    return kind
