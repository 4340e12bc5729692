"""The batched matrix product, and the linear layer made of it."""

from __future__ import annotations

from collections.abc import Sequence

from minires import backend
from minires.backend import Array
from minires.core.function import Function
from minires.core.operators import Operand, method
from minires.core.tensor import Tensor
from minires.errors import ShapeError
from minires.ops.operands import check_dtypes, check_floating, check_tensor, same_kind
from minires.ops.shape import permute, reshape, sum_to, transpose


class MatMul(Function):
    """Y = A B;  ∂L/∂A = G Bᵀ,  ∂L/∂B = Aᵀ G, with G = ∂L/∂Y. Leading axes are batches and broadcast."""

    @property
    def saved_inputs(self) -> Sequence[int]:  # type: ignore[override]  # each matrix only for the other's gradient
        return [1 - i for i, needed in enumerate(self.needs_input_grad) if needed]

    def forward(self, a: Array, b: Array) -> Array:
        return backend.matmul(a, b)

    def backward(self, g: Tensor) -> tuple[Tensor | None, ...]:
        a, b = self.inputs
        ga = sum_to(MatMul()(g, transpose(b, -1, -2)), a.shape) if self.needs_input_grad[0] else None
        gb = sum_to(MatMul()(transpose(a, -1, -2), g), b.shape) if self.needs_input_grad[1] else None
        return ga, gb


@method("matmul")
def matmul(input: Operand, other: Operand) -> Tensor:
    """The matrix product (torch.matmul): (…, n, k) and (…, k, m) -> (…, n, m); leading axes broadcast.

    A vector counts as a row on the left and as a column on the right. Raises ShapeError where shapes do not fit,
    DtypeError for two dtypes, as torch does.
    """
    a, b = same_kind(input, other)
    if a is not input or b is not other:
        check_dtypes("matmul", input=input, other=other)
    if not a.ndim or not b.ndim or a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise ShapeError(f"matmul: shapes {a.shape} and {b.shape} do not fit: the inner lengths must agree")
    if any(n != m and 1 not in (n, m) for n, m in zip(a.shape[-3::-1], b.shape[-3::-1], strict=False)):
        raise ShapeError(f"matmul: shapes {a.shape} and {b.shape} do not fit: their leading axes do not broadcast")
    matrix_a = a if a.ndim > 1 else reshape(a, (1, -1))
    matrix_b = b if b.ndim > 1 else reshape(b, (-1, 1))
    y = MatMul()(matrix_a, matrix_b)
    shape = list(y.shape)
    if b.ndim == 1:
        shape.pop(-1)
    if a.ndim == 1:
        shape.pop(-1 if b.ndim == 1 else -2)
    return y if len(shape) == y.ndim else reshape(y, shape)


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y = x Wᵀ + b; x (…, in), W (out, in), b (out,) -> y (…, out) (torch.nn.functional.linear).

    Raises ShapeError where shapes do not fit, DtypeError where dtypes differ.
    """
    check_floating("linear", input)
    for tensor in (weight, bias):
        if tensor is not None:
            check_tensor("linear", tensor)
    if weight.ndim != 2 or not input.ndim or input.shape[-1] != weight.shape[1]:
        raise ShapeError(
            f"linear: input {input.shape} does not fit weight {weight.shape}: "
            "the weight must be (out, in), where `in` is the length of the input's last axis"
        )
    if bias is not None and bias.shape != (weight.shape[0],):
        raise ShapeError(f"linear: bias {bias.shape} must be ({weight.shape[0]},) for weight {weight.shape}")
    check_dtypes("linear", input=input, weight=weight, bias=bias)
    y = matmul(input, permute(weight, (1, 0)))
    return y if bias is None else y + bias
