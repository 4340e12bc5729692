"""The ONNX operators, one family a file. Importing this package enters all of them in `node.OPERATORS`.

Each is a function of the node and of Tensors, made of MiniRes's differentiable operations; so an imported network has
gradients of every order, and `inference.compile` sees the operations that it knows.
"""

from minires.onnx.operators import (
    activations,
    arithmetic,
    comparison,
    convolution,
    creation,
    matrices,
    normalization,
    pooling,
    reduction,
    resize,
    selection,
    shapes,
)

__all__ = [
    "activations",
    "arithmetic",
    "comparison",
    "convolution",
    "creation",
    "matrices",
    "normalization",
    "pooling",
    "reduction",
    "resize",
    "selection",
    "shapes",
]
