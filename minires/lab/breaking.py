"""The switch: the engine with one of its classic mistakes."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from contextlib import contextmanager

from minires.errors import MiniResError
from minires.lab.mistake import Mistake
from minires.lab.mistakes import MISTAKES


def find(name: str) -> Mistake:
    """The mistake of that name. Raises MiniResError, with the nearest name or all of them, for another."""
    if name not in MISTAKES:
        near = difflib.get_close_matches(name, MISTAKES, 1, 0.5)
        known = f"did you mean {near[0]}?" if near else f"there are {', '.join(MISTAKES)}"
        raise MiniResError(f"lab: no mistake is called {name!r}; {known}")
    return MISTAKES[name]


@contextmanager
def break_engine(name: str) -> Iterator[None]:
    """Within the block the engine really has the mistake `name` (see `MISTAKES`); afterwards it is as before.

    The mistake is in the engine, not in a thread: every thread of the process computes wrongly meanwhile. Blocks may be
    nested and end in any order; the engine is restored when a block ends by an exception, too. Build the graph and the
    models inside the block: some mistakes keep something in the forward pass, or change how a model is built.

    Raises MiniResError for a name that is not there.
    """
    with find(name).broken():
        yield
