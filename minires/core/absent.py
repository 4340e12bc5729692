"""The methods of torch's Tensor that are left out on purpose. Asking for one raises AttributeError, with what to do.

They are descriptors of the class, so that names that are there are found as fast as before (a `__getattr__` would slow
them all down). To `hasattr` they are missing. For any other missing name Python itself prints the nearest one.
"""

from __future__ import annotations

from typing import Any, NoReturn

_NO_LINEAR_ALGEBRA = "linear algebra is left to NumPy: np.linalg on x.numpy(), or a minires.Function with its gradient"
_DENSE = "arrays are dense: leave it out"

ABSENT = {
    "_version": "it is called x.version",
    "as_strided": "use reshape, expand, unfold or an index",
    "bfloat16": "NumPy has no bfloat16: use x.float() or x.half()",
    "coalesce": _DENSE,
    "det": _NO_LINEAR_ALGEBRA,
    "inverse": _NO_LINEAR_ALGEBRA,
    "is_sparse": _DENSE,
    "layout": _DENSE,
    "names": "axes have numbers, and no names",
    "pin_memory": "host memory is copied to a GPU as it is: leave it out",
    "qr": _NO_LINEAR_ALGEBRA,
    "register_post_accumulate_grad_hook": "use x.register_hook(hook), or look at x.grad after backward()",
    "rename": "axes have numbers, and no names",
    "resize_": "a tensor keeps its shape: make another one, x.new_zeros(shape)",
    "set_": "write x.data = array, or x.copy_(y) for its numbers",
    "share_memory_": "threads share memory as it is: leave it out",
    "storage": "x.data is the array",
    "svd": _NO_LINEAR_ALGEBRA,
    "to_dense": _DENSE,
    "to_sparse": _DENSE,
    "untyped_storage": "x.data is the array",
}


class Absent:
    """A name that a Tensor has in torch, and here has not."""

    def __init__(self, name: str, hint: str) -> None:
        self.name, self.hint = name, hint

    def __get__(self, instance: Any, owner: Any = None) -> NoReturn:
        raise AttributeError(f"a Tensor has no {self.name!r}: {self.hint}", name=self.name, obj=None)


class AbsentMethods:
    """The part of Tensor that is not there."""

    __slots__ = ()


for _name, _hint in ABSENT.items():
    setattr(AbsentMethods, _name, Absent(_name, _hint))
