"""The bilinear form of two inputs, made of the matrix product."""

from __future__ import annotations

from minires.core.tensor import Tensor
from minires.errors import ShapeError
from minires.ops.linear import linear, matmul
from minires.ops.operands import check_dtypes, check_floating, check_tensor
from minires.ops.shape import reshape


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """yₒ = Σᵢⱼ uᵢ Wₒᵢⱼ vⱼ + bₒ;  u (…, in1), v (…, in2), W (out, in1, in2), b (out,) -> y (…, out).

    Follows torch.nn.functional.bilinear: the leading axes of u and v must be equal, they do not broadcast. Raises
    ShapeError where shapes do not fit, DtypeError where dtypes differ.
    """
    check_floating("bilinear", input1)
    for tensor in (input2, weight, bias):
        if tensor is not None:
            check_tensor("bilinear", tensor)
    u, v = input1.shape, input2.shape
    if weight.ndim != 3 or not u or not v or (u[-1], v[-1]) != weight.shape[1:] or u[:-1] != v[:-1]:
        raise ShapeError(
            f"bilinear: inputs {u} and {v} do not fit weight {weight.shape}: they must be (…, in1) and (…, in2) with "
            "equal leading axes, and the weight (out, in1, in2)"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ShapeError(f"bilinear: bias {bias.shape} must be {weight.shape[:1]} for weight {weight.shape}")
    check_dtypes("bilinear", input1=input1, input2=input2, weight=weight, bias=bias)
    out, in1, in2 = weight.shape
    # (W v)ₒᵢ = Σⱼ Wₒᵢⱼ vⱼ, for all rows oi at once
    wv = reshape(linear(input2, reshape(weight, (out * in1, in2))), (*v[:-1], out, in1))
    y = reshape(matmul(wv, reshape(input1, (*u, 1))), (*u[:-1], out))
    return y if bias is None else y + bias
