"""Whether tensors are equal, or nearly: equal, isclose, allclose. They have no gradient."""

from __future__ import annotations

from minires import backend
from minires.core import modes
from minires.core.operators import method
from minires.core.settings import flag, number
from minires.core.tensor import Tensor
from minires.ops.operands import check_broadcast, check_device, check_tensor, same_kind


@method("isclose")
def isclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Tensor:
    """|input − other| ≤ atol + rtol·|other|, as a bool Tensor (torch.isclose). Infinities are close to themselves."""
    a, b = _pair("isclose", input, other)
    check_broadcast("isclose", a, b)
    rtol, atol = number("isclose", "rtol", rtol, 0), number("isclose", "atol", atol, 0)
    nan_is_nan = flag("isclose", "equal_nan", equal_nan)
    found = backend.array_module(a.data).isclose(a.data, b.data, rtol=rtol, atol=atol, equal_nan=nan_is_nan)
    return Tensor(backend.as_array(found, a.data))


@method("allclose")
def allclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """Whether all elements are close to each other, as `isclose` says (torch.allclose)."""
    return bool(isclose(input, other, rtol, atol, equal_nan).data.all())


@method("equal")
def equal(input: Tensor, other: Tensor) -> bool:
    """Whether both have the same shape and the same elements (torch.equal). NaN equals nothing."""
    a, b = _pair("equal", input, other)
    return a.shape == b.shape and bool((a.data == b.data).all())


def _pair(name: str, input: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    for each in (input, other):
        check_tensor(name, each)
    check_device(name, input, other)
    modes.note_read(input, other)
    return same_kind(input, other)
