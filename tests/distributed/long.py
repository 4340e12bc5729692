"""The mark of tests that CI leaves out: each is one more case of what another, which CI runs, checks already.

    MINIRES_LONG=1 python -m pytest -m slow tests/distributed

Each starts several jobs of several processes, which take minutes together on two cores.
"""

from __future__ import annotations

import os

import pytest

WHY = "takes minutes, and CI runs a shorter case of it: MINIRES_LONG=1"
long = pytest.mark.skipif(os.environ.get("MINIRES_LONG") != "1", reason=WHY)
