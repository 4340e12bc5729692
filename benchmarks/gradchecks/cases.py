"""All cases, {name: function that builds the case}: the mistakes of `BROKEN`, the right backward passes of `HONEST`.

`broken.py` and `honest.py` hold common ones. Each other file holds a family of both, and adds them when it is imported.
"""

from benchmarks.gradchecks import (
    analytic,
    broken,
    constants,
    honest,
    kinks,
    memory,
    narrow,
    outputs,
    precision,
    stop_gradients,
)

FAMILIES = (kinks, constants, stop_gradients, narrow, outputs, analytic, memory, precision)
BROKEN, HONEST = broken.CASES, honest.CASES
