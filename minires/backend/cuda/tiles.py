"""The tile of a matrix product that a block of threads computes, and the number of blocks that share K (split-K)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from minires.backend.cuda.launch import MAX_GRID_YZ, blocks

BK = 16  # the part of K that a block multiplies at a time, as in kernels/cuda/gemm.cuh
# This many blocks keep today's largest GPU (148 multiprocessors) busy. The number does not depend on the GPU in use:
# the split of K determines how sums are rounded, and a network must give the same bits on every GPU.
TARGET_BLOCKS = 296
MIN_DEPTH = 128  # of K for a block; with less, adding up the parts costs more than the split saves
MAX_SPLITS = 64  # of a split that serves to keep the GPU busy
MAX_DEPTH = 4608  # of K for a block; a longer sum is split in any case, for precision
MAX_ROWS = (1 << 31) - (1 << 12)  # of a product: kernels count rows in 32 bits, and the last tile reaches beyond
MAX_COLUMNS = 1 << 20  # a grid has at most 65,535 tiles along this axis


class Tile(NamedTuple):
    """WARPS_M × WARPS_N warps, each 64 rows by 16 · HALVES columns: the constants of kernels/cuda/gemm.cuh."""

    warps_m: int
    warps_n: int
    halves: int

    @property
    def rows(self) -> int:
        """Rows of the tile, BM."""
        return 64 * self.warps_m

    @property
    def columns(self) -> int:
        """Columns of the tile, BN."""
        return 16 * self.halves * self.warps_n

    @property
    def threads(self) -> int:
        """Threads of the block."""
        return 32 * self.warps_m * self.warps_n

    @property
    def constants(self) -> dict[str, int]:
        """The compile-time constants of the sources."""
        return {"WARPS_M": self.warps_m, "WARPS_N": self.warps_n, "HALVES": self.halves}

    def grid(self, rows: int, columns: int) -> tuple[int, int]:
        """The number of tiles along the rows and along the columns of a matrix."""
        return blocks(rows, self.rows), blocks(columns, self.columns)


NARROW, SLIM, SMALL, LARGE, WIDE = Tile(2, 1, 1), Tile(2, 2, 1), Tile(1, 2, 2), Tile(2, 2, 2), Tile(2, 2, 4)


def choose_tile(rows: int, columns: int, tf32: int) -> Tile:
    """The tile for a product (rows, columns): the largest that is no wider than the matrix and leaves enough blocks."""
    if columns <= NARROW.columns:
        return NARROW
    if columns <= SLIM.columns:
        return SLIM
    if rows <= SMALL.rows or (rows < 4096 and _count(LARGE, rows, columns) < TARGET_BLOCKS):
        return SMALL
    if tf32 and columns >= WIDE.columns and _count(WIDE, rows, columns) >= TARGET_BLOCKS:
        return WIDE
    return LARGE


def _count(tile: Tile, rows: int, columns: int) -> int:
    m, n = tile.grid(rows, columns)
    return m * n


def split_k(tile: Tile, rows: int, columns: int, depth: int) -> tuple[int, int]:
    """(splits, chunk): how many blocks share K = depth, and what each has, a multiple of BK; the last may have less."""
    wanted = min(TARGET_BLOCKS // _count(tile, rows, columns), depth // MIN_DEPTH, MAX_SPLITS)
    chunk = BK * blocks(depth, BK * max(wanted, blocks(depth, MAX_DEPTH)))
    return blocks(depth, chunk), chunk


def is_too_deep(depth: int) -> bool:
    """Whether K = depth would be split among more blocks than a grid may have along z: K > 301,985,280."""
    return blocks(depth, MAX_DEPTH) > MAX_GRID_YZ


def variants() -> Iterator[tuple[str, dict[str, int], int]]:
    """(source, constants, minimum compute capability ×10) of every variant that the provider may compile."""
    from minires.backend.cuda.precision import MIN_CAPABILITY

    for source, tiles in (
        ("conv", (NARROW, SLIM, SMALL, LARGE, WIDE)),
        ("conv_weight", (NARROW, SLIM, SMALL, LARGE, WIDE)),
        ("matmul", (NARROW, SLIM, SMALL, LARGE, WIDE)),
    ):
        for tile in tiles:
            for tf32 in (0, 1) if tile is not WIDE else (1,):
                yield source, {"TF32": tf32, **tile.constants}, MIN_CAPABILITY if tf32 else 0
