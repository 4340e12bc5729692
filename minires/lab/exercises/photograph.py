"""The exercises of "ResNet-18 on a photograph"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minires import functional as F
from minires import models
from minires.core.autograd import grad
from minires.core.modes import no_grad
from minires.core.tensor import Tensor
from minires.lab.exercises.exercise import Exercise, Wrong, array, like
from minires.lab.fixtures import seeded
from minires.nn import BatchNorm2d, Module


def _prepared(prepared: Callable[..., Any]) -> str:
    """(pixels / 255 − mean) / std, channels first, one image, float32."""
    for channels in (3, 1):
        rng = np.random.default_rng(channels)
        pixels = rng.integers(0, 256, (4, 5, channels), dtype=np.uint8)
        mean, std = rng.uniform(0.3, 0.6, (2, channels))
        scaled = (pixels / 255 - mean) / std
        expected = scaled.transpose(2, 0, 1)[None]
        found = array(prepared(pixels.copy(), mean, std), "prepared(pixels, mean, std)")
        if found.shape != expected.shape:
            raise Wrong(
                f"pixels {pixels.shape} become {found.shape}; a network reads (images, channels, height, width): "
                f"{expected.shape}. Move the axes with transpose; reshape would mix up the pixels."
            )
        if np.allclose(found, scaled.reshape(expected.shape)) and not np.allclose(found, expected, atol=1e-5):
            raise Wrong("The pixels are mixed up: reshape does not move axes, transpose does.")
        if np.abs(found).max() > 50:
            raise Wrong(
                "The numbers are too large. Mean and deviation are those of numbers from 0 to 1: divide by 255."
            )
        like(
            found.astype(np.float64).round(4),
            expected.astype(np.float32).astype(np.float64).round(4),
            "the image",
            {"Divide by the deviation too.": ((pixels / 255 - mean).transpose(2, 0, 1)[None]).round(4)},
        )
        if found.dtype != np.float32:
            raise Wrong(f"The image is {found.dtype}; the weights are float32, and so must it be.")
    return "scaled, normalised, channels first, float32."


def _model() -> Module:
    """A small residual network in eval mode whose batch norms are as after training."""
    with seeded(0):
        model = models.cifar_resnet(14, in_channels=1, shortcut="B")
    rng = np.random.default_rng(0)
    for module in model.modules():
        if isinstance(module, BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean):
                tensor.assign_(rng.uniform(0.2, 1.0, tensor.shape).astype(np.float32))
    return model.eval()


def _x() -> Tensor:
    return Tensor(np.random.default_rng(1).standard_normal((1, 1, 8, 8)).astype(np.float32))


def _without(without: Callable[..., Any]) -> str:
    """The logits with F(x) = 0 in one block, and the model left as it was."""
    model, x = _model(), _x()
    with no_grad():
        before = model(x).numpy()
    for name, block in list(model.named_modules()):
        if not hasattr(block, "residual"):
            continue
        with no_grad():
            expected = _logits_without(model, block, x)
        found = array(without(model, name, x), f"without(model, {name!r}, x)")
        with no_grad():
            after = model(x).numpy()
        if not np.array_equal(before, after):
            raise Wrong(f"after without(model, {name!r}, x) the model is another one: put back what you changed.")
        if found.shape == before.shape and np.allclose(found, before, rtol=1e-4, atol=1e-5):
            raise Wrong(f"{name} still does its work: the logits are those of the whole network.")
        if not np.allclose(found, expected, rtol=1e-3, atol=1e-4):
            raise Wrong(
                f"without {name} the logits are wrong. With F(x) = 0 the block is relu(shortcut(x)): is a bias of the "
                "last batch norm still there, or the ReLU missing, or the shortcut's projection?"
            )
    return "each block can be switched off, and comes back."


def _logits_without(model: Module, block: Any, x: Tensor) -> np.ndarray:
    block.residual = lambda h: 0.0 * block.shortcut(h)
    try:
        return model(x).numpy()
    finally:
        del block.residual


def _saliency(saliency: Callable[..., Any]) -> str:
    """The largest |∂logit_k/∂x| over the channels, for each pixel."""
    with seeded(0):
        model = models.cifar_resnet(14, in_channels=3, shortcut="B").eval()
    x = Tensor(np.random.default_rng(1).standard_normal((1, 3, 8, 8)).astype(np.float32), requires_grad=True)
    k = 3
    (of_logit,) = grad(model(x)[0, k], x)
    (of_probability,) = grad(F.softmax(model(x), 1)[0, k], x)
    (of_all,) = grad(model(x).sum(), x)
    assert of_logit is not None
    assert of_probability is not None
    assert of_all is not None
    g = of_logit.numpy()[0]
    found = array(saliency(model, Tensor(x.numpy()), k), "saliency(model, x, k)")
    if found.shape != g.shape[1:]:
        raise Wrong(f"the map has shape {found.shape}; it has one number for each pixel: {g.shape[1:]}.")
    hints = {
        "A pixel matters whichever way it pushes: take the absolute value before the largest.": g.max(0),
        "Take the largest over the channels, not the sum.": np.abs(g).sum(0),
        "Begin with the logit of class k, not with its probability.": np.abs(of_probability.numpy()[0]).max(0),
        "Begin with the logit of class k alone, not with all logits.": np.abs(of_all.numpy()[0]).max(0),
    }
    like(found.astype(np.float64), np.abs(g).max(0).astype(np.float64), "the map", hints)
    return "each pixel has the largest slope of the logit over its channels."


EXERCISES = (
    Exercise("photo.prepared", "A photograph as a network reads it", _prepared),
    Exercise("photo.without", "A block is switched off", _without),
    Exercise("photo.saliency", "Where the network looks", _saliency),
)
