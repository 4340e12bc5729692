"""Cells of recurrent networks: one step in time, from an input x and a state h to the next state.

`weight_ih` and `weight_hh` have the gates one below the other, in torch's order, so both products of a step are one.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from minires import functional as F
from minires.core.tensor import Tensor
from minires.errors import ShapeError
from minires.nn import init
from minires.nn.checks import check_sizes, check_true_or_false
from minires.nn.module import Module
from minires.nn.parameter import Parameter


class _Cell(Module):
    """What the cells share: W x + b and U h + c, of all gates."""

    gates: int  # how many gates stand in the weights

    bias_ih: Parameter | None
    bias_hh: Parameter | None

    def _init_weights(self, input_size: int, hidden_size: int, bias: bool, device: Any, dtype: Any) -> None:
        name = type(self).__name__
        check_sizes(name, input_size=input_size, hidden_size=hidden_size)
        check_true_or_false(name, bias=bias)
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bool(bias)
        rows = self.gates * hidden_size
        self.weight_ih = Parameter(np.zeros((rows, input_size), np.float32))
        self.weight_hh = Parameter(np.zeros((rows, hidden_size), np.float32))
        self.register_parameter("bias_ih", Parameter(np.zeros(rows, np.float32)) if bias else None)
        self.register_parameter("bias_hh", Parameter(np.zeros(rows, np.float32)) if bias else None)
        self.reset_parameters()
        self._place(device, dtype)

    def reset_parameters(self) -> None:
        """Draw all parameters anew, uniformly from ±1/√hidden_size, as torch does."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def _state(self, input: Tensor, state: Tensor | None) -> Tensor:
        """The state, zeros if it is None. Raises ShapeError where input or state do not fit."""
        name = type(self).__name__
        if input.ndim not in (1, 2) or input.shape[-1] != self.input_size:
            raise ShapeError(f"{name}: input {input.shape} must be (N, {self.input_size}) or ({self.input_size},)")
        shape = (*input.shape[:-1], self.hidden_size)
        if state is None:
            return Tensor(np.zeros(shape, input.dtype)).to(input.device)
        if state.shape != shape:
            raise ShapeError(f"{name}: the state {state.shape} must be {shape} for an input {input.shape}")
        return state

    def _from_input(self, input: Tensor) -> list[Tensor]:
        return self._split(F.linear(input, self.weight_ih, self.bias_ih))

    def _from_state(self, state: Tensor) -> list[Tensor]:
        return self._split(F.linear(state, self.weight_hh, self.bias_hh))

    def _split(self, gates: Tensor) -> list[Tensor]:
        size = self.hidden_size
        return [gates[..., number * size : (number + 1) * size] for number in range(self.gates)]

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")


class RNNCell(_Cell):
    """h' = tanh(W x + b + U h + c), or with ReLU in place of tanh (Elman 1990; torch.nn.RNNCell)."""

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: Literal["tanh", "relu"] = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"RNNCell: nonlinearity={nonlinearity!r} must be 'tanh' or 'relu'")
        self.nonlinearity = nonlinearity
        self._init_weights(input_size, hidden_size, bias, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """x (N, in) and h (N, hidden), both without N as well -> the next h."""
        h = self._state(input, hx)
        (wx,), (uh,) = self._from_input(input), self._from_state(h)
        return F.tanh(wx + uh) if self.nonlinearity == "tanh" else F.relu(wx + uh)

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity}")


class GRUCell(_Cell):
    """Gated recurrent unit (Cho et al. 2014; torch.nn.GRUCell).

    r  = σ(W_r x + b_r + U_r h + c_r)          reset
    z  = σ(W_z x + b_z + U_z h + c_z)          update
    n  = tanh(W_n x + b_n + r ⊙ (U_n h + c_n))
    h' = (1 − z) ⊙ n + z ⊙ h
    """

    gates = 3

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        self._init_weights(input_size, hidden_size, bias, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """x (N, in) and h (N, hidden), both without N as well -> the next h."""
        h = self._state(input, hx)
        (xr, xz, xn), (hr, hz, hn) = self._from_input(input), self._from_state(h)
        r, z = F.sigmoid(xr + hr), F.sigmoid(xz + hz)
        n = F.tanh(xn + r * hn)
        return (1 - z) * n + z * h


class LSTMCell(_Cell):
    """Long short-term memory (Hochreiter & Schmidhuber 1997; torch.nn.LSTMCell).

    i, f, o = σ(W x + b + U h + c)             input, forget and output gate, each with its own weights
    g  = tanh(W x + b + U h + c)
    c' = f ⊙ c + i ⊙ g
    h' = o ⊙ tanh c'
    """

    gates = 4

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        self._init_weights(input_size, hidden_size, bias, device, dtype)

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """x (N, in) and (h, c), each (N, hidden), all without N as well -> the next (h, c)."""
        h, c = (self._state(input, state) for state in ((None, None) if hx is None else hx))
        i, f, g, o = (wx + uh for wx, uh in zip(self._from_input(input), self._from_state(h), strict=True))
        c = F.sigmoid(f) * c + F.sigmoid(i) * F.tanh(g)
        return F.sigmoid(o) * F.tanh(c), c
