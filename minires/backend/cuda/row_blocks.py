"""How the kernels of `kernels/cuda/row_blocks.cuh` divide rows of C numbers among the blocks of a grid.

The shape alone decides, never the GPU: how a sum is split into chunks determines its bits.
"""

from __future__ import annotations

from typing import NamedTuple

from minires.backend.cuda.launch import blocks

THREADS = 256  # of a block, as in row_blocks.cuh
FINAL_CHANNELS = 8  # channels of a block in the kernel that adds up the chunks, as in row_blocks.cuh
MAX_LANES = 32  # a warp then reads rows of 512 bytes where a thread has four channels: enough for the full bandwidth
MIN_ROWS_PER_THREAD = 8  # of a sum: one batch of row_blocks.cuh
MAX_ROWS_PER_THREAD = 256  # of a sum: a longer chain of additions has a larger rounding error
TARGET_BLOCKS = 1024  # keeps the largest GPU busy; more blocks would leave more partial sums to add up


class RowBlock(NamedTuple):
    """The shape of a thread block over rows of C numbers, and how many blocks cover a row."""

    lanes: int  # threads along the channels
    rows: int  # rows that the block covers at once
    channel_blocks: int  # blocks along the channels: the y of the grid

    def grid(self, rows: int) -> tuple[int, int]:
        """The grid of an elementwise kernel. A thread gets several rows only if there are more than enough blocks."""
        steps = blocks(rows, self.rows)
        rows_per_thread = min(MIN_ROWS_PER_THREAD, blocks(steps * self.channel_blocks, 2 * TARGET_BLOCKS))
        return blocks(steps, rows_per_thread), self.channel_blocks


class Chunks(NamedTuple):
    """How the rows of each image are split: into `number` chunks of `rows` rows; the last may have fewer."""

    number: int
    rows: int


def row_block(channels: int) -> RowBlock:
    """The block for rows of `channels` channels. Each thread has four of them if 4 divides `channels`, else one."""
    return _row_block(channels // 4 if channels % 4 == 0 else channels)


def scalar_row_block(channels: int) -> RowBlock:
    """The block for rows of `channels` channels, for a kernel in which each thread has one channel."""
    return _row_block(channels)


def _row_block(threads: int) -> RowBlock:
    """`threads` along the channels, divided as evenly as possible among the blocks that MAX_LANES requires."""
    channel_blocks = blocks(threads, MAX_LANES)
    lanes = blocks(threads, channel_blocks)
    return RowBlock(lanes, THREADS // lanes, channel_blocks)


def split_rows(block: RowBlock, rows: int, images: int = 1) -> Chunks:
    """The chunks for a sum over the `rows` rows of each image."""
    steps = blocks(rows, block.rows)
    chunks_wanted = blocks(TARGET_BLOCKS, block.channel_blocks * images)
    rows_per_thread = min(MAX_ROWS_PER_THREAD, max(MIN_ROWS_PER_THREAD, blocks(steps, chunks_wanted)))
    size = rows_per_thread * block.rows
    return Chunks(blocks(rows, size), min(size, rows))
