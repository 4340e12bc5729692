"""Networks as modules with parameters, under the names of torch.nn."""

from typing import TYPE_CHECKING, NoReturn

from minires.nn import init, utils
from minires.nn.activations import LeakyReLU, LogSoftmax, Sigmoid, Softmax, Tanh
from minires.nn.containers import ModuleDict, ModuleList, ParameterDict, ParameterList, Sequential
from minires.nn.layers import (
    AdaptiveAvgPool2d,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    Identity,
    LayerNorm,
    Linear,
    MaxPool2d,
    ReLU,
)
from minires.nn.module import LoadResult, Module
from minires.nn.parameter import Buffer, Parameter

__all__ = [
    "AdaptiveAvgPool2d",
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "Buffer",
    "Conv2d",
    "Dropout",
    "Flatten",
    "Identity",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LoadResult",
    "LogSoftmax",
    "MaxPool2d",
    "Module",
    "ModuleDict",
    "ModuleList",
    "Parameter",
    "ParameterDict",
    "ParameterList",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "init",
    "utils",
]

if not TYPE_CHECKING:  # a type checker would take every name to be there

    def __getattr__(name: str) -> NoReturn:
        from minires.missing import no_attribute

        raise no_attribute("nn", name, __all__)
