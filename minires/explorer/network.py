"""What the network view shows of one image: classes, features, gradients, and the network with blocks switched off.

The network is taken apart block by block, so that for each of them x, F(x), s(x) and their gradients are at hand:

    y = relu(F(x) + s(x))      switched off: y = relu(s(x)), as Veit et al. (2016) delete a block
    g_x = J_sᵀ g + J_Fᵀ g      what x gets through the shortcut s, and through F

The gradient is that of one class's logit. The cross-entropy's would be nearly 0 for an image that the network is sure
of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from minires import functional as F
from minires.core.autograd import grad
from minires.core.modes import no_grad
from minires.core.tensor import Tensor
from minires.errors import MiniResError
from minires.models.blocks import Block, relu_of_norm
from minires.models.resnet import ResNet
from minires.nn import Conv2d

Floats = npt.NDArray[np.float32]


@dataclass
class BlockPass:
    """One block of one forward pass. `total` is F(x) + s(x) before the ReLU, `s` is None in a plain network."""

    x: Tensor
    f: Tensor | None  # None where the block is switched off
    s: Tensor | None
    total: Tensor
    y: Tensor


@dataclass(frozen=True)
class BlockFacts:
    """What is measured of one block.

    Attributes:
        name: The block's name in the model, such as "layer1.0".
        off: Whether F is switched off.
        gradient: ‖∂/∂y‖, the norm of the gradient of the block's output.
        identity: ‖J_sᵀ g‖, the norm of what the block's input gets through the shortcut.
        residual: ‖J_Fᵀ g‖, the norm of what it gets through F.
        ratio: ‖F(x)‖/‖x‖; None where F is switched off.
        features: y (C, H, W).
    """

    name: str
    off: bool
    gradient: float
    identity: float
    residual: float
    ratio: float | None
    features: Floats


@dataclass(frozen=True)
class Findings:
    """All that is measured of one image.

    Attributes:
        logits: (classes,).
        target: The class whose logit was differentiated.
        blocks: In the order in which they run.
        at_input: The norm of the gradient of the first block's input.
        input_gradient: ∂logit/∂x of the image (C, H, W).
        cam: Grad-CAM of the last block (H, W), from 0 on (Selvaraju et al. 2017).
    """

    logits: Floats
    target: int
    blocks: tuple[BlockFacts, ...]
    at_input: float
    input_gradient: Floats
    cam: Floats


def blocks_of(model: ResNet) -> list[tuple[str, Block]]:
    """The residual blocks of a network by name. Raises MiniResError for a network of other blocks."""
    found = [
        (f"{stage}.{number}", block)
        for stage in getattr(model, "stages", ())
        for number, block in enumerate(getattr(model, stage))
    ]
    if not found or not all(isinstance(block, Block) for _, block in found):
        raise MiniResError(
            f"the explorer shows residual networks of minires.models, and {type(model).__name__} is none: "
            "name another one with --model"
        )
    return found


def can_be_off(block: Block) -> bool:
    """Whether the network runs without the block's F: in a plain network only where it keeps the shape of its input."""
    if not block.plain:
        return True
    convolutions = [module for module in block.modules() if isinstance(module, Conv2d)]
    shapes = convolutions[0].in_channels == convolutions[-1].out_channels
    return shapes and all(tuple(each.stride) == (1, 1) for each in convolutions)


def explore(model: ResNet, image: Floats, target: int | None = None, off: Sequence[int] = ()) -> Findings:
    """Run the network, in eval mode, on one image and differentiate one logit.

    Args:
        model: A ResNet; its parameters' gradients are neither computed nor changed.
        image: The network's input (C, H, W).
        target: The class whose logit is differentiated; None for the likeliest.
        off: The numbers of the blocks whose F is switched off.

    Raises MiniResError for a class or a block that the network does not have, or a block that cannot be switched off.
    """
    blocks = blocks_of(model)
    if not set(off) <= set(range(len(blocks))):
        raise MiniResError(f"blocks {sorted(set(off))}: the network has blocks 0 … {len(blocks) - 1}")
    x = Tensor(image[np.newaxis], requires_grad=True)
    logits, passes = _forward(model, [block for _, block in blocks], x, set(off))
    classes = logits.shape[1]
    if target is not None and not 0 <= target < classes:
        raise MiniResError(f"class {target}: the network has classes 0 … {classes - 1}")
    target = int(logits.numpy()[0].argmax()) if target is None else target
    wanted = [x, passes[0].x, *(each.total for each in passes), *(each.y for each in passes)]
    gradients = [
        np.zeros(tensor.shape, np.float32) if found is None else found.numpy()
        for tensor, found in zip(wanted, _gradients(logits[0, target], wanted), strict=True)
    ]
    at_totals, at_outputs = gradients[2 : 2 + len(passes)], gradients[2 + len(passes) :]
    at_inputs = [gradients[1], *at_outputs[:-1]]
    facts = [
        _facts(name, number in off, one, g_x, g_total, g_y)
        for number, ((name, _), one, g_x, g_total, g_y) in enumerate(
            zip(blocks, passes, at_inputs, at_totals, at_outputs, strict=True)
        )
    ]
    cam = _grad_cam(passes[-1].y.numpy()[0], at_outputs[-1][0])
    return Findings(logits.numpy()[0], target, tuple(facts), _norm(gradients[1]), gradients[0][0], cam)


def logits_of(model: ResNet, image: Floats) -> Floats:
    """The logits (classes,) of the whole network for one image (C, H, W)."""
    with no_grad():
        logits: Floats = model(Tensor(image[np.newaxis])).numpy()[0]
    return logits


def _forward(model: ResNet, blocks: Sequence[Block], x: Tensor, off: set[int]) -> tuple[Tensor, list[BlockPass]]:
    y = model.maxpool(relu_of_norm(model.relu, model.bn1, model.conv1(x)))
    passes = []
    for number, block in enumerate(blocks):
        passes.append(_block(block, y, number, number in off))
        y = passes[-1].y
    return model.fc(F.flatten(model.avgpool(y), 1)), passes


def _block(block: Block, x: Tensor, number: int, is_off: bool) -> BlockPass:
    """One block as its `forward` runs it, with what is inside; switched off, only the shortcut."""
    f = None if is_off else block.residual(x)
    s = None if block.plain and not is_off else block.shortcut(x)
    if is_off and not can_be_off(block):
        raise MiniResError(
            f"block {number} of a plain network changes the shape of its input: it cannot be switched off"
        )
    total = s if f is None else f if s is None else f + s
    assert total is not None
    return BlockPass(x, f, s, total, block.relu(total))


def _gradients(logit: Tensor, wanted: Sequence[Tensor]) -> Sequence[Tensor | None]:
    return grad(logit, wanted, retain_graph=True)  # the graphs of the shortcuts are used once more


def _facts(name: str, off: bool, one: BlockPass, g_x: Floats, g_total: Floats, g_y: Floats) -> BlockFacts:
    if one.s is None:
        through_s = np.zeros_like(g_x)
    elif one.s is one.x:
        through_s = g_total
    else:
        (found,) = grad(one.s, one.x, Tensor(g_total), retain_graph=True)
        assert found is not None
        through_s = found.numpy()
    return BlockFacts(
        name=name,
        off=off,
        gradient=_norm(g_y),
        identity=_norm(through_s),
        residual=0.0 if off else _norm(g_x - through_s),
        ratio=None if one.f is None else _norm(one.f.numpy()) / max(_norm(one.x.numpy()), 1e-30),
        features=one.y.numpy()[0],
    )


def _norm(array: npt.NDArray[Any]) -> float:
    return float(np.linalg.norm(array))


def _grad_cam(features: Floats, gradient: Floats) -> Floats:
    """relu(Σ_c α_c · A_c), where α_c is the mean of the gradient over channel c: (C, H, W) twice -> (H, W)."""
    weights = gradient.mean((1, 2))
    cam: Floats = np.maximum(np.tensordot(weights, features, 1), 0)
    return cam
