"""The parts of complex Tensors. Complex numbers have no gradients here (`Tensor.requires_grad_`), so these have none.

In a complex step of a gradient check a complex Tensor stands for a real one, and is its own real part.
"""

from __future__ import annotations

from minires import backend
from minires.core import modes
from minires.core.operators import method
from minires.core.tensor import Tensor
from minires.errors import DtypeError


def is_complex(input: Tensor) -> bool:
    """Whether `input` holds complex numbers that stand for themselves."""
    return input.dtype.kind == "c" and not modes.is_complex_step()


@method("real")
def real(input: Tensor) -> Tensor:
    """The real parts; a real Tensor itself (torch.real)."""
    return Tensor(input.data.real.copy()) if is_complex(input) else input


@method("imag")
def imag(input: Tensor) -> Tensor:
    """The imaginary parts (torch.imag). Raises DtypeError for real Tensors, as torch does."""
    if not is_complex(input):
        raise DtypeError("imag: needs complex numbers, got a real Tensor, whose imaginary part is 0")
    return Tensor(input.data.imag.copy())


@method("conj")
def conj(input: Tensor) -> Tensor:
    """The complex conjugate; a real Tensor itself (torch.conj)."""
    return Tensor(input.data.conj()) if is_complex(input) else input


def modulus(input: Tensor) -> Tensor:
    """√(re² + im²), without overflow (torch.abs of complex numbers)."""
    return Tensor(backend.as_array(abs(input.data), input.data))
