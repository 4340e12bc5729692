"""`minires.nn.functional` is `minires.functional`, the very module: `import minires.nn.functional as F` finds it."""

import sys

from minires import functional
from minires.functional import *  # noqa: F403  (for readers and type checkers; the next line replaces this module)

sys.modules[__name__] = functional
