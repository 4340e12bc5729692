"""An operation of your own, its gradient check, and what the check says of a wrong gradient.

    python examples/custom_op.py

SiLU(x) = x·σ(x), σ(x) = 1/(1 + e⁻ˣ);  SiLU′(x) = σ(x) + x·σ(x)·(1 − σ(x)).        (Elfwing et al. 2017)
"""

from typing import Any

import minires as mr
from minires import backend
from minires import functional as F
from minires.gradcheck import gradcheck


class SiLU(mr.Function):
    """y = x·σ(x). An instance is one node of the graph."""

    def forward(self, x: Any) -> Any:
        """Arrays: x -> y, both (…). The kernels of `minires.backend` work on NumPy's arrays and on CuPy's."""
        return backend.multiply(x, backend.sigmoid(x))

    def backward(self, gradient: mr.Tensor) -> mr.Tensor:
        """Tensors: ∂L/∂y -> ∂L/∂x, both (…). It consists of operations, so it can be differentiated again."""
        (x,) = self.inputs
        sigma = F.sigmoid(x)
        return gradient * (sigma + x * sigma * (1.0 - sigma))


class WrongSiLU(SiLU):
    """SiLU with a mistake: its backward forgets that σ(x) depends on x too."""

    def backward(self, gradient: mr.Tensor) -> mr.Tensor:
        """Only the first term of the product rule."""
        (x,) = self.inputs
        return gradient * F.sigmoid(x)


def silu(x: mr.Tensor) -> mr.Tensor:
    """The function that users call: one new node for each call."""
    return SiLU()(x)


def wrong_silu(x: mr.Tensor) -> mr.Tensor:
    """The same with the wrong node."""
    return WrongSiLU()(x)


def main() -> None:
    """Differentiate SiLU twice, then check both versions, the right one to the second order."""
    x = mr.tensor([-2.0, 0.0, 3.0], requires_grad=True)
    (slope,) = mr.grad(silu(x).sum(), x, create_graph=True)
    (curvature,) = mr.grad(slope.sum(), x)
    print(f"SiLU'  = {slope.numpy().round(4)}\nSiLU'' = {curvature.numpy().round(4)}\n")

    example = mr.tensor([[-2.0, -0.5, 0.0], [0.3, 1.0, 3.0]], dtype="float64", requires_grad=True)
    print(gradcheck(silu, example, order=2), end="\n\n")
    print(gradcheck(wrong_silu, example))


if __name__ == "__main__":
    main()
