"""Products of matrices: MatMul, Gemm, Einsum."""

from __future__ import annotations

from minires import functional as F
from minires.core.tensor import Tensor
from minires.onnx.node import Node, operator


@operator("MatMul")
def matmul(node: Node, a: Tensor, b: Tensor) -> Tensor:
    """The matrix product of the last two axes; leading axes broadcast."""
    return F.matmul(a, b)


@operator("Gemm", "alpha beta transA transB broadcast")
def gemm(node: Node, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    """alpha · A B + beta · C, with A and B transposed on request. With Bᵀ and a vector C it is a linear layer."""
    alpha, beta = node.number("alpha"), node.number("beta")
    if a.ndim != 2 or b.ndim != 2:
        node.refuse(f"needs two matrices, got {a.shape} and {b.shape}")
    a = F.permute(a, (1, 0)) if node.flag("transA") else a
    b = F.permute(b, (1, 0)) if node.flag("transB") else b
    y = F.matmul(a, b)
    y = y if alpha == 1 else alpha * y
    if c is None or beta == 0:
        return y
    return y + (c if beta == 1 else beta * c)


@operator("Einsum", "equation")
def einsum(node: Node, *inputs: Tensor) -> Tensor:
    """Einstein's sum of products."""
    return F.einsum(node.get("equation").replace(" ", ""), *inputs)
