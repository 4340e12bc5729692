"""Einstein's summation: einsum("bik,bkj->bij", x, y) sums products over the letters that the result does not have.

Two operands at a time become one batched matrix product. The letters of a product are of four kinds:

    batch        in both operands and still needed      -> the leading axes of both
    summed       in both operands and no longer needed  -> columns of the left, rows of the right matrix
    left, right  in one of the operands                 -> rows of the left, columns of the right matrix

A letter that is needed nowhere else is summed beforehand; one that an operand has twice takes its diagonal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from minires.core.tensor import Tensor
from minires.errors import ShapeError
from minires.ops.diagonals import Diagonal
from minires.ops.linear import matmul
from minires.ops.operands import check_dtypes, check_tensor
from minires.ops.reduction import Sum
from minires.ops.shape import Permute, reshape

Letters = tuple[Any, ...]  # one for each axis: a character, or of the axes of an ellipsis the number from the last


def einsum(equation: Any, *operands: Any) -> Tensor:
    """Products of the operands' elements, summed over the letters that the result lacks (torch.einsum).

    equation: "ij,jk->ik"; without "->" the result has the letters that occur once, in alphabetical order, behind the
        axes of an ellipsis "...". Instead of an equation, lists of integers 0 … 51 may follow the operands:
        einsum(x, [0, 1], y, [1, 2], [0, 2]), where ... stands for an ellipsis.

    Several operands are multiplied from left to right. Raises ShapeError for an equation that does not fit.
    """
    if not isinstance(equation, str):
        equation, operands = _as_equation((equation, *operands))
    elif len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    for operand in operands:
        check_tensor("einsum", operand)
    check_dtypes("einsum", **{f"operand {k}": operand for k, operand in enumerate(operands)})
    letters, result = _parsed(equation, operands)
    return _contracted(list(operands), letters, result)


def _as_equation(arguments: Sequence[Any]) -> tuple[str, tuple[Any, ...]]:
    """The equation of the form einsum(x, [0, 1], y, [1, 2], [0, 2])."""
    count = len(arguments) // 2

    def written(sublist: Any) -> str:
        if not isinstance(sublist, (list, tuple)) or any(k is not ... and not _is_letter(k) for k in sublist):
            raise ShapeError(f"einsum: {sublist!r} must be a list of integers from 0 to 51, or ... for an ellipsis")
        return "".join("..." if k is ... else (chr(65 + k) if k < 26 else chr(71 + k)) for k in sublist)

    left = ",".join(written(arguments[2 * k + 1]) for k in range(count))
    return left + (f"->{written(arguments[-1])}" if len(arguments) % 2 else ""), tuple(arguments[: 2 * count : 2])


def _is_letter(number: Any) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and 0 <= number < 52


def _parsed(equation: str, operands: Sequence[Tensor]) -> tuple[list[Letters], Letters]:
    """The letters of each operand, one for each axis, and those of the result."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(operands):
        raise ShapeError(f"einsum: {equation!r} is for {len(terms)} operands, got {len(operands)}")
    letters = [_letters_of(equation, term, operand.ndim) for term, operand in zip(terms, operands, strict=True)]
    used = [letter for each in letters for letter in each]
    around = tuple(sorted({k for k in used if isinstance(k, int)}, reverse=True))  # the axes of the ellipsis, from left
    if not arrow:
        return letters, around + tuple(sorted(k for k in set(used) if isinstance(k, str) and used.count(k) == 1))
    before, dots, after = right.partition("...")
    result: Letters = (*before, *(around if dots else ()), *after)
    if len(set(result)) != len(result) or not set(result) <= set(used) or not _are_letters(before + after):
        raise ShapeError(f"einsum: the result of {equation!r} must name letters of the operands, each once")
    return letters, result


def _letters_of(equation: str, term: str, ndim: int) -> Letters:
    before, dots, after = term.partition("...")
    around = ndim - len(before) - len(after)
    if not _are_letters(before + after):
        raise ShapeError(f"einsum: {equation!r} may hold letters, commas, one '...' for each operand and one '->'")
    if around < 0 or (around and not dots):
        raise ShapeError(f"einsum: {term!r} in {equation!r} does not fit an operand of {ndim} axes")
    return (*before, *range(around - 1, -1, -1), *after)


def _are_letters(text: str) -> bool:
    return all(letter.isascii() and letter.isalpha() for letter in text)


def _contracted(operands: Sequence[Tensor], letters: Sequence[Letters], result: Letters) -> Tensor:
    lengths: dict[Any, int] = {}
    for operand, own in zip(operands, letters, strict=True):
        for letter, n in zip(own, operand.shape, strict=True):
            known = lengths.setdefault(letter, n)
            if n != known and 1 not in (n, known):
                raise ShapeError(f"einsum: the axis {letter!r} has the lengths {known} and {n}")
            lengths[letter] = n if known == 1 else known
    x, a = _simplified(operands[0], letters[0], set(result).union(*letters[1:]), lengths)
    for number in range(1, len(operands)):
        needed = set(result).union(*letters[number + 1 :])
        y, b = _simplified(operands[number], letters[number], needed | set(a), lengths)
        x, a = _product(x, a, y, b, needed, lengths)
    return _in_order(x, a, result)


def _in_order(x: Tensor, a: Letters, wanted: Sequence[Any]) -> Tensor:
    order = tuple(a.index(letter) for letter in wanted)
    return x if order == tuple(range(len(order))) else Permute(order)(x)


def _simplified(x: Tensor, a: Letters, needed: set[Any], lengths: dict[Any, int]) -> tuple[Tensor, Letters]:
    """x with each letter once, without those that nothing else needs, and without the axes of 1 that broadcast."""
    while repeated := next((k for k in a if a.count(k) > 1), None):
        first = a.index(repeated)
        second = a.index(repeated, first + 1)
        if x.shape[first] != x.shape[second]:
            raise ShapeError(f"einsum: the axis {repeated!r} has the lengths {x.shape[first]} and {x.shape[second]}")
        x = Diagonal(0, first, second)(x)
        a = (*(k for number, k in enumerate(a) if number not in (first, second)), repeated)
    summed = tuple(k for k, letter in enumerate(a) if letter not in needed or x.shape[k] < lengths[letter])
    if not summed:
        return x, a
    return Sum(summed, False)(x), tuple(letter for k, letter in enumerate(a) if k not in summed)


def _product(
    x: Tensor, a: Letters, y: Tensor, b: Letters, needed: set[Any], lengths: dict[Any, int]
) -> tuple[Tensor, Letters]:
    """The product of two operands, summed over the letters that are no longer needed."""
    batch = [letter for letter in a if letter in b and letter in needed]
    summed = [letter for letter in a if letter in b and letter not in needed]
    left, right = [letter for letter in a if letter not in b], [letter for letter in b if letter not in a]

    def size(letters: Sequence[Any]) -> int:
        return math.prod(lengths[letter] for letter in letters)

    letters = (*batch, *left, *right)
    shape = [lengths[letter] for letter in letters]
    x, y = _in_order(x, a, [*batch, *left, *summed]), _in_order(y, b, [*batch, *summed, *right])
    if not summed:
        return reshape(x, (*x.shape, *(1 for _ in right))) * reshape(
            y, (*y.shape[: len(batch)], *(1 for _ in left), *y.shape[len(batch) :])
        ), letters
    first = (size(batch),) if batch else ()
    z = matmul(reshape(x, (*first, size(left), size(summed))), reshape(y, (*first, size(summed), size(right))))
    return reshape(z, shape), letters


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y[…, o] = Σ_{i,j} x₁[…, i] W[o, i, j] x₂[…, j] + b[o] (torch.nn.functional.bilinear).

    input1 (…, in1), input2 (…, in2), weight (out, in1, in2), bias (out,) -> (…, out). Raises ShapeError where shapes do
    not fit.
    """
    for tensor in (input1, input2, weight):
        check_tensor("bilinear", tensor)
    if weight.ndim != 3 or input1.shape[-1:] + input2.shape[-1:] != weight.shape[1:]:
        raise ShapeError(
            f"bilinear: weight {weight.shape} must be (out, in1, in2) for inputs {input1.shape} and {input2.shape}"
        )
    if input1.shape[:-1] != input2.shape[:-1]:
        raise ShapeError(f"bilinear: inputs {input1.shape} and {input2.shape} differ in more than their last axis")
    y = einsum("...i,oij,...j->...o", input1, weight, input2)
    if bias is None:
        return y
    check_dtypes("bilinear", input1=input1, bias=bias)
    if bias.shape != weight.shape[:1]:
        raise ShapeError(f"bilinear: bias {bias.shape} must be ({weight.shape[0]},) for weight {weight.shape}")
    return y + bias
