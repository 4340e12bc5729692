"""The twelve classic mistakes, one file a subject: the broken code, its symptom, and the check that notices it."""

from minires.lab.mistake import Mistake
from minires.lab.mistakes.block import STRIDE
from minires.lab.mistakes.conv import OVERLAP
from minires.lab.mistakes.kink import KINK
from minires.lab.mistakes.norm import RUNNING, VARIANCE
from minires.lab.mistakes.pool import AVERAGE, PADDING, TIES
from minires.lab.mistakes.walk import EARLY, IN_PLACE, OVERWRITE, UNBROADCAST

MISTAKES: dict[str, Mistake] = {
    mistake.name: mistake
    for mistake in (
        OVERWRITE,
        EARLY,
        IN_PLACE,
        RUNNING,
        VARIANCE,
        PADDING,
        TIES,
        STRIDE,
        AVERAGE,
        OVERLAP,
        UNBROADCAST,
        KINK,
    )
}

__all__ = ["MISTAKES", "Mistake"]
