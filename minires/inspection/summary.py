"""What a network is made of: a row for each module, with shape, parameters, cost and receptive field.

    summarize(models.build("resnet18"), (3, 224, 224)).multiply_adds        # 1,814,073,344

One image is sent through the network, forward hooks see every module at work, and the recorded graph says what each
input was computed from. So skip connections, and modules that are not in this package, need no rules of their own.
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


@dataclass(frozen=True)
class Field:
    """Which pixels of the image an output pixel can see.

    Attributes:
        size: height and width of the rectangle, as if the image had no edges: it may exceed the image.
        jump: by how many pixels it moves when the output pixel moves by one.
    """

    size: Pair
    jump: Pair

    def through(self, window: Window) -> Field:
        """The field behind a window of span k: r' = r + (k − 1)·j, j' = j·s (Araujo et al. 2019, distill.pub)."""
        size = tuple(r + (k - 1) * j for r, k, j in zip(self.size, window.span, self.jump, strict=True))
        jump = tuple(j * s for j, s in zip(self.jump, window.stride, strict=True))
        return Field((size[0], size[1]), (jump[0], jump[1]))

    def union(self, other: Field) -> Field:
        """Where two paths join: the larger of each, since the paths of a residual block are centred alike."""
        size = tuple(map(max, self.size, other.size))
        jump = tuple(map(max, self.jump, other.jump))
        return Field((size[0], size[1]), (jump[0], jump[1]))

    def __str__(self) -> str:
        return f"{self.size[0]}×{self.size[1]}"


NOTHING = Field((0, 0), (0, 0))  # of a parameter: it sees no pixel
PIXEL = Field((1, 1), (1, 1))


@dataclass(frozen=True)
class Row:
    """One module, as it was called once.

    Attributes:
        name: its dotted name in the network; "" for the network itself.
        kind: its class, with what matters of its settings.
        output_shape: without the batch axis.
        parameters: numbers that are trained, those of its parts included.
        multiply_adds: of the convolutions and linear layers in it, for one image.
        receptive_field: of one pixel of its output.
        is_layer: whether it has no parts.
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
        """How deep it is nested: 0 the network, 1 its parts, …"""
        return self.name.count(".") + 1 if self.name else 0


@dataclass(frozen=True)
class Summary:
    """What `summarize` returns: every module in the order in which it finished, the network itself last."""

    input_shape: tuple[int, int, int]
    rows: tuple[Row, ...]

    @property
    def parameters(self) -> int:
        """Numbers that are trained, each counted once."""
        return self.rows[-1].parameters

    @property
    def multiply_adds(self) -> int:
        """Of all convolutions and linear layers, for one image."""
        return self.rows[-1].multiply_adds

    def layers(self, level: int | None = None) -> list[Row]:
        """The modules without parts; with `level`, what is nested deeper is shown as the module of that level."""
        if level is None:
            return [row for row in self.rows if row.is_layer]
        return [row for row in self.rows if row.level == level or (row.is_layer and row.level < level)]


def summarize(model: nn.Module, input_shape: Sequence[int]) -> Summary:
    """Send one image of zeros, float32 (1, *input_shape), through `model` in eval mode and report on its modules.

    It runs where the model's parameters are. A row stands for a call: a module that is called twice has two.
    Multiply-adds are those of convolutions and linear layers, biases left out: the convention of the ResNet papers and
    of the counts that torchvision publishes. Activations, normalisation and pooling cost little beside them.

    Raises ShapeError where `input_shape` is not (C, H, W), where the model cannot take such an image, or where a module
    takes or returns something else than a Tensor.
    """
    shape = tuple(int(length) for length in input_shape)
    if len(shape) != 3 or min(shape) < 1:
        raise ShapeError(f"summary: the input shape must be three positive numbers (C, H, W), not {shape}")
    device = next((parameter.device for parameter in model.parameters()), "cpu")
    watch = _Watch({id(module): name for name, module in model.named_modules()})
    modes = [(module, module.training) for module in model.modules()]
    hooks = [module.register_forward_hook(watch) for module in model.modules()]
    try:
        model.eval()
        with enable_grad():
            image = tensor(np.zeros((1, *shape), np.float32), requires_grad=True, device=device)
            watch.fields[image] = PIXEL
            model(image)
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in modes:
            module.training = training
    return Summary((shape[0], shape[1], shape[2]), tuple(watch.rows))


class _Watch:
    """The forward hook: writes a row for each call of a module, and keeps the receptive field of what was computed."""

    def __init__(self, names: dict[int, str]) -> None:
        self.names = names
        self.rows: list[Row] = []
        self.fields: dict[Vertex, Field] = {}
        self.costs: dict[str, int] = {}  # multiply-adds so far, of each module with those of its parts

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
        """Add `cost` to the module and to all that it is part of."""
        while cost:
            self.costs[name] = self.costs.get(name, 0) + cost
            if not name:
                return
            name = name.rpartition(".")[0]

    def field_of(self, vertex: Vertex) -> Field:
        """Of a result, by way of whatever was computed between the last module's output and it: sums, ReLUs, slices.

        Iterative, since a network may be thousands of steps deep; every vertex is looked at once.
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
    """Of one layer for one image: each output number of a convolution is a sum of in/groups · kh · kw products."""
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
