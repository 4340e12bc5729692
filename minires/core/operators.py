"""The operators of Tensor, declared so that readers and type checkers see `x + y`; `methods.py` has the methods.

Each looks up its function in `METHODS`. The modules of `minires.ops` and `minires.core.autograd` register theirs with
`@method(name)`, so that nothing here imports a particular operation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Union

import numpy as np

from minires.core.numpy_functions import ArrayUfunc

if TYPE_CHECKING:
    from minires.core.tensor import Tensor

Scalar = bool | int | float | complex
Operand = Union["Tensor", Scalar, np.ndarray]
Dim = int | Sequence[int] | None


class MethodTable(dict[str, Callable[..., Any]]):
    """name -> the function of Tensors that computes it. For a missing name, `import_late` imports more operations."""

    def __init__(self) -> None:
        super().__init__()
        self.import_late: Callable[[], None] = lambda: None  # `minires.functional` sets it

    def __missing__(self, name: str) -> Callable[..., Any]:
        self.import_late()
        if name not in self:
            raise KeyError(name)
        return self[name]


METHODS = MethodTable()


def method(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator: registers the function that `Tensor` calls for the operation `name`."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        METHODS[name] = function
        return function

    return register


class Operators:
    """The part of `Tensor` that applies operations, kept apart so that tensor.py shows what a Tensor is."""

    if TYPE_CHECKING:  # Tensor has them
        shape: Any
        dtype: Any
        ndim: Any

        def item(self) -> Any: ...
        def numel(self) -> int: ...

    __slots__ = ()
    __array_priority__ = 1000  # makes `numpy_array + tensor` call Tensor.__radd__
    __array_ufunc__ = ArrayUfunc()

    # -- operators ----------------------------------------------------------------------------------------------------

    def __add__(self, other: Operand) -> Tensor:
        return METHODS["add"](self, other)

    def __radd__(self, other: Operand) -> Tensor:
        return METHODS["add"](other, self)

    def __sub__(self, other: Operand) -> Tensor:
        return METHODS["subtract"](self, other)

    def __rsub__(self, other: Operand) -> Tensor:
        return METHODS["subtract"](other, self)

    def __mul__(self, other: Operand) -> Tensor:
        return METHODS["multiply"](self, other)

    def __rmul__(self, other: Operand) -> Tensor:
        return METHODS["multiply"](other, self)

    def __truediv__(self, other: Operand) -> Tensor:
        return METHODS["divide"](self, other)

    def __rtruediv__(self, other: Operand) -> Tensor:
        return METHODS["divide"](other, self)

    def __pow__(self, other: Operand) -> Tensor:
        return METHODS["power"](self, other)

    def __rpow__(self, other: Operand) -> Tensor:
        return METHODS["power"](other, self)

    def __matmul__(self, other: Operand) -> Tensor:
        return METHODS["matmul"](self, other)

    def __rmatmul__(self, other: Operand) -> Tensor:
        return METHODS["matmul"](other, self)

    def __floordiv__(self, other: Operand) -> Tensor:
        return METHODS["floor_divide"](self, other)

    def __rfloordiv__(self, other: Operand) -> Tensor:
        return METHODS["floor_divide"](other, self)

    def __mod__(self, other: Operand) -> Tensor:
        return METHODS["remainder"](self, other)

    def __rmod__(self, other: Operand) -> Tensor:
        return METHODS["remainder"](other, self)

    def __divmod__(self, other: Operand) -> tuple[Tensor, Tensor]:
        return METHODS["floor_divide"](self, other), METHODS["remainder"](self, other)

    def __rdivmod__(self, other: Operand) -> tuple[Tensor, Tensor]:
        return METHODS["floor_divide"](other, self), METHODS["remainder"](other, self)

    def __and__(self, other: Operand) -> Tensor:
        return METHODS["bitwise_and"](self, other)

    __rand__ = __and__

    def __or__(self, other: Operand) -> Tensor:
        return METHODS["bitwise_or"](self, other)

    __ror__ = __or__

    def __xor__(self, other: Operand) -> Tensor:
        return METHODS["bitwise_xor"](self, other)

    __rxor__ = __xor__

    def __lshift__(self, other: Operand) -> Tensor:
        return METHODS["bitwise_left_shift"](self, other)

    def __rlshift__(self, other: Operand) -> Tensor:
        return METHODS["bitwise_left_shift"](other, self)

    def __rshift__(self, other: Operand) -> Tensor:
        return METHODS["bitwise_right_shift"](self, other)

    def __rrshift__(self, other: Operand) -> Tensor:
        return METHODS["bitwise_right_shift"](other, self)

    def __invert__(self) -> Tensor:
        return METHODS["bitwise_not"](self)

    def __pos__(self) -> Any:
        return self

    def __neg__(self) -> Tensor:
        return METHODS["negative"](self)

    def __abs__(self) -> Tensor:
        return METHODS["absolute"](self)

    def __getitem__(self, key: Any) -> Tensor:
        return METHODS["index"](self, key)

    def __lt__(self, other: Operand) -> Tensor:
        return METHODS["compare"](self, other, "<")

    def __le__(self, other: Operand) -> Tensor:
        return METHODS["compare"](self, other, "<=")

    def __gt__(self, other: Operand) -> Tensor:
        return METHODS["compare"](self, other, ">")

    def __ge__(self, other: Operand) -> Tensor:
        return METHODS["compare"](self, other, ">=")

    def __eq__(self, other: object) -> Tensor:  # type: ignore[override]  # elementwise, as arrays compare
        return METHODS["compare"](self, other, "==")

    def __ne__(self, other: object) -> Tensor:  # type: ignore[override]
        return METHODS["compare"](self, other, "!=")

    __hash__ = object.__hash__

    # -- what Python asks of numbers and containers -------------------------------------------------------------------

    def __format__(self, form: str) -> str:
        """f"{loss:.4f}" of a tensor () formats its number, as in torch."""
        return format(self.item(), form) if form and not self.ndim else super().__format__(form)

    def __complex__(self) -> complex:
        return complex(self.item())

    def __round__(self, ndigits: int | None = None) -> Tensor:
        """Each element rounded, to so many decimals: round(x, 2). The result is a Tensor."""
        return METHODS["round"](self, decimals=ndigits or 0)

    def __reversed__(self) -> Tensor:
        """The elements in reverse order along the first axis, as in torch."""
        return METHODS["flip"](self, (0,)) if self.ndim else METHODS["clone"](self)

    def __index__(self) -> int:
        """The only element, an integer, as in `x[t:]` and `range(t)`. Raises TypeError for other tensors."""
        if self.dtype.kind not in "biu" or self.numel() != 1:
            raise TypeError(f"only an integer tensor of one element is an index, not {self.dtype} {self.shape}")
        return int(self.item())

    def __contains__(self, value: Any) -> bool:
        """Whether some element equals `value`, as in torch. Raises TypeError for what is no number."""
        found = METHODS["compare"](self, value, "==")
        if found is NotImplemented:
            raise TypeError(f"a Tensor contains numbers: {type(value).__name__} is none")
        return bool(found.numpy().any())

    # -- copies -------------------------------------------------------------------------------------------------------

    def __copy__(self) -> Tensor:
        """A leaf with the same array."""
        return METHODS["copy"](self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        """A leaf with a copied array, and with copies of `.grad` and of hooks. Raises GraphError for a result."""
        return METHODS["deepcopy"](self, memo)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """For pickle. Raises GraphError for a result."""
        return METHODS["reduce"](self)


def tuple_of(arguments: tuple[Any, ...], named: Any = None) -> Any:
    """The integers of a call `f(2, 3)`, or of `f((2, 3))` or `f(dims=(2, 3))`, which mean the same.

    Raises TypeError where they are given twice.
    """
    if named is not None:
        if arguments:
            raise TypeError(f"{arguments} and {named} mean the same: give one of them")
        return named
    is_packed = len(arguments) == 1 and isinstance(arguments[0], Iterable)
    return tuple(arguments[0]) if is_packed else arguments
