"""Which tile of a matrix product a block of threads makes, and among how many blocks K is divided."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from minires.backend.cuda.launch import MOST_BLOCKS, blocks

STEP = 16  # of K, that a block multiplies at a time: BK in kernels/cuda/multiply.cuh
# So many blocks keep the largest GPU of today (148 multiprocessors) busy. It is no GPU's own number, for the division
# of K decides how sums are rounded, and the same network shall give the same bits on every GPU.
ENOUGH_BLOCKS = 296
LEAST_DEPTH = 128  # of K, for a block: less, and adding the parts up costs more than it saves
MOST_SPLITS = 64  # to keep the GPU busy
LONGEST = 4608  # of K, for a block: a longer sum is divided however many blocks there are, for its digits' sake
MOST_ROWS = (1 << 31) - (1 << 12)  # of a product: kernels count them in 32 bits, and a last tile reaches beyond
MOST_COLUMNS = 1 << 20  # a grid has at most 65,535 tiles along this axis


class Tile(NamedTuple):
    """WARPS_M × WARPS_N warps, each 64 rows by 16 · HALVES columns: the constants of kernels/cuda/multiply.cuh."""

    warps_m: int
    warps_n: int
    halves: int

    @property
    def rows(self) -> int:
        """BM."""
        return 64 * self.warps_m

    @property
    def columns(self) -> int:
        """BN."""
        return 16 * self.halves * self.warps_n

    @property
    def threads(self) -> int:
        """In a block."""
        return 32 * self.warps_m * self.warps_n

    @property
    def constants(self) -> dict[str, int]:
        """As the sources name them."""
        return {"WARPS_M": self.warps_m, "WARPS_N": self.warps_n, "HALVES": self.halves}

    def grid(self, rows: int, columns: int) -> tuple[int, int]:
        """How many tiles cover a matrix."""
        return blocks(rows, self.rows), blocks(columns, self.columns)


NARROW, SLIM, SMALL, LARGE, WIDE = Tile(2, 1, 1), Tile(2, 2, 1), Tile(1, 2, 2), Tile(2, 2, 2), Tile(2, 2, 4)


def choose(rows: int, columns: int, tf32: int) -> Tile:
    """The tile for a product (rows, columns): no wider than the matrix, and as large as leaves enough blocks."""
    if columns <= NARROW.columns:
        return NARROW
    if columns <= SLIM.columns:
        return SLIM
    if rows <= SMALL.rows or (rows < 4096 and _count(LARGE, rows, columns) < ENOUGH_BLOCKS):
        return SMALL
    if tf32 and columns >= WIDE.columns and _count(WIDE, rows, columns) >= ENOUGH_BLOCKS:
        return WIDE
    return LARGE


def _count(tile: Tile, rows: int, columns: int) -> int:
    m, n = tile.grid(rows, columns)
    return m * n


def divide(tile: Tile, rows: int, columns: int, depth: int) -> tuple[int, int]:
    """(splits, chunk): K = depth among so many blocks of `chunk` each, a multiple of STEP; the last may have less."""
    wanted = min(ENOUGH_BLOCKS // _count(tile, rows, columns), depth // LEAST_DEPTH, MOST_SPLITS)
    chunk = STEP * blocks(depth, STEP * max(wanted, blocks(depth, LONGEST)))
    return blocks(depth, chunk), chunk


def is_too_deep(depth: int) -> bool:
    """Whether K = depth would be divided among more blocks than a grid has along z: K > 301,985,280."""
    return blocks(depth, LONGEST) > MOST_BLOCKS


def variants() -> Iterator[tuple[str, dict[str, int], int]]:
    """(source, constants, least compute capability ×10) of each product that may be asked for."""
    from minires.backend.cuda.precision import LEAST

    for source, tiles in (
        ("conv", (NARROW, SLIM, SMALL, LARGE, WIDE)),
        ("conv_weight", (NARROW, SLIM, SMALL, LARGE, WIDE)),
        ("matmul", (NARROW, SLIM, SMALL, LARGE, WIDE)),
    ):
        for tile in tiles:
            for tf32 in (0, 1) if tile is not WIDE else (1,):
                yield source, {"TF32": tf32, **tile.constants}, LEAST if tf32 else 0
