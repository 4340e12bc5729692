"""How the kernels of `kernels/cuda/rows.cuh` divide rows of C numbers among blocks.

All of it follows from the shape alone, never from the GPU: the chunks of a sum are what its bits depend on.
"""

from __future__ import annotations

from typing import NamedTuple

from minires.backend.cuda.launch import blocks

THREADS = 256  # of a block, as in rows.cuh
FINISHED = 8  # channels of a block that adds up chunks, as there
WIDEST = 32  # threads across: a row of 512 bytes where a thread has four channels, enough for memory to be fast
FEWEST_ROWS, MOST_ROWS = 8, 256  # that a thread adds: eight are one batch of the statistics; a longer chain rounds more
ENOUGH_BLOCKS = 1024  # to keep the largest GPU busy; more of them are more sums to add up in the end


class Walk(NamedTuple):
    """A grid over rows of C numbers."""

    lanes: int  # threads across
    columns: int  # blocks across: the grid's y
    step: int  # rows of a block

    def grid(self, rows: int) -> tuple[int, int]:
        """Of a kernel in which a thread may have any number of rows: more than one only where blocks abound."""
        steps = blocks(rows, self.step)
        rows_of_a_thread = min(FEWEST_ROWS, blocks(steps * self.columns, 2 * ENOUGH_BLOCKS))
        return blocks(steps, rows_of_a_thread), self.columns


class Chunks(NamedTuple):
    """How each of some images is cut into chunks of rows."""

    number: int
    rows: int


def walk(channels: int) -> Walk:
    """For rows of so many channels; the blocks across are as nearly equal as can be."""
    groups = channels // 4 if channels % 4 == 0 else channels
    columns = blocks(groups, WIDEST)
    lanes = blocks(groups, columns)
    return Walk(lanes, columns, THREADS // lanes)


def walk_alone(channels: int) -> Walk:
    """For a kernel in which a thread has one channel, whatever their number."""
    columns = blocks(channels, WIDEST)
    lanes = blocks(channels, columns)
    return Walk(lanes, columns, THREADS // lanes)


def chunks(walk: Walk, rows: int, images: int = 1) -> Chunks:
    """For a sum over the rows of each of some images."""
    steps = blocks(rows, walk.step)
    wanted = blocks(ENOUGH_BLOCKS, walk.columns * images)  # chunks, if they are not too short
    rows_of_a_thread = min(MOST_ROWS, max(FEWEST_ROWS, blocks(steps, wanted)))
    size = rows_of_a_thread * walk.step
    return Chunks(blocks(rows, size), min(size, rows))
