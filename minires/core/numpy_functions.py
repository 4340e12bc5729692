"""What happens when NumPy's own functions meet a Tensor: `array + tensor` is a Tensor, `np.sin(tensor)` is refused.

NumPy knows nothing of the graph, so its functions would lose the gradient; the message says what to write instead.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar, cast

from minires.errors import GraphError

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

# NumPy's function: the method of a Tensor on its left, and of one on its right beside an array
_OPERATORS = {
    "add": ("__add__", "__radd__"),
    "subtract": ("__sub__", "__rsub__"),
    "multiply": ("__mul__", "__rmul__"),
    "divide": ("__truediv__", "__rtruediv__"),
    "power": ("__pow__", "__rpow__"),
    "matmul": ("__matmul__", "__rmatmul__"),
    "less": ("__lt__", "__gt__"),
    "less_equal": ("__le__", "__ge__"),
    "greater": ("__gt__", "__lt__"),
    "greater_equal": ("__ge__", "__le__"),
    "equal": ("__eq__", "__eq__"),
    "not_equal": ("__ne__", "__ne__"),
}
# What to write instead, with `from minires import functional as F`.
_HERE = {"absolute": "abs(x)", "negative": "-x", "maximum": "F.maximum(x, y)", "minimum": "F.minimum(x, y)"}
_HERE |= {name: f"F.{name}(x)" for name in ("exp", "log", "sqrt", "tanh")} | {"square": "x * x"}


def apply_ufunc(tensor: Any, ufunc: Any, method: str, *inputs: Any, **settings: Any) -> Any:
    """`ufunc(*inputs)` for the operators that Tensors have. Raises TypeError for all else, with what to write."""
    name = ufunc.__name__
    if "out" in settings:
        raise TypeError(
            f"np.{name} cannot write a Tensor's result into an array: write `array = array + tensor`, or "
            "`array += tensor.numpy()` for numbers without a gradient"
        )
    if method == "__call__" and not settings and name in _OPERATORS:
        left, right = inputs
        of_left, of_right = _OPERATORS[name]
        return getattr(left, of_left)(right) if isinstance(left, type(tensor)) else getattr(right, of_right)(left)
    here = f"write {_HERE[name]}" if name in _HERE else "an operation of your own is a subclass of minires.Function"
    raise TypeError(
        f"np.{name} does not take Tensors, since NumPy would lose the gradient: {here}; np.{name}(x.numpy()) gives an "
        "array without gradient"
    )


def refuse_to_lose_gradient() -> NoReturn:
    """Raise GraphError: NumPy wants the numbers of a Tensor that requires gradients, as np.concatenate([x, x]) does."""
    raise GraphError(
        "NumPy would lose the gradient of this Tensor, which requires one: use the functions of minires.functional, or "
        "x.detach() (or x.numpy(), an array without gradient) where none is wanted"
    )


class ArrayUfunc:
    """`Tensor.__array_ufunc__`: a function for NumPy, which asks the class; None for CuPy, which asks the object.

    With None, CuPy leaves `array + tensor` to the Tensor. NumPy would too, but refuse np.sin(tensor) without advice.
    """

    def __get__(self, tensor: Any, owner: Any = None) -> Any:
        return apply_ufunc if tensor is None else None


def numpy_names(function: Decorated) -> Decorated:
    """Decorator: `axis` and `keepdims` mean `dim` and `keepdim`, as in torch. Raises TypeError for what NumPy adds."""
    arguments = getattr(function, "__wrapped__", function).__code__.co_varnames
    names = (("axis", "dims" if "dims" in arguments else "dim"), ("keepdims", "keepdim"))

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if kwargs:
            for theirs, ours in names:
                if theirs in kwargs:
                    if ours in kwargs:
                        raise TypeError(f"{function.__name__}: {ours} and {theirs} mean the same; give one of them")
                    kwargs[ours] = kwargs.pop(theirs)
            if "out" in kwargs:  # np.sum(tensor) calls tensor.sum(axis=…, dtype=…, out=…)
                name = function.__name__
                raise TypeError(
                    f"{name}: there is no `out`; store the result with y.copy_(F.{name}(x)), and instead of "
                    f"np.{name}(x) write x.{name}(), with a gradient"
                )
        return function(*args, **kwargs)

    return cast(Decorated, call)
