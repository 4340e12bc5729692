"""Networks as modules with parameters, under the names of torch.nn."""

from minires.nn import init
from minires.nn.activations import LeakyReLU, LogSoftmax, Sigmoid, Softmax, Tanh
from minires.nn.containers import ModuleDict, ModuleList, ParameterDict, ParameterList, Sequential
from minires.nn.embedding import Bilinear, Embedding
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
from minires.nn.reshaping import Unflatten

__all__ = [
    "AdaptiveAvgPool2d",
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "Bilinear",
    "Buffer",
    "Conv2d",
    "Dropout",
    "Embedding",
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
    "Unflatten",
    "init",
]
