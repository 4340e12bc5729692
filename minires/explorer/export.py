"""Writes the explorer as files for a web site: the block live, the network as recorded.

    DIR/index.html          the page; it needs no other file for the block
    DIR/network-data.js     what the network makes of a few images: whole, and with each block switched off

A page that was opened from a file may not read JSON, but may load a script. So the recording is a script.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from minires.errors import DataError
from minires.explorer import bundle
from minires.explorer.session import Session
from minires.explorer.sources import sources
from minires.files import atomic_write
from minires.training.run_folder import make_folders

IMAGES = 4  # that are recorded
PAGE, DATA = "index.html", "network-data.js"


def recording(session: Session) -> dict[str, Any]:
    """The answers of a Session for its first images: {"network": …, "answers": {"ID/off": …}, "paths": {ID: …}}.

    Raises DataError if it has none: nobody can add one to a recording.
    """
    network = session.describe()
    network["images"] = network["images"][:IMAGES]
    if not network["images"]:
        raise DataError("the export has no image to record: give --image FILE, or --weights digits")
    answers, paths = {}, {}
    for image in network["images"]:
        key = image["id"]
        whole = session.explore(key)
        answers[f"{key}/"] = whole
        for number in range(len(session.blocks)):
            if session.can_be_off[number]:
                answers[f"{key}/{number}"] = session.explore(key, whole["target"], [number], maps=False)
        paths[key] = session.paths(key, whole["target"])
    return {"network": network, "answers": answers, "paths": paths}


def export(folder: Path, session: Session) -> list[Path]:
    """Write the page into `folder`, which is made if it is missing. Returns the files.

    Raises MiniResError if they cannot be written.
    """
    data = json.dumps(recording(session), ensure_ascii=False, separators=(",", ":"))
    page = bundle.page({"sources": sources(), "network": "recorded"})
    make_folders(folder)
    paths = [folder / PAGE, folder / DATA]
    for path, text in zip(paths, (page, f"globalThis.MINIRES_NETWORK = {data};\n"), strict=True):
        with atomic_write(path, "w") as file:
            file.write(text)
    return paths
