"""Batches come from the loader as NumPy arrays; the model says where they go and in which precision."""

from __future__ import annotations

from minires import backend
from minires.backend import Array
from minires.nn import Module
from minires.tensor import Tensor


def device_of(model: Module) -> str:
    """Where the parameters of `model` live; "cpu" for a model without any."""
    return next((parameter.device for parameter in model.parameters()), "cpu")


def as_input(images: Array, model: Module) -> Tensor:
    """`images` (B, C, H, W) as a Tensor on the device and in the dtype of `model`."""
    dtype = next((parameter.dtype for parameter in model.parameters()), images.dtype)
    return Tensor(backend.to_device(images.astype(dtype, copy=False), device_of(model)))


def as_target(labels: Array, model: Module) -> Tensor:
    """`labels` int64 (B,) on the device of `model`."""
    return Tensor(backend.to_device(labels, device_of(model)))
