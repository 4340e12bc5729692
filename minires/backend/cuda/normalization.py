"""Batch normalisation on the GPU."""

from __future__ import annotations

from minires.backend.arrays import Array
from minires.backend.cuda import layout
from minires.backend.cuda.eligibility import is_image_or_matrix, is_supported
from minires.backend.cuda.launch import blocks, launch
from minires.backend.cuda.layout import is_writable_in_place
from minires.backend.cuda.row_blocks import FINAL_CHANNELS, THREADS, row_block, split_rows


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
    if not is_supported(x, mean, var, weight, bias, residual) or not is_image_or_matrix(x):
        return NotImplemented
    x, rows, c = layout.rows(x)
    if residual is not None:
        residual = layout.rows(residual)[0]
    y, block = layout.empty_like(x), row_block(c)
    vectors = [_dense(vector) for vector in (mean, var, weight, bias)]
    launch(
        "batch_norm", "batch_norm", block.grid(rows), THREADS,
        x, *vectors, residual, y, rows, c, block.lanes, eps, bool(relu),
    )  # fmt: skip
    return y


def batch_norm_stats(x: Array) -> tuple[Array, Array]:
    if not is_supported(x) or not is_image_or_matrix(x):
        return NotImplemented
    x, rows, c = layout.rows(x)
    block = row_block(c)
    chunks = split_rows(block, rows)
    parts, mean, var = layout.empty(chunks.number, 3, c), layout.empty(c), layout.empty(c)
    grid = (chunks.number, block.channel_blocks)
    launch("batch_norm", "batch_norm_moments", grid, THREADS, x, parts, rows, c, block.lanes, chunks.rows)
    launch("batch_norm", "batch_norm_stats", (blocks(c, FINAL_CHANNELS),), THREADS, parts, mean, var, rows, c, *chunks)
    return mean, var


def batch_norm_update_stats(
    running_mean: Array, running_var: Array, mean: Array, var: Array, m: int, momentum: float
) -> None:
    if not all(map(is_writable_in_place, (running_mean, running_var))) or not is_supported(mean, var):
        return NotImplemented
    c = len(mean)
    launch(
        "batch_norm", "batch_norm_update_stats", (blocks(c, THREADS),), THREADS,
        running_mean, running_var, _dense(mean), _dense(var), c, m / (m - 1), momentum,
    )  # fmt: skip
    return None


def batch_norm_grad(
    gy: Array,
    x: Array,
    mean: Array,
    var: Array,
    weight: Array | None,
    eps: float,
    y: Array | None,
    bias: Array | None = None,
) -> tuple[Array, Array, Array]:
    if not is_supported(gy, x, mean, var, weight, y) or not is_image_or_matrix(x):
        return NotImplemented
    given = _rows(gy, x, y)
    gw, gb = _sums(*given, mean, var, eps)
    return _input_gradient(*given, mean, var, weight, gw, gb, given[3], eps), gw, gb


def batch_norm_grad_sums(
    gy: Array, x: Array, mean: Array, var: Array, eps: float, y: Array | None
) -> tuple[Array, Array]:
    if not is_supported(gy, x, mean, var, y) or not is_image_or_matrix(x):
        return NotImplemented
    return _sums(*_rows(gy, x, y), mean, var, eps)


def batch_norm_grad_input(
    gy: Array,
    x: Array,
    mean: Array,
    var: Array,
    weight: Array | None,
    eps: float,
    y: Array | None,
    gw: Array,
    gb: Array,
    m: int,
) -> Array:
    if not is_supported(gy, x, mean, var, weight, y, gw, gb) or not is_image_or_matrix(x):
        return NotImplemented
    return _input_gradient(*_rows(gy, x, y), mean, var, weight, gw, gb, m, eps)


def _rows(gy: Array, x: Array, y: Array | None) -> tuple[Array, Array, Array | None, int, int]:
    """gy, x and y as rows of channels, the number of rows and that of channels."""
    x, rows, c = layout.rows(x)
    return layout.rows(gy)[0], x, None if y is None else layout.rows(y)[0], rows, c


def _sums(
    gy: Array, x: Array, y: Array | None, rows: int, c: int, mean: Array, var: Array, eps: float
) -> tuple[Array, Array]:
    block = row_block(c)
    chunks = split_rows(block, rows)
    sums, gb, gw = layout.empty(chunks.number, 2, c), layout.empty(c), layout.empty(c)
    launch(
        "batch_norm", "batch_norm_grad_sums", (chunks.number, block.channel_blocks), THREADS,
        gy, x, y, layout.dense(mean), layout.dense(var), sums, rows, c, block.lanes, chunks.rows, eps,
    )  # fmt: skip
    grid = (blocks(c, FINAL_CHANNELS), 2)
    launch("batch_norm", "batch_norm_grad_affine", grid, THREADS, sums, gb, gw, c, chunks.number)
    return gw, gb


def _input_gradient(
    gy: Array,
    x: Array,
    y: Array | None,
    rows: int,
    c: int,
    mean: Array,
    var: Array,
    weight: Array | None,
    gw: Array,
    gb: Array,
    m: int,
    eps: float,
) -> Array:
    gx, block = layout.empty_like(x), row_block(c)
    vectors = [_dense(vector) for vector in (mean, var, weight, gb, gw)]
    launch(
        "batch_norm", "batch_norm_grad_input", block.grid(rows), THREADS,
        gy, x, y, *vectors, gx, rows, c, block.lanes, eps, 1 / m,
    )  # fmt: skip
    return gx
