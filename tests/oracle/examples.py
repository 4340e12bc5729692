"""The package's own examples of its ops, and PyTorch's counterpart of each, called as the example calls the op.

The catalogue of the gradient check and the cases of the grader are tables of inputs. What is checked on them is worth
what the inputs are: a shape that no longer broadcasts or a number that left its kink would make the check blind and
fail nowhere. So `examples.npz` holds what PyTorch computes on each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import minires as mr
from minires.gradcheck.catalogue import EXAMPLES
from minires.lab.grading_cases import GRADED
from tests.ops.cases import CASES, OPS, torch_batch_norm, torch_channels, torch_dropout, torch_key
from tests.ops.derivatives import cotangent


@dataclass(frozen=True)
class Example:
    """ours(*inputs, *constants, **options), and the same of PyTorch."""

    name: str
    ours: Callable[..., Any]
    inputs: Sequence[np.ndarray]
    constants: Sequence[np.ndarray]
    options: dict[str, Any]

    def __str__(self) -> str:
        return self.name

    @property
    def op(self) -> str:
        return self.name.partition(",")[0].partition(":")[0]


def every_example() -> list[Example]:
    """Those of the catalogue, then those of the grader."""
    found = [
        Example(each.name, each.apply, each.inputs(np.random.default_rng(0)), each.constants, each.options)
        for each in EXAMPLES
    ]
    for op in GRADED.values():
        for number, case in enumerate(op.cases):
            ours = op.apply or OPS[op.name]
            found.append(Example(f"{op.name}: graded, {case.kind} {number}", ours, case.inputs, (), case.options))
    return found


# -- PyTorch's side ---------------------------------------------------------------------------------------------------


def _batch_norm(
    t: Any, x: Any, weight: Any, bias: Any, residual: Any = None, training: bool = True, relu: bool = False, **o: Any
) -> Any:
    statistics = (t.full((x.shape[1],), value, dtype=x.dtype) for value in (0.1, 1.5))
    tensors = [x, weight, bias, *([] if residual is None else [residual]), *statistics]
    eps = o.get("eps", 1e-5)
    return torch_batch_norm(t, *tensors, affine=True, add=residual is not None, relu=relu, training=training, eps=eps)


def _cross_entropy(
    t: Any, x: Any, weight: Any, target: Any, label_smoothing: float = 0.0, ignore_index: int = -100
) -> Any:
    """By the formula: PyTorch's own has no gradient for the weights."""
    rows = [k for k, label in enumerate(target.tolist()) if label != ignore_index]
    losses = -x.log_softmax(1)[rows] * weight
    of_label = losses[range(len(rows)), target[rows]].sum()
    smoothed = (1 - label_smoothing) * of_label + label_smoothing * losses.sum() / x.shape[1]
    return smoothed / weight[target[rows]].sum()


def _index_put(t: Any, x: Any, value: Any, key: Any) -> Any:
    """Row after row: of a row that is named twice PyTorch leaves the gradient undefined."""
    rows, columns = key
    y = x.clone()
    for row in rows.tolist():
        y[row, columns] = value
    return y


def _bce(t: Any, x: Any, target: Any, weight: Any) -> Any:
    """By the formula: PyTorch's own has no gradient for the weight."""
    return (weight * -(target * t.log(x) + (1 - target) * t.log1p(-x))).mean()


def _bce_weighted(t: Any, x: Any, target: Any, weight: Any, pos_weight: Any, reduction: str) -> Any:
    """By the formula, as `_bce`."""
    assert reduction == "none"
    log_sigmoid = t.nn.functional.logsigmoid
    return weight * -(pos_weight * target * log_sigmoid(x) + (1 - target) * log_sigmoid(-x))


def _alpha_dropout(t: Any, x: Any, p: float) -> Any:
    """y = a·m·x + y(0), with the mask of this seed."""
    found = []
    for value in (0.0, 1.0):
        mr.manual_seed(0)
        found.append(OPS["alpha_dropout"](mr.tensor(np.full(tuple(x.shape), value)), p).numpy().copy())
    return x * t.from_numpy(np.asarray(found[1] - found[0])) + t.from_numpy(found[0])


def _by_name(name: str) -> Callable[..., Any]:
    """PyTorch's function itself, whose outputs the cases join into one."""
    return lambda t, *inputs, **options: getattr(t, name)(*inputs, **options)


def _scatter(t: Any, x: Any, src: Any, index: Any) -> Any:
    """Number after number: of a place that is named twice PyTorch leaves the gradient undefined."""
    y = x.clone()
    for row, column in np.ndindex(*index.shape):
        y[row, index[row, column]] = src[row, column]
    return y


def _of_stable_order(t: Any, x: Any, k: int, dim: int) -> Any:
    """The kth smallest; of equal numbers the first in place, where PyTorch leaves open which gets the gradient."""
    return x.gather(dim, x.sort(dim=dim, stable=True).indices.narrow(dim, k - 1, 1)).squeeze(dim)


# Where the counterpart in tests/ops/cases.py wants its arguments in another form.
THEIRS: dict[str, Callable[..., Any]] = {
    "amax": lambda t, x, dim, keepdim=False: t.amax(x, dim, keepdim),
    "max": lambda t, x, dim: t.max(x, dim).values,
    "logsumexp": lambda t, x, dim: t.logsumexp(x, dim),
    "cross_entropy, smoothed and weighted": _cross_entropy,
    "cross_entropy: graded": lambda t, x, target: t.nn.functional.cross_entropy(x, t.tensor(target), reduction="none"),
    "batch_norm": _batch_norm,
    "broadcast_tensors": lambda t, *x: t.broadcast_tensors(*x),
    "index": lambda t, x, key: x[torch_key(t, key)],
    "index_put": _index_put,
    "astype": lambda t, x: x.double() * 2.0,
    "dropout": partial(torch_dropout, seed=None),
    **{f"dropout{axes}d": partial(torch_channels(f"dropout{axes}d"), seed=None) for axes in (1, 2, 3)},
    "alpha_dropout": _alpha_dropout,
    "binary_cross_entropy": _bce,
    "binary_cross_entropy_with_logits, weighted": _bce_weighted,
    "hardsigmoid": lambda t, x: t.nn.functional.hardsigmoid(x),
    "scatter": _scatter,
    "kthvalue": _of_stable_order,
    "median, along a dim": lambda t, x, dim: _of_stable_order(t, x, (x.shape[dim] + 1) // 2, dim),
    **{name: _by_name(name) for name in ("split", "chunk", "unbind", "meshgrid", "aminmax", "std_mean", "var_mean")},
    "tensor_split": lambda t, x, indices_or_sections: t.tensor_split(x, indices_or_sections),
    "amin": lambda t, x, dim: t.amin(x, dim),
    "einsum": lambda t, a, b: t.einsum("bik,bkj->bij", a, b),
    "einsum, diagonals and sums": lambda t, a, b: t.einsum("iij,...jk->...k", a, b),
}


def _counterpart(torch: Any, example: Example) -> Callable[..., Any]:
    for name in (example.name, example.name.partition(",")[0], example.op):
        if name in THEIRS:
            return partial(THEIRS[name], torch)
    return partial(next(case for case in CASES if case.op == example.op).theirs, torch)


def theirs(torch: Any, example: Example) -> list[np.ndarray]:
    """PyTorch's outputs, then its gradients."""
    mr.manual_seed(0)  # for the mask of dropout
    inputs = [torch.tensor(array, requires_grad=True) for array in example.inputs]
    constants = map(torch.tensor, example.constants)
    outputs = _several(_counterpart(torch, example)(*inputs, *constants, **example.options))
    sum((y * torch.tensor(cotangent(y.shape))).sum() for y in outputs).backward()
    gradients = [torch.zeros_like(x) if x.grad is None else x.grad for x in inputs]
    return [each.detach().numpy() for each in (*outputs, *gradients)]


def ours(example: Example) -> list[np.ndarray]:
    """The same of MiniRes."""
    mr.manual_seed(0)
    inputs = [mr.tensor(array, requires_grad=True) for array in example.inputs]
    outputs = _several(example.ours(*inputs, *map(mr.tensor, example.constants), **example.options))
    gradients = mr.grad(outputs, inputs, [mr.tensor(cotangent(y.shape)) for y in outputs], allow_unused=True)
    values = [x.numpy() * 0 if gx is None else gx.numpy() for x, gx in zip(inputs, gradients, strict=True)]
    return [*(y.numpy() for y in outputs), *values]


def _several(outputs: Any) -> list[Any]:
    return list(outputs) if isinstance(outputs, (tuple, list)) else [outputs]
