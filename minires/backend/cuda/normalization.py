"""Batch normalisation on the GPU."""

from __future__ import annotations

from minires.backend.arrays import Array
from minires.backend.cuda import layout
from minires.backend.cuda.eligibility import fit, is_image_or_matrix
from minires.backend.cuda.launch import blocks, launch
from minires.backend.cuda.layout import is_writable_in_place
from minires.backend.cuda.walks import FINISHED, THREADS, chunks, walk


def _dense(vector: Array | None) -> Array | None:
    return None if vector is None else layout.dense(vector)


def batch_norm(
    x: Array,
    mean: Array,
    var: Array,
    weight: Array | None,
    bias: Array | None,
    eps: float,
    residual: Array | None,
    relu: bool,
) -> Array:
    if not fit(x, mean, var, weight, bias, residual) or not is_image_or_matrix(x):
        return NotImplemented
    x, rows, c = layout.rows(x)
    if residual is not None:
        residual = layout.rows(residual)[0]
    y, across = layout.empty_like(x), walk(c)
    vectors = [_dense(vector) for vector in (mean, var, weight, bias)]
    launch(
        "batch_norm", "batch_norm", across.grid(rows), THREADS,
        x, *vectors, residual, y, rows, c, across.lanes, eps, bool(relu),
    )  # fmt: skip
    return y


def batch_norm_stats(x: Array) -> tuple[Array, Array]:
    if not fit(x) or not is_image_or_matrix(x):
        return NotImplemented
    x, rows, c = layout.rows(x)
    across = walk(c)
    cut = chunks(across, rows)
    parts, mean, var = layout.empty(cut.number, 3, c), layout.empty(c), layout.empty(c)
    grid = (cut.number, across.columns)
    launch("batch_norm", "batch_norm_moments", grid, THREADS, x, parts, rows, c, across.lanes, cut.rows)
    launch("batch_norm", "batch_norm_stats", (blocks(c, FINISHED),), THREADS, parts, mean, var, rows, c, *cut)
    return mean, var


def batch_norm_update_stats(
    running_mean: Array, running_var: Array, mean: Array, var: Array, m: int, momentum: float
) -> None:
    if not all(map(is_writable_in_place, (running_mean, running_var))) or not fit(mean, var):
        return NotImplemented
    c = len(mean)
    launch(
        "batch_norm", "batch_norm_update_stats", (blocks(c, THREADS),), THREADS,
        running_mean, running_var, _dense(mean), _dense(var), c, m / (m - 1), momentum,
    )  # fmt: skip
    return None


def batch_norm_grad(
    gy: Array, x: Array, mean: Array, var: Array, weight: Array | None, eps: float, y: Array | None
) -> tuple[Array, Array, Array]:
    if not fit(gy, x, mean, var, weight, y) or not is_image_or_matrix(x):
        return NotImplemented
    x, rows, c = layout.rows(x)
    gy, y = layout.rows(gy)[0], None if y is None else layout.rows(y)[0]
    mean, var, weight = _dense(mean), _dense(var), _dense(weight)
    across = walk(c)
    cut = chunks(across, rows)

    sums, gb, gw, gx = layout.empty(cut.number, 2, c), layout.empty(c), layout.empty(c), layout.empty_like(x)
    launch(
        "batch_norm", "batch_norm_grad_sums", (cut.number, across.columns), THREADS,
        gy, x, y, mean, var, sums, rows, c, across.lanes, cut.rows, eps,
    )  # fmt: skip
    grid = (blocks(c, FINISHED), 2)
    launch("batch_norm", "batch_norm_grad_affine", grid, THREADS, sums, gb, gw, c, cut.number)
    launch(
        "batch_norm", "batch_norm_grad_input", across.grid(rows), THREADS,
        gy, x, y, mean, var, weight, gb, gw, gx, rows, c, across.lanes, eps,
    )  # fmt: skip
    return gx, gw, gb
