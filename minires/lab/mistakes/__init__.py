"""The twelve classic mistakes, one file a subject: the broken code, its symptom, and the check that notices it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from contextlib import contextmanager

from minires.errors import MiniResError
from minires.lab.mistake import Mistake
from minires.lab.mistakes.backward_pass import EARLY, IN_PLACE, OVERWRITE, UNBROADCAST
from minires.lab.mistakes.block import STRIDE
from minires.lab.mistakes.conv import OVERLAP
from minires.lab.mistakes.kink import KINK
from minires.lab.mistakes.norm import RUNNING, VARIANCE
from minires.lab.mistakes.pool import AVERAGE, PADDING, TIES

_ALL = (OVERWRITE, EARLY, IN_PLACE, RUNNING, VARIANCE, PADDING, TIES, STRIDE, AVERAGE, OVERLAP, UNBROADCAST, KINK)
MISTAKES: dict[str, Mistake] = {mistake.name: mistake for mistake in _ALL}


def find(name: str) -> Mistake:
    """The mistake of this name.

    Raises:
        MiniResError: If there is none; the message has the nearest name, or all names.
    """
    if name not in MISTAKES:
        near = difflib.get_close_matches(name, MISTAKES, 1, 0.5)
        known = f"did you mean {near[0]}?" if near else f"there are {', '.join(MISTAKES)}"
        raise MiniResError(f"lab: no mistake is called {name!r}; {known}")
    return MISTAKES[name]


@contextmanager
def break_engine(name: str) -> Iterator[None]:
    """Within the block the engine really has the mistake `name` (see `MISTAKES`); afterwards it is as before.

    The whole process is affected: every thread computes wrongly meanwhile. Blocks may be nested and may end in any
    order; the engine is restored when a block ends by an exception, too. Build the models and the graph inside the
    block: some mistakes change what the forward pass keeps, or how a model is built.

    Raises:
        MiniResError: If there is no mistake of this name.
    """
    with find(name).broken():
        yield
