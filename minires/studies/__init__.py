"""What the papers behind residual networks claim, as experiments: each study trains, measures and gives a verdict.

    from minires import studies
    outcome = studies.run("paths", out="study-paths")      # or: minires study paths
    outcome.claims[0]["holds"]                             # True, False, or None where nothing was measured

One file holds one study: its question, its settings ("quick" in minutes, "full" in hours), what is measured, the
figures, and the claims with their criteria. `form` says what a study consists of, `runner` runs its tasks in one or
several processes, `store` makes them survive a kill, `report` and `page` write down what was found.
"""

from __future__ import annotations

from typing import Any

from minires.studies.registry import NAMES, get

__all__ = ["NAMES", "get", "run"]


def run(name: str, **options: Any) -> Any:
    """Run the study called `name`; the options are those of `minires.studies.runner.run`."""
    from minires.studies.runner import run

    return run(get(name), **options)
