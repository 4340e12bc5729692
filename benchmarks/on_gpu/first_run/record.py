"""What a step finds goes line by line to a file, so that a step that is killed has told what it found until then."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class Record:
    """The file `out`/`name`.jsonl: a JSON object a line."""

    def __init__(self, out: Path, name: str) -> None:
        self.path = out / f"{name}.jsonl"

    def add(self, kind: str, **facts: Any) -> None:
        """Append a record, and show it."""
        line = json.dumps({"kind": kind, **facts})
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        print(line, flush=True)
