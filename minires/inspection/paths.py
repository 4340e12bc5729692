"""Where the gradient of a residual network goes: through the shortcut or through F in each block, and along each path.

A block y = relu(F(x) + s(x)) gives its input two gradients,

    g_x = J_sᵀ g + J_Fᵀ g          what comes through the shortcut, and what comes through F

Both are asked of any Module with the methods `residual` (F) and `shortcut` (s), which its `forward` calls once each. To
take a network apart, each block is run on a leaf of its own, with F(x) and s(x) as leaves too. Whatever the block does
with them (a sum, a ReLU, gates) stays as it is; a gate's own dependence on x counts as part of F.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from minires.backend import to_device
from minires.core.autograd import grad
from minires.core.tensor import Tensor
from minires.nn import Module

Gradient = npt.NDArray[np.floating]
Loss = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Share:
    """How the gradient passes one block.

    Attributes:
        name: The block's name in the model, such as "layer1.0".
        identity: ‖J_sᵀ g‖, the norm of what comes through the shortcut.
        residual: ‖J_Fᵀ g‖, the norm of what comes through F.
        total: The norm of their sum, the gradient of the block's input.
        identity_share: ⟨J_sᵀ g, g_x⟩ / ‖g_x‖²; the shares of the shortcut and of F are 1 together.
    """

    name: str
    identity: float
    residual: float
    total: float
    identity_share: float

    @property
    def residual_share(self) -> float:
        """⟨J_Fᵀ g, g_x⟩ / ‖g_x‖²."""
        return 1 - self.identity_share


def gradient_shares(model: Module, x: Tensor, loss: Loss) -> list[Share]:
    """How the gradient of loss(model(x)) divides at each residual block, from the image to the loss.

    Args:
        model: Any network with residual blocks, in the mode in which it is to be measured. Batch norm in training mode
            updates its running statistics, as in every forward pass.
        x: The images (N, C, H, W).
        loss: Takes the model's output to a Tensor with one element.

    Raises ValueError if no block was run, or one was run twice.
    """
    cuts, gradient = _taken_apart(model, x, loss)
    shares = []
    for cut in reversed(cuts):
        through_s, through_f = cut.divide(cut.before_next(gradient))
        gradient = through_s + through_f
        total = float(np.vdot(gradient, gradient))
        shares.append(
            Share(
                cut.name,
                float(np.linalg.norm(through_s)),
                float(np.linalg.norm(through_f)),
                total**0.5,
                float(np.vdot(through_s, gradient)) / total if total else 0.0,
            )
        )
    return shares[::-1]


def path_gradients(model: Module, x: Tensor, loss: Loss, longest: int | None = None) -> list[Gradient]:
    """The gradient of the first block's input, by the number of blocks whose F it came through: 0, 1, …, n.

    n blocks are 2ⁿ paths: each passes F or the shortcut of every block. Backward, the gradient is kept as a polynomial
    in t whose coefficient of tᵏ came through exactly k blocks,

        G(t) ← J_sᵀ G(t) + t · J_Fᵀ G(t)

    so that n(n + 1)/2 backward passes of a block are enough, and the coefficients sum to the ordinary gradient. (Veit
    et al. 2016 drew paths at random instead.) The network is the linear map that backprop sees: the masks of its ReLUs
    and the statistics of batch norm are those of the whole network.

    Args:
        model, x, loss: As for `gradient_shares`.
        longest: Leave out paths through more blocks than this; None for all.

    Returns:
        The coefficients, arrays of the shape of the first block's input.
    """
    cuts, top = _taken_apart(model, x, loss)
    polynomial = [top]
    for cut in reversed(cuts):
        divided = [cut.divide(cut.before_next(each)) for each in polynomial]
        zero = np.zeros_like(divided[0][0])
        through_s = [s for s, _ in divided] + [zero]
        through_f = [zero] + [f for _, f in divided]
        polynomial = [a + b for a, b in zip(through_s, through_f, strict=True)]
        if longest is not None:
            polynomial = polynomial[: longest + 1]
    return polynomial


def path_norms(
    model: Module, x: Tensor, loss: Loss, *, samples: int, rng: np.random.Generator
) -> list[tuple[float, ...]]:
    """‖gradient‖ of the first block's input through single paths: for each length 0 … n, `samples` random ones.

    This is how Veit et al. (2016, §4.2) measure a path's magnitude. The arguments are those of `gradient_shares`.
    """
    cuts, top = _taken_apart(model, x, loss)

    def norm(length: int) -> float:
        passed, gradient = set(rng.choice(len(cuts), length, replace=False).tolist()), top
        for number, cut in reversed(list(enumerate(cuts))):
            through_s, through_f = cut.divide(cut.before_next(gradient), s=number not in passed, f=number in passed)
            gradient = through_f if number in passed else through_s
        return float(np.linalg.norm(gradient))

    return [tuple(norm(length) for _ in range(samples)) for length in range(len(cuts) + 1)]


@dataclass
class _Cut:
    """One block, run on leaves: x -> (F(x), s(x)); leaves (f, s) -> y; the leaf after y -> what the next block gets.

    `between` is that last tensor, None where the next block (or the loss) is handed the leaf itself.
    """

    name: str
    x: Tensor
    f_of_x: Tensor
    s_of_x: Tensor
    f: Tensor
    s: Tensor
    y: Tensor
    after: Tensor
    between: Tensor | None = None

    def before_next(self, gradient: Gradient) -> Gradient:
        """The gradient of this block's output, from that of the next block's input."""
        return gradient if self.between is None else _pull(self.between, self.after, gradient)

    def divide(self, gradient: Gradient, s: bool = True, f: bool = True) -> tuple[Gradient, Gradient]:
        """What the block's input gets (through the shortcut, through F) of its output's gradient; 0 where not asked."""
        g = Tensor(gradient).to(self.x.device)
        of_f, of_s, direct = grad(self.y, [self.f, self.s, self.x], g, retain_graph=True, allow_unused=True)
        zero = np.zeros(self.x.shape, self.x.dtype)
        through_s = zero if of_s is None or not s else _shortcut_gradient(self, of_s)
        through_f = zero if of_f is None or not f else _pull(self.f_of_x, self.x, _host(of_f))
        if direct is not None and f:  # what a gate, which looks at x itself, hands back
            through_f = through_f + _host(direct)
        return through_s, through_f


def _shortcut_gradient(cut: _Cut, gradient: Tensor) -> Gradient:
    """J_sᵀ of a gradient; the gradient itself where the shortcut is x."""
    return _host(gradient) if cut.s_of_x is cut.x else _pull(cut.s_of_x, cut.x, _host(gradient))


def _pull(output: Tensor, leaf: Tensor, gradient: Gradient) -> Gradient:
    """Jᵀ of `gradient`, where J = ∂output/∂leaf."""
    found = grad(output, leaf, Tensor(gradient).to(leaf.device), retain_graph=True, allow_unused=True)[0]
    return np.zeros(leaf.shape, leaf.dtype) if found is None else _host(found)


def _host(tensor: Tensor) -> Gradient:
    return to_device(tensor.data, "cpu")


def _leaf(tensor: Tensor) -> Tensor:
    return tensor.detach().clone().requires_grad_()


def _taken_apart(model: Module, x: Tensor, loss: Loss) -> tuple[list[_Cut], Gradient]:
    """Run loss(model(x)) with every block cut; returns the cuts, and the gradient of what follows the last block."""
    blocks = {name: module for name, module in model.named_modules() if is_block(module)}
    cuts: list[_Cut] = []
    with _cutting(blocks, cuts):
        value = loss(model(x))
    if len(cuts) != len(blocks) or not cuts:
        raise ValueError(
            f"the model has {len(blocks)} residual blocks (modules with the methods residual and shortcut), and ran "
            f"{len(cuts)} of them; each must run once, on the output of the one before"
        )
    last = cuts[-1]
    return cuts, _host(grad(value, last.after)[0])  # type: ignore[arg-type]


def is_block(module: Module) -> bool:
    """Whether a module is a residual block: it has the methods `residual` and `shortcut`, and is not a plain one."""
    has_parts = callable(getattr(module, "residual", None)) and callable(getattr(module, "shortcut", None))
    return has_parts and not getattr(module, "plain", False)


@contextmanager
def _cutting(blocks: dict[str, Module], cuts: list[_Cut]) -> Iterator[None]:
    """Within it, the blocks run on leaves, and each run is added to `cuts`."""
    for name, block in blocks.items():
        object.__setattr__(block, "forward", _cut_forward(name, block, cuts))
    try:
        yield
    finally:
        for block in blocks.values():
            object.__delattr__(block, "forward")


def _cut_forward(name: str, block: Any, cuts: list[_Cut]) -> Callable[[Tensor], Tensor]:
    """A forward pass of `block` that cuts the graph before it, after F and the shortcut, and after it."""
    forward, residual, shortcut = block.forward, block.residual, block.shortcut

    def run(given: Tensor) -> Tensor:
        if cuts and given is not cuts[-1].after:
            cuts[-1].between = given
        x = _leaf(given)
        parts: dict[str, Tensor] = {}

        def cut(part: str, compute: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
            def computed(value: Tensor) -> Tensor:
                parts[f"{part}_of_x"] = compute(value)
                parts[part] = _leaf(parts[f"{part}_of_x"])
                return parts[part]

            return computed

        object.__setattr__(block, "residual", cut("f", residual))
        object.__setattr__(block, "shortcut", cut("s", shortcut))
        try:
            y = forward(x)
        finally:
            object.__delattr__(block, "residual")
            object.__delattr__(block, "shortcut")
        cuts.append(_Cut(name=name, x=x, y=y, after=_leaf(y), **parts))
        return cuts[-1].after

    return run
