"""The names of the studies, and where each is. A study is imported when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from minires.errors import MiniResError

# The studies in the order of the listing, and the module of each.
NAMES = {
    "degradation": "degradation",
    "construction": "construction",
    "shortcuts": "shortcuts",
    "gating": "gating",
    "highway": "highway",
    "preactivation": "preactivation",
    "gradient-flow": "gradient_flow",
    "paths": "paths",
    "lesion": "lesion",
    "landscape": "landscape",
    "practice": "practice",
    "receptive-field": "receptive_field",
}


def get(name: str) -> Any:
    """The `Study` called `name`. Raises MiniResError, listing the studies, for an unknown name."""
    if name not in NAMES:
        raise MiniResError(f"no study is called {name!r}; there are {', '.join(NAMES)}")
    return import_module(f"minires.studies.{NAMES[name]}").STUDY
