"""The norm of the gradient on each edge of a graph, by a backward pass that leaves no trace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minires.core import modes
from minires.core.autograd import BackwardPass, gradients_of, topological_order
from minires.core.function import Function
from minires.core.tensor import Tensor

Norms = Mapping[tuple[int, int], float]  # (id of a node, number of its input) -> ‖gradient‖


def edge_norms(y: Tensor, gradient: Any = None) -> tuple[float, Norms]:
    """(‖gradient at y‖, the norm of what each node sends to each of its inputs); no entry where it sends nothing.

    The backward pass starts from `gradient`, or from 1 if y has a single element. It keeps the graph, sets no `.grad`
    and runs no hooks.
    """
    start = BackwardPass([y], [gradient], None, True, False).grad_outputs[0]  # checked, as backward checks it
    assert isinstance(y.node, Function)
    pending: dict[Any, Tensor] = {y.node: start}
    norms: dict[tuple[int, int], float] = {}
    with modes.set_grad_enabled(False):
        for vertex in topological_order([y.node]):
            sum_of_parts = pending.pop(vertex, None)
            if sum_of_parts is None or not isinstance(vertex, Function):
                continue
            vertex.needs_input_grad = tuple(edge is not None for edge in vertex.edges)
            for number, (edge, sent) in enumerate(zip(vertex.edges, gradients_of(vertex, sum_of_parts), strict=True)):
                if edge is None or sent is None:
                    continue
                norms[id(vertex), number] = _norm(sent)
                waiting = pending.get(edge)
                pending[edge] = sent if waiting is None else waiting + sent
    return _norm(start), norms


def _norm(gradient: Tensor) -> float:
    return float(np.linalg.norm(np.asarray(gradient.numpy(), np.complex128 if gradient.dtype.kind == "c" else float)))


def norm_text(norm: float) -> str:
    """Three digits: 0.0312, 12.5, 3.1e−19."""
    return f"{norm:.3g}".replace("-", "−").replace("e+0", "e").replace("e+", "e").replace("e−0", "e−")
