"""`minires.nn.functional` is `minires.functional`, the very module: `import minires.nn.functional as F` finds it."""

import sys
from typing import TYPE_CHECKING

from minires import functional

if TYPE_CHECKING:
    from minires.functional import *  # noqa: F403

sys.modules[__name__] = functional
