"""Products of vectors and matrices by the names that torch has for them: mm, bmm, mv, dot, outer, addmm, baddbmm.

All are the matrix product of `linear.py`; each insists on its shapes, so that a transposed argument is noticed.
"""

from __future__ import annotations

from minires.core.operators import Scalar, method
from minires.core.tensor import Tensor
from minires.errors import ShapeError
from minires.ops.linear import matmul
from minires.ops.operands import check_dtypes, check_tensor
from minires.ops.reduction import sum as sum_of
from minires.ops.shape import expand, reshape


def _check(op: str, form: str, *tensors: Tensor) -> None:
    """Raise unless each tensor has the axes that `form` names: "nk km" are two matrices whose inner lengths agree."""
    lengths: dict[str, int] = {}
    for tensor in tensors:
        check_tensor(op, tensor)
    check_dtypes(op, **dict(zip(("the first", "the second"), tensors, strict=False)))
    for axes, tensor in zip(form.split(), tensors, strict=True):
        if tensor.ndim != len(axes) or any(
            lengths.setdefault(k, n) != n for k, n in zip(axes, tensor.shape, strict=True)
        ):
            shapes = " and ".join(str(each.shape) for each in tensors)
            needed = " and ".join(f"({', '.join(part)})" for part in form.split())
            raise ShapeError(f"{op}: needs shapes {needed}, got {shapes}")


@method("mm")
def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """The product of two matrices, (n, k) and (k, m) -> (n, m) (torch.mm)."""
    _check("mm", "nk km", input, mat2)
    return matmul(input, mat2)


@method("bmm")
def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """The products of matrices, (b, n, k) and (b, k, m) -> (b, n, m) (torch.bmm)."""
    _check("bmm", "bnk bkm", input, mat2)
    return matmul(input, mat2)


@method("mv")
def mv(input: Tensor, vec: Tensor) -> Tensor:
    """The product of a matrix and a vector, (n, k) and (k,) -> (n,) (torch.mv)."""
    _check("mv", "nk k", input, vec)
    return matmul(input, vec)


@method("dot")
def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """Σ xᵢ yᵢ of two vectors (torch.dot)."""
    _check("dot", "k k", input, tensor)
    return sum_of(input * tensor)


@method("inner")
def inner(input: Tensor, other: Tensor) -> Tensor:
    """The sums of products over the last axes: (…, k) and (*, k) -> (…, *) (torch.inner). Numbers () multiply."""
    check_tensor("inner", input)
    check_tensor("inner", other)
    if not input.ndim or not other.ndim:
        return input * other
    if input.shape[-1] != other.shape[-1]:
        raise ShapeError(f"inner: the last axes of {input.shape} and {other.shape} must be of one length")
    k = input.shape[-1]
    rows = [reshape(x, (x.numel() // k if k else _rows(x), k)) for x in (input, other)]
    return reshape(matmul(rows[0], rows[1].T), (*input.shape[:-1], *other.shape[:-1]))


def _rows(x: Tensor) -> int:
    count = 1
    for n in x.shape[:-1]:
        count *= n
    return count


@method("outer")
def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """z[i, j] = xᵢ yⱼ of two vectors (torch.outer)."""
    _check_vectors("outer", input, vec2)
    return reshape(input, (input.numel(), 1)) * reshape(vec2, (1, vec2.numel()))


def _check_vectors(op: str, *tensors: Tensor) -> None:
    for tensor in tensors:
        check_tensor(op, tensor)
        if tensor.ndim != 1:
            raise ShapeError(f"{op}: needs vectors, got shape {tensor.shape}")


def _plus(op: str, input: Tensor, product: Tensor, beta: Scalar, alpha: Scalar) -> Tensor:
    """beta · input + alpha · product. With beta = 0 input does not count, not even its NaN, as in torch."""
    check_tensor(op, input)
    check_dtypes(op, input=input, product=product)
    scaled = product if alpha == 1 else product * alpha
    if beta == 0:
        return scaled
    return expand(input if beta == 1 else input * beta, product.shape) + scaled


@method("addmm")
def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Scalar = 1, alpha: Scalar = 1) -> Tensor:
    """beta · input + alpha · (mat1 mat2), where input broadcasts to the product (torch.addmm)."""
    _check("addmm", "nk km", mat1, mat2)
    return _plus("addmm", input, matmul(mat1, mat2), beta, alpha)


@method("addmv")
def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: Scalar = 1, alpha: Scalar = 1) -> Tensor:
    """beta · input + alpha · (mat vec), where input broadcasts to the product (torch.addmv)."""
    _check("addmv", "nk k", mat, vec)
    return _plus("addmv", input, matmul(mat, vec), beta, alpha)


@method("baddbmm")
def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Scalar = 1, alpha: Scalar = 1) -> Tensor:
    """beta · input + alpha · (batch1 batch2) of matrices (b, n, k) and (b, k, m) (torch.baddbmm)."""
    _check("baddbmm", "bnk bkm", batch1, batch2)
    return _plus("baddbmm", input, matmul(batch1, batch2), beta, alpha)
