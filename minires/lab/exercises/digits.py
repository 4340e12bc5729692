"""The exercises of "Plain against residual, on real digits": a network of the student's own operations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minires import data
from minires.core.autograd import grad, topological_order
from minires.core.function import Function
from minires.core.modes import no_grad
from minires.core.tensor import Tensor
from minires.data.transforms import Normalize
from minires.lab.exercises.exercise import Exercise, Wrong, normal
from minires.lab.grader import grade
from minires.nn import Module

WANTED = 97.0  # percent of the held-out digits


def _ops(Conv2d: type[Any], MaxPool2d: type[Any], Add: type[Any]) -> str:
    """Each of the three has the full mark."""
    for found in (Conv2d, MaxPool2d, Add):
        if not isinstance(found, type) or not issubclass(found, Function):
            raise Wrong(f"{found!r} is no class of yours: write class …(mr.Function), as in lessons 1, 3 and 5.")
    named = {"Add": Add, "MaxPool2d": MaxPool2d, "Conv2d": Conv2d}  # what is graded fastest comes first
    for wanted, found in named.items():
        if found.__name__ != wanted:
            raise Wrong(f"{found.__name__} should be called {wanted}: by its name it is compared with MiniRes's own.")
    for found in named.values():
        result = grade(found)
        if any("NotImplementedError" in item.reason for op in result.ops for item in op.items):
            raise NotImplementedError
        if not result.is_full:
            raise Wrong(f"{result.next or result.problem}\n\n{result}")
    return "all three have the full mark."


def _nodes(y: Tensor) -> list[Function]:
    return [each for each in topological_order([y.node]) if isinstance(each, Function)] if y.node else []


def _of_minires(node: Function) -> bool:
    return type(node).__module__.startswith("minires.")


def _names(nodes: list[Function]) -> Iterator[str]:
    """The names of the student's own operations among these nodes."""
    return (node.name for node in nodes if not _of_minires(node))


def _block(Block: type[Any]) -> str:
    """y = relu(F(x) + x), F with two of the student's convolutions, the sum the student's too."""
    if not isinstance(Block, type) or not issubclass(Block, Module):
        raise Wrong("Block should be a class that subclasses nn.Module.")
    make: Callable[[int], Module] = Block
    block = make(4).to(dtype=np.float64)
    x = Tensor(normal(2, 4, 6, 6), requires_grad=True)
    y = block(x)
    if y is None:
        raise NotImplementedError
    if y.shape != x.shape:
        raise Wrong(f"x {x.shape} becomes {y.shape}: a block without stride keeps the shape, or x could not be added.")
    own = list(_names(_nodes(y)))
    if own.count("Conv2d") != 2:
        raise Wrong(f"there are {own.count('Conv2d')} of your Conv2d in the graph; F has two: use Conv, not nn.Conv2d.")
    for parameter in block.parameters():
        parameter.assign_(0.0)  # then F(x) = 0
    of_zero = block(x).numpy()
    if np.allclose(of_zero, x.numpy()):
        raise Wrong("the ReLU comes before the sum: y = relu(F(x) + x).")
    if not np.allclose(of_zero, np.maximum(x.numpy(), 0)):
        raise Wrong("with all weights 0 the block should be relu(x), since F(x) is 0 then. Where does x join?")
    if "Add" not in own:
        raise Wrong("the sum is MiniRes's own +. Use your Add: Add()(f, x).")
    y, g = block(x), normal(*x.shape, seed=1)
    (found,) = grad(y, x, Tensor(g))
    assert found is not None
    if not np.allclose(found.numpy(), g * (x.numpy() > 0)):
        raise Wrong("with F(x) = 0 the gradient of x should be that of relu(x): what does your Add send back?")
    return "x joins after F and before the ReLU, and its gradient comes back undiminished."


def _train(train: Callable[[], Any]) -> str:
    """The trained network reads 97 % of the held-out digits, with the student's own operations."""
    model = train()
    if model is None or model is ...:
        raise NotImplementedError
    if not isinstance(model, Module):
        raise Wrong(f"train() returns a {type(model).__name__}; return the network.")
    held_out = data.Loader(data.load("digits", train=False), 359, transform=Normalize.preset("digits"))
    images, labels = next(held_out.epoch(0))
    nodes = _nodes(model.train()(Tensor(images[:8])))
    own = set(_names(nodes))
    for name in ("Conv2d", "MaxPool2d"):
        if any(_of_minires(node) and node.name == name for node in nodes):
            raise Wrong(f"the network computes with MiniRes's own {name}; use yours everywhere.")
    if missing := {"Conv2d", "MaxPool2d", "Add"} - own:
        raise Wrong(f"your own {', '.join(sorted(missing))} is not in the network.")
    with no_grad():
        answers = model.eval()(Tensor(images)).numpy().argmax(1)
    percent = 100 * float((answers == labels).mean())
    if percent < WANTED:
        raise Wrong(
            f"{percent:.1f} % of the {len(labels)} held-out digits are right, and {WANTED:g} % are wanted. Does the "
            "loss fall? In each step: zero_grad, forward, loss, backward, step. Does every epoch see all batches?"
        )
    return (
        f"{percent:.1f} % of the {len(labels)} held-out digits are right, with your own convolution, pooling and sum."
    )


EXERCISES = (
    Exercise("digits.ops", "Your three operations", _ops),
    Exercise("digits.block", "Your residual block", _block),
    Exercise("digits.train", "Your network reads digits", _train),
)
