"""The results that the pages of `docs/studies` show, as numbers: an installation brings them along."""

from __future__ import annotations

import json
from pathlib import Path

from minires.errors import MiniResError
from minires.studies.results import Results

_PACKAGE = Path(__file__).resolve().parent.parent
PLACES = (_PACKAGE / "docs", _PACKAGE.parent / "docs")  # in an installation; in a checkout


def published(name: str) -> Results:
    """The measurements of the study called `name`, as `docs/studies/results` has them.

    Raises MiniResError if there are none.
    """
    for place in PLACES:
        file = place / "studies" / "results" / f"{name}.json"
        if file.is_file():
            outcome = json.loads(file.read_text("utf-8"))
            return Results(outcome["settings"], outcome["measurements"])
    raise MiniResError(f"there are no published results of a study {name!r}; `minires study` lists the studies")
