"""Mistakes of the backward pass: a gradient is lost, arrives too late, is of changed values, or has a wrong shape."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from minires import functional as F
from minires.backend import Array, add
from minires.core import autograd, modes
from minires.core.autograd import Vertex, grad
from minires.core.tensor import Tensor
from minires.errors import ShapeError
from minires.lab.fixtures import block, checked, cotangent, gradients, length, normal, slope_lines, slopes, verdict
from minires.lab.mistake import Measured, Mistake, Outcome
from minires.lab.patches import Attribute, Everywhere
from minires.ops.elementwise import Add
from minires.ops.shape import sum_to

# -- a gradient that had arrived is overwritten -----------------------------------------------------------------------


def _overwrite(self: Any, vertex: Vertex, gradient: Tensor) -> None:
    self.pending[vertex] = gradient


def _measure_join() -> Measured:
    one, x = block(), normal(2, 4, 6, 6)
    y = one(x)
    (at_sum,) = grad(y, y, cotangent(y) * (y.detach() > 0).astype(np.float64))  # ∂L/∂s of y = relu(s), s = F(x) + x
    assert at_sum is not None
    (through,) = grad(one.residual(x), x, at_sum)
    assert through is not None
    return {
        **slope_lines(one, [x]),
        "length of ∂L/∂x": length(gradients(one, [x])[0]),
        "  of its part through F": length(through.numpy()),
        "  of its part around F": length(at_sum.numpy()),
        "gradient check of the block": verdict(one, [x]),
    }


OVERWRITE = Mistake(
    name="overwrite-instead-of-accumulate",
    title="A gradient is overwritten where paths join, not added up",
    replaces="BackwardPass.send in minires/core/autograd.py",
    code="""\
def send(self, vertex, gradient):
    self.pending[vertex] = gradient
""",
    fixture="A BasicBlock of 4 channels, x (2, 4, 6, 6), L = Σ c·y with a random c",
    measure=_measure_join,
    lesson="Only the last of the two parts of the gradient is left: here the part through F. The skip connection is "
    "there in the forward pass, and gone in the backward pass.",
    checked_by="gradcheck of a residual block",
    check=lambda: checked(block(), [normal(2, 4, 3, 3)]),
    questions=(
        "Draw the graph of y = relu(F(x) + x). Which tensor has two consumers?",
        "Which of the two lengths in the table does the broken ∂L/∂x have? Why that one and not the other?",
        "A network of plain layers, without skips, passes every check with this mistake. Why?",
        "Find another place in a network where one tensor is used twice. What happens to its gradient?",
    ),
    hint="The chain rule for a tensor that is used twice has two terms. What stands between the two terms?",
    answer="x has two consumers: the first convolution of F, and the sum. Their gradients add up; `=` keeps the last. "
    "The sum runs first and sends g along the skip; the convolution sends its part later and overwrites it. Shared "
    "weights are another such place.",
    patches=(Attribute(autograd.BackwardPass, "send", _overwrite),),
)

# -- a node runs too early --------------------------------------------------------------------------------------------


def _breadth_first(roots: Iterable[Vertex]) -> list[Vertex]:
    order = list(dict.fromkeys(roots))
    seen = set(order)
    for vertex in order:  # the list grows during the loop
        for edge in autograd._edges(vertex):
            if edge not in seen:
                seen.add(edge)
                order.append(edge)
    return order


def _measure_order() -> Measured:
    first, second = block(seed=0), block(seed=1)
    x = normal(2, 4, 6, 6)

    def two_blocks(x: Tensor) -> Tensor:
        return second(first(x))

    return {
        **slope_lines(two_blocks, [x]),
        "length of ∂L/∂x": length(gradients(two_blocks, [x])[0]),
        "length of ∂L/∂w, last convolution": _of_weight(two_blocks(x), second.conv2.weight),
        "length of ∂L/∂w, first convolution": _of_weight(two_blocks(x), first.conv1.weight),
        "gradient check of the blocks": verdict(two_blocks, [x]),
    }


def _of_weight(y: Tensor, weight: Tensor) -> float:
    (found,) = grad(y, weight, cotangent(y))
    assert found is not None
    return length(found.numpy())


EARLY = Mistake(
    name="fire-before-all-consumers",
    title="A node runs backward before all its consumers have sent their gradients",
    replaces="topological_order in minires/core/autograd.py",
    code="""\
order = list(roots)
for vertex in order:  # breadth first
    for edge in vertex.edges:
        if edge not in order:
            order.append(edge)
""",
    fixture="Two BasicBlocks of 4 channels, one behind the other, x (2, 4, 6, 6), L = Σ c·y with a random c",
    measure=_measure_order,
    lesson="Behind the last join every gradient is right, in front of it every one is wrong: the node at each join has "
    "only the gradient of the short way, around F, when it runs. What comes through F arrives too late.",
    checked_by="gradcheck of two residual blocks",
    check=lambda: checked(lambda x: block(seed=1)(block(seed=0)(x)), [normal(2, 4, 3, 3)]),
    questions=(
        "Write down the order in which the nodes of one block run, breadth first. Which one is too early?",
        "Why is the gradient of the last convolution still right, and that of the first one not?",
        "Would depth first be better?",
        "The engine adds up the gradients that arrive. Why does that not help here?",
    ),
    hint="Count, for each node, how many gradients it has to wait for. Who counts in the code above?",
    answer="The node that made x is one step from the sum along the skip, and many steps through F; breadth first it "
    "runs after the one step. Depth first fails in the same way on other graphs. The right order is topological: a "
    "node runs when every consumer has sent its gradient, so the backward pass counts consumers first.",
    patches=(Everywhere(autograd.topological_order, _breadth_first),),
)

# -- the sum is written into one of its operands ----------------------------------------------------------------------


def _add_in_place(self: Any, a: Array, b: Array) -> Array:
    if a.shape != b.shape or a.dtype != b.dtype or not isinstance(b, np.ndarray) or not modes.is_grad_enabled():
        return add(a, b)
    chain = [b]
    while isinstance(chain[-1].base, np.ndarray):
        chain.append(chain[-1].base)
    was = [array.flags.writeable for array in chain]
    try:
        for array in reversed(chain):
            array.flags.writeable = True  # the engine locks arrays that a graph needs; this mistake breaks the lock
        b += a
    except ValueError:  # NumPy does not own this memory, so no flag makes it writable
        return add(a, b)
    finally:
        for array, flag in zip(chain, was, strict=True):
            array.flags.writeable = flag
    return b


def _residual_sum(x: Tensor, w: Tensor) -> Tensor:
    """y = relu(F(x) + x) with the weight of F as an input too: one convolution, one batch norm."""
    return F.relu(F.batch_norm(F.conv2d(x, w, padding=1), None, None, training=True) + x)


def _measure_in_place() -> Measured:
    x, w = normal(2, 4, 6, 6), normal(4, 4, 3, 3, seed=5)
    by_difference, by_backward = slopes(lambda w: _residual_sum(x, w), [w])
    x = normal(2, 4, 6, 6)
    before = x.numpy().copy()
    _residual_sum(x, w)
    return {
        "slope of L along w, two forward passes": by_difference,
        "slope of L along w, from backward": by_backward,
        "largest change of x by a forward pass": float(np.abs(x.numpy() - before).max()),
        "gradient check in x and w": verdict(_residual_sum, [normal(2, 4, 3, 3), w]),
    }


IN_PLACE = Mistake(
    name="add-in-place",
    title="`out += identity`: the sum is written into an array that backward still needs",
    replaces="Add.forward in minires/ops/elementwise.py, and the lock on arrays that a graph needs",
    code="""\
def forward(self, a, b):  # in F(x) + x, b is x
    b += a
    return b
""",
    fixture="y = relu(F(x) + x), F one convolution w and a batch norm, x (2, 4, 6, 6), L = Σ c·y with a random c",
    measure=_measure_in_place,
    lesson="The forward pass computes the right y, and changes x on the way. The convolution kept x for its weight's "
    "gradient, and finds F(x) + x there.",
    checked_by="gradcheck of a residual block in its input and its weight",
    check=lambda: checked(_residual_sum, [normal(2, 4, 3, 3), normal(4, 4, 3, 3, seed=5)]),
    questions=(
        "The output y is right to the last bit. Why is the gradient wrong?",
        "Which gradients need the values of x, and which do not?",
        "In F(x) + x, is it safe to write the sum into F(x) instead? Which ops keep their output?",
        "How could an engine notice such a write? What does MiniRes do, and what does PyTorch do?",
    ),
    hint="Whose array is b? Who else has kept it, and what for?",
    answer="A convolution computes its weight's gradient from its input. Writing into F(x) is safe behind a batch "
    "norm, which keeps its input only, and not behind a ReLU, which keeps its output. MiniRes makes kept arrays "
    "read-only and counts a version; PyTorch counts versions. This switch clears the read-only flag, or it could not "
    "write.",
    patches=(Attribute(Add, "forward", _add_in_place),),
)

# -- a broadcast operand gets a gradient of the wrong shape -----------------------------------------------------------


def _not_summed(g: Tensor, shape: tuple[int, ...]) -> Tensor:
    return g


def _scaled_block(x: Tensor, a: Tensor) -> Tensor:
    return F.relu(block().residual(x) * a + x)


def _measure_unbroadcast() -> Measured:
    x, a = normal(2, 4, 6, 6), Tensor(np.array(0.5), requires_grad=True)
    try:
        found = gradients(_scaled_block, [x, a])[1]
    except ShapeError as error:
        return {"∂L/∂a": "none", "shape of ∂L/∂a": "none", "backward": str(error)}
    return {"∂L/∂a": float(found), "shape of ∂L/∂a": str(found.shape), "backward": "runs"}


def _check_shapes() -> Outcome:
    """However an operand broadcasts, its gradient has its shape and is the sum over its copies."""
    for shapes in (((2, 3), (3,)), ((2, 3), (2, 1)), ((), (2, 3)), ((4, 1, 2), (3, 1))):
        a, b = (normal(*shape, seed=k) for k, shape in enumerate(shapes))
        y_shape = np.broadcast_shapes(*shapes)
        try:
            found = gradients(F.add, [a, b])
        except ShapeError as error:
            return Outcome(False, f"operands {shapes[0]} and {shapes[1]}: {error}")
        copies = cotangent(Tensor(np.empty(y_shape))).numpy()
        for gradient, shape in zip(found, shapes, strict=True):
            if not np.allclose(gradient, _sum_of_copies(copies, shape)):
                return Outcome(False, f"operands {shapes[0]} and {shapes[1]}: the gradient is not the sum of copies")
    return Outcome(True, "every operand's gradient has its shape, and sums what its copies get")


def _sum_of_copies(g: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """For each element of an operand of this shape, the sum of g over the places to which it was copied."""
    places = np.broadcast_to(np.arange(int(np.prod(shape))).reshape(shape), g.shape)
    return np.bincount(places.ravel(), g.ravel(), minlength=int(np.prod(shape))).reshape(shape)


UNBROADCAST = Mistake(
    name="missing-unbroadcast",
    title="The gradient of a broadcast operand is not summed back to its shape",
    replaces="sum_to in minires/ops/shape.py",
    code="""\
def sum_to(g, shape):
    return g  # whatever the operand's shape
""",
    fixture="A BasicBlock whose residual is scaled by one learned number, y = relu(a·F(x) + x), x (2, 4, 6, 6)",
    measure=_measure_unbroadcast,
    lesson="The forward pass runs, and backward stops at the op that sent a gradient of the wrong shape. An engine "
    "without this check would go on, and a would grow to the shape of the whole activation at the next update.",
    checked_by="the backward pass's own check of shapes, and the sum over the copies",
    check=_check_shapes,
    questions=(
        "a is one number, used 288 times. How many terms does its gradient have?",
        "Which op is named in the error? Is it the op with the mistake?",
        "Why do the convolutions and batch norms of an ordinary block not show this mistake?",
        "Suppose the backward pass did not check shapes. What would `a -= 0.1 * a.grad` do in NumPy?",
    ),
    hint="To broadcast is to copy. What is the gradient of something that was copied?",
    answer="2·4·6·6 = 288 terms, one for each copy; the adjoint of copying is summing. The error names Multiply, "
    "whose backward calls the broken sum_to. Convolution and batch norm sum over images and pixels in their kernels.",
    patches=(Everywhere(sum_to, _not_summed),),
)
