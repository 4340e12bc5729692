"""What the papers behind residual networks claim, as experiments: each study trains, measures and gives a verdict.

    from minires import studies
    outcome = studies.run("paths", out="study-paths")      # or: minires study paths
    outcome.claims[0]["holds"]                             # True, False, or None where nothing was measured

One file holds one study: its question, its settings ("quick" in minutes, "full" in hours), what is measured, the
figures, and the claims with their criteria. `form` says what a study consists of, `runner` runs its tasks in one or
several processes, `store` makes them survive a kill, `report` and `page` write down what was found.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from minires.errors import MiniResError

if TYPE_CHECKING:
    from minires.studies.form import Study

__all__ = ["NAMES", "get", "run"]

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


def get(name: str) -> Study:
    """The study called `name`. Raises MiniResError, listing the studies, for an unknown name."""
    if name not in NAMES:
        raise MiniResError(f"no study is called {name!r}; there are {', '.join(NAMES)}")
    return import_module(f"minires.studies.{NAMES[name]}").STUDY


def run(name: str, **options: Any) -> Any:
    """Run the study called `name`; the options are those of `minires.studies.runner.run`."""
    from minires.studies.runner import run

    return run(get(name), **options)
